# SPDX-License-Identifier: MIT
"""Random streams of the text protocol, and answers to them that can be compared between two servers.

    stream = make_stream(random.Random(7), Kinds(meta=True, warm=True, flush=False))
    one, other = Side(server.port), Side(memcached.port)
    difference = compare(stream, one, other, prefix="place:")      # None, or a text
    smallest = shrink(stream, lambda shorter: compare(shorter, one, other, "place:"))

A stream is a list of steps, a step a list of requests that go out in pieces and one behind the other, with an event before it
where a place has one (a restart, an eviction). Each time that a stream is played it has keys of its own.

Two servers never say the same CAS or the same second. So of an answer is compared what these mean (Reader), and nothing else is
left out but what ALLOWED names.
"""

import base64
import collections
import itertools
import re

from connection import Connection

# What streams leave out, or what is not compared, with its place in docs/compatibility.md. Each has its reason there.
ALLOWED = {
    "numbers that incr has changed": "Where we differ on purpose: it keeps or drops the padding and the fetched bit, and the mark of I with it: "
                                     "left out of numbers, and texts never become any",
    "T and E of ma": "Where we differ on purpose: memcached loses them when the number gets longer",
    "b in answers": "Meta commands: k is base64 when the request said b; in memcached when the entry was stored that way",
    "b of me": "Where we differ on purpose: memcached looks at it when another word follows",
    "what me tells": "Meta commands: its size and class; whether there is an entry is compared",
    "long keys in a get": "Where we differ on purpose: the empty line behind the error",
    "long lines": "Where we differ on purpose: what is above 2048 bytes, and comes in pieces",
    "the second of l": "Meta commands: memcached updates that time on some accesses only",
    "leases that leave memory": "Meta commands: whether a token was sent, what N makes and h are known in memory alone; left out of cold places",
    "what is left of an entry that T-1 has expired": "Meta commands: 0; memcached: 4294967295 and less",
    "I beside E": "I compares which CAS is higher: one that E dictates, and one that the server has made, are in no order",
    "flush_all over a store": "Classic commands: rows stay; left out where there is a backend",
}

Kinds = collections.namedtuple("Kinds", "meta warm flush")
Step = collections.namedtuple("Step", "requests cuts")
# The CAS of a key as it was last seen on that side; or one that nobody has ("none").
Cas = collections.namedtuple("Cas", "key choice")

TEXTS, NUMBERS = ["a", "b", "c"], ["n", "m"]
VALUES = [b"", b"x", b"abc", b"end\r\nEND", b"y" * 3000, b"\x80\x00\xff", b"get a"]
NUMERALS = [b"1", b"99", b"18446744073709551615", b"10"]
LIVES = [0, 0, 0, 1000, 100000, 2592000, -1]
NOBODYS_CAS = 2**63 + 12345
OVER = 4294000000  # seconds that memcached says are left where it has counted below 0
DICTATED = 10**15  # a CAS that E gives; no server comes to it by itself
FARTHEST = [1, 2**63 + 10**6]  # the same where I may compare which CAS is higher: below or above all that servers make

# Lines that are no commands, or not whole ones. Those of the second list are answered so since memcached 1.6.45.
ERRORS = [b"bogus\r\n", b"bogus a b c\r\n"]
NEWER_ERRORS = [b"get\r\n", b"gets\r\n", b"GET a\r\n", b"\r\n", b"touch a\r\n", b"incr a\r\n", b"gat 10\r\n", b"verbosity\r\n", b"set a\r\n", b"set a b 0 1\r\nx\r\n", b"delete\r\n", b"mg\r\n", b"ms a\r\n", b"ms a abc\r\n", b"ms a 2 Ma X\r\nab\r\n", b"mg a v v\r\n",
                b"ma a Dx\r\n", b"md a Cx\r\n", b"mx a\r\n", b"mg a " + b"O" * 40 + b"\r\n", b"cas a 0 0 1\r\nx\r\n", b"ms a 1 MZ\r\nx\r\n"]


