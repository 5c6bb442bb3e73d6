# SPDX-License-Identifier: MIT
"""A Redis that comes back empty or older under a running server, is emptied, or gives way to a replica: nothing is acknowledged
into it before it is known for what it is, the log says so once, and it gets what memory holds. One that comes back with all
it had is nobody's business."""

import os
import shutil

import pytest
from forebay import Background, Config, Redis, Server, eventually, namespace, section

pytestmark = pytest.mark.skipif(Redis.missing() is not None, reason=str(Redis.missing()))

LOST = "changes are kept in memory and journal until a store is there again"
OLDER = "It is an older copy or another store"
REWRITTEN = "entries that memory holds were written to the store again"
MARK = "forebay: store"
HIGH_KEY = "forebay:high_version"


@pytest.fixture(params=["hash", "string"])
def layout(request):
    return request.param


@pytest.fixture
def config(redis, layout):
    return configured(redis, layout)


def configured(redis, layout, **top):
    return Config(namespace("sessions", "sess:", "write-behind", flush_delay="20ms", layout=layout),
                  namespace("through", "wt:", "write-through", layout=layout),
                  backends=[section("backend", "local", uri=redis.uri, timeout="1s")], drain_timeout="2s", **top)


def store(client, count, value=b"new", prefix="sess:", first=0):
    assert set(client.set_many((f"{prefix}{i}", value) for i in range(first, first + count))) == {b"STORED"}


def expect_rows(redis, layout, count, value=b"new", prefix="sess:"):
    rows = redis.rows(prefix, layout)
    missing = [i for i in range(count) if b"%s%d" % (prefix.encode(), i) not in rows]
    assert not missing, f"{len(missing)} of {count} rows are missing"
    assert {rows[b"%s%d" % (prefix.encode(), i)].value for i in range(count)} == {value}


def expect_silence(server):
    """Two looks at the store have found nothing."""
    looks = server.upkeep_steps()
    eventually(lambda: server.upkeep_steps() >= looks + 2)
    said = server.log()
    assert LOST not in said and OLDER not in said and REWRITTEN not in said, said


# ---- Empty ----

def restart_empty(redis):
    redis.kill()
    redis.start()


def flush(redis):
    redis.connect().flushall()


WAYS = [restart_empty, flush]


@pytest.mark.parametrize("wipe", WAYS)
def test_an_empty_one_is_noticed_while_nothing_happens(serve, redis, config, layout, wipe):
    server = serve(config)
    client = server.client()
    store(client, 100)
    store(client, 20, prefix="wt:")
    client.sync()
    wipe(redis)
    eventually(lambda: REWRITTEN in server.log())
    expect_rows(redis, layout, 100)
    expect_rows(redis, layout, 20, prefix="wt:")
    said = server.log()
    assert said.count(LOST) == 1 and said.count(OLDER) == 1, said
    assert "was emptied or replaced by another store" in said and "is empty" in said, said
    server.stop()
    server.start()
    assert server.client().get_many([f"sess:{i}" for i in range(100)]) == {b"sess:%d" % i: b"new" for i in range(100)}


@pytest.mark.parametrize("wipe", WAYS)
def test_synced_is_not_said_of_an_empty_one(serve, redis, config, layout, wipe):
    server = serve(config)
    client = server.client()
    store(client, 100)
    client.sync()
    for _ in range(3):
        wipe(redis)
        client.sync()  # with nothing left to be written
        expect_rows(redis, layout, 100)
    wipe(redis)
    store(client, 1, first=100)
    client.sync()
    expect_rows(redis, layout, 101)
    wipe(redis)
    eventually(lambda: client.set("wt:0", b"new") == b"STORED")
    eventually(lambda: server.log().count(REWRITTEN) == 5)
    expect_rows(redis, layout, 101)
    expect_rows(redis, layout, 1, prefix="wt:")


