# SPDX-License-Identifier: MIT
"""What a service manager is told (sd_notify), and the sockets that it hands over (sd_listen_fds). tests/support/manager.py
plays its part; tests/package/test_service.py asks systemd itself."""

import os
import re
import signal
import socket
import subprocess
import time

import pytest
from forebay import (AWAY, PATIENCE, Background, Client, Config, Server, binary, eventually, free_port, locked, namespace, section,
                     sqlite_backend)
from manager import Activated, Messages

SESSIONS = namespace("sessions", "sess:", "write-behind", flush_delay="50ms")


@pytest.fixture(params=["path", "abstract"])
def messages(request, tmp_path):
    address = str(tmp_path / "notify") if request.param == "path" else f"@forebay-test-{os.getpid()}-{tmp_path.name}"
    told = Messages(address)
    yield told
    told.close()


@pytest.fixture
def told(tmp_path):
    messages = Messages(str(tmp_path / "notify"))
    yield messages
    messages.close()


def listening(address=None, family=socket.AF_INET):
    """A socket as systemd makes it of ListenStream=."""
    handed = socket.socket(family, socket.SOCK_STREAM)
    if family == socket.AF_INET:
        handed.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    handed.bind(address or ("127.0.0.1", 0))
    handed.listen(4096)
    return handed


# ---- What it is told ----

def test_ready_is_told_when_clients_are_served(tmp_path, messages):
    server = Server(tmp_path, Config(SESSIONS), env={"NOTIFY_SOCKET": messages.address}).spawn()
    try:
        message = messages.until("READY", "1")
        assert message["STATUS"] == f"serving 127.0.0.1:{server.port}"
        assert server.client().set("sess:1", b"at once") == b"STORED"
        assert not any("READY" in earlier for earlier in messages.all[:-1])
    finally:
        server.stop()
    assert messages.until("STOPPING")["STOPPING"] == "1"


def test_a_reload_is_told_and_its_end(tmp_path, told):
    server = Server(tmp_path, Config(SESSIONS), env={"NOTIFY_SOCKET": told.address}).spawn()
    try:
        told.until("READY", "1")
        for text in ('verbosity = 1\n', 'verbosity = "no number"\n'):  # also where nothing is taken over
            before = len(told.all)
            with open(tmp_path / f"forebay-{server.port}.conf", "a", encoding="utf-8") as config:
                config.write(text)
            server.process.send_signal(signal.SIGHUP)
            assert "MONOTONIC_USEC" in told.until("RELOADING", "1")
            told.until("READY", "1")
            assert [key for message in told.all[before:] for key in ("RELOADING", "READY") if key in message] == ["RELOADING", "READY"]
    finally:
        server.stop()


def test_what_a_drain_has_left_is_told(tmp_path, told):
    config = Config(namespace("sessions", "sess:", "write-behind", flush_delay="1h"), drain_timeout="30s",
                    backends=[sqlite_backend(timeout="500ms")])
    server = Server(tmp_path, config, env={"NOTIFY_SOCKET": told.address}).start()
    client = server.client()
    assert client.set_many((f"sess:{i}", b"x" * 100) for i in range(500)) == [b"STORED"] * 500
    with locked(server):
        server.signal(signal.SIGTERM)
        stopping = told.until("STOPPING", "1")
        limit_us = int(stopping["EXTEND_TIMEOUT_USEC"])
        assert limit_us > 30_000_000  # the drain, and what follows it
        status = (stopping if "draining: 500" in stopping["STATUS"] else told.until("STATUS", "draining: 500"))["STATUS"]
        assert int(re.fullmatch(r"draining: 500 entries with (\d+) bytes left", status).group(1)) > 500 * 100
    server.check_end(server.wait())  # not by another SIGTERM, which ends the drain
    assert len(server.rows()) == 500


