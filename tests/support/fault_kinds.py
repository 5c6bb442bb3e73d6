# SPDX-License-Identifier: MIT
"""The faults that fault_rounds.py draws from.

Each is a class. A round has one to three of them, of different groups: what concerns the same process excludes each other.
begin() does it, and end() takes it back after `lasts` seconds. A fault by which the store may lose what it acknowledged says
so (goes_back) and does that within world.back; fault_rounds.py says what may be lost then. By the others nothing may.
"""

import random
import threading
import time

from forebay import eventually, no_file_can_be_written


class Fault:
    """What they have in common."""

    group = "store"
    stores = ("plain", "sentinel", "cluster")
    lasts = 1.5
    takes_over = False  # a replica may become a master
    disturbs = True  # connections to the store may be lost, and with them what was heard of others' changes

    def __init__(self, world, dice):
        self.world, self.store, self.dice = world, world.store, dice
        self.what = ""

    @classmethod
    def fits(cls, world):
        return world.store.name in cls.stores

    def goes_back(self):
        """Whether the store may lose what it acknowledged."""
        return False

    def begin(self):
        raise NotImplementedError

    def end(self):
        pass

    def __str__(self):
        return f"{self.name} {self.what}".strip()


class NodeKilled(Fault):
    """kill -9 of a server, which is started again; once or twice. Loses nothing: the journal has what the store has not."""

    name = "server killed"
    group = "server"
    disturbs = False

    def __init__(self, world, dice):
        super().__init__(world, dice)
        self.server = dice.choice(world.servers)
        self.twice = dice.random() < 0.3
        self.what = str(world.servers.index(self.server) + 1)
        self.lasts = dice.uniform(0, 1)

    def begin(self):
        self.server.kill()
        if self.twice:
            self.server.spawn()
            time.sleep(self.dice.uniform(0, 0.1))  # it may not have begun to serve
            self.server.kill()

    def end(self):
        if not self.server.running():
            self.server.start()


class DiskFull(Fault):
    """No file of a server can be written. What was acknowledged is there; what is new may be refused."""

    name = "disk full at server"
    group = "server"
    lasts = 1
    disturbs = False

    def __init__(self, world, dice):
        super().__init__(world, dice)
        self.server = dice.choice(world.servers)
        self.what = str(world.servers.index(self.server) + 1)
        self.full = None

    def begin(self):
        self.full = no_file_can_be_written(self.server)
        self.full.__enter__()

    def end(self):
        if self.full:
            self.full.__exit__(None, None, None)
            self.full = None


class Cut(Fault):
    """CLIENT KILL of everybody, some times. Loses nothing."""

    name = "connections cut"
    group = "network"
    lasts = 0

    def begin(self):
        for _ in range(self.dice.randint(1, 5)):
            self.store.cut()
            time.sleep(self.dice.uniform(0, 0.05))


class Frozen(Fault):
    """The network between a server and its Redis stands still, and goes on with what was under way. Loses nothing."""

    name = "network frozen at server"
    group = "network"
    stores = ("plain",)

    def __init__(self, world, dice):
        super().__init__(world, dice)
        self.number = dice.randint(1, len(world.servers))
        self.what = str(self.number)

    def begin(self):
        self.store.relays[self.number].frozen.set()

    def end(self):
        self.store.relays[self.number].frozen.clear()


class MasterPaused(Fault):
    """SIGSTOP of a master for a moment, which may or may not be long enough for a failover."""

    name = "master stopped"
    takes_over = True

    def __init__(self, world, dice):
        super().__init__(world, dice)
        self.lasts = dice.choice((0.2, 0.8, 3))
        self.master = None

    def goes_back(self):
        return self.store.replicated and not self.store.careful

    def begin(self):
        self.master = self.store.master()
        self.what = f"for {self.lasts} s"
        self.world.back(self, self.master, self.master.pause, until_healed=True)  # it takes itself for one when it goes on

    def end(self):
        self.master.resume()


