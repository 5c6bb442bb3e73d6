# SPDX-License-Identifier: MIT
"""What is sent to a connection without a request for each piece: the lines of watchers, and dumps of all keys.

Each test is played against Forebay and, where the behaviour is common, against memcached ($MEMCACHED or the installed one).
"""

import contextlib
import re
import socket
import time

import forebay
import pytest
from forebay import Memcached
from packets import BinaryClient, packet

HEAD = rb"ts=\d+\.\d+ gid=\d+ "


class Listener(forebay.Client):
    """A client that is told what it did not ask for, line by line."""

    def until(self, *ends):
        """The lines before one of these ends; what follows a dump is read by the next call."""
        lines = []
        while True:
            line = self.line()
            if line in ends:
                return lines
            lines.append(line)

    def event(self, pattern):
        """The next line of a watcher has to look like this; returns its groups."""
        line = self.line()
        found = re.fullmatch(HEAD + pattern, line)
        assert found, f"{line} is not {pattern}"
        return found.groups()


@pytest.fixture(params=["forebay", "memcached"])
def kind(request):
    if request.param == "memcached" and Memcached.missing():
        pytest.skip(Memcached.missing())
    return request.param


@pytest.fixture
def start(kind, tmp_path):
    """Starts a server with these options."""
    with contextlib.ExitStack() as servers:
        def begin(*options):
            server = forebay.Server(tmp_path, options=options) if kind == "forebay" else Memcached(tmp_path, options)
            servers.callback(server.stop)
            return server.start()

        yield begin


@pytest.fixture
def server(start):
    return start()


@pytest.fixture
def connect(server):
    with contextlib.ExitStack() as clients:
        yield lambda: clients.enter_context(Listener(server.port))


def watch(connect, kinds=b""):
    watcher = connect()
    assert watcher.command(b"watch " + kinds) == b"OK"
    return watcher


def test_fetchers_are_told_of_every_look_at_an_entry(connect):
    watcher, client = watch(connect), connect()
    assert client.command(b"set k 0 0 3\r\nabc") == b"STORED"
    client.send(b"get k missing\r\nmg k v\r\nmn\r\n")
    client.until(b"MN")
    watcher.event(rb"type=item_get key=k status=not_found clsid=\d+ cfd=\d+ size=0")
    watcher.event(rb"type=item_get key=k status=found clsid=1 cfd=\d+ size=3")
    watcher.event(rb"type=item_get key=missing status=not_found clsid=\d+ cfd=\d+ size=0")
    watcher.event(rb"type=item_get key=k status=found clsid=1 cfd=\d+ size=3")


@pytest.mark.parametrize("command, status, name, ttl, size", [
    (b"set k 0 100 3\r\nabc", b"stored", b"set", rb"(?:100|99|98)", 3),
    (b"add k 0 0 2\r\nab", b"stored", b"add", b"0", 2),
    (b"replace k 0 0 2\r\nab", b"not_stored", b"replace", b"0", 2),
    (b"append k 0 0 2\r\nab", b"not_stored", b"append", b"0", 2),
    (b"prepend k 0 0 2\r\nab", b"not_stored", b"prepend", b"0", 2),
    (b"cas k 0 0 2 7\r\nab", b"not_found", b"cas", b"0", 2),
    (b"ms k 2 T0\r\nab", b"stored", b"set", b"0", 2),
    (b"ms k 2 ME\r\nab", b"stored", b"add", b"0", 2),
    (b"ms k 2 MR\r\nab", b"not_stored", b"replace", b"0", 2),
])
def test_mutations_are_told_with_their_status(connect, command, status, name, ttl, size):
    watcher, client = watch(connect, b"mutations"), connect()
    client.command(command)
    watcher.event(rb"type=item_store key=k status=%s cmd=%s ttl=%s clsid=\d+ cfd=\d+ size=%d" % (status, name, ttl, size))


def test_a_cas_that_lost_is_told(connect):
    client = connect()
    assert client.command(b"set k 0 0 1\r\nx") == b"STORED"
    watcher = watch(connect, b"mutations")
    assert client.command(b"cas k 0 0 1 1\r\ny") == b"EXISTS"
    watcher.event(rb"type=item_store key=k status=exists cmd=cas ttl=0 clsid=1 cfd=\d+ size=1")


def test_only_deletes_that_delete_are_told(connect):
    watcher, client = watch(connect, b"deletions"), connect()
    for command, name in ((b"delete k", b"delete"), (b"md k", b"md")):
        client.command(command)  # there is nothing: no line
        client.command(b"set k 0 0 4\r\nvbar")
        client.command(b"md k I")  # stale, not gone: no line
        client.command(command)
        watcher.event(rb"type=deleted key=k cmd=%s clsid=1 size=4" % name)


