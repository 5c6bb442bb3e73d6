# SPDX-License-Identifier: MIT
"""tools/demo in a browser: what is promised to the users of stateless applications. One demonstration for each kind of store, one
browser for all; the tests go on where the ones before left off, as a day of outages does. The three shops are three customers'.
What is behind Forebay makes no difference to some of them, which SQLite alone is put behind."""

import functools
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

import pytest
from conftest import HERE, PEER, need
from forebay import PATIENCE, ROOT, command_line, die_with_the_test, eventually, free_port

pytestmark = pytest.mark.skipif(bool(PEER), reason="memcached forgets its sessions")

CUSTOMERS = {"flask": "ada", "php": "edith", "express": "grace"}
POLICIES = {"session": "write-behind", "cart": "write-through", "profile": "read-through", "counter": "write-behind"}
FOLDER = "%s, the shop's \"own\" (100%% #1?)"  # no character of it means anything in a file that names it
CLICKS = 5  # of each shop, before and after something happens

# What a page says, as a record: of the one that the browser shows, or of one that a script has fetched.
READ = """
    function read(page) {
        const text = (id) => page.getElementById(id)?.textContent ?? null;
        const strip = [...page.querySelectorAll("tr[id^=strip-]")].map((row) => [...row.cells].map((cell) => cell.textContent.trim()));
        return {
            who: text("who"), since: text("since"), visits: Number(text("visits")), profile: text("profile"),
            counter: /^\\d+$/.test(text("counter")) ? Number(text("counter")) : null,
            cart: page.querySelector("ul#cart") && [...page.querySelectorAll("#cart li")].map((line) => line.textContent),
            refused: text("refused"), down: text("down"), instance: text("instance"),
            login: page.querySelector("button[name=customer]") !== null,
            strip: Object.fromEntries(strip.map(([part, policy, from]) => [part, [policy, from]])),
        };
    }"""

# Clicks in all shops until window.over, one request of a shop after the other, and keeps what is answered.
CLICK = READ + """
    window.over = false;
    window.seen = {};
    async function click(stack) {
        while (!window.over) {
            let seen;
            try {
                const answer = await fetch(`/${stack}/`, {cache: "no-store"});
                const page = new DOMParser().parseFromString(await answer.text(), "text/html");
                seen = {status: answer.status, ...read(page)};
            } catch (error) {
                seen = {status: 0, down: String(error)};
            }
            window.seen[stack].push(seen);
        }
    }
    const shops = arguments[0];
    for (const stack of shops) window.seen[stack] = [];
    window.clicking = Promise.all(shops.map(click));"""


@functools.lru_cache
def program():
    """The folder of what is started as the server: it, over the way that the tests are run in. It goes with the last that knows it."""
    folder = tempfile.TemporaryDirectory(prefix="forebay-demo-")
    path = os.path.join(folder.name, "forebay")
    with open(path, "w", encoding="utf-8") as script:
        script.write(f'#!/bin/sh\nexec {shlex.join(command_line())} "$@"\n')
    os.chmod(path, 0o755)
    return folder


def command(folder, port):
    return [sys.executable, "-B", os.path.join(ROOT, "tools", "demo.d", "main.py"), "--folder", str(folder), "--port", str(port),
            "--forebay", os.path.join(program().name, "forebay")]


class Demo:
    """The program, told what to do by its standard input."""

    def __init__(self, folder, store):
        self.folder = folder
        self.with_redis = store == "redis"
        self.port = free_port()
        self.said = b""
        self.process = subprocess.Popen(command(folder, self.port) + ["--redis"] * self.with_redis, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, preexec_fn=die_with_the_test)
        self.wait_for(rb"^The shop: +http://127\.0\.0\.1:%d/$" % self.port)
        for stack in CUSTOMERS:  # at once: a first page that nobody answers is a poor beginning
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{stack}/", timeout=PATIENCE).close()

    def wait_for(self, pattern):
        """Reads until a line fits."""
        end = time.monotonic() + PATIENCE
        while True:
            found = re.search(pattern, self.said, re.MULTILINE)
            if found:
                self.said = self.said[found.end():]
                return
            assert select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0], self.said
            more = os.read(self.process.stdout.fileno(), 65536)
            assert more, f"it ended: {self.said.decode()}"
            self.said += more

    def type(self, line):
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def do(self, what):
        self.type(what.encode())
        self.wait_for(rb"^%s: done$" % what.encode())

    def end(self):
        """As Ctrl-C does. Everything has ended well then, and nothing is left."""
        self.process.send_signal(signal.SIGINT)
        try:
            assert self.process.wait(PATIENCE) == 0
        finally:
            self.process.kill()
        pids = [int(path.read_text()) for path in self.folder.glob("*.pid")]
        assert len(pids) >= 8 and not any(os.path.exists(f"/proc/{pid}") for pid in pids)


