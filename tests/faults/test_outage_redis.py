# SPDX-License-Identifier: MIT
"""A Redis that ails in every way while write-behind traffic runs, in both layouts: no acknowledged write is lost, hits are
answered throughout, other namespaces go on, unknown is not a miss, and nobody restarts Forebay."""

import contextlib
import os
import re
import threading
import time

import pytest
from crash import Owner
from forebay import AWAY, THERE, Config, Redis, eventually, namespace, section

pytestmark = pytest.mark.skipif(Redis.missing() is not None, reason=str(Redis.missing()))

PREFIXES = {"sess:": "hash", "sh:": "string"}
HELD, LATER = 100, 200  # keys that were flushed before the outage, and keys that are set during it


def config(redis, **options):
    return Config(namespace("sessions", "sess:", "write-behind", backend="remote", flush_delay="50ms", **options),
                  namespace("shared", "sh:", "write-behind", backend="remote", flush_delay="50ms", layout="string", **options),
                  namespace("through", "wt:", "write-through", backend="remote"),
                  namespace("files", "file:", "write-behind", backend="local", flush_delay="50ms"),
                  namespace("plain", "plain:", "cache-aside"),
                  backends=[section("backend", "remote", uri=redis.uri, timeout=AWAY),
                            section("backend", "local", uri="sqlite:store.db")], drain_timeout="1s")


def expected(first, last):
    return {b"%s%d" % (prefix.encode(), i): b"value %d" % i for prefix in PREFIXES for i in range(first, last)}


def fill(client, first, last):
    replies = client.set_many(expected(first, last).items())
    assert set(replies) == {b"STORED"}, set(replies)


def all_rows(redis):
    return {key: row for prefix, layout in PREFIXES.items() for key, row in redis.rows(prefix, layout).items()}


def all_values(redis, keys):
    found = all_rows(redis)
    return {key: found[key].value for key in keys if key in found}


# ---- Outages: what begins and what ends them ----

class Outage:
    """begin() and end() around what holds meanwhile."""

    options = ()    # of the Redis
    reads = False   # it still answers who reads; None: perhaps
    keeps = True    # it knows afterwards what it knew before

    def __init__(self, redis):
        self.redis = redis

    def begin(self):
        raise NotImplementedError

    def end(self):
        raise NotImplementedError


class Stopped(Outage):
    """SIGSTOP."""

    def begin(self):
        self.redis.pause()

    def end(self):
        self.redis.resume()


class Killed(Outage):
    """kill -9; append-only, every write: what was flushed is still there."""

    options = ("--appendonly", "yes", "--appendfsync", "always")

    def begin(self):
        self.redis.kill()

    def end(self):
        self.redis.start()


class Emptied(Killed):
    """It has lost what it had been given; what was accepted since is all there, and memory still answers the rest."""

    options = ()
    keeps = False


class OutOfMemory(Outage):
    reads = True

    def begin(self):
        self.redis.connect().config_set("maxmemory", 1)

    def end(self):
        self.redis.connect().config_set("maxmemory", 0)


class CannotSave(Outage):
    """MISCONF: a folder is where its file should be."""

    reads = True

    def saves(self, status):
        with contextlib.suppress(Exception):  # one is under way
            self.redis.connect().bgsave()
        return self.redis.connect().info("persistence")["rdb_last_bgsave_status"] == status

    def begin(self):
        os.mkdir(os.path.join(self.redis.folder, "dump.rdb"))
        self.redis.connect().config_set("save", "3600 1")
        eventually(lambda: self.saves("err"))

    def end(self):
        os.rmdir(os.path.join(self.redis.folder, "dump.rdb"))
        eventually(lambda: self.saves("ok"))


class ReadOnly(Outage):
    """It has become the replica of a primary that nobody finds, and still shows what it has."""

    reads = True
    stale = "yes"

    def begin(self):
        self.redis.connect().config_set("replica-serve-stale-data", self.stale)
        self.redis.connect().slaveof("127.0.0.1", 1)

    def end(self):
        self.redis.connect().slaveof()


class MasterDown(ReadOnly):
    """The same, and it shows nothing."""

    reads = False
    stale = "no"


class Replica(Outage):
    """It has become the replica of a primary that is empty, and is so itself from then on."""

    reads = None  # until that is noticed
    keeps = False

    def begin(self):
        self.primary = Redis(os.path.join(self.redis.folder, "primary")).start()
        self.redis.connect().slaveof("127.0.0.1", self.primary.port)
        eventually(lambda: self.redis.connect().info("replication")["master_link_status"] == "up")

    def end(self):
        self.redis.connect().slaveof()
        self.primary.stop()


