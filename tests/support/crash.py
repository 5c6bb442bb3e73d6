# SPDX-License-Identifier: MIT
"""Rounds of load and kill -9, and the model that says what may be found afterwards.

Each key belongs to one client, so its history is a line. The model keeps, for each key, the set of states it may be in:

    acknowledged   the set becomes what the change makes of it; a reply that no state explains is a violation
    unanswered     (sent, and the server died) both: what it was and what the change makes of it, in order
    refused        (SERVER_ERROR) both as well, in weather that explains a refusal; else a violation

A round starts the server in its weather (weather.py), reads every key, puts load on it and kills it. A value that is not in
the set is a lost or an undone change; what was read is then the only state: from then on nobody may see an older one.
After the reading `sync`, and the rows of the store must say the same, key for key.

Expiries are absolute seconds: far ahead, so that they can be compared exactly, or -1 (expired at once). In some weather
they are a few seconds ahead. A state whose life ends while something is asked may be there or not. Before that it has to be
there, to the second, so no lost touch passes; afterwards it may show for SLACK seconds, because a server on a busy machine
may look at its clock and answer much later.
"""

import collections
import contextlib
import os
import random
import shutil
import sqlite3
import threading
import time
import uuid

from forebay import Client, Config, Redis, Server, ServerFailed, namespace, section, sqlite_backend
from forebay import rows as sqlite_rows

DAY = 86400
FAR = int(time.time()) // 1000 * 1000 + 60 * DAY
SLACK = 3
JOURNALED = ("os", "interval", "always")
MANY = 8  # states of a key, after which only changes are sent that add one at most


class Violation(AssertionError):
    """A promise was broken."""


def aged(states, began, ended):
    """What the states have become at a moment that lies between two others."""
    found = []
    for state in states:
        ends = state[2] if state else 0
        if not ends or began < ends + SLACK:
            found.append(state)
        if ends and ended >= ends:
            found.append(None)
    return list(dict.fromkeys(found))


# What is sent, and the answers for a hit and a miss.
TOUCHES = {"touch": (b"touch %s %d\r\n", b"TOUCHED", b"NOT_FOUND"), "mg": (b"mg %s T%d\r\n", b"HD", b"EN")}


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
        return None, TOUCHES[verb][2] if verb in TOUCHES else b"NOT_FOUND" if verb == "incr" else b"NOT_STORED"
    value, flags, expires_at = state
    if verb == "replace":
        return argument, b"STORED"
    if verb == "append":
        return (value + argument, flags, expires_at), b"STORED"
    if verb in TOUCHES:
        return (None if argument == -1 else (value, flags, argument)), TOUCHES[verb][1]
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
    if verb in TOUCHES:
        return TOUCHES[verb][0] % (key, argument)
    return b"%s %s %d\r\n" % (verb.encode(), key, argument)


class Key:
    """One key's possible states and, for the report of a violation, its last operations."""

    def __init__(self, space, name, counter):
        self.space = space
        self.name = name
        self.counter = counter
        self.states = [None]
        self.history = []
        self.token = None  # of the last gets; None when something may have changed since

    remembered = 12  # lines of its history

    def note(self, text):
        self.history = self.history[1 - self.remembered:] + [f"{time.time():.3f} {text}"]

    def breadth(self):
        """In how many states it may be."""
        return len(self.states)

    def violated(self, what):
        history = "\n    ".join(self.history)
        allowed = "\n    ".join(str(state)[:160] for state in self.states)
        return Violation(f"{self.name}: {what}\n  allowed:\n    {allowed}\n  history:\n    {history}")

    def acknowledged(self, operation, reply, began):
        self.note(f"{str(operation)[:100]} -> {reply[:60]}")
        outcomes = [change(state, operation) for state in aged(self.states, began, time.time())]
        fitting = [state for state, answer in outcomes if answer == reply]
        if not fitting:
            raise self.violated(f"{str(operation)[:100]} was answered with {reply}")
        self.states = list(dict.fromkeys(fitting))
        self.token = None

    def unanswered(self, operation, began, why="no answer"):
        self.note(f"{str(operation)[:100]} -> {why}")
        after = [change(state, operation)[0] for state in aged(self.states, began, time.time())]
        self.states = list(dict.fromkeys(self.states + after))
        self.token = None

    def seen(self, shown, began, where):
        """A client was shown this value with these flags, or None. Its expiry is known when the store has been looked at."""
        states = aged(self.states, began, time.time())
        fitting = [state for state in states if (state and state[:2]) == shown]
        self.note(f"{where}: {str(shown)[:100]}")
        if not fitting:
            raise self.violated(f"found {str(shown)[:160]} {where}")
        self.states = fitting

    def stored(self, state, began, where):
        self.note(f"{where}: {str(state)[:100]}")
        if state not in aged(self.states, began, time.time()):
            raise self.violated(f"found {str(state)[:160]} {where}")
        self.states = [state]

    def ends(self):
        """When the last of its lives that end soon is over; 0: it has none. Those of an earlier process's FAR do not."""
        return max((state[2] for state in self.states if state and state[2] < time.time() + DAY), default=0)


