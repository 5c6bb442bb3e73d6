# SPDX-License-Identifier: MIT
"""Real servers for the tests: start, stop, kill and restart them, talk to them in raw protocol, read their stores.

    with Server(folder, config=Config(namespace("sessions", "sess:", "write-behind"))) as server:
        client = server.client()
        client.set("sess:1", b"hello")
        server.kill()                       # kill -9
        server.start()                      # same port, same folder
        assert server.client().get("sess:1") == b"hello"

The program is $FOREBAY, or the newest of build/*/forebay. A server that ends by itself, ends with another status than 0, or
leaves a sanitizer's report in its log makes stop() raise: no test has to remember to look.

Everything is bounded: reading from a socket, waiting for a start or an end. A server dies with the test that started it.
"""

import collections
import contextlib
import ctypes
import functools
import glob
import gzip
import http.client
import os
import random
import re
import resource
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import tempfile
import threading
import time

from connection import Connection
from packets import BinaryClient, speaks_binary

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PATIENCE = 60  # seconds that a start, an end or an answer may take before a test fails

# Timeouts of a backend. Of one that will be away: the test waits for it, so it is short, and a busy machine may miss it while the
# backend is there, so no single answer of a backend is asserted, but what is answered eventually. And of one that stays.
AWAY = "500ms"
THERE = f"{PATIENCE}s"


def share(count):
    """So many rounds, rows or attempts of those that a test does where there is time: tests/CMakeLists.txt says how many percent
    in FOREBAY_TEST_SHARE, fewer under TSan, which is slow and looks for races, not for values."""
    return max(1, count * int(os.environ.get("FOREBAY_TEST_SHARE", 100)) // 100)

_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_PR_SET_THP_DISABLE = 41


def die_with_the_test():
    """For preexec_fn: what is started so ends with the thread that starts it, however that ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def small_pages():
    """For a server that is started meanwhile, whose memory is counted: the kernel makes no huge pages of it. Where it does so by
    itself (/sys/kernel/mm/transparent_hugepage/enabled says always), 2 MiB of a heap are resident at any moment that were not."""
    _libc.prctl(_PR_SET_THP_DISABLE, ctypes.c_ulong(1), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))
    try:
        yield
    finally:
        _libc.prctl(_PR_SET_THP_DISABLE, ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))


def binary():
    """The server under test."""
    if os.environ.get("FOREBAY"):
        return os.path.abspath(os.environ["FOREBAY"])
    built = glob.glob(os.path.join(ROOT, "build", "*", "forebay"))
    if not built:
        raise RuntimeError("no server to test: build one, or name it in FOREBAY")
    return max(built, key=os.path.getmtime)


def preloaded(variable):
    """The library that is named in it, for LD_PRELOAD of servers, which are in folders of their own: the loader goes on without
    what it does not find. None: none is named."""
    named = os.environ.get(variable)
    if not named:
        return None
    if not os.path.exists(named):
        raise RuntimeError(f"{variable}: no {named}")
    return os.path.abspath(named)


def command_line(*options):
    """The server for a test that starts it without Server; over the way that the tests are run in."""
    return [binary(), *_options_of("--io", "FOREBAY_TEST_IO"), *options]


def _options_of(option, variable):
    return [option, os.environ[variable]] if os.environ.get(variable) else []


def free_port():
    """A free loopback port below the ephemeral range, so that no client's socket sits on it when a server restarts."""
    while True:
        port = random.SystemRandom().randrange(15000, 32000)
        with socket.socket() as probe:
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port


def eventually(check, seconds=PATIENCE, pause=0.02):
    """Calls check until it answers something true, and returns that; fails when it never does."""
    end = time.monotonic() + seconds
    while True:
        answer = check()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"never became true: {getattr(check, '__name__', check)}, last {answer!r}")
        time.sleep(pause)


def _setting(value):
    return str(value) if isinstance(value, int) else '"' + str(value) + '"'


def section(kind, name, **options):
    """One section of a configuration: backend or namespace."""
    lines = "".join(f"    {key} = {_setting(value)}\n" for key, value in options.items())
    return f'{kind} "{name}" {{\n{lines}}}\n'


