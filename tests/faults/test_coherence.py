# SPDX-License-Identifier: MIT
"""Two servers over one Redis, `coherent`: what one of them changes, or anybody else, is soon forgotten by the other, which never
shows an older value after a newer one; and while it is not certain that it hears, it asks the store. Its own writes cost no hits."""

import random
import select
import signal

import pytest
from coherent import SPACES, Model, backend, believes, config, expect, stats
from forebay import Background, Config, Redis, Server, eventually, namespace, share
from relay import Relay
from sentinel import Sentinels

pytestmark = pytest.mark.skipif(Redis.missing() is not None, reason=str(Redis.missing()))

BLIND = "what others change is not heard"


@pytest.fixture
def pair(serve, redis, tmp_path):
    """pair(namespaces) starts two servers over the Redis, or what else uri names, which hear of changes."""
    def start(*spaces, first=None, uri=redis.uri, **options):
        servers = [serve(config(own or uri, *spaces, node=number, **options), folder=tmp_path / f"node{number}")
                   for number, own in enumerate((first, None), 1)]
        for server in servers:
            eventually(lambda: believes(server))
        return servers
    return start


@pytest.fixture
def both(pair):
    return [server.client() for server in pair()]


# ---- Changes ----

@pytest.mark.parametrize("prefix", ["sess:", "wt:", "str:"])
def test_a_change_is_seen_by_the_other(both, prefix):
    one, other = both
    keys = [prefix + what for what in ("set", "delete", "touch", "again")]
    assert set(one.set_many((key, b"old") for key in keys)) == {b"STORED"}
    one.sync()
    for key in keys:
        expect(other, key, b"old")
    assert one.set(keys[0], b"new") == b"STORED"
    assert one.delete(keys[1]) == b"DELETED"
    assert one.touch(keys[2], 1) == b"TOUCHED"
    assert other.set(keys[3], b"theirs") == b"STORED"
    for key, value in zip(keys, (b"new", None, None, b"theirs")):
        expect(other, key, value)
        expect(one, key, value)


def test_counters_that_move_between_nodes(both):
    """What the other one has made of it is the base of the next change."""
    one, other = both
    one.set("wt:n", b"0")
    for number in range(1, 21):
        assert (one if number % 2 else other).incr("wt:n") == b"%d" % number
        expect(other if number % 2 else one, "wt:n", b"%d" % number)


def test_what_anybody_writes(redis, both):
    _, other = both
    beside = redis.connect()
    assert other.get("row:1") is None  # which is remembered
    beside.set("row:1", "foreign")
    expect(other, "row:1", b"foreign")
    beside.set("row:1", "changed")
    expect(other, "row:1", b"changed")
    beside.pexpire("row:1", 50)
    expect(other, "row:1", None)
    other.set("str:1", b"ours")
    beside.set("str:1", "theirs")  # and leaves the version as it is
    expect(other, "str:1", b"theirs")
    other.set("wt:1", b"ours")
    beside.delete("wt:1")
    expect(other, "wt:1", None)


@pytest.mark.parametrize("held", [True, False])
def test_what_is_in_quarantine_gives_way(redis, both, held):
    """A change that the store has refused is shown until the row is a newer one, be it in memory or not."""
    one, other = both
    beside = redis.connect()
    beside.rpush("sess:1", "a list")
    assert one.set("sess:1", b"refused") == b"STORED"
    eventually(lambda: one.stats("quarantine")["sessions:entries"] == "1")
    if not held:
        one.command("forget sess:1")
    assert one.get("sess:1") == b"refused"
    beside.delete("sess:1")
    other.set("sess:1", b"newer")
    expect(one, "sess:1", b"newer")
    eventually(lambda: one.stats("quarantine")["sessions:entries"] == "0")
    assert redis.rows("sess:1")[b"sess:1"].value == b"newer"


def test_all_is_gone(redis, both):
    beside = redis.connect()
    for client in both:
        beside.set("row:1", "1")
        expect(client, "row:1", b"1")
    beside.flushall()
    for client in both:  # an error, while the store is known to be another one
        eventually(lambda: client.ask("row:1") == ("miss", None))


