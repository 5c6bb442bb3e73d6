# SPDX-License-Identifier: MIT
"""Two servers over one Redis Cluster, `coherent`: what anybody changes at any master is soon forgotten, also while slots move, at a
master that has come, and after one that was replaced by its replica. Their own writes, and rows that move, cost no hits."""

import contextlib
import random

import pytest
from cluster import Cluster
from coherent import SPACES, Model, backend, believes, config, expect, stats
from forebay import THERE, Background, Config, Redis, Server, eventually, share

pytestmark = pytest.mark.skipif(Redis.missing() is not None, reason=str(Redis.missing()))

LAYOUTS = pytest.mark.parametrize("prefix", ["sess:", "wt:", "str:"])


def start_pair(stack, cluster, folder, timeouts=(THERE, THERE)):
    servers = [Server(folder / f"node{number}", config=config(cluster.uri, node=number, timeout=timeout), admin=True)
               for number, timeout in enumerate(timeouts, 1)]
    for server in servers:
        stack.enter_context(server.start())
    for server in servers:
        eventually(lambda server=server: believes(server))
    return servers


class Field:
    """A cluster, and two servers over it, for all tests that leave them whole. Each has keys of its own."""

    def __init__(self, stack, folder):
        self.cluster = stack.enter_context(Cluster(folder / "redis"))
        self.servers = start_pair(stack, self.cluster, folder)
        self.one, self.other = [server.client() for server in self.servers]

    def stat(self, name):
        """Of both servers."""
        return [int(stats(server)[f"coherent_{name}"]) for server in self.servers]

    def loads(self):
        return [{name: value for name, value in server.client().stats("namespaces").items() if name.endswith(":loads")}
                for server in self.servers]


@pytest.fixture(name="field", scope="module")
def shared_field(tmp_path_factory):
    with contextlib.ExitStack() as stack:
        yield Field(stack, tmp_path_factory.mktemp("field"))


@pytest.fixture(autouse=True)
def whole(request):
    """Whatever a test did before: both hear."""
    if "field" in request.fixturenames:
        field = request.getfixturevalue("field")
        eventually(lambda: all(believes(server) for server in field.servers))


# ---- Changes ----

@LAYOUTS
def test_a_change_is_seen_by_the_other(field, prefix):
    """At each of the masters."""
    sets, deletes, touches = ([f"{prefix}{what}{i}" for i in range(12)] for what in ("set", "delete", "touch"))
    keys = sets + deletes + touches
    assert set(field.one.set_many((key, b"old") for key in keys)) == {b"STORED"}
    field.one.sync()
    eventually(lambda: field.other.get_many(keys) == dict.fromkeys((key.encode() for key in keys), b"old"))
    assert set(field.one.set_many((key, b"new") for key in sets)) == {b"STORED"}
    assert {field.one.delete(key) for key in deletes} == {b"DELETED"}
    assert {field.one.touch(key, 1) for key in touches} == {b"TOUCHED"}
    for client in (field.one, field.other):
        eventually(lambda client=client: client.get_many(keys) == dict.fromkeys((key.encode() for key in sets), b"new"))


@LAYOUTS
def test_own_writes_cost_no_hits(field, prefix):
    count, loads, heard, losses = share(500), field.loads()[0], field.stat("heard")[0], field.stat("losses")
    for value in (b"1", b"2"):
        assert set(field.one.set_many((f"{prefix}own{i}", value) for i in range(count))) == {b"STORED"}
        field.one.sync()
    eventually(lambda: field.stat("heard")[0] >= heard + 2 * count)
    assert len(field.one.get_many(f"{prefix}own{i}" for i in range(count))) == count
    assert field.loads()[0] == loads and field.stat("losses") == losses


def test_what_anybody_writes(field):
    """At the master that has it."""
    for i in range(6):
        row, ours, through = f"row:{i}", f"str:f{i}", f"wt:f{i}"
        assert field.other.get(row) is None  # which is remembered
        field.cluster.node_of(row)[0].ask("SET", row, "foreign")
        field.other.set(ours, b"ours")
        field.cluster.node_of(ours)[0].ask("SET", ours, "theirs")
        field.other.set(through, b"ours")
        field.cluster.node_of(through)[0].ask("DEL", through)
        for key, value in ((row, b"foreign"), (ours, b"theirs"), (through, None)):
            expect(field.other, key, value)


def test_one_master_is_emptied(field):
    emptied, keys = field.cluster.masters[1], [f"row:gone{i}" for i in range(12)]
    for key in keys:
        field.cluster.node_of(key)[0].ask("SET", key, "1")
    gone = set(field.cluster.keys_of(keys, emptied))
    for client in (field.one, field.other):
        assert set(client.get_many(keys).values()) == {b"1"}
    emptied.ask("FLUSHALL")
    for client in (field.one, field.other):  # errors, while the store is known to be another one
        eventually(lambda client=client: [client.ask(key)[0] for key in keys] ==
                   ["miss" if key in gone else "hit" for key in keys])


