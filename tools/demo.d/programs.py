# SPDX-License-Identifier: MIT
"""Programs that are started, watched, killed and started again, as a service manager does it.

    Program.start    not running -> running      also after it ended by itself: Programs.tend
    Program.stop     running -> stopped          stays away until it is started
    Program.kill     running -> not running      kill -9
    Program.restart  running -> running

Each program leads a process group of its own, so that the terminal's Ctrl-C ends none of them before its turn, and so that what a
killed one has started goes with it. All end with the one that started them, however that ends."""

import ctypes
import os
import signal
import socket
import subprocess
import time

PATIENCE_S = 60
ENDS = (0, -signal.SIGTERM, 128 + signal.SIGTERM)  # how programs end that are told to
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


def end_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Failed(Exception):
    """A program that does not start, or does not end."""


def free_ports(count):
    """Ports that nobody has at the moment, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class Program:
    def __init__(self, name, command, port, folder, **environment):
        self.name = name
        self.command = command
        self.port = port
        self.folder = folder
        self.environment = dict(os.environ, **environment)
        self.process = None
        self.is_stopped = True  # on purpose

    @property
    def log_path(self):
        return os.path.join(self.folder, f"{self.name}.log")

    @property
    def pid_path(self):
        return os.path.join(self.folder, f"{self.name}.pid")

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def start(self):
        """Returns once it answers."""
        self.spawn()
        self.await_answer()

    def spawn(self):
        """Does not wait for it."""
        if self.is_running():
            return
        if answers(self.port):  # haproxy would share it with another haproxy
            raise Failed(f"{self.name} does not start: another program has 127.0.0.1:{self.port} (ss -tlnp says which), end that one")
        self.is_stopped = False
        with open(self.log_path, "ab") as log:
            try:
                self.process = subprocess.Popen(self.command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
                                                stdout=log, stderr=log, start_new_session=True, preexec_fn=end_with_parent)
            except OSError as error:
                remedy = "tools/demo installs and builds what it needs"
                raise Failed(f"{self.name} does not start: {error.filename}: {error.strerror}; {remedy}") from None
        with open(self.pid_path, "w", encoding="ascii") as file:
            file.write(f"{self.process.pid}\n")

    def await_answer(self):
        end = time.monotonic() + PATIENCE_S
        while not answers(self.port):
            if not self.is_running() or time.monotonic() > end:
                raise Failed(f"{self.name} does not start; {self.log_path} says why")
            time.sleep(0.01)

    def signal_group(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass  # all of them are gone

    def kill(self):
        if self.process is not None:
            self.signal_group(signal.SIGKILL)
            self.process.wait()

    def end(self):
        """SIGTERM, and what is left of its group goes when it has ended."""
        if not self.is_running():
            return
        self.process.terminate()
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} does not end; {self.log_path} says why") from None
        finally:
            self.kill()
        if self.process.returncode not in ENDS:
            raise Failed(f"{self.name} ended with {self.process.returncode}; {self.log_path} says why")

    def stop(self):
        self.is_stopped = True
        self.end()

    def restart(self):
        self.end()
        self.start()


class Programs:
    """Those of the demonstration. Each comes before those that ask it, so they end in the opposite order."""

    def __init__(self, programs):
        self.by_name = {program.name: program for program in programs}

    def __getitem__(self, name):
        return self.by_name[name]

    def __contains__(self, name):
        return name in self.by_name

    def __iter__(self):
        return iter(self.by_name.values())

    def start(self):
        """All at once, as none needs another one in order to start; but the last, a load balancer, when the others answer: it would
        take those that do not for gone, until it looks again."""
        *others, last = self
        for program in others:
            program.spawn()
        for program in others:
            program.await_answer()
        last.start()

    def stop(self):
        failures = []
        for program in reversed(list(self)):
            try:
                program.stop()
            except Failed as failure:
                failures.append(str(failure))
        if failures:
            raise Failed("\n".join(failures))

    def tend(self):
        """Starts again what ended by itself or was killed by hand; yields what became of each. What cannot be started stays away, as
        it would end again and again."""
        for program in self:
            if program.is_running() or program.is_stopped:
                continue
            program.kill()  # what it has left behind
            try:
                program.start()
                yield f"{program.name} had ended, and was started again"
            except Failed as failure:
                program.is_stopped = True
                yield f"{failure}. Then type: start {program.name}"
