# SPDX-License-Identifier: MIT
"""Two Forebay nodes on one Redis.

Write-behind: one is killed with changes that only its journal has; the other changes the same keys; then the first comes back
and replays late. The newer change stays, whichever node made it. Write-through: each change is made of what the other node has
written, also where memory has an older copy, and wherever the clocks stand."""

import contextlib
import os
import re
import threading
import time

import pytest
from forebay import Config, Redis, Server, binary, eventually, namespace, section

pytestmark = pytest.mark.skipif(Redis.missing() is not None, reason=str(Redis.missing()))


def node(folder, number, redis, delay, layout, **more):
    """A node that flushes after `delay`."""
    space = namespace("sessions", "sess:", "write-behind", backend="remote", flush_delay=delay, flush_batch=100000, journal="os",
                      layout=layout)
    return Server(folder, config=Config(space, backends=[section("backend", "remote", uri=redis.uri)], node=number), **more)


@pytest.fixture(params=["hash", "string"])
def layout(request):
    return request.param


@pytest.fixture
def nodes(tmp_path, redis, layout):
    with node(tmp_path / "a", 1, redis, "1h", layout) as first, node(tmp_path / "b", 2, redis, "10ms", layout) as second:
        yield first, second


@pytest.fixture
def value(redis, layout):
    """value(key): what Redis has."""
    client = redis.connect()
    return client.get if layout == "string" else lambda key: client.hget(key, "value")


def replay_late(first):
    """The killed node comes back and writes what its journal holds."""
    first.start()
    client = first.client()
    client.sync()
    return client


def test_a_late_replay_does_not_undo_a_newer_set(nodes, value):
    first, second = nodes
    assert first.client().set("sess:both", b"older") == b"STORED"
    assert first.client().set("sess:one", b"only here") == b"STORED"
    first.kill()
    assert value("sess:both") is None, "only the journal has it"
    time.sleep(0.01)
    client = second.client()
    assert client.set("sess:both", b"newer") == b"STORED"
    client.sync()
    assert value("sess:both") == b"newer"
    client = replay_late(first)
    assert value("sess:both") == b"newer"
    assert value("sess:one") == b"only here"
    assert client.get("sess:both") == b"newer", "the first node has learned of it"


def test_a_late_replay_does_not_revive_a_deleted_key(nodes, value):
    first, second = nodes
    client = second.client()
    client.set("sess:x", b"there")
    client.sync()
    assert first.client().set("sess:x", b"older") == b"STORED"
    first.kill()
    time.sleep(0.01)
    assert client.delete("sess:x") == b"DELETED"
    client.sync()
    assert value("sess:x") is None
    client = replay_late(first)
    assert value("sess:x") is None
    assert client.get("sess:x") is None


def test_a_late_delete_does_not_remove_a_newer_set(nodes, value):
    first, second = nodes
    client = second.client()
    client.set("sess:x", b"there")
    client.sync()
    assert first.client().delete("sess:x") == b"DELETED"
    first.kill()
    time.sleep(0.01)
    client.set("sess:x", b"newer")
    client.sync()
    client = replay_late(first)
    assert value("sess:x") == b"newer"
    assert client.get("sess:x") == b"newer"


def test_a_newer_change_of_the_journal_wins(nodes, value):
    """The other way round: the journal has the newer one."""
    first, second = nodes
    client = second.client()
    client.set("sess:x", b"older")
    client.sync()
    time.sleep(0.01)
    assert first.client().set("sess:x", b"newer") == b"STORED"
    first.kill()
    replay_late(first)
    assert value("sess:x") == b"newer"


def test_a_node_takes_over(nodes):
    """What one node has flushed, the other serves."""
    first, second = nodes
    client = first.client()
    client.set_many((f"sess:{i}", b"%d" % i) for i in range(500))
    client.sync()
    first.kill()
    found = second.client().get_many([f"sess:{i}" for i in range(500)])
    assert found == {b"sess:%d" % i: b"%d" % i for i in range(500)}


# ---- Write-through ----

def through(folder, number, redis, layout, **more):
    """A node whose changes are answered by Redis."""
    space = namespace("sessions", "sess:", "write-through", backend="remote", layout=layout)
    return Server(folder, config=Config(space, backends=[section("backend", "remote", uri=redis.uri)], node=number), **more)


