# SPDX-License-Identifier: MIT
"""What the documents tell an operator to type, for the tests that follow them."""

import os
import subprocess

from forebay import PATIENCE, ROOT, command_line

# What there is of systemd where it is not process 1: the test starts the server again by itself.
SYSTEMD = r"""
systemctl() {
    case "$1" in
    stop)
        kill -TERM "$PID" 2>/dev/null || return 0
        until grep -q '^State:.*Z' "/proc/$PID/status"; do sleep 0.05; done ;;
    kill) kill "-${2#--signal=}" "$PID" ;;
    show) echo "$PID" ;;
    esac
}
"""


def commands(page, name):
    """The block of a page in docs/ that is marked so."""
    with open(os.path.join(ROOT, "docs", page), encoding="utf-8") as file:
        block = file.read().split(f"<!-- {name} -->\n")[1].split("\n\n")[0]
    return "".join(line[4:] + "\n" for line in block.split("\n"))


def follow(text, server, data, **places):
    """Runs commands; the paths and addresses in them are those of this server. Returns what was said on standard output."""
    named = {"/var/lib/forebay": data, "/etc/forebay/forebay.conf": server.write_config(), "forebay --config": " ".join(command_line("--config")),
             "127.0.0.1 11211": f"127.0.0.1 {server.port}", " -o forebay -g forebay": "", " -u forebay": "", **places}
    for there, here in named.items():
        text = text.replace(there, here)
    done = subprocess.run(["bash", "-c", SYSTEMD + text], capture_output=True, text=True, timeout=PATIENCE, check=False,
                          env={**server.environment(), "PID": str(server.pid)})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
