# SPDX-License-Identifier: MIT
"""What may be found after faults of a store and of the servers before it: the model of fault_rounds.py.

**A key of one writer** (OwnKey) is in one of a set of states, as in crash.py. Two things come to that:

    late    A change without an answer, or with SERVER_ERROR, may still lie in a socket of a Redis that is stopped, or in a
            network that stands still. It may take effect until an acknowledged change follows it, whose version is higher, or
            until all connections have been cut (settle).
    loose   The store goes back to what it was before: a master dies without having handed all on, or with what was in its
            memory. Then the key may also be as it was at any moment since all was last compared, or absent. How far that is
            allowed is the loss table (docs/design.md):
            SHOWN   it may be shown so for a while, as it is read from a store that memory has not repaired yet. In the end
                    it is what was acknowledged
            LOST    it may stay so
            A change that was begun after the fault, and is acknowledged, ends it.
    unsure  With replicas = 1, what was refused because no replica has it is in the master all the same, and is shown from there
            until that dies: reading it proves nothing.

**A key of several writers** (the other classes; write-through) is judged by the order in which requests were sent and answers
came: what was acknowledged before another request was sent is older.
"""

import threading
import time

from crash import Key, Violation, aged, change

SHOWN, LOST = "shown", "lost"
UNCHANGED = (b"NOT_STORED", b"NOT_FOUND", b"EN")


def unique(states):
    return list(dict.fromkeys(states))


class OwnKey(Key):
    """A key of one writer at a time. What its writer knows is in self.states; what else may be, beside it."""

    remembered = 40

    def __init__(self, space, name, counter):
        super().__init__(space, name, counter)
        self.line = [None]  # what it was since all was compared
        self.earlier = []  # and before that
        self.late = []
        self.loose = None
        self.loose_until = None  # what is sent after this moment cannot be lost by what made it loose
        self.at_stake = None  # the store is about to go back: what a delete, which memory does not keep, may come to
        self.forgets = False  # it goes back in this round, and memory forgets what has failed, or was denied
        self.empties = False  # and it goes back to nothing
        self.has_others = False  # there are servers that may have changed it before
        self.unsure = False
        self.generation = 0  # another one: what a reader has seen before means nothing
        self.newest = []  # (when it was acknowledged, number) for readers at other nodes
        self.lock = threading.RLock()

    # ---- What it may be ----

    def after_late(self, states):
        for operation in self.late:
            states = unique(states + [change(state, operation)[0] for state in states])
        return states

    def certain(self):
        return self.after_late(self.states + (self.line if self.loose == LOST else []))

    def shown(self):
        return self.after_late(self.states + (self.line if self.loose else []))

    def breadth(self):
        """While all that is done may be lost the line grows, and a long one takes long to compare: then the key is left alone."""
        if self.loose and not self.loose_until and len(self.line) > 40:
            return len(self.line)
        return len(self.after_late(self.states))

    # ---- What its writer is told ----

    def acknowledged(self, operation, reply, began):
        with self.lock:
            self.note(f"{str(operation)[:100]} -> {reply[:60]}")
            unchanged = reply in UNCHANGED
            before = aged(self.shown() if unchanged else self.certain(), began, time.time())
            after = [state for state, answer in (change(state, operation) for state in before) if answer == reply]
            if not after:
                raise self.violated(f"{str(operation)[:100]} was answered with {reply}")
            self.token = None
            if not unchanged:
                self.changed(unique(after), began)
            elif not self.loose and not self.undecided():
                self.states = unique(after)
            if unchanged and self.forgets and self.loose != LOST:  # what denies a change is asked for anew
                self.may_be_lost()

    def changed(self, states, began):
        self.states, self.late = states, []
        if self.loose and self.loose_until and began > self.loose_until:
            self.note("from here on nothing may be lost")
            self.loose, self.line = None, []
            self.generation += 1
        self.line = unique(self.line + states)
        if self.at_stake and None in states:
            self.loosen(self.at_stake)
        self.newest = self.newest[-200:] + [(time.monotonic(), number_of(states))]

    def unanswered(self, operation, began, why="no answer"):
        with self.lock:
            super().unanswered(operation, began, why)
            self.late.append(operation)
            self.line = unique(self.line + self.states)
            if self.forgets and self.loose != LOST:
                self.may_be_lost()

    def is_untouched(self):
        """Since all was compared."""
        return len(self.line) == 1 and not self.late

    def may_be_lost(self):
        """Memory has forgotten it."""
        self.loosen(LOST, None if self.at_stake else time.time(), self.empties)

    def seen(self, shown, began, where):
        with self.lock:
            self.note(f"{where}: {str(shown)[:100]}")
            fitting = [state for state in aged(self.shown(), began, time.time()) if (state and state[:2]) == shown]
            if not fitting:
                raise self.violated(f"found {str(shown)[:160]} {where}")
            if not self.loose and not self.undecided():
                self.states = unique(fitting)

    def undecided(self):
        """What is shown may have been refused."""
        return self.unsure and bool(self.late)

    # ---- Faults, and the comparison after them ----

    def loosen(self, how, until=None, empty=False, earlier=False):
        """until: when that was over, if it is. earlier: it may be what it was before all was compared."""
        with self.lock:
            self.note(f"may be {how} from here on" + (", or all of it" if empty else ""))
            self.loose = LOST if LOST in (self.loose, how) else how
            self.loose_until = until
            self.line = unique(self.line + self.states + ([None] if empty else []))
            if (empty and how == LOST and self.has_others) or earlier:
                self.line = unique(self.line + self.earlier)
            self.generation += 1

    def fasten(self):
        """The store has gone back as far as it will."""
        with self.lock:
            self.at_stake = None
            if self.loose:
                self.loose_until = time.time()

    def may_be(self, state):
        return state in aged(self.certain(), 0, time.time())

    def settle(self, state):
        with self.lock:
            self.note(f"in the store: {str(state)[:100]}")
            self.earlier = unique(self.earlier + self.line)[-200:]
            self.states, self.line, self.late = [state], [state], []
            self.loose = self.loose_until = None
            self.at_stake, self.forgets = None, False
            self.generation += 1
            self.newest = []

    def violated(self, what):
        late = "".join(f"\n    {str(operation)[:100]}" for operation in self.late)
        line = "".join(f"\n    {str(state)[:160]}" for state in self.line) if self.loose else " nothing"
        return Violation(f"{super().violated(what)}\n  may arrive late:{late}\n  may be {self.loose}:{line}")

    # ---- For readers ----

    def number(self, value):
        """Grows with each change of the value; None where it tells nothing."""
        return None if self.counter else number_in(value)

    def newest_before(self, moment):
        with self.lock:
            return max((number for when, number in self.newest if when <= moment), default=0)


