# SPDX-License-Identifier: MIT
"""What more workers than cores come to: the loads of tools/bench/compare workers.

More workers than cores would each find less to do when they wake up, and one that loses its core while it holds a lock would make
all others wait for it. Connections are therefore given to no more of them than there are processors (server/rotation.c). Whether that
holds is measured by the same load with 1, 2, 4 and 8 workers, in turns: where there is one for each of the server's processors or
more, each may be at most a tenth behind the best of its turn. The server has two processors, and the load generator all others; where
there are not so many, both share what there is, and as the load takes its part, fewer workers may be the best. What the bound is for
is seen by the most of them without it (use_threads = "all"). Locks are met most where all ask for a single key, which is in one
shard. What other work on the machine does not spoil as it does rates is CPU for each operation, and counts: operations of a turn, and
how often the workers' threads gave up their core because there was nothing to do (rests) or lost it to another thread (losses).
"""

import collections
import glob
import os
import re
import statistics

import figures
from cores import listed, spread_out
from measure import Config, PinnedForebay, cpu_seconds, memtier, operations, prefill, rate, servers

COUNTS = (1, 2, 4, 8)
VARIANTS = [(count, "processors") for count in COUNTS] + [(COUNTS[-1], "all")]  # threads, use_threads
KEYS = 200000
LEAST = 0.9  # of the best
CONNECTIONS = 32
PROCESSORS = 2  # of the server
LOAD_THREADS = 8  # at most: each has connections of its own

# name: (keys, set:get, pipeline)
LOADS = {"mixed, no pipeline": (KEYS, "1:10", 1), "mixed, pipeline 16": (KEYS, "1:10", 16), "one key, pipeline 16": (1, "1:1", 16)}

Places = collections.namedtuple("Places", "server load processors")  # lists for taskset, None for all; how many the server may use
Sample = collections.namedtuple("Sample", "rate cpu_us a_turn rests losses")  # of an operation; losses and rests: of a thousand


def places(processors):
    """Where server and load generator run, of these."""
    own, rest = processors[:PROCESSORS], processors[PROCESSORS:]
    return Places(listed(own), listed(rest), len(own)) if len(rest) >= PROCESSORS else Places(None, None, len(processors))


def switches(server):
    """How often the workers' threads have given up their core, and lost it."""
    found = collections.Counter()
    for task in glob.glob(f"/proc/{server.pid}/task/*"):
        with open(f"{task}/status", encoding="ascii") as status:
            text = status.read()
        if re.search(r"^Name:\s+worker", text):
            found.update({kind: int(count) for kind, count in re.findall(r"^(voluntary|nonvoluntary)_ctxt_switches:\s+(\d+)", text, re.MULTILINE)})
    return found


def turns_of(server):
    with server.client() as client:
        return int(client.stats("forebay")["turns"])


def sample(server, given, load, where):
    keys, ratio, depth = load
    threads = min(LOAD_THREADS, where.load.count(",") + 1) if where.load else PROCESSORS
    done, used, turns, before = operations(server), cpu_seconds(server), turns_of(server), switches(server)
    found = memtier(server, "-t", threads, "-c", CONNECTIONS // threads, "-d", 100, f"--key-maximum={keys}", f"--ratio={ratio}", "--key-pattern=R:R",
                    "--test-time", given.seconds, "--pipeline", depth, core=where.load)
    after, turns, used, done = switches(server), turns_of(server) - turns, cpu_seconds(server) - used, operations(server) - done
    rests, losses = ((after[kind] - before[kind]) / done * 1000 for kind in ("voluntary", "nonvoluntary"))
    return Sample(rate(found, given.seconds), used / done * 1e6, done / turns, rests, losses)


def in_turns(several, given, load, where):
    """[[the Sample of each server] of each turn]"""
    turns = []
    for number in range(given.rounds):
        found = {which: sample(several[which], given, load, where) for which in figures.order(len(several), number)}
        turns.append([found[which] for which in range(len(several))])
    return turns


def tell(report, name, turns, processors):
    for which, (count, used) in enumerate(VARIANTS):
        of_best = [turn[which].rate / max(one.rate for one in turn) for turn in turns]
        middle = Sample(*(statistics.median(turn[which][field] for turn in turns) for field in range(len(Sample._fields))))
        report.figure(f"throughput / the best, {count} workers{', all in turn' if used == 'all' else ''}, {name}", statistics.median(of_best),
                      LEAST if count >= processors and used != "all" else None, at_most=False,
                      detail=f"{middle.rate:.0f} a second, {middle.cpu_us:.3f} us CPU each; {min(of_best):.3g} to {max(of_best):.3g}; "
                             f"{middle.a_turn:.1f} a turn, of 1000 {middle.rests:.1f} rests, {middle.losses:.1f} losses")


def workers(given, report):
    """throughput and CPU per operation with 1, 2, 4 and 8 workers on two processors, against the best of them"""
    where = places(spread_out(os.sched_getaffinity(0)))
    kinds = [(PinnedForebay, {"config": Config(memory="256mb", threads=count, use_threads=used)}, where.server) for count, used in VARIANTS]
    with servers(*kinds) as several:
        for server in several:
            prefill(server, KEYS, 100)
        for name, load in LOADS.items():
            tell(report, name, in_turns(several, given, load, where), where.processors)
