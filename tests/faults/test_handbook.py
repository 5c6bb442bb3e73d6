# SPDX-License-Identifier: MIT
"""What the documents quote is there: the lines of the log in the sources, metrics in their table, options in --help, and what a
link points to in its page."""

import functools
import glob
import os
import re
import subprocess

import pytest
from forebay import ROOT, binary

PAGES = [os.path.relpath(path, ROOT) for path in sorted(glob.glob(os.path.join(ROOT, "docs", "**", "*.md"), recursive=True))]
HANDBOOK = ["docs/operating.md", "docs/sizing.md", "docs/backup.md", "docs/trouble.md"]
LIBRARIES = ("cache", "backends", "policies", "server")


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


# ---- Lines of the log ----

LITERAL = re.compile(r'"(?:[^"\\\n]|\\.)*"(?:\s*(?:[A-Z]\w+\s*)?"(?:[^"\\\n]|\\.)*")*')
CONVERSION = re.compile(r"%[-+ #0]*(?:\*|\d+)?(?:\.(?:\*|\d+))?(?:hh|h|ll|l|z|j|t)?[diuxXcsfp]")
ENOUGH = 8  # letters of a format, to know it by
FEW_WORDS = 4  # what a name, a number or a path may have
TOLD_BY_OTHERS = {os.strerror(number) for number in range(1, 134)} | {  # and by SQLite
    "database or disk is full", "database disk image is malformed", "file is not a database"}


def joined(literal):
    """The text of adjacent literals, with what a macro between them stands for: PRIu64 the rest of a conversion, others a text.
    A path of two parts is one thing to who reads it."""
    text = "".join("u" if macro.startswith("PRI") else "%s" if macro else piece
                   for piece, macro in re.findall(r'"((?:[^"\\\n]|\\.)*)"|([A-Z]\w+)', literal))
    return text.replace('\\"', '"').replace("\\n", "").replace("%s/%s", "%s").replace("%s%s", "%s")


@functools.cache
def formats():
    """What stands between the conversions of each literal of the sources that has something to say."""
    found = set()
    for library in LIBRARIES:
        for path in glob.glob(os.path.join(ROOT, library, "**", "*.[ch]"), recursive=True):
            for literal in LITERAL.findall(read(path)):
                text = joined(literal)
                pieces = tuple(CONVERSION.split(text + "%s" * text.endswith(": ")))  # where something is put behind it
                if sum(map(len, pieces)) >= ENOUGH:
                    found.add(pieces)
    return found


def stands_for_itself(text):
    """A name or a number; another line, perhaps one of a configuration's; or several of these."""
    text = re.sub(r"^/\S+:\d+: ", "", text)
    parts = text.split("; ")
    return len(text.split()) <= FEW_WORDS or text in TOLD_BY_OTHERS or is_said(text) or \
        len(parts) > 1 and all(map(stands_for_itself, parts))


def begins(line, pieces, whole, said=0):
    """Whether the line is this format, or unless it is to be whole its beginning, with something in place of each conversion. What
    was said of it before was so long."""
    first, rest = pieces[0], pieces[1:]
    if not line.startswith(first):
        return not whole and first.startswith(line) and said + len(line) >= ENOUGH
    line, said = line[len(first):], said + len(first)
    if not rest:
        return not line and said >= ENOUGH
    if not said and rest[0] == "":
        return False
    ends = [len(line)] if rest[0] == "" else [match.start() for match in re.finditer(re.escape(rest[0]), line)]
    if not whole:
        ends += [end for end in range(1, len(line)) if rest[0].startswith(line[end:])]
    if any(stands_for_itself(line[:end]) and begins(line[end:], rest, whole, said) for end in ends):
        return True
    return not whole and said >= ENOUGH and stands_for_itself(line)


def may_begin(text, pieces):
    """At a glance."""
    if pieces[0]:
        return text.startswith(pieces[0]) or pieces[0].startswith(text)
    return max(pieces[:-1], key=len) in text and len(max(pieces, key=len).strip()) >= 4


