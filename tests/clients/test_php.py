# SPDX-License-Identifier: MIT
"""PHP: the extensions memcached and memcache, and PHP's own session handler on top of each, with locking."""

import concurrent.futures
import contextlib
import os
import re
import shutil
import subprocess

import pytest
from certificates import Certificates, TlsServer
from conftest import HERE, need_php, need_symfony, run, shell
from forebay import ROOT, Config, eventually, namespace
from stunnel import Stunnel


@pytest.fixture(params=["memcached", "memcache"])
def extension(request):
    need_php(request.param)
    return request.param


# php-memcache's binary mode takes a NOT_FOUND for a failure of the server and loses writes of sessions, with memcached as well.
in_each_mode = pytest.mark.parametrize("extension, protocol", [("memcached", "text"), ("memcached", "binary"), ("memcache", "text")],
                                       indirect=["extension"])


def documented(name):
    """A namespace, as docs/session-store.md has it."""
    with open(os.path.join(ROOT, "docs", "session-store.md"), encoding="utf-8") as page:
        return re.search(rf"^namespace \"{name}\" \{{.*?^\}}\n", page.read(), re.MULTILINE | re.DOTALL).group(0)


def php(extension, *arguments, port, protocol):
    return run("php", f"php/{extension}.php", *arguments, port=port, environment={"PROTOCOL": protocol})


def visit(port, extension, what="visits", name="abc123", seconds="0.02", protocol="text", **environment):
    prefix = "memcache.session_prefix_static_key=sess:"  # this one is read before a script can set it
    return run("php", "-d", prefix, "php/session.php", extension, name, what, seconds, port=port,
               environment={"PROTOCOL": protocol, **environment}).strip()


@in_each_mode
def test_every_command_is_answered(shared, extension, protocol, prefix):
    php(extension, "commands", prefix, port=shared.port, protocol=protocol)


@pytest.mark.skipif(bool(Stunnel.missing()), reason=str(Stunnel.missing()))
def test_what_speaks_no_tls_takes_a_tunnel(tmp_path):
    """Its commands in both protocols, and its sessions."""
    need_php()
    certificates = Certificates(tmp_path)
    certificates.make("server")
    files = f"ssl_chain_cert={certificates.path('server.pem')},ssl_key={certificates.path('server.key')}"
    with TlsServer(tmp_path / "server", certificates, ["-Z", "-o", files]) as server, \
            Stunnel(tmp_path / "tunnel", server.port, certificates.path("ca.pem")) as tunnel:
        for protocol in ("text", "binary"):
            php("memcached", "commands", f"{protocol}:", port=tunnel.port, protocol=protocol)
        assert [visit(tunnel.port, "memcached") for _ in range(2)] == ["1", "2"]


def test_an_increment_that_finds_no_memory_fails_and_does_not_end_the_process(serve):
    need_php()
    server = serve(options=["-m", "2", "-M"])
    with server.client() as client:
        for size in (100000, 10000, 1000, 100, 0):  # until not even a counter finds room, in any shard
            refused = 0
            while refused < 200:
                refused += client.command(b"set %s 0 0 %d\r\n%s" % (os.urandom(8).hex().encode(), size, bytes(size))) != b"STORED"
    asks = ("$c = new Memcached(); $c->setOption(Memcached::OPT_BINARY_PROTOCOL, true);"
            "$c->addServer('127.0.0.1', (int) getenv('PORT')); var_dump($c->increment('counter', 1, 1), $c->getVersion() !== false);")
    assert run("php", "-r", asks, port=server.port).split() == ["bool(false)", "bool(true)"]


@in_each_mode
def test_sessions_survive_a_restart(flow, extension, protocol):
    flow(lambda port: php(extension, "write", "sess:", port=port, protocol=protocol),
         lambda port: php(extension, "read", "sess:", port=port, protocol=protocol))


