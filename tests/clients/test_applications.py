# SPDX-License-Identifier: MIT
"""The snippets of docs/session-store.md, as they stand there, in small applications: two instances of each, one browser, and a
Forebay that is killed in between. The applications are in applications/: /visit counts, /logout ends the session."""

import base64
import contextlib
import glob
import hashlib
import hmac
import http.cookiejar
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import textwrap
import urllib.error
import urllib.parse
import urllib.request

import pytest
from conftest import HERE, JAR, SECONDS, go_build, need, need_go, need_node_packages, need_php, need_symfony
from forebay import AWAY, ROOT, Config, Server, die_with_the_test, eventually, free_port, namespace, section

APPLICATIONS = os.path.join(HERE, "applications")
TOMCAT = "/usr/share/java/tomcat9-*.jar"


def page():
    with open(os.path.join(ROOT, "docs", "session-store.md"), encoding="utf-8") as file:
        return file.read()


def snippet(name, port, without=""):
    """The block of the page that is marked so, with a port of our own, and without some words of it."""
    text = re.search(rf"^<!-- session: {name} -->\n```\w+\n(.*?)^```", page(), re.MULTILINE | re.DOTALL).group(1)
    assert without in text and ("11211" in text or name in ("tomcat", "django-engine"))
    return text.replace("11211", str(port)).replace(without, "")


def written(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def interpreted(name, interpreter, program):
    """How an application is started that is given its snippet as a file."""

    def prepare(folder, port, without=""):
        return [interpreter, os.path.join(APPLICATIONS, program), written(folder, "snippet", snippet(name, port, without))]

    return prepare


def tomcat(folder, port):
    need("javac")
    jars = sorted(glob.glob(TOMCAT))
    if not jars or not os.path.exists(JAR):
        pytest.skip("libtomcat9-java and libspymemcached-java are not installed")
    imports = "".join(f"import {name};\n" for name in (
        "java.io.*", "java.util.concurrent.ExecutionException", "net.spy.memcached.*", "org.apache.catalina.*",
        "org.apache.catalina.session.*", "org.apache.catalina.valves.PersistentValve"))
    store = written(folder, "MemcachedStore.java", imports + snippet("tomcat", port))
    path = ":".join([JAR, *jars, folder])
    subprocess.run(["javac", "-cp", path, "-d", folder, store, os.path.join(APPLICATIONS, "Application.java")], timeout=SECONDS, check=True)
    return ["java", "-XX:TieredStopAtLevel=1", f"-Djava.io.tmpdir={folder}", "-cp", path, "Application", f"127.0.0.1:{port}"]


def go(folder, port):
    head = 'package main\n\nimport (\n\t"encoding/json"\n\n\t"github.com/bradfitz/gomemcache/memcache"\n)\n\n'
    shutil.copy(os.path.join(APPLICATIONS, "application.go"), folder)  # Go wants the files of a program in one folder
    sessions = written(folder, "sessions.go", head + snippet("go", port))
    return [go_build(folder, os.path.join(folder, "application.go"), sessions)]


def php(folder, port, without=""):
    """PHP has a server of its own, which needs to be told a port."""
    need_php()
    settings = os.path.join(folder, "settings")
    os.makedirs(settings, exist_ok=True)
    written(settings, "sessions.ini", snippet("php", port, without))
    return php_server("visits.php", f"PHP_INI_SCAN_DIR=:{settings}")


def php_server(program, environment):
    return ["env", environment, "php", "-q", "-S", f"127.0.0.1:{free_port()}", os.path.join(APPLICATIONS, program)]


def symfony(folder, port, without=""):
    names = "Cache\\Adapter\\MemcachedAdapter", "HttpFoundation\\Session\\Storage\\Handler\\MemcachedSessionHandler"
    head = "<?php\n" + "".join(f"use Symfony\\Component\\{name};\n" for name in names)
    return php_server("symfony_application.php", f"SNIPPET={written(folder, 'snippet.php', head + snippet('symfony', port, without))}")


def need_rails():
    """Asks without loading it, which takes a second."""
    need("ruby")
    if subprocess.run(["ruby", "-e", "%w[railties actionpack dalli].each { |name| gem name }"], capture_output=True, check=False).returncode:
        pytest.skip("ruby-railties, ruby-actionpack and ruby-dalli are not installed")


def needs_modules(*names):
    return lambda: [pytest.importorskip(name) for name in names]


# What each one needs, and prepare(folder, port), which returns the command that starts an instance.
KINDS = {
    "php": (need_php, php),
    "symfony": (need_symfony, symfony),
    "flask": (needs_modules("flask", "flask_session", "pymemcache"), interpreted("flask", "/usr/bin/python3", "flask_application.py")),
    "django": (needs_modules("django", "pymemcache"), interpreted("django", "/usr/bin/python3", "django_application.py")),
    "express": (need_node_packages, interpreted("express", "node", "express_application.js")),
    "rails": (need_rails, interpreted("rails", "ruby", "rails_application.rb")),
    "tomcat": (lambda: need("javac"), tomcat),
    "go": (need_go, go),
}


def port_of(command, process):
    """Where an instance serves: it says so, or it was told."""
    if "-S" not in command:
        line = process.stdout.readline()
        assert line.strip().isdigit(), f"the application ended at its start: {line + process.stdout.read()}"
        return int(line)
    port = int(command[command.index("-S") + 1].split(":")[1])

    def listens():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    eventually(listens)
    return port


@contextlib.contextmanager
def instance(command):
    """One of an application; yields the address of its pages."""
    with subprocess.Popen(command, cwd=APPLICATIONS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          preexec_fn=die_with_the_test) as process:
        try:
            yield f"http://127.0.0.1:{port_of(command, process)}"
        finally:
            process.kill()


@pytest.mark.parametrize("name", KINDS)
def test_an_application_keeps_its_sessions_as_documented(tmp_path, name):
    needed, prepare = KINDS[name]
    needed()
    cookies = http.cookiejar.CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))

    def fetch(base, path):
        return browser.open(base + path, timeout=SECONDS).read().decode()

    spaces = namespace("sessions", "sess:", "write-behind", flush_delay="50ms", ttl="30m"), namespace("locks", "sess:lock.", "cache-aside")
    with Server(tmp_path, config=Config(*spaces)) as server, tempfile.TemporaryDirectory(prefix="forebay-application-") as folder:
        command = prepare(folder, server.port)
        with instance(command) as first:
            assert [fetch(first, "/visit"), fetch(first, "/visit")] == ["1", "2"]
        server.kill()
        server.start()
        with instance(command) as second:
            assert fetch(second, "/visit") == "3"
            server.client().sync("sessions")
            [(key, row)] = server.rows().items()
            assert key.startswith(b"sess:") and row.expires_at > 0
            fetch(second, "/logout")
            assert fetch(second, "/visit") == "1"


