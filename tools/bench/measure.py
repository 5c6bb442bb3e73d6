# SPDX-License-Identifier: MIT
"""What the measurements share: peers and load generators, pinned servers, and the only comparison that holds on a machine
whose speed drifts: ours and theirs in turns (A B B A), and the median of the ratios.

Programs come from PATH or from the environment: FOREBAY (else build/release/forebay), MEMCACHED, MEMTIER, REDIS_SERVER,
POGOCACHE.
"""

import argparse
import collections
import contextlib
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))

import figures  # noqa: E402
from forebay import Config, Redis, Server, ServerFailed, binary, die_with_the_test, namespace  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
LISTEN = "0A"  # in /proc/net/tcp
SERVER_CORE, LOAD_CORE = 0, 1
# What is sent at once while filling: on a busy machine each batch waits for its turn, and its answers have to fit into a socket.
FILL_BATCH_BYTES, FILL_BATCH_KEYS = 4 << 20, 10000
REMOVALS = 50  # of a folder, a tenth of a second between them, until it is left where it is
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LONGEST_LOAD_S = 600  # memtier_benchmark waits for ever for what it has counted as not done, such as a set that was refused

MEMTIER_HINT = """memtier_benchmark is not on PATH (and MEMTIER does not name it). Debian 12 has no package of it; from source:
    apt-get install build-essential autoconf automake libevent-dev libpcre3-dev zlib1g-dev libssl-dev pkg-config git
    git clone https://github.com/RedisLabs/memtier_benchmark && cd memtier_benchmark
    autoreconf -ivf && ./configure && make -j2      # then put it on PATH"""


def say(*words):
    print(*words, flush=True)


def program(variable, name, hint=None):
    """Its path; ends the program where there is none, with what to do about it."""
    path = shutil.which(os.environ.get(variable) or name)
    if not path and os.environ.get(variable):
        sys.exit(f"{variable} is {os.environ[variable]}, which is no program that can be run")
    if not path:
        sys.exit(hint or f"{name} is not on PATH, and {variable} does not name it (Debian: apt-get install {name})")
    return path


def check_forebay():
    """Measures the release build unless told otherwise."""
    if not os.environ.get("FOREBAY"):
        path = os.path.join(ROOT, "build", "release", "forebay")
        if not os.path.exists(path):
            sys.exit("build/release/forebay is not built: cmake --preset release && cmake --build build/release --target forebay")
        os.environ["FOREBAY"] = path


def pinned(kind):
    """A kind of server whose process stays on one core (core: None for all)."""

    class Pinned(kind):
        core = SERVER_CORE

        def command(self):
            command = super().command()
            return command if self.core is None else ["taskset", "-c", str(self.core), *command]

    return Pinned


class Memcached(Server):
    what = "memcached"

    def command(self):
        return [program("MEMCACHED", "memcached"), "-l", "127.0.0.1", "-p", str(self.port), *self.root_options(), *self.options]


class NamedRedis(Redis):
    """Redis as REDIS_SERVER names it."""

    def command(self):
        _, *rest = super().command()
        return [program("REDIS_SERVER", "redis-server"), *rest]


class Pogocache(Server):
    """Where POGOCACHE names it. It speaks memcached's text protocol."""

    what = "pogocache"

    def command(self):
        return [program("POGOCACHE", "pogocache"), "-h", "127.0.0.1", "-p", str(self.port), *self.options]


class Before(Server):
    """Forebay as FOREBAY_BEFORE has it, where that names another build; else the same."""

    def command(self):
        _, *rest = super().command()
        return [os.environ.get("FOREBAY_BEFORE") or binary(), *rest]


PinnedForebay, PinnedMemcached, PinnedRedis, PinnedBefore = pinned(Server), pinned(Memcached), pinned(NamedRedis), pinned(Before)
PinnedPogocache = pinned(Pogocache)


