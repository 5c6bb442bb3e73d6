# SPDX-License-Identifier: MIT
"""Reading the configuration again while the server runs: what changes, what does not, and what clients notice of it.

What each setting of a namespace does when it changes is in tests/unit/policies/test_tier_reload.c; here are those of the top,
and the whole, as an operator meets it."""

import contextlib
import glob
import os
import re
import signal
import time

import pytest
from forebay import GIVES_BACK, THERE, Background, Closed, Config, eventually, locked, namespace, section, share, small_pages, sqlite_backend

SESSIONS = namespace("sessions", "sess:", "write-behind", flush_delay="100ms")
CARTS = namespace("carts", "cart:", "write-behind", flush_delay="100ms")
BAD_TABLE = namespace("own", "own:", "write-through", load="SELECT nothing FROM nowhere WHERE key = :key",
                      store="INSERT INTO nowhere VALUES (:key, :value)", delete="DELETE FROM nowhere WHERE key = :key")


def counts(server):
    found = server.client().stats("forebay")
    return int(found["reloads"]), int(found["reload_failures"])


def said(server):
    return re.findall(r"(?:notice|error): reload: (.*)", server.log())


def reload(server, config=None, good=True):
    """Writes the configuration, sends SIGHUP, and waits for the answer on the log, which is returned."""
    before = len(said(server))
    if config is not None:
        server.config = config
    if server.config is not None:
        server.write_config()
    server.signal(signal.SIGHUP)
    answer = eventually(lambda: said(server)[before:])[0]
    assert answer.endswith("nothing was changed") is not good, answer
    return answer


def text(server, config, more=""):
    return config.text(server.port, server.folder) + more


# ---- The settings of the top ----


def test_limits_of_connections(serve):
    server = serve(config=Config(SESSIONS))
    held = [server.client() for _ in range(5)]
    assert all(client.command("version").startswith(b"VERSION") for client in held)
    assert "max_connections from 1024 to 5" in reload(server, Config(SESSIONS, max_connections=5))
    more = server.client()
    assert more.line() == b"ERROR Too many open connections" and more.is_closed()
    held[0].close()
    answer = reload(server, Config(SESSIONS, max_connections=100, idle_timeout="1s"))
    assert "idle_timeout from 0 to 1s" in answer
    assert server.client().stats("settings")["maxconns"] == "100"
    assert held[1].is_closed(), "it was silent for longer than a second"


def test_limits_of_memory(serve):
    server = serve(config=Config(SESSIONS, memory="32mb"))
    client = server.client()
    assert "memory from 32mb to 48mb" in reload(server, Config(SESSIONS, memory="48mb"))
    assert client.stats()["limit_maxbytes"] == str(48 << 20)
    big = b"x" * 900_000
    client.send(b"set a 0 0 %d\r\n" % len(big) + big[:500_000])  # under way, and counted
    eventually(lambda: int(server.client().stats()["read_buf_bytes"]) >= 400_000)
    reload(server, Config(SESSIONS, memory="48mb", request_memory="1100kb"))
    assert server.client().stats("settings")["request_memory"] == str(1100 << 10)
    other = server.client()
    assert other.set("b", big) == b"SERVER_ERROR out of memory storing object"
    reload(server, Config(SESSIONS, memory="48mb"))
    assert other.set("b", big) == b"STORED"
    client.send(big[500_000:] + b"\r\n")
    assert client.line() == b"STORED"


def test_timeouts(serve):
    """With a store that does not answer: a sync and a drain end when the new limits say, not the old ones."""
    backends = [sqlite_backend(timeout="100ms")]
    server = serve(config=Config(SESSIONS, backends=backends, sync_timeout="10m", drain_timeout="10m"))
    client = server.client()
    with locked(server):
        assert client.set("sess:a", b"1") == b"STORED"
        reload(server, Config(SESSIONS, backends=backends, sync_timeout="50ms", drain_timeout="50ms"))
        assert client.command("sync").startswith(b"SERVER_ERROR")
        server.stop()
        assert "1 left, all of them in the journal" in server.log()


