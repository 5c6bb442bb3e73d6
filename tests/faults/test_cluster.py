# SPDX-License-Identifier: MIT
"""A Redis Cluster behind write-behind and write-through: a master dies under load and its replica takes over, slots move, a master
is away for good; and what is wrong with a cluster is told."""

import select
import signal
import socketserver
import threading

import pytest
from cluster import SLOTS, Cluster
from forebay import AWAY, THERE, Background, Config, Redis, Server, eventually, namespace, section, sqlite_backend
from load import Load

pytestmark = pytest.mark.skipif(Redis.missing() is not None, reason=str(Redis.missing()))

KEYS = 150
MARK = "forebay: store"
# A busy machine would do for one, and slots move between masters.
WITHOUT_FAILOVERS = ("--cluster-node-timeout", "3000", "--cluster-replica-no-failover", "yes")


def config(uri, timeout=THERE, **backend):
    return Config(namespace("sessions", "sess:", "write-behind", flush_delay="20ms"),
                  namespace("through", "wt:", "write-through"),
                  namespace("shared", "sh:", "write-behind", flush_delay="20ms", layout="string"),
                  namespace("blind", "bl:", "write-behind", flush_delay="20ms", existence="memory"),
                  backends=[section("backend", "local", uri=uri, timeout=timeout, **backend)], drain_timeout="2s")


def fill(client, value, prefix="sess:", count=KEYS):
    assert set(client.set_many((f"{prefix}{i}", value) for i in range(count))) == {b"STORED"}


def stat(server, name):
    return server.client().stats("backends")["local:" + name]


@pytest.mark.threads
def test_a_master_that_dies_under_load_loses_nothing(tmp_path, serve):
    """The keys of the others are served meanwhile; a replica has the rest after its promotion, and all of it: nothing is written
    again. It has no replica of its own before the one that has died is back, and is not believed until then."""
    with Cluster(tmp_path / "redis", replicas=1) as cluster:
        server = serve(config(cluster.uri, replicas=1))
        client, load, dead = server.client(), Load(server, KEYS), cluster.masters[0]
        with Background(load):
            load.go_on()
            dead.kill()
            cluster.await_failover(dead)
            load.go_on()
            dead.start()
            eventually(lambda: {client.set(f"wt:{i}", b"v") for i in range(30)} == {b"STORED"})
            assert {client.ask(f"sess:unknown{i}")[0] for i in range(30)} == {"miss"}
        client.sync()
        assert not load.refused
        assert cluster.values("sess:") == load.acknowledged
        assert stat(server, "store_regressions") == "0" and stat(server, "failovers") == "1"
        assert f"failover: what was at 127.0.0.1:{dead.port} is at 127.0.0.1:{cluster.master_of(0)} now" in server.log()


class Careful:
    """A server over the cluster with keys of its own, and what it has answered."""

    COUNT = 30

    def __init__(self, serve, folder, uri, number, **backend):
        self.prefix = f"{number}:"
        own = dict(key_prefix=self.prefix)
        self.server = serve(Config(namespace("sessions", "sess:", "write-behind", flush_delay="20ms", **own),
                                   namespace("through", "wt:", "write-through", **own),
                                   backends=[section("backend", "local", uri=uri, timeout="2s", **backend)], node=number,
                                   drain_timeout="2s"), folder=folder)
        self.answers = {}

    def store(self, value):
        """The keys of each kind that were stored."""
        for kind in ("sess", "wt"):
            keys = [f"{kind}:{i}" for i in range(self.COUNT)]
            self.answers[kind] = dict(zip(keys, self.server.client().set_many((key, value) for key in keys)))
        return [{key for key, answer in self.answers[kind].items() if answer == b"STORED"} for kind in ("sess", "wt")]

    def values(self, cluster):
        found = cluster.values(self.prefix)
        return {key[len(self.prefix):].decode(): value for key, value in found.items()}

    def keys_of(self, cluster, master):
        keys = [f"{self.prefix}{kind}:{i}" for kind in ("sess", "wt") for i in range(self.COUNT)]
        return {key[len(self.prefix):] for key in cluster.keys_of(keys, master)}


