# SPDX-License-Identifier: MIT
"""A quarantine's file is removed, or cut off, while the server is down: the next start says so as it says that one is damaged, and
goes on where it is told to; whatever is configured by then."""

import contextlib
import os
import sqlite3

import pytest
from checking import accepted, refused
from forebay import Config, eventually, namespace

SKIP = "--recover=skip-damaged"


def spaces(*names):
    return Config(*(namespace(name, f"{name[:4]}:", "write-behind", flush_delay="10ms") for name in names or ["sessions"]))


def refuse_rows(server, name):
    with contextlib.closing(sqlite3.connect(os.path.join(server.folder, "store.db"))) as database:
        database.executescript(f"CREATE TRIGGER no_{name} BEFORE INSERT ON {name} BEGIN SELECT raise(ABORT, 'no'); END")


def refusing(serve, end="stop"):
    server = serve(spaces())
    refuse_rows(server, "sessions")
    client = server.client()
    for number in range(3):
        assert client.set(f"sess:{number}", b"bad") == b"STORED"
        eventually(lambda number=number: int(client.stats("write_behind")["sessions:quarantine"]) == number + 1)
    getattr(server, end)()
    return server, os.path.join(server.folder, "quarantine-sessions.log")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_file_that_is_gone_refuses_the_start(serve, end):
    server, path = refusing(serve, end)
    with open(path, "rb") as file:
        content = file.read()
    accepted(server)
    os.remove(path)
    told = f"The quarantine file {path} is missing: it held 3 entries when the server ended. Put it back; "
    assert told in refused(server) and told in server.refuses() and not os.path.exists(path)
    with open(path, "wb") as file:
        file.write(content)
    server.start()
    assert server.client().stats("write_behind")["sessions:quarantine"] == "3"
    server.stop()
    os.truncate(path, len(content.rstrip(b"\0")) - 5)
    told = f"The quarantine file {path} is damaged: records that were synced are missing at offset "
    assert told in refused(server) and told in server.refuses()


def test_a_start_that_is_told_to_goes_on_without_it(serve):
    server, path = refusing(serve)
    os.remove(path)
    accepted(server, SKIP)
    server.options = [*server.options, SKIP]
    server.start()
    assert "its quarantine file in " in server.log() and "is missing: what it held, 3 entries, is lost" in server.log()
    server.options = server.options[:-1]
    server.stop()
    server.start()
    assert server.log().count("is missing") == 1


@pytest.mark.parametrize("option", [SKIP, "--recover=discard:sessions"])
def test_of_a_namespace_that_is_not_configured_any_more(serve, option):
    server, path = refusing(serve)
    os.remove(path)
    server.config = Config(namespace("others", "other:", "write-behind"))
    told = f"The quarantine file {path} is missing: it held 3 entries when the server ended."
    assert told in refused(server) and told in server.refuses()
    accepted(server, option)
    server.options = [*server.options, option]
    server.start()
    server.stop()
    server.options = server.options[:-1]
    server.start()


def test_of_several_that_are_not_configured_any_more(serve):
    """None is passed over for another one, and a start that goes on without them has forgotten all."""
    names = ["sessions", "carts"]
    server = serve(spaces(*names))
    client = server.client()
    for name in names:
        refuse_rows(server, name)
        assert client.set(f"{name[:4]}:1", b"bad") == b"STORED"
        eventually(lambda name=name: client.stats("write_behind")[f"{name}:quarantine"] == "1")
    server.stop()
    for name in names:
        os.remove(os.path.join(server.folder, f"quarantine-{name}.log"))
    server.config, options = spaces("others"), server.options
    for given_up, other in (names, names[::-1]):
        told = f"quarantine-{other}.log is missing: it held 1 entry when the server ended."
        assert told in refused(server, f"--recover=discard:{given_up}")
    assert told in server.refuses(f"--recover=discard:{given_up}")
    server.options = [*options, SKIP]
    server.start()
    server.stop()
    server.options = options
    server.start()