class Maker:
    """Requests by dice. A request is a list of pieces: bytes, a key's name (str), or a Cas."""

    def __init__(self, rolls, kinds):
        self.rolls = rolls
        self.kinds = kinds
        self.makers = [self.store, self.store, self.store, self.read, self.read, self.touch, self.delete, self.count, self.error]
        if kinds.meta:
            self.makers += [self.meta_get] * 3 + [self.meta_set] * 3 + [self.meta_delete, self.meta_count, self.meta_count, self.debug]
        if kinds.flush:
            self.flushes = 40

    def request(self):
        if self.kinds.flush and self.rolls.randrange(self.flushes) == 0:
            return [b"flush_all" + self.quiet() + b"\r\n"]
        return self.rolls.choice(self.makers)()

    # ---- parts

    def key(self, kinds=None):
        return self.rolls.choice(kinds or TEXTS + NUMBERS)

    def value_of(self, key):
        return self.rolls.choice(NUMERALS if key in NUMBERS else VALUES)

    def quiet(self):
        return self.rolls.choice([b"", b"", b"", b" noreply"])

    def life(self):
        return b"%d" % self.rolls.choice(LIVES)

    def cas(self, key):
        return Cas(key, self.rolls.choice(["last", "last", "none"]))

    # ---- classic

    def store(self):
        verb = self.rolls.choice([b"set", b"set", b"add", b"replace", b"append", b"prepend", b"cas", b"cas"])
        key = self.key(TEXTS if verb in (b"append", b"prepend") else None)
        value = self.value_of(key)
        flags = self.rolls.choice([0, 7, 2**32 - 1])
        tail = [b" ", self.cas(key)] if verb == b"cas" else []
        return [verb + b" ", key, b" %d %s %d" % (flags, self.life(), len(value)), *tail, self.quiet() + b"\r\n" + value + b"\r\n"]

    def read(self):
        verb = self.rolls.choice([b"get", b"gets", b"gets", b"gat", b"gats"])
        head = [verb + b" " + self.life()] if verb.startswith(b"gat") else [verb]
        keys = [self.key() for _ in range(self.rolls.choice([1, 1, 2, 4]))]
        return head + [piece for key in keys for piece in (b" ", key)] + [b"\r\n"]

    def touch(self):
        return [b"touch ", self.key(), b" " + self.life() + self.quiet() + b"\r\n"]

    def delete(self):
        return [b"delete ", self.key(), self.rolls.choice([b"", b" 0"]) + self.quiet() + b"\r\n"]

    def count(self):
        delta = self.rolls.choice([b"0", b"1", b"5", b"100", b"18446744073709551615", b"x", b"-1"])
        return [self.rolls.choice([b"incr ", b"decr "]), self.key(), b" " + delta + self.quiet() + b"\r\n"]

    def error(self):
        return [self.rolls.choice(ERRORS + (NEWER_ERRORS if self.kinds.meta else []))]

    # ---- meta

    def flags(self, *groups):
        """Some of these, in any order; each is bytes, or a list of pieces."""
        chosen = self.rolls.sample(groups, self.rolls.randrange(len(groups) + 1))
        return [piece for flag in chosen for piece in ([b" "] + (flag if isinstance(flag, list) else [flag]))]

    def meta_key(self, key, flags):
        """The key, or its base64 where the answer does not repeat it."""
        if b"k" not in flags and self.rolls.randrange(6) == 0:
            return [("base64", key)], [*flags, b" b"]
        return [key], flags

    def meta_line(self, verb, key, flags, middle=b"", data=b""):
        name, flags = self.meta_key(key, flags)
        return [verb + b" ", *name, middle, *flags, b"\r\n" + data]

    def meta_get(self):
        makes = self.rolls.choice([b"N1000", *(b"N1000 E%d" % cas for cas in FARTHEST)])
        more = [b"h", b"l", b"u", makes, b"R500"] if self.kinds.warm else []
        return self.meta_line(b"mg", self.key(), self.flags(b"v", b"s", b"f", b"t", b"c", b"k", b"q", b"Oab", b"T" + self.life(), *more))

    def meta_set(self):
        key = self.key()
        mode = self.rolls.choice([b"MS", b"ME", b"MR", b"MS"] + ([b"MA", b"MP"] if key in TEXTS else []))
        more = ([b"I"] if key in TEXTS else []) if self.kinds.warm else [b"E%d" % (DICTATED + self.rolls.randrange(100))]
        value = self.value_of(key)
        flags = self.flags(b"c", b"s", b"k", b"q", b"Oab", b"F7", b"T" + self.life(), mode, [b"C", self.cas(key)],
                           *([b"N1000"] if mode in (b"MA", b"MP") else []), *more)
        return self.meta_line(b"ms", key, flags, b" %d" % len(value), value + b"\r\n")

    def meta_delete(self):
        key = self.key()
        more = [*([b"I"] if key in TEXTS else []), b"T" + self.life()] if self.kinds.warm else []
        return self.meta_line(b"md", key, self.flags(b"k", b"q", b"Oab", b"x", [b"C", self.cas(key)], *more))

    def meta_count(self):
        key = self.key()
        makes = [b"N1000", b"J13"] if key in NUMBERS else []
        flags = self.flags(b"v", b"t", b"c", b"k", b"q", b"Oab", *makes, b"D30", self.rolls.choice([b"MI", b"MD", b"M+", b"M-"]),
                           [b"C", self.cas(key)])
        return self.meta_line(b"ma", key, flags)

    def debug(self):
        return [b"me ", self.key(), b"\r\n"]


