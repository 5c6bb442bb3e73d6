# SPDX-License-Identifier: MIT
"""Preload over real stores: the newest entries, as many as asked for, with progress in the log; nobody is served before it when
preload_wait says so; what memory knows better stays; and a store that is away at the start."""

import os
import re
import sqlite3

import pytest
from forebay import THERE, Config, Redis, eventually, namespace, section

STORES = ["sqlite", "hash", "string"]


class Store:
    """A store that can be made to stop answering."""

    def __init__(self, kind, tmp_path, redis):
        self.kind = kind
        self.path = os.path.join(tmp_path, "store.db")
        self.redis = redis
        self.lock = None
        self.layout = {} if kind == "sqlite" else {"layout": kind}

    def config(self, timeout="300ms", **options):
        uri = "sqlite:store.db" if self.kind == "sqlite" else self.redis.uri
        space = namespace("sessions", "sess:", "write-behind", backend="store", **self.layout, **options)
        return Config(space, backends=[section("backend", "store", uri=uri, timeout=timeout)], drain_timeout="1s")

    def hang(self):
        if self.redis:
            self.redis.pause()
            return
        self.lock = sqlite3.connect(self.path, isolation_level=None)
        self.lock.execute("PRAGMA locking_mode = EXCLUSIVE")
        self.lock.execute("BEGIN EXCLUSIVE")

    def go_on(self):
        if self.redis:
            self.redis.resume()
        elif self.lock:
            self.lock.close()
            self.lock = None


@pytest.fixture(params=STORES)
def store(request, tmp_path):
    if request.param != "sqlite" and Redis.missing():
        pytest.skip(Redis.missing())
    made = Store(request.param, tmp_path, request.getfixturevalue("redis") if request.param != "sqlite" else None)
    yield made
    made.go_on()


def filled(serve, store, count):
    """A server that put sess:0, sess:1, ... into the store, in this order, and was stopped."""
    server = serve(store.config())
    client = server.client()
    for start in range(0, count, 1000):
        client.set_many((f"sess:{i}", b"value %d" % i) for i in range(start, min(count, start + 1000)))
        client.sync()  # so that the order of the versions is that of the numbers
    server.stop()
    return server


def loads(server, keys):
    """How many of the keys had to be loaded when they were all asked for: 0 if memory knew them."""
    client = server.client()
    before = int(client.stats("namespaces")["sessions:loads"])
    keys = list(keys)
    for start in range(0, len(keys), 100):
        assert not isinstance(client.get_many(keys[start:start + 100]), bytes)
    eventually(lambda: client.stats("backends")["store:reads_waiting"] == "0")  # counted after they were answered
    return int(client.stats("namespaces")["sessions:loads"]) - before


def with_options(server, store, **options):
    server.config = store.config(**options)
    return server


def test_the_newest_come_first_and_not_more_than_asked_for(serve, store):
    server = filled(serve, store, 3000)
    with_options(server, store).start()
    client = server.client()
    client.set("sess:7", b"changed last")
    client.delete("sess:2999")
    client.sync()
    server.stop()
    with_options(server, store, preload=1000, preload_wait="true").start()
    assert int(server.client().stats("namespaces")["sessions:entries"]) == 1000
    assert loads(server, ["sess:7"] + [f"sess:{i}" for i in range(2000, 2999)]) == 0
    assert loads(server, [f"sess:{i}" for i in range(2000) if i != 7]) == 1999
    client = server.client()
    assert client.get("sess:2999") is None
    assert client.get("sess:7") == b"changed last"
    assert client.get("sess:2500") == b"value 2500"
    assert "preloaded 1000 entries" in server.log()


def test_progress_is_told(serve, store):
    server = filled(serve, store, 12000)
    with_options(server, store, preload=100000, preload_wait="true").start()
    told = re.findall(r"preload[^\n]*?(\d+) (?:of \d+ )?entries", server.log())
    assert told[0] == "12000", "how many there will be"
    assert 10000 <= int(told[1]) < 11000, told
    assert told[2:] == ["12000"], "how many there were"


def test_nobody_is_served_before_a_preload_that_is_waited_for(serve, store):
    server = filled(serve, store, 500)
    before = len(server.log())
    store.hang()
    with_options(server, store, preload=500, preload_wait="true").spawn()
    eventually(lambda: "the preload waits for its backend" in server.log()[before:])
    assert not server.answers()
    store.go_on()
    server.await_answer()
    assert loads(server, [f"sess:{i}" for i in range(500)]) == 0
    said = server.log()[before:]
    assert said.index("preloaded 500 entries") < said.index(" serves "), said


