# SPDX-License-Identifier: MIT
"""Encrypted connections: what is served over them, who gets in, handshakes that fail or never end, certificates that are
replaced while clients are at work."""

import contextlib
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess

import pytest
from certificates import Certificates, TlsClient, TlsServer, first_message, openssl, whole_first_message
from clock import Clock, needs_clock
from forebay import (GIVES_BACK, PATIENCE, THERE, Background, Client, Closed, Config, Redis, Server, eventually, free_port, namespace,
                     section, share)
from manager import Activated
from stunnel import Stunnel
from tls_records import AGAIN, ALERT, APPLICATION, NO_RENEGOTIATION, PIECES, SIGNS_ONLY, WARNING, Records

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
VERSIONS = pytest.mark.parametrize("version", [TLS12, TLS13], ids=["1.2", "1.3"])
REFUSED = (ssl.SSLError, ConnectionError, Closed, socket.timeout)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    made = Certificates(tmp_path_factory.mktemp("certificates"))
    for name in ("server", "renewed", "client"):
        made.make(name)
    made.make("stranger", authority="unknown")
    made.make("late", days=-1)
    return made


class Encrypted(Config):
    """A configuration with a plain address, which the start waits for, and one that is encrypted for each prefix."""

    def __init__(self, folder, *sections, prefixes=("tls:",), **top):
        self.ports = {prefix: free_port() for prefix in prefixes}
        self.folder = folder
        top.setdefault("tls_certificate", os.path.join(str(folder), "server.pem"))
        top.setdefault("tls_key", os.path.join(str(folder), "server.key"))
        if os.environ.get("FOREBAY_TEST_TLS_KERNEL"):
            top.setdefault("tls_kernel", True)
            top.setdefault("tls_handshake_timeout", "10m")  # in a machine that is emulated
        super().__init__(*sections, **top)

    @property
    def tls_port(self):
        return next(iter(self.ports.values()))

    def text(self, port, folder):
        encrypted = "".join(f', "{prefix}127.0.0.1:{at}"' for prefix, at in self.ports.items())
        plain = f'"127.0.0.1:{port}"'
        return super().text(port, folder).replace(plain, plain + encrypted, 1)


@pytest.fixture
def files(certificates, tmp_path):
    """A copy of the server's certificate and key, to be replaced; the CA stays."""
    for name in ("server", "renewed"):
        for kind in (".pem", ".key"):
            shutil.copy(certificates.path(name + kind), tmp_path)
    return tmp_path


def with_tls(server, certificates):
    """server.tls() is a client of its first encrypted address."""
    server.context = certificates.context()
    server.tls = lambda context=None, port=None, **rest: TlsClient(port or server.config.tls_port, context or server.context, **rest)
    return server


@pytest.fixture
def serve_tls(serve, certificates, files):
    """serve_tls(...) starts a server with an encrypted address: what Encrypted takes."""
    def start(*sections, admin=False, **more):
        return with_tls(serve(Encrypted(files, *sections, **more), admin=admin), certificates)
    return start


@pytest.fixture(scope="module")
def shared(certificates, tmp_path_factory):
    """A server with one worker for all tests that want nothing else."""
    with Server(tmp_path_factory.mktemp("shared"), config=Encrypted(certificates.folder, memory="128mb", threads=1)) as server:
        yield with_tls(server, certificates)


def lets_in_at(port, context):
    """Whether a client is answered. With TLS 1.3 it learns of a refusal when it reads."""
    try:
        with TlsClient(port, context) as client:
            return client.command("version").startswith(b"VERSION")
    except REFUSED:
        return False


def lets_in(server, context, port=None):
    return lets_in_at(port or server.config.tls_port, context or server.context)


def tls_stats(server):
    with server.client() as client:
        told = client.stats()
    return {name: int(told[name]) for name in ("ssl_new_sessions", "ssl_handshake_errors", "ssl_proto_errors")}


def fail(server, count):
    """So many handshakes have failed. A client may hear of it a moment before it is counted."""
    eventually(lambda: tls_stats(server)["ssl_handshake_errors"] >= count)
    return tls_stats(server)["ssl_handshake_errors"] == count


# ---- What is served ----


@pytest.mark.parametrize("way", ["epoll", "auto"])
def test_large_values_that_wait_for_a_later_turn_come_whole(serve_tls, way):
    """Asked for by more clients at once than a turn is to send to."""
    server, value = serve_tls(memory="64mb", threads=1, io=way), b"x" * (1000 << 10)
    with server.client() as other, contextlib.ExitStack() as stack:
        assert other.set("large", value) == b"STORED"
        crowd = [stack.enter_context(server.tls()) for _ in range(20)]
        before = int(other.stats()["conn_yields"])
        server.pause()
        for client in crowd:
            client.send(b"get large\r\n")
        server.resume()
        for client in crowd:
            assert client.values()[0][2] == value
        assert int(other.stats()["conn_yields"]) - before >= 4


