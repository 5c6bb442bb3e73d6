# SPDX-License-Identifier: MIT
"""PHP: the extensions memcached and memcache, and PHP's own session handler on top of each, with locking."""

import concurrent.futures
import contextlib
import os
import re
import shutil
import subprocess

import pytest
from conftest import HERE, need, run, shell
from forebay import ROOT, Config, eventually, namespace


@pytest.fixture(params=["memcached", "memcache"])
def extension(request):
    need("php")
    loaded = subprocess.run(["php", "-m"], capture_output=True, text=True, check=True).stdout.split()
    if request.param not in loaded:
        pytest.skip(f"the PHP extension {request.param} is not installed")
    return request.param


def php(extension, *arguments, port):
    return run("php", f"php/{extension}.php", *arguments, port=port)


def visit(port, extension, what="visits", name="abc123", seconds="0.02"):
    prefix = "memcache.session_prefix_static_key=sess:"  # this one is read before a script can set it
    return run("php", "-d", prefix, "php/session.php", extension, name, what, seconds, port=port).strip()


def test_every_command_is_answered(server, extension, prefix):
    php(extension, "commands", prefix, port=server.port)


def test_sessions_survive_a_restart(flow, extension):
    flow(lambda port: php(extension, "write", "sess:", port=port), lambda port: php(extension, "read", "sess:", port=port))


def test_the_session_handler_keeps_sessions(restart, extension):
    assert [visit(restart.port, extension) for _ in range(3)] == ["1", "2", "3"]
    restart.again()
    assert visit(restart.port, extension) == "4"
    restart.client().sync("sessions")
    if shutil.which("sqlite3"):
        [[key, value]] = shell(restart, "select cast(key as text), cast(substr(value, 1, 11) as text) from sessions "
                                        "where cast(key as text) not like '%lock%'")
        assert key == "sess:abc123"
        assert value == "visits|i:4;"
    visit(restart.port, extension, "destroy")
    assert visit(restart.port, extension) == "1"


def test_the_session_lock_lets_one_in_at_a_time(server, extension):
    """Requests of one session at the same time: the lock makes them one after the other, so no visit is lost."""
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        counted = list(pool.map(lambda _: int(visit(server.port, extension, "slow")), range(18)))
    assert sorted(counted) == list(range(1, 19))


def documented_locks():
    """The namespace for PHP's locks, as docs/session-store.md has it."""
    with open(os.path.join(ROOT, "docs", "session-store.md"), encoding="utf-8") as page:
        return re.search(r"^namespace \"locks\" \{.*?^\}\n", page.read(), re.MULTILINE | re.DOTALL).group(0)


@contextlib.contextmanager
def held(port, extension, lock, client):
    """A request that keeps the session's lock until it is killed; the server is not told."""
    prefix = "memcache.session_prefix_static_key=sess:"
    command = ["php", "-d", prefix, "-d", "memcache.lock_timeout=2", "php/session.php", extension, "abc123", "slow", "1000"]
    with subprocess.Popen(command, cwd=HERE, env=dict(os.environ, PORT=str(port)), stdout=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: client.get(lock))
            yield
        finally:
            process.kill()


LOCKS = {"memcached": "sess:lock.abc123", "memcache": "sess:abc123.lock"}


def test_a_lock_that_was_held_at_a_kill_does_not_keep_the_user_out(serve, extension):
    """php-memcached's lock is in a namespace of its own, and ends with the server. php-memcache's is not (it ends in .lock), so
    it comes back, for the rest of its memcache.lock_timeout. The session survives in both cases."""
    server = serve(Config(namespace("sessions", "sess:", "write-behind", flush_delay="50ms"), documented_locks()))
    assert visit(server.port, extension) == "1"
    with held(server.port, extension, LOCKS[extension], server.client()):
        server.client().sync()
        server.kill()
    server.start()
    if extension == "memcached":
        assert server.client().get(LOCKS[extension]) is None
    assert visit(server.port, extension) == "2"


def test_a_lock_is_let_go_when_its_owner_died(serve):
    """php-memcached sets its locks for max_execution_time, which may be for ever (as on the command line): then the namespace's
    ttl ends them."""
    server = serve(Config(namespace("sessions", "sess:", "write-behind"), documented_locks()))
    server.client().command("add sess:lock.abc123 0 0 1\r\n1")
    [line] = [server.client().command("mg sess:lock.abc123 t")]
    assert 0 < int(line.split(b"t")[1]) <= 30
