# SPDX-License-Identifier: MIT
"""A few of the lives of tools/fault-injection, which lets calls fail that a server makes; and that what is broken is
noticed. What must hold is said at the head of tests/support/injected_trial.py."""

import re
import signal
import socket
import subprocess
import time

import pytest
from crash import Violation
from forebay import Server, ServerFailed, binary, eventually, preloaded
from injected import FOREVER, LOST, SHORT, Fault, Faults, named
from injected_rounds import InjectedRounds
from injected_trial import Case, Trial
from injected_ways import OverTls, PowerLost

CASES = [
    Case("start", Fault("thread", "EAGAIN", 3), "epoll"),
    Case("load", Fault("writing", "ENOSPC", 1, FOREVER), "epoll"),
    Case("load", Fault("descriptor", "EMFILE", 1, FOREVER), "epoll"),
    Case("load", Fault("client sending", SHORT, 5), "epoll"),
    Case("load", Fault("stream writing", "ENOSPC", 1), "epoll"),
    Case("load", Fault("ring sending", SHORT, 3), "auto"),
    Case("flush", Fault("redis memory", "ENOMEM", 4), "epoll"),
    Case("flush", Fault("syncing", "EIO", 2), "epoll"),
    Case("recovery", Fault("opening", "EMFILE", 5, FOREVER), "epoll"),
    Case("stop", Fault("writing", "EIO", 2, FOREVER), "epoll"),
    Case("load", Fault("tls memory", "ENOMEM", 300), "epoll-tls"),
    Case("load", Fault("syncing", "EIO", 2), "power"),
]
# Of those that are gone through once without a fault; the rest is for the tool.
WAYS = ("epoll", "auto", "epoll-tls", "power")


def busiest_place(rounds, phase, kind):
    """So that a life is sure to come there again."""
    return max((place for place in rounds.places["epoll"][phase] if place.kind == kind), key=lambda place: place.calls)


def place_in(rounds, function, kind):
    """Of a start: the first that is called from a function of the server."""
    for place in sorted(rounds.places["epoll"]["start"]):
        if place.kind == kind and any(function in named(line) for line in rounds.callers.get(place.hash, ())[:4]):
            return place
    raise LookupError(f"no {kind} in {function}")


def renew(trial):
    """The server shows another certificate, to whoever comes now."""
    shown = trial.server.log().count("reload: the certificate of")
    trial.show_next()
    trial.server.signal(signal.SIGHUP)
    eventually(lambda: trial.server.log().count("reload: the certificate of") > shown)


@pytest.fixture(scope="module")
def library():
    named = preloaded("INJECTED_FAULTS_LIBRARY")
    if not named:
        pytest.skip("INJECTED_FAULTS_LIBRARY does not name the library built from tests/faults/injected_faults.c")
    return named


def test_where_no_call_is_made_none_is_drawn(tmp_path):
    with InjectedRounds(tmp_path, None, seed=1, ways=["epoll"], kinds=["thread"], phases=["stop"]) as rounds:
        rounds.counted = {"epoll": {"stop": {"thread": 0}}}
        with pytest.raises(ValueError, match="no such calls"):
            list(rounds.some_cases(1))


def test_lives(tmp_path, library):
    with InjectedRounds(tmp_path, library, seed=20, ways=WAYS) as rounds:
        rounds.count(notes=True, ways=WAYS[:1])
        rounds.count(ways=WAYS[1:])
        cases = [case for case in CASES if rounds.redis or case.fault.kind != "redis memory"]
        violations = list(map(rounds.run, cases))
        assert rounds.unmet < len(cases) / 2  # how many calls there are is up to the moment
        place = busiest_place(rounds, "load", "writing")
        violations.append(rounds.run(Case("load", Fault("writing", "EIO", 0, FOREVER, place.hash), "epoll")))
        assert rounds.last["met"], "no call came from the place that most had come from"
        if rounds.redis:  # whoever does not know its machine is refused the store after a kill
            place = place_in(rounds, "redis_know_itself", "opening")
            violations.append(rounds.run(Case("start", Fault("opening", "EMFILE", 0, 1, place.hash), "epoll")))
        assert not any(violations), "\n".join(filter(None, violations))


def test_what_does_not_survive_that_there_is_no_memory_is_not_called():
    """Of hiredis: what connects by a name or with a timeout ends the process, what makes a command of words forgets it."""
    called = subprocess.run(["nm", "--undefined-only", binary()], stdout=subprocess.PIPE, check=True).stdout.decode()
    assert "redisConnectFd" in called
    assert not re.findall(r"\bredis(?:Connect(?!Fd\b)|Reconnect|Async|v?Command|v?Append|Format)\w*", called)


class Careless(Trial):
    """Without a journal, a kill loses what has not been written."""

    def config(self, used):
        config = super().config(used)
        config.sections = [section.replace('journal = "always"', 'journal = "off"') for section in config.sections]
        return config


def test_what_is_lost_is_seen(tmp_path, library):
    trial = Careless(str(tmp_path / "trial"), library, seed=20)
    try:
        with pytest.raises(Violation, match="found"):
            trial.run(Case("recovery", Fault("reading", "EINTR", 10**6), "epoll"))
    finally:
        trial.close()


class Behind(Trial):
    """Nothing but changes that have the journal alone until they are flushed."""

    spaces = {"behind": "local"}