@VERSIONS
def test_requests_of_all_sizes_are_answered(shared, certificates, version):
    with shared.tls(certificates.context(version=version)) as client:
        assert client.socket.version() == {TLS12: "TLSv1.2", TLS13: "TLSv1.3"}[version]
        for size in (0, 1, 100, 16383, 16384, 16385, 40000, 1000000):
            value = os.urandom(size)
            assert client.set(f"k{size}", value) == b"STORED"
            assert client.get(f"k{size}") == value
        assert client.command("mg k1 v") == b"VA 1"
        client.read(3)
        pairs = [(f"p{i}", b"%d" % i * 50) for i in range(3000)]
        assert set(client.set_many(pairs)) == {b"STORED"}
        assert client.get_many([key for key, _ in pairs]) == {key.encode(): value for key, value in pairs}
        with shared.client() as plain:
            assert plain.get("p7") == dict(pairs)["p7"]


def test_requests_that_wait_for_a_store_are_answered_in_order(serve_tls):
    """They park, and what follows them on the connection is kept."""
    server = serve_tls(namespace("through", "wt:", "write-through"), namespace("behind", "wb:", "write-behind", flush_delay="10ms"))
    with server.tls() as client:
        count = share(200)
        for prefix in ("wt:", "wb:"):
            assert set(client.set_many((f"{prefix}{i}", b"%d" % i) for i in range(count))) == {b"STORED"}
        client.send(b"".join(b"get wt:absent%d\r\nget wt:%d\r\n" % (i, i) for i in range(count)))
        for i in range(count):
            assert client.values() == []
            assert client.values() == [(b"wt:%d" % i, 0, b"%d" % i, None)]
        assert client.sync() >= 0


def test_a_slow_reader_gets_all_of_it_and_holds_nobody_up(shared):
    value = os.urandom(1000000)
    with shared.tls() as slow, shared.tls() as other:
        assert slow.set("big", value) == b"STORED"
        slow.send(b"get big\r\n" * 40 + b"get none\r\n" + b"version\r\n")
        assert other.set("k", b"1") == b"STORED"
        for _ in range(40):
            assert slow.values() == [(b"big", 0, value, None)]
        assert slow.values() == []
        assert slow.line().startswith(b"VERSION")
        assert other.get("k") == b"1"


def test_what_is_fed_is_encrypted(shared):
    """Another thread than the worker writes it."""
    keys = {b"key=fed%d" % i for i in range(2000)}
    with shared.tls() as client, shared.tls() as watcher:
        assert set(client.set_many((f"fed{i}", b"x") for i in range(2000))) == {b"STORED"}
        assert client.command("lru_crawler metadump all") == b"OK"
        found = set()
        while (line := client.line()) != b"END":
            found.add(line.split(b" ")[0])
        assert keys <= found
        assert client.get("fed1") == b"x"
        assert watcher.command("watch mutations") == b"OK"
        assert client.set("seen", b"1") == b"STORED"
        assert b"key=seen" in watcher.line()


def test_passwords_are_asked_for(serve_tls, tmp_path):
    (tmp_path / "auth").write_text("user:right\n")
    (tmp_path / "auth").chmod(0o600)
    server = serve_tls(auth_file=str(tmp_path / "auth"))
    with server.tls() as client:
        assert client.command("get k") == b"CLIENT_ERROR unauthenticated"
        assert client.set("x", b"user right") == b"STORED"
        assert client.set("k", b"x" * 100000) == b"STORED"
        assert client.get("k") == b"x" * 100000


def test_openssl_and_pymemcache_are_served(shared, certificates):
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{shared.config.tls_port}", "-CAfile", certificates.path("ca.pem"),
                           "-verify_return_error", "-verify_ip", "127.0.0.1", "-quiet", "-ign_eof"],
                          input=b"set k 0 0 2\r\nhi\r\nget k\r\nquit\r\n", timeout=60, check=True, capture_output=True)
    assert done.stdout == b"STORED\r\nVALUE k 0 2\r\nhi\r\nEND\r\n"
    base = pytest.importorskip("pymemcache.client.base")
    client = base.Client(("127.0.0.1", shared.config.tls_port), tls_context=certificates.context(), timeout=30, default_noreply=False)
    values = {f"k{i}": b"%d" % i for i in range(500)}
    assert client.set_many(values) == []
    assert client.get_many(list(values)) == values
    client.close()


# ---- By way of stunnel: what speaks no TLS ----


@pytest.mark.skipif(bool(Stunnel.missing()), reason=str(Stunnel.missing()))
def test_a_client_without_tls_takes_a_tunnel(shared, certificates, tmp_path):
    pylibmc = pytest.importorskip("pylibmc")
    before = tls_stats(shared)["ssl_new_sessions"]
    with Stunnel(tmp_path / "tunnel", shared.config.tls_port, certificates.path("ca.pem")) as tunnel:
        client = pylibmc.Client([f"127.0.0.1:{tunnel.port}"])
        assert client.set("k", "x" * 100000) and client.get("k") == "x" * 100000
        client.disconnect_all()
    assert tls_stats(shared)["ssl_new_sessions"] > before


