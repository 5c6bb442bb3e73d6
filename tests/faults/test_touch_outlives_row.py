# SPDX-License-Identifier: MIT
"""An acknowledged touch does not depend on the row: its old life may be over, and the row gone, before the touch is written
and before a kill -9 is recovered from."""

import os
import sqlite3

import pytest
from forebay import Config, Redis, eventually, namespace, section, sqlite_backend

LIFE = 3  # seconds: the rows' first


class InSqlite:
    """The purge takes rows whose life is over; it may come at any time, so the test does it by hand."""

    def __init__(self, folder):
        self.backend, self.options = sqlite_backend(), {}
        self.path = os.path.join(folder, "store.db")

    def execute(self, sql):
        database = sqlite3.connect(self.path, timeout=60)
        with database:
            found = database.execute(sql).fetchall()
        database.close()
        return found

    def live(self):
        return {key.decode(): value for key, value in self.execute(
            "SELECT key, value FROM sessions WHERE expires_at = 0 OR expires_at > unixepoch()")}

    def await_the_end(self):
        eventually(lambda: not self.live())
        self.execute("DELETE FROM sessions")


class InRedis:
    def __init__(self, redis, layout):
        self.backend, self.options = section("backend", "local", uri=redis.uri), {"layout": layout}
        self.connection, self.layout = redis.connect(), layout

    def live(self):
        read = self.connection.get if self.layout == "string" else lambda key: self.connection.hget(key, "value")
        return {key.decode(): read(key) for key in self.connection.keys("s:*")}

    def await_the_end(self):
        eventually(lambda: not self.live())


@pytest.fixture(params=["sqlite", "hash", "string"])
def store(request, tmp_path):
    if request.param == "sqlite":
        return InSqlite(tmp_path)
    if Redis.missing():
        pytest.skip(Redis.missing())
    return InRedis(request.getfixturevalue("redis"), request.param)


def start(serve, store, **more):
    return serve(Config(namespace("sessions", "s:", "write-behind", journal="always", flush_delay="60s", **store.options, **more),
                        backends=[store.backend]))


TOUCHES = {
    "touch": b"touch s:touch 1000", "gat": b"gat 1000 s:gat", "mg": b"mg s:mg T1000 v", "mg-quiet": b"mg s:mg-quiet T1000 s q",
    "twice": b"touch s:twice 500\r\ntouch s:twice 1000", "for-ever": b"touch s:for-ever 0",
    "ms": b"ms s:ms 2 T1000\r\nms", "md": b"md s:md I T1000",
}
VALUES = {f"s:{name}": name.encode() for name in TOUCHES} | {"s:empty": b"", "s:large": b"L" * 200000}


@pytest.mark.parametrize("existence", ["backend", "memory"])
def test_a_kill_after_the_row_is_gone(serve, store, existence):
    server = start(serve, store, existence=existence)
    client = server.client()
    for key, value in VALUES.items():
        assert client.set(key, value, flags=7, ttl=LIFE) == b"STORED"
    server.stop()  # the journal forgets them: what it has from now on are touches
    client = server.start().client()
    tokens = {key: client.gets(key)[2] for key in VALUES}
    client.send(b"\r\n".join([*TOUCHES.values(), b"touch s:empty 1000", b"touch s:large 1000", b"mn", b""]))
    eventually(lambda: client.line() == b"MN")
    store.await_the_end()
    assert client.get_many(VALUES) == {key.encode(): value for key, value in VALUES.items()}  # as memory has it
    server.kill()
    server.start()
    client = server.client()
    assert client.get_many(VALUES) == {key.encode(): value for key, value in VALUES.items()}
    for key in set(VALUES) - {"s:ms", "s:md"}:  # a touch changes neither flags nor what clients compare
        assert client.gets(key)[1:] == (7, tokens[key]), key
    client.sync()
    eventually(lambda: store.live() == VALUES)
    server.kill()
    server.start()
    assert server.client().get_many(VALUES) == {key.encode(): value for key, value in VALUES.items()}
    server.stop()


@pytest.mark.parametrize("policy", ["write-through", "write-behind"])
def test_what_a_client_has_made_where_a_row_was(serve, store, policy):
    """A placeholder (mg N) is in memory alone, until it is touched. Neither what a delete has left of the key nor a row whose
    life is over keeps the touch from being written, whatever the CAS that the client dictates."""
    delay = {"flush_delay": "60s"} if policy == "write-behind" else {}
    server = serve(Config(namespace("sessions", "s:", policy, **delay, **store.options), backends=[store.backend]))
    client = server.client()
    dictated = [b"", b" E1", b" E%d" % (2**64 - 1)]
    touches = {b"touch %s 1000": [b"TOUCHED"], b"gat 1000 %s": [b"VALUE %s 0 0", b"", b"END"], b"mg %s T1000": [b"HD Z"]}
    keys = {b"s:%s:%d:%d" % (end, i, j): (cas, touch) for end in (b"dies", b"deleted") for i, cas in enumerate(dictated)
            for j, touch in enumerate(touches)}
    for key in keys:
        assert client.set(key, b"old", ttl=1 if b"dies" in key else 0) == b"STORED"
    client.sync()
    assert all(client.delete(key) == b"DELETED" for key in keys if b"deleted" in key)
    client.sync()
    eventually(lambda: not client.get_many(keys))
    for key, (cas, touch) in keys.items():
        assert client.command(b"mg %s N30%s" % (key, cas)) == b"HD W", key
        client.send((touch % key) + b"\r\n")
        for line in touches[touch]:
            assert client.line() == line.replace(b"%s", key)
    server.kill()  # under write-behind the journal has the touches
    server.start()
    client = server.client()
    client.sync()
    for key in keys:
        assert client.command(b"forget " + key) == (b"FORGOTTEN" if delay else b"NOT_FOUND"), key
    assert client.get_many(keys) == dict.fromkeys(keys, b"")
    assert all(900 < int(client.command(b"mg %s t" % key).split()[1][1:]) <= 1000 for key in keys)
