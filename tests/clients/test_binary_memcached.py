# SPDX-License-Identifier: MIT
"""python-binary-memcached, which speaks the binary protocol alone."""

import pytest
import python_clients
from conftest import BIG, BINARY, SECONDS
from forebay import eventually

bmemcached = pytest.importorskip("bmemcached")


def connect(port):
    return bmemcached.Client([f"127.0.0.1:{port}"], socket_timeout=SECONDS)


@pytest.fixture
def client(shared):
    return connect(shared.port)


def test_what_is_set_is_got(client, prefix):
    assert client.get(prefix + "k") is None
    assert client.set(prefix + "k", b"v")
    assert client.get(prefix + "k") == b"v"
    assert not client.add(prefix + "k", b"w")
    assert client.replace(prefix + "k", b"x")
    assert not client.replace(prefix + "none", b"x")
    assert client.get(prefix + "k") == b"x"
    assert client.delete(prefix + "k")
    assert client.get(prefix + "k") is None


def test_many_keys_go_at_once(client, prefix):
    values = {f"{prefix}{i}": b"%d" % i for i in range(500)}
    assert client.set_multi(values) == []
    assert client.get_multi([*values, prefix + "none"]) == values
    assert client.delete_multi([prefix + "1", prefix + "2"])
    assert len(client.get_multi(list(values))) == 498
    assert client.get(prefix + "3") == b"3"


def test_a_cas_with_an_old_token_fails(client, prefix):
    client.set(prefix + "k", b"1")
    value, token = client.gets(prefix + "k")
    assert value == b"1"
    assert client.cas(prefix + "k", b"2", token)
    assert not client.cas(prefix + "k", b"3", token)
    assert client.get(prefix + "k") == b"2"


def test_counters_count(client, prefix):
    assert client.incr(prefix + "n", 5) == 0  # its default for what is not there
    assert client.incr(prefix + "n", 5) == 5
    assert client.incr(prefix + "m", 5, default=10) == 10
    assert client.decr(prefix + "n", 100) == 0


def test_entries_expire(client, prefix):
    client.set(prefix + "short", b"v", time=1)
    client.set(prefix + "long", b"v", time=100)
    eventually(lambda: client.get(prefix + "short") is None)
    assert client.get(prefix + "long") == b"v"


def test_types_travel_in_the_flags(client, prefix):
    values = {"text": "grün", "number": 17, "list": [1, {"a": None}], "bytes": BINARY, "big": BIG}
    for name, value in values.items():  # its set_multi has no numbers
        client.set(prefix + name, value)
    assert {name: client.get(prefix + name) for name in values} == values


def test_statistics_and_flush_are_answered(client):
    [stats] = client.stats().values()
    assert int(stats["curr_connections"]) >= 1
    client.set("k", b"v")
    assert client.flush_all()
    assert client.get("k") is None


def test_sessions_survive_a_restart(flow):
    def write(port):
        client = connect(port)
        python_clients.write(client, touch=lambda key, seconds: client.set(key, client.get(key), seconds))  # it knows no touch

    flow(write, lambda port: python_clients.read(connect(port).get), client_keeps_bytes=False)
