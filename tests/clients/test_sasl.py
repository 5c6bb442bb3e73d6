# SPDX-License-Identifier: MIT
"""Clients that authenticate by SASL, as users of -Y: who has the password is served, and all others are not."""

import os
import subprocess

import pytest
from conftest import HERE, PEER, SECONDS, java, need_node_packages, need_php, need_ruby, need_symfony

pytestmark = pytest.mark.skipif(bool(PEER), reason="memcached takes SASL's users from elsewhere")

RIGHT = {"SASL_USER": "alice", "SASL_PASSWORD": "secret phrase"}
WRONG = {"SASL_USER": "alice", "SASL_PASSWORD": "another"}
NOBODY = {}


@pytest.fixture
def guarded(serve, tmp_path):
    path = tmp_path / "auth"
    path.write_text("alice:secret phrase\n")
    path.chmod(0o600)
    return serve(options=["-Y", str(path), "-t", "2"])


def python_client(name, make):
    module = pytest.importorskip(name)

    def stores(port, who):
        client = make(module, [f"127.0.0.1:{port}"],
                      {"username": who["SASL_USER"], "password": who["SASL_PASSWORD"]} if who else {})
        try:
            return bool(client.set("k", b"v")) and client.get("k") == b"v"
        except Exception:  # pylint: disable=broad-except
            return False
    return stores


def program(look, *command):
    """One that ends with something else than 0 when it is not served; look skips the test where something is missing."""
    look()

    def stores(port, who):
        done = subprocess.run(command, cwd=HERE, timeout=SECONDS, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=dict(os.environ, PORT=str(port), PROTOCOL="binary", **who))
        return done.returncode == 0
    return stores


CLIENTS = {
    "pylibmc": lambda: python_client("pylibmc", lambda module, servers, who: module.Client(servers, binary=True, **who)),
    "python-binary-memcached": lambda: python_client("bmemcached", lambda module, servers, who: module.Client(servers, **who)),
    "php-memcached": lambda: program(need_php, "php", "php/memcached.php", "write", "s:"),
    "PHP's sessions": lambda: program(need_php, "php", "php/session.php", "memcached", "abc123", "visits"),
    "Symfony": lambda: program(need_symfony, "php", "php/symfony.php", "write"),
    "memjs": lambda: program(need_node_packages, "node", "node/memjs.js", "write", "s:"),
    "dalli": lambda: program(need_ruby, "ruby", "ruby/client.rb", "dalli", "write", "s:"),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_who_has_the_password_is_served_and_nobody_else(guarded, client):
    stores = CLIENTS[client]()
    assert not stores(guarded.port, NOBODY)
    assert not stores(guarded.port, WRONG)
    assert stores(guarded.port, RIGHT)


def test_spymemcached_is_served_as_a_user(guarded):
    """Without one, it goes on trying until its operations time out, which is not waited for here."""
    java("write", "s:", port=guarded.port, PROTOCOL="binary", **RIGHT)
