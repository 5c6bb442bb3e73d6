# SPDX-License-Identifier: MIT
"""What is one table's or one row's fault stays there: the other namespaces of the same backend are read and written as if
nothing had happened, the log names the namespace and its keys, and what could not be written is written once it can be."""

import os
import re
import sqlite3
import time

import pytest
from forebay import PATIENCE, Background, Config, Redis, eventually, locked, namespace, section, sqlite_backend

SQL = {"load": "SELECT body, 0, expires, rev FROM profile WHERE id = :key",
       "store": "INSERT INTO profile(id, body, expires, rev) VALUES (:key, CAST(:value AS TEXT), :expires_at, :version) "
                "ON CONFLICT(id) DO UPDATE SET body = excluded.body, expires = excluded.expires, rev = excluded.rev "
                "WHERE excluded.rev > rev",
       "delete": "DELETE FROM profile WHERE id = :key AND rev <= :version"}
TABLE = "CREATE TABLE profile (id TEXT PRIMARY KEY, body TEXT NOT NULL, expires INTEGER NOT NULL DEFAULT 0, rev INTEGER NOT NULL DEFAULT 0)"

# What a migration does to a table under a running server, and what undoes it.
BREAKS = {"dropped": ("ALTER TABLE profile RENAME TO old_profile", "ALTER TABLE old_profile RENAME TO profile"),
          "renamed column": ("ALTER TABLE profile RENAME COLUMN body TO text", "ALTER TABLE profile RENAME COLUMN text TO body")}

MANY = 250
TOLD = 'warning: namespace profiles, keys "profile:*"'  # in the log