@pytest.mark.skipif(bool(Stunnel.missing() or Redis.missing()), reason="stunnel4 or redis-server is not installed")
def test_redis_is_reached_by_a_tunnel(serve, certificates, tmp_path):
    encrypted = free_port()
    options = ["--tls-port", str(encrypted), "--tls-cert-file", certificates.path("server.pem"), "--tls-key-file",
               certificates.path("server.key"), "--tls-ca-cert-file", certificates.path("ca.pem"), "--tls-auth-clients", "no"]
    with Redis(tmp_path / "redis", *options) as redis, Stunnel(tmp_path / "tunnel", encrypted, certificates.path("ca.pem")) as tunnel:
        backend = section("backend", "local", uri=f"redis://127.0.0.1:{tunnel.port}/0", timeout=THERE)
        server = serve(Config(namespace("through", "wt:", "write-through"), backends=[backend]))
        assert server.client().set("wt:k", b"1") == b"STORED"
        assert redis.connect().dbsize() > 0
        server.stop()


# ---- Where the kernel encrypts: tools/other-kernel ----

def kernel_counts():
    """{name: count} of what the kernel has encrypted and decrypted for anybody, or None: it does not do that."""
    try:
        with open("/proc/net/tls_stat", encoding="ascii") as told:
            return {name: int(count) for name, count in map(str.split, told)}
    except FileNotFoundError:
        return None


@pytest.mark.skipif(kernel_counts() is None, reason="the module tls is not loaded: see tools/other-kernel")
@pytest.mark.parametrize("io", ["epoll", "io_uring"])
@VERSIONS
@pytest.mark.parametrize("wanted", [True, False], ids=["kernel", "OpenSSL"])
def test_the_kernel_encrypts_where_it_is_asked_to(serve_tls, certificates, version, io, wanted):
    """With OpenSSL 3.0 it decrypts TLS 1.2 alone."""
    server = serve_tls(tls_kernel=wanted, io=io)
    before = kernel_counts()
    with server.tls(certificates.context(version=version)) as client:
        value = os.urandom(1000000)
        assert client.set("k", value) == b"STORED" and client.get("k") == value
        now = kernel_counts()
    assert now["TlsCurrTxSw"] - before["TlsCurrTxSw"] == wanted
    assert now["TlsCurrRxSw"] - before["TlsCurrRxSw"] == (wanted and version == TLS12)
    eventually(lambda: kernel_counts()["TlsCurrTxSw"] == before["TlsCurrTxSw"])
    assert kernel_counts()["TlsDecryptError"] == before["TlsDecryptError"]


# ---- Ends ----


def test_a_client_that_closes_is_answered_with_a_close(serve_tls):
    server = serve_tls()
    with server.tls() as client:
        assert client.set("k", b"1") == b"STORED"
        client.send(b"quit\r\n")
        assert client.socket.recv(10) == b""  # an end without close_notify would raise
    with server.tls() as client:
        client.socket.unwrap().close()
    eventually(lambda: server.client().stats()["curr_connections"] == "1")
    assert tls_stats(server)["ssl_proto_errors"] == 0


def test_a_stop_says_goodbye(serve_tls):
    server = serve_tls()
    with server.tls() as client:
        assert client.set("k", b"1") == b"STORED"
        server.stop()
        assert client.socket.recv(10) == b""


# ---- Handshakes ----


class Handshake:
    """One that goes on as it is told to, byte by byte."""

    def __init__(self, port, context):
        self.raw = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = context.wrap_bio(self.incoming, self.outgoing, server_hostname="127.0.0.1")
        with contextlib.suppress(ssl.SSLWantReadError):
            self.client.do_handshake()
        self.unsaid = self.outgoing.read()

    def close(self):
        self.raw.close()

    def say(self, count=None):
        """So much of what is to be said, or all of it."""
        said, self.unsaid = self.unsaid[:count], self.unsaid[len(self.unsaid) if count is None else count:]
        for byte in said:
            self.raw.sendall(bytes([byte]))

    def hear(self):
        heard = self.raw.recv(65536)
        assert heard, "closed"
        self.incoming.write(heard)

    def exchange(self, step):
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self.unsaid += self.outgoing.read()
                self.say()
                self.hear()

    def is_answered(self):
        self.exchange(self.client.do_handshake)
        self.client.write(b"version\r\n")
        return self.exchange(lambda: self.client.read(100)).startswith(b"VERSION")


def test_a_handshake_may_come_in_single_bytes(shared, certificates):
    with contextlib.closing(Handshake(shared.config.tls_port, certificates.context())) as client:
        assert client.is_answered()


