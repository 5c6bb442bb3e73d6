# SPDX-License-Identifier: MIT
"""Redis with Sentinel behind write-behind and write-through: the master dies under load, comes back, is a replica, is watched by
nobody; and the server itself is killed meanwhile. Nothing that was accepted is refused or lost."""

import re
import subprocess

import pytest
from forebay import AWAY, THERE, Background, Config, Redis, eventually, namespace, section
from sentinel import Sentinels

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


class Load:
    """Sets of KEYS keys in turn, as fast as they are answered."""

    def __init__(self, server):
        self.server = server
        self.acknowledged, self.refused, self.count = {}, [], 0

    def __call__(self, end):
        with self.server.client() as client:
            while not end.is_set():
                self.count += 1
                key, value = b"sess:%d" % (self.count % KEYS), b"%d" % self.count
                answer = client.set(key, value)
                if answer == b"STORED":
                    self.acknowledged[key] = value
                else:
                    self.refused.append(answer)

    def go_on(self):
        goal = self.count + 2 * KEYS
        eventually(lambda: self.count >= goal)


def stat(server, name):
    return server.client().stats("backends")["local:" + name]


def values(redis, prefix="sess:"):
    return {key: row.value for key, row in redis.rows(prefix).items()}


def fill(client, count, value):
    assert set(client.set_many((f"sess:{i}", value) for i in range(count))) == {b"STORED"}


@pytest.mark.threads
def test_a_failover_under_load_loses_nothing(serve, sentinels):
    """Nor does the old master that comes back get anything, though it takes itself for one for seconds; nor do Sentinels that
    are all away keep anything from the master that is known."""
    server = serve(config(sentinels.uri))
    client, load, old = server.client(), Load(server), sentinels.master()
    with Background(load):
        load.go_on()
        assert stat(server, "address") == f"127.0.0.1:{old.port}" and "/mymaster" in stat(server, "uri")
        old.kill()
        new = sentinels.await_failover(old)
        load.go_on()
        eventually(lambda: client.set("wt:a", b"v") == b"STORED")
        assert client.ask("sess:unknown") == ("miss", None)
        old.start()
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
    assert not values(old)
    assert stat(server, "failovers") == "1" and stat(server, "address") == f"127.0.0.1:{new.port}"
    assert f"failover: the store is at 127.0.0.1:{new.port} now, it was at 127.0.0.1:{old.port}" in server.log()


def test_a_kill_of_the_server_meanwhile_loses_nothing(serve, sentinels):
    server = serve(config(sentinels.uri))
    client, old = server.client(), sentinels.master()
    fill(client, KEYS, b"old")
    client.sync()
    eventually(lambda: old.connect().wait(1, 1000) == 1)
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
