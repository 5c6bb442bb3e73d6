# SPDX-License-Identifier: MIT
"""Servers that are started as nobody means to: without standard files, with signals blocked or ignored, with little of what the
system gives to a process, where there is nothing. Each serves and loses nothing, or says what is wrong."""

import os
import signal

import pytest
from forebay import Config, Server, ServerFailed, eventually, namespace
from odd import CONFIG, PLAIN, Odd


def use(server, keys=100):
    """Stores, stops, and finds all of it in the database."""
    client = server.client()
    for i in range(keys):
        assert client.set(f"sess:{i}", b"value") == b"STORED"
    server.stop()
    assert len(server.rows()) == keys


def refused(server):
    """What a start that fails says."""
    with pytest.raises(ServerFailed, match="ended with 1"):
        server.start()
    return server.log()


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_no_socket_and_no_file_of_data_becomes_a_standard_file(tmp_path, closed):
    server = Odd(tmp_path, f"exec {closed}").start()
    for number in range(3):
        leads_to = os.readlink(f"/proc/{server.pid}/fd/{number}")
        assert leads_to in ("/", "/dev/null", server.log_path), (number, leads_to)
    use(server)
    with open(tmp_path / "store.db", "rb") as database:
        assert database.read(16) == b"SQLite format 3\0"


@pytest.mark.parametrize("block", [True, False])
def test_it_hears_signals_that_were_blocked_or_ignored(tmp_path, block):
    numbers = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE}
    if block:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    else:
        before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    server = Server(tmp_path, config=CONFIG)
    try:
        server.spawn()
    finally:
        if block:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        else:
            for number, handler in before.items():
                signal.signal(number, handler)
    server.await_answer()
    server.signal(signal.SIGHUP)
    eventually(lambda: "reload" in server.log())
    use(server)


def test_in_a_folder_that_is_gone(tmp_path):
    (tmp_path / "gone").mkdir()
    use(Odd(tmp_path, "cd gone && rmdir ../gone", env={"HOME": "", "TMPDIR": "/nonexistent", "LC_ALL": "tr_TR.nonsense"}).start())


@PLAIN
def test_with_few_addresses_all_shards_have_as_many(tmp_path):
    """The last ones got what the first had left, or the start failed."""
    server = Odd(tmp_path, "ulimit -v 1500000").start()
    use(server)


@PLAIN
@pytest.mark.parametrize("kilobytes", [1050000, 1200000, 1250000])
def test_where_fewer_are_enough_more_are(tmp_path, kilobytes):
    """As 1,000,000 are: arenas of the C library took them from the threads."""
    use(Odd(tmp_path, f"ulimit -v {kilobytes}", options=["-m", "256"]).start())


@PLAIN
def test_with_too_few_it_says_what_to_do(tmp_path):
    assert "raise ulimit -v" in refused(Odd(tmp_path, "ulimit -v 200000"))


@PLAIN
def test_with_small_stacks(tmp_path):
    use(Odd(tmp_path, "ulimit -s 128").start())


def test_a_limit_of_files_is_named_with_its_remedy(tmp_path):
    """A shell counts it in blocks of 512 bytes. The database fits, a file of the journal does not."""
    server = Odd(tmp_path, "ulimit -f 512").start()
    assert "File too large (this process may write no file of more than 256kb: raise ulimit -f, LimitFSIZE= in systemd)" in server.log()
    assert server.client().command(b"set sess:1 0 0 1\r\nv").startswith(b"SERVER_ERROR")
    server.stop()


@pytest.mark.parametrize("options", [["-s", "/tmp/" + "n" * 200], ["-P", "/tmp/" + "n" * 300], ["-Y", "/tmp/" + "n" * 300]])
def test_a_name_that_is_too_long_is_told_with_what_may_be(tmp_path, options):
    said = Server(tmp_path, options=options).refuses()
    assert "File name too long" in said and ("107 bytes" if options[0] == "-s" else "a name may have 255 bytes, and a path 4095") in said, said


def test_more_memory_than_the_machine_has_is_told(tmp_path):
    """And taken, as nobody knows what is in the entries."""
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    server = Server(tmp_path, options=["-m", str(there + 1024)]).start()
    assert f"the memory for entries is {there + 1024} MB" in server.log()
    server.stop()
    before = len(server.log())
    server.options = ["-m", "64"]
    server.start()
    assert "the memory for entries" not in server.log()[before:]
    server.stop()


def test_so_it_is_of_other_memory_and_by_a_reload(tmp_path):
    more = (os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20) + 1024
    limits = {"unfinished requests": "request_memory", "what is in quarantine of namespace sessions": "quarantine_limit"}

    def told(what, setting):
        return f"the memory for {what} is {more} MB, " in server.log() and f"Lower {setting}" in server.log()

    def with_limits(**top):
        return Config(namespace("sessions", "sess:", "write-behind", quarantine_limit=f"{more}mb"), request_memory=f"{more}mb", **top)

    server = Server(tmp_path, config=with_limits(memory=f"{more // 2}mb")).start()
    assert all(told(what, setting) for what, setting in limits.items())
    assert "the memory for entries" not in server.log()
    server.config = with_limits(memory=f"{more}mb")
    server.write_config()
    server.signal(signal.SIGHUP)
    eventually(lambda: told("entries", "-m (memory)"))
    client = server.client()
    assert client.command("cache_memlimit 64") == client.command(f"cache_memlimit {more}") == b"OK"
    assert server.log().count(f"the memory for entries is {more} MB, ") == 2 and told("entries", "it by cache_memlimit")
    server.stop()
