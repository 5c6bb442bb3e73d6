# SPDX-License-Identifier: MIT
"""The life of the process: how it starts, in the background too, what signals do, and how it ends."""

import contextlib
import os
import re
import signal
import socket
import sqlite3
import subprocess
import time

import pytest
from forebay import (SANITIZER_REPORT, Client, Config, Server, command_line, die_with_the_test, eventually, free_port, locked, namespace,
                     section, sqlite_backend)

SESSIONS = namespace("sessions", "sess:", "write-behind", flush_delay="50ms")


def run(*options, seconds=60, **more):
    """A command that ends by itself: status, standard output, standard error."""
    done = subprocess.run(command_line(*options), capture_output=True, text=True, timeout=seconds, check=False, **more)
    assert not SANITIZER_REPORT.search(done.stderr), done.stderr
    return done.returncode, done.stdout, done.stderr


@contextlib.contextmanager
def running(folder, *options, **environment):
    """The server with these options alone; it has to end well at SIGTERM. What it said is in folder/said afterwards."""
    with open(folder / "said", "wb") as said:
        process = subprocess.Popen(command_line(*options), stderr=said, env={**os.environ, **environment}, preexec_fn=die_with_the_test)
    try:
        yield process
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat", encoding="ascii") as status:
        return status.read().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.fixture
def background(tmp_path):
    """Starts the server with -d and ends it by the pid in its file."""
    pid_file = tmp_path / "forebay.pid"

    def start(*options):
        port = free_port()
        status, _, said = run("-d", "-P", str(pid_file), "-l", "127.0.0.1", "-p", str(port), *options)
        return status, said, port

    start.pid_file = pid_file
    yield start
    if pid_file.exists():
        os.kill(int(pid_file.read_text()), signal.SIGKILL)


def test_it_tells_its_version_its_options_and_its_licence():
    status, out, _ = run("--version")
    assert status == 0 and re.match(r"forebay \d+\.\d+\.\d+", out)
    assert run("-V")[1] == out
    status, out, _ = run("-h")
    assert status == 0 and "--config" in out and "usage:" in out
    assert run("-i")[0] == 0


@pytest.mark.parametrize("options, status, word", [
    (["-t", "0"], 64, "-t"),
    (["-B", "gopher"], 64, "binary"),
    (["-S"], 64, "-Y FILE"),
    (["-S", "-Y", "/nowhere/auth", "-B", "auto"], 64, "-B binary"),
    (["--config", "/nowhere/f.conf"], 78, "/nowhere/f.conf"),
    (["-u", "no-such-user"], 1, "no-such-user"),
    (["-l", "192.0.2.1", "-p", "-1"], 1, "192.0.2.1"),
    (["-Y", "/nowhere/auth"], 1, "/nowhere/auth"),
    (["--journal-dump", "/nowhere"], 1, "/nowhere"),
    (["--journal-dump", "/usr"], 1, "there is no journal in /usr"),
])
def test_a_start_that_fails_has_a_status_and_a_reason(options, status, word):
    if word == "no-such-user" and os.geteuid() != 0:
        pytest.skip("-u means something for root alone")
    found, out, said = run("-l", "127.0.0.1", "-p", "-1", *options)
    assert (found, word in said, out) == (status, True, ""), said
    assert said.startswith("forebay: ") or " error: " in said.splitlines()[0], said


def test_the_background_start_returns_when_clients_can_connect(background):
    """The parent waits until clients can connect; the process it leaves behind ends at SIGTERM and removes its pid file."""
    status, said, port = background()
    assert status == 0, said
    client = Client(port)
    assert client.set("k", b"v") == b"STORED"
    pid = int(background.pid_file.read_text())
    assert int(client.stats()["pid"]) == pid
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not alive(pid))
    assert not background.pid_file.exists()


def test_a_background_start_that_fails_is_told(background, serve):
    taken = serve()
    status, said, _ = background("-l", f"127.0.0.1:{taken.port}")
    assert status == 1
    assert f"127.0.0.1:{taken.port}" in said
    assert not background.pid_file.exists()


def client_if_served(port):
    with contextlib.suppress(OSError):
        return Client(port)
    return None


def close_standard_files():
    for number in range(3):
        os.close(number)


