# SPDX-License-Identifier: MIT
"""What the probes say while something is wrong: that the process turns while a backend is away or a disk refuses or hangs, and
that it does not where a thread hangs by itself; and that they answer all the while."""

import contextlib
import os
import sqlite3

import pytest
from forebay import (AWAY, PATIENCE, Config, eventually, locked, namespace, no_file_can_be_written, preloaded, section, sqlite_backend)
from manager import Messages


def says(server, path, line):
    """Whether the answer has a line that begins so."""
    return any(found.startswith(line) for found in server.ask(path + "?verbose").text.splitlines())


def redis_backend(redis):
    return section("backend", "far", uri=redis.uri, timeout=AWAY)


@pytest.fixture
def hung_redis(redis):
    """A function: Redis hangs from then on, and goes on again afterwards."""
    @contextlib.contextmanager
    def hang():
        redis.pause()
        try:
            yield
        finally:
            redis.resume()
    return hang


def test_a_backend_that_hangs_makes_what_needs_it_unready_and_nothing_dead(serve, redis, hung_redis):
    server = serve(Config(namespace("through", "t:", "write-through", backend="far"),
                          namespace("behind", "b:", "write-behind", backend="far"), backends=[redis_backend(redis)]), admin=True)
    client = server.client()
    assert client.set("t:1", b"v") == b"STORED"
    assert server.ask("/readyz").status == 200
    with hung_redis():
        def fails():
            client.set("t:1", b"w")
            return says(server, "/readyz", "[-]backends failed: backend far cannot be asked, which namespace through")
        eventually(fails)
        eventually(lambda: server.ask("/readyz").status == 503)
        eventually(lambda: server.ask("/readyz/backends").status == 503)
        assert server.ask("/readyz?exclude=backends").status == 200
        eventually(lambda: says(server, "/readyz", "[+]backends ok: backend far cannot be asked, "
                                                   "which namespace behind (write-behind) can do without"))
        assert server.ask("/livez").status == 200
    eventually(lambda: server.ask("/readyz").status == 200)  # a balancer sends nobody here until it is
    eventually(lambda: client.set("t:1", b"x") == b"STORED")


def test_write_behind_does_without_its_backend(serve, redis, hung_redis):
    server = serve(Config(namespace("behind", "b:", "write-behind", backend="far", flush_delay="10ms"),
                          backends=[redis_backend(redis)]), admin=True)
    with hung_redis():
        assert server.client().set("b:1", b"v") == b"STORED"
        eventually(lambda: says(server, "/readyz", "[+]backends ok: backend far cannot be asked"))
        assert server.ask("/readyz")[::2] == (200, "ok\n")
        assert server.ask("/livez").status == 200
    server.client().sync()


def test_a_journal_that_cannot_be_written_makes_the_server_unready(serve):
    server = serve(Config(namespace("sessions", "sess:", "write-behind", journal="os", flush_delay="1h"), threads=1), admin=True)
    client = server.client()
    assert client.set("sess:a", b"1") == b"STORED"
    with no_file_can_be_written(server):
        client.send(client.storage("set", "sess:a", b"2"))
        eventually(lambda: says(server, "/readyz", "[-]journal failed: it cannot be written"))
        assert server.ask("/readyz").status == 503 and server.ask("/livez").status == 200
    eventually(lambda: server.ask("/readyz").status == 200)  # nobody has to send a change for that


@pytest.mark.parametrize("on_full, line", [
    ("reject", "[-]room failed: namespace sessions: too much waits for its backend, and changes are refused"),
    ("wait", "[+]room ok: namespace sessions: too much waits for its backend, and changes wait")])
def test_too_much_that_waits(serve, on_full, line):
    """Refusing makes it unready; holding back does not: it is what the policy is for, and ends by itself."""
    server = serve(Config(namespace("sessions", "sess:", "write-behind", on_full=on_full, dirty_limit="64kb", flush_delay="10ms"),
                          backends=[sqlite_backend(timeout=AWAY)]), admin=True)
    with locked(server):
        client = server.client()
        for i in range(100):
            client.send(client.storage("set", f"sess:{i}", b"x" * 1000))
        eventually(lambda: says(server, "/readyz", line))
        assert server.ask("/readyz").status == (503 if on_full == "reject" else 200)
        assert server.ask("/livez").status == 200
    eventually(lambda: not says(server, "/readyz", line))


# ---- A disk that hangs ----

@pytest.fixture
def hanging_disk(tmp_path):
    """The environment of a server whose disk can hang, and a function of the files that then do."""
    library = preloaded("STUCK_CALLS")
    if not library:
        pytest.skip("STUCK_CALLS does not name the library built from tests/faults/stuck_calls.c")
    folder = tmp_path / "stuck"
    folder.mkdir()

    @contextlib.contextmanager
    def hang(word):
        (folder / f"hang-{word}").touch()
        try:
            yield
        finally:
            (folder / f"hang-{word}").unlink()

    return {"LD_PRELOAD": library, "STUCK": str(folder)}, hang


def test_a_worker_that_hangs_makes_the_process_dead_and_health_is_answered_meanwhile(serve, hanging_disk):
    environment, hang = hanging_disk
    server = serve(Config(stall_timeout="2s", threads=1), admin=True, env=environment)
    client = server.client()
    assert client.set("a", b"1") == b"STORED"
    assert server.ask("/livez").status == 200
    with hang("worker"):
        client.send(client.storage("set", "a", b"2"))
        eventually(lambda: says(server, "/livez", "[-]workers failed: worker 0 has been in one turn for"))
        assert server.ask("/livez").status == 503
    assert client.line() == b"STORED"
    eventually(lambda: server.ask("/livez").status == 200)


