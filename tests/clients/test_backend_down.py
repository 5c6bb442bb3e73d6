# SPDX-License-Identifier: MIT
"""What each client makes of the answers of a namespace whose backend is away: which of them is a failure to it, which a miss.
The table of docs/session-store.md says the same as the one here. And what keeps a session from being overwritten after a
miss that was none."""

import concurrent.futures
import functools
import os
import re
import subprocess
import threading

import pytest
from conftest import HERE, PEER, SECONDS, go, java, need, need_node_packages, need_php, need_symfony, need_ruby, run
from forebay import AWAY, Config, Redis, Server, eventually, namespace, section

pytestmark = pytest.mark.skipif(bool(PEER), reason="memcached has no backend")

ANSWERS = ("error", "close", "miss")  # of on_backend_down
SILENCE = 5  # seconds that clients wait here for an answer that some do not see in what they are sent

# Of a get, and of a get of several keys, under on_backend_down = "error" and "close". notice: a miss to the application, of
# which PHP says something in its log. silence: no answer as long as the test waits.
MAKES = {
    "pylibmc": {"get": ("miss", "failure"), "many": ("miss", "miss")},
    "python-memcached": {"get": ("miss", "miss"), "many": ("miss", "miss")},
    "memccat": {"get": ("miss", "failure"), "many": ("failure", "failure")},
    "pymemcache": {"get": ("failure", "failure"), "many": ("failure", "failure")},
    "php-memcached": {"get": ("miss", "failure"), "many": ("failure", "failure")},
    "php-memcache": {"get": ("notice", "notice"), "many": ("miss", "miss")},
    "Cache::Memcached": {"get": ("miss", "miss"), "many": ("miss", "miss")},
    "Cache::Memcached::Fast": {"get": ("miss", "miss"), "many": ("miss", "miss")},
    "memcached": {"get": ("miss", "silence"), "many": ("silence", "silence")},
    "memcache-client": {"get": ("failure", "failure"), "many": ("failure", "failure")},
    "spymemcached": {"get": ("failure", "failure"), "many": ("failure", "failure")},
    "pylibmc, binary": {"get": ("miss", "failure"), "many": ("miss", "miss")},
    "memccat, binary": {"get": ("miss", "failure"), "many": ("failure", "failure")},
    "python-binary-memcached": {"get": ("failure", "miss"), "many": ("failure", "miss")},
    "php-memcached, binary": {"get": ("miss", "failure"), "many": ("failure", "failure")},
    "memjs": {"get": ("failure", "silence"), "many": ("failure", "silence")},
    "spymemcached, binary": {"get": ("miss", "failure"), "many": ("miss", "failure")},
    "dalli": {"get": ("failure", "silence"), "many": ("miss", "silence")},
    "gomemcache": {"get": ("failure", "failure"), "many": ("failure", "failure")},
}


@pytest.fixture(scope="module")
def away(tmp_path_factory):
    """A server with a namespace for each answer (of the same name), the rows k and l in each, `here` in memory, and no Redis.
    Clients only read here, so one server is enough for all of them."""
    if Redis.missing():
        pytest.skip(Redis.missing())
    folder = tmp_path_factory.mktemp("away")
    spaces = [namespace(answer, answer + ":", "write-behind", backend="remote", flush_delay="10ms", on_backend_down=answer)
              for answer in ANSWERS]
    with Redis(folder / "redis") as redis:
        config = Config(*spaces, backends=[section("backend", "remote", uri=redis.uri, timeout=AWAY)], drain_timeout="1s")
        with Server(folder, config=config) as server, server.client() as client:
            client.set_many((f"{answer}:{name}".encode(), b"v") for answer in ANSWERS for name in ("k", "l"))
            client.sync()
            assert client.command("flush_all") == b"OK"
            redis.kill()
            client.set_many((f"{answer}:here".encode(), b"v") for answer in ANSWERS)
            assert client.command("get error:k") == b"SERVER_ERROR backend remote is not available"
            yield server


def words(said):
    return dict(re.findall(r"^(get|many) (miss|failure|notice|silence)$", said, re.MULTILINE))


def ask(get, get_many, prefix):
    """The words of a Python client; each of the functions makes a client of its own."""
    def word(request, key):
        try:
            request(key)
        except Exception:  # pylint: disable=broad-except
            return "failure"
        return "miss"

    return {"get": word(get, prefix + "k"), "many": word(get_many, [prefix + "here", prefix + "k"])}


