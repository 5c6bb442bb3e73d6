# SPDX-License-Identifier: MIT
"""Clients that misbehave: too many, too slow, endless, half-closed, or plain noise. Whatever they do costs them their own
connection and the server a bounded amount of memory."""

import contextlib
import os
import random
import select
import socket
import threading
import time

import pytest
from forebay import GIVES_BACK, Background, Client, Config, eventually, namespace

MIB = 1024 * 1024


@pytest.fixture
def config():
    return Config(namespace("sessions", "sess:", "write-behind", flush_delay="50ms"), memory="64mb")


def check_served(server, value=b"as ever"):
    server.check_alive()
    with server.client() as client:
        for key in ("plain:check", "sess:check"):
            assert client.set(key, value) == b"STORED"
            assert client.get(key) == value


def connections(server):
    """As the server counts them; while it refuses one more, as many as it takes."""
    with server.client() as client:
        client.send(b"stats\r\n")
        lines = []
        while not lines or not lines[-1].startswith((b"END", b"ERROR")):
            lines.append(client.line())
    found = [line.split()[2] for line in lines if line.startswith(b"STAT curr_connections ")]
    return int(found[0]) if found else 1 << 30


def answers(client):
    try:
        return client.command("version").startswith(b"VERSION")
    except OSError:
        return False


def test_the_connection_limit_holds(serve):
    """Beyond -c connections are refused or wait, those that were served do not notice, and room that is made is given
    away."""
    server = serve(options=["-c", "200", "-t", "2"])
    clients = [server.client(timeout=2) for _ in range(300)]
    served = [client for client in clients if answers(client)]
    assert 100 <= len(served) <= 200
    for i, client in enumerate(served):
        assert client.set(f"k{i}", b"v") == b"STORED"
        assert client.get(f"k{i}") == b"v"
    for client in clients:
        client.close()
    eventually(lambda: answers(server.client(timeout=2)))
    server.check_alive()


def test_an_idle_connection_is_closed(serve):
    server = serve(options=["-o", "idle_timeout=1"])
    idle, busy = server.client(), server.client()
    idle.set("k", b"v")

    def is_closed_while_the_other_speaks():
        assert busy.get("k") == b"v", "a client that speaks stays"
        return select.select([idle.socket], [], [], 0)[0] and idle.is_closed()

    eventually(is_closed_while_the_other_speaks, pause=0.2)


def test_many_connections_are_served(serve):
    server = serve(options=["-c", "2000", "-t", "2"])
    clients = [server.client() for _ in range(800)]
    for i, client in enumerate(clients):
        client.send(Client.storage("set", f"k{i}", b"%d" % i))
    assert all(client.line() == b"STORED" for client in clients)
    for i, client in enumerate(clients):
        client.send(f"get k{i}\r\n")
    assert all(client.values()[0][2] == b"%d" % i for i, client in enumerate(clients))
    for client in clients:
        client.close()
    eventually(lambda: connections(server) < 20)


def test_connections_that_come_and_go_leave_nothing_behind(serve):
    server = serve(options=["-t", "2"])
    for i in range(2000):
        client = server.client()
        if i % 3:
            client.send(f"set k{i} 0 0 5\r\nhel" if i % 2 else f"get k{i}\r\n")
        client.close()
    eventually(lambda: connections(server) < 20)
    server.check_alive()


def await_standstill(server):
    """The socket of who does not read has all that it takes: nothing is sent but the answers to this question."""
    with server.client() as client:
        told = []

        def stands_still():
            told.append(int(client.stats()["bytes_written"]))
            return told[-1] > MIB and len(told) > 1 and told[-1] - told[-2] < 64 * 1024

        eventually(stands_still, pause=0.2)


@pytest.mark.parametrize("prefix", ["plain:", "sess:"])
def test_a_reader_that_does_not_read_costs_little(serve, config, prefix):
    """2 GB of replies are asked for in one pipeline and not read: they must not pile up in the server."""
    server = serve(config)
    client = server.client()
    value = b"x" * 100000
    assert client.set(prefix + "big", value) == b"STORED"
    before = server.resident()
    slow = server.client()
    pipeline = b"get %sbig\r\n" % prefix.encode() * 20000
    sender = threading.Thread(target=lambda: slow.socket.sendall(pipeline), daemon=True)
    sender.start()
    await_standstill(server)
    grown = server.resident() - before
    assert grown < 192 * MIB, f"{grown // MIB} MB of replies are held"
    check_served(server)
    for _ in range(200):
        assert slow.values()[0][2] == value, "the replies that are read are right"
    slow.socket.shutdown(socket.SHUT_RDWR)
    sender.join(10)
    eventually(lambda: connections(server) < 10)