class Store:
    """The application's own access to the database."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "store.db")
        self.execute(TABLE)

    def execute(self, sql, *values):
        database = sqlite3.connect(self.path, timeout=PATIENCE)
        with database:
            found = database.execute(sql, values).fetchall()
        database.close()
        return found

    def insert(self, table, prefix, count):
        database = sqlite3.connect(self.path, timeout=PATIENCE)
        with database:
            database.executemany(f"INSERT INTO {table}(key, value) VALUES (CAST(? AS BLOB), CAST(? AS BLOB))",
                                 [(f"{prefix}{i}", f"value {i}") for i in range(count)])
        database.close()


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def spaces(profile="write-behind", **backend):
    return Config(namespace("profiles", "profile:", profile, **SQL),
                  namespace("sessions", "sess:", "write-behind", flush_delay="50ms"),
                  namespace("through", "wt:", "write-through"), backends=[sqlite_backend(**backend)], drain_timeout="1s")


def gets_in_a_loop(end, server):
    with server.client() as client:
        number = 0
        while not end.is_set():
            number += 1
            kind, answer = client.ask(f"profile:unknown{number}")
            assert kind == "error" and answer.startswith(b"SERVER_ERROR "), (kind, answer)


def sets_in_a_loop(end, server):
    with server.client() as client:
        number = 0
        while not end.is_set():
            number += 1
            client.set(f"profile:{number % 1000}", b"kept")


def test_gets_on_a_broken_table_leave_the_others_alone(serve, store):
    server = serve(spaces())
    store.insert("sessions", "sess:", MANY)
    store.execute("INSERT INTO profile(id, body) VALUES ('ann', 'there')")
    store.execute(BREAKS["dropped"][0])
    with Background(gets_in_a_loop, server):
        eventually(lambda: TOLD in server.log())
        client = server.client()
        assert [client.ask(f"sess:{i}") for i in range(MANY)] == [("hit", b"value %d" % i) for i in range(MANY)]
    said = server.log()
    assert "no such table" in said, said
    assert "backend local: reads fail" not in said, said
    assert client.stats("namespaces")["profiles:read_breaker"] != "closed"
    assert client.stats("backends")["local:read_breaker"] == "closed"
    store.execute(BREAKS["dropped"][1])
    eventually(lambda: client.ask("profile:ann") == ("hit", b"there"))


@pytest.mark.parametrize("how", BREAKS)
@pytest.mark.parametrize("policy", ["write-behind", "write-through"])
def test_sets_on_a_broken_table_leave_the_others_alone(serve, store, policy, how):
    server = serve(spaces(policy))
    server.client().sync()
    store.execute(BREAKS[how][0])
    with Background(sets_in_a_loop, server):
        eventually(lambda: TOLD in server.log())
        client = server.client()
        assert [client.set(f"wt:{i}", b"v") for i in range(50)] == [b"STORED"] * 50
        for i in range(MANY):
            assert client.set(f"sess:{i}", b"value %d" % i) == b"STORED"
        client.sync("sessions")
        assert len(server.rows()) == MANY and len(server.rows("through")) == 50
    assert "backend local: writes fail" not in server.log(), server.log()
    store.execute(BREAKS[how][1])
    assert eventually(lambda: client.set("profile:1", b"last") == b"STORED")
    client.sync()
    assert store.execute("SELECT body FROM profile WHERE id = '1'") == [("last",)]


def test_a_change_of_several_namespaces_at_once_fails_for_the_broken_one(serve, store):
    """Write-through changes share a commit: that of the broken table is left out of it."""
    server = serve(spaces("write-through"))
    client = server.client()
    store.execute(BREAKS["dropped"][0])
    for turn in range(10):
        names = [f"{prefix}{turn}-{i}" for i in range(8) for prefix in ("wt:", "profile:")]
        replies = client.set_many((name, b"v") for name in names)
        assert all(reply == b"STORED" for name, reply in zip(names, replies) if name.startswith("wt:")), replies
        assert all(reply.startswith(b"SERVER_ERROR ") for name, reply in zip(names, replies) if name.startswith("profile:"))
    assert len(server.rows("through")) == 80


def test_a_connection_that_is_opened_anew_meets_a_broken_table(serve, store):
    """The store itself fails for a while, so connections are opened again: the broken table does not keep them closed."""
    server = serve(spaces(timeout="100ms"))
    client = server.client()
    store.execute(BREAKS["dropped"][0])
    before = int(client.stats("backends")["local:write_connects"])
    with locked(server):
        client.set("sess:1", b"v")
        client.set("profile:1", b"v")
        eventually(lambda: int(client.stats("backends")["local:write_breaker_opened"]) == 1)
    client.sync("sessions")
    assert int(client.stats("backends")["local:write_connects"]) > before
    assert server.rows()[b"sess:1"].value == b"v"
    store.execute(BREAKS["dropped"][1])
    client.sync()
    assert store.execute("SELECT body FROM profile") == [("v",)]


GONE = re.compile(r'error: backend "local", \S+/store.db: the table "sessions" was dropped or renamed, with all its rows, while it '
                  r'was open')


def test_a_table_of_ours_that_is_dropped_is_made_again(serve, store):
    """And filled again from memory, as a Redis that was emptied is; it is told once."""
    server = serve(spaces())
    client = server.client()
    assert client.set("sess:1", b"v") == b"STORED"
    client.sync("sessions")
    store.execute("DROP TABLE sessions")
    assert client.set("sess:2", b"v") == b"STORED"
    client.sync("sessions")
    eventually(lambda: set(server.rows()) == {b"sess:1", b"sess:2"})
    assert eventually(lambda: client.ask("sess:3") == ("miss", None))
    assert len(GONE.findall(server.log())) == 1, server.log()


def test_one_that_is_renamed_is_noticed_while_nobody_writes(serve, store):
    server = serve(spaces())
    client = server.client()
    assert client.set("sess:1", b"v") == b"STORED"
    client.sync("sessions")
    store.execute("ALTER TABLE sessions RENAME TO former")
    eventually(lambda: "the store is there again" in server.log() and list(server.rows()) == [b"sess:1"])
    assert GONE.search(server.log()) and len(server.rows("former")) == 1


def test_a_row_that_the_statement_cannot_read_is_that_rows_fault(serve, store):
    """A function in the application's own load fails for some rows."""
    store.execute("INSERT INTO profile(id, body) VALUES ('bad', '{'), ('good', '{\"a\": 1}')")
    load = "SELECT json_extract(body, '$.a'), 0, expires, rev FROM profile WHERE id = :key"
    server = serve(Config(namespace("profiles", "profile:", "write-through", **{**SQL, "load": load})))
    client = server.client()
    for i in range(20):
        assert client.ask("profile:bad")[0] == "error"
        assert client.get(f"profile:nobody{i}") is None
    assert client.get("profile:good") == b"1"
    assert client.stats("namespaces")["profiles:read_breaker"] == "closed"
    assert int(client.stats("namespaces")["profiles:rows_unreadable"]) == 20
    assert 'namespace profiles, keys "profile:*": a row cannot be read (16 reads' in server.log(), server.log()


# ---- Damage ----

def damage(path, table, every):
    """Overwrites each nth leaf page of a table with what no page can be. Returns the keys that SQLite can still read."""
    database = sqlite3.connect(path)
    keys = [bytes(key) for key, in database.execute(f"SELECT key FROM {table}")]
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = database.execute("PRAGMA page_size").fetchone()[0]
    root, = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    database.close()
    with open(path, "r+b") as file:
        def page(number):
            file.seek((number - 1) * size)
            return file.read(size)

        interior = page(root)
        assert interior[0] == 5, "a table of one page is no test"
        cells = int.from_bytes(interior[3:5], "big")
        leaves = [int.from_bytes(interior[at:at + 4], "big")
                  for at in (int.from_bytes(interior[12 + 2 * i:14 + 2 * i], "big") for i in range(cells))]
        for number in leaves[1::every]:
            file.seek((number - 1) * size)
            file.write(b"\xa5" * size)
    database = sqlite3.connect(path)
    readable = []
    for key in keys:
        try:
            if database.execute(f"SELECT value FROM {table} WHERE key = ?", (key,)).fetchone():
                readable.append(key)
        except sqlite3.DatabaseError:
            pass
    database.close()
    assert 0 < len(readable) < len(keys)
    return keys, set(readable)


