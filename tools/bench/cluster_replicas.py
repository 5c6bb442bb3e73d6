# SPDX-License-Identifier: MIT
"""What it costs a flush that a replica has to have it (`replicas`): of tools/bench/cluster.

Two servers over one Redis Cluster of three masters with a replica each, one with replicas = 1, in turns. A flush is what a `sync`
waits for: so many changes were accepted before, and none is written by itself. One change that is written through is what its
client waits for.
"""

import collections
import tempfile
import time

import figures
from measure import remove, say, whole
from cluster_rows import MeasuredServer, VALUE, cluster_of
from forebay import Config, namespace, section

SIZES = {1: 200, 100: 50, 10000: 3}  # rows of a flush: how many of these in a turn
THROUGH = 500  # changes that are written through, in a turn
REPLICAS = (0, 1)


def serving(cluster, folder, replicas):
    spaces = [namespace("behind", f"b{replicas}:", "write-behind", backend="store", flush_delay="1h", flush_batch=1000000, journal="off"),
              namespace("through", f"t{replicas}:", "write-through", backend="store")]
    backend = section("backend", "store", uri=cluster.uri, timeout="60s", replicas=replicas)
    return MeasuredServer(f"{folder}/{replicas}", config=Config(*spaces, threads=1, memory="256mb", backends=[backend], node=replicas))


def milliseconds(work):
    began = time.monotonic()
    work()
    return (time.monotonic() - began) * 1000


def flushes(client, replicas, size, count):
    """How long each took, ms."""
    taken = []
    for _ in range(count):
        answers = client.set_many((f"b{replicas}:{number}", VALUE.encode()) for number in range(size))
        if set(answers) != {b"STORED"}:
            raise SystemExit("a change was refused: the figure would mean nothing")
        taken.append(milliseconds(client.sync))
    return taken


def changes(client, replicas, count):
    return [milliseconds(lambda number=number: client.set(f"t{replicas}:{number}", VALUE.encode())) for number in range(count)]


def check_waits(server, waited):
    """Each flush waits, or none does."""
    with server.client() as client:
        waits = int(client.stats("backends")["store:replica_waits"])
        short = int(client.stats("backends")["store:replica_short"])
    if (waits > 0) != waited or short:
        raise SystemExit(f"replicas were waited for {waits} times, and {short} times too few had it: the figures would mean nothing")


def shown(values):
    return figures.with_spread(figures.spread(values))


def table(found):
    """Lines for the document. found: {what: ([p50 of each turn] without, the same with replicas)}."""
    lines = ["| p50, ms | `replicas = 0` | `replicas = 1` | more |", "| --- | --- | --- | --- |"]
    for what, (without, waiting) in found.items():
        more = figures.spread([b - a for a, b in zip(without, waiting)])
        lines.append(f"| {what} | {shown(without)} | {shown(waiting)} | {figures.with_spread(more)} |")
    return lines


def warm(server, replicas):
    """Every row is there from then on, and every link."""
    with server.client() as client:
        flushes(client, replicas, max(SIZES), 1)
        changes(client, replicas, THROUGH)


def turn_of(server, replicas, given):
    """{what: p50 in ms}."""
    found = {}
    with server.client() as client:
        found["a change, written through"] = figures.percentile(sorted(changes(client, replicas, THROUGH // (5 if given.quick else 1))), 50)
        for size, count in SIZES.items():
            taken = flushes(client, replicas, size, max(1, count // (5 if given.quick else 1)))
            found[f"a flush of {size:,} row{'s' if size > 1 else ''}"] = figures.percentile(sorted(taken), 50)
    return found


def replicas(given, report):
    """what a flush takes more where a replica has to have it: of 1, 100 and 10,000 rows, and of a change that is written through"""
    found = collections.defaultdict(lambda: ([], []))
    folder = tempfile.mkdtemp(prefix="forebay-bench-")
    try:
        with cluster_of(core=None, replicas=1) as cluster, serving(cluster, folder, 0) as without, serving(cluster, folder, 1) as waiting:
            servers = (without, waiting)
            for which in REPLICAS:
                warm(servers[which], which)
            for turn in range(given.rounds):
                for which in figures.order(len(servers), turn):
                    say(f"    turn {turn + 1} of {given.rounds}: replicas = {which}")
                    for what, p50 in turn_of(servers[which], which, given).items():
                        found[what][which].append(p50)
            for which in REPLICAS:
                check_waits(servers[which], which > 0)
    finally:
        with whole():
            remove(folder)
    for what, (ours, theirs) in found.items():
        report.ratio(f"{what}: with a replica / without", figures.turns(theirs, ours), None, "ms")
    say("\n".join(["", *table(found), ""]))