class Allowed:
    """What the weather of a round excuses, for all clients to know."""

    def __init__(self):
        self.refusing = set()  # spaces whose requests may be answered by SERVER_ERROR
        self.closing = False  # connections may be closed without an answer
        self.frozen = set()  # spaces that promise nothing about changes, so none is sent


class Owner:
    """A client with its own keys: sends random operations on them until the server is gone."""

    sizes = (0, 10, 100, 100, 1000, 20000)
    kind_of_key = Key

    def __init__(self, number, spaces, keys, seed):
        self.random = random.Random(f"{seed}-{number}")
        self.allowed = Allowed()
        self.refused = self.answered = 0
        self.error = None
        self.sequence = 0
        self.planned = []  # (when, key, operation) of keys that nothing else is done to, latest first
        self.resting = set()  # keys that are read alone
        names = [(space, f"{space}:{number}-{i}".encode(), i % 4 == 3) for space in spaces for i in range(keys)]
        self.keys = [self.kind_of_key(*name) for name in names]

    def value(self, key):
        self.sequence += 1
        if key.counter:
            return b"%d" % self.random.randrange(10**6)
        return b"%s.%d." % (key.name, self.sequence) + b"x" * self.random.choice(self.sizes)

    def entry(self, key):
        expires_at = self.random.choice((0, 0, FAR + self.random.randrange(10000), -1))
        return self.value(key), self.random.randrange(100), expires_at

    def operation(self, key):
        verbs = ("set", "set", "delete", "touch", "add", "replace") + (("incr",) * 6 if key.counter else ("append",))
        verb = self.random.choice(verbs) if key.breadth() < MANY else self.random.choice(("set", "delete"))
        if verb in ("set", "add", "replace"):
            entry = self.entry(key)
            if verb != "set" and entry[2] == -1:
                entry = entry[:2] + (0,)
            return verb, entry
        if verb == "append":
            self.sequence += 1
            return verb, b"+%d" % self.sequence
        if verb == "touch":
            return (self.random.choice(tuple(TOUCHES)),
                    self.random.choice((FAR, FAR + 5000, FAR + self.random.randrange(10000), -1)))
        return verb, self.random.randrange(1, 1000) if verb == "incr" else None

    def may_refuse(self, key, what):
        if key.space not in self.allowed.refusing:
            raise key.violated(f"{what}, in weather that does not explain it")
        self.refused += 1

    def answer(self, key, operation, reply, began):
        if reply.startswith(b"SERVER_ERROR"):
            key.unanswered(operation, began, reply[:80])
            self.may_refuse(key, f"{str(operation)[:100]} was refused: {reply}")
            return
        self.answered += 1
        key.acknowledged(operation, reply, began)

    def next_operations(self):
        """What is due of the plan, or up to 20 random ones."""
        due = []
        while self.planned and self.planned[-1][0] <= time.time() and len(due) < 20:
            due.append(self.planned.pop()[1:])
        if due:
            return due
        busy = {key for _, key, _ in self.planned} | self.resting
        free = [key for key in self.keys
                if key.space not in self.allowed.frozen and key not in busy and key.breadth() < 5 * MANY]
        if not free:
            time.sleep(0.01)
            return []
        return [(key, self.operation(key)) for key in self.random.choices(free, k=self.random.choice((1, 1, 3, 20)))]

    def batch(self, client, todo=None):
        """One pipeline, of random operations or of these."""
        began = time.time()
        todo = self.next_operations() if todo is None else todo
        done = 0
        try:
            client.send(b"".join(request(key.name, operation) for key, operation in todo))
            for key, operation in todo:
                reply = client.line()
                done += 1  # from here on it is answered, whatever the model says of the answer
                self.answer(key, operation, reply, began)
        except OSError:
            for key, operation in todo[done:]:
                key.unanswered(operation, began)
            raise

    def read_one(self, client):
        """Reads between the writes must fit as well."""
        self.read(client, self.random.choice(self.keys), "between the writes")

    def read(self, client, key, where):
        """The CAS it was shown with; None for a miss, or where it may be refused and is."""
        began = time.time()
        client.send(b"gets " + key.name + b"\r\n")
        found = client.values()
        if isinstance(found, bytes):
            key.note(f"gets -> {found}")
            self.may_refuse(key, f"gets was answered with {found}")
            return None
        key.seen((found[0][2], found[0][1]) if found else None, began, where)
        return found[0][3] if found else None

    def run(self, port, dying):
        """Until the server is being killed. A connection that ends before has to be excused by the weather."""
        try:
            while not dying.is_set():
                with contextlib.suppress(OSError):  # Closed is one as well
                    self.talk(port, dying)
                if not dying.is_set() and not self.allowed.closing:
                    raise Violation("a connection was closed by a server that nobody has killed")
        except Exception as error:  # handed to the main thread
            self.error = error

    def talk(self, port, dying):
        with Client(port) as client:
            while not dying.is_set():
                self.batch(client)
                if self.random.random() < 0.2:
                    self.read_one(client)

    def check(self, client, where):
        """Reads every key; what is found must be allowed, and stays."""
        for space in {key.space: None for key in self.keys}:
            keys = [key for key in self.keys if key.space == space]
            for start in range(0, len(keys), 50):
                self.check_some(client, keys[start:start + 50], where)

    def check_some(self, client, some, where):
        """All in one request. Where that may be refused because of one of them, each alone."""
        began = time.time()
        client.send(b"gets " + b" ".join(key.name for key in some) + b"\r\n")
        found = client.values()
        if isinstance(found, bytes):
            self.may_refuse(some[0], f"gets {where} was answered with {found}")
            for key in some:
                self.check_token(key, self.read(client, key, where), where)
            return
        by_name = {name: (value, flags, token) for name, flags, value, token in found}
        for key in some:
            value = by_name.get(key.name)
            key.seen(value and value[:2], began, where)
            self.check_token(key, value and value[2], where)

    @staticmethod
    def check_token(key, token, where):
        if token and key.token not in (None, token):
            raise key.violated(f"its CAS value went from {key.token} to {token} {where}")
        key.token = token if len(key.states) == 1 else None

    def check_store(self, space, rows, began, where):
        for key in self.keys:
            if key.space == space:
                row = rows.pop(key.name, None)
                state = row and (row.value, row.flags, row.expires_at)
                if state is not None and 0 < state[2] < time.time():
                    state = None  # past its expiry, and not yet purged
                key.stored(state, began, where)


