# SPDX-License-Identifier: MIT
"""Rows into three masters of a Redis Cluster and out of them, against one Redis, in turns: of tools/bench/cluster.

All Redis are pinned to one core, the program that is measured to the other: CPU per row is what it costs, and the rates are
those of one core of Redis, however many processes share it.
"""

import collections
import contextlib
import csv
import os
import re
import resource
import subprocess
import tempfile

import figures
from measure import LOAD_CORE, SERVER_CORE, built, pinned, program, remove, say, seconds_by_thread, servers, whole
from cluster import Cluster, Node
from forebay import Config, Redis, Server, die_with_the_test, namespace, section

PHASES = {"insert": "insert", "overwrite": "overwrite", "load": "load, 100 keys a call", "load_one": "load, one key a call"}
VALUE = "x" * 100
LINE = re.compile(r"^(\w+) +(\d+) entries/s +([\d.]+) us of CPU")
ALONE = 5  # one of so many rows is loaded by itself
BATCH, KEYS_IN_LINE = 5000, 100  # of a client

# Rows a second; and microseconds of CPU for each: of the program, and of all Redis.
Phase = collections.namedtuple("Phase", "rate ours redis")
Side = collections.namedtuple("Side", "name program uri nodes")


def unbroken(kind):
    """A kind of server that is started whole: what an interrupt raises in the middle of a fork is lost."""

    class Unbroken(kind):
        def spawn(self):
            with whole():
                return super().spawn()

    return Unbroken


class MeasuredCluster(Cluster):
    kind = unbroken(Node)


OneRedis = pinned(Redis)  # from PATH, as the nodes of the cluster
MeasuredServer = unbroken(Server)


def pin(server, core):
    for task in os.listdir(f"/proc/{server.pid}/task"):
        os.sched_setaffinity(int(task), {core})


@contextlib.contextmanager
def cluster_of(*options, core=SERVER_CORE, **shape):
    """A Redis Cluster in a folder of its own, of which nothing is left."""
    folder = tempfile.mkdtemp(prefix="forebay-bench-")
    cluster = MeasuredCluster(folder, *options, **shape)
    try:
        cluster.__enter__()
        for node in cluster.nodes if core is not None else ():
            pin(node, core)
        yield cluster
    finally:
        with whole():
            cluster.__exit__(None, None, None)
            remove(folder)


def redis_seconds(nodes):
    return sum(sum(seconds_by_thread(node).values()) for node in nodes)


def empty(nodes):
    for node in nodes:
        with node.connect() as client:
            client.flushall()


@contextlib.contextmanager
def run(command):
    """A program whose output is read until it ends; it does not outlive the block."""
    with whole():
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_the_test)
    try:
        yield process
        if process.wait():
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


# ---- By the backend's own functions ----