def pylibmc(is_binary):
    def asked(port, prefix):
        module = pytest.importorskip("pylibmc")
        return ask(lambda key: module.Client([f"127.0.0.1:{port}"], binary=is_binary).get(key),
                   lambda keys: module.Client([f"127.0.0.1:{port}"], binary=is_binary).get_multi(keys), prefix)
    return asked


def memccat(*mode):
    """It ends with 1 in both cases, and says something on standard error of a failure alone."""
    def asked(port, prefix):
        need("memccat")

        def word(*keys):
            done = subprocess.run(["memccat", f"--servers=127.0.0.1:{port}", *mode, *keys], capture_output=True, timeout=SECONDS,
                                  check=False)
            assert done.returncode == 1
            return "failure" if done.stderr else "miss"

        return {"get": word(prefix + "k"), "many": word(prefix + "here", prefix + "k")}
    return asked


def binary_memcached(port, prefix):
    module = pytest.importorskip("bmemcached")
    return ask(lambda key: module.Client([f"127.0.0.1:{port}"], socket_timeout=SILENCE).get(key),
               lambda keys: module.Client([f"127.0.0.1:{port}"], socket_timeout=SILENCE).get_multi(keys), prefix)


def dalli(port, prefix):
    need_ruby()
    return words(run("ruby", "ruby/client.rb", "dalli", "down", prefix, port=port))


def python_memcached(port, prefix):
    module = pytest.importorskip("memcache")
    return ask(lambda key: module.Client([f"127.0.0.1:{port}"], socket_timeout=SILENCE).get(key),
               lambda keys: module.Client([f"127.0.0.1:{port}"], socket_timeout=SILENCE).get_multi(keys), prefix)


def pymemcache(port, prefix):
    module = pytest.importorskip("pymemcache.client.base")
    return ask(lambda key: module.Client(("127.0.0.1", port), timeout=SILENCE).get(key),
               lambda keys: module.Client(("127.0.0.1", port), timeout=SILENCE).get_many(keys), prefix)


def php(extension, protocol="text"):
    def asked(port, prefix):
        need_php(extension)
        return words(run("php", f"php/{extension}.php", "down", prefix, port=port, environment={"PROTOCOL": protocol}))
    return asked


def perl(module):
    def asked(port, prefix):
        need("perl")
        if subprocess.run(["perl", f"-M{module}", "-e", "1"], capture_output=True, check=False).returncode:
            pytest.skip(f"{module} is not installed")
        return words(run("perl", "perl/client.pl", module, "down", prefix, port=port))
    return asked


def node(program):
    def asked(port, prefix):
        need_node_packages()
        return words(run("node", f"node/{program}.js", "down", prefix, port=port))
    return asked


ONE_MACHINE = threading.Lock()  # of Java's, each of which takes longer to start than to ask


@functools.lru_cache
def spymemcached_says(port, protocol):
    """What it makes of all answers, a line for each: answer, what was asked, word."""
    return java("down", ",".join(f"{answer}:" for answer in ANSWERS), port=port, PROTOCOL=protocol)


def spymemcached(protocol):
    def asked(port, prefix):
        with ONE_MACHINE:
            said = spymemcached_says(port, protocol)
        return words("\n".join(line.removeprefix(prefix) for line in said.splitlines() if line.startswith(prefix)))
    return asked


ONE_COMPILER = threading.Lock()  # whoever comes first makes the program for all


def gomemcache(port, prefix):
    with ONE_COMPILER:
        return words(go("down", prefix, port=port))


CLIENTS = {"pylibmc": pylibmc(False), "pylibmc, binary": pylibmc(True), "memccat": memccat(), "memccat, binary": memccat("--binary"),
           "python-memcached": python_memcached, "pymemcache": pymemcache, "python-binary-memcached": binary_memcached,
           "php-memcached": php("memcached"), "php-memcached, binary": php("memcached", "binary"), "php-memcache": php("memcache"),
           "Cache::Memcached": perl("Cache::Memcached"), "Cache::Memcached::Fast": perl("Cache::Memcached::Fast"),
           "memcached": node("memcached"), "memcache-client": node("memcache_client"), "memjs": node("memjs"), "dalli": dalli,
           "spymemcached": spymemcached("text"), "spymemcached, binary": spymemcached("binary"),
           "gomemcache": gomemcache}


@pytest.fixture(scope="module")
def asked(away):
    """asked[client][answer]: what it makes of it, once it knows. Some wait for what does not come: many ask side by side."""
    with concurrent.futures.ThreadPoolExecutor(8) as side_by_side:
        answers = {client: {answer: side_by_side.submit(ask_it, away.port, answer + ":") for answer in ANSWERS}
                   for client, ask_it in CLIENTS.items()}
        yield answers
        side_by_side.shutdown(cancel_futures=True)


