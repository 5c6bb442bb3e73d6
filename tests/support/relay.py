# SPDX-License-Identifier: MIT
"""A network between a server and its store that can stand still."""

import socket
import threading


class Relay:
    """Between a server and its Redis: hands bytes on until it is frozen; by itself once it has met those that are named."""

    def __init__(self, port, freezes_at=None):
        self.target, self.freezes_at, self.frozen = port, freezes_at, threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            for pair_of in ((client, server), (server, client)):
                threading.Thread(target=self.copy, args=pair_of, daemon=True).start()

    def copy(self, source, target):
        with source, target:
            while True:
                try:
                    data = source.recv(1 << 16)
                    if self.freezes_at and self.freezes_at in data:
                        self.frozen.set()
                    while data and self.frozen.is_set():
                        threading.Event().wait(0.01)
                    if not data:
                        target.shutdown(socket.SHUT_WR)
                        return
                    target.sendall(data)
                except OSError:
                    return

    def close(self):
        self.frozen.clear()
        self.listener.close()
