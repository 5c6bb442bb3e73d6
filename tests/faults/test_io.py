# SPDX-License-Identifier: MIT
"""How workers talk with the kernel: which way is taken and why, and io_uring where the kernel gives less than was asked for."""

import contextlib
import os
import random
import re
import select
import subprocess
import sys

import pytest
from forebay import (Background, Client, Config, Server, eventually, locked, namespace, preloaded, share,
                     small_pages, sqlite_backend)

REFUSAL = "io_uring is not allowed here (a container's seccomp filter, or the sysctl kernel.io_uring_disabled): allow it there"
MIB = 1 << 20
GREEDY = 160  # more connections than a ring has buffers
BUFFERS = 128 * 16384  # bytes of a ring's buffers
LONG_GETS = b"get " + b"k" * 240 + b"\r\n"


class Filtered(Server):
    """A server that may not use io_uring, or not all of it."""

    refused = "io_uring_setup"

    def command(self):
        wrapper = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support", "without_call.py")
        return ["/usr/bin/python3", "-B", wrapper, self.refused, *super().command()]


def way(server):
    with server.client() as client:
        return client.stats("forebay")["io"]


@pytest.fixture
def serve_ring(serve):
    """serve, over io_uring."""
    def start(config=None, options=(), **more):
        server = serve(config, [*options, "--io", "auto"], **more)
        if way(server) != "io_uring":
            pytest.skip("no io_uring here: " + server.log())
        return server
    return start


# ---- Which one ----


def test_epoll_is_taken_where_it_is_asked_for(serve):
    server = serve(options=["--io", "epoll"])
    assert way(server) == "epoll"
    assert "io_uring" not in server.log()
    configured = serve(config=Config(io="epoll"))
    assert way(configured) == "epoll"


@pytest.mark.parametrize("refused", ["io_uring_setup", "io_uring_register", "io_uring_enter"])
def test_a_filter_that_refuses_io_uring_is_told_and_served_with(tmp_path, refused):
    filtered = Filtered(tmp_path, options=["--io", "auto"])
    filtered.refused = refused
    with filtered as server:
        assert way(server) == "epoll"
        assert server.log().count(REFUSAL) == 1
        with server.client() as client:
            assert client.set("k", b"v") == b"STORED"
            assert client.get("k") == b"v"


def test_io_uring_that_is_asked_for_and_refused_ends_the_start(tmp_path):
    with Filtered(tmp_path, options=["--io", "io_uring"]).spawn() as server:
        assert server.process.wait(30) == 1
        assert f"cannot start: {REFUSAL}; or give --io auto (io), which takes epoll then" in server.log()


@pytest.mark.parametrize("io, status, said", [("io_uring", 1, f"{REFUSAL}; or give --io auto (io), which takes epoll then"),
                                              ("auto", 0, f"epoll is used: {REFUSAL}. Or give --io epoll (io)")])
def test_a_check_says_of_io_uring_what_a_start_does(tmp_path, io, status, said):
    server = Filtered(tmp_path, Config(io=io))
    done = subprocess.run([*server.command(), "--check"], cwd=tmp_path, env=server.environment(), capture_output=True, text=True,
                          timeout=60, check=False)
    assert (done.returncode, said in done.stdout + done.stderr) == (status, True), done


def needs_ring_faults():
    library = preloaded("RING_FAULTS_LIBRARY")
    if not library:
        pytest.skip("RING_FAULTS_LIBRARY does not name the library built from tests/faults/ring_faults.c")
    return library


def descriptors(server):
    """What the process has open, and does not close meanwhile."""
    folder, found = f"/proc/{server.pid}/fd", []
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(os.path.join(folder, name)))
    return found


@pytest.mark.parametrize("which", [2, 4])
def test_a_ring_that_one_worker_lacks_makes_all_of_them_use_epoll(serve_ring, tmp_path, which):
    """The first is made to see whether there is io_uring at all, the others are the workers'."""
    serve_ring(options=["-t", "1"]).stop()
    refused = {"LD_PRELOAD": needs_ring_faults(), "RING_REFUSED": str(which)}
    with Server(tmp_path / "auto", options=["-t", "3", "--io", "auto"], env=refused) as server:
        assert way(server) == "epoll"
        assert server.log().count("epoll is used: io_uring gets no memory: raise the limit of locked memory") == 1
        assert not [name for name in descriptors(server) if "uring" in name]
        for client in [server.client() for _ in range(6)]:  # two for each worker
            assert client.set("k", b"v") == b"STORED"
    asked = Server(tmp_path / "asked", options=["-t", "3", "--io", "io_uring"], env=refused)
    assert "cannot start: io_uring gets no memory" in asked.refuses()