@pytest.mark.parametrize("client", MAKES)
def test_a_client_makes_of_each_answer_what_the_table_says(asked, client):
    assert asked[client]["miss"].result() == {"get": "miss", "many": "miss"}
    error, close = asked[client]["error"].result(), asked[client]["close"].result()
    assert {what: (error[what], close[what]) for what in ("get", "many")} == MAKES[client]


# ---- What is written after a miss that was none ----

KEEPING = {"close": {"on_backend_down": "close"}, "refuse": {"unknown_set": "refuse"}}


@pytest.fixture
def pausing(redis, serve):
    """start(options): a server for sessions and their locks over a Redis that can be paused."""
    def start(**options):
        return serve(Config(namespace("sessions", "sess:", "write-behind", backend="remote", flush_delay="10ms", **options),
                            namespace("locks", "sess:lock.", "cache-aside"),
                            backends=[section("backend", "remote", uri=redis.uri, timeout=AWAY)], drain_timeout="1s"))
    return start


def cool(server):
    with server.client() as client:
        client.sync()
        assert client.command("flush_all") == b"OK"


def is_known(server, answer):
    """What memory has of the session, once the store was asked; an error or a closed connection is not that."""
    try:
        return server.client().command("me sess:abc123").startswith(answer)
    except OSError:
        return False


def visit(port, protocol, handler="memcached"):
    """The visits that one request to a PHP application with sessions has counted; None: it got no session. PHP does not tell
    the application whether the session was written."""
    done = subprocess.run(["php", "php/session.php", handler, "abc123", "visits"], cwd=HERE, timeout=SECONDS,
                          env=dict(os.environ, PORT=str(port), PROTOCOL=protocol), capture_output=True, text=True, check=False)
    return next(map(int, re.findall(r"^\d+$", done.stdout, re.MULTILINE)), None)


@pytest.mark.parametrize("options, meanwhile, afterwards", [(KEEPING["close"], None, 4), (KEEPING["refuse"], 1, 4), ({}, 1, 2)],
                         ids=["close", "refuse", "neither"])
def test_a_php_session_is_not_overwritten_because_it_could_not_be_read(pausing, redis, protocol, options, meanwhile, afterwards):
    """Without either setting it is: PHP takes the failed read for a new session, and writes that."""
    need("php")
    server = pausing(**options)
    eventually(lambda: is_known(server, b"EN"))  # so that no timeout is missed
    assert [visit(server.port, protocol) for _ in range(3)] == [1, 2, 3]
    cool(server)
    redis.pause()
    assert visit(server.port, protocol) == meanwhile
    redis.resume()
    eventually(lambda: is_known(server, b"ME"))
    assert visit(server.port, protocol) == afterwards


@pytest.mark.parametrize("keeping, afterwards", [("close", 2), ("refuse", 4)])
def test_symfonys_sessions_need_unknown_set(pausing, redis, keeping, afterwards):
    """Its handler takes any failure for an empty session."""
    need_symfony()
    server = pausing(**KEEPING[keeping])
    eventually(lambda: is_known(server, b"EN"))
    assert [visit(server.port, "binary", "symfony") for _ in range(3)] == [1, 2, 3]
    cool(server)
    redis.pause()
    assert visit(server.port, "binary", "symfony") == 1
    redis.resume()
    eventually(lambda: is_known(server, b"ME"))
    assert visit(server.port, "binary", "symfony") == afterwards


@pytest.mark.parametrize("client", ["pylibmc", "memcache"])
def test_a_set_after_such_a_miss_is_refused_until_the_backend_answers(pausing, redis, client):
    module = pytest.importorskip(client)

    def make():
        more = {"binary": False} if client == "pylibmc" else {"socket_timeout": SECONDS}
        return module.Client([f"127.0.0.1:{server.port}"], **more)

    def stores(key, value="new"):
        try:
            return bool(make().set(key, value))
        except Exception:  # pylint: disable=broad-except
            return False

    server = pausing(unknown_set="refuse")
    eventually(lambda: stores("sess:alice", "old"))
    cool(server)
    eventually(lambda: stores("sess:bob", "old"))
    redis.pause()
    assert make().get("sess:alice") is None
    assert not stores("sess:alice")
    assert stores("sess:bob")  # memory knows it: nothing is lost that was not read
    redis.resume()
    assert eventually(lambda: make().get("sess:alice")) == "old"
    eventually(lambda: stores("sess:alice"))
