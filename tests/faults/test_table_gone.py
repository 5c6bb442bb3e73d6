# SPDX-License-Identifier: MIT
"""A table of ours that is dropped or renamed while the server is down: the next start says so, once, and what the journal has yet
to write is written; a table that never had rows, one of a namespace that was removed and one of a file of before are not missed."""

import os
import signal
import sqlite3

from checking import accepted
from forebay import Config, eventually, namespace, sqlite_backend

GONE = 'the table "sessions" was dropped or renamed while nobody had the file open, with all its rows'


def spaces(**options):
    return Config(namespace("sessions", "sess:", "write-behind", **{"flush_delay": "20ms", **options}),
                  namespace("through", "wt:", "write-through"), backends=[sqlite_backend()], drain_timeout="2s")


def execute(server, sql):
    database = sqlite3.connect(os.path.join(server.folder, "store.db"))
    with database:
        found = database.execute(sql).fetchall()
    database.close()
    return found


def filled(serve, *keys):
    server = serve(spaces())
    client = server.client()
    for key in keys or ["sess:1"]:
        assert client.set(key, b"v") == b"STORED"
    client.sync()
    return server


def test_a_start_says_once_that_a_table_is_gone(serve):
    server = filled(serve)
    server.stop()
    execute(server, "ALTER TABLE sessions RENAME TO former")
    execute(server, "DROP TABLE through")
    err = accepted(server)[1]
    assert f"warning: backend \"local\", {server.folder}/store.db: {GONE}" in err, err
    server.start()
    said = server.log()
    assert said.count(GONE) == 1 and "what only it had is gone, except what the journal still has to write" in said, said
    assert server.client().stats("backends")["local:store_regressions"] == "1"
    eventually(lambda: "table sessions" not in [name for name, in execute(server, "SELECT name FROM forebay_meta")])
    server.stop()
    server.start()
    assert server.log().count(GONE) == 1 and '"through"' not in server.log()
    assert len(server.rows("former")) == 1 and GONE not in accepted(server)[1]


def test_what_the_journal_has_is_written_to_the_new_table(serve):
    server = filled(serve)
    server.stop()
    server.config = spaces(flush_delay="1h")
    server.start()
    assert server.client().set("sess:2", b"v") == b"STORED"
    server.kill()
    execute(server, "DROP TABLE sessions")
    server.config = spaces()
    server.start()
    eventually(lambda: list(server.rows()) == [b"sess:2"])
    server.kill()
    server.start()
    assert server.log().count(GONE) == 1
    server.stop()
    execute(server, "DROP TABLE sessions")
    server.start()
    assert server.log().count(GONE) == 2


def test_a_namespace_that_was_not_configured_meanwhile_begins_anew(serve):
    server = filled(serve)
    server.stop()
    server.config = Config(namespace("through", "wt:", "write-through"), backends=[sqlite_backend()])
    server.start()
    server.stop()
    execute(server, "DROP TABLE sessions")
    server.config = spaces()
    server.start()
    assert "dropped or renamed" not in server.log()


def test_a_file_of_before_is_opened_as_it_is(serve):
    """One whose table was dropped before it was ever noted, and one whose rows are noted now."""
    server = filled(serve)
    server.stop()
    execute(server, "DELETE FROM forebay_meta WHERE name LIKE 'table %'")
    server.start()
    eventually(lambda: ("table sessions",) in execute(server, "SELECT name FROM forebay_meta"))
    server.stop()
    assert server.log().count(GONE) == 0 and list(server.rows()) == [b"sess:1"]
    execute(server, "DROP TABLE sessions")
    server.start()
    assert server.log().count(GONE) == 1


def reload(server, config, answer):
    server.config = config
    server.write_config()
    server.signal(signal.SIGHUP)
    eventually(lambda: f'reload: namespace "sessions" {answer}' in server.log())


def test_the_table_of_a_namespace_that_a_reload_has_removed_is_nobodys(serve):
    server = filled(serve)
    both, one = spaces(), Config(namespace("through", "wt:", "write-through"), backends=[sqlite_backend()], drain_timeout="2s")
    reload(server, one, "removed")
    execute(server, "DROP TABLE sessions")
    looks = server.upkeep_steps()
    eventually(lambda: server.upkeep_steps() >= looks + 3)
    reload(server, both, "added")
    client = server.client()
    assert client.set("sess:2", b"v") == b"STORED"
    eventually(lambda: list(server.rows()) == [b"sess:2"])
    server.stop()
    server.start()
    assert "dropped or renamed" not in server.log()
