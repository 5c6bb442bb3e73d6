# SPDX-License-Identifier: MIT
"""Who gets in, and what somebody who is in may ask and is told: guessing of passwords, what is read before a client has
authenticated, commands that are refused (restrict), error lines."""

import contextlib
import os
import re
import signal
import socket
import sqlite3

import pytest
from forebay import Closed, Config, Server, eventually, namespace


# ---- What errors tell ----


def refuse_row(server, table, key):
    """From now on the store refuses rows of this key, in words that are nobody's business but the operator's."""
    database = sqlite3.connect(os.path.join(server.folder, "store.db"), timeout=60)
    with database:
        database.execute(f"CREATE TRIGGER refusal BEFORE INSERT ON \"{table}\" WHEN CAST(NEW.key AS TEXT) = '{key}' "
                         "BEGIN SELECT RAISE(ABORT, 'column card_number of /srv/secret'); END")
    database.close()


def test_a_client_is_not_told_why_a_row_is_refused(serve):
    """The backend's own words go to the log: they may have paths, tables and columns in them."""
    server = serve(Config(namespace("through", "wt:", "write-through")))
    client = server.client()
    assert client.set("wt:good", b"1") == b"STORED"
    refuse_row(server, "through", "wt:bad")
    assert client.set("wt:bad", b"1") == b"SERVER_ERROR backend local refuses it: the log says why"
    assert client.set("wt:good", b"2") == b"STORED"
    assert re.search(r"error: namespace through: .*wt:bad.*card_number of /srv/secret", server.log())


def test_refused_rows_do_not_fill_the_log(serve):
    server = serve(Config(namespace("through", "wt:", "write-through")))
    client = server.client()
    assert client.set("wt:good", b"1") == b"STORED"
    refuse_row(server, "through", "wt:bad")
    for _ in range(30):
        assert client.set("wt:bad", b"1").startswith(b"SERVER_ERROR")
    assert client.stats("backends")["local:write_through_refused"] == "30"
    assert server.log().count("card_number") == 10
    assert "not told" in server.log()
