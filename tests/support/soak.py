# SPDX-License-Identifier: MIT
"""A soak: the rounds of crash.py in all weather, with a long stretch after each few of them in which the server runs on, and
what it takes must not grow.

Beside the spaces of crash.py (write-behind in each journal mode and write-through, over SQLite; write-behind over Redis) there
are two that promise less:

    aside    cache-aside: a key may be gone at any time, never older than what was last shown or acknowledged
    foreign  read-through: the rows are another program's, who says `delete` when it has changed one; from then on nobody may see
             the older one

and a crowd of connections that come and go, with more entries in `aside` than memory holds, over text and binary.

In a stretch the stores go away and come back, the clock steps, the configuration is read again (SIGHUP). Meanwhile the server's
memory, descriptors, threads and files are looked at. What a soak that ends has learnt is kept in its folder, so that another
one can go on.
"""

import contextlib
import os
import pickle
import random
import re
import signal
import sqlite3
import statistics
import threading
import time

from crash import STORES, Key, Owner, RedisStore, Rounds, SqliteStore, Violation
from forebay import Background, Client, namespace
from weather import Ahead, Weather

ASIDE, FOREIGN = "aside", "foreign"
MIB = 1024 * 1024
STATE = "soak.pickle"


class CachedKey(Key):
    """One of the cache alone: it may be gone, and then stays gone."""

    def may_be_gone(self):
        self.states = list(dict.fromkeys([*self.states, None]))
        self.token = None

    def breadth(self):
        return len(self.states) - (None in self.states)

    def unanswered(self, operation, began, why="no answer"):
        self.may_be_gone()
        super().unanswered(operation, began, why)

    def acknowledged(self, operation, reply, began):
        self.may_be_gone()
        super().acknowledged(operation, reply, began)

    def seen(self, shown, began, where):
        self.may_be_gone()
        super().seen(shown, began, where)


class ForeignKey(Key):
    """One whose row another program writes, which says `delete` then. Until that is answered, the row that was may be shown."""

    def __init__(self, space, name, counter):
        super().__init__(space, name, counter)
        self.row = None

    def written(self, state):
        self.note(f"row: {str(state)[:100]}")
        self.row = state
        self.also_the_row()

    def also_the_row(self):
        self.states = list(dict.fromkeys([*self.states, self.row]))
        self.token = None

    def acknowledged(self, operation, reply, began):
        self.note(f"{operation} -> {reply[:60]}")
        if reply not in (b"DELETED", b"NOT_FOUND"):
            raise self.violated(f"{operation} was answered with {reply}")
        self.states = [self.row]
        self.token = None

    def unanswered(self, operation, began, why="no answer"):
        self.note(f"{operation} -> {why}")

    def seen(self, shown, began, where):
        super().seen(shown, began, where)
        self.also_the_row()


class SoakOwner(Owner):
    """A client of crash.py that has keys of the two other spaces as well."""

    def __init__(self, number, spaces, keys, seed, table):
        super().__init__(number, spaces, keys, seed)
        self.table = table
        self.keys += [CachedKey(ASIDE, f"{ASIDE}:{number}-{i}".encode(), i % 4 == 3) for i in range(keys)]
        self.foreign = [ForeignKey(FOREIGN, f"{FOREIGN}:{number}-{i}".encode(), False) for i in range(keys)]
        self.keys += self.foreign

    def __getstate__(self):
        """What is kept does not have the table, which belongs to the store of the soak that goes on."""
        return {**vars(self), "table": None}

    def batch(self, client, todo=None):
        super().batch(client, todo)
        if todo is None and self.random.random() < 0.1:
            self.change_row(client, self.random.choice(self.foreign))

    def change_row(self, client, key):
        """The row, and then the word that it is another one."""
        state = None if self.random.random() < 0.2 else (self.value(key), self.random.randrange(100), 0)
        if self.table.write(key.name, state):
            key.written(state)
            super().batch(client, [(key, ("delete", None))])