@in_each_mode
def test_the_session_handler_keeps_sessions(restart, extension, protocol):
    assert [visit(restart.port, extension, protocol=protocol) for _ in range(3)] == ["1", "2", "3"]
    restart.again()
    assert visit(restart.port, extension, protocol=protocol) == "4"
    restart.client().sync("sessions")
    if shutil.which("sqlite3"):
        [[key, value]] = shell(restart, "select cast(key as text), cast(substr(value, 1, 11) as text) from sessions "
                                        "where cast(key as text) not like '%lock%'")
        assert key == "sess:abc123"
        assert value == "visits|i:4;"
    visit(restart.port, extension, "destroy", protocol=protocol)
    assert visit(restart.port, extension, protocol=protocol) == "1"


def test_the_cache_of_symfony_works(server):
    need_symfony()
    run("php", "php/symfony.php", "commands", port=server.port)


def test_the_cache_of_symfony_survives_a_kill(serve):
    """It finds nothing again without the version of its keys, a new one of which is made each second."""
    need_symfony()
    server = serve(Config(namespace("sessions", "sess:", "write-behind"), documented("pools").replace('"store"', '"local"')))
    run("php", "php/symfony.php", "write", port=server.port)
    server.kill()
    server.start()
    run("php", "php/symfony.php", "read", port=server.port)
    server.client().sync()
    assert set(server.rows("pools")) == {b":sess:"} and len(server.rows()) == 1


def test_sessions_survive_a_kill_with_every_setting_of_php_memcached_as_it_comes(serve):
    """Only where the sessions are is said: the binary protocol, its locks, and its own prefix."""
    need_php()
    server = serve(Config(namespace("sessions", "memc.sess.key.", "write-behind", flush_delay="200ms"),
                          namespace("locks", "memc.sess.key.lock.", "cache-aside")))
    for expected in ("1", "2", "3"):
        assert visit(server.port, "memcached", protocol="binary", UNTOUCHED="1") == expected
        server.kill()
        server.start()
    server.client().sync("sessions")
    assert set(server.rows()) == {b"memc.sess.key.abc123"}


@in_each_mode
def test_the_session_lock_lets_one_in_at_a_time(server, extension, protocol):
    """Requests of one session at the same time: the lock makes them one after the other, so no visit is lost."""
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        counted = list(pool.map(lambda _: int(visit(server.port, extension, "slow", protocol=protocol)), range(18)))
    assert sorted(counted) == list(range(1, 19))


@contextlib.contextmanager
def held(port, extension, protocol, lock, client):
    """A request that keeps the session's lock until it is killed; the server is not told."""
    prefix = "memcache.session_prefix_static_key=sess:"
    command = ["php", "-d", prefix, "-d", "memcache.lock_timeout=2", "php/session.php", extension, "abc123", "slow", "1000"]
    with subprocess.Popen(command, cwd=HERE, stdout=subprocess.DEVNULL,
                          env=dict(os.environ, PORT=str(port), PROTOCOL=protocol)) as process:
        try:
            eventually(lambda: client.get(lock))
            yield
        finally:
            process.kill()


LOCKS = {"memcached": "sess:lock.abc123", "memcache": "sess:abc123.lock"}


@in_each_mode
def test_a_lock_that_was_held_at_a_kill_does_not_keep_the_user_out(serve, extension, protocol):
    """php-memcached's lock is in a namespace of its own, and ends with the server. php-memcache's is not (it ends in .lock), so
    it comes back, for the rest of its memcache.lock_timeout. The session survives in both cases."""
    server = serve(Config(namespace("sessions", "sess:", "write-behind", flush_delay="50ms"), documented("locks")))
    assert visit(server.port, extension, protocol=protocol) == "1"
    with held(server.port, extension, protocol, LOCKS[extension], server.client()):
        server.client().sync()
        server.kill()
    server.start()
    if extension == "memcached":
        assert server.client().get(LOCKS[extension]) is None
    assert visit(server.port, extension, protocol=protocol) == "2"


def test_a_lock_is_let_go_when_its_owner_died(serve):
    """php-memcached sets its locks for max_execution_time, which may be for ever (as on the command line): then the namespace's
    ttl ends them."""
    server = serve(Config(namespace("sessions", "sess:", "write-behind"), documented("locks")))
    server.client().command("add sess:lock.abc123 0 0 1\r\n1")
    [line] = [server.client().command("mg sess:lock.abc123 t")]
    assert 0 < int(line.split(b"t")[1]) <= 30
