# SPDX-License-Identifier: MIT
"""Users of the configuration: who gets in, what each may do in both protocols, what a reload changes of it, and what a client
costs that does not say who it is."""

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time

import pytest
from forebay import PATIENCE, Closed, Config, Server, binary, eventually, namespace
from packets import packet

pylibmc = pytest.importorskip("pylibmc")
pymemcache = pytest.importorskip("pymemcache")

NO_READ = b"CLIENT_ERROR not allowed: this user may not read the namespace of this key"
NO_WRITE = b"CLIENT_ERROR not allowed: this user may not write the namespace of this key"
FAILURE = b"CLIENT_ERROR authentication failure"
UNAUTHENTICATED = b"CLIENT_ERROR unauthenticated"
QUEUE = 64  # passwords that wait to be proven: server/worker/auth/prover.h


def hashed(password, cost=1):
    """The line of a password file; quickly made, quickly proven."""
    done = subprocess.run([binary(), f"--hash-password={cost}"], input=password + b"\n", stdout=subprocess.PIPE, check=True)
    return done.stdout.decode()


@pytest.fixture(scope="module")
def lines():
    """A line for each password that is used here."""
    return {name: hashed(name.encode()) for name in ("open sesame", "later", "operator")}


def names(*listed):
    return "{" + ", ".join(f'"{name}"' for name in listed) + "}"


def user(name, password_file, namespaces=(), reads=(), operator=False):
    """A section of a user."""
    given = {"namespaces": namespaces, "reads": reads}
    lists = "".join(f"    {key} = {names(*listed)}\n" for key, listed in given.items() if listed)
    return f'user "{name}" {{\n    password_file = "{password_file}"\n{lists}    operator = {str(operator).lower()}\n}}\n'


class Users:
    """Password files in a folder, and the sections that name them."""

    def __init__(self, folder, lines):
        self.folder, self.lines = folder, lines
        for name, password in (("web", "open sesame"), ("ops", "operator")):
            self.write(name, lines[password])

    def path(self, name):
        return os.path.join(str(self.folder), name + ".password")

    def write(self, name, text, mode=0o600):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(name), mode)

    def web(self, namespaces=("sessions",), reads=("pages",), operator=False):
        return user("web", self.path("web"), namespaces, reads, operator)

    def ops(self):
        return user("ops", self.path("ops"), ("*",), (), True)

    def config(self, *sections, **top):
        spaces = [namespace("sessions", "s:", "write-through"), namespace("pages", "p:", "write-through"),
                  namespace("secrets", "x:", "write-through")]
        top.setdefault("threads", 1)
        return Config(*spaces, *(sections or (self.web(), self.ops())), **top)


@pytest.fixture
def users(tmp_path, lines):
    return Users(tmp_path, lines)


@pytest.fixture(scope="module")
def shared(tmp_path_factory, lines):
    """A server with two users, and something in each namespace."""
    folder = tmp_path_factory.mktemp("users")
    with Server(folder, config=Users(folder, lines).config()) as server:
        yield server


@pytest.fixture
def filled(shared):
    """The same; what each test finds is the same."""
    with logged_in(shared, "ops operator") as ops:
        assert ops.command("flush_all") == b"OK"
        for key in ("s:k", "p:k", "x:k", "k"):
            assert ops.set(key, b"7") == b"STORED"
        shared.ops = ops
        yield shared


def logged_in(server, credential):
    client = server.client()
    assert client.set("login", credential.encode()) == b"STORED"
    return client


def log_in_binary(server, name="web", password="open sesame"):
    client = server.binary_client()
    assert client.log_in(name, password).status == "SUCCESS"
    return client


def until_closed_on_it(client, data):
    """Sends this without a pause, and reads what comes, until the server closes the connection."""
    client.socket.setblocking(False)
    end = time.monotonic() + PATIENCE
    with contextlib.suppress(ConnectionError):
        while time.monotonic() < end:
            with contextlib.suppress(BlockingIOError):
                client.socket.send(data)
            with contextlib.suppress(BlockingIOError):
                if not client.socket.recv(1 << 16):
                    return
        raise AssertionError("it was never closed")


def until_closed(client):
    said = []
    with contextlib.suppress(Closed, ConnectionResetError):
        while True:
            said.append(client.line())
    return said


# ---- What a user may do ----

