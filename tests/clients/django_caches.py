# SPDX-License-Identifier: MIT
"""django_caches.py SNIPPET: caches and sessions with the settings of the snippet. Prints what is left where. See test_walkthrough.py."""

import sys

import django
from django.conf import settings

documented = {}
with open(sys.argv[1], encoding="utf-8") as snippet:
    exec(snippet.read(), documented)  # pylint: disable=exec-used
settings.configure(SECRET_KEY="not a secret in a test", **{name: value for name, value in documented.items() if name.isupper()})
django.setup()

from django.contrib.sessions.backends.cache import SessionStore  # noqa: E402
from django.core.cache import cache  # noqa: E402

session = SessionStore()
session["cart"] = [17, 4]
session.save()
cache.set("page", "rendered", timeout=None)
assert cache.get("page") == "rendered"
cache.clear()
assert cache.get("page") is None
assert SessionStore(session.session_key)["cart"] == [17, 4]
print(session.session_key)
