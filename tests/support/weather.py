# SPDX-License-Identifier: MIT
"""The weather in which a round of crash.py takes place: what happens to a server beside the kill.

Each kind is a class. A round has none, one or several of them, and calls them in this order:

    begin(settings)    the server is down: change the round's configuration, the disk, the stores, the clock
    remedy(text)       a start was refused and said this: do what it asks for; False: it has nothing to do with this weather
    served()           the server is up and what it has was compared; the load is about to begin
    events(duration)   [(seconds from the beginning of the load, function)]
    end()              the server has been killed: as it was before begin

A weather says in self.rounds.allowed which refusals it explains. Nothing explains a loss.
"""

import os
import shutil
import sqlite3
import subprocess
import time
from contextlib import suppress

from crash import FAR, JOURNALED, SLACK, TOUCHES
from forebay import binary, no_file_can_be_written

MIB = 1024 * 1024


class Weather:
    """Fair; and what the others have in common."""

    name = "fair"
    lasts = 0.6  # the longest load, in seconds
    stops = False  # the round ends by SIGTERM

    def __init__(self, rounds):
        self.rounds = rounds
        self.random = rounds.random

    @classmethod
    def missing(cls):
        """A reason why there can be no such weather here, or None."""
        return None

    @classmethod
    def excludes(cls, _):
        """It makes no sense together with this other kind."""
        return False

    def __str__(self):
        return self.name

    def begin(self, settings):
        pass

    def remedy(self, _):
        return False

    def served(self):
        pass

    def events(self, _):
        return []

    def end(self):
        pass

    def keeps_away(self, _):
        """The rows of this space cannot be written now."""
        return False


class Flood(Weather):
    """More is changed than memory holds: the journal that the next start finds is larger than its memory."""

    name = "flood"
    lasts = 1.5
    sizes = (40000, 60000, 80000, 100000)

    def begin(self, settings):
        settings.top["memory"] = self.random.choice((self.rounds.memory, "64mb", "128mb"))
        for options in settings.spaces.values():
            if options["policy"] == "write-behind":
                options.update(flush_delay=self.random.choice(("200ms", "1s", "30s")), flush_batch=200000)
        # Where memory is full of what waits to be written, a change waits for room, at most for the backend's timeout.
        self.rounds.allowed.refusing.update(self.rounds.spaces)
        for owner in self.rounds.owners:
            owner.sizes = self.sizes

    def end(self):
        for owner in self.rounds.owners:
            vars(owner).pop("sizes", None)  # the class has the usual ones


class Brief(Weather):
    """Lives of a few seconds, touched shortly before they end, when the row has them and the touch is not yet written."""

    name = "brief"
    lasts = 4

    def begin(self, settings):
        for options in settings.spaces.values():
            if options["policy"] == "write-behind":
                options.update(flush_delay=self.random.choice(("20ms", "1s", "10s")), flush_batch=200000)

    def served(self):
        """Half of the keys get a life that ends soon. It is in the store before the clients begin."""
        with self.rounds.server.client() as client, suppress(OSError):
            for owner in self.rounds.owners:
                keys = [key for key in owner.keys
                        if key.space not in self.rounds.allowed.frozen and owner.random.random() < 0.5]
                begun = [(key, self.beginning(owner, key)) for key in keys]
                owner.batch(client, begun)
                owner.planned = sorted((self.plan(owner, *each) for each in begun), key=lambda plan: -plan[0])
            for space in self.rounds.spaces:
                if not any(weather.keeps_away(space) for weather in self.rounds.weather):
                    client.command(f"sync {space}")

    @staticmethod
    def beginning(owner, key):
        ends = int(time.time()) + owner.random.randint(2, 5)
        if owner.random.random() < 0.3:
            return "touch", ends
        return "set", owner.entry(key)[:2] + (ends,)

    @staticmethod
    def plan(owner, key, begun):
        """A touch before the end, mostly, for ever or to another end that is near; some are left to die."""
        ends = begun[1] if begun[0] == "touch" else begun[1][2]
        if owner.random.random() < 0.2:
            return ends + 60, key, ("touch", FAR)  # this round will be over by then
        until = owner.random.choice((FAR, FAR + 7, ends + owner.random.randint(2, 6)))
        return ends - owner.random.uniform(0.02, 1.5), key, (owner.random.choice(tuple(TOUCHES)), until)

    def end(self):
        for owner in self.rounds.owners:
            owner.planned = []
        if self.random.random() < 0.7:  # the lives that were touched late would be over by the next start
            time.sleep(self.random.uniform(0.5, 2))