OUTAGES = [Stopped, Killed, Emptied, OutOfMemory, CannotSave, ReadOnly, MasterDown, Replica]


# ---- What holds ----

def check_outage(server):
    """While Redis is away, whatever ails it."""
    client = server.client()
    assert client.get_many(expected(0, HELD)) == expected(0, HELD), "what memory has is answered"
    fill(client, HELD, HELD + LATER)
    assert client.get_many(expected(HELD, HELD + LATER)) == expected(HELD, HELD + LATER), "dirty entries as well"
    for prefix in ("plain:", "file:"):
        assert client.set(prefix + "x", b"untouched") == b"STORED"
        assert client.get(prefix + "x") == b"untouched"
    assert client.ask("file:unknown") == ("miss", None), "a miss of another store is known to be one"
    client.sync("files")
    assert server.rows("files")[b"file:x"].value == b"untouched"


def check_unknown(server, reads=False):
    """What memory does not have and Redis cannot be asked for is not a miss, and what cannot be written through is not
    stored."""
    client = server.client()
    for prefix in PREFIXES:
        if reads:
            eventually(lambda: client.ask(prefix + "unknown")[0] == "miss")
        else:
            assert client.ask(prefix + "unknown")[0] == "error" or reads is None
    assert client.set("wt:x", b"v").startswith(b"SERVER_ERROR")
    assert client.ask("wt:x")[0] in (("error",) if reads is False else ("error", "miss"))


def check_recovery(server, redis, keeps=True):
    """After a sync: Redis has all, and can be asked again."""
    client = server.client()
    client.sync("sessions")
    client.sync("shared")
    for prefix in PREFIXES:
        eventually(lambda: client.ask(prefix + "never-seen") == ("miss", None))
    eventually(lambda: client.set("wt:y", b"v") == b"STORED")
    want = expected(0 if keeps else HELD, HELD + LATER)
    assert all_values(redis, want) == want
    assert client.get_many(expected(0, HELD)) == expected(0, HELD)


class Traffic:
    """Clients that keep changing keys of their own, with the model of what they were promised."""

    def __init__(self, server, seed):
        self.server = server
        self.owners = [Owner(i, [prefix[:-1] for prefix in PREFIXES], 40, seed) for i in range(3)]
        for owner in self.owners:
            owner.allowed.refusing = {prefix[:-1] for prefix in PREFIXES}
        self.end = threading.Event()
        self.threads = [threading.Thread(target=owner.run, args=(server.port, self.end), daemon=True) for owner in self.owners]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.end.set()
        for thread in self.threads:
            thread.join(60)

    def go_on(self):
        """Until every client has had some more answers."""
        goals = [(owner, owner.answered + owner.refused + 30) for owner in self.owners]
        eventually(lambda: all(owner.error or owner.answered + owner.refused >= goal for owner, goal in goals))
        for owner in self.owners:
            if owner.error:
                raise owner.error

    def check(self, where):
        client = self.server.client()
        for owner in self.owners:
            owner.check(client, where)

    def check_store(self, redis, where):
        began = time.time()
        for prefix, layout in PREFIXES.items():
            found = redis.rows(prefix, layout)
            for owner in self.owners:
                owner.check_store(prefix[:-1], found, began, where)


def start(serve, redis, options=()):
    """A server over a Redis with these options, and HELD keys of each layout in both."""
    if options:
        redis.restart(*options)
    server = serve(config(redis))
    fill(server.client(), 0, HELD)
    server.client().sync()
    return server


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[pytest.mark.threads] if kind is Killed else []) for kind in OUTAGES])
def test_an_outage_under_traffic_loses_nothing(serve, redis, kind):
    outage = kind(redis)
    server = start(serve, redis, kind.options)
    pid = server.pid
    with Traffic(server, kind.__name__) as traffic:
        traffic.go_on()
        outage.begin()
        check_outage(server)
        check_unknown(server, outage.reads)
        traffic.go_on()
        outage.end()
        check_recovery(server, redis, outage.keeps)
        traffic.go_on()
    server.client().sync()
    traffic.check("after the outage")
    server.check_alive()
    assert server.pid == pid
    if outage.keeps:
        traffic.check_store(redis, "in Redis after the outage")
        server.kill()
        server.start()
        traffic.check("after a kill -9, from Redis")


@pytest.mark.threads
def test_one_outage_after_the_other_loses_nothing(serve, redis):
    server = start(serve, redis)
    with Traffic(server, "many") as traffic:
        for kind in [Stopped, OutOfMemory, ReadOnly, MasterDown] * 2:
            outage = kind(redis)
            outage.begin()
            traffic.go_on()
            outage.end()
            traffic.go_on()
            server.check_alive()
    server.client().sync()
    traffic.check("after the outages")
    traffic.check_store(redis, "in Redis after the outages")


