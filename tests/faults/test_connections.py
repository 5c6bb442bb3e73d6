# SPDX-License-Identifier: MIT
"""What one connection can take of the server's memory, and for how long: values that never end, lines of any length,
bytes that come one by one, dumps that nobody reads."""

import socket
import threading
import time

import pytest
from forebay import GIVES_BACK, Client, Config, Server, eventually, namespace

MIB = 1024 * 1024
OUT_OF_MEMORY = b"SERVER_ERROR out of memory storing object"


def fill(server, keys, value):
    with server.client() as client:
        for start in range(0, len(keys), 1000):
            assert set(client.set_many((key, value) for key in keys[start:start + 1000])) == {b"STORED"}


def taken(server):
    """Bytes that unfinished requests have, as the server counts them."""
    with server.client() as client:
        return int(client.stats()["read_buf_bytes"])


def idle_kicks(server):
    with server.client() as client:
        return int(client.stats()["idle_kicks"])


# ---- Memory ----


def test_unfinished_values_stay_inside_a_limit(serve):
    """120 values of 1 MB whose last bytes are held back; a server of 64 MB lets them have a quarter of that."""
    server = serve(options=["-m", "64", "-t", "2"], env=GIVES_BACK)
    value = b"x" * 1000000
    before = server.resident()
    clients = [server.client() for _ in range(120)]
    for i, client in enumerate(clients):
        client.send(b"set k%d 0 0 %d\r\n" % (i, len(value)) + value[:-100])
    with server.client() as other:
        eventually(lambda: int(other.stats()["bytes_read"]) > 119 * len(value))
        assert server.resident() - before < 40 * MIB
        assert taken(server) <= 16 * MIB
        assert other.set("small", b"v") == b"STORED"
    answers = []
    for client in clients:
        client.send(value[-100:] + b"\r\n")
        answers.append(client.line())
    assert set(answers) == {b"STORED", OUT_OF_MEMORY}
    assert 8 <= answers.count(b"STORED") <= 17
    assert int(clients[0].stats()["read_buf_oom"]) == answers.count(OUT_OF_MEMORY)
    for i, client in enumerate(clients):
        assert client.set(f"again{i}", value[:100000]) == b"STORED", "who was refused is served as ever"
    eventually(lambda: taken(server) == 0)


def test_a_refused_value_changes_nothing(serve):
    server = serve(config=Config(memory="8mb", item_max="1mb", request_memory="1100kb", threads=1))
    value = b"y" * 1000000
    holder, client = server.client(), server.client()
    assert client.set("k", b"old") == b"STORED"
    holder.send(b"set held 0 0 %d\r\n" % len(value) + value)
    eventually(lambda: taken(server) > 900000)
    assert client.set("k", value) == OUT_OF_MEMORY
    client.send(Client.storage("set", "k", value, noreply=True) + b"ms k %d\r\n" % len(value) + value + b"\r\nget k\r\n")
    assert client.line() == OUT_OF_MEMORY  # of the ms; nothing is said of a noreply
    assert client.values()[0][2] == b"old"
    holder.send(b"\r\n")
    assert holder.line() == b"STORED"
    assert client.set("k", value) == b"STORED"
    assert client.get("held") == value


def test_what_every_connection_may_have_is_there_where_memory_is_taken(serve):
    """16 KiB of an unfinished request, of who has just come as of who has been there, in one piece or in two."""
    server = serve(config=Config(memory="8mb", item_max="64kb", request_memory="70kb", threads=1))
    small, large = b"s" * 10000, b"l" * 60000
    with server.client() as holder, server.client() as another, server.client() as old, server.client() as new:
        assert old.command("mn") == b"MN"
        holder.send(Client.storage("set", "held", large)[:-2])
        another.send(Client.storage("set", "held", large[:30000])[:-2])
        eventually(lambda: int(old.stats()["bytes_read"]) > 90000)
        assert old.set("k", large) == OUT_OF_MEMORY
        assert new.set("k", small) == b"STORED"
        request = Client.storage("set", "k", small)
        old.send(request[:6000])
        assert new.get("k") == small
        old.send(request[6000:])
        assert old.line() == b"STORED"


