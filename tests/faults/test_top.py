# SPDX-License-Identifier: MIT
"""forebay-top as an operator uses it: on a terminal (a pseudo-terminal, whose screen pyte keeps), and by scripts."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import sqlite3
import struct
import subprocess
import termios
import threading

import pytest
from cluster import Cluster
from forebay import (AWAY, PATIENCE, ROOT, Background, Config, Redis, Server, binary, eventually, free_port, locked, namespace,
                     section, sqlite_backend)

pyte = pytest.importorskip("pyte", reason="python3-pyte is not installed")

TOP = os.path.join(os.path.dirname(binary()), "forebay-top")
pytestmark = pytest.mark.skipif(not os.path.exists(TOP), reason="forebay-top was not built: ncurses is missing")

SPACES = (namespace("sessions", "sess:", "write-behind", flush_delay="1h"), namespace("users", "user:", "read-through"),
          namespace("carts", "cart:", "write-through"), namespace("pages", "page:", "cache-aside"))


def top(*arguments, env=None):
    """It runs without a terminal, and ends."""
    return subprocess.run([TOP, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=PATIENCE,
                          check=False, env={**os.environ, **(env or {})})


def place(server):
    return f"127.0.0.1:{server.port}"


# ---- A terminal ----


class Terminal:
    """forebay-top on a pseudo-terminal: what is on its screen, and what was sent to it."""

    def __init__(self, *arguments, size=(80, 24), term="linux", locale="C.UTF-8", **env):
        self.screen = pyte.Screen(*size)
        self.stream = pyte.ByteStream(self.screen)
        self.sent = b""
        self.descriptor, other = pty.openpty()
        self.set_size(size)
        self.process = subprocess.Popen(
            [TOP, *arguments], stdin=other, stdout=other, stderr=other, start_new_session=True,
            env={**os.environ, "TERM": term, "LC_ALL": locale, **env},
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(other)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.descriptor)

    def set_size(self, size):
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))

    def resize(self, columns, lines):
        self.screen.resize(lines, columns)
        self.set_size((columns, lines))

    def read(self):
        """Takes what has arrived; waits a moment for it."""
        with contextlib.suppress(OSError):  # the program has ended
            while select.select([self.descriptor], [], [], 0.02)[0]:
                data = os.read(self.descriptor, 1 << 16)
                if not data:
                    return
                self.sent += data
                self.stream.feed(data)

    def text(self):
        self.read()
        return "\n".join(line.rstrip() for line in self.screen.display)

    def shows(self, *patterns):
        """Waits until all of these regular expressions are found; returns the screen."""
        try:
            return eventually(lambda: (text := self.text()) and all(re.search(one, text, re.M) for one in patterns) and text)
        except AssertionError:
            raise AssertionError(f"{patterns} are not all on the screen:\n{self.text()}") from None

    def press(self, keys):
        os.write(self.descriptor, keys.encode())

    def end(self):
        """Its exit status."""
        def ended():
            self.read()  # it may wait for that
            return self.process.poll() is not None
        eventually(ended)
        return self.process.returncode

    def order(self):
        """The names of the namespaces, from top to bottom."""
        return re.findall(r"^(sessions|users|carts|pages|default)\b", self.text(), re.M)


def work(end, server):
    """A load until it is told to end: sessions busier than users, users than pages."""
    with server.client() as client:
        while not end.is_set():
            for number in range(6):
                client.set(f"sess:{number}", b"x" * 100)
                client.get(f"sess:{number}")
            client.get("user:nobody")
            client.get("user:nobody")
            client.set("page:1", b"y" * 5000)


@pytest.fixture
def busy(serve):
    server = serve(Config(*SPACES))
    with Background(work, server):
        yield server


# ---- What it says is what was done ----


class Between:
    """Passes rounds of statistics on, and does something when the first one has been answered: so it is done between the two
    samples, however fast the machine is."""

    ROUND = b"stats\r\nstats forebay\r\nstats namespaces\r\nstats backends\r\nstats write_behind\r\n"

    def __init__(self, server, act):
        self.server, self.act = server, act
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def __call__(self, _):
        client, _ = self.listener.accept()
        with client, self.server.client() as behind:
            for i in range(2):
                asked = b""
                while not asked.endswith(self.ROUND):
                    asked += client.recv(4096)
                behind.send(asked)
                reports = 0
                while reports < 5:
                    line = behind.line()
                    client.sendall(line + b"\r\n")
                    reports += line == b"END"
                if i == 0:
                    self.act()
            client.recv(1)  # until it ends
        self.listener.close()


def do_known_things(server):
    with server.client() as client:
        for i in range(50):
            assert client.set(f"sess:{i}", b"x") == b"STORED"
        for i in range(200):
            client.get(f"page:{0 if i % 4 else 'missing'}")  # three of four are there
        assert client.set("cart:1", b"z") == b"STORED"


def once(server, *options):
    between = Between(server, lambda: do_known_things(server))
    with Background(between):
        done = top("--once", "--interval=300ms", *options, f"127.0.0.1:{between.port}")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_json_tells_what_was_done_between_the_samples(serve):
    server = serve(Config(*SPACES))
    with server.client() as client:
        client.set("page:0", b"there")
    told = json.loads(once(server, "--json"))
    seconds = told["process"]["interval_s"]
    spaces = {one["namespace"]: one for one in told["namespaces"]}
    assert list(spaces) == ["sessions", "users", "carts", "pages", "default"]
    done = {name: round(one["ops_per_s"] * seconds) for name, one in spaces.items()}
    assert done == {"sessions": 50, "users": 0, "carts": 1, "pages": 200, "default": 0}
    assert spaces["pages"]["hit_percent"] == 75 and spaces["sessions"]["hit_percent"] is None
    assert (spaces["sessions"]["entries"], spaces["sessions"]["dirty_entries"], spaces["carts"]["dirty_entries"]) == (50, 50, None)
    assert spaces["pages"]["hit_p99_us"] >= spaces["pages"]["hit_p50_us"] > 0
    assert spaces["carts"]["write_p99_us"] > 0 and spaces["users"]["load_p50_us"] is None
    assert round(told["process"]["gets_per_s"] * seconds) == 200 and told["process"]["hit_percent"] == 75
    assert round(told["process"]["sets_per_s"] * seconds) == 51
    assert round(told["journal"]["records_per_s"] * seconds) == 50 and told["journal"]["files"] >= 1
    [local] = told["backends"]
    assert (local["backend"], local["kind"], local["write_breaker"], local["dirty_entries"]) == ("local", "sqlite", "closed", 50)
    assert local["calls_per_s"] > 0 and local["failures"] == 0 and local["apply_p99_us"] > 0 and local["lag_ms"] >= 0


def test_text_has_the_same_figures_in_columns(serve):
    server = serve(Config(*SPACES))
    with server.client() as client:
        client.set("page:0", b"there")
    spaces, backends, journal, process = once(server).split("\n\n")
    names, *lines = [line.split() for line in spaces.splitlines()]
    found = {line[0]: dict(zip(names, line)) for line in lines}
    assert len({len(line) for line in lines} | {len(names)}) == 1
    assert found["pages"]["hit_percent"] == "75" and found["sessions"]["hit_percent"] == "-"
    assert found["sessions"]["policy"] == "write-behind" and found["sessions"]["dirty_entries"] == "50"
    assert re.match(r"backend +kind .*lag_ms .*\nlocal +sqlite +closed +closed", backends)
    assert re.search(r"^journal fsyncs_per_s \d", journal, re.M)
    assert re.search(r"^process version \d", process, re.M) and re.search(r"^process cpu_percent \d", process, re.M)


def test_a_server_without_namespaces_has_one_and_no_journal(serve):
    told = json.loads(top("--once", "--json", "-i100ms", place(serve())).stdout)
    assert [one["namespace"] for one in told["namespaces"]] == ["default"]
    assert told["journal"] is None and told["backends"] == []


def test_a_unix_socket_is_an_address_too(tmp_path):
    path = str(tmp_path / "forebay.sock")
    with Server(tmp_path, options=["-s", path]).spawn() as server:
        eventually(lambda: top("--once", "-i100ms", path).returncode == 0)  # once it listens
        for address in (path, "unix:" + path):
            assert json.loads(top("--once", "--json", "-i100ms", address).stdout)["process"]["version"]
        server.stop()


def test_a_name_and_a_port_alone_are_addresses_too(serve):
    port = serve().port
    for address in (str(port), f"localhost:{port}", f"notls:127.0.0.1:{port}"):
        assert json.loads(top("--once", "--json", "-i100ms", address).stdout)["process"]["version"]


# ---- The screen ----


def test_the_screen_has_everything_at_80_by_24(busy):
    with Terminal(place(busy), "-i200ms") as terminal:
        text = terminal.shows(r"^sessions +\d+ +\S+ +[1-9]\d* +100 +[\d.]+[um]s", r"^users +0 +0 +[1-9]\d* +0\.0",
                              r"^local +sqlite +closed +closed +\d", r"^journal \S+ +files \d+", "CPU% [1-9]", "gets/s [1-9]")
        assert re.search(r"^NAMESPACE +COUNT BYTES.OPS/S  HIT%   P99   P99   P99 COUNT BYTES   AGE  QUAR$", text, re.M)
        assert text.startswith(f"forebay-top  127.0.0.1:{busy.port}  version ") and "\u25bcOPS/S" in text
        assert text.splitlines()[-1].startswith("Enter details") and text.splitlines()[-1].endswith("q quit")
        assert terminal.order()[0] == "sessions"  # the busiest
        terminal.press("q")
        assert terminal.end() == 0


def test_it_adapts_to_the_size_of_the_terminal(busy):
    with Terminal(place(busy), "-i200ms") as terminal:
        terminal.shows(r"^local +sqlite")
        terminal.resize(130, 40)
        text = terminal.shows(r"^NAMESPACE +POLICY", r"^sessions +write-behind +\d", r"DIRTY   LAG$")
        assert text.count("P50") == 5 and text.splitlines()[39].startswith("Enter details")
        terminal.resize(45, 12)
        text = terminal.shows(r"^NAMESPACE +\S*OPS/S  HIT%", "^sessions ")
        assert len(text.splitlines()) == 12 and "BACKEND" not in text
        terminal.resize(40, 10)
        terminal.press("p")
        terminal.shows("^forebay-top  PAUSED  127", "^h help  q quit$")
        terminal.press("p")
        terminal.resize(20, 5)
        terminal.shows("^20x5: too small")
        terminal.resize(80, 24)
        terminal.shows(r"^local +sqlite", r"QUAR$")


def test_keys_sort_show_one_and_go_back(busy):
    with Terminal(place(busy), "-i200ms") as terminal:
        terminal.shows(r"^sessions +\d+ +\S+ +[1-9]\d* +100", r"^users +0")
        terminal.press("r")
        eventually(lambda: terminal.order()[-1:] == ["sessions"])
        terminal.press("<" * 3)  # by name, past the policy, which a wider terminal has
        eventually(lambda: terminal.order() == ["carts", "default", "pages", "sessions", "users"])
        terminal.press("r")
        eventually(lambda: terminal.order() == ["users", "sessions", "pages", "default", "carts"])
        terminal.press("g\x1b[B\r")  # the first, down by the arrow, enter
        text = terminal.shows(r'^sessions  keys "sess:\*"  write-behind to local  journal interval', r"^dirty +entries 6 ",
                              r"^hit +[1-9]", "^reads +hit% 100", r"^write +[1-9]\d* +\S+us")
        assert "NAMESPACE" not in text
        terminal.press("j")
        terminal.shows('^pages  keys "page:\\*"  cache-aside$')
        terminal.press("\x1b")
        terminal.shows("^NAMESPACE")
        terminal.press("?")
        terminal.shows("sort by another column", "any key: back")
        terminal.press("x")
        terminal.shows("^NAMESPACE")


def test_a_pause_holds_the_figures_and_the_interval_can_be_changed(busy):
    with Terminal(place(busy)) as terminal:
        terminal.shows(r"^sessions +\d+ +\S+ +[1-9]", "every 1 s")
        terminal.press("+")
        terminal.shows(r"every 0\.5 s")
        terminal.press("p")
        before = terminal.shows("PAUSED")
        asked = busy.client().stats()["uptime"]
        eventually(lambda: busy.client().stats()["uptime"] != asked)
        terminal.press("--")  # draws, and asks nothing
        text = terminal.shows("every 2 s", "PAUSED")
        assert text.splitlines()[1:] == before.splitlines()[1:]
        terminal.press("p" + "+" * 9)
        terminal.shows(r"every 0\.1 s")
        eventually(lambda: "PAUSED" not in terminal.text() and terminal.text().splitlines()[1:] != before.splitlines()[1:])


def test_trouble_is_seen(serve):
    """A row that the backend refuses for good, and then a backend that is away."""
    spaces = [namespace("sessions", "sess:", "write-behind", flush_delay="10ms")]
    server = serve(Config(*spaces, backends=[sqlite_backend(timeout=AWAY)]))
    with server.client() as client, Terminal(place(server), "-i200ms") as terminal:
        client.set("sess:good", b"1")
        client.sync("sessions")
        with contextlib.closing(sqlite3.connect(os.path.join(server.folder, "store.db"), timeout=PATIENCE)) as database, database:
            database.execute("CREATE TRIGGER refusal BEFORE INSERT ON sessions WHEN CAST(NEW.key AS TEXT) = 'sess:bad' "
                             "BEGIN SELECT RAISE(ABORT, 'no'); END")
        client.set("sess:bad", b"1")
        terminal.shows(r"^sessions .* 1$", r"^local +sqlite +closed +closed +\S+ +\S+ +[1-9]")
        with locked(server):
            client.set("sess:late", b"1")
            terminal.shows(r"^local +sqlite +\S+ +(open|half-open) .* [\d.]+m?s$", r"^sessions +\d.* 1 +\d+ +[\d.]+m?s +1$")
        terminal.press("\r")
        terminal.shows("^dirty +entries 0", "^refused quarantine 1 ")


@pytest.mark.skipif(Redis.missing() is not None, reason=str(Redis.missing()))
def test_nodes_coherence_and_copies_are_shown_where_they_are(serve, tmp_path):
    with Cluster(tmp_path / "redis", "--cluster-require-full-coverage", "no") as cluster, Redis(tmp_path / "one") as redis:
        spaces = [namespace("spread", "s:", "write-through", backend="cluster"),
                  namespace("heard", "h:", "write-through", backend="one"), namespace("moved", "m:", "write-through", copy_to="one")]
        backends = [section("backend", "cluster", uri=cluster.uri, timeout=AWAY),
                    section("backend", "one", uri=redis.uri, coherent=True, timeout=AWAY), sqlite_backend()]
        server = serve(Config(*spaces, backends=backends, drain_timeout="1s"))
        stays, gone, _ = cluster.masters  # two are still more than half
        doomed = cluster.keys_of([f"s:{i}" for i in range(40)], gone)[0]
        with server.client() as client, Terminal(place(server), "-i200ms", size=(100, 30)) as terminal:
            terminal.shows("^one +redis .* yes", "^moved .* complete", "COHER")

            def go_to(name):
                """Along the pages of the namespaces, from the first on."""
                terminal.press("\x1bg\r")
                eventually(lambda: re.search(f"^{name}  keys", terminal.text(), re.M) or terminal.press("j"))

            gone.kill()
            assert client.set(doomed, b"v").startswith(b"SERVER_ERROR")
            [told] = [one for one in json.loads(top("--once", "--json", "-i100ms", place(server)).stdout)["backends"]
                      if one["backend"] == "cluster"]
            assert (told["masters"], told["masters_away"]) == (3, 1)
            go_to("spread")
            terminal.shows(f"^node +127.0.0.1:{gone.port} open  slots 5461", f"^node +127.0.0.1:{stays.port} closed  slots 5461")
            redis.pause()
            go_to("heard")
            terminal.shows("^others +servers 0  coherent blind ")
            go_to("moved")
            terminal.shows("^copy +to one  complete ")
            redis.resume()


def test_many_namespaces_are_scrolled(serve):
    server = serve(Config(*(namespace(f"n{i:02}", f"n{i:02}:", "cache-aside") for i in range(40))))
    with Terminal(place(server), "-i200ms") as terminal:
        terminal.shows("^1-14 of 41", "^n00 ", "^n13 ")
        assert "n26" not in terminal.text()
        terminal.press("\x1b[6~" * 2)  # page down
        terminal.shows("^n26 ")
        terminal.press("G")
        terminal.shows("^28-41 of 41", "^default ", "^n39 ")
        terminal.press("g")
        terminal.shows("^n00 ")


def test_a_server_that_goes_away_is_waited_for(serve):
    server = serve(Config(*SPACES))
    with Terminal(place(server), "-i100ms") as terminal:
        terminal.shows(r"^local +sqlite", "gets/s 0")
        server.stop()
        terminal.shows(r"^The server .*trying again\. Figures are old$", "^sessions")
        terminal.resize(40, 12)
        terminal.shows("^The server ", r"again\. Figures are old$")
        terminal.resize(80, 24)
        server.start()
        with server.client() as client:
            client.set("page:1", b"x")
        terminal.shows(r"^pages +1 ", "^Enter details")
        server.pause()
        terminal.shows(r"^The server has not answered for \d+ s\. Figures are old$")
        terminal.press("h")
        terminal.shows("any key: back|trying again|not answered", "sort by another column")  # keys are answered all the same
        server.resume()
        terminal.press("x")
        terminal.shows("^Enter details")


def test_it_may_be_started_before_the_server(serve):
    port = free_port()
    with Terminal(f"127.0.0.1:{port}", "-i100ms") as terminal:
        terminal.shows("^The server cannot be reached: Connection refused; trying again$")
        serve(Config(*SPACES), port=port)
        terminal.shows(r"^sessions +0 ", "^Enter details")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_gives_the_terminal_back(serve, number):
    with Terminal(place(serve()), term="xterm", size=(80, 24)) as terminal:
        eventually(lambda: terminal.read() or b"OPS/S" in terminal.sent)
        assert b"\x1b[?1049h" in terminal.sent
        terminal.process.send_signal(number)
        assert terminal.end() == 0
        assert b"\x1b[?1049l" in terminal.sent


# ---- Terminals of all kinds ----

COLOUR = re.compile(rb"\x1b\[(?:\d+;)*3[0-7][;m]")


def test_colours_are_used_unless_they_are_not_wanted(busy):
    with Terminal(place(busy)) as terminal:
        terminal.shows("^sessions")
        assert COLOUR.search(terminal.sent)
    with Terminal(place(busy), NO_COLOR="1") as terminal:
        terminal.shows("^sessions")
        terminal.press("\r")
        terminal.shows("^dirty")
        assert not COLOUR.search(terminal.sent)


def test_a_plain_locale_gets_plain_characters(busy):
    with Terminal(place(busy), locale="C", term="vt100") as terminal:
        terminal.shows("^sessions", "vOPS/S")
        assert terminal.sent.isascii()


@pytest.mark.parametrize("term, said", [
    ("dumb", "TERM=dumb is a terminal that cannot place its cursor: use another one, or --once"),
    ("no-such-terminal", "TERM=no-such-terminal is not known on this machine: set TERM"), ("", "TERM= is not known"),
])
def test_a_terminal_that_will_not_do_is_refused(serve, term, said):
    with Terminal(place(serve()), term=term) as terminal:
        assert terminal.end() == 1
        assert said in terminal.text().replace("\n", "")


def test_without_a_terminal_there_is_once(serve):
    done = top(place(serve()))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "forebay-top: this is no terminal: --once prints the figures without one\n"


# ---- Passwords ----


@pytest.fixture
def guarded(serve, tmp_path):
    path = tmp_path / "auth"
    path.write_text("anna:open sesame\n")
    path.chmod(0o600)
    return serve(Config(*SPACES, auth_file=str(path)))


def password_file(tmp_path, password, mode=0o600):
    path = tmp_path / "password"
    path.write_text(password + "\n")
    path.chmod(mode)
    return str(path)


def test_a_server_with_passwords_lets_in_who_knows_one(guarded, tmp_path):
    right = ("--user=anna", "--password-file", password_file(tmp_path, "open sesame"))
    done = top("--once", "--json", "-i100ms", *right, place(guarded))
    assert json.loads(done.stdout)["namespaces"][0]["namespace"] == "sessions"
    with Terminal(*right, place(guarded)) as terminal:
        terminal.shows("^sessions")


def test_without_the_right_password_it_says_so(guarded, tmp_path):
    done = top("--once", place(guarded))
    assert (done.returncode, done.stderr) == (
        1, f"forebay-top: {place(guarded)}: asks for a password: give --user and --password-file\n")
    done = top("--once", "--user=anna", "--password-file", password_file(tmp_path, "wrong"), place(guarded))
    assert (done.returncode, done.stderr) == (
        1, f"forebay-top: {place(guarded)}: does not let anna in: the user or the password is wrong\n")


def test_a_password_is_only_told_to_who_asks_for_it(serve, tmp_path):
    server = serve()
    done = top("--once", "-i100ms", "--user=anna", "--password-file", password_file(tmp_path, "secret"), place(server))
    assert done.returncode == 0
    assert server.client().stats()["cmd_set"] == "0"


# ---- Servers that are none ----


class Liar:
    """Answers every round of statistics in the same way."""

    def __init__(self, answer):
        self.answer = answer
        self.asked = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                with client, contextlib.suppress(OSError):
                    while data := client.recv(4096):
                        self.asked.append(data)
                        client.sendall(self.answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


class Impatient(Liar):
    """Closes each connection behind its first answer, as an idle_timeout does that is shorter than the interval."""

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                with client:
                    self.asked.append(client.recv(4096))
                    client.sendall(self.answer)


EVIL = (b"STAT pid 1\r\nSTAT uptime 5\r\nEND\r\nSTAT forebay_version \x1b]0;owned\x07\r\nEND\r\n"
        b"STAT \x1b[2J\x9b2Jevil:prefix \x1b]0;owned\x07\r\nSTAT \x1b[2J\x9b2Jevil:entries 7\r\nEND\r\n"
        b"STAT \x1b[31mdb:kind \x1b[5m\r\nEND\r\nEND\r\n")


def test_names_from_the_server_reach_no_terminal_as_escapes():
    with Liar(EVIL) as server:
        for options in ((), ("--json",)):
            done = top("--once", "-i100ms", *options, f"127.0.0.1:{server.port}")
            assert done.returncode == 0 and "evil" in done.stdout and "\x1b" not in done.stdout and "\x07" not in done.stdout
        with Terminal(f"127.0.0.1:{server.port}") as terminal:
            terminal.shows(r"^\?\[2J\?2Jevil +7", r"^\?\[31mdb")
            terminal.press("\r")
            terminal.shows(r'keys "\?\]0;owned\?\*"')
            assert b"\x1b]0;" not in terminal.sent and b"\x9b" not in terminal.sent


@pytest.mark.parametrize("answer, said", [
    (b"STAT pid 1\r\nEND\r\nERROR\r\nERROR\r\nERROR\r\nERROR\r\n",
     'answers "ERROR" to "stats forebay": is it a Forebay, of this version or a later one?'),
    (b"x" * (1 << 20), "answers with more than can be kept"),
], ids=["memcached", "endless"])
def test_who_is_no_forebay_is_told_so(answer, said):
    answer = answer if answer.endswith(b"\n") else answer * 20
    with Liar(answer) as server:
        done = top("--once", f"127.0.0.1:{server.port}")
        assert (done.returncode, done.stdout, done.stderr) == (1, "", f"forebay-top: 127.0.0.1:{server.port}: {said}\n")


def test_a_connection_that_was_closed_between_the_samples_is_made_anew():
    with Impatient(EVIL) as server:
        assert top("--once", "-i100ms", f"127.0.0.1:{server.port}").returncode == 0
        assert server.asked == [Between.ROUND] * 2


def test_a_password_is_told_once_even_if_it_is_asked_for_again(tmp_path):
    with Liar(b"CLIENT_ERROR unauthenticated\r\n") as server:
        done = top("--once", "--user=anna", "--password-file", password_file(tmp_path, "secret"), f"127.0.0.1:{server.port}")
        assert (done.returncode, len(server.asked)) == (1, 2)
        assert done.stderr.endswith("does not let anna in: the user or the password is wrong\n")


def admitted(server):
    """A client that is connected, or None: who looked whether the server answers may still have the place."""
    client = server.client()
    try:
        client.stats()
        return client
    except (AssertionError, OSError):
        client.close()
        return None


def test_what_a_server_says_before_it_closes_is_told(serve):
    server = serve(options=["-c", "1"])
    with eventually(lambda: admitted(server)):
        told = {top("--once", place(server)).stderr for _ in range(8)}
        assert told == {f'forebay-top: {place(server)}: has closed the connection: "ERROR Too many open connections"\n'}


def test_a_server_that_refuses_its_protocol_is_told_apart(serve):
    server = serve(options=["-B", "binary"])
    assert top("--once", place(server)).stderr == (f"forebay-top: {place(server)}: has closed the connection without an answer: "
                                                   "it takes TLS alone at this address (ask at one without tls:), or refuses the "
                                                   "text protocol (-B, -S); its log says which\n")


# ---- The command line ----


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["--once", "-i100ms"], ["--once", "--json", "-i100ms"]])
def test_what_cannot_be_printed_is_no_success(arguments):
    """Nor does it go to the server, whose connection is the first to be opened."""
    with Liar(EVIL) as server, open("/dev/full", "wb") as full:
        place_of = [f"127.0.0.1:{server.port}"] if "--once" in arguments else []
        for change in ({"stdout": full}, {"stdout": None, "preexec_fn": lambda: os.close(1)}):
            done = subprocess.run([TOP, *arguments, *place_of], stderr=subprocess.PIPE, timeout=PATIENCE, check=False, **change)
            assert done.returncode == 1 and b"standard output cannot be written: " in done.stderr
        assert set(server.asked) <= {Between.ROUND}



def test_the_manual_has_every_option():
    with open(os.path.join(ROOT, "docs", "man", "forebay-top.1.in"), encoding="utf-8") as file:
        said = file.read().replace("\\-", "-")
    options = set(re.findall(r"--[a-z-]+", top("--help").stdout))
    assert options > {"--once", "--json", "--user"} and all(f"Fl {option[1:]}" in said for option in options)


def test_help_and_version():
    done = top("--help")
    assert done.returncode == 0 and done.stdout.startswith("usage: forebay-top ") and "--password-file" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120
    assert re.fullmatch(r"forebay-top \d+\.\d+\.\d+\n", top("--version").stdout)


@pytest.mark.parametrize("arguments, said", [
    (["--json"], "--json is for --once: give both"),
    (["--interval=soon"], "--interval=soon is not a time: write 500ms, 2s, 1m, or seconds"),
    (["-i", "10ms"], "--interval=10ms is out of range: from 100ms to 1h"),
    (["--user=anna"], "--user needs the password: give --password-file as well"),
    (["--password-file=x"], "--password-file needs to know whose password it is: give --user as well"),
    (["--user=anna", "--password-file=/nowhere"], "the password file /nowhere cannot be read: No such file or directory"),
    (["localhost:0"], '"localhost:0" is not an address (a port is a number from 1 to 65535)'),
    ([":11211"], '":11211" is not an address (the host is missing)'),
    (["[::1"], '"[::1" is not an address (the \']\' is missing, or something but a port follows it)'),
    (["tls:127.0.0.1:11212"], "tls:127.0.0.1:11212: forebay-top does not speak TLS: give an address of the server without tls:"),
    (["mtls:11212"], "forebay-top does not speak TLS"), (["btls:unix:/x"], "forebay-top does not speak TLS"),
    (["a", "b"], 'one address is enough, and "b" is a second one'),
    (["--frobnicate"], "forebay-top: --frobnicate: no such option; forebay-top --help lists those that there are\n"),
    (["--onec"], "forebay-top: --onec: no such option; did you mean --once?\n"),
    (["--passwort-file=x"], "forebay-top: --passwort-file=x: no such option; did you mean --password-file?\n"),
    (["--="], "forebay-top: --=: several options begin so; write it out"),
    (["--json=1"], "forebay-top: --json=1: this option takes no argument; see forebay-top --help\n"),
    (["--help=1"], "forebay-top: --help=1: this option takes no argument; see forebay-top --help\n"),
    (["--user"], "forebay-top: --user needs an argument; see forebay-top --help\n"),
    (["-i"], "forebay-top: -i needs an argument; see forebay-top --help\n"),
    (["\u2013-once"], "forebay-top: \u2013-once is neither an option nor an address; there is an en dash (U+2013) in it: type -\n"),
    (["-\u2013once"], "forebay-top: -\u2013once: no such option; forebay-top --help lists those that there are; there is an en dash (U+2013)"),
    (["-x"], "forebay-top: -x: no such option; see forebay-top --help\n"),
])
def test_what_is_wrong_with_the_command_line_is_said(arguments, said):
    done = top(*arguments)
    assert (done.returncode, done.stdout) == (64, "")
    assert said in done.stderr


def test_a_password_file_that_others_can_read_is_refused(tmp_path):
    path = password_file(tmp_path, "secret", 0o640)
    done = top("--user=anna", "--password-file", path)
    assert done.returncode == 64
    assert f"the password file {path} can be read or written by others: chmod 600 {path}" in done.stderr


@pytest.mark.parametrize("address, said", [
    (f"127.0.0.1:{free_port()}", "cannot be reached: Connection refused"),
    ("/nowhere/forebay.sock", "cannot be reached: No such file or directory"),
    ("no-such-host.invalid", "has no address: "),
])
def test_once_does_not_wait_for_a_server(address, said):
    done = top("--once", address)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"forebay-top: {address}: {said}")