class SharedStore(SqliteStore):
    """Another program has it open as well, for a transaction at a time, and keeps to docs/backup.md: while the file is moved,
    and until the server has noticed, it does not open it, as the log of the one may lie beside the other then."""

    settles = 2  # seconds in which a server notices

    def __init__(self, *place):
        super().__init__(*place)
        self.lock = threading.Lock()
        self.closed = 0  # until then

    def moved(self):
        with self.lock:
            self.closed = float("inf")
            back = super().moved()

        def come_back():
            with self.lock:
                back()
                self.closed = time.monotonic() + self.settles
        return come_back

    @contextlib.contextmanager
    def open(self):
        """The database, or None: it is not to be opened now."""
        with self.lock:
            if time.monotonic() < self.closed:
                yield None
                return
            with contextlib.closing(sqlite3.connect(f"file:{self.path}?mode=rw", uri=True, timeout=0.2)) as database:
                yield database


STORES["shared"] = SharedStore, RedisStore


class ForeignTable:
    """What the other program writes into: a table that the server has made."""

    def __init__(self, store):
        self.store = store

    def write(self, name, state):
        """False: it could not be, as the store is away or its disk is full."""
        try:
            with self.store.open() as database:
                if not database:
                    return False
                with database:  # commits
                    if state is None:
                        database.execute(f'DELETE FROM "{FOREIGN}" WHERE key = ?', (name,))
                    else:
                        database.execute(f'INSERT OR REPLACE INTO "{FOREIGN}" (key, value, flags) VALUES (?, ?, ?)',
                                         (name, *state[:2]))
            return True
        except sqlite3.OperationalError:
            return False


class Crowd:
    """Connections that come and go, with many more entries than memory holds. What they are shown is theirs or nothing."""

    def __init__(self, server, seed):
        self.server = server
        self.random = random.Random(seed)
        self.answered = self.hits = 0

    def name(self):
        return b"aside:crowd-%d" % int(20000 * self.random.random() ** 3)  # few of them often, most of them now and then

    def talk(self, client):
        """A pipeline of sets and gets."""
        names = [self.name() for _ in range(20)]
        for name in names[:6]:
            client.send(Client.storage("set", name, name + b"=" + b"v" * self.random.choice((20, 200, 2000, 8000))))
        for name in names:
            client.send(b"get " + name + b"\r\n")
        for name in names[:6]:
            answer = client.line()
            if answer != b"STORED" and not answer.startswith(b"SERVER_ERROR"):
                raise Violation(f"set {name} was answered with {answer}")
        for name in names:
            found = client.values()
            if isinstance(found, bytes):
                if not found.startswith(b"SERVER_ERROR"):
                    raise Violation(f"get {name} was answered with {found}")
                continue
            if found and (found[0][0] != name or not found[0][2].startswith(name + b"=v")):
                raise Violation(f"get {name} was answered with {found[0][0]}, {found[0][2][:60]}")
            self.hits += len(found)
        self.answered += 26

    def talk_binary(self):
        with self.server.binary_client() as client:
            for _ in range(20):
                name = self.name()
                answer = client.ask("get", name)
                if answer is None:
                    return
                if answer.status == "SUCCESS" and not answer.value.startswith(name + b"=v"):
                    raise Violation(f"binary get {name} was answered with {answer.value[:60]}")
                self.answered += 1

    def __call__(self, end):
        while not end.is_set():
            with contextlib.suppress(OSError):  # the server is gone, or a disk that is full closes connections
                with self.server.client() as client:
                    for _ in range(self.random.randrange(1, 200)):
                        if end.is_set():
                            return
                        self.talk(client)
                self.talk_binary()
            time.sleep(0.001)