def test_what_clients_are_refused(serve):
    server = serve(config=Config(SESSIONS))
    client = server.client()
    assert client.command("sync").startswith(b"SYNCED")
    assert client.command("flush_all") == b"OK"
    answer = reload(server, text(server, Config(SESSIONS), 'restrict = {"sync", "flush_all", "watch"}\n'))
    assert "restrict from {} to {flush_all, sync, watch}" in answer
    assert client.command("sync") == b"CLIENT_ERROR sync not allowed"
    assert client.command("flush_all").startswith(b"CLIENT_ERROR")
    assert client.stats("settings")["restrict"] == "flush_all,sync,watch"
    reload(server, Config(SESSIONS))
    assert client.command("sync").startswith(b"SYNCED")


def test_passwords_and_where_they_are(serve, tmp_path):
    def lets_in(user, password):
        return server.client().set("x", f"{user} {password}".encode()) == b"STORED"

    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("user:one\n")
    second.write_text("user:two\n")
    first.chmod(0o600)
    second.chmod(0o600)
    server = serve(config=Config(SESSIONS, auth_file=str(first)))
    assert lets_in("user", "one") and not lets_in("user", "two")
    inside = server.client()
    assert inside.set("x", b"user one") == b"STORED"
    assert f'auth_file from "{first}" to "{second}"' in reload(server, Config(SESSIONS, auth_file=str(second)))
    assert lets_in("user", "two") and not lets_in("user", "one")
    assert inside.set("sess:a", b"1") == b"STORED", "who is in stays in"
    assert inside.stats("settings")["auth_enabled_ascii"] == str(second)
    second.write_text("user:three\n")
    assert reload(server) == f"the passwords of {second}"
    assert reload(server) == "nothing has changed"
    assert lets_in("user", "three")
    assert "auth_file (whether there is one)" in reload(server, Config(SESSIONS), good=False)
    second.write_text("nonsense\n")
    answer = reload(server, Config(SESSIONS, auth_file=str(second), idle_timeout="1h"), good=False)
    assert "the passwords stay as they were" in answer
    assert lets_in("user", "three") and inside.stats("settings")["idle_timeout"] == "0"


def test_verbosity_and_what_a_command_has_set(serve):
    """A reload undoes no command, unless the file says something else than before."""
    server = serve(config=Config(SESSIONS))
    client = server.client()
    reload(server, Config(SESSIONS, verbosity=2))
    assert client.stats("settings")["verbosity"] == "2"
    assert client.command("verbosity 0") == b"OK" and client.command("cache_memlimit 40") == b"OK"
    assert reload(server) == "nothing has changed"
    assert client.stats("settings")["verbosity"] == "0" and client.stats()["limit_maxbytes"] == str(40 << 20)
    quota = namespace("quota", "q:", "cache-aside", memory="50mb")
    assert "cache_memlimit has left" in reload(server, Config(SESSIONS, quota, verbosity=2), good=False)
    reload(server, Config(SESSIONS, quota, verbosity=1, memory="80mb"))
    assert client.stats("settings")["verbosity"] == "1" and client.stats()["limit_maxbytes"] == str(80 << 20)


def test_by_http(serve, tmp_path):
    """As SIGHUP does it, with the answer in hand; and a new token opens from then on."""
    def post(token):
        answer = server.ask("/reload", "POST", headers={"Authorization": f"Bearer {token}"})
        return answer[::2]

    first, second, new, old = tmp_path / "first", tmp_path / "second", "n" * 20, "o" * 20
    for path, token in (first, old), (second, new):
        path.write_text(token + "\n")
        path.chmod(0o600)
    server = serve(config=Config(SESSIONS, admin_token_file=str(first)), admin=True)
    assert post(old) == (200, "nothing has changed\n")
    server.config = Config(SESSIONS, CARTS, admin_token_file=str(second), stall_timeout="5s")
    server.write_config()
    status, body = post(old)
    assert status == 200 and 'namespace "carts" added' in body and "stall_timeout from 10s to 5s" in body, body
    assert f"the token of {second}" in body and new not in body + server.log()
    assert post(old)[0] == 401 and post(new)[0] == 200
    second.write_text("short\n")
    status, body = post(new)
    assert status == 409 and "16 characters" in body and body.endswith("nothing was changed\n")
    second.write_text(old + "\n")
    assert post(new) == (200, f"the token of {second}\n") and post(old)[0] == 200
    server.config = Config(SESSIONS, CARTS, stall_timeout="5s")
    server.write_config()
    status, body = post(old)
    assert status == 409 and "admin_token_file (whether there is one)" in body