@pytest.fixture
def pair(tmp_path, redis, layout):
    with through(tmp_path / "a", 1, redis, layout) as first, through(tmp_path / "b", 2, redis, layout) as second:
        yield first.client(), second.client()


CHANGES = (  # of 15, where the first node has a copy of 10; the answer, and what is there then
    (b"incr sess:n 1", b"16", b"16"),
    (b"decr sess:n 1", b"14", b"14"),
    (b"append sess:n 0 0 1\r\n0", b"STORED", b"150"),
    (b"prepend sess:n 0 0 1\r\n1", b"STORED", b"115"),
    (b"replace sess:n 0 0 1\r\n3", b"STORED", b"3"),
    (b"touch sess:n 1000", b"TOUCHED", b"15"),
    (b"ms sess:n 1 MA\r\n0", b"HD", b"150"),
    (b"ma sess:n v", b"VA 2", b"16"),
    (b"mg sess:n T1000 v", b"VA 2", b"15"),
)


def test_a_change_is_made_of_what_the_other_node_has_written(pair, value):
    first, second = pair
    for request, answer, there in CHANGES:
        assert first.set("sess:n", b"10") == b"STORED" and first.get("sess:n") == b"10"
        assert [second.incr("sess:n") for _ in range(5)] == [b"11", b"12", b"13", b"14", b"15"]
        assert first.get("sess:n") == b"10", "an old copy, as nobody has told"
        first.send(request + b"\r\n")
        assert first.line() == answer
        if answer.startswith(b"VA"):
            assert first.line() == there
        assert first.get("sess:n") == value("sess:n") == there


def test_a_token_of_before_the_other_nodes_set_is_refused(pair, value):
    first, second = pair
    first.set("sess:n", b"10")
    _, _, token = first.gets("sess:n")
    assert second.set("sess:n", b"theirs") == b"STORED"
    assert first.store("cas", "sess:n", b"ours", token=token) == b"EXISTS"
    assert value("sess:n") == b"theirs"
    _, _, token = first.gets("sess:n")
    assert first.store("cas", "sess:n", b"ours", token=token) == b"STORED"
    assert value("sess:n") == b"ours"


def test_a_touch_keeps_no_other_nodes_value_under_this_nodes_token(pair, value):
    first, second = pair
    first.set("sess:n", b"10")
    second.set("sess:n", b"theirs")
    assert first.touch("sess:n", 1000) == b"TOUCHED"
    assert first.gets("sess:n") == second.gets("sess:n") and value("sess:n") == b"theirs"


def test_a_late_touch_leaves_the_other_nodes_value(nodes, value):
    """Under write-behind, where it is written behind the other node's set."""
    first, second = nodes
    client, other = first.client(), second.client()
    client.set("sess:n", b"10")
    client.sync()
    assert other.set("sess:n", b"theirs") == b"STORED"
    other.sync()
    assert client.touch("sess:n", 1000) == b"TOUCHED"
    client.sync()
    assert value("sess:n") == b"theirs" and client.gets("sess:n") == other.gets("sess:n")
    assert client.stats("write_behind")["sessions:rows_superseded"] == "1"


def test_what_the_other_node_has_deleted_is_not_there(pair, value):
    first, second = pair
    for change in ("incr sess:n 1", "touch sess:n 1000", "md sess:n I T30"):
        first.set("sess:n", b"10")
        assert second.delete("sess:n") == b"DELETED"
        assert first.command(change) in (b"NOT_FOUND", b"NF")
        assert first.get("sess:n") is None and value("sess:n") is None


def test_a_place_is_made_where_the_other_node_has_deleted_the_row(pair, value):
    """By a request that would have touched the row. Its answer tells the CAS that fills the place."""
    first, second = pair
    for dictated in (b"", b" E7"):
        first.set("sess:n", b"10")
        assert second.delete("sess:n") == b"DELETED"
        head, cas, won = first.command(b"mg sess:n N30 T60 c" + dictated).split()
        assert (head, won) == (b"HD", b"W") and cas[1:] == (dictated[2:] or b"%d" % first.gets("sess:n")[2])
        assert value("sess:n") is None and first.store("cas", "sess:n", b"made", token=int(cas[1:])) == b"STORED"
        assert value("sess:n") == b"made"


