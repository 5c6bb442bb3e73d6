# SPDX-License-Identifier: MIT
"""What more workers than cores come to: the loads of tools/bench/compare workers.

A worker that loses its core while it holds a lock would make all others wait for it, and more of them would serve less. So the
same load is measured with 1, 2, 4 and 8 workers, in turns, unpinned, the load generator beside them: where there is one for each
core or more, each may be at most a tenth behind the best of its turn. Locks are met most where all ask for a single key, which is
in one shard. CPU for each operation grows with the workers all the same: each finds less to do when it wakes up.
"""

import os
import statistics

import figures
from measure import PinnedForebay, cpu_seconds, memtier, operations, prefill, rate, servers

COUNTS = (1, 2, 4, 8)
KEYS = 200000
LEAST = 0.9  # of the best
CONNECTIONS = 32

# name: (keys, set:get, pipeline)
LOADS = {"mixed, no pipeline": (KEYS, "1:10", 1), "mixed, pipeline 16": (KEYS, "1:10", 16), "one key, pipeline 16": (1, "1:1", 16)}


def sample(server, given, load):
    """Operations a second, and microseconds of CPU for each."""
    keys, ratio, depth = load
    done, used = operations(server), cpu_seconds(server)
    found = memtier(server, "-t", 2, "-c", CONNECTIONS // 2, "-d", 100, f"--key-maximum={keys}", f"--ratio={ratio}", "--key-pattern=R:R",
                    "--test-time", given.seconds, "--pipeline", depth, core=None)
    return rate(found, given.seconds), (cpu_seconds(server) - used) / (operations(server) - done) * 1e6


def in_turns(several, given, load):
    """[[(rate, CPU) of each server] of each turn]"""
    turns = []
    for number in range(given.rounds):
        found = {which: sample(several[which], given, load) for which in figures.order(len(several), number)}
        turns.append([found[which] for which in range(len(several))])
    return turns


def tell(report, name, turns):
    for which, count in enumerate(COUNTS):
        rates = [turn[which][0] for turn in turns]
        of_best = [turn[which][0] / max(rate_of_one for rate_of_one, _ in turn) for turn in turns]
        cpu_us = statistics.median(turn[which][1] for turn in turns)
        report.figure(f"throughput / the best, {count} workers, {name}", statistics.median(of_best),
                      LEAST if count >= os.cpu_count() else None, at_most=False,
                      detail=f"{statistics.median(rates):.0f} a second, {cpu_us:.3f} us CPU each; {min(of_best):.3g} to {max(of_best):.3g}")


def workers(given, report):
    """throughput and CPU per operation with 1, 2, 4 and 8 workers on all cores, against the best of them"""
    kinds = [(PinnedForebay, {"options": ["-m", "256", "-t", str(count)]}, None) for count in COUNTS]
    with servers(*kinds) as several:
        for server in several:
            prefill(server, KEYS, 100)
        for name, load in LOADS.items():
            tell(report, name, in_turns(several, given, load))
