# SPDX-License-Identifier: MIT
"""The admin HTTP as its users meet it: health by probes, and what a careless or a hostile client sends."""

import contextlib
import os
import re
import resource
import signal
import socket

import pytest
from forebay import GIVES_BACK, Config, Server, eventually, free_port, locked, namespace


@contextlib.contextmanager
def room_for_files(count):
    """This process, and those that it starts, may have so many open."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], min(count, before[1])), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def lines(answer):
    return answer.text.splitlines()


# ---- Health ----

def test_a_server_that_serves_is_live_ready_and_started(serve):
    server = serve(admin=True)
    for path in ("/livez", "/readyz", "/startupz"):
        assert server.ask(path)[::2] == (200, "ok\n")
    assert "[+]workers ok" in lines(server.ask("/livez?verbose"))
    assert lines(server.ask("/livez?verbose"))[-1] == "livez check passed"
    assert lines(server.ask("/readyz?verbose&exclude=preload"))[:2] == ["[+]started ok", "[+]preload excluded: ok"]
    warned = lines(server.ask("/readyz?verbose&exclude=prelaod&exclude=preload"))
    assert warned[-2:] == ['warn: some health checks cannot be excluded: no matches for "prelaod"', "readyz check passed"]
    assert server.ask("/readyz?exclude=prelaod")[::2] == (200, "ok\n")
    assert server.ask("/readyz/started")[::2] == (200, "ok\n")
    assert server.ask("/livez/nonsense").status == 404


def test_a_server_that_stops_is_live_and_not_ready(serve):
    """It drains into a store that is locked, so the stop lasts."""
    server = serve(Config(namespace("sessions", "sess:", "write-behind", flush_delay="1h"), drain_timeout="10m"), admin=True)
    assert server.client().set("sess:1", b"v") == b"STORED"
    with locked(server):
        server.signal(signal.SIGTERM)
        answer = eventually(lambda: (lambda a: a.status == 503 and a)(server.ask("/readyz")))
        assert re.search(r"^\[-\]not-stopping failed: the server is stopping", answer.text, re.MULTILINE)
        assert server.ask("/livez").status == 200
        assert server.ask("/readyz?exclude=not-stopping").status == 200
    eventually(lambda: not server.running())


# ---- Where it answers ----

def test_it_is_off_unless_asked_for(serve):
    assert "admin HTTP" not in serve().log()


@pytest.mark.parametrize("address, why", [
    ("*:11280", "all interfaces are 0.0.0.0"), ("unix:/tmp/x", "over the network alone"), ("127.0.0.1:x", "a port is a number"), (":1", "write host:port"),
    ("192.0.2.1:11280", "no interface of this machine")])
def test_an_address_that_cannot_be_is_refused(tmp_path, address, why):
    assert why in Server(tmp_path, options=["--admin", address]).refuses()
    config = Config(admin=address)
    said = Server(tmp_path, config=config).refuses()
    assert why in said and "admin" in said


def test_its_port_is_told_in_the_file_of_ports(tmp_path):
    ports = tmp_path / "ports"
    with Server(tmp_path, admin=True, env={"MEMCACHED_PORT_FILENAME": str(ports)}) as server:
        said = eventually(lambda: ports.exists() and ports.read_text())
        assert f"TCP INET: {server.port}\nADMIN INET: {server.admin_port}\n" == said


def test_ipv6_is_answered(tmp_path):
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    port = free_port()
    with Server(tmp_path, options=["--admin", f"[::1]:{port}"]):
        with socket.create_connection(("::1", port), 10) as client:
            client.sendall(b"GET /livez HTTP/1.1\r\nHost: [::1]:1\r\nConnection: close\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200 ")


# ---- Bad input ----

def test_head_is_a_get_without_its_body(serve):
    answer = serve(admin=True).ask("/livez", "HEAD")
    assert answer[::2] == (200, "") and answer.headers["Content-Length"] == "3"


def test_unknown_paths_and_methods(serve):
    server = serve(admin=True)
    for path in ("/nonsense", "/livez/", "//livez", "/../livez", "/livez%00", "/livez%00x", "/readyz/started%00x", "/%00", "/page/page.css%00"):
        assert server.ask(path).status == 404, path
    assert server.ask("/livez?x=%00").status == 200
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "BREW"):
        answer = server.ask("/livez", method)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD"), method


def test_bodies_are_not_taken(serve):
    server = serve(admin=True)
    assert server.ask("/livez", body=b"x").status == 400
    assert server.ask("/livez", body=b"x" * 100000, headers={"Expect": "100-continue"}).status == 413


def test_headers_that_are_too_long_are_refused(serve):
    server = serve(admin=True)
    assert server.ask("/livez", headers={"X-Long": "x" * 20000}).status in (400, 431)
    assert server.ask("/livez?" + "x" * 20000).status in (400, 414, 431)
    assert server.ask("/livez").status == 200


def test_another_name_on_loopback_is_not_answered_to(serve):
    """Else a page of a stranger's could read what is told here, by a name of his that stands for 127.0.0.1."""
    server = serve(admin=True)
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1:80", "[::1]:80", "[::1]"):
        assert server.ask("/livez", headers={"Host": host}).status == 200, host
    for host in ("attacker.example", "localhost.attacker.example:80", "127.0.0.1.attacker.example", "[::1", "[]", "x" * 200):
        assert server.ask("/livez", headers={"Host": host}).status == 421, host


