# SPDX-License-Identifier: MIT
"""The monitoring kit of docs/monitoring, as an operator uses it: a real Prometheus with its configuration and its rules scrapes
a real Forebay under load, every panel of the dashboard has data, every alarm fires when it should, and has its runbook."""

import collections
import json
import math
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import forebay
import pytest
from cluster import Cluster
from forebay import Background, Config, Process, Redis, Server, eventually, namespace, section, sqlite_backend

yaml = pytest.importorskip("yaml", reason="Debian: python3-yaml")

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KIT = os.path.join(ROOT, "docs", "monitoring")
SUFFIXES = ("_bucket", "_sum", "_count")


def read(name):
    with open(os.path.join(KIT, name), encoding="utf-8") as file:
        return file.read()


def rules():
    return [rule for group in yaml.safe_load(read("forebay.rules.yml"))["groups"] for rule in group["rules"]]


def alarms():
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def dashboard():
    return json.loads(read("forebay-dashboard.json"))


def panels():
    """All that ask something: [(title, query)]."""
    return [(panel["title"], target["expr"]) for panel in dashboard()["panels"] for target in panel.get("targets", [])]


# ---- The files by themselves ----

def promtool(*arguments):
    if not shutil.which("promtool"):
        pytest.skip("promtool is not here (Debian: prometheus)")
    done = subprocess.run(["promtool", *arguments], cwd=KIT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_nothing_wrong():
    promtool("check", "config", "prometheus.yml")
    promtool("check", "rules", "--lint=all", "--lint-fatal", "forebay.rules.yml")


def test_every_alarm_fires_and_does_not_fire():
    promtool("test", "rules", "forebay.test.yml")
    told = collections.defaultdict(set)
    for case in yaml.safe_load(read("forebay.test.yml"))["tests"]:
        for asked in case["promql_expr_test"]:
            fire = set(re.findall(r'alertname="(\w+)"', str(asked.get("exp_samples", ""))))
            told[case["name"]].add(case["name"] in fire)
    assert told == {name: {False, True} for name in alarms()}


def test_every_alarm_has_its_runbook():
    entries = re.findall(r"^### (\w+)$", read("README.md"), re.MULTILINE)
    assert entries == list(alarms())
    assert set(re.findall(r"\bForebay[A-Z]\w+", read("README.md"))) == set(entries)
    for name, alarm in alarms().items():
        assert alarm["annotations"]["runbook"] == f"docs/monitoring/README.md#{name.lower()}"
        assert alarm["labels"]["severity"] in ("critical", "warning", "info")


def test_only_metrics_that_exist_are_named():
    with open(os.path.join(ROOT, "docs", "metrics.md"), encoding="utf-8") as file:
        documented = dict(re.findall(r"^\| `(forebay_\w+)` \| (\w+) \|", file.read(), re.MULTILINE))
    known = set(documented) | {name + suffix for name, kind in documented.items() if kind == "histogram" for suffix in SUFFIXES}
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    variables = [variable.get("definition", "") for variable in dashboard()["templating"]["list"]]
    queries = [rule["expr"] for rule in rules()] + [query for _, query in panels()] + variables
    for query in queries:
        for name in re.findall(r"[\w:]*\bforebay_\w+|[\w:]+:forebay_[\w:]+", re.sub(r'"[^"]*"', "", query)):
            name = re.search(rf"[\w:]*{name}[\w:]*", query).group(0)
            assert name in known or name in recorded, f"{name} of {query}"


def test_panels_lie_beside_each_other():
    taken = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken and place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells
    numbers = [panel["id"] for panel in dashboard()["panels"]]
    assert len(numbers) == len(set(numbers))


def test_the_snippet_in_the_documents_is_of_the_configuration():
    for document in ("operating.md", "metrics.md"):
        with open(os.path.join(ROOT, "docs", document), encoding="utf-8") as file:
            shown = re.search(r"^    scrape_configs:\n(    .+\n)+", file.read(), re.MULTILINE).group(0)
        assert re.sub(r"^    ", "", shown, flags=re.MULTILINE) in read("prometheus.yml")


# ---- A Prometheus that watches a Forebay ----

class Prometheus(Process):
    """With the kit's own configuration, faster, and for this server."""

    what = "prometheus"

    def __init__(self, folder, server):
        super().__init__(folder)
        text = read("prometheus.yml").replace("127.0.0.1:11280", f"127.0.0.1:{server.admin_port}").replace("15s", "1s")
        self.configuration = os.path.join(self.folder, "prometheus.yml")
        with open(self.configuration, "w", encoding="utf-8") as file:
            file.write(text.replace("forebay.rules.yml", os.path.join(KIT, "forebay.rules.yml")))

    def command(self):
        return ["prometheus", "--config.file", self.configuration, "--storage.tsdb.path", os.path.join(self.folder, "tsdb"),
                "--web.listen-address", f"127.0.0.1:{self.port}", "--log.level", "warn"]

    def ask(self, path, **arguments):
        """What the API answers."""
        address = f"http://127.0.0.1:{self.port}{path}?{urllib.parse.urlencode(arguments)}"
        try:
            with urllib.request.urlopen(address, timeout=forebay.PATIENCE) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{arguments}: {error.read().decode()}") from None

    def answers(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=forebay.PATIENCE):
                return True
        except OSError:  # also 503
            return False

    def query(self, query):
        """{labels: value} as text; what is no number is no data, as a panel shows it."""
        found = self.ask("/api/v1/query", query=query)["result"]
        return {str(one["metric"]): one["value"][1] for one in found if not math.isnan(float(one["value"][1]))}


def work(end, server):
    """Requests of every kind, until the end: hits, misses, loads, changes, and errors of a backend that is away."""
    with server.client() as client:
        number = 0
        while not end.is_set():
            number += 1
            for prefix in ("behind:", "through:", "aside:", "spread:"):
                client.set_many((f"{prefix}{number}.{i}", b"x" * 100) for i in range(5))
                client.get_many([f"{prefix}{number}.0", f"{prefix}none{number}"])
            client.set("behind:1.0", b"again")  # often waits already, and is coalesced
            client.command("get away:1")
            client.get_many(["never.there"])
            end.wait(0.02)


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """(server, prometheus), with one of everything that has panels, and one backend that nobody serves."""
    if not shutil.which("prometheus"):
        pytest.skip("prometheus is not here (Debian: prometheus)")
    if Redis.missing():
        pytest.skip(Redis.missing())
    folder = tmp_path_factory.mktemp("watched")
    gone = section("backend", "gone", uri=f"redis://127.0.0.1:{forebay.free_port()}/0", timeout="200ms", coherent=True)
    with Cluster(folder / "redis", count=1) as cluster:
        config = Config(namespace("behind", "behind:", "write-behind", flush_delay="50ms", journal="always"),
                        namespace("through", "through:", "write-through", absent_filter=True),
                        namespace("spread", "spread:", "write-behind", backend="cluster", flush_delay="50ms"),
                        namespace("moved", "moved:", "write-through", copy_to="gone"),
                        namespace("aside", "aside:", "cache-aside"),
                        namespace("away", "away:", "read-through", backend="gone"),
                        backends=[sqlite_backend(), gone, section("backend", "cluster", uri=cluster.uri)])
        with Server(folder, config=config, admin=True).start() as server, Background(work, server), \
                Prometheus(folder, server).start() as prometheus:
            yield server, prometheus


def substituted(query):
    """As Grafana does with everything chosen."""
    query = query.replace("$__rate_interval", "10s")
    query = re.sub(r"\$(instance|namespace|backend)\b", ".*", query)
    assert "$" not in query, query
    return query


def test_every_panel_has_data(watched):
    _, prometheus = watched
    waiting = panels()
    assert len(waiting) > 50

    def all_have():
        waiting[:] = [(title, query) for title, query in waiting if not prometheus.query(substituted(query))]
        return not waiting

    try:
        eventually(all_have, pause=0.5)
    except AssertionError:
        raise AssertionError(f"no data: {waiting}") from None


@pytest.mark.parametrize("panel, ratios", [
    ("Hit ratio by namespace", {"default": "0"}), ("Share of reads that waited for a backend", {"default": "0", "away": "1"}),
])
def test_a_ratio_without_a_part_of_it_is_there(watched, panel, ratios):
    """What was never counted has no series."""
    _, prometheus = watched
    query, = (query for title, query in panels() if title == panel)

    def told():
        found = prometheus.query(substituted(query))
        return all(found.get(str({"namespace": name})) == ratio for name, ratio in ratios.items())

    eventually(told, pause=0.5)


def test_the_variables_have_values(watched):
    server, prometheus = watched
    found = {}
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"]).groups()
            matching = {"match[]": substituted(metric)}
            found[variable["name"]] = eventually(lambda: prometheus.ask(f"/api/v1/label/{label}/values", **matching))
    assert found == {"instance": [f"127.0.0.1:{server.admin_port}"], "backend": ["cluster", "gone", "local"],
                     "namespace": ["aside", "away", "behind", "default", "moved", "spread", "through"]}


def test_rules_work_where_they_are_read(watched):
    _, prometheus = watched
    waiting = [rule["record"] for rule in rules() if "record" in rule]

    def all_recorded():
        waiting[:] = [name for name in waiting if not prometheus.query(name)]
        return not waiting

    eventually(all_recorded, pause=0.5)

    def known():
        return [rule for group in prometheus.ask("/api/v1/rules")["groups"] for rule in group["rules"]]

    def raised():
        return {rule["name"] for rule in known() if rule["type"] == "alerting" and rule["alerts"]}

    # Because of the backend that is away; they fire later, when it has lasted.
    eventually(lambda: raised() >= {"ForebayBreakerOpen", "ForebayBackendFails", "ForebayNotReady", "ForebayMemoryNotBelieved"},
               pause=0.5)
    assert not raised() & {"ForebayClusterNodeAway", "ForebayNodeNumberTwice", "ForebayClocksApart", "ForebayCopyHalted",
                           "ForebayNamespaceFull", "ForebayQuarantineNotEmpty", "ForebayJournalFails", "ForebayWriteThroughFails"}
    assert [rule["name"] for rule in known() if rule["health"] != "ok"] == []
    assert len(known()) == len(rules())