@pytest.mark.parametrize("options", [[], ["-d"]], ids=["foreground", "background"])
def test_without_standard_files_nothing_else_takes_their_place(tmp_path, options):
    """Lines of the log would go to whatever has the number 2, and -d would put /dev/null in the place of the address."""
    port, pid_file = free_port(), tmp_path / "forebay.pid"
    with subprocess.Popen(command_line(*options, "-P", str(pid_file), "-l", "127.0.0.1", "-p", str(port)),
                          preexec_fn=close_standard_files) as process:
        pid = int(eventually(lambda: pid_file.exists() and pid_file.read_text()))
        try:
            with eventually(lambda: client_if_served(port)) as client:
                assert client.set("k", b"v") == b"STORED"
            found = [os.readlink(f"/proc/{pid}/fd/{number}") for number in range(3)]
            assert set(found) <= {"/", "/dev/null"}
        finally:
            os.kill(pid, signal.SIGTERM)
        assert process.wait(60) == 0
    eventually(lambda: not alive(pid))


def test_without_tcp_the_unix_socket_is_served(tmp_path):
    """-p 0 leaves TCP out whatever -l says; the Unix socket of an address list is served all the same."""
    path, ports = tmp_path / "socket", tmp_path / "ports"
    with running(tmp_path, "-p", "0", "-l", f"127.0.0.1:{free_port()},unix:{path}", MEMCACHED_PORT_FILENAME=str(ports)):
        eventually(ports.exists)
        assert ports.read_text() == ""
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"stats settings\r\n")
            assert b"STAT tcpport 0\r\n" in client.makefile("rb").read(100)
    said = (tmp_path / "said").read_text()
    assert f"serves unix:{path} with" in said, said


def test_a_server_without_a_socket_says_that_it_serves_nobody(tmp_path):
    with running(tmp_path, "-p", "0"):
        said = eventually(lambda: " serves " in (text := (tmp_path / "said").read_text()) and text)
    assert "no client can connect" in said and "serves nobody with" in said, said


def test_the_port_file_tells_which_port_was_taken(tmp_path):
    """MEMCACHED_PORT_FILENAME names a file for it, as with memcached."""
    path = tmp_path / "ports"
    with running(tmp_path, "-l", "127.0.0.1", "-p", "-1", MEMCACHED_PORT_FILENAME=str(path)):
        eventually(path.exists)
        found = re.fullmatch(r"TCP INET: (\d+)\n", path.read_text())
        assert found
        assert Client(int(found.group(1))).command("version").startswith(b"VERSION ")


def unix_command(path, text):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(path))
        connection.sendall(text)
        return connection.recv(4096)


def unix_command_if_served(path, text):
    """None between the server's bind and its listen."""
    try:
        return unix_command(path, text)
    except ConnectionRefusedError:
        return None


def test_a_unix_socket_that_nobody_serves_is_replaced(tmp_path):
    path = tmp_path / "f.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    with running(tmp_path, "-s", str(path), "-a", "770") as process:
        eventually(lambda: process.poll() is not None or path.exists() and os.stat(path).st_mode & 0o777 == 0o770)
        answer = eventually(lambda: unix_command_if_served(path, b"version\r\n"))
        assert answer.startswith(b"VERSION ")
        status, _, said = run("-s", str(path))
        assert status == 1 and str(path) in said, "a socket that is served is not taken away"
        assert unix_command(path, b"version\r\n").startswith(b"VERSION ")
    assert not path.exists()


