# SPDX-License-Identifier: MIT
"""Redis with Sentinel behind write-behind and write-through: the master dies under load, comes back, is a replica, is watched by
nobody; and the server itself is killed meanwhile. Nothing that was accepted is refused or lost."""

import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from forebay import AWAY, THERE, Background, Config, Redis, Server, eventually, namespace, section
from load import Load
from sentinel import NEVER, Sentinels

pytestmark = pytest.mark.skipif(Redis.missing() is not None, reason=str(Redis.missing()))

KEYS = 300


@pytest.fixture
def sentinels(tmp_path):
    with Sentinels(tmp_path / "redis") as started:
        yield started


def config(uri, timeout=THERE, **backend):
    return Config(namespace("sessions", "sess:", "write-behind", flush_delay="20ms"),
                  namespace("through", "wt:", "write-through"),
                  backends=[section("backend", "local", uri=uri, timeout=timeout, **backend)], drain_timeout="2s")


def stat(server, name):
    return server.client().stats("backends")["local:" + name]


def values(redis, prefix="sess:"):
    return {key: row.value for key, row in redis.rows(prefix).items()}


def fill(client, count, value):
    assert set(client.set_many((f"sess:{i}", value) for i in range(count))) == {b"STORED"}


def numbers(rows):
    return [int(value) for value in rows.values()]


@pytest.mark.threads
@pytest.mark.parametrize("dies", [True, False])
def test_a_failover_under_load_loses_nothing(serve, sentinels, dies):
    """Nor does the old master that comes back, from death or from a long sleep, get anything, though it takes itself for one for
    seconds; nor do Sentinels that are all away keep anything from the master that is known."""
    server = serve(config(sentinels.uri, THERE if dies else "1s"))
    client, load, old = server.client(), Load(server, KEYS), sentinels.master()
    with Background(load):
        load.go_on()
        assert stat(server, "address") == f"127.0.0.1:{old.port}" and "/mymaster" in stat(server, "uri")
        old.kill() if dies else old.pause()
        new = sentinels.await_failover(old)
        eventually(lambda: client.set("wt:a", b"v") == b"STORED")
        eventually(lambda: client.ask("sess:unknown") == ("miss", None))
        newest = load.count
        old.start() if dies else old.resume()
        load.go_on()
        for sentinel in sentinels.sentinels:
            sentinel.kill()
        load.go_on()
        client.sync()
        assert client.ask("sess:unknown") == ("miss", None)
    client.sync()
    assert not load.refused
    assert values(new) == load.acknowledged
    assert values(new, "wt:") == {b"wt:a": b"v"}
    assert max(numbers(values(old)), default=0) <= newest < min(numbers(values(new)))
    assert stat(server, "failovers") == "1" and stat(server, "address") == f"127.0.0.1:{new.port}"
    assert f"failover: the store is at 127.0.0.1:{new.port} now, it was at 127.0.0.1:{old.port}" in server.log()