def make_stream(rolls, kinds, steps=8, requests=20):
    maker = Maker(rolls, kinds)
    return [Step([maker.request() for _ in range(requests)], sorted(rolls.randrange(1, 1500) for _ in range(rolls.randrange(4))))
            for _ in range(steps)]


# ---- Answers ----


class Reader:
    """What a stream of answers means: CAS values as numbers in the order in which they were first seen, times as lives."""

    def __init__(self, keys):
        self.names = {text: name for name, key in keys.items() for text in (key, base64.b64encode(key))}
        self.seen = {}
        self.last = {}  # CAS by name

    def cas(self, number, key=None):
        number = int(number)
        if key in self.names and number:
            self.last[self.names[key]] = number
        return self.seen.setdefault(number, len(self.seen)) if number else "none"

    @staticmethod
    def life(number):
        """-1, 0, or which of LIVES it was begun with, however slow this was."""
        number = int(number)
        if number > OVER:
            return 0
        return number if number <= 0 else next((life for life in LIVES if 0 <= life - number < 300), number)

    def is_number(self, key):
        return self.names.get(key) in NUMBERS

    def flag(self, flag, key, number):
        """number: it is about one, or may be, whose size depends on blanks."""
        letter, rest = flag[:1], flag[1:]
        if letter == b"c":
            return b"c", self.cas(rest, key)
        if letter == b"t":
            return b"t", self.life(rest)
        if letter == b"k":
            return b"k", self.names.get(rest)
        return letter if letter == b"l" or letter in (b"s", b"h") and number else flag

    def read(self, answer):
        """A list of what is comparable."""
        found, at = [], 0
        while at < len(answer):
            end = answer.find(b"\n", at)
            if end < 0:
                return [*found, ("torn", answer[at:])]
            line, at = answer[at:end].rstrip(b"\r"), end + 1
            words, size = line.split(b" "), self.announced(line)
            value = answer[at:at + size] if size is not None else None
            at += size + 2 if size is not None else 0
            found.append(self.meaning(line, words, value))
        return found

    @staticmethod
    def announced(line):
        """The size of the value that follows a line, or None."""
        size = re.match(rb"VALUE \S+ \d+ (\d+)|VA (\d+)", line)
        return int(size.group(1) or size.group(2)) if size else None

    def meaning(self, line, words, value):
        if words[0] == b"VALUE" and value is not None:
            value = value.rstrip(b" ") if self.is_number(words[1]) else value
            return b"VALUE", self.names.get(words[1]), words[2], *(self.cas(cas, words[1]) for cas in words[4:]), value
        if words[0] in (b"VA", b"HD", b"EN", b"NF", b"NS", b"EX"):
            return self.meta(words[0], words[2:] if words[0] == b"VA" else words[1:], value)
        if words[0] == b"ME":
            return b"ME", self.names.get(words[1])
        return (line.rstrip(b" ") if line[:1].isdigit() else line,)

    def meta(self, word, flags, value):
        key = next((flag[1:] for flag in flags if flag[:1] == b"k"), None)
        digits = value is not None and value.rstrip(b" ").isdigit()
        value = value.rstrip(b" ") if digits else value
        return word, *(self.flag(flag, key, digits or value is None) for flag in flags if flag != b"b"), value


