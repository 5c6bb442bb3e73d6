# SPDX-License-Identifier: MIT
"""A load for tests in which something else goes wrong: run by Background, it tells what was acknowledged."""

from forebay import eventually


class Load:
    """Sets of some keys in turn, as fast as they are answered."""

    def __init__(self, server, keys, prefix="sess:"):
        self.server, self.keys, self.prefix = server, keys, prefix.encode()
        self.acknowledged, self.refused, self.count = {}, [], 0

    def __call__(self, end):
        with self.server.client() as client:
            while not end.is_set():
                self.count += 1
                key, value = self.prefix + b"%d" % (self.count % self.keys), b"%d" % self.count
                answer = client.set(key, value)
                if answer == b"STORED":
                    self.acknowledged[key] = value
                else:
                    self.refused.append(answer)

    def go_on(self):
        goal = self.count + 2 * self.keys
        eventually(lambda: self.count >= goal)
