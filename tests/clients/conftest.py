# SPDX-License-Identifier: MIT
"""What the clients' tests share.

Each client goes through two things: its commands, on a cache-aside and on a write-behind namespace, and a session store that
is restarted under it. CLIENTS_AGAINST=/usr/bin/memcached runs the commands against memcached instead, to see that a
test asks for nothing that memcached would not answer.

A session flow has two halves, written in the client's own language: `write` stores the keys that check_rows below looks for,
`read` checks them through the same client after the restart. The rows are looked at with the sqlite3 shell.
"""

import functools
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time

import pytest
from forebay import Config, Memcached, Server, namespace

HERE = os.path.dirname(os.path.abspath(__file__))
PEER = os.environ.get("CLIENTS_AGAINST")
PREFIXES = {"cache-aside": "plain:", "write-behind": "sess:"}
NUMBERS = itertools.count()
SECONDS = 120  # for one client program


def write_behind(**options):
    return Config(namespace("sessions", "sess:", "write-behind", flush_delay="200ms", **options))


@pytest.fixture(params=PREFIXES)
def policy(request):
    return request.param


@pytest.fixture
def prefix(policy):
    """Of keys that no other test has."""
    return f"{PREFIXES[policy]}{next(NUMBERS)}:"


@pytest.fixture(params=["text", "binary"])
def protocol(request):
    """What a client speaks that speaks both."""
    return request.param


def started_in(folder):
    return Memcached(folder, program=PEER) if PEER else Server(folder, config=write_behind())


@pytest.fixture
def server(tmp_path):
    with started_in(tmp_path) as started:
        yield started


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A server for all tests of a file whose keys have a prefix: one that is started for each takes longer than they do."""
    with started_in(tmp_path_factory.mktemp("shared")) as started:
        yield started


@pytest.fixture(params=[signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def restart(request, tmp_path):
    """A server on a write-behind namespace, and a function that ends it in one of two ways and starts it again."""
    if PEER:
        pytest.skip("memcached forgets its sessions")

    def again():
        if request.param == signal.SIGTERM:
            started.stop()
        else:
            started.kill()
        started.start()

    with Server(tmp_path, config=write_behind()) as started:
        started.again = again
        yield started


def run(*command, port=None, status=0, environment=None, **options):
    """Runs a client's program to its end; returns what it says."""
    env = dict(os.environ, PORT=str(port), **(environment or {}))
    done = subprocess.run(command, cwd=HERE, env=env, timeout=SECONDS, check=False, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **options)
    said = done.stdout.decode(errors="replace")
    assert done.returncode == status, f"{' '.join(command)} ended with {done.returncode}:\n{said}"
    return said


JAR = "/usr/share/java/spymemcached.jar"


@functools.lru_cache
def java_classes():
    """Where java/Client.java is, compiled once for all that run it."""
    folder = tempfile.TemporaryDirectory(prefix="forebay-java-")
    subprocess.run(["javac", "-cp", JAR, "-d", folder.name, "java/Client.java"], cwd=HERE, timeout=SECONDS, check=True)
    return folder  # which is removed when the last that knows it ends


def java(*arguments, port, **environment):
    """spymemcached, in the mode that PROTOCOL says."""
    need("javac")
    if not os.path.exists(JAR):
        pytest.skip("libspymemcached-java is not installed")
    return run("java", "-XX:TieredStopAtLevel=1", "-cp", f"{JAR}:{java_classes().name}", "Client", *arguments, port=port,
               environment=environment)


GO_LIBRARIES = "/usr/share/gocode"


def need_go():
    need("go")
    if not os.path.isdir(f"{GO_LIBRARIES}/src/github.com/bradfitz/gomemcache"):
        pytest.skip("golang-github-bradfitz-gomemcache-dev is not installed")


def go_build(folder, *sources):
    """The program `program` in a folder, of Debian's libraries alone."""
    env = dict(os.environ, GO111MODULE="off", GOPATH=GO_LIBRARIES, GOFLAGS="", GOCACHE=os.path.join(folder, "cache"))
    subprocess.run(["go", "build", "-o", os.path.join(folder, "program"), *sources], cwd=HERE, env=env, timeout=SECONDS, check=True)
    return os.path.join(folder, "program")


@functools.lru_cache
def go_client():
    """Where go/client.go is, compiled once for all that run it."""
    folder = tempfile.TemporaryDirectory(prefix="forebay-go-")
    go_build(folder.name, "go/client.go")
    return folder


def go(*arguments, port):
    """gomemcache."""
    need_go()
    return run(os.path.join(go_client().name, "program"), *arguments, port=port)


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")


def need_node_packages():
    need("node")
    if not os.path.isdir(os.path.join(HERE, "node", "node_modules")):
        pytest.skip("the packages of tests/clients/node are not installed: tools/test does it with npm ci")


def need_php(extension="memcached"):
    need("php")
    if extension not in subprocess.run(["php", "-m"], capture_output=True, text=True, check=True).stdout.split():
        pytest.skip(f"the PHP extension {extension} is not installed")


def need_symfony():
    need_php()
    for component, package in (("Cache", "cache"), ("HttpFoundation", "http-foundation")):
        if not os.path.exists(f"/usr/share/php/Symfony/Component/{component}/autoload.php"):
            pytest.skip(f"php-symfony-{package} is not installed")


def need_ruby(library="dalli"):
    need("ruby")
    if subprocess.run(["ruby", "-e", f"require '{library}'"], capture_output=True, check=False).returncode:
        pytest.skip(f"Ruby's {library} is not installed")


BINARY = bytes(range(256)) + b"\r\nEND\r\n"
BIG = b"0123456789" * 20000


def check_rows(server, prefix="sess:", client_keeps_bytes=True, client_escapes=False):
    """What `write` stored, as an operator sees it: with the sqlite3 shell, once all is flushed."""
    server.client().sync("sessions")
    found = shell(server, "select cast(key as text), hex(substr(value, 1, 100)), expires_at from sessions "
                          f"where key between cast('{prefix}' as blob) and cast('{prefix}~' as blob)")
    rows = {key[len(prefix):]: (bytes.fromhex(value), int(expires)) for key, value, expires in found}
    assert "deleted" not in rows
    assert {"plain", "binary", "big", "overwritten", "counter", "touched"} <= set(rows)
    now = time.time()
    assert now < rows["plain"][1] <= now + 1000
    assert now + 1000 < rows["touched"][1] <= now + 4000
    assert rows["counter"][0].strip() == b"12"
    if client_keeps_bytes:
        assert rows["plain"][0] == b"value"
        assert rows["overwritten"][0] == b"second"
        assert client_escapes or rows["binary"][0] == BINARY[:100]
        assert shell(server, f"select length(value) from sessions where key = cast('{prefix}big' as blob)") == [[str(len(BIG))]]


def shell(server, statement):
    """Rows of text from the sqlite3 shell."""
    if not shutil.which("sqlite3"):
        pytest.skip("sqlite3 is not installed")
    done = subprocess.run(["sqlite3", "-readonly", "-separator", "\x1f", "-newline", "\x1e",
                           os.path.join(server.folder, "store.db"), ".timeout 10000", statement],
                          capture_output=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode(errors="replace")
    return [line.split("\x1f") for line in text.split("\x1e") if line]


@pytest.fixture
def flow(restart):
    """flow(write, read): the session flow of one client; both are called with the port."""

    def through(write, read, **options):
        write(restart.port)
        restart.again()
        read(restart.port)
        check_rows(restart, **options)
        restart.again()
        read(restart.port)

    return through
