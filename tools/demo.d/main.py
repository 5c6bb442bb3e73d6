# SPDX-License-Identifier: MIT
"""tools/demo: starts the programs of stage.py, says where to look, and obeys what is typed until it is told to end.

At the end of its standard input it goes on, until SIGTERM or Ctrl-C. Every command is answered by a line that begins with its name
once it is done."""

import argparse
import os
import select
import shlex
import signal
import socket
import sqlite3
import sys

from programs import PATIENCE_S, Failed, answers
from stage import COMMANDS, ROOT, Stage

PORT = 8080
PAUSE_S = 0.1  # between two looks for programs that have ended
TO_END = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Quit(Exception):
    """By a command or a signal."""


class Demo:
    def __init__(self, stage):
        self.stage = stage
        self.programs = stage.programs
        self.is_away = False
        self.lock = None  # the transaction that keeps everybody from writing to store.db, while it is away

    # ---- Commands ----

    def kill(self, name):
        """kill -9, and started again"""
        self.programs[name].kill()
        self.programs[name].start()

    def restart(self, name):
        """SIGTERM, and started again"""
        self.programs[name].restart()

    def stop(self, name):
        """SIGTERM; it stays away"""
        self.programs[name].stop()

    def start(self, name):
        self.programs[name].start()

    def away(self):
        """Redis is killed; of a file, another program has the lock"""
        if self.is_away:
            return
        if self.stage.with_redis:
            self.programs["redis"].is_stopped = True
            self.programs["redis"].kill()
        else:
            self.lock = sqlite3.connect(os.path.join(self.stage.folder, "store.db"), isolation_level=None, timeout=PATIENCE_S)
            self.lock.execute("BEGIN IMMEDIATE")
        self.is_away = True

    def back(self):
        if not self.is_away:
            return
        if self.stage.with_redis:
            self.programs["redis"].start()
        else:
            self.lock.close()
        self.is_away = False

    def evict(self):
        """memory is emptied, once everything is written; while the store is away, of what was written before"""
        if not self.programs["forebay"].is_running():
            raise Failed("Forebay is stopped, and its memory gone; start forebay")
        with socket.create_connection(("127.0.0.1", self.stage.ports["forebay"]), PATIENCE_S) as connection, \
                connection.makefile("rb") as replies:
            if not self.is_away:
                connection.sendall(b"sync\r\n")
                replies.readline()
            connection.sendall(b"flush_all\r\n")
            reply = replies.readline()
            if reply != b"OK\r\n":
                raise Failed(reply.decode().strip() or "Forebay has closed the connection; try again")

    def status(self):
        for program in self.programs:
            state = f"pid {program.process.pid}" if program.is_running() else "stopped"
            print(f"    {program.name:<10} 127.0.0.1:{program.port:<6} {state}")

    def quit(self):
        raise Quit

    # ---- Obeying ----

    def obey(self, line):
        verb, *names = line.split()
        of_a_program, alone = ("kill", "restart", "stop", "start"), ("away", "back", "evict", "status", "quit")
        if not (verb in alone and not names or verb in of_a_program and len(names) == 1 and names[0] in self.programs):
            print(COMMANDS.format(store=self.stage.store), flush=True)
            return
        try:
            getattr(self, verb)(*names)
            print(f"{line.strip()}: done", flush=True)
        except (Failed, OSError, sqlite3.Error) as error:
            print(f"{line.strip()}: {error}", flush=True)

    def tend(self):
        for what in self.programs.tend():
            print(what, flush=True)

    def run(self):
        """Until a command or a signal raises Quit."""
        inputs, typed = [sys.stdin.fileno()] if sys.stdin else [], b""
        while True:
            if select.select(inputs, [], [], PAUSE_S)[0]:
                more = os.read(inputs[0], 4096)
                inputs = inputs if more else []
                *lines, typed = (typed + more).split(b"\n")
                for line in filter(bytes.strip, lines):
                    self.obey(line.decode(errors="replace"))
            self.tend()


def port(text):
    number = int(text)
    if not 0 < number < 65536:
        raise ValueError
    return number


def arguments():
    parser = argparse.ArgumentParser(prog="tools/demo", description="A shop whose applications keep nothing themselves.")
    parser.add_argument("--redis", action="store_true", help="Redis behind Forebay, not SQLite")
    parser.add_argument("--port", type=port, default=PORT, help=f"of the load balancer (default: {PORT})")
    parser.add_argument("--folder", help="for its data (default: var/demo-sqlite, var/demo-redis)")
    parser.add_argument("--forebay", default=os.path.join(ROOT, "build", "release", "forebay"), help="the program")
    return parser.parse_args()


def end(*_):
    raise Quit


def nearest(folder, name):
    """A file's path, as short as it can be typed here."""
    path = os.path.join(folder, name)
    return shlex.quote(min(path, os.path.relpath(path), key=len))


def welcome(stage):
    print(f"""
The shop:     http://127.0.0.1:{stage.ports["haproxy"]}/
Forebay:      http://127.0.0.1:{stage.ports["admin"]}/, memcached clients on 127.0.0.1:{stage.ports["forebay"]}
Its folder:   {stage.folder} (logs, pids, databases)

Log in, fill a cart, and then break something. Nobody is logged out. Type:

{COMMANDS.format(store=stage.store)}

or do it from another terminal:  kill -9 $(cat {nearest(stage.folder, "forebay.pid")})
What Forebay has written:        {look(stage)}
""", flush=True)


def look(stage):
    if stage.with_redis:
        return f"redis-cli -p {stage.ports['redis']} keys '*'"
    return f"sqlite3 -readonly {nearest(stage.folder, 'store.db')} 'select cast(key as text), cast(value as text) from carts'"


def play(given):
    """From the first start to the last end."""
    if answers(given.port):
        raise Failed(f"127.0.0.1:{given.port} is taken (ss -tlnp says by whom): end that one, or take another --port")
    folder = os.path.abspath(given.folder or os.path.join(ROOT, "var", "demo-redis" if given.redis else "demo-sqlite"))
    try:
        stage = Stage(folder, os.path.abspath(given.forebay), given.redis, given.port)
    except (OSError, sqlite3.Error) as error:
        raise Failed(f"{folder} cannot have the data: {error}; mend that, or take another --folder") from None
    demo = Demo(stage)
    try:
        stage.programs.start()
        welcome(stage)
        demo.run()
    except Quit:
        print("ending", flush=True)
    finally:
        for number in TO_END:
            signal.signal(number, signal.SIG_IGN)  # it is ending already
        try:
            demo.back()  # so that what waits can be written
        finally:
            stage.programs.stop()


def main():
    given = arguments()
    for number in TO_END:
        signal.signal(number, end)
    try:
        play(given)
        return 0
    except Quit:
        return 0  # before there was anything to end
    except (Failed, OSError) as failure:
        print(f"tools/demo: {failure}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