def test_packets_are_told_as_lines_are(server, connect):
    watcher = watch(connect, b"fetchers mutations")
    with BinaryClient(server.port) as client:
        assert client.set("k", b"abc", ttl=100) == "SUCCESS"
        client.send(packet("getkq", "k"), packet("getq", "missing"), packet("gatq", "k", ttl=10), packet("addq", "k", b"x"),
                    packet("set", "k", b"y", cas=77), packet("setq", "k", b"yz"), packet("touch", "k", ttl=5), packet("noop"))
        client.answers_to_noop()
    found = rb"type=item_get key=k status=found clsid=1 cfd=\d+ size=3"
    watcher.event(rb"type=item_get key=k status=not_found clsid=\d+ cfd=\d+ size=0")
    watcher.event(rb"type=item_store key=k status=stored cmd=set ttl=(?:100|99|98) clsid=\d+ cfd=\d+ size=3")
    watcher.event(found)
    watcher.event(rb"type=item_get key=missing status=not_found clsid=\d+ cfd=\d+ size=0")
    watcher.event(found)
    watcher.event(found)
    watcher.event(rb"type=item_store key=k status=not_stored cmd=add ttl=0 clsid=\d+ cfd=\d+ size=1")
    watcher.event(found)
    watcher.event(rb"type=item_store key=k status=exists cmd=cas ttl=0 clsid=\d+ cfd=\d+ size=1")
    watcher.event(found)
    watcher.event(rb"type=item_store key=k status=stored cmd=set ttl=0 clsid=\d+ cfd=\d+ size=2")
    watcher.event(rb"type=item_get key=k status=found clsid=1 cfd=\d+ size=2")


@pytest.mark.parametrize("kind", ["forebay"], indirect=True)
def test_deletes_in_packets_are_told(server, connect):
    """memcached tells of those in lines alone."""
    watcher = watch(connect, b"deletions")
    with BinaryClient(server.port) as client:
        client.set("k", b"abcd")
        client.send(packet("deleteq", "none"), packet("deleteq", "k"), packet("noop"))
        client.answers_to_noop()
    watcher.event(rb"type=deleted key=k cmd=delete clsid=1 size=4")


def watch_connections(server):
    """A watcher of connections; the one that waited for the server's start has gone, so that its end is not told."""
    watcher = Listener(server.port)
    forebay.eventually(lambda: watcher.stats()["curr_connections"] == "1")
    assert watcher.command(b"watch connevents") == b"OK"
    return watcher


def test_connections_are_told_when_they_begin_and_end(server):
    with watch_connections(server) as watcher:
        for farewell, reason in ((b"quit\r\n", b"normal"), (b"", b"normal"), (b"GET / HTTP/1.1\r\n", b"error")):
            with Listener(server.port) as client:
                address, port = client.socket.getsockname()[:2]
                assert client.command(b"version").startswith(b"VERSION")
                client.send(farewell)
                if farewell:
                    client.file.readline()  # the end, or an error line before it
            end = rb"rip=%s rport=%d transport=tcp" % (re.escape(address.encode()), port)
            number, = watcher.event(rb"type=conn_new " + end + rb" cfd=(\d+)")
            watcher.event(rb"type=conn_close " + end + rb" reason=%s cfd=%s" % (reason, number))


def test_who_has_ended_by_a_reset_is_told_by_its_address(server):
    """The kernel does not know it any more."""
    with watch_connections(server) as watcher:
        with Listener(server.port) as client:
            port = client.socket.getsockname()[1]
            assert client.command(b"version").startswith(b"VERSION")
            client.end_by_reset()
        watcher.event(rb"type=conn_new .*")
        watcher.event(rb"type=conn_close rip=127.0.0.1 rport=%d transport=tcp reason=\w+ cfd=\d+" % port)


def test_idle_connections_are_told_and_watchers_are_never_idle(start):
    server = start("-o", "idle_timeout=1")
    with watch_connections(server) as watcher:
        idle = Listener(server.port)
        watcher.event(rb"type=conn_new .*")
        assert idle.is_closed()
        watcher.event(rb"type=conn_close .* reason=idle_timeout cfd=\d+")
        with Listener(server.port) as client:
            client.command(b"version")
            watcher.event(rb"type=conn_new .*")


def test_evictions_are_told(start):
    server = start("-m", "8")
    with Listener(server.port) as client, Listener(server.port) as watcher:
        assert watcher.command(b"watch evictions") == b"OK"
        for i in range(2000):
            assert client.command(b"set key-%d 0 0 8000\r\n%s" % (i, b"x" * 8000)) == b"STORED"
        evicted = int(client.stats()["evictions"])
        assert evicted > 100
        for _ in range(100):
            watcher.event(rb"type=eviction key=key-\d+ fetch=no ttl=-1 la=\d+ clsid=\d+ size=8000")


