# SPDX-License-Identifier: MIT
"""ruby-dalli, by itself and as Rails' mem_cache_store; its part is ruby/client.rb."""

import pytest
from conftest import need_ruby, run


def ruby(kind, *arguments, port):
    need_ruby({"dalli": "dalli", "rails": "active_support"}[kind])
    return run("ruby", "ruby/client.rb", kind, *arguments, port=port)


@pytest.mark.parametrize("kind", ["dalli", "rails"])
def test_every_command_is_answered(shared, kind, prefix):
    ruby(kind, "commands", prefix, port=shared.port)


def test_sessions_survive_a_restart(flow):
    flow(lambda port: ruby("dalli", "write", "sess:", port=port), lambda port: ruby("dalli", "read", "sess:", port=port))
