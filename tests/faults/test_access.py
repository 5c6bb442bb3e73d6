# SPDX-License-Identifier: MIT
"""Who gets in, and what somebody who is in may ask and is told: guessing of passwords, what is read before a client has
authenticated, commands that are refused (restrict), error lines."""

import contextlib
import os
import re
import signal
import socket
import sqlite3
import subprocess
import time

import pytest
from forebay import Closed, Config, Server, binary, eventually, namespace


class Restricted:
    """A configuration that refuses some commands."""

    def __init__(self, config, *names):
        self.config, self.names = config, names

    def text(self, port, folder):
        names = ", ".join(f'"{name}"' for name in self.names)
        return f"restrict = {{{names}}}\n" + self.config.text(port, folder)


# ---- What errors tell ----


def refuse_row(server, table, key):
    """From now on the store refuses rows of this key, in words that are nobody's business but the operator's."""
    database = sqlite3.connect(os.path.join(server.folder, "store.db"), timeout=60)
    with database:
        database.execute(f"CREATE TRIGGER refusal BEFORE INSERT ON \"{table}\" WHEN CAST(NEW.key AS TEXT) = '{key}' "
                         "BEGIN SELECT RAISE(ABORT, 'column card_number of /srv/secret'); END")
    database.close()


def test_a_client_is_not_told_why_a_row_is_refused(serve):
    """The backend's own words go to the log: they may have paths, tables and columns in them."""
    server = serve(Config(namespace("through", "wt:", "write-through")))
    client = server.client()
    assert client.set("wt:good", b"1") == b"STORED"
    refuse_row(server, "through", "wt:bad")
    assert client.set("wt:bad", b"1") == b"SERVER_ERROR backend local refuses it: the log says why"
    assert client.set("wt:good", b"2") == b"STORED"
    assert re.search(r"error: namespace through: the backend refuses to write a row.*card_number of /srv/secret", server.log())


def test_refused_rows_do_not_fill_the_log(serve):
    server = serve(Config(namespace("through", "wt:", "write-through")))
    client = server.client()
    assert client.set("wt:good", b"1") == b"STORED"
    refuse_row(server, "through", "wt:bad")
    begin = time.monotonic()
    for _ in range(30):
        assert client.set("wt:bad", b"1").startswith(b"SERVER_ERROR")
    assert client.stats("backends")["local:write_through_refused"] == "30"
    assert 10 <= server.log().count("card_number") <= 11 + time.monotonic() - begin  # ten at once, then one a second
    eventually(lambda: client.set("wt:bad", b"1").startswith(b"SERVER_ERROR") and "more of this kind left out" in server.log())


# ---- What may be asked ----


def test_what_is_restricted_is_refused(serve):
    """Whatever an application's own client has no business with; the rest is served as before."""
    text = Config(namespace("behind", "wb:", "write-behind", flush_delay="1h"))
    client = serve(Restricted(text, "quarantine", "sync", "cache_memlimit", "verbosity", "forget", "flush_all", "watch", "dump")).client()
    assert client.set("wb:a", b"1") == b"STORED"
    for command in ("quarantine list behind", "quarantine drop behind", "quarantine retry behind", "sync", "sync behind",
                    "cache_memlimit 100", "verbosity 1", "forget wb:a", "flush_all"):
        assert client.command(command) == b"CLIENT_ERROR %s not allowed" % command.split()[0].encode()
    assert client.command("watch") == b"CLIENT_ERROR watch commands not allowed"
    assert client.command("lru_crawler metadump all") == b"ERROR metadump not allowed"
    assert client.command("stats cachedump 1 0") == b"CLIENT_ERROR stats cachedump not allowed"
    assert client.get("wb:a") == b"1" and client.stats("write_behind")["behind:dirty_entries"] == "1"


def test_one_alone_may_be_restricted(serve):
    client = serve(options=["--restrict=verbosity"]).client()
    assert client.command("verbosity 1") == b"CLIENT_ERROR verbosity not allowed"
    assert client.command("cache_memlimit 100") == b"OK"
    assert client.command("sync").startswith(b"SYNCED")


def test_a_restriction_that_means_nothing_is_refused(tmp_path):
    known = "cache_memlimit, dump, flush_all, forget, quarantine, shutdown, sync, verbosity, watch"
    said = Server(tmp_path, options=["--restrict=sync,nonsense"]).refuses()
    assert "--restrict=nonsense" in said and known in said
    said = Server(tmp_path, config=Restricted(Config(), "nonsense")).refuses()
    assert "nonsense" in said and known in said
    said = Server(tmp_path, config=Restricted(Config(), "shutdown"), options=["-A"]).refuses()
    assert "-A" in said and "restrict" in said


# ---- Who gets in ----

