# SPDX-License-Identifier: MIT
"""A server whose `node` number was changed is the same server: its store has not lost anything, and nothing is written again. What
the store has lost is noticed all the same, and so is whatever cannot be told apart, where another server has the old number."""

import pytest
from forebay import Config, Server, eventually, namespace, section

NOTHING = "the store has nothing of what it acknowledged to this server"
LACKS = "the store has lost what it acknowledged between"
REWRITTEN = "changes that only the journal had"


def config(redis, node):
    return Config(namespace("sessions", "sess:", "write-behind", backend="far", flush_delay="20ms"),
                  backends=[section("backend", "far", uri=f"redis://127.0.0.1:{redis.port}/0")], node=node, drain_timeout="5s")


def served(tmp_path, redis, node=1, name="server"):
    server = Server(tmp_path / name, config=config(redis, node))
    server.start()
    with server.client() as client:
        for number in range(5):
            assert client.set(f"sess:{number}", b"v") == b"STORED"
        client.sync()
    return server


def renumbered(server, redis, node):
    server.config = config(redis, node)
    server.start()
    eventually(lambda: server.upkeep_steps("far") > 0)


def told(server):
    log = server.log()
    return log.count(NOTHING), log.count(LACKS), log.count(REWRITTEN)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_nothing_is_told_or_written_again(tmp_path, redis, end):
    server = served(tmp_path, redis)
    with redis.connect() as there:
        if end == "stop":  # after a kill, the journal does not know yet that it was written
            there.delete("sess:0")
        for node in (2, 3, 1):
            getattr(server, end)()
            renumbered(server, redis, node)
            stats = server.client().stats("backends")
            assert stats["far:store_regressions"] == "0" and stats["far:other_nodes"] == "0"
            assert server.client().set(f"sess:of{node}", b"v") == b"STORED"
            server.client().sync()
        server.stop()
        assert told(server) == (0, 0, 0), server.log()
        assert there.exists("sess:0") == (end == "kill") and there.exists("sess:1") and there.exists("sess:of2")


def test_a_start_without_the_store_goes_on_when_it_is_there(tmp_path, redis):
    server = served(tmp_path, redis)
    server.stop()
    redis.connect().save()
    redis.kill()
    server.config = config(redis, 2)
    server.start()
    for _ in range(2):  # the number of before is not forgotten by a start that has not met the store
        server.kill()
        server.start()
    redis.start()
    eventually(lambda: server.upkeep_steps("far") > 0)
    eventually(lambda: redis.connect().exists("forebay: applied:2"))
    server.stop()
    assert told(server) == (0, 0, 0), server.log()


def test_what_the_store_has_lost_is_noticed_by_the_number_of_before(tmp_path, redis):
    server = served(tmp_path, redis)
    old = redis.connect().get("forebay: applied:1")
    server.client().set("sess:6", b"v")
    server.client().sync()
    server.stop()
    redis.connect().set("forebay: applied:1", old)
    redis.connect().delete("sess:6")
    renumbered(server, redis, 2)
    eventually(lambda: told(server) == (0, 1, 1))
    eventually(lambda: redis.connect().exists("sess:6"))
    server.stop()


def test_a_number_that_another_server_has_meanwhile_says_nothing(tmp_path, redis):
    server = served(tmp_path, redis)
    server.stop()
    other = Server(tmp_path / "other", config=config(redis, 1))
    with other.start():
        with other.client() as client:
            assert client.set("sess:other", b"v") == b"STORED"
            client.sync()
        renumbered(server, redis, 2)
        eventually(lambda: told(server) == (1, 0, 1))
        server.stop()
        assert redis.connect().hexists("forebay: nodes", "1")
