# SPDX-License-Identifier: MIT
"""What a client that speaks the binary protocol is told of a backend that is away; above all, that it stays in step. ruby-dalli
and python-binary-memcached ask for several keys by quiet lookups, take an error in between for the end, and what follows for
the answers to their next requests: another key's value, another user's session."""

import pytest
from forebay import AWAY, Config, eventually, locked, namespace, section, sqlite_backend
from packets import packet


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


def told(answers):
    """By the number of its request, from 0: its status, or the value of a lookup."""
    return {one.opaque: one.value if one.status == "SUCCESS" and one.value else one.status for one in answers}


def test_a_single_lookup_is_answered_by_the_error(away):
    with away.binary_client() as client:
        answer = client.ask("get", "a:gone")
        assert (answer.status, answer.value) == ("TEMPORARY_FAILURE", b"backend remote is not available")
        assert client.ask("getk", "a:1").value == b"one"


def test_the_end_of_a_pipeline_tells_that_a_quiet_lookup_failed(away):
    with away.binary_client() as client:
        for quiet in ("getq", "getkq", "gatq", "gatkq"):
            for end in (("noop",), ("get", "a:1"), ("getk", "a:2"), ("gat", "a:1")):
                found = client.ask_all((quiet, "a:1"), (quiet, "a:gone"), (quiet, "a:2"), end)
                assert told(found) == {0: b"one", 2: b"two", 3: "TEMPORARY_FAILURE"}, (quiet, end)
                assert found[-1].value == b"a quiet lookup before this one failed"
                assert told(client.ask_all(("get", "a:1"), ("get", "a:2"), ("noop",))) == {0: b"one", 1: b"two", 2: "SUCCESS"}


def test_the_end_may_come_in_another_piece(away):
    with away.binary_client() as client:
        client.send(packet("getkq", "a:gone"))
        assert client.ask("noop").status == "TEMPORARY_FAILURE"
        assert client.ask("noop").status == "SUCCESS"


def test_whatever_is_told_next_tells_it(away):
    """A lookup that failed must not read as a miss: then a session is begun anew, and the next set is the loss of the old one."""
    with away.binary_client() as client:
        for end in (("set", "a:2", b"due"), ("delete", "a:2"), ("stat",), (0x42,)):
            found = client.ask_all(("getkq", "a:gone"), ("setq", "a:1", b"uno"), end)
            assert told(found) == {2: "TEMPORARY_FAILURE"}, end
            assert told(client.ask_all(("get", "a:1"), ("get", "a:2"))) == {0: b"uno", 1: b"two"}
    for end in (("quit",), ("get", b"")):
        with away.binary_client() as client:
            assert told(client.ask_all(("getkq", "a:gone"), end)) == {1: "TEMPORARY_FAILURE"}, end
            assert client.is_closed()


def test_the_errors_of_others_do_not_hide_it(away):
    with away.binary_client() as client:
        for other in (("setq", "a:gone", b"new"), ("deleteq", "a:gone")):
            found = client.ask_all(("getkq", "a:gone"), other, ("getkq", "a:1"), ("noop",))
            assert told(found) == {1: "TEMPORARY_FAILURE", 2: b"one", 3: "TEMPORARY_FAILURE"}, other


def test_what_tells_it_is_not_done_ahead(away):
    """Changes behind one that waits for its store are done along with it, but for the one that tells of a lookup."""
    with away.binary_client() as client:
        found = client.ask_all(("getkq", "a:gone"), ("setq", "b:1", b"one"), ("set", "b:2", b"two"), ("set", "b:3", b"three"),
                               ("get", "b:1"), ("get", "b:2"), ("get", "b:3"))
        assert told(found) == {2: "TEMPORARY_FAILURE", 3: "SUCCESS", 4: b"one", 5: "NOT_FOUND", 6: b"three"}
        with locked(away):
            found = client.ask_all(("gatkq", "b:1"), ("set", "b:2", b"two"), ("get", "a:1"))
        assert told(found) == {1: "TEMPORARY_FAILURE", 2: b"one"}


def test_quiet_changes_tell_their_errors_themselves(away):
    """And do not hide that of a lookup before them."""
    with away.binary_client() as client:
        found = client.ask_all(("setq", "a:gone", b"new"), ("setq", "a:1", b"uno"), ("noop",))
        assert told(found) == {0: "TEMPORARY_FAILURE", 2: "SUCCESS"}
        found = client.ask_all(("getkq", "a:gone"), ("setq", "a:gone", b"new"), ("getkq", "a:1"), ("noop",))
        assert told(found) == {1: "TEMPORARY_FAILURE", 2: b"uno", 3: "TEMPORARY_FAILURE"}
