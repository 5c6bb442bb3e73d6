# SPDX-License-Identifier: MIT
"""A start: what it takes of the disk, what it finds of earlier runs, and what it does while a store is away."""

import contextlib
import os
import re
import sqlite3

import pytest
from forebay import Config, Server, eventually, namespace, section

MIB = 1024 * 1024


# ---- What the journal takes ----

def journal_bytes(folder):
    """What the journal's files take on the disk."""
    names = [name for name in os.listdir(folder) if re.match(r"journal-|blank-", name)]
    return sum(os.stat(os.path.join(folder, name)).st_blocks * 512 for name in names)


def test_kills_leave_no_pile_of_journal_files(serve):
    """The default journal_file_size is 64 MB, and each start begins new files."""
    server = serve(Config(namespace("sessions", "sess:", "write-behind", flush_delay="1h")))
    for i in range(5):
        assert server.client().set(f"sess:{i}", b"%d" % i) == b"STORED"
        server.kill()
        server.start()
    assert server.client().get_many([f"sess:{i}" for i in range(5)]) == {b"sess:%d" % i: b"%d" % i for i in range(5)}
    assert journal_bytes(server.folder) <= 16 * MIB


def test_what_an_earlier_run_left_is_used_again(serve):
    """Files of the whole size are blank or passed when the server is killed: the next start takes them."""
    server = serve(Config(namespace("sessions", "sess:", "write-behind", flush_delay="1h"), journal_file_size="2mb"))
    client = server.client()
    for i in range(200):  # in ten files, which the sync passes all at once
        assert client.set(f"sess:{i}", b"x" * 100000) == b"STORED"
    client.sync()
    eventually(lambda: sum(name.startswith("blank-") for name in os.listdir(server.folder)) >= 2)
    server.kill()
    os.mkdir(os.path.join(server.folder, "seen"))
    for name in os.listdir(server.folder):
        if re.match(r"journal-|blank-", name):  # what it becomes can be told by its second name
            os.link(os.path.join(server.folder, name), os.path.join(server.folder, "seen", name))
    server.start()
    seen = os.listdir(os.path.join(server.folder, "seen"))
    begun = [name for name in os.listdir(server.folder) if name.startswith("journal-") and name not in seen]
    assert sum(os.stat(os.path.join(server.folder, name)).st_nlink == 2 for name in begun) >= 2, begun


# ---- What lies in the data folder ----

def write_behind(**options):
    return Config(namespace("sessions", "sess:", "write-behind", flush_delay="1h", **options))


def leave_changes(serve, config=None):
    """A killed server with one change in its journal that the store has never seen; sess:gone is in the store."""
    server = serve(config or write_behind())
    client = server.client()
    assert client.set("sess:gone", b"old") == b"STORED"
    client.sync()
    assert client.set("sess:kept", b"acknowledged") == b"STORED"
    assert client.delete("sess:gone") == b"DELETED"
    server.kill()
    return server


def lying(server):
    """The names in the data folder, and what is in the files."""
    found = {}
    for name in os.listdir(server.folder):
        if re.match(r"journal-|quarantine-|low-water|lock|blank-", name):
            with open(os.path.join(server.folder, name), "rb") as file:
                found[name] = file.read()
    return found


CHANGED = {
    "write-through": Config(namespace("sessions", "sess:", "write-through")),
    "read-through": Config(namespace("sessions", "sess:", "read-through")),
    "beside another journal": Config(namespace("sessions", "sess:", "write-through"),
                                     namespace("carts", "cart:", "write-behind")),
}


@pytest.mark.parametrize("how", CHANGED)
@pytest.mark.parametrize("options", [[], ["--check"]], ids=["start", "check"])
def test_what_a_changed_policy_would_pass_over_refuses_the_start(serve, how, options):
    server = leave_changes(serve)
    before = lying(server)
    server.config = CHANGED[how]
    said = server.refuses(*options)
    assert int(re.search(r"(\d+) acknowledged changes", said).group(1)) in (2, 3), "what was synced may not be noted yet"
    for word in ("sessions", "oldest", "local", "write-behind", "--recover=flush", "--recover=discard:sessions"):
        assert word in said, said
    assert "through" in said and f"{server.folder} holds" in said and "The journal in" not in said
    if options:
        assert lying(server) == before, "--check only looks"
    server.config = write_behind()
    server.start()
    client = server.client()
    assert client.get("sess:kept") == b"acknowledged"
    assert client.get("sess:gone") is None


