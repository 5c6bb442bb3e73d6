# SPDX-License-Identifier: MIT
"""What write-behind, write-through and read-through cost: what tools/bench/durability prints and tools/bench/report writes down.

All files lie in the folder of TMPDIR, which should be on the disk that is meant: what an fsync costs there decides half of
these figures.
"""

import collections
import contextlib
import os
import re
import statistics
import subprocess
import tempfile
import threading
import time

import starts
from measure import (Config, LagWatch, PinnedForebay, PinnedRedis, built, cpu_per_operation, in_turns, memtier, namespace, operations, prefill,
                     rate, say, seconds_by_thread, servers, waited_by_thread)

KEYS = 200000
RANDOM_KEYS = ("--key-pattern=R:R", "--distinct-client-seed")  # without the seed all connections draw the same ones


def write_behind(name, **options):
    return namespace(name, "memtier-", "write-behind", **options)


def journal(given, report):
    """CPU per set, 300 bytes, pipeline 16: journal interval against off, and against Redis appendfsync everysec"""

    def load(server):
        memtier(server, "-t", 1, "-c", 32, "-d", 300, "--key-maximum=100000", "--ratio=1:0", *RANDOM_KEYS, "--test-time",
                given.seconds, "--pipeline", 16, protocol="redis" if isinstance(server, PinnedRedis) else "memcache_text")

    def forebay(mode):
        return PinnedForebay, {"config": Config(write_behind("all", journal=mode), memory="1gb", threads=1)}, 0

    redis = PinnedRedis, ["--appendonly", "yes", "--appendfsync", "everysec"], 0
    with servers(forebay("interval"), forebay("off")) as (interval, off):
        taken = in_turns(interval, off, lambda server: cpu_per_operation(server, load), given.rounds)
        report.ratio("CPU per set, journal interval / off", taken, 1.15, "us, flushing included")
    with servers(forebay("interval"), redis) as (interval, peer):
        taken = in_turns(interval, peer, lambda server: cpu_per_operation(server, load), given.rounds)
        report.ratio("CPU per set, journal interval / Redis everysec", taken, 0.75, "us")


def always(given, report):
    """throughput of sets that are on disk when they are answered: journal always against Redis appendfsync always"""

    def rate_of(server):
        found = memtier(server, "-t", 1, "-c", 32, "-d", 300, "--key-maximum=100000", "--ratio=1:0", *RANDOM_KEYS, "--test-time",
                        given.seconds, protocol="redis" if isinstance(server, PinnedRedis) else "memcache_text", core=None)
        return rate(found, given.seconds)

    ours = PinnedForebay, {"config": Config(write_behind("all", journal="always"), memory="1gb", threads=1)}, None
    with servers(ours, (PinnedRedis, ["--appendonly", "yes", "--appendfsync", "always"], None)) as (forebay, redis):
        report.ratio("sets a second, journal always / Redis always", in_turns(forebay, redis, rate_of, given.rounds), 1.0, at_most=False)


def flush_beside_sets(server, pipeline, given, report):
    used, lags = collections.defaultdict(list), []

    def rate_of(prefix):
        server.client().sync()  # nothing is left to be flushed at the expense of the other's turn
        before, done = seconds_by_thread(server), operations(server)
        with LagWatch(server, "behind") as lag:
            found = memtier(server, "-t", 1, "-c", 32, "-d", 100, f"--key-maximum={KEYS}", "--ratio=1:0", *RANDOM_KEYS, "--test-time",
                            given.seconds, "--pipeline", pipeline, f"--key-prefix={prefix}", core=None)
        lags.append(lag.highest or 0)
        done = operations(server) - done
        for name, seconds in (seconds_by_thread(server) - before).items():
            used[prefix + name].append(seconds / done * 1e6)
        return rate(found, given.seconds)

    taken = in_turns("behind-", "aside-", rate_of, given.rounds)
    report.ratio(f"sets a second, write-behind / cache-aside, pipeline {pipeline}", taken, 0.85, at_most=False)
    for name in sorted(used):
        say(f"    {name:20} {statistics.median(used[name]):.3f} us a set")
    say(f"    the oldest change that was not flushed was {max(lags):.1f} s old")


