# SPDX-License-Identifier: MIT
"""The session workload of bench_session on the stores that applications keep their sessions in, and Django's own sessions in its
database against the same in a cache.

    full      as fast as 32 connections can
    paced     so many requests a second as given.pace says: what users wait for
    locked    as fast as they can, each request under a lock, as PHP's are
    killed    of the sessions that there were after the same as "full", those that are there after kill -9 and a new start: at once,
              so that a change that is younger than the flush lag is in the journal alone
"""

import collections
import json
import os
import subprocess
import sys
import tempfile

import figures
from measure import (Config, LagWatch, PinnedForebay, PinnedMemcached, PinnedRedis, LOAD_CORE, SERVER_CORE, built, cpu_seconds,
                     kill, namespace, servers, start)
from forebay import die_with_the_test, section

HERE = os.path.dirname(os.path.abspath(__file__))
MEMORY_MB = 512
SPACE = "sessions"

# start(): (class, keywords or arguments) of the servers, the one that is asked last. protocol: bench_session's.
Store = collections.namedtuple("Store", "label start protocol space")


def forebay(**backend):
    """As docs/session-store.md has it: a namespace for sessions, and one for their locks."""
    spaces = namespace(SPACE, "sess:", "write-behind"), namespace("locks", "sess:lock.", "cache-aside")
    return PinnedForebay, {"config": Config(*spaces, backends=[section("backend", "local", **backend)], memory=f"{MEMORY_MB}mb", threads=1)}


def redis():
    return PinnedRedis, ["--appendonly", "yes", "--appendfsync", "everysec"]


STORES = {
    "forebay-sqlite": Store("Forebay, write-behind over SQLite", lambda: [forebay(uri="sqlite:store.db")], "memcached", SPACE),
    "forebay-redis": Store("Forebay, write-behind over Redis everysec", lambda: [redis(), forebay], "memcached", SPACE),
    "redis": Store("Redis, everysec", lambda: [redis()], "redis", None),
    "memcached": Store("memcached", lambda: [(PinnedMemcached, {"options": ["-m", str(MEMORY_MB), "-t", "1"]})], "memcached", None),
}
LOADS = ("full", "paced", "locked")


class Generator:
    """bench_session or django_sessions, one phase after the other."""

    def __init__(self, *command, server=None):
        self.what, self.server = os.path.basename(command[0]), server
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_the_test)

    def on_core(self, core):
        """It, and the threads that it makes from now on: those that log users in are not measured."""
        os.sched_setaffinity(self.process.pid, {core})
        return self

    def line(self):
        """What a phase ends with."""
        line = self.process.stdout.readline()
        if not line:
            said = f"; {self.server.what} says: {self.server.log()[-1000:]}" if self.server else ""
            sys.exit(f"{self.what} ended with {self.process.wait()}{said}")
        return line

    def go_on(self, phase=""):
        self.process.stdin.write(phase + "\n")
        self.process.stdin.flush()
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


def bench_session(given, server, protocol, *options):
    return Generator(built("bench_session"), "-i", "-P", str(server.port), "-p", protocol, "-t", str(given.seconds), "-u", str(given.users),
                     *options, server=server)


def started(store):
    """measure.servers, of which the last may need the address of the one before."""
    kinds = store.start()
    if callable(kinds[-1]):
        return servers_behind(kinds[:-1], kinds[-1])
    return servers(*[(kind, options, SERVER_CORE) for kind, options in kinds])


class servers_behind:  # pylint: disable=invalid-name
    """Servers of which the last has the first for its backend."""

    def __init__(self, first, last):
        self.first, self.last = first, last

    def __enter__(self):
        self.outer = servers(*[(kind, options, SERVER_CORE) for kind, options in self.first])
        found = self.outer.__enter__()
        try:
            kind, options = self.last(uri=found[0].uri)
            self.inner = servers((kind, options, SERVER_CORE))
            return [*found, *self.inner.__enter__()]
        except BaseException:
            self.outer.__exit__(*sys.exc_info())
            raise

    def __exit__(self, *error):
        self.inner.__exit__(*error)
        return self.outer.__exit__(*error)


