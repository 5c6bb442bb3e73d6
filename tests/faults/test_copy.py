# SPDX-License-Identifier: MIT
"""A namespace is copied to another backend while it is served (copy_to), in spite of kills and outages: in the end both stores
have the same rows, the configuration is switched, and every change that was acknowledged is there."""

import glob
import os
import random
import re

import pytest
from forebay import AWAY, Background, Closed, Config, Redis, Server, eventually, namespace, section, share, sqlite_backend

pytestmark = pytest.mark.skipif(Redis.missing() is not None, reason=str(Redis.missing()))

GONE = (Closed, ConnectionError, TimeoutError)
NOT_SEEN = "is not seen here"
COPIED = "where they were copied to"


def configured(redis, backend="local", copy_to=None):
    more = {"copy_to": copy_to} if copy_to else {}
    return Config(namespace("sessions", "sess:", "write-behind", backend, flush_delay="20ms", **more),
                  namespace("through", "wt:", "write-through", backend, **more),
                  namespace("beside", "b:", "write-through", "local"),
                  backends=[sqlite_backend(timeout=AWAY), section("backend", "new", uri=redis.uri, timeout=AWAY)])


def restart(server, config, end=None):
    (end or server.stop)()
    server.config = config
    server.start()


def stat(server, name, space="sessions"):
    return server.client().stats("namespaces").get(f"{space}:copy_{name}")


def await_copies(server):
    for space in ("sessions", "through"):
        eventually(lambda space=space: stat(server, "state", space) == "complete")


def fill(client, count, prefix="sess:", value=b"old"):
    for first in range(0, count, 1000):
        keys = range(first, min(count, first + 1000))
        client.send(b"".join(client.storage("set", f"{prefix}{i}", value, flags=i, ttl=0 if i % 3 else 5000) for i in keys))
        assert {client.line() for _ in keys} == {b"STORED"}


def expect_the_same(server, redis):
    """Row by row: value, flags, expiry and version."""
    for table, prefix in (("sessions", "sess:"), ("through", "wt:")):
        ours, theirs = server.rows(table), redis.rows(prefix)
        differ = {key: (ours.get(key), theirs.get(key)) for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}
        assert not differ, f"{len(differ)} of {len(ours)} rows differ, such as {next(iter(differ.items()))}"


