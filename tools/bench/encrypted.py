# SPDX-License-Identifier: MIT
"""What TLS costs, beside plain connections and beside memcached with TLS: `tls` of tools/bench/compare.

Each server has a plain address and an encrypted one, and the same load goes to both in turns. The load generator encrypts,
too, on a core of its own: where that is what bounds the throughput, the CPU per operation still tells the servers apart.
memcached has to be built with --enable-tls."""

import tempfile

import figures
from certificates import Certificates
from forebay import free_port
from measure import PinnedForebay, PinnedMemcached, SERVER_CORE, cpu_per_operation, memtier, prefill, rate, servers

KEYS = 200000
VERSION = "TLSv1.3"
OURS, THEIRS = 0, 1
SIDES = [(OURS, True), (THEIRS, True), (OURS, False), (THEIRS, False)]  # which server, and whether encrypted


def encrypted(kind):
    """A kind of server whose `port` is plain and whose `tls_port` is not, by memcached's options."""

    class Encrypted(kind):
        tls_port = None

        def command(self):
            self.tls_port = self.tls_port or free_port()
            command = super().command()
            command[command.index("-l") + 1] = f"notls:127.0.0.1:{self.port},127.0.0.1:{self.tls_port}"
            return command

    return Encrypted


def load_of(given, depth, is_encrypted):
    """100 bytes, set:get 1:10, 32 connections; what it returns is added to rates."""
    rates = []

    def load(server):
        options = ["-p", server.tls_port, "--tls", "--tls-skip-verify", f"--tls-protocols={VERSION}"] if is_encrypted else []
        rates.append(rate(memtier(server, "-t", 1, "-c", 32, "-d", 100, f"--key-maximum={KEYS}", "--ratio=1:10", "--key-pattern=R:R",
                                  "--test-time", given.seconds, "--pipeline", depth, *options), given.seconds))
    return load, rates


def in_turns(given, both, depth):
    """{side: (CPU per operation of each turn, operations a second of each turn)}"""
    loads = {side: load_of(given, depth, side[1]) for side in SIDES}
    taken = {side: [] for side in SIDES}
    for number in range(given.rounds):
        for which in figures.order(len(SIDES), number):
            side = SIDES[which]
            taken[side].append(cpu_per_operation(both[side[0]], loads[side][0]))
    return {side: (taken[side], loads[side][1]) for side in SIDES}


def tell(report, found, depth):
    ours, theirs, plain, theirs_plain = (found[side] for side in SIDES)
    report.ratio(f"CPU with TLS / memcached with TLS, pipeline {depth}", figures.turns(ours[0], theirs[0]), 1.0, "us")
    report.ratio(f"CPU with TLS / plain, pipeline {depth}", figures.turns(ours[0], plain[0]), None, "us")
    report.ratio(f"memcached: CPU with TLS / plain, pipeline {depth}", figures.turns(theirs[0], theirs_plain[0]), None, "us")
    report.ratio(f"throughput with TLS / memcached, pipeline {depth}", figures.turns(ours[1], theirs[1]), None, "a second", at_most=False)
    report.ratio(f"throughput with TLS / plain, pipeline {depth}", figures.turns(ours[1], plain[1]), None, "a second", at_most=False)


def tls(given, report):
    """CPU per operation and throughput over TLS 1.3, against plain connections and memcached: no pipeline and 16"""
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as folder:
        certificates = Certificates(folder)
        certificates.make("server")
        files = f"ssl_chain_cert={certificates.path('server.pem')},ssl_key={certificates.path('server.key')}"
        options = {"options": ["-m", "1024", "-t", "1", "-Z", "-o", files]}
        with servers((encrypted(PinnedForebay), options, SERVER_CORE), (encrypted(PinnedMemcached), options, SERVER_CORE)) as both:
            for server in both:
                prefill(server, KEYS, 100)
            for depth in (1, 16):
                tell(report, in_turns(given, both, depth), depth)
