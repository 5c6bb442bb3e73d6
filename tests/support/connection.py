# SPDX-License-Identifier: MIT
"""A connection to a server, whatever is spoken on it: forebay.Client and packets.BinaryClient are two kinds."""

import socket


class Connection:
    """Ends with the block that it is opened for. `file` reads what comes."""

    def __init__(self, port, timeout, host="127.0.0.1"):
        self.socket = socket.create_connection((host, port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def is_closed(self):
        """True if the server has nothing more to say and closes."""
        try:
            return self.file.read(1) == b""
        except ConnectionResetError:
            return True
