# SPDX-License-Identifier: MIT
"""Dalli for Ruby, which speaks the meta commands; its part is ruby/client.rb."""

import subprocess

import pytest
from conftest import need, run


@pytest.fixture(autouse=True)
def dalli_is_there():
    need("ruby")
    if subprocess.run(["ruby", "-e", "require 'dalli'"], capture_output=True, check=False).returncode:
        pytest.skip("ruby-dalli is not installed")


def test_commands(server, prefix):
    run("ruby", "ruby/client.rb", "commands", prefix, port=server.port)


def test_sessions_survive_a_restart(flow):
    flow(lambda port: run("ruby", "ruby/client.rb", "write", "sess:", port=port),
         lambda port: run("ruby", "ruby/client.rb", "read", "sess:", port=port))
