# SPDX-License-Identifier: MIT
"""spymemcached for Java, in its text mode and with its BinaryConnectionFactory; its part is java/Client.java."""

from conftest import java


def test_every_command_is_answered(shared, protocol, prefix):
    java("commands", prefix, port=shared.port, PROTOCOL=protocol)


def test_sessions_survive_a_restart(flow, protocol):
    flow(lambda port: java("write", "sess:", port=port, PROTOCOL=protocol),
         lambda port: java("read", "sess:", port=port, PROTOCOL=protocol), client_keeps_bytes=False)