UNAUTHENTICATED = b"CLIENT_ERROR unauthenticated"
FAILURE = b"CLIENT_ERROR authentication failure"


@pytest.fixture
def guarded(serve, tmp_path):
    """A server with one worker that lets in "user" with the password "right"."""
    path = tmp_path / "auth"
    path.write_text("user:right\n")
    path.chmod(0o600)
    return serve(options=["-t", "1", "-Y", str(path)])


def credential(password, key="x"):
    data = b"user " + password
    return b"set %s 0 0 %d\r\n%s\r\n" % (key.encode(), len(data), data)


def answers_to(server, *requests):
    """All lines that the server sends to a client that ends its side after these requests."""
    with server.client() as client:
        client.send(b"".join(requests))
        client.socket.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            return client.file.read().split(b"\r\n")[:-1]


def lines_until_closed(client):
    lines = []
    with contextlib.suppress(Closed, ConnectionResetError):
        while True:
            lines.append(client.line())
    return lines


def test_a_connection_has_three_guesses(guarded):
    client = guarded.client()
    client.send(b"".join(credential(b"guess %d" % i) for i in range(1000)))
    assert lines_until_closed(client) == [FAILURE] * 3
    assert guarded.client().set("x", b"user right") == b"STORED"


def test_a_second_guess_may_be_the_right_one(guarded):
    client = guarded.client()
    client.send(credential(b"wrong") + credential(b"right") + b"set k 0 0 1\r\n1\r\nget k\r\n")
    assert [client.line(), client.line(), client.line()] == [FAILURE, b"STORED", b"STORED"]
    assert client.values() == [(b"k", 0, b"1", None)]


def test_who_guesses_on_many_connections_has_to_keep_them_open(guarded):
    """Who does not wait for the answer is not told: from some failures on a guess is not even looked at before its time."""
    said = [answers_to(guarded, credential(b"guess %d" % i)) for i in range(40)]
    assert said[0] == [FAILURE] and said[-1] == []
    assert said.count([FAILURE]) < 20
    assert answers_to(guarded, credential(b"right")) == []
    assert guarded.client().set("x", b"user right") == b"STORED"
    assert guarded.client().set("x", b"user wrong") == FAILURE


def test_many_wait_at_once(guarded):
    """No one of them keeps the others, or those who are in, waiting."""
    inside = guarded.client()
    assert inside.set("x", b"user right") == b"STORED"
    for i in range(40):
        answers_to(guarded, credential(b"guess %d" % i))
    waiting = [guarded.client() for _ in range(60)]
    for i, client in enumerate(waiting):
        client.send(credential(b"right" if i % 2 else b"wrong") + b"quit\r\n")
    assert inside.set("k", b"1") == b"STORED" and inside.get("k") == b"1"
    assert [lines_until_closed(client) for client in waiting] == [[FAILURE], [b"STORED"]] * 30


def test_a_waiting_client_does_not_keep_the_server_from_ending(guarded):
    for i in range(40):
        answers_to(guarded, credential(b"guess %d" % i))
    client = guarded.client()
    client.send(credential(b"right"))
    guarded.stop()
    assert lines_until_closed(client) in ([], [b"STORED"])


def test_failures_are_told_with_the_address_and_do_not_fill_the_log(guarded):
    clients = [guarded.client() for _ in range(80)]
    for i, client in enumerate(clients):
        client.send(credential(b"guess %d" % i))
    assert {client.line() for client in clients} == {FAILURE}
    eventually(lambda: "more of this kind left out" in guarded.log() or "fail to authenticate: " in guarded.log())
    told = [line for line in guarded.log().splitlines() if "failed to authenticate" in line]
    assert len(told) < len(clients)
    assert re.search(r"warning: client tcp:127\.0\.0\.1:\d+ failed to authenticate", told[0])
    assert "guess" not in guarded.log()


def test_a_get_of_many_keys_has_one_answer_and_quit_is_obeyed(guarded):
    assert answers_to(guarded, b"get a b c\r\ngats 0 a b\r\nmn\r\nms k 3\r\nabc\r\nversion\r\n") == [UNAUTHENTICATED] * 5
    client = guarded.client()
    client.send(b"get a b c\r\nquit\r\nversion\r\n")
    assert lines_until_closed(client) == [UNAUTHENTICATED]
    client = guarded.client()
    client.send(b"get a b c\r\n" + credential(b"right") + b"get a b c\r\nversion\r\n")
    assert [client.line() for _ in range(3)] == [UNAUTHENTICATED, b"STORED", b"END"]
    assert client.line().startswith(b"VERSION")


def test_nothing_longer_than_a_credential_is_waited_for(guarded):
    client = guarded.client()
    client.send(b"get " + b"k " * 1500)
    assert lines_until_closed(client) == []
    client = guarded.client()
    client.send(b"set x 0 0 100000\r\nuser right" + b" " * 99990 + b"\r\n" + credential(b"right"))
    assert [client.line(), client.line()] == [b"CLIENT_ERROR auth token too long", b"STORED"]
    client.send(b"get " + b"k " * 1500 + b"\r\n")
    assert client.values() == []


