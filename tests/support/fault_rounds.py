# SPDX-License-Identifier: MIT
"""Rounds of load and faults of whatever is behind one to three servers, and beside them.

A world is a store (fault_stores.py), the servers before it and the clients (fault_clients.py); its seed decides what it is
made of and which faults meet it. In each round clients work while one to three faults (fault_kinds.py) come and go. Then
everything is let come back, `sync`, and what memory and store have is compared with what was acknowledged (fault_model.py).

What may be lost, where a fault lets the store go back to what it was (docs/design.md, Promises):

    the server of the key lives, and memory holds it,    nothing: it is written again
        or the journal (write-behind)
    it was killed in the same round                      what the store lacks
    memory has forgotten it, and there is no journal     what the store lacks
        (write-through): a delete; a change that failed
        or was denied; with `coherent`, whatever was cut
        off by another fault of the round
    a Redis that comes back empty: what other servers    shown as it was at any time, until each server has written
        have changed last                                its changes again
    the server of the key was killed, and begins while   the same: its journal counts, and what is changed then stays so
        the store is away: what others have changed
    another server that asks the store for what others   shown as the store has it, until the server of the key has
        have changed: it was killed, or does not hear    written it again
        of changes, or has no copy
    a Redis Cluster                                      what the promoted replica lacks, of its slots
    several writers of a key                             what the store lacks
    replicas = 1                                         nothing

Everything else loses nothing: kill -9 of servers, cut and frozen connections, stopped masters that go on, processes that
stutter, failovers that hand all on, a full disk, clocks that are seconds apart.
"""

import collections
import contextlib
import os
import random
import time

from crash import Violation
from fault_clients import LIMIT, Reader, Sharer, Writer, Writing
from fault_kinds import KINDS, DiskFull, NodeKilled, of_each_group
from fault_model import LOST, SHOWN, Blind, Chain, Counter, Lock, Log
from fault_stores import STORES
from forebay import Config, Server, ServerFailed, eventually, namespace, section
from weather import Ahead

ROUNDS_OF_A_WORLD = 6
SPACES = ("behind", "through")
PATIENCE_MS = 30000  # until all is as it has to be again