def test_databases_that_are_swapped(redis, pair):
    """Redis tells nobody of that, and no connection is lost."""
    beside = redis.connect()
    other_database = beside.connection_pool.connection_kwargs | {"db": 1}
    with type(beside)(**other_database) as swapped:
        swapped.set("row:1", "new")
    beside.set("row:1", "old")
    clients = [server.client() for server in pair()]
    assert [client.get("row:1") for client in clients] == [b"old", b"old"]
    assert clients[0].set("wt:1", b"kept") == b"STORED"
    beside.execute_command("SWAPDB", 0, 1)
    for client in clients:  # an error, while the store is known to be another one
        eventually(lambda client=client: client.ask("row:1") == ("hit", b"new"))
    eventually(lambda: clients[1].ask("wt:1") == ("hit", b"kept"))


def test_prefixes_that_overlap(redis, pair):
    spaces = [namespace("all", "", "write-through"), namespace("a", "a:", "write-behind", flush_delay="10ms"),
              namespace("ab", "a:b:", "write-through", layout="string"),
              namespace("own", "forebay:x", "write-through")]
    one, other = [server.client() for server in pair(*spaces)]
    for key in ("x", "a:1", "a:b:1", "forebay:x1", "forebay:beside:1"):
        for value in (b"1", b"2"):
            assert one.set(key, value) == b"STORED"
            expect(other, key, value)


def test_namespaces_of_our_own_names_alone(pair):
    """Keys that begin like those that Forebay keeps for itself have other names in the store."""
    one, other = [server.client() for server in pair(namespace("own", "forebay:beside:", "write-through"),
                                                     namespace("elsewhere", "c:", "write-through", key_prefix="there:"))]
    for key in ("forebay:beside:1", "c:1"):
        for value in (b"1", b"2"):
            assert one.set(key, value) == b"STORED"
            expect(other, key, value)


@pytest.mark.parametrize("prefix", ["sess:", "wt:", "str:"])
def test_own_writes_cost_no_hits(pair, prefix):
    server, _ = pair()
    client = server.client()
    count = share(2000)
    for value in (b"1", b"2"):
        assert set(client.set_many((f"{prefix}{i}", value) for i in range(count))) == {b"STORED"}
        client.sync()
    # Each key is told of at least once: those that are told of together are told of together again.
    eventually(lambda: int(stats(server)["coherent_heard"]) >= 2 * count)
    assert client.set("row:end", b"") == b"STORED"
    loads = client.stats("namespaces")
    assert client.get_many(f"{prefix}{i}" for i in range(count)) == {b"%s%d" % (prefix.encode(), i): b"2" for i in range(count)}
    name = {"sess:": "sessions", "wt:": "through", "str:": "shared"}[prefix]
    assert client.stats("namespaces")[f"{name}:loads"] == loads[f"{name}:loads"] == "0"
    assert int(stats(server)["coherent_compared"]) > 0


@pytest.mark.threads
@pytest.mark.parametrize("prefix, layout", [("sess:", "hash"), ("wt:", "hash"), ("str:", "string")])
def test_both_write_the_same_keys(redis, pair, prefix, layout):
    """At once, so that commits cross what is heard of the other's. Whoever comes last in the store: both show that in the end,
    whatever they had on the way."""
    clients = [server.client() for server in pair()]
    keys = [f"{prefix}{i}" for i in range(20)]
    for number in range(share(100)):
        for client, mark in zip(clients, (b"one", b"other")):
            client.send(b"".join(client.storage("set", key, b"%s%d" % (mark, number)) for key in keys))
        for client in clients:
            assert {client.line() for _ in keys} == {b"STORED"}
        for client in clients:
            client.sync()
        stored = {key: row.value for key, row in redis.rows(prefix, layout).items()}
        for client in clients:
            eventually(lambda: client.get_many(keys) == stored, pause=0.002)


