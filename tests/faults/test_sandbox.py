# SPDX-License-Identifier: MIT
"""What a server gives up for good: the rights of root (-u), more rights than it has (always), and what it has no use for
(sandbox = "strict"). That all the rest goes on inside is shown by tests that are run in it once more: SANDBOXED in
tests/CMakeLists.txt.

What is refused is tried from within, by a library in the server: sandbox_probe.c, in builds without sanitizers. Outside
of the sandbox the same tries come to something else, or they would show nothing."""

import ctypes
import errno
import os
import pwd
import re
import resource
import signal
import socket
import subprocess

import pytest
from forebay import Config, Server, binary, command_line, die_with_the_test, eventually, namespace, preloaded, section

SESSIONS = namespace("sessions", "sess:", "write-behind", flush_delay="20ms")
REFUSED = {errno.EPERM, errno.EACCES}
RING = "io_uring_setup"


def status_of(pid):
    """{name: words} of /proc/PID/status."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return {name: words.split() for name, words in (line.split(":", 1) for line in status)}


def landlock_version():
    """Of this kernel, as it says itself; below 1: it has none, or not in its list (lsm=)."""
    create_ruleset, version = 444, 1
    return ctypes.CDLL(None).syscall(ctypes.c_long(create_ruleset), None, ctypes.c_long(0), ctypes.c_long(version))


def limits_ports():
    return landlock_version() >= 4


needs_landlock = pytest.mark.skipif(landlock_version() < 1, reason="this kernel has no Landlock, or does not let it be used")


class Probe:
    """A server with the library in it, and the folders and the port that it tries to get at."""

    def __init__(self, folder, library, config, sandbox, options=()):
        self.outside, self.inside, self.out = folder / "outside", folder / "inside", folder / "tried"
        for place in (self.outside, self.inside):
            place.mkdir()
            (place / "file").write_text("words")
        (self.outside / "other").write_text("words")
        self.neighbour = socket.create_server(("127.0.0.1", 0))
        env = {"LD_PRELOAD": library, "SANDBOX_PROBE_OUT": str(self.out), "SANDBOX_PROBE_INSIDE": str(self.inside),
               "SANDBOX_PROBE_OUTSIDE": str(self.outside), "SANDBOX_PROBE_PORT": str(self.neighbour.getsockname()[1])}
        self.server = Server(self.inside, config, [*options, "--sandbox", sandbox], env=env)

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *failure):
        self.neighbour.close()
        self.server.__exit__(*failure)

    def tries(self):
        """{name: errno}, 0 where it could."""
        self.server.signal(signal.SIGUSR2)
        eventually(lambda: self.out.read_text().endswith("done 0\n"))
        return {name: int(number) for name, number in map(str.split, self.out.read_text().splitlines())}


@pytest.fixture
def probe(tmp_path):
    library = preloaded("SANDBOX_PROBE")
    if not library:
        pytest.skip("SANDBOX_PROBE does not name the library built from tests/faults/sandbox_probe.c")
    return lambda sandbox, config=None, options=(): Probe(tmp_path, library, config or Config(SESSIONS), sandbox, options)


# ---- The sandbox ----

@needs_landlock
def test_nothing_is_to_be_had_but_what_the_settings_name(probe):
    with probe("strict") as probed:
        found = probed.tries()
        assert found.pop("read_inside") == 0 and found.pop("done") == 0
        assert found.pop("control_groups") in {0, errno.ENOENT}, "where cpu.max is read while it serves"
        assert found.pop("newer") == errno.ENOSYS, "an older way is taken"
        if not limits_ports():
            del found["connect"]
        assert {name: errno.errorcode.get(code, code) for name, code in found.items() if code not in REFUSED} == {}
        assert not (probed.outside / "made").exists() and (probed.outside / "file").read_text() == "words"
        client = probed.server.client()
        assert client.set("sess:1", b"v") == b"STORED"
        eventually(lambda: b"sess:1" in probed.server.rows())


def test_outside_of_the_sandbox_each_try_comes_to_something_else(probe):
    """It is the sandbox that refuses. What root alone may do is refused to others in any case, and a machine may have no rings."""
    with probe("off") as probed:
        found = probed.tries()
    if os.geteuid() != 0 or found[RING] in REFUSED:
        pytest.skip("this user, or this machine, is refused some of it without a sandbox")
    assert {name for name, code in found.items() if code in REFUSED} <= {"ptrace", "keyctl", "userfaultfd", "init_module"}
    assert found["execve"] == errno.ENOENT and found["connect"] == found["bind"] == found["netlink_socket"] == 0


def test_without_rings_of_its_own_a_server_makes_none(probe):
    with probe("strict", options=["--io", "epoll"]) as probed:
        assert probed.tries()[RING] == errno.EPERM
        assert probed.server.client().stats("forebay")["io"] == "epoll"


def test_a_redis_is_reached_at_its_port_alone(probe, redis):
    if not limits_ports():
        pytest.skip("this kernel's Landlock has no ports")
    backend = section("backend", "local", uri=f"redis://127.0.0.1:{redis.port}/0")
    with probe("strict", Config(SESSIONS, backends=[backend])) as probed:
        client = probed.server.client()
        assert client.set("sess:1", b"v") == b"STORED"
        client.sync()
        assert redis.rows("sess:")
        assert probed.tries()["connect"] == errno.EACCES
        assert f"TCP connections to ports {redis.port}\n" in probed.server.log()


@needs_landlock
def test_what_is_open_is_told(tmp_path):
    database, socket_file = tmp_path / "databases", tmp_path / "sockets" / "socket"
    for folder in (database, socket_file.parent):
        folder.mkdir()
    backend = section("backend", "local", uri=f"sqlite:{database}/store.db")
    server = Server(tmp_path / "data", Config(SESSIONS, backends=[backend]), ["--sandbox", "strict"])
    server.options += ["-l", f"127.0.0.1:{server.port},unix:{socket_file}", "-P", f"{tmp_path}/data/./pid"]
    with server:
        said = re.search(r"notice: sandbox: (.*)", server.log()).group(1)
        assert socket_file.exists()
    assert f"files are changed in {tmp_path}/data, {database}; removed in {socket_file.parent}; " in said
    assert len(re.findall(f"{tmp_path}/data\\b", said)) == 1, "it is named once, although the pid file and the configuration are in it, too"
    assert not socket_file.exists(), "it is removed at the end"


def test_a_database_may_be_a_link_to_one_that_is_to_be_made(tmp_path):
    """As with one that leads to a file: both folders count, as SQLite's log is beside the file."""
    links, databases = tmp_path / "links", tmp_path / "databases"
    for folder in (links, databases):
        folder.mkdir()
    (links / "store.db").symlink_to("../databases/made.db")
    backend = section("backend", "local", uri=f"sqlite:{links}/store.db")
    with Server(tmp_path / "data", Config(SESSIONS, backends=[backend]), ["--sandbox", "strict"]) as server:
        client = server.client()
        assert client.set("sess:1", b"v") == b"STORED"
        client.sync()
        assert (databases / "made.db").exists()