def test_who_speaks_plainly_to_an_encrypted_address_is_told_in_the_log(serve_tls):
    server = serve_tls()
    with Client(server.config.tls_port) as client:
        client.send(b"get k\r\n" * 10)
        with contextlib.suppress(ConnectionResetError):
            client.file.read()
    assert fail(server, 1)
    eventually(lambda: "handshake failed" in server.log())
    assert re.search(r"client tcp:127\.0\.0\.1:\d+: the TLS handshake failed: .*does not speak TLS", server.log())
    assert lets_in(server, None)


def test_who_speaks_tls_to_a_plain_address_is_refused_at_once(shared, certificates):
    with pytest.raises(REFUSED):
        TlsClient(shared.port, certificates.context())
    eventually(lambda: re.search(r"connection of tcp:127\.0\.0\.1:\d+ closed: it speaks TLS, and this address does not", shared.log()))
    assert shared.client().set("k", b"1") == b"STORED"


HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


def test_who_resets_a_handshake_is_told_by_its_address(serve_tls):
    """The kernel does not know it any more. Where the reset is there before a byte was read, nothing has begun."""
    server = serve_tls()

    def told():
        with Client(server.config.tls_port) as client:
            client.send(HELLO)
            client.end_by_reset()
            server.client().close()
        return re.findall(r"client (.+): the TLS handshake failed: ", server.log())
    for address in eventually(told):
        assert re.fullmatch(r"tcp:127\.0\.0\.1:\d+", address), address


def test_a_handshake_that_does_not_go_on_is_ended(serve_tls):
    server = serve_tls(tls_handshake_timeout="1s")
    clients = []
    for begin in (b"", HELLO[:1], HELLO):
        clients.append(Client(server.config.tls_port))
        clients[-1].send(begin)
    with server.tls() as done:
        for client in clients:
            assert client.is_closed()
        assert done.set("k", b"1") == b"STORED"
    assert fail(server, 3)
    assert server.log().count("it took too long") == 3


