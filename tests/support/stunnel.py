# SPDX-License-Identifier: MIT
"""stunnel, for whoever speaks no TLS: takes plain connections and carries them on encrypted."""

import os
import shutil
import socket

from forebay import Process


class Stunnel(Process):
    """From its port to that of a server on loopback, whose certificate has to be by the CA."""

    what = "stunnel"

    def __init__(self, folder, to, ca):
        super().__init__(folder)
        self.to, self.ca = to, ca

    @staticmethod
    def missing():
        """A reason why there is no stunnel, or None."""
        return None if shutil.which("stunnel4") else "stunnel4 is not installed"

    def command(self):
        path = os.path.join(self.folder, "stunnel.conf")
        with open(path, "w", encoding="ascii") as file:
            file.write(f"foreground = yes\npid =\n[tunnel]\nclient = yes\naccept = 127.0.0.1:{self.port}\n"
                       f"connect = 127.0.0.1:{self.to}\nCAfile = {self.ca}\nverifyChain = yes\ncheckIP = 127.0.0.1\n")
        return ["stunnel4", path]

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return True
        except OSError:
            return False