def test_a_descriptor_that_a_worker_lacks_is_not_taken_for_a_want_of_io_uring(serve_ring, tmp_path):
    """Of eventfds, as libev makes some before the workers do: of the first that are refused, two are the workers'."""
    serve_ring(options=["-t", "1"]).stop()
    said = []
    for number in range(1, 5):
        refused = {"LD_PRELOAD": needs_ring_faults(), "EVENTFD_REFUSED": str(number)}
        with Server(tmp_path / str(number), options=["-t", "2", "--io", "auto"], env=refused).spawn() as server:
            eventually(lambda server=server: not server.running() or server.answers())
            said.append(server.log())
            server.kill()
    assert sum("cannot start: no descriptors for the workers: raise the limit of open files" in log for log in said) == 2
    assert not [log for log in said if "io_uring" in log]


# ---- Buffers that all share ----


def test_clients_that_send_on_while_they_wait_leave_the_buffers_to_others(serve_ring):
    """More of them than there are buffers, each with much to read that is not read: their replies are not read either."""
    server = serve_ring(options=["-t", "1", "-m", "256"])
    value = b"x" * 200000
    with server.client() as client:
        assert client.set("big", value) == b"STORED"
        greedy = [server.client() for _ in range(GREEDY)]
        for one in greedy:
            one.send(b"get big\r\n" * 50)
        for one in greedy:  # by now none of them is read
            one.socket.setblocking(False)
            try:
                one.socket.send(b"get none\r\n" * 5000)
            except BlockingIOError:
                pass
        for i in range(200):
            assert client.set(f"k{i}", b"%d" % i) == b"STORED"
            assert client.get(f"k{i}") == b"%d" % i
        for one in greedy[:20]:
            one.socket.setblocking(True)
            one.socket.settimeout(60)
            for _ in range(50):
                assert one.values()[0][2] == value


def send_what_goes(client, data):
    """Without waiting; how much of it went."""
    sent = 0
    client.socket.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while sent < len(data):
            sent += client.socket.send(data[sent:])
    client.socket.setblocking(True)
    client.socket.settimeout(60)
    return sent


def ask_without_reading(other, client):
    """One reply at a time, so that no request waits, until the socket takes no more. How many there are."""
    slow, asked = other.stats("forebay")["slow_readers"], 0
    while other.stats("forebay")["slow_readers"] == slow:
        done = int(other.stats()["cmd_get"])
        client.send(b"get big\r\n")
        eventually(lambda done=done: int(other.stats()["cmd_get"]) > done)
        asked += 1
    return asked


def ask_at_once(other, client):
    """For more replies than the socket takes: all but the first wait."""
    done = int(other.stats()["cmd_get"])
    client.send(b"get big\r\n" * 12)
    eventually(lambda: int(other.stats()["cmd_get"]) > done)
    return 12


def flood(server, clients, ask, gets):
    """Each asks for what it does not read, and sends on behind it. How many replies it has to read, and how much of the rest
    went, of each."""
    with server.client() as other:
        asked = [ask(other, client) for client in clients]
    server.pause()  # so that much has come when it looks
    sent = [send_what_goes(client, gets) for client in clients]
    server.resume()
    return list(zip(asked, sent))