class Cuts:
    """While it is entered, all connections to Redis are cut over and over."""

    def __init__(self, redis):
        self.client, self.over = redis.connect(), threading.Event()
        self.thread = threading.Thread(target=self.cut)

    def cut(self):
        while not self.over.wait(0.01):
            self.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


@pytest.mark.parametrize("cut", [False, True])
def test_no_increment_is_lost_between_nodes(pair, value, redis, cut):
    """Both at once, in pipelines, of the same few counters. What has failed may have been counted, but once at most."""
    rounds, keys = 40, [f"sess:{i}" for i in range(3)]
    for key in keys:
        pair[0].set(key, b"0")
    answers = [[], []]

    def count(client, answers):
        for _ in range(rounds):
            client.send(b"".join(f"incr {key} 1\r\n".encode() for key in keys for _ in range(3)))
            answers += [(key, client.line()) for key in keys for _ in range(3)]

    threads = [threading.Thread(target=count, args=one) for one in zip(pair, answers)]
    with Cuts(redis) if cut else contextlib.nullcontext():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for key in keys:
        given = [int(answer) for of, answer in answers[0] + answers[1] if of == key and answer.isdigit()]
        assert len(set(given)) == len(given) <= int(value(key)) <= 2 * 3 * rounds, "each number is given once"
        assert cut or len(given) == 2 * 3 * rounds


def test_a_lock_is_given_to_one(pair):
    first, second = pair
    for i in range(20):
        won = [client.store("add", f"sess:{i}", b"held") for client in (first, second)]
        assert sorted(won) == [b"NOT_STORED", b"STORED"]


def see_each_other(*clients):
    eventually(lambda: all(client.stats("backends")["remote:other_nodes"] == "1" for client in clients))


def test_nothing_is_denied_because_of_an_old_copy(pair, value):
    first, second = pair
    see_each_other(first)
    for denied, request, answer in ((b"1", "add sess:n 0 0 1\r\n2", b"STORED"), (b"text", "incr sess:n 1", b"6"),
                                    (b"1", "ms sess:n 1 ME\r\n2", b"HD")):
        first.set("sess:n", denied)
        assert second.delete("sess:n") == b"DELETED"
        if answer == b"6":
            second.set("sess:n", b"5")
        assert first.get("sess:n") == denied
        assert first.command(request) == answer
        assert first.get("sess:n") == value("sess:n") == (b"6" if answer == b"6" else b"2")
    first.set("sess:n", b"ours")
    second.set("sess:n", b"theirs")
    token = second.gets("sess:n")[2]
    assert first.get("sess:n") == b"ours"
    assert first.store("cas", "sess:n", b"newest", token=token) == b"STORED"
    assert value("sess:n") == b"newest"


# ---- Numbers, clocks, warnings ----

def test_a_node_number_that_is_used_is_refused(tmp_path, redis):
    first, second = (through(tmp_path / name, 1, redis, "hash") for name in "ab")
    with first:
        said = second.refuses()
        assert "its node number 1 is used by another server" in said and "a `node` of its own" in said
        assert f"process {first.pid}" in said
        first.kill()
        with second:  # at once, as the other is dead
            assert second.client().set("sess:n", b"v") == b"STORED"
            second.stop()
            first.start()  # it was given back
            assert second.refuses()


def test_the_number_of_a_data_folder_stays_its_own(tmp_path, redis):
    """Where nobody can see whether the process that had it is gone, as in a container that was started anew."""
    server, other = (through(tmp_path / name, 1, redis, "hash") for name in "ab")
    with server:
        server.kill()
        seen, home, _, name = redis.connect().hget("forebay: nodes", "1").split(b" ", 3)
        redis.connect().hset("forebay: nodes", "1", b" ".join((seen, home, b"another/1/1/1", name)))
        assert other.refuses()
        server.start()
        assert server.client().set("sess:n", b"v") == b"STORED"


def test_a_node_number_that_is_taken_meanwhile_is_told(tmp_path, redis):
    """As by a server that was started while Redis was away."""
    with through(tmp_path / "a", 1, redis, "hash") as server:
        now = redis.connect().time()[0]
        redis.connect().hset("forebay: nodes", "1", f"{now} folder process elsewhere, process 7")
        eventually(lambda: "its node number 1 is used by another server (elsewhere, process 7)" in server.log())
        assert server.client().set("sess:n", b"v") == b"STORED"
        assert server.client().stats("backends")["remote:rival"] == "1"
        redis.connect().hdel("forebay: nodes", "1")
        eventually(lambda: server.client().stats("backends")["remote:rival"] == "0")


