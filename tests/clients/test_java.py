# SPDX-License-Identifier: MIT
"""spymemcached for Java in its text mode; its part is java/Client.java. (Ruby has no counterpart: the clients that Debian 12 packages
speak the binary protocol only.)"""

from conftest import java


def test_every_command_is_answered(server, prefix):
    java("commands", prefix, port=server.port)


def test_sessions_survive_a_restart(flow):
    flow(lambda port: java("write", "sess:", port=port), lambda port: java("read", "sess:", port=port),
         client_keeps_bytes=False)
