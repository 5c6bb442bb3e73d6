# SPDX-License-Identifier: MIT
"""Transcripts: what a client sends and what it is answered, in text files that are short to read and to add to.

    # Comments. The form of these files is described in tests/protocol/README.md.

    == a value is stored and read
    > set {k} 5 0 3
    > abc
    < STORED
    > get {k}
    < VALUE {k} 5 3
    < abc
    < END

This module reads them (load) and plays them on a connection (Player; those of the binary protocol: binary_player.py). Which
servers they are played against is test_transcripts.py's business.
"""

import base64
import collections
import glob
import itertools
import os
import re
import socket
import time

FOLDER = os.path.dirname(os.path.abspath(__file__))
SUITE_TABLE = os.path.join(FOLDER, "memcached-suite.txt")  # the table of tools/memcached-suite, not a transcript
PATIENCE = float(os.environ.get("TRANSCRIPT_PATIENCE", "20"))  # seconds that an answer may take

Step = collections.namedtuple("Step", "number kind text")

KINDS = ["<close", "wait ", "evict", "reconnect", ">>", ">", "<"]  # what a line may begin with
DIRECTIVES = {"since", "needs", "only", "alone", "options", "speaks"}


class TranscriptError(Exception):
    """The transcript itself is wrong."""


class Mismatch(AssertionError):
    """The server answered something else."""


class Case:
    """One `==` section: a title, directives and steps."""

    def __init__(self, path, number, title, directives):
        self.file = os.path.splitext(os.path.basename(path))[0]
        self.number = number
        self.title = title
        self.directives = dict(directives)
        self.steps = []

    @property
    def name(self):
        return self.file + ": " + self.title

    @property
    def since(self):
        """The memcached that the case holds for, as a tuple."""
        return tuple(map(int, self.directives.get("since", "0").split(".")))

    @property
    def is_binary(self):
        return self.directives.get("speaks") == "binary"

    @property
    def waits(self):
        return any(step.kind == "wait " for step in self.steps)


def _directive(line):
    found = re.fullmatch(r"#\s*(\w+)(?::\s*(.*))?", line)
    return (found.group(1), found.group(2) or "") if found and found.group(1) in DIRECTIVES else None


def _step(path, number, line):
    for kind in KINDS:
        if line.startswith(kind):
            text = line[len(kind):]
            return Step(number, kind, text[1:] if kind in (">", ">>", "<") and text.startswith(" ") else text)
    raise TranscriptError(f"{path}:{number}: not a line of a transcript: {line!r}")


def read(path):
    """The cases of a file. Directives before the first case hold for all of them."""
    cases, directives, seen_case = [], {}, False
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.rstrip("\n")
            if line.startswith("=="):
                seen_case = True
                cases.append(Case(path, number, line[2:].strip(), directives))
            elif line.startswith("#") and _directive(line):
                name, value = _directive(line)
                (cases[-1].directives if seen_case else directives)[name] = value
            elif line.strip() and not line.startswith("#"):
                if not seen_case:
                    raise TranscriptError(f"{path}:{number}: a line before the first ==")
                cases[-1].steps.append(_step(path, number, line))
    return cases


def load(pattern="*.txt"):
    """All cases of all files of this folder."""
    paths = sorted(set(glob.glob(os.path.join(FOLDER, pattern))) - {SUITE_TABLE})
    return [case for path in paths for case in read(path)]


ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|(.))")
BRACED = re.compile(r"\{([^{}]*)\}")
_runs = itertools.count(1)


def _unescape(text):
    """The bytes of a text with \\r \\n \\t \\0 \\\\ \\{ \\} and \\xNN."""
    plain = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "s": " "}

    def character(found):
        return chr(int(found.group(1), 16)) if found.group(1) else plain.get(found.group(2), found.group(2))

    return ESCAPE.sub(character, text).encode("latin-1")


