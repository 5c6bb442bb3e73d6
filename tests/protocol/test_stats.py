# SPDX-License-Identifier: MIT
"""What statistics count, where one answer cannot tell: against Forebay in memory and write-behind, and against memcached."""

import re
import time

import forebay
import pytest
from forebay import Memcached




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
