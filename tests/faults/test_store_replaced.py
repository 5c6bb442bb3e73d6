# SPDX-License-Identifier: MIT
"""The database file is removed, renamed, replaced or written over under a running server: nothing is acknowledged into a file
that is no longer there, the log says so once, and when a database is there again, it gets what memory holds."""

import contextlib
import os
import re
import select
import shutil
import sqlite3
import subprocess
import sys
import time

import pytest
from checking import accepted
from forebay import THERE, Background, Config, eventually, namespace, section, sqlite_backend
from relay import Relay

LOST = "changes are kept in memory and journal until a store is there again"
BACK = "the store is there again"
REWRITTEN = "entries that memory holds were written to the store again"


def spaces(**options):
    return Config(namespace("sessions", "sess:", "write-behind", **{"flush_delay": "20ms", **options}),
                  namespace("through", "wt:", "write-through"), backends=[sqlite_backend(timeout="1s")], drain_timeout="2s")


def path(server, name="store.db"):
    return os.path.join(server.folder, name)


def copy(server, name="copy.db"):
    """A copy as an operator makes it of a running store."""
    source, target = sqlite3.connect(path(server)), sqlite3.connect(path(server, name))
    source.backup(target)
    target.execute("PRAGMA journal_mode = DELETE")
    source.close()
    target.close()


def expect_rows(server, count, value=b"new"):
    rows = server.rows()
    missing = [i for i in range(count) if b"sess:%d" % i not in rows]
    assert not missing, f"{len(missing)} of {count} rows are missing"
    assert {rows[b"sess:%d" % i].value for i in range(count)} == {value}
    with contextlib.closing(sqlite3.connect(path(server))) as check:
        assert check.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    check.close()


@contextlib.contextmanager
def waiting_sync(server):
    """A sync that is not answered before the file is there again."""
    with server.client() as client:
        client.send("sync\r\n")
        eventually(lambda: LOST in server.log())
        assert not select.select([client.socket], [], [], 0)[0], client.line()
        yield
        assert client.line().startswith(b"SYNCED ")


def store(client, count, value=b"new", prefix="sess:"):
    assert set(client.set_many((f"{prefix}{i}", value) for i in range(count))) == {b"STORED"}


def remove(server):
    for ending in ("", "-wal", "-shm"):
        os.unlink(path(server) + ending)


def rename(server):
    os.rename(path(server), path(server, "elsewhere.db"))


@pytest.mark.parametrize("away", [remove, rename])
def test_without_its_file_nothing_is_said_to_be_in_the_store(serve, away):
    server = serve(spaces())
    client = server.client()
    store(client, 100)
    client.sync()
    away(server)
    # nothing is left to be written: sync looks at the file
    with waiting_sync(server):
        store(client, 200)
        assert client.set("wt:1", b"v").startswith(b"SERVER_ERROR")
        assert client.ask("sess:unknown")[0] == "error"
        assert not os.path.exists(path(server)), "an empty database was made in place of the one that is gone"
        assert client.ask("sess:1") == ("hit", b"new")
        assert server.log().count(LOST) == 1, server.log()
        with open(path(server), "wb"):  # an operator's decision: an empty one
            pass
    client.sync()
    assert BACK in server.log() and REWRITTEN in server.log()
    expect_rows(server, 200)
    assert client.set("wt:1", b"v") == b"STORED"
    assert client.ask("sess:unknown") == ("miss", None)
    if away is rename:  # what was renamed is whole
        with contextlib.closing(sqlite3.connect(path(server, "elsewhere.db"))) as elsewhere:
            rows = elsewhere.execute("SELECT count(*) FROM sessions").fetchone()
        assert rows == (100,)


def test_it_is_noticed_while_nothing_happens(serve):
    server = serve(spaces())
    server.client().set("sess:1", b"v")
    server.client().sync()
    rename(server)
    eventually(lambda: LOST in server.log())
    assert "removed or renamed" in server.log()
    os.rename(path(server, "elsewhere.db"), path(server))
    eventually(lambda: BACK in server.log())
    server.client().sync()
    assert server.rows()[b"sess:1"].value == b"v"


