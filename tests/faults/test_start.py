# SPDX-License-Identifier: MIT
"""A start: what it takes of the disk, what it finds of earlier runs, and what it does while a store is away."""

import os
import re
import sqlite3

import pytest
from forebay import Config, Server, eventually, namespace, section

MIB = 1024 * 1024


# ---- What the journal takes ----

def journal_bytes(folder):
    """What the journal's files take on the disk."""
    names = [name for name in os.listdir(folder) if re.match(r"journal-|blank-", name)]
    return sum(os.stat(os.path.join(folder, name)).st_blocks * 512 for name in names)


def test_kills_leave_no_pile_of_journal_files(serve):
    """The default journal_file_size is 64 MB, and each start begins new files."""
    server = serve(Config(namespace("sessions", "sess:", "write-behind", flush_delay="1h")))
    for i in range(5):
        assert server.client().set(f"sess:{i}", b"%d" % i) == b"STORED"
        server.kill()
        server.start()
    assert server.client().get_many([f"sess:{i}" for i in range(5)]) == {b"sess:%d" % i: b"%d" % i for i in range(5)}
    assert journal_bytes(server.folder) <= 16 * MIB


def test_what_an_earlier_run_left_is_used_again(serve):
    """Files of the whole size are blank or passed when the server is killed: the next start takes them."""
    server = serve(Config(namespace("sessions", "sess:", "write-behind", flush_delay="10ms"), journal_file_size="2mb"))
    client = server.client()
    for i in range(200):
        assert client.set(f"sess:{i}", b"x" * 100000) == b"STORED"
    client.sync()
    blanks = eventually(lambda: [name for name in os.listdir(server.folder) if name.startswith("blank-")])
    assert len(blanks) >= 2
    server.kill()
    os.mkdir(os.path.join(server.folder, "seen"))
    for name in os.listdir(server.folder):
        if name.startswith("blank-"):  # what it becomes can be told by its second name
            os.link(os.path.join(server.folder, name), os.path.join(server.folder, "seen", name))
    server.start()
    current = [name for name in os.listdir(server.folder) if name.startswith("journal-")]
    assert sum(os.stat(os.path.join(server.folder, name)).st_nlink == 2 for name in current) >= 2, current
