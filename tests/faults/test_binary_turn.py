# SPDX-License-Identifier: MIT
"""The binary protocol where a turn is more than a question and its answer: pipelines that wait for a store in their middle, held
replies, limits, outages, clients that are slow or vanish. What holds for text has to hold here."""

import contextlib
import select

import pytest
from forebay import (AWAY, THERE, Background, Config, Redis, eventually, journal_failures, locked, namespace, no_file_can_be_written,
                     section, sqlite_backend)
from packets import packet
from test_access import refuse_row


def ask_all(client, packets):
    """What these (name, key, value) are answered, without the noop that ends them."""
    *answers, end = client.ask_all(*packets, ("noop",))
    assert end.status == "SUCCESS"
    return answers


def forget_all(server):
    """Throws out of memory what the store can give back."""
    with server.client() as client:
        client.sync()
        assert client.command("flush_all") == b"OK"


# ---- Parking ----


@pytest.mark.parametrize("policy", ["read-through", "write-through", "write-behind"])
def test_a_quiet_pipeline_waits_for_the_store_in_its_middle(serve, policy):
    """Some keys are in memory, some in the store alone, some nowhere; values lie in a packet, or are sent by reference."""
    server = serve(Config(namespace("space", "s:", policy)))
    client = server.binary_client()
    sizes = [0, 10, 5000, 32767, 32768, 33000, 300000]
    values = {f"s:{i}": b"%d" % (i % 10) * sizes[i % len(sizes)] for i in range(42)}
    assert ask_all(client, [("setq", key, value) for key, value in values.items()]) == []
    for _ in range(2):
        forget_all(server)
        for key in list(values)[::3]:
            assert client.ask("get", key).value == (values[key] if policy != "read-through" else b"Not found")
        pipeline, expected = [], []
        for i, key in enumerate(values):
            reader = ("getq", "getkq", "gatq", "gatkq", "get", "getk")[i % 6]
            pipeline += [("getkq", f"s:none{i}", b""), (reader, key, b""), ("setq", f"s:other{i}", b"x")]
            if policy != "read-through":
                expected.append((3 * i + 1, reader, values[key]))
            elif not reader.endswith("q"):
                expected.append((3 * i + 1, reader, b"" if reader == "getk" else b"Not found"))
        assert [(one.opaque, one.opcode, one.value) for one in ask_all(client, pipeline)] == expected


def test_changes_wait_for_what_they_have_to_know(serve):
    server = serve(Config(namespace("space", "s:", "write-behind")))
    client = server.binary_client()
    for i in range(10):
        assert client.set(f"s:{i}", b"%d" % i) == "SUCCESS"
    forget_all(server)
    pipeline = []
    for i in range(10):
        pipeline += [("appendq", f"s:{i}", b"0"), ("incrq", f"s:{i}", b""), ("addq", f"s:{i}", b"x"), ("getq", f"s:{i}", b"")]
    answers = ask_all(client, pipeline)
    assert [(one.opaque, one.status) for one in answers] == [(4 * i + j, status) for i in range(10)
                                                             for j, status in ((2, "EXISTS"), (3, "SUCCESS"))]
    assert [one.value for one in answers[1::2]] == [b"%d1" % i if i else b"1 " for i in range(10)]


def test_a_pipeline_waits_before_and_behind_what_is_skipped(serve):
    """Bodies that no read brings whole; around them are reads that wait for the store."""
    server = serve(Config(namespace("space", "s:", "write-through"), threads=1))
    client = server.binary_client()
    for i in range(12):
        assert client.set(f"s:{i}", b"%d" % i) == "SUCCESS"
    forget_all(server)
    skipped = [("0x42", "key", b"x" * 50000), ("addq", "s:large", b"x" * 1100000)]
    pipeline = [one for i in range(12) for one in (("getkq", f"s:{i}", b""), skipped[i % 2])]
    expected = ["SUCCESS", "UNKNOWN_COMMAND", "SUCCESS", "TOO_LARGE"] * 6
    answers = ask_all(client, pipeline)
    assert [(one.opaque, one.status) for one in answers] == list(enumerate(expected))
    assert [one.value for one in answers[::2]] == [b"%d" % i for i in range(12)]