def test_a_watcher_of_one_master_is_cut_off(field):
    before, cut_off = field.stat("reconnects"), field.cluster.masters[2]
    keys = field.cluster.keys_of([f"row:cut{i}" for i in range(12)], cut_off)
    for key in keys:
        cut_off.ask("SET", key, "before")
        expect(field.other, key, b"before")
    assert cut_off.ask("CLIENT", "KILL", "TYPE", "pubsub") == 2
    for key in keys:
        cut_off.ask("SET", key, "after")
        expect(field.other, key, b"after")
    eventually(lambda: field.stat("reconnects") == [number + 1 for number in before])


# ---- Slots ----

def store(field, keys, value):
    """Through one server, and the other sees it."""
    assert set(field.one.set_many((key, value) for key in keys)) == {b"STORED"}
    field.one.sync()
    for key in keys:
        expect(field.other, key, value)


def test_a_slot_that_moves_to_a_master_that_has_come(field):
    """Changes are heard there while it has no slot yet, and when the slot is its own. Rows that move are compared, and stay."""
    keys, foreign = [f"{prefix}{{move}}" for prefix in ("sess:", "wt:", "str:")], "row:{move}"
    stays = [f"wt:stays{i}" for i in range(20)]
    source, slot = field.cluster.node_of("{move}")
    target = field.cluster.add_master()
    for server in field.servers:
        eventually(lambda server=server: stats(server).get(f"node:127.0.0.1:{target.port}:heard") == "yes")
        eventually(lambda server=server: believes(server))
    store(field, keys + stays, b"1")
    before, heard = field.stat("losses"), field.stat("heard")
    loads = field.loads()
    field.cluster.begin_move([slot], source, target)
    field.cluster.move_keys(slot, source, target)
    eventually(lambda: all(now >= then + 2 * len(keys) for now, then in zip(field.stat("heard"), heard)))
    for client in (field.one, field.other):
        assert set(client.get_many(keys + stays).values()) == {b"1"}
    assert field.stat("losses") == before and field.loads() == loads
    store(field, keys, b"2")
    field.cluster.end_move([slot], source, target)
    for value in (b"3", b"4"):
        target.ask("SET", foreign, value)  # whatever these servers know of the slot
        expect(field.other, foreign, value)
        store(field, keys, value)
    eventually(lambda: all(now > then for now, then in zip(field.stat("losses"), before)))


def test_a_slot_that_a_master_takes_with_its_rows_left_behind(field):
    """Nobody moves them: they are gone with the slot."""
    key = "row:{taken}"
    source, slot = field.cluster.node_of("{taken}")
    target = next(node for node in field.cluster.masters if node is not source)
    source.ask("SET", key, "1")
    for client in (field.one, field.other):
        expect(client, key, b"1")
    target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.identity())
    target.ask("CLUSTER", "SETSLOT", slot, "NODE", target.identity())
    for client in (field.one, field.other):
        eventually(lambda client=client: client.ask(key) == ("miss", None))


def test_a_slot_that_nobody_has_for_a_while(field):
    """And that somebody has then, without its rows."""
    key = "row:{nobody}"
    source, slot = field.cluster.node_of("{nobody}")
    target = next(node for node in field.cluster.masters if node is not source)
    source.ask("SET", key, "1")
    for client in (field.one, field.other):
        expect(client, key, b"1")
    losses = field.stat("losses")
    for node in field.cluster.masters:
        node.ask("CLUSTER", "DELSLOTS", slot)
    eventually(lambda: all(now > before for now, before in zip(field.stat("losses"), losses)))
    target.ask("CLUSTER", "ADDSLOTS", slot)
    for client in (field.one, field.other):
        eventually(lambda client=client: client.ask(key) == ("miss", None))


@pytest.mark.threads
def test_random_writes_through_both_while_slots_move(field):
    """To another master and back, half-way for a while; and watchers are cut off."""
    model, dice, cluster = Model("wt:r", 40), random.Random(7), field.cluster
    background = [Background(model.write, field.servers, seed) for seed in (0, 1)]
    background += [Background(model.read, server) for server in field.servers]
    with contextlib.ExitStack() as stack:
        for thread in background:
            stack.enter_context(thread)
        for _ in range(share(6)):
            source, target = dice.sample(cluster.masters, 2)
            slots = cluster.slots_with([f"{model.prefix}{key}" for key in range(len(model.written))], source)[:4]
            cluster.begin_move(slots, source, target)
            model.go_on(dice.randrange(200))
            cluster.end_move(slots, source, target)
            model.go_on(dice.randrange(200))
            dice.choice(cluster.masters).ask("CLIENT", "KILL", "TYPE", "pubsub")
    for server in field.servers:
        for key, written in enumerate(model.written):
            if written[-1][1]:
                expect(server.client(), f"{model.prefix}{key}", b"%d" % written[-1][1])