def test_a_drain_ends_with_a_look(serve, redis, config, layout):
    """The server that is stopped a moment after knows better than the next one what the store had."""
    server = serve(config)
    client = server.client()
    store(client, 10)
    client.sync()
    flush(redis)
    server.stop()
    assert LOST in server.log()
    expect_rows(redis, layout, 10)


def sets_in_a_loop(end, server, acknowledged):
    with server.client() as client:
        number = 0
        while not end.is_set():
            number += 1
            if client.set(f"sess:{number % 500}", b"%d" % number) == b"STORED":
                acknowledged[number % 500] = number
            client.ask(f"sess:{number * 7 % 500}")


@pytest.mark.threads
@pytest.mark.parametrize("wipe", WAYS)
def test_an_empty_one_under_writes(serve, redis, config, layout, wipe):
    server = serve(config)
    client = server.client()
    store(client, 500, b"0")
    client.sync()
    acknowledged = {}
    with Background(sets_in_a_loop, server, acknowledged):
        eventually(lambda: len(acknowledged) == 500)
        wipe(redis)
        eventually(lambda: REWRITTEN in server.log())
    client.sync()
    rows = redis.rows("sess:", layout)
    assert {number: int(rows[b"sess:%d" % number].value) for number in acknowledged} == acknowledged


# ---- Older ----

def keep_copy(redis):
    redis.connect().save()
    shutil.copyfile(os.path.join(redis.folder, "dump.rdb"), os.path.join(redis.folder, "copy.rdb"))


def restore_copy(redis):
    redis.kill()
    shutil.copyfile(os.path.join(redis.folder, "copy.rdb"), os.path.join(redis.folder, "dump.rdb"))
    redis.start()


def test_an_older_copy_gets_what_memory_and_journal_have(serve, redis, config, layout):
    server = serve(config)
    client = server.client()
    store(client, 50, b"old")
    store(client, 10, b"old", "wt:")
    store(client, 1, b"old", "sess:gone:")
    client.sync()
    keep_copy(redis)
    store(client, 100)
    store(client, 20, prefix="wt:")
    assert client.delete("sess:gone:0") == b"DELETED"
    client.sync()
    assert all(client.command(f"forget sess:{i}") == b"FORGOTTEN" for i in (1, 99))  # as if memory had evicted them
    restore_copy(redis)
    client.sync()
    eventually(lambda: REWRITTEN in server.log())
    expect_rows(redis, layout, 100)
    expect_rows(redis, layout, 20, prefix="wt:")
    assert b"sess:gone:0" not in redis.rows("sess:", layout)
    assert client.get_many(["sess:1", "sess:99", "sess:gone:0"]) == {b"sess:1": b"new", b"sess:99": b"new"}
    said = server.log()
    assert "went back to an older state" in said and "holds changes until 20" in said, said
    assert said.count(LOST) == 1 and said.count(OLDER) == 1, said


def reads_in_a_loop(end, server, older):
    """Of rows that memory does not hold."""
    with server.client() as client:
        number = 0
        while not end.is_set():
            number = (number + 1) % 200
            client.command(f"forget sess:{number}")
            kind, value = client.ask(f"sess:{number}")
            if kind != "error" and value != (b"new" if number < 100 else None):
                older.append((number, value))


@pytest.mark.threads
def test_nothing_older_is_read_of_an_older_copy(serve, redis, config):
    """Be it before it is found out or after: loads wait until what the journal has is written again."""
    server = serve(config)
    client = server.client()
    store(client, 200, b"old")
    client.sync()
    keep_copy(redis)
    store(client, 100)
    assert all(client.delete(f"sess:{i}") == b"DELETED" for i in range(100, 200))
    client.sync()
    older = []
    with Background(reads_in_a_loop, server, older), Background(reads_in_a_loop, server, older):
        restore_copy(redis)
        eventually(lambda: REWRITTEN in server.log())
    assert not older