def number_in(value):
    """Of the change that made it: the writer counts, "NAME.NUMBER.xxx", "+NUMBER" for each append."""
    head, *appended = value.split(b"+")
    return int(appended[-1]) if appended else int(head.split(b".")[1])


def number_of(states):
    """Of an own key's possible states: what all of them have at least."""
    values = [state[0] for state in states if state]
    return min((number_in(value) for value in values if b"." in value), default=0) if len(values) == len(states) else 0


class SharedKey:
    """A write-through key of several writers. `off`: the store went back, and nothing is promised until all is compared."""

    def __init__(self, name):
        self.space, self.name = "shared", name
        self.lock = threading.RLock()
        self.history = []
        self.off = False
        self.generation = 0
        self.unknown = 0
        self.given = {}  # what was acknowledged: when it was sent, when answered
        self.begin(None)

    @property
    def loose(self):
        return self.off

    def begin(self, value):
        """All is compared, and this is there."""
        with self.lock:
            self.first, self.off, self.unknown, self.given = value, False, 0, {}
            self.generation += 1

    def loosen(self):
        with self.lock:
            self.off = True
            self.generation += 1

    def note(self, text):
        self.history = self.history[-79:] + [f"{time.time():.3f} {text}"]

    def violated(self, what):
        return Violation(f"{self.name.decode()}: {what}\n  history:\n    " + "\n    ".join(self.history))

    def require(self, holds, what):
        if not holds and not self.off:
            raise self.violated(what)

    def doubt(self, who, what, reply):
        with self.lock:
            self.note(f"{who}: {what} -> {reply}")
            self.unknown += 1

    def give(self, who, what, sent):
        """Something that is given once alone was."""
        with self.lock:
            self.note(f"{who}: {what} was given")
            self.require(what not in self.given, f"{what} was given to {who}, and before")
            self.given[what] = (sent, time.monotonic())

    def number(self, value):
        """As OwnKey's."""
        raise NotImplementedError

    def newest_before(self, _):
        return 0

    def check(self, value):
        """What is there in the end."""
        raise NotImplementedError


class Counter(SharedKey):
    """Numbers that grow by one with each incr."""

    fresh = b"0"

    def give(self, who, what, sent):
        with self.lock:
            super().give(who, what, sent)
            older = max((number for number, (_, answered) in self.given.items() if answered < sent), default=0)
            self.require(what > max(older, self.number(self.first)), f"{what} was given to {who} after {older}")

    def number(self, value):
        return int(value.split(b".")[0])

    def newest_before(self, moment):
        with self.lock:
            return max((number for number, (_, answered) in self.given.items() if answered <= moment), default=0)

    def check(self, value):
        first, last = self.number(self.first), self.number(value)
        least = first + len(self.given)
        self.require(least <= last <= least + self.unknown,
                     f"{last} in the end: it was {first}, {len(self.given)} changes were acknowledged, {self.unknown} may be")


class Chain(Counter):
    """The same by cas, with the name of who has set it."""


class Log(SharedKey):
    """Appended to: each word is there once, in an order that fits."""

    fresh = b""

    def number(self, value):
        return len(value)

    def check(self, value):
        words = value[len(self.first):].split()
        for word in self.given:
            self.require(words.count(word) == 1, f"{word} was acknowledged and is there {words.count(word)} times")
        self.require(len(words) == len(set(words)) <= len(self.given) + self.unknown, "words are there twice, or nobody's")
        latest = 0
        for word in words:
            sent, answered = self.given.get(word, (0, latest))
            self.require(answered >= latest, f"{word} stands behind one that was sent after its answer")
            latest = max(latest, sent)


class Blind(SharedKey):
    """Set by several: the last one stays."""

    fresh = b"nobody"

    def number(self, _):
        return None

    def check(self, value):
        sent = max((sent for sent, _ in self.given.values()), default=0)
        if value in self.given:
            self.require(self.given[value][1] >= sent, f"{value} in the end, and another one was set after its answer")
        else:
            self.require(self.unknown or (value == self.first and not self.given), f"{value} in the end")


class Lock(SharedKey):
    """Taken by add, and given back by delete."""

    fresh = None

    def begin(self, value):
        super().begin(value)
        self.holder = None

    def take(self, who):
        with self.lock:
            self.note(f"{who}: has it")
            self.require(self.holder is None, f"{who} got it, and {self.holder} has it")
            self.holder = who

    def leave(self, who):
        with self.lock:
            self.note(f"{who}: lets it go")
            self.holder = None

    def number(self, _):
        return None

    def check(self, value):
        self.require(value or not self.holder, f"{self.holder} has it, and it is gone")