def test_what_is_lost_with_a_master(tmp_path, serve):
    """In a failover to a replica that lacks the newer half of all changes, without replicas to wait for and with them."""
    with Cluster(tmp_path / "redis", replicas=1) as cluster:
        careless = Careful(serve, tmp_path / "1", cluster.uri, 1)
        careful = Careful(serve, tmp_path / "2", cluster.uri, 2, replicas=1)
        for one in (careless, careful):
            assert [len(keys) for keys in one.store(b"old")] == [Careful.COUNT] * 2
            one.server.client().sync()
        dead = cluster.masters[0]
        lost, endangered = careless.keys_of(cluster, dead), careful.keys_of(cluster, dead)
        cluster.cut_off(dead)

        assert [len(keys) for keys in careless.store(b"new")] == [Careful.COUNT] * 2
        careless.server.client().sync()
        behind, through = careful.store(b"new")
        assert len(behind) == Careful.COUNT  # held
        refused = {key: answer for key, answer in careful.answers["wt"].items() if key not in through}
        assert set(refused) >= {key for key in endangered if key.startswith("wt:")}
        assert all(answer.startswith(b"SERVER_ERROR") for answer in refused.values())
        assert any(b"too few replicas have it" in answer for answer in refused.values())
        eventually(lambda: {key for key, value in careful.values(cluster).items() if value == b"new"} >=
                   (behind | through) - endangered)
        assert int(stat(careful.server, f"node:127.0.0.1:{dead.port}:replica_short")) > 0
        assert stat(careful.server, f"node:127.0.0.1:{dead.port}:breaker") == "closed"
        assert int(careful.server.client().stats("write_behind")["sessions:dirty_entries"]) >= \
            len([key for key in endangered if key.startswith("sess:")])

        dead.kill()
        cluster.await_failover(dead)
        eventually(lambda: set(careless.values(cluster).values()) == {b"new"} and len(careless.values(cluster)) == 2 * Careful.COUNT)
        assert lost and stat(careless.server, "store_regressions") == "1" and stat(careless.server, "failovers") == "1"
        assert f"redis at 127.0.0.1:{cluster.master_of(0)}: went back to an older state" in careless.server.log()
        eventually(lambda: "entries that memory holds were written to the store again" in careless.server.log())

        assert int(careful.server.client().stats("write_behind")["sessions:dirty_entries"]) > 0  # the new master has no replica
        dead.start()
        careful.server.client().sync()
        found = careful.values(cluster)
        assert {found[key] for key in behind | through} == {b"new"} and len(found) == 2 * Careful.COUNT


def test_a_loss_that_is_marked_late_is_told_once(tmp_path, serve):
    """The one that was promoted takes no writes without a replica, so no new mark of the store either: it gets one when it is opened
    next, for whatever reason, by which other servers hear of the loss. The server that knows of it has told it."""
    with Cluster(tmp_path / "redis", replicas=1) as cluster:
        server = serve(config(cluster.uri))
        other = serve(Config(namespace("sessions", "sess:", "write-behind"),
                             backends=[section("backend", "local", uri=cluster.uri)], node=1), folder=tmp_path / "other")
        client, (dead, heir) = server.client(), (cluster.masters[0], cluster.replicas[0])
        fill(client, b"old")
        client.sync()
        mark = dead.ask("GET", MARK)
        heir.connect().config_set("min-replicas-to-write", 1)
        cluster.cut_off(dead)
        fill(client, b"new")
        client.sync()
        dead.kill()
        eventually(lambda: stat(server, "store_regressions") == "1")
        dead.start()
        eventually(lambda: "entries that memory holds were written to the store again" in server.log())
        assert heir.ask("GET", MARK) == mark and stat(other, "store_regressions") == "0"

        server.config = config(cluster.uri)
        server.config.sections.append(namespace("more", "more:", "write-behind"))
        server.write_config()
        server.signal(signal.SIGHUP)
        eventually(lambda: "reload: " in server.log())
        fill(client, b"newer")
        client.sync()
        assert heir.ask("GET", MARK) != mark
        assert stat(server, "store_regressions") == "1" and "another store" not in server.log()
        eventually(lambda: stat(other, "store_regressions") == "1")


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
    """Rows of both layouts; half-way, where keys are at one node or the other, and when all are moved. With them goes what the
    master is known by: it does not look as if anything was lost."""
    with Cluster(tmp_path / "redis", *WITHOUT_FAILOVERS, replicas=1) as cluster:
        server = serve(config(cluster.uri, replicas=1))
        client, load, shared = server.client(), Load(server, KEYS), Load(server, KEYS, "sh:")
        source, target = cluster.masters[0], cluster.masters[1]
        slots = set(cluster.slots_with([f"{prefix}{i}" for prefix in ("sess:", "sh:", "wt:") for i in range(KEYS)], source))
        fill(client, b"before", "wt:")
        with Background(load), Background(shared):
            load.go_on()
            slots |= set(cluster.slots_of_numbers(source))
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
        assert cluster.slots_of_numbers(source) and stat(server, "store_regressions") == "0"


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


