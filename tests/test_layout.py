# SPDX-License-Identifier: MIT
"""The house rules that a compiler does not check: which folder may include what, and the SPDX line of each source.

Includes go one way, server -> policies -> {policies/journal, backends, cache}; all of them may know cache/base, the value
types, clock and log levels, which know nothing. What else goes on inside a library is said in docs/design.md.
"""

import os
import re
import shutil
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDERS = ("cache", "backends", "policies", "server")

# For each folder: the project's headers it may include, as prefixes of "folder/header.h". The longest folder counts.
ALLOWED = {
    "cache/base": ("cache/base/",),
    "cache": ("cache/",),
    "backends": ("backends/", "cache/base/"),
    "policies/journal": ("policies/journal/", "cache/base/"),
    "policies": ("policies/", "backends/", "cache/"),
    "server": ("server/", "policies/", "backends/", "cache/"),
}

# For each header of a library: the only folder that may know it.
OWNED = {"ev.h": "server", "confuse.h": "server", "sqlite3.h": "backends", "hiredis": "backends"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
LICENSED = re.compile(r"\.(c|h|py|js|pl|php|rb|java|cmake)$|(^|/)CMakeLists\.txt$")
SKIPPED_FOLDERS = {".git", "build", "var", "node_modules", "__pycache__", ".pytest_cache", ".cache"}


def files(root, *folders):
    """Paths relative to root of all files below the folders (all of root when none is given)."""
    for folder in folders or (".",):
        for where, below, names in os.walk(os.path.join(root, folder)):
            below[:] = [name for name in below if name not in SKIPPED_FOLDERS and not name.startswith("build-")]
            for name in names:
                yield os.path.relpath(os.path.join(where, name), root)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def owner_of(header):
    return next((owner for library, owner in OWNED.items() if header == library or header.startswith(library + "/")), None)


def bad_includes(root):
    """Every include that goes the wrong way, as "file: header, reason"."""
    found = []
    for path in files(root, *FOLDERS):
        if not path.endswith((".c", ".h")):
            continue
        folder = max((name for name in ALLOWED if path.startswith(name + "/")), key=len)
        for quote, header in INCLUDE.findall(read(root, path)):
            if owner_of(header) not in (None, path.split(os.sep)[0]):
                found.append(f"{path}: {header}, only {owner_of(header)}/ may include it")
            if (quote == '"' or header.split("/")[0] in FOLDERS) and not header.startswith(ALLOWED[folder]):
                found.append(f"{path}: {header}, {folder}/ may include only {', '.join(ALLOWED[folder])}")
    return found


def unlicensed(root):
    """Every source whose first lines carry no SPDX line."""
    found = []
    for path in files(root):
        head = read(root, path).split("\n")[:3]
        if not LICENSED.search(path) and not head[0].startswith("#!"):
            continue
        if not any("SPDX-License-Identifier: MIT" in line for line in head):
            found.append(path)
    return found


def test_includes_go_one_way():
    assert bad_includes(ROOT) == []


@pytest.mark.parametrize("folder, include", [
    ("cache", '"backends/backend.h"'), ("cache", '"policies/tier.h"'), ("cache", "<ev.h>"), ("cache", "<sqlite3.h>"),
    ("cache", '"../policies/tier.h"'), ("cache", "<policies/tier.h>"),
    ("cache/base", '"cache/cache.h"'), ("policies/journal", '"policies/space.h"'), ("policies/journal", '"cache/cache.h"'),
    ("policies/journal", '"backends/backend.h"'),
    ("backends", '"cache/cache.h"'), ("backends", '"policies/space.h"'), ("backends", "<ev.h>"), ("backends", '"cache.h"'),
    ("policies", '"server/server.h"'), ("policies", "<ev.h>"), ("policies", "<hiredis/hiredis.h>"),
    ("server", "<sqlite3.h>"), ("server", '"tests/support/x.h"'),
])
def test_a_wrong_include_is_found(tmp_path, folder, include):
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "wrong.c").write_text(f"#include <stdio.h>\n  # include {include}\n")
    assert len(bad_includes(tmp_path)) == 1


def test_right_includes_are_not_found(tmp_path):
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "right.c").write_text('#include "policies/tier.h"\n#include <ev.h>\n')
    (tmp_path / "backends").mkdir()
    (tmp_path / "backends" / "right.c").write_text('#include "cache/base/entry.h"\n#include <sqlite3.h>\n')
    assert bad_includes(tmp_path) == []


def test_every_source_has_its_licence_line():
    assert unlicensed(ROOT) == []


def test_a_missing_licence_line_is_found(tmp_path):
    (tmp_path / "a.c").write_text("int x;\n")
    (tmp_path / "run").write_text("#!/bin/sh\necho\n")
    (tmp_path / "b.py").write_text("# SPDX-License-Identifier: MIT\n")
    assert sorted(unlicensed(tmp_path)) == ["a.c", "run"]


def clang_format():
    """clang-format 14, Debian 12's: other versions lay out some constructs differently."""
    for name in ("clang-format-14", "clang-format"):
        if shutil.which(name) and " 14." in subprocess.run([name, "--version"], capture_output=True, text=True, check=True).stdout:
            return name
    return None


def test_c_sources_are_formatted():
    program = clang_format()
    if not program:
        pytest.skip("clang-format 14 is not installed")
    sources = [path for path in files(ROOT, *FOLDERS, "tests", "tools") if path.endswith(".c")]
    done = subprocess.run([program, "--dry-run", *sources], cwd=ROOT, capture_output=True, text=True, check=True)
    assert sorted({line.split(":")[0] for line in done.stderr.splitlines() if "[-Wclang-format-violations]" in line}) == []