class SqliteStore:
    """What Rounds needs of a store: its configuration, its rows, and ways to be away, which return what ends that."""

    def __init__(self, folder, name, file):
        self.name = name
        self.folder = folder
        self.file = file
        self.ways = (self.locked, self.moved)
        self.ways_to_start = (self.locked, self.unreadable)  # without its file a start would make a new store

    @property
    def path(self):
        return os.path.join(self.folder, self.file)

    def backend(self, **options):
        return sqlite_backend(self.name, self.file, **options)

    def rows(self, table):
        return sqlite_rows(self.path, table)

    def stop(self):
        pass

    def put_down(self):
        """What it has stays for another one in this folder."""

    def checkpoint_began(self, last):
        """A number that changes when SQLite writes into the database file itself, which it does at checkpoints only."""
        with contextlib.suppress(FileNotFoundError):
            return os.stat(self.path).st_mtime_ns
        return last

    def locked(self):
        """It can be read, and not written."""
        return self.transaction()

    def unreadable(self):
        """Nobody else can open it; only while nobody has."""
        return self.transaction("PRAGMA locking_mode = EXCLUSIVE")

    def transaction(self, *before):
        other = sqlite3.connect(self.path, isolation_level=None, timeout=30)
        for statement in (*before, "BEGIN EXCLUSIVE"):
            other.execute(statement).fetchall()
        return other.close

    def moved(self):
        away = self.path + ".away"
        os.rename(self.path, away)
        return lambda: os.rename(away, self.path)


class RedisStore:
    """The same on a Redis of its own."""

    def __init__(self, folder, name, file):
        self.name = name
        self.server = Redis(f"{folder}.{file}.redis").start()
        self.ways = self.ways_to_start = (self.stopped,)

    def backend(self, **options):
        return section("backend", self.name, uri=self.server.uri, **options)

    def rows(self, table):
        return self.server.rows(f"{table}:")

    def stop(self):
        self.server.kill()

    def put_down(self):
        self.stopped()

    def checkpoint_began(self, last):
        """Redis has none for us; the moment that takes its place is a batch on its way, a script call per 16 changes."""
        if not self.server.running():
            return last
        return self.server.connect().info("commandstats").get("cmdstat_evalsha", {}).get("calls", last)

    def stopped(self):
        """It ends, and what it had is there when it comes back."""
        self.server.connect().shutdown(save=True)
        self.server.wait()
        return self.server.start