@pytest.mark.parametrize("more", [b"", b"\x16"], ids=["silent", "with more sent"])
@pytest.mark.parametrize("ends", [False, True], ids=["open", "half closed"])
def test_a_handshake_whose_answer_is_not_read_is_ended(serve_tls, certificates, files, more, ends):
    """The certificates are more than sockets hold. A server that looked again and again whether it may go on would not see that
    it took too long."""
    with open(certificates.path("ca.pem"), "rb") as authority, open(files / "server.pem", "ab") as chain:
        certificate = authority.read()
        chain.write(certificate * (400000 // len(certificate)))
    server = serve_tls(tls_handshake_timeout="1s")
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)  # so that the server's holds little, too
        client.connect(("127.0.0.1", server.config.tls_port))
        client.sendall(whole_first_message(server.context) + more)
        if ends:
            client.shutdown(socket.SHUT_WR)
        assert fail(server, 1)
    assert server.log().count("it took too long") == 1


def test_a_handshake_may_not_take_much(serve_tls):
    server = serve_tls()
    with Client(server.config.tls_port) as client:
        with contextlib.suppress(ConnectionError):
            client.send(first_message(80000))
            assert client.file.read() == b""
    eventually(lambda: "it takes too much" in server.log())
    assert fail(server, 1)
    assert lets_in(server, None)


MOST = 200 << 10  # bytes of an unfinished handshake that takes what it can; docs/security.md


def test_unfinished_handshakes_take_bounded_memory(serve, certificates, files):
    server = serve(Encrypted(files), env=GIVES_BACK)
    count = 100
    with contextlib.ExitStack() as clients:
        assert lets_in_at(server.config.tls_port, certificates.context())
        before = server.resident()
        for _ in range(count):
            clients.enter_context(Client(server.config.tls_port)).send(first_message(60000))
        with server.client() as other:
            for i in range(300):
                assert other.set(f"k{i}", b"1") == b"STORED"
                assert server.resident() - before < count * MOST


def test_handshakes_that_fail_do_not_fill_the_log(serve_tls):
    server = serve_tls()
    for _ in range(30):
        with Client(server.config.tls_port) as client:
            client.send(b"get k\r\n")
            with contextlib.suppress(ConnectionResetError):
                client.file.read()
    assert fail(server, 30)
    eventually(lambda: "TLS handshakes that fail: " in server.log())
    assert server.log().count("handshake failed") < 30


def test_who_connects_and_leaves_has_not_failed(serve_tls):
    """As probes of a load balancer do."""
    server = serve_tls()
    for _ in range(10):
        Client(server.config.tls_port).close()
    eventually(lambda: server.client().stats()["curr_connections"] == "1")
    assert tls_stats(server)["ssl_handshake_errors"] == 0


def test_an_older_version_is_refused(serve_tls, certificates):
    server = serve_tls(tls_version="1.3")
    assert lets_in(server, certificates.context(version=TLS13))
    assert not lets_in(server, certificates.context(version=TLS12))
    eventually(lambda: "see tls_version" in server.log())


@VERSIONS
def test_a_session_is_resumed(shared, certificates, version):
    before = tls_stats(shared)["ssl_new_sessions"]
    context = certificates.context(version=version)
    with shared.tls(context) as client:
        assert client.set("k", b"1") == b"STORED"
        assert not client.socket.session_reused
        session = client.socket.session
    with shared.tls(context, session=session) as client:
        assert client.get("k") == b"1"
        assert client.socket.session_reused
    assert tls_stats(shared)["ssl_new_sessions"] == before + 1


def test_renegotiation_is_refused_and_keys_are_renewed(shared, certificates):
    """s_client does either at a line of its own."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{shared.config.tls_port}", "-CAfile", certificates.path("ca.pem")]

    def after(letter, *options):
        with subprocess.Popen([*command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0) as client:
            def until(text):
                said = b""
                while text not in said:
                    part = client.stdout.read(4096)
                    if not part:
                        return said, False
                    said += part
                return said, True

            client.stdin.write(b"version\r\n")
            assert until(b"VERSION")[1]
            client.stdin.write(letter + b"\n")
            begun, _ = until(b"KEYUPDATE" if letter in b"kK" else b"RENEGOTIATING")
            with contextlib.suppress(BrokenPipeError):
                client.stdin.write(b"version\r\n")
            said, answered = until(b"VERSION")
            client.kill()
            return begun + said, answered

    assert after(b"k", "-tls1_3")[1]
    said, answered = after(b"K", "-tls1_3")
    if os.environ.get("FOREBAY_TEST_TLS_KERNEL") and kernel_counts():  # which cannot renew them: the client is closed
        assert not answered and b"bad record mac" not in said, said
    else:
        assert answered
    said, answered = after(b"R", "-tls1_2")
    assert not answered and b"no renegotiation" in said, said
    assert lets_in(shared, None)


# ---- Records that have no bytes of a client's: OpenSSL goes on to the next as long as there are any ----

SILENT_MOST = 32


def answers(client, *silent):
    """Whether a client of records is answered behind these."""
    with contextlib.suppress(ConnectionError):
        client.send(*silent, (APPLICATION, b"version\r\n"))
        while (record := client.received()) == (ALERT, NO_RENEGOTIATION):
            pass
        return record is not None and record[1].startswith(b"VERSION")
    return False


@pytest.mark.parametrize("silent", [(AGAIN,), (AGAIN, WARNING), PIECES], ids=["renegotiation", "warnings", "pieces"])
def test_records_without_bytes_are_bounded(serve_tls, certificates, tmp_path, silent):
    """OpenSSL counts warnings, and forgets them where others come between."""
    server = serve_tls(tls_ciphers=SIGNS_ONLY, threads=1, verbosity=1)
    with Records(server.config.tls_port, certificates.context(), tmp_path) as client:
        for _ in range(3):
            assert answers(client, *silent * (SILENT_MOST // len(silent)))
        assert not answers(client, *silent * (SILENT_MOST // len(silent) + 1))
    assert tls_stats(server)["ssl_proto_errors"] == 1
    assert "its TLS has ended: too many records without bytes" in server.log()


def test_why_a_connection_has_ended_is_told_at_level_debug(serve_tls):
    """By OpenSSL, or by the kernel."""
    server = serve_tls(verbosity=1)
    with server.tls() as client:
        assert client.set("k", b"1") == b"STORED"
        os.write(client.socket.fileno(), b"\x17\x03\x03\x00\x20" + b"x" * 32)
        with pytest.raises(REFUSED):
            client.line()
    with server.tls() as client:
        assert client.set("k", b"1") == b"STORED"
        client.end_by_reset()
    ended = r"debug: connection of tcp:127.0.0.1:\d+ closed: its TLS has ended: (.*)"
    reasons = eventually(lambda: (found := re.findall(ended, server.log()))[1:] and found)
    assert reasons == ["decryption failed or bad record mac", "Connection reset by peer"]
    assert tls_stats(server)["ssl_proto_errors"] == 1


def test_new_keys_without_end_close_the_connection(shared, certificates):
    """s_client sends new keys at a line of its own."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{shared.config.tls_port}", "-CAfile", certificates.path("ca.pem"), "-tls1_3"]
    before = tls_stats(shared)["ssl_proto_errors"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0) as client:
        def ask(line, answer):
            said = b""
            with contextlib.suppress(BrokenPipeError):
                client.stdin.write(line + b"\n")
            while answer not in said and (part := client.stdout.read(4096)):
                said += part
            return answer in said

        assert ask(b"version", b"VERSION")
        for _ in range(SILENT_MOST):
            assert ask(b"k", b"KEYUPDATE")
        assert ask(b"version", b"VERSION")
        for _ in range(SILENT_MOST + 1):
            ask(b"k", b"KEYUPDATE")
        assert not ask(b"version", b"VERSION")
        client.kill()
    assert tls_stats(shared)["ssl_proto_errors"] == before + 1
    assert lets_in(shared, None)


