# SPDX-License-Identifier: MIT
"""What other users of the machine get of the files: none can be read or written by them, and a name that somebody has
prepared leads nowhere. What is told of files that are open to all, and which data folder is refused."""

import contextlib
import fcntl
import functools
import os
import pathlib
import pwd
import re
import socket
import stat
import subprocess
import tempfile

import pytest
from forebay import (SANITIZER_REPORT, Config, Server, ServerFailed, command_line, die_with_the_test, eventually, free_port,
                     namespace)

SECRET = "what belongs to somebody else\n"
CONFIG = Config(namespace("sessions", "sess:", "write-behind", flush_delay="20ms"),
                namespace("plain", "plain:", "write-through"))


@contextlib.contextmanager
def umask(mask):
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def modes(folder):
    """{name: mode} of all that lies there, but for what is renamed or removed meanwhile, as a server does with its blank files."""
    found = {}
    for entry in os.scandir(folder):
        with contextlib.suppress(FileNotFoundError):
            found[entry.name] = stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode)
    return found


def data_folder(tmp_path):
    """A data folder of its own: configuration and log of the server lie beside it."""
    return str(tmp_path / "data")


def server_of(tmp_path, **more):
    """A server whose data folder is made by its start."""
    server = Server(tmp_path, **more)
    server.config = CONFIG.text(server.port, data_folder(tmp_path))
    return server


def use(server):
    """Puts something into every kind of file."""
    client = server.client()
    assert client.set("sess:1", b"value") == b"STORED"
    assert client.set("plain:1", b"value") == b"STORED"
    assert client.sync() >= 0
    eventually(lambda: os.path.exists(os.path.join(os.path.dirname(server.log_path), "data", "low-water")))


@pytest.mark.parametrize("mask", [0, 0o022, 0o077])
def test_no_other_user_can_read_or_write_a_file(tmp_path, mask):
    """Whatever the umask: the data folder is 0700 and every file in it 0600, while the server runs and after it."""
    with umask(mask), server_of(tmp_path) as server:
        use(server)
        found = modes(data_folder(tmp_path))
        assert {"store.db", "store.db-wal", "store.db-shm", "lock", "low-water", "places"} <= set(found), found
        assert any(name.startswith("journal-") for name in found) and any(name.startswith("quarantine-") for name in found)
        assert set(found.values()) == {0o600}, found
        assert stat.S_IMODE(os.stat(data_folder(tmp_path)).st_mode) == 0o700
    found = modes(data_folder(tmp_path))
    assert "backend-local.version" in found and set(found.values()) == {0o600}, found


@pytest.mark.parametrize("name", ["lock", "low-water", "quarantine-sessions.log", "quarantine-plain.log", "journal-01-0000000001.fj",
                                  "places", "places.new", "low-water.new", "quarantine-sessions.log.new", "backend-local.version",
                                  "backend-local.version.new"])
def test_a_link_in_the_data_folder_leads_nowhere(tmp_path, name):
    """A symbolic link under the name of a file is refused, by its name, or removed: what it leads to stays as it is."""
    target = tmp_path / "target"
    target.write_text(SECRET)
    os.mkdir(data_folder(tmp_path), 0o700)
    os.symlink(target, os.path.join(data_folder(tmp_path), name))
    server = server_of(tmp_path)
    try:
        with server:
            use(server)
    except ServerFailed:
        assert re.search(name + ":? .*symbolic link, which is not followed", server.log()), server.log()
    else:
        assert not os.path.islink(os.path.join(data_folder(tmp_path), name))
    assert target.read_text() == SECRET
    assert stat.S_IMODE(target.stat().st_mode) == 0o644


@pytest.mark.parametrize("name", ["lock", "low-water", "quarantine-sessions.log", "quarantine-plain.log", "journal-0-0000000001.fj"])
def test_a_check_refuses_what_a_start_would(tmp_path, name):
    """Nothing that a server which runs there could be doing explains a link or a pipe."""
    os.mkdir(data_folder(tmp_path), 0o700)
    path = os.path.join(data_folder(tmp_path), name)
    for make in (os.mkfifo, lambda path: os.symlink(tmp_path / "target", path)):
        make(path)
        server = server_of(tmp_path)
        checked = subprocess.run([*server.command(), "--check"], capture_output=True, text=True, timeout=60, check=False)
        assert checked.returncode == 1 and data_folder(tmp_path) in checked.stderr, checked
        with pytest.raises(ServerFailed):
            server.start()
        os.unlink(path)


def test_a_pipe_in_the_place_of_a_file_holds_nobody_up(tmp_path):
    os.mkdir(data_folder(tmp_path), 0o700)
    os.mkfifo(os.path.join(data_folder(tmp_path), "low-water"))
    server = server_of(tmp_path)
    with pytest.raises(ServerFailed):
        server.start()
    assert "low-water: it is no plain file" in server.log(), server.log()


