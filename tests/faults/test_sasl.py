# SPDX-License-Identifier: MIT
"""Who gets in by the binary protocol: SASL PLAIN with the users of -Y, with -S and without; and what may be spoken at all (-B)."""

import contextlib
import os
import signal
import socket

import pytest
from forebay import Server, eventually
from packets import packet

WRONG = b"\0user\0wrong"
RIGHT = b"\0user\0right"


def auth_file(folder, lines="user:right\nother:pass:word\n"):
    path = folder / "auth"
    path.write_text(lines)
    path.chmod(0o600)
    return str(path)


@pytest.fixture
def guarded(serve, tmp_path):
    """A server with one worker that lets in users of both protocols."""
    return serve(options=["-t", "1", "-Y", auth_file(tmp_path)])


def auth(message, mechanism="PLAIN"):
    return packet("sasl_auth", mechanism, message)


def statuses_to(server, *requests):
    """The status of each answer to a client that ends its side behind these requests."""
    with server.binary_client() as client:
        client.send(*requests)
        client.socket.shutdown(socket.SHUT_WR)
        return statuses_until_closed(client)


def statuses_until_closed(client):
    found = []
    while (answer := client.answer()):
        found.append(answer.status)
    return found


# ---- SASL ----


def test_who_has_authenticated_is_served(guarded):
    with guarded.binary_client() as client:
        assert client.ask("sasl_list").value == b"PLAIN"
        assert client.ask("version").status == "SUCCESS"
        answer = client.log_in("user", "right")
        assert (answer.status, answer.value) == ("SUCCESS", b"Authenticated")
        assert client.set("k", b"v" * 500000) == "SUCCESS"
        assert client.get("k") == b"v" * 500000
    with guarded.binary_client() as client:
        client.send(auth(b"somebody" + RIGHT), packet("getk", "k"), packet("noop"))
        assert [one.status for one in client.answers_to_noop()] == ["SUCCESS", "SUCCESS"]


def test_a_client_may_be_asked_for_its_message(guarded):
    client = guarded.binary_client()
    answer = client.ask("sasl_auth", "PLAIN")
    assert (answer.status, answer.value) == ("AUTH_CONTINUE", b"")
    assert client.ask("sasl_step", "PLAIN", b"\0other\0pass:word").status == "SUCCESS"
    assert client.set("k", b"v") == "SUCCESS"


@pytest.mark.parametrize("name, mechanism, message, status", [
    ("sasl_auth", "PLAIN", WRONG, "AUTH_ERROR"),
    ("sasl_auth", "PLAIN", b"\0nobody\0right", "AUTH_ERROR"),
    ("sasl_auth", "PLAIN", b"\0user\0", "AUTH_ERROR"),
    ("sasl_auth", "PLAIN", b"\0user\0right\0", "AUTH_ERROR"),
    ("sasl_auth", "PLAIN", b"user right", "AUTH_ERROR"),
    ("sasl_auth", "PLAIN", b"user\0right", "AUTH_ERROR"),
    ("sasl_auth", "PLAIN", b"\0", "AUTH_ERROR"),
    ("sasl_auth", "PLAI", RIGHT, "AUTH_ERROR"),
    ("sasl_auth", "PLAINLY", RIGHT, "AUTH_ERROR"),
    ("sasl_auth", "CRAM-MD5", b"", "AUTH_ERROR"),
    ("sasl_auth", "M" * 33, RIGHT, "INVALID"),
    ("sasl_step", "PLAIN", RIGHT, "AUTH_ERROR"),
])
def test_who_is_not_known_stays_outside(guarded_for_all, name, mechanism, message, status):
    client = guarded_for_all.binary_client()
    assert client.ask(name, mechanism, message).status == status
    assert client.ask("get", "k").status == "AUTH_ERROR"
    assert client.is_closed()


