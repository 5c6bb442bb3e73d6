# SPDX-License-Identifier: MIT
"""PHP: the extensions memcached and memcache, and PHP's own session handler on top of each, with locking."""

import concurrent.futures
import shutil
import subprocess

import pytest
from conftest import need, run, shell


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