REFUSED = [
    ("get x:k", NO_READ), ("gets x:k", NO_READ), ("get k", NO_READ), ("mg x:k v", NO_READ), ("mg x:k", NO_READ), ("me x:k", NO_READ),
    ("mg eDpr b v", NO_READ), ("set p:k 0 0 1\r\n8", NO_WRITE), ("set k 0 0 1\r\n8", NO_WRITE), ("add p:new 0 0 1\r\n8", NO_WRITE),
    ("replace p:k 0 0 1\r\n8", NO_WRITE), ("append p:k 0 0 1\r\n8", NO_WRITE), ("cas p:k 0 0 1 5\r\n8", NO_WRITE),
    ("incr p:k 1", NO_WRITE), ("decr x:k 1", NO_WRITE), ("touch p:k 1", NO_WRITE), ("gat 1 p:k", NO_WRITE), ("gats 1 x:k", NO_WRITE),
    ("delete p:k", NO_WRITE), ("ms p:k 1\r\n8", NO_WRITE), ("ms p:k 1 q\r\n8", NO_WRITE), ("md p:k", NO_WRITE), ("md p:k q", NO_WRITE),
    ("ma p:k", NO_WRITE), ("mg p:k v T1", NO_WRITE), ("mg p:new v N1", NO_WRITE), ("set p:k 0 0 2000000\r\n" + "x" * 2000000, NO_WRITE),
]


def test_what_is_not_a_users_is_refused_and_not_done(filled):
    client = logged_in(filled, "web open sesame")
    for text, answer in REFUSED:
        assert client.command(text) == answer, text[:40]
    client.send(b"set p:k 0 0 1 noreply\r\n8\r\ndelete p:k noreply\r\nincr p:k 1 noreply\r\nmn\r\n")
    assert client.line() == b"MN"
    assert filled.ops.get_many(["s:k", "p:k", "x:k", "k", "p:new"]) == {b"s:k": b"7", b"p:k": b"7", b"x:k": b"7", b"k": b"7"}


def test_what_is_a_users_is_served(filled):
    client = logged_in(filled, "web open sesame")
    assert client.get("p:k") == b"7" and client.command("mg p:k v").startswith(b"VA 1") and client.line() == b"7"
    assert client.set("s:k", b"8") == b"STORED" and client.incr("s:k") == b"9" and client.touch("s:k", 100) == b"TOUCHED"
    assert client.delete("s:k") == b"DELETED" and client.command("ms s:k 1\r\n1") == b"HD"
    assert client.command("version").startswith(b"VERSION") and client.command("mn") == b"MN"
    assert "curr_items" in client.stats() and client.stats("items")


def test_a_get_of_many_keys_ends_with_the_one_that_is_refused(filled):
    """Nothing of that key is shown, nothing behind it, and no END that would make a miss of it."""
    client = logged_in(filled, "web open sesame")
    client.send(b"get s:k x:k p:k\r\nget x:k s:k\r\ngets p:k k\r\nget p:k s:k\r\n")
    assert [client.line(), client.line(), client.line()] == [b"VALUE s:k 0 1", b"7", NO_READ]
    assert client.line() == NO_READ
    assert client.line().startswith(b"VALUE p:k 0 1 ") and [client.line(), client.line()] == [b"7", NO_READ]
    assert [value[2] for value in client.values()] == [b"7", b"7"]
    before = int(filled.ops.stats("forebay")["requests_forbidden"])
    assert client.command("get x:a x:b x:c") == NO_READ and client.command("mn") == b"MN"
    assert int(filled.ops.stats("forebay")["requests_forbidden"]) == before + 1


def test_a_change_is_not_done_ahead_for_one_that_is_allowed(filled):
    """A pipeline of changes goes to the store as a group: not those that are refused."""
    client = logged_in(filled, "web open sesame")
    client.send(b"".join(client.storage("set", key, b"8") for key in ("s:a", "p:k", "s:b", "x:k", "s:c")))
    assert [client.line() for _ in range(5)] == [b"STORED", NO_WRITE, b"STORED", NO_WRITE, b"STORED"]
    stored = {b"s:a": b"8", b"p:k": b"7", b"s:b": b"8", b"x:k": b"7", b"s:c": b"8"}
    assert filled.ops.get_many(list(stored)) == stored