def test_several_kinds_are_watched_by_beginnings_of_their_names(connect):
    watcher, client = watch(connect, b"fetch mutat sys"), connect()
    client.command(b"set k 0 0 1\r\nx")
    watcher.event(rb"type=item_get key=k .*")
    watcher.event(rb"type=item_store key=k .*")


def test_keys_are_escaped(connect):
    watcher, client = watch(connect, b"mutations"), connect()
    client.command(b"set " + b"#" * 249 + b"a 0 0 1\r\nx")
    watcher.event(rb"type=item_store key=(?:%23){249}a .*")
    client.command(b"ms AAEC 1 b\r\nx")
    watcher.event(rb"type=item_store key=%00%01%02 .*")


def test_words_that_are_not_events_are_refused(connect):
    client = connect()
    assert client.command(b"watch nonsense") == b"ERROR"
    assert client.command(b"watch fetchers nonsense") == b"ERROR"
    client.send(b"mg k\r\nwatch\r\n")
    assert client.line() == b"EN"
    assert client.line() == b"ERROR cannot pipeline other commands before watch"


def test_watching_can_be_forbidden(start):
    server = start("-W")
    with Listener(server.port) as client:
        assert client.command(b"watch") == b"CLIENT_ERROR watch commands not allowed"


def test_twenty_watchers_are_the_most(connect):
    watchers = [watch(connect, b"evictions") for _ in range(20)]
    client = connect()
    assert client.command(b"watch") == b"WATCHER_TOO_MANY log watcher limit reached"
    watchers[3].close()
    forebay.eventually(lambda: int(client.stats()["log_watchers"]) == 19)
    watch(connect)


def test_who_reads_slowly_misses_lines_and_is_told_how_many(start, kind):
    server = start("-o", "watcher_logbuf_size=8")
    with Listener(server.port) as client:
        watcher = socket.socket()
        watcher.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        watcher.connect(("127.0.0.1", server.port))
        watcher.sendall(b"watch\r\n")
        request = b"".join(b"get %s-%d\r\n" % (b"k" * 200, i) for i in range(2000)) + b"mn\r\n"
        while int(client.stats()["log_watcher_skipped"]) == 0:
            client.send(request)
            client.until(b"MN")
        watcher.settimeout(forebay.PATIENCE)
        data = b""
        while not re.search(rb"\nskipped=[1-9]\d*\nts=.*\n", data):
            data += watcher.recv(65536)
            client.command(b"get k")
        watcher.close()
        forebay.eventually(lambda: int(client.stats()["log_watchers"]) == 0)
        if kind == "forebay":
            told = client.stats()
            assert int(told["log_worker_written"]) == int(told["log_watcher_skipped"]) + int(told["log_watcher_sent"])


def test_nobody_waits_for_a_watcher(connect):
    """A watcher that reads nothing costs others nothing but its lines."""
    watch(connect, b"fetchers mutations")
    client = connect()
    for _ in range(20):
        client.send(b"get a b c d e f\r\n" * 500 + b"mn\r\n")
        client.until(b"MN")


def test_a_server_stops_while_it_is_watched(start):
    server = start()
    with Listener(server.port) as watcher:
        assert watcher.command(b"watch fetchers") == b"OK"
        server.stop()
        assert watcher.is_closed()


# ---- Dumps


def fill(client, count):
    client.send(b"".join(b"set key-%d %d %d 3 noreply\r\nabc\r\n" % (i, i % 7, 1000 if i % 2 else 0) for i in range(count)))
    assert client.command(b"version").startswith(b"VERSION")


@pytest.mark.parametrize("count", [1, 5000])
def test_a_metadump_has_a_line_for_every_key(connect, count):
    client = connect()
    fill(client, count)
    now = int(time.time())
    assert client.command(b"get key-0") == b"VALUE key-0 0 3"
    client.until(b"END")
    for classes in (b"all", b"hash", b"1"):
        assert client.command(b"lru_crawler metadump " + classes) == b"OK"
        seen = set()
        for line in client.until(b"END"):
            key, end, access, fetched, flags = re.fullmatch(
                rb"key=key-(\d+) exp=(-?\d+) la=(\d+) cas=\d+ fetch=(yes|no) cls=1 size=\d+ flags=(\d+) ", line).groups()
            number = int(key)
            seen.add(number)
            assert int(flags) == number % 7
            assert now + 990 < int(end) < now + 1010 if number % 2 else int(end) == -1
            assert now - 60 < int(access) < now + 60
            assert fetched == (b"yes" if number == 0 else b"no")
        assert seen == set(range(count))
    assert client.command(b"version").startswith(b"VERSION")  # the connection goes on


