# SPDX-License-Identifier: MIT
"""The session workload of tools/bench finds nothing wrong where nothing is, and what is lost or undone where something is."""

import contextlib
import json
import os
import subprocess

import pytest
from bench_tools import BENCH, built  # noqa: F401  pylint: disable=unused-import
from forebay import Config, Memcached, Server, die_with_the_test, eventually, namespace

USERS = 300


@pytest.fixture
def generator(built):
    """generator(port, *options) starts bench_session; its phases end with a line, and next(process) begins another one."""
    with contextlib.ExitStack() as processes:

        def start(port, *options):
            command = [built("bench_session"), "-i", "-P", str(port), "-t", "1", "-c", "8", "-u", str(USERS), *options]
            process = processes.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                                               preexec_fn=die_with_the_test))
            processes.callback(process.kill)
            assert process.stdout.readline() == "filled\n"
            return process

        yield start


def following(process):
    """What the next phase finds."""
    process.stdin.write("\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


@pytest.fixture
def store(tmp_path):
    spaces = namespace("sessions", "sess:", "write-behind"), namespace("locks", "sess:lock.", "cache-aside")
    with Server(tmp_path, config=Config(*spaces)) as server:
        yield server


@pytest.mark.parametrize("options", [[], ["-l", "-z", "2"], ["-r", "200"]], ids=["full", "locked", "paced"])
def test_sessions_are_what_was_acknowledged(store, generator, options):
    process = generator(store.port, *options)
    found = following(process)
    assert {name: found[name] for name in ("lost", "undone", "refused", "lock_timeouts")} == dict.fromkeys(("lost", "undone", "refused", "lock_timeouts"), 0)
    assert found["reads"] > 0 and found["writes"] > 0 and found["touches"] > 0
    assert found["reads"] == found["writes"] + found["touches"] + found["logouts"]
    assert [percent for percent, _ in found["curve"]] == [50, 75, 90, 95, 99, 99.5, 99.9, 99.99, 100]
    if "-r" in options:
        assert found["requests"] <= 200
    store.kill()
    store.start()
    looked = following(process)
    assert (looked["lost"], looked["undone"]) == (0, 0)
    assert 0 < looked["sessions"] <= USERS


def test_locks_keep_requests_of_a_session_apart(store, generator):
    """All connections want the same few sessions. Were the locks of no use, one's change would undo another's."""
    found = following(generator(store.port, "-l", "-z", "4"))
    assert found["lock_waits"] > 0
    assert (found["undone"], found["lost"]) == (0, 0)


def test_what_a_restart_forgets_is_lost(tmp_path, generator):
    if not Memcached.program():
        pytest.skip("memcached is not installed")
    with Memcached(tmp_path) as server:
        process = generator(server.port)
        assert following(process)["lost"] == 0
        server.kill()
        server.start()
        looked = following(process)
        assert looked["lost"] == looked["sessions"] > 0


def test_a_session_that_is_older_than_it_should_be_is_undone(store, generator):
    process = generator(store.port)
    following(process)
    store.client().sync("sessions")
    [key, row], *_ = store.rows().items()
    user = row.value[:13]
    store.client().set(key, user + b" changes 0000000000....")
    assert following(process)["undone"] == 1


def test_redis_is_asked_in_its_own_protocol(redis, generator):
    found = following(generator(redis.port, "-p", "redis", "-l"))
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