def flushed(server, store):
    if store.space:
        server.client().sync(store.space)


def measure_load(running, store, generator, load):
    """What bench_session found, and cpu_us (of all servers, a request, flushing included), resident_mib, lag_s."""
    used = sum(map(cpu_seconds, running))
    with LagWatch(running[-1], store.space) as lag:
        found = json.loads(generator.go_on(load).line())
    resident = sum(one.resident() for one in running)
    flushed(running[-1], store)
    found["cpu_us"] = (sum(map(cpu_seconds, running)) - used) / max(1, found["requests"]) * 1e6
    found["resident_mib"], found["lag_s"] = resident / (1 << 20), lag.highest
    return found


def measure_kill(running, generator):
    """What bench_session's look at every session finds: {"sessions", "lost", "undone", "ended", "returned"}."""
    generator.go_on("full").line()
    kill(running[-1])
    start(running[-1])
    return json.loads(generator.go_on("look").line())


def measure_store(given, store):
    """{load: measure_load, "killed": measure_kill}: one after the other, as filling takes longer than most of them."""
    with started(store) as running, bench_session(given, running[-1], store.protocol, "-r", str(given.pace)).on_core(LOAD_CORE) as generator:
        generator.line()
        flushed(running[-1], store)
        found = {load: measure_load(running, store, generator, load) for load in LOADS}
        return {**found, "killed": measure_kill(running, generator)}


def measure_stores(given, turn):
    """{store: measure_store}."""
    names = list(STORES)
    return {names[which]: measure_store(given, STORES[names[which]]) for which in figures.order(len(names), turn)}


# ---- Django ----

DJANGO = {
    "django-sqlite": "Django's sessions in SQLite",
    "django-wal": "Django's sessions in SQLite, journal_mode wal",
    "django-forebay": "Django's sessions in Forebay, write-behind over SQLite",
    "django-memcached": "Django's sessions in memcached",
}


def django_sessions(given, *options):
    return Generator(os.path.join(HERE, "django_sessions"), "--phases", "--seconds", str(given.seconds), "--users", str(given.django_users),
                     *options)


def django_in_database(given, *options):
    with tempfile.TemporaryDirectory(prefix="forebay-django-") as folder, \
            django_sessions(given, "--database", os.path.join(folder, "django.db"), *options) as generator:
        generator.line()
        return json.loads(generator.go_on().line())


def django_in_cache(given, store):
    """The servers' time counts as the application's does: where SQLite is in the application, it is in there, too."""
    with started(store) as running, django_sessions(given, "--port", str(running[-1].port)) as generator:
        generator.line()
        flushed(running[-1], store)
        used = sum(map(cpu_seconds, running))
        found = json.loads(generator.go_on().line())
        flushed(running[-1], store)
        found["cpu_us"] += (sum(map(cpu_seconds, running)) - used) / max(1, found["requests"]) * 1e6
        return found


def measure_django(given, turn):
    """{name: what tools/bench/django_sessions found}."""
    ways = {"django-sqlite": lambda: django_in_database(given), "django-wal": lambda: django_in_database(given, "--wal"),
            "django-forebay": lambda: django_in_cache(given, STORES["forebay-sqlite"]),
            "django-memcached": lambda: django_in_cache(given, STORES["memcached"])}
    names = list(ways)
    return {names[which]: ways[names[which]]() for which in figures.order(len(names), turn)}


def django_is_there():
    return subprocess.run([sys.executable, "-c", "import django, pymemcache"], capture_output=True, check=False).returncode == 0


def seconds_of(given):
    """What measure_stores and measure_django are expected to take."""
    return len(STORES) * ((len(LOADS) + 1) * given.seconds + 4), len(DJANGO) * (given.seconds + 5)
