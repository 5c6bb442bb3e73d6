# SPDX-License-Identifier: MIT
"""The wall clock of a machine is set while the server runs, forward and back by an hour: no connection, no session and no row
goes by it, and nothing lives noticeably longer."""

import os
import sqlite3
import time

import pytest
from clock import Clock, needs_clock
from forebay import Config, eventually, namespace

pytestmark = needs_clock

HOUR = 3600


@pytest.fixture
def clock(tmp_path):
    return Clock(tmp_path)


def config(policy="write-behind", **top):
    return Config(namespace("sessions", "sess:", policy, flush_delay="20ms") if policy == "write-behind" else
                  namespace("sessions", "sess:", policy), **top)


def seconds_pass(client, count=2):
    """The server has looked at what goes by seconds since, and its writer has been idle and kept its store."""
    def steps():
        return int(client.stats("backends")["local:upkeep_steps"])

    begun, upkeep = time.monotonic(), steps()
    eventually(lambda: time.monotonic() - begun > count + 0.5 and steps() >= upkeep + 2)


def rows(server):
    database = sqlite3.connect(os.path.join(server.folder, "store.db"))
    found = {bytes(key).decode(): end for key, end in database.execute("SELECT key, expires_at FROM sessions")}
    database.close()
    return found


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_idle_connections_and_uptime_do_not_see_a_step(serve, clock, step):
    server = serve(config(idle_timeout=1000), env=clock.environment)
    idle, client = server.client(), server.client()
    assert idle.set("other", b"v") == b"STORED"
    clock.set(step)
    seconds_pass(client)
    stats = client.stats()
    assert stats["idle_kicks"] == "0" and int(stats["uptime"]) < 600
    assert abs(int(stats["time"]) - time.time() - step) < 60, "what people read is the wall clock"
    assert all(int(value) < 600 for name, value in client.stats("conns").items() if name.endswith("secs_since_last_cmd"))
    assert idle.get("other") == b"v"


@pytest.mark.parametrize("policy", ["write-behind", "write-through"])
@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_sessions_and_their_rows_survive_a_step(serve, clock, policy, step):
    server = serve(config(policy), env=clock.environment)
    client = server.client()
    for key in ("sess:memory", "sess:row", "short"):
        assert client.set(key, b"v", ttl=HOUR // 2) == b"STORED"
    client.sync()
    clock.set(step)
    seconds_pass(client)
    assert client.get("sess:memory") == b"v" and client.get("short") == b"v"
    ttl = int(client.command("mg sess:memory t").split(b"t")[1])
    assert HOUR // 2 - 600 < ttl <= HOUR // 2, "neither shorter nor longer by the step"
    client.command("forget sess:row")
    assert client.get("sess:row") == b"v", "the row is judged by the same clock"
    assert set(rows(server)) == {"sess:memory", "sess:row"}
    clock.set(0)
    seconds_pass(client)
    assert client.get("sess:row") == b"v" and set(rows(server)) == {"sess:memory", "sess:row"}


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_what_begins_after_a_step_survives_a_restart(serve, clock, step):
    """Whoever reads the rows by the wall clock, and so does the next start, finds their lives not to be over."""
    server = serve(config(), env=clock.environment)
    client = server.client()
    clock.set(step)
    seconds_pass(client)
    assert client.set("sess:new", b"v", ttl=600) == b"STORED"
    assert client.get("sess:new") == b"v"
    client.sync()
    assert rows(server)["sess:new"] > time.time() + max(step, 0) + 500
    server.stop()
    server.start()
    assert server.client().get("sess:new") == b"v"


def test_a_short_life_ends_in_spite_of_a_step_back(serve, clock):
    server = serve(config(), env=clock.environment)
    client = server.client()
    assert client.set("sess:a", b"v", ttl=3) == b"STORED"
    clock.set(-HOUR)
    eventually(lambda: client.get("sess:a") is None)


def test_a_clock_beyond_all_versions_spoils_nothing(serve, clock):
    """As when a clock chip has lost its power, or a time service lies. What is written meanwhile reaches the store, and the
    next start, by a clock that was set right, finds nothing that no clock gives."""
    server = serve(config(), env=clock.environment)
    with server.client() as client:
        client.set("sess:before", b"v")
        client.sync()
        clock.set(70 * 365 * 24 * HOUR)
        seconds_pass(client)
        client.set("sess:meanwhile", b"v")
        client.sync()
        assert set(rows(server)) == {"sess:before", "sess:meanwhile"}
        clock.set(0)
        assert client.set("sess:after", b"v") == b"STORED"
        server.kill()
    server.start()
    with server.client() as client:
        client.sync()
        assert [client.get(f"sess:{name}") for name in ("before", "meanwhile", "after")] == [b"v", b"v", b"v"]


def test_a_step_is_told(serve, clock):
    server = serve(config(), env=clock.environment)
    clock.set(HOUR)
    eventually(lambda: "was set forward by 3600 s" in server.log() or "was set forward by 3599 s" in server.log())
