# SPDX-License-Identifier: MIT
"""--check: whatever would refuse a start is told, all of it at once; nothing is changed by it, and a server that runs with the
same configuration is told and not in the way."""

import contextlib
import os
import pathlib
import re
import shutil
import socket
import sqlite3
import subprocess
import tempfile

import pytest
from checking import accepted, at, check, config, lying, refused, stored
from forebay import AWAY, Config, Redis, Server, ServerFailed, eventually, free_port, namespace, section, sqlite_backend

needs_redis = pytest.mark.skipif(Redis.missing() is not None, reason=str(Redis.missing()))
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")

OWN_SQL = {"load": "select v from t where k = :key", "store": "insert or replace into t values(:key, :value)",
           "delete": "delete from t where k = :key"}


# ---- No trace ----

def test_before_the_first_start_nothing_is_made(tmp_path):
    out, err = accepted(at(tmp_path))
    assert 'backend "local" (sqlite:store.db): ready' in out and not err
    assert not (tmp_path / "data").exists()


def test_a_running_server_is_told_and_not_in_the_way(serve, tmp_path):
    server = at(tmp_path)
    path = f"unix:{tmp_path}/f.sock"
    server.config = server.config.replace("}\ndata", f', "{path}"}}\ndata', 1)
    running = serve(server.config, port=server.port)
    client = running.client()
    assert client.set("sess:1", b"v") == b"STORED"
    client.sync()
    assert client.set("sess:2", b"w") == b"STORED"
    running.pause()  # whatever changes now, the server did not
    before = stored(server)
    status, out, err = check(server)
    after = stored(server)
    running.resume()
    assert after == before and status == 0 and out.endswith(": ok\n"), (out, err)
    for taken in ("data folder", f"127.0.0.1:{server.port}", path):
        assert any(taken in line and line.endswith(f"pid {running.pid}") for line in out.splitlines()), out
    assert not err
    assert client.get("sess:2") == b"w"
    running.kill()
    before = stored(server)
    out, _ = accepted(server)
    assert stored(server) == before, "nor after a kill, with a log beside the database that nobody has open"
    assert "acknowledged change" in out and "pid" not in out
    server.start()
    assert server.client().get("sess:2") == b"w"
    server.stop()
    before = stored(server)
    accepted(server)
    assert stored(server) == before


@needs_redis
def test_redis_is_asked_and_not_changed(tmp_path, redis):
    server = at(tmp_path, namespace("sessions", "sess:", "write-behind", backend="far"),
                backends=[section("backend", "far", uri=redis.uri)])
    client = redis.connect()
    client.config_resetstat()
    out, _ = accepted(server)
    assert f'backend "far" ({redis.uri}): ready' in out
    assert client.dbsize() == 0 and client.info("memory")["number_of_cached_scripts"] == 0
    asked = set(client.info("commandstats"))
    assert {"cmdstat_info", "cmdstat_get", "cmdstat_script|exists"} <= asked and "cmdstat_script|load" not in asked
    client.config_resetstat()
    accepted(server, how="--check=offline")
    assert not client.info("commandstats").keys() & {"cmdstat_get", "cmdstat_script|exists"}


# ---- Backends ----

@needs_redis
def test_a_backend_that_is_away_is_a_warning(tmp_path, redis):
    nobody = free_port()
    server = at(tmp_path, namespace("a", "a:", "write-behind", backend="gone"), namespace("b", "b:", "read-through", backend="stuck"),
                backends=[section("backend", "gone", uri=f"redis://:secret@127.0.0.1:{nobody}/0"),
                          section("backend", "stuck", uri=redis.uri, timeout=AWAY)])
    redis.pause()
    status, _, err = check(server)
    redis.resume()
    assert status == 0, err
    lines = err.splitlines()
    assert len(lines) == 2 and all(line.startswith("forebay: warning: ") and "serves without it" in line for line in lines), err
    assert '"gone"' in lines[0] and f"127.0.0.1:{nobody}" in lines[0] and '"stuck"' in lines[1] and "secret" not in err
    assert accepted(server, how="--check=offline")[1] == ""