def test_no_change_is_made_of_an_older_copy(serve, redis, config, layout):
    """What memory holds goes there before anything is counted on from the rows that are there."""
    server = serve(config)
    client = server.client()
    store(client, 20, b"5", "wt:")
    keep_copy(redis)
    for _ in range(2):
        client.send(b"".join(b"incr wt:%d 10\r\n" % i for i in range(20)))
        assert len({client.line() for _ in range(20)}) == 1
    restore_copy(redis)
    for i in range(20):
        answer = eventually(lambda i=i: (said := client.incr(f"wt:{i}", 10)).isdigit() and int(said))
        assert answer >= 35, f"wt:{i}: {answer} after 25"


def test_no_change_is_made_of_a_row_that_went_back(serve, redis, config, layout):
    """A part of a store may have lost something before it is found out: in one store versions only grow."""
    server = serve(config)
    client, beside = server.client(), redis.connect()
    names = ["wt:1"] if layout == "hash" else ["wt:1", "forebay:beside:wt:1"]
    store(client, 3, b"5", "wt:")
    before = {name: beside.dump(name) for name in names}
    assert client.incr("wt:1", 10) == b"15"
    for name, row in before.items():
        beside.restore(name, 0, row, replace=True)
    client.send(b"incr wt:1 10\r\nadd wt:1 0 0 1\r\n7\r\nincr wt:1 10\r\n")
    assert [client.line() for _ in range(3)] == [b"25", b"NOT_STORED", b"35"]
    assert redis.rows("wt:1", layout)[b"wt:1"].value == b"35"


def test_an_older_copy_whose_newest_change_is_the_same(serve, redis):
    """What it lacks has older versions than what it has, as it waited longer to be written."""
    server = serve(Config(namespace("sessions", "sess:", "write-behind", flush_delay="20ms"),
                          namespace("patient", "pt:", "write-behind", flush_delay="1h"),
                          backends=[section("backend", "local", uri=redis.uri, timeout="1s")], drain_timeout="2s"))
    client = server.client()
    store(client, 10, prefix="pt:")
    store(client, 10)
    eventually(lambda: len(redis.rows("sess:")) == 10)
    keep_copy(redis)
    client.sync()
    restore_copy(redis)
    assert not redis.rows("pt:")
    eventually(lambda: REWRITTEN in server.log())
    expect_rows(redis, "hash", 10, prefix="pt:")
    said = server.log()
    assert said.count(LOST) == 1 and said.count("the store has lost what it acknowledged between 20") == 1, said
    assert client.stats("backends")["local:store_regressions"] == "1"


def test_a_copy_from_before_there_were_marks(serve, redis, config, layout):
    server = serve(config)
    client = server.client()
    store(client, 50, b"old")
    client.sync()
    server.stop()
    redis.connect().delete(MARK)  # as an earlier version has left the store
    keep_copy(redis)
    server.start()
    client = server.client()
    assert client.get("sess:1") == b"old"
    expect_silence(server)
    store(client, 100)
    client.sync()
    assert redis.connect().get(MARK)
    restore_copy(redis)
    client.sync()
    expect_rows(redis, layout, 100)


# ---- The same ----

def test_one_that_comes_back_with_all_it_had_is_not_told(serve, redis, config, layout):
    redis.restart("--appendonly", "yes", "--appendfsync", "always")
    server = serve(config)
    client = server.client()
    store(client, 100, b"old")
    client.sync()
    redis.kill()
    redis.start()
    expect_silence(server)
    store(client, 100)
    redis.connect().script_flush()
    client.sync()
    redis.kill()
    redis.start()
    client.sync()
    expect_silence(server)
    expect_rows(redis, layout, 100)


def test_what_is_at_the_place_of_the_mark_is_put_right(serve, redis, config, layout):
    redis.connect().hset(MARK, "a", "b")
    server = serve(config)
    client = server.client()
    store(client, 10)
    client.sync()
    assert len(redis.connect().get(MARK)) == 32
    expect_silence(server)
    redis.connect().set(MARK, "spoilt")
    eventually(lambda: REWRITTEN in server.log())
    assert len(redis.connect().get(MARK)) == 32
    store(client, 20)
    client.sync()
    expect_rows(redis, layout, 20)