OPERATION = ["flush_all", "flush_all 10", "verbosity 1", "cache_memlimit 100", "sync", "sync sessions", "quarantine list sessions",
             "forget s:k", "shutdown", "watch", "lru_crawler metadump all", "lru_crawler mgdump all", "lru_crawler crawl all",
             "lru_crawler enable", "slabs automove 1", "lru mode flat", "stats reset", "stats settings", "stats conns", "stats namespaces",
             "stats detail dump", "stats cachedump 1 0", "stats backends", "stats forebay", "stats sizes"]


def test_commands_of_operation_are_the_operators(filled):
    client = logged_in(filled, "web open sesame")
    before = int(filled.ops.stats("forebay")["requests_forbidden"])
    for command in OPERATION:
        assert client.command(command) == b"CLIENT_ERROR %s not allowed" % command.split()[0].encode()
    client.send(b"flush_all noreply\r\nverbosity 1 noreply\r\nmn\r\n")
    assert client.line() == b"MN"
    assert filled.ops.get("s:k") == b"7"
    assert int(filled.ops.stats("forebay")["requests_forbidden"]) == before + len(OPERATION) + 2
    assert filled.ops.command("verbosity 0") == b"OK" and filled.ops.command("sync").startswith(b"SYNCED")
    assert filled.ops.stats("settings")["auth_enabled_sasl"] == "yes"


def test_the_same_in_packets(filled):
    client = log_in_binary(filled)
    for name, key, value in (("get", "x:k", b""), ("getk", "k", b""), ("set", "p:k", b"8"), ("setq", "p:k", b"8"), ("delete", "p:k", b""),
                             ("incr", "p:k", b""), ("append", "p:k", b"8"), ("touch", "p:k", b""), ("gat", "p:k", b"")):
        answer = client.ask(name, key, value)
        assert answer.status == "AUTH_ERROR" and b"not allowed: this user may not" in answer.value, name
    for name in ("flush", "verbosity"):
        assert client.ask(name).status == "AUTH_ERROR"
    assert client.ask("stat", "settings").status == "AUTH_ERROR"
    assert client.get("p:k") == b"7" and client.set("s:k", b"9") == "SUCCESS" and client.get("s:k") == b"9"
    assert filled.ops.get_many(["p:k", "x:k", "k"]) == {b"p:k": b"7", b"x:k": b"7", b"k": b"7"}


def test_a_quiet_get_that_is_refused_is_no_miss(filled):
    """The error is told by what ends the pipeline."""
    client = log_in_binary(filled)
    client.send(packet("getkq", "s:k"), packet("getkq", "x:k"), packet("noop"))
    assert [(one.status, one.value) for one in (client.answer(), client.answer())][0] == ("SUCCESS", b"7")
    assert client.ask("noop").status == "SUCCESS"
    client.send(packet("getkq", "x:k"), packet("noop"))
    assert client.answer().status == "AUTH_ERROR"
    assert client.get("s:k") == b"7"


def test_a_client_may_become_another_user(filled):
    client = log_in_binary(filled)
    assert client.ask("flush").status == "AUTH_ERROR"
    assert client.log_in("ops", "operator").status == "SUCCESS"
    assert client.ask("flush").status == "SUCCESS" and client.set("x:k", b"1") == "SUCCESS"


def test_clients_that_people_use(filled):
    client = pylibmc.Client([f"127.0.0.1:{filled.port}"], binary=True, username="web", password="open sesame")
    assert client.set("s:k", b"1") and client.get("s:k") == b"1" and client.get("p:k") == b"7"
    for refused in (lambda: client.get("x:k"), lambda: client.set("p:k", b"1")):
        with pytest.raises(pylibmc.Error):
            refused()
    text = pymemcache.Client(("127.0.0.1", filled.port))
    assert text.set("login", b"web open sesame", noreply=False)
    assert text.set("s:k", b"2", noreply=False) and text.get_many(["s:k", "p:k"]) == {"s:k": b"2", "p:k": b"7"}
    for refused in (lambda: text.get("x:k"), lambda: text.get_many(["s:k", "x:k"]), lambda: text.set("p:k", b"1", noreply=False)):
        with pytest.raises(pymemcache.exceptions.MemcacheError):
            refused()
        assert text.set("login", b"web open sesame", noreply=False)  # it begins a new connection behind an error
    assert text.get("s:k") == b"2"


# ---- Who gets in ----


