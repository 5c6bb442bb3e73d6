# SPDX-License-Identifier: MIT
"""/metrics, as Prometheus and an operator see it: clean under promtool and a parser of OpenMetrics, documented to the last
metric, true of what was done, and small with many namespaces."""

import contextlib
import http.client
import itertools
import os
import re
import resource
import shutil
import signal
import subprocess
import time

import forebay
import pytest
from cluster import SLOTS, Cluster
from forebay import Client, Config, Redis, Server, eventually, namespace, section, sqlite_backend
from packets import packet

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
LONGEST = 63  # letters of a name of a namespace
SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)")


def samples(page):
    """{(name, labels...): value} of a page; labels as "name=value"."""
    found = {}
    for line in page.splitlines():
        if not line.startswith("#"):
            name, labels, value = SAMPLE.fullmatch(line).groups()
            found[(name, *sorted(re.findall(r'\w+="[^"]*"', labels or "")))] = float(value)
    return found


def value(server, name, **labels):
    """Of one sample, 0 where it is not there yet."""
    answer = server.ask("/metrics")
    assert answer.status == 200
    return samples(answer.text).get((name, *sorted(f'{label}="{text}"' for label, text in labels.items())), 0)


def check_with_promtool(page):
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("promtool is not here (Debian: prometheus)")
    done = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


@pytest.fixture
def server(tmp_path):
    # A backend that nobody serves, and one of everything that has metrics of its own.
    backends = [sqlite_backend(), section("backend", "gone", uri=f"redis://127.0.0.1:{forebay.free_port()}/0", timeout="200ms",
                                           coherent=True)]
    config = Config(namespace("behind", "b:", "write-behind", flush_delay="10ms", journal="always", quarantine_limit="64kb"),
                    namespace("through", "t:", "write-through", absent_filter=True),
                    namespace("lost", "l:", "read-through", backend="gone"),
                    namespace("moving", "m:", "write-through", copy_to="gone"),
                    namespace("aside", "a:", "cache-aside"), backends=backends)
    with Server(tmp_path, config=config, admin=True).start() as server:
        yield server


def do_some(server):
    with server.client() as client:
        for prefix in ("b:", "t:", "a:"):
            client.set(f"{prefix}k", b"1")
            client.set(f"{prefix}k", b"2")
            client.command(f"incr {prefix}k 1")
            client.command(f"incr {prefix}none 1")
            client.command(f"get {prefix}k")
            client.read(len(b"3\r\nEND\r\n"))
            client.command(f"get {prefix}none")
        client.command("mg a:k T100")
        client.command("mg a:k")
        client.command("get l:none")
        client.command("sync")


def test_tools_find_nothing_to_complain_of(server):
    do_some(server)
    plain, other = server.ask("/metrics"), server.ask("/metrics", headers={"Accept": OPENMETRICS})
    assert plain.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert other.headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    check_with_promtool(plain.text)
    parser = pytest.importorskip("prometheus_client.openmetrics.parser", reason="Debian: python3-prometheus-client")
    families = {family.name: family for family in parser.text_string_to_metric_families(other.text)}
    assert families["forebay_cpu_seconds"].unit == "seconds"
    assert families["forebay_namespace"].type == "info"
    assert {sample[0] for sample in samples(plain.text)} == \
        {sample.name for family in families.values() for sample in family.samples}


def test_what_was_done_is_told(server):
    do_some(server)
    told = samples(server.ask("/metrics").text)

    def of(name, **labels):
        return told.get((name, *sorted(f'{label}="{text}"' for label, text in labels.items())), 0)

    for name in ("behind", "through", "aside"):
        assert of("forebay_operations_total", namespace=name, command="set", result="stored") == 2
        assert of("forebay_operations_total", namespace=name, command="incr", result="counted") == 1
        assert of("forebay_operations_total", namespace=name, command="incr", result="not_found") == 1
        assert of("forebay_operations_total", namespace=name, command="get", result="hit") == 1
        assert of("forebay_operations_total", namespace=name, command="get", result="miss") == 1
        assert of("forebay_entries", namespace=name) == 1
        assert of("forebay_write_seconds_count", namespace=name) == (4 if name != "aside" else 5)
        reads = of("forebay_hit_seconds_count", namespace=name) + of("forebay_load_seconds_count", namespace=name)
        assert reads == (2 if name != "aside" else 3)
    assert of("forebay_operations_total", namespace="aside", command="mg", result="hit") == 2
    assert of("forebay_errors_total", namespace="lost", reason="backend_down") == 1
    assert of("forebay_changes_total", namespace="behind") == 3
    assert of("forebay_flush_rows_total", namespace="behind") >= 1
    assert of("forebay_flush_seconds_total", namespace="behind") > 0
    assert of("forebay_dirty_entries", namespace="behind") == 0
    assert of("forebay_quarantine_limit_bytes", namespace="behind") == 64 << 10
    for name in ("quarantined_total", "full_waits_total", "full_rejects_total", "full_write_throughs_total"):
        assert told[("forebay_" + name, 'namespace="behind"')] == 0
    assert of("forebay_backend_changes_total", backend="local") >= 3
    assert of("forebay_backend_calls_total", backend="local", call="apply", result="ok") >= 2
    assert of("forebay_backend_wal_bytes", backend="local") > 0
    assert of("forebay_journal_records_total") == 3
    assert of("forebay_journal_fsync_seconds_count") > 0
    assert of("forebay_open_descriptors") > 10
    assert of("forebay_resident_memory_bytes") > 1 << 20
    assert of("forebay_turn_seconds_count") > 10