def namespace(name, prefix, policy, backend="local", **options):
    """A namespace section; cache-aside ones name no backend."""
    owner = {} if policy == "cache-aside" else {"backend": backend}
    return section("namespace", name, prefix=prefix, policy=policy, **owner, **options)


def sqlite_backend(name="local", path="store.db", **options):
    return section("backend", name, uri="sqlite:" + path, **options)


class Config:
    """A configuration file: Server fills in the address and the folder when it writes it."""

    def __init__(self, *sections, backends=None, memory="64mb", threads=2, **top):
        self.sections = list(sections)
        self.backends = [sqlite_backend()] if backends is None else backends
        self.top = dict(memory=memory, threads=threads, **top)

    def text(self, port, folder):
        top = "".join(f"{key} = {_setting(value)}\n" for key, value in self.top.items())
        head = f'listen = {{"127.0.0.1:{port}"}}\ndata = "{folder}"\n{top}'
        return head + "".join(self.backends) + "".join(self.sections)


# For a server whose resident memory is asked: a sanitizer keeps what is freed for a while, which would count.
GIVES_BACK = {"ASAN_OPTIONS": "abort_on_error=0:detect_leaks=1:allocator_may_return_null=1:quarantine_size_mb=0"}


LEFT_OUT = "has not answered yet, the start goes on without it"
SERVES = re.compile(r"forebay \S+ serves ")
REFUSALS_TRIED = 20


class ServerFailed(AssertionError):
    """The server ended by itself, with the wrong status, or with a sanitizer's report."""


SANITIZER_REPORT = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|Assertion .* failed")


