# SPDX-License-Identifier: MIT
"""A few rounds of what tools/fault-rounds does for as long as one likes: faults of servers, of Redis, of what watches over it and of
the network between them, under load; and that what is broken there is noticed. tests/support/fault_rounds.py says what is
promised."""

import time
import types

import pytest
from crash import Violation
from fault_kinds import Cut, CutOffAndKilled, FailOver, MasterKilled, NodeKilled, ReplicaKilled, SlotsMoved, of_each_group
from fault_model import LOST, SHOWN, Blind, Chain, Counter, Lock, Log, OwnKey
from fault_rounds import FaultRounds, World
from forebay import Redis

needs_redis = pytest.mark.skipif(Redis.missing() is not None, reason=str(Redis.missing()))


@needs_redis
@pytest.mark.parametrize("store, seed, plan", [
    pytest.param("plain", 1, [[NodeKilled, MasterKilled, Cut]], marks=pytest.mark.threads),
    ("sentinel", 2, [[NodeKilled, CutOffAndKilled]]),
    ("cluster", 3, [[SlotsMoved, Cut], [MasterKilled, NodeKilled]]),
])
def test_rounds(tmp_path, store, seed, plan):
    rounds = FaultRounds(tmp_path, seed, [store], plan)
    rounds.run(len(plan), print)
    assert rounds.answered > 100


class Careless(World):
    """Without a journal, a kill loses what has not been written."""

    journals = ("off",)
    delays = ("1h",)


@needs_redis
def test_the_rounds_see_what_is_lost(tmp_path):
    rounds = FaultRounds(tmp_path, 5, ["plain"], [[NodeKilled]])
    rounds.world = Careless
    with pytest.raises(Violation, match="seed 5, round"):
        rounds.run(20)


@pytest.mark.parametrize("store, rounds", [
    ("cluster", [[NodeKilled, FailOver], [NodeKilled, ReplicaKilled], [NodeKilled, FailOver]]),
    ("plain", [[NodeKilled]] * 3),
])
def test_faults_that_concern_the_same_process_take_turns(store, rounds):
    world = types.SimpleNamespace(store=types.SimpleNamespace(name=store))
    assert [of_each_group([NodeKilled, FailOver, ReplicaKilled], world, turn) for turn in range(3)] == rounds


# ---- The model ----

BEGAN = 0


def own_key(*operations):
    key = OwnKey("behind", b"behind:0", False)
    for operation in operations:
        key.acknowledged(operation, b"STORED", BEGAN)
    return key


def value(number):
    return b"behind:0.%d." % number, 0, 0


def test_an_old_value_is_seen():
    key = own_key(("set", value(1)), ("set", value(2)))
    key.seen(value(2)[:2], BEGAN, "here")
    with pytest.raises(Violation):
        key.seen(value(1)[:2], BEGAN, "here")


def test_what_comes_late_may_be_there_until_something_follows():
    key = own_key(("set", value(1)))
    key.unanswered(("set", value(2)), BEGAN)
    key.seen(value(1)[:2], BEGAN, "here")
    key.seen(value(2)[:2], BEGAN, "here")
    with pytest.raises(Violation):
        key.seen(value(1)[:2], BEGAN, "here")
    key.unanswered(("set", value(3)), BEGAN)
    key.acknowledged(("set", value(4)), b"STORED", BEGAN)
    assert not key.may_be(value(3))


def test_what_may_be_lost_ends_with_the_next_change():
    key = own_key(("set", value(1)), ("set", value(2)))
    assert not key.may_be(value(1))
    key.loosen(SHOWN)
    key.seen(value(1)[:2], BEGAN, "here")
    assert not key.may_be(value(1))
    key.loosen(LOST)
    assert key.may_be(value(1)) and key.may_be(None)
    key.fasten()
    key.acknowledged(("set", value(3)), b"STORED", time.time() + 1)
    assert key.may_be(value(3)) and not key.may_be(value(2))


def begun(kind, first):
    key = kind(b"shared:key")
    key.begin(first)
    return key


@pytest.mark.parametrize("kind, first, given, unknown, good, bad", [
    (Counter, b"5", [6, 7], 1, [b"7", b"8"], [b"6", b"9"]),
    (Chain, b"5", [6], 0, [b"6.1-1"], [b"5", b"7.1-1"]),
    (Log, b"", [b"a", b"b"], 1, [b" a b", b" a c b"], [b" a", b" b a", b" a b b", b" a b c d"]),
    (Blind, b"nobody", [b"a", b"b"], 0, [b"b"], [b"a", b"nobody", b"c"]),
])
def test_shared_keys_are_judged(kind, first, given, unknown, good, bad):
    key = begun(kind, first)
    for what in given:
        key.give("one", what, time.monotonic())
    for _ in range(unknown):
        key.doubt("one", "something", b"SERVER_ERROR")
    for there in good:
        key.check(there)
    for there in bad:
        with pytest.raises(Violation):
            key.check(there)
    with pytest.raises(Violation):
        key.give("other", given[0], time.monotonic())


def test_a_lock_that_two_have_is_seen():
    key = begun(Lock, None)
    key.take("one")
    with pytest.raises(Violation):
        key.take("other")
    with pytest.raises(Violation):
        key.check(None)
