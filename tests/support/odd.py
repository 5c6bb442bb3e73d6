# SPDX-License-Identifier: MIT
"""Servers that are started as nobody means to."""

import re

import pytest
from forebay import Config, Server, binary, namespace

CONFIG = Config(namespace("sessions", "sess:", "write-behind", flush_delay="20ms"))


def built_plainly():
    with open(binary(), "rb") as program:
        return not re.search(b"lib[at]san", program.read())


PLAIN = pytest.mark.skipif(not built_plainly(), reason="a sanitizer takes terabytes of addresses, and larger frames")


class Odd(Server):
    """A server that a shell starts, after it has done something to itself."""

    def __init__(self, folder, before, **more):
        super().__init__(folder, config=CONFIG, **more)
        self.before = before

    def command(self):
        return ["sh", "-c", f'{self.before}\nexec "$@"', "sh", *super().command()]