def test_ports_of_stores_are_told_once(tmp_path, redis):
    if not limits_ports():
        pytest.skip("this kernel's Landlock has no ports")
    backends = [section("backend", f"of{number}", uri=f"redis://127.0.0.1:{redis.port}/{number}") for number in range(2)]
    spaces = [namespace(f"of{number}", f"of{number}:", "write-behind", backend=f"of{number}") for number in range(2)]
    with Server(tmp_path, Config(*spaces, backends=backends), ["--sandbox", "strict"]) as server:
        assert f"TCP connections to ports {redis.port}\n" in server.log()


def test_threads_have_names(tmp_path):
    """Which they give themselves: from outside it takes what the sandbox does not leave."""
    def names(server):
        for thread in os.listdir(f"/proc/{server.pid}/task"):
            with open(f"/proc/{server.pid}/task/{thread}/comm", encoding="ascii") as name:
                yield name.read().strip()

    with Server(tmp_path, Config(SESSIONS), ["--sandbox", "strict"]) as server:
        eventually(lambda: {"maintenance", "worker 0", "writer local"} <= set(names(server)))


# ---- A reload ----

def reload(server):
    """What a SIGHUP comes to."""
    before = server.log().count(" reload: ")
    server.signal(signal.SIGHUP)
    return eventually(lambda: re.findall(r"reload: (.*)", server.log())[before:])[0]


