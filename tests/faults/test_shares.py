# SPDX-License-Identifier: MIT
"""What one connection can take of a worker's turns and of the memory for replies: others are served in between, and who does not
read holds little. Told by what is answered before what, and by counters: never by a time."""

import contextlib
import glob
import re
import socket
import threading

import pytest
from forebay import GIVES_BACK, Background, Client, Config, Server, eventually, namespace

MIB = 1 << 20
WAYS = ["epoll", "auto"]
SHARE, KEYS, LOOK = 96 << 10, 512, 4 << 10  # bytes of replies and keys of one turn, and bytes of what does not fit: server/worker/share.h
TURN_KEYS = 16 << 10  # keys of a turn
SENT = 4 << 20  # bytes of large values that a turn sends before others wait
READ = 16 << 10  # bytes that a turn reads of one connection: server/worker/connection.h
TURNS = 2  # that may pass before the other is served: the one at hand, and a whole one
MARK = b"mark"
SLOW = 16  # connections that do not read
MANY = 50  # the same, as memory is told


def stat(client, name):
    return int(client.stats("forebay")[name])


@pytest.fixture(scope="module", params=WAYS)
def server(tmp_path_factory, request):
    """With one worker, which all share."""
    with Server(tmp_path_factory.mktemp(request.param), options=["-t", "1", "-m", "256", "--io", request.param]) as started:
        with started.client() as client:
            for name, size in (("small", 1), ("kilo", 1000), ("medium", 30000), ("large", 100000)):
                assert client.set(name, b"x" * size) == b"STORED"
        yield started


def send_all(client, requests):
    with contextlib.suppress(OSError):  # who knows enough ends the connection
        client.send(requests)


def states(server):
    found = []
    for path in glob.glob(f"/proc/{server.pid}/task/*/stat"):
        with open(path, encoding="ascii") as stat_of_thread:
            found.append(stat_of_thread.read().rsplit(")", 1)[1].split()[0])
    return found


def stand_still(server):
    """Until it is resumed, all that comes waits in its sockets."""
    server.pause()
    eventually(lambda: set(states(server)) == {"T"})


def served_before(server, requests, answers):
    """How many of the answers a client gets before another one is served, whose request comes when those of the first are all
    there. answers: takes the next answer of the client, and is true once the other was served."""
    with server.client() as greedy, server.client() as other:
        greedy.command("version")
        assert other.command(b"delete " + MARK) in (b"DELETED", b"NOT_FOUND")
        stand_still(server)
        sent = greedy.socket.send(requests)
        other.send(Client.storage("set", MARK, b"v"))
        server.resume()
        with Background(lambda _: send_all(greedy, requests[sent:])):
            count = 0
            while not answers(greedy):
                count += 1
            assert other.line() == b"STORED"
            greedy.socket.shutdown(socket.SHUT_RDWR)
        return count


def finds_mark(client):
    return any(key == MARK for key, *_ in client.values())


def test_a_pipeline_of_small_requests_lets_others_in_between(server):
    assert served_before(server, b"get mark\r\n" * 50000, finds_mark) <= TURNS * KEYS


