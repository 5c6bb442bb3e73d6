# SPDX-License-Identifier: MIT
"""Random streams of binary packets are answered as memcached answers them, packet for packet.

CAS values differ between servers, so that they are compared by what they mean: a request names one as the last that was seen
of its key on that server, as an old one or as none, and of an answer only whether it has one is compared. Streams leave out
what docs/compatibility.md says is answered differently on purpose.
"""

import random

import forebay
import pytest
from packets import NEVER, BinaryClient, packet

SEEDS = range(12)
ROUNDS, PACKETS = 25, 40
# A number that gets shorter keeps its length or not, by whether memcached has sent what was read of it before: so numbers have
# keys of their own, to which nothing is appended, and are compared without the blanks.
TEXTS = [b"a", b"b", b"a key\r\nwith blanks", bytes(range(1, 120)), b"k" * 250]
NUMBERS = [b"n", b"m"]
KEYS = [*TEXTS, *NUMBERS]
VALUES, NUMERALS = [b"", b"x" * 20, b"y" * 3000, b"\x80\x00\r\n"], [b"1", b"99", b"18446744073709551615"]
TIMES = [0, 0, 0, 100, 2592000]
LOOKUPS = ["get", "getq", "getk", "getkq"]
STORES = ["set", "setq", "add", "addq", "replace", "replaceq"]
JOINS = ["append", "appendq", "prepend", "prependq"]
COUNTS = ["incr", "incrq", "decr", "decrq"]
TOUCHES = ["touch", "gat", "gatq", "gatk", "gatkq"]
NAMES = 3 * LOOKUPS + 3 * STORES + JOINS + COUNTS + ["delete", "deleteq"] + TOUCHES + ["noop", "version"]
CHOICES = ["none", "none", "none", "last", "old"]


def describe(rolls):
    """A request: what each server is asked alike, and which CAS it names."""
    name = rolls.choice(NAMES)
    if name in ("noop", "version"):
        return name, {}, "none"
    parts = {"key": rolls.choice(TEXTS if name in JOINS else KEYS)}
    is_number = parts["key"] in NUMBERS
    if name in STORES:
        parts.update(value=rolls.choice(NUMERALS if is_number else VALUES), flags=rolls.choice([0, 7, 0xffffffff]), ttl=rolls.choice(TIMES))
    elif name in JOINS:
        parts.update(value=rolls.choice(VALUES))
    elif name in COUNTS:
        parts.update(delta=rolls.choice([0, 1, 100, 2**64 - 1]), initial=rolls.choice([0, 5, 2**64 - 1]),
                     ttl=rolls.choice([0, NEVER]) if is_number else NEVER)
    elif name in TOUCHES:
        parts.update(ttl=rolls.choice(TIMES))
    return name, parts, "none" if name in LOOKUPS + TOUCHES else rolls.choice(CHOICES)


class Side:
    """A server, and the CAS values that it gave."""

    def __init__(self, port):
        self.client = BinaryClient(port)
        self.last = {}

    def cas(self, key, choice):
        return {"none": 0, "last": self.last.get(key, 0), "old": 1 if self.last.get(key, 0) != 1 else 2}[choice]

    def play(self, requests, cuts):
        """The answers, without what differs."""
        stream = b"".join(packet(name, opaque=number, cas=self.cas(parts.get("key"), choice), **parts)
                          for number, (name, parts, choice) in enumerate(requests)) + packet("noop", opaque=len(requests))
        for first, end in zip([0, *cuts], [*cuts, len(stream)]):
            self.client.socket.sendall(stream[first:end])
        answers = []
        while not answers or answers[-1].opaque != len(requests):
            answer = self.client.answer()
            assert answer, f"closed behind {answers[-3:]}"
            if answer.cas:
                self.last[requests[answer.opaque][1]["key"]] = answer.cas
            answers.append(answer)
        return [answer._replace(cas=bool(answer.cas), value=self.comparable(requests, answer)) for answer in answers]

    @staticmethod
    def comparable(requests, answer):
        if answer.opcode == "version":
            return b""
        is_number = answer.opaque < len(requests) and requests[answer.opaque][1].get("key") in NUMBERS
        return answer.value.rstrip(b" ") if is_number else answer.value


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    if not forebay.Memcached.program():
        pytest.skip("no memcached")
    with forebay.Server(tmp_path_factory.mktemp("ours")).start() as ours, \
            forebay.Memcached(tmp_path_factory.mktemp("theirs"), options=["-u", "root"]).start() as theirs:
        yield ours, theirs
        theirs.kill()


@pytest.mark.parametrize("seed", SEEDS)
def test_both_answer_alike(servers, seed):
    rolls = random.Random(seed)
    ours, theirs = (Side(server.port) for server in servers)
    for side in (ours, theirs):
        assert side.client.ask("flush").status == "SUCCESS"
    for _ in range(ROUNDS):
        requests = [describe(rolls) for _ in range(PACKETS)]
        cuts = sorted(rolls.randrange(1, 900) for _ in range(rolls.randrange(4)))
        mine, other = ours.play(requests, cuts), theirs.play(requests, cuts)
        for number, (answer, expected) in enumerate(zip(mine, other)):
            where = requests[expected.opaque] if expected.opaque < len(requests) else "noop"
            assert answer == expected, (number, where, [request for request in requests[:expected.opaque] if
                                                        request[1].get("key") == where[1].get("key")][-5:])
        assert len(mine) == len(other)