def test_a_credential_may_come_byte_by_byte_and_be_as_long_as_it_may(serve, tmp_path):
    path = tmp_path / "auth"
    password = b"p" * (2048 - len("user "))
    path.write_bytes(b"user:" + password + b"\n")
    server = serve(options=["-Y", str(path)])
    client = server.client()
    for byte in credential(b"wrong"):
        client.send(bytes([byte]))
    assert client.line() == FAILURE
    request = credential(password, key="k" * 250)
    for at in range(0, len(request), 100):
        client.send(request[at:at + 100])
    assert client.line() == b"STORED"
    assert client.set("big", b"b" * 500000) == b"STORED" and client.get("big") == b"b" * 500000


def test_a_file_that_others_can_read_is_told(serve, tmp_path):
    path = tmp_path / "auth"
    path.write_text("user:right\n")
    path.chmod(0o644)
    server = serve(options=["-Y", str(path)])
    assert re.search(r"warning: .*auth.*can be read by all users of this machine: chmod", server.log())
    before = server.log().count("can be read by all users")
    server.signal(signal.SIGHUP)
    eventually(lambda: server.log().count("can be read by all users") > before)
    path.chmod(0o666)
    server.signal(signal.SIGHUP)
    eventually(lambda: "can be written by all users" in server.log())


def test_a_check_looks_at_the_file(tmp_path):
    """--check says of it what a start would."""
    path = tmp_path / "auth"
    path.write_text("user:right\n")
    path.chmod(0o644)
    server = Server(tmp_path, config=Config(auth_file=str(path)))
    assert "can be read by all users" in server.check() and server.check().endswith("ok\n")
    path.write_text("user:\n")
    assert f"line 1 of the authentication file {path}" in server.refuses("--check")


def test_a_byte_order_mark_is_no_part_of_what_is_read(serve, tmp_path):
    """Some editors put it in front: of a configuration, of the first user, of a token."""
    mark, files = "\ufeff", {"auth": "user:right\n", "token": "correct-horse-battery\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(mark + text, encoding="utf-8")
        (tmp_path / name).chmod(0o600)
    server = Server(tmp_path, options=["-Y", str(tmp_path / "auth")])
    config = f'{mark}listen = {{"127.0.0.1:{server.port}"}}\nadmin = "127.0.0.1:0"\nadmin_token_file = "{tmp_path}/token"\n'
    server = serve(config, port=server.port, options=["-Y", str(tmp_path / "auth")])
    client = server.client()
    client.send(credential(b"right"))
    assert client.line() == b"STORED"
    assert server.ask("/sync", "POST", headers={"Authorization": "Bearer correct-horse-battery"}).status == 200
    path = tmp_path / "wide.conf"
    path.write_text('memory = "64mb"\n', encoding="utf-16")
    done = subprocess.run([binary(), "--config", path, "--check"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0 and f"{path}: it is in UTF-16: save it as UTF-8" in done.stderr


@pytest.mark.parametrize("mode", (0o600, 0o640, 0o400))
def test_a_file_of_the_owner_and_its_group_is_not_told(serve, tmp_path, mode):
    path = tmp_path / "auth"
    path.write_text("user:right\n")
    path.chmod(mode)
    server = serve(options=["-Y", str(path)])
    assert "warning" not in server.log()


def test_a_pipe_in_the_place_of_the_file_holds_nobody_up(serve, tmp_path):
    """Neither a start nor a server that is told to read it again waits for somebody to write."""
    path = tmp_path / "auth"
    path.write_text("user:right\n")
    path.chmod(0o600)
    server = serve(options=["-Y", str(path)])
    path.unlink()
    os.mkfifo(path, 0o600)
    server.signal(signal.SIGHUP)
    eventually(lambda: f"cannot read the authentication file {path}: it is no plain file" in server.log(), seconds=10)
    assert server.client().set("x", b"user right") == b"STORED"
    assert f"cannot read the authentication file {path}: it is no plain file" in Server(tmp_path, options=["-Y", str(path)]).refuses()


@pytest.mark.parametrize("line", (":right", "user:", "a b:right", "user:" + "p" * 3000), ids=("user", "password", "space", "long"))
def test_a_line_that_lets_in_nobody_or_anybody_is_refused(tmp_path, line):
    path = tmp_path / "auth"
    path.write_text("user:right\n" + line + "\n")
    said = Server(tmp_path, options=["-Y", str(path)]).refuses()
    assert f"line 2 of the authentication file {path}" in said
    assert "right" not in said and "ppp" not in said
