# SPDX-License-Identifier: MIT
"""A configuration that cannot be meant: the server refuses to start, and says which file, which line and what."""

import contextlib
import os
import sqlite3
import subprocess

import pytest
from forebay import Config, Server, binary, namespace

GOOD = '''listen = {"127.0.0.1:%d"}
memory = "64mb"
threads = 2
data = "%s"
backend "local" { uri = "sqlite:store.db" }
namespace "sessions" {
    prefix = "sess:"
    policy = "write-behind"
    backend = "local"
    flush_delay = "1s"
}
'''

# What to replace in GOOD, by what, the line that must be named, and a word of the reason.
BAD = {
    "a typo": ("flush_delay", "flush_dealy", 10, "flush_dealy"),
    "an unknown policy": ("write-behind", "write-sideways", 8, "write-sideways"),
    "an unknown backend": ('backend = "local"', 'backend = "remote"', 9, "remote"),
    "no backend": ('    backend = "local"\n', "\n", 8, "backend"),
    "an unknown kind of store": ("sqlite:store.db", "oracle:store.db", 5, "oracle"),
    "a size without sense": ('"64mb"', '"64 sheep"', 2, "64 sheep"),
    "a negative number": ("threads = 2", "threads = -2", 3, "-2"),
    "a duration without sense": ('"1s"', '"soon"', 10, "soon"),
    "a namespace without a prefix": ('    prefix = "sess:"\n', "\n", 6, "prefix"),
    "an option of another policy": ('policy = "write-behind"', 'policy = "write-through"', 10, "flush_delay"),
    "an option twice": ("threads = 2", 'memory = "32mb"', 3, "memory"),
    "a missing quote": ('"64mb"', '"64mb', 2, "never closed: a quote is missing"),
    "a missing brace": ('    flush_delay = "1s"\n}', '    flush_delay = "1s"\n', 6, "begins here is never closed"),
    "a brace too many": ('    flush_delay = "1s"\n}', '    flush_delay = "1s"\n}\n}', 12, "closes nothing"),
    "a quota above the whole": ('prefix = "sess:"', 'prefix = "sess:"\n    memory = "65mb"', 8, "memory"),
    "limits that contradict each other": ("threads = 2", 'item_max = "50mb"', 3, "half of the memory"),
    "no room for a request": ("threads = 2", 'request_memory = "1mb"', 3, "request_memory"),
    "a token without an address": ("threads = 2", 'admin_token_file = "token"', 3, "admin_token_file has no effect"),
    "an address of two": ("threads = 2", 'admin = "127.0.0.1:%d"', 3, "give admin another port"),
    "a prefix with a space": ('"sess:"', '"se ss:"', 7, "se ss:"),
    "an address without sense": ("127.0.0.1:", "nowhere.invalid:", 1, "nowhere.invalid"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("options", [[], ["--check"]], ids=["start", "check"])
def test_a_bad_configuration_is_refused_with_its_line(tmp_path, case, options):
    old, new, line, word = BAD[case]
    assert old in GOOD
    server = Server(tmp_path)
    server.config = GOOD.replace(old, new, 1).replace("%d", str(server.port)).replace("%s", str(tmp_path))
    said = server.refuses(*options)
    path = os.path.join(str(tmp_path), f"forebay-{server.port}.conf")
    assert (f"{path}:{line}:" if line else path) in said, said
    assert word in said
    assert not (tmp_path / "store.db").exists(), "nothing is touched before the configuration is understood"


@pytest.mark.parametrize("more, options, line, word", [
    ("item_max = 20mb\n", ["-m", "30"], 12, "half of the memory"),
    ("item_max = 20mb\n", ["-m", "30", "-I", "16m"], None, "half of the memory"),
    ("restrict = shutdown\n", ["-A"], 12, "-A allows shutdown"),
    ('namespace "more" { prefix = "m:" policy = "write-behind" backend = "local"\ndirty_limit = 40mb }\n', ["-m", "50"], 13, "dirty_limit of"),
])
def test_what_the_command_line_contradicts_is_refused_with_its_line(tmp_path, more, options, line, word):
    """But for what the command line itself has said."""
    server = Server(tmp_path)
    server.config = GOOD.replace("%d", str(server.port)).replace("%s", str(tmp_path)) + more
    said = server.refuses(*options)
    path = os.path.join(str(tmp_path), f"forebay-{server.port}.conf")
    assert (f"{path}:{line}: " if line else f"{path}: ") in said and word in said, said


def test_the_good_one_is_good(tmp_path):
    path = tmp_path / "good.conf"
    path.write_text(GOOD % (22222, tmp_path))
    done = subprocess.run([binary(), "--config", path, "--check"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "store.db").exists(), "--check only looks"


OWN_SQL = """    load = "SELECT v FROM t WHERE k = :key"
    store = "INSERT OR REPLACE INTO t(k, v) VALUES (%s, :value)"
    delete = "DELETE FROM t WHERE k = %s"
"""


def two_over_one_table(second):
    """Two namespaces over a table of the application's, the second with another key."""
    text = GOOD.replace("    flush_delay", OWN_SQL % (":key", ":key") + "    flush_delay")
    return text + GOOD[GOOD.index("namespace"):].replace("sess", "other").replace("    flush_delay",
                                                                                  OWN_SQL % (second, second) + "    flush_delay")


def test_one_place_for_two_namespaces_is_refused(tmp_path):
    server = Server(tmp_path)
    server.config = two_over_one_table(":key").replace("%d", str(server.port)).replace("%s", str(tmp_path))
    for options in ([], ["--check"]):
        said = server.refuses(*options)
        assert f"forebay-{server.port}.conf:20: " in said and '"otherions"' in said and "same SQL" in said, said


def test_what_may_be_one_place_is_warned_of(serve, tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as database, database:
        database.execute("CREATE TABLE t(k PRIMARY KEY, v)")
    server = Server(tmp_path)
    server.config = two_over_one_table("'other:' || :key").replace("%d", str(server.port)).replace("%s", str(tmp_path))
    done = subprocess.run([*server.command(), "--check"], capture_output=True, text=True, timeout=60, check=True)
    assert 'both use the table "t"' in done.stderr and ".conf:20: " in done.stderr
    assert done.stderr.startswith("forebay: warning: ")
    assert done.stdout.endswith("ok\n")
    running = serve(server.config, port=server.port)
    assert 'both use the table "t"' in running.log() and " warning: " in running.log()


def test_a_missing_file_is_named(tmp_path):
    server = Server(tmp_path)
    server.command = lambda: [binary(), "--config", str(tmp_path / "missing.conf")]
    assert "missing.conf" in server.refuses()


def test_an_unknown_option_is_named(tmp_path):
    server = Server(tmp_path, options=["--no-such-option"])
    assert "no-such-option" in server.refuses()


def test_a_port_that_is_taken_is_named(serve, tmp_path):
    first = serve(Config(namespace("plain", "plain:", "cache-aside")))
    second = Server(tmp_path / "second", port=first.port)
    assert str(first.port) in second.refuses()
    first.check_alive()
