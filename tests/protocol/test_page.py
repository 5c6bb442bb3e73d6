# SPDX-License-Identifier: MIT
"""The page of the admin HTTP as an operator meets it: in a browser, one session for all, against a server under load. And what
does without a browser: its files, their headers and sizes, the history that it draws."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile

import pytest
from cluster import Cluster
from forebay import AWAY, Background, Config, Redis, Server, eventually, free_port, namespace, section, sqlite_backend

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VENDOR = os.path.join(ROOT, "server", "http", "page", "vendor")
LIMIT = 150 * 1000  # bytes of all files together
THIN = "\u202f"  # between a number and its unit
LONG = "n" * 63  # as a name may be
HOSTILE = "<img src=x onerror=\"document.title='taken'\">"


def work(end, server):
    """Somebody who reads and writes until he is told to stop."""
    with server.client() as client:
        number = 0
        while not end.wait(0.002):
            number = (number + 1) % 50
            client.set(f"s:{number}", b"v" * 100)
            client.get(f"s:{number}")
            client.get(f"t:{number}")


def history(server, query=""):
    answer = server.ask("/history.json" + query)
    assert answer.status == 200, answer.text
    return json.loads(answer.text)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    config = Config(namespace("sessions", "s:", "write-behind", flush_delay="1h"), namespace("through", "t:", "write-through"))
    config.sections.append(namespace("aside", "a:", "cache-aside"))
    with Server(tmp_path_factory.mktemp("page"), config=Config(*config.sections, admin="127.0.0.1:0")) as server:
        yield server


@pytest.fixture(scope="module")
def load(server):
    with Background(work, server) as load:
        eventually(lambda: history(server)["count"] >= 4)
        yield load


# ---- Files and headers ----

def files_of(server):
    """{path: Answer} of the page and of all that it loads."""
    found, wanted = {}, ["/"]
    while wanted:
        path = wanted.pop()
        found[path] = answer = server.ask(path)
        assert answer.status == 200, path
        names = re.findall(r'(?:href|src)="(page/[^"]+)"', answer.text) if path == "/" else []
        names += ["page/" + name for name in re.findall(r'from "\./([\w.]+)"', answer.text)]
        wanted += [f"/{name}" for name in names if f"/{name}" not in found]
    return found


def test_its_files_are_few_and_come_from_the_server(server):
    found = files_of(server)
    assert len(found) >= 8 and sum(len(answer.text.encode()) for answer in found.values()) < LIMIT
    for path, answer in found.items():
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';") and "unsafe" not in policy, path
        own = answer.text if "/vendor/" not in path else ""
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", own), path
    assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=", found["/"].text)
    assert server.ask("/page/nonsense.js").status == server.ask("/page/../page.js").status == 404
    assert server.ask("/", "POST").status == 405


def test_a_browser_keeps_them_until_they_change(server):
    plain = server.ask("/page/page.js")
    tag = plain.headers["ETag"]
    assert plain.headers["Cache-Control"] == "no-cache" and plain.headers["Content-Type"] == "text/javascript; charset=utf-8"
    unchanged = server.ask("/page/page.js", headers={"If-None-Match": f'"other", {tag}'})
    assert (unchanged.status, unchanged.text, unchanged.headers["ETag"]) == (304, "", tag)
    assert server.ask("/page/page.js", headers={"If-None-Match": '"other"'}).status == 200
    packed = server.ask("/page/page.js", headers={"Accept-Encoding": "br, gzip"})
    assert packed.headers["Content-Encoding"] == "gzip" and packed.headers["Vary"] == "Accept-Encoding"
    assert packed.text == plain.text and int(packed.headers["Content-Length"]) < len(plain.text) / 2
    for unwanted in ("gzip;q=0", "br, identity"):
        assert server.ask("/page/page.js", headers={"Accept-Encoding": unwanted}).headers["Content-Encoding"] is None


def test_what_is_vendored_is_what_npm_has(tmp_path):
    with open(os.path.join(VENDOR, "README.md"), encoding="utf-8") as file:
        readme = file.read()
    version = re.search(r"\| version \| ([\d.]+) \|", readme).group(1)
    integrity = re.search(r"`sha512-([^`]+)`", readme).group(1)
    if not shutil.which("npm"):
        pytest.skip("npm is not here")
    done = subprocess.run(["npm", "pack", f"uplot@{version}", "--fetch-retries=0", "--fetch-timeout=20000"], cwd=tmp_path,
                          capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        pytest.skip("npm's registry cannot be reached")
    archive = tmp_path / f"uplot-{version}.tgz"
    assert base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode() == integrity
    with tarfile.open(archive) as package:
        for name in ("dist/uPlot.iife.min.js", "dist/uPlot.min.css", "LICENSE"):
            with open(os.path.join(VENDOR, os.path.basename(name)), "rb") as ours:
                assert package.extractfile(f"package/{name}").read() == ours.read(), name


# ---- History ----

def test_history_goes_on_from_where_one_was(server, load):
    whole = history(server)
    after = whole["first"] + whole["count"]
    more = eventually(lambda: (lambda h: h["count"] > 0 and h)(history(server, f"?since={after}")))
    assert more["first"] == after and more["life"] == whole["life"]
    for answer in (whole, more):
        for series in (answer["chosen"], answer["server"], answer["backends"][0]["series"]):
            assert {len(values) for values in series.values()} == {answer["count"]}
    assert [space["name"] for space in whole["namespaces"]] == ["sessions", "through", "aside", "default"]
    assert history(server, "?namespace=aside")["chosen"]["dirty"][-1] is None  # nothing is held back there
    assert max(history(server, "?namespace=sessions")["chosen"]["hits"][1:]) > 0
    packed = server.ask("/history.json", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip" and json.loads(packed.text)["life"] == whole["life"]


@pytest.mark.parametrize("query, status, why", [
    ("?since=x", 400, "since is a second"), ("?since=", 400, "since is a second"), ("?since=-1", 400, "since is a second"),
    ("?since=99999999999999999999", 400, "since is a second"), ("?namespace=nobody", 404, 'no namespace "nobody"')])
def test_a_wrong_question_is_told_what_is_wrong(server, query, status, why):
    answer = server.ask("/history.json" + query)
    assert answer.status == status and why in answer.text


# ---- The browser ----

class Browser:
    """Headless Chromium, and a few words for what the tests do with it."""

    def __init__(self, driver):
        self.driver = driver

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def cdp(self, command, **arguments):
        self.driver.execute_cdp_cmd(command, arguments)

    def size(self, width, height):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)

    def prefer(self, **features):
        self.cdp("Emulation.setEmulatedMedia",
                 features=[{"name": "prefers-" + name.replace("_", "-"), "value": value} for name, value in features.items()])

    def open(self, server, rest=""):
        self.driver.get("about:blank")
        self.driver.get(f"http://127.0.0.1:{server.admin_port}/{rest}")
        eventually(lambda: self.text("state") in ("Ready", "Not ready"))

    def text(self, name):
        return self.run("return document.getElementById(arguments[0]).textContent", name)

    def shown(self):
        return self.run("return document.body.innerText")

    def press(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains
        actions = ActionChains(self.driver)
        for key in keys:
            actions = actions.send_keys(key)
        actions.perform()

    def focus(self):
        """What has the focus, as words, and whether one sees it."""
        return self.run("const e = document.activeElement; const s = getComputedStyle(e);"
                        "return [e.id || e.className || e.value, s.outlineStyle !== 'none' && s.outlineWidth !== '0px']")

    def row(self, name):
        """{heading: text} of a namespace in the table; "" is all of them."""
        return self.run("""
            const table = document.getElementById("namespaces");
            const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
            const row = [...table.tBodies[0].rows].find((one) => one.querySelector("input").value === arguments[0]);
            return row && Object.fromEntries(heads.map((head, i) => [head, row.cells[i].textContent]))""", name)

    def drawn(self, title):
        """How many points of the picture of this title have the colour of its first line."""
        return self.run("""
            const figure = [...document.querySelectorAll("figure")].find((one) => one.querySelector("figcaption").textContent.startsWith(arguments[0]));
            const canvas = figure.querySelector("canvas");
            const wanted = getComputedStyle(figure.querySelector(".swatch")).color.match(/\\d+/g).map(Number);
            const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            let found = 0;
            for (let i = 0; i < data.length; i += 4)
                if (wanted.every((part, k) => Math.abs(data[i + k] - part) < 12) && data[i + 3] > 200) found++;
            return found""", title)

    def leave(self):
        """The page at hand, which may have missed its server by now, and said so."""
        self.driver.get("about:blank")
        self.complaints()

    def complaints(self):
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture(scope="module")
def chromium():
    webdriver = pytest.importorskip("selenium.webdriver", reason="Debian: python3-selenium")
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("Debian: chromium, chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for option in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chromium = webdriver.Chrome(service=webdriver.chrome.service.Service(driver), options=options)
    yield Browser(chromium)
    chromium.quit()


@pytest.fixture
def browser(chromium):
    """As wide as a desk, light, and without a complaint: of the console, or about the policy of what may be loaded."""
    chromium.size(1280, 900)
    chromium.prefer(color_scheme="light")
    yield chromium
    assert chromium.complaints() == []


def test_history_is_there_when_the_page_opens(server, load, browser):
    """The picture has a line at once, of seconds that nobody looked at."""
    browser.open(server)
    assert eventually(lambda: browser.drawn("Requests")) and browser.drawn("Memory by namespace") > 10
    assert browser.row("sessions")["policy"] == "write-behind to local"
    assert re.fullmatch(r"[\d.]+(\u202fk)?/s", browser.row("")["requests"])
    label = browser.run("return document.querySelector('#figures .canvas').getAttribute('aria-label')")
    assert re.match(r"Requests, the last ten minutes\. hits: now .+/s, highest .+/s; misses: ", label)
    eventually(lambda: browser.row("sessions")["requests"] != "0/s")


def test_figures_are_those_of_the_metrics(server, load, browser):
    load.join()
    browser.open(server)
    eventually(lambda: browser.row("sessions")["requests"] == "0/s")
    metrics = dict(re.findall(r'^(\w+)\{namespace="sessions"\} (\S+)$', server.ask("/metrics").text, re.MULTILINE))
    row = browser.row("sessions")
    assert (row["entries"], row["dirty"], row["quarantine"]) == ("50", "50", "0")
    assert metrics["forebay_entries"] == metrics["forebay_dirty_entries"] == "50"
    size = int(metrics["forebay_namespace_memory_bytes"])
    number, unit = row["memory"].split(THIN)
    assert float(number) * {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20}[unit] == pytest.approx(size, rel=0.006)
    assert "50" in browser.text("headline") and "Ready" == browser.text("state")
    assert (browser.row("aside")["dirty"], browser.row("aside")["lag"]) == ("–", "–")


def test_it_is_walked_by_keyboard(server, load, browser):
    from selenium.webdriver.common.keys import Keys
    browser.open(server)
    browser.press(Keys.TAB)
    assert browser.focus() == ["skip", True]
    browser.press(Keys.TAB)
    assert browser.focus() == ["theme", True]
    browser.press(Keys.TAB, Keys.ARROW_DOWN)
    assert browser.focus() == ["sessions", True]
    eventually(lambda: "sessions" in browser.run("return location.hash") and browser.run(
        "return document.querySelector('tr.is-chosen input').value") == "sessions")
    browser.press(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    eventually(lambda: "aside is cache-aside: nothing is held back." in browser.shown())
    assert "aside has no backend" in browser.shown() and "Requests of aside" in browser.shown()
    browser.press(Keys.TAB)
    assert browser.focus() == ["canvas", True]
    browser.press(Keys.HOME, Keys.ARROW_RIGHT)
    assert re.match(r"\d+:\d\d:\d\d.*: hits .+, misses ", browser.text("reading"))
    browser.open(server, "#namespace=through")  # an address that somebody was sent
    chosen = "return document.querySelector('tr.is-chosen input').value"
    eventually(lambda: browser.run(chosen) == "through")
    browser.run("location.hash = 'namespace=sessions'")  # and another one, put where this one stands
    eventually(lambda: browser.run(chosen) == "sessions")
    browser.run("location.hash = ''")
    eventually(lambda: browser.run(chosen) == "")


def test_a_phone_is_wide_enough(server, load, browser):
    for rest in ("", "#namespace=sessions"):
        browser.size(360, 740)
        browser.open(server, rest)
        drawn = "return document.querySelector('#figures > section:last-child canvas') !== null"
        eventually(lambda: browser.run("scrollTo(0, document.body.scrollHeight); " + drawn))  # what is out of sight is not drawn
        assert browser.run("return document.documentElement.scrollWidth") <= 360
        assert browser.run("const box = document.querySelector('.scrolls'); return box.scrollWidth <= box.clientWidth")


def test_it_is_light_or_dark(server, load, browser):
    ground = "return getComputedStyle(document.documentElement).getPropertyValue('--ground').trim()"
    browser.open(server)
    light = browser.run(ground)
    browser.prefer(color_scheme="dark")
    dark = browser.run(ground)
    assert light != dark
    browser.run("const e = document.getElementById('theme'); e.value = 'light'; e.dispatchEvent(new Event('change'))")
    assert browser.run(ground) == light
    browser.open(server)  # the choice is kept
    assert browser.run(ground) == light
    browser.run("localStorage.clear()")


def test_a_browser_that_keeps_nothing_shows_it_too(server, load, browser):
    forbid = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError'); }})"
    script = browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": forbid})
    browser.open(server)
    browser.run("const e = document.getElementById('theme'); e.value = 'dark'; e.dispatchEvent(new Event('change'))")
    assert browser.run("return document.documentElement.dataset.theme") == "dark"
    browser.cdp("Page.removeScriptToEvaluateOnNewDocument", **script)


def test_names_are_text(server, load, browser):
    """A configuration takes no such name; the page does not rely on that. Nor is one too long for a phone, and who was in the
    table when the names became others is still there."""
    browser.open(server)
    eventually(lambda: browser.row("sessions"))
    browser.run("document.querySelector('#namespaces input:checked').focus()")
    browser.run("""
        const real = window.fetch;
        window.fetch = async (path, options) => {
            const response = await real(path, options);
            if (!path.startsWith("history")) return response;
            const answer = JSON.parse(await response.text());
            for (const one of [...answer.namespaces, ...answer.backends]) one.name += arguments_name;
            return new Response(JSON.stringify(answer));
        };""".replace("arguments_name", json.dumps(HOSTILE + LONG)))
    eventually(lambda: browser.row("sessions" + HOSTILE + LONG))
    eventually(lambda: f"Backend local{HOSTILE}{LONG}" in browser.shown())
    assert browser.run("return document.activeElement.name") == "namespace"
    browser.size(360, 740)
    assert browser.run("return document.documentElement.scrollWidth") <= 360
    assert browser.run("return document.querySelectorAll('img').length") == 0
    assert browser.driver.title == "Forebay"


@pytest.mark.skipif(Redis.missing() is not None, reason=str(Redis.missing()))
def test_nodes_coherence_and_copies_are_shown(tmp_path, browser):
    with Cluster(tmp_path / "redis", "--cluster-require-full-coverage", "no") as cluster, Redis(tmp_path / "one") as redis:
        config = Config(namespace("spread", "s:", "write-through", backend="cluster"),
                        namespace("moved", "m:", "write-through", copy_to="one"),
                        backends=[sqlite_backend(), section("backend", "cluster", uri=cluster.uri, timeout=AWAY),
                                  section("backend", "one", uri=redis.uri, coherent=True, timeout=AWAY)], drain_timeout="1s",
                        admin="127.0.0.1:0")
        stays, gone, _ = cluster.masters  # two are still more than half
        doomed = cluster.keys_of([f"s:{i}" for i in range(40)], gone)[0]
        with Server(tmp_path, config=config) as server, server.client() as client:
            browser.open(server)
            for said in ("3 of 3 nodes serve", f"127.0.0.1:{stays.port}: 5{THIN}461 slots",
                         "changes by others are heard", "Changes in the store"):
                eventually(lambda: said in browser.shown())
            eventually(lambda: browser.row("moved")["policy"] == "write-through to local, copy complete")
            gone.kill()
            client.set(doomed, b"v")
            redis.pause()
            for said in ("2 of 3 nodes serve", f"127.0.0.1:{gone.port} does not serve: ", "memory is not believed"):
                eventually(lambda: said in browser.shown())
            assert "1 node away, 1 not heard" in browser.text("headline")
            redis.resume()


def test_an_empty_server_says_what_there_is_not(tmp_path, chromium):
    """And one that goes is missed, and found again when it is back."""
    options = ["--admin", f"127.0.0.1:{free_port()}"]
    chromium.leave()
    with Server(tmp_path, options=options) as server:
        chromium.size(1280, 900)
        chromium.open(server)
        for said in ("No requests in these minutes", "There is no backend", "There is no journal.", "No namespace is write-behind"):
            eventually(lambda: said in chromium.shown())
        assert chromium.complaints() == []
        chromium.run("window.stays = true")
        server.stop()
        eventually(lambda: "No answer from the server since" in chromium.shown())
        assert chromium.text("state") == "Unknown"
        server.start()
        eventually(lambda: chromium.text("state") == "Ready" and "No answer" not in chromium.shown())
        eventually(lambda: chromium.row("default"))
        assert chromium.run("return window.stays"), "it went on, and was not loaded anew"
        errors = [message for message in chromium.complaints() if "ERR_CONNECTION" not in message and "ERR_EMPTY" not in message]
        assert errors == []