def test_a_disk_that_hangs_makes_the_server_unready_and_not_dead(serve, hanging_disk):
    """A restart would read the same disk, and lose what memory holds; also where it is the worker itself that waits."""
    environment, hang = hanging_disk
    server = serve(Config(namespace("sessions", "sess:", "write-behind", journal="always", flush_delay="1h"),
                          stall_timeout="2s", threads=1), admin=True, env=environment)
    client = server.client()
    assert client.set("sess:a", b"1") == b"STORED"
    assert server.ask("/readyz").status == 200
    with hang("journal-"):
        client.send(client.storage("set", "sess:a", b"2"))
        eventually(lambda: says(server, "/livez", "[+]workers ok: worker 0 has been in one turn for"))
        assert says(server, "/readyz", "[-]journal failed: a write has taken")
        assert server.ask("/livez").status == 200 and server.ask("/readyz").status == 503
    assert client.line() == b"STORED"
    eventually(lambda: server.ask("/readyz").status == 200)


def test_a_backend_that_does_not_return_makes_what_needs_it_unready_and_nothing_dead(serve, hanging_disk):
    environment, hang = hanging_disk
    server = serve(Config(namespace("behind", "b:", "write-behind", flush_delay="10ms"), namespace("through", "t:", "write-through"),
                          backends=[sqlite_backend(timeout=AWAY)], stall_timeout="2s", threads=1), admin=True, env=environment)
    client = server.client()
    with hang("store.db"):
        assert client.set("b:a", b"3") == b"STORED"
        eventually(lambda: says(server, "/livez", "[+]writers ok: the writer of backend local has been in one call for"))
        assert says(server, "/readyz", "[-]backends failed: backend local cannot be asked, which namespace through (write-through) needs")
        assert says(server, "/readyz", "[+]backends ok: backend local cannot be asked, which namespace behind (write-behind) can do")
        assert server.ask("/livez").status == 200
        assert client.get("b:a") == b"3"
    eventually(lambda: server.ask("/readyz").status == 200)


def test_the_watchdog_of_a_service_manager_hears_nothing_of_a_thread_that_hangs(serve, hanging_disk, tmp_path):
    environment, hang = hanging_disk
    told = Messages(str(tmp_path / "notify"))
    server = serve(Config(stall_timeout="2s", threads=1), admin=True,
                   env={**environment, "NOTIFY_SOCKET": told.address, "WATCHDOG_USEC": "100000"})
    client = server.client()
    told.until("WATCHDOG")
    with hang("worker"):
        client.send(client.storage("set", "a", b"1"))
        eventually(lambda: server.ask("/livez").status == 503)
        told.pending()
        told.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            told.until("WATCHDOG")
    told.socket.settimeout(PATIENCE)
    told.until("WATCHDOG")
    assert client.line() == b"STORED"
    told.close()


def test_the_watchdog_does_not_end_a_server_whose_disk_hangs(serve, hanging_disk, tmp_path):
    environment, hang = hanging_disk
    told = Messages(str(tmp_path / "notify"))
    server = serve(Config(namespace("sessions", "sess:", "write-behind", journal="always"), stall_timeout="2s", threads=1), admin=True,
                   env={**environment, "NOTIFY_SOCKET": told.address, "WATCHDOG_USEC": "100000"})
    client = server.client()
    with hang("journal-"), hang("store.db"):
        client.send(client.storage("set", "sess:a", b"1"))
        eventually(lambda: says(server, "/livez", "[+]workers ok: worker 0 has been in one turn for"))
        told.pending()
        for _ in range(3):
            told.until("WATCHDOG")
    assert client.line() == b"STORED"
    told.close()


def test_a_quarantine_whose_disk_hangs_is_told_and_nothing_is_dead(serve, hanging_disk):
    """What it holds can be read meanwhile: a worker that looks into it does not wait for the disk."""
    environment, hang = hanging_disk
    server = serve(Config(namespace("sessions", "sess:", "write-behind", flush_delay="10ms"), stall_timeout="2s", threads=1),
                   admin=True, env=environment)
    client = server.client()
    with contextlib.closing(sqlite3.connect(os.path.join(server.folder, "store.db"), timeout=PATIENCE)) as store, store:
        store.execute("CREATE TRIGGER rule BEFORE INSERT ON sessions WHEN NEW.value = X'626164' BEGIN SELECT RAISE(ABORT, 'refused'); END")
    assert client.set("sess:a", b"bad") == b"STORED"
    eventually(lambda: client.stats("quarantine")["sessions:entries"] == "1")
    with hang("quarantine-"):
        assert client.set("sess:b", b"bad") == b"STORED"
        eventually(lambda: says(server, "/readyz", "[-]journal failed: a write to the quarantine file of namespace sessions has taken"))
        assert b"sess:a" in client.command("quarantine list sessions")
        assert says(server, "/livez", "[+]writers ok: the writer of backend local has made no progress")
        assert server.ask("/livez").status == 200
    eventually(lambda: server.ask("/readyz").status == 200)


def test_a_sync_that_hangs_is_told(serve, hanging_disk):
    environment, hang = hanging_disk
    server = serve(Config(namespace("sessions", "sess:", "write-behind", journal="interval", flush_delay="1h"),
                          stall_timeout="2s", threads=1), admin=True, env=environment)
    assert server.client().set("sess:a", b"1") == b"STORED"
    with hang("journal-"):
        eventually(lambda: says(server, "/readyz", "[-]journal failed: a sync has taken"))
        assert server.ask("/readyz").status == 503
    eventually(lambda: server.ask("/readyz").status == 200)
