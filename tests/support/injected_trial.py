# SPDX-License-Identifier: MIT
"""A server in which calls fail, one kind in one phase of its life, and what must hold all the same.

A trial is a start, load, a flush, a kill -9 with a recovery, and an end by SIGTERM, of which the fault is in one. Then:

    it never ends by a signal, nor with a sanitizer's report; nor by itself, but where a start is refused, with a reason
    a request is answered as the protocols have it, or its connection closed; when the fault is over, it serves again
    descriptors and connections are given back; SIGTERM ends it
    after another start, without a fault, everything is there that was acknowledged (crash.py has the model)

A fault in a start, in load or in a flush is followed by a kill -9 and a start before the end. Until then what was changed
under load waits for its flush, so that it has to come from the journal; what `sync` acknowledged, from the store.

One exception: where the kernel refuses what libev asks it for, libev says what, and aborts (the exit is ENDED_BY_LIBEV).
What was acknowledged has to be there even then.
"""

import collections
import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import time

from crash import Owner, Violation
from forebay import PATIENCE, Client, Config, Server, eventually, namespace, section, sqlite_backend
from injected import FOREVER, KINDS, Faults
from packets import STATUSES

PHASES = ("start", "load", "flush", "recovery", "stop")
ENDED_BY_LIBEV = -signal.SIGABRT
REASON = re.compile(r"(error: |^forebay: )(\S.{20,}|no memory$)", re.MULTILINE)
FLUSH_DELAY = "5s"  # longer than load takes, mostly
DURING = 0.3  # seconds for an answer while everything of a kind fails; nobody promises one then

ASKED = ("stats", "stats items", "stats settings", "stats forebay", "stats backends", "stats write_behind", "stats conns",
         "lru_crawler metadump all", "quarantine list", "me behind:0-0", "mg behind:0-1 k v f t", "verbosity 1", "flush_all",
         "ms plain:m 2 T0", "version", "gat 0 behind:0-0")
PATHS = ("/readyz?verbose", "/metrics", "/history.json", "/")

Case = collections.namedtuple("Case", "phase fault way")  # a name of WAYS (injected_ways.py)


def told(case):
    return f"{case.phase}: {case.fault} ({case.way})"


