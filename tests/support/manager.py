# SPDX-License-Identifier: MIT
"""What a service manager does for a server, without systemd as process 1: takes its messages, and hands sockets over."""

import contextlib
import fcntl
import os
import socket
import subprocess
import time

from forebay import PATIENCE, Server, die_with_the_test

ABOVE_ALL = 100  # descriptors that are not in the way of those handed over, which begin at 3


class Messages:
    """The socket of NOTIFY_SOCKET: each message a dictionary, in their order."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(PATIENCE)
        self.address = address
        self.all = []

    def next(self):
        lines = self.socket.recv(4096).decode().splitlines()
        self.all.append(dict(line.split("=", 1) for line in lines))
        return self.all[-1]

    def until(self, name, begins=""):
        """The next message that has this name, with a value that begins so."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            message = self.next()
            if name in message and message[name].startswith(begins):
                return message
        raise AssertionError(f"{name}={begins} was not told, but {self.all[-10:]}")

    def pending(self):
        """The messages that have come and nobody has looked at."""
        found = []
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self.next())
        self.socket.settimeout(PATIENCE)
        return found

    def close(self):
        self.socket.close()


class Activated(Server):
    """A server that is handed listening sockets: [(name, socket)]. They stay open here while it is started anew."""

    def __init__(self, folder, sockets, **more):
        super().__init__(folder, **more)
        self.sockets = sockets

    def spawn(self):
        copies = [fcntl.fcntl(handed, fcntl.F_DUPFD, ABOVE_ALL) for _, handed in self.sockets]
        names = ":".join(name for name, _ in self.sockets)
        moves = "".join(f" {3 + i}<&{copy} {copy}<&-" for i, copy in enumerate(copies))
        # The shell becomes the server, so that LISTEN_PID is its own.
        script = f'export LISTEN_PID=$$ LISTEN_FDS={len(copies)} LISTEN_FDNAMES={names}; exec "$@"{moves}'
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(["bash", "-c", script, "bash", *self.command()], cwd=self.folder,
                                            stdout=log, stderr=log, env=self.environment(), pass_fds=copies,
                                            preexec_fn=die_with_the_test)
        for copy in copies:
            os.close(copy)
        return self
