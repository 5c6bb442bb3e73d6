# SPDX-License-Identifier: MIT
"""A journal that cannot be written: a limit on the size of files makes every write fail, as a broken disk does. No reply may
promise a change that a kill -9 would undo."""

import os
import re
import select

import pytest
from forebay import Closed, Config, eventually, journal_failures, namespace, no_file_can_be_written


@pytest.mark.parametrize("mode", ["os", "interval", "always"])
def test_replies_wait_for_the_journal(serve, tmp_path, mode):
    config = Config(namespace("sessions", "sess:", "write-behind", journal=mode, flush_delay="1h", flush_batch=1000000),
                    namespace("plain", "plain:", "cache-aside"), threads=1)
    server = serve(config)
    client, reader = server.client(), server.client()
    assert client.set("sess:a", b"1") == b"STORED"
    assert reader.set("plain:x", b"v") == b"STORED"
    with no_file_can_be_written(server):
        if mode == "always":  # its reply waits for the disk anyway
            client.send(client.storage("set", "sess:a", b"2"))
        else:
            with pytest.raises((Closed, OSError)):
                client.set("sess:a", b"2")
        eventually(lambda: journal_failures(server) > 0)
        assert reader.set("sess:b", b"1").startswith(b"SERVER_ERROR")
        assert reader.get("plain:x") == b"v", "reads go on"
        assert reader.set("plain:x", b"w") == b"STORED", "so do namespaces without a journal"
    eventually(lambda: reader.set("sess:b", b"2") == b"STORED")
    if mode == "always":
        assert client.line() == b"STORED"
    server.kill()
    server.start()
    client = server.client()
    assert client.get("sess:b") == b"2"
    assert client.get("sess:a") == b"2", "the record stayed in the buffer and was written when that was possible"


def change_that_is_not_written(server, writer):
    """A set of sess:a that is in memory alone. A failed write by itself does not say so: the journal's next file, which is made
    beforehand, fails as well."""
    before = int(writer.stats()["cmd_set"])
    writer.send(writer.storage("set", "sess:a", b"2"))
    eventually(lambda: changes(server) > before and journal_failures(server) > 0)


def changes(server):
    """How many sets have been executed; on a connection of its own, as journal_failures."""
    try:
        return int(server.client().stats()["cmd_set"])
    except (Closed, OSError):
        return 0


@pytest.mark.parametrize("mode", ["os", "interval", "always"])
def test_nobody_is_shown_what_a_kill_takes_back(serve, mode):
    """Readers on every worker, while the change is in memory and its record is not in the journal."""
    config = Config(namespace("sessions", "sess:", "write-behind", journal=mode, flush_delay="1h", flush_batch=1000000),
                    namespace("plain", "plain:", "cache-aside"), threads=2)
    server = serve(config)
    writer, *readers = [server.client() for _ in range(5)]
    assert writer.set("sess:a", b"1") == b"STORED"
    assert readers[0].set("plain:x", b"v") == b"STORED"
    with no_file_can_be_written(server):
        change_that_is_not_written(server, writer)
        for reader in readers:
            reader.send(b"get plain:x\r\n" + b"get sess:a\r\n" * 5)
        others = [server.client() for _ in range(4)]
        for _ in range(20):
            assert [other.get("plain:x") for other in others] == [b"v"] * 4, "the workers go on, and have read the rest by now"
        assert not select.select([reader.socket for reader in readers], [], [], 0)[0]
        server.kill()
    server.start()
    assert server.client().get("sess:a") == b"1", "the record of the change was not in the journal"


def test_readers_are_answered_when_the_journal_is_back(serve):
    config = Config(namespace("sessions", "sess:", "write-behind", journal="os", flush_delay="1h", flush_batch=1000000), threads=2)
    server = serve(config)
    writer, *readers = [server.client() for _ in range(5)]
    assert writer.set("sess:a", b"1") == b"STORED"
    with no_file_can_be_written(server):
        change_that_is_not_written(server, writer)
        for reader in readers:
            reader.send(b"get sess:a\r\n")
    for reader in readers:
        assert reader.values()[0][1:] == (0, b"2", None)


def test_nothing_acknowledged_is_lost_meanwhile(serve):
    config = Config(namespace("sessions", "sess:", "write-behind", journal="os", flush_delay="1h", flush_batch=1000000), threads=1)
    server = serve(config)
    client = server.client()
    assert client.set("sess:a", b"1") == b"STORED"
    with no_file_can_be_written(server):
        with pytest.raises((Closed, OSError)):
            client.set("sess:a", b"2")
        server.kill()
    server.start()
    assert server.client().get("sess:a") in (b"1", b"2")


def held_back(**options):
    return Config(namespace("sessions", "sess:", "write-behind", **{"journal": "os", "flush_delay": "1h", "flush_batch": 1000000, **options}),
                  threads=1)


def refused(client):
    return client.set("sess:b", b"1").startswith(b"SERVER_ERROR")


def expect_both_after_a_kill(server):
    server.kill()
    server.start()
    assert server.client().get("sess:a") == b"1"
    assert server.client().get("sess:b") == b"2"


def test_journal_files_that_are_moved_away_refuse_changes(serve):
    """Writes to them succeed, and a kill would lose what is in them."""
    server = serve(held_back())
    client = server.client()
    assert client.set("sess:a", b"1") == b"STORED"
    os.mkdir(server.folder + "/aside")
    server.pause()
    moved = [name for name in os.listdir(server.folder) if name.startswith("journal-")]
    for name in moved:
        os.rename(f"{server.folder}/{name}", f"{server.folder}/aside/{name}")
    server.resume()
    eventually(lambda: refused(client))
    assert client.get("sess:a") == b"1", "reads go on"
    assert re.search("journal-.* was removed or renamed", server.log())
    for name in moved:
        os.rename(f"{server.folder}/aside/{name}", f"{server.folder}/{name}")
    eventually(lambda: client.set("sess:b", b"2") == b"STORED")
    expect_both_after_a_kill(server)


def test_journal_files_that_are_removed_are_done_without_once_all_is_written(serve):
    server = serve(held_back())
    client = server.client()
    assert client.set("sess:a", b"1") == b"STORED"
    server.pause()  # it may be making another one
    for name in os.listdir(server.folder):
        if name.startswith(("journal-", "blank-")):
            os.remove(f"{server.folder}/{name}")
    server.resume()
    eventually(lambda: refused(client))
    client.sync()
    eventually(lambda: client.set("sess:b", b"2") == b"STORED")
    expect_both_after_a_kill(server)


def test_a_data_folder_that_is_moved_refuses_changes_until_it_is_back(serve):
    server = serve(held_back())
    client = server.client()
    assert client.set("sess:a", b"1") == b"STORED"
    os.rename(server.folder, server.folder + ".aside")
    eventually(lambda: refused(client))
    os.rename(server.folder + ".aside", server.folder)
    eventually(lambda: client.set("sess:b", b"2") == b"STORED")
    expect_both_after_a_kill(server)