class Browser:
    """Headless Chromium, as somebody who shops."""

    def __init__(self, driver, port):
        self.driver = driver
        self.base = f"http://127.0.0.1:{port}"

    def page(self):
        return self.driver.execute_script(READ + "return read(document)")

    def open(self, stack):
        self.driver.get(f"{self.base}/{stack}/")
        return self.page()

    def cookies(self):
        """A browser sends them to each port of a machine."""
        self.driver.get(self.base)
        return {cookie["name"]: cookie["value"] for cookie in self.driver.get_cookies()}

    def press(self, selector):
        """Of what comes next; a click may answer before it is there."""
        self.driver.execute_script("window.isLeft = true")
        self.driver.find_element("css selector", selector).click()
        eventually(lambda: self.driver.execute_script("return !window.isLeft && document.readyState === 'complete'"))
        return self.page()

    def press_on(self, stack, selector):
        self.open(stack)
        return self.press(selector)

    def start_clicking(self):
        self.driver.get(self.base)
        self.driver.execute_script(CLICK, list(CUSTOMERS))

    def seen(self):
        return self.driver.execute_script("return window.seen")

    def await_clicks(self):
        """Until each shop has shown so many pages more."""
        before = {stack: len(pages) for stack, pages in self.seen().items()}
        eventually(lambda: all(len(shown(pages[before[stack]:])) >= CLICKS for stack, pages in self.seen().items()))

    def stop_clicking(self):
        """Everything that was seen, once the last request is answered."""
        self.driver.execute_async_script("window.over = true; window.clicking.then(arguments[0])")
        return self.seen()


def shown(pages):
    """Those that were counted, and say so."""
    return [page for page in pages if page["status"] == 200 and page["counter"]]


