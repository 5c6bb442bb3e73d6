# SPDX-License-Identifier: MIT
"""Plays every transcript of this folder against every place where its keys may live.

A place is a running server and a prefix for keys:

    memcached       the real one, where the behaviour is common ($MEMCACHED, or the installed one)
    memory          Forebay without a configuration
    cache-aside, read-through, write-through, write-behind
                    a namespace of that policy, over SQLite
    write-through cold, write-behind cold
                    the same with every entry thrown out of memory before each step

The server is $FOREBAY, or the newest build. FOREBAY_PLACES=a,b chooses some of the places, and
FOREBAY_NAMESPACE_CONFIG=PREFIX:/FILE adds one with a configuration of your own, in which @PORT@ and @FOLDER@ are filled in.
"""

import concurrent.futures
import contextlib
import os
import socket

import forebay
import pytest
import transcripts
from binary_player import BinaryPlayer
from forebay import Memcached

OPTIONS = ["-U", "0", "-m", "64"]
POLICIES = ["cache-aside", "read-through", "write-through", "write-behind"]


class Place:
    """Where transcripts are played."""

    def __init__(self, name, prefix="", start=None, cold=False, keeps_memory=True, is_reference=False):
        self.name = name
        self.prefix = prefix
        self.start = start  # (folder, options) -> running server
        self.cold = cold
        self.keeps_memory = keeps_memory  # memory is all there is
        self.is_reference = is_reference

    def holds(self, case):
        """Whether this case is to be played here."""
        needs = case.directives.get("needs")
        only = case.directives.get("only")
        if self.is_reference and only == "forebay" or not self.is_reference and only == "memcached":
            return False
        if self.is_reference and Memcached.version() < case.since:
            return False
        return not (needs == "memory" and not self.keeps_memory or needs == "warm" and self.cold)


def _plain(folder, options):
    return forebay.Server(folder, options=[*OPTIONS, *options]).start()


def _configured(policy):
    def start(folder, options):
        space = forebay.namespace("place", "place:", policy)
        return forebay.Server(folder, config=forebay.Config(space), options=options).start()

    return start


def _from_file(path):
    def start(folder, options):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        server = forebay.Server(folder, config="", options=options)
        server.config = text.replace("@PORT@", str(server.port)).replace("@FOLDER@", str(folder))
        return server.start()

    return start


def _places():
    places = [Place("memory", start=_plain)]
    if Memcached.program():
        places.insert(0, Place("memcached", start=lambda folder, options: Memcached(folder, options).start(),
                               is_reference=True))
    for policy in POLICIES:
        held = policy.startswith("write")
        places.append(Place(policy, "place:", _configured(policy), keeps_memory=not held))
        if held:
            places.append(Place(policy + " cold", "place:", _configured(policy), cold=True, keeps_memory=False))
    given = os.environ.get("FOREBAY_NAMESPACE_CONFIG")
    if given:
        prefix, _, path = given.rpartition(":/")
        places.append(Place("given", prefix, _from_file("/" + path), keeps_memory=False))
    chosen = os.environ.get("FOREBAY_PLACES")
    return [place for place in places if not chosen or place.name in chosen.split(",")]


CASES = transcripts.load()


def evict(server):
    """Throws out of memory all that a backend can give back: what is dirty is flushed, then clean entries go."""
    with server.client() as client:
        client.sync()
        assert client.command("flush_all") == b"OK"


def play(place, server, case):
    def connect():
        return socket.create_connection(("127.0.0.1", server.port), transcripts.PATIENCE)

    hook = (lambda: evict(server)) if not place.keeps_memory else None
    player = BinaryPlayer if case.is_binary else transcripts.Player
    player(connect, place.prefix, hook, place.cold).play(case)


def options_of(case):
    return case.directives.get("options", "").split()


def is_alone(case):
    return "alone" in case.directives or "options" in case.directives


class Stage:
    """A place with its servers. Cases that wait are played side by side, ahead of their turn, on a server that they share;
    those marked `alone` (they change the whole server) get one each. In a cold place, any of them may throw out what is the
    others' as well: each has to bear that at any time."""

    def __init__(self, place, folder):
        self.place = place
        self.folder = folder
        self.servers = []
        self.server = self.start()
        waiting = [case for case in CASES if case.waits and place.holds(case)]
        self.pool = concurrent.futures.ThreadPoolExecutor(max_workers=32)
        shared = self.start() if any(not is_alone(case) for case in waiting) else None
        # Started by this thread: a server ends with the thread that has started it.
        servers = [self.start(options_of(case)) if is_alone(case) else shared for case in waiting]
        self.results = {id(case): self.pool.submit(play, place, server, case) for case, server in zip(waiting, servers)}

    def start(self, options=()):
        folder = os.path.join(self.folder, str(len(self.servers)))
        server = self.place.start(folder, options)
        self.servers.append(server)
        return server

    def play(self, case):
        """Raises where the server answers something else."""
        if id(case) in self.results:
            self.results[id(case)].result()
        elif is_alone(case):
            with self.start(options_of(case)) as server:
                play(self.place, server, case)
        else:
            play(self.place, self.server, case)
            if not self.server.running():
                raise AssertionError("the server ended:\n" + self.server.log()[-4000:])

    def end(self):
        self.pool.shutdown()
        with contextlib.ExitStack() as all_of_them:
            for server in self.servers:
                if server.running():
                    all_of_them.callback(server.stop)


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """Stages by their place's name, each made when the first case is played there."""
    made = {}

    def stage(place):
        if place.name not in made:
            made[place.name] = Stage(place, str(tmp_path_factory.mktemp("place")))
        return made[place.name]

    yield stage
    with contextlib.ExitStack() as all_of_them:
        for one in made.values():
            all_of_them.callback(one.end)


def _played():
    """Each place with the cases that hold there."""
    for place in _places():
        for case in CASES:
            if place.holds(case):
                yield pytest.param(place, case, id=f"{place.name}-{case.name}")


@pytest.mark.parametrize("place, case", _played())
def test_the_answers_are_those_of_the_transcript(stages, place, case):
    stages(place).play(case)
