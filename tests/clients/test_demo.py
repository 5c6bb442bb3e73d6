# SPDX-License-Identifier: MIT
"""tools/demo in a browser: what is promised to the users of stateless applications. One demonstration for each kind of store, one
browser for all; the tests go on where the ones before left off, as a day of outages does. The three shops are three customers'.
What is behind Forebay makes no difference to some of them, which SQLite alone is put behind."""

import os
import re
import select
import shutil
import signal
import subprocess
import sys

import pytest
from conftest import HERE, PEER, need
from forebay import PATIENCE, ROOT, binary, die_with_the_test, eventually, free_port

pytestmark = pytest.mark.skipif(bool(PEER), reason="memcached forgets its sessions")

CUSTOMERS = {"flask": "ada", "php": "edith", "express": "grace"}
POLICIES = {"session": "write-behind", "cart": "write-through", "profile": "read-through", "counter": "write-behind"}
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


class Demo:
    """The program, told what to do by its standard input."""

    def __init__(self, folder, store):
        self.folder = folder
        self.with_redis = store == "redis"
        self.port = free_port()
        self.said = b""
        command = [sys.executable, "-B", os.path.join(ROOT, "tools", "demo.d", "main.py"), "--folder", str(folder),
                   "--port", str(self.port), "--forebay", binary(), *["--redis"] * self.with_redis]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=die_with_the_test)
        self.wait_for(rb"^The shop: +http://127\.0\.0\.1:%d/$" % self.port)

    def wait_for(self, pattern):
        """Reads until a line fits."""
        while True:
            found = re.search(pattern, self.said, re.MULTILINE)
            if found:
                self.said = self.said[found.end():]
                return
            assert select.select([self.process.stdout], [], [], PATIENCE)[0], self.said
            more = os.read(self.process.stdout.fileno(), 65536)
            assert more, f"it ended: {self.said.decode()}"
            self.said += more

    def do(self, command):
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()
        self.wait_for(rb"^%s: done$" % command.encode())

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
    demo = Demo(tmp_path_factory.mktemp(request.param), request.param)
    yield demo
    demo.end()


@pytest.fixture(scope="module")
def browser(demo, chromium):
    """Somebody who is logged in everywhere, with something in each cart."""
    chromium.delete_all_cookies()
    browser = Browser(chromium, demo.port)
    browser.expected = {stack: log_in(browser, stack) for stack in CUSTOMERS}
    return browser


def log_in(browser, stack):
    """Returns what the session, the cart and the counter have to be from now on."""
    assert browser.open(stack)["login"]
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
    demo.do("back")
    for stack in CUSTOMERS:
        eventually(lambda: browser.open(stack)["cart"] == browser.expected[stack]["cart"])
        eventually(lambda: not browser.press("button[value=Tea]")["refused"])
        browser.expected[stack] = browser.open(stack)
        assert browser.expected[stack]["cart"] == ["2 Cup", "1 Tea"]


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
        check(browser, stack, eventually(lambda: (lambda page: not page["down"] and page)(browser.open(stack))))


@pytest.mark.parametrize("demo", ["sqlite"], indirect=True)
def test_logging_out_ends_the_session_alone(demo, browser):
    for stack in CUSTOMERS:
        assert browser.press_on(stack, "#logout")["login"]
        assert browser.open(stack)["login"]
        page = browser.press(f"button[value={CUSTOMERS[stack]}]")
        assert page["visits"] == 1 and page["cart"] == browser.expected[stack]["cart"]
        assert page["counter"] == browser.expected[stack]["counter"] + 2