@contextlib.contextmanager
def whole():
    """An interrupt waits until the block is done: a process that is just being started is nobody's yet, and a folder that is half
    removed would stay. For the main thread."""
    came = []
    before = {number: signal.signal(number, lambda *_: came.append(True)) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt


def listens(server):
    """Whether all that listens on its port is the server itself."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        sockets = [line.split() for line in table]
    listening = {f"socket:[{one[9]}]" for one in sockets[1:] if one[1].endswith(f":{server.port:04X}") and one[3] == LISTEN}
    own = set()
    for path in glob.glob(f"/proc/{server.pid}/fd/*"):
        with contextlib.suppress(OSError):  # closed meanwhile
            own.add(os.readlink(path))
    return bool(listening) and listening <= own


def start(server):
    with whole():
        server.spawn()
    server.await_answer()
    if not listens(server):  # that would be measured instead
        raise ServerFailed(f"port {server.port} of 127.0.0.1 was taken by another program before {server.what} had it: start again")


def kill(server):
    """With kill -9; and what it has forked, as Redis does to write its file again, which would go on for a while."""
    with contextlib.suppress(OSError), open(f"/proc/{server.pid}/task/{server.pid}/children", encoding="ascii") as children:
        forked = [int(pid) for pid in children.read().split()]
        server.kill()
        for pid in forked:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def remove(folder):
    """A folder in which somebody may still be about to end."""
    for _ in range(REMOVALS):
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
            return
        time.sleep(0.1)
    shutil.rmtree(folder)


def end(started, folder):
    with whole():
        for server in started:
            if server.running():
                kill(server)
        remove(folder)


@contextlib.contextmanager
def servers(*kinds):
    """Starts (class, keywords) pairs, each in a folder of its own; ends and removes them all."""
    folder = tempfile.mkdtemp(prefix="forebay-bench-")
    started = []
    try:
        for number, (kind, options, core) in enumerate(kinds):
            server = kind(os.path.join(folder, str(number)), **options) if isinstance(options, dict) else \
                kind(os.path.join(folder, str(number)), *options)
            server.core = core
            started.append(server)
            start(server)
        yield started
    finally:
        end(started, folder)


def pair(memory, threads=1, core=SERVER_CORE):
    """Forebay and memcached with the same settings."""
    options = {"options": ["-m", str(memory), "-t", str(threads)]}
    return servers((PinnedForebay, options, core), (PinnedMemcached, options, core))


def await_load(server, process):
    """What it says on standard error; None where its server ends before it, or where it does not end: it would wait for ever."""
    end = time.monotonic() + LONGEST_LOAD_S
    while server.running() and time.monotonic() < end:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=0.5)[1]
    return None


def run_load(server, command):
    """A load generator; ends the program where it fails."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=die_with_the_test) as process:
        try:
            said = await_load(server, process)
        finally:
            process.kill()
    if said is None:
        sys.exit(f"{' '.join(command)}: {'does not end' if server.running() else 'the server ended'}; it says: {server.log()[-1000:]}")
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{said[-2000:]}")


def memtier(server, *options, protocol="memcache_text", core=LOAD_CORE):
    """One run; the parsed JSON report ('ALL STATS')."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        command = ["taskset", "-c", str(core)] if core is not None else []
        command += [program("MEMTIER", "memtier_benchmark", MEMTIER_HINT), "-s", "127.0.0.1", "-p", str(server.port), "-P", protocol,
                    "--hide-histogram", f"--json-out-file={report.name}", *map(str, options)]
        run_load(server, command)
        return json.load(report)["ALL STATS"]


def rate(found, seconds):
    """Operations a second of a load with --test-time. memtier_benchmark's own rates, and the duration that it tells, are those of its
    threads put together, and come to a few milliseconds, or to twice the time, where the threads did not begin and end as one."""
    return found["Totals"]["Count"] / seconds


def set_request(protocol, key, value):
    if protocol == "redis":
        return b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(key), key, len(value), value)
    return b"set %b 0 0 %d\r\n%b\r\n" % (key, len(value), value)


def prefill(server, keys, size, prefix="memtier-", protocol="memcache_text"):
    """Every key that memtier_benchmark draws, once. Not by itself, whose every run takes a second to end."""
    value, batch = b"x" * size, max(1, min(FILL_BATCH_KEYS, FILL_BATCH_BYTES // size))
    with socket.create_connection(("127.0.0.1", server.port), LONGEST_LOAD_S) as connection, connection.makefile("rb") as answers:
        for first in range(1, keys + 1, batch):
            numbers = range(first, min(first + batch, keys + 1))
            connection.sendall(b"".join(set_request(protocol, b"%b%d" % (prefix.encode(), number), value) for number in numbers))
            for _ in numbers:
                said = answers.readline()
                if said not in (b"STORED\r\n", b"+OK\r\n"):
                    sys.exit(f"{server.what} on port {server.port} does not take {prefix}...: it says {said!r}; its log: {server.log()[-1000:]}")


def cpu_seconds(server):
    """User and system time of the whole process, and of those that it started and that ended, as Redis does to write its file again."""
    with open(f"/proc/{server.pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) / TICKS


def _schedule_by_thread(server, column):
    """Of /proc/PID/task/TID/schedstat, in seconds, by the first word of the threads' names: worker, writer, journal ..."""
    found = collections.Counter()
    for task in glob.glob(f"/proc/{server.pid}/task/*"):
        with open(f"{task}/comm", encoding="ascii") as name, open(f"{task}/schedstat", encoding="ascii") as used:
            found[name.read().split()[0]] += int(used.read().split()[column]) / 1e9
    return found


def seconds_by_thread(server):
    """What each kind of thread has had of the cores."""
    return _schedule_by_thread(server, 0)


def waited_by_thread(server):
    """How long each kind of thread, ready to run, has waited for a core."""
    return _schedule_by_thread(server, 1)


def operations(server):
    """Keys asked for and values stored, as the server itself counts them."""
    if isinstance(server, Redis):
        return int(server.connect().info("stats")["total_commands_processed"])
    stats = server.client().stats()
    return int(stats["cmd_get"]) + int(stats["cmd_set"])


def cpu_per_operation(server, load):
    """Microseconds per operation while load(server) runs."""
    done, used = operations(server), cpu_seconds(server)
    load(server)
    return (cpu_seconds(server) - used) / (operations(server) - done) * 1e6


class LagWatch:
    """The highest age of a change that the backend did not have, in seconds, while the block runs; None of servers without one."""

    def __init__(self, server, space):
        self.server, self.space, self.highest = server, space, None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch)

    def _watch(self):
        with contextlib.suppress(OSError), self.server.client() as client:  # one that ends meanwhile is somebody else's matter
            while not self.over.wait(0.1):
                age = int(client.stats("write_behind")[f"{self.space}:oldest_dirty_ms"]) / 1000
                self.highest = max(self.highest or 0, age)

    def __enter__(self):
        if self.space:
            self.thread.start()
        return self

    def __exit__(self, *_):
        if self.space:
            self.over.set()
            self.thread.join()


