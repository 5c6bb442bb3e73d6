# SPDX-License-Identifier: MIT
"""Starts in which a call fails: an allocation, or what the event loop asks of the kernel. The server serves, or ends by itself
with a reason; it is never ended by a signal, and SIGTERM is heard.

Without a configuration: libconfuse, which reads it, does not survive an allocation that fails."""

import os
import subprocess

import pytest
from forebay import binary, die_with_the_test, eventually, free_port

ENDED_BY_LIBEV = -6  # its loops cannot report a failure: it says what and aborts


@pytest.fixture(scope="module")
def library():
    if not os.environ.get("FAILING_CALLS"):
        pytest.skip("FAILING_CALLS does not name the library built from tests/faults/failing_calls.c")
    return os.environ["FAILING_CALLS"]


def start_and_stop(folder, library, **failing):
    """The status of a server in whose start a call fails, and what it said; SIGTERM is sent once it serves."""
    said = folder / "said"
    with open(said, "wb") as out:
        process = subprocess.Popen([binary(), "-l", "127.0.0.1", "-p", str(free_port()), "-t", "2"], stderr=out,
                                   env={**os.environ, **failing, "LD_PRELOAD": library}, preexec_fn=die_with_the_test)
    try:
        eventually(lambda: process.poll() is not None or b" serves " in said.read_bytes())
        process.terminate()
        return process.wait(60), said.read_text(errors="replace")
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("goes_on", ["0", "1"])
def test_an_allocation_that_fails_ends_no_start_by_a_signal(tmp_path, library, goes_on):
    for number in range(1 + int(goes_on), 130, 2):
        status, said = start_and_stop(tmp_path, library, FAIL_ALLOCATION=str(number), FAIL_ON=goes_on)
        assert status >= 0 or (status == ENDED_BY_LIBEV and "libev" in said), (number, status, said)


def test_a_loop_that_the_kernel_does_not_watch_is_told(tmp_path, library):
    """Of the first calls, those of libev and of the workers; whichever fails, the server does not stay deaf."""
    refused = 0
    for number in range(1, 12):
        status, said = start_and_stop(tmp_path, library, FAIL_EPOLL=str(number))
        assert status >= 0 or (status == ENDED_BY_LIBEV and "libev" in said), (number, status, said)
        assert status != 0 or "cannot be watched" not in said, (number, said)  # a service manager starts it again
        refused += status != 0
    assert refused > 0
