# SPDX-License-Identifier: MIT
"""tools/soak: a short one that ends and is gone on with, and that its model and its looks see what is wrong."""

import os
import time
from types import SimpleNamespace

import crash
import pytest
from crash import Violation
from forebay import Redis, share
from soak import ASIDE, FOREIGN, MIB, STATE, CachedKey, ForeignKey, Looks, Soak
from weather import Away, Changed, Flood


@pytest.mark.skipif(Redis.missing() is not None, reason=str(Redis.missing()))
def test_a_soak_ends_and_goes_on(tmp_path):
    kinds = (Flood, Away, Changed)
    with Soak(tmp_path, 11, stretch=share(4), rounds_in_cycle=2, clients=2, keys=12, weather=kinds) as soak:
        soak.soak(0.01)
        before = soak.answered
        assert (soak.cycles, soak.number) == (1, 2) and soak.crowd > 100 and before > 100
    with Soak(tmp_path, 11, stretch=share(4), rounds_in_cycle=2, clients=2, keys=12, weather=kinds) as again:
        again.restore()
        assert not os.path.exists(os.path.join(tmp_path, STATE))
        assert again.answered == before and again.seconds == soak.seconds
        again.rounds_in_cycle = 1
        again.soak(0.01)  # begins with a look at what the first one has left
        assert (again.cycles, again.number) == (2, 3) and again.answered > before
    assert f"| {again.answered:,} |" in again.summary()
    assert all(os.path.exists(os.path.join(tmp_path, name)) for name in ("log", STATE))


def test_a_value_that_was_gone_from_a_cache_does_not_come_back():
    key = CachedKey(ASIDE, b"aside:1", False)
    key.acknowledged(("set", (b"v", 0, 0)), b"STORED", time.time())
    key.seen((b"v", 0), time.time(), "in memory")
    key.seen(None, time.time(), "evicted")
    with pytest.raises(Violation):
        key.seen((b"v", 0), time.time(), "again")


def test_a_change_of_what_was_gone_may_be_there_without_its_answer():
    key = CachedKey(ASIDE, b"aside:1", False)
    key.acknowledged(("set", (b"v", 0, 0)), b"STORED", time.time())
    key.unanswered(("add", (b"w", 0, 0)), time.time())  # v was evicted before
    key.seen((b"w", 0), time.time(), "then")


def test_what_ends_far_away_ends_so_for_another_process(monkeypatch):
    key = CachedKey(ASIDE, b"aside:1", False)
    key.acknowledged(("set", (b"v", 0, crash.FAR)), b"STORED", time.time())
    monkeypatch.setattr(crash, "FAR", crash.FAR + 1000)
    assert key.ends() == 0


def test_an_older_row_is_not_shown_once_it_was_said_to_be_another():
    key = ForeignKey(FOREIGN, b"foreign:1", False)
    key.written((b"old", 0, 0))
    key.acknowledged(("delete", None), b"NOT_FOUND", time.time())
    key.written((b"new", 0, 0))
    key.seen((b"old", 0), time.time(), "before the word")
    key.acknowledged(("delete", None), b"DELETED", time.time())
    with pytest.raises(Violation):
        key.seen((b"old", 0), time.time(), "after it")


@pytest.mark.parametrize("grows, field", [((0, 0, 0, 0), None), ((MIB, 0, 0, 0), "resident"), ((0, 2, 0, 0), "descriptors")])
def test_what_grows_while_it_runs_on_is_seen(grows, field):
    looks = Looks(SimpleNamespace(), "")
    looks.taken = [tuple(start + each * number for start, each in zip((20 * MIB, 30, 8, 0), grows)) for number in range(60)]
    if not field:
        return looks.judge()
    with pytest.raises(Violation, match=field):
        looks.judge()
