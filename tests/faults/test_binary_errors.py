# SPDX-License-Identifier: MIT
"""What a client that speaks the binary protocol is told of a backend that is away; above all, that it stays in step. ruby-dalli
and python-binary-memcached ask for several keys by quiet lookups, take an error in between for the end, and what follows for
the answers to their next requests: another key's value, another user's session."""

import struct

import pytest
from forebay import AWAY, Config, eventually, locked, namespace, section, sqlite_backend

GET, SET, DELETE, QUIT, GETQ, NOOP, GETK, GETKQ, STAT, SETQ, DELETEQ = 0x00, 0x01, 0x04, 0x07, 0x09, 0x0A, 0x0C, 0x0D, 0x10, 0x11, 0x14
GAT, GATKQ, UNKNOWN = 0x1D, 0x24, 0x42
SUCCESS, ABSENT, TEMPORARY = 0x00, 0x01, 0x86
EXTRAS = {SET: bytes(8), SETQ: bytes(8), GAT: bytes(4), GATKQ: bytes(4)}


def packet(opcode, key=b"", value=b"", opaque=0):
    body = EXTRAS.get(opcode, b"") + key + value
    return struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(EXTRAS.get(opcode, b"")), 0, 0, len(body), opaque, 0) + body


def ask(client, *packets):
    """Sends the packets in one piece; of each answer up to that to the last: opaque, status, value."""
    client.send(b"".join(packet(*parts, opaque=number) for number, parts in enumerate(packets, 1)))
    answers = []
    while not answers or answers[-1][0] < len(packets):
        _, _, key, extras, _, status, body, opaque, _ = struct.unpack(">BBHBBHIIQ", client.read(24))
        answers.append((opaque, status, client.read(body)[extras + key:]))
    return answers


@pytest.fixture
def away(redis, serve):
    """A server one of whose backends is away: a:1 and a:2 are in memory, what a:gone is nobody can say. What begins with b: is
    written through to the other."""
    spaces = (namespace("sessions", "a:", "write-behind", backend="remote", flush_delay="10ms", unknown_set="refuse"),
              namespace("through", "b:", "write-through"))
    backends = [section("backend", "remote", uri=redis.uri, timeout=AWAY), sqlite_backend(timeout=AWAY)]
    server = serve(Config(*spaces, backends=backends, drain_timeout="100ms"))
    with server.client() as client:
        eventually(lambda: client.command("mg a:gone") == b"EN")
        client.set(b"a:gone", b"v")
        client.sync()
        assert client.command("flush_all") == b"OK"
        client.set_many([(b"a:1", b"one"), (b"a:2", b"two")])
        client.sync()
    redis.kill()
    eventually(lambda: b"not available" in server.client().command("get a:gone"))
    return server


def statuses(answers):
    return [(opaque, status) for opaque, status, _ in answers]


def test_a_single_lookup_is_answered_by_the_error(away):
    with away.client() as client:
        assert ask(client, (GET, b"a:gone")) == [(1, TEMPORARY, b"backend remote is not available")]
        assert ask(client, (GETK, b"a:1")) == [(1, SUCCESS, b"one")]


def test_the_end_of_a_pipeline_tells_that_a_quiet_lookup_failed(away):
    with away.client() as client:
        for quiet in (GETQ, GETKQ, GATKQ):
            for end in ((NOOP,), (GET, b"a:1"), (GETK, b"a:2"), (GAT, b"a:1")):
                found = ask(client, (quiet, b"a:1"), (quiet, b"a:gone"), (quiet, b"a:2"), end)
                assert statuses(found) == [(1, SUCCESS), (3, SUCCESS), (4, TEMPORARY)], (quiet, end)
                assert ask(client, (GET, b"a:1"), (GET, b"a:2"), (NOOP,)) == [(1, SUCCESS, b"one"), (2, SUCCESS, b"two"), (3, SUCCESS, b"")]


def test_the_end_may_come_in_another_piece(away):
    with away.client() as client:
        client.send(packet(GETKQ, b"a:gone"))
        assert statuses(ask(client, (NOOP,))) == [(1, TEMPORARY)]
        assert statuses(ask(client, (NOOP,))) == [(1, SUCCESS)]


def test_whatever_is_told_next_tells_it(away):
    """A lookup that failed must not read as a miss: then a session is begun anew, and the next set is the loss of the old one."""
    with away.client() as client:
        for end in ((SET, b"a:2", b"due"), (DELETE, b"a:2"), (STAT,), (UNKNOWN,)):
            found = ask(client, (GETKQ, b"a:gone"), (SETQ, b"a:1", b"uno"), end)
            assert statuses(found) == [(3, TEMPORARY)], end
            assert ask(client, (GET, b"a:1"), (GET, b"a:2")) == [(1, SUCCESS, b"uno"), (2, SUCCESS, b"two")]
    for end in ((QUIT,), (GET, b"")):
        with away.client() as client:
            assert statuses(ask(client, (GETKQ, b"a:gone"), end)) == [(2, TEMPORARY)], end
            assert client.is_closed()


def test_the_errors_of_others_do_not_hide_it(away):
    with away.client() as client:
        for other in ((SETQ, b"a:gone", b"new"), (DELETEQ, b"a:gone")):
            found = ask(client, (GETKQ, b"a:gone"), other, (GETKQ, b"a:1"), (NOOP,))
            assert statuses(found) == [(2, TEMPORARY), (3, SUCCESS), (4, TEMPORARY)], other


def test_what_tells_it_is_not_done_ahead(away):
    """Changes behind one that waits for its store are done along with it, but for the one that tells of a lookup."""
    with away.client() as client:
        found = ask(client, (GETKQ, b"a:gone"), (SETQ, b"b:1", b"one"), (SET, b"b:2", b"two"), (SET, b"b:3", b"three"),
                    (GET, b"b:1"), (GET, b"b:2"), (GET, b"b:3"))
        assert statuses(found) == [(3, TEMPORARY), (4, SUCCESS), (5, SUCCESS), (6, ABSENT), (7, SUCCESS)]
        assert found[2][2] == b"one" and found[4][2] == b"three"
        with locked(away):
            found = ask(client, (GATKQ, b"b:1"), (SET, b"b:2", b"two"), (GET, b"a:1"))
        assert statuses(found) == [(2, TEMPORARY), (3, SUCCESS)] and found[1][2] == b"one"


def test_quiet_changes_tell_their_errors_themselves(away):
    with away.client() as client:
        found = ask(client, (SETQ, b"a:gone", b"new"), (SETQ, b"a:1", b"uno"), (NOOP,))
        assert statuses(found) == [(1, TEMPORARY), (3, SUCCESS)]
        assert ask(client, (GET, b"a:1")) == [(1, SUCCESS, b"uno")]
