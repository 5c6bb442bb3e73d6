# SPDX-License-Identifier: MIT
"""The log as operators and their programs read it: its forms, the journal of systemd, slow calls, what is limited, and what is
never in it."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import time

import pytest
from forebay import AWAY, PATIENCE, Config, Server, die_with_the_test, eventually, free_port, locked, namespace, sqlite_backend

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
TOKEN = "correct-horse-battery"
BEHIND = dict(flush_delay="10ms")


# ---- Forms ----

def once(pairs):
    """No member of an object twice."""
    assert len(dict(pairs)) == len(pairs), pairs
    return dict(pairs)


def from_json(line):
    return json.loads(line, object_pairs_hook=once, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def from_logfmt(line):
    pairs = re.findall(r'([a-z_]+)=("(?:[^"\\\x00-\x1f]|\\.)*"|[^\s"=]+)(?: |$)', line)
    assert " ".join(f"{name}={value}" for name, value in pairs) == line
    fields = once([(name, json.loads(value) if value.startswith('"') else value) for name, value in pairs])
    return {name: int(value) if name in ("rows", "duration_ms") else value for name, value in fields.items()}


READERS = {"json": from_json, "logfmt": from_logfmt}


def records(server, form):
    return [READERS[form](line) for line in server.log().splitlines()]


def write_slowly(server, client):
    """Changes wait for another program's transaction, until the log tells of a slow call."""
    def told():
        with locked(server):
            client.set("sess:a", b"value")
            time.sleep(0.3)
        client.sync()
        return "slow: apply" in server.log()

    eventually(told)


@pytest.mark.parametrize("form", READERS)
def test_each_line_can_be_read_by_programs(serve, form):
    config = Config(namespace("sessions", "sess:", "write-behind", **BEHIND), log_format=form, slow_log="100ms")
    server = serve(config, admin=False, options=["-B", "ascii"])
    client = server.client()
    write_slowly(server, client)
    with server.client() as other:
        other.send(b"\x80" + 23 * b"\x00")
        other.read(24)
    server.stop()
    found = records(server, form)
    for record in found:
        assert re.fullmatch(TIME, record["time"]) and record["level"] in ("error", "warning", "notice"), record
        assert record["msg"], record
    slow = [record for record in found if record.get("call") == "apply"]
    assert slow and slow[0]["namespace"] == "sessions" and slow[0]["backend"] == "local", found
    assert slow[0]["rows"] == 1 and slow[0]["duration_ms"] >= 100 and slow[0]["level"] == "notice"
    assert any("binary protocol" in record["msg"] and record["level"] == "warning" for record in found)
    assert any(record.get("namespace") == "default" for record in found)


def test_the_command_line_replaces_the_form_of_the_file(serve):
    server = serve(Config(log_format="logfmt"), options=["--log-format", "json"])
    server.stop()
    assert all(from_json(line) for line in server.log().splitlines())


def test_a_start_that_fails_says_why_in_the_form_that_was_asked_for(tmp_path):
    server = Server(tmp_path, config="memory = 64mb\nthreads = many\n")
    assert "line 2" in from_json(server.refuses("--log-format=json"))["msg"].replace(":2:", " line 2 ")
    server.config = 'memory = 64mb\nlog_format = "xml"\n'
    assert server.refuses().startswith("forebay: ") and '"text" or "logfmt" or "json"' in server.refuses()
    assert "text, logfmt or json" in server.refuses("--log-format=xml")
    server.config = 'memory = "6\x1b[31m4\\nforebay: all is well"\n'
    assert '"6?[31m4?forebay: all is well"' in server.refuses()
    server.config = 'log_format = "logfmt"\nmemory = none\n'
    assert ":2: " in from_logfmt(server.refuses().strip())["msg"]
    assert ":2: " in from_json(server.refuses("--log-format=json"))["msg"], "the command line counts"
    assert "-m (--memory-limit)" in from_json(server.refuses("--log-format=json", "-m", "0"))["msg"]


# ---- The journal ----

def said_to_a_journal(folder, *options, stream=None):
    """What a server writes that systemd has given its journal as standard error; it is told to stop at once."""
    ours, theirs = os.pipe()
    status = os.fstat(theirs)
    server = Server(folder, options=options, port=free_port())
    env = {**server.environment(), "JOURNAL_STREAM": stream or f"{status.st_dev}:{status.st_ino}"}
    process = subprocess.Popen(server.command(), stderr=theirs, env=env, cwd=folder, preexec_fn=die_with_the_test)
    os.close(theirs)
    with open(ours, encoding="utf-8") as pipe:
        try:
            if not any(option.startswith("--no") for option in options):
                eventually(lambda: server.answers() or process.poll() is not None)
                process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)  # the pipe takes all that it says
        finally:
            process.kill()
            process.wait()
        return pipe.read().splitlines()


def test_the_journal_of_systemd_is_told_the_level_of_each_line(tmp_path):
    lines = said_to_a_journal(tmp_path)
    assert lines and all(re.match(r"<5>notice: [a-zA-Z]", line) for line in lines), lines
    lines = said_to_a_journal(tmp_path, "--log-format=json")
    assert lines and all(line.startswith("<5>") and from_json(line[3:])["time"] for line in lines), lines
    assert said_to_a_journal(tmp_path, "--nothing") == ["<3>forebay: --nothing: no such option; see forebay -h"]