# ---- A replica takes over ----

@pytest.fixture
def replica(tmp_path, redis):
    redis.connect().config_set("repl-diskless-sync-delay", 0)
    with Redis(tmp_path / "replica", "--replicaof", f"127.0.0.1 {redis.port}") as server:
        eventually(lambda: server.connect().info("replication")["master_link_status"] == "up")
        yield server


def await_copy(redis, replica):
    """What is written goes over in order, the high version with it."""
    eventually(lambda: replica.connect().get(HIGH_KEY) == redis.connect().get(HIGH_KEY))


def take_over(redis, replica):
    """It gets the address, as Sentinel or a virtual address give it."""
    redis.kill()
    replica.connect().execute_command("REPLICAOF", "NO", "ONE")
    replica.connect().config_set("port", redis.port)
    eventually(redis.answers)


def test_a_replica_that_has_all_is_not_told(serve, redis, replica, config, layout):
    server = serve(config)
    client = server.client()
    store(client, 100)
    client.sync()
    await_copy(redis, replica)
    take_over(redis, replica)
    expect_silence(server)
    store(client, 200)
    client.sync()
    expect_rows(redis, layout, 200)


def test_a_replica_that_lags_gets_what_memory_holds(serve, redis, replica, config, layout):
    server = serve(config)
    client = server.client()
    store(client, 100, b"old")
    client.sync()
    await_copy(redis, replica)
    replica.connect().execute_command("REPLICAOF", "NO", "ONE")
    store(client, 1, first=99)
    client.sync()
    take_over(redis, replica)
    client.sync()
    assert "went back to an older state" in server.log()
    rows = redis.rows("sess:", layout)
    assert rows[b"sess:99"].value == b"new" and rows[b"sess:98"].value == b"old"


# ---- Two nodes ----

@pytest.mark.parametrize("loss", [pytest.param(restart_empty, marks=pytest.mark.threads), flush, restore_copy])
def test_each_node_notices_though_the_other_writes_on(tmp_path, redis, layout, loss):
    """One of them is busy: by the time the other looks, the high version is above all that it knew."""
    def node(name, number):
        return Server(tmp_path / name, config=configured(redis, layout, node=number))

    with node("a", 1) as busy, node("b", 2) as idle:
        keep_copy(redis)
        for i in range(50):  # each node knows of the newest change of the store at some time
            store(busy.client(), 1, prefix="sess:a", first=i)
            store(idle.client(), 1, prefix="sess:b", first=i)
        busy.client().sync()
        idle.client().sync()
        with Background(sets_in_a_loop, busy, {}):
            loss(redis)
            eventually(lambda: REWRITTEN in busy.log() and REWRITTEN in idle.log())
        busy.client().sync()
        expect_rows(redis, layout, 50, prefix="sess:a")
        expect_rows(redis, layout, 50, prefix="sess:b")


def test_a_copy_is_kept_until_the_store_is_known_to_be_the_same(tmp_path, redis, layout):
    """What memory denies is asked of the store where there are several nodes: of one that came back empty, for all it knows."""
    with Server(tmp_path / "a", config=configured(redis, layout, node=1)) as server, \
            Server(tmp_path / "b", config=configured(redis, layout, node=2)):
        client = server.client()
        store(client, 10, b"5", "wt:")
        eventually(lambda: client.stats("backends")["local:other_nodes"] == "1")
        for i in range(3):
            restart_empty(redis)
            replies = client.store("add", f"wt:{i}", b"7"), client.store("add", f"wt:{i + 5}", b"7")
            assert b"STORED" not in replies
            eventually(lambda i=i: client.store("add", f"wt:{i}", b"7") == b"NOT_STORED")
            assert client.incr(f"wt:{i}", 1) == b"%d" % 6
