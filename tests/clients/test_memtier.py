# SPDX-License-Identifier: MIT
"""memtier_benchmark in its binary mode, from PATH or MEMTIER: every operation that it begins is answered."""

import json
import os
import shutil
import subprocess

import pytest
from conftest import SECONDS

MEMTIER = os.environ.get("MEMTIER") or shutil.which("memtier_benchmark")


@pytest.mark.skipif(not MEMTIER, reason="memtier_benchmark is not installed")
def test_every_operation_is_answered(server, tmp_path):
    subprocess.run([MEMTIER, "-s", "127.0.0.1", "-p", str(server.port), "-P", "memcache_binary", "-t", "2", "-c", "5", "-n", "500",
                    "--pipeline=8", "--ratio=1:1", "--key-prefix=sess:", "--key-maximum=100", "--key-pattern=S:S",
                    "--hide-histogram", "--json-out-file=out.json"], cwd=tmp_path, timeout=SECONDS, capture_output=True, check=True)
    with open(tmp_path / "out.json", encoding="utf-8") as file:
        stats = json.load(file)["ALL STATS"]
    assert stats["Sets"]["Count"] == stats["Gets"]["Count"] == 2500
    counted = server.client().stats()
    assert int(counted["cmd_set"]) == 2500 and int(counted["cmd_get"]) == 2500
    assert int(counted["get_hits"]) > 0
