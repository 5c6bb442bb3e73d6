# SPDX-License-Identifier: MIT
"""--print-config: what is in force, where it comes from, and that the same server comes of it again."""

import os
import re
import subprocess

import pytest
from forebay import Server, binary, free_port

FIRST, SECOND = free_port(), free_port()  # as --check binds them

# All kinds of settings; the file says some of them in an odd way.
EVERYTHING = r"""listen = {"127.0.0.1", "[::1]:SECOND", "unix:FOLDER/f.sock"}
data = "FOLDER"
memory = 256mb
restrict = {sync}
backend "local" { uri = "sqlite:store.db" synchronous = normal }
backend "far" { uri = "redis://app:${SECRET}@127.0.0.1:6379/1" tombstone_ttl = 2d }
backend "watched" { uri = "redis+sentinel://127.0.0.1,127.0.0.2/main?db=2" sentinel_user = ann sentinel_password = "${SECRET}" }
namespace "held" { prefix = "held:" policy = "write-behind" backend = local
    backend_timeout = 1500ms
    journal = always dirty_age_limit = 90s memory = 8mb absent_filter = yes }
namespace "own" { prefix = 'b"$\'\\x${HOME}:' policy = read-through backend = local
    load = 'select v from t where k = :key and x <> "it\'s"'
    store = "insert into t values(:key, :value)" delete = "delete from t where k = :key" key_type = integer }
namespace "far" { prefix = "far:" policy = "write-through" backend = far layout = string key_prefix = "x:" }
namespace "plain" { prefix = "plain:" eviction = s3-fifo }
"""
ENVIRONMENT = {"SECRET": "pass%27word", "HOME": "/nowhere"}


def printed(path, *options, wanted="--print-config", status=0):
    config = ["--config", str(path)] if path else []
    done = subprocess.run([binary(), *config, *options, wanted], capture_output=True, text=True, timeout=60, check=False,
                          env=ENVIRONMENT)
    assert done.returncode == status, done.stderr
    return done.stdout


def values(text):
    """Without where they come from, and without what is none."""
    lines = [re.sub(r" +# (default|/\S+:\d+.*|.* on the command line)$", "", line) for line in text.splitlines()]
    return [line for line in lines if line and not line.lstrip().startswith("#")]


def write(tmp_path, text=EVERYTHING):
    path = tmp_path / "f.conf"
    path.write_text(text.replace("FOLDER", str(tmp_path)).replace("SECOND", str(SECOND)))
    return path


def test_an_address_is_printed_whole(tmp_path):
    """However many nodes it names, and with the login alone hidden."""
    nodes = ",".join(f"node-{i}.{'cache.' * 20}example.net:7000" for i in range(16))
    path = tmp_path / "f.conf"
    for login, shown in ("", ""), ("app:secret@", "***@"):
        path.write_text(f'data = "{tmp_path}"\nbackend "far" {{ uri = "redis+cluster://{login}{nodes}" }}\n'
                        'namespace "far" { prefix = "far:" policy = "write-through" backend = far }\n')
        assert f'"redis+cluster://{shown}{nodes}"' in printed(path)


