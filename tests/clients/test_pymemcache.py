# SPDX-License-Identifier: MIT
"""pymemcache: its plain, its pooled and its hashing client."""

import pytest
import python_clients
from conftest import BIG, BINARY, PEER
from forebay import eventually

base = pytest.importorskip("pymemcache.client.base")
from pymemcache.client.hash import HashClient  # noqa: E402
from pymemcache.exceptions import MemcacheIllegalInputError, MemcacheServerError  # noqa: E402
from pymemcache.serde import pickle_serde  # noqa: E402


def address(port):
    return ("127.0.0.1", port)


MAKERS = {
    "plain": lambda port, **more: base.Client(address(port), timeout=30, default_noreply=False, **more),
    "pooled": lambda port, **more: base.PooledClient(address(port), timeout=30, max_pool_size=4, default_noreply=False, **more),
    "hash": lambda port, **more: HashClient([address(port)], timeout=30, default_noreply=False, **more),
}


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


@pytest.fixture
def client(make, shared):
    return make(shared.port)


def test_what_is_set_is_got(client, prefix):
    assert client.get(prefix + "k") is None
    assert client.get(prefix + "k", "default") == "default"
    assert client.set(prefix + "k", b"v") is True
    assert client.get(prefix + "k") == b"v"
    assert client.set(prefix + "k", b"") is True
    assert client.get(prefix + "k") == b""


def test_many_keys_go_at_once(client, prefix):
    values = {f"{prefix}{i}": b"%d" % i for i in range(500)}
    assert client.set_many(values) == []
    assert client.get_many(list(values)) == values
    assert client.get_many([prefix + "7", prefix + "none"]) == {prefix + "7": b"7"}
    assert client.delete_many([prefix + "1", prefix + "2"]) is True
    assert len(client.get_many(list(values))) == 498


def test_a_get_may_have_fifty_thousand_keys(shared, prefix):
    client = MAKERS["plain"](shared.port)
    values = {f"{prefix}{i}": b"%d" % i for i in range(50000)}
    assert client.set_many(values, noreply=True) == []
    assert client.get_many(list(values)) == values
    assert {key: value for key, (value, _) in client.gets_many(list(values)).items()} == values


def test_the_cas_of_each_key_is_its_own(client, prefix):
    values = {f"{prefix}{i}": b"%d" % i for i in range(500)}
    assert client.set_many(values) == []
    got = client.gets_many(list(values))
    assert {key: value for key, (value, _) in got.items()} == values
    assert len({cas for _, cas in got.values()}) == len(values)
    for key, (_, cas) in list(got.items())[:10]:
        assert client.cas(key, b"new", cas) is True and client.cas(key, b"newer", cas) is False


def test_add_and_replace_look_whether_there_is_one(client, prefix):
    assert client.replace(prefix + "k", b"0") is False
    assert client.add(prefix + "k", b"1") is True
    assert client.add(prefix + "k", b"2") is False
    assert client.get(prefix + "k") == b"1"
    assert client.replace(prefix + "k", b"3") is True
    assert client.get(prefix + "k") == b"3"


def test_append_and_prepend_grow_a_value(client, prefix):
    assert client.append(prefix + "k", b"x") is False
    client.set(prefix + "k", b"middle")
    assert client.append(prefix + "k", b"-end") is True
    assert client.prepend(prefix + "k", b"start-") is True
    assert client.get(prefix + "k") == b"start-middle-end"


def test_a_cas_with_an_old_token_fails(client, prefix):
    assert client.cas(prefix + "k", b"x", b"1") is None
    client.set(prefix + "k", b"1")
    value, token = client.gets(prefix + "k")
    assert value == b"1"
    assert client.cas(prefix + "k", b"2", token) is True
    assert client.cas(prefix + "k", b"3", token) is False
    assert client.get(prefix + "k") == b"2"


