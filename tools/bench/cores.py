# SPDX-License-Identifier: MIT
"""What each more core gives: the loads of tools/bench/compare cores.

The server has 1, 2, 4, 8 ... processors and as many workers; the load generator has all the others, at least as many. Of two
hardware threads of one core the server gets the second only when every core has given it its first. What keeps workers from one
another (locks, lines that travel from core to core, the allocator, the kernel) shows as CPU for each operation that grows with
their number; throughput grows by less where the load generator has no more to give, which "busy" tells: the share of the
server's processors that it used.
"""

import os
import statistics
from collections import namedtuple

import figures
from measure import (Config, PinnedForebay, PinnedMemcached, cpu_seconds, memtier, namespace, operations, prefill, rate, say, servers)

KEYS = 200000
CONNECTIONS = 32  # of each processor of the server
SIZE = 100

Load = namedtuple("Load", "keys ratio depth prefix")
LOADS = {"mixed, no pipeline": Load(KEYS, "1:10", 1, "memtier-"),
         "mixed, pipeline 16": Load(KEYS, "1:10", 16, "memtier-"),
         "sets, pipeline 16": Load(KEYS, "1:0", 16, "memtier-"),
         "one key, pipeline 16": Load(1, "1:1", 16, "memtier-")}
# Every change of it adds to two counters of its namespace, which all workers share.
BEHIND = {"sets held back, pipeline 16": Load(KEYS, "1:0", 16, "behind-")}
Sample = namedtuple("Sample", "rate cpu_us busy")


def siblings(processor):
    """The hardware threads of its core; itself alone where the kernel does not tell."""
    try:
        with open(f"/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list", encoding="ascii") as told:
            parts = [part.split("-") for part in told.read().strip().split(",")]
    except OSError:
        return [processor]
    return [number for part in parts for number in range(int(part[0]), int(part[-1]) + 1)]


def spread_out(processors, siblings_of=siblings):
    """The processors, the first hardware thread of each core before the second of any."""
    return sorted(processors, key=lambda one: (siblings_of(one).index(one), one))


def counts(processors):
    """How many the server gets in turn: powers of two, up to half of them."""
    found = [1]
    while found[-1] * 4 <= processors:
        found.append(found[-1] * 2)
    return found


def runs():
    """Of a load, in each turn."""
    return len(counts(len(os.sched_getaffinity(0)))) * (2 * len(LOADS) + len(BEHIND))


def listed(processors):
    return ",".join(map(str, processors))


def kinds(count, cores):
    config = Config(namespace("held_back", "behind-", "write-behind", journal="off"), memory="1gb", threads=count)
    return ((PinnedForebay, {"config": config}, listed(cores)),
            (PinnedMemcached, {"options": ["-m", "1024", "-t", str(count), "-c", "4096"]}, listed(cores)))


def sample(server, given, load, cores, rest):
    done, used = operations(server), cpu_seconds(server)
    found = memtier(server, "-t", len(rest), "-c", max(1, CONNECTIONS * len(cores) // len(rest)), "-d", SIZE,
                    f"--key-maximum={load.keys}", f"--key-prefix={load.prefix}", f"--ratio={load.ratio}", "--key-pattern=R:R",
                    "--test-time", given.seconds, "--pipeline", load.depth, core=listed(rest))
    used, done = cpu_seconds(server) - used, operations(server) - done
    return Sample(rate(found, given.seconds), used / done * 1e6, used / given.seconds / len(cores))


def tell(report, name, count, found):
    """found: {the server's name: [the Sample of each turn]}"""
    for who, taken in found.items():
        middle = Sample(*(statistics.median(one[field] for one in taken) for field in range(len(Sample._fields))))
        rates = [one.rate for one in taken]
        report.figure(f"CPU per operation, {who}, {count} workers, {name}", middle.cpu_us, None, " us",
                      f"{middle.rate:,.0f} a second, {min(rates):,.0f} to {max(rates):,.0f}; busy {middle.busy:.2f}")


def cores(given, report):
    """CPU per operation and throughput with 1, 2, 4, 8 ... workers, each with a core of its own"""
    processors = spread_out(os.sched_getaffinity(0))
    if len(processors) < 2:
        say("cores: left out, as it takes two processors, one of them for the load generator")
        return
    for count in counts(len(processors)):
        own, rest = processors[:count], processors[count:]
        with servers(*kinds(count, own)) as pair:
            names = ["Forebay", "memcached"]
            for server in pair:
                prefill(server, KEYS, SIZE)
            for name, load in {**LOADS, **BEHIND}.items():
                several = list(zip(names, pair))[:1 if name in BEHIND else 2]
                found = {who: [] for who, _ in several}
                for number in range(given.rounds):
                    for which in figures.order(len(several), number):
                        who, server = several[which]
                        found[who].append(sample(server, given, load, own, rest))
                tell(report, name, count, found)