@needs_redis
def test_a_redis_that_would_refuse_the_start_is_an_error(tmp_path, redis):
    def far(uri):
        return at(tmp_path, namespace("a", "a:", "write-behind", backend="far"), backends=[section("backend", "far", uri=uri)])
    client = redis.connect()
    assert "DB index" in refused(far(f"redis://127.0.0.1:{redis.port}/4711"))
    client.set("forebay:high_version", "nonsense")
    assert "nonsense" in refused(far(redis.uri))
    client.delete("forebay:high_version")
    client.acl_setuser("ann", enabled=True, passwords=["+secret"], commands=["+@all", "-@scripting"], keys=["*"])
    assert "NOPERM" in refused(far(f"redis://ann:secret@127.0.0.1:{redis.port}/0"))
    client.acl_setuser("bob", enabled=True, passwords=["+secret"], commands=["+@all"], keys=["a:*"])
    server = far(f"redis://bob:secret@127.0.0.1:{redis.port}/0")
    assert "access one of the keys" in refused(server) and "access one of the keys" in server.refuses()
    client.config_set("requirepass", "right")
    err = refused(far(f"redis://:wrong@127.0.0.1:{redis.port}/0"))
    assert "WRONGPASS" in err and "wrong@" not in err
    accepted(far(f"redis://:wrong@127.0.0.1:{redis.port}/0"), how="--check=offline")


COLUMNS = "value, flags, expires_at, version, client_cas, marks"
SPOILT = {
    "a table without a rowid": (f"create table sessions(key primary key, {COLUMNS}) without rowid", "WITHOUT ROWID"),
    "a view": (f"create table t(key primary key, {COLUMNS}); create view sessions as select * from t", "is a view"),
    "a trigger that writes to a view": (f"create table sessions(key primary key, {COLUMNS}); create view seen as select * from sessions; "
                                        "create trigger t after insert on sessions begin insert into seen(key) values (new.key); end",
                                        "cannot modify seen because it is a view"),
    "a key that is not unique": (f"create table sessions(key, {COLUMNS})", "CREATE UNIQUE INDEX"),
    "another program's table": ("create table sessions(k, v)", "not Forebay's"),
    "a newer layout": ("create table forebay_meta(name text primary key, value); insert into forebay_meta values('schema', 99)",
                       "version 99"),
    "a high version that is none": ("create table forebay_meta(name text primary key, value); "
                                    "insert into forebay_meta values('high_version', 'x')", "high_version"),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_database_that_would_refuse_the_start_is_an_error(tmp_path, how):
    sql, word = SPOILT[how]
    server = at(tmp_path)
    os.mkdir(tmp_path / "data", 0o700)
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "store.db")) as database:
        database.executescript(sql)
    before = stored(server)
    said = refused(server)
    assert word in said and "store.db" in said, said
    assert stored(server) == before
    assert word in server.refuses(), "a start says the same"


def test_what_is_no_database_is_an_error(tmp_path):
    server = at(tmp_path)
    os.mkdir(tmp_path / "data", 0o700)
    (tmp_path / "data" / "store.db").write_bytes(b"not a database, and longer than its header" * 100)
    assert "not a database" in refused(server)
    os.remove(tmp_path / "data" / "store.db")
    os.mkdir(tmp_path / "data" / "store.db")
    assert "directory" in refused(server)
    os.rmdir(tmp_path / "data" / "store.db")
    for name in ("store.db", "store.db-wal"):  # whoever opened it would wait for somebody at its other end
        os.mkfifo(tmp_path / "data" / name)
        assert f"{name}: is a pipe" in refused(server)
        assert f"{name}: is a pipe" in server.refuses()
        os.remove(tmp_path / "data" / name)
    for name in ("store.db-wal", "store.db-shm", "store.db-journal"):
        os.symlink(tmp_path / "elsewhere", tmp_path / "data" / name)
        assert f"{name}: is a symbolic link" in refused(server)
        assert f"{name}: is a symbolic link" in server.refuses()
        os.remove(tmp_path / "data" / name)
    assert "does not exist" in refused(at(tmp_path, backends=[sqlite_backend(path="/nowhere/at/all.db")]))


def test_sql_of_its_own_is_tried_on_the_tables(tmp_path):
    path = tmp_path / "odd % name?#.db"
    server = at(tmp_path, namespace("own", "own:", "write-through", **OWN_SQL), backends=[sqlite_backend(path=str(path))])
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript("pragma journal_mode = wal; create table t(k primary key, w)")
    assert "no such column: v" in refused(server)
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript("alter table t rename column w to v")
        # In the log alone, which is looked at as well.
        accepted(server)
    accepted(server)


@pytest.mark.parametrize("load, why", [(OWN_SQL["load"], "no such table: t"), ("selec v from t", 'near "selec": syntax error')])
def test_sql_of_its_own_needs_its_tables_before_the_database_is_there(tmp_path, load, why):
    server = at(tmp_path, namespace("own", "own:", "write-through", **{**OWN_SQL, "load": load}), backends=[sqlite_backend()])
    assert why in refused(server)
    assert not os.path.exists(tmp_path / "data")
    with pytest.raises(ServerFailed, match=re.escape(why)):  # as a start says
        server.start()