def flushing(given, report):
    """sets a second into a write-behind namespace that flushes, against a cache-aside one, with and without pipeline"""
    spaces = (namespace("behind", "behind-", "write-behind"), namespace("aside", "aside-", "cache-aside"))
    with servers((PinnedForebay, {"config": Config(*spaces, memory="1gb")}, None)) as [server]:
        for pipeline in (16, 1):
            flush_beside_sets(server, pipeline, given, report)


class Waits:
    """How long threads wait for a core, in ms a second, of the turns that flush and of those that do not."""

    def __init__(self, server):
        self.server, self.found = server, collections.defaultdict(list)

    @contextlib.contextmanager
    def watch(self, flushes):
        before, began = waited_by_thread(self.server), time.monotonic()
        yield
        took = time.monotonic() - began
        for name, seconds in (waited_by_thread(self.server) - before).items():
            self.found[name, flushes].append(seconds / took * 1000)

    def tell(self, name):
        flushing, not_flushing = (statistics.median(self.found[name, flushes] or [0]) for flushes in (True, False))
        say(f"    {name:10} waits for a core {flushing:.2f} ms a second, {not_flushing:.2f} where nothing is flushed")


def sets_beside(server, seconds, each, prefix):
    """Four connections that set, in the background; to be joined."""
    load = threading.Thread(target=memtier, kwargs={"core": None}, args=(
        server, "-t", 1, "-c", 4, "-d", 100, f"--key-maximum={KEYS}", "--ratio=1:0", *RANDOM_KEYS, "--test-time", seconds,
        f"--rate-limiting={each}", f"--key-prefix={prefix}"))
    load.start()
    return load


