# SPDX-License-Identifier: MIT
"""Pipelines into a write-through namespace: changes that follow each other go to the store together, and every answer is what a
client would get that waits for each."""

import random

import pytest
from crash import change, request
from forebay import Config, eventually, locked, namespace

STAY = 1_000_000  # seconds


@pytest.fixture
def server(serve):
    spaces = (namespace("through", "wt:", "write-through"), namespace("other", "other:", "write-through"),
              namespace("behind", "behind:", "write-behind", flush_delay="1h"), namespace("plain", "plain:", "cache-aside"))
    return serve(Config(*spaces, threads=1))


def commits(client):
    return int(client.stats("backends")["local:write_through_commits"])


def test_a_pipeline_shares_its_commits(server):
    client, other = server.client(), server.client()
    before = commits(other)
    assert client.set_many((f"wt:{i}", b"%d" % i) for i in range(1000)) == [b"STORED"] * 1000
    assert commits(other) - before < 100
    assert {int(key[3:]): int(row.value) for key, row in server.rows("through").items()} == {i: i for i in range(1000)}


def test_each_change_sees_those_before_it(server):
    """Random changes of few keys in long pipelines, against a model of one client that waits."""
    rng = random.Random(5)
    client = server.client()
    keys = [b"wt:a", b"wt:b", b"other:c", b"behind:d", b"plain:e"]
    states = dict.fromkeys(keys)
    for _ in range(100):
        todo = []
        for _ in range(rng.randrange(1, 150)):
            key = rng.choice(keys)
            number = b"%d" % rng.randrange(1000)
            todo.append((key, rng.choice((("set", (number, 1, STAY)), ("add", (number, 2, STAY)), ("replace", (number, 3, STAY)),
                                          ("append", b"1"), ("delete", None), ("touch", STAY + 5), ("incr", 7), ("get", None)))))
        client.send(b"".join(b"get %s\r\n" % key if operation[0] == "get" else request(key, operation) for key, operation in todo))
        for key, operation in todo:
            if operation[0] == "get":
                found = [(value, flags) for _, flags, value, _ in client.values()]
                assert found == ([states[key][:2]] if states[key] else []), (key, operation)
                continue
            states[key], expected = change(states[key], operation)
            assert client.line() == expected, (key, operation)
    for space, prefix in (("through", b"wt:"), ("other", b"other:")):
        rows = {key: (row.value, row.flags) for key, row in server.rows(space).items()}
        assert rows == {key: state[:2] for key, state in states.items() if key.startswith(prefix) and state}


def test_an_answer_has_the_value_of_its_place_in_the_pipeline(server):
    """The value that an answer brings is that of an earlier change of the pipeline, long ones too, with quiet ones between."""
    client = server.client()
    for size in (10, 5000, 70000, 200000):
        value = b"v" * size
        client.send(client.storage("set", "wt:a", value) + b"gat %d wt:a\r\n" % STAY + client.storage("append", "wt:a", b"+", noreply=True) +
                    b"gat %d wt:a wt:none wt:a\r\n" % STAY + b"mg wt:a v N30\r\nmd wt:a q\r\nmn\r\nget wt:a\r\n")
        assert client.line() == b"STORED"
        assert [found[2] for found in client.values()] == [value]
        assert [found[2] for found in client.values()] == [value + b"+"] * 2
        assert client.line() == b"VA %d" % (size + 1)
        assert client.read(size + 3) == value + b"+\r\n"
        assert client.line() == b"MN"
        assert client.values() == []


def test_a_store_that_refuses_refuses_the_whole_pipeline(server):
    """All of the pipeline is refused, and what is sent afterwards gets answers of its own."""
    client = server.client()
    assert client.set("wt:a", b"1") == b"STORED"
    with locked(server):
        replies = client.set_many((f"wt:{i}", b"x") for i in range(100))
        assert all(reply.startswith(b"SERVER_ERROR") for reply in replies), replies
        assert client.get("plain:none") is None
    eventually(lambda: client.set("wt:a", b"2") == b"STORED")
    assert client.incr("wt:a") == b"3"
    assert set(server.rows("through")) == {b"wt:a"}


def test_clients_that_vanish_leave_nothing_behind(server):
    """What they had sent is done or not, and nothing is left behind."""
    for i in range(200):
        client = server.client()
        client.send(b"".join(b"set wt:%d-%d 0 0 1\r\nx\r\n" % (i, j) for j in range(50)))
        client.close()
    client = server.client()
    eventually(lambda: int(client.stats()["curr_connections"]) <= 2)
    assert client.set_many((f"wt:{i}", b"x") for i in range(200)) == [b"STORED"] * 200