def test_copies_that_may_be_old_for_ever_are_warned_of(tmp_path, redis):
    spaces = [namespace(name, f"{name}:", "write-through", backend="remote", max_residency=life)
              for name, life in (("short", "1s"), ("long", "0"))]
    config = Config(*spaces, backends=[section("backend", "remote", uri=redis.uri)], node=1)
    with Server(tmp_path / "a", config=config) as server:
        server.client().set("long:n", b"v")
        assert "max_residency" not in server.log(), "alone"
        with through(tmp_path / "b", 2, redis, "hash"):
            eventually(lambda: "backend remote: 1 more server keeps its rows" in server.log())
        assert server.log().count("Set max_residency, the longest that a copy may be old, for: long\n") == 1


LIBRARY = os.path.join(os.path.dirname(binary()), "tests", "libclock_ahead.so")  # tests/faults/clock_ahead.c
needs_clock = pytest.mark.skipif(not os.path.exists(LIBRARY), reason=f"{LIBRARY} is not there: a release build has it")


def off_by(folder, seconds):
    """The environment of a server whose clock is off."""
    clock = folder / "clock"
    clock.write_bytes(seconds.to_bytes(8, "little", signed=True))
    return {"LD_PRELOAD": LIBRARY, "CLOCK_AHEAD": str(clock)}


@needs_clock
def test_a_set_of_a_slow_clock_is_not_lost(tmp_path, redis, value, layout):
    with through(tmp_path / "b", 2, redis, layout) as right, \
            through(tmp_path / "a", 1, redis, layout, env=off_by(tmp_path, -3)) as behind:
        first, second = behind.client(), right.client()
        for i in range(20):
            assert second.set(f"sess:{i}", b"before") == first.set(f"sess:{i}", b"after") == b"STORED"
            assert value(f"sess:{i}") == first.get(f"sess:{i}") == b"after"
        assert re.search(r"error: backend remote: its clock is (2\d\d\d|3000) ms ahead of this machine's", behind.log())
        assert "its clock" not in right.log()
        assert 2_000_000 <= int(first.stats("backends")["remote:clock_off_us"]) <= 3_000_000
        assert int(second.stats("backends")["remote:clock_off_us"]) < 100_000


@needs_clock
def test_versions_are_drawn_by_the_clock_of_the_store(tmp_path, redis):
    """Under write-behind nobody waits for the store, so they have to be right when they are drawn."""
    with node(tmp_path / "b", 2, redis, "10ms", "hash") as right, \
            node(tmp_path / "a", 1, redis, "10ms", "hash", env=off_by(tmp_path, -3)) as behind:
        for i in range(10):
            drawn = []
            for client, key in ((right.client(), f"sess:b{i}"), (behind.client(), f"sess:a{i}")):
                assert client.set(key, b"v") == b"STORED"
                drawn.append(client.gets(key)[2] >> 12)  # microseconds
            assert drawn[1] > drawn[0] - 1_000_000


@needs_clock
def test_what_gives_way_is_told(tmp_path, redis):
    """A node that is ahead of everybody is not corrected."""
    with node(tmp_path / "b", 2, redis, "10ms", "hash") as right, \
            node(tmp_path / "a", 1, redis, "10ms", "hash", env=off_by(tmp_path, 3)) as ahead:
        first, second = ahead.client(), right.client()
        for client, text in ((first, b"before"), (second, b"lost"), (second, b"after")):
            assert client.set("sess:n", text) == b"STORED"
            client.sync()
        assert redis.connect().hget("sess:n", "value") == b"after", "it has caught up"
        assert "1 change was accepted and then gave way to newer ones of other servers, the last to one of node 1" in right.log()
        assert re.search(r"its clock is (2\d\d\d|3000) ms behind this machine's", ahead.log())
        told = first.stats("backends")
        assert 2_000_000 <= int(told["remote:clock_off_us"]) <= 3_000_000 and told["remote:clock_ahead_us"] == "0"
