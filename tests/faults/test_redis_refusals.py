# SPDX-License-Identifier: MIT
"""A Redis that can never serve stops the start with a sentence that names it; and no password is shown anywhere: not in that
sentence, the log, the check of the configuration or the statistics."""

import subprocess

import pytest
from forebay import Config, Redis, Server, eventually, free_port, namespace, section
from sentinel import Sentinel

pytestmark = pytest.mark.skipif(Redis.missing() is not None, reason=str(Redis.missing()))

STATISTICS = ["", "settings", "namespaces", "backends", "write_behind", "forebay"]


def config(uri, **backend):
    return Config(namespace("sessions", "sess:", "write-behind", backend="remote", flush_delay="20ms"),
                  backends=[section("backend", "remote", uri=uri, timeout="300ms", **backend)], drain_timeout="1s")


def refusal(tmp_path, uri, **backend):
    said = Server(tmp_path, config=config(uri, **backend)).refuses()
    assert '"remote"' in said, said
    assert "secret" not in said, said
    return said


def test_a_wrong_password_stops_the_start(tmp_path, redis):
    admin = redis.connect()
    admin.acl_setuser("ann", enabled=True, passwords=["+secret"], commands=["+@all", "-script"], keys=["*"])
    admin.config_set("requirepass", "right")
    said = refusal(tmp_path, f"redis://:secret@127.0.0.1:{redis.port}/0")
    assert "WRONGPASS" in said and f"127.0.0.1:{redis.port}" in said
    assert "correct the user or the password in its uri" in said
    said = refusal(tmp_path, redis.uri)
    assert "NOAUTH" in said and "write a password into its uri" in said
    admin.config_set("requirepass", "")
    assert "remove the password from its uri" in refusal(tmp_path, f"redis://:secret@127.0.0.1:{redis.port}/0")
    said = refusal(tmp_path, f"redis://ann:secret@127.0.0.1:{redis.port}/0")
    assert "NOPERM" in said and "allow it to the user in its uri" in said


def test_an_unknown_database_stops_the_start(tmp_path, redis):
    said = refusal(tmp_path, f"redis://127.0.0.1:{redis.port}/4711")
    assert "DB index" in said and "change the number of the database in its uri" in said


def test_a_bad_address_stops_the_start(tmp_path):
    assert "port" in refusal(tmp_path, "redis://user:secret@127.0.0.1:port/0")


def test_a_login_that_nobody_would_see_stops_the_start(tmp_path):
    said = refusal(tmp_path, "redis://127.0.0.1:1/0", sentinel_password="secret")
    assert "sentinel_password" in said and "is for redis+sentinel://, which its uri is not: remove it" in said
    said = refusal(tmp_path, "redis+sentinel://127.0.0.1:1/m", sentinel_user="ann")
    assert 'sentinel_user of backend "remote" needs sentinel_password' in said


def test_a_redis_that_is_no_sentinel_stops_the_start(tmp_path, redis):
    said = refusal(tmp_path, f"redis+sentinel://:secret@127.0.0.1:{redis.port}/m")
    assert f"redis sentinel at 127.0.0.1:{redis.port}" in said and "is that a Sentinel?" in said


def test_an_unknown_scheme_stops_the_start(tmp_path):
    said = Server(tmp_path, config=config("rediss://user:secret@127.0.0.1:1")).refuses()
    assert "rediss://***@127.0.0.1:1" in said and "secret" not in said, said


@pytest.mark.parametrize("text", ['namespace "n" { prefix = "n:" policy = "read-through" backend = "URI" }', 'backend "URI" { uri = "URI" }',
                                  'backend "r" { uri = "URI" readers = "URI" }', "URI"])
def test_an_address_in_the_wrong_place_keeps_its_password(tmp_path, text):
    for password in "secret@of", "secret" * 100:
        said = Server(tmp_path, config=text.replace("URI", f"redis://user:{password}@127.0.0.1:1")).refuses()
        assert ".conf:1: " in said and "redis://***@127.0.0.1:1" in said and "secret" not in said, said


def test_a_node_of_a_cluster_stops_the_start(tmp_path, redis):
    redis.restart("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    assert "Redis Cluster" in refusal(tmp_path, redis.uri)


def test_the_password_is_told_nowhere(tmp_path, serve, redis):
    redis.connect().acl_setuser("ann", enabled=True, passwords=["+secret"], commands=["+@all"], keys=["*"])
    with Sentinel(tmp_path / "sentinel", redis, 1, "sentinel auth-user mymaster ann", "sentinel auth-pass mymaster secret",
                  "requirepass secret") as sentinel:
        expect_no_password(serve, redis, f"redis+sentinel://ann:secret@127.0.0.1:{sentinel.port}/mymaster", sentinel_password="secret")
    expect_no_password(serve, redis, f"redis://ann:secret@127.0.0.1:{redis.port}/0")


def expect_no_password(serve, redis, uri, **backend):
    server = serve(config(uri, **backend))
    client = server.client()
    assert client.set("sess:1", b"v") == b"STORED"
    client.sync()
    said = "".join(f"{name} {value}\n" for what in STATISTICS for name, value in client.stats(what).items())
    redis.kill()
    assert client.set("sess:2", b"v") == b"STORED"
    kind, error = client.ask("sess:unknown")
    assert kind == "error"
    eventually(lambda: "writes fail" in server.log())
    check = subprocess.run([*server.command(), "--check"], capture_output=True, text=True, timeout=60, check=True)
    for text in (said, server.log(), error.decode(), check.stdout + check.stderr):
        assert "secret" not in text and "ann:" not in text, text
    redis.start()
    redis.connect().acl_setuser("ann", enabled=True, passwords=["+secret"], commands=["+@all"], keys=["*"])
    server.stop()
