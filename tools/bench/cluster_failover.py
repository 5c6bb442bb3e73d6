# SPDX-License-Identifier: MIT
"""A master of a Redis Cluster is lost while a server writes behind into it and loads from it: of tools/bench/cluster.

Each round has a new cluster of three masters with a replica each (cluster-require-full-coverage no), filled with rows, and a
server that has none of them in memory. Each row is asked for once at most, so that every get is a load. Keys of the other
masters are asked for as fast as they are answered; keys of the one that is lost, by several connections, at a given pace: as
clients do that know nothing of masters, and so that what they do not get leaves the others no more of the machine than before.
"""

import binascii
import collections
import multiprocessing
import random
import signal
import tempfile
import time

import figures
from measure import INTERRUPTS, remove, say, whole
from cluster import SLOTS
from cluster_rows import cluster_of, flush_through, serving
from forebay import Client, die_with_the_test, eventually

ROWS = 150000  # a third of them are of the master that is lost
OTHER_READERS, LOST_READERS = 2, 4
LOST_PACE = 0.02  # seconds between two loads of a connection
PULSE, PULSE_WRITES, WRITTEN_KEYS = 0.01, 10, 20000
POLL = 0.005  # seconds between two questions for the role
LONGEST = 60  # seconds until a promotion
AFTERWARDS = 1.0  # seconds that are looked at after the first load of a lost key

Asked = collections.namedtuple("Asked", "began took outcome")
Window = collections.namedtuple("Window", "rate p50 p99 longest failed")  # rate: a second; of those that were answered; ms


# ---- What was seen ----


def slot_of(key):
    """Without tags: CRC-16 as XMODEM has it."""
    return binascii.crc_hqx(key.encode(), 0) % SLOTS


def window(asked, begin, end):
    """What was asked for between two moments."""
    inside = [one for one in asked if begin <= one.began < end]
    took = sorted(one.took * 1000 for one in inside if one.outcome == "hit")
    if not took:
        return Window(0.0, float("inf"), float("inf"), float("inf"), len(inside))
    return Window(len(took) / (end - begin), figures.percentile(took, 50), figures.percentile(took, 99), took[-1], len(inside) - len(took))


def seconds_until_loaded(lost, promoted):
    """From the promotion until the last answer that was none: from then on, all of them are loaded. None: none ever was."""
    hits = [one for one in lost if one.outcome == "hit" and one.began + one.took >= promoted]
    failed = [one.began + one.took for one in lost if one.outcome != "hit" and one.began + one.took >= promoted]
    if not hits:
        return None
    return max([0.0, min(one.began + one.took for one in hits) - promoted] + [moment - promoted for moment in failed])


# ---- Clients, each a process ----


def pause_until(due):
    time.sleep(max(0.0, due - time.monotonic()))


def load(port, end, keys, pace, loaded_at):
    """Asks for each key once, and notes in loaded_at when one was answered last."""
    client, asked = Client(port), []
    due = time.monotonic() + random.random() * pace
    for key in keys:
        pause_until(due)
        if end.is_set():
            break
        began = time.monotonic()
        outcome = client.ask(key)[0]
        asked.append((began, time.monotonic() - began, outcome))
        if outcome == "hit":
            loaded_at.value = time.monotonic()
        due = max(due + pace, began) if pace else 0
    return asked, end.is_set()


def write(port, end, *_):
    """Returns the answers that are not STORED, and how many there were."""
    client, dice, refused, count, due = Client(port), random.Random(1), [], 0, time.monotonic()
    while not end.is_set():
        answers = client.set_many((f"key:written{dice.randrange(WRITTEN_KEYS)}", b"%d" % count) for _ in range(PULSE_WRITES))
        refused += [answer.decode() for answer in answers if answer != b"STORED"]
        count += len(answers)
        due = max(due + PULSE, time.monotonic() - 1)
        pause_until(due)
    return refused, count


def run_client(pipe, what, arguments):
    die_with_the_test()
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)  # the parent ends it
    try:
        pipe.send(what(*arguments))
    except (OSError, AssertionError) as error:
        pipe.send(error)


class Clients:
    """Processes that go on until end() gives what each has returned."""

    def __init__(self, port):
        self.port, self.over, self.started = port, multiprocessing.Event(), []
        self.loaded_at = multiprocessing.Value("d", 0.0, lock=False)

    def start(self, what, *arguments):
        ours, theirs = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.Process(target=run_client, daemon=True, args=(theirs, what, (self.port, self.over, *arguments)))
        with whole():
            process.start()
            self.started.append((process, ours))
        theirs.close()

    def end(self):
        self.over.set()
        answers = []
        for process, pipe in self.started:
            answers.append(pipe.recv())
            process.join()
            if isinstance(answers[-1], Exception):
                raise SystemExit(f"a client: {answers[-1]!r}")
        return answers

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process, _ in self.started:
            process.kill()
            process.join()


# ---- A round ----


def start_clients(clients, cluster):
    end_of_lost = SLOTS // len(cluster.masters)
    keys = [f"key:{number}" for number in range(ROWS)]
    lost = [key for key in keys if slot_of(key) < end_of_lost]
    others = [key for key in keys if slot_of(key) >= end_of_lost]
    unused = multiprocessing.Value("d", 0.0, lock=False)
    for number in range(OTHER_READERS):
        clients.start(load, others[number::OTHER_READERS], 0, unused)
    for number in range(LOST_READERS):
        clients.start(load, lost[number::LOST_READERS], LOST_PACE, clients.loaded_at)
    clients.start(write)


