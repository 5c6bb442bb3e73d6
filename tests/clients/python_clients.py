# SPDX-License-Identifier: MIT
"""The session flow for Python clients: they differ in names only."""

from conftest import BIG, BINARY


def write(client, prefix="sess:", touch=None):
    """client: set(key, value, seconds), delete, incr, and touch (if the client's own has another name, give it)."""
    client.set(prefix + "plain", b"value", 600)
    client.set(prefix + "binary", BINARY, 600)
    client.set(prefix + "big", BIG, 600)
    client.set(prefix + "overwritten", b"first", 600)
    client.set(prefix + "overwritten", b"second", 600)
    client.set(prefix + "deleted", b"gone", 600)
    assert client.delete(prefix + "deleted")
    client.set(prefix + "counter", b"10", 600)
    assert client.incr(prefix + "counter", 2) == 12
    client.set(prefix + "touched", b"longer", 600)
    assert (touch or client.touch)(prefix + "touched", 3600)


def read(get, prefix="sess:"):
    """get: the value as bytes, or None."""
    assert get(prefix + "plain") == b"value"
    assert get(prefix + "binary") == BINARY
    assert get(prefix + "big") == BIG
    assert get(prefix + "overwritten") == b"second"
    assert get(prefix + "deleted") is None
    assert get(prefix + "counter").strip() == b"12"
    assert get(prefix + "touched") == b"longer"
