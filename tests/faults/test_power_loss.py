# SPDX-License-Identifier: MIT
"""Power cuts under load: of what was acknowledged under journal = "always" or write-through nothing is lost, although all that
was not synced is gone. tests/faults/power_loss.c is the disk."""

import pytest
from crash import Rounds, Violation
from forebay import preloaded

ROUNDS = 20


@pytest.fixture
def library():
    named = preloaded("POWER_LOSS")
    if not named:
        pytest.skip("POWER_LOSS does not name the library built from tests/faults/power_loss.c")
    return named


def test_power_cuts(tmp_path, library):
    with Rounds(tmp_path, seed=6, modes=("always",), power_library=library) as rounds:
        rounds.run(ROUNDS)
    assert rounds.kills >= ROUNDS
    assert rounds.answered > ROUNDS * 20, "hardly anything was acknowledged: this run shows nothing"


def test_the_disk_loses_what_was_not_synced(tmp_path, library):
    """Under journal = "os" it may, so these rounds must notice."""
    with Rounds(tmp_path, seed=1, modes=("os",), through=False, power_library=library) as rounds:
        with pytest.raises(Violation):
            rounds.run(ROUNDS)
