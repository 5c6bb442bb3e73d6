# SPDX-License-Identifier: MIT
"""What can be changed by HTTP, and by whom: by nobody without a token file, and only with its token."""

import base64
import contextlib
import os
import re
import socket
import sqlite3
import threading

import pytest
from forebay import AWAY, Config, Server, eventually, locked, namespace, sqlite_backend

TOKEN = "correct-horse-battery"


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def serve_with_token(serve, token_file):
    def start(config=None, **more):
        config = config or Config(namespace("sessions", "sess:", "write-behind", flush_delay="1h"),
                                  namespace("plain", "plain:", "cache-aside"))
        config.top["admin_token_file"] = token_file
        return serve(config, admin=True, **more)
    return start


def post(server, path, token=TOKEN, **more):
    return server.ask(path, "POST", headers={"Authorization": f"Bearer {token}"} if token else {}, **more)


# ---- Who may ----

def test_without_a_token_file_nothing_can_be_changed(serve):
    server = serve(admin=True)
    for path in ("/sync", "/flush?namespace=x", "/quarantine/retry", "/quarantine/drop", "/log?level=debug", "/reload", "/handover?to=on"):
        assert post(server, path).status == 404, path


def test_only_the_token_opens(serve_with_token):
    server = serve_with_token()
    for token in (None, "", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "x" * 5000):
        answer = post(server, "/sync", token)
        assert answer.status == 401 and answer.headers["WWW-Authenticate"].startswith('Bearer realm="forebay"'), token
    assert server.ask("/sync", "POST", headers={"Authorization": f"Basic {TOKEN}"}).status == 401
    assert post(server, "/sync")[::2] == (200, "SYNCED 0\n")
    assert server.ask("/sync", "POST", headers={"Authorization": f"bearer  {TOKEN}"}).status == 200
    assert server.ask("/sync", headers={"Authorization": f"Bearer {TOKEN}"}).headers["Allow"] == "POST"
    log = server.log()
    assert re.search(r"warning: admin: 127\.0\.0\.1:\d+ asked for /sync without a token", log)
    assert re.search(r"warning: admin: 127\.0\.0\.1:\d+ asked for /sync with a wrong token", log)
    assert re.search(r"notice: admin: POST /sync, asked by 127\.0\.0\.1:\d+", log)
    assert TOKEN not in log


@pytest.mark.parametrize("mode, text, why", [
    (0o604, TOKEN, "can be read by all users"), (0o602, TOKEN, "can be written by all users"),
    (0o620, TOKEN, "can be written by its group"), (0o600, "short", "less than 16 characters"), (0o600, "", "less than 16"),
    (0o600, TOKEN + "\n" + TOKEN, "another line"), (0o600, "with a space in the middle", "has a space"),
    (0o600, "x" * 600, "longer than 512"), (None, "", "No such file or directory; make it, or correct the path")])
def test_a_token_file_that_will_not_do_is_refused(tmp_path, token_file, mode, text, why):
    token_file.unlink()
    if mode is not None:
        token_file.write_text(text)
        token_file.chmod(mode)
    server = Server(tmp_path, config=Config(admin="127.0.0.1:0", admin_token_file=token_file))
    for said in (server.refuses(), server.refuses("--check")):
        assert why in said and str(token_file) in said and TOKEN not in said


def test_a_group_may_read_the_token_file(serve_with_token, token_file):
    token_file.chmod(0o640)
    assert post(serve_with_token(), "/sync").status == 200


def test_a_token_file_without_an_address_is_refused(tmp_path, token_file):
    assert "give admin (--admin)" in Server(tmp_path, config=Config(admin_token_file=token_file)).refuses()


# ---- What can be done ----

def test_flush_writes_one_namespace_and_sync_all(serve_with_token):
    server = serve_with_token(Config(namespace("sessions", "sess:", "write-behind", flush_delay="1h"),
                                     namespace("other", "other:", "write-behind", flush_delay="1h")))
    client = server.client()
    for i in range(7):
        assert client.set(f"sess:{i}", b"v") == b"STORED"
        assert client.set(f"other:{i}", b"v") == b"STORED"
    assert post(server, "/flush?namespace=sessions")[::2] == (200, "SYNCED 7\n")
    assert len(server.rows("sessions")) == 7 and not server.rows("other")
    assert "POST /flush of namespace sessions, asked by" in server.log()
    assert post(server, "/sync")[::2] == (200, "SYNCED 7\n")
    assert len(server.rows("other")) == 7


