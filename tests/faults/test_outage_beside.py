# SPDX-License-Identifier: MIT
"""Two backends of which one is away: it is in nobody's way."""

from forebay import Config, eventually, locked, namespace, sqlite_backend

MIB = 1024 * 1024


def spaces():
    """Of a backend that will be away, and of one that stays."""
    return [namespace("stuck", "stuck:", "write-behind", backend="away", flush_delay="20ms"),
            namespace("fine", "fine:", "write-behind", backend="healthy", flush_delay="20ms")]


def test_the_journal_of_others_is_recycled(serve):
    backends = [sqlite_backend("away", "store.db"), sqlite_backend("healthy", "healthy.db")]
    server = serve(Config(*spaces(), backends=backends, journal_file_size="1mb", memory="256mb", threads=2))
    client = server.client()
    client.sync()

    def journal_bytes():
        return int(client.stats("write_behind")["journal:bytes"])

    with locked(server):
        assert client.set("stuck:first", b"once") == b"STORED"
        for i in range(40):
            assert client.set(f"stuck:{i % 10}", b"%d" % i) == b"STORED"
            assert set(client.set_many((f"fine:{j}", b"%d" % i + b"x" * 65000) for j in range(16))) == {b"STORED"}
            client.sync("fine")
        eventually(lambda: journal_bytes() < 15 * MIB)
        server.kill()
        server.start()
        client = server.client()
        assert client.get("stuck:first") == b"once"
    client.sync()
    rows = {key: row.value for key, row in server.rows("stuck").items()}
    assert rows == {b"stuck:first": b"once"} | {b"stuck:%d" % i: b"%d" % (30 + i) for i in range(10)}