def test_clients_that_vanish_while_parked_leave_nothing_behind(serve):
    server = serve(Config(namespace("space", "s:", "write-behind")))
    for i in range(100):
        client = server.binary_client()
        client.send(packet("getkq", f"s:absent{i}"), packet("add", f"s:n{i}", b"x"), packet("get", f"s:other{i}"))
        client.close()
    client = server.client()
    eventually(lambda: int(client.stats()["curr_connections"]) <= 2)
    assert server.binary_client().set("s:k", b"v") == "SUCCESS"


# ---- Held replies ----


@pytest.fixture
def always(serve):
    spaces = (namespace("sessions", "sess:", "write-behind", journal="always", flush_delay="1h", flush_batch=1000000),
              namespace("stored", "row:", "write-through"), namespace("plain", "plain:", "cache-aside"))
    return serve(Config(*spaces, threads=1))


def test_replies_that_are_held_keep_their_order(always):
    """Changes that are held, reads from memory, reads that wait for the store."""
    client = always.binary_client()
    assert client.set("row:large", b"r" * 40000) == "SUCCESS"
    for i in range(20):
        forget_all(always)
        value = b"%d" % i * 20000
        answers = ask_all(client, [("set", "sess:a", value), ("getq", "sess:a", b""), ("getkq", f"row:absent{i}", b""),
                                   ("getq", "row:large", b""), ("append", "sess:a", b"+"), ("get", "plain:x", b""),
                                   ("getq", "sess:a", b""), ("deleteq", "sess:a", b""), ("get", "sess:a", b"")])
        assert [(one.opaque, one.status, one.value) for one in answers] == [
            (0, "SUCCESS", b""), (1, "SUCCESS", value), (3, "SUCCESS", b"r" * 40000), (4, "SUCCESS", b""),
            (5, "NOT_FOUND", b"Not found"), (6, "SUCCESS", value + b"+"), (8, "NOT_FOUND", b"Not found")]


def test_quiet_changes_hold_what_follows(always):
    """Whoever reads the answer to the noop behind quiet sets takes them for safe."""
    client, reader = always.binary_client(), always.client()
    assert reader.set("plain:x", b"v") == b"STORED"
    with no_file_can_be_written(always):
        client.send(packet("setq", "sess:a", b"1"), packet("noop"))
        eventually(lambda: journal_failures(always) > 0)
        for _ in range(20):
            assert reader.get("plain:x") == b"v"
        assert not select.select([client.socket], [], [], 0)[0], "noop was answered before its set was in the journal"
    assert client.answer().opcode == "noop"
    always.kill()
    always.start()
    assert always.binary_client().get("sess:a") == b"1"


# ---- Slow clients ----


def test_a_pipeline_is_answered_however_late_it_is_read(serve):
    """More than sockets take: the requests wait until the replies have gone."""
    server = serve(Config(namespace("space", "s:", "write-behind"), threads=1))
    client = server.binary_client()
    sizes = [100, 20000, 50000, 33000]
    for i, size in enumerate(sizes):
        assert client.set(f"s:{i}", b"%d" % i * size) == "SUCCESS"
    count = 2000
    pipeline = b"".join(packet("getkq", f"s:{i % 5}", opaque=i) for i in range(count)) + packet("noop")
    with Background(lambda end: client.send(pipeline)):
        eventually(lambda: int(server.client().stats("namespaces")["space:get_hits"]) > 100)
        answers = client.answers_to_noop()
    assert [one.opaque for one in answers] == [i for i in range(count) if i % 5 < 4]
    assert all(one.value == b"%d" % (one.opaque % 5) * sizes[one.opaque % 5] for one in answers)


def test_packets_may_come_byte_by_byte(serve):
    client = serve().binary_client()
    pipeline = [packet("set", "k", b"hello", flags=7), packet("0x42", "skipped", b"this"), packet("getkq", "k"),
                packet("getq", "absent"), packet("incr", "n", ttl=0, initial=5), packet("noop")]
    for byte in b"".join(pipeline):
        client.send(bytes([byte]))
    assert [(one.opcode, one.status) for one in client.answers_to_noop()] == [
        ("set", "SUCCESS"), (0x42, "UNKNOWN_COMMAND"), ("getkq", "SUCCESS"), ("incr", "SUCCESS")]


def test_idle_connections_are_closed_in_the_middle_of_a_packet_too(serve):
    server = serve(options=["-o", "idle_timeout=1"])
    idle, torn, waiting = server.binary_client(), server.binary_client(), server.binary_client()
    assert idle.set("k", b"v") == "SUCCESS"
    torn.send(packet("get", "k")[:20])
    waiting.send(packet("set", "k", b"x" * 1000)[:-1])
    assert idle.is_closed() and torn.is_closed() and waiting.is_closed()
    assert server.binary_client().get("k") == b"v"


