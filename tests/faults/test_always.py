# SPDX-License-Identifier: MIT
"""journal = always: replies wait for the disk, and the changes of a pipeline wait together. (test_power_loss.py proves that they
wait; this file shows how.)"""

import contextlib
import select

import pytest
from forebay import Closed, Config, eventually, journal_failures, namespace, no_file_can_be_written


@pytest.fixture
def server(serve):
    spaces = (namespace("sessions", "sess:", "write-behind", journal="always", flush_delay="1h", flush_batch=1000000),
              namespace("stored", "row:", "read-through"), namespace("plain", "plain:", "cache-aside"))
    return serve(Config(*spaces, threads=1))


def fsyncs(client):
    return int(client.stats("write_behind")["journal:fsyncs"])


def test_a_pipeline_shares_its_syncs(server):
    client, other = server.client(), server.client()
    before = fsyncs(other)
    client.send(b"".join(b"set sess:k%d 0 0 2\r\n%02d\r\n" % (i, i % 100) for i in range(2000)))
    assert [client.line() for _ in range(2000)] == [b"STORED"] * 2000
    assert fsyncs(other) - before < 200


def test_replies_keep_their_order(server):
    """Changes that are held, reads from memory, reads that wait for the store, and none at all."""
    client = server.client()
    for i in range(50):
        n = b"%d" % i
        client.send(b"set sess:a 0 0 %d\r\n%s\r\n" % (len(n), n) + b"get sess:a\r\n" + b"get row:absent%d\r\n" % i +
                    b"append sess:a 0 0 1\r\n+\r\n" + b"get row:none%d sess:a\r\n" % i + b"gat 1000 sess:a\r\n" + b"set plain:x 0 0 1\r\nx\r\n" +
                    b"get plain:x\r\n" + b"delete sess:a noreply\r\n" + b"get sess:a\r\n")
        grown = b"%d" % (len(n) + 1)
        expected = [b"STORED", b"VALUE sess:a 0 %d" % len(n), n, b"END", b"END", b"STORED", b"VALUE sess:a 0 " + grown, n + b"+", b"END",
                    b"VALUE sess:a 0 " + grown, n + b"+", b"END", b"STORED", b"VALUE plain:x 0 1", b"x", b"END", b"END"]
        assert [client.line() for _ in expected] == expected


def test_quiet_changes_hold_what_follows(server):
    """Whoever reads the MN behind quiet sets takes them for safe."""
    client, reader = server.client(), server.client()
    assert reader.set("plain:x", b"v") == b"STORED"
    with no_file_can_be_written(server):
        client.send(b"ms sess:a 1 q\r\n1\r\nset sess:b 0 0 1 noreply\r\n1\r\nmn\r\n")
        eventually(lambda: journal_failures(server) > 0)
        for _ in range(20):
            assert reader.get("plain:x") == b"v"
        assert not select.select([client.socket], [], [], 0)[0], "MN before its sets were in the journal"
    assert client.line() == b"MN"
    server.kill()
    server.start()
    assert server.client().get("sess:a") == b"1"


def test_a_lone_client_is_answered_when_the_disk_is_back(server):
    """Nobody else makes the worker look again."""
    client = server.client()
    assert client.set("sess:a", b"1") == b"STORED"
    with no_file_can_be_written(server):
        client.send(client.storage("set", "sess:a", b"2"))
        eventually(lambda: journal_failures(server) > 0)
    assert client.line() == b"STORED"
    assert client.get("sess:a") == b"2"


def test_clients_that_vanish_while_held_leave_nothing_behind(server):
    with no_file_can_be_written(server):
        for i in range(20):
            client = server.client()
            client.send(b"set sess:v%d 0 0 1\r\nx\r\nget sess:v%d row:x\r\nset sess:v%d 0 0 1\r\ny\r\n" % (i, i, i))
            client.close()
        eventually(lambda: journal_failures(server) > 0)
    client = server.client()
    eventually(lambda: client.set("sess:a", b"1") == b"STORED")
    eventually(lambda: int(client.stats()["curr_connections"]) <= 2)
    assert client.get("sess:a") == b"1"


def test_the_end_waits_for_those_held(server):
    client = server.client()
    client.send(b"".join(b"set sess:k%d 0 0 1\r\nx\r\n" % i for i in range(200)))
    server.stop()
    answered = 0
    with contextlib.suppress(Closed, ConnectionResetError):
        while client.line() == b"STORED":
            answered += 1
    client = server.start().client()
    assert answered == 200 or client.get(f"sess:k{answered}") is None
    assert all(client.get(f"sess:k{i}") == b"x" for i in range(answered))