def test_a_pipeline_is_answered_however_late_it_is_read(serve, config):
    """Everything comes, in order, however late it is read."""
    server = serve(config)
    client = server.client()
    for i in range(10):
        client.set(f"sess:{i}", b"%d" % i * 5000)
    count = 5000
    pipeline = b"".join(b"get sess:%d\r\n" % (i % 12) for i in range(count))
    with Background(lambda end: client.socket.sendall(pipeline)):
        time.sleep(0.5)
        for i in range(count):
            found = client.values()
            assert [value for _, _, value, _ in found] == ([b"%d" % (i % 12) * 5000] if i % 12 < 10 else [])


@pytest.mark.parametrize("start", [b"get ", b"", b"set k 0 0 10 ", b"mg "], ids=["get", "nothing", "set", "mg"])
def test_an_endless_line_is_refused(serve, config, start):
    """Refused or closed long before the 64 MB are through."""
    server = serve(config)
    before = server.resident()
    client = server.client(timeout=20)
    piece = b"a" * 65536
    try:
        client.send(start)
        for _ in range(1024):
            client.socket.sendall(piece)
    except OSError:
        pass
    assert server.resident() - before < 48 * MIB
    check_served(server)
    client.close()


def test_a_get_without_end_costs_little(serve, config):
    """It is answered in pieces, and nobody reads the answers."""
    server = serve(config, env=GIVES_BACK)
    before = server.resident()
    client = server.client(timeout=20)
    try:
        client.send(b"get")
        for i in range(400000):
            client.socket.sendall(b" key-%07d" % i)
    except OSError:
        pass
    assert server.resident() - before < 64 * MIB
    check_served(server)


def test_values_that_never_come_cost_little(serve, config):
    """Many large values are announced, and only the first bytes of each are sent."""
    server = serve(config)
    before = server.resident()
    clients = [server.client() for _ in range(100)]
    for i, client in enumerate(clients):
        client.send(b"set big%d 0 0 1000000\r\n" % i + b"x" * 1000)
    check_served(server)
    assert server.resident() - before < 192 * MIB
    for client in clients:
        client.close()
    eventually(lambda: connections(server) < 10)
    assert server.client().get("big7") is None


@pytest.mark.parametrize("size", [b"-1", b"4294967297", b"99999999999999999999", b"1048577000", b"abc", b"2147483647"])
def test_sizes_without_sense_are_refused(serve, config, size):
    server = serve(config)
    client = server.client(timeout=20)
    client.send(b"set k 0 0 " + size + b"\r\n")
    try:
        assert client.line().split(b" ")[0] in (b"CLIENT_ERROR", b"SERVER_ERROR", b"ERROR")
    except OSError:
        pass  # closed
    check_served(server)


def noise(chooser):
    """A piece of input: noise, or something that begins like a command."""
    words = [b"get", b"gets", b"set", b"add", b"cas", b"incr", b"touch", b"mg", b"ms", b"md", b"ma", b"me", b"delete", b"gat",
             b"stats", b"verbosity", b"sync", b"quarantine", b"forget", b"noreply", b"0", b"1", b"-1", b"5", b"99999999999999999999", b"k",
             b"sess:k", b"\r\n", b"\r\n", b"\n", b" ", b"  ", b"\0", b"v", b"t", b"T0", b"S5", b"b", b"O1", b"q", b"N30", b"\xff\xfe"]
    if chooser.random() < 0.4:
        return chooser.randbytes(chooser.randrange(1, 400))
    glue = chooser.choice((b" ", b" ", b""))
    return glue.join(chooser.choices(words, k=chooser.randrange(1, 12))) + chooser.choice((b"\r\n", b"\n", b""))


def test_noise_harms_nobody(serve, config):
    """Four seconds of it on several connections, while an honest client is served and its keys stay as they are."""
    server = serve(config)
    honest = server.client()
    kept = {b"sess:kept-%d" % i: b"%d" % i for i in range(200)}
    honest.set_many(kept.items())

    def make_noise(end, seed):
        chooser = random.Random(seed)
        while not end.is_set():
            try:
                with Client(server.port, timeout=0.05) as client:
                    for _ in range(50):
                        client.socket.sendall(noise(chooser))
                    client.socket.recv(65536)
            except OSError:
                pass

    with contextlib.ExitStack() as makers:
        for seed in range(4):
            makers.enter_context(Background(make_noise, seed))
        end = time.monotonic() + 4
        while time.monotonic() < end:
            assert honest.get_many(list(kept)) == kept
    check_served(server)
    eventually(lambda: connections(server) < 10)