def test_slips_are_told_and_nothing_is_done(serve_with_token):
    server = serve_with_token()
    for path, status, why in [
            ("/flush", 400, "needs ?namespace="), ("/flush?namespace=", 400, "needs ?namespace="),
            ("/flush?namespace=nonsense", 404, 'no namespace "nonsense"'), ("/sync%00x", 404, "nothing is at"),
            ("/flush?namespace=plain", 400, "not write-behind"),
            ("/sync?namespace=sessions", 400, 'does not take "namespace"'),
            ("/quarantine/drop?namespace=sessions&kye=x", 400, 'does not take "kye"'),
            ("/quarantine/drop?namespace=sessions&key%00=x", 400, 'does not take "key'),
            ("/quarantine/drop?namespace=sessions&key=", 400, "needs ?key="),
            ("/quarantine/drop?namespace=sessions&namespace=plain", 400, "twice"),
            ("/quarantine/retry", 400, "needs ?namespace="), ("/log", 400, "needs ?level="), ("/log?level=loud", 400, "debug")]:
        answer = post(server, path)
        assert answer.status == status and why in answer.text, path
    assert post(server, "/quarantine/drop?namespace=sessions", body=b"key=x").status == 400


def test_a_sync_that_takes_too_long_is_told_and_health_is_answered_meanwhile(serve_with_token):
    """Every place for actions waits for a store that is locked; probes and protocol go on."""
    config = Config(namespace("sessions", "sess:", "write-behind", flush_delay="1h"), backends=[sqlite_backend(timeout=AWAY)],
                    sync_timeout="2s")
    server = serve_with_token(config)
    client = server.client()
    assert client.set("sess:1", b"v") == b"STORED"
    answers = []
    with locked(server):
        threads = [threading.Thread(target=lambda: answers.append(post(server, "/sync"))) for _ in range(6)]
        for thread in threads:
            thread.start()
        eventually(lambda: any(answer.status == 503 for answer in answers))  # two found no place
        assert server.ask("/livez").status == 200 and server.ask("/readyz").status == 200
        assert client.get("sess:1") == b"v"
        for thread in threads:
            thread.join()
    assert sorted(answer.status for answer in answers) == [503, 503, 504, 504, 504, 504]
    assert [answer.headers["Retry-After"] for answer in answers if answer.status == 503] == ["1", "1"]
    assert post(server, "/sync").status == 200