def test_who_is_nobody_stays_outside(serve, users, lines):
    users.write("web", "# two passwords, while one takes the place of the other\n\n" + lines["open sesame"] + lines["later"])
    server = serve(config=users.config())
    for credential in (b"web operator", b"ops open sesame", b"nobody open sesame", b"web", b"web ", b"web open sesame ",
                       b"web " + b"x" * 2000, b"web open sesame\0"):
        client = server.client()
        assert client.set("x", credential) == FAILURE
        assert client.command("get s:k") == UNAUTHENTICATED
    for credential in ("web open sesame", "web later", "ops operator"):
        assert logged_in(server, credential).command("mn") == b"MN"
    log = server.log()
    assert "no user of the configuration has the password that it gave" in log
    assert "sesame" not in log and "operator" not in log


def test_failures_are_counted_and_the_third_one_closes(serve, users):
    server = serve(config=users.config())
    ops = logged_in(server, "ops operator")
    before = int(ops.stats()["auth_errors"])
    client = server.client()
    client.send(b"".join(client.storage("set", "x", b"web guess %d" % i) for i in range(10)))
    assert until_closed(client) == [FAILURE] * 3
    assert int(ops.stats()["auth_errors"]) == before + 3


@pytest.mark.threads
def test_who_hangs_up_has_guessed_all_the_same(serve, users):
    """On the log and in the counters, so that the address is not trusted with more and more of it."""
    server = serve(config=users.config())
    ops = logged_in(server, "ops operator")
    before = int(ops.stats()["auth_errors"])
    for i in range(8):
        with server.client() as client:
            client.send(client.storage("set", "x", b"web guess %d" % i))
    eventually(lambda: int(ops.stats()["auth_errors"]) == before + 8)
    assert "failed to authenticate: no user of the configuration" in server.log()


def test_a_second_guess_waits(serve, users):
    """Who come after it and are right are in before, sooner or later. If it were proven at once, they never would be."""
    server = serve(config=users.config())

    def is_overtaken():
        with server.client() as guesser:
            assert guesser.set("x", b"web guess") == FAILURE
            guesser.send(guesser.storage("set", "x", b"web another"))
            for _ in range(16):
                logged_in(server, "web open sesame").close()
            overtaken = not select.select([guesser.socket], [], [], 0)[0]
            assert guesser.line() == FAILURE
            return overtaken

    eventually(is_overtaken)


def test_others_are_served_while_a_password_is_proven(serve, users):
    """By the only worker: who asks after somebody has begun to log in is answered before, sooner or later. If the worker proved
    passwords itself, nobody ever would be."""
    users.write("web", hashed(b"open sesame", cost=7))
    server = serve(config=users.config())
    inside = logged_in(server, "ops operator")

    def is_overtaken():
        client = server.client()
        client.send(client.storage("set", "x", b"web open sesame"))
        assert inside.command("mn") == b"MN"
        overtaken = not select.select([client.socket], [], [], 0)[0]
        assert client.line() == b"STORED"
        return overtaken

    eventually(is_overtaken)


@pytest.mark.threads
def test_many_log_in_at_once(serve, users):
    """More than the queue has room for, and than are proven within auth_timeout: waiting for the server does not count, and all
    of them get in; some leave before."""
    users.write("web", hashed(b"open sesame", cost=4))
    server = serve(config=users.config(auth_timeout="1s"))
    clients = [server.client() for _ in range(150)]
    for i, client in enumerate(clients):
        client.send(client.storage("set", "x", b"web open sesame") + b"mn\r\n")
        if i % 4 == 0:
            client.close()
    for i, client in enumerate(clients):
        if i % 4:
            assert [client.line(), client.line()] == [b"STORED", b"MN"]


def test_who_guesses_keeps_no_more_connections_by_a_full_queue(serve, users):
    """Of who is known to fail, waiting for room in the queue counts. All of them ask before that is known: at once, by epoll. Of
    those that find no room at first, some are closed without an answer."""
    users.write("web", hashed(b"open sesame", cost=6))
    server = serve(config=users.config(auth_timeout="1s", threads=1, io="epoll"))
    clients = [server.client() for _ in range(120)]
    server.pause()
    for client in clients:
        client.send(client.storage("set", "x", b"web wrong"))
    server.resume()
    assert any(until_closed(client) == [] for client in clients[QUEUE:])


@pytest.mark.threads
def test_a_stop_does_not_wait_for_passwords(serve, users):
    users.write("web", hashed(b"open sesame", cost=6))
    server = serve(config=users.config())
    clients = [server.client() for _ in range(60)]
    for client in clients:
        client.send(client.storage("set", "x", b"web open sesame"))
    server.stop()
    assert {line for client in clients for line in until_closed(client)} <= {b"STORED"}


