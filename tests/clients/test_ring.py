# SPDX-License-Identifier: MIT
"""Several nodes, and the clients' own consistent hashing in front of them: with the settings of docs/growth.md, clients of four
kinds agree on where a key lives; and what each of them does while a node is away."""

import os
import re

import pylibmc
import pytest
from conftest import JAR, PEER, need, need_php, run, write_behind
from forebay import Client, Process, Server, eventually, free_port

KEYS = 150

pytestmark = pytest.mark.skipif(PEER is not None, reason="memcached forgets what it held")


class Nutcracker(Process):
    """A proxy whose ring is that of libmemcached."""

    what = "nutcracker"

    def __init__(self, folder, ports, ejects):
        super().__init__(folder)
        self.ports, self.ejects = ports, ejects

    def command(self):
        lines = ["ring:", f"  listen: 127.0.0.1:{self.port}", "  hash: md5", "  distribution: ketama", "  timeout: 2000",
                 f"  auto_eject_hosts: {str(self.ejects).lower()}", "  server_failure_limit: 1", "  server_retry_timeout: 200",
                 "  servers:", *(f"   - 127.0.0.1:{port}:1" for port in self.ports)]
        path = os.path.join(self.folder, "nutcracker.yml")
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        return ["nutcracker", "-c", path, "-s", str(free_port()), "-a", "127.0.0.1", "-p", os.path.join(self.folder, "pid")]

    def answers(self):
        try:
            pylibmc.Client([f"127.0.0.1:{self.port}"]).get("sess:none")
            return True
        except pylibmc.Error:
            return False


def place_by(client, value="v"):
    for number in range(KEYS):
        assert client.set(f"sess:{number}", value)


def read_by(client):
    """How many keys were found, missing and refused."""
    counts = [0, 0, 0]
    for number in range(KEYS):
        try:
            counts[0 if client.get(f"sess:{number}") else 1] += 1
        except pylibmc.Error:
            counts[2] += 1
    return counts


class ByPylibmc:
    def __init__(self, nodes, folder, ejects=False):
        leaves = {"failure_limit": 1, "remove_failed": 1} if ejects else {}
        self.client = pylibmc.Client(addresses(nodes), behaviors={"ketama_weighted": True, **leaves})

    def place(self, value="v"):
        place_by(self.client, value)

    def read(self):
        return read_by(self.client)

    def stop(self):
        pass


class ByNutcracker:
    """By what the proxy itself says: libmemcached takes the second of two errors for a miss."""

    def __init__(self, nodes, folder, ejects=False):
        need("nutcracker")
        self.proxy = Nutcracker(folder, [node.port for node in nodes], ejects).start()

    def place(self, value="v"):
        with Client(self.proxy.port) as client:
            for number in range(KEYS):
                assert client.set(f"sess:{number}", value.encode()) == b"STORED"

    def read(self):
        with Client(self.proxy.port) as client:
            answers = [client.ask(f"sess:{number}")[0] for number in range(KEYS)]
        return [answers.count(kind) for kind in ("hit", "miss", "error")]

    def stop(self):
        self.proxy.kill()


class ByProgram:
    """A program that is called with place or read, a number of keys, and a value."""

    program = ()

    def __init__(self, nodes, folder, ejects=False):
        self.environment = {"PORTS": ",".join(str(node.port) for node in nodes), "EJECTS": "1" if ejects else ""}

    def place(self, value="v"):
        run(*self.program, "place", str(KEYS), value, environment=self.environment)

    def read(self):
        said = run(*self.program, "read", str(KEYS), environment=self.environment)
        return [int(word) for word in re.search(r"^(\d+) (\d+) (\d+)$", said, re.MULTILINE).groups()]  # beside what it logs

    def stop(self):
        pass


class ByPhp(ByProgram):
    program = ("php", "php/ring.php")

    def __init__(self, nodes, folder, ejects=False):
        need_php()
        super().__init__(nodes, folder, ejects)


