# SPDX-License-Identifier: MIT
"""The command-line tools of libmemcached, in both of their modes, and its conformance check memccapable."""

import re
import subprocess

import pytest
from conftest import BIG, BINARY, SECONDS, check_rows, need

TOOLS = ("memccat", "memccp", "memcrm", "memcstat", "memcping", "memcexist", "memctouch", "memcflush", "memccapable")


@pytest.fixture(autouse=True)
def tools_are_there():
    need(*TOOLS)


@pytest.fixture
def tool(protocol):
    """tool(server, name, arguments): what one of them says."""
    def call(server, name, *arguments, status=0, cwd=None):
        mode = ["--binary"] if protocol == "binary" and name != "memcping" else []  # which knows no mode
        done = subprocess.run([name, f"--servers=127.0.0.1:{server.port}", *mode, *arguments], cwd=cwd, timeout=SECONDS,
                              check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert done.returncode == status, f"{name} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout

    return call


@pytest.fixture
def put(tool):
    def call(server, folder, **files):
        """memccp names an item after its file."""
        folder.mkdir(exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
            tool(server, "memccp", "--set", "--expire=600", name, cwd=folder)

    return call


def test_what_memccp_put_memccat_shows(server, tool, put, tmp_path):
    put(server, tmp_path / "f", one=b"first", two=BINARY, big=BIG)
    assert tool(server, "memccat", "one") == b"first\n"
    assert tool(server, "memccat", "two") == BINARY + b"\n"
    assert tool(server, "memccat", f"--file={tmp_path}/out", "big") == b""
    assert (tmp_path / "out").read_bytes() == BIG
    assert b"first" in tool(server, "memccat", "--verbose", "one")


def test_add_and_replace_look_whether_there_is_one(server, tool, put, tmp_path):
    folder = tmp_path / "f"
    put(server, folder, one=b"first")
    (folder / "one").write_bytes(b"second")
    tool(server, "memccp", "--add", "one", cwd=folder, status=1)
    assert tool(server, "memccat", "one") == b"first\n"
    tool(server, "memccp", "--replace", "one", cwd=folder)
    assert tool(server, "memccat", "one") == b"second\n"


def test_an_item_exists_until_it_is_removed(server, tool, put, tmp_path):
    tool(server, "memcexist", "one", status=1)
    put(server, tmp_path / "f", one=b"first")
    tool(server, "memcexist", "one")
    tool(server, "memctouch", "--expire=100", "one")
    tool(server, "memcrm", "one")
    tool(server, "memcexist", "one", status=1)


def test_ping_statistics_and_flush_are_answered(server, tool, put, tmp_path):
    tool(server, "memcping")
    put(server, tmp_path / "f", one=b"first")
    assert b"curr_items: 1" in tool(server, "memcstat")
    tool(server, "memcflush")
    tool(server, "memcexist", "one", status=1)


# All but "delete" and "delete noreply", which memcached 1.6.45 fails itself: it answers "delete a b c d e" with another line
# than memccapable waits for.
CAPABLE = {"version", "quit", "verbosity", "set", "set noreply", "get", "gets", "mget", "flush", "flush noreply", "add",
           "add noreply", "replace", "replace noreply", "cas", "cas noreply", "incr", "incr noreply", "decr",
           "decr noreply", "append", "append noreply", "prepend", "prepend noreply", "stat"}


def test_memccapable_finds_all_its_commands(server):
    """memccapable -a: every ASCII test of libmemcached."""
    done = subprocess.run(["memccapable", "-h", "127.0.0.1", "-p", str(server.port), "-a"], timeout=SECONDS, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    passed = set(re.findall(r"ascii ((?:(?!ascii)[a-z ])+?) *\[pass\]", done.stdout.decode()))
    assert passed >= CAPABLE, done.stdout.decode()


def test_memccapable_finds_all_of_the_binary_protocol(server):
    done = subprocess.run(["memccapable", "-h", "127.0.0.1", "-p", str(server.port), "-b"], timeout=SECONDS, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = done.stdout.decode()
    assert done.returncode == 0 and said.count("[pass]") == 27 and "All tests passed" in said, said


def test_sessions_survive_a_restart(restart, tool, put, tmp_path):
    folder = tmp_path / "files"
    put(restart, folder, **{"sess:plain": b"value", "sess:binary": BINARY, "sess:big": BIG, "sess:overwritten": b"first",
                            "sess:deleted": b"gone", "sess:counter": b"12", "sess:touched": b"longer"})
    put(restart, folder, **{"sess:overwritten": b"second"})
    tool(restart, "memcrm", "sess:deleted")
    tool(restart, "memctouch", "--expire=3600", "sess:touched")
    restart.again()
    for name, data in (("plain", b"value"), ("binary", BINARY), ("big", BIG), ("overwritten", b"second"), ("touched", b"longer")):
        assert tool(restart, "memccat", "sess:" + name) == data + b"\n"
    tool(restart, "memcexist", "sess:deleted", status=1)
    check_rows(restart)