def test_without_waiting_the_store_may_come_later(serve, store):
    server = filled(serve, store, 500)
    store.hang()
    with_options(server, store, preload=500).start()
    client = server.client()
    assert client.ask("sess:3")[0] == "error", "unknown is not a miss"
    assert client.set("sess:3", b"newer") == b"STORED"
    store.go_on()
    eventually(lambda: "preloaded" in server.log())
    client.sync()
    assert loads(server, [f"sess:{i}" for i in range(500)]) == 0
    assert client.get("sess:3") == b"newer"
    assert client.get("sess:499") == b"value 499"


def test_what_the_journal_brought_back_is_not_overwritten(serve, store):
    server = filled(serve, store, 500)
    with_options(server, store, flush_delay="1h", flush_batch=1000000, journal="os").start()
    client = server.client()
    client.set_many((f"sess:{i}", b"newer %d" % i) for i in range(0, 500, 2))
    assert client.delete("sess:1") == b"DELETED"
    server.kill()
    with_options(server, store, flush_delay="1h", flush_batch=1000000, journal="os", preload=1000, preload_wait="true").start()
    assert "preloaded 249 entries" in server.log(), "the odd ones but the deleted one, whatever is written beside it"
    client = server.client()
    assert client.get_many([f"sess:{i}" for i in range(0, 500, 2)]) == {b"sess:%d" % i: b"newer %d" % i for i in range(0, 500, 2)}
    assert client.get("sess:1") is None
    assert client.get_many([f"sess:{i}" for i in range(3, 500, 2)]) == {b"sess:%d" % i: b"value %d" % i for i in range(3, 500, 2)}


def test_a_store_that_stays_away_is_not_waited_for_for_ever(serve, store):
    """A server without its store still takes writes."""
    server = filled(serve, store, 500)
    store.hang()
    with_options(server, store, preload=1000, preload_wait="true")
    server.config.sections.append(namespace("others", "other:", "write-behind", backend="store", preload=10, preload_wait="true"))
    server.start()
    assert "not waited for any longer" in server.log()
    client = server.client()
    assert client.set("sess:new", b"accepted") == b"STORED"
    assert client.get("sess:new") == b"accepted"
    store.go_on()
    eventually(lambda: "sessions: preloaded 500 entries" in server.log())
    eventually(lambda: "others: preloaded 0 entries" in server.log())


def last_line(server):
    return server.log().splitlines()[-1]


def test_it_can_be_stopped_while_it_waits(serve, store):
    """At once, however long the store is given to answer."""
    server = filled(serve, store, 10)
    store.hang()
    with_options(server, store, timeout="10m", preload=500, preload_wait="true").spawn()
    eventually(lambda: "preloading before clients are served" in server.log())
    server.stop()
    assert "SIGTERM: stopped before the start was complete" in last_line(server)


def test_a_stop_has_the_last_word_beside_a_preload(serve, store):
    server = filled(serve, store, 10)
    before = len(server.log())
    store.hang()
    with_options(server, store, preload=500).start()
    eventually(lambda: "the preload waits for its backend" in server.log()[before:])
    server.stop()
    assert "stopped; 0 entries drained, nothing left" in last_line(server)
    assert "the preload ended after 0 entries: stopped" in server.log()[before:]


def test_memory_that_holds_less_keeps_the_newest(serve, store):
    """Twice what fits: nothing is evicted for what is older."""
    server = serve(store.config(timeout=THERE))
    client = server.client()
    value = b"v" * 20000
    for start in range(0, 1500, 500):
        client.set_many((f"sess:{i}", value) for i in range(start, start + 500))
        client.sync()
    server.stop()
    config = with_options(server, store, timeout=THERE, preload=1500, preload_wait="true").config
    config.top["memory"] = "16mb"
    server.start()
    assert "memory is nearly full" in server.log()
    assert server.client().stats()["evictions"] == "0"
    kept = int(server.client().stats("namespaces")["sessions:entries"])
    assert 400 < kept < 800
    assert loads(server, [f"sess:{i}" for i in range(1500 - kept, 1500)]) == 0
