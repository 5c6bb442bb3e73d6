# SPDX-License-Identifier: MIT
"""Fixtures for all pytest layers, and how ctest learns that a whole file was skipped."""

import contextlib
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
sys.dont_write_bytecode = True

import forebay  # noqa: E402

LOG_SHOWN = 4000  # characters
SKIPPED = 77  # SKIP_RETURN_CODE in tests/CMakeLists.txt


def pytest_configure(config):
    config.addinivalue_line("markers", "threads: one of the tests that TSan gets of a file (THREADS_ALONE in tests/CMakeLists.txt)")


@pytest.fixture
def serve(tmp_path):
    """serve(config=..., options=...) starts a server in the test's folder; all are stopped, and checked, afterwards."""
    def end(server):
        if server.running():
            server.stop()
        elif forebay.SANITIZER_REPORT.search(server.log()):
            raise forebay.ServerFailed(server.log()[-8000:])

    with contextlib.ExitStack() as servers:
        def start(config=None, options=(), folder=None, **more):
            server = forebay.Server(folder or tmp_path, config=config, options=options, **more)
            servers.callback(end, server)
            return server.start()

        yield start


@pytest.fixture
def redis(tmp_path):
    """A running Redis without persistence."""
    if forebay.Redis.missing():
        pytest.skip(forebay.Redis.missing())
    with forebay.Redis(tmp_path / "redis") as server:
        yield server
        if server.running():
            server.resume()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """What the servers of a test that failed said last."""
    report = (yield).get_result()
    if call.when == "call" and report.failed:
        report.sections += [(f"end of {one.log_path}", one.log()[-LOG_SHOWN:]) for one in forebay.Process.started]
    elif call.when == "teardown":
        forebay.Process.started[:] = [one for one in forebay.Process.started if one.running()]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    """A run in which every test was skipped is neither a success nor a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and exitstatus == 0 and "skipped" in reporter.stats and "passed" not in reporter.stats:
        session.exitstatus = SKIPPED
