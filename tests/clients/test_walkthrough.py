# SPDX-License-Identifier: MIT
"""docs/session-store.md does what it says: its configuration and its Python blocks are run as they stand there (with a port of
our own), on SQLite and, after the change of the one line, on Redis, on Redis with Sentinel and on a Redis Cluster."""

import os
import re
import subprocess
import time

import pytest
from cluster import Cluster
from conftest import HERE, SECONDS, write_behind
from forebay import ROOT, Server, binary
from sentinel import Sentinels

pytest.importorskip("pymemcache")


def blocks(language):
    with open(os.path.join(ROOT, "docs", "session-store.md"), encoding="utf-8") as page:
        return re.findall(rf"^```{language}\n(.*?)^```", page.read(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def sentinels(tmp_path):
    with Sentinels(tmp_path / "watched") as started:
        yield started


@pytest.fixture
def cluster(tmp_path):
    with Cluster(tmp_path / "wide") as started:
        yield started


def stored_in(store, request):
    """The line of the page for this kind of store, with the address of ours, and rows(prefix) of it."""
    lines = dict(zip(("redis", "sentinels", "cluster"), blocks("conf")[3:]))
    there = request.getfixturevalue(store)
    redis = there.master() if store == "sentinels" else there
    return re.sub(r'"redis[^"]*"', f'"{there.uri}"', lines[store]), redis.rows


@pytest.mark.parametrize("store", ["sqlite", "redis", "sentinels", "cluster"])
def test_the_walkthrough_works_as_written(tmp_path, store, request):
    text, locks, pools = blocks("conf")[:3]
    if store != "sqlite":
        line, rows = stored_in(store, request)
        text = re.sub(r"^backend .*\n", line, text, flags=re.MULTILINE)
    server = Server(tmp_path)
    server.config = (text + locks + pools).replace("11211", str(server.port))
    check = subprocess.run([binary(), "--config", server.write_config(), "--check"], cwd=tmp_path, timeout=60, check=False)
    assert check.returncode == 0
    before, after = blocks("python")
    with server:
        seen = {}
        exec(before.replace("11211", str(server.port)), seen)  # pylint: disable=exec-used
        server.client().sync("sessions")
        if store == "sqlite":
            query = re.search(r'^sqlite3 sessions.db "(.*)"$', blocks("sh")[1], re.MULTILINE).group(1)
            done = subprocess.run(["sqlite3", "sessions.db", query], cwd=tmp_path, capture_output=True, text=True, check=True)
            assert done.stdout.startswith('sess:alice|{"cart": [17, 4]}|20')
        else:
            alice = rows("sess:")[b"sess:alice"]
            assert alice.value == b'{"cart": [17, 4]}' and time.time() < alice.expires_at <= time.time() + 1800
        seen["store"].set("sess:alice", b"not yet flushed", noreply=False)
        seen["store"].set("sess:alice", b'{"cart": [17, 4]}', noreply=False)
        server.kill()
        server.start()
        exec(after.replace("11211", str(server.port)), seen)  # pylint: disable=exec-used


def test_djangos_sessions_are_kept_and_its_cache_is_a_cache(tmp_path, serve):
    pytest.importorskip("django")
    server = serve(write_behind())
    [text] = [block for block in blocks("py") if "SESSION_CACHE_ALIAS" in block]
    (tmp_path / "snippet").write_text(text.replace("11211", str(server.port)))
    done = subprocess.run(["/usr/bin/python3", os.path.join(HERE, "django_caches.py"), str(tmp_path / "snippet")],
                          capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    server.client().sync("sessions")
    [key] = server.rows()
    assert key.startswith(b"sess:") and key.endswith(done.stdout.strip().encode())
