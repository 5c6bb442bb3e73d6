# SPDX-License-Identifier: MIT
"""`forget` over a table that another program changes, as docs/operating.md shows it, and what it answers where a change has
yet to reach the backend."""

import contextlib
import sqlite3

from forebay import Config, namespace


def test_a_row_changed_by_another_program_is_shown_once_it_was_forgotten(serve):
    server = serve(Config(namespace("sessions", "sess:", "write-behind", flush_delay="60s")))
    client = server.client()
    assert client.set("sess:alice", b"old") == b"STORED"
    assert client.command("forget sess:alice") == (
        b"SERVER_ERROR not forgotten: a change of the key waits for the backend; sync sessions, then try again")
    assert client.get("sess:alice") == b"old"
    client.sync("sessions")
    with contextlib.closing(sqlite3.connect(f"{server.folder}/store.db", timeout=30)) as database, database:
        database.execute("update sessions set value = cast('new' as blob) where key = cast('sess:alice' as blob)")
    assert client.get("sess:alice") == b"old"
    assert client.command("forget sess:alice") == b"FORGOTTEN"
    assert client.get("sess:alice") == b"new"
    assert client.command("forget sess:alice") == b"FORGOTTEN"
    assert client.command("forget sess:alice") == b"NOT_FOUND"
