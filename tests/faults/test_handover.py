# SPDX-License-Identifier: MIT
"""One node more and one less, as docs/growth.md has it, while applications read and write: nothing that was acknowledged is lost,
and nothing old is shown."""

import contextlib
import random
import time

import pytest
from forebay import Background, Config, Redis, Server, eventually, namespace, section, share

pytestmark = [pytest.mark.skipif(Redis.missing() is not None, reason=str(Redis.missing())), pytest.mark.threads]

KEYS, APPLICATIONS, TOKEN = 60, 4, "correct-horse-battery"
LIMIT = 1  # seconds: coherence_limit, for so long an old value may be shown


@pytest.fixture
def node(tmp_path, redis):
    """node(number): a server, write-behind over the Redis that all share, which hears of the others' changes."""
    token = tmp_path / "token"
    token.write_text(TOKEN + "\n")
    token.chmod(0o600)
    started = []

    def start(number):
        config = Config(namespace("sessions", "sess:", "write-behind", flush_delay="5s"), admin_token_file=token, node=number,
                        backends=[section("backend", "local", uri=redis.uri, coherent=True)])
        server = Server(tmp_path / f"node{number}", config=config, admin=True).start()
        started.append(server)
        eventually(lambda: server.client().stats("backends")["local:coherent"] == "yes")
        return server
    yield start
    for server in started:
        if server.running():
            server.stop()


def hand_over(servers, to):
    for server in servers:
        answer = server.ask(f"/handover?to={to}", "POST", headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.status == 200, answer.text


class Application:
    """Counts up the keys that are its own, and reads everybody's, each at the node where its list has them."""

    def __init__(self, number, servers, acknowledged):
        self.number, self.rounds, self.error = number, 0, None
        self.acknowledged = acknowledged  # by key: when, and what; of all applications
        self.random = random.Random(number)
        self.list = servers
        self.clients = {}

    def client_of(self, key):
        server = self.list[key * 7 % len(self.list)]
        if server not in self.clients:
            self.clients[server] = server.client()
        return self.clients[server]

    def write(self, key):
        value = self.acknowledged[key][-1][1] + 1
        assert self.client_of(key).set(f"sess:{key}", b"%d" % value) == b"STORED"
        self.acknowledged[key].append((time.monotonic(), value))

    def read(self, key):
        before = time.monotonic() - LIMIT
        least = max(value for at, value in self.acknowledged[key][-400:] + [(0.0, 0)] if at <= before)
        found = int(self.client_of(key).get(f"sess:{key}") or 0)
        assert found >= least, f"sess:{key} was {found}, {LIMIT} s after {least} was acknowledged"

    def run(self, end):
        try:
            while not end.is_set():
                self.write(self.random.randrange(self.number, KEYS, APPLICATIONS))
                self.read(self.random.randrange(KEYS))
                self.rounds += 1
        except Exception as error:  # told at once, by go_on
            self.error = error

    def has_done(self, rounds):
        if self.error:
            raise self.error
        return self.rounds > rounds


def go_on(applications):
    """Until each has done some more."""
    wanted = [application.rounds + share(100) for application in applications]
    eventually(lambda: all([application.has_done(least) for application, least in zip(applications, wanted)]))


@contextlib.contextmanager
def applications(*servers):
    acknowledged = [[(0.0, 0)] for _ in range(KEYS)]
    every = [Application(number, servers, acknowledged) for number in range(APPLICATIONS)]
    with contextlib.ExitStack() as stack:
        for application in every:
            stack.enter_context(Background(application.run))
        yield every


def move(every, nodes, servers):
    """One application after the other has the new list, while all of them go on."""
    hand_over(nodes, "on")
    for application in every:
        application.list = servers
        go_on(every)
    hand_over([server for server in nodes if server in servers], "off")


def test_no_step_loses_anything_or_shows_anything_old(node, redis):
    one = node(1)
    with applications(one) as every:
        go_on(every)
        two = node(2)
        move(every, [one, two], [one, two])
        go_on(every)
        move(every, [one, two], [two])
        one.stop()
        go_on(every)
        again = node(1)
        move(every, [two, again], [two, again])
        go_on(every)
    for server in every[0].list:
        server.client().sync("sessions")
    rows = redis.rows("sess:")
    assert {int(key[5:]): int(row.value) for key, row in rows.items()} == {
        key: done[-1][1] for key, done in enumerate(every[0].acknowledged) if done[-1][1]}