class BySpymemcached(ByProgram):
    program = ("java", "-XX:TieredStopAtLevel=1", "-cp", JAR, "java/Ring.java")

    def __init__(self, nodes, folder, ejects=False):
        need("java")
        if not os.path.exists(JAR):
            pytest.skip("libspymemcached-java is not installed")
        super().__init__(nodes, folder, ejects)


CLIENTS = {"pylibmc": ByPylibmc, "php": ByPhp, "spymemcached": BySpymemcached, "nutcracker": ByNutcracker}


def addresses(nodes):
    return [f"127.0.0.1:{node.port}" for node in nodes]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """Three, each with a store of its own."""
    started = [Server(tmp_path_factory.mktemp("node"), config=write_behind()).start() for _ in range(3)]
    yield started
    for node in started:
        node.stop()


@pytest.fixture
def client(request, nodes, tmp_path):
    kind, ejects = request.param
    for node in nodes:
        if not node.running():
            node.start()
        with node.client() as connection:
            connection.send(b"".join(b"delete sess:%d noreply\r\n" % number for number in range(KEYS)))
            connection.command(b"version")
    made = CLIENTS[kind](nodes, str(tmp_path), ejects)
    yield made
    made.stop()


def each_of(*kinds, ejects=False):
    return pytest.mark.parametrize("client", [(kind, ejects) for kind in kinds], indirect=True, ids=kinds)


def held(node):
    connection = node.client()
    return {number for number in range(KEYS) if connection.get(b"sess:%d" % number) is not None}


def tries(act):
    """Whether it worked; a ring that has lost a node fails once or twice before it closes."""
    try:
        act()
        return True
    except (AssertionError, pylibmc.Error):
        return False


@pytest.fixture(scope="module")
def homes(nodes):
    """Which keys live where, as libmemcached has it. Asked for before `client`, which clears the nodes."""
    place_by(pylibmc.Client(addresses(nodes), behaviors={"ketama_weighted": True}))
    found = [held(node) for node in nodes]
    assert sum(map(len, found)) == KEYS and all(found)
    return found


@each_of(*CLIENTS)
def test_they_agree_on_where_a_key_lives(homes, nodes, client):
    client.place()
    assert [held(node) for node in nodes] == homes


def test_php_sessions_live_where_their_name_without_its_prefix_does(nodes):
    need_php()
    names = [f"abc{number}" for number in range(30)]
    saves = "".join(f'session_id("{name}"); session_start(); $_SESSION["name"] = "{name}"; session_write_close();' for name in names)
    settings = {"session.save_handler": "memcached", "session.save_path": ",".join(addresses(nodes)), "session.use_cookies": 0,
                "session.cache_limiter": "", "memcached.sess_prefix": "sess:", "memcached.sess_consistent_hash_type": "ketama_weighted"}
    run("php", *(f"-d{name}={value}" for name, value in settings.items()), "-r", saves)
    ring = pylibmc.Client(addresses(nodes), behaviors={"ketama_weighted": True})
    assert all(ring.set(name, "v") for name in names)
    for node in nodes:
        connection = node.client()
        assert [connection.get(name) is None for name in names] == [connection.get(f"sess:{name}") is None for name in names]


@each_of(*CLIENTS)
def test_a_node_that_is_away_is_a_failure_and_not_a_logout(homes, nodes, client):
    client.place()
    nodes[1].kill()
    there, away = KEYS - len(homes[1]), len(homes[1])
    eventually(lambda: client.read() == [there, 0, away])  # spymemcached refuses what comes before it is connected
    nodes[1].start()
    eventually(lambda: client.read() == [KEYS, 0, 0])


@each_of("pylibmc", "php", "nutcracker", ejects=True)
def test_ejecting_takes_a_failure_for_a_miss_and_leaves_old_copies(homes, nodes, client):
    client.place("old")
    nodes[1].kill()
    away = len(homes[1])
    eventually(lambda: client.read()[1] > 0)
    found, missing, _ = client.read()
    assert found == KEYS - away and missing > away / 2  # those that were refused made the node leave the ring
    eventually(lambda: tries(lambda: client.place("new")))
    nodes[1].start()
    connection = nodes[1].client()  # to which the ring goes back
    assert {connection.get(f"sess:{number}") for number in homes[1]} == {b"old"}
