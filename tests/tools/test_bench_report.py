# SPDX-License-Identifier: MIT
"""tools/bench/report with real servers: it is interrupted, leaves nothing behind, goes on where it was, and writes its page.

Debian has no memtier_benchmark, so the load is made by a stand-in: a few sets and gets over the same connection, reported in the same
form. What it is asked for is what memtier_benchmark would be asked for."""

import json
import os
import signal
import socketserver
import subprocess
import threading
import types

from bench_tools import BENCH, built  # noqa: F401  pylint: disable=unused-import

import measure
import page
import pytest
import sessions
import state
from forebay import Memcached, Process, Redis, Server, ServerFailed, binary, die_with_the_test, eventually

ONLY = "^matrix/pipeline 16, set:get 1:10, 100 bytes, 1 thread/"
SERVERS = {"forebay": "Forebay, cache-aside", "memcached": "memcached", "forebay-interval": "Forebay, write-behind, journal interval",
           "redis-everysec": "Redis, everysec"}
STAND_IN = '''#!/usr/bin/python3
# SPDX-License-Identifier: MIT
import json, socket, sys
if "--version" in sys.argv:
    sys.exit(print("memtier_benchmark 2.3.0"))
options = dict(zip(sys.argv, sys.argv[1:]))
[path] = [word.split("=")[1] for word in sys.argv if word.startswith("--json-out-file=")]
redis = options["-P"] == "redis"
connection = socket.create_connection(("127.0.0.1", int(options["-p"])))
answers = connection.makefile("rb")
for number in range(200):
    key = b"memtier-%d" % number
    connection.sendall(b"SET %s v\\r\\n" % key if redis else b"set %s 0 0 1\\r\\nv\\r\\n" % key)
    assert answers.readline() == (b"+OK\\r\\n" if redis else b"STORED\\r\\n")
latencies = {f"p{percent:.2f}" if percent < 100 else "p100.0": 0.1 for percent in (50, 75, 90, 95, 99, 99.5, 99.9, 99.99, 100)}
with open(path, "w") as report:
    json.dump({"ALL STATS": {"Totals": {"Count": 1000, "Percentile Latencies": latencies}}}, report)
'''


@pytest.fixture
def peers(built):
    """What it does not begin without."""
    built("bench_session")
    built("bench_sqlite_loop")
    if Redis.missing() or not Memcached.program():
        pytest.skip("redis-server and memcached are needed")
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("server and load have a core each")


@pytest.fixture
def report(peers, tmp_path):  # pylint: disable=unused-argument
    """report(*options) starts it, with a folder of its own for all that it makes."""
    memtier, folder = tmp_path / "memtier", tmp_path / "servers"
    memtier.write_text(STAND_IN)
    memtier.chmod(0o755)
    folder.mkdir()
    env = dict(os.environ, FOREBAY=binary(), MEMTIER=str(memtier), MEMCACHED=Memcached.program(), TMPDIR=str(folder))
    command = [os.path.join(BENCH, "report"), "--quick", "--seconds", "1", "--rounds", "2", "--only", ONLY, "--servers", ",".join(SERVERS), "--state", str(tmp_path / "state.json"),
               "--page", str(tmp_path / "page.md")]

    def start(*options):
        return subprocess.Popen([*command, *options], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                preexec_fn=die_with_the_test)

    return start


