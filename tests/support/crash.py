# SPDX-License-Identifier: MIT
"""Rounds of load and kill -9, and the model that says what may be found afterwards.

Each key belongs to one client, so its history is a line. The model keeps, for each key, the set of states it may be in:

    acknowledged   the set becomes what the change makes of it; a reply that no state explains is a violation
    unanswered     (sent, and the server died) both: what it was and what the change makes of it, in order
    refused        (SERVER_ERROR) both as well, where the caller allows refusals; else a violation

After a restart the key is read. A value that is not in the set is a lost or an undone change; what was read is then the
only state: from then on nobody may see an older one. Afterwards `sync`, and the rows of the store must say the same, key for
key.

Expiries are absolute seconds far ahead, so that they can be compared exactly; -1 (expired at once) stands for the rest.
"""

import contextlib
import os
import random
import shutil
import threading
import time
import uuid

from forebay import Client, Config, Redis, Server, namespace, section

FAR = int(time.time()) // 1000 * 1000 + 60 * 86400
JOURNALED = ("os", "interval", "always")


class Violation(AssertionError):
    """A promise was broken."""


def change(state, operation):
    """What an operation makes of a state (None, or (value, flags, expires_at)), and the reply to it."""
    verb, argument = operation
    if verb == "set":
        return (None if argument[2] == -1 else argument), b"STORED"
    if verb == "delete":
        return None, b"NOT_FOUND" if state is None else b"DELETED"
    if verb == "add":
        return (argument, b"STORED") if state is None else (state, b"NOT_STORED")
    if state is None:
        return None, b"NOT_STORED" if verb in ("replace", "append") else b"NOT_FOUND"
    value, flags, expires_at = state
    if verb == "replace":
        return argument, b"STORED"
    if verb == "append":
        return (value + argument, flags, expires_at), b"STORED"
    if verb == "touch":
        return (None if argument == -1 else (value, flags, argument)), b"TOUCHED"
    if verb == "incr":
        number = b"%d" % (int(value) + argument)
        return (number, flags, expires_at), number
    raise ValueError(verb)


def request(key, operation):
    """The bytes that ask for it."""
    verb, argument = operation
    if verb in ("set", "add", "replace"):
        value, flags, expires_at = argument
        return Client.storage(verb, key, value, flags=flags, ttl=expires_at)
    if verb == "append":
        return Client.storage(verb, key, argument)
    if verb == "delete":
        return b"delete %s\r\n" % key
    return b"%s %s %d\r\n" % (verb.encode(), key, argument)


class Key:
    """One key's possible states and, for the report of a violation, its last operations."""

    def __init__(self, name, counter):
        self.name = name
        self.counter = counter
        self.states = [None]
        self.history = []
        self.token = None  # of the last gets; None when something may have changed since

    def note(self, text):
        self.history = self.history[-11:] + [text]

    def violated(self, what):
        history = "\n    ".join(self.history)
        allowed = "\n    ".join(str(state)[:160] for state in self.states)
        return Violation(f"{self.name}: {what}\n  allowed:\n    {allowed}\n  history:\n    {history}")

    def acknowledged(self, operation, reply):
        self.note(f"{str(operation)[:100]} -> {reply[:60]}")
        outcomes = [change(state, operation) for state in self.states]
        fitting = [state for state, answer in outcomes if answer == reply]
        if not fitting:
            raise self.violated(f"{str(operation)[:100]} was answered with {reply}")
        self.states = list(dict.fromkeys(fitting))
        self.token = None

    def unanswered(self, operation):
        self.note(f"{str(operation)[:100]} -> no answer")
        after = [change(state, operation)[0] for state in self.states]
        self.states = self.states + [state for state in after if state not in self.states]
        self.token = None

    def observed(self, state, where):
        self.note(f"{where}: {str(state)[:100]}")
        if state not in self.states:
            raise self.violated(f"found {str(state)[:160]} {where}")
        self.states = [state]


