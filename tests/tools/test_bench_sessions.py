# SPDX-License-Identifier: MIT
"""The session workload of tools/bench finds nothing wrong where nothing is, and what is lost or undone where something is."""

import collections
import contextlib
import json
import os
import socketserver
import subprocess
import threading

import pytest
from bench_tools import BENCH, built  # noqa: F401  pylint: disable=unused-import
from forebay import Config, Memcached, Server, die_with_the_test, eventually, namespace

USERS = 300


@pytest.fixture
def generator(built):
    """generator(port, *options) starts bench_session; its phases end with a line, and next(process) begins another one."""
    with contextlib.ExitStack() as processes:

        def start(port, *options):
            command = [built("bench_session"), "-i", "-r", "200", "-P", str(port), "-t", "1", "-c", "8", "-u", str(USERS), *options]
            process = processes.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                                               preexec_fn=die_with_the_test))
            processes.callback(process.kill)
            assert process.stdout.readline() == "filled\n"
            return process

        yield start


def following(process, phase):
    """What a phase finds."""
    process.stdin.write(phase + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


@pytest.fixture
def store(tmp_path):
    spaces = namespace("sessions", "sess:", "write-behind"), namespace("locks", "sess:lock.", "cache-aside")
    with Server(tmp_path, config=Config(*spaces)) as server:
        yield server


@pytest.mark.parametrize("load", ["full", "locked", "paced"])
def test_sessions_are_what_was_acknowledged(store, generator, load):
    process = generator(store.port, "-z", "2")
    found = following(process, load)
    assert {name: found[name] for name in ("lost", "undone", "refused", "lock_timeouts")} == dict.fromkeys(("lost", "undone", "refused", "lock_timeouts"), 0)
    assert found["reads"] > 0 and found["writes"] > 0 and found["touches"] > 0
    assert found["reads"] - (found["writes"] + found["touches"] + found["logouts"]) in range(found["late"] + 1)
    assert [percent for percent, _ in found["curve"]] == [50, 75, 90, 95, 99, 99.5, 99.9, 99.99, 100]
    if load == "paced":
        assert found["requests"] <= 200
    store.kill()
    store.start()
    looked = following(process, "look")
    assert (looked["lost"], looked["undone"]) == (0, 0)
    assert 0 < looked["sessions"] <= USERS


def test_locks_keep_requests_of_a_session_apart(store, generator):
    """All connections want the same few sessions. Were the locks of no use, one's change would undo another's."""
    found = following(generator(store.port, "-z", "4"), "locked")
    assert found["lock_waits"] > 0
    assert (found["undone"], found["lost"]) == (0, 0)


def test_what_a_restart_forgets_is_lost(tmp_path, generator):
    if not Memcached.program():
        pytest.skip("memcached is not installed")
    with Memcached(tmp_path) as server:
        process = generator(server.port)
        assert following(process, "full")["lost"] == 0
        server.kill()
        server.start()
        looked = following(process, "look")
        assert looked["lost"] == looked["sessions"] > 0


def test_a_session_that_is_older_than_it_should_be_is_undone(store, generator):
    process = generator(store.port)
    following(process, "full")
    store.client().sync("sessions")
    [key, row], *_ = store.rows().items()
    user = row.value[:13]
    store.client().set(key, user + b" changes 0000000000....")
    assert following(process, "look")["undone"] == 1


class Liar(socketserver.StreamRequestHandler):
    """As much of memcached as bench_session asks for. Its server: values {key: value}, gets (a Counter of users' numbers) and
    lie(verb, key, value), which returns what is kept (None: nothing) of what it acknowledges."""

    def handle(self):
        for line in self.rfile:
            verb, key, *rest = line.split()
            self.wfile.write(getattr(self, verb.decode())(key, *rest))

    def get(self, key):
        value = self.server.values.get(key)
        if value is None:
            return b"END\r\n"
        self.server.gets[int(value[5:13], 16)] += 1
        return b"VALUE %b 0 %d\r\n%b\r\nEND\r\n" % (key, len(value), value)

    def set(self, key, _flags, _ttl, size):
        self.keep("set", key, self.rfile.read(int(size) + 2)[:-2])
        return b"STORED\r\n"

    def add(self, _key, _flags, _ttl, size):
        """Locks that keep nobody apart."""
        self.rfile.read(int(size) + 2)
        return b"STORED\r\n"

    def touch(self, *_):
        return b"TOUCHED\r\n"

    def delete(self, key):
        if key in self.server.values:  # not of locks
            self.keep("delete", key, None)
        return b"DELETED\r\n"

    def keep(self, verb, key, value):
        self.server.values[key] = self.server.lie(verb, key, value)


class Patient(socketserver.ThreadingTCPServer):
    request_queue_size = 64  # all connections at once; who finds no room tries again a second later
    daemon_threads = True


@pytest.fixture
def liar(generator):
    """liar(lie, *options of bench_session): the server, and what the load and the look found."""
    with contextlib.ExitStack() as servers:

        def start(lie, *options, load="full"):
            server = servers.enter_context(Patient(("127.0.0.1", 0), Liar))
            server.values, server.gets, server.lie = {}, collections.Counter(), lie
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            servers.callback(server.shutdown)
            process = generator(server.server_address[1], *options)
            server.gets.clear()
            return server, following(process, load), following(process, "look")

        yield start


def honest(_verb, _key, value):
    return value


def test_users_are_drawn_by_zipf_and_sizes_are_log_uniform(liar):
    """Nobody logs out, so a session is read as often as its user was drawn."""
    server, found, _ = liar(honest, "-o", "0", "-z", "1", "-w", "0")
    draws = found["reads"]
    shares = [(number + 1) ** -1 for number in range(USERS)]
    for first, behind in ((0, 1), (1, 4), (4, 32), (32, USERS)):
        expected = draws * sum(shares[first:behind]) / sum(shares)
        seen = sum(server.gets[number] - 1 for number in range(first, behind))  # once more by the look
        assert abs(seen - expected) < 5 * expected ** 0.5
    sizes = sorted(map(len, server.values.values()))
    assert 1024 <= sizes[0] and sizes[-1] <= 8192
    for part in (1, 2):  # a third each from 1 to 2, 2 to 4, 4 to 8 kB
        assert abs(sum(size < 1024 << part for size in sizes) - part * USERS / 3) < 5 * (USERS * 2 / 9) ** 0.5


def test_what_a_store_forgets_is_counted(liar):
    _, found, looked = liar(lambda verb, key, value: None if b"changes 0000000002" in (value or b"")[:32] else value, "-w", "100", "-z", "2")
    assert found["lost"] > 0 and found["undone"] == 0
    assert looked["lost"] + looked["undone"] <= looked["sessions"]


def test_what_a_store_does_not_change_is_counted(liar):
    first = {}
    _, found, looked = liar(lambda verb, key, value: first.setdefault(key, value), "-o", "0", "-w", "100")
    assert found["undone"] > 0 and found["lost"] == 0
    assert looked["undone"] > 0


def test_a_byte_that_a_store_changes_is_counted(liar):
    _, found, _ = liar(lambda verb, key, value: value and value[:-1] + b"\0", "-o", "0")
    assert found["undone"] == found["reads"] > 0


def test_a_lock_that_locks_nobody_out_is_counted(liar):
    _, found, _ = liar(honest, "-o", "0", "-w", "100", "-z", "4", load="locked")
    assert found["undone"] > 0 and found["lock_waits"] == 0


def test_a_session_that_outlives_its_logout_is_counted(liar):
    kept = {}

    def lie(verb, key, value):
        kept[key] = value if verb == "set" else kept[key]
        return kept[key]

    _, found, looked = liar(lie, "-o", "300")
    assert found["logouts"] > 0 and found["lost"] == found["undone"] == 0
    assert looked["returned"] == looked["ended"] > 0
    _, _, looked = liar(honest, "-o", "300")
    assert looked["ended"] > 0 and looked["returned"] == 0


def test_without_a_journal_a_kill_undoes(tmp_path, generator):
    """What the look after a kill is for: nothing is flushed, as the backend is left alone for long."""
    with Server(tmp_path, config=Config(namespace("sessions", "sess:", "write-behind", journal="off", flush_delay="1h"))) as server:
        process = generator(server.port)
        assert following(process, "full")["writes"] > 0
        server.kill()
        server.start()
        looked = following(process, "look")
        assert looked["lost"] == looked["sessions"] > 0


def test_redis_is_asked_in_its_own_protocol(redis, generator):
    found = following(generator(redis.port, "-p", "redis"), "locked")
    assert (found["lost"], found["undone"], found["refused"]) == (0, 0, 0)
    assert found["reads"] > 0


def test_django_processes_end_with_the_program(store):
    pytest.importorskip("django")
    pytest.importorskip("pymemcache")
    command = [os.path.join(BENCH, "django_sessions"), "--phases", "--users", "4", "--port", str(store.port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_the_test) as process:
        assert process.stdout.readline() == "filled\n"
        children = children_of(process.pid)
        assert len(children) == 2
        process.kill()
    eventually(lambda: not any(os.path.exists(f"/proc/{child}/cwd") for child in children))


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return file.read().split()


@pytest.mark.parametrize("where", ["database", "cache"])
def test_django_keeps_the_same_sessions(store, tmp_path, where):
    pytest.importorskip("django")
    pytest.importorskip("pymemcache")
    options = {"database": ["--database", str(tmp_path / "django.db"), "--wal"], "cache": ["--port", str(store.port)]}[where]
    done = subprocess.run([os.path.join(BENCH, "django_sessions"), "--users", "20", "--seconds", "1", *options], capture_output=True, text=True,
                          check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["lost"], found["undone"]) == (0, 0)
    assert found["reads"] > 0 and found["cpu_us"] > 0
