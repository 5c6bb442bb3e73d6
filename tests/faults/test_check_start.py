# SPDX-License-Identifier: MIT
"""--check says what a start would say: each of these is asked of both."""

import contextlib
import socket
import threading

import pytest
from checking import accepted, at, check, refused
from forebay import AWAY, Config, Redis, Server, free_port, namespace, section, sqlite_backend
from odd import PLAIN, Odd

needs_redis = pytest.mark.skipif(Redis.missing() is not None, reason=str(Redis.missing()))

SPACE = namespace("sessions", "sess:", "write-behind", flush_delay="1h", journal="os")


def both_refuse(server, *options):
    """What --check says where a start is refused, too, which says the same."""
    said = refused(server, *options)
    lines = [line.removeprefix("forebay: ") for line in said.splitlines() if "warning: " not in line]
    started = server.refuses(*options)
    assert lines and any(line in started for line in lines), (said, started)
    return said


def far(folder, redis, *sections, **top):
    return at(folder, *sections or [namespace("sessions", "sess:", "write-through", backend="far")],
              backends=[section("backend", "far", uri=redis.uri)], **top)


# ---- Backends ----

@needs_redis
def test_a_node_number_of_another_server(serve, tmp_path, redis):
    first, second = (far(tmp_path / name, redis) for name in "ab")
    running = serve(first.config, port=first.port)
    assert "its node number 0 is used by another server" in both_refuse(second)
    accepted(first)  # its own
    accepted(far(tmp_path / "b", redis, node=1))
    running.kill()
    accepted(second)  # that of one that is dead is free


@needs_redis
def test_a_server_without_data_has_its_own_node_number(serve, tmp_path, redis):
    options = ["-P", str(tmp_path / "pid")]
    server = Server(tmp_path, options=options)
    server.config = (f'listen = {{"127.0.0.1:{server.port}"}}\n' + section("backend", "far", uri=redis.uri) +
                     namespace("sessions", "sess:", "write-through", backend="far"))
    serve(server.config, port=server.port, options=options)
    accepted(server)
    server.options = []
    assert "its node number 0 is used by another server" in refused(server)


class Stranger:
    """At an address of a Redis: says the same to whoever says something, and hangs up."""

    def __init__(self, says):
        self.says = says
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.place = f"127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                with self.socket.accept()[0] as client, contextlib.suppress(ConnectionError):
                    client.recv(4096)
                    client.sendall(self.says)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


@pytest.mark.parametrize("says", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"ERROR\r\n", b"220 mail ESMTP\r\n", b"+OK POP3\r\n",
                                  b"\x15\x03\x03\x00\x02\x02\x46", b""], ids=["http", "memcached", "smtp", "pop3", "tls", "silence"])
def test_somebody_else_at_the_address_of_a_redis(tmp_path, says):
    with Stranger(says) as other:
        for uri, asks in (("redis://", "is that a Redis at all"), ("redis+cluster://", "is that a Redis at all"),
                          ("redis+sentinel://", "is that a Sentinel?")):
            master = "/mymaster" if "sentinel" in uri else ""
            server = at(tmp_path, namespace("sessions", "sess:", "write-through"),
                        backends=[section("backend", "local", uri=f"{uri}{other.place}{master}", timeout="300ms")])
            said = "".join(check(server)[1:])
            assert asks in said and other.place in said, said


def test_what_a_start_makes_of_a_backend_that_is_away(serve, tmp_path):
    """It is waited for where a preload is, and cannot be done without where --recover=flush has something for it."""
    gone = [section("backend", "local", uri=f"redis://127.0.0.1:{free_port()}/0", timeout=AWAY)]
    waiting = at(tmp_path / "waits", namespace("sessions", "sess:", "write-behind", preload=10, preload_wait="true"), backends=gone)
    assert "A start waits 10 s for its preload, and then serves without it" in accepted(waiting)[1]
    first = at(tmp_path, SPACE)
    first = serve(first.config, port=first.port)
    assert first.client().set("sess:1", b"v") == b"STORED"
    first.kill()
    server = at(tmp_path, namespace("sessions", "sess:", "write-through"), backends=gone, drain_timeout="100ms")
    assert "--recover=flush has changes for it, and a start fails without it" in refused(server, "--recover=flush")
    assert server.refuses("--recover=flush")
    server = at(tmp_path, SPACE, backends=gone)
    assert "A start serves without it" in accepted(server)[1]


def test_changes_that_go_to_another_store_than_they_were_made_for(serve, tmp_path):
    first = at(tmp_path, SPACE)
    first = serve(first.config, port=first.port)
    assert first.client().set("sess:1", b"v") == b"STORED"
    first.kill()
    server = at(tmp_path, SPACE, backends=[sqlite_backend(path="other.db")])
    line = "namespace sessions: 1 change made for sqlite:store.db, table sessions, not written yet, will go to sqlite:other.db"
    assert f"warning: {line}" in accepted(server)[1]
    with server:
        assert f"warning: {line}" in server.log()


