# SPDX-License-Identifier: MIT
"""All the calls that can fail in the life of a server (injected_trial.py), some of them that a seed draws, or one of each place.
"""

import os
import random
import subprocess
import traceback

from crash import Violation
from forebay import Redis, ServerFailed
from injected import FOREVER, KINDS, Fault
from injected_trial import PHASES, Case, told
from injected_ways import BESIDE, WAYS
LASTING = ("ENOMEM", "EMFILE", "ENFILE", "ENOSPC", "EIO", "ECONNREFUSED")  # what can go on for long


def can_last(kind, error):
    """A socket that takes nothing tells when it takes more, which one that only seems full does not."""
    return error in LASTING or (kind, error) == ("thread", "EAGAIN")


class InjectedRounds:
    """Counts the calls of each phase once for each way to live, and then lets them fail."""

    def __init__(self, folder, library, seed, ways=tuple(WAYS), kinds=tuple(KINDS), phases=PHASES):
        self.folder = str(folder)
        self.library = library
        self.seed = seed
        self.random = random.Random(seed)
        self.ways, self.kinds, self.phases = ways, kinds, phases
        self.redis = None if Redis.missing() else Redis(os.path.join(self.folder, "redis")).start()
        self.counted = {}  # {way: {phase: {kind: calls}}}
        self.places = {}  # {way: {phase: [Place]}}
        self.callers = {}  # {hash of a place: lines of a backtrace}
        self.usual = {}  # {way: descriptors}
        self.last = {}  # of the last life: whether calls failed, and whether libev ended it
        self.unmet = self.kept = 0

    def trial(self, way, name, notes=False):
        if self.redis:
            with self.redis.connect() as client:
                client.flushall()
        return WAYS[way](os.path.join(self.folder, name), self.library, self.seed, self.redis, notes)

    def count(self, notes=False, ways=None):
        """With notes, the places as well, which takes its time. ways: these alone."""
        ways = ways or self.ways
        beside = [BESIDE[way] for way in ways if notes and way in BESIDE]
        for way in dict.fromkeys((*ways, *beside)):
            trial = self.trial(way, "count", notes)
            try:
                trial.run()
            finally:
                trial.close()
            self.counted[way], self.usual[way] = trial.counts, trial.files
            self.places[way] = trial.places
            self.callers.update(trial.callers)

    def groups(self):
        """The calls that differ in more than their number: (way, phase, kind, error, times, how many)."""
        for way in self.ways:
            for phase in self.phases:
                for kind in self.kinds_of(way):
                    calls = self.counted[way][phase][kind]
                    for error in KINDS[kind] if calls else ():
                        yield way, phase, kind, error, 1, calls
                        if can_last(kind, error):
                            yield way, phase, kind, error, FOREVER, calls

    def kinds_of(self, way):
        return [kind for kind in self.kinds if kind in WAYS[way].kinds]

    def places_of(self, way, phase):
        """Those that are not met in another way, which has them already."""
        others = {place.hash for place in self.places[BESIDE[way]][phase]} if way in BESIDE else ()
        kinds = self.kinds_of(way)
        return sorted(place for place in self.places[way][phase] if place.kind in kinds and place.hash not in others)

    def every_place(self):
        """Each place with each error, once and with all that follow of the kind."""
        for way in self.ways:
            for phase in self.phases:
                for place in self.places_of(way, phase):
                    for error in KINDS[place.kind]:
                        for times in (1, FOREVER) if can_last(place.kind, error) else (1,):
                            yield Case(phase, Fault(place.kind, error, 0, times, place.hash), way)

    def every_case(self):
        for way, phase, kind, error, times, calls in self.groups():
            for at in range(1, calls + 1):
                yield Case(phase, Fault(kind, error, at, times), way)

    def some_cases(self, count):
        """Groups in turn, in a random order, and of each a call that is drawn."""
        groups = list(self.groups())
        if not groups:
            raise ValueError("no such calls")
        drawn = []
        while len(drawn) < count:
            self.random.shuffle(groups)
            drawn += groups
        for way, phase, kind, error, times, calls in drawn[:count]:
            yield Case(phase, Fault(kind, error, self.random.randint(1, calls), times), way)

    def run(self, case):
        """None, or what was violated, with all that helps to see why."""
        trial = self.trial(case.way, "trial")
        try:
            trial.run(case, self.usual[case.way])
        except (AssertionError, ServerFailed, Violation, OSError, subprocess.SubprocessError) as violation:
            where = "\n    ".join(trial.faults.where()[:14]) if trial.met else "it was not met"
            short = traceback.format_exc(limit=-3) if not isinstance(violation, Violation) else str(violation)
            return f"{told(case)}\n  failed at:\n    {where}\n  {short}\n  log:\n{trial.server.log()[-3000:]}"
        finally:
            trial.close()
            self.last = {"met": int(trial.met > 0), "ended_by_libev": int(trial.ended_by_libev)}
            self.unmet += not trial.met
        return None

    def keep(self):
        """The folder of the last life, which the next would take."""
        self.kept += 1
        kept = os.path.join(self.folder, f"violation-{self.kept}")
        os.rename(os.path.join(self.folder, "trial"), kept)
        return kept

    def close(self):
        if self.redis:
            self.redis.kill()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
