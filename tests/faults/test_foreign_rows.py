# SPDX-License-Identifier: MIT
"""Rows that Forebay would not have written itself: values longer than item_max, keys longer than a client can send, numbers
that are none. The store is open to other programs, and item_max may have been larger yesterday."""

import os
import sqlite3

import pytest
from forebay import Config, Redis, Server, eventually, namespace, section, sqlite_backend

ITEM_MAX = 64 << 10
LONG = b"7" + b" " * (3 * ITEM_MAX)  # a number as well, with padding
UNFIT = b"SERVER_ERROR the row in the backend is unfit to be used, the log says why"
POLICIES = {"r": "read-through", "t": "write-through", "b": "write-behind"}

# Whatever needs the value. Nothing of these may change the row.
NEEDS_THE_VALUE = [
    "get {}", "gets {}", "gat 1000 {}", "touch {} 1000", "gats 1000 {}", "mg {} v s f t c", "mg {} v T1000", "mg {} v R30",
    "mg {} v N30", "mg {} k E77 T10", "md {} I", "md {} I T30", "md {} x", "md {} C1", "ma {} v", "ma {} MD v T30", "ma {} N0 v",
    "incr {} 1", "decr {} 1", "me {}", "append {} 0 0 1\r\nx", "prepend {} 0 0 1\r\nx", "ms {} 1 MA\r\nx", "ms {} 1 MP T9\r\nx",
    "ms {} 1 MA N9\r\nx", "ms {} 1 C5\r\nx", "ms {} 1 C5 I\r\nx", "cas {} 0 0 1 5\r\nx",
]

# Whatever asks at most whether the row is there: (command, answer, value that is left).
NEEDS_NO_VALUE = [
    ("add {} 0 0 1\r\nx", b"NOT_STORED", LONG),
    ("ms {} 1 ME\r\nx", b"NS", LONG),
    ("set {} 0 0 1\r\nx", b"STORED", b"x"),
    ("ms {} 1\r\nx", b"HD", b"x"),
    ("replace {} 0 0 1\r\nx", b"STORED", b"x"),
    ("ms {} 1 MR\r\nx", b"HD", b"x"),
    ("delete {}", b"DELETED", None),
    ("md {}", b"HD", None),
]


class Sqlite:
    """Another program at the SQLite file; the table of each policy is named after it."""

    def __init__(self, folder):
        self.backend = sqlite_backend()
        self.path = os.path.join(folder, "store.db")

    def options(self, policy):
        return {}

    def execute(self, sql, *values):
        database = sqlite3.connect(self.path, timeout=60)
        with database:
            found = database.execute(sql, values).fetchall()
        database.close()
        return found

    def put(self, key, value, **fields):
        names = ["key", "value", *fields]
        self.execute(f"INSERT OR REPLACE INTO \"{POLICIES[key[0]]}\"({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
                     key.encode(), value, *fields.values())

    def value(self, key):
        found = self.execute(f'SELECT value FROM "{POLICIES[key[0]]}" WHERE key = ?', key.encode())
        return found[0][0] if found else None


class OwnSql(Sqlite):
    """The application's own table for each policy."""

    def __init__(self, folder):
        super().__init__(folder)
        for letter in POLICIES:
            self.execute(f"CREATE TABLE own_{letter} (id TEXT PRIMARY KEY, body, flags, expires, rev)")

    def options(self, policy):
        table = next(f"own_{letter}" for letter, name in POLICIES.items() if name == policy)
        return {"load": f"SELECT body, flags, expires, rev FROM {table} WHERE id = :key",
                "store": f"INSERT OR REPLACE INTO {table} VALUES (:key, :value, :flags, :expires_at, :version)",
                "delete": f"DELETE FROM {table} WHERE id = :key"}

    def put(self, key, value, flags=None, expires_at=None, version=None):
        self.execute(f"INSERT OR REPLACE INTO own_{key[0]} VALUES (?, ?, ?, ?, ?)", key[2:], value, flags, expires_at, version)

    def value(self, key):
        found = self.execute(f"SELECT body FROM own_{key[0]} WHERE id = ?", key[2:])
        return found[0][0] if found else None