# ---- Who says nothing ----


def test_who_does_not_say_who_it_is_is_closed(serve, users):
    """Whatever it does meanwhile: nothing, a part of a request, or one request after another; and nobody else is."""
    server = serve(config=users.config(auth_timeout="1s"))
    ops, web = logged_in(server, "ops operator"), logged_in(server, "web open sesame")
    silent, slow, busy = server.client(), server.client(), server.client()
    slow.send(b"set x 0 0 ")

    def is_closed():
        try:
            return busy.command("get s:k") != UNAUTHENTICATED
        except (Closed, ConnectionError):
            return True

    eventually(is_closed)
    assert until_closed(silent) == [] and until_closed(slow) == []
    assert ops.command("mn") == b"MN" and web.command("mn") == b"MN"
    assert int(ops.stats("forebay")["auth_timeouts"]) == 3


def test_who_never_stops_sending_is_closed_as_well(serve, users):
    server = serve(config=users.config(auth_timeout="1s"))
    ops = logged_in(server, "ops operator")
    until_closed_on_it(server.client(), b"get s:k\r\n" * 5000)
    assert int(ops.stats("forebay")["auth_timeouts"]) == 1


def test_nobody_is_closed_while_the_password_is_proven(serve, users):
    """However long that takes: here, longer than auth_timeout, as many come at once."""
    users.write("web", hashed(b"open sesame", cost=7))
    server = serve(config=users.config(auth_timeout="1s"))
    clients = []
    for _ in range(16):
        clients.append(server.client())
        clients[-1].send(clients[-1].storage("set", "x", b"web open sesame"))
    assert {client.line() for client in clients} == {b"STORED"}


def test_a_stranger_may_ask_much_at_once(serve, users):
    """A turn answers little of it; all of it is answered, in order."""
    server = serve(config=users.config())
    client = server.client()
    client.send(b"\r\n" * 1000 + b"get a b c\r\n" * 100 + client.storage("set", "x", b"web open sesame") + b"mn\r\n")
    assert {client.line() for _ in range(1100)} == {UNAUTHENTICATED}
    assert [client.line(), client.line()] == [b"STORED", b"MN"]


def test_the_same_holds_for_an_authentication_file(serve, tmp_path):
    path = tmp_path / "auth"
    path.write_text("user:right\n")
    path.chmod(0o600)
    server = serve(config=Config(auth_file=str(path), auth_timeout="1s"))
    inside, silent = server.client(), server.client()
    assert inside.set("x", b"user right") == b"STORED"
    assert until_closed(silent) == []
    assert int(inside.stats("forebay")["auth_timeouts"]) == 1


def test_what_a_stranger_sends_is_not_kept(serve, users):
    """A request that no credential can be is refused where its part of a page is full; what fits is read whole."""
    server = serve(config=users.config())
    client = server.client()
    client.send(b"set x 0 0 10" + b" " * 2000 + b"\r\n" + b"0123456789\r\n")
    assert client.line() == FAILURE
    client = server.client()
    client.send(b"set x 0 0 1800" + b" " * 1800 + b"\r\n" + b"y" * 1800 + b"\r\n")
    assert client.line() == UNAUTHENTICATED
    assert client.set("x", b"web open sesame") == b"STORED"
    assert client.set("s:big", b"b" * 500000) == b"STORED" and client.get("s:big") == b"b" * 500000


# ---- Reload ----


def said(server):
    return re.findall(r"(?:notice|error): reload: (.*)", server.log())


def reload(server, config=None, good=True):
    """Writes the configuration, sends SIGHUP, and waits for the answer on the log, which is returned."""
    before = len(said(server))
    server.config = config or server.config
    server.write_config()
    server.signal(signal.SIGHUP)
    answer = eventually(lambda: said(server)[before:])[0]
    assert answer.endswith("nothing was changed") is not good, answer
    return answer