@pytest.mark.parametrize("key", ["plain:k", "sess:k", "sess:absent"])
def test_a_half_closed_connection_gets_its_replies(serve, config, key):
    """A client that closes its sending side still gets the replies to what it sent."""
    server = serve(config)
    with server.client() as client:
        client.set("plain:k", b"v")
        client.set("sess:k", b"v")
    client = server.client()
    client.send(f"get {key}\r\n" * 100)
    client.socket.shutdown(socket.SHUT_WR)
    expected = [] if key == "sess:absent" else [b"v"]
    for _ in range(100):
        assert [value for _, _, value, _ in client.values()] == expected
    assert client.is_closed()
    eventually(lambda: connections(server) < 5)


def test_clients_that_vanish_while_parked_leave_nothing_behind(serve, config):
    """Their requests are with the store when the connection goes away."""
    server = serve(config)
    for i in range(300):
        client = server.client()
        client.send(f"get sess:absent{i} sess:other{i}\r\nadd sess:n{i} 0 0 1\r\nx\r\nsync\r\n")
        client.close()
    eventually(lambda: connections(server) < 5)
    check_served(server)


def test_requests_may_come_byte_by_byte(serve, config):
    server = serve(config)
    client = server.client()
    for byte in b"set sess:slow 7 0 5\r\nhello\r\ngets sess:slow absent\r\nmg sess:slow f v\r\ndelete sess:slow\r\n":
        client.send(bytes([byte]))
    assert client.line() == b"STORED"
    [(key, flags, value, _)] = client.values()
    assert (key, flags, value) == (b"sess:slow", 7, b"hello")
    assert client.line() == b"VA 5 f7"
    assert client.line() == b"hello"
    assert client.line() == b"DELETED"


@pytest.mark.parametrize("requests", [1, 7])
def test_a_pipeline_lets_others_in_between(serve, requests):
    """-R: that many requests of a long pipeline are served in a turn; all are answered, in order."""
    server = serve(options=["-R", str(requests), "-t", "1"])
    with server.client() as client, server.client() as other:
        before = int(client.stats()["conn_yields"])
        for _ in range(3):
            client.send(b"".join(b"set k%d 0 0 1\r\nx\r\n" % i for i in range(500)) + b"get k1 k2 k3 k4 k5 k6 k7 k8 k9\r\n" * 100)
            assert other.set("k", b"v") == b"STORED"
            assert [client.line() for _ in range(500)] == [b"STORED"] * 500
            line = [part for i in range(1, 10) for part in (b"VALUE k%d 0 1" % i, b"x")] + [b"END"]
            assert [client.line() for _ in range(100 * len(line))] == line * 100
        yields = int(client.stats()["conn_yields"]) - before
        assert yields >= 3 * 600 // requests - 3 * 2 * 10  # a read that ends early ends a turn as well
    check_served(server)


def test_threads_that_rest_have_no_share_of_the_limit_of_replies(serve):
    """With one processor one thread of 16 is used, and has all of it."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        server = serve(Config(threads=16), options=["-o", "read_buf_mem_limit=1"])
    finally:
        os.sched_setaffinity(0, before)
    with server.client() as client:
        assert client.set("k", b"v" * 1000) == b"STORED"
        client.send(b"get" + b" k" * 200 + b"\r\n")
        assert [value for _, _, value, _ in client.values()] == [b"v" * 1000] * 200


def test_replies_have_a_limit(serve):
    """read_buf_mem_limit: a get line whose answer would take more is an error, alone; other requests end the connection."""
    server = serve(Config(threads=16, use_threads="all"), options=["-o", "read_buf_mem_limit=1"])  # 64 KiB each
    with server.client() as client:
        assert client.set("k", b"v" * 1000) == b"STORED"
        client.send(b"get k\r\nget" + b" k" * 200 + b"\r\nget k\r\n")
        lines = [client.line() for _ in range(4)]
        assert lines == [b"VALUE k 0 1000", b"v" * 1000, b"END", b"SERVER_ERROR out of memory writing get response"]
        refused = int(server.client().stats()["response_obj_oom"])
        assert refused >= 1
    with server.client() as client:
        client.send(b"mg k v\r\n" * 500)
        assert client.socket.recv(100) == b""
    assert int(server.client().stats()["response_obj_oom"]) > refused
    check_served(server)
