# SPDX-License-Identifier: MIT
"""A master, its replicas and the Sentinels that watch over them: real ones, on loopback, which find a death out soon.

    with Sentinels(folder, replicas=1) as sentinels:
        sentinels.uri                       # redis+sentinel://127.0.0.1:PORT,.../mymaster
        sentinels.master().kill()
        eventually(sentinels.has_moved)
"""

import contextlib
import os

import redis as redis_py
from forebay import PATIENCE, Process, Redis, eventually

DOWN_AFTER = 500  # ms; a Sentinel looks around ten times a second
NEVER = 10 * 1000 * PATIENCE  # ms; for a master that is busy while a test changes what a replica that is cut off shall lack
NOTICED_AFTER = 1500  # ms; of what replica is left ten times that may have passed since it was cut off
FAILOVER_TIMEOUT = 1500  # ms; it tries again after twice that


class Sentinel(Redis):
    """redis-server as a Sentinel."""

    what = "sentinel"

    def __init__(self, folder, master, quorum, *lines, name="mymaster", down_after=DOWN_AFTER):
        Process.__init__(self, folder)
        self.file = os.path.join(self.folder, f"sentinel-{self.port}.conf")
        with open(self.file, "w", encoding="ascii") as file:
            file.write("\n".join([f"port {self.port}", "bind 127.0.0.1", f"dir {self.folder}",
                                  f"sentinel monitor {name} 127.0.0.1 {master.port} {quorum}",
                                  f"sentinel down-after-milliseconds {name} {down_after}",
                                  f"sentinel failover-timeout {name} {FAILOVER_TIMEOUT}", *lines, ""]))

    def command(self):
        return ["redis-server", self.file, "--sentinel"]

    def names(self, name="mymaster"):
        """The port that it names."""
        return int(self.connect().execute_command("SENTINEL", "get-master-addr-by-name", name)[1])


class Sentinels:
    """count Sentinels of a master with replicas; all Redis have the same options."""

    def __init__(self, folder, *options, replicas=1, count=1, down_after=DOWN_AFTER):
        self.folder = str(folder)
        self.options = ["--repl-diskless-sync-delay", "0", *options]
        self.replica_count, self.count, self.down_after = replicas, count, down_after
        self.redis, self.sentinels = [], []
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        with self.stack:
            first = self.add_redis()
            for _ in range(self.replica_count):
                self.add_redis("--replicaof", f"127.0.0.1 {first.port}")
            eventually(lambda: all(self.follows(one) for one in self.redis[1:]))
            for i in range(self.count):
                sentinel = Sentinel(os.path.join(self.folder, f"sentinel-{i}"), first, self.count // 2 + 1,
                                    down_after=self.down_after)
                self.sentinels.append(self.stack.enter_context(sentinel))
            eventually(self.all_know)
            self.stack = self.stack.pop_all()
        return self

    def __exit__(self, *error):
        for process in self.redis + self.sentinels:
            if process.running():
                process.resume()
                process.kill()  # none has anything to keep
        return self.stack.__exit__(*error)

    def add_redis(self, *options):
        server = Redis(os.path.join(self.folder, f"redis-{len(self.redis)}"), *self.options, *options)
        self.redis.append(self.stack.enter_context(server))
        return server

    @staticmethod
    def follows(replica):
        return replica.connect().info("replication")["master_link_status"] == "up"

    def all_know(self):
        """Each of the replicas and of the other Sentinels."""
        for sentinel in self.sentinels:
            answer = sentinel.connect().sentinel_master("mymaster")
            if answer["num-slaves"] != self.replica_count or answer["num-other-sentinels"] != self.count - 1:
                return False
        return True

    def uri_of(self, *sentinels, login="", database=0):
        return f"redis+sentinel://{login}" + ",".join(f"127.0.0.1:{one.port}" for one in sentinels) + f"/mymaster?db={database}"

    @property
    def uri(self):
        return self.uri_of(*self.sentinels)

    def master(self):
        """The Redis that Sentinel names."""
        port = next(one for one in self.sentinels if one.running()).names()
        return next(one for one in self.redis if one.port == port)

    @staticmethod
    def await_replica(master):
        """Until one has all that the master was given. WAIT is about what its own connection has written."""
        with master.connect() as client:
            client.set("waits", "")
            assert client.wait(1, 1000 * PATIENCE) == 1

    def cut_off(self, master):
        """No replica gets what the master is given from now on. (One that is stopped would find it in its socket.) After ten times
        down_after, and as long as the master is dead, Sentinel promotes none."""
        for one in self.redis:
            if one is not master:
                one.connect().config_set("masterauth", "of nobody")
        master.connect().execute_command("CLIENT", "KILL", "TYPE", "replica")

    def notice_after(self, milliseconds):
        """So long a master may say nothing before Sentinel takes it for dead."""
        for sentinel in self.sentinels:
            sentinel.connect().execute_command("SENTINEL", "SET", "mymaster", "down-after-milliseconds", milliseconds)

    def kill_and_await(self, old):
        """Returns the replica that was promoted in its place."""
        old.kill()
        self.join()
        self.notice_after(NOTICED_AFTER)
        return self.await_failover(old)

    @staticmethod
    def follow(old, new):
        """What Sentinel makes of an old master that is back, some seconds later."""
        old.connect().execute_command("REPLICAOF", "127.0.0.1", str(new.port))

    def join(self):
        for one in self.redis:
            if one.running():
                one.connect().config_set("masterauth", "")

    def await_failover(self, old):
        """Until another one is named, and says itself that it is the master."""
        def has_moved():
            new = self.master()
            with contextlib.suppress(redis_py.RedisError):
                return new if new is not old and new.connect().role()[0] == b"master" else None
            return None
        return eventually(has_moved, PATIENCE)