@pytest.mark.parametrize("how", CHANGED)
def test_changes_are_flushed_before_the_new_policy_begins(serve, how):
    server = leave_changes(serve)
    server.config = CHANGED[how]
    server.options = ["--recover=flush"]
    server.start()
    client = server.client()
    assert client.get("sess:kept") == b"acknowledged"
    assert client.get("sess:gone") is None
    assert set(server.rows()) == {b"sess:kept"}
    assert client.set("sess:kept", b"newer") == b"STORED"
    server.stop()
    server.options = []
    server.start()  # nothing lies there any more
    assert not [name for name in lying(server) if name.startswith("journal-")] or how == "beside another journal"


@pytest.mark.parametrize("how", CHANGED)
def test_changes_are_given_up_when_told_so(serve, how):
    server = leave_changes(serve)
    server.config = CHANGED[how]
    server.options = ["--recover=discard:sessions"]
    server.start()
    assert "sessions" in server.log()
    assert server.client().get("sess:kept") is None
    assert server.client().get("sess:gone") == b"old"
    server.kill()
    server.options = []
    server.start()
    assert server.client().get("sess:kept") is None


def test_nothing_is_flushed_while_the_store_is_away(serve):
    server = leave_changes(serve)
    server.config = CHANGED["write-through"]
    server.options = ["--recover=flush"]
    os.rename(os.path.join(server.folder, "store.db"), os.path.join(server.folder, "elsewhere.db"))
    os.mkdir(os.path.join(server.folder, "store.db"))
    said = server.refuses()
    assert "local" in said
    os.rmdir(os.path.join(server.folder, "store.db"))
    os.rename(os.path.join(server.folder, "elsewhere.db"), os.path.join(server.folder, "store.db"))
    server.start()
    assert server.client().get("sess:kept") == b"acknowledged"


def test_a_journal_that_is_switched_off_is_recovered(serve):
    """The namespace still holds writes back: what it left is its own."""
    server = leave_changes(serve)
    server.config = write_behind(journal="off")
    server.start()
    client = server.client()
    assert client.get("sess:kept") == b"acknowledged"
    assert client.get("sess:gone") is None
    client.sync()
    assert set(server.rows()) == {b"sess:kept"}


def test_a_namespace_without_a_backend_names_its_remedies(serve):
    server = leave_changes(serve)
    server.config = Config(namespace("sessions", "sess:", "cache-aside"), backends=[])
    said = server.refuses()
    assert "cache-aside" in said and "--recover=discard:sessions" in said and "--recover=flush" not in said
    assert "no backend" in server.refuses("--recover=flush")


GONE = {
    "another": Config(namespace("others", "other:", "write-through")),
    "renamed": Config(namespace("others", "sess:", "write-behind")),  # would answer for its keys
}


@pytest.mark.parametrize("how", GONE)
@pytest.mark.parametrize("quarantine", [False, True], ids=["journal", "quarantine"])
def test_a_namespace_that_is_gone_refuses_the_start(serve, how, quarantine):
    server = quarantined(serve) if quarantine else leave_changes(serve)
    key, value = ("sess:bad", b"bad") if quarantine else ("sess:kept", b"acknowledged")
    server.config = GONE[how]
    for options in ([], ["--check"], ["--recover=flush"], ["--recover=keep:other"]):
        said = server.refuses(*options)
        assert re.search(r"[1-4] acknowledged changes? of namespace .sessions.*not configured", said), said
        assert "--recover=discard:sessions" in said and "--recover=keep:sessions" in said and server.folder in said, said
    server.config = write_behind()
    server.start()
    assert server.client().get(key) == value


