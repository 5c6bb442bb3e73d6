# SPDX-License-Identifier: MIT
"""The arithmetic of the measurements, and nothing else: no server is needed to test it (tests/tools/test_bench_figures.py)."""

import collections
import math
import statistics

Turns = collections.namedtuple("Turns", "ratio ours theirs lowest highest rounds")
MARGIN = 0.02
Spread = collections.namedtuple("Spread", "median lowest highest")


def order(count, turn):
    """Who comes when: 0 1 2, then 2 1 0, so that a machine that becomes slower favours nobody."""
    forward = list(range(count))
    return forward if turn % 2 == 0 else forward[::-1]


def turns(ours, theirs):
    """Two lists, one figure for each turn. The ratio is the median of those within a turn: what the machine does besides changes
    from turn to turn, and both sides of one feel it."""
    ratios = [mine / other for mine, other in zip(ours, theirs)]
    return Turns(statistics.median(ratios), statistics.median(ours), statistics.median(theirs), min(ratios), max(ratios), len(ratios))


def spread(values):
    """Median, lowest and highest; None for what nobody has measured."""
    known = [value for value in values if value is not None]
    return Spread(statistics.median(known), min(known), max(known)) if known else None


def percentile(ordered, percent):
    """The least of ordered values that so many percent do not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def short(value):
    """A figure with the digits that mean something: 1,234,567, 345, 12.3, 1.23, 0.123."""
    if value is None:
        return ""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def with_spread(found):
    """"12.3 (11.9 to 13.0)", or the figure alone where there was one round, or none differed."""
    if found is None:
        return ""
    if short(found.lowest) == short(found.highest):
        return short(found.median)
    return f"{short(found.median)} ({short(found.lowest)} to {short(found.highest)})"


def kind_of(task):
    """Tasks are named KIND/...: those of a kind take about as long as each other."""
    return task.split("/")[0]


def seconds_left(tasks, taken):
    """tasks: {name: seconds that it is expected to take}, in any order; taken: {name: seconds that it took}. What a kind took, where
    that is known, corrects what was expected of it."""
    expected, measured = collections.Counter(), collections.Counter()
    for name, seconds in taken.items():
        if name in tasks:
            expected[kind_of(name)] += tasks[name]
            measured[kind_of(name)] += seconds
    left = 0
    for name, seconds in tasks.items():
        if name not in taken:
            kind = kind_of(name)
            left += seconds * (measured[kind] / expected[kind] if expected[kind] else 1)
    return left


def duration(seconds):
    """"2 h 05 min", "7 min", "40 s"."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes} min" if seconds >= 90 else f"{round(seconds)} s"


def paired(ours, theirs):
    """The same figure of both sides, one for each round: Turns, of the rounds that have both; None where none has."""
    both = [(mine, other) for mine, other in zip(ours, theirs) if mine and other]
    return turns(*zip(*both)) if both else None


def standing(found, at_most):
    """"behind" or "ahead" of a peer where every round says so, and the one in the middle by more than MARGIN; else "even". found: ours to
    theirs, within each round, as what the machine does besides is felt by both. at_most: less is better."""
    lowest, middle, highest = found.lowest, found.ratio, found.highest
    if not at_most:
        lowest, middle, highest = 1 / highest, 1 / middle, 1 / lowest
    if lowest > 1 and middle > 1 + MARGIN:
        return "behind"
    return "ahead" if highest < 1 and middle < 1 - MARGIN else "even"