# ---- The pid file and the port file ----

def run_once(tmp_path, *options, **environment):
    """A server without a configuration that ends as soon as it serves; its status and what it said."""
    with open(tmp_path / "said", "w+", encoding="utf-8") as said:
        process = subprocess.Popen(command_line("-l", "127.0.0.1", "-p", str(free_port()), "-u", "root", *options), stderr=said,
                                   env={**os.environ, **environment}, preexec_fn=die_with_the_test)
        try:
            eventually(lambda: process.poll() is not None or " serves " in (tmp_path / "said").read_text())
            pid_file = tmp_path / "pid"
            found = pid_file.read_text() if pid_file.exists() and process.poll() is None else None
            process.terminate()
            process.wait(60)
        finally:
            process.kill()
            process.wait()
    text = (tmp_path / "said").read_text()
    assert not SANITIZER_REPORT.search(text), text
    return process.returncode, text, found


def test_the_pid_file_follows_no_link(tmp_path):
    target = tmp_path / "target"
    target.write_text(SECRET)
    os.symlink(target, tmp_path / "pid")
    status, said, _ = run_once(tmp_path, "-P", str(tmp_path / "pid"))
    assert status == 1 and "symbolic link" in said and "-P" in said, said
    assert target.read_text() == SECRET


@pytest.mark.parametrize("mask", [0, 0o077])
def test_the_pid_file_can_be_read_but_not_written_by_others(tmp_path, mask):
    """Whoever watches the process reads it; whoever could write it would choose what a script kills."""
    seen = []

    def look():
        seen.append(modes(tmp_path).get("pid"))

    with umask(mask):
        process = subprocess.Popen(command_line("-l", "127.0.0.1", "-p", str(free_port()), "-u", "root", "-P", str(tmp_path / "pid")),
                                   preexec_fn=die_with_the_test)
    try:
        eventually((tmp_path / "pid").exists)
        eventually(lambda: (tmp_path / "pid").read_text() == f"{process.pid}\n")
        look()
    finally:
        process.terminate()
        assert process.wait(60) == 0
    assert seen == [0o644]
    assert not (tmp_path / "pid").exists()


def test_the_pid_file_of_a_server_that_runs_is_refused(tmp_path):
    """Before anything is loaded; and its own is what a server removes."""
    path = tmp_path / "pid"
    with Server(tmp_path, options=["-P", str(path)]) as server:
        status, said, _ = run_once(tmp_path, "-P", str(path))
        assert status == 1 and f"cannot write the pid file {path} (pid {server.pid}): it is that of a server that runs" in said, said
        assert path.read_text() == f"{server.pid}\n"
        path.unlink()
        path.write_text("1\n")  # another's, by now
        server.stop()
    assert path.read_text() == "1\n"


def test_a_check_knows_whose_the_pid_file_is(tmp_path):
    """Its own server's is no fault, that of another is one."""
    paths = [tmp_path / "one.pid", tmp_path / "other.pid"]
    with Server(tmp_path / "one", config=CONFIG, options=["-P", str(paths[0])]) as one, \
            Server(tmp_path / "other", config=CONFIG, options=["-P", str(paths[1])]) as other:
        check = functools.partial(subprocess.run, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, check=False)
        assert check(one.command() + ["--check"]).returncode == 0
        said = check(one.command() + ["--check", "-P", str(paths[1])])
        assert said.returncode == 1 and f"(pid {other.pid}): it is that of a server that runs" in said.stderr, said.stderr


def test_a_lock_of_who_may_only_read_a_pid_file_is_in_nobodys_way(tmp_path):
    path = tmp_path / "pid"
    path.write_text("12345678\n")
    with open(path, "rb") as read:
        fcntl.lockf(read, fcntl.LOCK_SH)
        status, said, found = run_once(tmp_path, "-P", str(path))
    assert status == 0 and found, said


def test_who_runs_by_the_pid_in_a_file_is_told(tmp_path):
    """As memcached does: it may be the file of another program."""
    path = tmp_path / "pid"
    path.write_text(f"{os.getpid()}\n")
    status, said, found = run_once(tmp_path, "-P", str(path))
    assert status == 0 and found and f"names process {os.getpid()} (" in said and "which runs, and is replaced" in said, said
    path.write_text("12345678\n")
    assert "which runs" not in run_once(tmp_path, "-P", str(path))[1]