# The row of a framework in the page's table of prefixes, and what in its snippet gives it another one.
PREFIXES = {
    "php": ("PHP (memcached)", 'memcached.sess_prefix = "sess:"\n'),
    "symfony": ("Symfony, MemcachedSessionHandler", ", ['prefix' => 'sess:']"),
    "flask": ("Flask-Session", ', SESSION_KEY_PREFIX="sess:"'),
    "django": ("Django", ',\n                 "KEY_PREFIX": "sess"'),
    "rails": ("Rails, `:cache_store`", ', namespace: "sess"'),
}


@pytest.mark.parametrize("name", PREFIXES)
def test_a_namespace_may_have_the_prefix_that_a_framework_has_by_itself(tmp_path, name):
    needed, prepare = KINDS[name]
    needed()
    label, without = PREFIXES[name]
    prefix = re.search(rf"^\| {re.escape(label)} \| `(.*?)` and", page(), re.MULTILINE).group(1)
    with Server(tmp_path, config=Config(namespace("sessions", prefix, "write-behind", ttl="30m"))) as server, \
            tempfile.TemporaryDirectory(prefix="forebay-application-") as folder:
        with instance(prepare(folder, server.port, without)) as base:
            assert urllib.request.urlopen(base + "/visit", timeout=SECONDS).read() == b"1"
        server.client().sync("sessions")
        keys = [key.decode() for key in server.rows() if b".lock." not in key]
        assert len(keys) == 1 and keys[0].startswith(prefix) and len(keys[0]) > len(prefix) + 20


def test_a_session_of_django_is_not_taken_away_because_it_cannot_be_read(tmp_path, redis, monkeypatch):
    """Django's own engine would take the failure for no session, show a page without one, and delete the cookie."""
    KINDS["django"][0]()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    space = namespace("sessions", "sess:", "write-behind", backend="remote", flush_delay="10ms")
    config = Config(space, backends=[section("backend", "remote", uri=redis.uri, timeout=AWAY)], drain_timeout="1s")
    with Server(tmp_path, config=config) as server, tempfile.TemporaryDirectory(prefix="forebay-application-") as folder:
        settings = snippet("django", server.port).replace("django.contrib.sessions.backends.cache", "shop_sessions")
        written(folder, "shop_sessions.py", snippet("django-engine", server.port))
        monkeypatch.setenv("PYTHONPATH", folder)
        with instance(["/usr/bin/python3", "-B", os.path.join(APPLICATIONS, "django_application.py"), written(folder, "snippet", settings)]) as base:
            def ask(path):
                with contextlib.suppress(urllib.error.HTTPError), browser.open(base + path, timeout=SECONDS) as answer:
                    return answer.read()

            assert eventually(lambda: ask("/visit")) == b"1"
            server.client().sync()
            assert server.client().command("flush_all") == b"OK"
            redis.pause()
            assert ask("/seen") is None
            redis.resume()
            assert eventually(lambda: ask("/seen")) == b"1"


def test_express_sessions_of_a_redis_go_on(tmp_path, redis):
    """What connect-redis has written is copied as the page says, and connect-memcached goes on with it."""
    need_node_packages()
    pytest.importorskip("pymemcache")
    block = re.search(r"^ *<!-- session: redis -->\n *```py\n(.*?)^ *```", page(), re.MULTILINE | re.DOTALL).group(1)
    session = {"cookie": {"originalMaxAge": None, "expires": None, "httpOnly": True, "path": "/"}, "visits": 41}
    redis.connect().set("sess:from-redis", json.dumps(session), ex=600)
    signature = base64.b64encode(hmac.new(b"not a secret in a test", b"from-redis", hashlib.sha256).digest()).decode().rstrip("=")
    cookie = "connect.sid=" + urllib.parse.quote(f"s:from-redis.{signature}", safe="")
    space = namespace("sessions", "sess:", "write-behind")
    with Server(tmp_path, config=Config(space)) as server, tempfile.TemporaryDirectory(prefix="forebay-application-") as folder:
        exec(textwrap.dedent(block).replace("6379", str(redis.port)).replace("11211", str(server.port)), {})  # pylint: disable=exec-used
        with instance(KINDS["express"][1](folder, server.port)) as base:
            request = urllib.request.Request(base + "/visit", headers={"Cookie": cookie})
            assert urllib.request.urlopen(request, timeout=SECONDS).read() == b"42"