class Owner:
    """A client with its own keys: sends random operations on them until the server is gone."""

    def __init__(self, number, prefixes, keys, seed, refusals=False):
        self.random = random.Random(f"{seed}-{number}")
        self.refusals = refusals
        self.refused = self.answered = 0
        self.error = None
        self.sequence = 0
        names = [f"{prefix}{number}-{i}".encode() for prefix in prefixes for i in range(keys)]
        self.keys = [Key(name, counter=i % 4 == 3) for i, name in enumerate(names)]

    def value(self, key):
        self.sequence += 1
        if key.counter:
            return b"%d" % self.random.randrange(10**6)
        size = self.random.choice((0, 10, 100, 100, 1000, 20000))
        return b"%s.%d." % (key.name, self.sequence) + b"x" * size

    def entry(self, key):
        expires_at = self.random.choice((0, 0, FAR + self.random.randrange(10000), -1))
        return self.value(key), self.random.randrange(100), expires_at

    def operation(self, key):
        verbs = ("set", "set", "delete", "touch", "add", "replace") + (("incr",) * 6 if key.counter else ("append",))
        verb = self.random.choice(verbs)
        if verb in ("set", "add", "replace"):
            entry = self.entry(key)
            if verb != "set" and entry[2] == -1:
                entry = entry[:2] + (0,)
            return verb, entry
        if verb == "append":
            self.sequence += 1
            return verb, b"+%d" % self.sequence
        if verb == "touch":
            return verb, self.random.choice((FAR, FAR + 5000, FAR + self.random.randrange(10000), -1))
        return verb, self.random.randrange(1, 1000) if verb == "incr" else None

    def answer(self, key, operation, reply):
        if reply.startswith(b"SERVER_ERROR"):
            if not self.refusals:
                raise key.violated(f"{str(operation)[:100]} was refused: {reply}")
            self.refused += 1
            key.unanswered(operation)
            return
        self.answered += 1
        key.acknowledged(operation, reply)

    def batch(self, client):
        """One pipeline of up to 20 operations."""
        todo = [(key, self.operation(key)) for key in self.random.choices(self.keys, k=self.random.choice((1, 1, 3, 20)))]
        done = 0
        try:
            client.send(b"".join(request(key.name, operation) for key, operation in todo))
            for key, operation in todo:
                reply = client.line()
                done += 1  # from here on it is answered, whatever the model says of the answer
                self.answer(key, operation, reply)
        except OSError:
            for key, operation in todo[done:]:
                key.unanswered(operation)
            raise

    def read_one(self, client):
        """Reads between the writes must fit as well."""
        key = self.random.choice(self.keys)
        kind, value = client.ask(key.name)
        if kind == "error":
            if not self.refusals:
                raise key.violated(f"get was refused: {value}")
            return
        fitting = [state for state in key.states if (state[0] if state else None) == value]
        if not fitting:
            raise key.violated(f"get found {value and value[:160]}")
        key.states = fitting

    def run(self, port, end):
        """Until end is set or the connection breaks."""
        try:
            with Client(port) as client:
                while not end.is_set():
                    self.batch(client)
                    if self.random.random() < 0.2:
                        self.read_one(client)
        except OSError:  # the server is gone; Closed is one as well
            pass
        except Exception as error:  # handed to the main thread
            self.error = error

    def check(self, client, where):
        """Reads every key; what is found must be allowed, and stays."""
        for start in range(0, len(self.keys), 50):
            some = self.keys[start:start + 50]
            client.send(b"gets " + b" ".join(key.name for key in some) + b"\r\n")
            found = client.values()
            if isinstance(found, bytes):
                raise Violation(f"gets {where} was answered with {found}")
            by_name = {name: (value, flags, token) for name, flags, value, token in found}
            for key in some:
                self.check_key(key, by_name.get(key.name), where)

    @staticmethod
    def check_key(key, found, where):
        shown = found and found[:2]
        fitting = [state for state in key.states if (state and state[:2]) == shown]
        key.note(f"{where}: {str(shown)[:100]}")
        if not fitting:
            raise key.violated(f"found {str(shown)[:160]} {where}")
        key.states = fitting  # its expiry is known when the store has been looked at
        if found and key.token not in (None, found[2]):
            raise key.violated(f"its CAS value went from {key.token} to {found[2]} {where}")
        key.token = found[2] if found and len(fitting) == 1 else None

    def check_store(self, rows, where):
        for key in self.keys:
            row = rows.pop(key.name, None)
            state = row and (row.value, row.flags, row.expires_at)
            if state is not None and 0 < state[2] < time.time():
                state = None  # past its expiry, and not yet purged
            key.observed(state, where)


class SqliteStore:
    """What Rounds needs of a store: its configuration, and its rows."""

    def __init__(self, folder):
        self.folder = folder

    def backend(self):
        return section("backend", "local", uri="sqlite:store.db")

    def rows(self, server, table):
        return server.rows(table)

    def stop(self):
        pass

    def checkpoint_began(self, last):
        """A number that changes when SQLite writes into the database file itself, which it does at checkpoints only."""
        with contextlib.suppress(FileNotFoundError):
            return os.stat(os.path.join(self.folder, "store.db")).st_mtime_ns
        return last


class RedisStore:
    """The same on a Redis of its own."""

    def __init__(self, folder):
        self.server = Redis(os.path.join(folder, "redis")).start()

    def backend(self):
        return section("backend", "local", uri=self.server.uri)

    def rows(self, _, table):
        return self.server.rows(f"{table}:")

    def stop(self):
        self.server.stop()

    def checkpoint_began(self, last):
        """Redis has none for us; the moment that takes its place is a batch on its way, a script call per 16 changes."""
        return self.server.connect().info("commandstats").get("cmdstat_evalsha", {}).get("calls", last)


