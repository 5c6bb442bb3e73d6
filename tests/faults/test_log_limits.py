# SPDX-License-Identifier: MIT
"""What clients, neighbours or a system out of something cause over and over does not fill the log: of each kind a few
lines at once and one a second are written, and how many were left out is told."""

import fcntl
import itertools
import os
import re
import resource
import signal
import sqlite3
import subprocess
import time
from contextlib import ExitStack

from forebay import Config, Server, die_with_the_test, eventually, namespace, share

BURST = 10
F_SETPIPE_SZ, PIPE = 1031, 4096  # Linux's; Python knows the name from 3.10 on
FLOOD = 400
BINARY = "speaks memcached's binary protocol"
BINARY_LEFT_OUT = re.compile(r"(\d+) more (?:of this kind|lines of this kind) left out")


def lines_with(server, text):
    return [line for line in server.log().splitlines() if text in line]


def left_out(lines):
    return sum(int(number) for line in lines for number in BINARY_LEFT_OUT.findall(line))


def test_hostile_connections_share_a_few_lines(serve):
    server = serve(options=["-B", "ascii"])
    begin = time.monotonic()
    for _ in range(FLOOD):
        with server.client() as client:
            client.send(b"\x80\x00\x00\x00" + 20 * b"\x00")
            assert client.read(24)[:2] == b"\x81\x00"
    bound = BURST + 1 + time.monotonic() - begin
    assert 1 <= len(lines_with(server, BINARY)) <= bound
    # Nobody comes any more, and what was left out is told all the same.
    eventually(lambda: len(lines_with(server, BINARY)) +
               left_out(lines_with(server, BINARY) + lines_with(server, "connections that speak a protocol which is refused")) == FLOOD)


def lowest_free_descriptor(server):
    used = {int(name) for name in os.listdir(f"/proc/{server.pid}/fd")}
    return next(number for number in itertools.count() if number not in used)


def test_without_descriptors_the_log_has_one_line_a_second(serve):
    server = serve(options=[])
    with ExitStack() as stack:
        first = stack.enter_context(server.client())
        eventually(lambda: first.stats()["curr_connections"] == "1")  # that of the start is closed
        last = stack.enter_context(server.client())  # has the lowest number that was free
        last.stats()
        begin = time.monotonic()
        limit = lowest_free_descriptor(server)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (limit, limit))
        waiting = stack.enter_context(server.client())
        waiting.send(b"version\r\n")
        eventually(lambda: int(first.stats()["listen_disabled_num"]) >= 3)
        assert first.stats()["accepting_conns"] == "0"
        bound = 2 + time.monotonic() - begin
        lines = lines_with(server, "cannot accept a connection")
        assert 1 <= len(lines) <= bound
        last.close()  # what it used is there for the next one at once
        assert waiting.line().startswith(b"VERSION")


def test_a_table_that_refuses_every_row_has_few_lines_and_one_call(serve):
    server = serve(Config(namespace("sessions", "sess:", "write-behind", flush_delay="10ms")))
    with server.client() as client:
        client.set("sess:first", b"value")
        client.sync()
        database = sqlite3.connect(server.folder + "/store.db")
        with database:
            database.execute("CREATE TRIGGER no BEFORE INSERT ON sessions BEGIN SELECT raise(ABORT, 'not now'); END")
        database.close()
        begin = time.monotonic()
        for start in range(0, 5000, 500):
            client.set_many((f"sess:{number}", b"value") for number in range(start, start + 500))
            client.command("sync sessions")
        stats = client.stats("write_behind")
        assert int(stats["sessions:quarantine"]) == 5000
        assert int(stats["sessions:bisections"]) == 0
        lines = lines_with(server, "the backend refuses")
        assert 1 <= len(lines) <= BURST + 1 + time.monotonic() - begin
        eventually(lambda: told(server) == 5000)
        assert client.get("sess:4999") == b"value"
        server.kill()
    server.start()
    with server.client() as client:
        # The first one may be written again, and then is refused as well: that the store has it may not have been noted.
        assert int(client.stats("write_behind")["sessions:quarantine"]) in (5000, 5001)
        assert client.get("sess:17") == b"value"