# ---- Limits ----


@pytest.mark.parametrize("requests", [1, 7])
def test_a_pipeline_lets_others_in_between(serve, requests):
    """-R: that many packets of a long pipeline are served in a turn; all are answered, in order."""
    server = serve(options=["-R", str(requests), "-t", "1"])
    client, other = server.binary_client(), server.client()
    before = int(other.stats()["conn_yields"])
    pipeline = [("setq", f"k{i}", b"x") for i in range(500)] + [("getkq", f"k{i}", b"") for i in range(500)]
    assert [one.opaque for one in ask_all(client, pipeline)] == list(range(500, 1000))
    assert int(other.stats()["conn_yields"]) - before >= 1000 // requests - 20


def test_a_value_that_there_is_no_memory_to_wait_for_is_refused(serve):
    server = serve(config=Config(memory="8mb", item_max="1mb", request_memory="1100kb", threads=1))
    value = b"y" * 1000000
    holder, client, other = server.binary_client(), server.binary_client(), server.client()
    assert client.set("k", b"old") == "SUCCESS"
    held = packet("set", "held", value)
    holder.send(held[:-1])
    eventually(lambda: int(other.stats()["read_buf_bytes"]) > 900000)
    answers = ask_all(client, [("set", "k", value), ("setq", "k", value), ("appendq", "k", value), ("getq", "k", b"")])
    assert [(one.opcode, one.status) for one in answers] == [("set", "NO_MEMORY"), ("setq", "NO_MEMORY"),
                                                             ("appendq", "NO_MEMORY"), ("getq", "SUCCESS")]
    assert answers[3].value == b"old"
    assert int(other.stats()["read_buf_oom"]) == 3
    holder.send(held[-1:])
    assert holder.answer().status == "SUCCESS"
    assert client.set("k", value) == "SUCCESS"
    assert client.get("held") == value


def test_replies_have_a_limit(serve):
    """read_buf_mem_limit: a read whose answer would take more is an error, in its place; other requests end the connection."""
    server = serve(Config(threads=16, use_threads="all"), options=["-o", "read_buf_mem_limit=1"])  # 64 KiB each
    with server.binary_client() as client:
        assert client.set("k", b"v" * 1000) == "SUCCESS"
        answers = ask_all(client, [("getk", "k", b"")] * 200)
        assert [one.opaque for one in answers] == list(range(200))
        assert {one.status for one in answers} == {"SUCCESS", "NO_MEMORY"}
        assert all(one.value == (b"v" * 1000 if one.status == "SUCCESS" else b"out of memory writing get response")
                   for one in answers)
        assert client.get("k") == b"v" * 1000
        client.send(packet("getkq", "k") * 200, packet("noop"))
        answers = [client.answer()]
        while answers[-1].opcode != "noop":
            answers.append(client.answer())
        assert 1 < len(answers) < 200 and {one.value for one in answers[:-1]} == {b"v" * 1000}
        assert answers[-1].status == "NO_MEMORY"
    refused = int(server.client().stats()["response_obj_oom"])
    with server.binary_client() as client:
        client.send(packet("delete", "absent") * 500)
        assert client.answer() is None
    assert int(server.client().stats()["response_obj_oom"]) > refused


def test_what_was_done_is_told_however_little_room_others_leave(serve):
    """A change that comes back to a turn whose replies have their limit is not refused: it would be the next request's answer."""
    spaces = namespace("through", "wt:", "write-through"), namespace("plain", "plain:", "cache-aside")
    backends = [sqlite_backend(timeout=THERE)]
    server = serve(Config(*spaces, backends=backends, threads=1), options=["-o", "read_buf_mem_limit=1"])
    with server.client() as text, server.binary_client() as client, contextlib.ExitStack() as asking:
        crowds = [asking.enter_context(server.client()) for _ in range(8)]  # each has a part of a turn
        text.set_many([("wt:k", b"another's"), ("plain:k", b"mine")])

        def ask_much(end, crowd):
            while not end.is_set():
                crowd.send(b"get absent\r\n" * 10000 + b"mn\r\n")
                while crowd.line() != b"MN":
                    pass

        with locked(server) as lock:
            text.send(b"gat 0 wt:k\r\n")
            client.send(packet("gat", "wt:k"))
            eventually(lambda: int(server.client().stats("forebay")["parked"]) >= 3)
            with contextlib.ExitStack() as background:
                for crowd in crowds:
                    background.enter_context(Background(ask_much, crowd))
                eventually(lambda: int(server.client().stats()["response_obj_oom"]) > 1000)
                lock.rollback()
                assert [value for _, _, value, _ in text.values()] == [b"another's"]
                assert client.answer().value == b"another's"
        assert text.get("plain:k") == client.get("plain:k") == b"mine"