@pytest.fixture(scope="module")
def guarded_for_all(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    with Server(folder, options=["-Y", auth_file(folder)]) as server:
        yield server


OUTSIDE = ["get", "getkq", "set", "add", "delete", "incr", "append", "touch", "gatkq", "stat", "flush", "noop", "quit", "quitq",
           "verbosity", "0x42"]
WITHOUT_KEY = {"stat", "flush", "noop", "quit", "quitq", "verbosity"}


@pytest.mark.parametrize("name", OUTSIDE)
def test_before_that_nothing_is_served(guarded_for_all, name):
    client = guarded_for_all.binary_client()
    client.send(packet(name, "" if name in WITHOUT_KEY else "k"), auth(RIGHT), packet("noop"))
    answer = client.answer()
    assert (answer.status, answer.value) == ("AUTH_ERROR", b"Auth failure.")
    assert client.is_closed()


def test_a_large_value_of_a_stranger_is_not_waited_for(guarded_for_all):
    client = guarded_for_all.binary_client()
    client.send(packet("set", "k", b"x" * 100000)[:200])
    assert client.answer().status == "AUTH_ERROR"
    client = guarded_for_all.binary_client()
    client.send(auth(b"x" * 100000)[:200])
    assert client.answer().status != "SUCCESS"


def test_a_message_may_come_byte_by_byte_and_be_as_long_as_a_password(serve, tmp_path):
    password = "p" * (2048 - len("user "))
    server = serve(options=["-Y", auth_file(tmp_path, f"user:{password}\n")])
    with server.binary_client() as client:
        for byte in auth(RIGHT):
            client.send(bytes([byte]))
        assert client.answer().status == "AUTH_ERROR"
    with server.binary_client() as client:
        request = auth(b"\0user\0" + password.encode())
        for at in range(0, len(request), 100):
            client.send(request[at:at + 100])
        assert client.answer().status == "SUCCESS"


def test_text_keeps_its_own_way(guarded):
    with guarded.client() as client, guarded.binary_client() as other:
        assert client.command("get k") == b"CLIENT_ERROR unauthenticated"
        assert client.set("x", b"user right") == b"STORED"
        assert client.set("k", b"v") == b"STORED"
        assert other.log_in("user", "right").status == "SUCCESS"
        assert other.get("k") == b"v"


def test_who_is_in_may_become_another(guarded):
    client = guarded.binary_client()
    assert client.log_in("user", "right").status == "SUCCESS"
    assert client.log_in("other", "pass:word").status == "SUCCESS"
    assert client.set("k", b"v") == "SUCCESS"
    assert client.log_in("other", "wrong").status == "AUTH_ERROR"
    assert client.is_closed()
    for unfit in (auth(b"user right"), auth(RIGHT, "CRAM-MD5")):
        assert statuses_to(guarded, auth(RIGHT), unfit, packet("get", "k")) == ["SUCCESS", "AUTH_ERROR"]


def test_the_file_may_change(guarded):
    client = guarded.binary_client()
    assert client.log_in("user", "right").status == "SUCCESS"
    with open(os.path.join(guarded.folder, "auth"), "w", encoding="utf-8") as file:
        file.write("user:changed\n")
    guarded.signal(signal.SIGHUP)

    def lets_in():
        with guarded.binary_client() as other:
            return other.log_in("user", "changed").status == "SUCCESS"

    eventually(lets_in)
    assert client.set("k", b"v") == "SUCCESS"


# ---- Guesses ----


def test_a_connection_has_three_guesses_and_the_second_may_be_right(guarded):
    """It waits, and so does what is behind it."""
    with guarded.binary_client() as inside:
        assert inside.log_in("user", "right").status == "SUCCESS"
        before = inside.stats()
        guesser, client = guarded.binary_client(), guarded.binary_client()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            guesser.send(*[auth(b"\0user\0guess %d" % i) for i in range(100)])
        client.send(auth(WRONG), auth(RIGHT), packet("setq", "k", b"1"), packet("getq", "k"), packet("noop"))
        answers = client.answers_to_noop()
        assert [one.status for one in answers] == ["AUTH_ERROR", "SUCCESS", "SUCCESS"]
        assert answers[2].value == b"1"
        assert statuses_until_closed(guesser) == ["AUTH_ERROR"] * 3
        told = inside.stats()
        assert [int(told[name]) - int(before[name]) for name in ("auth_cmds", "auth_errors")] == [5, 4]
        assert inside.stats("settings")["auth_enabled_sasl"] == "yes"
    assert guarded.binary_client().log_in("user", "right").status == "SUCCESS"
    log = guarded.log()
    assert "failed to authenticate" in log and "guess" not in log


def test_who_guesses_on_many_connections_has_to_keep_them_open(guarded):
    """From some failures on a guess is not even looked at before its time, whatever the protocol it is made in."""
    said = [statuses_to(guarded, auth(b"\0user\0guess %d" % i)) for i in range(40)]
    assert said[0] == ["AUTH_ERROR"] and said[-1] == []
    assert said.count(["AUTH_ERROR"]) < 20
    assert statuses_to(guarded, auth(RIGHT)) == []
    text, binary = guarded.client(), guarded.binary_client()
    text.send(text.storage("set", "x", b"user right"))
    assert binary.log_in("user", "right").status == "SUCCESS"
    assert text.line() == b"STORED"


# ---- -S ----


def test_sasl_alone(serve, tmp_path):
    """-S: the binary protocol only."""
    server = serve(options=["-S", "-Y", auth_file(tmp_path)])
    with server.binary_client() as client:
        assert client.log_in("user", "right").status == "SUCCESS"
        assert client.set("k", b"v") == "SUCCESS"
        assert client.stats("settings")["binding_protocol"] == "binary"
    with server.client() as client:
        client.send(client.storage("set", "x", b"user right"))
        assert client.is_closed()
    assert "it speaks memcached's text protocol, which -B binary or -S refuses" in server.log()


@pytest.mark.parametrize("options, reason", [
    ([], "without saying who may come in: add -Y FILE"),
    (["-B", "auto", "-Y", "FILE"], "which the binary protocol alone has"),
    (["-B", "ascii", "-Y", "FILE"], "which the binary protocol alone has"),
])
def test_sasl_that_cannot_be_is_refused(tmp_path, options, reason):
    path = auth_file(tmp_path)
    server = Server(tmp_path, options=["-S", *(path if option == "FILE" else option for option in options)])
    assert reason in server.refuses()


# ---- -B ----


def test_a_server_may_speak_text_alone(serve):
    """A binary client is told why, as the answer to what it asked; it may be quiet, and still unfinished."""
    server = serve(options=["-B", "ascii"])
    for request in (packet("get", "k", opaque=7), packet("getkq", "k", opaque=7), packet("set", "k", b"x" * 1000, opaque=7)[:40],
                    packet("get", "k" * 300, opaque=7)):
        with server.binary_client() as client:
            client.send(request)
            answer = client.answer()
            assert (answer.status, answer.opaque) == ("NOT_SUPPORTED", 7)
            assert answer.value == b"this server speaks memcached's text protocol alone: set the client to it"
            assert client.is_closed()
    with server.client() as client:
        assert client.set("k", b"v") == b"STORED"
        assert client.stats("settings")["binding_protocol"] == "ascii"
    assert "it speaks memcached's binary protocol, which -B ascii refuses" in server.log()


def test_a_server_may_speak_binary_alone(serve):
    server = serve(options=["-B", "binary"])
    with server.client() as client:
        client.send(b"get k\r\n")
        assert client.is_closed()
    with server.binary_client() as client:
        assert client.set("k", b"v") == "SUCCESS"
        assert client.stats("settings")["binding_protocol"] == "binary"
        assert client.stats("settings")["auth_enabled_sasl"] == "no"
    assert "it speaks memcached's text protocol, which -B binary or -S refuses" in server.log()


def test_a_server_speaks_both_unless_told_otherwise(serve):
    server = serve()
    with server.client() as text, server.binary_client() as binary:
        assert text.set("k", b"text") == b"STORED"
        assert binary.get("k") == b"text"
        assert binary.ask("set", "k", b"binary", flags=9).cas == text.gets("k")[2]
        assert text.gets("k")[:2] == (b"binary", 9)
        assert text.stats("settings")["binding_protocol"] == "auto-negotiate"