def test_a_backend_that_nobody_uses_is_a_warning(tmp_path):
    server = at(tmp_path, backends=[sqlite_backend(), sqlite_backend(name="spare", path="spare.db")])
    _, err = accepted(server)
    assert re.search(r'^forebay: warning: .*:\d+: no namespace uses backend "spare": remove it', err, re.MULTILINE)
    assert 'backend "local"' not in err


# ---- Addresses, user, folders, files ----

def test_an_address_of_somebody_else_is_an_error(tmp_path):
    server = at(tmp_path)
    path = tmp_path / "no-socket"
    path.write_text("a file\n")
    with socket.create_server(("127.0.0.1", server.port)), socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(tmp_path / "taken"))
        taken.listen()
        said = refused(server)
        assert f"127.0.0.1:{server.port}" in said and "another server has it" in said
        assert str(path) in refused(server, "-s", str(path)) and path.read_text() == "a file\n"
        assert "another server has it" in refused(server, "-s", str(tmp_path / "taken"))
    accepted(server, "-s", str(tmp_path / "taken"))
    assert (tmp_path / "taken").exists(), "a start would remove it"
    assert "/nowhere/s" in refused(server, "-s", "/nowhere/s")
    accepted(server)


def test_the_admin_address_is_tried_as_well(serve, tmp_path):
    server = at(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        admin = f"127.0.0.1:{taken.getsockname()[1]}"
        assert admin in refused(server, "--admin", admin)
    running = serve(server.config, port=server.port, options=["--admin", admin])
    assert f"admin, {admin}: taken by the server that runs, pid {running.pid}" in accepted(server, "--admin", admin)[0]


@pytest.mark.parametrize("host, why", [
    ("192.0.2.1", "no interface of this machine has this address"), ("11280", "a number alone is no host"), ("no-such-host.invalid", "correct")])
def test_what_the_running_server_has_excuses_no_address_that_cannot_be(serve, tmp_path, host, why):
    server = at(tmp_path)
    running = serve(server.config, port=server.port, admin=True)
    for option, port in (("-l", running.port), ("--admin", running.admin_port)):
        said = server.refuses("--check", option, f"{host}:{port}")
        assert host in said and why in said, said


def test_all_that_is_wrong_with_http_is_told(tmp_path):
    server = at(tmp_path)
    token = tmp_path / "token"
    token.write_text("short")
    token.chmod(0o600)
    server.config = server.config + f'admin_token_file = "{token}"\n'
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = refused(server, "--admin", f"127.0.0.1:{taken.getsockname()[1]}")
    assert "less than 16" in said and "another server has it" in said


def test_addresses_that_stand_in_each_others_way_are_an_error(tmp_path):
    """Each can be had alone. A start says so as well, before it binds any."""
    server = at(tmp_path)
    for address in (f"127.0.0.1:{server.port}", f"0.0.0.0:{server.port}", f"localhost:{server.port}"):
        for said in (server.refuses("--check", "--admin", address), server.refuses("--admin", address)):
            assert f"clients are served at {address} already (127.0.0.1:{server.port}): give admin another port" in said
    server.config = server.config.replace("listen = {", f'listen = {{"*:{server.port}", ')
    for said in (server.refuses("--check"), server.refuses()):
        assert f"listen: *:{server.port} and 127.0.0.1:{server.port} have an address and port in common" in said


def test_another_server_on_the_port_is_not_the_same_one(serve, tmp_path):
    other = serve(Config(namespace("plain", "plain:", "cache-aside")))
    server = at(tmp_path / "second")
    server.config = server.config.replace(str(server.port), str(other.port))
    assert f"127.0.0.1:{other.port}" in refused(server)
    other.check_alive()


def test_a_server_without_data_is_known_by_its_pid_file(serve, tmp_path):
    pid_file = str(tmp_path / "pid")
    server = Server(tmp_path, options=["-P", pid_file])
    server.config = f'listen = {{"127.0.0.1:{server.port}"}}\n'
    running = serve(server.config, port=server.port, options=["-P", pid_file])
    out, _ = accepted(server)
    assert f"taken by the server that runs, pid {running.pid}" in out
    running.stop()
    accepted(server)


def test_all_faults_are_told_at_once(tmp_path):
    (tmp_path / "auth").write_text("nobody\n")
    os.symlink("/nowhere", tmp_path / "pid")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(at(tmp_path, backends=[sqlite_backend(path="/nowhere/at/all.db")]), "-l", f"127.0.0.1:{port}",
                       "-Y", str(tmp_path / "auth"), "-P", str(tmp_path / "pid"))
    for word in ("line 1 of the authentication file", f":{port}", "/nowhere/at", "symbolic link"):
        assert word in said, said
    assert len(said.splitlines()) == 4, said


@pytest.fixture
def open_folder():
    """One that every user can enter, as those of pytest cannot be."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o711)
        yield pathlib.Path(folder)


@needs_root
def test_the_user_is_tried(open_folder):
    server = at(open_folder)
    data = open_folder / "data"
    assert "no-such-user" in refused(server, "-u", "no-such-user")
    assert f"{data} does not exist and cannot be made" in refused(server, "-u", "nobody")
    os.mkdir(data, 0o711)
    assert f"{data} cannot be read and written into by user" in refused(server, "-u", "nobody")
    os.chown(data, 65534, 65534)
    accepted(server, "-u", "nobody")
    (data / "lock").write_text("")
    (data / "store.db").write_text("")
    for name in "lock", "store.db":
        os.chmod(data / name, 0o600)
    said = refused(server, "-u", "nobody")
    assert f"{data}/lock cannot be opened by user 65534: Permission denied; chown -R the data folder to him" in said, said
    assert f"{data}/store.db: cannot be read and written by user 65534: Permission denied; chown or chmod it" in said, said


@needs_root
def test_what_is_replaced_may_be_of_somebody_else(open_folder, serve):
    """A file of root's that waits to be used again, and others that were to take the place of one."""
    (open_folder / "data").mkdir(0o700)
    server = at(open_folder, namespace("sessions", "sess:", "write-behind", flush_delay="20ms"), journal_file_size="64kb",
                threads=1)
    for name in ("blank-1", "quarantine-sessions.log.new"):
        (open_folder / "data" / name).write_bytes(b"x" * 65536)
        (open_folder / "data" / name).chmod(0o600)
    os.chown(open_folder / "data", 65534, 65534)
    accepted(server, "-u", "nobody")
    client = serve(server.config, ["-u", "nobody"], port=server.port).client()
    assert set(client.set_many((f"sess:{number}", b"x" * 1000) for number in range(500))) == {b"STORED"}
    client.sync()
    assert client.stats("write_behind")["journal:failures"] == "0"
    os.chmod(open_folder / "data", 0o100)
    assert "cannot be read and written into by user" in refused(server, "-u", "nobody")


@needs_root
def test_a_log_of_a_database_that_belongs_to_somebody_else_is_named(open_folder):
    """SQLite says that the database cannot be opened."""
    server = at(open_folder)
    data = open_folder / "data"
    os.mkdir(data, 0o700)
    with contextlib.closing(sqlite3.connect(data / "store.db")) as database:
        database.executescript("pragma journal_mode = wal; create table t(k)")
        shutil.copy(data / "store.db-wal", data / "kept")
    os.rename(data / "kept", data / "store.db-wal")
    for name in ("", "store.db"):
        os.chown(data / name, 65534, 65534)
    os.chmod(data / "store.db-wal", 0o600)
    for how in ((), ("--check",)):
        assert f"{data}/store.db-wal: cannot be read and written by user 65534: Permission denied; chown or chmod it" in server.refuses("-u", "nobody", *how)


@needs_root
def test_files_that_the_user_may_not_read_are_a_warning(open_folder):
    """Root reads them at a start; a reload cannot, nor can a service that is this user from the beginning."""
    server = at(open_folder)
    os.mkdir(open_folder / "data", 0o700)
    os.chown(open_folder / "data", 65534, 65534)
    files = {name: open_folder / name for name in ("users", "token")}
    for path in files.values():
        path.write_text("user:a-long-password\n")
        path.chmod(0o600)
    server.config += f'auth_file = "{files["users"]}"\nadmin_token_file = "{files["token"]}"\nadmin = "127.0.0.1:0"\n'
    for path in (*files.values(), server.write_config()):
        os.chmod(path, 0o600)
        _, err = accepted(server, "-u", "nobody")
        assert f"warning: user 65534 cannot read {path}: Permission denied" in err, err
        os.chown(path, 65534, 65534)
        assert f"cannot read {path}" not in accepted(server, "-u", "nobody")[1]


def test_a_data_folder_that_cannot_be_made_is_an_error(tmp_path):
    server = at(tmp_path)
    server.config = server.config.replace(f"{tmp_path}/data", "/nowhere/at/all")
    assert "/nowhere/at/all does not exist and cannot be made" in refused(server)
    (tmp_path / "data").write_text("a file")
    assert "is not a folder" in refused(at(tmp_path))


def test_links_in_the_data_folder_are_an_error(tmp_path):
    server = at(tmp_path)
    os.mkdir(tmp_path / "data", 0o700)
    os.symlink("/nowhere", tmp_path / "data" / "lock")
    assert "data/lock" in refused(server) and "symbolic link" in refused(server)
    assert len(refused(server).splitlines()) == 1


def test_a_changed_place_is_a_warning(serve, tmp_path):
    server = at(tmp_path)
    serve(server.config, port=server.port).stop()
    server.config = server.config.replace("sqlite:store.db", "sqlite:other.db")
    _, err = accepted(server)
    assert "warning: keys" in err and "other.db" in err
    _, again = accepted(server)
    assert again == err, "it is not noted as known"


def test_what_a_file_or_a_store_says_drives_no_terminal(serve, tmp_path):
    server = at(tmp_path)
    serve(server.config, port=server.port).stop()
    (tmp_path / "data" / "places").write_text("old\told:\x1b[31m\tsqlite:x\x9b.db, table y\n")
    _, err = accepted(server)
    assert 'keys "old:?[31m*"' in err and "sqlite:x?.db" in err
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "store.db")) as database:
        database.executescript("drop table sessions; create view sessions as select 1 as [\x1b[2J]")
    assert "\x1b" not in refused(server)


