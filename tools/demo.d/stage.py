# SPDX-License-Identifier: MIT
"""What the demonstration consists of: the files that it writes into its folder, and its programs.

    browser -> haproxy -> flask-1 flask-2 php-1 php-2 express-1 express-2 -> forebay -> store.db or redis, shop.db

The folder outlives the demonstration: who starts it again is still logged in. store.db (or redis) has what Forebay writes, shop.db
is the shop's own database, whose table was there before."""

import json
import os
import secrets
import sqlite3

from programs import Program, Programs, free_ports

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
NODE_MODULES = os.path.join(ROOT, "tests", "clients", "node", "node_modules")
SHOP = os.path.join(HERE, "shop.json")
STACKS = ("flask", "php", "express")
INSTANCES = 2  # of each

FOREBAY = """# Written by tools/demo at each start.
listen = {{"127.0.0.1:{forebay}"}}
admin  = "127.0.0.1:{admin}"
memory = "64mb"
data   = "{folder}/journal"

backend "store" {{
    uri     = "{uri}"
    timeout = "1s"
}}
backend "shop" {{ uri = "sqlite:{folder}/shop.db" }}

# Sessions of PHP, whose settings are all as they come, but for where they are.
namespace "php_sessions" {{
    prefix          = "memc.sess.key."
    policy          = "write-behind"
    backend         = "store"
    ttl             = "30m"
    on_backend_down = "close"   # a failure to php-memcached; it takes SERVER_ERROR for a miss
}}
# PHP's locks end with the server, as whoever held them may be gone.
namespace "php_locks" {{
    prefix = "memc.sess.key.lock."
    policy = "cache-aside"
    ttl    = "30s"
}}
# Sessions of Flask-Session, over pymemcache.
namespace "flask_sessions" {{
    prefix  = "session:"
    policy  = "write-behind"
    backend = "store"
    ttl     = "30m"
}}
# Sessions of Express, over connect-memcached.
namespace "express_sessions" {{
    prefix      = "sess:"
    policy      = "write-behind"
    backend     = "store"
    ttl         = "30m"
    unknown_set = "refuse"      # npm's memcached takes a failure for a miss: no new session must replace one that is there
}}
namespace "counters" {{
    prefix  = "count:"
    policy  = "write-behind"
    backend = "store"
}}
# A cart is worth more than a click: it is in the database before the page says so.
namespace "carts" {{
    prefix  = "cart:"
    policy  = "write-through"
    backend = "store"
}}
# Rows of the shop's own table. Only the shop writes them; `forget profile:ada` makes a change seen at once.
namespace "profiles" {{
    prefix        = "profile:"
    policy        = "read-through"
    backend       = "shop"
    max_residency = "10s"
    load   = "SELECT json_object('name', name, 'town', town, 'points', points) FROM customer WHERE id = :key"
    store  = "INSERT INTO customer(id, name) VALUES (:key, CAST(:value AS TEXT)) ON CONFLICT(id) DO NOTHING"
    delete = "DELETE FROM customer WHERE id = :key"
}}
"""

HAPROXY = """# Written by tools/demo at each start.
global
    maxconn 1000
defaults
    mode http
    timeout connect 1s
    timeout client  30s
    timeout server  4s
    timeout check   4s
    # An instance that has just gone is noticed by the request that meets it, too: it is sent to the other one. A POST that an
    # instance may have begun is not sent twice.
    option redispatch 1
    retries 3
    retry-on conn-failure empty-response
    errorfile 502 {folder}/error.http
    errorfile 503 {folder}/error.http
    errorfile 504 {folder}/error.http
    default-server check inter 200ms fall 1 rise 1
frontend shop
    bind 127.0.0.1:{haproxy}
    http-request disable-l7-retry if METH_POST
    http-request return status 200 content-type "text/css; charset=utf-8" file {here}/style.css if {{ path /style.css }}
    http-request return status 200 content-type "text/html; charset=utf-8" file {folder}/index.html if {{ path / }}
    http-request return status 204 if {{ path /favicon.ico }}
    stats enable
    stats uri /haproxy
    stats refresh 2s
{choices}
"""

ERROR_HEAD = """HTTP/1.1 503 Service Unavailable\r
Content-Type: text/html; charset=utf-8\r
Cache-Control: no-store\r
Content-Length: {length}\r
\r
"""