def test_what_cannot_be_read_yet_takes_no_more_than_a_bound(serve_ring):
    """Each of many clients sends half a megabyte behind replies that it does not read. Together they may have a quarter of
    request_memory, and what the buffers hold besides; then their sockets hold them back, also of those that come later. Nothing
    of it is lost."""
    server = serve_ring(options=["-t", "1", "-m", "16"])  # so request_memory is 4 MiB
    gets = LONG_GETS * (500000 // len(LONG_GETS))
    with server.client() as other:
        big = b"x" * 1000000
        assert other.set("big", big) == b"STORED"
        greedy, sent, most = [], [], 0
        for ask in (ask_without_reading, ask_at_once):
            more = [server.client() for _ in range(40)]
            greedy += more
            sent += flood(server, more, ask, gets)
            for i in range(50):
                assert other.set(f"k{i}", b"%d" % i) == b"STORED"
                most = max(most, int(other.stats("forebay")["aside_bytes"]))
        assert sum(went for _, went in sent) > 2 * (MIB + BUFFERS)
        assert MIB < most <= MIB + BUFFERS
        assert int(other.stats("forebay")["aside_strains"]) >= 1
        for client, (asked, went) in list(zip(greedy, sent))[::20]:
            with Background(lambda _, client=client, went=went: client.send(gets[went:])):
                assert {client.values()[0][2] for _ in range(asked)} == {big}
                assert {client.line() for _ in range(len(gets) // len(LONG_GETS))} == {b"END"}
        for client in greedy:
            client.close()
        eventually(lambda: int(other.stats("forebay")["aside_bytes"]) == 0)
        with server.client() as late:
            assert late.get("k0") == b"0"


def test_each_worker_may_put_its_part_aside(serve_ring):
    """Of 8 MiB for unfinished requests two workers may put 1 MiB aside each, which is less than each is sent; 2 MiB would be more."""
    spaces = [namespace("through", "t:", "write-through"), namespace("aside", "", "cache-aside")]
    server = serve_ring(Config(*spaces, threads=2, use_threads="all", request_memory="8mb", backends=[sqlite_backend(timeout="60s")]))
    count, gets = 160, b"get none\r\n" * 1600
    assert 2 * MIB < count * len(gets) < 4 * MIB
    with server.client() as other, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.client(timeout=60)) for _ in range(count)]
        for client in clients:
            assert client.command("mn") == b"MN"
        with locked(server):
            for number, client in enumerate(clients):
                client.send(Client.storage("set", b"t:%d" % number, b"v"))
            eventually(lambda: int(other.stats("forebay")["parked"]) == count)
            for client in clients:
                client.send(gets)
            eventually(lambda: int(other.stats("forebay")["aside_strains"]) == 2)
        for client in clients:
            assert client.line() == b"STORED"
            assert client.read(1600 * 5) == b"END\r\n" * 1600


def unread(server, client):
    """Bytes of the client that wait in the server's socket."""
    ends = [server.port, client.socket.getsockname()[1]]
    for name in ("tcp", "tcp6"):
        with open(f"/proc/net/{name}", encoding="ascii") as table:
            for line in list(table)[1:]:
                fields = line.split()
                if [int(address.rsplit(":", 1)[1], 16) for address in fields[1:3]] == ends:
                    return int(fields[4].split(":")[1], 16)
    raise AssertionError("no such connection")


def send_on(server, other, greedy):
    """Each asks for many shares in a line, and one sends on behind it: how much of that waits in its socket, and whether it
    still waited for its share then. All is answered in its order."""
    answer = b"VALUE a 0 1\r\n0\r\n" * 8000 + b"END\r\n"
    behind, found = b"get none\r\n" * 3000, b""
    server.pause()  # so that all begin in one turn
    for client in greedy:
        client.send(b"get" + b" a" * 8000 + b"\r\n")
    sender = greedy[-1].socket
    while found.count(b"VALUE") <= 512:  # after its first share it waited behind others
        server.resume()
        found += sender.recv(1 << 20)
        server.pause()
    sender.sendall(behind)
    server.resume()
    assert other.get("a") == b"0"
    server.pause()
    kept = unread(server, greedy[-1])
    if select.select([sender], [], [], 0)[0]:
        found += sender.recv(1 << 20)
    server.resume()
    waited = len(found) < len(answer)
    while not found.endswith(b"END\r\n" * 3000):
        found += sender.recv(1 << 20)
    assert found == answer + b"END\r\n" * 3000
    for client in greedy[:-1]:
        assert client.read(len(answer)) == answer
    return kept == len(behind), waited


def test_who_waits_for_its_share_is_not_received_from(serve_ring):
    """Its socket holds it back meanwhile: so the buffers are there for others."""
    server = serve_ring(options=["-t", "1"])
    with server.client() as other, contextlib.ExitStack() as stack:
        assert other.set("a", b"0") == b"STORED"
        greedy = [stack.enter_context(server.client(timeout=60)) for _ in range(100)]
        for _ in range(30):  # on a busy machine it may have had all its shares before it was looked
            kept, waited = send_on(server, other, greedy)
            if waited:
                break
        assert waited and kept


@pytest.mark.parametrize("first, answers, ahead", [(Client.storage("set", b"long", b"x" * 100000), [b"STORED"], True),
                                                   (Client.storage("set", b"long", b"x" * 20000), [b"STORED"], True),
                                                   (b"get none\r\n" * 2000, [b"END"] * 2000, False)],
                         ids=["long value", "value", "pipeline"])
def test_only_who_begins_with_much_at_once_is_received_from_one_by_one(serve_ring, first, answers, ahead):
    """A long value is one request. What a client sends while it waits for the store is received ahead, or left to its socket."""
    spaces = [namespace("through", "t:", "write-through"), namespace("aside", "", "cache-aside")]
    server = serve_ring(Config(*spaces, threads=1, backends=[sqlite_backend(timeout="60s")]))
    with server.client() as client, server.client() as other:
        client.send(first)
        assert [client.line() for _ in answers] == answers
        parked = int(other.stats("forebay")["parked"])
        with locked(server):
            client.send(Client.storage("set", b"t:k", b"v"))
            eventually(lambda: int(other.stats("forebay")["parked"]) > parked)
            client.send(b"get none\r\n")
            assert other.get("none") is None
            if ahead:
                eventually(lambda: unread(server, client) == 0)
            assert unread(server, client) == (0 if ahead else len(b"get none\r\n"))
        assert [client.line() for _ in range(2)] == [b"STORED", b"END"]


def test_more_connections_than_buffers_are_served_at_once(serve_ring):
    server = serve_ring(options=["-t", "1"])
    clients = [server.client() for _ in range(3 * GREEDY)]
    for turn in range(3):
        for i, client in enumerate(clients):
            client.send(b"set k%d 0 0 5\r\n%05d\r\nget k%d\r\n" % (i, i + turn, i))
        for i, client in enumerate(clients):
            assert client.line() == b"STORED"
            assert client.values()[0][2] == b"%05d" % (i + turn)


def come_and_go(end, server):
    with contextlib.suppress(OSError):  # until it stops
        while not end.is_set():
            with server.client() as staying:
                for i in range(3):
                    staying.send(b"get k\r\n")
                    with server.client() as client:
                        assert client.set("k", b"%d" % i) == b"STORED"
                    staying.values()


def test_a_stop_is_heard_while_clients_come_and_go(serve_ring):
    """Whoever closes makes the worker look at what has come, also at what other threads want of it."""
    for _ in range(share(8)):
        server = serve_ring(options=["-t", "1"])
        with contextlib.ExitStack() as going:
            for _ in range(6):
                going.enter_context(Background(come_and_go, server))
            eventually(lambda server=server: int(server.client().stats()["total_connections"]) > 200)
            server.stop()


# ---- A kernel that gives less ----


def plan(chooser, name, known):
    """A pipeline of some sets and gets of this client's own keys, and what is to come back."""
    said, wanted = [], []
    for _ in range(chooser.randrange(1, 30)):
        key = f"{name}:{chooser.randrange(20)}"
        if chooser.random() < 0.5:
            size = chooser.choice([5, 3000, chooser.randrange(20000, 200000)])
            known[key] = b"%d" % chooser.randrange(10**6) + b"x" * size
            said.append(Client.storage("set", key, known[key]))
            wanted.append((b"STORED", None))
        else:
            said.append(f"get {key}\r\n".encode())
            wanted.append((key.encode(), known.get(key)))
    return b"".join(said), wanted


def leave_in_the_middle(server, chooser):
    """Ends a connection while the kernel has requests of it: the server does, or the client, with replies unread."""
    last = chooser.choice([b"quit\r\n", b"set k 0 0 100000\r\n" + b"x" * 50000, b"x" * 3000, b""])
    with contextlib.suppress(OSError), server.client() as client:
        client.send(b"get none\r\n" * chooser.randrange(1, 50) + last)
        if last == b"quit\r\n":
            client.file.read()


def converse(server, seed, rounds):
    chooser, known = random.Random(seed), {}
    client = server.client(timeout=60)
    for _ in range(rounds):
        if chooser.random() < 0.2:
            leave_in_the_middle(server, chooser)
        said, wanted = plan(chooser, f"sess:{seed}", known)
        with Background(lambda _, said=said: client.send(said)):
            for key, value in wanted:
                if key == b"STORED":
                    assert client.line() == b"STORED"
                else:
                    assert [found[0::2][:2] for found in client.values()] == ([(key, value)] if value is not None else [])
        if chooser.random() < 0.1:
            client.close()
            client = server.client(timeout=60)
    client.close()


def test_who_leaves_in_the_middle_disturbs_nobody(serve_ring):
    """The kernel has requests of the connections that end, and gives their numbers to those that come."""
    server, chooser = serve_ring(options=["-t", "1"]), random.Random(1)
    with server.client() as staying:
        assert staying.set("k", b"v") == b"STORED"
        for _ in range(200):
            leave_in_the_middle(server, chooser)
            with server.client() as coming:
                assert coming.get("k") == b"v"
            assert staying.get("k") == b"v"
        eventually(lambda: int(staying.stats()["curr_connections"]) == 1)


@pytest.mark.parametrize("seed", [1, 2])
def test_no_reply_is_lost_doubled_or_sent_to_another(serve_ring, seed):
    library = needs_ring_faults()
    config = Config(namespace("sessions", "sess:", "write-behind", flush_delay="20ms"), threads=2, memory="256mb")
    server = serve_ring(config, env={"LD_PRELOAD": library, "RING_FAULTS": "4", "RING_SEED": str(seed)})
    print("seed", seed, file=sys.stderr)
    with contextlib.ExitStack() as clients:
        for number in range(6):
            clients.enter_context(Background(lambda _, number=number: converse(server, seed * 100 + number, share(40))))
    with server.client() as client:
        eventually(lambda: int(client.stats()["curr_connections"]) == 1)


def test_who_has_waited_once_takes_no_more_than_who_has_not(serve):
    """What a request waits with is given back when it is answered."""
    spaces = [namespace("through", "t:", "write-through"), namespace("aside", "", "cache-aside")]
    with small_pages():
        server = serve(Config(*spaces, threads=1), options=["-c", "3000"])
    clients = 400
    with open(f"/proc/{server.pid}/maps", encoding="utf-8") as maps:
        if re.search("lib[at]san", maps.read()):
            pytest.skip("a sanitizer has memory of its own for what is asked for")
    with contextlib.ExitStack() as stack:
        def growth(key, count):
            before = server.resident()
            for _ in range(count):
                assert stack.enter_context(server.client()).set(key, b"v") == b"STORED"
            return server.resident() - before

        growth("t:k", 100)
        assert growth("t:k", clients) - growth("k", clients) < 1000 * clients


def send_all_there_is_room_for(client, request):
    client.socket.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            client.socket.send(request * 500)


def test_clients_beyond_the_buffers_do_not_keep_another_from_one(serve_ring):
    """How many requests of theirs come before its own, wherever it is among them: they take three buffers at a time, and the rest of
    them waits."""
    server = serve_ring(options=["-t", "1"])
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.client()) for _ in range(2 * GREEDY)]
        patient = clients[GREEDY // 4::GREEDY // 2]
        greedy = [client for client in clients if client not in patient]
        for client in clients:  # nothing of theirs is small any more (CONNECTION_LITTLE)
            assert client.command("mn") == b"MN"
        server.pause()
        for client in clients:
            if client in patient:
                client.send(b"stats\r\n")
            else:
                send_all_there_is_room_for(client, LONG_GETS)
        server.resume()
        whole = len(greedy) * (1 << 20) // len(LONG_GETS)
        for client in patient:
            told = dict(line.split()[1:3] for line in iter(client.line, b"END"))
            assert int(told[b"cmd_get"]) < whole // 4