def test_an_mgdump_can_be_sent_back(connect):
    client = connect()
    fill(client, 1000)
    assert client.command(b"ms AAEC 3 b\r\nabc") == b"HD"
    assert client.command(b"lru_crawler mgdump all") == b"OK"
    lines = client.until(b"EN")
    assert set(lines) == {b"mg key-%d" % i for i in range(1000)} | {b"mg AAEC b"}
    client.send(b"".join(line + b" v\r\n" for line in lines) + b"mn\r\n")
    assert client.until(b"MN").count(b"abc") == 1001


def test_what_a_client_sends_behind_a_dump_is_answered(connect, kind):
    if kind == "memcached":
        pytest.skip("it forgets such requests until more comes")
    client = connect()
    fill(client, 100)
    client.send(b"lru_crawler mgdump all\r\nget key-1\r\n")
    assert client.line() == b"OK"
    assert len(client.until(b"EN")) == 100
    assert client.line() == b"VALUE key-1 1 3"


@pytest.mark.parametrize("what, end", [(b"metadump all", b"END"), (b"metadump hash", b"END"), (b"mgdump 1", b"EN")])
def test_a_dump_of_nothing_is_one(connect, what, end):
    client = connect()
    assert client.command(b"lru_crawler " + what) == b"OK"
    assert client.until(end) == []


def test_a_dump_that_cannot_be_is_refused(connect):
    client = connect()
    assert client.command(b"lru_crawler crawl ,") == b"NOTSTARTED no items to crawl"
    assert client.command(b"lru_crawler metadump 99") == b"BADCLASS invalid class id"
    client.send(b"mg k\r\nlru_crawler mgdump all\r\n")
    assert client.line() == b"EN"
    assert client.line() == b"ERROR cannot pipeline other commands before mgdump"
    assert client.command(b"lru_crawler disable") == b"OK"
    # memcached's answer is another one until its crawler has ended.
    forebay.eventually(lambda: client.command(b"lru_crawler metadump all") == b"CLIENT_ERROR lru crawler disabled")


def test_dumping_can_be_forbidden(start):
    server = start("-X")
    with Listener(server.port) as client:
        assert client.command(b"lru_crawler metadump all") == b"ERROR metadump not allowed"
        assert client.command(b"lru_crawler mgdump all") == b"ERROR key dump not allowed"
        assert client.command(b"stats cachedump 1 1") == b"CLIENT_ERROR stats cachedump not allowed"


def test_a_cachedump_shows_the_keys_of_a_class(connect, kind):
    client = connect()
    fill(client, 40)
    client.send(b"stats cachedump 1 0\r\n")
    lines = client.until(b"END")
    if kind == "memcached" and len(lines) < 7:
        pytest.skip("its entries have not drifted to the cold segment, which is all that it shows")
    for line in lines:
        number, end = re.fullmatch(rb"ITEM key-(\d+) \[3 b; (\d+) s\]", line).groups()
        assert (int(end) != 0) == (int(number) % 2)
    assert len(lines) == len(set(lines))
    assert len(lines) == 40 or kind == "memcached"
    client.send(b"stats cachedump 1 7\r\n")
    assert len(client.until(b"END")) == 7
    client.send(b"stats cachedump 2 7\r\n")
    assert client.until(b"END") == []


def test_dumps_have_the_namespaces_of_every_policy(tmp_path):
    spaces = [forebay.namespace(policy, policy + ":", policy)
              for policy in ("cache-aside", "read-through", "write-through", "write-behind")]
    with forebay.Server(tmp_path, config=forebay.Config(*spaces)) as server, Listener(server.port) as client:
        keys = [policy + ":k" for policy in ("cache-aside", "read-through", "write-through", "write-behind")]
        for key in keys:
            assert client.command(b"set %s 0 0 1\r\nx" % key.encode()) == b"STORED"
        assert client.command(b"lru_crawler metadump all") == b"OK"
        classes = {}
        for line in client.until(b"END"):
            found = re.match(rb"key=(\S+) .* cls=(\d+) ", line)
            classes[found.group(1)] = int(found.group(2))
        assert classes == {key.replace(":", "%3A").encode(): i + 1 for i, key in enumerate(keys)}
        assert client.command(b"lru_crawler mgdump 2,4") == b"OK"
        assert sorted(client.until(b"EN")) == [b"mg read-through:k", b"mg write-behind:k"]
        client.send(b"stats cachedump 3 0\r\n")
        assert client.until(b"END") == [b"ITEM write-through:k [1 b; 0 s]"]