def test_a_file_that_is_not_a_socket_is_left_alone(tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    status, _, said = run("-s", str(path))
    assert status == 1 and str(path) in said
    assert path.read_text() == "data"


def test_options_override_the_file(tmp_path, serve):
    port = free_port()
    server = Server(tmp_path, config=Config(SESSIONS, memory="64mb", threads=2),
                    options=["-p", str(port), "-m", "128", "-t", "3", "-c", "77"])
    server.port = port
    with server:
        client = server.client()
        assert client.stats()["threads"] == "3"
        settings = client.stats("settings")
        assert (settings["maxbytes"], settings["maxconns"]) == (str(128 << 20), "77")


def test_what_is_served_is_told(serve):
    server = serve(Config(SESSIONS))
    said = server.log()
    assert f"127.0.0.1:{server.port}" in said
    assert re.search(r"namespace sessions: .*sess:.* write-behind .*sqlite:store.db", said)


def pin(server, name, processors):
    """The threads whose names begin so."""
    for task in os.listdir(f"/proc/{server.pid}/task"):
        with open(f"/proc/{server.pid}/task/{task}/comm", encoding="ascii") as comm:
            if comm.read().startswith(name):
                os.sched_setaffinity(int(task), processors)


def usable(server):
    """How many processors: no more than the control groups leave, of version 2, that of the server and those above."""
    with open(f"/proc/{server.pid}/cgroup", encoding="ascii") as groups:
        group = "".join(line[3:].strip() for line in groups if line.startswith("0::/")).rstrip("/")
    found = [len(os.sched_getaffinity(0))]
    while True:
        with contextlib.suppress(OSError), open(f"/sys/fs/cgroup{group}/cpu.max", encoding="ascii") as limit:
            quota, period = limit.read().split()
            if quota != "max":
                found.append(-(-int(quota) // int(period)))
        if not group:
            return min(found)
        group = group.rpartition("/")[0]


def in_rotation(server):
    """To how many threads connections are given, once one has come."""
    with server.client() as client:
        return int(client.stats("forebay")["workers_in_rotation"])


def test_connections_go_to_as_many_threads_as_there_are_processors(serve):
    """What the main thread may run on does not count, but what the workers may: all of them together."""
    processors = sorted(os.sched_getaffinity(0))
    server = serve(Config(SESSIONS, threads=len(processors) + 1))
    most = usable(server)
    assert in_rotation(server) == most
    said = server.log()
    assert said.index(" serves ") < said.index(f"new connections go to {most} of the {len(processors) + 1} threads")
    assert "--use-threads all (use_threads) gives them to all" in said
    pin(server, "worker", processors[:1])
    eventually(lambda: in_rotation(server) == 1)
    pin(server, "worker 0", processors[-1:])
    eventually(lambda: in_rotation(server) == min(most, 2))
    pin(server, "worker", processors)
    pin(server, "forebay", processors[:1])
    eventually(lambda: in_rotation(server) == most)


def test_that_processors_come_and_go_is_told(serve):
    processors = sorted(os.sched_getaffinity(0))[:2]
    server = serve(Config(SESSIONS, threads=2))
    if usable(server) < 2:
        pytest.skip("there is one processor")
    assert in_rotation(server) == 2 and "new connections go to" not in server.log()
    pin(server, "worker", processors[:1])
    eventually(lambda: in_rotation(server) == 1)
    assert "new connections go to 1 of the 2 threads" in server.log()
    assert "new connections go to all" not in server.log()
    pin(server, "worker", processors)
    eventually(lambda: in_rotation(server) == 2)
    assert "new connections go to all 2 threads" in server.log()


@pytest.mark.parametrize("options, told", [([], False), (["-t", "3"], True)])
def test_that_threads_rest_is_told_to_who_asked_for_them(serve, options, told):
    """On a small machine nobody needs to hear of some of the threads that are there by default."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        server = serve(options=options)
    finally:
        os.sched_setaffinity(0, before)
    assert in_rotation(server) == 1
    assert ("new connections go to 1 of the 3 threads" in server.log()) == told
    assert ("new connections go to" in server.log()) == told


@pytest.mark.parametrize("top, options", [(dict(threads=1), []), (dict(threads=64, use_threads="all"), []),
                                          (dict(threads=64), ["--use-threads", "all"])])
def test_all_threads_take_connections(serve, top, options):
    """Where there are processors for them, and where all are to."""
    server = serve(Config(SESSIONS, **top), options)
    assert in_rotation(server) == top["threads"]
    assert "new connections go to" not in server.log()


def test_stop_tells_what_was_drained(serve):
    server = serve(Config(namespace("sessions", "sess:", "write-behind", flush_delay="1h")))
    client = server.client()
    for i in range(50):
        assert client.set(f"sess:{i}", b"v") == b"STORED"
    server.stop()
    assert "50 entries drained, nothing left" in server.log()
    assert len(server.rows()) == 50


def test_stop_tells_what_is_in_quarantine(serve):
    """As no backend has that."""
    server = serve(Config(namespace("sessions", "sess:", "write-behind", flush_delay="10ms")))
    with contextlib.closing(sqlite3.connect(os.path.join(server.folder, "store.db"))) as database:
        database.executescript("create trigger no before insert on sessions begin select raise(abort, 'no'); end")
    client = server.client()
    assert client.set("sess:1", b"v") == b"STORED"
    eventually(lambda: client.stats("write_behind")["sessions:quarantine"] == "1")
    server.stop()
    assert re.search(r"warning: stopped; 0 entries drained, none left; 1 change that backends refuse is in quarantine "
                     rf"\(1 in {server.folder}/quarantine-sessions.log\)$", server.log().strip())


def test_a_second_sigterm_ends_the_drain(serve):
    """The store is locked, so nothing can be drained; what is left is told, and comes back at the next start."""
    server = serve(Config(namespace("sessions", "sess:", "write-behind", flush_delay="1h"), drain_timeout="10m"))
    client = server.client()
    for i in range(20):
        assert client.set(f"sess:{i}", b"v") == b"STORED"
    with locked(server):
        server.signal(signal.SIGTERM)
        eventually(lambda: "draining for at most 600000 ms" in server.log())
        time.sleep(0.2)  # the drain goes on; if it has not begun yet, this shows nothing, and harms nobody
        server.check_alive()
        server.stop()
        assert re.search(r"20 left, all of them in the journal", server.log())
    server.start()
    assert server.client().get("sess:7") == b"v"


def test_no_client_is_accepted_while_draining(serve):
    server = serve(Config(namespace("sessions", "sess:", "write-behind", flush_delay="1h"), drain_timeout="10m"))
    assert server.client().set("sess:1", b"v") == b"STORED"
    with locked(server):
        server.signal(signal.SIGTERM)
        eventually(lambda: not server.answers())
    eventually(lambda: not server.running())  # another SIGTERM would end the drain
    assert len(server.rows()) == 1


@pytest.mark.parametrize("words", ["shutdown", "shutdown graceful"])
def test_shutdown_ends_the_server(serve, words):
    server = serve(options=["-A"])
    assert server.client().command("shutdown now").startswith(b"CLIENT_ERROR")
    client = server.client()
    client.send(words + "\r\n")
    assert client.is_closed()
    server.check_end(server.wait())


def test_other_signals_end_nothing(serve):
    server = serve()
    client = server.client()
    for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGPIPE, signal.SIGHUP):
        server.signal(number)
        time.sleep(0.05)
        assert client.set("k", b"v") == b"STORED"
    server.stop(how=signal.SIGINT)


def test_passwords_are_read_again(serve, tmp_path):
    """SIGHUP replaces them; a file that has become bad changes nothing."""
    path = tmp_path / "auth"
    path.write_text("user:old\n")
    server = serve(options=["-Y", str(path)])

    def lets_in(password):
        return server.client().set("x", b"user " + password) == b"STORED"

    assert lets_in(b"old") and not lets_in(b"new")
    assert server.client().command("get k").startswith(b"CLIENT_ERROR")
    path.write_text("user:new\n")
    server.signal(signal.SIGHUP)
    eventually(lambda: lets_in(b"new"))
    assert not lets_in(b"old")
    path.write_text("nonsense\n")
    server.signal(signal.SIGHUP)
    eventually(lambda: "the passwords stay as they were" in server.log())
    assert lets_in(b"new")


def test_too_many_connections_are_told(serve):
    """maxconns_fast, the default: an error and the end for the client, and a count."""
    server = serve(options=["-c", "5"])
    eventually(lambda: server.client().stats()["curr_connections"] == "1")
    held = []
    while len(held) < 5:
        held.append(server.client())
        assert held[-1].command("version").startswith(b"VERSION")
    more = server.client()
    assert more.line() == b"ERROR Too many open connections"
    assert more.is_closed()
    assert int(held[0].stats()["rejected_connections"]) >= 1
    held.pop().close()
    eventually(lambda: server.client().command("version").startswith(b"VERSION"))


def test_too_many_connections_wait(serve):
    """no_maxconns_fast: a client that comes too late waits in the backlog until another leaves."""
    server = serve(options=["-c", "5", "-o", "no_maxconns_fast"])
    eventually(lambda: server.client().stats()["curr_connections"] == "1")
    held = []
    while len(held) < 5:
        held.append(server.client())
        assert held[-1].command("version").startswith(b"VERSION")
    late = server.client(timeout=20)
    late.send("version\r\n")
    stats = eventually(lambda: (lambda s: s["accepting_conns"] == "0" and s)(held[0].stats()))
    assert int(stats["listen_disabled_num"]) >= 1
    held.pop().close()
    assert late.line().startswith(b"VERSION")
    late.close()
    held.pop().close()
    eventually(lambda: held[0].stats()["accepting_conns"] == "1")


def test_a_limit_of_descriptors_is_told_with_its_remedy(tmp_path):
    """A limit that cannot be raised is told, with the remedy."""
    if os.geteuid() == 0:
        command = ["setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all", *command_line()]
    else:
        command = command_line()
    done = subprocess.run(["sh", "-c", 'ulimit -n 300; exec "$@"', "sh", *command, "-l", "127.0.0.1", "-p", "-1", "-c", "100000"],
                          capture_output=True, text=True, timeout=60, check=False)
    if "setpriv" in command and (done.returncode == 127 or "Permission denied" in done.stderr):
        pytest.skip("no other user can run the program here")
    assert done.returncode == 1
    assert "-c" in done.stderr and "ulimit -n" in done.stderr


def limited(hard, *options, soft=None):
    """The command line of a server that may have so many open files, and cannot raise that; soft: so many to begin with."""
    user = ["setpriv", "--bounding-set=-sys_resource", "--inh-caps=-all"] if os.geteuid() == 0 else []
    return ["sh", "-c", f'ulimit -n {hard}; ulimit -Sn {soft or hard}; exec "$@"', "sh", *user, *command_line("-l", "127.0.0.1", *options)]


def said_at_the_start(folder, command, port):
    """What a server says until it serves, and its setting of maxconns."""
    with open(folder / "said", "wb") as said:
        process = subprocess.Popen(command, stderr=said, preexec_fn=die_with_the_test)
    try:
        eventually(lambda: process.poll() is not None or b" serves " in (folder / "said").read_bytes())
        assert process.poll() is None, (folder / "said").read_text()
        connections = Client(port).stats("settings")["maxconns"]
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    return (folder / "said").read_text(), int(connections)


def test_the_default_number_of_clients_gives_way_to_the_limit_of_descriptors(tmp_path):
    """A hard limit of 1,024 is what many systems have: fewer clients are served, and that is said."""
    port = free_port()
    said, connections = said_at_the_start(tmp_path, limited(1024, "-p", str(port)), port)
    assert connections == 768
    assert "at most 768 clients are served at a time instead of 1024" in said and "-c 768" in said, said
    said, connections = said_at_the_start(tmp_path, limited(1024, "-p", str(port), "-c", "700"), port)
    assert connections == 700 and "instead of" not in said, said


class Limited(Server):
    """A server that may have so many open files, and cannot raise that."""

    hard, soft = 1000, None

    def command(self):
        return limited(self.hard, "-p", str(self.port), *super().command()[1:], soft=self.soft)


def test_clients_leave_descriptors_to_backends_and_threads(tmp_path):
    """As many clients as are served take none of what readers, journals and threads need."""
    names = ["one", "two"]
    config = Config(*[namespace(name, f"{name}:", "write-behind", backend=name) for name in names],
                    backends=[sqlite_backend(name, f"{name}.db", readers=64) for name in names], threads=32)
    with Limited(tmp_path, config) as server, contextlib.ExitStack() as stack:
        first = stack.enter_context(server.client())
        clients = [stack.enter_context(server.client()) for _ in range(int(first.stats("settings")["maxconns"]) - 2)]
        for number, client in enumerate(clients):
            client.send(f"get one:{number} two:{number}\r\n")
        assert [client.values() for client in clients] == [[]] * len(clients)
        for number, client in enumerate(clients):
            assert client.set(f"one:{number}", b"v") == b"STORED"
        first.sync()


@pytest.mark.parametrize("hard, asked", [(20000, 1024 + 128 + 6 * 2 + 128 * (2 + 3 + 1 + 2 * 2)), (1500, 1500)])
def test_a_cluster_may_have_more_masters_than_its_uri_names(tmp_path, hard, asked):
    """The limit is raised for as many as there can be, and nothing is refused where it cannot be."""
    server = Limited(tmp_path, Config(namespace("wide", "w:", "write-behind", backend="wide"),
                                      backends=[section("backend", "wide", uri="redis+cluster://127.0.0.1:1", coherent=True)]))
    server.hard, server.soft = hard, 300
    with server:
        assert server.client().stats("settings")["maxconns"] == "1024"
        with open(f"/proc/{server.pid}/limits", encoding="ascii") as limits:
            soft = next(int(line.split()[3]) for line in limits if line.startswith("Max open files"))
        assert asked <= soft <= hard


@pytest.mark.parametrize("options, warned", [([], True), (["-l", "*"], False), (["-Y", "auth"], False)])
def test_addresses_that_nobody_has_chosen_are_told(tmp_path, options, warned):
    """Without -l all interfaces are served, as by memcached; without a password as well, that is worth a warning."""
    (tmp_path / "auth").write_text("user:password\n")
    os.chmod(tmp_path / "auth", 0o600)
    port = free_port()
    with running(tmp_path, "-p", str(port), *[str(tmp_path / "auth") if word == "auth" else word for word in options]):
        eventually(lambda: b" serves " in (tmp_path / "said").read_bytes())
    said = (tmp_path / "said").read_text()
    assert ("warning: all interfaces are listened on" in said) == warned, said
    assert ("notice: running as root" in said) == (os.geteuid() == 0), said