class Stutter(Fault):
    """All processes, the servers among them, stand still for moments, as on a machine that has too much to do: too short for a
    failover, and longer than a server waits for a connection. Loses nothing."""

    name = "stutter"
    group = "pace"
    lasts = 3

    def __init__(self, world, dice):
        super().__init__(world, dice)
        self.dice = random.Random(dice.random())  # used by another thread
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.stutter, daemon=True)

    def stutter(self):
        while not self.over.wait(self.dice.uniform(0.01, 0.1)):
            process = self.dice.choice([*self.store.redis(), *self.world.servers])
            if process.running():
                process.stutter(self.dice.choice((0.02, 0.1, 0.25, 0.4)))

    def begin(self):
        self.thread.start()

    def end(self):
        self.over.set()
        self.thread.join()


class MasterKilled(Fault):
    """kill -9 of a master. Alone, it comes back with what its disk has; else a replica takes over with what it has."""

    name = "master killed"
    takes_over = True

    def __init__(self, world, dice):
        super().__init__(world, dice)
        self.lasts = dice.uniform(0, 1.5)
        self.master = None

    def goes_back(self):
        return not self.store.careful if self.store.replicated else not self.store.persistent

    def begin(self):
        self.master = self.store.master()
        self.world.back(self, self.master, self.master.kill, empty=not self.store.replicated)

    def end(self):
        if self.store.replicated:  # an empty one that came back before would be the master of an empty replica
            self.store.join()
            self.store.await_promotion(self.master)
        self.master.start()


class FailOver(Fault):
    """As an operator asks for it. Sentinel does not wait until the replica has all; a master of a cluster does."""

    name = "failover"
    takes_over = True
    stores = ("sentinel", "cluster")
    lasts = 0

    def goes_back(self):
        return self.store.name == "sentinel" and not self.store.careful

    def begin(self):
        master = self.store.master()
        self.world.back(self, master, lambda: self.store.fail_over(master), until_healed=True)


class ReplicaKilled(Fault):
    """kill -9 of a replica, which comes back. Loses nothing; with replicas = 1 all is held meanwhile."""

    name = "replica killed"
    stores = ("sentinel", "cluster")
    disturbs = False

    def begin(self):
        master = self.store.master()
        self.replica = eventually(lambda: self.store.replica_of(master))
        self.replica.kill()

    def end(self):
        if not self.replica.running():
            self.replica.start()


class CutOffAndKilled(MasterKilled):
    """The replica gets nothing more, and then its master dies: it lacks all of a while."""

    name = "replica cut off, then master killed"
    stores = ("sentinel", "cluster")

    def begin(self):
        self.master = self.store.master()
        self.world.back(self, self.master, self.lose)

    def lose(self):
        self.store.cut_off(self.master)
        time.sleep(self.dice.uniform(0, 0.5))
        self.master.kill()


class SentinelKilled(Fault):
    """kill -9 of the Sentinel, which comes back. Loses nothing."""

    name = "Sentinel killed"
    group = "watch"
    stores = ("sentinel",)
    disturbs = False

    def begin(self):
        self.store.all.sentinels[0].kill()

    def end(self):
        self.store.start_sentinel()


class SlotsMoved(Fault):
    """Slots with keys go to another master. Loses nothing."""

    name = "slots moved"
    stores = ("cluster",)
    lasts = 0.5

    def begin(self):
        cluster = self.store.all
        self.source, self.target = self.dice.sample(sorted(cluster.owners(), key=lambda node: node.port), 2)
        keys = self.dice.sample([key.name for key in self.world.keys()], 20)
        self.slots = cluster.slots_with(keys, self.source)
        self.what = str(len(self.slots))
        cluster.begin_move(self.slots, self.source, self.target)

    def end(self):
        self.store.all.end_move(self.slots, self.source, self.target)


KINDS = (NodeKilled, DiskFull, Cut, Frozen, Stutter, MasterPaused, MasterKilled, FailOver, ReplicaKilled, CutOffAndKilled,
         SentinelKilled, SlotsMoved)


def of_each_group(kinds, world, turn):
    """One of each group: of those that fit, another one in each turn."""
    groups = {}
    for kind in kinds:
        if kind.fits(world):
            groups.setdefault(kind.group, []).append(kind)
    return [some[turn % len(some)] for some in groups.values()]