def reasons(server, name):
    """{reason: errors} of a namespace."""
    told = samples(server.ask("/metrics").text)
    return {key[2].split('"')[1]: count for key, count in told.items()
            if key[0] == "forebay_errors_total" and key[1] == f'namespace="{name}"'}


def test_errors_that_are_no_fault_of_clients_begin_at_0(server):
    """So that an alarm sees the first one."""
    everywhere = {"no_memory": 0}
    backed = everywhere | {"too_busy": 0, "backend_down": 0, "row_unfit": 0}
    assert reasons(server, "aside") == everywhere
    assert reasons(server, "through") == backed | {"backend_refuses": 0}
    assert reasons(server, "behind") == backed | {"full": 0, "journal_full": 0, "unconfirmed": 0}
    with server.client() as client:
        client.set("a:k", b"no number")
        client.command("incr a:k 1")
    assert reasons(server, "aside") == everywhere | {"not_a_number": 1}


def test_packets_are_told_as_the_commands_that_they_are(server):
    with server.binary_client() as client:
        for prefix in ("b:", "t:", "a:"):
            client.send(packet("setq", f"{prefix}k", b"1"), packet("incrq", f"{prefix}k"), packet("decrq", f"{prefix}k"),
                        packet("getkq", f"{prefix}k"), packet("getq", f"{prefix}none"), packet("getk", "l:none"))
            assert client.answer().value == b"1"
            assert client.answer().status == "TEMPORARY_FAILURE"
    told = samples(server.ask("/metrics").text)
    for name in ("behind", "through", "aside"):
        operations = {sample[1:]: number for sample, number in told.items() if sample[0] == "forebay_operations_total"}
        for command, result, count in (("set", "stored", 1), ("ma", "counted", 2), ("get", "hit", 1), ("get", "miss", 1)):
            labels = tuple(sorted((f'namespace="{name}"', f'command="{command}"', f'result="{result}"')))
            assert operations[labels] == count, labels
    assert told[("forebay_errors_total", 'namespace="lost"', 'reason="backend_down"')] == 3


def test_a_backend_that_is_away_shows(server):
    eventually(lambda: value(server, "forebay_backend_calls_total", backend="gone", call="version", result="transient") > 2)
    eventually(lambda: value(server, "forebay_backend_breaker_state", backend="gone", side="write") > 0)
    assert value(server, "forebay_backend_breaker_opened_total", backend="gone", side="write") > 0
    assert value(server, "forebay_backend_breaker_state", backend="local", side="write") == 0


@pytest.mark.skipif(Redis.missing() is not None, reason=str(Redis.missing()))
def test_connections_that_took_the_place_of_lost_ones_are_counted(tmp_path):
    """Also those that a store makes by itself, without a call that failed."""
    with Redis(tmp_path / "redis") as redis:
        config = Config(namespace("through", "t:", "write-through", backend="red"), backends=[section("backend", "red", uri=redis.uri)])
        with Server(tmp_path, config=config, admin=True).start() as server, server.client() as client:

            def reconnects(side):
                return value(server, "forebay_backend_reconnects_total", backend="red", side=side)

            client.set("t:k", b"1")
            client.get("t:none")
            assert (reconnects("write"), reconnects("read")) == (0, 0)
            with Client(redis.port) as operator:
                operator.command("CLIENT KILL TYPE normal")
            assert client.set("t:k", b"2") == b"STORED"
            eventually(lambda: reconnects("write") > 0)
            numbers = itertools.count()  # the next reader may be one that was not connected yet
            eventually(lambda: client.get(f"t:{next(numbers)}") is None and reconnects("read") > 0)
            assert value(server, "forebay_backend_failures_total", backend="red", result="transient") == 0


