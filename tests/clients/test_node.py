# SPDX-License-Identifier: MIT
"""npm's memcached, memcache-client and memjs (binary), and an Express application with connect-memcached; their part is in
node/."""

import contextlib
import http.cookiejar
import json
import os
import subprocess
import urllib.request

import pytest
from conftest import HERE, need_node_packages, run, shell

PROGRAMS = {"memcached": "node/memcached.js", "memcache-client": "node/memcache_client.js", "memjs": "node/memjs.js"}


@pytest.fixture(autouse=True)
def packages_are_there():
    need_node_packages()


@pytest.fixture(params=PROGRAMS)
def program(request):
    return PROGRAMS[request.param]


def test_every_command_is_answered(shared, program, prefix):
    run("node", program, "commands", prefix, port=shared.port)


def test_sessions_survive_a_restart(flow, program):
    flow(lambda port: run("node", program, "write", "sess:", port=port),
         lambda port: run("node", program, "read", "sess:", port=port),
         client_escapes=program == PROGRAMS["memcached"])  # it writes line ends and the like as backslash sequences


@contextlib.contextmanager
def application(port, cookies):
    """The Express application; yields a function that fetches a path as a browser with these cookies would."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))
    with subprocess.Popen(["node", "node/express_session.js", "sess:"], cwd=HERE, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, env=dict(os.environ, PORT=str(port))) as process:
        try:
            base = f"http://127.0.0.1:{int(process.stdout.readline())}"
            yield lambda path: json.load(browser.open(base + path, timeout=60))
        finally:
            process.stdin.close()


def test_express_sessions_survive_restarts(restart):
    """One browser, an application that is started anew each time (its client would not notice at once that its connection
    is gone), and a server that is restarted under it."""
    cookies = http.cookiejar.CookieJar()
    for expected in (2, 4, 6):
        with application(restart.port, cookies) as fetch:
            assert fetch("/visit")["visits"] == expected - 1
            visit = fetch("/visit")
            assert visit["visits"] == expected
        restart.again()
    restart.client().sync("sessions")  # a start serves before what it has recovered is written
    [[value]] = shell(restart, f"select cast(value as text) from sessions where key = cast('sess:{visit['id']}' as blob)")
    assert json.loads(value)["visits"] == 6
    with application(restart.port, cookies) as fetch:
        fetch("/logout")
        restart.client().sync("sessions")
        assert shell(restart, "select 1 from sessions") == []
        assert fetch("/visit")["visits"] == 1