# ---- Backends that are down ----


def test_what_a_store_does_not_take_is_an_error_for_now(serve):
    server = serve(Config(namespace("through", "wt:", "write-through"), backends=[sqlite_backend(timeout=AWAY)]))
    client = server.binary_client()
    eventually(lambda: client.set("wt:x", b"1") == "SUCCESS")
    with locked(server):
        answer = client.ask("set", "wt:x", b"2")
        assert answer.status == "TEMPORARY_FAILURE" and answer.cas == 0 and answer.extras == b""
        assert answer.value.startswith(b"backend local"), answer
        [answer] = ask_all(client, [("setq", "wt:x", b"3")])
        assert answer.status == "TEMPORARY_FAILURE"
    eventually(lambda: client.set("wt:x", b"4") == "SUCCESS")
    assert server.rows("through")[b"wt:x"].value == b"4"


def test_what_a_store_refuses_is_an_error_for_good(serve):
    server = serve(Config(namespace("through", "wt:", "write-through")))
    client = server.binary_client()
    assert client.set("wt:good", b"1") == "SUCCESS"
    refuse_row(server, "through", "wt:bad")
    answer = client.ask("set", "wt:bad", b"1")
    assert (answer.status, answer.value) == ("INTERNAL_ERROR", b"backend local refuses it: the log says why")


READS = ["get", "getq", "getk", "getkq", "gat", "gatq", "gatk", "gatkq"]


def check_errors(server):
    """The error of a loud lookup is in its place, that of a quiet one at the end (test_binary_errors.py); what is around it is
    answered."""
    client = server.binary_client()
    for read in READS:
        is_quiet = read.endswith("q")
        client.send(*(packet(*request) for request in (("getkq", "error:k"), (read, "error:unknown"), ("getkq", "error:k"), ("noop",))))
        statuses = [client.answer().status for _ in range(3 if is_quiet else 4)]
        assert statuses == (["SUCCESS", "SUCCESS", "TEMPORARY_FAILURE"] if is_quiet else
                            ["SUCCESS", "TEMPORARY_FAILURE", "SUCCESS", "SUCCESS"]), read
    assert client.ask("get", "error:unknown").value.startswith(b"backend remote")


def check_misses(server):
    client = server.binary_client()
    for read in READS:
        answers = ask_all(client, [(read, "miss:unknown", b"")])
        assert [one.status for one in answers] == ([] if read.endswith("q") else ["NOT_FOUND"]), read


def check_closes(server):
    """What was answered before it is sent; changes get their error, and the connection stays."""
    client = server.binary_client()
    for change in ("add", "append", "incr", "delete", "touch"):
        assert client.ask(change, "close:unknown").status == "TEMPORARY_FAILURE", change
    for read in READS:
        client = server.binary_client()
        client.send(packet("getkq", "close:k"), packet(read, "close:unknown"), packet("noop"))
        assert client.answer().value == b"v", read
        assert client.answer() is None, read
    assert int(server.client().stats("forebay")["closed_reads"]) == len(READS)


@pytest.mark.skipif(Redis.missing() is not None, reason=str(Redis.missing()))
def test_reads_of_a_store_that_is_down_are_what_the_namespace_wants(serve, redis):
    """on_backend_down: an error, a miss, or the end of the connection. What is in memory is there in each case."""
    kinds = ("error", "miss", "close")
    spaces = [namespace(kind, kind + ":", "write-behind", backend="remote", on_backend_down=kind) for kind in kinds]
    backend = section("backend", "remote", uri=redis.uri, timeout=AWAY)
    server = serve(Config(*spaces, backends=[backend], drain_timeout="1s"))
    redis.kill()
    client = server.binary_client()
    for kind in kinds:
        eventually(lambda kind=kind: client.set(kind + ":k", b"v") == "SUCCESS")
    check_errors(server)
    check_misses(server)
    check_closes(server)
