# SPDX-License-Identifier: MIT
"""How long a start takes that has something to read: a journal after kill -9, or rows to be preloaded. What tools/bench/durability
prints of it.

Each start has a copy of the folder to itself, as the first one begins to write to it at once. What it reads is in the page cache.
FOREBAY_BEFORE names another build, whose starts are measured in turns with these.
"""

import collections
import contextlib
import os
import re
import shutil
import sqlite3
import statistics
import tempfile
import time

from measure import Before, Config, Server, cpu_seconds, in_turns, namespace, prefill, remove, say, whole

RECORDS, QUICK_RECORDS = 1000000, 200000
VALUE = 100
MEMORY_FOR_ONE = 400  # bytes: from half of the memory on, what was recovered is written before clients are served
LEAST_MEMORY = 1 << 30
LONGEST_START_S = 600

Start = collections.namedtuple("Start", "served cpu peak resident")


def memory_of(pid, what):
    """Bytes: VmRSS, or VmHWM, the most that there ever was."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(rf"{what}:\s+(\d+)", status.read()).group(1)) * 1024


def records_of(given):
    return getattr(given, "records", None) or (QUICK_RECORDS if given.quick else RECORDS)


def config(records, **options):
    memory = max(LEAST_MEMORY, MEMORY_FOR_ONE * records)
    space = namespace("sessions", "sess:", options.pop("policy", "write-behind"), **options)
    return Config(space, memory=f"{memory >> 20}mb")


def server_for(folder, records):
    """That is to be filled: it writes nothing to its store by itself."""
    limit = max(LEAST_MEMORY, MEMORY_FOR_ONE * records) * 7 // 10  # a little below three quarters, which are the most that it may be
    server = Server(folder, config=config(records, flush_delay="1h", dirty_limit=f"{limit >> 20}mb", flush_batch=1000000, journal="os"))
    with whole():
        server.spawn()
    server.await_answer()
    return server


@contextlib.contextmanager
def started(kind, folder, configuration):
    """A server on a copy of the folder, and its Start."""
    copy = tempfile.mkdtemp(prefix="forebay-start-", dir=os.path.dirname(folder))
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    server = kind(copy, config=configuration)
    try:
        began = time.monotonic()
        with whole():
            server.spawn()
        server.await_answer(LONGEST_START_S)
        served = time.monotonic() - began
        yield server, Start(served, cpu_seconds(server), memory_of(server.pid, "VmHWM"), memory_of(server.pid, "VmRSS"))
    finally:
        with whole():
            server.kill()
            remove(copy)


def measure_starts(folder, configuration, given, check):
    """Those of this build, and the median ratio of the processor time to that of the build before; None where none is named."""
    found = []

    def cpu_of(kind):
        with started(kind, folder, configuration) as (server, start):
            check(server)
            if kind is Server:
                found.append(start)
            return start.cpu

    if os.environ.get("FOREBAY_BEFORE"):
        return found, in_turns(Server, Before, cpu_of, given.rounds)
    for _ in range(given.rounds):
        cpu_of(Server)
    return found, None


def tell(name, records, found, before, report):
    def median(of):
        return statistics.median(of(start) for start in found)

    detail = f"{records} of {VALUE} bytes; {median(lambda start: start.served):.2f} s, processor {median(lambda start: start.cpu):.2f} s"
    report.figure(f"{name} a second", median(lambda start: records / start.served), 1000000, at_most=False, detail=detail)
    resident = f"resident {median(lambda start: start.resident) / records:.0f} bytes each"
    report.figure(f"{name}: highest memory / resident", median(lambda start: start.peak / start.resident), 1.25, detail=resident)
    if before:
        report.ratio(f"{name}: processor time / the build before", before, None, "s")


@contextlib.contextmanager
def locked(folder):
    """While the block runs, nobody else can write to the store: a batch that is full would be."""
    store = sqlite3.connect(os.path.join(folder, "store.db"), isolation_level=None)
    try:
        store.execute("BEGIN IMMEDIATE")
        yield
    finally:
        store.close()


@contextlib.contextmanager
def filled(records, kills):
    """A folder, and a server that has taken so many sets there; kills: by kill -9, while all of them are in its journal alone."""
    around = tempfile.mkdtemp(prefix="forebay-starts-")
    folder, server = os.path.join(around, "left"), None
    try:
        server = server_for(folder, records)
        with locked(folder):
            prefill(server, records, VALUE, "sess:")
            if kills:
                server.kill()
        yield folder, server
    finally:
        with whole():
            if server:
                server.kill()
            remove(around)


def rows_of(server):
    return int(server.client().stats("namespaces")["sessions:entries"])


def recovery(given, report):
    """records a second from the start until a client is answered, of a journal that kill -9 has left; and memory"""
    records = records_of(given)

    def check(server):
        answer = int(server.client().stats("write_behind")["journal:replayed_records"])
        if answer != records:
            raise AssertionError(f"{answer} records were recovered of {records}")

    with filled(records, kills=True) as (folder, _):
        found, before = measure_starts(folder, config(records, journal="os"), given, check)
    tell("recovered records", records, found, before, report)


def preload(given, report):
    """rows a second from the start until a client is answered, preload_wait, SQLite; and memory"""
    records = records_of(given)

    def check(server):
        loaded = rows_of(server)
        if loaded != records:
            raise AssertionError(f"{loaded} rows were preloaded of {records}")

    with filled(records, kills=False) as (folder, server):
        server.client(LONGEST_START_S).sync()
        server.stop(seconds=LONGEST_START_S)
        configuration = config(records, policy="read-through", preload=records, preload_wait="true")
        found, before = measure_starts(folder, configuration, given, check)
    tell("preloaded rows", records, found, before, report)