@pytest.mark.parametrize("name, size", [("kilo", 1000), ("medium", 30000), ("large", 100000)])
def test_long_replies_let_others_in_between(server, name, size):
    """Also those of large values, which are not copied."""
    count = served_before(server, b"get %b mark\r\n" % name.encode() * 2000, finds_mark)
    assert count <= TURNS * (SHARE // size + 1)


@pytest.mark.parametrize("name, size, keys", [("small", 1, 5000), ("small", 1, 40000), ("kilo", 1000, 600), ("kilo", 1000, 20000),
                                              ("large", 100000, 150)])
def test_one_line_of_many_keys_lets_others_in_between(server, name, size, keys):
    """Its values come in order, and each once, though others are served in its middle. Of 40,000 keys it is open."""
    line = b"get" + b" " * 3 + b" ".join([name.encode(), MARK] * (keys // 2)) + b"  \r\nversion\r\n"
    found = []

    def finds_mark_in_it(client):
        found.extend(key for key, *_ in client.values())
        assert client.line().startswith(b"VERSION")
        return True

    served_before(server, line, finds_mark_in_it)
    marked = keys // 2 - found.count(MARK)  # those before it was there
    assert found == [name.encode()] * marked + [name.encode(), MARK] * (keys // 2 - marked)
    assert marked <= TURNS * min(KEYS, SHARE // size + 1)


def yields_for_lines_of_absent_keys(server, lines):
    """How often a client that sends so many lines of 20,000 keys lets others in between."""
    with server.client() as other:
        before = int(other.stats()["conn_yields"])
        served_before(server, (b"get" + b" none" * 20000 + b"\r\nget mark\r\n") * lines, finds_mark)
        return int(other.stats()["conn_yields"]) - before


def test_a_line_of_keys_that_are_not_there_lets_others_in_between(server):
    """They have no replies, so that their number alone counts."""
    assert yields_for_lines_of_absent_keys(server, 3) >= 20000 // KEYS


@pytest.mark.parametrize("way", WAYS)
def test_a_line_is_no_more_than_its_share_where_requests_are_counted(serve, way):
    """-R counts a line as one request, however long it is."""
    assert yields_for_lines_of_absent_keys(serve(options=["-t", "1", "-R", "20", "--io", way]), 1) >= 20000 // KEYS


LINE = b"get " + b"n" * 27 + b"\r\n"
A_READ = READ // len(LINE)  # less than a share has keys


def read_answers(client, count):
    assert client.read(count * len(b"END\r\n")) == b"END\r\n" * count


def connect_crowd(server, stack, count):
    """They have sent much at once before, so that io_uring receives from them one by one (io/ring.c), and then little."""
    crowd = [stack.enter_context(server.client(timeout=60)) for _ in range(count)]
    for client in crowd:
        client.send(LINE * 2 * A_READ)
        read_answers(client, 2 * A_READ)
        assert client.command("mn") == b"MN"
    return crowd


def test_who_fills_each_read_lets_others_in_between_and_is_seen(server):
    """Though a read brings less than a share, and its replies are short: a pipeline without end of requests that are not short.
    However many of them there are, a turn has its bound."""
    reads, count = 5, 100
    with server.client() as other, contextlib.ExitStack() as stack:
        crowd = connect_crowd(server, stack, count)
        turns, yields = stat(other, "turns"), int(other.stats()["conn_yields"])
        stand_still(server)
        for client in crowd:
            client.send(LINE * A_READ * reads)
        server.resume()
        for client in crowd:
            read_answers(client, A_READ * reads)
        assert stat(other, "turns") - turns >= count * A_READ * reads // (TURN_KEYS + count)
        assert int(other.stats()["conn_yields"]) - yields >= count * (reads - 1)


def test_a_crowd_that_asks_for_much_at_once_lets_another_in_between(serve):
    """Each has less than its share, and all of them together more than a turn takes: what they get of it is less, and nobody is
    left out. The other asks last, and is told how much came before. By epoll, as one wait of io_uring may not bring so many."""
    server, many, count = serve(options=["-t", "1", "--io", "epoll"]), A_READ - 10, 100
    with server.client() as other, contextlib.ExitStack() as stack:
        crowd = connect_crowd(server, stack, count)
        before, full = int(other.stats()["cmd_get"]), stat(other, "full_turns")
        stand_still(server)
        for client in crowd:
            client.send(LINE * many)
        other.send(b"stats\r\n")
        server.resume()
        told = dict(line.split()[1:3] for line in iter(other.line, b"END"))
        assert int(told[b"cmd_get"]) - before <= TURN_KEYS + count < count * many
        for client in crowd:
            read_answers(client, many)
        assert stat(other, "full_turns") > full


def test_many_greedy_clients_are_all_served_to_their_end(server):
    """Each has more than its share, and more than a turn takes of such; nobody is forgotten while others come and go."""
    with contextlib.ExitStack() as stack:
        greedy = [stack.enter_context(server.client(timeout=60)) for _ in range(40)]
        stand_still(server)
        for number, client in enumerate(greedy):
            client.send(b"get kilo\r\n" * 300 + b"set own%d 0 0 2\r\n%02d\r\nget" % (number, number) + b" small" * 900 + b"\r\n")
        server.resume()
        with server.client() as other:
            for number, client in enumerate(greedy):
                assert other.get("small") == b"x"
                assert [client.values()[0][2] for _ in range(300)] == [b"x" * 1000] * 300
                assert client.line() == b"STORED"
                assert len(client.values()) == 900
                assert other.get(f"own{number}") == b"%02d" % number


def connect_with_room(server):
    """A client that need not read: what it asks for in a turn fits into its socket. Its worker has it."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
    one.connect(("127.0.0.1", server.port))
    one.sendall(b"mn\r\n")
    assert one.recv(4) == b"MN\r\n"
    return one


@pytest.mark.parametrize("size, count", [(10000, 10), (40000, 3)])
def test_who_is_served_when_a_turn_has_said_much_has_less_of_it(serve, size, count):
    """Each asks for a share and no more, so that nobody has to wait before the turn has said 4 MiB; also those who are told
    large values, which are not copied. By epoll, as one wait of io_uring may not bring so many of them."""
    server = serve(options=["-t", "1", "--io", "epoll"])
    reply = b"VALUE k 0 %d\r\n" % size + b"x" * size + b"\r\nEND\r\n"
    with server.client() as other, contextlib.ExitStack() as stack:
        assert other.set("k", b"x" * size) == b"STORED"
        greedy = [stack.enter_context(connect_with_room(server)) for _ in range(100)]
        before = int(other.stats()["conn_yields"])
        stand_still(server)
        for one in greedy:
            one.sendall(b"get k\r\n" * count)
        server.resume()
        for one in greedy:
            assert one.makefile("rb").read(count * len(reply)) == reply * count
        assert int(other.stats()["conn_yields"]) - before >= 40


LARGE = b"VALUE large 0 %d\r\n" % MIB + b"x" * MIB + b"\r\nEND\r\n"


@contextlib.contextmanager
def crowd_for_large_values(serve, way, count):
    """The server, one who is told statistics, and those who have asked for a value of 1 MiB when it stands still."""
    server = serve(options=["-t", "1", "-m", "64", "-I", "2m", "--io", way])
    with server.client(timeout=60) as other, contextlib.ExitStack() as stack:
        assert other.set("large", b"x" * MIB) == b"STORED"
        crowd = [stack.enter_context(connect_with_room(server)) for _ in range(count)]
        stand_still(server)
        for one in crowd:
            one.sendall(b"get large\r\n")
        yield server, other, crowd


def test_large_values_of_many_are_sent_in_several_turns(serve):
    """The other asks last, and is told what was sent before: a turn's bytes, and of a value what was left. Those who had to wait
    are sent theirs in the turns that follow, which have their bound, too. By epoll, as one wait of io_uring may not bring so
    many."""
    with crowd_for_large_values(serve, "epoll", 60) as (server, other, crowd):
        other.send(b"stats\r\nstats forebay\r\n")
        server.resume()
        told = dict(line.split()[1:3] for _ in range(2) for line in iter(other.line, b"END"))
        assert SENT <= int(told[b"bytes_written"]) <= SENT + 2 * len(LARGE)
        for one in crowd:
            assert one.makefile("rb").read(len(LARGE)) == LARGE
        assert stat(other, "turns") - int(told[b"turns"]) >= (60 * MIB - SENT) // (SENT + 2 * MIB)
        assert stat(other, "full_turns") > int(told[b"full_turns"])
        assert int(other.stats()["conn_yields"]) - int(told[b"conn_yields"]) >= 60 - SENT // MIB - 2


@pytest.mark.parametrize("way", WAYS)
def test_who_waits_for_a_large_value_gets_it_in_order_whatever_others_do(serve, way):
    """What follows it waits as well, some hang up meanwhile, one says that it is done, and those who come later ask for much."""
    with crowd_for_large_values(serve, way, 40) as (server, other, crowd):
        for one in crowd[::4]:
            one.sendall(b"set own 0 0 1\r\n1\r\nget own large\r\nnonsense\r\nquit\r\n")
        for one in crowd[1::4]:
            one.shutdown(socket.SHUT_RDWR)
        server.resume()
        for number, one in enumerate(crowd):
            assert other.get("large") == b"x" * MIB
            with one.makefile("rb") as replies:
                assert number % 4 == 1 or replies.read(len(LARGE)) == LARGE
                assert number % 4 != 0 or replies.read() == b"STORED\r\nVALUE own 0 1\r\n1\r\n" + LARGE + b"ERROR\r\n"
        eventually(lambda: stat(other, "slow_readers") == stat(other, "unsent_bytes") == 0)


@pytest.mark.parametrize("way", WAYS)
def test_who_had_to_be_waited_for_lets_others_go_before(serve, way):
    """No reply fits into the socket at once, so that the next request is served after others when it has gone."""
    server = serve(options=["-t", "1", "-m", "128", "-I", "16m", "--io", way])
    value = b"x" * (12 * MIB)
    with server.client(timeout=60) as client, server.client() as other:
        assert client.set("huge", value) == b"STORED"
        before = int(other.stats()["conn_yields"])
        client.send(b"get huge\r\n" * 4)
        for _ in range(4):
            assert client.values()[0][2] == value
        assert int(other.stats()["conn_yields"]) - before == 3


def await_standstill(client):
    """Nothing goes out any more but the answers to this question."""
    told = []

    def stands_still():
        told.append(int(client.stats()["bytes_written"]))
        return len(told) > 1 and told[-1] - told[-2] < 64 << 10

    eventually(stands_still, pause=0.2)


def ask_without_reading(server, stack, pipeline, count=SLOW):
    """So many connections, which send all of it unless they are held back."""
    clients = [stack.enter_context(server.client(timeout=60)) for _ in range(count)]
    for client in clients:
        threading.Thread(target=send_all, args=(client, pipeline), daemon=True).start()
    return clients


def end_all(clients):
    for client in clients:
        client.socket.shutdown(socket.SHUT_RDWR)  # whose sender may wait
        client.close()


@pytest.mark.parametrize("name, size", [("kilo", 1000), ("medium", 30000), ("large", 100000)])
def test_replies_that_nobody_reads_are_little_more_than_one(server, name, size):
    """It is told while it lasts; afterwards nothing of it is left, and who reads on is served."""
    with server.client() as other, contextlib.ExitStack() as stack:
        clients = ask_without_reading(server, stack, b"get %b\r\n" % name.encode() * (16 * MIB // size))
        eventually(lambda: stat(other, "slow_readers") == SLOW)
        await_standstill(other)
        assert 0 < stat(other, "unsent_bytes") <= SLOW * (2 * LOOK + size + 100)
        clients[0].file.read(12 * MIB)
        end_all(clients)
        eventually(lambda: stat(other, "slow_readers") == 0)
        assert stat(other, "unsent_bytes") == 0
        assert other.get(name) == b"x" * size


def test_the_more_is_left_unread_the_less_is_a_share(server):
    """Also for who reads: what a full share would hold is then served in parts. Large values are not copied, but count."""
    with server.client() as other, server.client() as reader, contextlib.ExitStack() as stack:
        assert other.set("huge", b"x" * (MIB - 1000)) == b"STORED"
        while (left := stat(other, "unsent_bytes")) < 6 * MIB:  # a share is a twelfth then
            for _ in range(8):
                one = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                one.sendall(b"get huge\r\n" * 40)
            eventually(lambda left=left: stat(other, "unsent_bytes") > left)
            await_standstill(other)
        before = int(other.stats()["conn_yields"])
        reader.send(b"get kilo\r\n" * 90)
        assert [reader.values()[0][2] for _ in range(90)] == [b"x" * 1000] * 90
        assert int(other.stats()["conn_yields"]) - before >= 5


def skip_under_a_sanitizer(server):
    with open(f"/proc/{server.pid}/maps", encoding="utf-8") as maps:
        if re.search("lib[at]san", maps.read()):
            pytest.skip("a sanitizer has memory of its own for what is asked for")


@pytest.mark.parametrize("way", WAYS)
def test_who_does_not_read_takes_little_memory(serve, way):
    """Neither for its replies nor for the requests that wait for them, the last of which are left to its socket. What the worker
    takes for its turns grows once, in one of these waves."""
    server = serve(options=["-t", "1", "-m", "64", "--io", way])
    skip_under_a_sanitizer(server)
    with server.client() as other, contextlib.ExitStack() as stack:
        assert other.set("kilo", b"x" * 1000) == b"STORED"

        def growth(count):
            before, there = server.resident(), stat(other, "slow_readers")
            for _ in range(count):
                one = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                one.sendall(b"get kilo\r\n" * 6000)
            eventually(lambda: stat(other, "slow_readers") == there + count)
            await_standstill(other)
            return server.resident() - before

        assert min(growth(MANY) for _ in range(3)) < MANY * (14 << 10)
        assert stat(other, "unsent_bytes") <= 3 * MANY * (2 * LOOK + 1000)
        assert stat(other, "aside_bytes") == 0
        assert other.get("kilo") == b"x" * 1000


@pytest.mark.parametrize("way", WAYS)
def test_who_can_read_no_more_is_closed_at_once(serve, tmp_path, way):
    """It has shut its Unix socket down both ways, with replies that it has not read, and keeps it open. Over TCP that looks like a
    client that has nothing more to ask and reads later."""
    path = str(tmp_path / "socket")
    server = serve(options=["-t", "1", "-l", f"unix:{path}", "--io", way])
    with server.client() as other, socket.socket(socket.AF_UNIX) as mute:
        assert other.set("kilo", b"x" * 1000) == b"STORED"
        mute.connect(path)
        mute.sendall(b"get kilo\r\n" * 1000)
        eventually(lambda: stat(other, "slow_readers") == 1)
        mute.shutdown(socket.SHUT_RDWR)
        eventually(lambda: stat(other, "slow_readers") == 0)
        assert stat(other, "unsent_bytes") == 0
        assert int(other.stats()["curr_connections"]) == 1


@pytest.mark.parametrize("way", WAYS)
def test_memory_of_replies_that_nobody_reads_is_bounded(serve, way):
    server = serve(options=["-t", "1", "-m", "64", "--io", way], env=GIVES_BACK)
    with server.client() as other, contextlib.ExitStack() as stack:
        assert other.set("medium", b"x" * 30000) == b"STORED"
        before = server.resident()
        ask_without_reading(server, stack, b"get medium\r\n" * 700, 40)
        eventually(lambda: stat(other, "slow_readers") == 40)
        await_standstill(other)
        assert server.resident() - before < 40 * 2 * SHARE + 16 * MIB


@pytest.mark.parametrize("way", WAYS)
def test_values_that_nobody_reads_are_few_and_can_be_replaced(serve, way):
    """A reply holds the value that it shows, whatever becomes of the key: memory would be full of what clients do not read."""
    server = serve(options=["-t", "1", "-m", "64", "--io", way])
    value = b"x" * MIB
    with server.client() as other, contextlib.ExitStack() as stack:
        keys = [f"large{number}" for number in range(20)]
        for key in keys:
            assert other.set(key, value[:-1000]) == b"STORED"
        ask_without_reading(server, stack, ("get " + " ".join(keys) + "\r\n").encode())
        eventually(lambda: stat(other, "slow_readers") == SLOW)
        await_standstill(other)
        assert stat(other, "unsent_bytes") <= SLOW * (MIB + SHARE)
        for key in keys:
            assert other.set(key, b"new") == b"STORED"
        assert [other.get(key) for key in keys] == [b"new"] * len(keys)
        assert stat(other, "unsent_bytes") <= SLOW * (MIB + SHARE)


@pytest.mark.parametrize("way", WAYS)
def test_a_line_that_waits_for_the_store_in_its_middle_is_whole(serve, way):
    """More keys than a turn looks at, of which some are in memory and the others are loaded."""
    keys = [b"key-%05d" % number for number in range(3000)]
    server = serve(Config(namespace("through", "", "write-through"), memory="64mb", threads=1, io=way))
    with server.client() as client:
        assert set(client.set_many((key, b"v" * 300) for key in keys)) == {b"STORED"}
    server.stop()
    server.start()
    with server.client() as client:
        for key in keys[::7]:
            assert client.get(key.decode()) == b"v" * 300
        client.send((b"get " + b" ".join(keys) + b" none\r\n") * 2 + b"version\r\n")
        for _ in range(2):
            assert [key for key, *_ in client.values()] == keys
        assert client.line().startswith(b"VERSION")
