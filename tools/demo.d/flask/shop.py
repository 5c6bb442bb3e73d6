# SPDX-License-Identifier: MIT
"""The shop as a Flask application: one instance of several, none of which keeps anything. Sessions by Flask-Session; cart,
profile and counter by the same client, pymemcache. INSTANCE, PORT, FOREBAY_PORT, SHOP (shop.json) and COOKIE (its name) come from
the environment.

Flask's own server is enough here; a real application runs under another."""

import json
import os
import socket
import time

from flask import Flask, redirect, render_template, request, session
from flask_session import Session
from pymemcache.client.base import PooledClient
from pymemcache.client.retrying import RetryingClient
from pymemcache.exceptions import MemcacheError, MemcacheUnexpectedCloseError

ADDRESS = ("127.0.0.1", int(os.environ["FOREBAY_PORT"]))
LIFE_S = 30 * 60
PARTS = {"session": "flask_sessions", "cart": "carts", "profile": "profiles", "counter": "counters"}  # and their namespaces
FAILURES = (MemcacheError, OSError)


class Store:
    """What the shop keeps in Forebay, beside the sessions."""

    def __init__(self):
        pool = PooledClient(ADDRESS, connect_timeout=2, timeout=5, no_delay=True, default_noreply=False)
        self.client = pool
        # Sets and gets may be asked twice: after a restart of Forebay, pooled connections are closed. An incr is not repeated,
        # since it may have been counted before the connection was lost.
        self.retrying = RetryingClient(pool, attempts=3, retry_for=[OSError, MemcacheUnexpectedCloseError])

    def cart(self, customer):
        found = self.retrying.get(f"cart:{customer}")
        return json.loads(found) if found else {}

    def add_to_cart(self, customer, item):
        """Two clicks at once, through whatever instances, both count: gets and cas."""
        key = f"cart:{customer}"
        while True:
            found, token = self.client.gets(key)
            cart = json.loads(found) if found else {}
            cart[item] = cart.get(item, 0) + 1
            value = json.dumps(cart)
            if self.client.cas(key, value, token) if found else self.client.add(key, value):
                return

    def empty_cart(self, customer):
        self.client.delete(f"cart:{customer}")

    def profile(self, customer):
        """A row of the shop's own table, which Forebay reads through."""
        found = self.retrying.get(f"profile:{customer}")
        return json.loads(found) if found else None

    def count(self, customer):
        key = f"count:{customer}"
        counted = self.client.incr(key, 1)
        if counted is None and not self.client.add(key, "1"):
            counted = self.client.incr(key, 1)
        return counted or 1


def namespaces():
    """What the server tells of its namespaces: {"carts:policy": "write-through", "carts:loads": "3", ...}."""
    with socket.create_connection(ADDRESS, 2) as connection, connection.makefile("rb") as answer:
        connection.sendall(b"stats namespaces\r\n")
        lines = iter(lambda: answer.readline().decode().rstrip("\r\n"), "END")
        return dict(line.split(" ", 2)[1:] for line in lines if line.count(" ") >= 2)


class Outermost:
    """Around the application and its sessions. Notes how much each namespace has loaded before the session is opened: the strip at
    the foot tells from it what came from the backend. (With others clicking at the same moment, what they load counts too.) And
    where the session cannot be had, or kept, there is no page, and nobody is logged out."""

    def __init__(self, application, wrapped):
        self.application = application
        self.wrapped = wrapped

    def __call__(self, environ, start_response):
        try:
            environ["shop.before"] = namespaces()
            return self.wrapped(environ, start_response)
        except FAILURES as error:
            with self.application.app_context():
                page = render_template("down.html", stack="Flask", instance=os.environ["INSTANCE"], why=reason(error))
            return self.application.response_class(page, 503)(environ, start_response)


def reason(error):
    """pymemcache hands on what the server says as bytes."""
    said = error.args[0] if error.args else type(error).__name__
    return said.decode() if isinstance(said, bytes) else str(error)


def strip(parts):
    """Rows (part, policy, where it came from) of the parts that this page has."""
    before, now = request.environ["shop.before"], namespaces()
    loaded = {part for part, name in PARTS.items() if before.get(f"{name}:loads") != now[f"{name}:loads"]}
    return [(part, now[f"{PARTS[part]}:policy"], "backend" if part in loaded else "memory") for part in parts]


def attempt(function, *arguments):
    """(what it answers, None), or (None, why not): a page has what can be had."""
    try:
        return function(*arguments), None
    except FAILURES as error:
        return None, reason(error)


store = Store()
with open(os.environ["SHOP"], encoding="utf-8") as file:
    SHOP = json.load(file)

application = Flask(__name__)
application.config.update(SESSION_TYPE="memcached", SESSION_MEMCACHED=store.retrying, SESSION_KEY_PREFIX="session:",
                          SESSION_COOKIE_NAME=os.environ["COOKIE"], PERMANENT_SESSION_LIFETIME=LIFE_S, PROPAGATE_EXCEPTIONS=True)
Session(application)
application.wsgi_app = Outermost(application, application.wsgi_app)


def page(refused=None):
    customer = session.get("customer")
    if not customer:
        return render_template("page.html", stack="Flask", instance=os.environ["INSTANCE"], customers=SHOP["customers"],
                               strip=strip(["session"]))
    session["visits"] = session.get("visits", 0) + 1
    names = ("cart", "profile", "counter")
    parts = dict(zip(names, map(attempt, (store.cart, store.profile, store.count), [customer] * 3)))
    return render_template("page.html", stack="Flask", instance=os.environ["INSTANCE"], items=SHOP["items"], session=session,
                           refused=refused, strip=strip(["session", *names]), **parts), 503 if refused else 200


@application.get("/flask/")
def show():
    return page()


@application.post("/flask/login")
def login():
    if request.form["customer"] in [customer["id"] for customer in SHOP["customers"]]:
        session.update(customer=request.form["customer"], since=time.strftime("%H:%M:%S"), visits=0)
    return redirect("/flask/", 303)


@application.post("/flask/cart")
def change_cart():
    customer, item = session.get("customer"), request.form.get("item")
    if not customer:
        return redirect("/flask/", 303)
    change = (store.add_to_cart, customer, item) if item in SHOP["items"] else (store.empty_cart, customer)
    refused = attempt(*change)[1]
    return page(refused) if refused else redirect("/flask/", 303)


@application.post("/flask/logout")
def logout():
    session.clear()
    return redirect("/flask/", 303)


application.run("127.0.0.1", int(os.environ["PORT"]), threaded=True)
