# SPDX-License-Identifier: MIT
"""gomemcache for Go; its part is go/client.go."""

from conftest import go


def test_every_command_is_answered(server, prefix):
    go("commands", prefix, port=server.port)


def test_sessions_survive_a_restart(flow):
    flow(lambda port: go("write", "sess:", port=port), lambda port: go("read", "sess:", port=port))