def test_another_standard_error_than_the_journal_is_written_to_as_ever(tmp_path):
    lines = said_to_a_journal(tmp_path, stream="1:1")
    assert lines and all(re.match(TIME + " notice: ", line) for line in lines), lines


# ---- Slow calls ----

def test_calls_are_slow_from_slow_log_on(serve):
    server = serve(Config(namespace("sessions", "sess:", "write-behind", **BEHIND), slow_log="1h",
                          backends=[sqlite_backend(timeout=AWAY)]))
    client = server.client()
    client.set("sess:a", b"value")
    client.sync()
    assert "slow:" not in server.log()
    server.config.top["slow_log"] = "100ms"
    server.write_config()
    server.signal(signal.SIGHUP)
    eventually(lambda: re.search("notice: reload: .*slow_log", server.log()))
    write_slowly(server, client)
    assert re.search(r"notice: namespace sessions, backend local: slow: apply of 1 row took \d{3,} ms\n", server.log())
    with locked(server):
        client.set("sess:a", b"value")
        eventually(lambda: re.search(r"slow: apply of 1 row took \d{3,} ms, and failed \(transient\)\n", server.log()))


def test_slow_calls_are_limited(serve):
    server = serve(Config(namespace("sessions", "sess:", "write-through"), slow_log="1ms"))
    client = server.client()
    begin = time.monotonic()
    for number in range(40):
        assert client.set(f"sess:{number}", b"v" * 900000) == b"STORED"
    assert 1 <= server.log().count("slow: apply") <= 11 + time.monotonic() - begin
    eventually(lambda: re.search(r"backend local: .*\d+ more (of this kind|lines of this kind) left out", server.log()))


# ---- What repeats ----

def test_signals_and_changes_by_http_do_not_fill_the_log(serve, tmp_path):
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    server = serve(Config(admin_token_file=token), admin=True)
    begin = time.monotonic()
    for _ in range(30):
        server.signal(signal.SIGHUP)
        assert server.ask("/log?level=notice", "POST", headers={"Authorization": f"Bearer {TOKEN}"}).status == 200
    assert 1 <= server.log().count("notice: reload: ") <= 11 + time.monotonic() - begin
    assert 10 <= server.log().count("admin: POST /log, asked by") <= 11 + time.monotonic() - begin
    eventually(lambda: re.search(r"changes by the admin HTTP: \d+ more lines of this kind left out", server.log()))


# ---- What is never in it ----

SECRET = "s3cret"
KEY, VALUE = f"{SECRET}-key", f"{SECRET}-value".encode()


def own_sql(table):
    """Reads of it fail, and SQLite's message repeats the key."""
    return {"load": f"SELECT json_extract(body, :key), 0, expires, rev FROM {table} WHERE id = :key",
            "store": f"INSERT INTO {table}(id, body, expires, rev) VALUES (:key, CAST(:value AS TEXT), :expires_at, :version) "
                     "ON CONFLICT(id) DO UPDATE SET expires = excluded.expires, rev = excluded.rev WHERE excluded.rev > rev",
            "delete": f"DELETE FROM {table} WHERE id = :key AND rev <= :version"}