# ---- Who gets in ----


@pytest.mark.parametrize("wanted, good", [("off", {None, "client", "stranger", "late"}), ("optional", {None, "client"}), ("required", {"client"})])
def test_certificates_of_clients_are_looked_at(serve_tls, certificates, wanted, good):
    server = serve_tls(tls_client_certificates=wanted, tls_ca=certificates.path("ca.pem"))
    clients = (None, "client", "stranger", "late")
    for version in (TLS12, TLS13):
        assert {name for name in clients if lets_in(server, certificates.context(name, version))} == good
    assert fail(server, 2 * (len(clients) - len(good)))


def test_an_address_may_have_its_own_rule_about_certificates(serve_tls, certificates):
    """memcached's btls: and mtls:; a session of the one does not open the other."""
    server = serve_tls(prefixes=("btls:", "mtls:"), tls_client_certificates="optional", tls_ca=certificates.path("ca.pem"))
    anybody, known = server.config.ports.values()
    stranger = certificates.context("stranger", TLS12)
    assert lets_in(server, stranger, anybody) and not lets_in(server, stranger, known)
    assert lets_in(server, certificates.context("client"), known)
    with server.tls(stranger, port=anybody) as client:
        assert client.command("version").startswith(b"VERSION")
        session = client.socket.session
    with pytest.raises(REFUSED), server.tls(stranger, port=known, session=session) as client:
        assert not client.command("version")


