# SPDX-License-Identifier: MIT
"""The ways in which a server lives while calls fail (injected_trial.py): what it is made for, and what befalls it.

    epoll, auto            at plain addresses; the latter is io_uring, where the kernel has it and gives memory for it
    epoll-tls, auto-tls    clients speak TLS and show certificates, sessions are resumed, handshakes fail, and the server's
                           certificate is another with each reload
    power                  the power is lost with each kill, after refused starts and after the end as well: only what was
                           synced is there afterwards (tests/faults/power_loss.c), and of a sync that failed nothing
"""

import contextlib
import os
import shutil
import signal
import socket
import ssl
import tempfile

from certificates import Certificates, TlsClient, TlsServer
from crash import Power
from forebay import Config
from injected_trial import Trial

RESUMED = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


class OverRing(Trial):
    io = "auto"


# ---- Encrypted connections ----


class EncryptedConfig(Config):
    def text(self, port, folder):
        address = f'"127.0.0.1:{port}"'
        return super().text(port, folder).replace(address, address.replace('"', '"tls:', 1), 1)


class CertificatesOfAll:
    """Made once for a process, and taken away when it ends."""

    made = None
    NAMES = ("server", "renewed", "client")

    @classmethod
    def get(cls):
        if not cls.made:
            cls.folder = tempfile.TemporaryDirectory(prefix="certificates-")
            cls.made = Certificates(cls.folder.name)
            for name in cls.NAMES:
                cls.made.make(name)
        return cls.made


class OverTls(Trial):
    kinds = ("allocation", "opening", "reading", "watching", "stream reading", "tls memory", "tls receiving", "tls sending")

    def __init__(self, folder, library, seed, redis=None, notes=False):
        self.certificates = CertificatesOfAll.get()
        self.shown_folder = os.path.join(folder, "certificates")
        self.reloads = 0
        super().__init__(folder, library, seed, redis, notes)
        os.makedirs(self.shown_folder)
        self.show_next()
        self.contexts = [self.certificates.context("client", version) for version in RESUMED]

    def new_server(self, config, environment):
        return TlsServer(self.folder, self.certificates, client="client", config=config, admin=True, env=environment)

    def config(self, used):
        plain = super().config(used)
        # At level debug, the log says why a connection has ended.
        files = {"verbosity": 1, "tls_certificate": os.path.join(self.shown_folder, "server.pem"), "tls_key": os.path.join(self.shown_folder, "server.key"),
                 "tls_ca": self.certificates.path("ca.pem"), "tls_client_certificates": "optional"}
        return EncryptedConfig(*plain.sections, backends=plain.backends, **plain.top, **files)

    def show_next(self):
        """Another certificate where the server reads its own."""
        name = ("server", "renewed")[self.reloads % 2]
        self.reloads += 1
        for ending in (".pem", ".key"):
            shutil.copy(self.certificates.path(name + ending), os.path.join(self.shown_folder, "server" + ending))

    def ask(self, patience):
        super().ask(patience)
        for context in self.contexts:
            self.resume(context, patience)
        self.stumble(patience)

    def resume(self, context, patience):
        """A session goes on on another connection; where it does not, it begins anew."""
        session = None
        for _ in range(2):
            with TlsClient(self.server.port, context, patience, session) as client:
                client.command("version")
                session = client.socket.session

    def stumble(self, patience):
        """Who does not speak TLS, or leaves in the middle of it."""
        for said in (b"version\r\n", b"\x16\x03\x01\x02\x00\x01"):
            with socket.create_connection(("127.0.0.1", self.server.port), patience) as client:
                client.sendall(said)
                with contextlib.suppress(ConnectionError):
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(4096):
                        pass

    def reload(self, patience):
        """Until clients see it: or until one without a fault would, with whatever the server then shows."""
        self.show_next()
        self.server.signal(signal.SIGHUP)
        with self.server.client(patience) as client:
            client.command("version")


class OverTlsAndRing(OverTls):
    """What OpenSSL allocates does not go by who waits for its sockets."""

    io = "auto"
    kinds = tuple(kind for kind in OverTls.kinds if kind != "tls memory")


# ---- The power is lost ----


def power_library(library):
    """Beside the one that lets calls fail. Builds with a sanitizer have none."""
    return os.path.join(os.path.dirname(library), "libpower_loss.so")


class PowerLost(Trial):
    kinds = ("writing", "syncing", "space", "naming")
    killed = (*Trial.killed, "recovery")
    spaces = {"behind": "local", "through": "local"}
    journals = {"behind": "always"}  # the other modes promise less

    def new_server(self, config, environment):
        """Calls fail before they come to the disk that loses."""
        self.power = Power(power_library(self.faults.library), self.folder)
        both = f"{environment['LD_PRELOAD']}:{self.power.library}"
        return super().new_server(config, {**environment, **self.power.environment(), "LD_PRELOAD": both})

    def kill(self):
        super().kill()
        self.power.cut()

    def stop(self):
        super().stop()
        self.power.cut()


# Ways whose places are those of another, but for some: what these have in common is not tried again.
BESIDE = {"epoll-tls": "epoll", "auto-tls": "auto"}
WAYS = {"epoll": Trial, "auto": OverRing, "epoll-tls": OverTls, "auto-tls": OverTlsAndRing, "power": PowerLost}