def test_a_pid_file_that_was_left_is_taken_over(tmp_path):
    (tmp_path / "pid").write_text("12345678901234567890\n")
    status, said, found = run_once(tmp_path, "-P", str(tmp_path / "pid"))
    assert status == 0 and found and 1 < int(found) < 1 << 22, (said, found)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_pid_file_of_somebody_else_is_refused(tmp_path):
    (tmp_path / "pid").write_text("1\n")
    os.chown(tmp_path / "pid", 65534, 65534)
    status, said, _ = run_once(tmp_path, "-P", str(tmp_path / "pid"))
    assert status == 1 and "belongs to another user" in said, said
    assert (tmp_path / "pid").read_text() == "1\n"


def test_the_port_file_follows_no_link(tmp_path):
    target = tmp_path / "target"
    target.write_text(SECRET)
    os.symlink(target, tmp_path / "ports.lck")
    with umask(0):
        status, said, _ = run_once(tmp_path, MEMCACHED_PORT_FILENAME=str(tmp_path / "ports"))
    assert status == 0, said
    assert target.read_text() == SECRET
    assert (tmp_path / "ports").read_text().startswith("TCP INET: ") and modes(tmp_path)["ports"] == 0o644


@pytest.mark.parametrize("mask", [0, 0o077])
def test_the_unix_socket_keeps_its_own_mode(tmp_path, mask):
    path = tmp_path / "socket"
    with umask(mask):
        process = subprocess.Popen(command_line("-s", str(path), "-a", "666", "-u", "root"), preexec_fn=die_with_the_test)
    try:
        with socket.socket(socket.AF_UNIX) as client:
            eventually(lambda: path.exists() and client.connect_ex(str(path)) == 0)
        assert modes(tmp_path)["socket"] == 0o666
    finally:
        process.terminate()
        assert process.wait(60) == 0


# ---- What is there already ----

@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702])
def test_a_data_folder_that_everybody_can_write_into_is_refused(tmp_path, mode):
    """Sticky or not: who can put a journal there decides what a start recovers. --check says the same, and makes nothing."""
    os.mkdir(data_folder(tmp_path))
    os.chmod(data_folder(tmp_path), mode)
    server = server_of(tmp_path)
    checked = subprocess.run([*server.command(), "--check"], capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 1 and "write into the data folder" in checked.stderr, checked
    with pytest.raises(ServerFailed):
        server.start()
    assert f"(mode {mode:04o})" in server.log() and "chmod o-w" in server.log(), server.log()
    assert not os.listdir(data_folder(tmp_path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_folder_of_another_user_is_refused_with_its_remedy():
    """The server ran as root first: chown of the folder alone is not enough, and the message says so."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o711)
        place = pathlib.Path(name)
        with server_of(place) as server:
            use(server)
        said = server_of(place).refuses("-u", "nobody")
        assert f"{data_folder(place)} cannot be read and written into by user" in said and "chown -R" in said, said
        nobody = pwd.getpwnam("nobody")
        os.chown(data_folder(place), nobody.pw_uid, nobody.pw_gid)
        said = server_of(place).refuses("-u", "nobody")
        assert f"{data_folder(place)}/lock, which belongs to user 0" in said and "chown -R" in said, said


def test_a_data_folder_that_is_a_file_is_refused(tmp_path):
    """By --check as well."""
    with open(data_folder(tmp_path), "w", encoding="utf-8"):
        pass
    for options in [], ["--check"]:
        said = server_of(tmp_path).refuses(*options)
        assert f"the data folder {data_folder(tmp_path)} is not a folder" in said, said


def test_a_folder_of_a_group_is_told_and_served(tmp_path):
    """An application may share a database with the server by a group, and needs its folder for that."""
    os.mkdir(data_folder(tmp_path))
    os.chmod(data_folder(tmp_path), 0o770)
    with server_of(tmp_path) as server:
        assert server.client().set("sess:1", b"v") == b"STORED"
        assert server.log().count("can write into the data folder") == 1, server.log()


def test_files_that_everybody_can_read_are_told(tmp_path):
    """As an older version made them, in a folder that others can enter. Their mode stays: it may be meant."""
    with server_of(tmp_path) as server:
        use(server)
        assert "every user" not in server.log()
    folder = data_folder(tmp_path)
    os.chmod(folder, 0o755)
    os.chmod(os.path.join(folder, "store.db"), 0o644)
    os.chmod(os.path.join(folder, "low-water"), 0o604)
    os.chmod(os.path.join(folder, "lock"), 0o606)
    with server_of(tmp_path) as server:
        log = server.log()
        assert f"backend local: every user can read {folder}/store.db (mode 0644)" in log, log
        assert "read or write 2 files of the data folder" in log or "read or write 1 file of the data folder" in log, log
        assert modes(folder)["store.db"] == 0o644 and modes(folder)["store.db-wal"] == 0o644
    os.chmod(folder, 0o700)
    with server_of(tmp_path) as server:
        assert "every user" not in server.log(), server.log()
