# SPDX-License-Identifier: MIT
"""python-memcached, the oldest of the Python clients."""

import pytest
import python_clients
from conftest import BIG, BINARY
from forebay import eventually

memcache = pytest.importorskip("memcache")


def connect(port):
    return memcache.Client([f"127.0.0.1:{port}"], socket_timeout=30, cache_cas=True)


@pytest.fixture
def client(shared):
    return connect(shared.port)


def test_what_is_set_is_got(client, prefix):
    assert client.get(prefix + "k") is None
    assert client.set(prefix + "k", "v")
    assert client.get(prefix + "k") == "v"


def test_many_keys_go_at_once(client, prefix):
    values = {f"{prefix}{i}": f"{i}" for i in range(500)}
    assert client.set_multi(values) == []
    assert client.get_multi(list(values)) == values
    assert client.delete_multi([prefix + "1", prefix + "2"])
    assert len(client.get_multi(list(values))) == 498


def test_add_replace_append_and_prepend_look_first(client, prefix):
    assert not client.replace(prefix + "k", "0")
    assert client.add(prefix + "k", "1")
    assert not client.add(prefix + "k", "2")
    assert client.replace(prefix + "k", "3")
    assert client.append(prefix + "k", "-end")
    assert client.prepend(prefix + "k", "start-")
    assert client.get(prefix + "k") == "start-3-end"


def test_a_cas_with_an_old_token_fails(client, prefix):
    client.set(prefix + "k", "1")
    assert client.gets(prefix + "k") == "1"
    assert client.cas(prefix + "k", "2")
    assert not client.cas(prefix + "k", "3")
    assert client.get(prefix + "k") == "2"


def test_counters_deletes_and_touches_work(client, prefix):
    assert client.incr(prefix + "n") is None
    client.set(prefix + "n", "10")
    assert client.incr(prefix + "n", 5) == 15
    assert client.decr(prefix + "n", 100) == 0
    assert client.touch(prefix + "n", 100)
    assert client.delete(prefix + "n")
    assert client.get(prefix + "n") is None


def test_entries_expire(client, prefix):
    client.set(prefix + "short", "v", time=1)
    client.set(prefix + "long", "v", time=100)
    eventually(lambda: client.get(prefix + "short") is None)
    assert client.get(prefix + "long") == "v"


def test_types_travel_in_the_flags(client, prefix):
    values = {"text": "grün", "number": 17, "list": [1, {"a": None}], "bytes": BINARY, "big": BIG}
    client.set_multi(values, key_prefix=prefix)
    assert client.get_multi(list(values), key_prefix=prefix) == values


def test_compressed_values_come_back(client, prefix):
    client.set(prefix + "big", BIG, min_compress_len=100)
    assert client.get(prefix + "big") == BIG


def test_statistics_are_read(client):
    [(_, stats)] = client.get_stats()
    assert int(stats["curr_connections"]) >= 1


def test_sessions_survive_a_restart(flow):
    flow(lambda port: python_clients.write(connect(port)), lambda port: python_clients.read(connect(port).get))
