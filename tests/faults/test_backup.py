# SPDX-License-Identifier: MIT
"""docs/backup.md, word for word: what is copied while clients write has everything that was acknowledged before, and a start from
the copy has it again, when the server and all its files are gone."""

import contextlib
import glob
import os
import re
import shutil
import sqlite3

import pytest
from forebay import Background, Closed, Redis, Server, eventually, rows
from handbook import commands, follow

pytestmark = pytest.mark.skipif(not all(map(shutil.which, ("sqlite3", "nc"))), reason="sqlite3 and nc are needed")

WRITERS = 2
KEYS = 50


class Site:
    """A server with a data folder, a place for backups, and clients that count up their keys."""

    def __init__(self, folder, serve, backend='uri = "sqlite:store.db"', redis_port=0, policy="write-behind"):
        self.folder = str(folder)
        self.data = os.path.join(self.folder, "data")
        self.redis_port = redis_port
        delay = 'flush_delay = "1h"' if policy == "write-behind" else ""
        config = f'''
memory = "64mb"
threads = 2
data = "{self.data}"
backend "local" {{ {backend} }}
namespace "sessions" {{ prefix = "sess:" policy = "{policy}" backend = "local" {delay} }}
'''
        server = Server(folder)
        self.server = serve(config=f'listen = {{"127.0.0.1:{server.port}"}}' + config, port=server.port)
        self.sent = {}
        self.acknowledged = {}

    def follow(self, name):
        as_cron = "set -e\nwhole=yes  # as a backup before, in the same shell, has left it\n" if name.startswith("backup") else ""
        return follow(as_cron + commands("backup.md", name), self.server, self.data, **{
            "/var/backups/forebay": self.folder + "/backups", "redis-cli ": f"redis-cli -p {self.redis_port} "})

    def copies(self):
        return [name for name in os.listdir(self.folder + "/backups") if not name.startswith(".")]

    def _write(self, end, writer):
        number = self.sent.get(writer, 0)
        try:
            with self.server.client() as client:
                while not end.is_set():
                    number += 1
                    for key in range(writer, KEYS, WRITERS):
                        self.sent[key] = number
                        assert client.set(f"sess:{key}", b"%d" % number) == b"STORED"
                        self.acknowledged[key] = number
        except (Closed, OSError):
            eventually(lambda: not self.server.running())  # it was killed

    @contextlib.contextmanager
    def writing(self):
        with contextlib.ExitStack() as clients:
            for writer in range(WRITERS):
                clients.enter_context(Background(self._write, writer))
            yield

    def has_written_more(self):
        """Every key was changed a few times since."""
        before = dict(self.acknowledged)
        eventually(lambda: all(self.acknowledged.get(key, 0) > before.get(key, 0) + 5 for key in range(KEYS)))

    def destroy(self):
        self.server.kill()
        shutil.rmtree(self.data)

    def change_some(self):
        """Rows that the store has: one that stays, and others of which the journal or the store has to know that they are gone."""
        with self.server.client() as client:
            assert client.set("sess:kept", b"x") == b"STORED"
            for key in range(KEYS):
                assert client.set(f"sess:gone{key}", b"x") == b"STORED"
            client.sync()
            for key in range(KEYS):
                assert client.delete(f"sess:gone{key}") == b"DELETED"

    def check(self, moment):
        """Of each key there is what was acknowledged at that moment, or a later change of it."""
        assert set(moment) == set(range(KEYS))
        with self.server.client() as client:
            assert client.get("sess:kept") == b"x"
            for key in range(KEYS):
                assert moment[key] <= int(client.get(f"sess:{key}") or -1) <= self.sent[key], key
                assert client.get(f"sess:gone{key}") is None, key


def refuse_a_row(site):
    """One that is in the quarantine from then on."""
    database = sqlite3.connect(os.path.join(site.data, "store.db"))
    database.execute("CREATE TRIGGER refuses BEFORE INSERT ON sessions WHEN new.value = CAST('unfit' AS BLOB) "
                     "BEGIN SELECT RAISE(ABORT, 'unfit'); END")
    database.commit()
    database.close()
    with site.server.client() as client:
        assert client.set("sess:refused", b"unfit") == b"STORED"
        client.command("sync")
        assert client.stats("write_behind")["sessions:quarantine"] == "1"