def test_a_long_line_is_served_where_memory_is_taken(serve):
    """A line of keys needs no room: it is answered while it comes."""
    server = serve(config=Config(memory="8mb", item_max="1mb", request_memory="1100kb", threads=1))
    keys = [f"key-{i}" for i in range(3000)]
    fill(server, keys, b"v")
    with server.client() as holder, server.client() as client:
        holder.send(b"set held 0 0 1000000\r\n" + b"x" * 1000000)
        eventually(lambda: taken(server) > 900000)
        line = ("get " + " ".join(keys) + "\r\n").encode() * 8
        client.send(line)
        for _ in range(8):
            assert [key.decode() for key, *_ in client.values()] == keys


def test_values_that_stand_still_do_not_hold_memory_for_ever(serve):
    """Without an idle_timeout, too: others would be refused as long as these stay."""
    server = serve(options=["-m", "16", "-I", "1m"])
    clients = [server.client(timeout=40) for _ in range(6)]
    for client in clients:
        client.send(b"set k 0 0 1000000\r\n" + b"x" * 900000)
    idle = server.client(timeout=40)
    assert idle.set("idle", b"v") == b"STORED"
    eventually(lambda: taken(server) > 3 * MIB)
    eventually(lambda: taken(server) <= 2 * MIB, seconds=40)  # half of what there is
    assert idle.get("idle") == b"v", "who holds nothing stays"
    assert int(idle.stats()["idle_kicks"]) >= 1
    assert idle.set("large", b"x" * 1000000) == b"STORED"


def test_long_answers_that_nobody_reads_stay_inside_a_limit(serve):
    """`stats detail dump` of 8 MB, asked for on 8 connections: some get an error, and all get it once others have read."""
    server = serve(options=["-m", "16", "-t", "2"], env=GIVES_BACK)
    prefixes = 30000
    with server.client() as client:
        assert client.command("stats detail on") == b"OK"
        for start in range(0, prefixes, 1000):
            client.send(b"".join(b"get %d%s:x\r\n" % (number, b"p" * 230) for number in range(start, start + 1000)))
            assert {client.line() for _ in range(1000)} == {b"END"}
    before = server.resident()
    askers = [server.client() for _ in range(8)]
    for asker in askers:
        asker.send(b"stats detail dump\r\n")
    lines = [asker.line() for asker in askers]
    assert 0 < lines.count(b"SERVER_ERROR out of memory writing the answer") < 8
    assert server.resident() - before < 50 * MIB
    for asker, line in zip(askers, lines):
        if line.startswith(b"PREFIX"):
            assert [asker.line() for _ in range(prefixes)][-1] == b"END"
    for asker in askers:
        asker.send(b"stats detail dump\r\n")
        assert [asker.line() for _ in range(prefixes + 1)][-1] == b"END"


# ---- Time ----


def is_ended_in_spite_of(client, piece):
    """Sends the piece, and looks whether the server has ended the connection."""
    client.socket.settimeout(0)
    try:
        client.send(piece)
        return client.socket.recv(4096) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


class Slowly:
    """Who reads a little at a time, for several times an idle_timeout of a second, and then what is left."""

    def __init__(self, client, pause):
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)  # so that there is something left
        self.client = client
        self.pause = pause
        self.until = time.monotonic() + 3
        self.got = 0

    def read(self):
        piece = self.client.socket.recv(MIB)
        assert piece, f"closed after {self.got} bytes"
        self.got += len(piece)
        if time.monotonic() < self.until:
            time.sleep(self.pause)
        return piece


STARTS = {
    "a line": b"get ",
    "a value": b"set k 0 0 100000\r\n",
    "a value that is refused": b"set k 0 0 2000000\r\n",
    "a meta value": b"ms k 100000\r\n",
    "a long line": b"get" + b" key" * 60000,
}


def test_what_comes_byte_by_byte_comes_to_an_end(serve):
    """Bytes alone are no sign of life."""
    server = serve(options=["-o", "idle_timeout=1"])
    goes_on = {name: server.client() for name in STARTS}
    for name, client in goes_on.items():
        client.send(STARTS[name])

    def which():
        for name in [name for name, client in goes_on.items() if is_ended_in_spite_of(client, b"x")]:
            goes_on.pop(name).close()
        return goes_on

    eventually(lambda: not which(), pause=0.2)
    eventually(lambda: idle_kicks(server) == len(STARTS))


