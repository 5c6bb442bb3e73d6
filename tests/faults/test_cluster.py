# SPDX-License-Identifier: MIT
"""A Redis Cluster behind write-behind and write-through: a master dies under load and its replica takes over, slots move, a master
is away for good; and what is wrong with a cluster is told."""

import socketserver
import threading

import pytest
from cluster import SLOTS, Cluster
from forebay import AWAY, THERE, Background, Config, Redis, Server, eventually, namespace, section, sqlite_backend
from load import Load

pytestmark = pytest.mark.skipif(Redis.missing() is not None, reason=str(Redis.missing()))

KEYS = 150


def config(uri, timeout=THERE, **backend):
    return Config(namespace("sessions", "sess:", "write-behind", flush_delay="20ms"),
                  namespace("through", "wt:", "write-through"),
                  namespace("shared", "sh:", "write-behind", flush_delay="20ms", layout="string"),
                  backends=[section("backend", "local", uri=uri, timeout=timeout, **backend)], drain_timeout="2s")


def fill(client, value, prefix="sess:", count=KEYS):
    assert set(client.set_many((f"{prefix}{i}", value) for i in range(count))) == {b"STORED"}


@pytest.mark.threads
def test_a_master_that_dies_under_load_loses_nothing(tmp_path, serve):
    """The keys of the others are served meanwhile; a replica has the rest after its promotion."""
    with Cluster(tmp_path / "redis", replicas=1) as cluster:
        server = serve(config(cluster.uri))
        client, load, dead = server.client(), Load(server, KEYS), cluster.masters[0]
        with Background(load):
            load.go_on()
            dead.kill()
            eventually(lambda: cluster.master_of(0) not in (dead.port, None))
            load.go_on()
            eventually(lambda: {client.set(f"wt:{i}", b"v") for i in range(30)} == {b"STORED"})
            assert {client.ask(f"sess:unknown{i}")[0] for i in range(30)} == {"miss"}
        client.sync()
        assert not load.refused
        assert cluster.values("sess:") == load.acknowledged


def test_a_master_that_hands_over_is_left(tmp_path, serve):
    """While nothing is written: what looks after the masters that are known meets one that is none any more."""
    with Cluster(tmp_path / "redis", replicas=1) as cluster:
        server = serve(config(cluster.uri))
        client, old, new = server.client(), cluster.masters[0], cluster.replicas[0]
        fill(client, b"before")
        client.sync()
        new.ask("CLUSTER", "FAILOVER")
        eventually(lambda: cluster.master_of(0, asked=old) == new.port)
        client.sync()
        fill(client, b"after")
        client.sync()
        assert set(cluster.values("sess:").values()) == {b"after"}
        server.check_alive()


@pytest.mark.threads
def test_slots_that_move_under_load_lose_nothing(tmp_path, serve):
    """Rows of both layouts; half-way, where keys are at one node or the other, and when all are moved."""
    with Cluster(tmp_path / "redis") as cluster:
        server = serve(config(cluster.uri))
        client, load, shared = server.client(), Load(server, KEYS), Load(server, KEYS, "sh:")
        source, target = cluster.masters[0], cluster.masters[1]
        slots = cluster.slots_with([f"{prefix}{i}" for prefix in ("sess:", "sh:", "wt:") for i in range(KEYS)], source)
        fill(client, b"before", "wt:")
        with Background(load), Background(shared):
            load.go_on()
            cluster.begin_move(slots, source, target)
            load.go_on()
            fill(client, b"after", "wt:")
            assert {client.ask(f"sess:unknown{i}")[0] for i in range(30)} == {"miss"}
            cluster.end_move(slots, source, target)
            load.go_on()
        client.sync()
        assert not load.refused and not shared.refused
        assert cluster.values("sess:") == load.acknowledged
        assert cluster.values("sh:", "string") == shared.acknowledged
        assert set(cluster.values("wt:").values()) == {b"after"}