def test_health_is_what_its_own_paths_say(server):
    eventually(lambda: server.ask("/readyz").status == 503)  # a backend is away, and its namespace answers with errors
    assert value(server, "forebay_ready") == 0 and value(server, "forebay_live") == 1


def test_the_limit_of_descriptors_is_told_where_it_is_reached(server):
    """The alarm would be silent otherwise, with none left to count the others with."""
    connection = http.client.HTTPConnection("127.0.0.1", server.admin_port, timeout=forebay.PATIENCE)

    def told(name):
        connection.request("GET", "/metrics")  # Prometheus keeps its connection, too
        return samples(connection.getresponse().read().decode()).get((name,))

    with contextlib.closing(connection):
        before = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        assert told("forebay_max_descriptors") == before[0]
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (10, before[1]))
        assert told("forebay_open_descriptors") == told("forebay_max_descriptors") == 10
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, before)
        assert told("forebay_open_descriptors") > 10


def test_a_reset_of_statistics_takes_no_request_back(server):
    do_some(server)
    with server.client() as client:
        client.command("stats reset")
    assert value(server, "forebay_operations_total", namespace="aside", command="set", result="stored") == 2
    assert value(server, "forebay_write_seconds_count", namespace="aside") == 5


def test_every_metric_is_documented_as_its_row_has_it(server):
    with open(f"{ROOT}/server/admin/metrics_table.c", encoding="utf-8") as file:
        rows = re.findall(r'\{"(forebay_\w+)", METRIC_(\w+), "\w*", "([^"]+)"', file.read())
    with open(f"{ROOT}/docs/metrics.md", encoding="utf-8") as file:
        documented = re.findall(r"^\| `(forebay_\w+)` \| (\w+) \| [^|]* \| (.+) \|$", file.read(), re.MULTILINE)
    assert [(name, kind.lower(), text) for name, kind, text in rows] == documented
    do_some(server)
    told = re.findall(r"^# HELP (\w+) ", server.ask("/metrics").text, re.MULTILINE)
    several = re.compile("_backend_(node|map)_")  # no store here has several nodes
    assert told == [name for name, _, _ in rows if not several.search(name)]


