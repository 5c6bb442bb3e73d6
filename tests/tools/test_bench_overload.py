# SPDX-License-Identifier: MIT
"""tools/bench/overload: that a scenario runs to its end, and what it makes of it; no figure."""

import os
import re
import subprocess

import pytest
from bench_tools import BENCH
import burdens
from forebay import binary


@pytest.mark.parametrize("scenario", ["greedy", "flood-gets"])
def test_a_scenario_is_told_as_a_line_of_a_table(tmp_path, scenario):
    """Of the crowd's waits there are three figures for each phase; a client that has more than its share is seen; what a key
    costs is told."""
    table = tmp_path / "table.md"
    command = [os.path.join(BENCH, "overload"), "--alone", "--only", scenario, "--seconds", "1", "--clients", "3", "--table", str(table)]
    done = subprocess.run(command, env={**os.environ, "FOREBAY": binary(), "TMPDIR": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    waits = r"[\d.,]+ / [\d.,]+ / [\d.,]+"
    written = table.read_text(encoding="utf-8")
    told = re.search(rf"^\| {scenario} \| forebay \| {waits} \| {waits} \| {waits} \| \d+ / \d+ / \d+ \| \d+ % \| ([\d.]+) \|$", written, re.MULTILINE)
    assert told and float(told.group(1)) > 0, written
    assert re.search(rf"^{scenario}, forebay: .*conn_yields \d+", written, re.MULTILINE), written
    assert os.listdir(tmp_path) == ["table.md"]


def test_every_scenario_says_what_it_does():
    listed = subprocess.run([os.path.join(BENCH, "overload"), "--list"], capture_output=True, text=True, check=True).stdout
    assert [line.split()[0] for line in listed.splitlines()] == list(burdens.BURDENS)
    assert all(len(line.split()) > 2 for line in listed.splitlines())