def test_a_store_is_copied_while_it_is_written_and_restored_from_nothing(tmp_path, serve):
    site = Site(tmp_path, serve)
    refuse_a_row(site)
    site.change_some()
    with site.writing():
        site.has_written_more()
        moment = dict(site.acknowledged)
        said = site.follow("backup: sqlite")
        site.has_written_more()
        site.destroy()
    assert re.search(r"(?m)^SYNCED \d+\r?$", said) and said.endswith("ok\n")
    assert ": ok\n" in site.follow("restore: sqlite")
    site.server.start()
    site.check(moment)
    assert site.server.client().get("sess:refused") == b"unfit"


def test_a_backup_that_fails_is_none(tmp_path, serve):
    site = Site(tmp_path, serve, policy="write-through")  # which has no quarantine
    with site.server.client() as client:
        assert client.set("sess:1", b"x") == b"STORED"
    site.follow("backup: sqlite")
    [copy] = site.copies()
    assert set(rows(f"{site.folder}/backups/{copy}/store.db", "sessions")) == {b"sess:1"}
    os.mkdir(site.data + "/folder")  # which cp leaves out, and says so
    with pytest.raises(AssertionError, match="folder"):
        site.follow("backup: whole")
    assert site.server.client().get("sess:1") == b"x"  # it goes on
    site.server.stop()
    with pytest.raises(AssertionError):
        site.follow("backup: sqlite")
    assert site.copies() == [copy]


def test_all_files_of_one_moment_hold_what_no_store_has(tmp_path, serve):
    site = Site(tmp_path, serve)
    site.change_some()
    with site.writing():
        site.has_written_more()
        moment = dict(site.acknowledged)
        site.follow("backup: whole")
        site.has_written_more()
        site.destroy()
    site.follow("restore: sqlite")
    site.server.start()
    assert "records of" in site.server.log()  # so the journal had it
    site.check(moment)


def test_a_store_that_is_lost_alone_gets_what_the_journal_has(tmp_path, serve):
    site = Site(tmp_path, serve)
    site.change_some()
    with site.writing():
        site.has_written_more()
        site.follow("backup: sqlite")
        site.has_written_more()
    site.server.stop()
    site.server.start()
    with site.writing():
        site.has_written_more()
        site.server.kill()
    site.follow("restore: store")
    site.server.start()
    site.check(site.acknowledged)
    assert "It is an older copy or another store" in site.server.log()


def test_a_store_from_a_copy_of_everything_has_what_was_in_its_log(tmp_path, serve):
    site = Site(tmp_path, serve)
    site.change_some()
    site.follow("backup: whole")
    site.server.stop()
    site.follow("restore: store")
    site.server.start()
    assert site.server.client().get("sess:kept") == b"x"


def test_a_restore_can_be_done_again_and_keeps_each_folder_that_was_there(tmp_path, serve):
    site = Site(tmp_path, serve)
    site.change_some()
    site.follow("backup: sqlite")
    site.server.stop()
    for time in range(3):
        with open(os.path.join(site.data, f"from-time-{time}"), "w", encoding="ascii"):
            pass
        site.follow("restore: sqlite")
        assert not [name for name in os.listdir(site.data) if name.startswith("from-time")]
    kept = {os.path.basename(name) for name in glob.glob(site.data + ".before*/**", recursive=True)}
    assert {f"from-time-{time}" for time in range(3)} <= kept


@pytest.mark.skipif(Redis.missing() is not None, reason=str(Redis.missing()))
def test_a_redis_is_copied_while_it_is_written_and_restored_from_nothing(tmp_path, serve):
    with Redis(tmp_path / "redis", "--repl-diskless-sync-delay", "0") as redis:
        site = Site(tmp_path, serve, f'uri = "{redis.uri}"', redis.port)
        site.change_some()
        with site.writing():
            site.has_written_more()
            moment = dict(site.acknowledged)
            site.follow("backup: redis")
            site.has_written_more()
            site.destroy()
        redis.kill()
        copy, = (tmp_path / "backups").glob("*/dump.rdb")
        shutil.copy(copy, redis.folder)
        redis.start()
        site.server.start()
        site.check(moment)