# What `stats` says that has no metric, and why.
DERIVED = "a quantile or a sum: of the metric's buckets, or of its namespaces"
TEXT = "text: each that is new would be a series, and the configuration has it"
INSIDE = "how memory is laid out inside: forebay_memory_used_bytes is what it comes to"
# Each field of `stats backends` and `stats forebay`, without the name of its owner: its metric, or why it has none.
TOLD_AS = {
    "backends": {
        "kind": "forebay_backend_info", "uri": TEXT, "address": TEXT,
        "read_breaker": "forebay_backend_breaker_state", "read_breaker_opened": "forebay_backend_breaker_opened_total",
        "write_breaker": "forebay_backend_breaker_state", "write_breaker_opened": "forebay_backend_breaker_opened_total",
        "read_batches": "forebay_backend_calls_total", "reads_shared": "forebay_backend_loads_shared_total",
        "reads_waiting": "forebay_backend_loads_waiting", "read_failures": "forebay_backend_failures_total",
        "write_failures": "forebay_backend_failures_total", "write_connects": "forebay_backend_reconnects_total",
        "write_through_commits": "forebay_backend_commits_total", "write_through_changes": "forebay_backend_changes_total",
        "write_through_again": "forebay_backend_changes_again_total",
        "write_through_refused": "forebay_backend_changes_refused_total",
        "apply_us": "forebay_backend_call_seconds", "apply_max_us": DERIVED,
        "background_touches": "forebay_backend_background_touches_total", "barriers": "forebay_backend_barriers_total",
        "upkeep_steps": "forebay_backend_calls_total", "confirmed_rows": "forebay_backend_confirmed_rows_total",
        "superseded_unexplained": "forebay_backend_superseded_unexplained_total",
        "failovers": "forebay_backend_failovers_total", "store_regressions": "forebay_backend_store_regressions_total",
        "replica_waits": "forebay_backend_replica_waits_total", "replica_short": "forebay_backend_replica_short_total",
        "other_nodes": "forebay_backend_other_nodes", "rival": "forebay_backend_rival",
        "clock_ahead_us": "forebay_backend_clock_ahead_seconds", "clock_off_us": "forebay_backend_clock_off_seconds",
        "coherent": "forebay_coherent_believes", "coherent_heard": "forebay_coherent_heard_total",
        "coherent_compared": "forebay_coherent_compared_total", "coherent_dropped": "forebay_coherent_dropped_total",
        "coherent_losses": "forebay_coherent_losses_total", "coherent_reconnects": "forebay_coherent_reconnects_total",
        "coherent_blinds": "forebay_coherent_blinds_total", "coherent_blind_ms": "forebay_coherent_blind_seconds_total",
        "CALL_count": "forebay_backend_calls_total", "CALL_failed": "forebay_backend_calls_total",
        "CALL_buckets": "forebay_backend_call_seconds", "CALL_p50_us": DERIVED, "CALL_p99_us": DERIVED, "CALL_p999_us": DERIVED,
        "map_age_ms": "forebay_backend_map_age_seconds", "node:role": "forebay_backend_node_slots",
        "node:breaker": "forebay_backend_node_up", "node:slots": "forebay_backend_node_slots",
        "node:commands": "forebay_backend_node_commands_total", "node:errors": "forebay_backend_node_errors_total",
        "node:redirections": "forebay_backend_node_redirections_total",
        "node:replica_waits": "forebay_backend_node_replica_waits_total",
        "node:replica_short": "forebay_backend_node_replica_short_total",
        "node:exchanges": "forebay_backend_node_exchanges_total",
        "node:exchange_us": "forebay_backend_node_exchange_seconds_total", "node:exchange_max_us": DERIVED,
    },
    "forebay": {
        "forebay_version": "forebay_build_info", "memory_used": "forebay_memory_used_bytes",
        "dirty_entries": "forebay_dirty_entries", "dirty_bytes": "forebay_dirty_bytes", "tombstones": "forebay_dirty_entries",
        "negatives": "forebay_remembered_absences", "large_entries": INSIDE, "large_bytes": INSIDE, "segments": INSIDE,
        "segment_bytes": INSIDE, "dead_bytes": "forebay_dead_bytes", "cleaned_bytes": "forebay_cleaned_bytes_total",
        "loads": "forebay_loads_total", "load_errors": "forebay_load_errors_total", "parked": "forebay_requests_parked_total",
        "closed_reads": "forebay_closed_reads_total", "turns": "forebay_turn_seconds", "full_turns": "forebay_full_turns_total",
        "requests": "forebay_operations_total",
        "turn_p99_us": DERIVED, "turn_p9999_us": DERIVED, "turn_max_us": DERIVED,
        "unsent_bytes": "forebay_unsent_bytes", "slow_readers": "forebay_slow_readers",
        "auth_timeouts": "forebay_authentication_timeouts_total", "requests_forbidden": "forebay_requests_forbidden_total",
        "aside_bytes": "forebay_aside_bytes", "aside_strains": "forebay_aside_strains_total",
        "io": TEXT, "reloads": "forebay_reloads_total", "reload_failures": "forebay_reload_failures_total",
        "last_reload_time": "forebay_last_reload_time_seconds", "handover": "forebay_handover",
        "workers_in_rotation": "forebay_workers_in_rotation",
        "hit_count": "forebay_hit_seconds", "hit_buckets": "forebay_hit_seconds",
        "load_count": "forebay_load_seconds", "load_buckets": "forebay_load_seconds",
        "write_count": "forebay_write_seconds", "write_buckets": "forebay_write_seconds",
        **{f"{kind}_{rank}_us": DERIVED for kind in ("hit", "load", "write") for rank in ("p50", "p99", "p999")},
    },
}
CALLS = "open|version|load|apply|scan|maintain|look|compare"


def fields(told, report):
    """The names of what is told, without owners, calls and places."""
    names = (re.sub(r"^[\w-]+:", "", name) for name in told)
    if report == "backends":
        names = (re.sub(rf"^({CALLS})_(count|failed|buckets|p\d+_us)$", r"CALL_\2", name) for name in names)
    return {re.sub(r"^node:.*:", "node:", name) for name in names}