HEADS = [
    (b"Content-Length: 0\r\nContent-Length: 0", "more than one Content-Length"),
    (b"content-length: 5\r\nX: y\r\nCONTENT-LENGTH: 0", "more than one Content-Length"),
    (b"Transfer-Encoding: chunked\r\nContent-Length: 5", "beside Content-Length"),
    (b"Content-Length: 5\r\nTransfer-Encoding: chunked", "beside Content-Length"),
    (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "chunked, and nothing else"),
    (b"Transfer-Encoding: xchunked", "chunked, and nothing else"), (b"Transfer-Encoding: gzip, chunked", "chunked, and nothing else"),
    (b"Content-Length : 5", "the name of a header"), (b"Content-Length\t: 5", "the name of a header"),
    (b"Transfer-Encoding : chunked", "the name of a header"),
    (b"X: y\r\n Content-Length: 5", "the name of a header"), (b"Host : localhost", "the name of a header"),
    (b"Content-Length(: 5", "the name of a header"), (b"Content-Length\xc3: 5", "the name of a header"),
    (b"X: y\rContent-Length: 5", "a control character"), (b"X: \x01", "a control character"),
    (b"Host: localhost", "more than one Host"), (b"HOST: attacker.example", "more than one Host")]
SECOND = b"GET /startupz HTTP/1.1\r\nHost: localhost\r\n\r\n"  # what a proxy took for a body, or for another request


def all_that_is_answered(server, sent):
    """Until the server closes."""
    with socket.create_connection(("127.0.0.1", server.admin_port), 60) as one:
        one.sendall(sent)
        answers = b""
        with contextlib.suppress(ConnectionResetError):
            while more := one.recv(4096):
                answers += more
    return answers.decode()


