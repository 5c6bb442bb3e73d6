# SPDX-License-Identifier: MIT
"""What a client that speaks the binary protocol is told of a backend that is away; above all, that it stays in step. ruby-dalli
and python-binary-memcached ask for several keys by quiet lookups, take an error in between for the end, and what follows for
the answers to their next requests: another key's value, another user's session."""

import pytest
from forebay import AWAY, Config, eventually, namespace, section
from packets import packet

@pytest.fixture
def away(redis, serve):
    """A server whose backend is away: a:1 and a:2 are in memory, what a:gone is nobody can say."""
    space = namespace("sessions", "a:", "write-behind", backend="remote", flush_delay="10ms", unknown_set="refuse")
    server = serve(Config(space, backends=[section("backend", "remote", uri=redis.uri, timeout=AWAY)], drain_timeout="100ms"))
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


def test_a_request_with_an_answer_of_its_own_gives_that(away):
    with away.binary_client() as client:
        found = client.ask_all(("getkq", "a:gone"), ("setq", "a:1", b"uno"), ("set", "a:2", b"due"), ("get", "a:1"), ("noop",))
        assert told(found) == {2: "SUCCESS", 3: b"uno", 4: "SUCCESS"}


def test_quiet_changes_tell_their_errors_themselves(away):
    """And do not hide that of a lookup before them."""
    with away.binary_client() as client:
        found = client.ask_all(("setq", "a:gone", b"new"), ("setq", "a:1", b"uno"), ("noop",))
        assert told(found) == {0: "TEMPORARY_FAILURE", 2: "SUCCESS"}
        found = client.ask_all(("getkq", "a:gone"), ("setq", "a:gone", b"new"), ("getkq", "a:1"), ("noop",))
        assert told(found) == {1: "TEMPORARY_FAILURE", 2: b"uno", 3: "TEMPORARY_FAILURE"}
