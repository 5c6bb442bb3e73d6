# SPDX-License-Identifier: MIT
"""Random streams of the text protocol are answered as memcached answers them, wherever entries live and whatever happens between.

Classic commands are compared with memcached, whichever is installed. Meta commands are what they are in memcached 1.6.45: where
that is not there ($MEMCACHED), the reference is Forebay without a configuration, which is compared with memcached itself where it
is. What differs on purpose is left out: ALLOWED in tests/support/text_streams.py. A stream that is answered otherwise is
shrunk to the requests that it takes.

FOREBAY_STREAMS=7..500 plays the streams of these seeds instead of the few of the suite, and FOREBAY_STREAMS_LAYOUT=hash (or
string) has a Redis with rows of this layout where they have SQLite.
"""

import contextlib
import functools
import os
import random
from typing import Callable, NamedTuple, Optional

import forebay
import pytest
from forebay import Config, Memcached, Redis, Server, namespace, section
from text_streams import Kinds, Side, compare, make_stream, shrink, text_of

FILLERS = 40
PREFIX = "place:"
LAYOUT = os.environ.get("FOREBAY_STREAMS_LAYOUT")


def seeds():
    given = os.environ.get("FOREBAY_STREAMS")
    if not given:
        return range(1)
    first, _, last = given.partition("..")
    return range(int(first), int(last or first) + 1)


def evict(server):
    """Everything that is in the backend leaves memory."""
    with server.client() as client:
        client.sync()
        assert client.command("flush_all") == b"OK"


def crowd_out(server):
    """So much else is stored that memory is short."""
    with server.client() as client:
        client.set_many((f"{PREFIX}filler{number}", b"f" * 60000) for number in range(FILLERS))


def restart(server):
    server.stop()
    server.start()


def kill(server):
    server.kill()
    server.start()


class Place(NamedTuple):
    """Where entries live."""
    kinds: Kinds  # what it can be asked
    policy: Optional[str] = None  # None: no configuration
    event: Optional[Callable] = None
    layout: Optional[str] = LAYOUT  # of a Redis; None: SQLite


WARM, COLD = Kinds(True, True, False), Kinds(True, False, False)
PLACES = {
    "memory": Place(Kinds(True, True, True)),
    "cache-aside": Place(Kinds(True, True, True), "cache-aside", layout=None),
    "read-through": Place(Kinds(True, True, True), "read-through"),
    "write-through": Place(WARM, "write-through"),
    "write-behind": Place(WARM, "write-behind"),
    "write-through in a Redis": Place(WARM, "write-through", layout=LAYOUT or "hash"),
    "write-behind in a Redis": Place(WARM, "write-behind", layout=LAYOUT or "string"),
    "write-through cold": Place(COLD, "write-through", evict),
    "write-behind cold": Place(COLD, "write-behind", evict),
    "write-through tiny": Place(COLD, "write-through", crowd_out),
    "write-behind tiny": Place(COLD, "write-behind", crowd_out),
    "write-through restarted": Place(COLD, "write-through", restart),
    "write-behind restarted": Place(COLD, "write-behind", restart),
    "write-through killed": Place(COLD, "write-through", kill),
    "write-behind killed": Place(COLD, "write-behind", kill),
}
SLOW = {restart: 3, kill: 3}  # steps, where each takes a start


def start(folder, name, redis):
    """redis(): the one for all."""
    place = PLACES[name]
    if place.policy is None:
        return Server(folder, options=["-m", "64"]).start()
    backends, options = None, {}
    if place.layout:
        backends = [section("backend", "local", uri=f"redis://127.0.0.1:{redis().port}/{list(PLACES).index(name)}")]
        options = {"layout": place.layout}
    config = Config(namespace("place", PREFIX, place.policy, **options), backends=backends,
                    memory="4mb" if place.event is crowd_out else "64mb")
    return Server(folder, config=config).start()


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """servers(name): one of PLACES, or memcached; each is started when it is asked for first."""
    started = {}
    with contextlib.ExitStack() as all_of_them:

        @functools.cache
        def redis():
            if Redis.missing():
                pytest.skip(Redis.missing())
            return all_of_them.enter_context(Redis(tmp_path_factory.mktemp("redis")))

        def get(name):
            if name not in started:
                folder = tmp_path_factory.mktemp(name.replace(" ", "-"))
                started[name] = Memcached(folder).start() if name == "memcached" else start(folder, name, redis)
                all_of_them.callback(lambda: started[name].running() and started[name].stop())
                with started[name].client() as client:  # no CAS that is compared is 1
                    client.set_many((PREFIX + "first", b"") for _ in range(3))
            return started[name]

        yield get


def check(servers, place, reference, kinds, seed):
    event = PLACES[place].event
    ours, theirs = servers(place), servers(reference)
    one = Side(ours.port, (lambda: event(ours)) if event else None)
    other = Side(theirs.port)
    stream = make_stream(random.Random(seed), kinds, steps=SLOW.get(event, 8))
    difference = compare(stream, one, other, PREFIX)
    if difference:
        smallest = shrink(stream, lambda shorter: compare(shorter, one, other, PREFIX))
        pytest.fail(f"{place} answers otherwise than {reference} (seed {seed}, {difference}):\n{text_of(smallest)}\n"
                    f"{compare(smallest, one, other, PREFIX)}", pytrace=False)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("seed", seeds())
def test_classic_streams_are_answered_as_memcached_answers_them(servers, place, seed):
    if not Memcached.program():
        pytest.skip("no memcached")
    check(servers, place, "memcached", PLACES[place].kinds._replace(meta=False), seed)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("seed", seeds())
def test_meta_streams_are_answered_as_the_reference_answers_them(servers, place, seed):
    reference = "memory" if Memcached.missing() else "memcached"
    if place == reference:
        pytest.skip(Memcached.missing())
    check(servers, place, reference, PLACES[place].kinds, seed)


def test_a_difference_is_found_and_shrunk(servers, monkeypatch):
    """Of two servers that differ in one kind of request, one of it is what is left, and what stores the key before it."""
    one, other = Side(servers("memory").port), Side(servers("cache-aside").port)
    plain = other.bytes_of
    monkeypatch.setattr(other, "bytes_of", lambda piece: plain(b"touch " if piece == b"delete " else piece))
    stream = make_stream(random.Random(1), Kinds(False, True, False))
    assert compare(stream, one, other, PREFIX)
    smallest = shrink(stream, lambda shorter: compare(shorter, one, other, PREFIX))
    left = [request[0] for step in smallest for request in step.requests]
    assert left[-1] == b"delete " and len(left) <= 2
