# SPDX-License-Identifier: MIT
"""spymemcached for Java in its text mode; its part is java/Client.java. (Ruby has no counterpart: the clients that Debian 12 packages
speak the binary protocol only.)"""

import os

import pytest
from conftest import need, run

JAR = "/usr/share/java/spymemcached.jar"


@pytest.fixture(autouse=True)
def java_is_there():
    need("javac")
    if not os.path.exists(JAR):
        pytest.skip("libspymemcached-java is not installed")


def java(*arguments, port):
    return run("java", "-cp", JAR, "java/Client.java", *arguments, port=port)


def test_every_command_is_answered(server, prefix):
    java("commands", prefix, port=server.port)


def test_sessions_survive_a_restart(flow):
    flow(lambda port: java("write", "sess:", port=port), lambda port: java("read", "sess:", port=port),
         client_keeps_bytes=False)
