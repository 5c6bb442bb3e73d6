# SPDX-License-Identifier: MIT
"""The house rules that a compiler does not check: which folder may include what, the SPDX line of each source, and the
layout of text: nothing that a formatter or a hand has torn.

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
C_FOLDERS = FOLDERS + ("tests", "tools")

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
OWNED = {"ev.h": "server", "confuse.h": "server", "microhttpd.h": "server", "zlib.h": "server", "openssl": "server", "seccomp.h": "server", "crypt.h": "server", "sqlite3.h": "backends", "hiredis": "backends"}

# Inside a library: its rooms, lowest first. A room is a folder or a list of modules; a module goes into the first room that
# names it. A header of a higher room is out of reach, except as EXCEPTIONS say, each with its reason in docs/design.md.
ROOMS = {
    "policies": (
        # what is asked and what it means, and small parts that know no tier
        ("policies/commands", "policies/request", "policies/number", "policies/evaluate",
         "policies/entry_copy", "policies/service", "policies/breaker", "policies/space_options", "policies/bloom"),
        # what a tier is made of
        ("policies/tier", "policies/backend_settings", "policies/tier_parts", "policies/tier_drain", "policies/tier_stats", "policies/tier_measure",
         "policies/usage", "policies/latency", "policies/backend_calls", "policies/policy.h", "policies/fullness",
         "policies/space", "policies/ticket", "policies/turn", "policies/hold", "policies/row", "policies/store",
         "policies/session", "policies/version_floor", "policies/absence", "policies/tell", "policies/slow_log"),
        ("policies/write/",),
        ("policies/load/",),
        # the policies themselves
        ("policies/",),
    ),
    "server": (
        ("server/buffer", "server/accept_header", "server/log", "server/log_line", "server/server", "server/reload.h"),
        ("server/protocol/", "server/config/"),
        ("server/tls/",),
        ("server/accepted", "server/activation", "server/listener", "server/listener_bind", "server/listener_internal", "server/rotation", "server/maintenance", "server/control_group", "server/machine_memory"),
        ("server/admin/",),
        ("server/worker/",),
        ("server/http/",),
        ("server/",),
    ),
}

# (what includes, the higher header)
EXCEPTIONS = {
    # These make, drive, drain and tell of the whole tier: their headers are low, their insides see all of it.
    ("policies/tier.c", "policies/load/"), ("policies/tier.c", "policies/write/"),
    ("policies/turn.c", "policies/load/"), ("policies/turn.c", "policies/write/"), ("policies/turn.c", "policies/execute.h"),
    ("policies/tier_drain.c", "policies/load/"), ("policies/tier_drain.c", "policies/write/"),
    ("policies/tier_stats.c", "policies/load/"), ("policies/tier_stats.c", "policies/write/"),
    ("policies/tier_measure.c", "policies/load/"), ("policies/tier_measure.c", "policies/write/"),
    ("policies/space.c", "policies/write/"),
    ("policies/write/call_verdict.c", "policies/load/loader.h"),
    ("server/admin/stats.c", "server/worker/worker_stats.h"),
    ("server/admin/metrics_snapshot.h", "server/worker/worker_stats.h"),
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
GUARD = re.compile(r"^#ifndef (\w+)\n#define \1$", re.MULTILINE)
LICENSED = re.compile(r"\.(c|h|py|js|pl|php|rb|java|cmake)$|(^|/)CMakeLists\.txt$")
SKIPPED_FOLDERS = {".git", "build", "var", "vendor", "node_modules", "__pycache__", ".pytest_cache", ".cache"}


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


def room_of(path, rooms):
    module = os.path.splitext(path)[0]
    return next(number for number, room in enumerate(rooms)
                if any(name in (path, module) or name.endswith("/") and path.startswith(name) for name in room))


def climbs(root):
    """Every include of a header of a higher room, as (file, header)."""
    found = []
    for library, rooms in ROOMS.items():
        for path in files(root, library):
            if not path.endswith((".c", ".h")) or path.startswith("policies/journal/"):
                continue
            for _, header in INCLUDE.findall(read(root, path)):
                if header.startswith(library + "/") and not header.startswith("policies/journal/") and \
                        room_of(header, rooms) > room_of(path, rooms):
                    found.append((path, header))
    return sorted(found)


def is_excepted(path, header):
    return any(path == file and header.startswith(higher) for file, higher in EXCEPTIONS)


def misguarded(root):
    """Every header whose guard is not named after its path."""
    return sorted(path for path in files(root, *C_FOLDERS) if path.endswith(".h")
                  and (GUARD.findall(read(root, path)) or [""])[0] != "FOREBAY_" + re.sub(r"\W", "_", path).upper())


def late_own_headers(root):
    """Every source that includes another header before the one that promises what it does, which must need no other."""
    found = []
    for path in files(root, *C_FOLDERS):
        own = path[:-2] + ".h"
        if path.endswith(".c") and os.path.exists(os.path.join(root, own)):
            headers = [header for _, header in INCLUDE.findall(read(root, path))]
            if headers[:1] != [own]:
                found.append(path)
    return sorted(found)


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


def test_no_room_knows_a_higher_one():
    assert [climb for climb in climbs(ROOT) if not is_excepted(*climb)] == []


def test_every_exception_is_needed():
    needed = climbs(ROOT)
    assert [exception for exception in EXCEPTIONS
            if not any(path == exception[0] and header.startswith(exception[1]) for path, header in needed)] == []


def test_a_climb_is_found(tmp_path):
    (tmp_path / "policies" / "write").mkdir(parents=True)
    (tmp_path / "policies" / "write" / "x.c").write_text('#include "policies/execute.h"\n#include "policies/space.h"\n')
    (tmp_path / "policies" / "request.h").write_text('#include "policies/tier.h"\n')
    assert climbs(tmp_path) == [("policies/request.h", "policies/tier.h"), ("policies/write/x.c", "policies/execute.h")]


def test_include_guards_are_named_after_their_headers():
    assert misguarded(ROOT) == []


def test_a_source_includes_its_own_header_first():
    assert late_own_headers(ROOT) == []


def test_a_wrong_guard_and_a_late_header_are_found(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "right.h").write_text("#ifndef FOREBAY_CACHE_RIGHT_H\n#define FOREBAY_CACHE_RIGHT_H\n#endif\n")
    (tmp_path / "cache" / "right.c").write_text('#include "cache/right.h"\n#include <stdio.h>\n')
    (tmp_path / "cache" / "wrong.h").write_text("#ifndef FOREBAY_WRONG_H\n#define FOREBAY_WRONG_H\n#endif\n")
    (tmp_path / "cache" / "wrong.c").write_text('#include <stdio.h>\n#include "cache/wrong.h"\n')
    (tmp_path / "cache" / "without.h").write_text("int x;\n")
    assert misguarded(tmp_path) == ["cache/without.h", "cache/wrong.h"]
    assert late_own_headers(tmp_path) == ["cache/wrong.c"]


def test_every_source_has_its_licence_line():
    assert unlicensed(ROOT) == []


def test_a_missing_licence_line_is_found(tmp_path):
    (tmp_path / "a.c").write_text("int x;\n")
    (tmp_path / "run").write_text("#!/bin/sh\necho\n")
    (tmp_path / "b.py").write_text("# SPDX-License-Identifier: MIT\n")
    assert sorted(unlicensed(tmp_path)) == ["a.c", "run"]


# A diagram or a table in a comment: indented by four or more. What follows it in the same comment comes after an empty
# line, or the two have been joined by a formatter.
DIAGRAM = re.compile(r"^ \* {4,}\S")
TEXT = re.compile(r"^ \* ?[^\s*/]")

# The prose of a comment that has a line of its own.
PROSE = re.compile(r"^\s*(?:/\*| \*) ?\S")
WIDTH = 120

# A declaration whose type was left behind, because the comment beside it is too long: it belongs above.
TYPE_ALONE = re.compile(r"^\s+(?!(?:return|else|do|goto|case)\b)[A-Za-z_]\w*(?:[ *]+[A-Za-z_]\w*)*[ *]*$")
NAME_ALONE = re.compile(r"^\s+\**\w+(?:\[\w*\])*;")

# A phrase that goes on in another literal is not found by grep. A cut behind a comma or a full stop does no harm.
CUT = re.compile(r'(?:^|[^\\])"(?:[^"\\]|\\.)*[a-z] ?"$')
CONTINUED = re.compile(r'^\s*" ?[a-z%]')


def torn_comments(lines):
    return [number + 2 for number, (line, following) in enumerate(zip(lines, lines[1:]))
            if DIAGRAM.match(line) and TEXT.match(following) and not DIAGRAM.match(following)]


def wide_comments(lines):
    return [number for number, line in enumerate(lines, 1) if len(line) > WIDTH and PROSE.match(line)]


def torn_declarations(lines):
    return [number + 2 for number, (line, following) in enumerate(zip(lines, lines[1:]))
            if TYPE_ALONE.match(line) and NAME_ALONE.match(following)]


def torn_strings(lines):
    return [number + 2 for number, (line, following) in enumerate(zip(lines, lines[1:]))
            if CUT.search(line) and CONTINUED.match(following)]


def torn(root, find, *folders):
    return [f"{path}:{number}" for path in sorted(files(root, *folders)) if path.endswith((".c", ".h"))
            for number in find(read(root, path).split("\n"))]


def test_no_comment_is_torn():
    assert torn(ROOT, torn_comments, *FOLDERS, "tests", "tools") == []


def test_no_comment_is_too_wide():
    assert torn(ROOT, wide_comments, *FOLDERS, "tests", "tools") == []


def test_no_declaration_is_torn():
    assert torn(ROOT, torn_declarations, *FOLDERS, "tests", "tools") == []


def test_no_message_is_cut():
    assert torn(ROOT, torn_strings, *FOLDERS) == []


@pytest.mark.parametrize("find, text, line", [
    (torn_comments, "/*\n *     a  the first\n * byte of it\n */", 3),
    (wide_comments, f"/* Short,\n * but {'long ' * 25}\n */", 2),
    (torn_declarations, "struct x {\n    uint64_t\n        since; /* long */\n};", 3),
    (torn_declarations, "struct x {\n    const char *\n        name;\n};", 3),
    (torn_strings, 'log("the disk is "\n    "full");', 2),
    (torn_strings, 'log("it stands in"\n    " %s", a);', 2),
])
def test_a_tear_is_found(find, text, line):
    assert find(text.split("\n")) == [line]


@pytest.mark.parametrize("find, text", [
    (torn_comments, "/*\n *     a  the first\n *     b  the second\n *\n * Text.\n */"),
    (torn_comments, "/*\n * Text\n *     a  the first\n */"),
    (wide_comments, f"/*\n *     a  the first, {'long ' * 25}\n */\nuint64_t {'a' * 80}; /* {'long ' * 10}*/"),
    (torn_declarations, "    uint64_t since;\n    return\n        x;"),
    (torn_strings, 'puts("one line\\n"\n     "another\\n");'),
    (torn_strings, 'run("SELECT a "\n    "FROM b");'),
    (torn_strings, 'log("%s is full, "\n    "make room");'),
])
def test_what_is_whole_is_not_found(find, text):
    assert find(text.split("\n")) == []


# ---- Documents ----


def wide_lines(text):
    """Numbers of prose lines that are too long. Tables, code and links that cannot be broken are no prose."""
    found, fenced = [], False
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("```"):
            fenced = not fenced
        prose = not fenced and not line.startswith(("|", "    ")) and " " in line.strip()
        if prose and len(line) > WIDTH:
            found.append(number)
    return found


def documents(root):
    yield "README.md"
    yield from (path for path in files(root, "docs", "tests") if path.endswith(".md"))


def test_prose_is_wrapped():
    assert [f"{path}:{number}" for path in documents(ROOT) for number in wide_lines(read(ROOT, path))] == []


def test_a_wide_line_is_found():
    wide = "word " * 30
    assert wide_lines(f"{wide}\n| {wide} |\n    {wide}\n```\n{wide}\n```\n{wide}") == [1, 7]


LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


def dead_links(root):
    """Links of the documents to files of the project that are not there."""
    return [f"{path}: {target}" for path in documents(root) for target in LINK.findall(read(root, path))
            if "://" not in target and not os.path.exists(os.path.join(root, os.path.dirname(path), target))]


def test_documents_link_to_what_is_there():
    assert dead_links(ROOT) == []


def test_a_dead_link_is_found(tmp_path):
    (tmp_path / "README.md").write_text("[there](there.md#part), [gone](gone.c), [web](https://example.org)\n")
    (tmp_path / "there.md").write_text("x\n")
    assert dead_links(tmp_path) == ["README.md: gone.c"]


PLACE = re.compile(r"\b(\w+\.[ch])\s+`(\w+)`")


def strayed_names(root):
    """What documents name right behind a source, as a function of it, and is not in it."""
    sources = {}
    for path in files(root, *FOLDERS):
        sources.setdefault(os.path.basename(path), []).append(path)
    return [f"{path}: {source} {name}" for path in documents(root) for source, name in PLACE.findall(read(root, path))
            if source in sources and not any(re.search(rf"\b{name}\b", read(root, one)) for one in sources[source])]


def test_documents_find_functions_where_they_are():
    assert strayed_names(ROOT) == []


def test_a_function_that_has_moved_is_found(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "old.c").write_text("int stays_here;\n")
    (tmp_path / "cache" / "new.c").write_text("int has_moved;\n")
    (tmp_path / "README.md").write_text("| a step | cache/old.c `stays_here`, new.c `has_moved` |\ncache/old.c\n`has_moved`\n")
    assert strayed_names(tmp_path) == ["README.md: old.c has_moved"]


# ---- Formatting ----


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
    sources = [path for path in files(ROOT, *FOLDERS, "tests", "tools") if path.endswith((".c", ".h"))]
    done = subprocess.run([program, "--dry-run", *sources], cwd=ROOT, capture_output=True, text=True, check=True)
    assert sorted({line.split(":")[0] for line in done.stderr.splitlines() if "[-Wclang-format-violations]" in line}) == []