@needs_clock
@VERSIONS
def test_a_session_does_not_outlive_the_certificate_of_its_client(serve, certificates, files, version):
    """Nor does one that goes on in another, as each does with TLS 1.3."""
    hour, day = 3600, 24 * 3600
    clock = Clock(files)
    config = Encrypted(files, tls_client_certificates="required", tls_ca=certificates.path("ca.pem"))
    server = with_tls(serve(config, env=clock.environment), certificates)
    known = certificates.context("client", version)
    clock.set(day - hour)  # the certificate is for a day
    with server.tls(known) as client:
        assert client.set("k", b"1") == b"STORED"
        session = client.socket.session
    with server.tls(known, session=session) as client:
        assert client.get("k") == b"1" and client.socket.session_reused
        session = client.socket.session
    clock.set(day + hour // 2)
    with pytest.raises(REFUSED), server.tls(known, session=session) as client:
        assert not client.command("version")


# ---- Certificates that are replaced ----


def serial(client):
    return client.socket.getpeercert()["serialNumber"]


def replace(files, name):
    """As a tool does that renews certificates: whole files, one after the other."""
    for kind in (".key", ".pem"):
        shutil.copy(files / (name + kind), files / "next")
        os.rename(files / "next", files / ("server" + kind))


def reload(server):
    """What the log says of it."""
    told = len(server.log())
    server.signal(signal.SIGHUP)
    return eventually(lambda: re.search(r"(notice|error): reload: (.*)", server.log()[told:]))


def test_a_renewed_certificate_is_for_new_connections(serve_tls, files):
    server = serve_tls()
    with server.tls() as before:
        assert before.set("k", b"1") == b"STORED"
        replace(files, "renewed")
        assert "the certificate of" in reload(server).group(2)
        assert before.get("k") == b"1"
        with server.tls() as after:
            assert after.get("k") == b"1"
            assert serial(after) != serial(before)
    assert "nothing has changed" in reload(server).group(2)


def test_a_bad_certificate_is_refused_and_the_old_one_stays(serve_tls, files):
    server = serve_tls()
    with server.tls() as client:
        first = serial(client)
    good = {kind: (files / ("server" + kind)).read_bytes() for kind in (".pem", ".key")}
    for kind, text, named, remedy in ((".key", (files / "renewed.key").read_bytes(), "tls_key",
                                       f"not the private key of the first certificate in {files / 'server.pem'} (tls_certificate)"),
                                      (".pem", b"nothing", "tls_certificate", "in PEM"),
                                      (".pem", good[".pem"][:200], "tls_certificate", "in PEM"),
                                      (".key", None, "tls_key", "correct the path")):
        path = files / ("server" + kind)
        if text is None:
            path.unlink()
        else:
            path.write_bytes(text)
        said = reload(server)
        assert said.group(1) == "error" and f"{named}: " in said.group(2) and str(path) in said.group(2), said.group(0)
        assert remedy in said.group(2) and "stays as it was; nothing was changed" in said.group(2)
        with server.tls() as client:
            assert serial(client) == first
        path.write_bytes(good[kind])
    assert "nothing has changed" in reload(server).group(2)


def test_paths_and_rules_change_with_a_reload(serve_tls, certificates):
    server = serve_tls()
    config = server.config
    assert lets_in(server, None)
    ca = shutil.copy(certificates.path("ca.pem"), server.folder)  # where a sandbox reaches
    config.top.update(tls_client_certificates="required", tls_ca=ca, tls_version="1.3")
    server.write_config()
    assert "tls_client_certificates from off to required" in reload(server).group(2)
    assert not lets_in(server, None) and lets_in(server, certificates.context("client"))
    assert not lets_in(server, certificates.context("client", TLS12))
    told = server.client().stats("settings")
    assert (told["ssl_ca_cert"], told["ssl_verify_mode"], told["ssl_min_version"]) == (ca, "2", "tlsv1.3")
    for name in ("tls_client_certificates", "tls_ca", "tls_version"):
        del config.top[name]
    server.write_config()
    reload(server)
    assert lets_in(server, None)
    assert server.client().stats("settings")["ssl_ca_cert"] == "NULL"


def renew(server, files, turn):
    """With another certificate each time."""
    if turn == 0:
        for kind in (".pem", ".key"):
            shutil.copy(files / ("server" + kind), files / ("first" + kind))
    replace(files, ("renewed", "first")[turn % 2])
    assert "the certificate of" in reload(server).group(2)


@VERSIONS
def test_reloads_drop_no_connection_whatever_it_is_about(serve_tls, certificates, files, version):
    """Silent, in the middle of an answer, of a value, and of a handshake; a session that was resumed."""
    server, context, value, many = serve_tls(memory="128mb"), certificates.context(version=version), os.urandom(1000000), 20
    with contextlib.ExitStack() as stack:
        resumed = []
        for _ in range(2):
            resumed.append(stack.enter_context(server.tls(context, session=resumed[0].socket.session if resumed else None)))
            assert resumed[-1].set("big", value) == b"STORED"
        assert resumed[1].socket.session_reused
        reader, writer = (stack.enter_context(server.tls(context)) for _ in range(2))
        reader.send(b"get big\r\n" * many)
        assert reader.line().startswith(b"VALUE ")
        writer.send(b"set k 0 0 100000\r\n" + b"x" * 50000)
        silent, begun, answered = (stack.enter_context(contextlib.closing(Handshake(server.config.tls_port, context))) for _ in range(3))
        begun.say(50)
        answered.say()
        answered.hear()
        for turn in range(3):
            renew(server, files, turn)
        assert reader.read(len(value) + 7) == value + b"\r\nEND\r\n"
        for _ in range(many - 1):
            assert reader.values() == [(b"big", 0, value, None)]
        writer.send(b"x" * 50000 + b"\r\n")
        assert writer.line() == b"STORED"
        assert all(client.get("k") == b"x" * 100000 for client in resumed)
        assert all(client.is_answered() for client in (silent, begun, answered))
    assert tls_stats(server)["ssl_handshake_errors"] == tls_stats(server)["ssl_proto_errors"] == 0


@pytest.mark.threads
def test_reloads_under_load_drop_no_connection(serve_tls, files):
    server = serve_tls()

    def ask(end, number):
        with server.tls() as staying:
            while not end.is_set():
                assert staying.set(f"k{number}", b"1") == b"STORED"
                with server.tls() as passing:
                    assert passing.get(f"k{number}") == b"1"

    with contextlib.ExitStack() as clients:
        for number in range(4):
            clients.enter_context(Background(ask, number))
        for turn in range(share(10)):
            renew(server, files, turn)
    assert tls_stats(server)["ssl_handshake_errors"] == 0


# ---- Options, and what a start says ----


def ssl_options(folder, *more):
    return ["-Z", "-o", ",".join([f"ssl_chain_cert={folder}/server.pem", f"ssl_key={folder}/server.key", *more])]


def test_memcacheds_options_mean_the_same(tmp_path, certificates):
    ca = certificates.path("ca.pem")
    options = ssl_options(certificates.folder, "ssl_verify_mode=1", f"ssl_ca_cert={ca}", "ssl_min_version=3", "ssl_kernel_tls",
                          "ssl_session_cache", "ssl_keyformat=1", "ssl_ciphers=ECDHE+AESGCM", "ssl_wbuf_size=16")
    with TlsServer(tmp_path, certificates, options) as server, server.client() as client:
        told = client.stats("settings")
        assert {name: told[name] for name in told if name.startswith("ssl_")} == {
            "ssl_enabled": "yes", "ssl_chain_cert": certificates.path("server.pem"), "ssl_key": certificates.path("server.key"),
            "ssl_verify_mode": "1", "ssl_ciphers": "ECDHE+AESGCM", "ssl_ca_cert": ca, "ssl_kernel_tls": "yes",
            "ssl_min_version": "tlsv1.3"}
        assert client.socket.version() == "TLSv1.3"
        assert client.set("k", b"x" * 500000) == b"STORED" and client.get("k") == b"x" * 500000


def test_an_address_may_stay_plain_where_all_are_encrypted(tmp_path, certificates):
    plain = free_port()
    options = ssl_options(certificates.folder) + ["-l", f"notls:127.0.0.1:{plain}"]
    with TlsServer(tmp_path, certificates, options) as server, server.client() as client, Client(plain) as other:
        assert client.set("k", b"1") == b"STORED"
        assert other.get("k") == b"1"
        assert f"serves tls:127.0.0.1:{server.port}, 127.0.0.1:{plain} with" in server.log()


def test_a_socket_that_is_handed_over_may_be_for_tls(tmp_path, certificates):
    """By its name. Whatever the file says, there has to be a certificate."""
    with contextlib.ExitStack() as sockets:
        handed = [(name, sockets.enter_context(socket.create_server(("127.0.0.1", 0)))) for name in ("plain", "tls")]
        ports = [one.getsockname()[1] for _, one in handed]
        with Activated(tmp_path, handed, port=ports[0]).spawn() as bare:
            assert bare.wait() == 1 and "there is no certificate to show" in bare.log()
        with Activated(tmp_path, handed, port=ports[0], options=ssl_options(certificates.folder)[1:]).start() as server:
            with server.client() as plain, TlsClient(ports[1], certificates.context()) as client:
                assert plain.set("k", b"1") == b"STORED"
                assert client.get("k") == b"1"


@pytest.mark.parametrize("options, said", [
    (["-Z"], "there is no certificate to show: give tls_certificate (-o ssl_chain_cert=FILE)"),
    (["-Z", "-o", "ssl_chain_cert=/none.pem"], "tls_certificate: cannot read /none.pem: No such file or directory; make it"),
    (["-Z", "-o", "ssl_chain_cert=CERTIFICATES/server.pem"], "tls_certificate: CERTIFICATES/server.pem: "),
    (["-Z", "-o", "ssl_chain_cert=CERTIFICATES/server.pem,ssl_key=CERTIFICATES/client.key"], "tls_key: CERTIFICATES/client.key: "),
    (["-Z", "-o", "ssl_chain_cert=CERTIFICATES/server.pem,ssl_key=CERTIFICATES/server.key,ssl_ciphers=none"], "tls_ciphers: none: "),
    (["-Z", "-o", "ssl_chain_cert=CERTIFICATES/server.pem,ssl_key=CERTIFICATES/server.key,ssl_verify_mode=2"], "give tls_ca"),
    (["-o", "ssl_min_version=1"], "has to be at least 2 and at most 3"),
    (["-l", "tls:unix:/run/f.sock"], "a Unix socket"),
    (["--admin", "tls:127.0.0.1:1"], "it is not encrypted"),
])
def test_what_cannot_be_encrypted_ends_the_start(tmp_path, certificates, options, said):
    def filled(text):
        return text.replace("CERTIFICATES", certificates.folder)
    assert filled(said) in Server(tmp_path, options=[filled(option) for option in options]).refuses()


def test_a_check_looks_at_the_certificate(tmp_path, files):
    server = Server(tmp_path, config=Encrypted(files))
    assert ": ok" in server.check()
    (files / "server.key").write_text("nothing")
    assert "tls_key: " in server.refuses("--check")
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-aes256", "-pass", "pass:secret", "-out", "server.key",
            folder=files)
    assert f"tls_key: {files / 'server.key'}: " in (said := server.refuses("--check")) and "the private key has a passphrase" in said


