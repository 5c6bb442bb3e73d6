# SPDX-License-Identifier: MIT
"""The stores of fault_rounds.py: one Redis, one with a replica and a Sentinel, a Redis Cluster with replicas.

Each has what the faults (fault_kinds.py) do to it, brings all back (heal), and says what it has (rows).
"""

import contextlib
import itertools
import os

import redis as redis_py
from cluster import Cluster
from forebay import Redis, eventually
from redis.crc import key_slot
from relay import Relay
from sentinel import Sentinels

DOWN_AFTER = 1000  # ms
PERSISTENT = ("--appendonly", "yes", "--appendfsync", "always")


def quick(node):
    """A client that does not wait for one that is stopped."""
    return redis_py.Redis(port=node.port, socket_timeout=1)


def role(node):
    with contextlib.suppress(redis_py.RedisError):
        with quick(node) as client:
            return client.role()
    return [b"away"]


def cut_clients(node):
    """Its connections but those to other Redis and Sentinels; what lies in their sockets is not looked at any more."""
    with contextlib.suppress(redis_py.RedisError):
        with quick(node) as client:
            itself = client.client_id()
            for one in client.client_list("normal") + client.client_list("pubsub"):
                if not one["name"].startswith("sentinel") and int(one["id"]) != itself:
                    with contextlib.suppress(redis_py.ResponseError):  # it has gone by itself
                        client.client_kill_filter(_id=one["id"])


def hand_on(master, key):
    """A write, and a wait for it."""
    with master.connect() as client:
        client.set(key, "handed on")
        return client.execute_command("WAIT", 1, 1000) >= 1


class Store:
    """What they have in common. persistent: a Redis that is killed comes back with all that it acknowledged."""

    coherent = True  # whether servers can hear of each other's changes there
    replicated = False
    notices = True  # whether a server always notices that it went back

    def __init__(self, folder, dice):
        self.folder = os.path.join(folder, "store")
        self.dice = dice
        self.persistent = dice.random() < 0.5
        self.careful = False  # a change counts once a replica has it
        self.options = PERSISTENT if self.persistent else ()

    def __str__(self):
        return f"{self.name}{', persistent' if self.persistent else ''}{', replicas = 1' if self.careful else ''}"

    def settings(self, number):
        """Of the backend, in the configuration of this node."""
        raise NotImplementedError

    def redis(self):
        """All processes that hold rows."""
        raise NotImplementedError

    def heal(self):
        """Everything is there, and in its place."""
        for one in self.redis():
            if one.running():
                one.resume()
            else:
                one.start()

    def rows(self, prefix):
        raise NotImplementedError

    def takeovers(self):
        """How often another Redis became a master so far."""
        return 0

    def hand_on(self):
        """Replicas have all that their masters have."""

    def cut(self):
        for one in self.redis():
            if one.running():
                cut_clients(one)

    def share(self, _, keys):
        """Those of the keys that this master has, or is to have."""
        return keys

    def close(self):
        raise NotImplementedError


class Plain(Store):
    """One Redis; each server has a network of its own to it."""

    name = "plain"

    def __init__(self, folder, dice):
        super().__init__(folder, dice)
        self.only = Redis(self.folder, *self.options).start()
        self.relays = {}

    def settings(self, number):
        if number not in self.relays:
            self.relays[number] = Relay(self.only.port)
        return {"uri": f"redis://127.0.0.1:{self.relays[number].port}/0"}

    def redis(self):
        return [self.only]

    def master(self):
        return self.only

    def heal(self):
        for relay in self.relays.values():
            relay.frozen.clear()
        super().heal()

    def rows(self, prefix):
        return self.only.rows(prefix)

    def close(self):
        for relay in self.relays.values():
            relay.close()
        self.only.kill()


