# SPDX-License-Identifier: MIT
"""pylibmc, that is libmemcached, in its text and its binary mode."""

import contextlib
import time

import pytest
import python_clients
from conftest import BIG, BINARY
from forebay import eventually

pylibmc = pytest.importorskip("pylibmc")


def connect(port, is_binary=False, **behaviors):
    return pylibmc.Client([f"127.0.0.1:{port}"], binary=is_binary, behaviors={"cas": True, **behaviors})


@pytest.fixture(params=[{}, {"tcp_nodelay": True, "ketama": True}, {"buffer_requests": False, "no_block": True},
                        {"is_binary": True}],
                ids=["plain", "ketama", "non-blocking", "binary"])
def client(request, shared):
    return connect(shared.port, **request.param)


def test_what_is_set_is_got(client, prefix):
    assert client.get(prefix + "k") is None
    assert client.set(prefix + "k", b"v")
    assert client.get(prefix + "k") == b"v"
    assert prefix + "k" in client
    client[prefix + "k"] = "text"
    assert client[prefix + "k"] == "text"


def test_many_keys_go_at_once(client, prefix):
    values = {f"{prefix}{i}": b"%d" % i for i in range(500)}
    assert client.set_multi(values) == []
    assert client.get_multi(list(values)) == values
    assert client.get_multi(["1", "2", "none"], key_prefix=prefix) == {"1": b"1", "2": b"2"}
    assert client.delete_multi([prefix + "1", prefix + "2"])
    assert len(client.get_multi(list(values))) == 498


def test_a_get_may_have_a_megabyte_of_keys(client, prefix):
    """libmemcached writes such a line to its end before it reads, in pieces of its own; or so many quiet lookups."""
    values = {f"{prefix}{i}".ljust(230, "-"): b"%d" % i for i in range(5000)}
    assert client.set_multi(values) == []
    assert client.get_multi(list(values)) == values


def test_add_and_replace_look_whether_there_is_one(client, prefix):
    with contextlib.suppress(pylibmc.NotFound):  # which the binary protocol tells from "not stored"
        assert not client.replace(prefix + "k", b"0")
    assert client.get(prefix + "k") is None
    assert client.add(prefix + "k", b"1")
    assert not client.add(prefix + "k", b"2")
    assert client.replace(prefix + "k", b"3")
    assert client.get(prefix + "k") == b"3"


def test_append_and_prepend_grow_a_value(client, prefix):
    client.set(prefix + "k", b"middle")
    assert client.append(prefix + "k", b"-end")
    assert client.prepend(prefix + "k", b"start-")
    assert client.get(prefix + "k") == b"start-middle-end"


def test_a_cas_with_an_old_token_fails(client, prefix):
    client.set(prefix + "k", b"1")
    value, token = client.gets(prefix + "k")
    assert value == b"1"
    assert client.cas(prefix + "k", b"2", token)
    assert not client.cas(prefix + "k", b"3", token)
    assert client.get(prefix + "k") == b"2"


def test_counters_count(client, prefix):
    with pytest.raises(pylibmc.NotFound):
        client.incr(prefix + "n")
    client.set(prefix + "n", b"10")
    client.set(prefix + "text", b"ten")
    assert client.incr(prefix + "n", 5) == 15
    assert client.decr(prefix + "n") == 14
    assert client.decr(prefix + "n", 100) == 0
    with pytest.raises(pylibmc.Error):
        client.incr(prefix + "text")


def test_delete_and_touch_tell_whether_there_was_one(client, prefix):
    assert not client.delete(prefix + "k")
    client.set(prefix + "k", b"v")
    assert client.touch(prefix + "k", 100)
    assert client.delete(prefix + "k")
    assert client.get(prefix + "k") is None
    assert not client.touch(prefix + "k", 100)


def test_entries_expire(client, prefix):
    client.set(prefix + "short", b"v", time=1)
    client.set(prefix + "long", b"v", time=100)
    client.set(prefix + "absolute", b"v", time=int(time.time()) + 1)
    eventually(lambda: client.get(prefix + "short") is None)
    eventually(lambda: client.get(prefix + "absolute") is None)
    assert client.get(prefix + "long") == b"v"


def test_types_travel_in_the_flags(client, prefix):
    values = {"text": "grün", "number": 17, "truth": True, "list": [1, {"a": None}], "bytes": BINARY, "big": BIG}
    client.set_multi(values, key_prefix=prefix)
    assert {name: client.get(prefix + name) for name in values} == values


def test_compressed_values_come_back(client, prefix):
    client.set(prefix + "big", BIG, min_compress_len=100)
    assert client.get(prefix + "big") == BIG


def test_statistics_are_read(client):
    [(where, stats)] = client.get_stats()
    assert where.startswith(b"127.0.0.1")
    assert int(stats["curr_connections"]) >= 1


def test_sessions_survive_a_restart(flow, protocol):
    is_binary = protocol == "binary"
    flow(lambda port: python_clients.write(connect(port, is_binary)), lambda port: python_clients.read(connect(port, is_binary).get))