def test_a_copy_holds_a_lost_master_against_that_alone(tmp_path, serve):
    """It waits for what that has; what is changed meanwhile at the other masters is written."""
    def over(cluster, **more):
        return Config(namespace("sessions", "sess:", "write-behind", "wide", flush_delay="20ms", **more),
                      namespace("others", "ot:", "write-behind", "wide", flush_delay="20ms"),
                      backends=[sqlite_backend(), section("backend", "wide", uri=cluster.uri, timeout=AWAY)], drain_timeout="2s")

    with Cluster(tmp_path / "redis", "--cluster-require-full-coverage", "no") as cluster:
        server, away = serve(over(cluster)), cluster.masters[0]
        keys = [f"ot:{i}" for i in range(KEYS)]
        elsewhere = {key.encode() for key in keys} - {key.encode() for key in cluster.keys_of(keys, away)}
        fill(server.client(), b"v")
        server.client().sync()
        server.stop()
        server.config = over(cluster, copy_to="local")
        away.pause()
        server.start()
        client = server.client()
        eventually(lambda: int(client.stats("backends")["wide:write_failures"]) >= 5)
        fill(client, b"v", "ot:")
        eventually(lambda: set(cluster.masters[1].rows("ot:")) | set(cluster.masters[2].rows("ot:")) == elsewhere)
        assert client.stats("backends")["wide:write_breaker_opened"] == "0"
        away.resume()
        eventually(lambda: client.stats("namespaces")["sessions:copy_state"] == "complete")
        assert {key: row.value for key, row in server.rows().items()} == {f"sess:{i}".encode(): b"v" for i in range(KEYS)}


def test_a_copy_to_a_cluster_waits_for_a_lost_master_with_its_keys_alone(tmp_path, serve):
    """In the walk, in write-behind and in write-through: what belongs to the others is written to both stores meanwhile."""
    def over(**more):
        return Config(namespace("sessions", "sess:", "write-behind", flush_delay="20ms", **more),
                      namespace("through", "wt:", "write-through", **more),
                      backends=[sqlite_backend(), section("backend", "wide", uri=cluster.uri, timeout=AWAY)], drain_timeout="2s")

    def written(table, value, rows):
        return {key.decode() for key, row in rows.items() if row.value == value and key.startswith(table)}

    with Cluster(tmp_path / "redis", "--cluster-require-full-coverage", "no") as cluster:
        server, away = serve(over()), cluster.masters[0]
        keys, through = [f"sess:{i}" for i in range(KEYS)], [f"wt:{i}" for i in range(12)]
        lost = set(cluster.keys_of(keys + through, away))
        fill(server.client(), b"before")
        fill(server.client(), b"before", "wt:", len(through))
        server.client().sync()
        server.stop()
        server.config = over(copy_to="wide")
        away.pause()
        server.start()
        client, others = server.client(), set(keys) - lost
        eventually(lambda: "writes to a part of it fail and are tried again, the rest is written" in server.log())
        fill(client, b"after")
        eventually(lambda: written(b"sess:", b"after", server.rows()) == others)
        assert {key.decode() for node in cluster.masters[1:] for key, row in node.rows("sess:").items()
                if row.value == b"after"} == others
        eventually(lambda: {key for key in through if client.set(key, b"after") != b"STORED"} == lost & set(through))
        assert client.stats("namespaces")["sessions:copy_state"] in ("clearing", "copying")
        away.resume()
        client.sync()
        for space, prefix, table in (("sessions", "sess:", "sessions"), ("through", "wt:", "through")):
            eventually(lambda space=space: client.stats("namespaces")[f"{space}:copy_state"] == "complete")
            assert {key: row.value for key, row in server.rows(table).items()} == cluster.values(prefix)
        assert set(cluster.values("sess:").values()) == {b"after"}