@functools.cache
def is_said(text, whole=True):
    return any(begins(text, pieces, whole) for pieces in formats() if may_begin(text, pieces))


QUOTE = re.compile(r"^ *(?:\d{4}-\S+Z )?(?:error|warning|notice): (.*?)(?:  +\(.*\))?$", re.MULTILINE)
CELL = re.compile(r"`(?:error|warning|notice): ([^`]*)`")


def quoted(page):
    """What is in blocks of code, whole; what is in tables may be the beginning of a line, or what is before and behind dots."""
    text = read(page)
    for line in QUOTE.findall("\n".join(re.findall(r"(?m)^    .*$", text))):
        yield line, True
    for line in CELL.findall("\n".join(re.findall(r"(?m)^\|.*$", text))):
        yield line.removeprefix("FILE:LINE: ").split(" ...")[0], False


@pytest.mark.parametrize("page", HANDBOOK)
def test_a_line_of_the_log_that_is_quoted_is_in_the_sources(page):
    assert [line for line, whole in quoted(page) if not is_said(line, whole)] == []


@pytest.mark.parametrize("page", HANDBOOK)
def test_an_error_that_clients_see_is_in_the_sources(page):
    text = " ".join(read(page).split())
    assert [error for error in re.findall(r"`(SERVER_ERROR [a-z][^`]*)`", text) if not is_said(error.split(" ...")[0], False)] == []


def test_a_line_that_nobody_says_is_found():
    assert is_said("backend far: takes writes again")
    assert is_said('backend local: writes fail and are tried again: backend "local", /x/store.db: committing: database or disk is full')
    assert not is_said("backend far: takes all writes again")
    assert not is_said("backend local: writes fail and are tried again: the moon is in the wrong quarter of the sky")


# ---- Metrics, options, links ----

@pytest.mark.parametrize("page", HANDBOOK)
def test_a_metric_that_is_named_is_in_the_table(page):
    known = set(re.findall(r"(?m)^\| `(forebay_\w+)`", read("docs/metrics.md")))
    known |= {name + suffix for name in known for suffix in ("_bucket", "_count", "_sum")}
    named = set(re.findall(r"\bforebay_[a-z]\w*[a-z]\b", read(page))) - {"forebay_version", "forebay_meta"}
    assert len(known) > 50 and named - known == set()


@pytest.mark.parametrize("page", HANDBOOK)
def test_an_option_of_a_command_is_one_of_the_program(page):
    helped = subprocess.run([binary(), "--help"], capture_output=True, text=True, timeout=60, check=True).stdout
    commands = re.findall(r"(?m)^    (?:sudo )?forebay (.*?)(?: +#.*)?$", read(page))
    used = {option for command in commands for option in re.findall(r"(?<!\S)--[a-z-]+", command)}
    assert [option for option in used if not re.search(rf"{option}\b", helped)] == []


def test_an_alarm_that_is_named_is_one_of_the_rules():
    alarms = set(re.findall(r"alert: (\w+)", read("docs/monitoring/forebay.rules.yml")))
    named = {name for page in HANDBOOK for name in re.findall(r"\bForebay[A-Z]\w+", read(page))}
    assert named and named - alarms == set()


def headings(text):
    """As GitHub names them."""
    prose = re.sub(r"(?ms)^```.*?^```", "", text)
    for title in re.findall(r"(?m)^#+ (.*)$", prose):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).lower()
        yield re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


LINK = re.compile(r"\]\(([^)\s#]*)#([^)\s]+)\)")


@pytest.mark.parametrize("page", PAGES)
def test_a_link_leads_to_a_heading_that_is_there(page):
    dead = []
    for target, heading in LINK.findall(read(page)):
        path = os.path.normpath(os.path.join(os.path.dirname(page), target)) if target else page
        if "://" not in target and path.endswith(".md") and heading not in set(headings(read(path))):
            dead.append(f"{target}#{heading}")
    assert dead == []
