# SPDX-License-Identifier: MIT
"""Forebay against its peers, in turns within one run: what tools/bench/compare prints and tools/bench/report writes down.

The server is pinned to core 0 with one worker, the load to core 1. CPU per operation is user and system time of the whole
process, divided by the operations that the server itself counted.
"""

import contextlib
import random
import sys
import threading
import time

from cores import cores
from encrypted import tls
from measure import (PinnedBefore, PinnedForebay, PinnedMemcached, SERVER_CORE, cpu_per_operation, in_turns, memtier, pair, prefill,
                     rate, servers, settle)
from workers import workers

MIB = 1 << 20
KEYS = 200000
SCRAPED_ROUNDS = 21


def mixed(given, depth, ratio="1:10", clients=32, size=100, protocol="memcache_text"):
    """A load: 32 connections, random keys."""
    return lambda server: memtier(server, "-t", 1, "-c", clients, "-d", size, f"--key-maximum={KEYS}", f"--ratio={ratio}",
                                  "--key-pattern=R:R", "--test-time", given.seconds, "--pipeline", depth, protocol=protocol)


def cpu_ratio(given, report, name, load, goal):
    with pair(1024) as (ours, theirs):
        for server in (ours, theirs):
            prefill(server, KEYS, 100)
        taken = in_turns(ours, theirs, lambda server: cpu_per_operation(server, load), given.rounds)
        report.ratio(name, taken, goal, "us")


def cpu(given, report):
    """CPU per operation, set:get 1:10: no pipeline, 16 and 64"""
    for depth, goal in ((1, 0.93), (16, 0.62), (64, 0.45)):
        cpu_ratio(given, report, f"CPU per operation / memcached, pipeline {depth}", mixed(given, depth), goal)


def multiget(given, report):
    """CPU per key, multi-get of 100 keys"""

    def load(server):
        memtier(server, "-t", 1, "-c", 32, f"--key-maximum={KEYS}", "--ratio=0:100", "--key-pattern=R:R", "--multi-key-get=100",
                "--test-time", given.seconds)

    cpu_ratio(given, report, "CPU per key of a multi-get / memcached", load, 0.55)


def sets(given, report):
    """CPU per set, pipeline 16"""
    cpu_ratio(given, report, "CPU per set / memcached, pipeline 16", mixed(given, 16, "1:0"), 0.70)


def binary(given, report):
    """CPU per operation of the binary protocol, gets and sets: no pipeline and 16"""
    for depth, goal in ((1, 0.9), (16, 0.65)):
        for name, ratio in (("get", "0:1"), ("set", "1:0")):
            cpu_ratio(given, report, f"CPU per binary {name} / memcached, pipeline {depth}",
                      mixed(given, depth, ratio, protocol="memcache_binary"), goal)


def before(given, report):
    """CPU per operation of the text protocol, against the build that FOREBAY_BEFORE names: no pipeline, 16 and 64"""
    for depth in (1, 16, 64):
        load, options = mixed(given, depth), ["-m", "1024", "-t", "1"]
        with servers((PinnedForebay, {"options": options}, SERVER_CORE), (PinnedBefore, {"options": options}, SERVER_CORE)) as (ours, theirs):
            for server in (ours, theirs):
                prefill(server, KEYS, 100)
            taken = in_turns(ours, theirs, lambda server, load=load: cpu_per_operation(server, load), given.rounds)
            report.ratio(f"CPU per operation / FOREBAY_BEFORE, pipeline {depth}", taken, 1.01, "us")


@contextlib.contextmanager
def scraped(server):
    """While /metrics is asked for once a second, as Prometheus does."""
    over = threading.Event()

    def scrape():
        while not over.wait(1):
            server.ask("/metrics")

    scraper = threading.Thread(target=scrape)
    scraper.start()
    try:
        yield
    finally:
        over.set()
        scraper.join()


def metrics(given, report):
    """CPU per operation while /metrics is scraped once a second, against a server without admin HTTP (FOREBAY_BEFORE: of that
    build); pipeline 64. In 21 turns at least: in five, what the machine does besides is larger than the difference"""
    load, options = mixed(given, 64), ["-m", "1024", "-t", "1"]

    def cost(server):
        with scraped(server) if server is ours else contextlib.nullcontext():
            return cpu_per_operation(server, load)

    with servers((PinnedForebay, {"options": options, "admin": True}, SERVER_CORE),
                 (PinnedBefore, {"options": options}, SERVER_CORE)) as (ours, theirs):
        for server in (ours, theirs):
            prefill(server, KEYS, 100)
        taken = in_turns(ours, theirs, cost, max(given.rounds, SCRAPED_ROUNDS))
        report.ratio("CPU per operation, scraped / without", taken, 1.02, "us")


def throughput(given, report):
    """operations a second with two workers and two load threads, unpinned"""
    with pair(1024, threads=2, core=None) as (ours, theirs):
        for server in (ours, theirs):
            prefill(server, KEYS, 100)

        def throughput_of(server):
            found = memtier(server, "-t", 2, "-c", 16, "-d", 100, f"--key-maximum={KEYS}", "--ratio=1:10", "--key-pattern=R:R",
                            "--test-time", given.seconds, "--pipeline", 16, core=None)
            return rate(found, given.seconds)

        report.ratio("throughput / memcached, two workers", in_turns(ours, theirs, throughput_of, given.rounds), 1.0, "a second", at_most=False)


