# SPDX-License-Identifier: MIT
"""/metrics, as Prometheus and an operator see it: clean under promtool and a parser of OpenMetrics, documented to the last
metric, true of what was done, and small with many namespaces."""

import os
import re
import shutil
import subprocess

import forebay
import pytest
from forebay import Config, Server, eventually, namespace, section, sqlite_backend
from packets import packet

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
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
    backends = [sqlite_backend(), section("backend", "gone", uri=f"redis://127.0.0.1:{forebay.free_port()}/0", timeout="200ms")]
    config = Config(namespace("behind", "b:", "write-behind", flush_delay="10ms", journal="always"),
                    namespace("through", "t:", "write-through", absent_filter=True),
                    namespace("lost", "l:", "read-through", backend="gone"),
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
    assert of("forebay_backend_changes_total", backend="local") >= 3
    assert of("forebay_backend_calls_total", backend="local", call="apply", result="ok") >= 2
    assert of("forebay_backend_wal_bytes", backend="local") > 0
    assert of("forebay_journal_records_total") == 3
    assert of("forebay_journal_fsync_seconds_count") > 0
    assert of("forebay_open_descriptors") > 10
    assert of("forebay_resident_memory_bytes") > 1 << 20
    assert of("forebay_turn_seconds_count") > 10


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


def test_health_is_what_its_own_paths_say(server):
    eventually(lambda: server.ask("/readyz").status == 503)  # a backend is away, and its namespace answers with errors
    assert value(server, "forebay_ready") == 0 and value(server, "forebay_live") == 1


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
    assert told == [name for name, _, _ in rows]


def test_64_namespaces_stay_small(tmp_path):
    names = [f"space{number:02}" for number in range(63)]
    config = Config(*(namespace(name, f"{name}:", "write-behind") for name in names))
    with Server(tmp_path, config=config, admin=True).start() as server, server.client() as client:
        for name in [*names, ""]:
            client.set(f"{name}:k", b"1")
            client.command(f"get {name}:k {name}:none")
            client.read(len(b"1\r\nEND\r\n"))
            client.command(f"incr {name}:k 1")
            client.command(f"delete {name}:none")
            client.command(f"touch {name}:k 100")
        page = server.ask("/metrics").text
    check_with_promtool(page)
    assert samples(page)[("forebay_ready",)] == 1
    assert len(samples(page)) > 64 * 40
    assert len(page) < 256_000