def test_a_start_without_the_master_that_has_the_newest_change_has_no_older_store(tmp_path, serve):
    """What a master that is away has counts as it was noted at the end; new changes are above that."""
    with Cluster(tmp_path / "redis", "--cluster-require-full-coverage", "no") as cluster:
        server, away = serve(config(cluster.uri, AWAY)), cluster.masters[-1]
        keys = [f"sess:{i}" for i in range(KEYS)]
        key, there = cluster.keys_of(keys, away)[0], cluster.keys_of(keys, cluster.masters[0])[0]
        fill(server.client(), b"old")
        server.client().sync()
        assert server.client().set(key, b"newest") == b"STORED"
        server.client().sync()
        server.stop()
        away.pause()
        server.start()
        client = server.client()
        eventually(lambda: client.get(there) == b"old")
        assert client.set(key, b"newer") == b"STORED"
        away.resume()
        client.sync()
        assert away.rows("sess:")[key.encode()].value == b"newer"
        assert "It is an older copy" not in server.log() and stat(server, "store_regressions") == "0"


@pytest.mark.threads
def test_a_master_that_is_away_for_good_holds_up_nobody_else(tmp_path, serve):
    """Its rows wait, and its keys fail; those of the others are written and read. When it is back, all is written."""
    with Cluster(tmp_path / "redis", "--cluster-require-full-coverage", "no") as cluster:
        server = serve(config(cluster.uri, AWAY), admin=True)
        client, away = server.client(), cluster.masters[0]
        keys = [f"sess:{i}" for i in range(KEYS)]
        lost = set(cluster.keys_of(keys, away))
        fill(client, b"v", "bl:", 60)
        client.sync()
        client.command("flush_all")  # from now on a touch is of a row that memory does not know
        away.kill()
        for i in range(60):
            client.command(f"touch bl:{i} 10000")
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
        assert cluster.values("bl:", field="expires_at") != {} and b"0" not in cluster.values("bl:", field="expires_at").values()
        eventually(lambda: "all parts of it take writes again" in server.log())


def test_a_master_that_is_silent_holds_up_no_load_of_the_others(tmp_path, serve):
    """Not even of the only reader: keys of the others are loaded while those of the silent one wait, which get their answer in the
    end, as it was merely late."""
    with Cluster(tmp_path / "redis", "--cluster-require-full-coverage", "no") as cluster:
        server, silent = serve(config(cluster.uri, readers=1)), cluster.masters[0]
        fill(server.client(), b"v")
        server.client().sync()
        server.stop()
        server.start()
        keys = [f"sess:{i}" for i in range(KEYS)]
        lost = cluster.keys_of(keys, silent)
        client, waiting = server.client(), [server.client() for _ in range(4)]
        silent.pause()
        for one, key in zip(waiting, lost):
            one.send(f"get {key}\r\n")
        assert {client.get(key) for key in keys if key not in lost} == {b"v"}
        assert not select.select([one.socket for one in waiting], [], [], 0)[0]
        loads = server.client().stats("namespaces")
        assert int(loads["sessions:load_hits"]) == KEYS - len(lost) and loads["sessions:load_errors"] == "0"
        silent.resume()
        assert [one.values() for one in waiting] == [[(key.encode(), 0, b"v", None)] for key in lost[:4]]
        eventually(lambda: set(client.get_many(keys).values()) == {b"v"})


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
        eventually(lambda: f"redis at 127.0.0.1:{wrong.port}: WRONGPASS" in server.check())
        keys = {f"sess:{i}" for i in range(KEYS)}
        others = {key.encode() for key in keys - set(cluster.keys_of(keys, wrong))}
        eventually(lambda: set(cluster.values("sess:")) == others)
        eventually(lambda: f"redis at 127.0.0.1:{wrong.port}: WRONGPASS" in server.log())
        assert "correct the user or the password in its uri" in server.log() and "right@" not in server.log()
        server.kill()  # it would try to write the rest