class Watched(Store):
    """A master, its replica, and a Sentinel."""

    name = "sentinel"
    replicated = True

    def __init__(self, folder, dice):
        super().__init__(folder, dice)
        self.careful = dice.random() < 0.5
        self.all = Sentinels(self.folder, *self.options, down_after=DOWN_AFTER).__enter__()

    def settings(self, _):
        return {"uri": self.all.uri, **({"replicas": 1} if self.careful else {})}

    def redis(self):
        return self.all.redis

    def master(self):
        if self.all.sentinels[0].running():
            return self.all.master()
        return next(one for one in self.redis() if one.running() and role(one)[0] == b"master")

    def replica_of(self, master):
        return next(one for one in self.redis() if one is not master)

    def cut_off(self, master):
        self.all.cut_off(master)

    def join(self):
        self.all.join()

    def fail_over(self, master):
        """As an operator asks for it. Sentinel may have reasons to refuse, or to give up."""
        with contextlib.suppress(redis_py.RedisError):
            self.all.sentinels[0].connect().execute_command("SENTINEL", "FAILOVER", "mymaster")
            eventually(lambda: "failover_in_progress" not in self.state()["flags"])

    def state(self):
        """The master's, as Sentinel sees it."""
        return self.all.sentinels[0].connect().sentinel_master("mymaster")

    def start_sentinel(self):
        if not self.all.sentinels[0].running():
            self.all.sentinels[0].start()

    def await_promotion(self, master):
        self.start_sentinel()
        self.all.await_failover(master)

    def heal(self):
        self.start_sentinel()
        super().heal()
        self.join()
        eventually(self.in_place, pause=0.1)

    def in_place(self):
        """One master, that Sentinel names and the other one follows. Sentinel brings that about as well, but takes ten seconds."""
        sentinel = self.state()
        if "failover_in_progress" in sentinel["flags"] or sentinel.get("is_odown") or sentinel.get("is_sdown"):
            return False
        master = self.master()
        replica = self.replica_of(master)
        if role(master)[0] != b"master":
            return False
        if role(replica)[0] == b"master":
            self.all.follow(replica, master)
        found = replica.connect().info("replication")
        return found.get("master_link_status") == "up" and found.get("master_port") == master.port

    def hand_on(self):
        eventually(lambda: hand_on(self.master(), "mark"))

    def takeovers(self):
        return self.all.sentinels[0].log().count("+switch-master")

    def rows(self, prefix):
        return self.master().rows(prefix)

    def close(self):
        self.all.__exit__(None, None, None)


class Wide(Store):
    """Three masters that share the slots, and a replica of each."""

    name = "cluster"
    coherent = True
    replicated = True

    def __init__(self, folder, dice):
        super().__init__(folder, dice)
        self.all = Cluster(self.folder, "--cluster-require-full-coverage", "no", *self.options, replicas=1).__enter__()

    def settings(self, _):
        return {"uri": self.all.uri_of(*self.all.nodes)}

    def redis(self):
        return self.all.nodes

    def master(self):
        """One of them."""
        return self.dice.choice(sorted(self.all.owners(), key=lambda node: node.port))

    def share(self, master, keys):
        ranges = [(first, last) for first, last, port in Cluster.slots_of(master) if port == master.port]
        return [key for key in keys if any(first <= key_slot(key.name) <= last for first, last in ranges)]

    def replica_of(self, master):
        """None: nobody says now that it follows this one."""
        return next((node for node in self.redis() if node is not master and role(node)[:3:2] == [b"slave", master.port]), None)

    def cut_off(self, master):
        eventually(lambda: self.replica_of(master)).connect().config_set("masterauth", "of nobody")
        master.connect().execute_command("CLIENT", "KILL", "TYPE", "replica")

    def join(self):
        for node in self.redis():
            if node.running():
                node.connect().config_set("masterauth", "")

    def fail_over(self, master):
        """As an operator asks for it: the master hands all on first."""
        replica = eventually(lambda: self.replica_of(master))
        with contextlib.suppress(redis_py.ResponseError):
            replica.connect().execute_command("CLUSTER", "FAILOVER")

    def await_promotion(self, master):
        """Its slots have another master, as all others see it."""
        eventually(lambda: all(master.port not in {port for _, _, port in Cluster.slots_of(node)}
                               for node in self.redis() if node is not master and node.running()), pause=0.1)

    def heal(self):
        super().heal()
        self.join()
        eventually(self.in_place, pause=0.1)

    def in_place(self):
        """All of one mind, and each replica has what its master has."""
        seen = {tuple(sorted(Cluster.slots_of(node))) for node in self.redis()}
        roles = [role(node) for node in self.redis()]  # asked once, as they may change
        replicas = [one for one in roles if one[0] == b"slave"]
        return (len(seen) == 1 and len(replicas) == 3 and all(node.info()["cluster_state"] == "ok" for node in self.redis())
                and all(one[3] == b"connected" for one in replicas) and len({one[2] for one in replicas}) == 3)

    def hand_on(self):
        for master in self.all.owners():
            ranges = [(first, last) for first, last, port in Cluster.slots_of(master) if port == master.port]
            key = next(key for key in map("mark:{}".format, itertools.count())
                       if any(first <= key_slot(key.encode()) <= last for first, last in ranges))
            eventually(lambda master=master, key=key: hand_on(master, key))

    def takeovers(self):
        return sum(node.log().count("Failover election won") for node in self.redis())

    def rows(self, prefix):
        return self.all.rows(prefix)

    def close(self):
        self.all.__exit__(None, None, None)


STORES = {kind.name: kind for kind in (Plain, Watched, Wide)}