def test_a_write_that_is_taken_for_done_is_seen(tmp_path, library):
    """As by a server that does not look at what the journal's writes come to. Where it went on after them, the start
    finds the hole."""
    trial = Behind(str(tmp_path / "trial"), library, seed=20)
    try:
        with pytest.raises((Violation, ServerFailed), match="found|is damaged"):
            trial.run(Case("load", Fault("writing", LOST, 1, FOREVER), "epoll"))
    finally:
        trial.close()


class BehindLost(PowerLost):
    spaces = {"behind": "local"}


def test_a_sync_that_is_taken_for_done_is_seen(tmp_path, library):
    """Mostly: the page that later records begin in takes those before them with it."""
    for seed in range(20, 32):
        trial = BehindLost(str(tmp_path / "trial"), library, seed)
        try:
            trial.run(Case("load", Fault("syncing", LOST, 1, FOREVER), "power"))
        except (Violation, ServerFailed) as seen:
            assert re.search("found|is damaged", str(seen))
            return
        finally:
            trial.close()
    raise AssertionError("nothing was lost")


def test_an_encrypted_read_that_is_interrupted_is_asked_for_again(tmp_path, library):
    """No edge tells of what is in the socket a second time."""
    trial = OverTls(str(tmp_path / "trial"), library, seed=20)
    try:
        trial.server.start()
        with trial.server.client() as client:
            client.command("version")
            trial.faults.order(Fault("tls receiving", "EINTR", 1, 2))
            assert client.command("version").startswith(b"VERSION ")
            assert trial.faults.met() == 2
        trial.server.stop()
    finally:
        trial.close()


def test_memory_that_lacks_in_a_handshake_keeps_nobody_out_afterwards(tmp_path, library):
    """OpenSSL remembers of an authority that it could not look into it: each reload brings one that nobody has looked into."""
    trial = OverTls(str(tmp_path / "trial"), library, seed=20, notes=True)
    try:
        trial.server.start()
        renew(trial)
        trial.faults.order()
        assert trial.server.answers()
        callers = trial.faults.callers()
        looks = [place for place in trial.faults.places() if "X509V3_EXT_d2i" in "".join(callers.get(place.hash, ()))]
        assert looks
        trial.faults.notes = False
        for place in looks:
            renew(trial)
            trial.faults.order(Fault("tls memory", "ENOMEM", place=place.hash))
            trial.server.answers()
            trial.faults.heal()
            assert trial.server.answers()
        trial.server.stop()
    finally:
        trial.close()


def test_memory_that_lacks_where_tls_is_set_up_refuses_the_start(tmp_path, library):
    """OpenSSL does without what it could not fetch, such as the keys that a version of TLS takes, and says nothing."""
    trial = OverTls(str(tmp_path / "trial"), library, seed=20, notes=True)
    try:
        trial.server.start()
        callers = trial.faults.callers()
        fetches = [place for place in trial.faults.places() if place.kind == "tls memory" and
                   re.search("EVP_KEYMGMT_fetch.*SSL_CTX_new_ex", " ".join(callers.get(place.hash, ())))]
        trial.server.stop()
        trial.faults.notes = False
        for place in (fetches[0], fetches[-1]):
            trial.faults.order(Fault("tls memory", "ENOMEM", place=place.hash))
            assert "OpenSSL got no memory for TLS" in trial.server.refuses()
        trial.faults.heal()
        trial.server.start()
        trial.server.stop()
    finally:
        trial.close()


def test_the_first_handshake_fetches_nothing_that_later_ones_need(tmp_path, library):
    """Where memory lacks for that, OpenSSL says no to all that follow. The start has fetched it."""
    trial = OverTls(str(tmp_path / "trial"), library, seed=20, notes=True)
    try:
        trial.server.spawn()
        eventually(lambda: " serves " in trial.server.log())
        first, later = places_of_handshake(trial), set()
        for _ in range(3):
            later |= places_of_handshake(trial)
        callers = trial.faults.callers()
        assert len(first & later) > 100
        assert not [place for place in first - later if re.search(r"EVP_\w+_fetch", "".join(callers[place]))]
        trial.server.stop()
    finally:
        trial.close()


def places_of_handshake(trial):
    """Where OpenSSL has asked for memory."""
    trial.faults.order()
    assert trial.server.answers()
    return {place.hash for place in trial.faults.places() if place.kind == "tls memory"}


def test_descriptors_that_are_not_given_back_are_seen(tmp_path, library):
    trial = Trial(str(tmp_path / "trial"), library, seed=20)
    try:
        trial.started("start")
        usual = trial.descriptors()
        usual["lock"] -= 1
        with pytest.raises(Violation, match="not given back: {'lock': 1}"):
            trial.gives_back(usual, seconds=0)
    finally:
        trial.close()


def test_a_connection_that_no_descriptor_is_left_for_costs_no_processor(tmp_path, library):
    """Of the admin HTTP, whose library would try again as fast as it can."""
    faults = Faults(library, tmp_path)
    with Server(tmp_path, admin=True, env=faults.environment()) as server:
        port = server.admin_port
        faults.order(Fault("descriptor", "EMFILE", 1, FOREVER))
        with socket.create_connection(("127.0.0.1", port)):
            eventually(lambda: faults.met() > 3)
            time.sleep(0.2)
            assert faults.met() < 200
        faults.heal()
        assert server.ask("/readyz").status == 200
    faults.close()