def passwords(path, word):
    path.parent.mkdir(exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(f"user:{word}\n")
    new.chmod(0o600)
    new.rename(path)
    return path


@needs_landlock
def test_a_reload_that_names_a_file_elsewhere_is_refused(tmp_path, serve):
    """With thing, place and remedy. In the folder of the former one, a file may be replaced, and have another name."""
    first = passwords(tmp_path / "secrets" / "first", "one")
    server = serve(Config(SESSIONS, auth_file=first), ["--sandbox", "strict"], folder=tmp_path / "server")

    def takes(word):
        with server.client() as client:
            return client.set("k", f"user {word}".encode()) == b"STORED"

    assert takes("one")
    passwords(first, "two")
    assert "the passwords of" in reload(server) and takes("two")
    server.config.top["auth_file"] = passwords(tmp_path / "secrets" / "second", "three")
    server.write_config()
    assert "auth_file" in reload(server) and takes("three")
    elsewhere = server.config.top["auth_file"] = passwords(tmp_path / "elsewhere" / "third", "four")
    server.write_config()
    answer = reload(server)
    if not os.environ.get("SANDBOX_PROBE"):
        return  # sanitizers read what they like, and the server with them
    assert answer.startswith(f"auth_file: {elsewhere} is in a folder that the sandbox of this server does not reach")
    assert "restart it" in answer and answer.endswith("nothing was changed") and takes("three")
    server.stop()
    server.start()
    assert takes("four")


# ---- Where it cannot be had ----

class Filtered(Server):
    """A server that may not use a system call."""

    def command(self):
        wrapper = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support", "without_call.py")
        return ["/usr/bin/python3", "-B", wrapper, "landlock_create_ruleset", *super().command()]


def test_a_kernel_without_landlock_is_told_once(tmp_path):
    with Filtered(tmp_path, Config(SESSIONS), ["--sandbox", "strict"]) as server:
        assert server.client().set("sess:1", b"v") == b"STORED"
        assert server.log().count("files and ports are as open as before: that takes Landlock") == 1
        assert status_of(server.pid)["Seccomp"] == ["2"]


def test_the_setting_has_two_words(tmp_path):
    said = Server(tmp_path, Config(SESSIONS)).refuses("--sandbox", "loose")
    assert "--sandbox takes strict or off, not \"loose\"" in said


# ---- Rights ----

def test_no_new_rights_ever(serve):
    """In any case: nothing that is executed could have more than the server has."""
    server = serve()
    found = status_of(server.pid)
    assert found["NoNewPrivs"] == ["1"]
    filtered = ["2"] if os.environ.get("FOREBAY_TEST_SANDBOX") else status_of(os.getpid())["Seccomp"]  # a container may, too
    assert found["Seccomp"] == filtered


def test_a_user_has_nothing_of_root_left(tmp_path, probe):
    """All ids, the groups, the capabilities; and they cannot be had again."""
    if os.geteuid() != 0:
        pytest.skip("-u means something for root alone")
    with open(tmp_path / "said", "wb") as said:
        env = {**os.environ, "LD_PRELOAD": preloaded("SANDBOX_PROBE"), "SANDBOX_PROBE_OUT": str(tmp_path / "tried")}
        process = subprocess.Popen(command_line("-l", "127.0.0.1", "-p", "-1", "-u", "nobody", "-r"), stderr=said, env=env,
                                   preexec_fn=lambda: (die_with_the_test(), os.setgroups([0, 4, 6])))
    try:
        eventually(lambda: b" serves " in (tmp_path / "said").read_bytes() or process.poll() is not None)
        found, nobody = status_of(process.pid), pwd.getpwnam("nobody")
        assert found["Uid"] == [str(nobody.pw_uid)] * 4 and found["Gid"] == [str(nobody.pw_gid)] * 4
        assert found["Groups"] == []
        assert {found[name][0] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
        process.send_signal(signal.SIGUSR2)
        eventually(lambda: "done 0" in (tmp_path / "tried").read_text())
        tried = dict(map(str.split, (tmp_path / "tried").read_text().splitlines()))
        assert tried["become_root"] == tried["groups"] == str(errno.EPERM)
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def test_memory_stays_locked_without_root(tmp_path):
    """By the one right that takes, and no other; else nothing could be allocated any more."""
    if os.geteuid() != 0:
        pytest.skip("root alone can give rights to another user")
    right = 1 << 14  # CAP_IPC_LOCK
    if not int(status_of(os.getpid())["CapEff"][0], 16) & right:
        pytest.skip("root itself has not this right here")
    nobody = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]
    if subprocess.run([*nobody, "test", "-x", binary()], check=False).returncode != 0:
        pytest.skip("the server is in a folder of root's alone")

    def prepare():
        die_with_the_test()
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (1 << 20, 1 << 20))

    rights = "-all,+ipc_lock,+net_bind_service"
    with open(tmp_path / "said", "wb") as said:
        process = subprocess.Popen([*nobody, "--inh-caps", rights, "--ambient-caps", rights,
                                    *command_line("-k", "-m", "16", "-t", "1", "-l", "127.0.0.1", "-p", "-1")], stderr=said, preexec_fn=prepare)
    try:
        eventually(lambda: b" serves " in (tmp_path / "said").read_bytes() or process.poll() is not None)
        told = (tmp_path / "said").read_text()
        assert process.poll() is None and "cannot be locked" not in told, told
        assert int(status_of(process.pid)["CapEff"][0], 16) == int(status_of(process.pid)["CapPrm"][0], 16) == right
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