STORES = {"sqlite": SqliteStore, "redis": RedisStore}


class Power:
    """Cuts the power: the server runs with tests/faults/power_loss.c preloaded, which keeps a copy of what was synced, and
    after a kill -9 its folder is replaced by that copy."""

    def __init__(self, library, folder):
        self.library = library
        self.folder = str(folder)
        self.disk = self.folder + ".disk"
        self.boot = self.folder + ".boot"
        self.reboot()

    def environment(self):
        return {"LD_PRELOAD": self.library, "POWER_FOLDER": self.folder, "POWER_DISK": self.disk, "POWER_BOOT": self.boot}

    def reboot(self):
        with open(self.boot, "w", encoding="ascii") as file:
            file.write(str(uuid.uuid4()) + "\n")

    def cut(self):
        shutil.rmtree(self.folder)
        shutil.copytree(self.disk, self.folder)
        self.reboot()


class Rounds:
    """A server, its store and its clients, killed again and again."""

    def __init__(self, folder, seed, store="sqlite", clients=4, keys=40, modes=JOURNALED, through=True, memory="16mb",
                 power_library=None):
        self.random = random.Random(seed)
        self.folder = os.path.join(folder, "data")
        os.makedirs(self.folder, exist_ok=True)
        self.power = Power(power_library, self.folder) if power_library else None
        self.store = STORES[store](self.folder)
        self.spaces = list(modes) + (["through"] if through else [])
        self.owners = [Owner(i, [space + ":" for space in self.spaces], keys, seed) for i in range(clients)]
        self.memory = memory
        self.server = Server(self.folder, config=self.config(), env=self.power.environment() if self.power else None)
        self.server.log_path = os.path.join(folder, "log")
        self.answered = self.kills = 0

    def config(self):
        spaces = [namespace(space, space + ":", "write-through") if space == "through" else
                  namespace(space, space + ":", "write-behind", journal=space, flush_delay=f"{self.random.choice((20, 200, 1000))}ms",
                            flush_batch=self.random.choice((10, 1000)))
                  for space in self.spaces]
        # small files, so that they are recycled while it runs
        small = {"journal_file_size": "1mb" if self.power else "4mb"}
        return Config(*spaces, backends=[self.store.backend()], memory=self.memory, threads=self.random.randint(1, 4), **small)

    def load(self, moment):
        """Runs all clients until moment() returns, then kills the server."""
        end = threading.Event()
        threads = [threading.Thread(target=owner.run, args=(self.server.port, end), daemon=True) for owner in self.owners]
        for thread in threads:
            thread.start()
        moment()
        self.server.check_alive()
        self.kill()
        end.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "a client hangs although the server is gone"
        for owner in self.owners:
            if owner.error:
                raise owner.error
        self.answered = sum(owner.answered for owner in self.owners)

    def kill(self):
        self.server.kill()
        self.kills += 1
        if self.power:
            self.power.cut()

    def some_time(self):
        time.sleep(self.random.uniform(0.02, 0.6))

    def until_checkpoint(self):
        """Until the database file itself is written, and a moment more."""
        last = self.store.checkpoint_began(0)
        end = time.monotonic() + 3
        while self.store.checkpoint_began(last) == last and time.monotonic() < end:
            time.sleep(0.0005)
        time.sleep(self.random.uniform(0, 0.003))

    def kill_recoveries(self):
        """Starts that do not live to serve their first client."""
        for _ in range(self.random.randint(1, 3)):
            self.server.spawn()
            time.sleep(self.random.uniform(0, 0.05))
            self.kill()

    def check(self, where):
        with self.server.client() as client:
            for owner in self.owners:
                owner.check(client, where)
            client.sync()
            rows = {}
            for space in self.spaces:
                rows.update(self.store.rows(self.server, space))
            for owner in self.owners:
                owner.check_store(rows, f"in the store {where}")
            now = time.time()
            left = [name for name, row in rows.items() if not 0 < row.expires_at < now]
            if left:
                raise Violation(f"rows of nobody {where}: {left[:10]}")

    def round(self, number):
        kind = self.random.choice(("any", "any", "checkpoint", "recovery"))
        self.load(self.until_checkpoint if kind == "checkpoint" else self.some_time)
        if kind == "recovery":
            self.kill_recoveries()
        self.server.config = self.config()
        self.server.start()
        self.check(f"after round {number} ({kind})")

    def run(self, rounds, told=lambda number: None):
        self.server.start()
        for number in range(1, rounds + 1):
            self.round(number)
            told(number)
        self.server.stop()
        self.server.start()
        self.check("after the last, clean restart")
        self.server.stop()

    def close(self):
        if self.server.running():
            self.server.kill()
        self.store.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