class Looks:
    """What the server takes while it runs on."""

    fields = ("resident", "descriptors", "threads", "journal")

    least = 30  # of which something can be said

    def __init__(self, server, folder):
        self.server = server
        self.folder = folder
        self.taken = []

    def look(self):
        base = f"/proc/{self.server.pid}"
        journal = sum(entry.stat().st_size for entry in os.scandir(self.folder) if entry.name.startswith("journal"))
        self.taken.append((self.server.resident(), len(os.listdir(base + "/fd")), len(os.listdir(base + "/task")), journal))

    def __call__(self, end):
        while not end.wait(1):
            with contextlib.suppress(OSError):  # files of the journal come and go
                self.look()

    def thirds(self):
        """The medians of each field in the second third and in the last one: the first is the time in which memory fills."""
        third = len(self.taken) // 3
        parts = self.taken[third:2 * third], self.taken[2 * third:]
        return {field: tuple(statistics.median(look[i] for look in part) for part in parts)
                for i, field in enumerate(self.fields)} if len(self.taken) >= self.least else {}

    def judge(self):
        """Memory stays within 4 MiB and a twentieth; descriptors within the connections that come and go."""
        for field, (before, after) in self.thirds().items():
            room = {"resident": 4 * MIB + before * 0.05, "descriptors": 20, "threads": 2, "journal": 64 * MIB}[field]
            if after > before + room:
                raise Violation(f"{field} grew from {before:,.0f} to {after:,.0f} while the server ran on")


class Stretch(Weather):
    """The server runs on: its stores go away now and then and come back, its clock steps, its configuration is read again."""

    name = "stretch"
    stops = True
    lasts = 300  # seconds

    def begin(self, settings):
        for options in settings.backends.values():
            options["timeout"] = "500ms"
        for space, options in settings.spaces.items():
            if options["policy"] == "write-behind":
                options["flush_delay"] = "200ms"
        settings.top["sync_timeout"] = "120s"
        settings.top["journal_keep"] = "10s"  # with a minute's changes it grows and shrinks as the load does
        self.rounds.allowed.refusing.update(self.rounds.spaces)
        self.back = {}
        self.clock = Ahead(self.rounds) if not Ahead.missing() else None
        if self.clock:
            self.clock.file = self.rounds.folder + ".clock"
            self.clock.wait_for_ends()
            self.clock.set(0)
            self.rounds.environment.update(LD_PRELOAD=Ahead.library(), CLOCK_AHEAD=self.clock.file)

    def go(self, store):
        if store.name not in self.back:
            with contextlib.suppress(sqlite3.OperationalError):
                self.back[store.name] = self.random.choice(store.ways)()

    def come_back(self, store):
        if store.name in self.back:
            self.back.pop(store.name)()

    def events(self, duration):
        events, at = [], 0.1 * duration
        while at < 0.8 * duration:
            away = min(self.random.choice((0.3, 2, 10)), duration * 0.1)
            store = self.random.choice(self.rounds.stores)
            what = self.random.choice(("away", "away", "clock", "reload"))
            if what == "away":
                events += [(at, lambda store=store: self.go(store)), (at + away, lambda store=store: self.come_back(store))]
            elif what == "clock" and self.clock:
                seconds = self.random.choice((1, 5, 60))
                events += [(at, lambda seconds=seconds: self.clock.set(seconds)), (at + away, lambda: self.clock.set(0))]
            elif what == "reload":
                events.append((at, self.rounds.reload))
            at += away + duration * self.random.uniform(0.01, 0.08)
        return events

    def end(self):
        for store in self.rounds.stores:
            self.come_back(store)
        if self.clock:
            self.clock.set(0)