class World:
    """One store, its servers, and what was acknowledged."""

    journals = ("os", "interval", "always")
    delays = ("10ms", "100ms", "1s")

    def __init__(self, folder, seed, kind):
        self.folder, self.seed = folder, seed
        self.random = random.Random(f"world {seed}")
        self.faults, self.events, self.turn = [], [], 0
        self.takeovers = self.compared = self.unasked = 0  # so far, by the last comparison, and since then until a round
        self.store = STORES[kind](folder, self.random)
        try:
            count = self.random.choice((1, 2, 2, 3))
            self.coherent = self.store.coherent and self.random.random() < 0.7
            self.journal = self.random.choice(self.journals)
            self.delay = self.random.choice(self.delays)
            self.layout = self.random.choice(("hash", "string"))
            self.skews = [0] * count
            off, skew = self.random.randrange(count), self.random.choice((0, 0, -3, 3))
            self.skews[off] = 0 if Ahead.missing() else skew
            self.writers = [Writer(number, SPACES, 12, seed) for number in range(2)]
            self.shared = [sort(f"shared:{sort.__name__.lower()}-{i}".encode())
                           for sort in (Counter, Chain, Log, Blind, Lock) for i in range(2)]
            self.servers = [self.server(number) for number in range(1, count + 1)]
            for server in self.servers:
                server.start()
            self.compared = self.store.takeovers()
            self.begin_keys({})
            self.store.hand_on()
        except BaseException:
            self.close()
            raise

    def __str__(self):
        skew = f", clocks off by {self.skews}" if any(self.skews) else ""
        return (f"{len(self.servers)} server(s){', coherent' if self.coherent else ''} over {self.store}; "
                f"journal {self.journal}, flush_delay {self.delay}, shared keys as {self.layout}{skew}")

    # ---- Its parts ----

    def server(self, number):
        more = {"coherent": True, "coherence_limit": f"{int(LIMIT * 1000)}ms"} if self.coherent else {}
        config = Config(namespace("behind", "behind:", "write-behind", journal=self.journal, flush_delay=self.delay),
                        namespace("through", "through:", "write-through"),
                        namespace("shared", "shared:", "write-through", layout=self.layout),
                        backends=[section("backend", "local", timeout="1s", **self.store.settings(number), **more)],
                        node=number, drain_timeout="3s", sync_timeout="10s")
        folder = os.path.join(self.folder, f"server-{number}")
        return Server(folder, config=config, env=self.clock(folder, self.skews[number - 1]))

    @staticmethod
    def clock(folder, seconds):
        if not seconds:
            return {}
        with open(folder + ".clock", "wb") as file:
            file.write(seconds.to_bytes(8, "little", signed=True))
        return {"LD_PRELOAD": Ahead.library(), "CLOCK_AHEAD": folder + ".clock"}

    def home(self, writer):
        return self.servers[(writer.number + self.turn) % len(self.servers)]

    def own(self):
        return [key for writer in self.writers for key in writer.keys]

    def keys(self):
        return self.own() + self.shared

    def clients(self):
        seed = f"{self.seed}-{self.turn}"
        found = [Writing(writer.number, writer) for writer in self.writers]
        for one in found:
            one.server = self.home(one.writer)
        for number in range(2):
            found.append(Sharer(number, self.shared, seed))
            found[-1].server = self.servers[(number + self.turn) % len(self.servers)]
        found += [Reader(server, number, self.readable(server), self.coherent, seed)
                  for number, server in enumerate(self.servers, 1)]
        for one in found:
            one.may_be_cut_off = one.server in self.hit(NodeKilled, DiskFull)
        return found

    def readable(self, server):
        """The keys of which it shows nothing older after something newer. With replicas = 1, what is in the master alone is shown
        by whoever reads it there, and a takeover takes that back; but not from who has acknowledged it. Others show what
        a store that went back has, where they ask it."""
        own = [key for writer in self.writers for key in writer.keys if self.home(writer) is server]
        if self.is_unsure():
            return [key for key in own if key.space == "behind"]
        if any(fault.goes_back() for fault in self.faults):
            return own
        return self.keys()

    def is_unsure(self):
        return self.store.careful and any(fault.takes_over for fault in self.faults)

    def hit(self, *kinds):
        """The servers that have such a fault in this round."""
        return {fault.server for fault in self.faults if isinstance(fault, kinds)}

    # ---- A round ----

    def draw(self):
        """One to three faults, of different groups."""
        kinds = [kind for kind in KINDS if kind.fits(self)]
        chosen = {}
        for kind in self.random.sample(kinds, min(len(kinds), self.random.choice((1, 2, 2, 3)))):
            chosen.setdefault(kind.group, kind)
        return list(chosen.values())

    def round(self, faults=None):
        kinds = of_each_group(faults, self, self.turn) if faults else self.draw()
        self.faults = [kind(self, self.random) for kind in kinds]
        self.takeovers = self.store.takeovers()
        self.unasked = self.takeovers - self.compared
        self.events = []
        self.expect()
        clients = self.clients()
        for client in clients:
            client.start()
        try:
            self.run_faults()
            self.heal()
            self.go_on(clients)
        finally:
            for client in clients:
                client.ending.set()
        for client in clients:
            client.finish()
        self.settle()
        return sum(client.answered for client in clients)

    def expect(self):
        """What clients have to know of the faults to come."""
        back = any(fault.goes_back() for fault in self.faults)
        for key in self.own():
            key.unsure = self.is_unsure()
        for writer in self.writers:
            writer.rest()
            writer.disk_is_full = self.home(writer) in self.hit(DiskFull)
            for key in writer.keys:
                key.at_stake = self.deleted(writer, key) if back else None
                key.forgets = back and key.space == "through"
                key.empties = back and not self.store.replicated
                key.has_others = len(self.servers) > 1
            if len(self.servers) > 1 and len(self.faults) > 1 and self.home(writer) in self.hit(NodeKilled):
                self.forget_others(writer)

    @staticmethod
    def forget_others(writer):
        """Where a server begins and cannot ask the store, its journal counts, whatever others have changed since."""
        for key in writer.keys:
            if key.space == "behind":
                key.loosen(LOST, time.time(), earlier=True)  # until it is changed

    def run_faults(self):
        began = time.monotonic()
        plan = []
        for fault in self.faults:
            begins = self.random.uniform(0.1, 1)
            plan += [(begins, fault.begin, f"{fault.name}..."), (begins + fault.lasts, fault.end, f"...{fault.name} no more")]
        for at, function, what in sorted(plan, key=lambda event: event[0]):
            time.sleep(max(0, began + at - time.monotonic()))
            self.tell(what)
            function()
        self.tell("all faults are over")

    def tell(self, what):
        self.events.append(f"{time.time():.3f} {what}")

    def heal(self):
        self.store.heal()
        for key in self.own():
            key.fasten()
        for server in self.servers:
            if not server.running():
                raise ServerFailed(f"forebay ended by itself:\n{server.log()[-4000:]}")
            server.check_alive()
        self.tell("all is back")

    @staticmethod
    def go_on(clients):
        """All are answered again."""
        goals = [(client, client.answered + 10) for client in clients]

        def waiting():
            return [client.name for client, goal in goals if client.answered < goal and not client.error]

        try:
            eventually(lambda: not waiting())
        except AssertionError:
            raise Violation(f"{', '.join(waiting())}: not answered any more, although all is back") from None

    # ---- What may be lost ----

    def back(self, fault, master, action, empty=False, until_healed=False):
        """Does what may bring the store back to what it was. What is changed afterwards is not concerned; or once all is healed."""
        if fault.goes_back():
            for key in self.store.share(master, self.shared):
                key.loosen()
            for writer in self.writers:
                for key in self.store.share(master, writer.keys):
                    how = self.exposure(fault, writer, key)
                    if empty and len(self.servers) > 1 and key.is_untouched():
                        how = LOST  # as far as this server knows: another one's journal has it, and what it was before
                    if how:
                        key.loosen(how, empty=empty)
        action()
        if not until_healed:
            for key in self.own():
                key.fasten()

    def exposure(self, fault, writer, key):
        """See above; None: not even for a moment may it be older."""
        killed = self.hit(NodeKilled)
        disturbed = any(other.disturbs for other in self.faults if other is not fault)
        if (not self.store.notices or self.home(writer) in killed
                or (key.space == "through" and ((self.coherent and disturbed) or key.late or None in key.shown()))):
            return LOST
        if None in key.shown():
            return self.deleted(writer, key)
        return SHOWN if self.coherent or killed else None

    def deleted(self, writer, key):
        """What may become of a delete where the store goes back: the journal has those that were held back."""
        if key.space == "through" or self.home(writer) in self.hit(NodeKilled):
            return LOST
        return SHOWN if self.coherent or self.hit(NodeKilled) else None

    def was_surprised(self):
        """On a busy machine a master is taken for dead now and then: a takeover that nobody asked for, at any time."""
        asked = sum(fault.takes_over for fault in self.faults)
        return self.unasked > 0 or self.store.takeovers() > self.takeovers + asked

    # ---- Afterwards ----

    def settle(self):
        """Nothing is under way any more, and all is compared."""
        self.synchronize()
        if any(key.late for key in self.own()):
            self.store.cut()
            self.synchronize()
        states = self.compare()
        self.compared = self.store.takeovers()
        self.turn += 1
        self.begin_keys(states)
        self.store.hand_on()
        for server in self.servers:
            server.check_alive()

    def synchronize(self):
        for server in self.servers:
            eventually(lambda server=server: self.is_synced(server), pause=0.1)

    def is_synced(self, server):
        with contextlib.suppress(OSError), server.client() as client:
            return client.command("sync").startswith(b"SYNCED") and (
                not self.coherent or client.stats("backends")["local:coherent"] == "yes")
        return False

    def compare(self):
        """What the store has of each key, once nothing is wrong. For some moments it may be: rows are being written again."""
        end = time.monotonic() + PATIENCE_MS / 1000
        while True:
            try:
                return self.states_in_store()
            except Violation:
                if time.monotonic() > end:
                    raise
            time.sleep(0.1)

    def states_in_store(self):
        for writer in self.writers:
            self.compare_own(self.home(writer), writer.keys)
        self.forget_copies()
        rows = {space: self.store.rows(space + ":") for space in SPACES}
        states = {}
        for key in self.own():
            row = rows[key.space].pop(key.name, None)
            states[key] = row and (row.value, row.flags, row.expires_at)
            if not key.may_be(states[key]):
                raise key.violated(f"found {str(states[key])[:160]} in the store in the end")
        if any(rows.values()):
            raise Violation(f"rows of nobody: {[list(some)[:5] for some in rows.values()]}")
        for server in self.servers:
            self.compare_own(server, self.own(), states)
        self.compare_shared()
        return states

    def compare_own(self, server, keys, states=None):
        """What a server shows has to be possible; or what is in the store."""
        found = self.shown_by(server, keys)
        for key in keys:
            shown = found.get(key.name)
            allowed = key.certain() if states is None else [states[key]]
            if shown not in [state and state[:2] for state in allowed]:
                raise key.violated(f"server {self.servers.index(server) + 1} shows {str(shown)[:160]} in the end, "
                                   f"not {str(allowed)[:200]}")

    @staticmethod
    def shown_by(server, keys):
        """{key: (value, flags)}"""
        try:
            with server.client() as client:
                client.send(b"get " + b" ".join(key.name for key in keys) + b"\r\n")
                found = client.values()
        except OSError as error:
            found = str(error).encode()
        if isinstance(found, bytes):
            raise Violation(f"the server on port {server.port} answers a get with {found} although all is back")
        return {name: (value, flags) for name, flags, value, _ in found}

    def compare_shared(self):
        for server in self.servers:
            found = self.shown_by(server, self.shared)
            for key in self.shared:
                value = found.get(key.name, (None,))[0]
                key.require(value is not None or isinstance(key, Lock), f"it is gone at server {self.servers.index(server) + 1}")
                if value is not None or isinstance(key, Lock):
                    key.check(value)

    def forget_copies(self):
        """Where servers do not hear of each other's changes, they ask the store anew."""
        if not self.coherent:
            for server in self.servers:
                with contextlib.suppress(OSError), server.client() as client:
                    client.command("flush_all")

    def begin_keys(self, states):
        """All keys are as they are in the store, and their servers hold them; those of several writers begin anew."""
        for key in self.own():
            key.settle(states.get(key))
        with self.servers[0].client() as client:
            for key in self.shared:
                if key.fresh is None:
                    eventually(lambda key=key: not client.delete(key.name).startswith(b"SERVER_ERROR"))
                else:
                    eventually(lambda key=key: client.set(key.name, key.fresh) == b"STORED")
                key.begin(key.fresh)
        self.forget_copies()
        try:
            eventually(lambda: not self.old_ones())
        except AssertionError:
            raise Violation(f"{self.old_ones()} shown long after they were set anew") from None
        for writer in self.writers:
            eventually(lambda writer=writer: self.are_held(writer))

    def are_held(self, writer):
        """What a server has not asked for it cannot write again."""
        with contextlib.suppress(Violation):
            return self.shown_by(self.home(writer), writer.keys) is not None
        return False

    def old_ones(self):
        """Of the keys of several writers, what servers show that is not what was set last; or that they do not answer, as may be
        on a busy machine."""
        found = []
        for number, server in enumerate(self.servers, 1):
            try:
                shown = self.shown_by(server, self.shared)
            except Violation as refusal:
                found.append(str(refusal))
                continue
            values = {key: shown.get(key.name, (None,))[0] for key in self.shared}
            found += [f"server {number}: {key.name.decode()} {value}" for key, value in values.items() if value != key.fresh]
        return found

    def end(self):
        """The servers stop as they should."""
        for server in self.servers:
            server.stop()

    def close(self):
        for server in getattr(self, "servers", ()):
            if server.running():
                server.resume()
                server.kill()
        self.store.close()