def test_a_value_that_goes_on_may_take_its_time(serve):
    """4 KB at a time, for nearly three times the idle_timeout: in one value of 64 KB, and in eight of 8 KB. A pause may be
    several times as long as it is meant to be."""
    server = serve(options=["-o", "idle_timeout=2"])
    with server.client() as one, server.client() as eight:
        one.send(b"set one 0 0 65536\r\n")
        for part in range(16):
            one.send(b"x" * 4096)
            eight.send((b"" if part % 2 else b"set eight 0 0 8192\r\n") + b"x" * 4096 + (b"\r\n" if part % 2 else b""))
            time.sleep(0.35)
        one.send(b"\r\n")
        assert [one.line(), *(eight.line() for _ in range(8))] == [b"STORED"] * 9


def test_replies_that_are_read_slowly_are_no_idleness(serve):
    server = serve(options=["-o", "idle_timeout=1", "-m", "256", "-I", "64m"])
    with server.client() as client:
        value = b"x" * (20 * MIB)
        assert client.set("k", value) == b"STORED"
        client.send(b"get k\r\n")
        slowly = Slowly(client, 0.15)
        while slowly.got < len(value):
            slowly.read()


def test_replies_that_are_not_read_come_to_an_end(serve):
    """Also where the client has read some of them, so that the socket took more for a while."""
    server = serve(options=["-o", "idle_timeout=1", "-m", "256", "-I", "64m"])
    with server.client() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)
        value = b"x" * (20 * MIB)
        assert client.set("k", value) == b"STORED"
        client.send(b"get k\r\n")
        client.read(8 * MIB)
        eventually(lambda: idle_kicks(server) >= 1)