def test_a_kill_of_the_server_meanwhile_loses_nothing(serve, sentinels):
    server = serve(config(sentinels.uri))
    client, old = server.client(), sentinels.master()
    fill(client, KEYS, b"old")
    client.sync()
    sentinels.await_replica(old)
    old.kill()
    fill(client, KEYS // 2, b"new")
    server.kill()
    new = sentinels.await_failover(old)
    server.start()
    server.client().sync()
    found = values(new)
    assert len(found) == KEYS
    assert all(found[b"sess:%d" % i] == (b"new" if i < KEYS // 2 else b"old") for i in range(KEYS))


def test_a_start_without_sentinels_goes_on_and_finds_them(serve, sentinels):
    only = sentinels.sentinels[0]
    only.kill()
    server = serve(config(sentinels.uri, AWAY))
    client = server.client()
    fill(client, KEYS, b"new")
    eventually(lambda: f'redis sentinels of "mymaster": none answers; 127.0.0.1:{only.port}' in server.log())
    only.start()
    client.sync()
    assert len(values(sentinels.master())) == KEYS


# ---- A replica by its own address ----

def test_sentinels_of_two_masters_are_told(tmp_path, sentinels):
    """The first that answers decides, so another one may lead elsewhere. A --check asks them all."""
    with Sentinels(tmp_path / "other", replicas=0) as other:
        uri = sentinels.uri_of(sentinels.sentinels[0], other.sentinels[0])
        server = Server(tmp_path / "server", config=config(uri))
        said = server.check()
        ports = [sentinels.master().port, other.master().port]
        assert f"names 127.0.0.1:{ports[1]}" in said and f"names 127.0.0.1:{ports[0]}" in said, said
        assert "name the Sentinels of one in its uri" in said, said
        other.sentinels[0].kill()
        assert f"redis sentinel at 127.0.0.1:{other.sentinels[0].port}: Connection refused" in server.check()
    assert "warning" not in Server(tmp_path / "server", config=config(sentinels.uri)).check()


def test_a_replica_is_not_written_to_and_says_who_is_its_master(serve, sentinels):
    replica = next(one for one in sentinels.redis if one is not sentinels.master())
    said = f"it is a replica of 127.0.0.1:{sentinels.master().port}, and only a master can be written to"
    server = serve(config(replica.uri, "300ms"))
    assert re.search(rf"backend local: not available yet: .*redis at 127.0.0.1:{replica.port}/0: {said}", server.log()), server.log()
    client = server.client()
    fill(client, 3, b"v")
    assert client.set("wt:a", b"v").startswith(b"SERVER_ERROR")
    check = subprocess.run([*server.command(), "--check"], capture_output=True, text=True, timeout=60, check=False)
    assert said in check.stderr, check.stderr
    replica.connect().execute_command("REPLICAOF", "NO", "ONE")
    client.sync()
    assert len(values(replica)) == 3


def test_a_namespace_that_only_reads_may_have_a_replica(serve, sentinels):
    replica = next(one for one in sentinels.redis if one is not sentinels.master())
    sentinels.master().connect().hset("row:1", "value", "v")
    eventually(lambda: replica.connect().exists("row:1"))
    server = serve(Config(namespace("rows", "row:", "read-through"),
                          backends=[section("backend", "local", uri=replica.uri, timeout=THERE)]))
    assert server.client().get("row:1") == b"v"
    assert "replica" not in server.log() and stat(server, "write_breaker") == "closed"


# ---- Replicas that have to have it ----

class Node:
    """A server over the same Redis as others, with keys of its own; n of each kind are in all Redis, n more in the master alone."""

    COUNT = 20
    DELETED, EVICTED = b"sess:0", (b"sess:21", b"sess:39")

    def __init__(self, serve, folder, uri, number, replicas=0, **top):
        self.prefix = f"{number}:"
        self.folder = folder
        own = dict(key_prefix=self.prefix)
        self.config = Config(namespace("sessions", "sess:", "write-behind", flush_delay="20ms", **own),
                             namespace("through", "wt:", "write-through", **own),
                             namespace("blind", "blind:", "write-behind", flush_delay="20ms", existence="memory", **own),
                             backends=[section("backend", "local", uri=uri, timeout="1s", replicas=replicas)], node=number, **top)
        self.serve = lambda: serve(self.config, folder=folder)
        self.server = self.serve()

    def store(self, first):
        """{key: answer}, of write-through and of write-behind changes."""
        client = self.server.client()
        return {b"%s:%d" % (kind, i): client.set(b"%s:%d" % (kind, i), b"v")
                for kind in (b"wt", b"sess") for i in range(first, first + self.COUNT)}

    def delete_and_evict(self, *keys):
        """A delete, and changes that memory does not hold any more: all in the store at hand."""
        client = self.server.client()
        assert client.delete(self.DELETED) == b"DELETED"
        client.sync()
        assert all(client.command(b"forget " + key) == b"FORGOTTEN" for key in keys)

    def values(self, redis):
        """{key: value}, as a Redis has them."""
        return {key[len(self.prefix):]: row.value for key, row in redis.rows(self.prefix).items()}

    def rows(self, redis):
        """The keys that a Redis has."""
        return set(self.values(redis))

    def lose(self, disk):
        self.server.kill()
        if disk:
            shutil.rmtree(self.folder)

    def start(self):
        self.server = self.serve()
        self.server.client().sync()


def stored(answers, kind=b""):
    return {key for key, answer in answers.items() if answer == b"STORED" and key.startswith(kind)}


@pytest.fixture
def patient_sentinels(tmp_path):
    with Sentinels(tmp_path / "redis", down_after=NEVER) as started:
        yield started


def test_what_is_lost_with_the_master(tmp_path, serve, patient_sentinels):
    """The table of docs/design.md, cell by cell, in one failover to a replica that lacks the second half of all changes."""
    sentinels = patient_sentinels
    old = sentinels.master()

    def node(number, **backend):
        return Node(serve, tmp_path / str(number), sentinels.uri, number, **backend)

    lives, killed, wiped = node(1), node(2), node(3)
    lives_careful, killed_careful, wiped_careful = node(4, replicas=1), node(5, replicas=1), node(6, replicas=1)
    nodes = [lives, killed, wiped, lives_careful, killed_careful, wiped_careful]
    before = {one: one.store(0) for one in nodes}
    for one in nodes:
        one.server.client().sync()
        assert len(stored(before[one])) == 2 * Node.COUNT
    eventually(lambda: all(one.rows(replica) == stored(before[one]) for one in nodes for replica in sentinels.redis))
    sentinels.cut_off(old)
    with ThreadPoolExecutor(len(nodes)) as pool:  # some wait for a replica in vain
        after = dict(zip(nodes, pool.map(lambda one: one.store(Node.COUNT), nodes)))
    for one in (lives, killed):
        one.delete_and_evict(*Node.EVICTED)
    eventually(lambda: all(len(one.rows(old)) >= 3 * Node.COUNT for one in (lives, killed, wiped)))
    # what waits for a replica is given again and again: how many of its rows the first time had, nobody says
    eventually(lambda: all(len(one.rows(old)) > 2 * Node.COUNT for one in (lives_careful, killed_careful, wiped_careful)))
    for one in (killed, killed_careful):
        one.lose(disk=False)
    for one in (wiped, wiped_careful):
        one.lose(disk=True)
    new = sentinels.kill_and_await(old)
    old.start()
    sentinels.follow(old, new)
    for one in (killed, killed_careful, wiped, wiped_careful):
        one.start()
    lives_careful.server.client().sync()
    # without replicas all was acknowledged, and what only the old master had is where a server still has it
    assert all(len(stored(after[one])) == 2 * Node.COUNT for one in (lives, killed, wiped))
    eventually(lambda: lives.rows(new) == (stored(before[lives]) | stored(after[lives])) - {Node.DELETED})
    assert stat(lives.server, "store_regressions") == "1"
    eventually(lambda: killed.rows(new) == (stored(before[killed]) | stored(after[killed], b"sess")) - {Node.DELETED})
    assert wiped.rows(new) == stored(before[wiped])
    # with them, what only the old master had was promised by the journal alone
    for one in (lives_careful, killed_careful, wiped_careful):
        assert stored(after[one]) == stored(after[one], b"sess") and len(stored(after[one])) == Node.COUNT
    assert stored(before[lives_careful]) | stored(after[lives_careful]) <= lives_careful.rows(new)
    assert killed_careful.rows(new) == stored(before[killed_careful]) | stored(after[killed_careful])
    assert wiped_careful.rows(new) == stored(before[wiped_careful])


MANY = 2500
NOT_KEPT = "the journal keeps nothing of them (journal_keep)"
AGAIN = "entries that memory holds were written to the store again, where it had older ones or none, and"


def change_all(node):
    """What only the journal has afterwards, beside a store that is about to lose it."""
    client = node.server.client()
    assert client.touch("blind:", 5000) == b"NOT_FOUND"  # and the row is touched all the same
    fill(client, MANY, b"new")
    assert all(client.delete(f"sess:{i}") == b"DELETED" for i in range(0, MANY, 10))
    assert client.touch("sess:1", 5000) == b"TOUCHED"
    client.sync()
    assert client.command("flush_all") == b"OK"


def test_what_the_journal_alone_has_is_written_again(tmp_path, serve, patient_sentinels):
    """While clients go on; also after a kill in the middle of it, when the new master has taken changes again; and by a start that
    finds it behind. With so little memory that the keys are taken in parts. Without journal_keep, the log says that it is not."""
    old = patient_sentinels.master()
    lives, dies, starts, forgets = (Node(serve, tmp_path / str(number), patient_sentinels.uri, number, memory="2mb",
                                         journal_file_size="64kb", journal_keep=0 if number == 4 else "1m")
                                    for number in (1, 2, 3, 4))
    nodes = (lives, dies, starts, forgets)
    for node in nodes:
        fill(node.server.client(), MANY, b"old")
        assert node.server.client().set("blind:", b"old") == b"STORED"
        node.server.client().sync()
        assert node.server.client().command("flush_all") == b"OK"
    load = Load(lives.server, KEYS, "sess:load:")
    with Background(load):
        load.go_on()
        patient_sentinels.await_replica(old)
        patient_sentinels.cut_off(old)
        lately = [Node(serve, tmp_path / str(number), patient_sentinels.uri, number) for number in (5, 6)]
        for node in lately:  # of which the replica has not even heard
            fill(node.server.client(), KEYS, b"late")
            node.server.client().sync()
            assert node.server.client().command("flush_all") == b"OK"
        lately[0].server.pause()
        lately[1].server.stop()
        for node in nodes:
            change_all(node)
        starts.server.stop()
        new = patient_sentinels.kill_and_await(old)
        starts.server.start()
        for node in nodes:
            eventually(lambda node=node: node.server.client().set("sess:2", b"newest") == b"STORED")
        eventually(lambda: dies.values(new).get(b"sess:2") == b"newest")
        lately[0].server.resume()
        lately[1].server.start()
        dies.server.kill()
        dies.server.start()
        eventually(lambda: AGAIN in lives.server.log())
        load.go_on()
    lives.server.client().sync()
    assert not load.refused
    expected = {b"sess:%d" % i: b"new" for i in range(MANY) if i % 10} | {b"sess:2": b"newest", b"blind:": b"old"}
    for node in (lives, dies, starts):
        eventually(lambda node=node: AGAIN in node.server.log())
        assert node.values(new) == expected | (load.acknowledged if node is lives else {})
        for key in ("sess:1", "blind:"):
            assert [row.expires_at > 0 for name, row in new.rows(node.prefix + key).items() if name.endswith(key.encode())] == [True]
        client = node.server.client()
        assert client.ask("sess:10") == ("miss", None) and client.ask("sess:11") == ("hit", b"new")
        assert "the journal has not kept them" not in node.server.log()
        assert NOT_KEPT not in node.server.log()
    eventually(lambda: NOT_KEPT in forgets.server.log())
    for node in lately:
        eventually(lambda node=node: AGAIN in node.server.log())
        assert "has nothing of what it acknowledged to this server" in node.server.log()
        assert node.values(new) == {b"sess:%d" % i: b"late" for i in range(KEYS)}


def test_changes_are_held_until_enough_replicas_have_them(serve, sentinels):
    replica = next(one for one in sentinels.redis if one is not sentinels.master())
    server = serve(config(sentinels.uri, "400ms", replicas=1))
    client = server.client()
    sentinels.cut_off(sentinels.master())
    assert client.set("wt:a", b"v").startswith(b"SERVER_ERROR backend local has written it, but too few replicas have it")
    fill(client, KEYS, b"v")
    said = "written, but only 0 of 1 replicas have it"
    eventually(lambda: said in server.log())
    assert client.stats("write_behind")["sessions:dirty_entries"] == str(KEYS)
    assert int(stat(server, "replica_short")) >= 1
    sentinels.join()
    client.sync()
    eventually(lambda: client.set("wt:a", b"v") == b"STORED")
    assert len(values(replica)) == KEYS and values(replica, "wt:") == {b"wt:a": b"v"}
    assert int(stat(server, "replica_waits")) > int(stat(server, "replica_short"))