PERCENTILES = (50, 75, 90, 95, 99, 99.5, 99.9, 99.99, 100)


def sample(server, load, seconds, space=None):
    """One run of a load, as the matrix of tools/bench/report has it. load(server, *options) is memtier's answer after so many
    seconds; space: the write-behind namespace. Operations are those that the load generator counts, as not every server does; what is left to be
    flushed afterwards is part of the cost. Times in ms, except where a name says so."""
    used = cpu_seconds(server)
    with LagWatch(server, space) as lag:
        answer = load(server, "--print-percentiles=" + ",".join(map(str, PERCENTILES)))
    found = answer["Totals"]
    resident = server.resident()
    if space:
        server.client().sync(space)
    latencies = {float(name[1:]): value for name, value in found["Percentile Latencies"].items() if re.fullmatch(r"p[\d.]+", name)}
    return {"rate": rate(answer, seconds), "cpu_us": (cpu_seconds(server) - used) / found["Count"] * 1e6, "lag_s": lag.highest,
            "resident_mib": resident / (1 << 20), "curve": [[percent, latencies[percent]] for percent in map(float, PERCENTILES)],
            "p50": latencies[50], "p99": latencies[99], "p99.9": latencies[99.9], "max": latencies[100]}


def in_turns(ours, theirs, measure, rounds):
    """What both sides gave, as figures.Turns; measure(server) is called in the order A B B A ..."""
    found = {0: [], 1: []}
    for number in range(rounds):
        for which in figures.order(2, number):
            found[which].append(measure((ours, theirs)[which]))
    return figures.turns(found[0], found[1])


def settle(server, seconds=1.0):
    """Resident bytes once they have stopped moving."""
    last = server.resident()
    while True:
        time.sleep(seconds)
        now = server.resident()
        if abs(now - last) < 1 << 20:
            return now
        last = now


class Report:
    """Prints figures against goals and remembers them, and which were missed."""

    def __init__(self):
        self.figures, self.missed = [], []

    def figure(self, name, value, goal, unit="", detail="", at_most=True):
        met = goal is None or (value <= goal if at_most else value >= goal)
        bound = "" if goal is None else f"  goal {'<=' if at_most else '>='} {goal:g}{unit}: {'met' if met else 'MISSED'}"
        say(f"{name:44} {value:10.3f}{unit}{bound}{'  (' + detail + ')' if detail else ''}")
        self.figures.append({"name": name, "value": value, "unit": unit, "detail": detail, "goal": goal, "at_most": at_most, "met": met})
        if not met:
            self.missed.append(name)

    def ratio(self, name, taken, goal, unit="", at_most=True):
        """What in_turns found."""
        digits = 0 if taken.theirs >= 1000 else 3
        detail = f"{taken.ours:.{digits}f} against {taken.theirs:.{digits}f} {unit}".rstrip()
        self.figure(name, taken.ratio, goal, "", f"{detail}; {taken.lowest:.3g} to {taken.highest:.3g} in {taken.rounds} turns", at_most)

    def end(self):
        say("all goals met" if not self.missed else "missed: " + ", ".join(self.missed))
        return 1 if self.missed else 0


def built(name):
    """A program of tools/bench, from the build that is measured."""
    return os.path.join(os.path.dirname(os.environ["FOREBAY"]), "tools", "bench", name)


def arguments(title, measurements):
    """The options that compare and durability share; add_argument may follow, then settle_arguments."""
    parser = argparse.ArgumentParser(description=title, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="\n".join(f"{name:12} {what.__doc__}" for name, what in measurements.items()))
    parser.add_argument("what", nargs="*", choices=[*measurements, []], help="all when none is given")
    parser.add_argument("--list", action="store_true")
    add_lengths(parser)
    return parser


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: at least 1")
    return number


def add_lengths(parser):
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: for a look, not for a document")
    parser.add_argument("--seconds", type=positive, help="of one load (4; quick: 2)")
    parser.add_argument("--rounds", type=positive, help="turns (5; quick: 3)")


def settle_lengths(given):
    given.seconds = given.seconds or (2 if given.quick else 4)
    given.rounds = given.rounds or (3 if given.quick else 5)
    return given


def version_of(path):
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+(\.\d+)?", done.stdout + done.stderr)
    return found.group(0) if found else "of an unknown version"


__all__ = ["Config", "namespace"]