@pytest.fixture(scope="module")
def chromium():
    webdriver = pytest.importorskip("selenium.webdriver", reason="Debian: python3-selenium")
    need("chromium", "chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for option in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(option)
    driver = webdriver.Chrome(service=webdriver.chrome.service.Service(shutil.which("chromedriver")), options=options)
    driver.set_script_timeout(PATIENCE)
    yield driver
    driver.quit()


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def demo(request, tmp_path_factory):
    need("haproxy", "php", "node", *["redis-server"] * (request.param == "redis"))
    for module in ("flask", "flask_session", "pymemcache"):
        pytest.importorskip(module, reason=f"Debian: python3-{module.replace('_', '-')}")
    if not os.path.isdir(os.path.join(HERE, "node", "node_modules")):
        pytest.skip("Express is not installed: tools/test does it with npm ci")
    demo = Demo(tmp_path_factory.mktemp(FOLDER % request.param), request.param)
    yield demo
    demo.end()


@pytest.fixture(scope="module")
def browser(demo, chromium):
    """Somebody who is logged in everywhere, with something in each cart; and still in the demonstration before, if there was one."""
    browser = Browser(chromium, demo.port)
    before = browser.cookies()
    browser.expected = {stack: log_in(browser, stack) for stack in CUSTOMERS}
    assert before.items() <= browser.cookies().items()
    return browser


def log_in(browser, stack):
    """Returns what the session, the cart and the counter have to be from now on."""
    page = browser.open(stack)
    assert page["login"], page
    page = browser.press(f"button[value={CUSTOMERS[stack]}]")
    assert (page["who"], page["counter"], page["cart"]) == (CUSTOMERS[stack], 1, [])
    for cart in (["1 Cup"], ["2 Cup"]):
        page = browser.press("button[value=Cup]")
        assert page["cart"] == cart
    assert page["visits"] == page["counter"] == 3
    return page


def check(browser, stack, page):
    """The page is that of a session, a cart and a counter of which nothing was lost since the page before."""
    before, browser.expected[stack] = browser.expected[stack], page
    assert page["who"] == before["who"] and page["since"] == before["since"] and page["cart"] == before["cart"]
    assert page["visits"] == before["visits"] + 1 and page["counter"] == before["counter"] + 1
    return page


def check_clicks(before, pages, page):
    """Of a page before the clicks, what was clicked, and a page after them: nobody is logged out, and what was counted stays
    counted. What failed may have been counted."""
    assert [seen for seen in pages if seen["status"] not in (200, 503)] == []
    for seen in [seen for seen in pages if seen["status"] == 200] + [page]:
        assert seen["who"] == before["who"] and seen["since"] == before["since"] and seen["cart"] in (before["cart"], None), seen
    counts = [before["counter"], *[seen["counter"] for seen in shown(pages)], page["counter"]]
    assert counts == sorted(set(counts))
    assert len(shown(pages)) < page["counter"] - before["counter"] <= len(pages) + 1
    assert page["cart"] == before["cart"]


@pytest.mark.parametrize("demo", ["sqlite"], indirect=True)
def test_the_strip_tells_what_served_each_part(demo, browser):
    for stack in CUSTOMERS:
        page = check(browser, stack, browser.open(stack))
        assert {part: policy for part, (policy, _) in page["strip"].items()} == POLICIES
        assert {page["strip"][part][1] for part in ("session", "cart", "counter")} == {"memory"}
        assert page["profile"].lower().startswith(CUSTOMERS[stack])


@pytest.mark.parametrize("demo", ["sqlite"], indirect=True)
def test_an_address_that_is_typed_leads_into_the_shop(demo, browser):
    browser.driver.get(browser.base + "/php")
    check(browser, "php", browser.page())
    browser.driver.get(browser.base + "/nowhere")
    assert browser.driver.current_url == browser.base + "/"


@pytest.mark.parametrize("demo", ["sqlite"], indirect=True)
def test_a_second_demonstration_does_not_harm_the_first(demo, browser):
    page = demo.folder / "index.html"  # which is no folder
    for folder, port, named in ((demo.folder, free_port(), str(demo.folder)), (demo.folder, demo.port, f"127.0.0.1:{demo.port}"),
                                (page, free_port(), str(page))):
        done = subprocess.run(command(folder, port), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 1 and done.stderr.startswith("tools/demo: ") and named in done.stderr and done.stderr.count("\n") == 1
    demo.do("restart forebay")
    for stack in CUSTOMERS:
        check(browser, stack, browser.open(stack))


@pytest.mark.parametrize("demo", ["sqlite"], indirect=True)
def test_what_is_no_command_is_answered_with_those_that_are(demo):
    for line in (b"kill nobody", b"evict now", "caf\u00e9".encode("latin-1")):
        demo.type(line)
        demo.wait_for(rb"^kill flask-1 .*\n(.*\n)*quit ")
    demo.do("status")


@pytest.mark.parametrize("demo", ["sqlite"], indirect=True)
def test_a_program_that_cannot_be_started_stays_away(demo, browser):
    """Rather than that the terminal is filled with it."""
    page = demo.folder / "error.http"
    page.rename(demo.folder / "elsewhere")
    demo.type(b"kill haproxy")
    demo.wait_for(rb"^kill haproxy: haproxy does not start; .*haproxy.log says why$")
    demo.wait_for(rb"^haproxy does not start; .*haproxy.log says why. Then type: start haproxy$")
    (demo.folder / "elsewhere").rename(page)
    demo.do("start haproxy")
    for stack in CUSTOMERS:
        check(browser, stack, browser.open(stack))


def test_evicted_entries_come_from_the_backend(demo, browser):
    demo.do("evict")
    for stack in CUSTOMERS:
        page = check(browser, stack, browser.open(stack))
        assert {part: where for part, (_, where) in page["strip"].items()} == dict.fromkeys(POLICIES, "backend")
        page = check(browser, stack, browser.open(stack))
        assert {page["strip"][part][1] for part in ("session", "cart", "counter")} == {"memory"}


@pytest.mark.parametrize("demo", ["sqlite"], indirect=True)
@pytest.mark.parametrize("stack", CUSTOMERS)
def test_an_instance_that_is_gone_is_not_missed(demo, browser, stack):
    for gone, other in ((1, 2), (2, 1)):
        demo.do(f"stop {stack}-{gone}")
        for _ in range(2):
            assert check(browser, stack, browser.open(stack))["instance"] == f"{stack}-{other}"
        demo.do(f"start {stack}-{gone}")
        eventually(lambda: check(browser, stack, browser.open(stack))["instance"] == f"{stack}-{gone}")
    demo.do(f"kill {stack}-1")
    check(browser, stack, browser.open(stack))


def come_back_under_clicks(demo, browser, how):
    browser.start_clicking()
    browser.await_clicks()
    demo.do(f"{how} forebay")
    browser.await_clicks()
    clicked, before = browser.stop_clicking(), dict(browser.expected)
    browser.expected = {stack: browser.open(stack) for stack in CUSTOMERS}
    for stack in CUSTOMERS:
        check_clicks(before[stack], clicked[stack], browser.expected[stack])


@pytest.mark.parametrize("demo", ["sqlite"], indirect=True)
def test_forebay_is_restarted_under_clicks(demo, browser):
    come_back_under_clicks(demo, browser, "restart")


def test_forebay_is_killed_under_clicks(demo, browser):
    come_back_under_clicks(demo, browser, "kill")


def test_while_the_store_is_away_memory_serves(demo, browser):
    """All but a change of the cart, which is refused rather than promised; and that is possible again afterwards."""
    demo.do("away")
    for stack in CUSTOMERS:
        page = check(browser, stack, browser.open(stack))
        refused = browser.press("button[value=Tea]")
        assert refused["refused"] and refused["counter"] == page["counter"] + 1
        later = browser.open(stack)
        assert later["who"] == page["who"] and later["since"] == page["since"] and later["counter"] == page["counter"] + 2
        assert later["cart"] in (page["cart"], None)  # a change whose outcome is unknown is forgotten, and asked for again
    demo.do("evict")
    for stack in CUSTOMERS:  # the session is dirty, and cannot be evicted; a cart that cannot be read is not shown as an empty one
        page = browser.open(stack)
        assert page["who"] == CUSTOMERS[stack] and page["cart"] == (None if demo.with_redis else ["2 Cup"])
    demo.do("back")
    for stack in CUSTOMERS:
        eventually(lambda: browser.open(stack)["cart"] == browser.expected[stack]["cart"])
        eventually(lambda: not browser.press("button[value=Tea]")["refused"])
        browser.expected[stack] = browser.open(stack)
        assert browser.expected[stack]["cart"] in (["2 Cup", "1 Tea"], ["2 Cup", "2 Tea"])  # what was refused may have happened


def test_a_session_that_cannot_be_read_is_not_lost(demo, browser):
    """It is in the store alone, and that is away: an error then, and not a login. A file can be read all the same."""
    demo.do("evict")
    demo.do("away")
    for stack in CUSTOMERS:
        if demo.with_redis:
            page = browser.open(stack)
            assert page["down"] and not page["login"]
        else:
            check(browser, stack, browser.open(stack))
    demo.do("back")
    for stack in CUSTOMERS:
        page, before = eventually(lambda: (lambda page: not page["down"] and page)(browser.open(stack))), browser.expected[stack]
        assert page["visits"] > before["visits"] and page["counter"] > before["counter"]
        # what was answered too late may have been counted
        browser.expected[stack] = {**before, "visits": page["visits"] - 1, "counter": page["counter"] - 1}
        check(browser, stack, page)


@pytest.mark.parametrize("demo", ["sqlite"], indirect=True)
def test_logging_out_ends_the_session_alone(demo, browser):
    for stack in CUSTOMERS:
        assert browser.press_on(stack, "#logout")["login"]
        assert browser.open(stack)["login"]
        page = browser.press(f"button[value={CUSTOMERS[stack]}]")
        assert page["visits"] == 1 and page["cart"] == browser.expected[stack]["cart"]
        assert page["counter"] == browser.expected[stack]["counter"] + 2
