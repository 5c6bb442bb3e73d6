# SPDX-License-Identifier: MIT
"""tools/fuzz without a fuzzer: what it makes of what one says, and that runs add up, also those that are interrupted."""

import argparse
import glob
import importlib.machinery
import importlib.util
import os
import threading

import pytest
from forebay import ROOT, eventually

LOADER = importlib.machinery.SourceFileLoader("tools_fuzz", os.path.join(ROOT, "tools", "fuzz"))
fuzz = importlib.util.module_from_spec(importlib.util.spec_from_loader("tools_fuzz", LOADER))
LOADER.exec_module(fuzz)

SAYS = 'echo "#7 NEW cov: 41 ft: 3"; echo "#9 NEW cov: 42 ft: 3"; echo "stat::number_of_executed_units: {executions}"\n'
WAITS = "trap 'kill $child' INT\nsleep 1000 & child=$!\necho waits\nwait $child\nwait $child\n"  # until it is interrupted
AFL = """#!/bin/sh
while [ "$1" != -- ]; do
    case $1 in -V) seconds=$2 ;; -o) out=$2 ;; esac
    shift
done
mkdir -p "$out/default/crashes"
echo "execs_done        : $seconds" >"$out/default/fuzzer_stats"
echo x >"$out/default/crashes/id:000000"
"""
FINDS = """for word; do
    case $word in -artifact_prefix=*) echo x >"${word#*=}crash-1"; echo "Test unit written to ${word#*=}crash-1";; esac
done
"""


@pytest.fixture
def fuzzer(tmp_path):
    (tmp_path / "programs").mkdir()
    return fuzz.LibFuzzer(fuzz.State(tmp_path / "state"), str(tmp_path / "programs"))


def say(fuzzer, target, text, status=0):
    """What the target's program does."""
    path = fuzzer.program(target)
    with open(path, "w", encoding="ascii") as file:
        file.write("#!/bin/sh\n" + text + f"exit {status}\n")
    os.chmod(path, 0o700)


def test_runs_add_up(fuzzer):
    say(fuzzer, "parser", SAYS.format(executions=1000))
    assert not fuzzer.turn("parser", 1).findings
    say(fuzzer, "parser", SAYS.format(executions=234))
    fuzzer.turn("parser", 1)
    row = fuzz.State(fuzzer.state.folder).record()["parser"]
    assert (row["executions"], row["edges"], row["crashes"]) == (1234, 42, 0)


def test_what_breaks_is_named_and_counted(fuzzer):
    say(fuzzer, "parser", SAYS.format(executions=5) + FINDS, status=77)
    assert [os.path.basename(path) for path in fuzzer.turn("parser", 1).findings] == ["parser-crash-1"]
    say(fuzzer, "engine", "", status=1)
    assert fuzzer.turn("engine", 1).findings == ["(ended with 1)"]
    assert [fuzzer.state.record()[target]["crashes"] for target in ("parser", "engine")] == [1, 1]


def test_a_run_that_is_interrupted_counts(fuzzer):
    say(fuzzer, "parser", WAITS + SAYS.format(executions=8), status=fuzz.LibFuzzer.INTERRUPTED)
    turn = threading.Thread(target=fuzzer.turn, args=("parser", 1))
    turn.start()
    eventually(lambda: "waits" in fuzz.read_text(fuzzer.state.path("parser.log")))
    fuzzer.stop()
    turn.join()
    row = fuzzer.state.record()["parser"]
    assert (row["executions"], row["crashes"]) == (8, 0)
    assert fuzzer.turn("parser", 1) is None