def starts_and_tells_of_records(server, told):
    """Whether a start told how many records it has read; on a busy machine it may be over before it is asked."""
    server.spawn()
    told.until("READY")
    found = [message for message in told.all if message.get("STATUS", "").startswith("recovering: ")]
    for message in found:
        assert re.fullmatch(r"recovering: [1-9]\d* records of the journal read", message["STATUS"])
        assert int(message["EXTEND_TIMEOUT_USEC"]) >= 10_000_000
    return bool(found)


def test_a_start_that_recovers_tells_how_far_it_is_and_gets_time(tmp_path, told):
    config = Config(namespace("sessions", "sess:", "write-behind", flush_delay="1h"))
    server = Server(tmp_path, config).start()
    for part in range(20):
        assert set(server.client().set_many((f"sess:{part}:{i}", b"x") for i in range(1000))) == {b"STORED"}
    server.env = {"NOTIFY_SOCKET": told.address, "WATCHDOG_USEC": "4000"}  # which makes it look every millisecond
    for _ in range(20):
        server.kill()
        if starts_and_tells_of_records(server, told):
            break
    else:
        pytest.fail("no start told how many records it has read")
    server.stop()


def test_a_preload_that_takes_long_gets_time(tmp_path, told, redis):
    """While it asks which keys there are, nothing comes into memory; it goes on all the same."""
    config = Config(namespace("sessions", "sess:", "write-behind", backend="far", preload=1000, preload_wait="true"),
                    backends=[section("backend", "far", uri=redis.uri, timeout=AWAY)])
    server = Server(tmp_path, config, env={"NOTIFY_SOCKET": told.address})
    redis.pause()
    try:
        server.spawn()
        first, second = (told.until("STATUS", "preloading: 0 entries in memory, ") for _ in range(2))
    finally:
        redis.resume()
    assert first["STATUS"] != second["STATUS"]
    assert second["EXTEND_TIMEOUT_USEC"] == "90500000"  # with the timeout of the backend
    told.until("READY")
    server.stop()


def test_the_watchdog_hears_of_a_server_that_turns(tmp_path, told):
    server = Server(tmp_path, Config(SESSIONS), env={"NOTIFY_SOCKET": told.address, "WATCHDOG_USEC": "200000"}).start()
    for _ in range(3):
        told.until("WATCHDOG", "1")
    server.pause()
    told.pending()
    told.socket.settimeout(1)
    with pytest.raises(TimeoutError):
        told.next()
    server.resume()
    told.socket.settimeout(PATIENCE)
    told.until("WATCHDOG", "1")
    server.stop()


