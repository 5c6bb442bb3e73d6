# SPDX-License-Identifier: MIT
"""A configuration that changes between two starts: rows that are not found any more because of it, and changes that go to another
store than they were made for, are told at the start. Both may be meant, so nothing is refused."""

import os

import pytest
from forebay import Config, Redis, eventually, namespace, section, sqlite_backend

HIDDEN = "is not seen here"
PENDING = "not written yet, will go to"


def sessions(policy="write-through", **more):
    return namespace("sessions", "sess:", policy, **more)


def test_a_longer_prefix_that_hides_rows_is_told(serve):
    server = serve(Config(sessions()))
    client = server.client()
    assert client.set("sess:admin:1", b"there") == b"STORED"
    server.stop()
    server.config = Config(sessions(), namespace("admins", "sess:admin:", "write-through"))
    server.start()
    assert server.client().get("sess:admin:1") is None
    told = [line for line in server.log().splitlines() if HIDDEN in line]
    assert len(told) == 1 and " warning: " in told[0]
    for word in ('"sess:admin:*"', "namespace admins", "table admins", "namespace sessions", "table sessions", "sqlite:store.db"):
        assert word in told[0], told[0]
    server.stop()
    server.start()
    assert server.log().count(HIDDEN) == 1, "once, at the start that changes it"
    server.stop()
    server.config = Config(sessions())
    server.start()
    assert server.log().count(HIDDEN) == 2, "and what the longer prefix had is hidden by its end"
    assert server.client().get("sess:admin:1") == b"there"


@pytest.mark.parametrize("change", [
    lambda: Config(namespace("visits", "sess:", "write-through")),
    lambda: Config(sessions(), backends=[sqlite_backend(path="other.db")]),
    lambda: Config(sessions("cache-aside")),
], ids=["another name", "another file", "no backend"])
def test_rows_that_are_left_behind_are_told(serve, change):
    server = serve(Config(sessions()))
    assert server.client().set("sess:1", b"there") == b"STORED"
    server.stop()
    server.config = change()
    server.start()
    assert server.client().get("sess:1") is None
    assert server.log().count(HIDDEN) == 1


def test_another_address_may_be_that_of_the_same_store(serve, redis):
    def at(host):
        return Config(sessions(), backends=[section("backend", "local", uri=f"redis://{host}:{redis.port}/0")])
    server = serve(at("127.0.0.1"))
    assert server.client().set("sess:1", b"there") == b"STORED"
    server.stop()
    server.config = at("localhost")
    server.start()
    assert server.client().get("sess:1") == b"there"
    assert server.log().count(HIDDEN + ", unless both are one store by another address") == 1


def test_what_hides_nothing_is_not_told(serve):
    server = serve(Config(sessions()))
    server.stop()
    server.config = Config(namespace("sessions", "sess:", "write-behind", flush_delay="1s", ttl="1h"),
                           namespace("others", "other:", "cache-aside"), backends=[sqlite_backend(timeout="1s")])
    server.start()
    assert HIDDEN not in server.log() and PENDING not in server.log()


@pytest.mark.skipif(Redis.missing() is not None, reason=str(Redis.missing()))
def test_in_redis_a_longer_prefix_hides_nothing_unless_names_change(serve, redis):
    backends = [section("backend", "remote", uri=f"redis://:secret@127.0.0.1:{redis.port}/0")]
    redis.connect().config_set("requirepass", "secret")

    def config(**more):
        longer = [namespace("admins", "sess:admin:", "write-through", backend="remote", **more)] if more else []
        return Config(sessions(backend="remote"), *longer, backends=backends)

    server = serve(config())
    assert server.client().set("sess:admin:1", b"there") == b"STORED"
    server.stop()
    server.config = config(ttl="1h")
    server.start()
    assert server.client().get("sess:admin:1") == b"there"
    assert HIDDEN not in server.log()
    server.stop()
    server.config = config(key_prefix="a:")
    server.start()
    assert server.client().get("sess:admin:1") is None
    assert HIDDEN in server.log() and 'key_prefix "a:"' in server.log()
    with open(os.path.join(server.folder, "places"), encoding="utf-8") as places:
        assert "secret" not in server.log() + places.read()


def test_changes_that_wait_for_another_store_are_told(serve):
    def config(path, **more):
        return Config(sessions("write-behind", flush_delay="1h", journal="os"), backends=[sqlite_backend(path=path)], **more)

    server = serve(config("one.db", drain_timeout="1s"))
    client = server.client()
    assert client.set("sess:1", b"pending") == b"STORED"
    assert client.set("sess:2", b"pending") == b"STORED"
    server.kill()
    server.config = config("two.db")
    server.start()
    told = [line for line in server.log().splitlines() if PENDING in line]
    assert len(told) == 1 and "namespace sessions: 2 changes" in told[0]
    assert told[0].index("sqlite:one.db") < told[0].index("sqlite:two.db")
    eventually(lambda: len(server.rows(path="two.db")) == 2)
    server.kill()
    server.start()
    assert server.log().count(PENDING) == 1


def test_a_file_that_cannot_be_noted_is_told_and_harms_nothing(serve, tmp_path):
    os.makedirs(tmp_path / "places" / "in the way")
    server = serve(Config(sessions()))
    assert "places: cannot be written" in server.log()
    assert server.client().set("sess:1", b"there") == b"STORED"


def test_a_damaged_file_is_no_news(serve, tmp_path):
    (tmp_path / "places").write_bytes(b"\n\t\n\t\t\t\nname\tprefix\n" + b"x" * 5000 + b"\n\xff\x00\t\x01")
    server = serve(Config(sessions()))
    assert HIDDEN not in server.log()
    assert (tmp_path / "places").read_text(encoding="utf-8").startswith("sessions\tsess:\tsqlite:store.db, table sessions\n")
