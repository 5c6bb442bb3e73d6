# SPDX-License-Identifier: MIT
"""What Forebay keeps for itself in a store: no client reaches it, whatever key it sends, and what another program does to it is
told, never believed."""

import contextlib
import base64
import sqlite3

import pytest
from forebay import Config, Redis, Server, eventually, namespace, section

HIGHEST = b"18446744073709551615"
HIGH_KEY = b"forebay:high_version"

needs_redis = pytest.mark.skipif(Redis.missing() is not None, reason=str(Redis.missing()))


def everything(redis, layout, *more, policy="write-behind"):
    """A namespace for all keys, under their own names, and perhaps others beside it."""
    own = {"flush_delay": "10ms"} if policy == "write-behind" else {}
    return Config(namespace("all", "", policy, backend="remote", layout=layout, **own), *more,
                  backends=[section("backend", "remote", uri=redis.uri, timeout="500ms")], drain_timeout="500ms")


@pytest.fixture(params=["hash", "string"])
def layout(request):
    return request.param


def value_in(redis, layout, name):
    client = redis.connect()
    return client.get(name) if layout == "string" else client.hget(name, "value")


def set_any(client, key, value):
    """A set of a key of any bytes, as only the meta commands can spell it."""
    word = base64.b64encode(key).decode()
    return client.command(f"ms {word} {len(value)} b\r\n{value.decode()}")


def get_any(client, key):
    answer = client.command(f"mg {base64.b64encode(key).decode()} b v")
    return client.line() if answer.startswith(b"VA") else None


@needs_redis
@pytest.mark.parametrize("policy", ["write-behind", "write-through"])
def test_a_client_does_not_move_the_counter(serve, redis, layout, policy):
    server = serve(everything(redis, layout, policy=policy))
    client = server.client()
    assert client.set("k", b"one") == b"STORED"
    client.sync()
    assert client.get(HIGH_KEY.decode()) is None, "the counter is no entry"
    assert client.set(HIGH_KEY.decode(), HIGHEST) == b"STORED"
    client.sync()
    server.stop()
    server.start()
    client = server.client()
    assert client.get(HIGH_KEY.decode()) == HIGHEST, "a key like any other"
    assert client.set("k", b"two") == b"STORED"
    client.sync()
    assert value_in(redis, layout, "k") == b"two"
    assert 0 < int(redis.connect().get(HIGH_KEY)) < 2 ** 63
    assert client.delete(HIGH_KEY.decode()) == b"DELETED"
    client.sync()
    assert 0 < int(redis.connect().get(HIGH_KEY)) < 2 ** 63


@needs_redis
def test_a_client_does_not_reach_another_namespaces_companions(serve, redis, layout):
    server = serve(everything(redis, layout, namespace("shared", "sh:", "write-behind", backend="remote", layout="string",
                                                       flush_delay="10ms")))
    client = server.client()
    assert client.set("sh:a", b"one", flags=7) == b"STORED"
    assert client.set("forebay:beside:sh:a", b"mine") == b"STORED"
    assert client.set("forebay:beside:sh:b", b"mine") == b"STORED"
    client.sync()
    assert client.set("sh:a", b"two", flags=7) == b"STORED"
    assert client.set("sh:b", b"two", flags=9) == b"STORED"
    client.sync()
    assert client.stats("quarantine")["shared:entries"] == "0"
    shared = redis.rows("sh:", "string")
    assert {key: (row.value, row.flags) for key, row in shared.items()} == {b"sh:a": (b"two", 7), b"sh:b": (b"two", 9)}
    server.stop()
    server.start()
    client = server.client()
    assert client.get("forebay:beside:sh:a") == b"mine"
    assert client.delete("forebay:beside:sh:a") == b"DELETED"
    client.sync()
    assert redis.rows("sh:", "string")[b"sh:a"].flags == 7


@needs_redis
def test_keys_of_any_bytes_stay_apart(serve, redis, layout):
    """Where the entries of such names are kept can be spelt in base64; what is spelt so is kept elsewhere again."""
    keys = [HIGH_KEY, b"forebay: " + HIGH_KEY, b"forebay: forebay: " + HIGH_KEY, b"forebay:beside:k", b"forebay: k", b"forebay: ",
            b"forebay:", b"forebay:entry", b"k"]
    config = everything(redis, layout)
    config.sections[0] = config.sections[0].replace("{\n", "{\n    preload = 100\n    preload_wait = true\n", 1)
    server = serve(config)
    client = server.client()
    for key in keys:
        assert set_any(client, key, b"value of " + key.replace(b" ", b"_")) == b"HD"
    client.sync()
    assert int(redis.connect().get(HIGH_KEY)) > 0
    server.stop()
    server.start()
    client = server.client()
    assert int(client.stats("namespaces")["all:entries"]) == len(keys), "a preload finds them all, and nothing else"
    for key in keys:
        assert get_any(client, key) == b"value of " + key.replace(b" ", b"_")