def test_rows_beside_damaged_ones_are_read(serve, store):
    server = serve(spaces())
    store.insert("sessions", "sess:", 2000)
    server.stop()
    keys, readable = damage(store.path, "sessions", 5)
    server.start()
    client = server.client()
    answers = {key: client.ask(key) for key in keys}
    assert {key for key in keys if answers[key][0] == "hit"} == readable
    assert all(answers[key][0] == "error" for key in keys if key not in readable), "unknown is not a miss"
    found = client.get_many(sorted(readable)[:100])
    assert len(found) == 100
    assert client.stats("backends")["local:read_breaker"] == "closed"
    assert client.stats("namespaces")["sessions:read_breaker"] == "closed"
    said = server.log()
    assert "malformed" in said and 'namespace sessions, keys "sess:*"' in said, said


def test_damage_in_one_table_does_not_stop_the_writes_of_others(serve, store):
    server = serve(spaces())
    store.insert("sessions", "sess:", 2000)
    server.stop()
    keys, readable = damage(store.path, "sessions", 2)
    damaged = next(key for key in keys if key not in readable)
    server.start()
    client = server.client()
    assert client.set(damaged, b"new") == b"STORED"
    eventually(lambda: 'warning: namespace sessions, keys "sess:*"' in server.log() and int(client.stats("write_behind")["sessions:retries"]) > 2)
    for i in range(50):
        assert client.set(f"wt:{i}", b"v") == b"STORED"
        assert client.set(f"profile:{i}", b"v") == b"STORED"
    client.sync("profiles")
    assert client.get(damaged) == b"new"
    assert len(store.execute("SELECT id FROM profile")) == 50


# ---- Redis ----

@pytest.mark.skipif(Redis.missing() is not None, reason=str(Redis.missing()))
@pytest.mark.parametrize("layout", ["hash", "string"])
def test_keys_that_redis_does_not_allow_are_the_namespaces_fault(serve, redis, layout):
    admin = redis.connect()
    admin.acl_setuser("ann", enabled=True, passwords=["+secret"], commands=["+@all"], keys=["*"])
    remote = section("backend", "remote", uri=f"redis://ann:secret@127.0.0.1:{redis.port}/0")
    options = dict(backend="remote", layout=layout)
    server = serve(Config(namespace("profiles", "profile:", "write-behind", flush_delay="20ms", **options),
                          namespace("sessions", "sess:", "write-behind", flush_delay="20ms", **options),
                          namespace("through", "wt:", "write-through", **options),
                          backends=[remote], drain_timeout="1s"))
    admin.execute_command("ACL SETUSER", "ann", "resetkeys", "~sess:*", "~wt:*", "~forebay:*")
    client = server.client()
    with Background(gets_in_a_loop, server):
        assert client.set("profile:1", b"v") == b"STORED"
        eventually(lambda: server.log().count(TOLD) == 2)  # its reads and its writes
        for i in range(50):
            assert client.get(f"sess:{i}") is None
            assert client.set(f"sess:{i}", b"v") == b"STORED"
            assert client.set(f"wt:{i}", b"v") == b"STORED"
        client.sync("sessions")
    assert "backend remote: " not in server.log(), server.log()
    admin.execute_command("ACL SETUSER", "ann", "~*")
    client.sync()
    assert b"profile:1" in redis.rows("profile:", layout)


def test_rows_that_are_all_refused_leave_the_others_alone(serve, store):
    """The store does not name them, as each ends its transaction. So each goes to the quarantine alone, which takes a
    while: others are served meanwhile, and the log is not filled."""
    server = serve(Config(namespace("profiles", "profile:", "write-behind", flush_delay="1h", **SQL),
                          namespace("through", "wt:", "write-through"), backends=[sqlite_backend()]))
    client = server.client()
    store.execute("CREATE TRIGGER no BEFORE INSERT ON profile BEGIN SELECT RAISE(ROLLBACK, 'not this'); END")
    count, beside, begin = 1000, 0, time.monotonic()
    assert set(client.set_many((f"profile:{number}", b"refused") for number in range(count))) == {b"STORED"}
    with server.client() as barrier:
        barrier.send("sync profiles\r\n")
        eventually(lambda: int(client.stats("write_behind")["profiles:quarantined"]) > 0)
        while int(client.stats("write_behind")["profiles:quarantined"]) < count:
            assert client.set(f"wt:{beside}", b"kept") == b"STORED"
            beside += 1
        assert barrier.line().startswith(b"SERVER_ERROR ")
    assert beside >= 8, "changes of another namespace wait for all of them"
    assert 1 <= server.log().count("the backend refuses ") <= 11 + time.monotonic() - begin
    assert client.stats("quarantine")["profiles:entries"] == str(count)