def test_a_namespace_that_a_reload_adds(redis, pair):
    servers = pair(SPACES[1])
    for server in servers:
        server.config.sections.append(namespace("later", "late:", "write-through"))
        server.write_config()
        server.signal(signal.SIGHUP)
    one, other = [server.client() for server in servers]
    for client in (one, other):
        eventually(lambda: client.stats("namespaces").get("later:policy") == "write-through")
    for key in ("late:1", "wt:1"):
        for value in (b"1", b"2"):
            eventually(lambda: one.set(key, value) == b"STORED")
            expect(other, key, value)
    eventually(lambda: all(believes(server) for server in servers))
    redis.connect().delete("late:1")
    expect(other, "late:1", None)


# ---- Not hearing ----

def kill_watchers(redis):
    """All connections that are subscribed; how many there were."""
    return redis.connect().execute_command("CLIENT", "KILL", "TYPE", "pubsub")


def test_a_watcher_that_is_cut_off(redis, pair):
    servers = pair()
    client, beside = servers[0].client(), redis.connect()
    for round_number in range(5):
        value = b"%d" % round_number
        beside.set("row:1", value)
        expect(client, "row:1", value)
        assert kill_watchers(redis) == 2
        beside.set("row:1", b"after " + value)
        expect(client, "row:1", b"after " + value)
        for server in servers:
            eventually(lambda server=server: int(stats(server)["coherent_reconnects"]) == round_number + 1)
            eventually(lambda server=server: believes(server))


def test_a_store_that_stops(redis, pair):
    """Reads are errors then, as if memory held nothing; dirty entries are there. When it goes on, nothing is missing."""
    server, _ = pair(timeout="20s")
    client = server.client()
    client.set("wt:1", b"clean")
    before = stats(server)
    redis.pause()
    client.set("sess:1", b"dirty")
    eventually(lambda: not believes(server))
    assert client.get("sess:1") == b"dirty"
    with server.client() as patient:
        patient.send("get wt:1\r\n")  # it goes to the store
        assert not select.select([patient.socket], [], [], 0.2)[0]
        redis.resume()
        assert patient.values()[0][2] == b"clean"
    eventually(lambda: believes(server))
    assert stats(server)["coherent_losses"] == before["coherent_losses"]
    loads = client.stats("namespaces")["through:loads"]
    assert client.get("wt:1") == b"clean"
    assert client.stats("namespaces")["through:loads"] == loads
    assert BLIND in server.log()


@pytest.mark.parametrize("on_backend_down, answer", [("error", "error"), ("miss", "miss"), ("stale", "hit")])
def test_a_store_that_is_away(redis, pair, on_backend_down, answer):
    server, _ = pair(namespace("through", "wt:", "write-through", on_backend_down=on_backend_down), timeout="500ms")
    client = server.client()
    client.set("wt:1", b"clean")
    redis.kill()
    eventually(lambda: not believes(server))
    assert client.ask("wt:1")[0] == answer
    redis.start()
    eventually(lambda: believes(server))
    expect(client, "wt:1", b"clean")  # it was written again: the store came back empty


def test_a_store_that_comes_back_with_other_rows(redis, pair):
    server, _ = pair(timeout="500ms")
    client = server.client()
    redis.connect().set("row:1", "old")
    expect(client, "row:1", b"old")
    redis.kill()
    redis.start()
    redis.connect().set("row:1", "new")
    eventually(lambda: client.ask("row:1") == ("hit", b"new"))


@pytest.fixture
def relay(redis):
    between = Relay(redis.port)
    yield between
    between.close()


def test_a_node_that_is_cut_off_shows_nothing_old(redis, pair, relay):
    """Nothing tells it that its connections are of no use, and the other one changes what it holds."""
    server, other = pair(first=f"redis://127.0.0.1:{relay.port}/0", timeout="500ms")
    client = server.client()
    client.set("wt:1", b"old")
    assert client.get("wt:1") == b"old"
    relay.frozen.set()
    assert other.client().set("wt:1", b"new") == b"STORED"
    eventually(lambda: not believes(server))
    assert client.ask("wt:1")[0] == "error"
    relay.frozen.clear()
    eventually(lambda: client.ask("wt:1") == ("hit", b"new"))
    eventually(lambda: believes(server))


# ---- Another master ----

