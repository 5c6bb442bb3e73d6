# SPDX-License-Identifier: MIT
"""tools/analyse: clang-tidy and cppcheck find nothing in the project's C, and something where something is."""

import os
import shutil
import subprocess

import pytest
from forebay import ROOT

TOOL = os.path.join(ROOT, "tools", "analyse")
INSTALLED = {"clang-tidy": shutil.which("clang-tidy-14") or shutil.which("clang-tidy"), "cppcheck": shutil.which("cppcheck")}

# A string that is compared with its size, and a place behind the end: each with what the programs call it.
FAULTS = {
    "clang-tidy": ("#include <string.h>\nint use(const char *text);\nint use(const char *text) {\n    return memcmp(text, \"abc\", 3) == 1;\n}\n",
                   "bugprone-suspicious-string-compare"),
    "cppcheck": ("#include <stdlib.h>\nvoid use(void);\nvoid use(void) {\n    char *lost = malloc(3);\n    lost[5] = 1;\n}\n", "arrayIndexOutOfBounds"),
}


def analyse(only, *places):
    """On one core: ctest has other tests for the others."""
    if not INSTALLED[only]:
        pytest.skip(f"no {only}")
    return subprocess.run([TOOL, "--jobs", "1", "--only", only, *places], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


@pytest.mark.parametrize("only", FAULTS)
def test_the_project_is_clean(only):
    done = analyse(only)
    assert done.returncode == 0 and done.stdout == "", done.stdout


@pytest.mark.parametrize("only", FAULTS)
def test_a_fault_is_found_each_time_that_it_is_looked_for(tmp_path, only):
    text, name = FAULTS[only]
    (tmp_path / "clean.c").write_text("extern int clean;\n")
    (tmp_path / "fault.c").write_text(text)
    for _ in range(2):
        done = analyse(only, str(tmp_path))
        assert done.returncode == 1 and name in done.stdout
    (tmp_path / "fault.c").write_text(text.replace("== 1;", "== 0;").replace("[5] = 1", "[2] = 1;\n    free(lost)"))
    assert analyse(only, str(tmp_path)).returncode == 0