def test_a_damaged_low_water_file_is_an_error_without_a_journal_as_well(serve, tmp_path):
    server = at(tmp_path)
    serve(server.config, port=server.port).stop()
    for text in ("", "x" * 9000):
        (tmp_path / "data" / "low-water").write_text(text)
        assert "--recover=skip-damaged" in refused(server)
        assert "--recover=skip-damaged" in server.refuses()
    other = at(tmp_path, namespace("sessions", "sess:", "write-through"))
    accepted(other)  # nobody reads it then
    serve(other.config, port=other.port)


def test_a_damaged_quarantine_is_an_error(serve, tmp_path):
    trigger = "create trigger no before insert on sessions begin select raise(abort, 'no'); end"
    server = at(tmp_path, namespace("sessions", "sess:", "write-behind", flush_delay="10ms"))
    running = serve(server.config, port=server.port)
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "store.db")) as database:
        database.executescript(trigger)
    client = running.client()
    for number in range(3):
        assert client.set(f"sess:{number}", b"bad" * 30) == b"STORED"
        eventually(lambda number=number: int(client.stats("write_behind")["sessions:quarantine"]) == number + 1)
    running.stop()
    path = tmp_path / "data" / "quarantine-sessions.log"
    content = bytearray(path.read_bytes())
    content[content.index(b"sess:1")] ^= 0xff
    path.write_bytes(content)
    told = f"The quarantine file {path} is damaged: no record that passes its check at offset "
    assert told in refused(server) and told in server.refuses()
    accepted(server, "--recover=skip-damaged")
    assert path.read_bytes() == bytes(content)


KERNELS = "in a file system of the kernel, where no files can be made"


@needs_root
@pytest.mark.parametrize("folder", ["/proc", "/proc/x", "/sys/x", "/dev/pts/x"])
def test_where_nobody_makes_files_is_no_data_folder(tmp_path, folder):
    """Root may do everything there, says access()."""
    server = Server(tmp_path, config=config().text(free_port(), folder))
    assert f"the data folder {folder} is {KERNELS}; correct data" in refused(server)
    assert f"the data folder {folder} is {KERNELS}; correct data" in server.refuses()
    assert not os.path.exists(folder) or folder == "/proc"


@needs_root
def test_nor_is_it_a_place_for_other_files(tmp_path):
    space = namespace("sessions", "sess:", "write-through")
    server = Server(tmp_path, config=config(space, backends=[section("backend", "local", uri="sqlite:/proc/x.db")]))
    assert f'backend "local", /proc/x.db: its folder is {KERNELS}; correct uri' in refused(server)
    server = Server(tmp_path, config=config())
    assert "cannot write the pid file /proc/x.pid: Operation not supported" in refused(server, "-P", "/proc/x.pid")
    assert "cannot listen on the Unix socket /proc/x.sock: Operation not supported" in refused(server, "-s", "/proc/x.sock")