class InRedis:
    """Another program at the Redis."""

    def __init__(self, redis, layout):
        self.backend = section("backend", "local", uri=redis.uri)
        self.layout = layout
        self.connection = redis.connect()

    def options(self, policy):
        return {"layout": self.layout}

    def put(self, key, value, **fields):
        if self.layout == "hash":
            self.connection.hset(key, mapping={"value": value, "expires_at": 0, **fields})
            return
        self.connection.set(key, value)
        if fields:
            self.connection.hset(f"forebay:beside:{key}", mapping=fields)

    def value(self, key):
        return self.connection.hget(key, "value") if self.layout == "hash" else self.connection.get(key)


@pytest.fixture(params=["sqlite", "own", "hash", "string"])
def store(request, tmp_path):
    if request.param in ("sqlite", "own"):
        return (Sqlite if request.param == "sqlite" else OwnSql)(tmp_path)
    if Redis.missing():
        pytest.skip(Redis.missing())
    return InRedis(request.getfixturevalue("redis"), request.param)


def start(serve, store, **more):
    namespaces = [namespace(policy, f"{letter}:", policy, **store.options(policy), **more) for letter, policy in POLICIES.items()]
    return serve(Config(*namespaces, backends=[store.backend], item_max=f"{ITEM_MAX >> 10}kb"))


def command_for(template, key):
    return template.format(key).encode()


def first_line(client, template, key):
    client.send(command_for(template, key) + b"\r\n")
    return client.line()


@pytest.mark.parametrize("letter", POLICIES)
def test_a_row_that_is_too_long_is_refused(serve, store, letter):
    server = start(serve, store)
    client = server.client()
    key = f"{letter}:long"
    store.put(key, LONG)
    for template in NEEDS_THE_VALUE:
        assert first_line(client, template, key) == UNFIT, template
    for number in range(20):  # many at once, as a pipeline
        client.send(command_for("md {} I T30", key) + b"\r\n" + command_for("incr {} 1", key) + b"\r\n")
    assert [client.line() for _ in range(40)] == [UNFIT] * 40
    client.sync()
    assert store.value(key) == LONG
    statistics = client.stats("namespaces")
    assert int(statistics[f"{POLICIES[letter]}:load_unfit"]) > 0
    assert f'namespace {POLICIES[letter]}: a row in backend local has {len(LONG)} bytes' in server.log()
    assert "item_max" in server.log()


@pytest.mark.parametrize("existence", ["backend", "memory"])
@pytest.mark.parametrize("letter", POLICIES)
def test_it_can_be_replaced_and_deleted(serve, store, letter, existence):
    client = start(serve, store, existence=existence).client()
    writes = letter != "r"
    for number, (template, answer, left) in enumerate(NEEDS_NO_VALUE):
        key = f"{letter}:long{number}"
        store.put(key, LONG)
        said = first_line(client, template, key)
        if existence == "memory":  # what memory does not know counts as absent
            continue
        assert said == answer, template
        client.sync()
        assert store.value(key) == (left if writes else LONG), template
        if left == b"x":
            assert client.get(key) == b"x"
    assert client.set(f"{letter}:sound", b"v") == b"STORED"
    client.sync()  # the store ends before the server does


def test_a_pipeline_over_it_sees_what_its_own_changes_make(serve, store):
    client = start(serve, store).client()
    store.put("t:long", LONG)
    client.send(b"touch t:long 100\r\nadd t:long 0 0 1\r\nx\r\nincr t:long 1\r\ndelete t:long\r\n"
                b"add t:long 0 0 1\r\n5\r\nincr t:long 1\r\n")
    assert [client.line() for _ in range(6)] == [UNFIT, b"NOT_STORED", UNFIT, b"DELETED", b"STORED", b"6"]
    assert store.value("t:long") == b"6"


def test_a_get_of_many_serves_those_before_it(serve, store):
    client = start(serve, store).client()
    store.put("b:long", LONG)
    store.put("b:fit", b"v")
    client.send(b"get b:fit b:long\r\n")
    assert [client.line() for _ in range(3)] == [b"VALUE b:fit 0 1", b"v", UNFIT]