def busy(server):
    """Another program, which changes a row again and again; as nobody else has the database open, the file itself each time."""
    def run(end):
        while not end.wait(0.02):
            with contextlib.closing(sqlite3.connect(path(server), timeout=10)) as database, database:
                database.execute("UPDATE sessions SET flags = flags + 1 WHERE key = CAST('sess:0' AS BLOB)")
    return Background(run)


def test_a_database_that_another_program_goes_on_using_comes_back(serve):
    server = serve(spaces())
    client = server.client()
    store(client, 10)
    client.sync()
    rename(server)
    eventually(lambda: LOST in server.log())
    os.rename(path(server, "elsewhere.db"), path(server))
    with busy(server):
        eventually(lambda: BACK in server.log())
        client.sync()
    expect_rows(server, 10)


def reader_of_what_is(server):
    """Another program's transaction: while it lasts, the server copies nothing that comes later out of the log."""
    reader = sqlite3.connect(path(server), isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM sessions").fetchone()
    return reader


@contextlib.contextmanager
def log_that_cannot_be_copied(server):
    """20 rows, of which the database has 10 for as long as another program reads what was there before the others. These are in it
    before: of a log that is copied up to a reader's mark, SQLite leaves out the pages that have changed since, and the file alone
    would be of two times."""
    client = server.client()
    store(client, 10)
    client.sync()
    with contextlib.closing(sqlite3.connect(path(server))) as database:
        assert database.execute("PRAGMA wal_checkpoint(FULL)").fetchone()[0] == 0
    reader = reader_of_what_is(server)
    store(client, 20)
    client.sync()
    yield
    eventually(lambda: LOST in server.log())
    assert "without which it is not whole, is " in server.log()
    reader.close()


def count_of(server, name):
    with contextlib.closing(sqlite3.connect(path(server, name))) as database:
        return database.execute("SELECT count(*) FROM sessions").fetchone()[0]


LONGEST = 480  # bytes of a folder: SQLite opens no path of more than 504


@pytest.mark.parametrize("long", [False, True])
def test_a_log_that_cannot_be_copied_is_kept(serve, tmp_path, long):
    folder = tmp_path
    while long and len(str(folder)) < LONGEST - 1:
        folder /= "d" * min(200, LONGEST - len(str(folder)) - 1)
    folder.mkdir(parents=True, exist_ok=True)
    server = serve(spaces(), folder=folder)
    with log_that_cannot_be_copied(server):
        rename(server)
    note = "was removed or renamed (its log, without which it is not whole, is store.db-wal.kept beside it)"
    assert note in server.log(), server.log()
    os.rename(path(server, "store.db-wal.kept"), path(server, "elsewhere.db-wal"))
    assert count_of(server, "elsewhere.db") == 20


@pytest.mark.parametrize("written", [False, True])
def test_a_log_that_was_kept_is_taken_back_beside_its_database(serve, written):
    """Not if somebody has written to that since: the log would undo it."""
    server = serve(spaces())
    with log_that_cannot_be_copied(server):
        rename(server)
    if written:
        with contextlib.closing(sqlite3.connect(path(server, "elsewhere.db"), isolation_level=None)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            database.execute("INSERT INTO sessions (key, value) VALUES (CAST('sess:there' AS BLOB), x'31')")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    os.rename(path(server, "elsewhere.db"), path(server))
    eventually(lambda: BACK in server.log())
    server.client().sync()
    assert os.path.exists(path(server, "store.db-wal.kept")) == written
    assert count_of(server, "store.db") == (21 if written else 20)


def written_slowly(server, begin):
    """A copy that takes 1.2 s; false: this machine let a second of that pass, in which nothing could be told."""
    with open(path(server, "copy.db"), "rb") as file:
        whole = file.read()
    with open(path(server), "wb", buffering=0) as file:
        written = time.monotonic()
        begin(file, len(whole))
        parts = range(0, len(whole), len(whole) // 12 + 1)
        for at in parts:
            time.sleep(0.1)
            file.write(whole[at:at + len(whole) // 12 + 1])
            if time.monotonic() - written > 0.8:
                return False
            written = time.monotonic()
    return True


@pytest.mark.parametrize("begin", [lambda file, size: time.sleep(0.6), lambda file, size: file.truncate(size)],
                         ids=["empty at first", "as long as it will be"])
def test_a_copy_on_its_way_is_not_opened(serve, begin):
    server = serve(spaces())
    client = server.client()
    store(client, 2000, b"x" * 300, prefix="sess:only-in-the-copy-")
    client.sync()
    copy(server)
    rename(server)
    eventually(lambda: LOST in server.log())
    if not written_slowly(server, begin):
        pytest.skip("this machine is too busy to copy without a rest")
    eventually(lambda: BACK in server.log())
    assert "not written by Forebay" not in server.log() and "malformed" not in server.log(), server.log()
    client.sync()
    with contextlib.closing(sqlite3.connect(path(server))) as check:
        assert check.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert check.execute("SELECT count(*) FROM sessions").fetchone() == (2000,)


def replace_by_rename(server):
    os.rename(path(server, "copy.db"), path(server))


def replace_by_removal(server):
    remove(server)
    shutil.copyfile(path(server, "copy.db"), path(server))


def write_over(server):
    eventually(lambda: in_file(server) == 100 and not in_log(server))  # checkpointed: nobody writes to the file now
    shutil.copyfile(path(server, "copy.db"), path(server))


def restore(server):
    target, source = sqlite3.connect(path(server), timeout=30), sqlite3.connect(path(server, "copy.db"))
    source.backup(target)
    target.close()
    source.close()


def in_file(server):
    """Rows in the database without its log."""
    try:
        database = sqlite3.connect(f"file:{path(server)}?immutable=1", uri=True)
        return database.execute("SELECT count(*) FROM sessions WHERE value = CAST('new' AS BLOB)").fetchone()[0]
    except sqlite3.Error:
        return 0


def in_log(server):
    """Pages that are not yet in the database."""
    database = sqlite3.connect(path(server))
    _, pages, done = database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    database.close()
    return pages - done


WAYS = [replace_by_rename, replace_by_removal, write_over, restore]


@pytest.mark.parametrize("how", WAYS)
def test_an_older_copy_gets_what_memory_holds(serve, how):
    server = serve(spaces())
    client = server.client()
    store(client, 50, b"old")
    store(client, 10, b"old", "wt:")
    client.sync()
    copy(server)
    store(client, 100)
    store(client, 20, prefix="wt:")
    client.sync()
    how(server)
    eventually(lambda: REWRITTEN in server.log())
    client.sync()
    expect_rows(server, 100)
    assert {row.value for row in server.rows("through").values()} == {b"new"}
    assert len(server.rows("through")) == 20
    server.stop()
    server.start()
    assert server.client().get_many([f"sess:{i}" for i in range(100)]) == {b"sess:%d" % i: b"new" for i in range(100)}


@pytest.mark.parametrize("how", [replace_by_rename, restore])
def test_no_change_is_made_of_an_older_copy(serve, how):
    """What memory holds goes there before anything is counted on from the rows that are there."""
    server = serve(spaces())
    client = server.client()
    store(client, 20, b"5", "wt:")
    copy(server)
    assert {client.incr(f"wt:{i}", 10) for i in range(20)} == {b"15"}
    how(server)
    for i in range(20):
        answer = eventually(lambda i=i: (said := client.incr(f"wt:{i}", 10)).isdigit() and int(said))
        assert answer >= 25, f"wt:{i}: {answer} after 15"


def sets_in_a_loop(end, server, acknowledged):
    with server.client() as client:
        number = 0
        while not end.is_set():
            number += 1
            if client.set(f"sess:{number % 500}", b"%d" % number) == b"STORED":
                acknowledged[number % 500] = number
            client.ask(f"sess:{number * 7 % 500}")


@pytest.mark.threads
@pytest.mark.parametrize("how", [replace_by_rename, replace_by_removal, restore])
def test_an_older_copy_under_writes(serve, how):
    server = serve(spaces())
    client = server.client()
    store(client, 500, b"0")
    client.sync()
    copy(server)
    acknowledged = {}
    with Background(sets_in_a_loop, server, acknowledged):
        eventually(lambda: len(acknowledged) == 500)
        how(server)
        eventually(lambda: REWRITTEN in server.log())
    client.sync()
    rows = server.rows()
    assert {number: int(rows[b"sess:%d" % number].value) for number in acknowledged} == acknowledged


def test_readers_do_not_read_what_is_gone(serve):
    server = serve(spaces())
    client = server.client()
    store(client, 20)
    client.sync()
    client.command("flush_all")
    assert client.ask("sess:3") == ("hit", b"new")  # a reader has the file open
    copy(server)
    other = sqlite3.connect(path(server, "copy.db"))
    with other:
        other.execute("UPDATE sessions SET value = CAST('theirs' AS BLOB) WHERE key = CAST('sess:5' AS BLOB)")
    other.close()
    replace_by_rename(server)
    kind, answer = client.ask("sess:5")
    assert (kind, answer) != ("hit", b"new")
    eventually(lambda: client.ask("sess:5") == ("hit", b"theirs"))


@pytest.mark.parametrize("ending", ["-wal", "-shm"])
def test_a_log_that_is_removed_takes_nothing_along(serve, ending):
    server = serve(spaces())
    client = server.client()
    for turn in range(3):
        store(client, 100, b"%d" % turn)
        client.sync()
        os.unlink(path(server) + ending)
        assert client.ask(f"sess:unknown{turn}")[0] in ("error", "miss")
        eventually(lambda: server.log().count(BACK) == turn + 1)
        client.sync()
        expect_rows(server, 100, b"%d" % turn)


def test_a_drain_ends_with_a_look(serve):
    """What was written a moment ago to a file that is gone is told, even if nothing is left to be written."""
    server = serve(spaces())
    client = server.client()
    store(client, 10)
    client.sync()
    rename(server)
    server.stop()
    assert LOST in server.log()


def test_a_file_that_is_no_database_is_not_taken(serve):
    server = serve(spaces())
    client = server.client()
    store(client, 10)
    client.sync()
    remove(server)
    with open(path(server), "wb") as file:
        file.write(b"this is no database" * 1000)
    with waiting_sync(server):
        eventually(lambda: "not a database" in server.log())
        assert BACK not in server.log()
        os.unlink(path(server))
        sqlite3.connect(path(server)).execute("VACUUM").connection.close()
    client.sync()
    expect_rows(server, 10)


def test_a_checkpoint_by_another_program_is_none_of_that(serve):
    server = serve(spaces())
    client = server.client()
    for turn in range(5):
        store(client, 200, b"%d" % turn)
        client.sync()
        other = sqlite3.connect(path(server))
        other.execute("PRAGMA wal_checkpoint(PASSIVE)")
        other.close()
        client.sync()
    expect_rows(server, 200, b"4")
    assert LOST not in server.log() and REWRITTEN not in server.log()


HALF_A_CHECKPOINT = """
import resource, signal, sqlite3, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    print(sqlite3.connect(sys.argv[1]).execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone())
except sqlite3.Error as error:
    print(error)
"""


def test_a_checkpoint_that_another_program_leaves_half_done_is_none_of_that(serve):
    """As one does that is killed, or whose disk is full: the database is damaged without its log, which must stay with it."""
    server = serve(spaces())
    client = server.client()
    store(client, 50)
    client.sync()
    reader = reader_of_what_is(server)
    store(client, 300, b"new" * 1000)
    client.sync()
    server.pause()
    reader.close()
    said = subprocess.run([sys.executable, "-c", HALF_A_CHECKPOINT, path(server), str(os.path.getsize(path(server)) + 8192)],
                          stdout=subprocess.PIPE, check=True, text=True).stdout
    with pytest.raises(sqlite3.DatabaseError, match="malformed"):
        sqlite3.connect(f"file:{path(server)}?immutable=1", uri=True).execute("SELECT count(*) FROM sessions").fetchall()
    server.resume()
    store(client, 310, b"newer")
    client.sync()
    eventually(lambda: in_log(server) == 0)
    expect_rows(server, 310, b"newer")
    assert LOST not in server.log() and REWRITTEN not in server.log(), said
    assert not os.path.exists(path(server, "store.db-wal.old"))


# ---- While the server was down ----

OLDER = "It is an older copy or another store"


def test_a_start_says_that_the_store_is_an_older_copy(serve):
    server = serve(spaces())
    client = server.client()
    store(client, 10, b"old")
    client.sync()
    copy(server)
    store(client, 10)
    client.sync()
    server.stop()
    assert OLDER not in accepted(server)[1]
    server.start()
    assert OLDER not in server.log()
    server.stop()
    replace_by_rename(server)
    assert OLDER in accepted(server)[1]
    server.start()
    said = server.log()
    assert said.count(OLDER) == 1 and "holds changes until 20" in said, said
    server.client().set("sess:1", b"newer")
    server.stop()
    server.start()
    assert server.log().count(OLDER) == 1


def test_a_start_says_that_the_store_is_empty(serve):
    server = serve(spaces())
    store(server.client(), 10)
    server.stop()
    os.unlink(path(server))
    assert "the store is empty" in accepted(server)[1]
    server.start()
    assert OLDER in server.log() and "is empty" in server.log()


def test_a_start_says_that_redis_is_empty(serve, redis):
    config = Config(namespace("sessions", "sess:", "write-behind", flush_delay="20ms"),
                    backends=[f'backend "local" {{ uri = "redis://127.0.0.1:{redis.port}" }}\n'])
    server = serve(config)
    store(server.client(), 10)
    server.client().sync()
    server.stop()
    redis.stop()
    redis.start()
    assert "the store is empty" in accepted(server)[1]
    server.start()
    assert OLDER in server.log()


def test_a_check_beside_a_server_that_writes_takes_the_store_for_no_older_one(serve, redis):
    """Between its look at the store and its end, as much is written, and noted, as may be."""
    def over(port):
        return Config(namespace("sessions", "sess:", "write-behind", flush_delay="20ms"),
                      backends=[section("backend", "local", uri=f"redis://127.0.0.1:{port}/0", timeout=THERE)])
    between = Relay(redis.port, freezes_at=b"forebay: nodes")
    server = serve(over(redis.port))
    store(server.client(), 10)
    server.client().sync()
    server.config = over(between.port)
    server.write_config()
    said = []
    with contextlib.closing(between), Background(lambda _: said.extend(accepted(server))):
        eventually(between.frozen.is_set)
        store(server.client(), 10)
        server.stop()
        between.frozen.clear()
    assert OLDER not in said[1]


def test_the_shell_works_on_what_is_there(serve):
    """What the documentation says about restoring: with the shell's own command, if it is installed."""
    if not shutil.which("sqlite3"):
        pytest.skip("no sqlite3 shell here")
    server = serve(spaces())
    client = server.client()
    store(client, 10, b"old")
    client.sync()
    subprocess.run(["sqlite3", path(server), f".backup {path(server, 'copy.db')}"], check=True, stdout=sys.stderr)
    store(client, 20)
    client.sync()
    subprocess.run(["sqlite3", path(server), f".restore {path(server, 'copy.db')}"], check=True, stdout=sys.stderr)
    client.sync()
    expect_rows(server, 20)


def overwrite(server):
    with open(path(server), "r+b") as file:
        file.write(b"this is no database" * 1000)


def halve(server):
    """What is left begins like the database, and is damaged."""
    with contextlib.closing(sqlite3.connect(path(server))) as database, database:
        database.execute("PRAGMA wal_checkpoint(FULL)")
    os.truncate(path(server), 8192)


@pytest.mark.parametrize("spoil, reason", [(overwrite, "not a database"), (halve, "malformed")], ids=["overwritten", "cut short"])
def test_a_file_that_is_spoilt_in_place_is_told(serve, spoil, reason):
    """The file is the same one, so only its contents tell. Its log is still whole, and must not get into what is put there."""
    server = serve(spaces())
    client = server.client()
    store(client, 200, b"old")
    client.sync()
    copy(server)
    store(client, 200)
    client.sync()
    eventually(lambda: os.path.getsize(path(server)) > 8192)
    spoil(server)
    store(client, 210)
    with waiting_sync(server):
        eventually(lambda: reason in server.log())
        assert "written over" in server.log()
        shutil.copyfile(path(server, "copy.db"), path(server))
    client.sync()
    expect_rows(server, 210)
    assert server.client().get_many([f"sess:{i}" for i in range(210)]) == {b"sess:%d" % i: b"new" for i in range(210)}


def test_a_file_that_is_emptied_in_place_gets_what_memory_holds(serve):
    server = serve(spaces())
    client = server.client()
    store(client, 20)
    client.sync()
    eventually(lambda: os.path.getsize(path(server)) > 0)
    os.truncate(path(server), 0)
    store(client, 21)
    with waiting_sync(server):
        pass
    assert "written over" in server.log()
    client.sync()
    expect_rows(server, 21)