class Load:
    """Sets, deletes, touches and increments of every `step`th key by one client, which remembers what was acknowledged."""

    def __init__(self, server, count, first, step):
        self.server, self.count, self.first, self.step = server, count, first, step
        self.known = {}  # key: value, or None when it is gone
        self.changes = 0

    def change(self, client, key, dice):
        """What the key has afterwards, or an exception: then either may be true, and nobody asks for it."""
        known = self.known.pop(key, False)
        what = dice.randrange(5)
        if what == 0:
            answer, now = client.delete(key), None
            assert answer in (b"DELETED", b"NOT_FOUND") or answer.startswith(b"SERVER_ERROR"), answer
        elif what == 1 and known and known.isdigit():
            answer, now = client.incr(key, 7), b"%d" % (int(known) + 7)
            assert answer == now or answer.startswith(b"SERVER_ERROR"), (answer, now)
        elif what == 2 and known:
            answer, now = client.touch(key, 4000), known
            assert answer == b"TOUCHED" or answer.startswith(b"SERVER_ERROR"), answer
        else:
            now = b"%d" % dice.randrange(10 ** dice.randrange(1, 9))
            answer = client.set(key, now)
        if not answer.startswith(b"SERVER_ERROR"):
            self.known[key] = now
            self.changes += 1

    def run(self, end):
        dice, client = random.Random(self.first), None
        while not end.is_set():
            number = self.first + self.step * dice.randrange(self.count // self.step)
            key = ("sess:" if dice.randrange(2) else "wt:") + str(number)
            try:
                client = client or self.server.client()
                self.change(client, key, dice)
            except GONE:
                client = None

    def expect(self, client):
        keys = list(self.known)
        for first in range(0, len(keys), 500):
            some = keys[first:first + 500]
            found = client.get_many(some)
            assert {key: found.get(key.encode()) for key in some} == {key: self.known[key] for key in some}


@pytest.mark.threads
def test_moves_under_load_in_spite_of_a_kill_and_an_outage(serve, redis):
    rows = share(20000)
    server = serve(configured(redis))
    fill(server.client(), rows)
    fill(server.client(), rows // 10, "wt:")
    server.client().sync()
    restart(server, configured(redis, copy_to="new"))
    loads = [Load(server, rows, first, 2) for first in range(2)]
    with Background(loads[0].run), Background(loads[1].run):
        eventually(lambda: int(stat(server, "rows")) > 1500)  # more than a page
        redis.pause()
        client = server.client()
        assert client.set("sess:new", b"behind") == b"STORED"  # dirty until Redis is there again
        eventually(lambda: client.set("wt:new", b"through").startswith(b"SERVER_ERROR"))
        assert client.get("sess:new") == b"behind"
        eventually(lambda: client.set("b:1", b"not copied") == b"STORED")
        assert stat(server, "state") == "copying"
        server.kill()
        server.start()
        assert server.client().get("sess:new") == b"behind"
        redis.resume()
        done, of = eventually(lambda: re.findall(r"namespace sessions: the copy to backend new goes on, (\d+) of (\d+) rows", server.log()))[0]
        assert 0 < int(done) < int(of)
        changed = [load.changes for load in loads]
        await_copies(server)
        eventually(lambda: all(load.changes > before for load, before in zip(loads, changed)))
    assert int(stat(server, "rows")) > 0 and stat(server, "refused") == "0" and stat(server, "unreadable") == "0"
    server.client().sync()
    expect_the_same(server, redis)
    last = server.client()
    assert last.set("sess:last", b"dirty") == b"STORED"
    restart(server, configured(redis, "new"), server.kill)  # what the journal has goes to the new store
    assert COPIED in server.log() and NOT_SEEN not in server.log()
    client = server.client()
    assert client.get("sess:last") == b"dirty"
    for load in loads:
        assert load.changes > 0
        load.expect(client)
    client.sync()
    assert redis.rows("sess:last")[b"sess:last"].value == b"dirty"


def test_moves_there_and_back(serve, redis):
    """What an earlier copy has left behind and was deleted since is not there again."""
    server = serve(configured(redis, copy_to="new"))
    client = server.client()
    fill(client, 300)
    fill(client, 30, "wt:")
    tokens = {key: client.gets(key) for key in ("sess:1", "sess:150", "wt:3")}
    await_copies(server)
    restart(server, configured(redis, "new"))
    client = server.client()
    assert {key: client.gets(key) for key in tokens} == tokens
    for key in ("sess:0", "sess:1", "wt:1"):
        assert client.delete(key) == b"DELETED"
    assert client.set("sess:2", b"in Redis alone") == b"STORED"
    restart(server, configured(redis, "new", copy_to="local"))
    await_copies(server)
    assert stat(server, "rows_removed") == "2" and stat(server, "rows_removed", "through") == "1"
    server.client().touch("sess:3", 3000)
    server.client().sync()
    expect_the_same(server, redis)
    restart(server, configured(redis, "local"))
    assert server.client().get_many([f"sess:{i}" for i in range(4)]) == {b"sess:2": b"in Redis alone", b"sess:3": b"old"}
    assert NOT_SEEN not in server.log()


def test_a_store_that_is_emptied_is_filled_anew(serve, redis):
    server = serve(configured(redis, copy_to="new"))
    fill(server.client(), 300)
    await_copies(server)
    redis.connect().flushall()
    eventually(lambda: "the copy begins anew" in server.log())
    await_copies(server)
    server.client().sync()
    expect_the_same(server, redis)


def test_without_copy_to_for_a_while_a_copy_is_no_copy(serve, redis):
    server = serve(configured(redis, copy_to="new"))
    fill(server.client(), 300)
    await_copies(server)
    restart(server, configured(redis))
    client = server.client()
    assert client.set("sess:1", b"missed") == b"STORED" and client.delete("sess:2") == b"DELETED"
    restart(server, configured(redis, copy_to="new"))
    await_copies(server)
    server.client().sync()
    expect_the_same(server, redis)
    restart(server, configured(redis))
    restart(server, configured(redis, "new"))
    assert NOT_SEEN in server.log() and COPIED not in server.log()


def test_a_switch_before_the_copy_is_complete_is_refused(serve, redis):
    """What clients wrote there would be undone by the rest of the copy."""
    server = serve(configured(redis))
    fill(server.client(), 300)
    redis.pause()
    restart(server, configured(redis, copy_to="new"))
    eventually(lambda: "writes fail" in server.log())
    assert server.client().set("sess:1", b"kept") == b"STORED"
    server.kill()
    redis.resume()
    server.config = configured(redis, "new")
    for said in (server.refuses("--check"), server.refuses()):
        assert 'namespace "sessions": its copy to ' in said and "is not complete" in said and "copy-sessions" in said, said
    server.config = configured(redis, copy_to="new")
    server.start()
    await_copies(server)
    restart(server, configured(redis, "new"))
    assert server.client().get_many(["sess:1", "sess:2"]) == {b"sess:1": b"kept", b"sess:2": b"old"}


def test_what_the_other_store_alone_has_did_not_happen(serve, redis):
    """Changes that a kill has cut off between the two stores; who has asked since was shown what was before."""
    server = serve(configured(redis, copy_to="new"))
    fill(server.client(), 30, "wt:")
    fill(server.client(), 30)
    await_copies(server)
    admin, before, tokens = redis.connect(), redis.rows("wt:"), server.client().gets("wt:5")
    admin.hset("wt:5", mapping={"value": "not promised", "version": before[b"wt:5"].version + 7})
    admin.delete("wt:6")
    admin.hset("wt:6", "version", before[b"wt:6"].version + 7)  # what a delete leaves
    admin.hset("wt:new", mapping={"value": "not promised", "version": before[b"wt:6"].version + 9, "flags": 0, "expires_at": 0})
    server.kill()
    server.start()
    await_copies(server)
    expect_the_same(server, redis)
    restart(server, configured(redis, "new"))
    client = server.client()
    assert client.gets("wt:5") == tokens
    assert client.get_many(["wt:6", "wt:7", "wt:new"]) == {b"wt:6": b"old", b"wt:7": b"old"}


def test_what_its_own_store_does_not_take_did_not_happen(serve, redis):
    """A change is on what memory has, and the row is another by now: the other store has got the change nevertheless."""
    server = serve(configured(redis, "new", copy_to="local"))
    client, admin = server.client(), redis.connect()
    fill(client, 30, "wt:")
    await_copies(server)
    tokens = {key: client.gets(key)[2] for key in ("wt:1", "wt:2", "wt:3")}
    assert client.delete("wt:3") == b"DELETED" and client.get("wt:3") is None
    for key in tokens:
        admin.hset(key, mapping={"value": "theirs", "version": tokens["wt:1"] + (9 << 20), "flags": 0, "expires_at": 0})
        admin.persist(key)  # what a delete leaves has an end
    assert client.store("cas", "wt:1", b"ours", token=tokens["wt:1"]) == b"EXISTS"
    assert client.command(f"md wt:2 C{tokens['wt:2']}") == b"EX"
    assert client.store("add", "wt:3", b"ours") == b"NOT_STORED"
    assert client.get_many(tokens) == dict.fromkeys((b"wt:1", b"wt:2", b"wt:3"), b"theirs")
    eventually(lambda: server.rows("through") == redis.rows("wt:"))
    await_copies(server)


@pytest.mark.parametrize("shared", ["source", "target"])
def test_another_server_over_one_of_the_stores_is_waited_out(serve, redis, tmp_path, shared):
    """What it changes would be in that store alone."""
    ours = configured(redis, *(("new", "local") if shared == "source" else ("local", "new")))
    server = serve(ours)
    fill(server.client(), 30, "wt:")
    await_copies(server)
    theirs = Config(namespace("through", "wt:", "write-through", "new"), node=1,
                    backends=[section("backend", "new", uri=redis.uri, timeout=AWAY)])
    with Server(tmp_path / "other", config=theirs) as other:
        eventually(lambda: "waits, as 1 more" in server.log() and stat(server, "state", "through") == "counting")
        assert other.client().set("wt:new" if shared == "source" else "wt:1", b"theirs") == b"STORED"
    await_copies(server)
    server.client().sync()
    expect_the_same(server, redis)
    assert len(redis.rows("wt:")) == (31 if shared == "source" else 30)


def test_a_store_that_was_lost_takes_nothing_with_it(serve, redis):
    """The copy may be all there is: it is not made equal to an empty store, and can be gone on with."""
    server = serve(configured(redis, copy_to="new"))
    fill(server.client(), 300)
    await_copies(server)
    server.stop()
    for path in glob.glob(os.path.join(server.folder, "store.db*")):
        os.remove(path)
    server.start()
    eventually(lambda: stat(server, "state") == "halted")
    assert "backend local has lost what it had: the copy is halted" in server.log()
    assert server.client().set("sess:new", b"to both") == b"STORED"
    server.client().sync()
    restart(server, configured(redis, "new"))
    assert server.client().get_many(["sess:1", "sess:299", "sess:new"]) == {
        b"sess:1": b"old", b"sess:299": b"old", b"sess:new": b"to both"}


def test_the_wrong_direction_removes_nothing(serve, redis):
    server = serve(configured(redis))
    fill(server.client(), 300)
    server.client().sync()
    restart(server, configured(redis, "new", copy_to="local"))
    eventually(lambda: stat(server, "state") == "halted")
    assert "backend new has no rows of it, and the other one has: the copy is halted" in server.log()
    assert len(server.rows("sessions")) == 300


def test_a_row_that_the_other_store_refuses_is_told(serve, redis):
    """Nothing is refused to clients for its sake; but the copy does not call itself complete."""
    server = serve(configured(redis, copy_to="new"))
    fill(server.client(), 10)
    await_copies(server)
    redis.connect().set("wt:taken", "of another kind")
    assert server.client().set("wt:taken", b"mine") == b"STORED"
    eventually(lambda: stat(server, "state", "through") == "copying")
    assert stat(server, "refused", "through") == "1" and stat(server, "state") == "complete"
    assert "backend new refuses rows of it, the copy is complete no longer" in server.log()
    assert server.rows("through")[b"wt:taken"].value == b"mine"
    redis.connect().delete("wt:taken")
    restart(server, configured(redis, copy_to="new"))
    await_copies(server)
    expect_the_same(server, redis)
