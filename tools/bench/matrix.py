# SPDX-License-Identifier: MIT
"""The servers that tools/bench/report measures, and the loads that it puts on each.

A load differs from BASE in one setting, or (--full) is any combination of all settings. In each round every server has the load
once, in an order that turns from round to round; a server is started for it, filled with every key, and ended.
"""

import collections
import itertools
import os
import shutil

import figures
from measure import (Config, PinnedForebay, PinnedMemcached, PinnedPogocache, PinnedRedis, LOAD_CORE, SERVER_CORE, memtier, namespace,
                     prefill, sample, servers)
from forebay import sqlite_backend

MEMORY_MB = 1024
FILL_BYTES = 16 << 20  # what all keys with their values are to take at most

# start(threads): (class, keywords or arguments), as measure.servers wants it. space: its write-behind namespace.
Subject = collections.namedtuple("Subject", "label start protocol space")
Load = collections.namedtuple("Load", "pipeline ratio size threads")

BASE = Load(pipeline=16, ratio="1:10", size=100, threads=1)
SETTINGS = {"pipeline": (1, 16, 64), "ratio": ("1:10", "1:1", "1:0"), "size": (100, 1000, 8000), "threads": (1, 2)}


def name_of(load):
    return f"pipeline {load.pipeline}, set:get {load.ratio}, {load.size} bytes, {load.threads} thread{'s' if load.threads > 1 else ''}"


def loads(full=False):
    """BASE first."""
    if full:
        every = [Load(**dict(zip(SETTINGS, values))) for values in itertools.product(*SETTINGS.values())]
        return [BASE] + [load for load in every if load != BASE]
    single = [BASE._replace(**{name: value}) for name, values in SETTINGS.items() for value in values]
    return [BASE] + [load for load in single if load != BASE]


def forebay(policy, **options):
    def start(threads):
        space = namespace("all", "memtier-", policy, **options)
        # No disk is so slow that a set is to be refused: what the load generator makes of that is no figure.
        return PinnedForebay, {"config": Config(space, backends=[sqlite_backend(timeout="60s")], memory=f"{MEMORY_MB}mb", threads=threads)}

    return start


def memcached(threads):
    return PinnedMemcached, {"options": ["-m", str(MEMORY_MB), "-t", str(threads)]}


def redis(*options):
    return lambda threads: (PinnedRedis, ["--io-threads", str(threads), *options])


def pogocache(threads):
    return PinnedPogocache, {"options": ["--threads", str(threads), "--maxmemory", f"{MEMORY_MB}mb"]}


def subjects():
    """{name: Subject}; Forebay's begin with "forebay"."""
    text = "memcache_text"
    return {
        "forebay": Subject("Forebay, cache-aside", forebay("cache-aside"), text, None),
        "memcached": Subject("memcached", memcached, text, None),
        "redis": Subject("Redis, no persistence", redis(), "redis", None),
        "forebay-off": Subject("Forebay, write-behind, journal off", forebay("write-behind", journal="off"), text, "all"),
        "forebay-os": Subject("Forebay, write-behind, journal os", forebay("write-behind", journal="os"), text, "all"),
        "forebay-interval": Subject("Forebay, write-behind, journal interval", forebay("write-behind", journal="interval"), text, "all"),
        "redis-everysec": Subject("Redis, everysec", redis("--appendonly", "yes", "--appendfsync", "everysec"), "redis", None),
        "forebay-always": Subject("Forebay, write-behind, journal always", forebay("write-behind", journal="always"), text, "all"),
        "forebay-through": Subject("Forebay, write-through", forebay("write-through"), text, None),
        "redis-always": Subject("Redis, always", redis("--appendonly", "yes", "--appendfsync", "always"), "redis", None),
        "pogocache": Subject("Pogocache", pogocache, text, None),
    }


def available():
    """Those that can be measured here: Pogocache only where there is one."""
    there = os.environ.get("POGOCACHE") or shutil.which("pogocache")
    return {name: subject for name, subject in subjects().items() if name != "pogocache" or there}


# Who is compared with whom: those that promise the same.
PEERS = (("forebay", "memcached"), ("forebay", "redis"), ("forebay", "pogocache"), ("forebay-interval", "redis-everysec"),
         ("forebay-always", "redis-always"), ("forebay-through", "redis-always"))


def started_with(subject):
    """A server's settings for one thread, in a line: what a reader needs to start it in the same way."""
    kind, options = subject.start(1)
    if kind is not PinnedForebay:
        name = "redis-server --save ''" if kind is PinnedRedis else kind.what
        return " ".join([name, *(options["options"] if isinstance(options, dict) else options)])
    config = options["config"]
    top = [f"{name} = {value}" for name, value in config.top.items()]
    return " ".join(" ".join([*top, *config.backends, *config.sections]).split())


def keys_of(given, load):
    return min(given.keys, FILL_BYTES // load.size)


def options_of(given, load):
    """memtier_benchmark's, without those that say where the server is."""
    return ["-t", load.threads, "-c", 32 // load.threads, "-d", load.size, f"--key-maximum={keys_of(given, load)}", f"--ratio={load.ratio}",
            "--key-pattern=R:R", "--distinct-client-seed", "--test-time", given.seconds, "--pipeline", load.pipeline]


def measure_one(given, load, subject):
    """A server of its own: nobody's turn is longer for what somebody else has yet to write to the disk."""
    cores = (SERVER_CORE, LOAD_CORE) if load.threads == 1 else (None, None)
    kind, options = subject.start(load.threads)

    def run(server, *more):
        return memtier(server, *options_of(given, load), *more, protocol=subject.protocol, core=cores[1])

    with servers((kind, options, cores[0])) as [server]:
        prefill(server, keys_of(given, load), load.size, protocol=subject.protocol)
        if subject.space:
            server.client().sync(subject.space)
        return sample(server, run, given.seconds, subject.space)


def measure_all(given, load, chosen, turn):
    """{name of a subject: sample}."""
    names = list(chosen)
    return {names[which]: measure_one(given, load, chosen[names[which]]) for which in figures.order(len(names), turn)}


def seconds_of(given, chosen):
    """What measure_all is expected to take."""
    return len(chosen) * (given.seconds + 2)
