# SPDX-License-Identifier: MIT
"""What tools/bench/overload puts on a server: clients that ask for much, read little or nothing, or are many. Each runs in a process
of its own until it is told to end, and says what it does in its first line."""

import contextlib
import resource
import select
import socket

KILO, LARGE, KEYS = 1000, 1 << 20, 100000
STORED = {"kilo": KILO, "large": LARGE - 1000, "crowd": 100}  # what every server has before
MANY_KEYS = b"get " + b" ".join(b"key-%06d" % number for number in range(KEYS)) + b"\r\n"
GETS = b"get kilo\r\n" * 8000
# So long that a read of 16 KiB brings fewer of them than a turn takes keys of one connection.
ABSENT = b"".join(b"get %b\r\n" % (b"n" * (size - 6)) for size in range(33, 101)) * 100


class Sockets:
    """Connections that send what they are given as far as it goes, and read if they are told to."""

    def __init__(self, port):
        self.port, self.all = port, []
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

    def open(self, count):
        for _ in range(count):
            one = socket.create_connection(("127.0.0.1", self.port), 30)
            one.setblocking(False)
            self.all.append(one)
        return self.all

    def close(self):
        for one in self.all:
            one.close()


def send_some(one, data):
    """How much of it went."""
    try:
        return one.send(data)
    except OSError:  # full, or ended by the server
        return 0


def push(sockets, data, end, pause=0.05):
    """Each sends all of it, once, as far as the server takes it."""
    sent = [0] * len(sockets)
    while not end.wait(pause):
        for number, one in enumerate(sockets):
            if sent[number] < len(data):
                sent[number] += send_some(one, data[sent[number]:])


def read_all(one):
    """Bytes that are there; -1: the server has ended the connection."""
    got = 0
    with contextlib.suppress(OSError):
        while (piece := one.recv(1 << 20)):
            got += len(piece)
        return -1
    return got


def push_and_read(sockets, data, end):
    """Each sends it again and again, and reads all that comes."""
    view, sent, poll = memoryview(data), dict.fromkeys(sockets, 0), select.epoll()
    of = {one.fileno(): one for one in sockets}
    for one in sockets:
        poll.register(one, select.EPOLLIN | select.EPOLLOUT)
    while not end.is_set():
        for number, events in poll.poll(0.1):
            one = of[number]
            if events & select.EPOLLIN and read_all(one) < 0:
                poll.unregister(one)
            elif events & select.EPOLLOUT:
                sent[one] = (sent[one] + send_some(one, view[sent[one]:])) % len(data)


# ---- The scenarios ----


def idle(sockets, end):
    """10,000 connections that say nothing"""
    sockets.open(10000)
    end.wait()


def unread(sockets, end):
    """500 that each ask for 8 MB of values of 1 kB, in one pipeline, and read nothing"""
    push(sockets.open(500), GETS, end)


def unread_large(sockets, end):
    """500 that each ask for 20 values of 1 MiB, and read nothing"""
    push(sockets.open(500), b"get large\r\n" * 20, end)


def slow_readers(sockets, end):
    """500 that read 4 kB of their values of 1 MiB twenty times a second"""
    clients = sockets.open(500)
    for one in clients:
        send_some(one, b"get large\r\n" * 20)
    while not end.wait(0.05):
        for one in clients:
            with contextlib.suppress(OSError):
                one.recv(4096)


def slow_writers(sockets, end):
    """500 that each write a value of 1 MB, 100 bytes twenty times a second"""
    clients = sockets.open(500)
    for number, one in enumerate(clients):
        send_some(one, b"set slow%d 0 0 1000000\r\n" % number)
    while not end.wait(0.05):
        for one in clients:
            send_some(one, b"x" * 100)


def flood(sockets, end):
    """connections that come, ask and go as fast as they can, 300 at a time where 200 may be open"""
    while not end.is_set():
        with contextlib.suppress(OSError):
            for one in sockets.open(300 - len(sockets.all)):
                send_some(one, b"get kilo\r\n")
        end.wait(0.01)
        sockets.close()
        sockets.all.clear()


def keys(sockets, end):
    """4 that ask for 100,000 keys in a line, again and again, and read"""
    push_and_read(sockets.open(4), MANY_KEYS, end)


def greedy(sockets, end):
    """one whose pipeline of gets of 1 kB never ends, and which reads"""
    push_and_read(sockets.open(1), GETS, end)


def greedy_many(sockets, end):
    """100 such"""
    push_and_read(sockets.open(100), GETS, end)


def flood_gets(sockets, end):
    """200 whose pipelines of gets of 33 to 100 bytes, which find nothing, never end, and which read"""
    push_and_read(sockets.open(200), ABSENT, end)


# name: (function, connections that the server may have)
BURDENS = {"idle": (idle, 11000), "unread": (unread, 1024), "unread-large": (unread_large, 1024), "slow-readers": (slow_readers, 1024),
           "slow-writers": (slow_writers, 1024), "flood": (flood, 200), "keys": (keys, 1024), "greedy": (greedy, 1024),
           "greedy-100": (greedy_many, 1024), "flood-gets": (flood_gets, 1024)}


def run(name, port, end):
    """In a process of its own, until the event is set."""
    sockets = Sockets(port)
    try:
        BURDENS[name][0](sockets, end)
    finally:
        sockets.close()
