# SPDX-License-Identifier: MIT
"""What statistics count, where one answer cannot tell: against Forebay in memory and write-behind, and against memcached."""

import re
import time

import forebay
import pytest
from forebay import Memcached
from packets import BinaryClient, packet


@pytest.fixture(params=["memory", "write-behind", "memcached"])
def server(request, tmp_path):
    if request.param == "memcached" and Memcached.missing():
        pytest.skip(Memcached.missing())
    options = ["-o", "no_lru_crawler,no_lru_maintainer", "-D", ":"]
    if request.param == "memcached":
        server = Memcached(tmp_path, options)
    elif request.param == "memory":
        server = forebay.Server(tmp_path, options=options)
    else:
        config = forebay.Config(forebay.namespace("all", "", "write-behind", flush_delay="10ms"))
        server = forebay.Server(tmp_path, config=config, options=options)
    with server.start():
        yield server


@pytest.fixture
def client(server):
    with forebay.Client(server.port) as one:
        yield one


def counted(client, run, *names):
    """What these counters gained by it."""
    before = client.stats()
    run()
    after = client.stats()
    return tuple(int(after[name]) - int(before[name]) for name in names)


def test_gets_and_touches_are_counted(client):
    def run():
        client.set("k", b"v")
        client.command("get k missing")
        client.read(len(b"v\r\nEND\r\n"))
        client.command("touch k 100")
        client.command("touch missing 100")
        client.command("mg k")
        client.command("mn")

    assert counted(client, run, "cmd_get", "get_hits", "get_misses", "cmd_set", "cmd_touch", "touch_hits", "touch_misses") == \
        (3, 2, 1, 1, 2, 1, 1)


def test_arithmetic_deletes_and_cas_are_counted(client):
    def run():
        client.set("n", b"5")
        for command in ("incr n 1", "incr missing 1", "decr n 1", "decr missing 1", "delete n", "delete n"):
            client.command(command)
        client.set("k", b"v")
        client.command("cas k 0 0 1 1\r\nx")
        client.command("cas missing 0 0 1 1\r\nx")

    assert counted(client, run, "incr_hits", "incr_misses", "decr_hits", "decr_misses", "delete_hits", "delete_misses",
                   "cas_badval", "cas_misses", "cas_hits") == (1, 1, 1, 1, 1, 1, 1, 1, 0)


COMPARED = ["cmd_get", "get_hits", "get_misses", "cmd_set", "cmd_touch", "touch_hits", "touch_misses", "incr_hits", "incr_misses",
            "decr_hits", "decr_misses", "delete_hits", "delete_misses", "cas_badval", "cas_misses", "cas_hits", "cmd_flush"]

# Packets about a key that holds "1", with its CAS (OWN) or another, and about one that is not there: what they count.
OWN = "its own"
BINARY_COUNTS = [
    (["get", "getq", "getk", "getkq"], {}, ["cmd_get", "get_hits"], ["cmd_get", "get_misses"]),
    (["touch"], {"ttl": 100}, ["cmd_touch", "touch_hits"], ["cmd_touch", "touch_misses"]),
    (["set", "setq", "add", "addq", "replace", "append", "prependq"], {"value": b"5"}, ["cmd_set"], ["cmd_set"]),
    (["set", "addq", "replace"], {"value": b"5", "cas": OWN}, ["cmd_set", "cas_hits"], ["cmd_set", "cas_misses"]),
    (["set", "addq", "replace"], {"value": b"5", "cas": 77}, ["cmd_set", "cas_badval"], ["cmd_set", "cas_misses"]),
    (["incr", "incrq"], {}, ["incr_hits"], ["incr_misses"]),
    (["decr", "decrq"], {}, ["decr_hits"], ["decr_misses"]),
    (["incr"], {"cas": OWN}, ["incr_hits"], ["incr_misses"]),
    (["decr"], {"cas": OWN}, ["decr_hits"], ["decr_misses"]),
    (["incr", "decr"], {"cas": 77}, [], None),
    (["delete", "deleteq"], {}, ["delete_hits"], ["delete_misses"]),
    (["delete"], {"cas": OWN}, ["delete_hits"], ["delete_misses"]),
    (["delete"], {"cas": 77}, [], ["delete_misses"]),
]


def test_packets_count_as_lines_do(server, client):
    def run(name, key, cas, more):
        more = {**more, "cas": cas} if more.get("cas") == OWN else more
        binary.send(packet(name, key, **more), packet("noop"))
        binary.answers_to_noop()

    with BinaryClient(server.port) as binary:
        for names, more, there, absent in BINARY_COUNTS:
            for name, (key, expected) in ((name, case) for name in names for case in (("k", there), ("none", absent))):
                client.set("k", b"1")
                client.delete("none")
                cas = client.gets("k")[2]
                found = counted(client, lambda: run(name, key, cas, more), *COMPARED)  # noqa: B023 - it is called at once
                if expected is not None:
                    assert dict(zip(COMPARED, found)) == {each: int(each in expected) for each in COMPARED}, (name, key, more)
        for name in ("gat", "gatq", "gatk", "gatkq"):
            touches = ("cmd_touch", "touch_hits", "touch_misses")
            assert counted(client, lambda: run(name, "k", 0, {"ttl": 100}), *touches) == (1, 1, 0), name
            assert counted(client, lambda: run(name, "none", 0, {"ttl": 100}), *touches) == (1, 0, 1), name
        assert counted(client, lambda: run("flush", "", 0, {}), "cmd_flush") == (1,)
        assert counted(client, lambda: run("flushq", "", 0, {"ttl": 1000}), "cmd_flush") == (1,)