class Trial:
    """One life, or several, with at most one fault in one phase."""

    io = "epoll"  # the way to talk with the kernel
    kinds = tuple(KINDS)  # of calls that are let fail
    killed = ("start", "load", "flush")  # phases of a fault that a kill -9 follows
    spaces = {"behind": "local", "through": "local", "remote": "elsewhere"}
    journals = {"behind": "always", "remote": "os"}
    # How many there are of these is up to the moment. SQLite keeps the descriptor of a database whose connection is closed
    # until the next is opened, lest the process loses its locks.
    not_counted = re.compile(r"^(journal-.*|blank-.*|store\.db)$")

    def __init__(self, folder, library, seed, redis=None, notes=False):
        self.folder = os.path.join(folder, "data")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(self.folder)
        self.redis = redis
        used = [space for space, backend in self.spaces.items() if redis or backend == "local"]
        self.owner = Owner(0, used, 4, seed)
        self.owner.sizes = (0, 10, 100, 1000, 40000)
        self.faults = Faults(library, folder, notes)
        self.server = self.new_server(self.config(used), self.faults.environment())
        self.server.options += ["--io", self.io]
        self.server.config_folder = folder
        self.server.log_path = os.path.join(folder, "log")
        self.case = None
        self.counts = {}  # {phase: {kind: calls}}
        self.places, self.callers = {}, {}  # with notes: {phase: [Place]}, {hash: lines of a backtrace}
        self.files = collections.Counter()  # descriptors when nothing goes on
        self.met = 0  # calls that failed
        self.ended_by_libev = False

    def new_server(self, config, environment):
        return Server(self.folder, config=config, admin=True, env=environment)

    def config(self, used):
        backends = [sqlite_backend(timeout="5s")]
        if "remote" in used:
            backends.append(section("backend", "elsewhere", uri=self.redis.uri, timeout="5s"))
        behind = dict(policy="write-behind", flush_delay=FLUSH_DELAY)
        options = {space: dict(behind, journal=journal) for space, journal in self.journals.items()}
        options["through"] = dict(policy="write-through")
        spaces = [namespace(name, name + ":", backend=self.spaces[name], **options[name]) for name in used]
        return Config(*spaces, backends=backends, memory="16mb", journal_file_size="1mb", drain_timeout="2s",
                      sync_timeout="10s")

    # ---- Phases ----

    @contextlib.contextmanager
    def phase(self, name):
        """What happens in here happens with the fault, if this is its phase."""
        at_fault = self.case is not None and self.case.phase == name
        self.faults.order(self.case.fault if at_fault else None)
        self.owner.allowed.closing = at_fault
        try:
            yield at_fault
        finally:
            self.counts[name] = self.faults.counts()
            if self.faults.notes:
                self.places[name] = self.faults.places()
                self.callers.update(self.faults.callers())
            self.met += self.faults.met() if at_fault else 0
            self.faults.heal()

    def lasting(self):
        return self.case is not None and self.case.fault.times == FOREVER

    def started(self, name):
        """Starts the server in a phase; a refusal has to have a reason, and is followed by a start without a fault."""
        said = len(self.server.log())
        with self.phase(name):
            self.server.spawn()
            eventually(lambda: not self.server.running() or " serves " in self.server.log()[said:])
            if self.lasting():
                self.ask_once()
            else:
                eventually(self.answers_or_ended)
        eventually(self.answers_or_ended)
        if self.server.running():
            return
        self.refused(self.server.log()[said:])
        self.kill()
        self.server.start()

    def ask_once(self):
        """While everything of a kind fails: whoever asks comes to calls of the server as well, and is promised no answer."""
        with contextlib.suppress(OSError), self.server.client(DURING) as client:
            client.command("version")

    def answers_or_ended(self):
        return not self.server.running() or self.server.answers()

    def refused(self, said):
        status = self.server.process.returncode
        if self.died_by_libev():
            return
        if status <= 0 or not REASON.search(said):
            raise Violation(f"a start ended with {status}, and said:\n{said[-3000:]}")

    def died_by_libev(self):
        """What libev said it says just before it aborts."""
        if "libev" in self.server.log() and not self.ended_by_libev:
            self.ended_by_libev = self.server.wait() == ENDED_BY_LIBEV
        return self.ended_by_libev and not self.server.running()

    def load(self, at_fault, sync):
        """Changes, of which the model knows, and questions of all kinds, of which it does not."""
        patience = DURING if at_fault and self.lasting() else PATIENCE
        steps = [self.change_some, self.change_some, self.change_binary, self.read_all]
        steps += [self.sync, self.change_some] if sync else [self.ask, self.ask_http, self.reload, self.change_some]
        for step in steps:
            try:
                step(patience)
            except (TimeoutError, socket.timeout):
                if not at_fault or not self.lasting():
                    raise Violation(f"no answer to {step.__name__}, though the connection is open") from None
                break  # what was sent may yet be done, so nothing else is asked of these keys
            except (OSError, http.client.HTTPException) as error:
                if self.died_by_libev():
                    break
                if not at_fault:
                    self.check_alive()
                    raise Violation(f"{step.__name__}: {error!r} without a fault") from error
                if self.lasting():
                    break

    def change_some(self, patience):
        with self.server.client(patience) as client:
            for count in (1, 4, 12):
                keys = self.owner.random.choices(self.owner.keys, k=count)
                self.owner.batch(client, [(key, self.owner.operation(key)) for key in keys])

    def change_binary(self, patience):
        """In the other protocol: whole values alone."""
        with self.server.binary_client(patience) as client:
            for key in self.owner.random.choices(self.owner.keys, k=4):
                value, began = self.owner.value(key), time.time()
                try:
                    answer = client.ask("set", key.name, value, flags=7)
                    if answer is None:
                        raise ConnectionResetError("closed")
                except OSError:
                    key.unanswered(("set", (value, 7, 0)), began)
                    raise
                if answer.status not in STATUSES:
                    raise key.violated(f"answered with {answer}")
                reply = b"STORED" if answer.status == "SUCCESS" else b"SERVER_ERROR " + answer.value
                self.owner.answer(key, ("set", (value, 7, 0)), reply, began)

    def read_all(self, patience):
        with self.server.client(patience) as client:
            self.owner.check(client, "between the changes")

    def sync(self, patience):
        with self.server.client(patience) as client:
            answer = client.command("sync")
            if not answer.startswith((b"SYNCED ", b"SERVER_ERROR ")):
                raise Violation(f"sync was answered with {answer}")

    def ask(self, patience):
        """Each on a line of its own, and `mn`, whose answer is the last: whatever the answer is, where it ends is known."""
        with self.server.client(patience) as client:
            client.send(Client.storage("set", b"plain:k", b"v" * 50000))
            client.send(b"get plain:k behind:0-0 through:0-0 nothing\r\nmn\r\n")
            while client.line() != b"MN":
                pass
            for what in ASKED:
                client.send(what.encode() + (b"\r\nxx" if what.startswith("ms ") else b"") + b"\r\nmn\r\n")
                while client.line() != b"MN":
                    pass

    def ask_http(self, patience):
        for path in PATHS:
            if self.server.ask(path, patience=patience).status not in (200, 500, 503):
                raise Violation(f"{path} was answered with an odd status")

    def reload(self, _):
        self.server.signal(signal.SIGHUP)

    # ---- What must hold when it is over ----

    def recovers(self, flushes=True):
        """The fault is over: everything is as if there had been none. What waits for its flush does so no longer, or still."""
        if self.died_by_libev():
            self.server.start()
            return
        self.check_alive()
        self.server.await_answer()
        eventually(lambda: self.takes_changes(flushes))
        eventually(self.is_alone)
        self.read_all(PATIENCE)

    def takes_changes(self, flushes):
        """A change of each namespace is taken, and reaches its store."""
        try:
            with self.server.client() as client:
                stored = [client.set(f"{space}:probe", b"x") == b"STORED" for space in (*self.spaces, "plain")]
                return all(stored) and (not flushes or client.command("sync").startswith(b"SYNCED"))
        except OSError:
            self.check_alive()
            return False

    def check_alive(self):
        if not self.server.running():
            raise Violation(f"it ended with {self.server.process.returncode}, though nobody asked for that")

    def is_alone(self):
        """Nobody is connected beside who asks."""
        with self.server.client() as client:
            return client.stats()["curr_connections"] == "1"

    def descriptors(self):
        found = collections.Counter()
        folder = f"/proc/{self.server.pid}/fd"
        for name in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):
                target = os.readlink(os.path.join(folder, name))
                kind = os.path.basename(target) if target.startswith("/") else re.sub(r":\[\d+\]", "", target)
                if not self.not_counted.match(kind):
                    found[kind] += 1
        found["anon_inode:[eventfd]"] += found.pop("pipe", 0) // 2  # libev takes a pipe where it gets no eventfd
        found["anon_inode:[eventpoll]"] += found.pop("anon_inode:[io_uring]", 0)  # and workers these, where they get no rings
        return found

    def gives_back(self, usual, seconds=PATIENCE):
        """No more descriptors of a kind are open than without a fault."""
        with contextlib.suppress(AssertionError):
            eventually(lambda: not self.descriptors() - usual, seconds)
            return
        raise Violation(f"descriptors that were not given back: {dict(self.descriptors() - usual)}")

    # ---- The whole ----

    def run(self, case=None, usual=None):
        """With the fault of a case; without one, all phases are gone through and counted."""
        self.case = case
        if case:
            self.owner.allowed.refusing.update(self.spaces)
        self.started("start")
        with self.phase("load") as at_fault:
            self.load(at_fault, sync=False)
        if case is None or case.phase == "flush":
            with self.phase("flush") as at_fault:
                self.load(at_fault, sync=True)
        killed = case is not None and case.phase in self.killed and case.phase != "recovery"
        self.recovers(flushes=not killed or case.phase == "flush")
        self.compare(usual)
        if killed:
            self.survives()
        if case is None or case.phase == "recovery":
            self.change_some(PATIENCE)
            self.kill()
            self.started("recovery")
            self.recovers()
            if case and "recovery" in self.killed:
                self.survives()
        self.change_some(PATIENCE)
        with self.connected(), self.phase("stop"):
            self.stop()
        self.last_look()

    def survives(self):
        """What was acknowledged does so, without the process that has acknowledged it."""
        self.kill()
        self.server.start()
        self.read_all(PATIENCE)
        self.recovers()

    def kill(self):
        """Or what is left of it where it has ended."""
        self.server.kill()

    def compare(self, usual):
        if usual is None:
            self.files = self.descriptors()
        else:
            self.gives_back(usual)

    @contextlib.contextmanager
    def connected(self):
        """Those that a stop closes: who is silent, and who is in the middle of a request."""
        with self.server.client() as silent, self.server.client() as amid:
            for client in (silent, amid):
                client.command("version")
            amid.send(b"set plain:k 0 0 10\r\nhalf")
            yield

    def stop(self):
        self.server.signal(signal.SIGTERM)
        status = self.server.wait()
        if self.died_by_libev():
            return
        self.server.check_end(status, status if self.case and self.case.phase == "stop" and status > 0 else 0)

    def last_look(self):
        """Without a fault, without the library, and with a log of its own."""
        self.server.env = {}
        self.server.log_path += "-last"
        self.server.start()
        self.read_all(PATIENCE)
        self.server.stop()

    def close(self):
        if self.server.running():
            self.server.kill()
        self.faults.close()