# ---- What is refused ----


def test_a_bad_file_changes_nothing(serve, tmp_path):
    server = serve(config=Config(SESSIONS))
    path = server.write_config()
    good = text(server, Config(SESSIONS, idle_timeout="1h"))
    cases = {"idle_timeout = soon\n": "idle_timeout", "nonsense = 1\n": "nonsense", "namespace x {\n": "",
             'namespace "x" { prefix = "x:" policy = "write-behind" backend = "gone" }\n': "gone"}
    for more, word in cases.items():
        answer = reload(server, good.replace('idle_timeout = "1h"\n', "") + more, good=False)
        assert answer.startswith(path + ":") and word in answer, answer
    os.remove(path)
    server.config = None
    assert path in reload(server, good=False)
    os.mkfifo(path)
    assert f"{path} is no plain file" in reload(server, good=False), "nobody waits for what writes into it"
    os.remove(path)
    assert server.client().stats("settings")["idle_timeout"] == "0"
    assert counts(server) == (0, len(cases) + 2)
    found = server.client().stats("forebay")
    assert found["last_reload_time"] == "0"
    reload(server, good)
    assert server.client().stats("settings")["idle_timeout"] == "3600"
    found = server.client().stats("forebay")
    assert found["reloads"] == "1" and abs(int(found["last_reload_time"]) - time.time()) < 3600


def test_what_needs_a_restart_is_named_at_once(serve):
    server = serve(config=Config(SESSIONS, threads=2))
    other = Config(namespace("sessions", "s:", "write-through"), backends=[sqlite_backend(readers=5, path="other.db")],
                   threads=3, node=4, idle_timeout="5s")
    answer = reload(server, other, good=False)
    for name in ("threads", "node", 'backend "local": uri', 'backend "local": readers', 'namespace "sessions": policy',
                 'namespace "sessions": prefix'):
        assert name in answer, answer
    assert "idle_timeout" not in answer and server.client().stats("settings")["idle_timeout"] == "0"
    assert reload(server, Config(SESSIONS, threads=2)) == "nothing has changed"


def test_what_has_no_room_among_what_needs_a_restart_is_counted(serve):
    names = [f"{number:02}".rjust(63, "n") for number in range(60)]
    server = serve(config=Config(*(namespace(name, name, "write-behind", preload=1) for name in names)))
    answer = reload(server, Config(*(namespace(name, name, "write-behind", preload=2) for name in names)), good=False)
    assert f'a restart is needed for: namespace "{names[0]}": preload, ' in answer and " more; nothing was changed" in answer


def test_the_command_line_stays_above_the_file(serve):
    server = serve(config=Config(SESSIONS), options=["-m", "100", "-c", "77"])
    assert reload(server, Config(SESSIONS, memory="200mb", max_connections=50)) == "nothing has changed"
    assert server.client().stats()["limit_maxbytes"] == str(100 << 20)


def test_without_a_file(serve):
    server = serve(options=["-m", "100"])
    assert reload(server) == "nothing has changed"


def test_what_is_refused_again_and_again_keeps_no_memory(serve, tmp_path):
    """A namespace that cannot be removed yet, and another that takes its place."""
    if share(100) < 100:
        pytest.skip("TSan keeps a history of its own, which grows with each reload: ASan's build runs it")
    token = tmp_path / "token"
    token.write_text("t" * 20)
    token.chmod(0o600)
    with small_pages():
        server = serve(Config(SESSIONS.replace("100ms", "10m"), admin_token_file=token), admin=True, env=GIVES_BACK)
    assert server.client().set("sess:a", b"1") == b"STORED"
    server.config = Config(CARTS, admin_token_file=token)
    server.write_config()

    def refuse(times):
        for _ in range(times):
            assert server.ask("/reload", "POST", headers={"Authorization": "Bearer " + "t" * 20}).status == 409
        return server.resident()
    before = refuse(20)
    assert refuse(share(250)) - before < 3 << 20