def test_each_target_has_its_turn_and_none_runs_twice_at_once(fuzzer, monkeypatch):
    running, lock, taken = [], threading.Lock(), []

    def turn(target, seconds):
        with lock:
            assert target not in running
            running.append(target)
            taken.append(target)
        lock_step.wait(timeout=10)
        with lock:
            running.remove(target)
        return fuzz.Result(target, 1, seconds, 0, [], "log")

    lock_step = threading.Barrier(2)  # two jobs are always at work
    monkeypatch.setattr(fuzzer, "turn", turn)
    options = argparse.Namespace(targets=["a", "b", "c", "d"], jobs=2, seconds=1, hours=0)
    assert sorted(result.target for result in fuzz.rounds(options, fuzzer)) == ["a", "b", "c", "d"] == sorted(taken)


def test_a_target_that_breaks_has_no_other_turn(fuzzer, monkeypatch):
    taken = []

    def turn(target, seconds):
        taken.append(target)
        fuzzer.stopped = taken.count("whole") == 3
        return fuzz.Result(target, 1, seconds, 0, ["found"] if target == "broken" else [], "log")

    monkeypatch.setattr(fuzzer, "turn", turn)
    fuzz.rounds(argparse.Namespace(targets=["broken", "whole"], jobs=1, seconds=1, hours=1), fuzzer)
    assert taken == ["broken", "whole", "whole", "whole"]
    taken.clear()
    fuzzer.stopped = False
    fuzz.rounds(argparse.Namespace(targets=["broken"], jobs=1, seconds=1, hours=1), fuzzer)
    assert taken == ["broken"]


def test_what_is_found_again_is_counted_once(fuzzer):
    say(fuzzer, "parser", SAYS.format(executions=5) + FINDS, status=77)
    for _ in range(2):
        assert fuzzer.turn("parser", 1).findings
    assert fuzzer.state.record()["parser"]["crashes"] == 1


def test_every_target_is_about_files_that_there_are():
    assert sorted(fuzz.ABOUT) == fuzz.TARGETS
    for part in (part for parts in fuzz.ABOUT.values() for part in parts):
        assert glob.glob(os.path.join(ROOT, part) + "*"), part


def test_what_afl_counts_and_finds_over_all_turns_is_added_once(tmp_path, monkeypatch):
    with open(tmp_path / "afl-fuzz", "w", encoding="ascii") as file:
        file.write(AFL)
    os.chmod(tmp_path / "afl-fuzz", 0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    fuzzer = fuzz.Afl(fuzz.State(tmp_path / "state"), str(tmp_path))
    assert [len(fuzzer.turn("parser", seconds).findings) for seconds in (10, 25)] == [1, 0]
    row = fuzzer.state.record()["parser"]
    assert (row["executions"], row["crashes"]) == (25, 1)


def test_seeds_that_break_what_afl_is_given_are_findings(tmp_path, monkeypatch):
    """afl-fuzz goes on without them, and its end is a good one."""
    seed = sorted(os.listdir(os.path.join(fuzz.SEEDS, "parser")))[0]
    with open(tmp_path / "afl-fuzz", "w", encoding="ascii") as file:
        file.write(f"#!/bin/sh\necho \"[!] WARNING: Test case 'id:000000,time:0,execs:0,orig:{seed}' results in a crash, "
                   "skipping\"\n")
    os.chmod(tmp_path / "afl-fuzz", 0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    fuzzer = fuzz.Afl(fuzz.State(tmp_path / "state"), str(tmp_path))
    for _ in range(2):
        assert fuzzer.turn("parser", 1).findings == [os.path.join(fuzz.SEEDS, "parser", seed)]
    assert fuzzer.state.record()["parser"]["crashes"] == 1


def test_the_table_has_every_target_and_their_sum(capsys):
    fuzz.print_table({"parser": {"executions": 1200000, "seconds": 1800, "edges": 10, "crashes": 0},
                      "engine": {"executions": 300000, "seconds": 1800, "edges": 5, "crashes": 2}})
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[1:] == [["engine", "300,000", "5", "2", "0.50", "167"], ["parser", "1,200,000", "10", "0", "0.50", "667"],
                        ["all", "1,500,000", "15", "2", "1.00", "417"]]