class Away(Weather):
    """One of the two backends is away: from the start or later, and until it comes back or past the kill."""

    name = "away"
    lasts = 2.5

    def begin(self, settings):
        self.store = self.random.choice(self.rounds.stores)
        settings.backends[self.store.name]["timeout"] = "500ms"
        self.from_start = self.random.random() < 0.4
        self.way = self.random.choice(self.store.ways_to_start if self.from_start else self.store.ways)
        self.come_back = None
        self.rounds.allowed.refusing.update(
            space for space, backend in self.rounds.spaces.items() if backend == self.store.name)
        if self.from_start:
            self.go()

    def __str__(self):
        return f"{self.name}: {self.store.name} {self.way.__name__}{' from the start' if self.from_start else ''}"

    def go(self):
        with suppress(sqlite3.OperationalError):  # on a full disk a database cannot even be locked
            self.come_back = self.way()

    def back(self):
        if self.come_back:
            self.come_back()
            self.come_back = None

    def remedy(self, text):
        """A start that has to write what it finds cannot do without the backend."""
        if not self.come_back or self.store.name not in text:
            return False
        self.back()
        return True

    def events(self, duration):
        going = [] if self.from_start else [(self.random.uniform(0, duration * 0.6), self.go)]
        coming = (self.random.uniform(duration * 0.6, duration), self.back)
        return going + [coming] * self.random.randint(0, 1)

    def end(self):
        self.back()

    def keeps_away(self, space):
        return self.come_back is not None and self.rounds.spaces[space] == self.store.name


class Ahead(Weather):
    """The server's clock is ahead, by minutes to a day, and right again before the kill or at the next start."""

    name = "ahead"
    lasts = 0.8

    @staticmethod
    def library():
        """Beside the server, where its build has it; one that is preloaded does not go together with sanitizers."""
        return os.path.join(os.path.dirname(binary()), "tests", "libclock_ahead.so")

    @classmethod
    def missing(cls):
        return None if os.path.exists(cls.library()) else f"{cls.library()} is not there: a release build has it"

    @classmethod
    def excludes(cls, other):
        return other is Brief  # the model does not know when the lives end for such a server

    def __str__(self):
        return f"{self.name}: {self.seconds} s"

    def begin(self, settings):
        self.file = self.rounds.folder + ".clock"
        self.seconds = self.random.choice((5, 120, 3600, 86400))
        self.wait_for_ends()
        self.set(self.seconds)
        self.rounds.environment.update(LD_PRELOAD=self.library(), CLOCK_AHEAD=self.file)

    def wait_for_ends(self):
        """So none may be under way either."""
        last = max(key.ends() for key in self.rounds.keys())
        time.sleep(max(0, last + SLACK - time.time()))

    def set(self, seconds):
        with open(self.file, "r+b" if os.path.exists(self.file) else "wb") as file:
            file.write(seconds.to_bytes(8, "little"))

    def events(self, duration):
        return [(self.random.uniform(0, duration), lambda: self.set(0))] if self.random.random() < 0.4 else []

    def end(self):
        self.set(0)


class Changed(Weather):
    """Another configuration: threads, memory, batches, journal modes, what a full namespace does, and policies."""

    name = "changed"

    def begin(self, settings):
        self.policies = {}
        settings.top.update(memory=self.random.choice(("12mb", "24mb", "64mb")), threads=self.random.randint(1, 8),
                            journal_file_size=self.random.choice(("1mb", "4mb", "16mb")))
        for space, options in settings.spaces.items():
            if options["policy"] == "write-behind":
                settings.spaces[space] = self.changed(space, options)
        self.recovers = self.random.random() < 0.3
        self.rounds.server.options = ["--recover=flush"] if self.recovers else []

    def changed(self, space, options):
        what = self.random.choice(("options", "options", "off", "write-through", "read-through"))
        if what == "options":
            return self.changed_options(space, options)
        self.policies[space] = what
        if what != "write-through":
            self.rounds.allowed.frozen.add(space)  # changes are in memory alone
        return {**options, "journal": "off"} if what == "off" else {"backend": options["backend"], "policy": what}

    def changed_options(self, space, options):
        on_full = self.random.choice(("wait", "write-through", "reject"))
        limit = self.random.choice(("100kb", "1mb", "2mb"))
        self.rounds.allowed.refusing.add(space)
        return {**options, "journal": self.random.choice(JOURNALED),
                "flush_delay": self.random.choice(("5ms", "300ms", "30s")), "flush_batch": self.random.choice((1, 100, 200000)),
                "on_full": on_full, "dirty_limit": limit}

    def __str__(self):
        policies = " ".join(f"{space}={what}" for space, what in self.policies.items())
        return f"{self.name}: {policies or 'options'}"

    def remedy(self, text):
        """What a namespace has left that is not write-behind any more is flushed where somebody says so."""
        if "--recover=flush" not in text or self.rounds.server.options or set(self.policies.values()) <= {"off"}:
            return False
        self.rounds.server.options = ["--recover=flush"]
        return True

    def end(self):
        self.rounds.server.options = []


