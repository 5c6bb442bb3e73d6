# SPDX-License-Identifier: MIT
"""memcached's binary protocol by hand: packets out, packets in.

    with BinaryClient(server.port) as client:
        answer = client.ask("set", b"k", b"value", flags=5)
        assert answer.status == "SUCCESS" and answer.cas
        client.send(packet("getq", b"k", opaque=7), packet("noop"))
        assert [one.opcode for one in client.answers_to_noop()] == ["getq"]

Numbers that an opcode carries have names: flags, ttl, delta, initial, level. What is not given is 0; a number is not made
unless a ttl is given (NEVER). Any part can be given as it is, sizes that do not add up as well.
"""

import collections
import contextlib
import struct

from connection import Connection

HEADER = struct.Struct("!BBHBBHIIQ")
REQUEST, RESPONSE = 0x80, 0x81
NEVER = 0xffffffff  # the ttl of incr and decr where a number that does not exist is not made

_IN_ORDER = ["get", "set", "add", "replace", "delete", "incr", "decr", "quit", "flush", "getq", "noop", "version", "getk", "getkq",
             "append", "prepend", "stat", "setq", "addq", "replaceq", "deleteq", "incrq", "decrq", "quitq", "flushq", "appendq",
             "prependq", "verbosity", "touch", "gat", "gatq"]
OPCODES = {**{name: number for number, name in enumerate(_IN_ORDER)},
           "sasl_list": 0x20, "sasl_auth": 0x21, "sasl_step": 0x22, "gatk": 0x23, "gatkq": 0x24}
_NAMES = {number: name for name, number in OPCODES.items()}

STATUSES = {"SUCCESS": 0x00, "NOT_FOUND": 0x01, "EXISTS": 0x02, "TOO_LARGE": 0x03, "INVALID": 0x04, "NOT_STORED": 0x05,
            "NOT_A_NUMBER": 0x06, "AUTH_ERROR": 0x20, "AUTH_CONTINUE": 0x21, "UNKNOWN_COMMAND": 0x81, "NO_MEMORY": 0x82,
            "NOT_SUPPORTED": 0x83, "INTERNAL_ERROR": 0x84, "TEMPORARY_FAILURE": 0x86}
_STATUS_NAMES = {number: name for name, number in STATUSES.items()}

# What memcached says beside a status where it says nothing else.
MESSAGES = {"NOT_FOUND": b"Not found", "EXISTS": b"Data exists for key.", "TOO_LARGE": b"Too large.",
            "INVALID": b"Invalid arguments", "NOT_STORED": b"Not stored.",
            "NOT_A_NUMBER": b"Non-numeric server-side value for incr or decr", "AUTH_ERROR": b"Auth failure.",
            "UNKNOWN_COMMAND": b"Unknown command", "NO_MEMORY": b"Out of memory"}

Answer = collections.namedtuple("Answer", "opcode status opaque cas extras key value")


def bytes_of(text):
    return text if isinstance(text, bytes) else str(text).encode()


def opcode_of(name):
    """The number of an opcode that is given by its name or as a number."""
    return OPCODES[name] if name in OPCODES else int(name, 0) if isinstance(name, str) else name


def loud(name):
    """The opcode whose success is told, by name: of setq, set."""
    return name[:-1] if name.endswith("q") and name[:-1] in OPCODES else name


def extras_of(name, flags=0, ttl=None, delta=1, initial=0, level=0):
    """The extras that belong to an opcode."""
    name = loud(name) if isinstance(name, str) else name
    if name in ("set", "add", "replace"):
        return struct.pack("!II", flags, ttl or 0)
    if name in ("incr", "decr"):
        return struct.pack("!QQI", delta, initial, NEVER if ttl is None else ttl)
    if name in ("touch", "gat", "gatk"):
        return struct.pack("!I", ttl or 0)
    if name == "flush" and ttl is not None:
        return struct.pack("!I", ttl)
    return struct.pack("!I", level) if name == "verbosity" else b""