def test_a_stop_does_not_wait_for_a_sync(serve_with_token):
    config = Config(namespace("sessions", "sess:", "write-behind", flush_delay="1h"), backends=[sqlite_backend(timeout=AWAY)],
                    sync_timeout=0, drain_timeout="100ms")
    server = serve_with_token(config)
    assert server.client().set("sess:1", b"v") == b"STORED"
    with locked(server), socket.create_connection(("127.0.0.1", server.admin_port)) as client:
        client.sendall(f"POST /sync HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
        eventually(lambda: "POST /sync" in server.log())
        server.stop()


def test_handing_over_holds_nothing_back(serve_with_token):
    server = serve_with_token(Config(namespace("sessions", "sess:", "write-behind", flush_delay="1h", existence="memory")))
    client = server.client()

    def handover():
        return client.stats("forebay")["handover"], client.stats("forebay")["dirty_entries"]

    assert client.set_many((f"sess:{number}", b"before") for number in range(100)) == [b"STORED"] * 100
    assert post(server, "/handover?to=on")[::2] == (200, "SYNCED 100\n")
    assert handover() == ("1", "0") and len(server.rows()) == 100
    assert client.set_many((f"sess:{number}", b"during") for number in range(100)) == [b"STORED"] * 100
    assert {row.value for row in server.rows().values()} == {b"during"}
    assert client.command("delete sess:0") == b"DELETED" and b"sess:0" not in server.rows()
    assert client.set("sess:n", b"1") == b"STORED" and client.command("incr sess:n 41") == b"42"
    assert server.rows()[b"sess:n"].value == b"42" and handover() == ("1", "0")
    client.command("forget sess:1")
    assert client.command("touch sess:1 1000") == b"NOT_FOUND"  # by memory; the row is touched before that is said
    assert server.rows()[b"sess:1"].expires_at > 0
    assert post(server, "/handover?to=on")[::2] == (200, "SYNCED 0\n")
    assert post(server, "/handover?to=off")[::2] == (200, "OK\n")
    assert client.set("sess:2", b"after") == b"STORED" and handover() == ("0", "1")
    assert server.rows()[b"sess:2"].value == b"during"


def test_handing_over_refuses_what_the_backend_cannot_take(serve_with_token):
    server = serve_with_token(Config(namespace("sessions", "sess:", "write-behind", flush_delay="1h"),
                                     backends=[sqlite_backend(timeout=AWAY)], sync_timeout="100ms"))
    client = server.client()
    assert client.set("sess:a", b"v") == b"STORED"
    client.sync("sessions")
    assert client.set("sess:a", b"v") == b"STORED"
    with locked(server):
        answer = post(server, "/handover?to=on")
        assert answer.status == 504 and "in time" in answer.text
        assert client.set("sess:a", b"w").startswith(b"SERVER_ERROR")
        assert post(server, "/handover?to=off").status == 200 and client.set("sess:a", b"x") == b"STORED"
    assert [post(server, path).status for path in ("/handover", "/handover?to=", "/handover?to=ON")] == [400] * 3


def test_quarantine_is_retried_and_dropped(serve_with_token):
    """Rows that a trigger refuses, as an application's rule would, until it is gone."""
    server = serve_with_token(Config(namespace("sessions", "sess:", "write-behind", flush_delay="1h")))
    client = server.client()

    def execute(sql):
        with contextlib.closing(sqlite3.connect(os.path.join(server.folder, "store.db"), timeout=60)) as store, store:
            store.execute(sql)

    def quarantined():
        return int(client.stats("quarantine")["sessions:entries"])

    execute("CREATE TRIGGER rule BEFORE INSERT ON sessions WHEN NEW.value = X'626164' BEGIN SELECT RAISE(ABORT, 'refused'); END")
    for key in ("a", "b b", "c", "d"):
        assert client.command(f"ms {base64.b64encode(b'sess:' + key.encode()).decode()} 3 b\r\nbad").startswith(b"HD")
    answer = post(server, "/flush?namespace=sessions")
    assert answer.status == 502 and "in quarantine" in answer.text
    assert quarantined() == 4
    assert post(server, "/quarantine/drop?namespace=sessions&key=sess%3Aa")[::2] == (200, "OK 1\n")
    assert post(server, "/quarantine/drop?namespace=sessions&key=sess:a")[::2] == (200, "OK 0\n")
    assert post(server, "/quarantine/drop?namespace=sessions&key=sess:b%20b")[::2] == (200, "OK 1\n")
    assert "notice: admin: 1 change of namespace sessions dropped from its quarantine" in server.log()
    assert client.get("sess:a") is None and quarantined() == 2
    execute("DROP TRIGGER rule")
    assert post(server, "/quarantine/retry?namespace=sessions&key=sess:c")[::2] == (200, "OK 1\n")
    eventually(lambda: quarantined() == 1)
    assert list(server.rows()) == [b"sess:c"]
    assert post(server, "/quarantine/retry?namespace=sessions")[::2] == (200, "OK 1\n")
    eventually(lambda: quarantined() == 0)
    assert "sess:" not in "".join(line for line in server.log().splitlines() if "admin:" in line)


def test_the_log_is_turned_up_and_down(serve_with_token):
    server = serve_with_token()
    assert server.client().stats("settings")["verbosity"] == "0"
    assert post(server, "/log?level=debug")[::2] == (200, "OK\n")
    assert server.client().stats("settings")["verbosity"] == "1"
    assert post(server, "/log?level=notice")[::2] == (200, "OK\n")
    assert server.client().stats("settings")["verbosity"] == "0"
