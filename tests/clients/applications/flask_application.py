# SPDX-License-Identifier: MIT
"""flask_application.py SNIPPET: a Flask application whose sessions are kept as the snippet says. See test_applications.py."""

import sys

from flask import Flask, session
from serve import serve_until_end

app = Flask(__name__)
with open(sys.argv[1], encoding="utf-8") as snippet:
    exec(snippet.read())  # pylint: disable=exec-used


@app.route("/visit")
def visit():
    session["visits"] = session.get("visits", 0) + 1
    return str(session["visits"])


@app.route("/logout")
def logout():
    session.clear()
    return "out"


serve_until_end(app)
