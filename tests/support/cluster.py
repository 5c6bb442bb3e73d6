# SPDX-License-Identifier: MIT
"""A Redis Cluster on loopback: masters with replicas, whose slots can be moved, and whose deaths are noticed soon.

    with Cluster(folder, replicas=1) as cluster:
        cluster.uri                         # redis+cluster://127.0.0.1:PORT,...
        cluster.masters[0].kill()
        cluster.begin_move(slots, source, target)
        cluster.end_move(slots, source, target)
        cluster.add_master()
"""

import contextlib
import functools
import os

import redis as redis_py
from forebay import PATIENCE, Redis, eventually, free_port

SLOTS = 16384
NODE_TIMEOUT = 1000  # ms; a failover takes about two of it


class Node(Redis):
    """redis-server as a node of a cluster."""

    rows_at_once = 1  # they are in different slots

    def __init__(self, folder, *options):
        super().__init__(folder, "--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--cluster-node-timeout",
                         str(NODE_TIMEOUT), "--repl-diskless-sync-delay", "0", *options)

    @property
    def bus(self):
        return int(self.options[self.options.index("--cluster-port") + 1])

    def ask(self, *words):
        return self.connect().execute_command(*words)

    def info(self):
        text = self.ask("CLUSTER INFO")
        return text if isinstance(text, dict) else dict(line.split(":") for line in text.decode().split())

    @functools.lru_cache(maxsize=None)
    def identity(self):
        return self.ask("CLUSTER MYID").decode()


