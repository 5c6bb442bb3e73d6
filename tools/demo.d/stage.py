# SPDX-License-Identifier: MIT
"""What the demonstration consists of: the files that it writes into its folder, and its programs.

    browser -> haproxy -> flask-1 flask-2 php-1 php-2 express-1 express-2 -> forebay -> store.db or redis, shop.db

The folder outlives the demonstration: who starts it again is still logged in. store.db (or redis) has what Forebay writes, shop.db
is the shop's own database, whose table was there before."""

import fcntl
import hashlib
import json
import os
import re
import secrets
import sqlite3

from programs import Failed, Program, Programs, free_ports

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
NODE_MODULES = os.path.join(ROOT, "tests", "clients", "node", "node_modules")
SHOP = os.path.join(HERE, "shop.json")
STACKS = ("flask", "php", "express")
INSTANCES = 2  # of each

ERROR_HEAD = """HTTP/1.1 503 Service Unavailable\r
Content-Type: text/html; charset=utf-8\r
Cache-Control: no-store\r
Content-Length: {length}\r
\r
"""

COMMANDS = """kill flask-1       kill -9; it is started again
restart forebay    SIGTERM, and started again
kill forebay       kill -9, and started again
stop php-2         it stays away
start php-2        until now
away               nobody can write to {store}
back               now they can
evict              memory is emptied
status             what runs where
quit               everything ends"""


def write(folder, name, text):
    with open(os.path.join(folder, name), "w", encoding="utf-8", newline="") as file:
        file.write(text)


def read(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        return file.read()


def filled(name, values):
    """A template of this folder: values stand there as @name@."""
    return re.sub(r"@(\w+)@", lambda found: str(values[found.group(1)]), read(name))


def locked(folder):
    """A file that is held until this process ends: another demonstration would write over what these programs are started with."""
    file = open(os.path.join(folder, "demo.lock"), "w", encoding="ascii")  # pylint: disable=consider-using-with
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Failed(f"another demonstration has its data in {folder}: end that one, or take another --folder") from None
    return file


def secret(folder):
    """The same for all instances, and for the next start, or cookies would be worth nothing then."""
    path = os.path.join(folder, "secret")
    if not os.path.exists(path):
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
    with open(path, encoding="ascii") as file:
        return file.read()


def fill_shop(folder):
    """The shop's own database: there before Forebay is."""
    customers = json.loads(read("shop.json"))["customers"]
    database = sqlite3.connect(os.path.join(folder, "shop.db"))
    with database:
        database.execute("CREATE TABLE IF NOT EXISTS customer (id TEXT PRIMARY KEY, name TEXT, town TEXT, points INTEGER)")
        database.executemany("INSERT OR IGNORE INTO customer VALUES (:id, :name, :town, :points)", customers)
    database.close()


class Stage:
    """The folder with its files, and the programs."""

    def __init__(self, folder, forebay, with_redis, port):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self.folder = folder
        self.lock = locked(folder)
        self.with_redis = with_redis
        self.store = "Redis" if with_redis else "SQLite"
        self.instances = {stack: [f"{stack}-{number + 1}" for number in range(INSTANCES)] for stack in STACKS}
        names = ["forebay", "admin", "redis", *sum(self.instances.values(), [])]
        self.ports = dict(zip(names, free_ports(len(names))), haproxy=port)
        self.write_files()
        self.programs = Programs(self.make(forebay))

    def write_files(self):
        fill_shop(self.folder)
        uri = f"redis://127.0.0.1:{self.ports['redis']}/0" if self.with_redis else "sqlite:../store.db"
        values = dict(self.ports, uri=uri, store=self.store, choices=self.choices(), commands=COMMANDS.format(store=self.store))
        for name in ("forebay.conf", "haproxy.cfg", "index.html"):
            write(self.folder, name, filled(name + ".in", values))
        write(self.folder, "style.css", read("style.css"))
        page = read("error.html")
        write(self.folder, "error.http", ERROR_HEAD.format(length=len(page.encode())) + page)

    def choices(self):
        """haproxy's part for the instances."""
        redirects = [f"    http-request redirect location /{stack}/ if {{ path /{stack} }}\n" for stack in self.instances]
        known = " ".join(f"/{stack}/" for stack in self.instances)
        elsewhere = f"    http-request redirect location / unless {{ path_beg {known} /haproxy }}\n"
        uses = [f"    use_backend {stack} if {{ path_beg /{stack}/ }}\n" for stack in self.instances]
        servers = {stack: "".join(f"    server {name} 127.0.0.1:{self.ports[name]}\n" for name in names)
                   for stack, names in self.instances.items()}
        return "".join([*redirects, elsewhere, *uses] + [f"backend {stack}\n{lines}" for stack, lines in servers.items()])

    def make(self, forebay):
        if self.with_redis:
            # With everysec, a Redis that is killed has lost what it answered while it synced: up to two seconds.
            redis = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.ports["redis"]), "--dir", self.folder, "--save", "",
                     "--appendonly", "yes", "--appendfsync", "always"]
            yield Program("redis", redis, self.ports["redis"], self.folder)
        user = ["-u", "root"] if os.geteuid() == 0 else []
        yield Program("forebay", [forebay, "--config", "forebay.conf", *user], self.ports["forebay"], self.folder)
        for stack, names in self.instances.items():
            yield from (self.instance(stack, name) for name in names)
        yield Program("haproxy", ["haproxy", "-db", "-f", "haproxy.cfg"], self.ports["haproxy"], self.folder)

    def cookie(self, stack):
        """Browsers send a cookie to every port of a machine: one demonstration must not replace that of another."""
        return f"{stack}-{hashlib.sha256(secret(self.folder).encode()).hexdigest()[:8]}"

    def instance(self, stack, name):
        port, cookie = self.ports[name], self.cookie(stack)
        commands = {
            "flask": ["/usr/bin/python3", "-B", os.path.join(HERE, "flask", "shop.py")],
            "php": ["php", "-d", "display_errors=0", "-d", f"session.name={cookie}", "-d", "session.save_handler=memcached",
                    "-d", f"session.save_path=127.0.0.1:{self.ports['forebay']}", "-S", f"127.0.0.1:{port}",
                    os.path.join(HERE, "php", "index.php")],
            "express": ["node", os.path.join(HERE, "express", "shop.js")],
        }
        return Program(name, commands[stack], port, self.folder, INSTANCE=name, PORT=str(port), SHOP=SHOP, COOKIE=cookie,
                       FOREBAY_PORT=str(self.ports["forebay"]), NODE_PATH=NODE_MODULES, SESSION_SECRET=secret(self.folder))