# ---- Masters that are replaced ----

def await_successor(cluster, old):
    """Until all others know it: who still knows the old one may send a server there, which then waits its `timeout` for it."""
    slot = 16384 * cluster.masters.index(old) // cluster.count
    others = [node for node in cluster.nodes if node is not old and node.running()]

    def successor():
        ports = {cluster.master_of(slot, node) for node in others}
        return ports.pop() if len(ports) == 1 and not ports & {old.port, None} else None

    port = eventually(successor)
    return next(node for node in cluster.nodes if node.port == port)


def expect_all(server, model, number):
    """And it hears of what comes."""
    eventually(lambda: believes(server))
    with server.client() as client:
        for key in range(len(model.written)):
            eventually(lambda key=key: client.ask(f"{model.prefix}{key}") == ("hit", b"%d" % number))


@pytest.mark.threads
def test_a_master_that_is_replaced(tmp_path):
    """One that sleeps and goes on, and would show what it had; then another one that dies. Whoever reads sees nothing older than
    what it has seen, nor than the limit. A server that asked for nothing meanwhile does not wait for the one that sleeps."""
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(Cluster(tmp_path / "redis", replicas=1))
        one, other = start_pair(stack, cluster, tmp_path, timeouts=("1s", THERE))
        model = Model("wt:", 40)
        model.write_all(one, 1)
        expect_all(other, model, 1)
        sleeps, dies = cluster.masters[:2]
        with Background(model.read, one):
            cluster.await_replica(sleeps)
            sleeps.pause()
            await_successor(cluster, sleeps)
            model.write_all(one, 2)
            expect_all(other, model, 2)
            sleeps.resume()
            expect_all(one, model, 2)
            expect_all(other, model, 2)
        with Background(model.read, one), Background(model.read, other):
            cluster.await_replica(dies)
            dies.kill()
            new = await_successor(cluster, dies)
            model.write_all(one, 3)
            expect_all(one, model, 3)
            expect_all(other, model, 3)
        for key in cluster.keys_of([f"wt:{key}" for key in range(len(model.written))], new):
            new.ask("DEL", key)
            for server in (one, other):
                expect(server.client(), key, None)
        assert stats(other)[f"node:127.0.0.1:{new.port}:heard"] == "yes"
        assert stats(other)[f"node:127.0.0.1:{dies.port}:heard"] == "no"
        assert stats(one)["store_regressions"] == stats(other)["store_regressions"] == "0"


# ---- What is told ----

# As docs/backends.md has them.
RIGHTS = ("script|load evalsha get set del exists hget hset hmget hdel hexists hgetall expire pexpireat pexpiretime persist scan info "
          "select time client|id client|tracking subscribe ping cluster|slots cluster|nodes asking cluster|shards").split()


def test_a_right_that_is_missing_at_one_master(field, tmp_path, serve):
    """Told, with the place and what is missing, and right all the same: reads go to the store."""
    cluster = field.cluster
    strict = cluster.masters[1]
    for node in cluster.masters:
        rights = RIGHTS[:-1] if node is strict else RIGHTS
        node.ask("ACL", "SETUSER", "ann", "on", ">secret", "~*", "resetchannels", "&__redis__:invalidate",
                 *("+" + right for right in rights))
    server = serve(Config(*SPACES, backends=[backend(cluster.uri_of(*cluster.masters, login="ann:secret@"))], node=3),
                   folder=tmp_path / "node3")
    client = server.client()
    eventually(lambda: f"redis at 127.0.0.1:{strict.port}: NOPERM" in server.log())
    assert "coherent over a cluster needs +cluster|shards" in server.log() and "secret@" not in server.log()
    key = next(f"row:strict{i}" for i in range(100) if cluster.keys_of([f"row:strict{i}"], strict))
    for value in (b"1", b"2"):
        strict.ask("SET", key, value)
        assert client.get(key) == value
    strict.ask("ACL", "SETUSER", "ann", "+cluster|shards")
    eventually(lambda: believes(server))


def test_what_is_heard_is_told_of_each_node(field):
    for server in field.servers:
        told = stats(server)
        page = server.ask("/metrics").text
        for node in field.cluster.masters:
            assert told[f"node:127.0.0.1:{node.port}:heard"] == "yes"
            assert f'forebay_backend_node_heard{{backend="local",node="127.0.0.1:{node.port}"}} 1\n' in page
