# SPDX-License-Identifier: MIT
"""A wall clock that is set while a server runs: tests/faults/clock_ahead.c, which is preloaded."""

import os

import pytest
from forebay import binary

LIBRARY = os.path.join(os.path.dirname(binary()), "tests", "libclock_ahead.so")  # tests/faults/clock_ahead.c
needs_clock = pytest.mark.skipif(not os.path.exists(LIBRARY), reason=f"{LIBRARY} is not there: a release build has it")


class Clock:
    """The wall clock that the server sees."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "clock")
        with open(self.path, "wb") as file:
            file.write(bytes(8))
        self.environment = {"LD_PRELOAD": LIBRARY, "CLOCK_AHEAD": self.path}

    def set(self, seconds):
        with open(self.path, "r+b") as file:
            file.write(seconds.to_bytes(8, "little", signed=True))