def phase_of(line, redis_us, entries):
    """What bench_redis says of a phase. redis_us: what all Redis have used for it."""
    name, rate, ours = LINE.match(line).groups()
    return name, Phase(float(rate), float(ours), redis_us / (entries // ALONE if name == "load_one" else entries))


def run_program(side, given):
    """{phase: Phase} of one run of bench_redis into empty stores."""
    empty(side.nodes)
    found, used = {}, redis_seconds(side.nodes)
    command = ["taskset", "-c", str(LOAD_CORE), built(side.program), "-u", side.uri, "-n", str(given.entries), "-l", given.layout,
               "-o", str(given.entries // ALONE)]
    with run(command) as process:
        for line in process.stdout:
            now = redis_seconds(side.nodes)
            name, phase = phase_of(line, (now - used) * 1e6, given.entries)
            found[name], used = phase, now
    return found


def tell_ratios(report, ours, theirs):
    """ours, theirs: {phase: [Phase]}, one for each turn."""
    for name, title in PHASES.items():
        sides = [[phase.ours for phase in taken[name]] for taken in (ours, theirs)]
        report.ratio(f"CPU per row, {title}: cluster / one Redis", figures.turns(*sides), 1.5, "us")
    for name, title in PHASES.items():
        sides = [[phase.rate for phase in taken[name]] for taken in (ours, theirs)]
        report.ratio(f"rows a second, {title}: the same", figures.turns(*sides), None, at_most=False)


def shown(taken, what):
    return figures.with_spread(figures.spread([getattr(phase, what) for phase in taken]))


def table_of_rows(found):
    """Lines for the document. found: {name of a side: {phase: [Phase]}}."""
    lines = ["| | " + " | ".join(found) + " |", "| --- |" + " --- |" * len(found)]
    for name, title in PHASES.items():
        for what, unit in (("rate", "rows/s"), ("ours", "CPU here, us a row"), ("redis", "CPU of Redis, us a row")):
            lines.append(f"| {title}: {unit} | " + " | ".join(shown(taken[name], what) for taken in found.values()) + " |")
    return lines


# ---- redis-benchmark ----

CALLS = {"SET": ["-t", "set", "-d", str(len(VALUE))],
         "HSET": ["HSET", "key:{tag}:__rand_int__", "value", VALUE, "version", "7999999999999", "flags", "0", "expires_at", "0"]}


def rate_in(text):
    """Calls a second of the last line of its --csv."""
    return float(next(csv.reader(text.strip().splitlines()[-1:]))[1])


def run_benchmark(cluster, call, given):
    """The same as of bench_redis: one connection to each master, one thread, 64 calls under way over each."""
    empty(cluster.masters)
    used, children = redis_seconds(cluster.masters), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = ["taskset", "-c", str(LOAD_CORE), program("REDIS_BENCHMARK", "redis-benchmark"), "--cluster", "-p", str(cluster.masters[0].port),
               "-c", str(len(cluster.masters)), "--threads", "1", "-P", "64", "-n", str(given.entries), "-r", "2000000000", "--csv", *CALLS[call]]
    with run(command) as process:
        said = process.stdout.read()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    ours = after.ru_utime + after.ru_stime - children.ru_utime - children.ru_stime
    return Phase(rate_in(said), ours / given.entries * 1e6, (redis_seconds(cluster.masters) - used) / given.entries * 1e6)


def table_of_calls(found):
    lines = ["| redis-benchmark --cluster | calls/s | its CPU, us a call | CPU of Redis, us a call |", "| --- | --- | --- | --- |"]
    for call, taken in found.items():
        lines.append(f"| {call} | " + " | ".join(shown(taken, what) for what in ("rate", "ours", "redis")) + " |")
    return lines


def rows(given, report):
    """rows flushed and loaded by the backend: three masters against one Redis with calls of one entry; and redis-benchmark --cluster"""
    with cluster_of() as cluster, servers((OneRedis, [], SERVER_CORE)) as [single]:
        sides = [Side("three masters", "bench_redis", cluster.uri, cluster.masters),
                 Side("one Redis, one entry a call", "bench_redis_single", single.uri, [single]),
                 Side("one Redis, up to 16 entries a call", "bench_redis", single.uri, [single])]
        found = {side.name: collections.defaultdict(list) for side in sides}
        calls = {call: [] for call in CALLS}
        for turn in range(given.rounds):
            for which in figures.order(len(sides), turn):
                say(f"    turn {turn + 1} of {given.rounds}: {sides[which].name}")
                for name, phase in run_program(sides[which], given).items():
                    found[sides[which].name][name].append(phase)
            for call, taken in calls.items():
                taken.append(run_benchmark(cluster, call, given))
    tell_ratios(report, found[sides[0].name], found[sides[1].name])
    say("\n".join(["", *table_of_rows(found), "", *table_of_calls(calls), ""]))


# ---- By the server ----


def serving(store, folder, journal="off", memory="1gb"):
    space = namespace("rows", "key:", "write-behind", backend="store", journal=journal)
    return MeasuredServer(folder, config=Config(space, threads=1, memory=memory, backends=[section("backend", "store", uri=store.uri)]))


def thread_us(server, thread, work, count):
    """Microseconds of a kind of thread for each row of some work."""
    used = seconds_by_thread(server)[thread]
    work()
    return (seconds_by_thread(server)[thread] - used) / count * 1e6


def flush_through(server, count):
    """Rows key:0 and so on."""
    with server.client() as client:
        for first in range(0, count, BATCH):
            client.set_many((f"key:{number}", VALUE.encode()) for number in range(first, min(count, first + BATCH)))
        client.sync()


def load_through(server, count):
    with server.client() as client:
        found = sum(len(client.get_many([f"key:{number}" for number in range(first, first + KEYS_IN_LINE)]))
                    for first in range(0, count, KEYS_IN_LINE))
    if found < count:
        raise SystemExit(f"{count - found} of {count} rows are missing: the figure would mean nothing")


def through_a_server(store, given):
    """(writer, readers): microseconds of CPU for each row."""
    empty(getattr(store, "masters", [store]))
    count = given.entries // KEYS_IN_LINE * KEYS_IN_LINE
    folder = tempfile.mkdtemp(prefix="forebay-bench-")
    try:
        with serving(store, folder) as server:
            writer = thread_us(server, "writer", lambda: flush_through(server, count), count)
        with serving(store, folder) as server:
            return writer, thread_us(server, "reader", lambda: load_through(server, count), count)
    finally:
        with whole():
            remove(folder)


def served(given, report):
    """CPU per row of a server's writer and readers: three masters against one Redis, as it calls it (up to 16 entries)"""
    with cluster_of() as cluster, servers((OneRedis, [], SERVER_CORE)) as [single]:
        stores, found = (cluster, single), ([], [])
        for turn in range(given.rounds):
            for which in figures.order(len(stores), turn):
                say(f"    turn {turn + 1} of {given.rounds}: {('three masters', 'one Redis')[which]}")
                found[which].append(through_a_server(stores[which], given))
    lines = ["| CPU, us a row | three masters | one Redis |", "| --- | --- | --- |"]
    for thread, (name, goal) in enumerate((("writer", None), ("readers", 1.5))):
        sides = [[taken[thread] for taken in side] for side in found]
        report.ratio(f"CPU of the {name} per row: cluster / one Redis", figures.turns(*sides), goal, "us")
        lines.append(f"| {name} | " + " | ".join(figures.with_spread(figures.spread(side)) for side in sides) + " |")
    say("\n".join(["", *lines, ""]))