def test_a_get_of_an_expired_key_is_a_miss(server, client):
    client.set("k", b"v", ttl=1)
    time.sleep(2.1)
    expired, misses, hits = counted(client, lambda: client.command("get k"), "get_expired", "get_misses", "get_hits")
    assert (misses, hits) == (1, 0)
    assert expired <= 1  # none when it was swept away before
    if server.what == "memcached":
        assert expired == 1


def test_flush_all_is_counted(client):
    assert counted(client, lambda: client.command("flush_all"), "cmd_flush") == (1,)


def test_a_reset_sets_counters_to_zero(client):
    client.set("k", b"v")
    client.command("stats reset")
    told = client.stats()
    for name in ("cmd_set", "cmd_get", "get_hits", "total_items", "cmd_flush"):
        assert int(told[name]) == 0, name
    assert int(told["curr_items"]) == 1


@pytest.mark.parametrize("server", ["memory", "write-behind"], indirect=True)
def test_how_long_requests_take_is_told_by_namespace(server, client):
    name = "all" if server.config else "default"
    client.set("k", b"v")
    client.command("get k missing")
    client.read(len(b"v\r\nEND\r\n"))
    told = client.stats("forebay")
    kinds = ("hit", "write", "load") if server.config else ("hit", "write")
    assert sum(int(told[f"{name}:{kind}_count"]) for kind in kinds) == 3
    for kind in kinds:
        buckets = [int(count) for count in told[f"{name}:{kind}_buckets"].split(",")]
        assert sum(buckets) == int(told[f"{name}:{kind}_count"]) > 0
        assert 2 ** (len(buckets) - 1) == int(told[f"{name}:{kind}_p999_us"]) >= int(told[f"{name}:{kind}_p50_us"]) > 0
    client.command("stats reset")
    assert f"{name}:load_count" not in client.stats("forebay")


@pytest.mark.parametrize("server", ["memory", "write-behind"], indirect=True)
def test_reads_are_counted_by_namespace(server, client):
    name = "all" if server.config else "default"
    client.set("k", b"v")
    client.command("get k missing")
    client.read(len(b"v\r\nEND\r\n"))
    told = client.stats("namespaces")
    assert [told[f"{name}:{what}"] for what in ("cmd_get", "get_hits", "get_misses")] == ["2", "1", "1"]
    with server.binary_client() as binary:
        binary.send(packet("getkq", "k"), packet("getkq", "missing"), packet("gatq", "k", ttl=10), packet("noop"))
        assert len(binary.answers_to_noop()) == 2
    told = client.stats("namespaces")
    assert [told[f"{name}:{what}"] for what in ("cmd_get", "get_hits", "get_misses")] == ["5", "3", "2"]


@pytest.mark.parametrize("server", ["memory", "write-behind"], indirect=True)
def test_changes_and_loads_are_told_by_namespace(server, client):
    name = "all" if server.config else "default"
    client.set("k", b"v")
    client.set("other", b"v")
    for command in ("touch k 100", "delete k", "delete missing", "get unknown"):
        client.command(command)
    told = client.stats("namespaces")
    assert {what: told[f"{name}:{what}"] for what in ("cmd_set", "cmd_touch", "delete_hits", "delete_misses")} == {
        "cmd_set": "2", "cmd_touch": "1", "delete_hits": "1", "delete_misses": "1"}
    if server.config:
        assert told[f"{name}:load_count"] == "1"
        assert told[f"{name}:load_p99_us"] == client.stats("forebay")[f"{name}:load_p99_us"] != "0"
    else:
        assert f"{name}:load_count" not in told


@pytest.mark.parametrize("server", ["write-behind"], indirect=True)
def test_a_load_is_counted_when_it_is_answered(client):
    client.set("k", b"v")
    client.sync()
    for loads in range(1, 101):
        assert client.command("flush_all") == b"OK"
        assert client.get("k") == b"v"
        told = client.stats("namespaces")
        assert (told["all:loads"], told["all:load_hits"]) == (str(loads), str(loads))


@pytest.mark.parametrize("server", ["write-behind"], indirect=True)
def test_the_calls_of_a_backend_are_counted(server, client):
    client.set("k", b"v")
    client.get("missing")
    client.sync()
    told = client.stats("backends")
    for call in ("open", "load", "apply"):
        assert int(told[f"local:{call}_count"]) == sum(map(int, told[f"local:{call}_buckets"].split(","))) > 0
        assert told[f"local:{call}_failed"] == "0"
        assert int(told[f"local:{call}_p99_us"]) >= int(told[f"local:{call}_p50_us"]) > 0


def test_connections_are_described(server, client):
    client.send(b"stats conns\r\n")
    lines = []
    while not lines or lines[-1] != b"END":
        lines.append(client.line())
    told = {}
    for line in lines[:-1]:
        number, name, value = re.fullmatch(rb"STAT (\d+):(\w+) (.*)", line).groups()
        told.setdefault(number, {})[name] = value
    own = b"tcp:127.0.0.1:%d" % client.socket.getsockname()[1]
    mine = [one for one in told.values() if one.get(b"addr") == own]
    assert len(mine) == 1
    assert mine[0][b"state"] == b"conn_parse_cmd"
    assert mine[0][b"listen_addr"] == b"tcp:127.0.0.1:%d" % server.port
    assert int(mine[0][b"secs_since_last_cmd"]) < 5
    listening = [one for one in told.values() if one[b"state"] == b"conn_listening"]
    assert [one[b"addr"] for one in listening] == [b"tcp:127.0.0.1:%d" % server.port]
