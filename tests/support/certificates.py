# SPDX-License-Identifier: MIT
"""Certificates that openssl makes for a test, and clients that speak TLS with them.

    files = Certificates(folder)
    files.make("server")                           # folder/server.pem and server.key, by the CA of folder/ca.pem
    files.make("client", authority="stranger")     # by another CA
"""

import contextlib
import os
import ssl
import subprocess

from forebay import PATIENCE, Client, Server


def openssl(*arguments, folder, **more):
    done = subprocess.run(["openssl", *arguments], cwd=folder, check=False, timeout=PATIENCE, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **more)
    assert done.returncode == 0, f"openssl {' '.join(arguments)}:\n{done.stdout.decode(errors='replace')}"
    return done.stdout


def first_message(size):
    """So many bytes of a client's first message, which says that it is longer than that."""
    body = b"\x01\x01\xff\xff" + b"\x00" * (size - 4)
    return b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part
                    for part in (body[at:at + 16384] for at in range(0, size, 16384)))


def whole_first_message(context):
    """What such a client says first."""
    said = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), said, server_hostname="localhost").do_handshake()
    return said.read()


class Certificates:
    """A folder of them. A CA is made when it is first named."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.make_authority("ca")

    def path(self, name):
        return os.path.join(self.folder, name)

    def make_key(self, name):
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", name + ".key", folder=self.folder)
        os.chmod(self.path(name + ".key"), 0o600)

    def make_authority(self, name):
        self.make_key(name)
        openssl("req", "-x509", "-new", "-key", name + ".key", "-out", name + ".pem", "-days", "2", "-subj", "/CN=" + name,
                folder=self.folder)

    def make(self, name, authority="ca", days=1):
        """days: below 0 for one that is over."""
        if not os.path.exists(self.path(authority + ".pem")):
            self.make_authority(authority)
        self.make_key(name)
        openssl("req", "-new", "-key", name + ".key", "-out", name + ".csr", "-subj", "/CN=" + name, folder=self.folder)
        with open(self.path("names"), "w", encoding="ascii") as names:
            names.write("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        openssl("x509", "-req", "-in", name + ".csr", "-CA", authority + ".pem", "-CAkey", authority + ".key", "-CAcreateserial",
                "-out", name + ".pem", "-days", str(days), "-extfile", "names", folder=self.folder)

    def context(self, client=None, version=None, authority="ca"):
        """What a client of Python's takes: it knows the CA, and shows a certificate if one is named. An end that was not
        announced is an error, which it would not be for Python of its own accord."""
        context = ssl.create_default_context(cafile=self.path(authority + ".pem"))
        context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
        if client:
            context.load_cert_chain(self.path(client + ".pem"), self.path(client + ".key"))
        if version:
            context.minimum_version = context.maximum_version = version
        return context


def encrypted(connection, context, session=None):
    """A connection on which nothing was said goes on over TLS; or is closed, where the handshake fails."""
    connection.file.close()
    try:
        connection.socket = context.wrap_socket(connection.socket, server_hostname="127.0.0.1", session=session,
                                                suppress_ragged_eofs=False)
    except BaseException:
        connection.socket.close()
        raise
    connection.file = connection.socket.makefile("rb")
    return connection


class TlsClient(Client):
    """forebay.Client over TLS."""

    def __init__(self, port, context, timeout=PATIENCE, session=None):
        super().__init__(port, timeout)
        encrypted(self, context, session)


class TlsServer(Server):
    """A server that speaks TLS alone, at its port: as options say. client: the certificate that its clients show."""

    def __init__(self, folder, certificates, options=(), client=None, **more):
        super().__init__(folder, options=options, **more)
        self.certificates, self.shown = certificates, client

    def answers(self):
        try:
            with self.client(5) as client:
                return client.command("version") != b""
        except OSError:
            return False

    def client(self, timeout=PATIENCE):
        return TlsClient(self.port, self.certificates.context(self.shown), timeout)

    def binary_client(self, timeout=PATIENCE):
        return encrypted(super().binary_client(timeout), self.certificates.context(self.shown))