def test_a_watchdog_of_another_process_is_not_served(tmp_path, told):
    env = {"NOTIFY_SOCKET": told.address, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
    server = Server(tmp_path, Config(SESSIONS), env=env).start()
    told.until("READY")
    server.stop()
    told.pending()
    assert not any("WATCHDOG" in message for message in told.all)


@pytest.mark.parametrize("address", ["", "nonsense", "/" + "x" * 200, "/nowhere/at/all"])
def test_a_manager_that_is_not_there_harms_nobody(serve, tmp_path, address):
    server = serve(Config(SESSIONS), env={"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000"})
    assert server.client().set("sess:1", b"x") == b"STORED"


# ---- Sockets that it hands over ----

def test_a_restart_refuses_nobody_and_loses_nobody(tmp_path):
    """Clients connect all the time, each for one request, while the server is stopped and started again."""
    handed = listening()
    port = handed.getsockname()[1]
    answered = []

    def ask(end):
        while not end.is_set():
            with Client(port) as client:
                assert client.set(f"sess:{len(answered)}", b"x") == b"STORED"
            answered.append(1)

    server = Activated(tmp_path, [("forebay.socket", handed)], config=Config(SESSIONS), port=port).start()
    with Background(ask), Background(ask):
        for _ in range(3):
            before = len(answered)
            server.stop()
            server.start()
            while len(answered) < before + 20:
                server.check_alive()
    assert server.client().get("sess:0") == b"x"
    server.stop()
    handed.close()


def is_answered_while_it_stops(server):
    """Whether a client that had connected just before the stop, and asked afterwards, was answered. On a machine that is so busy
    that it asks seconds later, it is not."""
    with server.client() as newcomer, server.client() as witness:
        before = server.log().count("SIGTERM: stopping")
        eventually(lambda: int(witness.stats()["curr_connections"]) == 2)
        server.signal(signal.SIGTERM)
        eventually(lambda: server.log().count("SIGTERM: stopping") > before)
        time.sleep(0.2)  # a worker that waits for nobody has ended by then; if not, this shows nothing, and harms nobody
        try:
            return newcomer.set("sess:late", b"x") == b"STORED"
        except ConnectionError:
            return False
        finally:
            server.check_end(server.wait())  # another SIGTERM would end the drain


def test_a_client_that_came_just_before_a_stop_is_answered(tmp_path):
    server = Server(tmp_path, config=Config(SESSIONS))
    assert any(is_answered_while_it_stops(server.start()) for _ in range(5))
    assert b"sess:late" in server.rows()


def test_the_sockets_of_the_manager_replace_those_of_the_configuration(tmp_path):
    handed, path = listening(), str(tmp_path / "handed.sock")
    local = listening(path, socket.AF_UNIX)
    port = handed.getsockname()[1]
    config = Config(SESSIONS).text(free_port(), tmp_path)
    unused = int(re.search(r"127\.0\.0\.1:(\d+)", config).group(1))
    server = Activated(tmp_path, [("tcp", handed), ("local", local)], config=config, port=port).start()
    assert "hands over the sockets of clients" in server.log()
    assert f"serves 127.0.0.1:{port}, unix:{path}" in server.log()
    with pytest.raises(ConnectionRefusedError):
        Client(unused)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(b"set sess:1 0 0 1\r\nx\r\n")
        assert client.recv(100) == b"STORED\r\n"
    server.stop()
    assert os.path.exists(path)  # it is the manager's
    handed.close()
    local.close()


def test_a_socket_named_admin_is_that_of_http(tmp_path):
    """It comes alone, too: then clients are listened for as the configuration says."""
    admin = listening()
    server = Activated(tmp_path, [("admin", admin)], config=Config(SESSIONS)).start()
    assert server.admin_port == admin.getsockname()[1]
    assert server.ask("/livez").status == 200
    assert server.client().set("sess:1", b"x") == b"STORED"
    server.stop()
    clients = listening()
    both = Activated(tmp_path, [("admin", admin), ("clients", clients)], config=Config(SESSIONS, admin="127.0.0.1:1"),
                     port=clients.getsockname()[1]).start()
    assert both.ask("/readyz").status == 200
    both.stop()
    admin.close()
    clients.close()


def test_an_admin_socket_without_an_ip_address_is_refused(tmp_path):
    local = listening(str(tmp_path / "admin.sock"), socket.AF_UNIX)
    server = Activated(tmp_path, [("admin", local)], config=Config(SESSIONS)).spawn()
    assert server.wait() == 1
    assert "has no IP address; give ListenStream=127.0.0.1:11280" in server.log()
    local.close()


def test_sockets_that_are_meant_for_another_process_are_left_alone(serve):
    server = serve(Config(SESSIONS), env={"LISTEN_PID": "1", "LISTEN_FDS": "1"})
    assert "hands over" not in server.log()


def test_what_cannot_be_served_is_named(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        server = Activated(tmp_path, [("udp.socket", datagrams)], config=Config(SESSIONS)).spawn()
        assert server.wait() == 1
    assert "descriptor 3 (udp.socket)" in server.log()
    assert "ListenStream=" in server.log()


def test_too_many_sockets_are_refused(tmp_path):
    script = f'LISTEN_PID=$$ LISTEN_FDS=65 exec "{binary()}" -u root'
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 1
    assert "65 sockets" in done.stderr