class Process:
    """A server process on a loopback port: what Server and Redis have in common."""

    what = "server"
    started = []  # by the test that runs (conftest.py)
    stands_still = False  # as it was told to (pause), and not for a moment
    signals = threading.Lock()

    def __init__(self, folder, port=None):
        self.folder = str(folder)
        self.port = port or free_port()
        self.process = None
        self.log_path = os.path.join(self.folder, f"{self.what}-{self.port}.log")
        os.makedirs(self.folder, exist_ok=True)

    def command(self):
        raise NotImplementedError

    def answers(self):
        raise NotImplementedError

    def environment(self):
        return dict(os.environ)

    def spawn(self):
        """Starts the process and does not wait for it. A Ctrl-C at the terminal is not for it."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), cwd=self.folder, stdout=log, stderr=log, env=self.environment(),
                preexec_fn=die_with_the_test, start_new_session=True)
        self.stands_still = False
        if self not in Process.started:
            Process.started.append(self)
        return self

    def start(self):
        self.spawn()
        self.await_answer()
        return self

    def await_answer(self, seconds=PATIENCE):
        end = time.monotonic() + seconds
        while not self.answers():
            if self.process.poll() is not None:
                raise ServerFailed(f"{self.what} ended with {self.process.returncode} at its start:\n{self.log()[-4000:]}")
            if time.monotonic() > end:
                raise ServerFailed(f"{self.what} does not answer on port {self.port}:\n{self.log()[-4000:]}")
            time.sleep(0.01)

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process is not None and self.process.poll() is None

    def resident(self):
        """Resident memory in bytes."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) * 1024

    def log(self):
        with contextlib.suppress(FileNotFoundError):
            with open(self.log_path, encoding="utf-8", errors="replace") as log:
                return log.read()
        return ""

    def signal(self, number):
        self.process.send_signal(number)

    def _is_paused(self):
        for path in glob.glob(f"/proc/{self.pid}/task/*/stat"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(path, encoding="utf-8", errors="replace") as stat:
                if stat.read().rpartition(") ")[2][0] not in "TtZX":
                    return False
        return True

    def pause(self):
        """Until each thread has stopped: one that is writing ends that first."""
        with self.signals:
            self.stands_still = True
            self.signal(signal.SIGSTOP)
        eventually(self._is_paused, pause=0.001)

    def resume(self):
        self.stands_still = False
        self.signal(signal.SIGCONT)

    def stutter(self, seconds):
        """Whatever becomes of it meanwhile; what was paused, or is by then, stays so."""
        if self.stands_still:
            return
        self.signal(signal.SIGSTOP)
        time.sleep(seconds)
        with self.signals:
            if not self.stands_still:
                self.signal(signal.SIGCONT)

    def wait(self, seconds=PATIENCE):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise ServerFailed(f"{self.what} did not end within {seconds} s:\n{self.log()[-4000:]}") from None

    def kill(self):
        """kill -9."""
        if self.running():
            self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self.start() if self.process is None else self

    def __exit__(self, kind, value, trace):
        if not self.running():
            return
        if kind is None:
            self.stop()
        else:
            self.kill()

    def stop(self):
        if self.running():
            self.signal(signal.SIGTERM)
        self.wait()


class Server(Process):
    """Forebay, with a configuration or with options like memcached's (a list; -l and -p are added)."""

    what = "forebay"

    def __init__(self, folder, config=None, options=(), port=None, env=None, admin=False):
        super().__init__(folder, port)
        self.config = config
        self.options = list(options) + (["--admin", "127.0.0.1:0"] if admin else [])
        self.env = env or {}
        self.config_folder = self.folder

    def command(self):
        if self.config is None:
            return [binary(), "-l", "127.0.0.1", "-p", str(self.port), *self.root_options(), *self.way_options(), *self.options]
        return [binary(), "--config", self.write_config(), *self.way_options(), *self.options]

    @staticmethod
    def root_options():
        """memcached will not run as root without being told so, and Forebay accepts the same option."""
        return ["-u", "root"] if os.geteuid() == 0 else []

    @staticmethod
    def way_options():
        """Tests are run in several ways (the lists of EPOLL and SANDBOXED in tests/CMakeLists.txt)."""
        return _options_of("--io", "FOREBAY_TEST_IO") + _options_of("--sandbox", "FOREBAY_TEST_SANDBOX")

    def write_config(self):
        path = os.path.join(self.config_folder, f"forebay-{self.port}.conf")
        text = self.config if isinstance(self.config, str) else self.config.text(self.port, self.folder)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def environment(self):
        env = dict(os.environ)
        env.setdefault("ASAN_OPTIONS", "abort_on_error=0:detect_leaks=1:allocator_may_return_null=1")
        env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
        env.setdefault("TSAN_OPTIONS", "halt_on_error=0:second_deadlock_stack=1:atexit_sleep_ms=20")
        env.update(self.env)
        return env

    def speaks_binary_alone(self):
        """Whether its options say so: -S, -B binary."""
        return "-S" in self.options or any(pair == ("-B", "binary") for pair in zip(self.options, self.options[1:]))

    def answers(self):
        if self.speaks_binary_alone():
            return speaks_binary(self.port)
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                probe.settimeout(5)
                probe.sendall(b"version\r\n")
                return probe.recv(16) != b""  # a VERSION, or an error where authentication is asked for
        except OSError:
            return False

    def client(self, timeout=PATIENCE):
        return Client(self.port, timeout)

    def binary_client(self, timeout=PATIENCE):
        return BinaryClient(self.port, timeout)

    @property
    def admin_port(self):
        """Where the admin HTTP of the last start answers (admin=True); known before clients are served."""
        return eventually(lambda: [int(port) for port in re.findall(r"admin HTTP: http://\S+:(\d+)/", self.log())])[-1]

    def ask(self, path, method="GET", headers=None, body=None, patience=PATIENCE):
        """What the admin HTTP answers: an Answer, whose text is unpacked."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=patience)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            body = response.read()
            if body and response.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            return Answer(response.status, response.headers, body.decode())
        finally:
            connection.close()

    def stop(self, how=signal.SIGTERM, status=0, seconds=PATIENCE):
        """Ends the server and checks how it ended."""
        if self.running():
            self.signal(how)
        self.check_end(self.wait(seconds), status)

    def check_end(self, returned, status=0):
        report = SANITIZER_REPORT.search(self.log())
        if returned != status or report:
            found = f", log has {report.group(0)!r}" if report else ""
            raise ServerFailed(f"forebay ended with {returned}, not {status}{found}:\n{self.log()[-8000:]}")

    def check_alive(self):
        """Raises when the server has ended or a sanitizer has reported something."""
        if not self.running():
            raise ServerFailed(f"forebay ended by itself with {self.process.returncode}:\n{self.log()[-8000:]}")
        if SANITIZER_REPORT.search(self.log()):
            raise ServerFailed(f"a sanitizer reported:\n{self.log()[-8000:]}")

    def check(self):
        """What --check says of a configuration that is good."""
        done = subprocess.run(self.command() + ["--check"], cwd=self.folder, env=self.environment(), timeout=PATIENCE,
                              check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.stdout.decode(errors="replace")

    def refuses(self, *options):
        """Starts the server where it must refuse: returns what it says after it ended with a status that is not 0. A backend that has
        not answered for half a second is no reason to refuse; a busy machine may be that slow, so such a start does not count."""
        for _ in range(REFUSALS_TRIED):
            status, said = self._life_until_it_serves(self.command() + list(options))
            if status is None and LEFT_OUT in said:
                continue
            if status is None or status <= 0 or SANITIZER_REPORT.search(said):
                raise ServerFailed(f"forebay ended with {status} (None: it serves) where it must refuse to start:\n{said}")
            return said
        raise ServerFailed(f"forebay starts without its backend {REFUSALS_TRIED} times where it must refuse to start:\n{said}")

    def _life_until_it_serves(self, command):
        """Its status, None if it came to serve, and what it said."""
        with tempfile.TemporaryFile() as out:
            process = subprocess.Popen(command, cwd=self.folder, env=self.environment(), stdout=out, stderr=out,
                                       preexec_fn=die_with_the_test)

            def said():
                return os.pread(out.fileno(), 1 << 20, 0).decode(errors="replace")

            try:
                eventually(lambda: process.poll() is not None or SERVES.search(said()))
                return process.poll(), said()
            finally:
                process.kill()
                process.wait()

    def rows(self, table="sessions", path="store.db"):
        return rows(os.path.join(self.folder, path), table)

    def journal_dump(self):
        """What --journal-dump comes to, of the data folder."""
        return subprocess.run([binary(), f"--journal-dump={self.folder}"], capture_output=True, text=True, check=False)

    def upkeep_steps(self, backend="local"):
        """Each of them begins with a look at the store."""
        return int(self.client().stats("backends")[f"{backend}:upkeep_steps"])


Answer = collections.namedtuple("Answer", "status headers text")
Row = collections.namedtuple("Row", "value flags expires_at version")


def rows(path, table):
    """The live and the expired rows of a namespace's table, by key; none when there is no such file or table yet."""
    if not os.path.exists(path):
        return {}
    database = sqlite3.connect(path, timeout=PATIENCE)
    try:
        found = database.execute(f'SELECT key, value, flags, expires_at, version FROM "{table}"').fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return {}
        raise
    finally:
        database.close()
    return {bytes(key): Row(bytes(value), *rest) for key, value, *rest in found}


@contextlib.contextmanager
def locked(where):
    """Another process's transaction in store.db of a server, or of a folder, as far as SQLite is concerned."""
    folder = where if isinstance(where, str) else where.folder
    other = sqlite3.connect(os.path.join(folder, "store.db"), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield other
    finally:
        other.close()


class Memcached(Server):
    """The real one, $MEMCACHED or the one that is installed, with the options of the server it is compared with."""

    what = "memcached"

    def __init__(self, folder, options=(), program=None):
        super().__init__(folder, options=options)
        self.path = program or self.program()

    @staticmethod
    def program():
        return os.environ.get("MEMCACHED") or shutil.which("memcached")

    @classmethod
    def missing(cls):
        """A reason why there is no memcached of the version whose answers Forebay gives, or None."""
        return None if cls.program() and cls.version() >= (1, 6, 45) else "no memcached of that version"

    @classmethod
    @functools.lru_cache
    def version(cls):
        said = subprocess.run([cls.program(), "-V"], stdout=subprocess.PIPE, check=True, timeout=10).stdout
        return tuple(map(int, re.search(rb"(\d+)\.(\d+)\.(\d+)", said).groups()))

    def command(self):
        return [self.path, "-l", "127.0.0.1", "-p", str(self.port), "-U", "0", "-m", "64", *self.root_options(), *self.options]

    def stop(self, *_, **__):
        self.kill()  # its own end takes seconds, and is not what is tested


class Closed(ConnectionError):
    """The server closed the connection."""


def _bytes(text):
    return text if isinstance(text, bytes) else str(text).encode()


class Client(Connection):
    """The text protocol by hand: bytes out, lines in. Keys may be str or bytes, values are bytes; an error line of
    the server comes back as bytes where an answer was expected."""

    def __init__(self, port, timeout=PATIENCE, host="127.0.0.1"):
        super().__init__(port, timeout, host)

    def end_by_reset(self):
        """That is how it ends when it is closed: at once, and without a word."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def send(self, data):
        self.socket.sendall(_bytes(data))

    def line(self):
        """The next line without its end."""
        line = self.file.readline()
        if not line.endswith(b"\n"):
            raise Closed("the server closed the connection" + (f" after {line!r}" if line else ""))
        return line[:-2] if line.endswith(b"\r\n") else line[:-1]

    def read(self, count):
        data = self.file.read(count)
        if len(data) != count:
            raise Closed("the server closed the connection")
        return data

    def command(self, text):
        """One line, one line."""
        self.send(_bytes(text) + b"\r\n")
        return self.line()

    @staticmethod
    def storage(verb, key, value, flags=0, ttl=0, token=None, noreply=False):
        """The bytes of a storage command."""
        tail = (b" %d" % token if token is not None else b"") + (b" noreply" if noreply else b"")
        return b"%s %s %d %d %d%s\r\n%s\r\n" % (_bytes(verb), _bytes(key), flags, ttl, len(value), tail, value)

    def store(self, verb, key, value, **options):
        self.send(self.storage(verb, key, value, **options))
        return self.line()

    def set(self, key, value, **options):
        return self.store("set", key, value, **options)

    def set_many(self, pairs, ttl=0):
        """Pipelined sets; the list of replies."""
        pairs = list(pairs)
        self.send(b"".join(self.storage("set", key, value, ttl=ttl) for key, value in pairs))
        return [self.line() for _ in pairs]

    def values(self):
        """The reply to a get: ordered list of (key, flags, value, cas or None), or the error line."""
        found = []
        while True:
            line = self.line()
            if line == b"END":
                return found
            if not line.startswith(b"VALUE "):
                return line
            _, key, flags, size, *token = line.split(b" ")
            value = self.read(int(size) + 2)[:-2]
            found.append((key, int(flags), value, int(token[0]) if token else None))

    def get_many(self, keys):
        """{key: value} as bytes, or the error line."""
        self.send(b"get " + b" ".join(map(_bytes, keys)) + b"\r\n")
        found = self.values()
        return found if isinstance(found, bytes) else {key: value for key, _, value, _ in found}

    def ask(self, key):
        """('hit', value), ('miss', None) or ('error', line)."""
        found = self.get_many([key])
        if isinstance(found, bytes):
            return "error", found
        return ("hit", found[_bytes(key)]) if found else ("miss", None)

    def get(self, key):
        """The value, or None for a miss; an error line is a failure."""
        kind, value = self.ask(key)
        assert kind != "error", value
        return value

    def gets(self, key):
        """(value, flags, cas), or None."""
        self.send(b"gets " + _bytes(key) + b"\r\n")
        found = self.values()
        assert not isinstance(found, bytes), found
        return (found[0][2], found[0][1], found[0][3]) if found else None

    def delete(self, key):
        return self.command(b"delete " + _bytes(key))

    def incr(self, key, by=1):
        return self.command(b"incr %s %d" % (_bytes(key), by))

    def touch(self, key, ttl):
        return self.command(b"touch %s %d" % (_bytes(key), ttl))

    def sync(self, space=""):
        """The flush barrier: the number of entries, and an error is a failure."""
        answer = self.command(("sync " + space).strip())
        assert answer.startswith(b"SYNCED "), answer
        return int(answer.split()[1])

    def stats(self, what=""):
        """{name: value}, both str."""
        self.send(("stats " + what).strip() + "\r\n")
        found = {}
        while True:
            line = self.line().decode()
            if line == "END":
                return found
            assert line.startswith("STAT "), line
            _, name, *value = line.split(" ", 2)
            found[name] = value[0] if value else ""


@contextlib.contextmanager
def no_file_can_be_written(server):
    """Every write to a file fails, as on a broken disk: the limit of the size of files is 0, and then what it was."""
    before = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        if server.running():
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, before)


def journal_failures(server):
    """How often the journal could not be written. Asks on a connection of its own: one that is answered in the very turn that
    fails is closed with the others."""
    try:
        return int(server.client().stats("write_behind")["journal:failures"])
    except (Closed, OSError):
        return 0


READ_HASHES = """
local rows = {}
for i, key in ipairs(KEYS) do
  local row = redis.call('HMGET', key, 'value', 'flags', 'version')
  rows[i] = {row[1], row[2], redis.call('PEXPIRETIME', key), row[3]}
end
return rows"""

READ_STRINGS = """
local rows = {}
for i, key in ipairs(KEYS) do
  rows[i] = {redis.call('GET', key), redis.call('HGET', 'forebay:beside:' .. key, 'flags'), redis.call('PEXPIRETIME', key), 0}
end
return rows"""


class Redis(Process):
    """redis-server, without persistence unless the options say so."""

    what = "redis"
    rows_at_once = 500  # that a script is asked for

    def __init__(self, folder, *options, port=None):
        super().__init__(folder, port)
        self.options = list(options)

    @staticmethod
    def missing():
        """A reason why there is no Redis, or None."""
        return None if shutil.which("redis-server") else "redis-server is not installed"

    def command(self):
        return ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--dir", self.folder, "--save", "",
                "--appendonly", "no", *self.options]

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                probe.settimeout(2)
                probe.sendall(b"PING\r\n")
                return probe.recv(5) in (b"+PONG", b"-NOAU")
        except OSError:
            return False

    def kill(self):
        if self.running():
            self.resume()  # a stopped process is killed all the same, but its parent may be waiting for it
        super().kill()

    def restart(self, *options):
        """With these options instead of those it had."""
        self.stop()
        self.options = list(options)
        self.start()

    def connect(self):
        """A redis-py client; its module is only needed here."""
        import redis  # pylint: disable=import-outside-toplevel
        return redis.Redis(port=self.port, socket_timeout=PATIENCE)

    def rows(self, prefix, layout="hash"):
        """What it has under a prefix, as anyone can see it: {key: Row}; no tombstones. A string's version is left out."""
        client = self.connect()
        names = list(client.scan_iter(match=prefix + "*", count=1000))
        found = {}
        read = client.register_script(READ_HASHES if layout == "hash" else READ_STRINGS)
        for start in range(0, len(names), self.rows_at_once):
            some = names[start:start + self.rows_at_once]
            for name, (value, flags, expires, version) in zip(some, read(keys=some)):
                if value is not None:  # else the tombstone of a delete
                    found[name] = Row(value, int(flags or 0), max(0, expires // 1000), int(version or 0))
        return found

    @property
    def uri(self):
        return f"redis://127.0.0.1:{self.port}/0"


class Background:
    """Runs a function in a thread until told to stop, and hands its exception over: with Background(f) as b. The
    function is called with a threading.Event that says when to end."""

    def __init__(self, function, *arguments):
        self.end = threading.Event()
        self.error = None
        self.thread = threading.Thread(target=self._run, args=(function, arguments), daemon=True)

    def _run(self, function, arguments):
        try:
            function(self.end, *arguments)
        except BaseException as error:  # noqa: B902 - shown by join, in the test's own thread
            self.error = error

    def __enter__(self):
        self.thread.start()
        return self

    def join(self):
        self.end.set()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), "a background thread does not end"
        if self.error:
            raise self.error

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.join()
        else:
            self.end.set()
