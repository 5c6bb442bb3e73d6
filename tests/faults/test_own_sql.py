# SPDX-License-Identifier: MIT
"""A namespace over the application's own table: the example of docs/backends.md as it stands there, what is added to the file,
and statements that stop the start."""

import os
import re
import sqlite3

import pytest
from forebay import ROOT, Config, Server, namespace

TABLE = "CREATE TABLE profile (id TEXT PRIMARY KEY, body TEXT NOT NULL, expires INTEGER NOT NULL DEFAULT 0, rev INTEGER NOT NULL DEFAULT 0)"


def example():
    """The namespace section of the documentation."""
    with open(os.path.join(ROOT, "docs", "backends.md"), encoding="utf-8") as page:
        return re.search(r'^namespace "profiles" \{.*?^\}\n', page.read(), re.MULTILINE | re.DOTALL).group(0)


class Application:
    """The application's own access to its database."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "store.db")
        self.execute(TABLE)
        self.execute("INSERT INTO profile(id, body) VALUES ('ann', 'of the application')")

    def execute(self, sql, *values):
        database = sqlite3.connect(self.path, timeout=60)
        with database:
            found = database.execute(sql, values).fetchall()
        database.close()
        return found

    def tables(self):
        return {name: sql for name, sql in self.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'")}


@pytest.fixture
def application(tmp_path):
    return Application(tmp_path)


def test_the_documented_example_works(serve, application):
    server = serve(Config(example()))
    client = server.client()
    assert client.get("profile:ann") == b"of the application"
    assert client.get("profile:bob") is None
    assert client.set("profile:bob", b"hello", ttl=1000) == b"STORED"
    assert client.store("append", "profile:ann", b", changed") == b"STORED"
    client.sync()
    rows = {row[0]: row[1:] for row in application.execute("SELECT id, body, typeof(body), expires, rev FROM profile")}
    assert rows["ann"][:3] == ("of the application, changed", "text", 0)
    assert rows["bob"][:2] == ("hello", "text") and rows["bob"][2] > 0 and rows["bob"][3] > 0 and rows["ann"][3] > 0
    assert client.delete("profile:bob") == b"DELETED"
    client.sync()
    assert application.execute("SELECT id FROM profile") == [("ann",)]
    server.kill()
    server.start()
    assert server.client().get("profile:ann") == b"of the application, changed"


def test_only_forebay_meta_is_added_to_the_file(serve, application):
    server = serve(Config(example()))
    assert server.client().set("profile:x", b"v") == b"STORED"
    server.stop()
    tables = application.tables()
    assert tables.pop("profile") == TABLE
    assert list(tables) == ["forebay_meta"]
    assert {name for name, in application.execute("SELECT name FROM forebay_meta")} == {"schema", "high_version"}
    # what it is for: versions, which the application's column rev guards with, never go back
    assert application.execute("SELECT value FROM forebay_meta WHERE name = 'high_version'") == \
        application.execute("SELECT max(rev) FROM profile")


def test_expired_rows_are_left_to_the_application(serve, application):
    application.execute("INSERT INTO profile(id, body, expires) VALUES ('old', 'x', 1)")
    server = serve(Config(example()))
    client = server.client()
    assert client.get("profile:old") is None
    client.sync()
    server.stop()
    assert application.execute("SELECT body FROM profile WHERE id = 'old'") == [("x",)]


@pytest.mark.parametrize("which, sql, said", [
    ("load", "SELECT body FROM nowhere WHERE id = :key", "no such table: nowhere"),
    ("load", "SELECT body FROM profile WHERE nobody = :key", "no such column: nobody"),
    ("store", "INSERT INTO profile(id, body VALUES (:key, :value)", "syntax error"),
    ("delete", "DELETE FROM profile WHERE id = :name", ":name"),
    ("delete", "DELETE FROM profile", ":key"),
    ("delete", "DELETE FROM profile WHERE id = :key; DROP TABLE profile", "one statement only"),
    ("load", "DELETE FROM profile WHERE id = :key RETURNING body", "must only read"),
    ("store", "SELECT :key, :value", "it only reads, so that changes would be lost: write one that changes the row"),
    ("delete", "SELECT id FROM profile WHERE id = :key", "it only reads"),
])
def test_a_statement_that_does_not_fit_stops_the_start(tmp_path, application, which, sql, said):
    text = re.sub(rf'^( +{which} += )".*"$', lambda found: f'{found.group(1)}"{sql}"', example(), flags=re.MULTILINE)
    assert sql in text
    before = application.tables()
    message = Server(tmp_path, config=Config(text)).refuses()
    assert said in message and f"its {which} statement" in message and '"profiles"' in message, message
    assert application.tables() == before, "a file that is refused stays as it was"


def test_what_is_never_written_may_have_statements_that_only_read(serve, application):
    text = re.sub(r'^( +(?:store|delete) += )".*"$', r'\1"SELECT :key"', example(), flags=re.MULTILINE)
    server = serve(Config(text.replace("write-behind", "read-through")))
    assert server.client().get("profile:ann") == b"of the application"


def test_a_preload_is_refused(tmp_path, application):
    """There is no statement that lists the application's rows: better said than silently not done."""
    text = example().replace("}\n", "    preload = 1000\n}\n")
    message = Server(tmp_path, config=Config(text)).refuses()
    assert "SQL of its own" in message and "remove preload" in message
    assert "forebay_meta" not in application.tables()