class FaultRounds:
    """World after world, until there were so many rounds."""

    world = World

    def __init__(self, folder, seed, kinds, plan=()):
        """plan: the faults of the first round, of the second, and so on, and again; none: they are drawn. Those of a group take
        turns, from round to round of a world."""
        self.folder, self.seed, self.kinds, self.plan = str(folder), seed, list(kinds), list(plan)
        self.rounds = self.answered = self.discarded = 0
        self.met = collections.Counter()

    def run(self, rounds, told=lambda text: None):
        number = 0
        while self.rounds < rounds and self.discarded < 3 + rounds // 5:
            seed = self.seed + number
            kind = self.kinds[seed % len(self.kinds)]
            folder = os.path.join(self.folder, f"world-{seed}")
            self.live(self.world(folder, seed, kind), min(ROUNDS_OF_A_WORLD, rounds - self.rounds), told)
            number += 1
        if self.rounds < rounds:
            raise Violation(f"only {self.rounds} rounds: masters are taken for dead all the time, as the machine is busy")

    def live(self, world, rounds, told):
        told(f"seed {world.seed}: {world}")
        number = 0
        try:
            for number in range(1, rounds + 1):
                self.answered += world.round(self.plan[(number - 1) % len(self.plan)] if self.plan else None)
                self.rounds += 1
                self.met.update(fault.name for fault in world.faults)
                told(f"  round {number}: " + ", ".join(map(str, world.faults)))
            world.end()
        except Exception as error:
            if world.was_surprised():
                self.discarded += 1
                told(f"  round {number} does not count: a master was taken for dead that was slow")
                return
            events = "\n    ".join(world.events)
            raise Violation(f"seed {world.seed}, round {number} of {world}\n  faults:\n    {events}\n{error}") from error
        finally:
            world.close()