def processes_in(folder):
    """Command lines of the processes that work in a folder or below."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/cwd").startswith(str(folder)):
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    found.append(file.read().replace(b"\0", b" "))
        except OSError:
            pass  # it has ended
    return found


def done_in(path):
    return list(json.loads(path.read_text())["done"]) if path.exists() else []


def test_it_is_interrupted_and_goes_on(report, tmp_path):
    with report() as process:
        first = eventually(lambda: done_in(tmp_path / "state.json"))
        eventually(lambda: processes_in(tmp_path / "servers"))  # those of the second round
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 130, said
    assert "state.json keeps what is done, and the same command goes on" in said and " left" in said
    assert processes_in(tmp_path / "servers") == []
    assert os.listdir(tmp_path / "servers") == []
    assert not (tmp_path / "page.md").exists()

    with report() as process:
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert "[2/2]" in said and "[1/2]" not in said
    second = done_in(tmp_path / "state.json")
    assert second[0] == first[0] and len(second) == 2
    assert processes_in(tmp_path / "servers") == [] and os.listdir(tmp_path / "servers") == []
    page = (tmp_path / "page.md").read_text()
    for label in SERVERS.values():
        assert f"| {label} | 1,000 |" in page
    assert "benchmarks-cpu-us.svg" in os.listdir(tmp_path / "images")


def test_sessions_are_measured_and_counted_after_a_kill(peers, tmp_path, monkeypatch):  # pylint: disable=unused-argument
    """Over a Redis behind Forebay, and in a memcached; and what the page makes of it."""
    monkeypatch.setenv("FOREBAY", binary())
    monkeypatch.setenv("MEMCACHED", Memcached.program())
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(sessions.tempfile, "tempdir", None)  # which is what TMPDIR was
    settings = {"command": "tools/bench/report", "seconds": 1, "rounds": 1, "quick": True, "users": 200, "pace": 200}
    given = types.SimpleNamespace(**settings)
    ours = sessions.measure_store(given, sessions.STORES["forebay-redis"])
    for found in (ours[load] for load in sessions.LOADS):
        assert found["requests"] > 0 and found["cpu_us"] > 0 and found["resident_mib"] > 1 and found["lag_s"] > 0
        assert found["lost"] == found["undone"] == 0
    assert ours["killed"]["sessions"] > 0 and ours["killed"]["ended"] > 0
    assert (ours["killed"]["lost"], ours["killed"]["undone"], ours["killed"]["returned"]) == (0, 0, 0)
    memcached = sessions.STORES["memcached"]
    with sessions.started(memcached) as running, sessions.bench_session(given, running[-1], memcached.protocol) as generator:
        generator.line()
        theirs = sessions.measure_kill(running, generator)
    assert theirs["lost"] == theirs["sessions"] > 0
    assert processes_in(tmp_path) == [] and os.listdir(tmp_path) == []

    measured = state.State(str(tmp_path / "state.json"), settings, {}, {})
    measured.finish("sessions/1", {"forebay-redis": ours}, 1)
    [row] = [line for line in page.Page(measured).text().split("\n") if line.startswith("| Forebay, write-behind over Redis")]
    assert row.endswith("| 0 | 100 % | 0 |")


def test_an_interrupt_waits_for_what_has_to_be_whole():
    handler, done = signal.getsignal(signal.SIGTERM), []
    with pytest.raises(KeyboardInterrupt):
        with measure.whole():
            signal.raise_signal(signal.SIGTERM)
            done.append("the folder is removed")
    assert done == ["the folder is removed"]
    assert signal.getsignal(signal.SIGTERM) == handler


@pytest.fixture
def stranger():
    """A port of another program that answers as a server does."""

    class Answering(socketserver.StreamRequestHandler):
        def handle(self):
            for _ in self.rfile:
                self.wfile.write(b"VERSION 1\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_another_program_on_the_port_is_not_measured(stranger, tmp_path):
    server = measure.PinnedForebay(tmp_path, port=stranger)
    server.core = None
    try:
        with pytest.raises(ServerFailed, match=f"port {stranger} of 127.0.0.1 was taken by another program"):
            measure.start(server)
    finally:
        server.kill()


class Forking(Process):
    """As Redis is while it writes its file again: what it forked outlives it."""

    what = "forking"

    def command(self):
        return ["sh", "-c", "sleep 60 & exec sleep 60"]

    def answers(self):
        return len(processes_in(self.folder)) == 2


def test_what_a_server_forked_ends_with_it(tmp_path):
    server = Forking(tmp_path).start()
    measure.kill(server)
    eventually(lambda: processes_in(tmp_path) == [])


def test_a_load_ends_with_its_server(tmp_path):
    """memtier_benchmark connects again and again."""
    with Server(tmp_path) as server:
        server.kill()
        with pytest.raises(SystemExit, match="the server ended"):
            measure.run_load(server, ["sleep", "1000"])
    assert [one for one in processes_in(os.getcwd()) if one.startswith(b"sleep 1000")] == []


@pytest.mark.parametrize("protocol", ["memcache_text", "redis"])
def test_a_server_is_filled_with_the_keys_that_memtier_draws(protocol, tmp_path, redis):
    if protocol == "redis":
        measure.prefill(redis, 1500, 10000, protocol=protocol)  # in several batches
        assert redis.connect().dbsize() == 1500
        assert redis.connect().mget("memtier-1", "memtier-1500") == [b"x" * 10000] * 2
    else:
        with Server(tmp_path) as server:
            measure.prefill(server, 1500, 10000)
            assert server.client().stats()["curr_items"] == "1500"
            assert server.client().get_many(["memtier-1", "memtier-1500"]).keys() == {b"memtier-1", b"memtier-1500"}
            with pytest.raises(SystemExit, match="SERVER_ERROR object too large"):
                measure.prefill(server, 1, 2 << 20)


def run_report(*options, **env):
    return subprocess.run([os.path.join(BENCH, "report"), *options], env={**os.environ, "FOREBAY": binary(), **env}, capture_output=True, text=True,
                          check=False, timeout=60)


def test_what_makes_no_sense_is_refused(report, tmp_path):
    def said(*options):
        with report(*options) as process:
            words = process.communicate(timeout=60)[0]
        assert process.returncode in (1, 2) and "Traceback" not in words
        return words

    assert "--only nothing-of-this: no task matches; --list shows them" in said("--only", "nothing-of-this")
    assert "( is no regular expression" in said("--only", "(")
    assert "at least 1" in said("--rounds", "-1")
    assert "there are forebay, memcached" in said("--servers", "elsewhere")
    assert "has nothing to write (FileNotFoundError" in said("--write")
    (tmp_path / "state.json").write_text("{")
    assert "is no state of a report (JSONDecodeError" in said("--list")
    assert "--fresh forgets it" in said("--list")
    done = run_report("--list", MEMTIER=str(tmp_path / "nowhere"))
    assert f"MEMTIER is {tmp_path / 'nowhere'}, which is no program that can be run" in done.stderr


def test_it_says_how_to_get_memtier(report, tmp_path):
    os.remove(tmp_path / "memtier")
    env = {name: value for name, value in os.environ.items() if name != "MEMTIER"}
    done = subprocess.run([os.path.join(BENCH, "report"), "--list"], env={**env, "FOREBAY": binary(), "PATH": str(tmp_path)}, capture_output=True,
                          text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "git clone https://github.com/RedisLabs/memtier_benchmark" in done.stderr
    assert report  # which has looked for what else is needed
