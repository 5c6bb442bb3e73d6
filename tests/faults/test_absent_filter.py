# SPDX-License-Identifier: MIT
"""absent_filter = true over a real store: reads of keys that it does not have are answered from memory, and no key that it has is
ever taken for absent: not after kills, expiry, restores, nor for long when another program writes there."""

import os
import random
import sqlite3

import pytest
from forebay import Config, eventually, namespace, share, sqlite_backend


def filtered(policy="write-behind", memory="64mb", **options):
    return Config(namespace("sessions", "sess:", policy, absent_filter="true", **options), backends=[sqlite_backend()],
                  memory=memory, drain_timeout="2s")


def number(client, name):
    return int(client.stats("namespaces")[f"sessions:{name}"])


def await_filter(client):
    eventually(lambda: client.stats("namespaces")["sessions:absent_filter"] == "used")


def store(client, names, value=b"v"):
    assert set(client.set_many((f"sess:{name}", value) for name in names)) == {b"STORED"}


def forget_all(client):
    client.command("flush_all")


def absent(client, count, seed):
    """Reads of made-up keys, a hundred at a time."""
    dice = random.Random(seed)
    for _ in range(count // 100):
        assert client.get_many([f"sess:{dice.getrandbits(128):032x}" for _ in range(100)]) == {}


@pytest.mark.parametrize("policy", ["write-behind", pytest.param("write-through", marks=pytest.mark.threads)])
def test_one_in_a_hundred_absent_keys_is_looked_up_and_12_bits_are_enough(serve, policy):
    rows, reads = (20000, 50000) if policy == "write-behind" else (300, 5000)
    server = serve(filtered(policy))
    with server.client() as client:
        store(client, range(rows))
        client.sync()
        server.stop()
    server.start()
    with server.client() as client:
        await_filter(client)
        assert abs(number(client, "absent_filter_keys") - rows) <= rows // 50
        assert number(client, "absent_filter_bytes") <= max(4096, rows * 12 // 8)
        absent(client, reads, 1)
        assert number(client, "loads") == number(client, "absent_asked") <= reads // 100
        assert number(client, "absent_answered") + number(client, "absent_asked") == reads
        found = {}
        for first in range(0, rows, 100):
            found.update(client.get_many([f"sess:{i}" for i in range(first, first + 100)]))
        assert len(found) == rows


@pytest.mark.threads
def test_no_key_is_taken_for_absent_after_kills(serve):
    dice = random.Random(7)
    server = serve(filtered(flush_delay="20ms"))
    expected = {}
    for turn in range(6):
        with server.client() as client:
            if turn % 2:
                await_filter(client)
            for step in range(share(60)):
                names = [f"sess:{dice.randrange(400)}" for _ in range(20)]
                value = b"%d.%d" % (turn, step)
                assert set(client.set_many((name, value) for name in names)) == {b"STORED"}
                expected.update(dict.fromkeys(names, value))
                gone = f"sess:{dice.randrange(400)}"
                assert client.delete(gone) == (b"DELETED" if expected.pop(gone, None) else b"NOT_FOUND")
                over = f"sess:{dice.randrange(400)}"
                assert client.touch(over, -1) == (b"TOUCHED" if expected.pop(over, None) else b"NOT_FOUND")
                if dice.random() < 0.1:
                    client.sync()
                    forget_all(client)
                asked = [f"sess:{dice.randrange(500)}" for _ in range(20)]
                assert client.get_many(asked) == {name.encode(): expected[name] for name in asked if name in expected}
        server.kill()
        server.start()
    with server.client() as client:
        await_filter(client)
        for name in [f"sess:{i}" for i in range(500)]:
            assert client.get(name) == expected.get(name)


@pytest.mark.threads
def test_a_row_that_another_program_inserts_is_found(serve):
    server = serve(filtered())
    path = os.path.join(server.folder, "store.db")
    with server.client() as client:
        store(client, range(100))
        client.sync()
        await_filter(client)
        assert client.get("sess:theirs") is None
        other = sqlite3.connect(path)
        other.execute("INSERT INTO sessions(key, value) VALUES (CAST('sess:theirs' AS BLOB), x'76')")
        other.commit()
        other.close()
        eventually(lambda: client.get("sess:theirs") == b"v")
        assert number(client, "absent_filter_distrusted") > 1
        assert "another program has written to the store of backend local" in server.log()
        forget_all(client)
        await_filter(client)
        assert client.get("sess:theirs") == b"v"


def test_who_inserts_a_row_and_tells_is_not_waited_for(serve):
    server = serve(filtered())
    with server.client() as client:
        await_filter(client)
        assert client.get("sess:theirs") is None
        other = sqlite3.connect(os.path.join(server.folder, "store.db"))
        other.execute("INSERT INTO sessions(key, value) VALUES (CAST('sess:theirs' AS BLOB), x'76')")
        other.commit()
        other.close()
        client.command("forget sess:theirs")
        assert client.get("sess:theirs") == b"v"


@pytest.mark.threads
def test_rows_of_a_restored_store_are_found(serve):
    server = serve(filtered())
    path, copy = os.path.join(server.folder, "store.db"), os.path.join(server.folder, "copy.db")
    with server.client() as client:
        store(client, range(100))
        client.sync()
        source, target = sqlite3.connect(path), sqlite3.connect(copy)
        source.backup(target)
        target.execute("PRAGMA journal_mode = DELETE")
        source.close()
        target.close()
        for i in range(50, 100):
            assert client.delete(f"sess:{i}") == b"DELETED"
        client.sync()
        server.stop()
    server.start()
    with server.client() as client:
        await_filter(client)
        assert client.get("sess:70") is None
        os.replace(copy, path)
        eventually(lambda: client.ask("sess:70") == ("hit", b"v"))
        await_filter(client)
        forget_all(client)
        assert all(client.get(f"sess:{i}") == b"v" for i in range(50, 100))
