# SPDX-License-Identifier: MIT
"""Starts without a configuration in which a call fails: an allocation, or what the event loop asks of the kernel. The server
serves, or ends by itself with a reason; it is never ended by a signal, and SIGTERM is heard.

Starts with one are among the lives of test_injected_faults.py and tools/fault-injection."""

import os
import subprocess

import pytest
from forebay import command_line, die_with_the_test, eventually, free_port, preloaded
from injected import FOREVER, Fault, Faults

ENDED_BY_LIBEV = -6  # its loops cannot report a failure: it says what and aborts


@pytest.fixture(scope="module")
def library():
    named = preloaded("INJECTED_FAULTS_LIBRARY")
    if not named:
        pytest.skip("INJECTED_FAULTS_LIBRARY does not name the library built from tests/faults/injected_faults.c")
    return named


def start_and_stop(folder, faults, fault=None):
    """The status of a server in whose start a call fails, and what it said; SIGTERM is sent once it serves."""
    said = folder / "said"
    faults.order(fault)
    with open(said, "wb") as out:
        process = subprocess.Popen(command_line("-l", "127.0.0.1", "-p", str(free_port()), "-t", "2"), stderr=out,
                                   env={**os.environ, **faults.environment()}, preexec_fn=die_with_the_test)
    try:
        eventually(lambda: process.poll() is not None or b" serves " in said.read_bytes())
        process.terminate()
        return process.wait(60), said.read_text(errors="replace")
    finally:
        process.kill()
        process.wait()


def places_of(folder, library):
    """Where allocations come from in a life in which none fails, in their order."""
    faults = Faults(library, folder, notes=True)
    try:
        assert start_and_stop(folder, faults)[0] == 0
        return sorted(place for place in faults.places() if place.kind == "allocation")
    finally:
        faults.close()


@pytest.fixture(name="faults")
def faults_of(tmp_path, library):
    faults = Faults(library, tmp_path)
    yield faults
    faults.close()


def test_an_allocation_that_fails_ends_no_start_by_a_signal(tmp_path, library, faults):
    places, refused = places_of(tmp_path, library), 0
    for number, place in enumerate(places):
        fault = Fault("allocation", "ENOMEM", times=1 if number % 2 else FOREVER, place=place.hash)
        status, said = start_and_stop(tmp_path, faults, fault)
        assert status >= 0 and (status == 0 or said.strip()), (fault, status, said, faults.where())
        refused += status != 0
    assert refused > len(places) / 3


def test_a_loop_that_the_kernel_does_not_watch_is_told(tmp_path, faults):
    """Of the first calls, those of libev and of the workers; whichever fails, the server does not stay deaf."""
    refused = 0
    for number in range(1, 12):
        status, said = start_and_stop(tmp_path, faults, Fault("watching", "ENOMEM", number))
        assert status >= 0 or (status == ENDED_BY_LIBEV and "libev" in said), (number, status, said)
        assert status != 0 or "cannot be watched" not in said, (number, said)  # a service manager starts it again
        refused += status != 0
    assert refused > 0
