# SPDX-License-Identifier: MIT
"""A disk that is full, under SQLite and under the journal: a small tmpfs, so these tests need root."""

import contextlib
import os
import re
import sqlite3
import subprocess

import pytest
from forebay import Config, Redis, Server, binary, eventually, locked, namespace, section

MIB = 1024 * 1024


@pytest.fixture
def disk(tmp_path):
    """disk(name, mib) mounts a tmpfs of that size and returns its path; all are unmounted afterwards."""
    mounted = contextlib.ExitStack()

    def mount(name, mib):
        path = tmp_path / name
        path.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=700", "tmpfs", path], capture_output=True, text=True,
                              check=False)
        if done.returncode:
            pytest.skip(f"cannot mount a tmpfs: {done.stderr.strip()}")
        mounted.callback(subprocess.run, ["umount", "--lazy", path], check=True)
        return path

    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    with mounted:
        yield mount


def resize(path, mib):
    subprocess.run(["mount", "-o", f"remount,size={mib}m", path], check=True)


def fill(path):
    """A file that takes all the room there is."""
    with open(path / "filler", "wb", buffering=0) as file:
        try:
            while file.write(bytes(MIB // 4)):
                pass
        except OSError:
            pass


@pytest.mark.parametrize("killed", [False, True], ids=["stays", "killed"])
def test_sqlite_on_a_full_disk_loses_nothing(disk, tmp_path, killed):
    store = disk("store", 3)
    config = Config(namespace("sessions", "sess:", "write-behind", flush_delay="20ms", dirty_limit="32mb"),
                    backends=[section("backend", "local", uri=f"sqlite:{store}/store.db")], memory="128mb")
    with Server(tmp_path / "data", config=config) as server:
        client = server.client()
        expected = {b"sess:%d" % i: b"%d" % i + b"x" * 10000 for i in range(1000)}
        assert set(client.set_many(expected.items())) == {b"STORED"}, "10 MB into a store that has room for 3"
        assert client.get_many(list(expected)) == expected, "hits are answered"
        assert client.delete("sess:0") == b"DELETED"
        del expected[b"sess:0"]
        assert client.get("sess:0") is None
        if killed:
            server.kill()
            server.start()
            client = server.client()
            assert client.get_many(list(expected)) == expected
        server.check_alive()
        resize(store, 64)
        client.sync()
        assert {key: row.value for key, row in server.rows(path=f"{store}/store.db").items()} == expected


def test_a_journal_on_a_full_disk_refuses_and_recovers(disk, tmp_path):
    data = disk("data", 12)
    store = tmp_path / "store.db"
    config = Config(namespace("sessions", "sess:", "write-behind", flush_delay="1h", flush_batch=1000000, dirty_limit="64mb"),
                    namespace("plain", "plain:", "cache-aside"), journal_file_size="1mb",
                    backends=[section("backend", "local", uri=f"sqlite:{store}")], memory="256mb", threads=1)
    server = Server(data, config=config, admin=True)
    server.log_path = str(tmp_path / "log")
    with server:
        client = server.client()
        assert client.set("sess:first", b"v") == b"STORED"
        fill(data)
        accepted, refused = [], 0
        for i in range(5000):
            reply = client.set(f"sess:{i}", b"%d" % i + b"x" * 10000)
            if reply == b"STORED":
                accepted.append(i)
            else:
                assert reply.startswith(b"SERVER_ERROR"), reply
                refused += 1
                if refused > 50:
                    break
        assert refused, "50 MB cannot have been journaled on this disk"
        assert client.get("sess:first") == b"v", "reads go on"
        assert client.set("plain:x", b"v") == b"STORED", "so do other namespaces"
        eventually(lambda: "[-]journal failed: its disk has no room" in server.ask("/readyz").text)
        assert server.ask("/livez").status == 200
        (data / "filler").unlink()
        eventually(lambda: server.ask("/readyz").status == 200)
        assert client.set("sess:room", b"again") == b"STORED", "it recovers by itself"
        server.kill()
        server.start()
        client = server.client()
        found = client.get_many([f"sess:{i}" for i in accepted])
        assert found == {b"sess:%d" % i: b"%d" % i + b"x" * 10000 for i in accepted}
        assert client.get("sess:room") == b"again"
        client.sync()
        rows = server.rows(path=str(store))
        assert set(found) <= set(rows)


def test_a_backend_that_is_away_takes_no_room_from_another(disk, tmp_path):
    data = disk("data", 12)
    backends = [section("backend", "away", uri=f"sqlite:{tmp_path}/store.db"),
                section("backend", "healthy", uri=f"sqlite:{tmp_path}/healthy.db")]
    config = Config(namespace("stuck", "stuck:", "write-behind", backend="away", flush_delay="20ms"),
                    namespace("fine", "fine:", "write-behind", backend="healthy", flush_delay="20ms"),
                    journal_file_size="1mb", backends=backends, memory="256mb", threads=1)
    server = Server(data, config=config)
    server.log_path = str(tmp_path / "log")
    with server:
        client = server.client()
        client.sync()
        with locked(str(tmp_path)):
            for i in range(60):
                eventually(lambda i=i: client.set(f"stuck:{i % 10}", b"%d" % i) == b"STORED")
                for j in range(8):  # half a megabyte
                    eventually(lambda i=i, j=j: client.set(f"fine:{j}", b"%d" % i + b"x" * 65000) == b"STORED")
                client.sync("fine")
            assert int(client.stats("write_behind")["journal:compactions"]) > 0
            server.kill()
        server.start()
        client = server.client()
        assert client.get_many([f"stuck:{i}" for i in range(10)]) == {b"stuck:%d" % i: b"%d" % (50 + i) for i in range(10)}


@pytest.mark.skipif(Redis.missing() is not None, reason=str(Redis.missing()))
def test_what_is_kept_of_the_journal_gives_way_to_what_is_needed(disk, tmp_path, redis):
    """Files that Redis has all of, and that are kept in case it loses something: of a disk that is too small, they take what
    nothing else needs, and no change is refused because of them."""
    data = disk("data", 12)
    server = Server(data, config=Config(namespace("sessions", "sess:", "write-behind", flush_delay="20ms"), journal_file_size="1mb",
                                        backends=[section("backend", "local", uri=redis.uri)], memory="64mb", threads=1))
    server.log_path = str(tmp_path / "log")
    with server:
        client = server.client()
        most = 0
        for i in range(60):
            for j in range(8):  # half a megabyte
                assert client.set(f"sess:{j}", b"%d" % i + b"x" * 65000) == b"STORED"
            client.sync()
            most = max(most, int(client.stats("write_behind")["journal:kept_bytes"]))
        assert 2 * MIB <= most <= 8 * MIB
        fill(data)
        eventually(lambda: client.stats("write_behind")["journal:kept_files"] == "0")
        assert "cannot make another file" not in server.log()


def test_a_full_data_folder_brings_no_older_value_back(disk, tmp_path):
    """What took the place of a quarantined value is in the store, and the journal has forgotten it: that the quarantine let
    go has to be on the disk by then, be it full."""
    data, store = disk("data", 24), tmp_path / "store.db"
    config = Config(namespace("sessions", "sess:", "write-behind", flush_delay="20ms"), journal_file_size="1mb", threads=1,
                    backends=[section("backend", "local", uri=f"sqlite:{store}")])
    server = Server(data, config=config)
    server.log_path = str(tmp_path / "log")
    with server:
        client = server.client()
        refuse_value(store, "bad")
        keys = [b"sess:%d" % i for i in range(100)]
        assert set(client.set_many((key, b"bad") for key in keys)) == {b"STORED"}
        assert client.command("sync").startswith(b"SERVER_ERROR")
        assert client.stats("quarantine")["sessions:entries"] == "100"
        fill(data)
        assert set(client.set_many((key, b"good") for key in keys)) == {b"STORED"}
        client.sync()
        version = max(int(client.gets(key)[2]) for key in keys)
        eventually(lambda: fill_journal(client) and low_water(data) >= version)
        server.kill()
        (data / "filler").unlink()
        server.start()
        client = server.client()
        assert client.get_many(keys) == dict.fromkeys(keys, b"good")
        assert client.stats("quarantine")["sessions:entries"] == "0"


def refuse_value(store, value):
    """From now on the store refuses rows with this value."""
    with contextlib.closing(sqlite3.connect(store, timeout=60)) as database, database:
        database.execute(f"CREATE TRIGGER refuse BEFORE INSERT ON sessions WHEN NEW.value = CAST('{value}' AS BLOB) "
                         "BEGIN SELECT RAISE(ABORT, 'refused'); END")


def low_water(folder):
    """What the journal on the disk says of the version up to which it need not be replayed."""
    dump = subprocess.run([binary(), "--journal-dump", folder], capture_output=True, text=True, check=False).stdout
    found = re.search(r'namespace "sessions" version (\d+)', dump)
    return int(found.group(1)) if found else 0


def fill_journal(client):
    """It is when a file of the journal is full and flushed that the low-water version goes to the disk. On the full disk the
    file then becomes the next one, and until it has, a change may be refused."""
    return client.set("sess:filler", bytes(200000)) and client.sync() >= 0


def test_a_start_without_room_for_the_journal_promises_nothing(disk, tmp_path):
    data = disk("data", 1)
    fill(data)
    config = Config(namespace("sessions", "sess:", "write-behind"),
                    backends=[section("backend", "local", uri=f"sqlite:{tmp_path}/store.db")])
    server = Server(data, config=config)
    server.log_path = str(tmp_path / "log")
    text = config.text(server.port, data)
    (tmp_path / "full.conf").write_text(text)
    server.write_config = lambda: str(tmp_path / "full.conf")
    with server.spawn():
        try:
            server.await_answer()
        except AssertionError:
            assert server.process.returncode not in (0, None) and str(data) in server.log(), server.log()
            return
        reply = server.client().set("sess:1", b"v")  # it may also serve and refuse what it cannot keep
        assert reply.startswith(b"SERVER_ERROR"), reply