@pytest.mark.threads
def test_a_reload_changes_what_a_user_may_do(serve, users):
    """On the connection that it has."""
    server = serve(config=users.config())
    text, packets = logged_in(server, "web open sesame"), log_in_binary(server)
    assert text.set("s:k", b"1") == b"STORED" and packets.get("s:k") == b"1"
    assert "the users" in reload(server, users.config(users.web(("pages",), ()), users.ops()))
    assert text.set("s:k", b"1") == NO_WRITE and text.set("p:k", b"1") == b"STORED"
    assert packets.ask("get", "s:k").status == "AUTH_ERROR" and packets.get("p:k") == b"1"
    reload(server, users.config(users.web(("*",), (), True), users.ops()))
    assert text.set("x:k", b"1") == b"STORED" and text.command("flush_all") == b"OK"
    assert reload(server) == "nothing has changed"
    more = users.config(namespace("more", "m:", "cache-aside"), users.web(("more",), ()), users.ops())
    reload(server, more)
    assert text.set("m:k", b"1") == b"STORED" and text.set("s:k", b"1") == NO_WRITE


def test_who_is_removed_may_do_nothing_more(serve, users, lines):
    """Nor who came with a password that is gone; a password that is added drops nobody."""
    server = serve(config=users.config())
    web, packets, ops = logged_in(server, "web open sesame"), log_in_binary(server), logged_in(server, "ops operator")
    users.write("web", lines["open sesame"] + lines["later"])
    reload(server)
    assert web.command("mn") == b"MN"
    later = logged_in(server, "web later")
    users.write("web", lines["later"])
    reload(server)
    web.send(b"set s:k 0 0 14\r\nweb open sesame\r\nget s:k\r\n")
    assert until_closed(web) == [UNAUTHENTICATED]
    assert packets.ask("get", "s:k").status == "AUTH_ERROR" and packets.is_closed()
    assert later.set("s:k", b"1") == b"STORED"
    reload(server, users.config(users.ops()))
    later.send(b"get s:k x:k\r\nmn\r\n")
    assert until_closed(later) == [UNAUTHENTICATED]
    assert server.client().set("x", b"web later") == FAILURE
    assert ops.get("s:k") == b"1"


def test_a_reload_that_fails_changes_nothing(serve, users, lines):
    server = serve(config=users.config())
    web = logged_in(server, "web open sesame")
    users.write("web", "open sesame\n")
    assert f"line 1 of the password file {users.path('web')} is no hash" in reload(server, good=False)
    users.write("web", lines["open sesame"])
    assert "a restart is needed for: user (whether there are any)" in reload(server, Config(threads=1, backends=[]), good=False)
    assert web.set("s:k", b"1") == b"STORED"


@pytest.mark.threads
def test_what_is_fed_ends_with_the_right_to_it(serve, users):
    server = serve(config=users.config(users.web(operator=True), users.ops()))
    watcher = logged_in(server, "web open sesame")
    assert watcher.command("watch fetchers") == b"OK"
    reload(server, users.config())
    until_closed(watcher)


def test_a_feed_ends_whatever_its_client_sends_meanwhile(serve, users):
    """With epoll, which tells the worker of each byte; with io_uring nothing is received meanwhile."""
    server = serve(config=users.config(users.web(operator=True), users.ops(), io="epoll"))
    watcher = logged_in(server, "web open sesame")
    assert watcher.command("watch fetchers") == b"OK"
    reload(server, users.config(io="epoll"))
    until_closed_on_it(watcher, b"m")


# ---- The handbook ----


def test_the_example_of_the_handbook_is_good(serve, users):
    with open(os.path.join(os.path.dirname(__file__), "..", "..", "docs", "operating.md"), encoding="utf-8") as file:
        example = file.read().split("<!-- operating: users -->\n")[1].split("\n\nClients")[0]
    for name in ("web", "operator"):
        example = example.replace(f"/etc/forebay/{name}.password", users.path({"operator": "ops"}.get(name, name)))
    server = serve(config=Config(example))
    web, operator = logged_in(server, "web open sesame"), logged_in(server, "operator operator")
    assert web.set("sess:k", b"1") == b"STORED" and web.set("page:k", b"1") == NO_WRITE
    assert operator.set("page:k", b"1") == b"STORED" and web.get("page:k") == b"1"
    assert web.command("flush_all") == b"CLIENT_ERROR flush_all not allowed" and operator.command("flush_all") == b"OK"


# ---- What is refused from the start ----


