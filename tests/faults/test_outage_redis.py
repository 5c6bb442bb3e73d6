# SPDX-License-Identifier: MIT
"""A Redis that is stopped, killed, emptied, out of memory or read-only while write-behind traffic runs: no acknowledged write
is lost, hits are answered throughout, other namespaces go on, unknown is not a miss, and nobody restarts Forebay."""

import contextlib
import threading

import pytest
from crash import Owner
from forebay import Config, Redis, eventually, namespace, section

pytestmark = pytest.mark.skipif(Redis.missing() is not None, reason=str(Redis.missing()))


def config(redis, **options):
    return Config(namespace("sessions", "sess:", "write-behind", backend="remote", flush_delay="50ms", **options),
                  namespace("through", "wt:", "write-through", backend="remote"),
                  namespace("files", "file:", "write-behind", backend="local", flush_delay="50ms"),
                  namespace("plain", "plain:", "cache-aside"),
                  backends=[section("backend", "remote", uri=redis.uri, timeout="500ms"),
                            section("backend", "local", uri="sqlite:store.db")], drain_timeout="1s")


def fill(client, count, prefix="sess:"):
    replies = client.set_many((f"{prefix}{i}", b"value %d" % i) for i in range(count))
    assert set(replies) == {b"STORED"}, set(replies)


def values(redis, count, prefix="sess:"):
    """What Redis has of the keys that fill made."""
    pipe = redis.connect().pipeline(transaction=False)
    for i in range(count):
        pipe.hget(f"{prefix}{i}", "value")
    return pipe.execute()


def check_outage(server, first=0):
    """What holds while Redis is away, whatever ails it. Keys sess:0 to 99 were set and are in memory."""
    client = server.client()
    assert client.get_many([f"sess:{i}" for i in range(100)]) == {b"sess:%d" % i: b"value %d" % i for i in range(100)}
    replies = client.set_many((f"sess:{i}", b"value %d" % i) for i in range(100 + first, 300 + first))
    assert set(replies) == {b"STORED"}, "writes are held back"
    assert client.get(f"sess:{250 + first}") == b"value %d" % (250 + first), "and answered"
    for prefix in ("plain:", "file:"):
        assert client.set(prefix + "x", b"untouched") == b"STORED"
        assert client.get(prefix + "x") == b"untouched"
    assert client.ask("file:unknown") == ("miss", None), "a miss of another store is known to be one"


def check_unknown(server):
    """What memory does not have and Redis cannot be asked for is not a miss, and what cannot be written through is not
    stored."""
    client = server.client()
    assert client.ask("sess:unknown")[0] == "error"
    assert client.set("wt:x", b"v").startswith(b"SERVER_ERROR")
    assert client.ask("wt:x")[0] == "error"


def check_recovery(server, redis, count=300):
    client = server.client()
    client.sync("sessions")
    assert values(redis, count) == [b"value %d" % i for i in range(count)]
    eventually(lambda: client.set("wt:y", b"v") == b"STORED")
    eventually(lambda: client.ask("sess:unknown") == ("miss", None))


def test_stopped(serve, redis):
    server = serve(config(redis))
    fill(server.client(), 100)
    server.client().sync()
    redis.pause()
    check_outage(server)
    check_unknown(server)
    redis.resume()
    check_recovery(server, redis)


def test_killed_and_back_with_its_data(serve, redis):
    """Append-only, every write: what was flushed is still there."""
    redis.stop()
    redis.options = ["--appendonly", "yes", "--appendfsync", "always"]
    redis.start()
    server = serve(config(redis))
    fill(server.client(), 100)
    server.client().sync()
    redis.kill()
    check_outage(server)
    check_unknown(server)
    redis.start()
    check_recovery(server, redis)


def test_killed_and_back_empty(serve, redis):
    """Redis has lost what it had been given; what was accepted since is all there, and memory still answers the rest."""
    server = serve(config(redis))
    fill(server.client(), 100)
    server.client().sync()
    redis.kill()
    check_outage(server)
    check_unknown(server)
    redis.start()
    client = server.client()
    client.sync("sessions")
    assert values(redis, 300)[100:] == [b"value %d" % i for i in range(100, 300)]
    assert client.get("sess:7") == b"value 7"


def test_out_of_memory(serve, redis):
    server = serve(config(redis))
    fill(server.client(), 100)
    server.client().sync()
    redis.connect().config_set("maxmemory", 1)
    check_outage(server)
    assert server.client().set("wt:x", b"v").startswith(b"SERVER_ERROR")
    redis.connect().config_set("maxmemory", 0)
    check_recovery(server, redis)


def test_read_only_replica(serve, redis, tmp_path):
    server = serve(config(redis))
    fill(server.client(), 100)
    server.client().sync()
    with Redis(tmp_path / "primary") as primary:
        redis.connect().config_set("replica-serve-stale-data", "yes")
        redis.connect().slaveof("127.0.0.1", primary.port)
        check_outage(server)
        assert server.client().set("wt:x", b"v").startswith(b"SERVER_ERROR")
        redis.connect().slaveof()
        server.client().sync("sessions")
    assert values(redis, 300)[100:] == [b"value %d" % i for i in range(100, 300)]


def test_away_at_the_start(serve, redis):
    """Forebay starts without its Redis, takes writes, knows no misses, and catches up."""
    redis.stop()
    server = serve(config(redis))
    fill(server.client(), 100)
    check_outage(server)
    check_unknown(server)
    redis.start()
    check_recovery(server, redis)


def test_killed_during_the_outage(serve, redis):
    """Both go: the journal has what Redis has not."""
    server = serve(config(redis))
    fill(server.client(), 100)
    server.client().sync()
    redis.pause()
    check_outage(server)
    server.kill()
    redis.resume()
    server.start()
    check_recovery(server, redis)


def test_on_backend_down_miss(serve, redis):
    server = serve(config(redis, on_backend_down="miss"))
    redis.kill()
    assert server.client().ask("sess:unknown") == ("miss", None)
    assert server.client().set("sess:1", b"v") == b"STORED"
    assert server.client().get("sess:1") == b"v"


def test_traffic_through_many_outages(serve, redis):
    """Clients that keep changing their keys while Redis comes and goes: each reply, each read in between, and the store at
    the end agree with the model of what was acknowledged."""
    server = serve(config(redis))
    owners = [Owner(i, ["sess:"], 60, "outages", refusals=True) for i in range(3)]
    end = threading.Event()
    threads = [threading.Thread(target=owner.run, args=(server.port, end), daemon=True) for owner in owners]
    for thread in threads:
        thread.start()
    client = server.client()
    for _ in range(4):
        redis.pause()
        progress(owners)
        redis.resume()
        progress(owners)
        with contextlib.suppress(Exception):
            redis.connect().config_set("maxmemory", 1)
        progress(owners)
        redis.connect().config_set("maxmemory", 0)
        progress(owners)
        server.check_alive()
    end.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    for owner in owners:
        if owner.error:
            raise owner.error
        assert owner.answered > 100
    client.sync()
    eventually(lambda: client.ask("sess:unknown") == ("miss", None))
    for owner in owners:
        owner.check(client, "after the outages")
    server.kill()
    server.start()
    client = server.client()
    for owner in owners:
        owner.check(client, "after a kill -9, from Redis")


def progress(owners):
    """Waits until every client has had some more answers."""
    goals = [(owner, owner.answered + owner.refused + 30) for owner in owners]
    eventually(lambda: all(owner.error or owner.answered + owner.refused >= goal for owner, goal in goals))
