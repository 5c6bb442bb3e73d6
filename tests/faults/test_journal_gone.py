# SPDX-License-Identifier: MIT
"""A file of the journal is removed while the server is down: the next start says so as it says that one is damaged, and goes on
where it is told to. Nothing is missed that the server has given up itself."""

import os
import re
import shutil
import struct

from checking import accepted
from forebay import Config, eventually, namespace

SKIP = "--recover=skip-damaged"


def spaces(**options):
    return Config(namespace("sessions", "sess:", "write-behind", **{"flush_delay": "1h", **options}), threads=2,
                  journal_file_size="1mb")


def files(server):
    return sorted(name for name in os.listdir(server.folder) if name.startswith("journal-") and name.endswith(".fj"))


def with_records(server):
    """The names of files that have any."""
    found, name = [], None
    for line in server.journal_dump().stdout.splitlines():
        name = line.split()[0] if line.startswith("journal-") else name
        if " put version " in line and name not in found:
            found.append(name)
    return found


def is_noted(server, name):
    """As docs/journal.md has it: low-water says that the file is in use."""
    series, sequence = re.fullmatch(r"journal-(\d+)-(\d+)\.fj", name).groups()
    with open(os.path.join(server.folder, "low-water"), "rb") as file:
        return struct.pack("<IQ", int(series), int(sequence)) in file.read()


def killed(serve):
    server = serve(spaces())
    with server.client() as client:
        for number in range(30):
            assert client.set(f"sess:{number}", b"x" * 100000) == b"STORED"
    assert len(with_records(server)) >= 3
    eventually(lambda: all(is_noted(server, name) for name in with_records(server)))
    server.kill()
    return server


def said_of(server, name):
    return (f"journal: {server.folder}/{name} is missing: it was in use when the server ended. Put it back; what it held is lost "
            f"otherwise. To start without it, use {SKIP}\n")


def test_a_file_that_is_gone_refuses_the_start(serve):
    server = killed(serve)
    name = with_records(server)[1]
    path, aside = os.path.join(server.folder, name), os.path.join(server.folder, "elsewhere")
    os.rename(path, aside)
    for _ in range(2):
        assert f"error: cannot start: The journal in {server.folder}: {said_of(server, name)}" in server.refuses()
        assert f"forebay: {said_of(server, name)}" in server.refuses("--check")
    shown = server.journal_dump()
    assert f"{name} missing: it was in use\n" in shown.stdout and shown.returncode == 1
    shutil.move(aside, path)
    accepted(server)
    server.start()
    client = server.client()
    assert all(client.ask(f"sess:{number}")[0] == "hit" for number in range(30))


def test_a_start_that_is_told_to_goes_on_without_it(serve):
    server = killed(serve)
    name = with_records(server)[1]
    os.remove(os.path.join(server.folder, name))
    accepted(server, SKIP)
    server.options = [*server.options, SKIP]
    server.start()
    assert f"warning: journal: {server.folder}/{name} is missing: what it held is lost" in server.log()
    client = server.client()
    there = [client.ask(f"sess:{number}")[0] for number in range(30)]
    assert 0 < there.count("hit") < 30
    server.kill()
    server.options = server.options[:-1]
    server.start()
    assert [server.client().ask(f"sess:{number}")[0] for number in range(30)] == there


def test_all_files_gone_are_missed_even_where_nothing_keeps_a_journal(serve):
    server = killed(serve)
    for name in files(server):
        os.remove(os.path.join(server.folder, name))
    server.config = Config(namespace("sessions", "sess:", "write-through"))
    assert "is missing: it was in use when the server ended" in server.refuses()
    assert "is missing: it was in use when the server ended" in server.refuses("--check")


def test_after_a_clean_stop_nothing_is_missed(serve):
    server = serve(spaces(flush_delay="20ms"))
    for _ in range(2):
        with server.client() as client:
            for number in range(30):
                assert client.set(f"sess:{number}", b"x" * 100000) == b"STORED"
        accepted(server)  # beside the server that runs
        server.stop()
        for name in files(server):
            os.remove(os.path.join(server.folder, name))
        accepted(server)
        server.start()
    assert len(server.rows()) == 30