def calm(given, report):
    """99th percentile of gets at half load beside a tenth as many sets that are flushed, against sets that stay in memory"""
    spaces = (namespace("behind", "behind-", "write-behind"), namespace("aside", "aside-", "cache-aside"))
    with servers((PinnedForebay, {"config": Config(*spaces, memory="1gb", threads=1)}, None)) as [server]:
        for prefix in ("behind-", "aside-"):
            prefill(server, KEYS, 100, prefix)
        gets = ("-t", 1, "-c", 16, f"--key-maximum={KEYS}", "--ratio=0:1", *RANDOM_KEYS, "--test-time", given.seconds, "--key-prefix=aside-")
        each = max(1, int(rate(memtier(server, *gets, core=None), given.seconds) / 2 / 16))
        waits = Waits(server)

        def p99(flushes):
            writes = sets_beside(server, given.seconds + 1, each * 16 // 10 // 4, "behind-" if flushes else "aside-")
            time.sleep(0.5)
            with waits.watch(flushes):
                found = memtier(server, *gets, f"--rate-limiting={each}", core=None)
            writes.join()
            return found["Totals"]["Percentile Latencies"]["p99.00"]

        taken = in_turns(True, False, p99, given.rounds)
        report.ratio("p99 of gets, sets flushed / sets in memory only", taken, 1.3, f"ms, {each * 16} gets a second")
        for name in ("worker", "writer"):
            waits.tell(name)


def plain_loop(group, rows=KEYS, rounds=3):
    """bench_sqlite_loop: {name of a line: (plain rows a second, the backend's)}."""
    path = os.environ.get("SQLITE_LOOP") or built("bench_sqlite_loop")
    done = subprocess.run([path, "-d", tempfile.gettempdir(), "-n", str(rows), "-g", str(group), "-r", str(rounds)],
                          capture_output=True, text=True, check=True)
    found = re.findall(r"^(\S.*?) +plain +(\d+) rows/s +backend +(\d+)", done.stdout, re.MULTILINE)
    return {name: (int(plain), int(backend)) for name, plain, backend in found}


def fsync_us(given):
    """Median of 200 appends of 4 KiB, each with fdatasync."""
    taken = []
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(200):
            os.write(file.fileno(), bytes(4096))
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e6 + (given.sync_us or 0)  # which this program itself does not feel


@contextlib.contextmanager
def stored(policy):
    """A server with a namespace of that policy, and KEYS rows in its SQLite."""
    behind = Config(namespace("sessions", "memtier-", "write-behind", journal="off"), memory="1gb")
    with servers((PinnedForebay, {"config": behind}, None)) as [server]:
        prefill(server, KEYS, 100)
        server.client().sync()
        server.stop()
        server.config = Config(namespace("sessions", "memtier-", policy), memory="1gb")
        yield server.start()


def through(given, report):
    """write-through, 32 connections without pipeline, against the plain loop: same group size, and one set per transaction"""
    with stored("write-through") as server:

        def groups():
            stats = server.client().stats("backends")
            return int(stats["local:write_through_changes"]), int(stats["local:write_through_commits"])

        rates, sizes, same, single, bound = [], [], [], [], []
        for _ in range(given.rounds):
            rows, batches = groups()
            found = memtier(server, "-t", 1, "-c", 32, "-d", 100, f"--key-maximum={KEYS}", "--ratio=1:0", *RANDOM_KEYS, "--test-time",
                            given.seconds, core=None)
            rates.append(rate(found, given.seconds))
            after = groups()
            sizes.append((after[0] - rows) / max(1, after[1] - batches))
            same.append(plain_loop(max(1, round(sizes[-1])), rounds=1)["group commit"][0])
            single.append(plain_loop(1, rows=KEYS // 4, rounds=1)["group commit"][0])
            bound.append(plain_loop(32, rounds=1)["group commit"][0])
        cost = f"an fdatasync of 4 KiB takes {fsync_us(given):.0f} us"
        detail = f"{statistics.median(rates):.0f} sets a second in groups of {statistics.median(sizes):.1f} against"
        report.figure("write-through / plain loop, same groups", statistics.median(a / b for a, b in zip(rates, same)), 0.8, at_most=False,
                      detail=f"{detail} {statistics.median(same):.0f}")
        report.figure("write-through / one transaction a set", statistics.median(a / b for a, b in zip(rates, single)), 20, at_most=False,
                      detail=f"against {statistics.median(single):.0f}; {cost}")
        report.figure("plain loop, groups of 32 / one transaction a set", statistics.median(a / b for a, b in zip(bound, single)), None)


def pipelines(given, report):
    """sets a second of one connection, pipeline 64 against none: journal always, and Redis appendfsync always; write-through"""

    def rate_of(server, depth):
        found = memtier(server, "-t", 1, "-c", 1, "-d", 100, f"--key-maximum={KEYS}", "--ratio=1:0", *RANDOM_KEYS, "--pipeline", depth,
                        "--test-time", given.seconds, protocol="redis" if isinstance(server, PinnedRedis) else "memcache_text", core=None)
        return rate(found, given.seconds)

    def compare(name, server):
        taken = in_turns(64, 1, lambda depth: rate_of(server, depth), given.rounds)
        report.ratio(f"one connection, pipeline 64 / none, {name}", taken, None, "sets a second")

    ours = PinnedForebay, {"config": Config(write_behind("all", journal="always"), memory="1gb", threads=1)}, None
    with servers(ours, (PinnedRedis, ["--appendonly", "yes", "--appendfsync", "always"], None)) as (forebay, redis):
        compare("journal always", forebay)
        compare("Redis always", redis)
    with stored("write-through") as server:
        compare("write-through", server)


def misses(given, report):
    """read-through: random keys a second that only SQLite has, gets of 100 keys (those already loaded not counted), against a loop of prepared SELECTs"""
    with stored("read-through") as server:
        rates, plain = [], []

        def loaded():
            return int(server.client().stats("namespaces")["sessions:load_hits"])

        for _ in range(given.rounds):
            server.client().command("flush_all")
            time.sleep(1.1)  # flush_all looks at seconds
            before = loaded()
            found = memtier(server, "-t", 1, "-c", 4, f"--key-maximum={KEYS}", "--ratio=0:100", *RANDOM_KEYS,
                            "--multi-key-get=100", "-n", KEYS // 400, core=None)
            rates.append((loaded() - before) / (found["Runtime"]["Total duration"] / 1000))
            plain.append(plain_loop(32, rounds=1)["load, 1 key a call"][0])
        report.figure("misses a second / SELECT loop", statistics.median(a / b for a, b in zip(rates, plain)), 0.8, at_most=False,
                      detail=f"{statistics.median(rates):.0f} against {statistics.median(plain):.0f}")


MEASUREMENTS = {"journal": journal, "always": always, "flushing": flushing, "calm": calm, "through": through,
                "pipelines": pipelines, "misses": misses, "recovery": starts.recovery, "preload": starts.preload}
