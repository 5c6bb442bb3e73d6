# SPDX-License-Identifier: MIT
"""What docs/trouble.md has one do, where no other test does it."""

import os
import shutil
import sqlite3

import pytest
from forebay import Config, eventually, namespace
from handbook import commands, follow

SESSIONS = 2000


@pytest.mark.parametrize("remedy", ["copy", "empty store"])
def test_a_store_that_is_lost_while_the_server_runs_gets_what_memory_holds(tmp_path, serve, remedy):
    server = serve(Config(namespace("sessions", "sess:", "write-behind")), folder=tmp_path / "data")
    client = server.client()
    assert client.set("sess:old", b"x") == b"STORED"
    client.sync()
    copy = tmp_path / "copy.db"
    with sqlite3.connect(os.path.join(server.folder, "store.db")) as store:
        store.execute("VACUUM INTO ?", (str(copy),))
    assert client.set("sess:new", b"x") == b"STORED"
    client.sync()
    for name in ("store.db", "store.db-wal", "store.db-shm"):
        os.remove(os.path.join(server.folder, name))
    eventually(lambda: "was removed or renamed while it was open" in server.log())
    follow(commands("trouble.md", f"trouble: {remedy}"), server, server.folder, COPY=str(copy))
    eventually(lambda: "the store is there again" in server.log())
    client.sync()
    assert set(server.rows()) == {b"sess:old", b"sess:new"}


@pytest.mark.skipif(not shutil.which("nc"), reason="nc is needed")
def test_who_types_a_command_logs_in_first(tmp_path, serve):
    (tmp_path / "auth").write_text("anna:open sesame\n")
    (tmp_path / "auth").chmod(0o600)
    server = serve(Config(namespace("sessions", "sess:", "write-behind"), auth_file=str(tmp_path / "auth")))
    assert follow(commands("operating.md", "operating: log in"), server, server.folder).split() == ["STORED", "SYNCED", "0"]


@pytest.mark.skipif(not shutil.which("sqlite3"), reason="sqlite3 is needed")
def test_what_can_be_read_of_a_damaged_store_is_saved(tmp_path, serve):
    server = serve(Config(namespace("sessions", "sess:", "write-behind")), folder=tmp_path / "data")
    client = server.client()
    assert set(client.set_many((f"sess:{i}", b"x" * 400) for i in range(SESSIONS))) == {b"STORED"}
    client.sync()
    server.stop()
    with open(os.path.join(server.folder, "store.db"), "r+b") as store:
        store.seek(4096 * 30)
        store.write(b"\xff" * 4096 * 20)
    server.start()
    client = server.client()
    readable = [i for i in range(SESSIONS) if client.ask(f"sess:{i}")[0] == "hit"]
    assert SESSIONS / 2 < len(readable) < SESSIONS
    eventually(lambda: "database disk image is malformed" in server.log())
    said = follow(commands("trouble.md", "trouble: damaged store"), server, server.folder).split("\n")
    assert said[0] == "ok" and int(said[1]) > SESSIONS / 2
    server.start()
    client = server.client()
    saved = [client.ask(f"sess:{i}") for i in range(SESSIONS)]
    assert {kind for kind, _ in saved} == {"hit", "miss"}  # nothing of it is damaged
    assert sum(kind == "hit" for kind, _ in saved) == int(said[1])
    assert client.set("sess:1", b"y") == b"STORED" and client.sync() == 1