def packet(name, key=b"", value=b"", extras=None, cas=0, opaque=0, magic=REQUEST, data_type=0, key_size=None,
           extras_size=None, body_size=None, **numbers):
    """A request. The sizes in its header are those of its parts, unless they are given."""
    key, value = bytes_of(key), bytes_of(value)
    extras = extras_of(name, **numbers) if extras is None else extras
    parts = len(extras) + len(key) + len(value)
    return HEADER.pack(magic, opcode_of(name), len(key) if key_size is None else key_size,
                       len(extras) if extras_size is None else extras_size, data_type, 0,
                       parts if body_size is None else body_size, opaque, cas) + extras + key + value


def flags_of(answer):
    """The flags of a hit, or of a touch."""
    return struct.unpack("!I", answer.extras)[0]


def number_of(answer):
    """What incr or decr made."""
    return struct.unpack("!Q", answer.value)[0]


def read_answer(file):
    """The next answer in a file, or None at its end."""
    header = file.read(HEADER.size)
    if len(header) < HEADER.size:
        assert header == b"", f"a torn header: {header!r}"
        return None
    magic, opcode, key_size, extras_size, _, status, body_size, opaque, cas = HEADER.unpack(header)
    assert magic == RESPONSE, f"no answer begins with {header!r}"
    assert extras_size + key_size <= body_size, f"sizes that do not add up: {header!r}"
    body = file.read(body_size)
    assert len(body) == body_size, f"a torn body: {len(body)} of {body_size} bytes"
    parts = extras_size + key_size
    return Answer(_NAMES.get(opcode, opcode), _STATUS_NAMES.get(status, status), opaque, cas, body[:extras_size],
                  body[extras_size:parts], body[parts:])


class BinaryClient(Connection):
    """Keys may be str or bytes; values are bytes."""

    def __init__(self, port, timeout=60, host="127.0.0.1"):
        super().__init__(port, timeout, host)

    def send(self, *packets):
        self.socket.sendall(b"".join(packets))

    def answer(self):
        """The next one; None where the server has closed instead."""
        try:
            return read_answer(self.file)
        except ConnectionResetError:
            return None

    def ask(self, name, key=b"", value=b"", **more):
        """One request, one answer."""
        self.send(packet(name, key, value, **more))
        return self.answer()

    def ask_all(self, *requests):
        """Sends these (name, key, value), numbered from 0, in one piece; the answers up to that of the last, which is loud."""
        self.send(*(packet(*request, opaque=number) for number, request in enumerate(requests)))
        found = [self.answer()]
        while found[-1].opaque != len(requests) - 1:
            found.append(self.answer())
        return found

    def answers_to_noop(self):
        """The answers before that of a noop that was sent."""
        found = []
        while (answer := self.answer()).opcode != "noop":
            found.append(answer)
        return found

    def set(self, key, value, **more):
        """The status."""
        return self.ask("set", key, value, **more).status

    def get(self, key):
        """The value, or None for a miss; an error is a failure."""
        answer = self.ask("get", key)
        assert answer.status in ("SUCCESS", "NOT_FOUND"), answer
        return answer.value if answer.status == "SUCCESS" else None

    def stats(self, what=""):
        """{name: value}, both str."""
        self.send(packet("stat", what))
        found = {}
        while True:
            answer = self.answer()
            assert answer.status == "SUCCESS", answer
            if not answer.key:
                return found
            found[answer.key.decode()] = answer.value.decode()

    def log_in(self, user, password):
        """The answer to SASL PLAIN."""
        return self.ask("sasl_auth", "PLAIN", b"\0" + bytes_of(user) + b"\0" + bytes_of(password))


def speaks_binary(port):
    """Whether a server there answers in this protocol."""
    with contextlib.suppress(OSError, AssertionError), BinaryClient(port, timeout=5) as client:
        return client.ask("version") is not None
    return False
