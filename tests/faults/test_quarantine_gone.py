# SPDX-License-Identifier: MIT
"""A quarantine's file is removed, or cut off, while the server is down: the next start says so as it says that one is damaged, and
goes on where it is told to; whatever is configured by then."""

import contextlib
import os
import re
import sqlite3

import pytest
from checking import accepted, refused
from forebay import Config, eventually, namespace

SKIP = "--recover=skip-damaged"
TRIGGER = "CREATE TRIGGER no BEFORE INSERT ON sessions BEGIN SELECT raise(ABORT, 'no'); END"


def spaces(*others):
    return Config(*(namespace(name, prefix, "write-behind", flush_delay="10ms")
                    for name, prefix in [("sessions", "sess:"), *((other, f"{other}:") for other in others)]))


def refusing(serve, end="stop", others=()):
    server = serve(spaces(*others))
    with contextlib.closing(sqlite3.connect(os.path.join(server.folder, "store.db"))) as database:
        database.executescript(TRIGGER)
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


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_one_that_is_removed_while_the_server_runs_is_written_anew(serve, end):
    server = serve(spaces())
    with contextlib.closing(sqlite3.connect(os.path.join(server.folder, "store.db"))) as database:
        database.executescript(TRIGGER)
    client = server.client()
    path = os.path.join(server.folder, "quarantine-sessions.log")

    def refuse(number):
        assert client.set(f"sess:{number}", b"bad") == b"STORED"
        eventually(lambda: int(client.stats("write_behind")["sessions:quarantine"]) == number + 1)

    refuse(0)
    os.remove(path)
    eventually(lambda: f"its quarantine file {path} was removed or renamed while it was open, and is written anew, with 1 entry"
               in server.log())
    os.rename(path, path + ".aside")
    refuse(1)  # whether or not that was noticed meanwhile
    os.remove(path)
    if end == "kill":
        eventually(lambda: os.path.exists(path))
    getattr(server, end)()
    accepted(server)
    server.start()
    assert server.client().stats("write_behind")["sessions:quarantine"] == "2"


def removed(path):
    os.remove(path)
    return "is missing: it held 3 entries when the server ended."


def emptied(path):
    os.truncate(path, 100)
    return "is damaged: records that were synced are missing at offset 0 "


@pytest.mark.parametrize("option", [SKIP, "--recover=discard:sessions"])
@pytest.mark.parametrize("policy", [None, "write-through"])
@pytest.mark.parametrize("spoil", [removed, emptied])
def test_of_a_namespace_that_has_none_any_more(serve, spoil, policy, option):
    """It is not configured, or has another policy."""
    server, path = refusing(serve)
    told = f"The quarantine file {path} {spoil(path)}"
    server.config = Config(namespace("sessions", "sess:", policy) if policy else namespace("others", "other:", "write-behind"))
    assert told in refused(server) and told in server.refuses()
    accepted(server, option)
    server.options = [*server.options, option]
    server.start()
    server.stop()
    assert server.log().count("its quarantine file in " if option == SKIP else f"given up, as {option} says: {path}, which is") == 1
    set_aside = os.path.exists(os.path.join(server.folder, "damaged-0-quarantine-sessions.log"))
    assert set_aside == (spoil == emptied and option == SKIP)
    server.options = server.options[:-1]
    accepted(server)
    server.start()


def several_gone(serve):
    """A server whose configuration knows none of the three namespaces any more whose quarantines are gone."""
    others = ("carts", "views")
    server, path = refusing(serve, others=others)
    server.start()
    with contextlib.closing(sqlite3.connect(os.path.join(server.folder, "store.db"))) as database:
        for other in others:
            database.executescript(TRIGGER.replace("TRIGGER no", f"TRIGGER no_{other}").replace("sessions", other))
    client = server.client()
    for other in others:
        assert client.set(f"{other}:1", b"bad") == b"STORED"
        eventually(lambda other=other: client.stats("write_behind")[f"{other}:quarantine"] == "1")
    server.stop()
    for name in ("sessions", *others):
        os.remove(path.replace("sessions", name))
    server.config = Config(namespace("more", "more:", "write-behind"))
    return server


@pytest.mark.parametrize("options", [[SKIP], ["--recover=discard:sessions", "--recover=discard:carts", "--recover=discard:views"]])
def test_each_of_several_that_are_not_configured_any_more(serve, options):
    server = several_gone(serve)
    accepted(server, *options)
    server.options = options
    server.start()
    server.stop()
    server.options = []
    accepted(server)
    server.start()


def test_one_that_is_given_up_hides_no_other(serve):
    server = several_gone(serve)
    for given_up, left in (("sessions", "(carts|views)"), ("carts", "(sessions|views)"), ("views", "(sessions|carts)")):
        assert re.search(rf"quarantine-{left}\.log is missing: it held", refused(server, f"--recover=discard:{given_up}"))
    assert re.search(r"quarantine-(carts|views)\.log is missing: it held", server.refuses("--recover=discard:sessions"))


def test_one_that_is_kept_stays_as_it_is_where_it_is_damaged(serve):
    server, path = refusing(serve)
    os.truncate(path, 300)
    with open(path, "rb") as file:
        content = file.read()
    both = server.config
    server.config = Config(namespace("others", "other:", "write-behind"))
    server.options = [*server.options, "--recover=keep:sessions"]
    accepted(server)
    server.start()
    server.stop()
    with open(path, "rb") as file:
        assert file.read() == content
    server.config, server.options = both, server.options[:-1]
    assert "records that were synced are missing" in refused(server) and "records that were synced" in server.refuses()
    os.remove(path)
    server.config = Config(namespace("others", "other:", "write-behind"))
    for option in ([], ["--recover=keep:sessions"]):
        assert "is missing: it held 3 entries" in refused(server, *option) and "is missing" in server.refuses(*option)