def ask_and_say_no_more(client, reply):
    """For more than sockets hold, of which nothing is read yet."""
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)
    client.send(b"get k\r\n" * (16 * MIB // len(reply)))
    client.socket.shutdown(socket.SHUT_WR)


def test_who_says_no_more_and_does_not_read_comes_to_an_end(serve):
    """A server that looked again and again whether there is room would take that for a sign of life."""
    server = serve(options=["-o", "idle_timeout=1", "-m", "256"])
    value = b"x" * 300000
    with server.client() as client:
        assert client.set("k", value) == b"STORED"
        ask_and_say_no_more(client, value)
        eventually(lambda: idle_kicks(server) >= 1)


def test_who_says_no_more_is_answered_to_the_end(serve):
    """However late it begins to read."""
    server = serve(options=["-m", "256"])
    value = b"x" * 300000
    with server.client() as client, server.client() as other:
        assert other.set("k", value) == b"STORED"
        ask_and_say_no_more(client, value)
        eventually(lambda: int(other.stats("forebay")["slow_readers"]) == 1)
        for _ in range(16 * MIB // len(value)):
            assert client.values()[0][2] == value
        assert client.file.read() == b""


# ---- Lines of keys ----


KEYS = [b"key-%06d" % i for i in range(50000)]


@pytest.fixture(scope="module")
def every_other(tmp_path_factory):
    """A server that has every other one of the keys."""
    with Server(tmp_path_factory.mktemp("keys"), options=["-m", "64"]) as server:
        fill(server, KEYS[::2], b"v")
        yield server


@pytest.mark.parametrize("verb", ["get", "gets", "gat 0", "gats 0"])
def test_a_line_may_have_many_thousand_keys(every_other, verb):
    with every_other.client() as client:
        for pipelined in (1, 2):
            client.send((verb.encode() + b" " + b" ".join(KEYS) + b"\r\n") * pipelined + b"version\r\n")
            for _ in range(pipelined):
                found = client.values()
                assert [key for key, *_ in found] == KEYS[::2], "in the order in which they were asked for"
                assert all((token is not None) == ("s" in verb) for *_, token in found)
            assert client.line().startswith(b"VERSION")


def test_a_client_may_write_a_long_line_to_its_end_before_it_reads(serve):
    """80 MB of replies to a line of 10 MB: neither side waits for the other."""
    server = serve(options=["-m", "256", "-t", "2"])
    keys = [b"k" * 190 + b"%06d" % i for i in range(50000)]
    fill(server, keys, b"v" * 1400)
    before = server.resident()
    with server.client(timeout=30) as client:
        client.send(b"get " + b" ".join(keys) + b"\r\nversion\r\n")
        assert server.resident() - before < 50 * MIB
        assert [key for key, *_ in client.values()] == keys
        assert client.line().startswith(b"VERSION")
    eventually(lambda: taken(server) == 0)


def test_a_client_may_end_what_it_says_behind_a_long_line(serve):
    """All of it is answered, though the end is seen while its replies wait for room."""
    count, value = 70000, b"x" * 100
    line = b"get" + b" hk" * count + b"\r\n" + b"mn\r\n" * 3
    with serve(options=["-m", "64"]).client() as other, socket.socket() as client:
        assert other.set("hk", value) == b"STORED"
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(other.socket.getpeername())
        read = int(other.stats()["bytes_read"])
        client.sendall(line)
        client.shutdown(socket.SHUT_WR)
        eventually(lambda: int(other.stats()["bytes_read"]) - read >= len(line))
        told = client.makefile("rb").read()
    assert told == b"VALUE hk 0 100\r\n%b\r\n" % value * count + b"END\r\n" + b"MN\r\n" * 3


def test_an_endless_line_takes_no_memory(serve):
    server = serve(options=["-m", "64", "-t", "2"])
    before = server.resident()
    with server.client() as client:
        reader = threading.Thread(target=lambda: all(iter(lambda: client.file.read(1 << 16), b"")), daemon=True)
        reader.start()
        client.send(b"get")
        for _ in range(60):
            client.send((b" " + b"n" * 200) * 5000)
        assert server.resident() - before < 30 * MIB
        client.send(b"\r\nquit\r\n")
        reader.join(30)
        assert not reader.is_alive()


def test_a_bad_key_ends_the_answer_to_a_long_line(serve):
    server = serve()
    keys = [b"key-%06d" % i for i in range(30000)]
    fill(server, keys, b"v")
    with server.client() as client:
        client.send(b"get " + b" ".join(keys + [b"k" * 251] + keys) + b"\r\nversion\r\n")
        for key in keys:
            assert client.line() == b"VALUE %s 0 1" % key and client.line() == b"v"
        assert client.line() == b"CLIENT_ERROR bad command line format"
        assert client.line().startswith(b"VERSION")


def test_a_long_line_waits_for_the_backend_in_its_middle(serve):
    """All keys have to be loaded, or each 40th is in memory."""
    keys = [b"key-%06d" % i for i in range(10000)]
    server = serve(Config(namespace("through", "", "write-through"), memory="64mb"))
    fill(server, keys, b"v" * 20)
    for known in ([], keys[::40]):
        server.stop()
        server.start()
        with server.client() as client:
            for key in known:
                client.send(b"get " + key + b"\r\n")
            for _ in known:
                assert client.values()[0][2] == b"v" * 20
            client.send((b"get " + b" ".join(keys) + b" none\r\n") * 2 + b"version\r\n")
            for _ in range(2):
                assert [(key, value) for key, _, value, _ in client.values()] == [(key, b"v" * 20) for key in keys]
            assert client.line().startswith(b"VERSION")


def test_a_limit_of_replies_holds_for_a_long_line(serve):
    """read_buf_mem_limit: an error ends the answer, and other connections are told nothing of it."""
    server = serve(Config(threads=16, use_threads="all"), options=["-o", "read_buf_mem_limit=1"])  # 64 KiB each
    keys = [b"key-%06d" % i for i in range(30000)]
    fill(server, keys[:300], b"v" * 1000)
    with server.client() as client:
        client.send(b"get " + b" ".join(keys) + b"\r\nget key-000001\r\n")
        answer = client.values()
        assert answer == b"SERVER_ERROR out of memory writing get response"
        assert client.values()[0][0] == b"key-000001"


# ---- Dumps ----


@pytest.fixture(scope="module")
def dumped(tmp_path_factory):
    """A server whose dump is more than sockets take."""
    with Server(tmp_path_factory.mktemp("dumped"), options=["-o", "idle_timeout=1", "-m", "256"]) as server:
        fill(server, [b"key-%0240d" % i for i in range(60000)], b"v")
        yield server


def test_a_dump_that_nobody_reads_comes_to_an_end(dumped):
    before = idle_kicks(dumped)
    with dumped.client() as deaf:
        assert deaf.command("lru_crawler metadump all") == b"OK"

        def dumps():
            with dumped.client() as client:
                line = client.command("lru_crawler metadump all")
                assert line in (b"OK", b"BUSY currently processing crawler request")
                return line == b"OK"

        eventually(dumps)
        assert idle_kicks(dumped) > before


def test_a_dump_that_is_read_slowly_goes_on(dumped):
    with dumped.client() as client:
        eventually(lambda: client.command("lru_crawler metadump all") == b"OK")  # there is one at a time
        slowly = Slowly(client, 0.1)
        got = b""
        while not got.endswith(b"END\r\n"):
            got = got[-10:] + slowly.read()