def test_a_master_that_is_replaced(pair, tmp_path):
    """It sleeps meanwhile, and goes on as if it still were the master: whoever reads sees nothing older than what it has seen, nor
    than the limit."""
    with Sentinels(tmp_path / "sentinels") as sentinels:
        servers = pair(uri=sentinels.uri, timeout="1s")
        model, old = Model("wt:", 40), sentinels.master()
        model.write_all(servers[0], 1)
        sentinels.await_replica(old)
        with Background(model.read, servers[0]), Background(model.read, servers[1]):
            old.pause()
            new = sentinels.await_failover(old)
            model.write_all(servers[0], 2)
            for server in servers:
                eventually(lambda server=server: believes(server))
            old.resume()
            assert old.connect().hget("wt:0", "value") == b"1"
            for server in servers:
                for key in range(len(model.written)):
                    expect(server.client(), f"wt:{key}", b"2")
        new.connect().delete("wt:0")
        for server in servers:
            expect(server.client(), "wt:0", None)


def test_a_master_that_is_none_any_more_and_goes_on(pair, tmp_path):
    """It answers those who know it, with what it had, and Sentinel names another one."""
    with Sentinels(tmp_path / "sentinels") as sentinels:
        servers = pair(uri=sentinels.uri)
        old, new = sentinels.redis
        old.connect().set("row:1", "old")
        for server in servers:
            expect(server.client(), "row:1", b"old")
        sentinels.await_replica(old)
        new.connect().replicaof("NO", "ONE")
        names = sentinels.sentinels[0].connect()
        names.execute_command("SENTINEL", "REMOVE", "mymaster")
        names.execute_command("SENTINEL", "MONITOR", "mymaster", "127.0.0.1", new.port, 1)
        new.connect().set("row:1", "new")
        for server in servers:
            expect(server.client(), "row:1", b"new")
            eventually(lambda server=server: believes(server))
        new.connect().set("row:1", "newer")
        for server in servers:
            expect(server.client(), "row:1", b"newer")
        assert old.connect().get("row:1") == b"old"


# ---- Refused ----

def test_an_access_list_without_tracking(serve, redis, tmp_path):
    """Told, and right all the same: reads go to the store. The others go on."""
    beside = redis.connect()
    beside.execute_command("ACL", "SETUSER", "app", "on", ">secret", "allkeys", "&*", "+@all", "-client|tracking")
    uri = f"redis://app:secret@127.0.0.1:{redis.port}/0"
    server = serve(config(uri, *SPACES, namespace("plain", "", "cache-aside")), folder=tmp_path / "node1")
    client = server.client()
    eventually(lambda: BLIND in server.log())
    said = next(line for line in server.log().splitlines() if BLIND in line)
    assert "client|tracking" in said and "&__redis__:invalidate" in said and "secret" not in said, said
    assert "client|tracking" in server.check()
    assert client.set("plain", b"1") == b"STORED" and client.get("plain") == b"1"
    assert client.set("wt:1", b"1") == b"STORED" and client.get("wt:1") == b"1"
    beside.set("row:1", "1")
    assert client.get("row:1") == b"1"
    beside.set("row:1", "2")
    assert client.get("row:1") == b"2"
    beside.execute_command("ACL", "SETUSER", "app", "+client|tracking")
    eventually(lambda: believes(server))


def test_a_backend_that_cannot_tell(tmp_path):
    said = Server(tmp_path, Config(backends=[backend("sqlite:store.db")])).refuses("--check")
    assert ('coherent is not for an SQLite backend, which does not tell what others change, and "local" is "sqlite:store.db": '
            "remove it") in said, said


# ---- A random run ----

@pytest.mark.threads
def test_random_writes_through_both(redis, pair):
    servers = pair()
    model = Model("wt:", 40)
    background = [Background(model.write, servers, seed) for seed in (0, 1)] + [Background(model.read, server) for server in servers]
    for thread in background:
        thread.__enter__()
    dice = random.Random(7)
    for _ in range(share(10)):
        model.go_on(dice.randrange(1000))
        kill_watchers(redis)
    for thread in background:
        thread.join()
    for server in servers:
        client = server.client()
        for key, written in enumerate(model.written):
            if written[-1][1]:
                expect(client, f"wt:{key}", b"%d" % written[-1][1])
