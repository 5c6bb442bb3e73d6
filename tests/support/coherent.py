# SPDX-License-Identifier: MIT
"""Servers over a store whose changes they hear (`coherent`), and what they may show of it."""

import random
import threading
import time

from forebay import THERE, Config, eventually, namespace, section

LIMIT = 1  # seconds: coherence_limit as it is by default
SLACK = 5  # seconds that a busy machine may stall a server


def backend(uri, timeout=THERE, **options):
    return section("backend", "local", uri=uri, timeout=timeout, coherent=True, **options)


SPACES = [namespace("sessions", "sess:", "write-behind", flush_delay="10ms"),
          namespace("through", "wt:", "write-through"),
          namespace("shared", "str:", "write-through", layout="string"),
          namespace("rows", "row:", "read-through", layout="string", negative_ttl="1h")]


def config(uri, *spaces, node=1, **options):
    return Config(*(spaces or SPACES), backends=[backend(uri, **options)], node=node)


def stats(server):
    return {name.split(":", 1)[1]: value for name, value in server.client().stats("backends").items()}


def believes(server):
    return stats(server)["coherent"] == "yes"


def expect(client, key, value):
    """Soon."""
    eventually(lambda: client.get(key) == value)


class Model:
    """What was acknowledged when, and what each server has shown: numbers that grow, one writer a key."""

    def __init__(self, prefix, keys):
        self.prefix = prefix
        self.written = [[(0.0, 0)] for _ in range(keys)]
        self.lock = threading.Lock()

    def count(self):
        with self.lock:
            return sum(map(len, self.written))

    def go_on(self, changes):
        enough = self.count() + changes
        eventually(lambda: self.count() >= enough)

    def newest_before(self, key, moment):
        with self.lock:
            return max((number for when, number in self.written[key] if when <= moment), default=0)

    def note(self, key, number):
        with self.lock:
            self.written[key].append((time.monotonic(), number))

    def write(self, end, servers, seed):
        """Through one server after the other, each key by one thread."""
        dice = random.Random(seed)
        clients = [server.client() for server in servers]
        number = 0
        while not end.is_set():
            number += 1
            key = dice.randrange(seed, len(self.written), 2)
            if dice.choice(clients).set(f"{self.prefix}{key}", b"%d" % number) == b"STORED":
                self.note(key, number)

    def write_all(self, server, number):
        """Each key, until it is acknowledged."""
        with server.client() as client:
            for key in range(len(self.written)):
                eventually(lambda key=key: client.set(f"{self.prefix}{key}", b"%d" % number) == b"STORED")
                self.note(key, number)

    def read(self, end, server):
        seen, client = [0] * len(self.written), server.client()
        dice = random.Random(server.port)
        while not end.is_set():
            key = dice.randrange(len(self.written))
            began = time.monotonic()
            kind, value = client.ask(f"{self.prefix}{key}")
            number = int(value) if kind == "hit" else 0
            if kind == "error":
                continue
            assert number >= seen[key], f"{number} after {seen[key]}"
            assert number >= self.newest_before(key, began - LIMIT - SLACK)
            seen[key] = number