def test_a_namespace_is_copied_to_a_cluster_and_back(tmp_path, serve):
    """All masters are walked, and a round in which a change reached some of them alone is followed by another."""
    def copied(backend, copy_to=None):
        more = {"copy_to": copy_to} if copy_to else {}
        return Config(namespace("sessions", "sess:", "write-behind", backend, flush_delay="20ms", **more),
                      backends=[sqlite_backend(), section("backend", "new", uri=cluster.uri, timeout=AWAY)])

    def restart(config):
        server.stop()
        server.config = config
        server.start()

    def is_complete():
        return server.client().stats("namespaces")["sessions:copy_state"] == "complete"

    with Cluster(tmp_path / "redis") as cluster:
        server = serve(copied("local", "new"))
        fill(server.client(), b"before")
        eventually(is_complete)
        server.client().sync()
        assert cluster.values("sess:") == dict.fromkeys(server.rows(), b"before")
        restart(copied("new", "local"))
        eventually(is_complete)
        away = cluster.masters[0]
        away.pause()
        fill(server.client(), b"after")
        eventually(lambda: "writes" in server.log() and "fail and are tried again" in server.log())
        away.resume()
        server.client().sync()
        eventually(is_complete)
        assert {key: row.value for key, row in server.rows().items()} == cluster.values("sess:")
        assert len(server.rows()) == KEYS and set(cluster.values("sess:").values()) == {b"after"}
        restart(copied("local"))
        assert set(server.client().get_many([f"sess:{i}" for i in range(KEYS)]).values()) == {b"after"}


@pytest.mark.threads
def test_a_master_that_is_away_for_good_holds_up_nobody_else(tmp_path, serve):
    """Its rows wait, and its keys fail; those of the others are written and read. When it is back, all is written."""
    with Cluster(tmp_path / "redis", "--cluster-require-full-coverage", "no") as cluster:
        server = serve(config(cluster.uri, AWAY), admin=True)
        client, away = server.client(), cluster.masters[0]
        keys = [f"sess:{i}" for i in range(KEYS)]
        lost = set(cluster.keys_of(keys, away))
        away.kill()
        fill(client, b"v")
        others = {key.encode() for key in keys if key not in lost}
        eventually(lambda: set(cluster.values("sess:")) == others)
        fill(client, b"w")
        eventually(lambda: [cluster.values("sess:").get(key) for key in others] == [b"w"] * len(others))
        through = [f"wt:{i}" for i in range(12)]
        failing = set(cluster.keys_of(through, away))
        eventually(lambda: {key for key in through if client.set(key, b"v") != b"STORED"} == failing)
        assert {key for key in through if client.ask("sess:no" + key)[0] == "error"} == \
            set(key[len("sess:no"):] for key in cluster.keys_of(["sess:no" + key for key in through], away))
        log = server.log()
        assert "writes to a part of it fail and are tried again, the rest is written" in log
        assert f"redis at 127.0.0.1:{away.port}: Connection refused" in log
        assert "writes fail and are tried again" not in log and "reads fail" not in log
        stats = {name[len("local:node:127.0.0.1:"):]: value for name, value in client.stats("backends").items() if ":node:" in name}
        assert {node.port: stats[f"{node.port}:breaker"] for node in cluster.masters} == \
            {node.port: "open" if node is away else "closed" for node in cluster.masters}
        assert sum(int(stats[f"{node.port}:slots"]) for node in cluster.masters) == SLOTS
        assert f'forebay_backend_node_up{{backend="local",node="127.0.0.1:{away.port}"}} 0\n' in server.ask("/metrics").text
        assert int(stats[f"{away.port}:errors"]) > 0 and int(stats[f"{cluster.masters[1].port}:commands"]) > 0
        away.start()
        client.sync()
        assert cluster.values("sess:") == dict.fromkeys((key.encode() for key in keys), b"w")
        eventually(lambda: "all parts of it take writes again" in server.log())


def refusal(folder, uri):
    return Server(folder, config=config(uri)).refuses()