@pytest.mark.parametrize("text, reason", [
    ("{}", "may do nothing: give namespaces"),
    ("{namespaces = {\"nowhere\"}}", "there is no namespace \"nowhere\""),
    ("{reads = {\"nowhere\"}}", "there is no namespace \"nowhere\""),
    ("{name = x}", "unknown option \"name\" in user"),
    ("{operator = perhaps}", "true or false is expected"),
], ids=("nothing", "namespace", "reads", "unknown", "word"))
def test_a_section_that_cannot_be_is_refused(tmp_path, users, text, reason):
    section = 'user "web" ' + text.replace("{", '{ password_file = "%s"\n' % users.path("web"), 1).replace("}}", "}\n}")
    assert reason in Server(tmp_path, config=users.config(section)).refuses("--check=offline")


@pytest.mark.parametrize("name, line, reason", [
    ("a b", None, "no client can send another"),
    ("web", "", "has no password: forebay --hash-password makes its line"),
    ("web", "open sesame\n", "is no hash of a password"),
    ("web", "$y$j9T$4Bd2Uw4k5.B/F02nrUGYq/\n", "is no hash of a password"),
    ("web", "$1$salt$hash\n", "is no hash of a password"),
    ("web", "aabbccddeeffg\n", "is no hash of a password"),
], ids=("name", "empty", "plain", "cut", "md5", "des"))
def test_a_password_file_that_lets_in_nobody_or_anybody_is_refused(tmp_path, users, name, line, reason):
    if line is not None:
        users.write("web", line)
    server = Server(tmp_path, config=users.config(user(name, users.path("web"), ("*",))))
    for said_of_it in (server.refuses("--check=offline"), server.refuses()):
        assert reason in said_of_it and "sesame" not in said_of_it


def test_users_and_an_authentication_file_exclude_each_other(tmp_path, users):
    path = tmp_path / "auth"
    path.write_text("user:right\n")
    path.chmod(0o600)
    assert "remove auth_file" in Server(tmp_path, config=users.config(auth_file=str(path))).refuses()


def test_a_password_file_that_others_can_read_is_told(serve, users, lines):
    users.write("web", lines["open sesame"], mode=0o644)
    server = serve(config=users.config())
    assert re.search(r"warning: the password file .*web\.password can be read by all users of this machine: chmod", server.log())
    assert "can be read by all users" in server.check()
    before = server.log().count("can be read by all users")
    reload(server)
    assert server.log().count("can be read by all users") > before


# ---- Making a line ----


def test_a_line_is_made_of_what_stands_on_standard_input():
    first, second = hashed(b"open sesame"), hashed(b"open sesame")
    assert first.startswith("$y$") and first.count("\n") == 1 and first != second
    for given, reason in ((b"", "there is no password"), (b"\n", "there is no password"), (b"x" * 512 + b"\n", "longer than 511 bytes")):
        done = subprocess.run([binary(), "--hash-password"], input=given, capture_output=True, check=False)
        assert (done.returncode, done.stdout) == (1, b"") and reason in done.stderr.decode()
    for cost in ("0", "12", "sesame"):
        done = subprocess.run([binary(), f"--hash-password={cost}"], input=b"", capture_output=True, check=False)
        assert done.returncode == 64 and "from 1 to 11 is expected" in done.stderr.decode()


@pytest.mark.parametrize("again, status", [(b"sesame", 0), (b"sesamo", 1)], ids=("same", "other"))
def test_at_a_terminal_it_is_asked_for_twice_and_not_shown(again, status):
    ours, theirs = pty.openpty()
    with subprocess.Popen([binary(), "--hash-password=1"], stdin=theirs, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        for question, typed in ((b"Password: ", b"sesame"), (b"The same again: ", again)):
            while not shown.endswith(question):
                assert select.select([ours], [], [], PATIENCE)[0]
                shown += os.read(ours, 1000)
            os.write(ours, typed + b"\n")
        line = process.stdout.read()
        assert process.wait() == status
    assert b"sesam" not in shown and line.startswith(b"$y$") is (status == 0)
    os.close(ours)


def test_a_terminal_is_left_as_it_was_by_who_gives_up():
    ours, theirs = pty.openpty()
    with subprocess.Popen([binary(), "--hash-password=1"], stdin=theirs, stdout=subprocess.PIPE, stderr=theirs) as process:
        shown = b""
        while not shown.endswith(b"Password: "):
            assert select.select([ours], [], [], PATIENCE)[0]
            shown += os.read(ours, 1000)
        assert not termios.tcgetattr(theirs)[3] & termios.ECHO
        process.send_signal(signal.SIGINT)
        assert process.wait() == -signal.SIGINT
    assert termios.tcgetattr(theirs)[3] & termios.ECHO
    os.close(ours)
    os.close(theirs)