# ---- Paths ----

@pytest.mark.parametrize("path", ["sqlite:./x.db", "sqlite:x.db", "sqlite:" + "./" * 250 + "x.db", "sqlite:{data}/x.db", "sqlite:{data}/./x.db", "sqlite:../data/x.db"])
def test_a_database_in_a_data_folder_that_is_to_be_made(tmp_path, path):
    server = at(tmp_path, SPACE, backends=[section("backend", "local", uri=path.format(data=tmp_path / "data"))])
    accepted(server)
    assert not (tmp_path / "data").exists()
    with server:
        assert (tmp_path / "data" / "x.db").exists()


@pytest.mark.parametrize("path, what", [("z/../x.db", "the folder {data}/z does not exist; make it"),
                                        ("y/../z/../x.db", "the folder {data}/y/../z does not exist; make it"),
                                        ("y/z/x.db", "the folder {data}/y/z does not exist; make it"),
                                        ("file/../x.db", "{data}/file is not a folder; correct the uri")])
def test_a_way_to_a_database_over_what_is_not_there(tmp_path, path, what):
    """SQLite would go it, to a database that nobody else finds by this path."""
    data = tmp_path / "data"
    server = at(tmp_path, SPACE, backends=[section("backend", "local", uri=f"sqlite:{path}")])
    (data / "y").mkdir(parents=True)
    (data / "file").touch()
    assert f'backend "local", {data}/{path}: {what.format(data=data)}' in both_refuse(server)
    assert not (data / "x.db").exists()
    (data / "file").unlink()
    for folder in ("file", "z", "y/z"):
        (data / folder).mkdir()
    with server:
        assert "unavailable" not in server.log()


@pytest.mark.parametrize("path, why", [("y" * 100 + "/x.db", "does not exist"), ("x" * 252, "its name is too long")])
def test_a_database_that_cannot_have_its_name(tmp_path, path, why):
    server = at(tmp_path, SPACE, backends=[section("backend", "local", uri=f"sqlite:{path}")])
    said = refused(server)
    assert why in said and not (tmp_path / "data").exists()
    assert server.refuses()


def test_a_path_that_is_too_long_before_its_folder_is_there(tmp_path):
    deep = tmp_path.joinpath(*["d" * 100] * 4)
    deep.mkdir(parents=True)
    server = Server(tmp_path)
    server.config = Config(SPACE).text(server.port, f"{deep}/{'e' * 100}")
    assert "SQLite opens none of more than 504" in both_refuse(server)


def test_a_name_that_no_folder_can_have(tmp_path):
    server = Server(tmp_path)
    server.config = Config(SPACE).text(server.port, f"{tmp_path}/{'d' * 256}")
    assert "cannot be made: File name too long" in both_refuse(server)


# ---- Users ----

def test_all_password_files_that_are_wrong(tmp_path):
    server = at(tmp_path, SPACE, *(section("user", name, password_file=f"{tmp_path}/{name}", namespaces="*") for name in ("ann", "bob")))
    (tmp_path / "bob").write_text("nothing\n")
    lines = refused(server).splitlines()
    assert len(lines) == 2, lines
    for name, line in zip(("ann", "bob"), lines):
        path, number, said = line.removeprefix("forebay: ").split(":", 2)
        with open(path, encoding="utf-8") as config:
            assert f"{tmp_path}/{name}" in config.read().splitlines()[int(number) - 1] and f"{tmp_path}/{name}" in said


# ---- Limits of the process ----

@PLAIN
def test_too_few_addresses(tmp_path):
    server = Odd(tmp_path, "ulimit -v 200000")
    assert "raise ulimit -v" in refused(server) and "raise ulimit -v" in server.refuses()
    accepted(Odd(tmp_path, "ulimit -v 1000000"))


def test_a_small_stack(tmp_path):
    """Of the first thread, that is: a start has others do what takes more."""
    server = Odd(tmp_path, "ulimit -s 72 && ulimit -c 0")
    with server:
        assert server.client().set("sess:1", b"v") == b"STORED"
        server.kill()
    for kind in ("redis://127.0.0.1:1/0", "redis+cluster://127.0.0.1:1,127.0.0.1:2", "sqlite:other.db"):
        server.config = Config(SPACE, backends=[section("backend", "local", uri=kind)])
        server.write_config()
        accepted(server)


def test_files_that_may_not_grow(tmp_path):
    """-f counts 512 bytes, or 1 kB, by the shell."""
    server = Odd(tmp_path, "ulimit -f 8")
    assert "and a start cannot write its own then" in refused(server)
    server.refuses()
    assert "and the journal makes larger ones" in accepted(Odd(tmp_path, "ulimit -f 1000"))[1]
