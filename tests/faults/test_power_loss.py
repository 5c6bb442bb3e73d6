# SPDX-License-Identifier: MIT
"""Power cuts under load: of what was acknowledged under journal = "always" or write-through nothing is lost, although all that
was not synced is gone. tests/faults/power_loss.c is the disk."""

import os

import pytest
from crash import Rounds

ROUNDS = 20


def test_power_cuts(tmp_path):
    library = os.environ.get("POWER_LOSS")
    if not library:
        pytest.skip("POWER_LOSS does not name the library built from tests/faults/power_loss.c")
    rounds = Rounds(tmp_path, seed=6, modes=("always",), power_library=library)
    try:
        rounds.run(ROUNDS)
    finally:
        rounds.close()
    assert rounds.kills >= ROUNDS
    assert rounds.answered > ROUNDS * 20, "hardly anything was acknowledged: this run shows nothing"
