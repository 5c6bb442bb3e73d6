# SPDX-License-Identifier: MIT
"""memtier_benchmark, from PATH or MEMTIER, in its binary mode and over TLS: every operation that it begins is answered."""

import json
import os
import shutil
import subprocess

import pytest
from certificates import Certificates, TlsServer
from conftest import SECONDS

MEMTIER = os.environ.get("MEMTIER") or shutil.which("memtier_benchmark")
pytestmark = pytest.mark.skipif(not MEMTIER, reason="memtier_benchmark is not installed")


def every_operation_is_answered(server, folder, *options):
    subprocess.run([MEMTIER, "-s", "127.0.0.1", "-p", str(server.port), "-t", "2", "-c", "5", "-n", "500", "--pipeline=8", "--ratio=1:1",
                    "--key-prefix=sess:", "--key-maximum=100", "--key-pattern=S:S", "--hide-histogram", "--json-out-file=out.json",
                    *options], cwd=folder, timeout=SECONDS, capture_output=True, check=True)
    with open(folder / "out.json", encoding="utf-8") as file:
        stats = json.load(file)["ALL STATS"]
    assert stats["Sets"]["Count"] == stats["Gets"]["Count"] == 2500
    with server.client() as client:
        counted = client.stats()
    assert int(counted["cmd_set"]) == 2500 and int(counted["cmd_get"]) == 2500
    assert int(counted["get_hits"]) > 0
    return counted


def test_every_operation_is_answered(server, tmp_path):
    every_operation_is_answered(server, tmp_path, "-P", "memcache_binary")


def test_every_operation_is_answered_over_tls(tmp_path):
    """It shows a certificate, which the server asks for, and looks at the server's."""
    certificates = Certificates(tmp_path)
    certificates.make("server")
    certificates.make("client")
    options = ("-Z", "-o", f"ssl_chain_cert={certificates.path('server.pem')},ssl_key={certificates.path('server.key')},ssl_verify_mode=2,"
               f"ssl_ca_cert={certificates.path('ca.pem')}")
    with TlsServer(tmp_path / "data", certificates, options, client="client") as server:
        counted = every_operation_is_answered(server, tmp_path, "-P", "memcache_text", "--tls", "--cert", certificates.path("client.pem"),
                                              "--key", certificates.path("client.key"), "--cacert", certificates.path("ca.pem"))
        assert int(counted["ssl_new_sessions"]) >= 10 and counted["ssl_handshake_errors"] == "0"