def await_promotion(replica):
    """The moment at which it says that it is the master."""
    with replica.connect() as client:
        end = time.monotonic() + LONGEST
        while client.role()[0] != b"master":
            if time.monotonic() > end:
                raise SystemExit(f"the replica was not promoted within {LONGEST} s; its log: {replica.log()[-1000:]}")
            time.sleep(POLL)
        return time.monotonic()


def lose_master(cluster, clients, given, how):
    """The moments: the beginning, the loss, the promotion."""
    time.sleep(1)  # connections are made
    began = time.monotonic()
    time.sleep(given.seconds)
    lost = time.monotonic()
    how(cluster.masters[0])
    promoted = await_promotion(cluster.replicas[0])
    eventually(lambda: clients.loaded_at.value > promoted, LONGEST)
    time.sleep(AFTERWARDS)
    return began, lost, promoted


def judge(answers, moments):
    """What a round came to."""
    began, lost, promoted = moments
    *loads, (refused, written) = answers
    if not all(over for _, over in loads):
        raise SystemExit("there are too few rows for this machine: fewer --seconds")
    asked = [[Asked(*one) for one in found] for found, _ in loads]
    others = [one for found in asked[:OTHER_READERS] for one in found]
    of_lost = [one for found in asked[OTHER_READERS:] for one in found]
    return {"refused": len(refused), "written": written, "before": window(others, began, lost), "during": window(others, lost, promoted),
            "promotion": promoted - lost, "again": seconds_until_loaded(of_lost, promoted),
            "lost_before": window(of_lost, began, lost), "lost_during": window(of_lost, lost, promoted)}


def check_loaded(server, found):
    """What memory had answers nothing here."""
    hits = sum(found[name].rate * seconds for name, seconds in (("before", found["seconds"]), ("during", found["promotion"])))
    with server.client() as client:
        loaded = int(client.stats("namespaces")["rows:load_hits"])
        client.sync()
    if loaded < hits:
        raise SystemExit(f"only {loaded} of {hits:.0f} gets were loads: the figures would mean nothing")


def round_of(given, how):
    folder = tempfile.mkdtemp(prefix="forebay-bench-")
    try:
        with cluster_of("--cluster-require-full-coverage", "no", core=None, replicas=1) as cluster:
            with serving(cluster, folder + "/fill") as server:
                flush_through(server, ROWS)
            with serving(cluster, folder + "/serve", "interval") as server, Clients(server.port) as clients:
                start_clients(clients, cluster)
                moments = lose_master(cluster, clients, given, how)
                found = dict(judge(clients.end(), moments), seconds=given.seconds)
                check_loaded(server, found)
                return found
    finally:
        with whole():
            remove(folder)


# ---- All rounds ----


def shown(values):
    return figures.with_spread(figures.spread(values))


def line_of(found):
    before, during = found["before"], found["during"]
    return (f"{found['refused']} of {found['written']} writes refused; loads of other keys a second {before.rate:.0f}, then {during.rate:.0f}, "
            f"p50 {before.p50:.2f} and {during.p50:.2f} ms, p99 {before.p99:.2f} and {during.p99:.2f} ms, {during.failed} failed; promoted after "
            f"{found['promotion']:.2f} s, lost keys are loaded again {found['again'] * 1000:.0f} ms later")


def table(taken):
    lines = ["| | before | between loss and promotion |", "| --- | --- | --- |"]
    for title, one, other in (("keys of the other masters", "before", "during"), ("keys of the lost one", "lost_before", "lost_during")):
        for what, unit in (("rate", "loads/s"), ("p50", "p50, ms"), ("p99", "p99, ms"), ("longest", "longest, ms"), ("failed", "failed")):
            if title.startswith("keys of the lost") and what not in ("rate", "failed"):
                continue
            lines.append(f"| {title}: {unit} | " + " | ".join(shown([getattr(found[side], what) for found in taken]) for side in (one, other)) + " |")
    return lines


def lose(given, report, how):
    taken = []
    for number in range(given.rounds):
        taken.append(round_of(given, how))
        say(f"    round {number + 1} of {given.rounds}: {line_of(taken[-1])}")
    report.figure("writes refused", sum(found["refused"] for found in taken), 0, detail=f"of {sum(found['written'] for found in taken)}")
    report.ratio("loads of other masters' keys a second: during / before",
                 figures.turns([found["during"].rate for found in taken], [found["before"].rate for found in taken]), 0.9, at_most=False)
    report.ratio("their p50: the same", figures.turns([found["during"].p50 for found in taken], [found["before"].p50 for found in taken]), None, "ms")
    report.ratio("their p99: the same", figures.turns([found["during"].p99 for found in taken], [found["before"].p99 for found in taken]), None, "ms")
    report.figure("lost keys loaded after the promotion, longest", max(found["again"] for found in taken), 1.0, " s",
                  f"{shown([found['again'] for found in taken])}; promoted {shown([found['promotion'] for found in taken])} s after the loss")
    say("\n".join(["", *table(taken), ""]))


def failover(given, report):
    """a master is killed: writes refused, loads of the other masters' keys, and those of its own after the promotion"""
    lose(given, report, lambda node: node.kill())


def hang(given, report):
    """the same of a master that stops and keeps its connections, as one does whose machine is gone"""
    lose(given, report, lambda node: node.pause())
