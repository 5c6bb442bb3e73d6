# SPDX-License-Identifier: MIT
"""kill -9 at random moments under load: no acknowledged change is lost, none is undone, in any journal mode but off, nor
under write-through. tools/crash-rounds does the same for as long as one likes. See tests/support/crash.py for the model."""

import pytest
from crash import Rounds, Violation
from forebay import Redis

ROUNDS = 20


@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_kill_rounds(tmp_path, store):
    if store == "redis" and Redis.missing():
        pytest.skip(Redis.missing())
    rounds = Rounds(tmp_path, seed=20, store=store)
    try:
        rounds.run(ROUNDS)
    finally:
        rounds.close()
    assert rounds.kills >= ROUNDS
    assert rounds.answered > ROUNDS * 20, "hardly anything was acknowledged: this run shows nothing"


def test_the_model_sees_what_is_lost(tmp_path):
    """Without a journal a kill -9 loses what was not flushed, and these rounds must notice."""
    rounds = Rounds(tmp_path, seed=1, modes=("off",), through=False)
    try:
        with pytest.raises(Violation):
            rounds.run(ROUNDS)
    finally:
        rounds.close()
