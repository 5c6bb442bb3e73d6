# SPDX-License-Identifier: MIT
"""The clients of fault_rounds.py: writers with keys of their own, several that change the same keys, and readers.

Each runs in a thread until it is told to stop, over all that happens to its server: it connects again where it was cut off.
"""

import random
import threading
import time

from crash import Owner, Violation
from fault_model import Blind, Chain, Counter, Lock, Log, OwnKey
from forebay import Client

PAUSE = 0.003  # between two requests: what has gone wrong shows at any rate, and others need the machine, too
LIMIT = 0.5  # seconds: coherence_limit
SLACK = 3  # that a busy machine may stall a server or a client


class Worker(threading.Thread):
    """What they have in common: a server to talk to, an end, an error."""

    def __init__(self, name):
        super().__init__(name=name, daemon=True)
        self.ending = threading.Event()
        self.error = None
        self.answered = 0
        self.server = None
        self.may_be_cut_off = False

    def run(self):
        try:
            while not self.ending.is_set():
                self.talk()
                self.ending.wait(10 * PAUSE)
        except Exception as error:  # handed to the main thread
            self.error = error

    def talk(self):
        """Over one connection."""
        try:
            with Client(self.server.port) as client:
                while not self.ending.wait(PAUSE):
                    self.step(client)
        except OSError as error:
            if not self.may_be_cut_off:
                raise Violation(f"{self.name} was cut off by a server that nobody has killed: {error}") from error

    def step(self, client):
        raise NotImplementedError

    def finish(self):
        self.ending.set()
        self.join(90)
        if self.is_alive():
            raise Violation(f"{self.name} waits for an answer that does not come")
        if self.error:
            raise self.error