def test_what_is_wrong_with_the_uri_is_told(tmp_path):
    with Cluster(tmp_path / "one", count=1) as one, Cluster(tmp_path / "other", count=1) as other, \
            Redis(tmp_path / "alone") as alone:
        said = refusal(tmp_path, one.uri + f",127.0.0.1:{other.masters[0].port}")
        assert "they are of two clusters: name nodes of one in its uri" in said
        assert f"127.0.0.1:{one.masters[0].port} and 127.0.0.1:{other.masters[0].port}" in said
        half = Server(tmp_path, config=config(one.uri + ",127.0.0.1:1")).check()
        assert "warning" in half and "redis at 127.0.0.1:1: Connection refused" in half and "ready" in half, half
        assert "no node of a cluster: write redis:// into its uri" in refusal(tmp_path, Cluster.uri_of(alone))
        assert "write redis+cluster:// into its uri" in refusal(tmp_path, one.masters[0].uri)
        assert "has no database but 0" in refusal(tmp_path, one.uri + "/1")
        assert "not for redis+cluster://" in Server(tmp_path, config=config(one.uri, replicas=1)).refuses()
        one.masters[0].ask("CONFIG", "SET", "requirepass", "secret")
        said = refusal(tmp_path, one.uri)
        assert f"redis at 127.0.0.1:{one.masters[0].port}: NOAUTH" in said and "write a password into its uri" in said


class Itself(socketserver.StreamRequestHandler):
    """A node of a cluster that says of each row that it is elsewhere, namely here."""

    def handle(self):
        port = self.server.server_address[1]
        where = f"-MOVED 5 127.0.0.1:{port}\r\n"
        node = f"*3\r\n$9\r\n127.0.0.1\r\n:{port}\r\n$2\r\nid\r\n"
        while line := self.rfile.readline():
            words = []
            for _ in range(int(line[1:])):
                words.append(self.rfile.read(int(self.rfile.readline()[1:]) + 2)[:-2])
            answer = {b"CLUSTER": f"*1\r\n*3\r\n:0\r\n:16383\r\n{node}", b"INFO": "$17\r\ncluster_enabled:1\r\n",
                      b"SCRIPT": "$40\r\n" + "a" * 40 + "\r\n", b"EVALSHA": where, b"HMGET": where}.get(words[0], "$-1\r\n")
            self.wfile.write(answer.encode())


def test_a_node_that_sends_to_itself_is_told(tmp_path, serve):
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Itself) as node:
        node.daemon_threads = True
        threading.Thread(target=node.serve_forever, args=(0.05,), daemon=True).start()
        port = node.server_address[1]
        server = serve(config(f"redis+cluster://127.0.0.1:{port}"))
        assert server.client().set("sess:1", b"v") == b"STORED"
        eventually(lambda: f"is at 127.0.0.1:{port}, it says, which is itself, and refuses it" in server.log())
        server.kill()
        node.shutdown()


def test_slots_without_a_master_are_told(tmp_path, serve):
    with Cluster(tmp_path / "redis", "--cluster-require-full-coverage", "no", count=2, until=16000) as cluster:
        server = serve(config(cluster.uri, AWAY))
        eventually(lambda: "has no master, nor have 383 others" in server.check())
        client = server.client()
        fill(client, b"v", count=1000)
        eventually(lambda: "has no master, nor have 383 others: start their nodes, or give the slots away" in server.log())
        eventually(lambda: len(cluster.values("sess:")) > 900)
        server.kill()  # it would try to write the rest


def test_a_wrong_password_at_one_node_is_told_and_holds_up_nobody_else(tmp_path, serve):
    with Cluster(tmp_path / "redis", count=2) as cluster:
        for node, password in zip(cluster.masters, ("right", "other")):
            node.ask("ACL", "SETUSER", "ann", "on", ">" + password, "~*", "&*", "+@all")
        server = serve(config(cluster.uri_of(cluster.masters[0], login="ann:right@"), AWAY))
        client = server.client()
        fill(client, b"v")
        wrong = cluster.masters[1]
        assert f"redis at 127.0.0.1:{wrong.port}: WRONGPASS" in server.check()
        keys = {f"sess:{i}" for i in range(KEYS)}
        others = {key.encode() for key in keys - set(cluster.keys_of(keys, wrong))}
        eventually(lambda: set(cluster.values("sess:")) == others)
        eventually(lambda: f"redis at 127.0.0.1:{wrong.port}: WRONGPASS" in server.log())
        assert "correct the user or the password in its uri" in server.log() and "right@" not in server.log()
        server.kill()  # it would try to write the rest