def test_some_statements_without_the_others_are_refused(tmp_path):
    space = namespace("profiles", "profile:", "write-behind", load="SELECT body FROM profile WHERE id = :key")
    message = Server(tmp_path, config=Config(space)).refuses()
    assert "load, store and delete" in message


NUMBERS = """
    load = "SELECT body, 0, 0, rev FROM item WHERE id = :key"
    store = "INSERT INTO item(id, body, rev) VALUES (:key, CAST(:value AS TEXT), :version) ON CONFLICT(id) DO UPDATE SET body = excluded.body, rev = excluded.rev WHERE excluded.rev > rev"
    delete = "DELETE FROM item WHERE id = :key AND rev <= :version"
    key_type = "integer"
"""


@pytest.mark.parametrize("policy", ["read-through", "write-through", "write-behind"])
def test_a_column_of_numbers_has_one_key_for_each_row(serve, application, policy):
    """7, 007 and 7.0 were one row and three entries in memory: two of them showed what had been."""
    application.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body TEXT NOT NULL, rev INTEGER NOT NULL DEFAULT 0)")
    application.execute("INSERT INTO item(id, body) VALUES (7, 'seven'), (-3, 'below')")
    text = namespace("items", "item:", policy, negative_ttl="1m").replace("}\n", NUMBERS + "}\n")
    client = serve(Config(text)).client()
    assert client.get("item:7") == b"seven"
    assert client.get("item:-3") == b"below"
    for other in ("item:007", "item:7.0", "item:+7", "item:", "item:x", "item:-0"):
        for _ in range(2):
            assert client.command(f"get {other}").startswith(b"CLIENT_ERROR keys of this namespace are whole numbers")
        for line in (f"mg {other} v", f"touch {other} 0", f"delete {other}", f"incr {other} 1", f"md {other}"):
            assert client.command(line).startswith(b"CLIENT_ERROR keys"), line
        for verb in ("set", "add", "append", "replace"):
            assert client.store(verb, other, b"1").startswith(b"CLIENT_ERROR keys"), verb
    assert client.set("item:7", b"new") == b"STORED"
    client.sync()
    expected = "seven" if policy == "read-through" else "new"
    assert application.execute("SELECT id, typeof(id), body FROM item ORDER BY id") == \
        [(-3, "integer", "below"), (7, "integer", expected)]


@pytest.mark.parametrize("policy", ["write-through", "write-behind"])
def test_keys_that_are_no_numbers_are_refused_in_pipelines_too(serve, application, policy):
    """What stands behind a parked request is done together with it."""
    application.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body TEXT NOT NULL, rev INTEGER NOT NULL DEFAULT 0)")
    text = namespace("items", "item:", policy, negative_ttl="1m").replace("}\n", NUMBERS + "}\n")
    client = serve(Config(text)).client()
    client.send(b"get item:1\r\nget item:01\r\nset item:2 0 0 1\r\na\r\nset item:02 0 0 1\r\nb\r\nget item:2\r\n")
    lines = [client.line() for _ in range(7)]
    refused = [i for i, line in enumerate(lines) if line.startswith(b"CLIENT_ERROR keys")]
    assert refused == [1, 3] and lines[4:6] == [b"VALUE item:2 0 1", b"a"], lines
    client.sync()
    assert application.execute("SELECT id, body FROM item") == [(2, "a")]
