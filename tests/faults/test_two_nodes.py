# SPDX-License-Identifier: MIT
"""Two Forebay nodes on one Redis. One is killed with changes that only its journal has; the other changes the same keys; then
the first comes back and replays late. The newer change stays, whichever node made it."""

import time

import pytest
from forebay import Config, Redis, Server, namespace, section

pytestmark = pytest.mark.skipif(Redis.missing() is not None, reason=str(Redis.missing()))


def node(folder, number, redis, delay, layout):
    """A node that flushes after `delay`."""
    space = namespace("sessions", "sess:", "write-behind", backend="remote", flush_delay=delay, flush_batch=100000, journal="os",
                      layout=layout)
    return Server(folder, config=Config(space, backends=[section("backend", "remote", uri=redis.uri)], node=number))


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
