# SPDX-License-Identifier: MIT
"""The program as a release builds it: read by readelf, as Debian's own checks do."""

import os
import re
import shutil
import subprocess

import pytest
from forebay import binary


def readelf(*options):
    return subprocess.run(["readelf", "--wide", *options, binary()], capture_output=True, text=True, check=True).stdout


def is_release():
    """As the build folder of the program says."""
    try:
        with open(os.path.join(os.path.dirname(binary()), "CMakeCache.txt"), encoding="utf-8") as cache:
            return "CMAKE_BUILD_TYPE:STRING=Release\n" in cache.read()
    except FileNotFoundError:
        return False


@pytest.fixture(autouse=True)
def release_only():
    if not shutil.which("readelf"):
        pytest.skip("readelf is not installed")
    if not is_release():
        pytest.skip("only a release is hardened")


def test_addresses_are_random_and_tables_read_only():
    """Position-independent; all that the linker fills in is resolved at the start and closed then."""
    assert re.search(r"Type:\s+DYN", readelf("-h"))
    assert "GNU_RELRO" in readelf("-l")
    assert re.search(r"\bFLAGS_1\b.*\bNOW\b.*\bPIE\b", readelf("-d"))


def test_the_stack_is_guarded_and_not_executable():
    assert "__stack_chk_fail" in readelf("--dyn-syms")
    stack = re.search(r"GNU_STACK.*", readelf("-l"))
    assert stack and " RWE " not in stack.group(), stack


def test_calls_of_the_c_library_are_checked():
    assert re.search(r"__\w+_chk@", readelf("--dyn-syms").replace("__stack_chk_fail", ""))