ERROR = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Tea shop</title>
<link rel="stylesheet" href="/style.css">
<header><h1>Tea shop</h1><nav><a href="/flask/">Flask</a> <a href="/php/">PHP</a> <a href="/express/">Express</a></nav></header>
<main><section><h2>Nobody answers</h2><p class="down" id="down">No instance answered haproxy in time.</p><p>Try again.</p></section></main>
"""

INDEX = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Tea shop</title>
<link rel="stylesheet" href="/style.css">
<header><h1>Tea shop</h1><nav><a href="/flask/">Flask</a> <a href="/php/">PHP</a> <a href="/express/">Express</a></nav></header>
<main>
<section><h2>One shop, three times</h2>
<p>The same shop in <a href="/flask/">Flask</a>, <a href="/php/">PHP</a> and <a href="/express/">Express</a>, two instances of
each. None keeps anything: sessions, carts and counters are in Forebay, and behind it in {store}.</p></section>
<section><h2>Look behind it</h2>
<p><a href="http://127.0.0.1:{admin}/">Forebay, second by second</a><br><a href="/haproxy">The instances, as haproxy sees them</a></p></section>
<section class="wide"><h2>Break it</h2>
<p>Type into the terminal of tools/demo, between two clicks:</p><pre>{commands}</pre></section>
</main>
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
    with open(SHOP, encoding="utf-8") as file:
        customers = json.load(file)["customers"]
    database = sqlite3.connect(os.path.join(folder, "shop.db"))
    with database:
        database.execute("CREATE TABLE IF NOT EXISTS customer (id TEXT PRIMARY KEY, name TEXT, town TEXT, points INTEGER)")
        database.executemany("INSERT OR IGNORE INTO customer VALUES (:id, :name, :town, :points)", customers)
    database.close()


def choice(stack, ports):
    """haproxy's part for the instances of a stack."""
    servers = "".join(f"    server {name} 127.0.0.1:{port}\n" for name, port in ports.items())
    return f"    use_backend {stack} if {{ path_beg /{stack}/ }}\n", f"backend {stack}\n{servers}"


class Stage:
    """The folder with its files, and the programs."""

    def __init__(self, folder, forebay, with_redis, port):
        self.folder = folder
        self.with_redis = with_redis
        self.store = "Redis" if with_redis else "SQLite"
        self.instances = {stack: [f"{stack}-{number + 1}" for number in range(INSTANCES)] for stack in STACKS}
        names = ["forebay", "admin", "redis", *sum(self.instances.values(), [])]
        self.ports = dict(zip(names, free_ports(len(names))), haproxy=port)
        self.write_files()
        self.programs = Programs(self.make(forebay))

    def write_files(self):
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        fill_shop(self.folder)
        uri = f"redis://127.0.0.1:{self.ports['redis']}/0" if self.with_redis else f"sqlite:{self.folder}/store.db"
        write(self.folder, "forebay.conf", FOREBAY.format(folder=self.folder, uri=uri, **self.ports))
        uses, backends = zip(*(choice(stack, {name: self.ports[name] for name in names}) for stack, names in self.instances.items()))
        write(self.folder, "haproxy.cfg",
              HAPROXY.format(folder=self.folder, here=HERE, choices="".join(uses) + "\n" + "\n".join(backends), **self.ports))
        write(self.folder, "error.http", ERROR_HEAD.format(length=len(ERROR.encode())) + ERROR)
        write(self.folder, "index.html", INDEX.format(store=self.store, commands=COMMANDS.format(store=self.store), **self.ports))

    def make(self, forebay):
        if self.with_redis:
            yield Program("redis", ["redis-server", "--bind", "127.0.0.1", "--port", str(self.ports["redis"]), "--dir", self.folder,
                                    "--save", "", "--appendonly", "yes"], self.ports["redis"], self.folder)
        user = ["-u", "root"] if os.geteuid() == 0 else []
        yield Program("forebay", [forebay, "--config", "forebay.conf", *user], self.ports["forebay"], self.folder)
        for stack, names in self.instances.items():
            yield from (self.instance(stack, name) for name in names)
        yield Program("haproxy", ["haproxy", "-db", "-f", "haproxy.cfg"], self.ports["haproxy"], self.folder)

    def instance(self, stack, name):
        port = self.ports[name]
        commands = {
            "flask": ["/usr/bin/python3", "-B", os.path.join(HERE, "flask", "shop.py")],
            "php": ["php", "-d", "display_errors=0", "-d", "session.save_handler=memcached", "-d", f"session.save_path=127.0.0.1:{self.ports['forebay']}",
                    "-S", f"127.0.0.1:{port}", os.path.join(HERE, "php", "index.php")],
            "express": ["node", os.path.join(HERE, "express", "shop.js")],
        }
        return Program(name, commands[stack], port, self.folder, INSTANCE=name, PORT=str(port), SHOP=SHOP,
                       FOREBAY_PORT=str(self.ports["forebay"]), NODE_PATH=NODE_MODULES, SESSION_SECRET=secret(self.folder))