@pytest.mark.parametrize("quarantine", [False, True], ids=["journal", "quarantine"])
def test_a_namespace_that_is_gone_is_kept_when_told_so(serve, quarantine):
    server = quarantined(serve) if quarantine else leave_changes(serve)
    key, value = ("sess:bad", b"bad") if quarantine else ("sess:kept", b"acknowledged")
    server.config = GONE["another"]
    server.options = ["--recover=keep:sessions", "--recover=keep:never"]  # may stand in a service file
    for _ in range(2):
        server.start()
        eventually(lambda: re.search("kept", server.log()))
        server.kill()
    server.config = write_behind()
    server.options = []
    server.start()
    assert server.client().get(key) == value


def quarantined(serve, count=1):
    """A killed server with a change of sess:bad (sess:bad0 ...) in quarantine and none in the journal."""
    config = Config(namespace("sessions", "sess:", "write-behind", flush_delay="20ms"))
    server = serve(config)
    client = server.client()
    client.sync()
    with contextlib.closing(sqlite3.connect(os.path.join(server.folder, "store.db"))) as database, database:
        database.execute("CREATE TRIGGER no BEFORE INSERT ON sessions WHEN NEW.value = X'626164' "
                         "BEGIN SELECT RAISE(ABORT, 'not this'); END")
    for key in ["sess:bad"] if count == 1 else [f"sess:bad{i}" for i in range(count)]:
        assert client.set(key, b"bad") == b"STORED"
    eventually(lambda: client.stats("write_behind")["sessions:quarantine"] == str(count))
    server.kill()
    return server


def allow(server):
    with contextlib.closing(sqlite3.connect(os.path.join(server.folder, "store.db"))) as database, database:
        database.execute("DROP TRIGGER no")


def test_a_quarantine_is_not_passed_over(serve):
    server = quarantined(serve)
    server.config = CHANGED["write-through"]
    said = server.refuses()
    for word in ("sessions", "quarantine", "--recover=flush", "--recover=discard:sessions"):
        assert word in said, said
    said = server.refuses("--recover=flush")
    assert "still refuses" in said and "--recover=discard:sessions" in said, said
    allow(server)
    server.options = ["--recover=flush"]
    server.start()
    assert server.client().get("sess:bad") == b"bad"
    server.stop()
    server.options = []
    server.start()


def test_a_quarantine_can_be_given_up(serve):
    server = quarantined(serve)
    server.config = CHANGED["write-through"]
    server.options = ["--recover=discard:sessions"]
    server.start()
    assert server.client().get("sess:bad") is None
    server.kill()
    server.options = []
    server.start()


def test_a_quarantine_that_has_decayed_is_not_passed_over(serve):
    server = quarantined(serve, count=3)
    server.start()
    server.stop()  # nothing is left in the journal, and the oldest comes first
    path = os.path.join(server.folder, "quarantine-sessions.log")
    with open(path, "r+b") as file:
        file.seek(20)  # in the head of the first record
        file.write(b"!!")
    said = server.refuses()
    assert f"{path} is damaged" in said and "at offset 0" in said and "--recover=skip-damaged" in said
    server.options = ["--recover=skip-damaged"]
    server.start()
    client = server.client()
    assert [client.get(f"sess:bad{i}") for i in range(3)] == [None, b"bad", b"bad"]
    assert f"namespace sessions: its quarantine file in {server.folder} is damaged" in server.log()
    assert os.path.exists(os.path.join(server.folder, "damaged-0-quarantine-sessions.log"))
    server.stop()
    server.options = []
    server.start()
    assert server.client().get("sess:bad1") == b"bad"
    server.stop()
    with open(path, "r+b") as file:
        file.seek(file.read().rindex(b"sess:bad2"))
        file.write(b"!!")
    assert f"{path} is damaged: records that were synced are missing at offset " in server.refuses()
    os.remove(path.replace(".log", ".note"))  # which says so; as after an earlier version
    server.start()
    assert "namespace sessions: the last record of its quarantine file" in server.log() and "was not completed" in server.log()
    assert server.client().get("sess:bad1") == b"bad"


@pytest.mark.threads
def test_a_whole_quarantine_is_dropped(serve):
    server = quarantined(serve, count=20)
    server.start()
    server.stop()  # else what the journal has of them is written again, and refused again
    server.start()
    client = server.client()
    assert client.get("sess:bad7") == b"bad"
    assert client.command("quarantine drop sessions") == b"OK 20"
    assert client.get("sess:bad7") is None
    assert client.command("quarantine drop sessions") == b"OK 0"