@needs_redis
@pytest.mark.parametrize("poison", [HIGHEST, b"9223372036854775807", b"-5", b"junk", b"12 junk"], ids=str)
def test_a_counter_that_cannot_be_stops_the_start(tmp_path, redis, layout, poison):
    redis.connect().set(HIGH_KEY, poison)
    said = Server(tmp_path, config=everything(redis, layout)).refuses()
    assert HIGH_KEY.decode() in said and poison.decode() in said and "remote" in said, said
    assert redis.connect().get(HIGH_KEY) == poison, "it is for the operator to judge"


@needs_redis
@pytest.mark.parametrize("spoil", [lambda other: other.set(HIGH_KEY, HIGHEST), lambda other: other.set(HIGH_KEY, "junk"),
                                   lambda other: (other.delete(HIGH_KEY), other.rpush(HIGH_KEY, "x"))],
                         ids=["absurd", "junk", "a list"])
def test_a_counter_that_is_spoilt_meanwhile_is_told_and_loses_nothing(serve, redis, layout, spoil):
    server = serve(everything(redis, layout))
    client, other = server.client(), redis.connect()
    assert client.set("k", b"one") == b"STORED"
    client.sync()
    spoil(other)
    assert client.set("k", b"two") == b"STORED"
    eventually(lambda: "writes fail" in server.log())
    assert HIGH_KEY.decode() in server.log()
    assert value_in(redis, layout, "k") == b"one"
    assert client.stats("quarantine")["all:entries"] == "0"
    other.delete(HIGH_KEY)
    eventually(lambda: value_in(redis, layout, "k") == b"two")
    assert int(other.get(HIGH_KEY)) > 0


@needs_redis
@pytest.mark.parametrize("version", [HIGHEST, b"9223372036854775807", b"junk", b"", b"0001"], ids=str)
def test_a_version_that_no_clock_gives_guards_nothing(serve, redis, layout, version):
    server = serve(everything(redis, layout))
    client, other = server.client(), redis.connect()
    assert client.set("k", b"one") == b"STORED"
    assert client.set("gone", b"one") == b"STORED"
    client.sync()
    for key in (b"k", b"gone"):
        other.hset(key if layout == "hash" else b"forebay:beside:" + key, "version", version)
    assert client.set("k", b"two") == b"STORED"
    assert client.delete("gone") == b"DELETED"
    client.sync()
    assert value_in(redis, layout, "k") == b"two"
    assert value_in(redis, layout, "gone") is None
    other.hset(b"k" if layout == "hash" else b"forebay:beside:k", "version", version)
    server.stop()
    server.start()
    client = server.client()
    value, _, token = client.gets("k")
    assert value == b"two" and 0 <= int(token) < 2 ** 63
    assert client.set("k", b"three") == b"STORED"
    client.sync()
    assert value_in(redis, layout, "k") == b"three"


@needs_redis
def test_a_companion_of_another_type_is_replaced(serve, redis):
    server = serve(everything(redis, "string"))
    client, other = server.client(), redis.connect()
    other.set("forebay:beside:k", "left there by somebody")
    other.set("k", "theirs")
    assert client.get("k") == b"theirs"
    assert client.set("k", b"ours", flags=5) == b"STORED"
    client.sync()
    assert client.stats("quarantine")["all:entries"] == "0"
    assert other.get("k") == b"ours" and other.hget("forebay:beside:k", "flags") == b"5"


def sqlite_config(policy="write-behind"):
    return Config(namespace("sessions", "sess:", policy), drain_timeout="500ms")


@pytest.mark.parametrize("poison", [2 ** 63 - 1, -5, "junk", 1.5], ids=str)
def test_a_counter_in_sqlite_that_cannot_be_stops_the_start(serve, tmp_path, poison):
    server = serve(sqlite_config())
    server.stop()
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as database, database:
        database.execute("UPDATE forebay_meta SET value = ? WHERE name = 'high_version'", (poison,))
    said = server.refuses()
    assert "high_version" in said and str(poison) in said and "store.db" in said, said


@pytest.mark.parametrize("version", [2 ** 63 - 1, "junk", 1e300], ids=str)
def test_a_version_in_sqlite_that_no_clock_gives_guards_nothing(serve, tmp_path, version):
    server = serve(sqlite_config())
    client = server.client()
    for key in ("sess:a", "sess:touched", "sess:gone"):
        assert client.set(key, b"one", ttl=1000) == b"STORED"
    client.sync()

    def spoil():
        with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as database, database:
            database.execute("UPDATE sessions SET version = ?", (version,))

    spoil()
    assert client.set("sess:a", b"two") == b"STORED"
    assert client.touch("sess:touched", 5000) == b"TOUCHED"
    assert client.delete("sess:gone") == b"DELETED"
    before = server.rows()[b"sess:touched"].expires_at
    client.sync()
    rows = server.rows()
    assert rows[b"sess:a"].value == b"two" and b"sess:gone" not in rows
    assert rows[b"sess:touched"].expires_at > before
    spoil()
    server.stop()
    server.start()
    client = server.client()
    value, _, token = client.gets("sess:a")
    assert value == b"two" and 0 <= int(token) < 2 ** 63
    assert client.set("sess:a", b"three") == b"STORED"
    client.sync()
    assert server.rows()[b"sess:a"].value == b"three"