@pytest.mark.threads
def test_reads_go_on_at_once_after_a_long_outage(serve, redis):
    """The readers' pauses have grown to seconds: what the writer has found out ends them."""
    server = start(serve, redis)
    client = server.client()
    redis.kill()
    fill(client, HELD, HELD + LATER)
    eventually(lambda: client.ask("sess:unknown")[0] == "error" and
               int(client.stats("backends")["remote:read_failures"]) >= 8)
    redis.start()
    client.sync("sessions")
    answers = [client.ask(f"sess:other-{i}") for i in range(100)]
    assert answers.count(("miss", None)) > 95, answers  # one may miss its timeout; a pause of the readers would fail them all


def test_it_starts_without_its_redis(serve, redis):
    """Forebay starts without its Redis, takes writes, knows no misses, and catches up."""
    redis.stop()
    server = serve(config(redis))
    assert re.search(rf"(has not answered yet|not available yet).*:{redis.port}", server.log()), server.log()
    fill(server.client(), 0, HELD)
    check_outage(server)
    check_unknown(server)
    redis.start()
    check_recovery(server, redis)


def test_a_start_tells_why_its_redis_does_not_answer(serve, redis):
    """Also while its first call goes on: it is tried again for as long as the backend's timeout."""
    redis.stop()
    server = serve(Config(namespace("through", "wt:", "write-through", backend="remote"),
                          backends=[section("backend", "remote", uri=redis.uri, timeout=THERE)]))
    assert re.search(rf"backend remote: not available yet.*:{redis.port}/0: Connection refused", server.log()), server.log()
    server.kill()  # the call has not ended


def test_a_kill_during_the_outage_loses_nothing(serve, redis):
    """Both go: the journal has what Redis has not."""
    server = start(serve, redis)
    redis.pause()
    check_outage(server)
    server.kill()
    redis.resume()
    server.start()
    check_recovery(server, redis)


def test_on_backend_down_may_answer_a_miss(serve, redis):
    server = serve(config(redis, on_backend_down="miss"))
    redis.kill()
    for prefix in PREFIXES:
        assert server.client().ask(prefix + "unknown") == ("miss", None)
        assert server.client().set(prefix + "1", b"v") == b"STORED"
        assert server.client().get(prefix + "1") == b"v"


def test_on_backend_down_may_close_the_connection(serve, redis):
    """Instead of a read's error. What was answered before it is sent; changes get their error line, and the connection stays."""
    server = serve(config(redis, on_backend_down="close"))
    redis.kill()
    reads = [b"get %s", b"gets %s", b"gat 100 %s", b"gats 100 %s", b"mg %s v", b"mg %s v q", b"mg %s T30", b"mg %s N30 v"]
    for prefix in PREFIXES:
        client = server.client()
        assert client.set(prefix + "1", b"v") == b"STORED"
        for change in (b"add %s 0 0 1\r\nx", b"append %s 0 0 1\r\nx", b"incr %s 1", b"delete %s", b"touch %s 10", b"ma %s", b"md %s"):
            assert client.command(change % (prefix.encode() + b"unknown")).startswith(b"SERVER_ERROR backend remote"), change
        for read in reads:
            client = server.client()
            client.send(b"get %b1\r\n" % prefix.encode() + read % (prefix.encode() + b"unknown") + b"\r\nget %b1\r\n" % prefix.encode())
            assert [client.line() for _ in range(3)] == [b"VALUE %b1 0 1" % prefix.encode(), b"v", b"END"], read
            assert client.is_closed(), read
        client = server.client()
        client.send(f"get {prefix}1 {prefix}unknown\r\n")
        assert [client.line(), client.line()] == [b"VALUE %b1 0 1" % prefix.encode(), b"v"]
        assert client.is_closed()  # no END: the answer is not complete
    assert server.client().get("plain:unknown") is None
    assert server.client().command("get wt:unknown").startswith(b"SERVER_ERROR")
    assert int(server.client().stats("forebay")["closed_reads"]) == 2 * (len(reads) + 1)


def test_a_write_through_read_that_changes_something_closes_as_well(serve, redis):
    space = namespace("through", "wt:", "write-through", backend="remote", on_backend_down="close")
    server = serve(Config(space, backends=[section("backend", "remote", uri=redis.uri, timeout=AWAY)]))
    redis.kill()
    for read in ("get wt:unknown", "gat 100 wt:unknown", "mg wt:unknown T30"):
        client = server.client()
        client.send(read + "\r\n")
        assert client.is_closed(), read
    assert server.client().set("wt:unknown", b"v").startswith(b"SERVER_ERROR")