def test_a_certificate_that_is_over_and_a_key_for_all_are_told(serve_tls, certificates, files):
    (files / "server.key").chmod(0o644)
    server = serve_tls()
    assert "can be read or written by all users" in server.log()
    with server.tls() as client:
        first = serial(client)
    for kind in (".pem", ".key"):
        shutil.copy(certificates.path("late" + kind), files / ("server" + kind))
    reload(server)
    assert re.search(r"warning: the certificate in \S+ is over, and clients that look refuse it: renew it, and reload", server.log())
    context = certificates.context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    assert lets_in(server, context) and not lets_in(server, None) and first


def test_certificates_without_an_address_are_told(tmp_path, certificates):
    options = ssl_options(certificates.folder)[1:]
    with Server(tmp_path, options=options) as server:
        assert "tls_certificate is given, and no address is encrypted" in server.log()
        assert "ssl_enabled" not in server.client().stats("settings")


def test_a_check_refuses_no_certificate_that_no_address_shows(tmp_path):
    server = Server(tmp_path, config=Config(tls_certificate="/none.pem"))
    assert "warning: tls_certificate: cannot read /none.pem: " in server.check()
    with server:
        assert server.client().set("k", b"1") == b"STORED"


def test_handshakes_are_measured(serve_tls, certificates):
    server = serve_tls(admin=True, tls_version="1.3")
    assert lets_in(server, None) and not lets_in(server, certificates.context(version=TLS12))
    assert fail(server, 1)
    told = server.ask("/metrics").text
    assert re.search(r"^forebay_tls_handshakes_total 1$", told, re.MULTILINE)
    assert re.search(r"^forebay_tls_handshake_failures_total 1$", told, re.MULTILINE)
