# SPDX-License-Identifier: MIT
"""What an operator sees of write-behind: the loss window, what was written, and what the journal did, from the first change to
the restart after a kill -9."""

import time

from forebay import Config, Server, eventually, namespace


def numbers(client):
    """stats write_behind, with whole numbers as such."""
    return {name: int(value) if value.isdigit() else value for name, value in client.stats("write_behind").items()}


def test_from_the_first_change_to_the_restart(tmp_path):
    config = Config(namespace("sessions", "s:", "write-behind", flush_delay="1h", journal="interval"))
    with Server(tmp_path, config=config).start() as server:
        with server.client() as client:
            fresh = numbers(client)
            assert (fresh["sessions:dirty_entries"], fresh["sessions:dirty_bytes"], fresh["sessions:oldest_dirty_ms"]) == (0, 0, 0)
            assert (fresh["sessions:breaker"], fresh["sessions:journal"]) == ("closed", "interval")

            for value in (b"one", b"two", b"three"):
                client.set("s:a", value)
            client.set("s:b", b"four")
            client.command("delete s:gone")
            time.sleep(0.05)
            held = numbers(client)
            assert held["sessions:dirty_entries"] in (2, 3)  # a delete of what nobody knows may need no row
            assert held["sessions:dirty_bytes"] > 0
            assert eventually(lambda: numbers(client)["sessions:oldest_dirty_ms"] >= 50)  # the writer has looked
            assert held["sessions:coalesced"] == 2  # three values of a are one row
            assert held["sessions:rows"] == held["sessions:batches"] == 0
            assert held["journal:written_records"] >= 4 and held["journal:written_bytes"] > 0 and held["journal:bytes"] > 0
            assert eventually(lambda: numbers(client)["journal:fsyncs"] > fresh["journal:fsyncs"])  # once a second
            assert numbers(client)["journal:fsync_us"] > 0

            client.sync()
            written = numbers(client)
            assert (written["sessions:dirty_entries"], written["sessions:dirty_bytes"], written["sessions:oldest_dirty_ms"]) == (0, 0, 0)
            assert written["sessions:batches"] >= 1 and written["sessions:rows"] >= 2 and written["sessions:flush_us"] > 0
            assert (written["sessions:retries"], written["sessions:quarantine"], written["sessions:bisections"]) == (0, 0, 0)

            client.set("s:c", b"five")
        server.kill()
        with server.start().client() as client:
            back = numbers(client)
            assert back["journal:replayed_files"] >= 1 and back["journal:replayed_records"] >= 1
            client.sync()
        assert set(server.rows()) == {b"s:a", b"s:b", b"s:c"}