class Cluster:
    """count masters that share all slots, or those before `until`, each with as many replicas."""

    kind = Node

    def __init__(self, folder, *options, count=3, replicas=0, until=SLOTS):
        self.folder, self.options = str(folder), options
        self.count, self.replica_count, self.until = count, replicas, until
        self.masters, self.replicas = [], []
        self.added = 0
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        with self.stack:
            for _ in range(self.count):
                self.masters.append(self.add_node())
            for _ in range(self.count * self.replica_count):
                self.replicas.append(self.add_node())
            self.join()
            self.stack = self.stack.pop_all()
        return self

    def __exit__(self, *error):
        for node in self.nodes:
            if node.running():
                node.kill()  # none has anything to keep
        return self.stack.__exit__(*error)

    @property
    def nodes(self):
        return self.masters + self.replicas

    @property
    def uri(self):
        return self.uri_of(*self.masters)

    @staticmethod
    def uri_of(*nodes, login=""):
        return f"redis+cluster://{login}" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)

    def add_node(self):
        self.added += 1
        return self.stack.enter_context(self.kind(os.path.join(self.folder, f"node-{self.added}"), *self.options))

    def join(self):
        for i, node in enumerate(self.nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
            if i < self.count:
                node.ask("CLUSTER", "ADDSLOTSRANGE", self.until * i // self.count, self.until * (i + 1) // self.count - 1)
            if i > 0:
                node.ask("CLUSTER", "MEET", "127.0.0.1", self.masters[0].port, self.masters[0].bus)
        eventually(lambda: all(int(node.info()["cluster_known_nodes"]) == len(self.nodes) for node in self.nodes))
        for i, replica in enumerate(self.replicas):
            eventually(lambda replica=replica, i=i: self.follow(replica, self.masters[i % self.count]))
        eventually(self.serves)

    def add_master(self):
        """One more, without slots."""
        node = self.add_node()
        node.ask("CLUSTER", "MEET", "127.0.0.1", self.masters[0].port, self.masters[0].bus)
        self.masters.append(node)
        eventually(lambda: all(int(one.info()["cluster_known_nodes"]) == len(self.nodes) for one in self.nodes))
        eventually(lambda: node.info()["cluster_state"] == "ok")
        return node

    @staticmethod
    def follow(replica, master):
        with contextlib.suppress(redis_py.ResponseError):  # it does not know it yet
            replica.ask("CLUSTER", "REPLICATE", master.identity())
            return True
        return False

    def cut_off(self, master):
        """Its replicas get nothing from it from now on. (One that is stopped would find it in its socket.)"""
        for i, replica in enumerate(self.replicas):
            if self.masters[i % self.count] is master:
                replica.connect().config_set("masterauth", "of nobody")
        master.ask("CLIENT", "KILL", "TYPE", "replica")

    def await_failover(self, master):
        """Until another node has its first slot, whom the others know."""
        slot = self.until * self.masters.index(master) // self.count
        others = [node for node in self.masters if node is not master]
        eventually(lambda: all(self.master_of(slot, node) not in (master.port, None) for node in others), PATIENCE)

    def slots_of_numbers(self, master):
        """In which this master has what Forebay keeps of its batches."""
        return sorted({master.ask("CLUSTER KEYSLOT", key) for key in master.connect().keys("forebay: *:{*")})

    def serves(self):
        whole = "ok" if self.until == SLOTS else "fail"
        return (all(node.info()["cluster_state"] == whole for node in self.nodes)
                and all(node.connect().info("replication").get("master_link_status") == "up" for node in self.replicas)
                and all(len(_ranges(node)) == self.count for node in self.nodes))

    def master_of(self, slot, asked=None):
        """The port, as a node sees it."""
        return next((port for first, last, port in _ranges(asked or self.living()) if first <= slot <= last), None)

    def living(self):
        return next(node for node in self.nodes if node.running())

    @staticmethod
    def slots_of(node):
        """What a node sees: (first, last, port of the master)."""
        return _ranges(node)

    def owners(self):
        """The nodes that run and have slots."""
        ports = {port for _, _, port in _ranges(self.living())}
        return [node for node in self.nodes if node.port in ports and node.running()]

    def rows(self, prefix):
        """What all masters have under a prefix, in the layout hash: {key: Row}, as of one Redis."""
        return {key: row for node in self.owners() for key, row in node.rows(prefix).items()}

    def values(self, prefix, layout="hash", field="value"):
        """What all masters have under a prefix: {key: value}, or another field of rows that are hashes; no tombstones."""
        found = {}
        for node in self.owners():
            with node.connect() as client:
                names = list(client.scan_iter(match=prefix + "*", count=1000))
                pipe = client.pipeline(transaction=False)
                for name in names:
                    if layout == "hash":
                        pipe.hget(name, field)
                    else:
                        pipe.get(name)
                found.update((name, value) for name, value in zip(names, pipe.execute()) if value is not None)
        return found

    def keys_of(self, keys, master):
        """Those of the keys that this master has, or should have."""
        ranges = [(first, last) for first, last, port in _ranges(self.living()) if port == master.port]
        with self.living().connect() as client:
            slots = {key: client.execute_command("CLUSTER KEYSLOT", key) for key in keys}
        return [key for key, slot in slots.items() if any(first <= slot <= last for first, last in ranges)]

    def node_of(self, key):
        """The master that has this key, and its slot."""
        with self.living().connect() as client:
            slot = client.execute_command("CLUSTER KEYSLOT", key)
        port = self.master_of(slot)
        return next(node for node in self.nodes if node.port == port), slot

    def await_replica(self, master):
        """Until one has all that the master was given. WAIT is about what its own connection has written."""
        with master.connect() as client:
            client.set(self.keys_of([f"waits{i}" for i in range(100)], master)[0], "")
            assert client.wait(1, 1000 * PATIENCE) == 1

    def slots_with(self, keys, master):
        """Those of this master that have some of the keys."""
        with self.living().connect() as client:
            return sorted({client.execute_command("CLUSTER KEYSLOT", key) for key in self.keys_of(keys, master)})

    @staticmethod
    def begin_move(slots, source, target):
        with source.connect() as old, target.connect() as new:
            for slot in slots:
                new.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", source.identity())
                old.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", target.identity())

    @staticmethod
    def move_keys(slot, source, target):
        with source.connect() as old:
            while keys := old.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
                old.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)

    @classmethod
    def end_move(cls, slots, source, target):
        with source.connect() as old, target.connect() as new:
            for slot in slots:
                cls.move_keys(slot, source, target)
                for client in (new, old):
                    client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", target.identity())


def _ranges(node):
    """What CLUSTER SLOTS says, whatever redis-py makes of it: (first, last, port of the master)."""
    with node.connect() as client:
        client.response_callbacks.pop("CLUSTER SLOTS", None)
        answer = client.execute_command("CLUSTER", "SLOTS")
    return [(row[0], row[1], row[2][1]) for row in answer]