class Writer(Owner):
    """An Owner whose keys are OwnKeys, and who sends cas as well."""

    sizes = (0, 10, 100, 1000)
    kind_of_key = OwnKey

    def __init__(self, number, spaces, keys, seed):
        super().__init__(number, spaces, keys, seed)
        self.number = number
        self.disk_is_full = False

    def rest(self):
        """Other keys are left alone than before: what is lost of them is not written over."""
        self.resting = set(self.random.sample(self.keys, len(self.keys) // 3))

    def may_refuse(self, key, what):
        """What needs the store; and whatever is new where it cannot be noted."""
        self.refused += 1

    def answer(self, key, operation, reply, began):
        if reply.startswith(b"SERVER_ERROR") and key.space == "behind" and operation[0] == "set" and not self.disk_is_full:
            raise key.violated(f"a set that can be held back was refused: {reply}")
        super().answer(key, operation, reply, began)

    def step(self, client):
        if self.random.random() < 0.15:
            self.exchange(client, self.random.choice(self.keys))
        else:
            self.batch(client)
        if self.random.random() < 0.3:
            self.read_one(client)

    def exchange(self, client, key):
        """A gets and a cas, in between which nobody can change the key, but for what arrives late."""
        token = self.read(client, key, "before a cas")
        if not token or key in self.resting or key.breadth() > 10:
            return
        operation, began = ("set", self.entry(key)), time.time()
        value, flags, expires_at = operation[1]
        try:
            reply = client.store("cas", key.name, value, flags=flags, ttl=expires_at, token=token)
        except OSError:
            key.unanswered(operation, began)
            raise
        if reply not in (b"EXISTS", b"NOT_FOUND"):
            super().answer(key, operation, reply, began)  # it may be refused: it may need the store
        elif not key.late and not key.loose:
            raise key.violated(f"cas with the token that was just given was answered with {reply}")


class Writing(Worker):
    """A writer at work."""

    def __init__(self, number, writer):
        super().__init__(f"writer {number}")
        self.writer = writer

    def step(self, client):
        self.writer.step(client)
        self.answered = self.writer.answered


class Sharer(Worker):
    """Changes keys that others change at the same time through other servers."""

    def __init__(self, number, keys, seed):
        super().__init__(f"sharer {number}")
        self.number, self.keys = number, keys
        self.random = random.Random(f"{seed}-sharer-{number}")
        self.count = 0
        self.holds = None

    def step(self, client):
        key = self.random.choice(self.keys)
        self.count += 1
        {Counter: self.count_up, Chain: self.exchange, Log: self.append, Blind: self.set, Lock: self.lock}[type(key)](client, key)

    def ask(self, client, key, request, what):
        """The answer; None: it is not known what became of it."""
        try:
            client.send(request)
            reply = client.line()
        except OSError:
            key.doubt(self.name, what, "no answer")
            raise
        if reply.startswith(b"SERVER_ERROR"):
            key.doubt(self.name, what, reply)
            return None
        self.answered += 1
        return reply

    def count_up(self, client, key):
        sent = time.monotonic()
        reply = self.ask(client, key, b"incr %s 1\r\n" % key.name, "incr")
        if reply is not None and reply.isdigit():
            key.give(self.name, int(reply), sent)
        elif reply is not None:
            key.require(False, f"incr by {self.name} was answered with {reply}")

    def exchange(self, client, key):
        client.send(b"gets " + key.name + b"\r\n")
        found = client.values()
        if isinstance(found, bytes) or not found:
            key.require(found, f"gets by {self.name} found nothing")
            return
        number, sent = key.number(found[0][2]) + 1, time.monotonic()
        value = b"%d.%d-%d" % (number, self.number, self.count)
        reply = self.ask(client, key, Client.storage("cas", key.name, value, token=found[0][3]), f"cas to {number}")
        if reply == b"STORED":
            key.give(self.name, number, sent)
        elif reply is not None:
            key.require(reply == b"EXISTS", f"cas by {self.name} was answered with {reply}")

    def append(self, client, key):
        word, sent = b"%d-%d" % (self.number, self.count), time.monotonic()
        reply = self.ask(client, key, Client.storage("append", key.name, b" " + word), f"append {word}")
        if reply == b"STORED":
            key.give(self.name, word, sent)
        elif reply is not None:
            key.require(False, f"append by {self.name} was answered with {reply}")

    def set(self, client, key):
        value, sent = b"%d-%d" % (self.number, self.count), time.monotonic()
        if self.ask(client, key, Client.storage("set", key.name, value), f"set {value}") is not None:
            key.give(self.name, value, sent)

    def lock(self, client, key):
        if self.holds:
            key, self.holds = self.holds, None
            key.leave(self.name)
            reply = self.ask(client, key, b"delete %s\r\n" % key.name, "delete")
            key.require(reply in (None, b"DELETED"), f"{self.name} had it, and its delete was answered with {reply}")
        elif self.ask(client, key, Client.storage("add", key.name, b"%d" % self.number), "add") == b"STORED":
            self.holds = key
            key.take(self.name)


class Reader(Worker):
    """Reads all keys at one server, also over its death: none may be older than it was. Where servers hear of each other's
    changes, nothing may be older than the limit."""

    def __init__(self, server, number, keys, coherent, seed):
        super().__init__(f"reader {number}")
        self.server, self.keys, self.coherent = server, keys, coherent
        self.random = random.Random(f"{seed}-reader-{number}")
        self.seen = {}  # key: (generation, number, value)

    def step(self, client):
        if not self.keys:
            self.answered += 1
            return
        key = self.random.choice(self.keys)
        generation, began = key.generation, time.monotonic()
        kind, value = client.ask(key.name)
        self.answered += kind != "error"
        number = key.number(value) if kind == "hit" else None
        if key.loose or key.generation != generation or number is None:
            return
        before = self.seen.get(key, (None, 0, None))
        if before[0] == generation and number < before[1]:
            raise key.violated(f"{self.name} was shown {value[:60]} after {before[2][:60]}")
        self.seen[key] = (generation, number, value)
        if self.coherent and key.space != "behind":
            newest = key.newest_before(began - LIMIT - SLACK)
            if number < newest:
                raise key.violated(f"{self.name} was shown {value[:60]}, and {newest} was acknowledged {LIMIT + SLACK} s before")
