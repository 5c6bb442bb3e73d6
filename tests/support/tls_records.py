# SPDX-License-Identifier: MIT
"""A client that sends any records it likes, which no library does: over TLS 1.2 with a cipher that only signs.

    with Records(port, context, folder) as client:     # context: of certificates.Certificates; its keys go to the folder
        client.send(APPLICATION, b"version\\r\\n")
        client.received()

The server has to have tls_ciphers = SIGNS_ONLY.
"""

import hashlib
import hmac
import os
import socket
import ssl

from forebay import PATIENCE

SIGNS_ONLY = "ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0"
ALERT, HANDSHAKE, APPLICATION = 21, 22, 23
VERSION, HEADER, SIGNATURE = b"\x03\x03", 5, 20
NO_RENEGOTIATION = b"\x01\x64"

# (kind, data)
AGAIN = (HANDSHAKE, b"\x01\x00\x00\x00")  # a client's first message, of which the rest is not looked at
PIECES = (HANDSHAKE, b"\x01"), (HANDSHAKE, b"\x00\x00\x00")
WARNING = (ALERT, b"\x01\x5a")  # that its user has cancelled


def derive(secret, seed, size):
    """RFC 5246, 5."""
    out, a = b"", seed
    while len(out) < size:
        a = hmac.digest(secret, a, "sha256")
        out += hmac.digest(secret, a + seed, "sha256")
    return out[:size]


class Records:
    def __init__(self, port, context, folder):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(SIGNS_ONLY)
        context.keylog_filename = os.path.join(str(folder), "keys")
        self.sent = 1  # the handshake's last was the first under the keys
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.key = self.agree(context)

    def agree(self, context):
        """Returns what signs the client's records."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client, heard = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1"), b""
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.socket.sendall(outgoing.read())
                part = self.socket.recv(65536)
                assert part, "the server has closed"
                heard += part
                incoming.write(part)
        self.socket.sendall(outgoing.read())
        with open(context.keylog_filename, encoding="ascii") as keys:
            _, random, master = [line for line in keys if line.startswith("CLIENT_RANDOM")][-1].split()
        server_random = heard[HEADER + 6:HEADER + 38]  # behind the first message's type, length and version
        return derive(bytes.fromhex(master), b"key expansion" + server_random + bytes.fromhex(random), SIGNATURE)

    def record(self, kind, data):
        head = bytes([kind]) + VERSION
        signed = self.sent.to_bytes(8, "big") + head + len(data).to_bytes(2, "big") + data
        self.sent += 1
        return head + (len(data) + SIGNATURE).to_bytes(2, "big") + data + hmac.new(self.key, signed, hashlib.sha1).digest()

    def send(self, *records):
        """(kind, data) each, at once."""
        self.socket.sendall(b"".join(self.record(*record) for record in records))

    def received(self):
        """The kind and the bytes of a record; None at the end."""
        head = self.exactly(HEADER)
        body = head and self.exactly(int.from_bytes(head[3:], "big"))
        return (head[0], body[:-SIGNATURE]) if body else None

    def exactly(self, size):
        data = b""
        while len(data) < size:
            try:
                part = self.socket.recv(size - len(data))
            except ConnectionResetError:
                return None
            if not part:
                return None
            data += part
        return data

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.socket.close()