def test_a_long_path_of_the_file_leaves_room_for_what_is_wrong(tmp_path):
    folder = tmp_path
    for _ in range(8):
        folder /= "d" * 200
    folder.mkdir(parents=True)
    path = folder / "f.conf"
    path.write_text("memory = nonsense\n")
    done = subprocess.run([binary(), "--config", str(path), "--check"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 78
    assert re.search(r"/f\.conf:1: .*memory.*nonsense", done.stderr), done.stderr


def test_what_is_printed_gives_the_same_server(tmp_path):
    path = write(tmp_path)
    first = printed(path, "-m", "300", "-F", "-p", str(FIRST), "-vvvvv", "-M", wanted="--print-config=secrets")
    again = tmp_path / "again.conf"
    again.write_text(first)
    assert printed(again, wanted="--check=offline").endswith("again.conf: ok\n")
    assert values(printed(again, wanted="--print-config=secrets")) == values(first)
    assert "pass%27word@" in first and 'memory = "300mb"' in first and "verbosity = 3 " in first
    assert f'listen = {{"127.0.0.1:{FIRST}", "[::1]:{FIRST}", "unix:' in first
    assert 'restrict = {"flush_all", "sync"}' in first
    assert r"""    prefix = 'b"$\'\\x${HOME}:' """ in first, "it was in single quotes, and is no variable"


def test_each_value_says_where_it_comes_from(tmp_path):
    path = write(tmp_path)
    text = printed(path, "-m", "300", "--restrict", "dump", "-p", "1", "-M", "-a", "770", "-o", "idle_timeout=9,no_maxconns_fast")
    for expected in [r'^memory = "300mb" +# -m on the command line$',
                     r'^idle_timeout = "9s" +# -o idle_timeout=9 on the command line$',
                     rf'^restrict = .* +# {path}:4, --restrict on the command line$',
                     rf'^listen = .* +# {path}:1, -p on the command line$',
                     rf'^data = .* +# {path}:2$',
                     r"^node = 0 +# default$",
                     r"^# auth_file = none +# default$",
                     rf'^    timeout = "1500ms" +# {path}:9$',
                     rf'^    sentinel_password = "\*\*\*" +# {path}:7, it is hidden$',
                     r'^    dirty_limit = "2mb" +# default$',
                     r"^# On the command line as well, .*: -M, -a 770, -o no_maxconns_fast$"]:
        assert re.search(expected, text, re.MULTILINE), (expected, text)


def test_what_would_be_refused_is_left_out(tmp_path):
    plain = printed(write(tmp_path)).split('namespace "plain"')[1]
    assert 'eviction = "s3-fifo"' in plain and "journal" not in plain and "layout" not in plain and "backend" not in plain


def test_passwords_are_hidden_unless_asked_for(tmp_path):
    text = printed(write(tmp_path))
    assert "%27" not in text and 'uri = "redis://***@127.0.0.1:6379/1"' in text
    assert text.splitlines()[1].startswith("# Logins are hidden, so this file cannot be used")
    without = printed(write(tmp_path, EVERYTHING.replace("app:${SECRET}@", "")))
    assert without.splitlines()[1].startswith("# Logins are hidden") and 'sentinel_password = "***"' in without


def test_without_a_file_it_prints_one_to_begin_with(tmp_path):
    text = printed(None)
    assert 'listen = {"*:11211"}' in text and "# data = none" in text
    path = tmp_path / "begin.conf"
    path.write_text(text.replace("*:11211", f"127.0.0.1:{free_port()}"))  # somebody may serve the usual one
    assert printed(path, wanted="--check=offline").endswith("ok\n")
    assert 'listen = {"unix:/tmp/x"}' in printed(None, "-s", "/tmp/x")
    assert "# listen = none" in printed(None, "-p", "0")
    assert "as no setting can say it: -p 0\n" in printed(None, "-p", "0")
    assert "as no setting can say it: -A, -p 0\n" in printed(None, "-p", "0", "-A")


@pytest.mark.parametrize("wanted", ["--print-config", "--help", "--version", "--check"])
def test_what_cannot_be_printed_is_no_success(tmp_path, wanted):
    """Such as a file on a full disk, which would be taken for the whole."""
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([binary(), "--config", write(tmp_path), wanted], stdout=full, stderr=subprocess.PIPE, timeout=60,
                              check=False, env=ENVIRONMENT)
    assert done.returncode == 1
    assert b"cannot write to standard output: No space left on device" in done.stderr


def test_a_server_starts_with_it(serve, tmp_path):
    server = Server(tmp_path)
    server.config = f'listen = {{"127.0.0.1:{server.port}"}}\ndata = "{tmp_path}/data"\nbackend "local" {{ uri = "sqlite:s.db" }}\n' \
        'namespace "n" { prefix = "n:" policy = "write-behind" backend = "local" }\n'
    running = serve(printed(server.write_config()), port=server.port)
    running.client().set("n:1", b"x")
    assert running.client().get("n:1") == b"x"


def test_a_wrong_file_is_told_and_nothing_printed(tmp_path):
    assert printed(write(tmp_path, EVERYTHING.replace("s3-fifo", "fifo")), status=78) == ""