def test_what_is_refused_takes_no_place(serve, tmp_path):
    """However often it is tried, the last place of 64 is there for another one."""
    others = [namespace(f"n{number}", f"n{number}:", "cache-aside") for number in range(61)]
    server = serve(Config(SESSIONS, *others))
    for _ in range(3):
        assert "its load statement" in reload(server, Config(SESSIONS, *others, BAD_TABLE), good=False)
    reload(server, Config(SESSIONS, *others, CARTS))


# ---- Namespaces ----


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_namespace_comes_and_goes(serve, request, kind):
    backends = [sqlite_backend() if kind == "sqlite" else section("backend", "local", uri=request.getfixturevalue("redis").uri)]
    server = serve(config=Config(SESSIONS, backends=backends))
    client = server.client()
    assert client.set("cart:old", b"cached") == b"STORED" and client.set("other", b"cached") == b"STORED"
    assert reload(server, Config(CARTS, SESSIONS, backends=backends)) == 'namespace "carts" added'
    assert client.get("cart:old") is None and client.get("other") == b"cached"
    assert client.set("cart:1", b"one") == b"STORED" and client.set("sess:1", b"one") == b"STORED"
    client.sync()
    answer = reload(server, Config(CARTS.replace("100ms", "10m"), SESSIONS, backends=backends))
    assert answer == 'namespace "carts": flush_delay from 100ms to 10m'
    assert client.set("cart:2", b"two") == b"STORED"
    answer = reload(server, Config(SESSIONS, backends=backends), good=False)
    assert 'namespace "carts" cannot be removed' in answer and "1 entry to be written" in answer and "sync carts" in answer
    assert client.get("cart:2") == b"two" and client.sync("carts") == 1
    assert reload(server, Config(SESSIONS, backends=backends)) == 'namespace "carts" removed'
    assert client.get("cart:1") is None and "carts:entries" not in client.stats("namespaces")
    assert reload(server, Config(SESSIONS, CARTS, backends=backends)) == 'namespace "carts" added'
    assert client.get("cart:1") == b"one" and client.get("cart:2") == b"two"
    server.stop()


def test_a_table_that_does_not_fit(serve):
    """The namespace is not added, the message says why, and the others go on; mended, it can be added."""
    server = serve(config=Config(SESSIONS))
    client = server.client()
    assert 'namespace "own", its load statement' in reload(server, Config(SESSIONS, BAD_TABLE), good=False)
    assert client.set("sess:1", b"one") == b"STORED" and client.sync() == 1
    assert client.set("own:1", b"one") == b"STORED" and client.get("own:1") == b"one"
    reload(server, Config(SESSIONS, namespace("own", "own:", "write-through")))
    assert client.get("own:1") is None and client.set("own:1", b"two") == b"STORED"
    assert server.rows("own")[b"own:1"].value == b"two"
    assert "writes fail" not in server.log(), "nobody waits for the store because it is opened anew"


def test_killed_after_a_reload(serve):
    """In both directions: a start with the new file has all that was acknowledged, and asks for nothing that is gone."""
    server = serve(config=Config(SESSIONS))
    slow = CARTS.replace("100ms", "10m")
    for round in range(2):
        client = server.client()
        assert client.set(f"sess:{round}", b"s") == b"STORED"
        reload(server, Config(SESSIONS, slow))
        assert client.set(f"cart:{round}", b"c") == b"STORED"
        assert client.set(f"sess:more{round}", b"s") == b"STORED"
        server.kill()
        server.start()
        client = server.client()
        assert client.get(f"cart:{round}") == b"c"
        assert client.get(f"sess:{round}") == b"s" and client.get(f"sess:more{round}") == b"s"
        client.sync()
        assert client.set(f"cart:last{round}", b"c") == b"STORED"
        client.sync("carts")
        reload(server, Config(SESSIONS))
        assert client.set(f"sess:last{round}", b"s") == b"STORED"
        server.kill()
        server.start()
        assert server.client().get(f"sess:last{round}") == b"s"
        assert server.client().get(f"cart:last{round}") is None
    assert server.rows("carts")[b"cart:last1"].value == b"c"