class Soak(Rounds):
    """Cycles of rounds in all weather and a stretch."""

    def __init__(self, folder, seed, stretch=Stretch.lasts, rounds_in_cycle=8, keys=40, **options):
        super().__init__(folder, seed, store="shared", keys=keys, **options)
        self.seed, self.stretch_seconds, self.rounds_in_cycle = seed, stretch, rounds_in_cycle
        self.table = ForeignTable(self.stores[0])
        self.owners = [SoakOwner(number, self.spaces, keys, seed, self.table) for number in range(len(self.owners))]
        self.cycles = self.number = self.crowd = 0
        self.seconds = 0.0
        self.stretches = []  # Looks.thirds of each
        self.ending = threading.Event()

    kept = ("seed", "random", "owners", "cycles", "number", "crowd", "seconds", "stretches", "kills", "answered", "met")

    def save(self):
        path = os.path.join(os.path.dirname(self.folder), STATE)
        with open(path + ".new", "wb") as file:
            pickle.dump({name: getattr(self, name) for name in self.kept}, file)
        os.rename(path + ".new", path)

    def restore(self):
        """Goes on where another one ended in this folder, once: what it had learnt is not so of what comes now."""
        path = os.path.join(os.path.dirname(self.folder), STATE)
        with open(path, "rb") as file:
            for name, value in pickle.load(file).items():
                setattr(self, name, value)
        for owner in self.owners:
            owner.table = self.table
        os.unlink(path)

    def turn_weather(self, kinds):
        super().turn_weather(kinds)
        self.server.config.sections += [namespace(ASIDE, ASIDE + ":", "cache-aside"),
                                        namespace(FOREIGN, FOREIGN + ":", "read-through")]
        self.allowed.frozen.add(FOREIGN)  # nobody changes these but by change_row
        if self.allowed.refusing:
            self.allowed.refusing.update((ASIDE, FOREIGN))

    def reload(self):
        """Another delay, read by the server that runs."""
        delay = self.random.choice(("100ms", "200ms", "400ms"))
        self.server.config.sections = [re.sub(r'(flush_delay = )"\w+"', rf'\1"{delay}"', text)
                                       for text in self.server.config.sections]
        self.server.write_config()
        self.server.signal(signal.SIGHUP)

    def let_it_rain(self, duration):
        """As in crash.py, but the load ends early where the soak does."""
        began = time.monotonic()
        events = [event for weather in self.weather for event in weather.events(duration)]
        for at, event in sorted([*events, (duration, lambda: None)], key=lambda event: event[0]):
            if self.ending.wait(max(0, began + at - time.monotonic())):
                return
            event()

    def stretch(self):
        self.turn_weather([Stretch])
        self.start()
        self.check(f"before stretch {self.cycles + 1}")
        looks, crowd = Looks(self.server, self.folder), Crowd(self.server, self.random.random())
        with Background(crowd) as visitors, Background(looks) as looking:
            self.load(self.stretch_seconds, lambda: (looking.join(), visitors.end.set()))
        for weather in self.weather:
            weather.end()
        self.crowd += crowd.answered
        looks.judge()
        self.stretches.append(looks.thirds())

    def cycle(self):
        """Ends with a server that is down."""
        for _ in range(self.rounds_in_cycle):
            if self.ending.is_set():
                return
            self.number += 1
            self.round(self.number, self.forecast())
        if not self.ending.is_set():
            self.stretch()
        self.cycles += 1

    def soak(self, seconds, told=lambda soak: None):
        """So long, or until ending is set; what was learnt is kept."""
        began, before = time.monotonic(), self.seconds
        while self.seconds < before + seconds and not self.ending.is_set():
            self.cycle()
            self.seconds = before + time.monotonic() - began
            told(self)
        self.finish()
        self.seconds = before + time.monotonic() - began
        for store in self.stores:
            store.put_down()
        self.save()

    def summary(self):
        """A table of Markdown."""
        grown = [after / before - 1 for before, after in (each["resident"] for each in self.stretches if each)]
        largest = max((each["resident"][1] for each in self.stretches if each), default=None)
        weather = ", ".join(f"{name} {count}" for name, count in self.met.most_common())
        lines = {"hours": f"{self.seconds / 3600:.2f}",
                 "rounds and stretches; kill -9": f"{self.number}, {len(self.stretches)}; {self.kills}",
                 "weather": weather or "fair",
                 "changes acknowledged and looked for": f"{self.answered:,}",
                 "requests of the crowd": f"{self.crowd:,}",
                 "refused, as the weather explains": f"{self.refused():,}",
                 "lost, undone, older after newer": "0",
                 "resident memory while it ran on, at most": f"{largest / MIB:.1f} MiB" if largest else "no stretch was whole",
                 "its growth from the second third of a stretch to the last, median and worst":
                     f"{statistics.median(grown):+.1%}, {max(grown):+.1%} of {len(grown)}" if grown else "no stretch was whole"}
        return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in lines.items())])
