# SPDX-License-Identifier: MIT
"""SQLite that cannot be written for a while: what was acknowledged stays, hits are answered, the rest is refused rather than
guessed, and it recovers by itself."""

import contextlib
import os
import signal
import sqlite3

import pytest
from forebay import Config, Server, eventually, locked, namespace

FAST = {"flush_delay": "50ms"}
HELD = {"flush_delay": "1h", "flush_batch": 1000000}


def spaces(**options):
    """A write-behind, a write-through and a cache-aside namespace."""
    return [namespace("sessions", "sess:", "write-behind", **{**FAST, **options}),
            namespace("through", "wt:", "write-through"),
            namespace("plain", "plain:", "cache-aside")]


def fill(client, count, prefix="sess:", value=b"value %d"):
    replies = client.set_many((f"{prefix}{i}", value % i) for i in range(count))
    assert set(replies) == {b"STORED"}


def expect(rows, count, prefix="sess:", value=b"value %d"):
    assert {key: row.value for key, row in rows.items()} == {b"%s%d" % (prefix.encode(), i): value % i for i in range(count)}


def test_a_locked_database_stops_no_write_behind(serve):
    server = serve(Config(*spaces()))
    client = server.client()
    client.set("sess:before", b"there")
    client.sync()
    with locked(server):
        fill(client, 500)
        assert client.get("sess:before") == b"there"
        assert client.get("sess:7") == b"value 7"
        assert client.set("plain:x", b"untouched") == b"STORED"
        assert client.get("plain:x") == b"untouched"
        refused = client.set("wt:x", b"not now")
        assert refused.startswith(b"SERVER_ERROR"), refused
        assert client.ask("wt:x")[1] != b"not now"
        assert client.delete("sess:before") == b"DELETED"
        assert b"sess:7" not in server.rows()
    client.sync()
    expect(server.rows(), 500)
    assert client.set("wt:x", b"now") == b"STORED"
    assert server.rows("through")[b"wt:x"].value == b"now"


def test_sync_waits_for_the_lock(serve):
    server = serve(Config(*spaces()))
    client, waiting = server.client(), server.client()
    client.sync()
    with locked(server):
        fill(client, 10)
        waiting.send(b"sync sessions\r\n")
        waiting.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            waiting.socket.recv(1)
        assert client.get("sess:3") == b"value 3", "others are served meanwhile"
    waiting.socket.settimeout(60)
    assert waiting.socket.recv(100) == b"SYNCED 10\r\n"
    expect(server.rows(), 10)


def test_a_sync_gives_up_after_its_timeout(serve):
    server = serve(Config(*spaces(), sync_timeout="300ms"))
    client = server.client()
    client.sync()
    with locked(server):
        fill(client, 10)
        assert client.command("sync").startswith(b"SERVER_ERROR")
    client.sync()
    expect(server.rows(), 10)


def test_a_kill_while_the_store_is_locked_loses_nothing(serve):
    server = serve(Config(*spaces()))
    server.client().sync()
    with locked(server):
        fill(server.client(), 300)
        server.kill()
    server.start()
    client = server.client()
    assert client.get("sess:299") == b"value 299"
    client.sync()
    expect(server.rows(), 300)


def test_a_start_while_the_store_is_locked_guesses_nothing(serve):
    """The store does not answer at the start: what it will be asked for must not be guessed."""
    server = serve(Config(*spaces(**HELD)))
    client = server.client()
    fill(client, 50)
    client.sync()
    assert client.set("sess:late", b"in the journal") == b"STORED"
    server.kill()
    with locked(server):
        server.spawn()
        with contextlib.suppress(AssertionError):
            eventually(server.answers, 3)
        if server.running() and server.answers():
            kind, value = server.client().ask("sess:7")
            assert kind == "error" or value == b"value 7", "unknown is not a miss"
    if not server.running():
        server.spawn()
    server.await_answer()
    client = server.client()
    assert client.get("sess:late") == b"in the journal"
    assert client.get("sess:7") == b"value 7"


def test_sigterm_drains(serve):
    server = serve(Config(*spaces(**HELD)))
    fill(server.client(), 2000)
    assert server.rows() == {}
    server.stop()
    expect(server.rows(), 2000)