def latency(given, report):
    """99th percentile of requests at half of what memcached can do, no pipeline"""
    with pair(1024) as (ours, theirs):
        for server in (ours, theirs):
            prefill(server, KEYS, 100)
        full = rate(mixed(given, 1)(theirs), given.seconds)
        each = max(1, int(full / 2 / 32))

        def p99(server):
            found = memtier(server, "-t", 1, "-c", 32, "-d", 100, f"--key-maximum={KEYS}", "--ratio=1:10", "--key-pattern=R:R",
                            "--test-time", given.seconds, f"--rate-limiting={each}")
            return found["Totals"]["Percentile Latencies"]["p99.00"]

        report.ratio("p99 at half load / memcached", in_turns(ours, theirs, p99, given.rounds), None, "ms")


def turns(given, report):
    """99.99th percentile of the worker's turns while the cache grows, evicts and expires, as the server counts it; pipeline 16"""
    timed = ("--key-pattern=R:R", "--test-time", 3 * given.seconds)
    loads = {"growing": ("2048", ("-d", 100, "--key-maximum=4000000", "--ratio=1:0", "--key-pattern=P:P", "-n", "allkeys")),
             "evicting": ("64", ("--data-size-range=20-2000", "--key-maximum=2000000", "--ratio=1:1", *timed)),
             "expiring": ("256", ("--data-size-range=20-2000", "--expiry-range=1-3", "--key-maximum=1000000", "--ratio=1:1", *timed))}
    for name, (memory, load) in loads.items():
        with servers((PinnedForebay, {"options": ["-m", memory, "-t", "1"]}, SERVER_CORE)) as [server]:
            memtier(server, "-t", 1, "-c", 32, "--pipeline", 16, *load)
            stats = server.client().stats("forebay")
            report.figure(f"99.99th percentile of turns, {name}", int(stats["turn_p9999_us"]), 1024, unit=" us",
                          detail=f"of {stats['turns']} turns; powers of two")


def resident_per_item(given, kind, size):
    items = 500000 if given.quick else 2000000
    with servers((kind, {"options": ["-m", "4096", "-t", "1"]}, None)) as [server]:
        before = server.resident()
        prefill(server, items, size)
        held = int(server.client().stats()["curr_items"])
        if held < items:
            sys.exit(f"only {held} of {items} items are held: the figure would mean nothing")
        return (settle(server) - before) / items


def bytes_per_item(given, report):
    """resident bytes per item, keys of about 15 bytes, values of 32, 100 and 500"""
    for size, goal in ((32, 80), (100, 152), (500, 552)):
        ours, theirs = resident_per_item(given, PinnedForebay, size), resident_per_item(given, PinnedMemcached, size)
        report.figure(f"resident bytes per item, value {size}", ours, goal, " B", f"memcached {theirs:.0f}, ratio {ours / theirs:.2f}")


def overwrite(given, report):
    """resident memory and live data after ten times the capacity was overwritten with drifting sizes, -m 256"""
    limit = 256 * MIB
    chooser = random.Random(1)
    with servers((PinnedForebay, {"options": ["-m", str(limit // MIB), "-t", "1"]}, None)) as [server]:
        client = server.client()
        written, highest, sizes = 0, 0, {}
        total = (3 if given.quick else 10) * limit
        while written < total:
            middle = 40 + 1500 * written // total  # small values first, large ones at the end
            pairs = []
            for _ in range(500):
                key = f"memtier-{chooser.randrange(2000000)}"
                size = chooser.randrange(middle // 2, middle * 2)
                pairs.append((key, b"x" * size))
                sizes[key] = size + len(key)
                written += size + len(key)
            client.set_many(pairs)
            highest = max(highest, server.resident()) if written % (16 * MIB) < 500 * middle else highest
        highest = max(highest, settle(server))
        stats = client.stats()
        sample = chooser.sample(sorted(sizes), min(100000, len(sizes)))
        found = [key for start in range(0, len(sample), 100) for key in client.get_many(sample[start:start + 100])]
        live = sum(sizes[key if isinstance(key, str) else key.decode()] for key in found) * len(sizes) / len(sample)
        report.figure("highest resident memory above -m", (highest - limit) / MIB, limit / MIB * 0.05 + 8, " MiB",
                      f"resident {highest / MIB:.0f} MiB, {stats['curr_items']} items, {stats['evictions']} evictions")
        report.figure("live keys and values / -m", live / limit, 0.85, at_most=False, detail="estimated from a sample of keys")


def expired(given, report):
    """memory still held two seconds after the expiry of what filled half of -m 256, under load"""
    with servers((PinnedForebay, {"options": ["-m", "256", "-t", "1"]}, None)) as [server]:
        client = server.client()
        kept = [f"kept-{i}" for i in range(200000)]
        for start in range(0, len(kept), 500):
            client.set_many((key, b"x" * 100) for key in kept[start:start + 500])
        before = settle(server)
        count = 500000 if given.quick else 900000
        until = int(time.time()) + (20 if given.quick else 30)
        for start in range(0, count, 500):
            client.set_many(((f"short-{i}", b"x" * 100) for i in range(start, start + 500)), ttl=until)
        if time.time() > until - 1:
            sys.exit("filling took longer than the entries live")
        held = server.resident() - before
        while time.time() < until + 2:  # the load: reads and overwrites of what stays
            some = random.sample(kept, 100)
            client.get_many(some)
            client.set_many((key, b"y" * random.randrange(90, 110)) for key in some[:10])
        report.figure("expired memory still held", (server.resident() - before) / held, 0.10, "", f"of {held / MIB:.0f} MiB")


MEASUREMENTS = {"cpu": cpu, "multiget": multiget, "sets": sets, "binary": binary, "before": before, "metrics": metrics, "throughput": throughput,
                "workers": workers, "cores": cores, "tls": tls, "latency": latency, "turns": turns, "bytes": bytes_per_item, "overwrite": overwrite, "expired": expired}