class Store:
    """Another program at the database of a server."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "store.db")
        for table in ("own", "own_too"):
            self.execute(f"CREATE TABLE {table} (id TEXT PRIMARY KEY, body TEXT NOT NULL, "
                         "expires INTEGER NOT NULL DEFAULT 0, rev INTEGER NOT NULL DEFAULT 0)")
            self.execute(f"INSERT INTO {table}(id, body) VALUES (?, ?)", KEY, json.dumps({"a": VALUE.decode()}))

    def execute(self, sql, *values):
        database = sqlite3.connect(self.path, timeout=PATIENCE)
        with database:
            database.execute(sql, values)
        database.close()

    def refuse(self, table, key):
        self.execute(f"CREATE TRIGGER no_{table} BEFORE INSERT ON {table} WHEN NEW.key = CAST('{key}' AS BLOB) "
                     "BEGIN SELECT raise(ABORT, 'not now'); END")


def secrets(tmp_path):
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    return Config(namespace("behind", "b:", "write-behind", **BEHIND), namespace("through", "t:", "write-through"),
                  namespace("owned", "o:", "write-through", **own_sql("own")),
                  namespace("touched", "p:", "write-behind", existence="memory", **BEHIND, **own_sql("own_too")),
                  admin_token_file=token, slow_log="1ms", item_max="64kb",
                  backends=[sqlite_backend(timeout="1s")])


def post(server, path):
    return server.ask(path, "POST", headers={"Authorization": f"Bearer {TOKEN}"})


def refused_rows(server, client, store):
    for table, prefix in (("behind", "b:"), ("through", "t:")):
        store.refuse(table, prefix + KEY)
        client.set(prefix + KEY, VALUE)
    client.command("sync behind")
    yield "the backend refuses a row, it is in quarantine"
    yield "the backend refuses to write a row, and its client was told so"
    assert post(server, f"/quarantine/retry?namespace=behind&key=b:{KEY}").status == 200
    client.command("sync behind")
    assert post(server, f"/quarantine/drop?namespace=behind&key=b:{KEY}").status == 200
    yield "admin: POST /quarantine/drop of namespace behind"
    yield "of namespace behind dropped"


def foreign_rows(_, client, store):
    store.execute("INSERT INTO through(key, value) VALUES (CAST(? AS BLOB), CAST(? AS BLOB))", f"t:large-{KEY}",
                  20000 * VALUE.decode())
    assert client.ask(f"t:large-{KEY}")[0] == "error"
    yield "a row in backend local has"
    assert client.ask(f"o:{KEY}")[0] == "error"
    yield "a row cannot be read (1 read "
    client.command(f"touch p:{KEY} 1000")  # is answered from memory, and done by the writer
    client.command("sync touched")
    yield "a row cannot be read and is not touched"
    client.set(f"b:newer-{KEY}", VALUE)
    client.command("sync behind")
    store.execute(f"UPDATE behind SET version = version + {3600 * 1000000 * 4096} WHERE key = CAST('b:newer-{KEY}' AS BLOB)")
    client.set(f"b:newer-{KEY}", VALUE)
    client.command("sync behind")
    yield "not written, as the store has newer versions"


def outage(server, client, _):
    with locked(server):
        client.set(f"b:late-{KEY}", VALUE)
        yield "writes fail and are tried again"
        client.command(f"get t:unknown-{KEY}")
    client.command("sync behind")
    yield "takes writes again"
    yield "slow: "


def clients(server, client, _):
    for line in ("lru_crawler metadump all", "lru_crawler mgdump all", "stats cachedump 1 100"):
        with server.client() as other:
            other.send(line.encode() + b"\r\n")
            eventually(lambda: other.line() in (b"END", b"EN"))
    for bad in (f"set {KEY * 40} 0 0 1\r\n", f"{KEY}\r\n", f"get {KEY} {VALUE}\r\n", f"cas {KEY} x y z\r\n", f"gat {KEY} {KEY}\r\n"):
        with server.client() as other:
            other.send(bad.encode())
            other.line()
    with server.client() as other:
        other.send(b"\x80" + KEY.encode() + VALUE + 30 * b"\x00")
        assert other.read(4)[:2] == b"\x81" + KEY[:1].encode()
    yield "speaks memcached's binary protocol"
    server.ask(f"/{KEY}?x={SECRET}")
    server.ask(f"/quarantine/drop?namespace=behind&key={KEY}", "POST")
    yield "asked for /quarantine/drop without a token"


def crash(server, client, store):
    with locked(server):
        for number in range(50):
            assert client.set(f"b:{number}-{KEY}", VALUE) == b"STORED"
        assert client.set(f"b:large-{KEY}", 2000 * VALUE) == b"STORED"
        server.kill()
    server.config.top["item_max"] = "16kb"
    said = server.refuses()
    assert "a value of namespace \"behind\" has 24000 bytes, more than item_max allows now" in said and SECRET not in said, said
    server.config.top["item_max"] = "64kb"
    spoil(server.folder)
    server.options = [*server.options, "--recover=skip-damaged"]
    server.start()
    yield "is damaged"
    yield "records of"


def spoil(folder):
    """A byte in the middle of each journal file that has any of it."""
    for path in (os.path.join(folder, name) for name in os.listdir(folder) if name.startswith("journal-")):
        with open(path, "r+b") as file:
            at = file.read().find(f"20-{KEY}".encode())
            if at >= 0:
                file.seek(at)
                file.write(b"X")


def test_neither_keys_nor_values_are_on_the_log(serve, tmp_path):
    store = Store(tmp_path)
    server = serve(secrets(tmp_path), admin=True, options=["-B", "ascii"])
    with server.client() as client:
        for part in (refused_rows, foreign_rows, outage, clients, crash):
            for line in part(server, client, store):
                eventually(lambda: line in server.log())
    server.stop()
    assert "stopped; " in server.log()
    assert SECRET not in server.log(), [line for line in server.log().splitlines() if SECRET in line]


def test_the_level_debug_tells_keys_and_no_values(serve, tmp_path):
    store = Store(tmp_path)
    server = serve(secrets(tmp_path), admin=True)
    client = server.client()
    assert post(server, "/log?level=debug").status == 200
    for part in (refused_rows, foreign_rows):
        for line in part(server, client, store):
            eventually(lambda: line in server.log())
    for line in (f"the backend refuses the row of b:{KEY}", f"the backend refuses to write the row of t:{KEY}",
                 f"a row that is too large is that of t:large-{KEY}", f"a row that cannot be read is that of o:{KEY}",
                 f"the row that is not touched is that of p:{KEY}",
                 f"the last change that was not written is of b:newer-{KEY}"):
        eventually(lambda: re.search("debug: .*" + re.escape(line) + "\n", server.log()))
    assert VALUE.decode() not in server.log()