class Full(Weather):
    """The disk of the data folder is full, from the start or later, and has room again or not before the kill. Without the
    right to mount a small disk, files cannot be written for a while instead."""

    name = "full"
    lasts = 2.5

    def begin(self, settings):
        for options in settings.backends.values():
            options["timeout"] = "500ms"
        settings.top["sync_timeout"] = "2s"
        self.mounted = self.full = False
        self.broken = None
        # With a database on that disk, everything; else what the journal is needed for.
        self.rounds.allowed.refusing.update(self.rounds.spaces)
        self.rounds.allowed.closing = True
        self.from_start = False
        self.mount()
        if self.mounted and self.random.random() < 0.3:
            self.from_start = True
            self.fill()

    def __str__(self):
        what = "small disk" if self.mounted else "files cannot be written"
        return f"{self.name}: {what}{' from the start' if self.from_start else ''}"

    @property
    def aside(self):
        return self.rounds.folder + ".aside"

    def mount(self):
        """A small disk in the place of the folder, with what the folder has."""
        folder = self.rounds.folder
        os.rename(folder, self.aside)
        os.mkdir(folder)
        self.mounted = os.geteuid() == 0 and self.command("mount", "-t", "tmpfs", "-o", "size=1g,mode=700", "tmpfs", folder)
        if self.mounted:
            shutil.copytree(self.aside, folder, dirs_exist_ok=True)
        else:
            os.rmdir(folder)
            os.rename(self.aside, folder)

    @staticmethod
    def command(*words):
        return subprocess.run(words, capture_output=True, check=False).returncode == 0

    def resize(self, size):
        return self.command("mount", "-o", f"remount,size={size}", self.rounds.folder)

    def fill(self):
        """A disk that is as large as what is on it; somebody may just write more."""
        self.full = True
        if not self.mounted:
            self.broken = no_file_can_be_written(self.rounds.server)
            self.broken.__enter__()
            return
        for spare in range(20):
            disk = os.statvfs(self.rounds.folder)
            if self.resize((disk.f_blocks - disk.f_bfree) * disk.f_frsize + spare * MIB // 4):
                return

    def make_room(self):
        self.full = False
        if self.mounted:
            self.resize("1g")
        elif self.broken:
            self.broken.__exit__(None, None, None)
            self.broken = None

    def remedy(self, _):
        if not self.full:
            return False
        self.make_room()
        return True

    def events(self, duration):
        filling = [] if self.full else [(self.random.uniform(0, duration * 0.6), self.fill)]
        clearing = (self.random.uniform(duration * 0.6, duration), self.make_room)
        return filling + [clearing] * self.random.randint(0, 1)

    def keeps_away(self, _):
        return self.full  # nor can another program open a database there

    def end(self):
        self.make_room()
        if self.mounted:
            shutil.rmtree(self.aside)
            shutil.copytree(self.rounds.folder, self.aside)
            subprocess.run(["umount", "--lazy", self.rounds.folder], check=True)
            os.rmdir(self.rounds.folder)
            os.rename(self.aside, self.rounds.folder)
            self.mounted = False


class Stopped(Weather):
    """The round ends by SIGTERM: what can be written is, and the rest is kept."""

    name = "stopped"
    stops = True


# In this order they begin: a store is away on the disk that is there, and a clock is waited for last.
KINDS = (Flood, Brief, Changed, Full, Away, Ahead, Stopped)
