# SPDX-License-Identifier: MIT
"""kill -9 at random moments under load: no acknowledged change is lost, none is undone, in any journal mode but off, nor
under write-through. tools/crash-rounds does the same for as long as one likes. See tests/support/crash.py for the model."""

import pytest
from crash import Rounds, Violation
from forebay import Config, Redis, Server, eventually, namespace, share
from weather import KINDS, Away, Changed, Flood, Full

ROUNDS = 20


def run_until(rounds, answered, kinds=None):
    """Rounds in this weather, or in that of the forecast, until so much was answered: a kill comes after a random time, in which
    a busy machine answers little."""
    for number in range(1, 10 * ROUNDS):
        rounds.round(number, rounds.forecast() if kinds is None else kinds)
        if number >= (1 if kinds else share(ROUNDS)) and rounds.answered > answered:
            return rounds.finish()
    raise AssertionError("hardly anything was acknowledged: this run shows nothing")


@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_kill_rounds(tmp_path, store):
    if store == "redis" and Redis.missing():
        pytest.skip(Redis.missing())
    with Rounds(tmp_path, seed=20, store=store) as rounds:
        run_until(rounds, share(ROUNDS) * 20)
    assert rounds.kills >= share(ROUNDS)


@pytest.mark.parametrize("store, kinds", [("sqlite", [Changed, Full]), ("redis", [Flood, Away])])
def test_a_kill_in_weather(tmp_path, store, kinds):
    """A round with what takes little time; tools/crash-rounds draws all kinds and their mixtures."""
    if store == "redis" and Redis.missing():
        pytest.skip(Redis.missing())
    with Rounds(tmp_path, seed=5, store=store, clients=2, keys=20, weather=KINDS) as rounds:
        run_until(rounds, 20, kinds)


def test_the_model_sees_what_is_lost(tmp_path):
    """Without a journal a kill -9 loses what was not flushed, and these rounds must notice."""
    with Rounds(tmp_path, seed=1, modes=("off",), through=False) as rounds:
        with pytest.raises(Violation):
            rounds.run(ROUNDS)


KEYS = 30000  # several commits of 10,000


def test_killed_between_two_commits_of_a_batch(tmp_path):
    """Part of a batch is in the store, part of it is not, and some of both has been set anew since."""
    config = Config(namespace("sessions", "s:", "write-behind", flush_delay="1h", journal="os"), memory="256mb")
    expected = {}
    met = 0
    with Server(tmp_path, config=config).start() as server:
        for attempt in range(5):
            with server.client() as client, server.client() as other:
                for begin in range(0, KEYS, 1000):
                    pairs = {f"s:{key * 7919 % KEYS}": b"%d/%d" % (attempt, key) for key in range(begin, begin + 1000)}
                    assert set(client.set_many(pairs.items())) == {b"STORED"}
                    expected.update(pairs)

                def rows():
                    return int(other.stats("write_behind")["sessions:rows"])

                before = rows()
                client.send(b"sync\r\n")
                assert eventually(lambda: rows() >= before + 10000, pause=0)
                for key in range(0, KEYS, 500):
                    other.set(f"s:{key}", b"later %d" % attempt)
                    expected[f"s:{key}"] = b"later %d" % attempt
                met += rows() < before + KEYS
                server.kill()
            with server.start().client() as client:
                for begin in range(0, KEYS, 1000):
                    keys = [f"s:{key}" for key in range(begin, begin + 1000)]
                    assert client.get_many(keys) == {key.encode(): expected[key] for key in keys}
            if met and attempt > 0:
                break
    assert met > 0, "every batch was whole before the kill: this run shows nothing"
    assert {key.decode(): row.value for key, row in server.rows().items()} == expected