STORES = {"sqlite": (SqliteStore, SqliteStore), "redis": (RedisStore, RedisStore), "both": (SqliteStore, RedisStore)}


class Power:
    """Cuts the power: the server runs with tests/faults/power_loss.c preloaded, which keeps a copy of what was synced, and
    after a kill -9 its folder is replaced by that copy."""

    def __init__(self, library, folder):
        self.library = library
        self.folder = str(folder)
        self.disk = self.folder + ".disk"
        self.boot = self.folder + ".boot"
        os.makedirs(self.disk, exist_ok=True)
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


class Settings:
    """The configuration of one round, for the weather to change."""

    def __init__(self, top, backends, spaces):
        self.top = top
        self.backends = backends  # {name: options}
        self.spaces = spaces  # {name: options, policy and backend included}

    def config(self, stores):
        sections = [namespace(name, name + ":", **options) for name, options in self.spaces.items()]
        return Config(*sections, backends=[store.backend(**self.backends[store.name]) for store in stores], **self.top)


class Rounds:
    """A server, its stores and its clients, killed again and again, in all kinds of weather (weather.py)."""

    def __init__(self, folder, seed, store="sqlite", clients=4, keys=40, modes=JOURNALED, through=True, memory="16mb",
                 power_library=None, weather=()):
        self.random = random.Random(seed)
        self.folder = os.path.join(folder, "data")
        os.makedirs(self.folder, exist_ok=True)
        self.power = Power(power_library, self.folder) if power_library else None
        self.weather_kinds = weather
        self.environment = {}
        places = (("local", "store.db"), ("beside", "beside.db"))[:2 if weather else 1]
        self.stores = [kind(self.folder, *place) for kind, place in zip(STORES[store], places)]
        self.spaces = {space: "local" for space in (*modes, *(["through"] if through else []))}
        if weather:
            self.spaces["beside"] = "beside"
        self.owners = [Owner(i, self.spaces, keys, seed) for i in range(clients)]
        self.memory = memory
        self.weather = []  # of this round
        self.allowed = Allowed()
        self.server = Server(self.folder)
        self.server.config_folder = folder  # the data folder may be full
        self.server.log_path = os.path.join(folder, "log")
        self.answered = self.kills = 0
        self.met = collections.Counter()  # the weather there was, by its name

    def store_of(self, space):
        return next(store for store in self.stores if store.name == self.spaces[space])

    def keys(self):
        return [key for owner in self.owners for key in owner.keys]

    def refused(self):
        return sum(owner.refused for owner in self.owners)

    def settings(self):
        spaces = {}
        for space, backend in self.spaces.items():
            behind = dict(policy="write-behind", journal="interval" if space == "beside" else space,
                          flush_delay=f"{self.random.choice((20, 200, 1000))}ms", flush_batch=self.random.choice((10, 1000)))
            spaces[space] = dict(backend=backend, **(dict(policy="write-through") if space == "through" else behind))
        # Small files, so that they are recycled while it runs. A busy machine is no reason to refuse anything.
        top = dict(memory=self.memory, threads=self.random.randint(1, 4), use_threads="all",
                   journal_file_size="1mb" if self.power else "4mb", sync_timeout="60s", drain_timeout="3s")
        return Settings(top, {store.name: dict(timeout="10s") for store in self.stores}, spaces)

    def load(self, duration, moment):
        """Runs all clients for that long and until moment() returns, then ends the server."""
        dying = threading.Event()
        threads = [threading.Thread(target=owner.run, args=(self.server.port, dying), daemon=True) for owner in self.owners]
        for thread in threads:
            thread.start()
        try:
            self.let_it_rain(duration)
            moment()
            self.server.check_alive()
        finally:
            dying.set()
            self.end_server()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "a client hangs although the server is gone"
        for owner in self.owners:
            if owner.error:
                raise owner.error
        self.answered = sum(owner.answered for owner in self.owners)

    def let_it_rain(self, duration):
        """What the weather does while the clients work, each at its time."""
        began = time.monotonic()
        events = [event for weather in self.weather for event in weather.events(duration)]
        for at, event in sorted([*events, (duration, lambda: None)], key=lambda event: event[0]):
            time.sleep(max(0, began + at - time.monotonic()))
            event()

    def end_server(self):
        if any(weather.stops for weather in self.weather) and self.server.running():
            self.server.stop()
        else:
            self.kill()

    def kill(self):
        self.server.kill()
        self.kills += 1
        if self.power:
            self.power.cut()

    def until_checkpoint(self):
        """Until the database file itself is written, and a moment more."""
        last = self.stores[0].checkpoint_began(0)
        end = time.monotonic() + 3
        while self.stores[0].checkpoint_began(last) == last and time.monotonic() < end:
            time.sleep(0.0005)
        time.sleep(self.random.uniform(0, 0.003))

    def kill_recoveries(self):
        """Starts that do not live to serve their first client."""
        for _ in range(self.random.randint(1, 3)):
            self.server.spawn()
            time.sleep(self.random.uniform(0, 0.05))
            self.kill()

    def start(self):
        """A start that is refused has to be explained by the weather, which then does what the message says."""
        for _ in range(6):
            said = len(self.server.log())
            try:
                self.server.start()
                return
            except ServerFailed:
                if self.server.running() or not any([weather.remedy(self.server.log()[said:]) for weather in self.weather]):
                    raise
        raise Violation("the server did not start, although everything was done that it asked for")

    def check(self, where):
        with self.server.client() as client:
            for owner in self.owners:
                owner.check(client, where)
            for space in self.spaces:
                self.check_store(client, space, f"in the store {where}")
            found = {name: value for name, value in client.stats("backends").items()
                     if name.endswith(":superseded_unexplained") and value != "0"}
            if found:
                raise Violation(f"changes gave way to newer ones that nobody made {where}: {found}")

    def check_store(self, client, space, where):
        """Where the store is there and everything has reached it."""
        if any(weather.keeps_away(space) for weather in self.weather):
            return
        answer = client.command(f"sync {space}")
        if not answer.startswith(b"SYNCED"):
            if space not in self.allowed.refusing:
                raise Violation(f"sync {space} was answered with {answer} {where}")
            return
        began = time.time()
        rows = self.store_of(space).rows(space)
        for owner in self.owners:
            owner.check_store(space, rows, began, where)
        left = [name for name, row in rows.items() if not 0 < row.expires_at < time.time()]
        if left:
            raise Violation(f"rows of nobody {where}: {left[:10]}")

    def turn_weather(self, kinds):
        """The server is down, and comes up in this weather."""
        self.weather = [kind(self) for kind in kinds]
        self.met.update(kind.name for kind in kinds)
        self.allowed = Allowed()
        settings = self.settings()
        for weather in self.weather:
            weather.begin(settings)
        for owner in self.owners:
            owner.allowed = self.allowed
        self.server.config = settings.config(self.stores)
        self.server.env = {**self.environment, **(self.power.environment() if self.power else {})}
        preloaded = [env["LD_PRELOAD"] for env in (self.environment, self.server.env) if "LD_PRELOAD" in env]
        if preloaded:
            self.server.env["LD_PRELOAD"] = ":".join(dict.fromkeys(preloaded))

    def forecast(self):
        """Every fourth round is fair; the others have up to three kinds of weather at once."""
        if not self.weather_kinds or self.random.random() < 0.25:
            return []
        count = min(self.random.choice((1, 1, 2, 3)), len(self.weather_kinds))
        chosen = self.random.sample(self.weather_kinds, count)
        return [kind for kind in self.weather_kinds if kind in chosen and not any(kind.excludes(other) for other in chosen)]

    def told(self):
        return ", ".join(str(weather) for weather in self.weather) or "fair"

    def round(self, number, kinds):
        before = self.told()
        self.turn_weather(kinds)
        kind = self.random.choice(("any", "any", "checkpoint", "recovery"))
        if kind == "recovery" and number > 1:
            self.kill_recoveries()
        self.start()
        self.check(f"at the start of round {number} ({self.told()}), after ({before})")
        for weather in self.weather:
            weather.served()
        longest = max([weather.lasts for weather in self.weather], default=0.6)
        self.load(self.random.uniform(0.02 if longest < 1 else 0.3, longest),
                  self.until_checkpoint if kind == "checkpoint" else lambda: None)
        for weather in reversed(self.weather):
            weather.end()

    def run(self, rounds, told=lambda number: None):
        for number in range(1, rounds + 1):
            self.round(number, self.forecast())
            told(number)
        self.finish()

    def finish(self):
        """A last look, in fair weather."""
        before = self.told()
        self.turn_weather([])
        self.start()
        self.check(f"at the end, after ({before})")
        self.server.stop()
        self.server.start()
        self.check("after the last, clean restart")
        self.server.stop()

    def close(self):
        if self.server.running():
            self.server.kill()
        for weather in reversed(self.weather):
            weather.end()
        for store in self.stores:
            store.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
