# SPDX-License-Identifier: MIT
"""forebay --check, asked for a server, and what it leaves where it was."""

import os
import subprocess

from forebay import Config, Server, namespace


def config(*sections, **options):
    return Config(*sections or [namespace("sessions", "sess:", "write-behind", flush_delay="1h")], **options)


def check(server, *options, how="--check"):
    """Status, standard output, standard error."""
    done = subprocess.run([*server.command(), how, *options], cwd=server.folder, env=server.environment(), capture_output=True,
                          text=True, timeout=60, check=False)
    assert "Sanitizer" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def refused(server, *options, how="--check"):
    status, out, err = check(server, *options, how=how)
    assert status == 1 and not out.endswith("ok\n"), (out, err)
    return err


def accepted(server, *options, how="--check"):
    status, out, err = check(server, *options, how=how)
    assert status == 0 and out.endswith(": ok\n"), (out, err)
    return out, err


def lying(folder):
    """Everything below the folder: contents, modes, times of change."""
    found = {}
    for where, _, names in os.walk(folder):
        for name in ["."] + names:
            path = os.path.join(where, name)
            status = os.lstat(path)
            content = None
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    content = file.read()
            found[path] = (status.st_mode, status.st_mtime_ns, status.st_ino, content)
    return found


def stored(server):
    return lying(os.path.join(server.folder, "data"))


def at(tmp_path, *sections, **options):
    """A server whose data folder holds nothing else."""
    server = Server(tmp_path)
    server.config = config(*sections, **options).text(server.port, f"{tmp_path}/data")
    return server
