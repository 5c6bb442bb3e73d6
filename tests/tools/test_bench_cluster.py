# SPDX-License-Identifier: MIT
"""What tools/bench/cluster makes of what it has seen, and that the two programs it compares differ in their calls alone."""

import contextlib
import glob
import os
import re
import signal
import subprocess

import pytest
from bench_tools import BENCH, built  # noqa: F401  pylint: disable=unused-import
import cluster_failover
import cluster_replicas
import cluster_rows
from cluster_failover import Asked
from forebay import Redis, binary, die_with_the_test, eventually

ENTRIES = 1000


@pytest.mark.parametrize("key, slot", [("123456789", 12739), ("foo", 12182)])
def test_slots_are_those_of_redis(key, slot):
    assert cluster_failover.slot_of(key) == slot


def test_a_window_counts_what_was_asked_for_within_it():
    asked = [Asked(0.5, 0.1, "hit"), Asked(1.0, 0.002, "hit"), Asked(1.5, 0.004, "hit"), Asked(2.9, 0.2, "error"), Asked(3.0, 0.1, "hit")]
    assert cluster_failover.window(asked, 1, 3) == (1.0, 2.0, 4.0, 4.0, 1)
    assert cluster_failover.window(asked, 4, 5).rate == 0


def test_keys_are_loaded_again_once_no_answer_fails_any_more():
    before = [Asked(0.0, 0.1, "hit"), Asked(1.0, 0.1, "error")]
    assert cluster_failover.seconds_until_loaded(before, 2.0) is None
    assert cluster_failover.seconds_until_loaded([*before, Asked(2.0, 0.25, "hit")], 2.0) == 0.25
    assert cluster_failover.seconds_until_loaded([*before, Asked(2.0, 0.25, "hit"), Asked(2.0, 0.5, "error"), Asked(3.0, 0.1, "hit")], 2.0) == 0.5


def test_a_line_of_the_program_is_read():
    assert cluster_rows.phase_of("load_one       12345 entries/s    3.250 us of CPU an entry\n", 70, 50) == ("load_one", (12345, 3.25, 7))
    assert cluster_rows.phase_of("load           12345 entries/s    3.250 us of CPU an entry\n", 70, 50) == ("load", (12345, 3.25, 1.4))
    assert cluster_rows.rate_in('"test","rps","avg"\n"SET","123456.79","0.1"\n') == 123456.79


@pytest.mark.skipif(Redis.missing() is not None, reason=str(Redis.missing()))
def test_one_program_sends_calls_of_one_entry(tmp_path, built):
    """insert and overwrite: 16 entries a call, or one; the keys are the same, and so are the loads."""
    with Redis(tmp_path) as redis:
        found = {}
        for name in ("bench_redis", "bench_redis_single"):
            with redis.connect() as client:
                client.flushall()
                client.config_resetstat()
                said = subprocess.run([built(name), "-u", redis.uri, "-n", str(ENTRIES), "-b", "500", "-o", str(ENTRIES)], capture_output=True, text=True, check=True)
                stats = client.info("commandstats")
                found[name] = stats["cmdstat_evalsha"]["calls"]
                assert stats["cmdstat_hmget"]["calls"] == 2 * ENTRIES
            assert re.findall(r"^\w+", said.stdout, re.MULTILINE) == list(cluster_rows.PHASES)
        calls_of_16 = 2 * 2 * (500 // 16 + 1)
        assert found["bench_redis_single"] - found["bench_redis"] == 2 * ENTRIES - calls_of_16


def test_what_replicas_cost_is_told_turn_by_turn():
    assert cluster_replicas.table({"a flush": ([1.0, 2.0, 3.0], [1.5, 2.25, 4.0])})[2:] == \
        ["| a flush | 2.00 (1.00 to 3.00) | 2.25 (1.50 to 4.00) | 0.500 (0.250 to 1.00) |"]


def processes_in(folder):
    found = []
    for path in glob.glob("/proc/[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            found += [path] if os.readlink(path).startswith(str(folder)) else []
    return found


@pytest.mark.skipif(Redis.missing() is not None, reason=str(Redis.missing()))
def test_nothing_is_left_of_a_measurement_that_is_interrupted(tmp_path, built):
    built("bench_redis_single")
    command = [os.path.join(BENCH, "cluster"), "rows", "--entries", "1000000"]
    with subprocess.Popen(command, env={**os.environ, "TMPDIR": str(tmp_path), "FOREBAY": binary()}, stdout=subprocess.PIPE, text=True,
                          start_new_session=True, preexec_fn=die_with_the_test) as process:
        try:
            while "turn 1 of 5: three masters" not in process.stdout.readline():
                assert process.poll() is None
            assert len(processes_in(tmp_path)) == 4  # three masters and one Redis
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
            assert process.stdout.read() == "interrupted; all that was started has ended\n"
            assert process.wait() == 130
        finally:
            process.kill()
    assert not os.listdir(tmp_path)
    eventually(lambda: not processes_in(tmp_path))