# ---- Playing ----


class Side:
    """A server. event(): what happens to it before each step, if anything does."""

    def __init__(self, port, event=None):
        self.port = port
        self.event = event
        self.connection = None

    def begin(self, keys):
        self.keys = keys
        self.reader = Reader(keys)
        self.open()

    def open(self):
        self.close()
        self.connection = Connection(self.port, 60)

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def bytes_of(self, piece):
        if isinstance(piece, bytes):
            return piece
        if isinstance(piece, Cas):
            return b"%d" % (self.reader.last.get(piece.key, NOBODYS_CAS) if piece.choice == "last" else NOBODYS_CAS)
        if isinstance(piece, tuple):
            return base64.b64encode(self.keys[piece[1]])
        return self.keys[piece]

    def play(self, step):
        """What is answered, as it can be compared; whether the connection was closed comes last."""
        if self.event:
            self.close()
            self.event()
            self.open()
        data = b"".join(self.bytes_of(piece) for request in step.requests for piece in request) + b"mn\r\n"
        for first, end in zip([0, *step.cuts], [*step.cuts, len(data)]):
            self.connection.socket.sendall(data[first:end])
        answer = bytearray()
        while not answer.endswith(b"MN\r\n"):
            piece = self.connection.socket.recv(1 << 16)
            if not piece:
                break
            answer += piece
        closed = not answer.endswith(b"MN\r\n")
        if closed:
            self.open()
        return self.reader.read(bytes(answer)) + ([("closed",)] if closed else [])


_runs = itertools.count(1)


def compare(stream, ours, theirs, prefix):
    """The first difference, or None."""
    run = next(_runs)
    keys = {name: f"{prefix}{run}-{name}".encode() for name in TEXTS + NUMBERS}
    for side in (ours, theirs):
        side.begin(keys)
    try:
        for number, step in enumerate(stream):
            mine, other = ours.play(step), theirs.play(step)
            if mine != other:
                at = next((at for at, pair in enumerate(zip(mine, other)) if pair[0] != pair[1]), min(len(mine), len(other)))
                return f"step {number}, answer {at}: {mine[at:at + 2]} and not {other[at:at + 2]}"
    finally:
        for side in (ours, theirs):
            side.close()
    return None


def without(stream, first, count):
    """The stream without some of its requests, counted through; steps that are empty then stay, for their events."""
    shorter, number = [], 0
    for step in stream:
        kept = []
        for request in step.requests:
            if not first <= number < first + count:
                kept.append(request)
            number += 1
        shorter.append(Step(kept, step.cuts if len(kept) == len(step.requests) else []))
    return [step for at, step in enumerate(shorter) if step.requests or at and shorter[at - 1].requests]


def shrink(stream, differs):
    """A stream that still differs, of which no request can be left out."""
    total = sum(len(step.requests) for step in stream)
    size = max(1, total // 2)
    while size:
        first = 0
        while first < total:
            shorter = without(stream, first, size)
            if differs(shorter):
                stream, total = shorter, sum(len(step.requests) for step in shorter)
            else:
                first += size
        size //= 2
    return stream


def text_of(stream):
    """For people: what is sent, a step behind the other; keys by their names."""
    def piece_text(piece):
        if isinstance(piece, bytes):
            return re.sub(rb"(.)\1{40,}", lambda found: b"{%s*%d}" % (found.group(1), len(found.group(0))), piece).decode("latin-1")
        return "{" + (piece if isinstance(piece, str) else f"{piece[0]}:{piece[1]}") + "}"

    return "\n---- \n".join("".join(piece_text(piece) for request in step.requests for piece in request) for step in stream)