def test_rows_that_are_refused_to_clients_are_all_counted(serve):
    """Also where no other one comes behind them."""
    server = serve(Config(namespace("through", "t:", "write-through")))
    with server.client() as client:
        client.set("t:first", b"value")
        database = sqlite3.connect(server.folder + "/store.db")
        with database:
            database.execute("CREATE TRIGGER no BEFORE INSERT ON through BEGIN SELECT raise(ABORT, 'not now'); END")
        database.close()
        for number in range(5 * BURST):
            assert client.set(f"t:{number}", b"value").startswith(b"SERVER_ERROR")

    def all_told():
        lines = lines_with(server, "the backend refuses to write")
        return sum("its client was told so" in line for line in lines) + left_out(lines) == 5 * BURST
    eventually(all_told)


def test_a_quarantine_that_fills_and_empties_has_few_lines(serve):
    """A client can bring that about as often as it likes."""
    server = serve(Config(namespace("sessions", "sess:", "write-behind", flush_delay="10ms", quarantine_limit="64kb")))
    with server.client() as client:
        client.set("sess:first", b"value")
        client.sync()
        database = sqlite3.connect(server.folder + "/store.db")
        with database:
            database.execute("CREATE TRIGGER no BEFORE INSERT ON sessions BEGIN SELECT raise(ABORT, 'not now'); END")
        database.close()

        def is_full():
            return client.stats("write_behind")["sessions:full"] == "1"

        begin = time.monotonic()
        for _ in range(share(40)):
            for number in range(3):
                client.set(f"sess:{number}", b"v" * 30000)
            eventually(is_full, pause=0.001)
            eventually(lambda: client.command("quarantine drop sessions").startswith(b"OK") and not is_full(), pause=0.001)
        said = lines_with(server, "its quarantine has") + lines_with(server, "there is room in its quarantine again")
        assert 1 <= len(said) <= BURST + 1 + time.monotonic() - begin


def told(server):
    """Rows of which the log tells that they are refused."""
    rows = 0
    for line in lines_with(server, "the backend refuses"):
        more = re.search(r"refuses (\d+) more rows", line) or re.search(r"it and (\d+) more are", line)
        rows += (int(more[1]) if more else 0) + (0 if "more rows" in line else 1)
    return rows


def test_a_filter_that_is_built_over_and_over_is_told_a_few_times(serve):
    server = serve(Config(namespace("sessions", "sess:", "write-behind", absent_filter="true")))
    other = sqlite3.connect(os.path.join(server.folder, "store.db"), isolation_level=None)
    begin = time.monotonic()
    with server.client() as client:
        def used():
            return client.stats("namespaces")["sessions:absent_filter"] == "used"

        for number in range(3 * BURST):
            eventually(used)
            other.execute("INSERT INTO sessions(key, value) VALUES (?, x'76')", (b"sess:%d" % number,))
            client.set("sess:ours", b"v")
            client.sync()
        builds = int(client.stats("namespaces")["sessions:absent_filter_builds"])
    other.close()
    bound = BURST + 1 + time.monotonic() - begin
    assert builds >= 3 * BURST
    assert 1 <= len(lines_with(server, "the absent_filter knows")) <= bound


class Unread(Server):
    """A server whose standard error is a pipe that nobody reads before the test does."""

    def spawn(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(), cwd=self.folder, stdout=log, stderr=subprocess.PIPE, env=self.environment(),
                                            preexec_fn=die_with_the_test)
        fcntl.fcntl(self.process.stderr, F_SETPIPE_SZ, PIPE)
        return self


def test_a_log_that_nobody_reads_holds_up_nobody(tmp_path):
    """Lines are lost, and that is told once somebody reads again."""
    server = Unread(tmp_path, options=["-v"])
    try:
        server.start()
        for _ in range(100):
            server.signal(signal.SIGUSR1)  # a line for each, and those of the start are as much as the pipe takes
            assert server.client().set("k", b"v") == b"STORED"
        read = []

        def is_told():
            read.append(os.read(server.process.stderr.fileno(), PIPE))
            return re.search(rb"warning: the log: [1-9]\d* lines are missing, as standard error", b"".join(read))
        eventually(is_told)
    finally:
        server.kill()
        server.process.stderr.close()