# ---- Under load ----


def write_and_read(end, server, number):
    """What it wrote last is what it reads, whatever is reloaded; keys that change their namespace may be gone."""
    client, written = server.client(), 0
    while not end.is_set():
        written += 1
        pairs = [(f"{prefix}:{number}:{i}", b"%d" % written) for prefix in ("sess", "cart") for i in range(20)]
        replies = client.set_many(pairs)
        assert all(reply == b"STORED" for reply in replies), set(replies)
        found = client.get_many([key for key, _ in pairs])
        for key, value in pairs:
            got = found.get(key.encode())
            assert got == value or (key.startswith("cart") and (got is None or int(got) < written)), (key, got, value)
    client.close()


def test_reloads_under_load(serve):
    """Of settings and of a namespace that comes and goes: no client gets an error, and nothing that stays is lost."""
    through = namespace("carts", "cart:", "write-through")
    server = serve(config=Config(SESSIONS, threads=3))
    added = removed = 0
    with Background(write_and_read, server, 1), Background(write_and_read, server, 2), \
            Background(write_and_read, server, 3):
        for i in range(share(30)):
            sessions = SESSIONS.replace("100ms", f"{5 + i}ms")
            config = Config(sessions, through, threads=3) if i % 2 else Config(sessions, threads=3)
            server.config = config
            before = len(said(server))
            server.write_config()
            server.signal(signal.SIGHUP)
            answer = eventually(lambda: said(server)[before:])[0]
            assert "nothing was changed" not in answer or "with its backend" in answer, answer
            added += '"carts" added' in answer
            removed += '"carts" removed' in answer
            server.check_alive()
    assert added > 0 and removed > 0
    client = server.client()
    client.sync()
    assert len(server.rows("sessions")) == 60


def test_signals_that_come_together(serve):
    """A reload that is asked for while one is at work follows it; so the last file counts."""
    server = serve(config=Config(SESSIONS))
    for seconds in range(1, 40):
        server.config = Config(SESSIONS, idle_timeout=f"{1000 + seconds}s")
        server.write_config()
        server.signal(signal.SIGHUP)
    eventually(lambda: server.client().stats("settings")["idle_timeout"] == "1039")


def threads(server):
    for path in glob.glob(f"/proc/{server.pid}/task/*/comm"):
        with contextlib.suppress(OSError), open(path, encoding="ascii") as name:
            yield name.read().strip()


def test_a_stop_does_not_wait_for_a_reload_that_waits_for_a_store(serve):
    """Or it would be cut off by its last resort, with nothing drained."""
    new = [namespace(f"new{i}", f"new{i}:", "write-behind") for i in range(20)]
    backends = [sqlite_backend(timeout=THERE)]
    server = serve(config=Config(SESSIONS, backends=backends))
    with locked(server):
        assert server.client().set("sess:a", b"1") == b"STORED"
        server.config = Config(SESSIONS, *new, backends=backends)
        server.write_config()
        server.signal(signal.SIGHUP)
        eventually(lambda: "reload" in threads(server))
        server.signal(signal.SIGTERM)
        eventually(lambda: "the server is stopping; nothing was changed" in server.log())
    server.check_end(server.wait())
    assert "nothing left" in server.log() and server.rows()[b"sess:a"].value == b"1"  # maybe flushed before the drain counts


def test_a_stop_in_the_midst_of_reloads(serve):
    """A reload that has begun is ended before the server stops, and none begins after."""
    server = serve(config=Config(SESSIONS))
    for i in range(20):
        server.config = Config(SESSIONS, CARTS) if i % 2 == 0 else Config(SESSIONS)
        server.write_config()
        server.signal(signal.SIGHUP)
        if i == 10:
            server.signal(signal.SIGTERM)
        if not server.running():
            break
    server.check_end(server.wait())
    with pytest.raises((Closed, OSError)):
        server.client().command("version")
