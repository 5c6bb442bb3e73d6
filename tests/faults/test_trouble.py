# SPDX-License-Identifier: MIT
"""What docs/trouble.md has one do, where no other test does it."""

import os
import re
import shutil
import socket
import sqlite3

import pytest
from forebay import PATIENCE, ROOT, Config, eventually, namespace, section
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
    with os.scandir(server.folder) as entries:
        assert all(entry.is_file() for entry in entries)  # as a backup of everything, and the next mending, need it
    server.start()
    client = server.client()
    saved = [client.ask(f"sess:{i}") for i in range(SESSIONS)]
    assert {kind for kind, _ in saved} == {"hit", "miss"}  # nothing of it is damaged
    assert sum(kind == "hit" for kind, _ in saved) == int(said[1])
    assert client.set("sess:1", b"y") == b"STORED" and client.sync() == 1


@pytest.mark.skipif(not shutil.which("nc") or not shutil.which("sqlite3"), reason="nc and sqlite3 are needed")
def test_a_namespace_can_be_emptied_on_purpose(tmp_path, serve):
    server = serve(Config(namespace("sessions", "sess:", "write-behind")), folder=tmp_path / "data")
    client = server.client()
    for key in ("sess:alice", "sess:bob"):
        client.set(key, b"x")
    client.sync()
    client.command("flush_all")
    assert client.get("sess:alice") == b"x"  # from its row
    client.set("sess:bob", b"waits to be written")
    assert follow(commands("operating.md", "operating: empty a namespace"), server, server.folder).split()[::2] == ["SYNCED", "OK"]
    assert client.get("sess:alice") is None and client.get("sess:bob") is None
    assert not server.rows()
    client.set("sess:alice", b"anew")
    client.sync()
    assert list(server.rows()) == [b"sess:alice"]


def test_a_namespace_can_be_emptied_in_a_redis_as_well(redis, serve):
    server = serve(Config(namespace("sessions", "sess:", "write-behind"), backends=[section("backend", "local", uri=redis.uri)]))
    client, store = server.client(), redis.connect()
    store.set("elsewhere", "x")
    client.set("sess:alice", b"x")
    client.sync()
    client.command("flush_all")
    assert client.get("sess:alice") == b"x"
    for key in store.scan_iter("sess:*"):
        store.unlink(key)
    client.command("flush_all")
    assert client.get("sess:alice") is None
    assert store.get("elsewhere") == b"x"
    assert "gets what memory holds" not in server.log() and "was emptied" not in server.log()


def from_the_page(pattern):
    with open(os.path.join(ROOT, "docs", "operating.md"), encoding="utf-8") as page:
        return bytes.fromhex(re.search(pattern, page.read()).group(1))


@pytest.mark.parametrize("options", [[], ["-S"]])
@pytest.mark.skipif(not shutil.which("nc"), reason="nc is needed")
def test_a_probe_needs_no_password_and_is_told_nothing(tmp_path, serve, options):
    (tmp_path / "auth").write_text("anna:open sesame\n")
    (tmp_path / "auth").chmod(0o600)
    server = serve(Config(), options=["-Y", str(tmp_path / "auth"), *options])

    def counted():
        with server.binary_client() as client:
            client.log_in("anna", "open sesame")
            told = client.stats()
            return int(told["auth_cmds"]), int(told["auth_errors"])

    commands_before, errors_before = counted()
    before = server.log()
    assert follow(commands("operating.md", "operating: probe"), server, server.folder) == "1.6.45"
    probe, expected = (from_the_page(rf"tcp-check {word} binary (\w+)" if word == "expect" else rf"tcp-check {word}-binary (\w+)")
                       for word in ("send", "expect"))
    with server.binary_client() as client:
        client.send(probe)
        answer = client.answer()
        assert (answer.status, answer.value) == ("SUCCESS", b"1.6.45")
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as raw:
        raw.sendall(probe)
        assert raw.makefile("rb").read(len(expected)) == expected
    assert server.log() == before
    assert counted() == (commands_before + 1, errors_before)


def test_a_probe_in_text_is_told_nothing_either(tmp_path, serve):
    (tmp_path / "auth").write_text("anna:open sesame\n")
    (tmp_path / "auth").chmod(0o600)
    server = serve(options=["-Y", str(tmp_path / "auth"), "-B", "ascii"])
    assert server.client().command("version") == b"CLIENT_ERROR unauthenticated"