def test_gets_many_has_a_token_for_each(client, prefix):
    client.set(prefix + "a", b"1")
    client.set(prefix + "b", b"2")
    found = client.gets_many([prefix + "a", prefix + "b", prefix + "c"])
    assert {key: value for key, (value, _) in found.items()} == {prefix + "a": b"1", prefix + "b": b"2"}
    assert len({token for _, token in found.values()}) == 2


def test_counters_count(client, prefix):
    assert client.incr(prefix + "n", 1) is None
    client.set(prefix + "n", b"10")
    assert client.incr(prefix + "n", 5) == 15
    assert client.decr(prefix + "n", 1) == 14
    assert client.decr(prefix + "n", 100) == 0
    client.set(prefix + "n", b"%d" % (2**64 - 1))
    assert client.incr(prefix + "n", 2) == 1


def test_what_is_not_a_number_does_not_count(client, prefix):
    client.set(prefix + "n", b"ten")
    with pytest.raises(Exception, match="(?i)non-numeric"):
        client.incr(prefix + "n", 1)


def test_delete_and_touch_tell_whether_there_was_one(client, prefix):
    assert client.delete(prefix + "k") is False
    assert client.touch(prefix + "k", 10) is False
    client.set(prefix + "k", b"v")
    assert client.touch(prefix + "k", 10) is True
    assert client.delete(prefix + "k") is True
    assert client.get(prefix + "k") is None


def test_entries_expire(client, prefix):
    client.set(prefix + "short", b"v", expire=1)
    client.set(prefix + "long", b"v", expire=100)
    client.set(prefix + "past", b"v", expire=-1)
    assert client.get(prefix + "past") is None
    eventually(lambda: client.get(prefix + "short") is None)
    assert client.get(prefix + "long") == b"v"


def test_big_and_binary_values_come_back(client, prefix):
    client.set(prefix + "big", BIG)
    client.set(prefix + "binary", BINARY)
    assert client.get(prefix + "big") == BIG
    assert client.get(prefix + "binary") == BINARY
    with pytest.raises(MemcacheServerError):
        client.set(prefix + "huge", b"x" * (1024 * 1024 + 1))
    assert client.get(prefix + "binary") == BINARY


def test_a_key_may_have_250_bytes(client, prefix):
    key = prefix + "k" * (250 - len(prefix))
    assert client.set(key, b"v") is True
    assert client.get(key) == b"v"
    with pytest.raises(MemcacheIllegalInputError):
        client.set(key + "k", b"v")


def test_types_travel_through_a_serializer(make, shared, prefix):
    client = make(shared.port, serde=pickle_serde)
    values = {"text": "grün", "number": 17, "list": [1, {"a": None}], "bytes": b"\0\1"}
    for name, value in values.items():
        client.set(prefix + name, value)
    assert {name: client.get(prefix + name) for name in values} == values


def test_noreply_is_not_answered(client, prefix):
    for i in range(1000):
        client.set(f"{prefix}{i}", b"v", noreply=True)
    client.delete(prefix + "1", noreply=True)
    client.incr(prefix + "2", 1, noreply=True)
    assert client.get(prefix + "0") == b"v"
    assert client.get(prefix + "1") is None
    assert client.get(prefix + "999") == b"v"


def test_statistics_and_version_are_read(server):
    client = MAKERS["plain"](server.port)
    client.set("k", b"v")
    client.get("k")
    stats = client.stats()
    assert stats[b"cmd_get"] == 1 and stats[b"get_hits"] == 1
    assert stats[b"pid"] == server.pid
    assert client.version()


def test_flush_all_empties_memory(client, policy, prefix):
    client.set(prefix + "k", b"v")
    client.flush_all()
    # Write-behind: what was accepted reaches the backend, and is only dropped from memory.
    assert client.get(prefix + "k") == (b"v" if policy == "write-behind" and not PEER else None)


def test_sessions_survive_a_restart(flow, make):
    flow(lambda port: python_clients.write(make(port)), lambda port: python_clients.read(make(port).get))
