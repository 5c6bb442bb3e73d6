# SPDX-License-Identifier: MIT
"""What the tests of tools/bench share: its modules, which can be imported once this is, and the programs of the build under test.
No conftest.py: that of tests/clients is imported by this name, and both may be in one run."""

import os
import sys

import pytest
from forebay import ROOT, binary

BENCH = os.path.join(ROOT, "tools", "bench")
sys.path.insert(0, BENCH)


@pytest.fixture
def built():
    """built(name): a program of tools/bench, beside the server under test."""

    def path_of(name):
        path = os.path.join(os.path.dirname(binary()), "tools", "bench", name)
        if not os.path.exists(path):
            pytest.skip(f"{name} is not built beside {binary()}: FOREBAY_BENCH=ON does it")
        return path

    return path_of