def compare_with_metrics(server):
    """What operators are told by one, they are told by the other. Returns the fields of all reports."""
    found = {}
    with server.client() as client:
        found = {report: fields(client.stats(report), report) for report in TOLD_AS}
    told = set(re.findall(r"^# TYPE (\w+) ", server.ask("/metrics").text, re.MULTILINE))
    for report, names in found.items():
        assert names <= set(TOLD_AS[report]), f"stats {report}: give these a metric, or say why not: {names - set(TOLD_AS[report])}"
        lacking = {name: TOLD_AS[report][name] for name in names if TOLD_AS[report][name].startswith("forebay_")}
        assert set(lacking.values()) <= told, {name: metric for name, metric in lacking.items() if metric not in told}
    return found


def test_what_stats_tell_has_a_metric(server):
    do_some(server)
    found = compare_with_metrics(server)
    assert set(TOLD_AS["forebay"]) == found["forebay"]
    away = {"uri", "address", "map_age_ms"}  # of stores that are looked for, or have several nodes
    assert {name for name in TOLD_AS["backends"] if name not in away and not name.startswith("node:")} == found["backends"]


@pytest.mark.skipif(Redis.missing() is not None, reason=str(Redis.missing()))
def test_what_stats_tell_of_a_cluster_has_a_metric(tmp_path):
    with Cluster(tmp_path / "redis", count=1) as cluster:
        config = Config(namespace("behind", "b:", "write-behind", backend="red"), backends=[section("backend", "red", uri=cluster.uri)])
        with Server(tmp_path, config=config, admin=True).start() as server, server.client() as client:
            client.set("b:k", b"1")
            client.sync()
            found = compare_with_metrics(server)["backends"]
            assert {name for name in TOLD_AS["backends"] if re.match("node:|map_", name)} <= found
            labels = {"backend": "red", "node": f"127.0.0.1:{cluster.masters[0].port}"}
            assert value(server, "forebay_backend_node_up", **labels) == 1
            assert value(server, "forebay_backend_node_slots", **labels) == SLOTS


def test_reloads_are_counted(tmp_path):
    config = Config(namespace("aside", "a:", "cache-aside"))
    with Server(tmp_path, config=config, admin=True).start() as server:

        def told():
            return tuple(value(server, f"forebay_{name}") for name in ("reloads_total", "reload_failures_total"))

        assert told() == (0, 0) and value(server, "forebay_last_reload_time_seconds") == 0
        server.signal(signal.SIGHUP)
        eventually(lambda: told() == (1, 0))
        assert abs(value(server, "forebay_last_reload_time_seconds") - time.time()) < forebay.PATIENCE
        server.config = Config(namespace("aside", "a:", "nonsense"))
        server.write_config()
        server.signal(signal.SIGHUP)
        eventually(lambda: told() == (1, 1))


@pytest.fixture
def crowd(tmp_path):
    """64 namespaces, of which every name is as long as it may be."""
    config = Config(*(namespace(f"space{number:02}".ljust(LONGEST, "x"), f"space{number:02}:", "write-behind") for number in range(63)))
    with Server(tmp_path, config=config, admin=True).start() as server:
        yield server


def ask_all(server):
    with server.client() as client:
        for prefix in [*(f"space{number:02}:" for number in range(63)), ""]:
            client.set(f"{prefix}k", b"1")
            client.command(f"get {prefix}k {prefix}none")
            client.read(len(b"1\r\nEND\r\n"))
            client.command(f"incr {prefix}k 1")
            client.command(f"delete {prefix}none")
            client.command(f"touch {prefix}k 100")


def test_64_namespaces_stay_small(crowd):
    ask_all(crowd)
    answer = crowd.ask("/metrics", headers={"Accept-Encoding": "gzip"})
    check_with_promtool(answer.text)
    assert samples(answer.text)[("forebay_ready",)] == 1
    assert len(samples(answer.text)) > 64 * 40
    assert int(answer.headers["Content-Length"]) < 40_000


def test_what_is_packed_says_so(server):
    packed = server.ask("/metrics", headers={"Accept-Encoding": "deflate, gzip;q=0.5"})
    assert packed.headers["Content-Encoding"] == "gzip" and packed.headers.get_all("Vary") == ["Accept", "Accept-Encoding"]
    assert "\nforebay_live 1\n" in packed.text
    for unwanted in ("identity", "gzip;q=0", "gzipped"):
        plain = server.ask("/metrics", headers={"Accept-Encoding": unwanted})
        assert plain.headers["Content-Encoding"] is None and plain.headers.get_all("Vary") == ["Accept", "Accept-Encoding"]
    empty = server.ask("/metrics", "HEAD", headers={"Accept-Encoding": "gzip"})
    assert (empty.status, empty.text) == (200, "") and empty.headers["Content-Encoding"] == "gzip"
