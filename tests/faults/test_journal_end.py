# SPDX-License-Identifier: MIT
"""The end of a journal is gone that had been on disk: cut off, or zeros in its place. What was acknowledged there is lost, and no
start may pass over that."""

import os
import re

import pytest
from forebay import Config, eventually, namespace

SKIP = "--recover=skip-damaged"
KEYS = [f"sess:{number}" for number in range(3)]


def written_and_noted(serve, mode):
    """A server with three changes in its journal, of which its file notes that they are synced. Also: the path of the file,
    where the third begins, and where it ends."""
    server = serve(Config(namespace("sessions", "sess:", "write-behind", journal=mode, flush_delay="1h"), threads=1))
    client = server.client()
    for key in KEYS:
        assert client.set(key, b"acknowledged") == b"STORED"
    end = int(re.search(r"^  (\d+) end, 3 records", server.journal_dump().stdout, re.MULTILINE).group(1))
    eventually(lambda: f" synced-to {end} " in server.journal_dump().stdout)
    begin = int(re.search(r'^  (\d+) put .* key "sess:2" ', server.journal_dump().stdout, re.MULTILINE).group(1))
    server.kill()
    name = min(name for name in os.listdir(server.folder) if name.startswith("journal-0-"))  # the next one is there, too
    return server, os.path.join(server.folder, name), begin, end


def cut(path, at):
    os.truncate(path, at)


def fill_with_zeros(path, at):
    size = os.path.getsize(path)
    os.truncate(path, at)
    os.truncate(path, size)


def bytes_of(path):
    with open(path, "rb") as file:
        return file.read()


def assert_refused(server, path, why):
    """By a start and a check, in the same words, and nothing is changed."""
    before = bytes_of(path)
    said = f"journal: {path} is damaged: {why}. What it held is lost; to start without it, use {SKIP}\n"
    assert f"error: cannot start: The journal in {server.folder}: {said}" in server.refuses()
    assert f"forebay: {said}" in server.refuses("--check")
    assert bytes_of(path) == before


def assert_skipped(server, path, why, left):
    """Then it starts without the option, with the same."""
    before = bytes_of(path)
    server.options = [SKIP]
    server.start()
    assert f"journal: {path} is damaged: {why} skipped\n" in server.log()
    kept = os.path.join(server.folder, "damaged-" + os.path.basename(path))
    assert f"journal: the damaged file is kept as {kept}\n" in server.log() and bytes_of(kept) == before
    for options in [], []:
        assert [server.client().get(key) for key in KEYS] == [b"acknowledged"] * left + [None] * (len(KEYS) - left)
        server.kill()
        server.options = options
        server.start()


@pytest.mark.parametrize("mode, lose", [("always", cut), ("interval", fill_with_zeros)])
def test_what_was_acknowledged_is_not_passed_over(serve, mode, lose):
    server, path, begin, end = written_and_noted(serve, mode)
    lose(path, begin)
    what = f"records that were synced are missing at offset {begin}"
    assert f"  {begin} missing: {end - begin} bytes of records that were synced\n" in server.journal_dump().stdout
    assert_refused(server, path, f"{what} ({end - begin} bytes)")
    assert_skipped(server, path, f"{what}, {end - begin} bytes", left=2)


def test_nor_is_a_file_without_its_header(serve):
    server, path, _, _ = written_and_noted(serve, "interval")
    cut(path, 100)
    what = "it is shorter than its header at offset 0"
    assert_refused(server, path, f"{what} (100 bytes)")
    assert_skipped(server, path, f"{what}, 100 bytes", left=0)


@pytest.mark.parametrize("put, why", [
    (lambda path: os.symlink(f"{path}.elsewhere", path),
     "it is a symbolic link, which is not followed here; put what it leads to in its place, or remove it if that is not the server's"),
    (os.mkdir, "it is no plain file; remove it"),
], ids=["link", "folder"])
def test_a_check_refuses_what_no_option_helps_with(serve, put, why):
    """In the words of the start. Who does what they say has everything back."""
    server, path, _, _ = written_and_noted(serve, "always")
    os.rename(path, f"{path}.elsewhere")
    put(path)
    said = f"journal: cannot open {path}: {why}\n"
    for options in [], [SKIP]:
        assert f"forebay: {said}" in server.refuses("--check", *options)
        assert f"error: cannot start: The journal in {server.folder}: {said}" in server.refuses(*options)
    os.rmdir(path) if put is os.mkdir else os.unlink(path)
    os.rename(f"{path}.elsewhere", path)
    server.start()
    assert [server.client().get(key) for key in KEYS] == [b"acknowledged"] * len(KEYS)