class Player:
    """Plays one case: connect() opens a connection, evict() throws out of memory what a backend can give back. With
    cold set that happens before every step that sends."""

    def __init__(self, connect, prefix="", evict=None, cold=False):
        self.connect = connect
        self.prefix = prefix
        self.evict = evict
        self.cold = cold
        self.run = f"{os.getpid():x}-{next(_runs)}-"
        self.captured = {}
        self.socket = self.file = None

    # ---- placeholders

    def key(self, name):
        name, _, size = name.partition(":")
        key = self.prefix + self.run + name
        return key.ljust(int(size), "k") if size else key

    def value_of(self, what):
        """What a placeholder stands for in either direction, or None."""
        if re.fullmatch(r"[a-z][a-z0-9_]*(:\d+)?", what):
            return self.key(what)
        if what.startswith("base64:"):
            return base64.b64encode(self.key(what[7:]).encode()).decode()
        if what.startswith("$") and what[1:] in self.captured:
            return self.captured[what[1:]]
        repeated = re.fullmatch(r"(.+)\*(\d+)", what)
        return repeated.group(1) * int(repeated.group(2)) if repeated else None

    def bytes_of(self, step):
        def replace(found):
            value = self.value_of(found.group(1))
            if value is None:
                raise TranscriptError(f"line {step.number}: no placeholder: {found.group(0)}")
            return value

        return _unescape(BRACED.sub(replace, step.text))

    def pattern_of(self, step):
        """A regular expression for an expected line, and the names it captures."""
        parts, names, at = [], [], 0
        for found in BRACED.finditer(step.text):
            parts.append(re.escape(_unescape(step.text[at:found.start()])))
            parts.append(self._expected(step, found.group(1), names))
            at = found.end()
        parts.append(re.escape(_unescape(step.text[at:])))
        return b"".join(parts), names

    def _expected(self, step, what, names):
        if what == "#":
            return rb"\d+"
        if what == "*":
            return rb".*"
        if re.fullmatch(r"-?\d+\.\.\d+", what):
            low, high = what.split("..")
            return b"(?:" + b"|".join(b"%d" % number for number in range(int(low), int(high) + 1)) + b")"
        if re.fullmatch(r"\$[a-z]\w*=", what):
            names.append(what[1:-1])
            return rb"(\d+)"
        value = self.value_of(what)
        if value is None:
            raise TranscriptError(f"line {step.number}: no placeholder: {{{what}}}")
        return re.escape(_unescape(value))

    # ---- steps

    def play(self, case):
        self.open()
        try:
            for is_send, steps in itertools.groupby(case.steps, lambda step: step.kind in (">", ">>")):
                self.send(list(steps)) if is_send else self.take(list(steps))
            self.expect_nothing_more(case)
        except (OSError, Mismatch) as error:
            raise Mismatch(f"{case.file}.txt, case at line {case.number} ({case.title}): {error}") from None
        finally:
            self.close()

    def open(self):
        self.socket = self.connect()
        self.socket.settimeout(PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def close(self):
        self.file.close()
        self.socket.close()

    def send(self, steps):
        """Lines that follow each other go out in one piece."""
        if self.cold:
            self.evict()
        data = b"".join(self.data_of(step) for step in steps)
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # closed by the server: what it said before is still to be read

    def data_of(self, step):
        return self.bytes_of(step) + (b"\r\n" if step.kind == ">" else b"")

    def take(self, steps):
        for step in steps:
            if step.kind == "<":
                self.expect(step)
            elif step.kind == "<close":
                self.expect_close(step)
            elif step.kind == "wait ":
                time.sleep(float(step.text))
            elif step.kind == "evict":
                if self.evict:
                    self.evict()
            else:
                self.close()
                self.open()

    def expect(self, step):
        line = self.file.readline()
        found = self.captures(step, line[:-2]) if line.endswith(b"\r\n") else None
        if found is None:
            raise Mismatch(f"line {step.number}: expected {step.text!r}, got {line!r}")
        self.captured.update(found)

    def captures(self, step, data):
        """{name: text} if the data are what the step expects, or else None. Most steps leave nothing open, and a regular
        expression of a megabyte takes seconds to make."""
        if all(self.value_of(what) is not None for what in BRACED.findall(step.text)):
            return {} if data == self.bytes_of(step) else None
        pattern, names = self.pattern_of(step)
        found = re.fullmatch(pattern, data, re.DOTALL)
        return found and dict(zip(names, map(bytes.decode, found.groups())))

    def expect_close(self, step):
        try:
            rest = self.file.read(1)
        except ConnectionResetError:
            rest = b""
        if rest:
            raise Mismatch(f"line {step.number}: expected the end, got {rest + self.file.readline()!r}")

    def expect_nothing_more(self, case):
        if case.steps and case.steps[-1].kind == "<close":
            return
        self.ask_for_the_end()

    def ask_for_the_end(self):
        self.socket.sendall(b"mn\r\n")
        line = self.file.readline()
        if line != b"MN\r\n":
            raise Mismatch(f"expected nothing more, got {line!r}")
