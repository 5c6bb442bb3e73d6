# SPDX-License-Identifier: MIT
"""Cache::Memcached and Cache::Memcached::Fast; their part is perl/client.pl."""

import subprocess

import pytest
from conftest import need, run


@pytest.fixture(params=["Cache::Memcached", "Cache::Memcached::Fast"])
def module(request):
    need("perl")
    if subprocess.run(["perl", f"-M{request.param}", "-e", "1"], capture_output=True, check=False).returncode:
        pytest.skip(f"{request.param} is not installed")
    return request.param


def test_every_command_is_answered(shared, module, prefix):
    run("perl", "perl/client.pl", module, "commands", prefix, port=shared.port)


def test_sessions_survive_a_restart(flow, module):
    flow(lambda port: run("perl", "perl/client.pl", module, "write", "sess:", port=port),
         lambda port: run("perl", "perl/client.pl", module, "read", "sess:", port=port))