def test_drain_gives_up_in_time_and_the_journal_has_the_rest(serve):
    server = serve(Config(*spaces(), drain_timeout="500ms"))
    server.client().sync()
    with locked(server):
        fill(server.client(), 100)
        server.stop()
        assert b"sess:1" not in server.rows()
    assert "journal" in server.log()
    server.start()
    server.client().sync()
    expect(server.rows(), 100)


def test_what_a_second_sigterm_leaves_comes_back(serve):
    server = serve(Config(*spaces(), drain_timeout="1h"))
    server.client().sync()
    with locked(server):
        fill(server.client(), 100)
        server.signal(signal.SIGTERM)
        eventually(lambda: not server.answers())
        assert server.running(), "it drains"
        server.stop()
    server.start()
    assert server.client().get("sess:99") == b"value 99"
    server.client().sync()
    expect(server.rows(), 100)


def test_a_journal_is_read_with_any_number_of_threads(serve):
    server = serve(Config(*spaces(**HELD), threads=4, use_threads="all"))
    fill(server.client(), 400)
    for threads in (1, 3, 2):
        server.kill()
        server.config = Config(*spaces(**HELD), threads=threads)
        server.start()
        client = server.client()
        assert client.get_many([f"sess:{i}" for i in range(400)]) == {b"sess:%d" % i: b"value %d" % i for i in range(400)}
    client.sync()
    expect(server.rows(), 400)


def test_a_second_server_on_the_same_folder_is_refused(serve, tmp_path):
    first = serve(Config(*spaces()))
    fill(first.client(), 10)
    second = Server(tmp_path, config=Config(*spaces()))
    said = second.refuses()
    assert str(tmp_path) in said, said
    first.check_alive()
    assert first.client().get("sess:3") == b"value 3"


def test_without_a_journal_sigterm_drains_as_well(serve):
    server = serve(Config(*spaces(journal="off", **HELD)))
    fill(server.client(), 100)
    server.stop()
    expect(server.rows(), 100)


@pytest.mark.parametrize("on_full", ["reject", "wait", "write-through"])
def test_a_full_queue_drops_nothing(serve, on_full):
    """dirty_limit is a bound: what does not fit is refused, waits, or goes through; nothing accepted is dropped."""
    server = serve(Config(*spaces(dirty_limit="64kb", on_full=on_full)))
    client = server.client(timeout=60)
    client.sync()
    with locked(server):
        accepted = 0
        client.socket.settimeout(1)
        with contextlib.suppress(TimeoutError):
            while accepted < 2000:
                reply = client.set(f"sess:{accepted}", b"x" * 1000)
                if reply != b"STORED":
                    assert reply.startswith(b"SERVER_ERROR"), reply
                    break
                accepted += 1
        assert 10 < accepted < 200, "64 kB hold about 60 of them"
        assert server.client().get("sess:5") == b"x" * 1000
    client = server.client()
    client.sync()
    rows = server.rows()
    assert {b"sess:%d" % i for i in range(accepted)} <= set(rows)
    assert client.set("sess:again", b"fits") == b"STORED"


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    """Root may write anywhere, so the folder is in a place that nobody can write to."""
    server = Server(tmp_path, config=Config(*spaces(), backends=['backend "local" { uri = "sqlite:/proc/store.db" }\n']))
    assert "/proc/store.db" in server.refuses()


def test_a_file_that_is_not_a_database_is_named(tmp_path):
    (tmp_path / "store.db").write_bytes(b"this is no database, whatever its name says" * 100)
    said = Server(tmp_path, config=Config(*spaces())).refuses()
    assert "store.db" in said and "not a database" in said


def test_a_newer_schema_is_refused(serve):
    server = serve(Config(*spaces()))
    server.stop()
    database = sqlite3.connect(os.path.join(server.folder, "store.db"))
    database.execute("UPDATE forebay_meta SET value = 999 WHERE name = 'schema'")
    database.commit()
    database.close()
    assert "999" in server.refuses()


def test_a_missing_folder_is_named(tmp_path):
    server = Server(tmp_path, config=Config(*spaces(), backends=['backend "local" { uri = "sqlite:no/such/store.db" }\n']))
    assert "no/such/store.db" in server.refuses()