def test_numbers_that_are_out_of_bounds(serve, store):
    server = start(serve, store)
    client = server.client()
    if isinstance(store, Sqlite):
        store.put("b:marks", b"v", **({} if isinstance(store, OwnSql) else {"marks": 0xff}))
        store.put("b:flags", b"v", flags=1 << 40)
        store.put("b:life", b"v", expires_at=1 << 40)
        store.put("b:version", b"v", version=(1 << 63) - 1)
    else:
        store.put("b:marks", b"v", marks=0xff)
        store.put("b:flags", b"v", flags=1 << 40, expires_at="never")
        store.put("b:life", b"v", **({"expires_at": 1 << 40} if store.layout == "hash" else {}))
        store.put("b:version", b"v", version="9" * 30)
    assert client.get("b:flags") == b"v"
    assert client.get("b:life") == b"v"
    assert first_line(client, "mg {} v", "b:marks") == (b"VA 1" if isinstance(store, OwnSql) else b"VA 1 Z X")
    assert client.line() == b"v"
    assert client.incr("b:marks") == b"CLIENT_ERROR cannot increment or decrement non-numeric value"
    assert client.touch("b:marks", 1000) == b"TOUCHED"
    # A version that no clock gives would end the versions of this server: it counts as none.
    assert client.get("b:version") == b"v"
    assert client.set("b:version", b"mended") == b"STORED"
    client.sync()
    assert isinstance(store, OwnSql) or store.value("b:version") == b"mended"
    for round_ in range(2):
        assert client.set("b:new", b"%d" % round_) == b"STORED"
        client.sync()
        assert store.value("b:new") == b"%d" % round_
    server.kill()
    server.start()
    assert server.client().get("b:new") == b"1"


def test_a_preload_takes_only_what_clients_can_ask_for(serve, store):
    """Keys that are too long, of other namespaces, or no keys at all; and rows that do not fit."""
    if isinstance(store, OwnSql):
        pytest.skip("there is no statement that lists the application's rows")
    server = start(serve, store, preload=100, preload_wait="true")
    server.stop()
    for size in (251, 256, 300, 1000):
        store.put("b:" + "k" * (size - 2), b"v")
    for number in range(20):
        store.put(f"b:sound{number}", b"%d" % number)
    store.put("b:long", LONG)
    if isinstance(store, Sqlite):
        store.execute('INSERT INTO "write-behind"(key, value) VALUES (CAST(? AS BLOB), ?)', "r:elsewhere", b"v")
    server.start()
    client = server.client()
    eventually(lambda: "namespace write-behind: preloaded 20 entries" in server.log())
    for number in range(20):
        assert client.get(f"b:sound{number}") == b"%d" % number
    assert client.ask("b:long") == ("error", UNFIT)
    server.check_alive()


def write_by_sql_alone(server, path):
    """And the server beside: nobody is taken for another one."""
    client = server.client()
    assert client.set("b:1", b"v") == b"STORED"
    client.sync()
    with sqlite3.connect(path, timeout=60) as database:
        database.execute("INSERT INTO b(key, value, version) VALUES (CAST('b:2' AS BLOB), 'v', (SELECT max(version) + 4096 FROM b))")
    database.close()
    for value in (b"w", b"x"):
        client.sync()
        assert client.set("b:1", value) == b"STORED"
    client.sync()
    assert client.stats("backends")["local:rival"] == "0"


def test_another_server_over_one_database_is_told_by_both(tmp_path):
    """Rows that a program writes by SQL alone, whatever their versions, are none of another server."""
    space = namespace("b", "b:", "write-behind", flush_delay="20ms")
    path, told = str(tmp_path / "one.db"), "another server writes to this database"
    first, second = (Server(tmp_path / name, config=Config(space, backends=[sqlite_backend(path=path)])) for name in "ab")
    with first:
        write_by_sql_alone(first, path)
        with second:
            for server, value in ((second, b"v"), (first, b"v"), (second, b"w")):
                assert server.client().set("b:3", value) == b"STORED"
                server.client().sync()
            for server in (second, first):
                eventually(lambda server=server: f'backend "local", {path}: {told}' in server.log())
                assert server.client().stats("backends")["local:rival"] == "1"
                assert server.log().count(told) == 1