def test_a_request_that_others_may_read_in_another_way_is_refused(serve):
    server = serve(admin=True)
    for method in ("GET", "POST", "HEAD", "BREW"):
        for head, said in HEADS:
            begin = f"{method} /livez HTTP/1.1\r\nHost: localhost\r\n".encode()
            answers = all_that_is_answered(server, begin + head + b"\r\n\r\n0\r\n\r\n" + SECOND)
            assert answers.startswith("HTTP/1.1 400 ") and answers.count("HTTP/1.1") == 1, (method, head, answers)
            assert "\r\nConnection: close\r\n" in answers and (method == "HEAD" or said in answers), (method, head, answers)
    for start, said in ((b"GET /livez HTTP/1.1\r\n\r\n", "there is no Host"),
                        (b"GET /livez x HTTP/1.1\r\nHost: localhost\r\n\r\n", "its path has a space")):
        answers = all_that_is_answered(server, start + SECOND)
        assert answers.startswith("HTTP/1.1 400 ") and answers.count("HTTP/1.1") == 1 and said in answers, answers
    assert all_that_is_answered(server, b"GET /livez HTTP/1.0\r\n\r\n").startswith("HTTP/1.1 200 ")
    answers = all_that_is_answered(server, b"GET /livez HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND)
    assert answers.startswith("HTTP/1.1 400 ") and answers.count("HTTP/1.1") == 1 and "before 1.1" in answers


def test_requests_whose_end_is_plain_share_a_connection(serve):
    server = serve(admin=True)
    begin = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
    asked = [b"\r\n", b"Content-Length: 0\r\n\r\n", b"Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", b"X-Odd!#$%&'*+.^_`|~: \t\xc3\xa4 y\r\n\r\n",
             b"X:\r\nX: again\r\nConnection: close\r\n\r\n"]
    answers = all_that_is_answered(server, b"".join(begin + rest for rest in asked))
    assert answers.count("HTTP/1.1 200 ") == len(asked) and answers.count("HTTP/1.1") == len(asked)


def test_answers_are_not_taken_for_anything_else(serve):
    headers = serve(admin=True).ask("/livez").headers
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")


# ---- Many, and slow ----

HALF = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: "  # and never its end


def test_a_thousand_connections_keep_nobody_out(tmp_path):
    """Silent ones, and ones that stop in the middle of their headers; probes are answered, clients do not notice, and neither
    memory nor descriptors grow with them."""
    with room_for_files(4096), Server(tmp_path, admin=True, env=GIVES_BACK) as server, contextlib.ExitStack() as open_ones:
        client = server.client()
        assert client.set("k", b"v") == b"STORED"
        assert server.ask("/livez").status == 200
        before = server.resident()
        for number in range(1000):
            one = open_ones.enter_context(socket.create_connection(("127.0.0.1", server.admin_port), 60))
            if number % 2:
                one.sendall(HALF + b"x" * 8000)
        assert server.ask("/livez").status == 200
        assert client.get("k") == b"v"
        assert server.client().set("k", b"w") == b"STORED"
        assert len(os.listdir(f"/proc/{server.pid}/fd")) < 300
        assert server.resident() - before < 16 << 20
        assert server.ask("/readyz").status == 200


def test_who_comes_last_is_answered_although_all_places_are_taken(serve):
    """By keep-alive connections that have been answered, the oldest of which gives its place."""
    server = serve(admin=True)
    with contextlib.ExitStack() as open_ones:
        places = []
        for _ in range(128):
            one = open_ones.enter_context(socket.create_connection(("127.0.0.1", server.admin_port), 60))
            one.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert one.recv(1000).startswith(b"HTTP/1.1 200 ")
            places.append(one)
        assert server.ask("/livez").status == 200
        assert places[0].recv(1) == b""
        places[-1].sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert places[-1].recv(1000).startswith(b"HTTP/1.1 200 ")


NONSENSE = [
    b"\r\n\r\n\r\n", b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"GET /livez HTTP/9.9\r\nHost: x\r\n\r\n", b"set k 0 0 1\r\nx\r\nquit\r\n",
    b"GET /livez HTTP/1.1\r\n\r\n", b"POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: nonsense\r\n\r\n",
    b"POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 18446744073709551616\r\n\r\n",
    b"POST /livez HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /livez?%00=%zz&=&&verbose=%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET /" + b"%2e/" * 2000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 5000 + b"\r\n"]


def test_nonsense_ends_nothing_but_its_connection(serve):
    server = serve(admin=True)
    with contextlib.ExitStack() as open_ones:
        for sent in NONSENSE:
            one = open_ones.enter_context(socket.create_connection(("127.0.0.1", server.admin_port), 60))
            with contextlib.suppress(OSError):
                one.sendall(sent)
                one.shutdown(socket.SHUT_WR)
            assert server.ask("/livez").status == 200, sent
            server.check_alive()


def test_a_body_without_an_end_is_not_read_for_ever(serve):
    server = serve(admin=True)
    with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", server.admin_port), 60) as one:
        one.sendall(b"POST /livez HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(2000):
            one.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        pytest.fail("8 MB of a body were read")
    assert server.ask("/livez").status == 200