def test_a_folder_in_use_is_left_alone(serve):
    """Another server with the same folder: not even its quarantine is touched."""
    server = serve(write_behind())
    other = Server(server.folder, config=CHANGED["write-through"])
    assert "in use" in other.refuses("--recover=discard:sessions")
    assert server.client().set("sess:a", b"1") == b"STORED"


@pytest.mark.parametrize("config", [
    Config(namespace("sessions", "sess:", "write-through")),
    Config(namespace("sessions", "sess:", "write-behind", journal="off")),
    Config(namespace("sessions", "sess:", "cache-aside"), backends=[]),
], ids=["a database alone", "a quarantine alone", "nothing yet"])
def test_two_servers_in_one_folder_are_kept_apart_without_a_journal(serve, config):
    server = serve(config)
    said = Server(server.folder, config=config).refuses()
    assert f"the data folder {server.folder} is in use by another process (pid {server.pid})" in said
    assert "a data folder of its own" in said
    assert server.client().set("sess:a", b"1") == b"STORED"
    server.kill()
    server.start()  # a lock that was left behind does not count


def test_after_a_clean_stop_any_policy_may_follow(serve):
    server = serve(write_behind())
    assert server.client().set("sess:a", b"1") == b"STORED"
    server.stop()
    server.config = CHANGED["write-through"]
    assert "namespace" not in server.check()
    server.start()
    assert server.client().get("sess:a") == b"1"


def test_a_discard_of_nothing_says_so(serve):
    server = serve(write_behind(), options=["--recover=discard:typo"])
    assert "typo" in server.log()


def decay(server, of):
    """Turns a bit in the journal, in a record before which and behind which others are."""
    for name in os.listdir(server.folder):
        path = os.path.join(server.folder, name)
        if name.startswith("journal-"):
            with open(path, "r+b") as file:
                at = file.read().find(of)
                if at >= 0:
                    file.seek(at)
                    file.write(bytes([of[0] ^ 1]))
                    return
    raise AssertionError(f"no journal holds {of}")


def test_a_check_tells_of_damage_that_would_refuse_the_start(serve):
    server = serve(Config(namespace("sessions", "sess:", "write-behind", flush_delay="1h"), threads=1))
    for i in range(3):
        assert server.client().set(f"sess:{i}", b"x") == b"STORED"
    decay(server, b"sess:1")
    assert "damaged" in server.check(), "only told: beside a running server a file can look so"
    server.kill()
    for options in ["--check"], []:
        said = server.refuses(*options)
        assert "damaged" in said and "--recover=skip-damaged" in said, said
    server.options = ["--recover=skip-damaged"]
    assert "damaged" in server.check()
    server.start()


# ---- While a store is away ----

def over_redis(redis, **options):
    return Config(namespace("sessions", "sess:", "write-behind", "remote", flush_delay="20ms"),
                  namespace("files", "file:", "read-through", "remote"),
                  backends=[section("backend", "remote", uri=redis.uri, **options)])


@pytest.mark.threads
def test_a_redis_that_hangs_is_not_waited_for(serve, redis):
    """It takes connections and answers none; its timeout is longer than this test is patient."""
    redis.pause()
    server = serve(over_redis(redis, timeout="5m"))
    client = server.client()
    assert client.set("sess:a", b"1") == b"STORED"
    assert client.get("sess:a") == b"1"
    assert "remote" in server.log()
    redis.resume()
    client.sync()
    assert redis.rows("sess:")[b"sess:a"].value == b"1"
    assert client.ask("file:x") == ("miss", None)


@pytest.mark.threads
def test_several_stores_that_hang_are_not_waited_for(serve, redis):
    redis.pause()
    backends = [section("backend", f"remote{i}", uri=f"redis://127.0.0.1:{redis.port}/{i}", timeout="5m") for i in range(5)]
    spaces = [namespace(f"space{i}", f"s{i}:", "write-behind", f"remote{i}", flush_delay="20ms") for i in range(5)]
    server = serve(Config(*spaces, backends=backends))
    client = server.client()
    for i in range(5):
        assert client.set(f"s{i}:a", b"1") == b"STORED"
    redis.resume()
    client.sync()
