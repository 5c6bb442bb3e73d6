# SPDX-License-Identifier: MIT
"""The page of tools/bench/report: a state (state.py) becomes a section of Markdown and plots beside it. Nothing is measured here, so
the same state always gives the same page."""

import collections
import os
import shlex
import types

import figures
import matrix
import plots
import sessions

BEGIN, END = "<!-- report: begin -->", "<!-- report: end -->"
HEAD = """# Benchmarks: a report

The section below is written by `tools/bench/report`; what it measures and how is in docs/benchmarks.md of the sources.
"""
# A figure of ours beside that of a peer: where, which; both labels; figures.Turns; figures.standing.
Compared = collections.namedtuple("Compared", "where words ours theirs found standing")
ROUNDS_THAT_SAY = 3
SHOWN = ("rate", "cpu_us", "p50", "p99", "p99.9", "max", "resident_mib", "lag_s")
HEAD_OF_RATE = "requests a second"
HEADS = ("operations a second", "CPU, us an operation", "p50, ms", "p99, ms", "p99.9, ms", "max, ms", "resident, MiB", "lag, s")


def table(head, rows):
    assert all(len(row) == len(head) for row in rows), head  # a reader's program leaves out what has no head
    return ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |", *("| " + " | ".join(row) + " |" for row in rows), ""]


def wrapped(words, width=120):
    """A paragraph, or an item of a list whose later lines are set in."""
    lines, inset = [], "  " if words.startswith("- ") else ""
    for word in words.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += " " + word
        else:
            lines.append((inset if lines else "") + word)
    return lines


class Page:
    """state: state.State. images: where plots go, as the page links to them; files: {name: SVG} of what was drawn."""

    def __init__(self, state, images="images"):
        self.state, self.images, self.files = state, images, {}
        self.settings = types.SimpleNamespace(**state.content["settings"])
        self.subjects = matrix.subjects()
        self.compared, self.goals_made, self.missed = [], 0, []

    # ---- What was measured ----

    def loads(self):
        """Those that were measured, {name: Load}."""
        known = {matrix.name_of(load): load for load in matrix.loads(full=True)}
        done = dict.fromkeys(task.split("/")[1] for task in self.state.content["done"] if task.startswith("matrix/"))
        return {name: known[name] for name in known if name in done}

    def values(self, beginning, *way):
        """A figure of every round, None where one does not have it; way: where it is in a result."""
        values = []
        for result in self.state.results(beginning):
            for step in way:
                result = dict(map(tuple, result)) if isinstance(result, list) else result
                result = (result or {}).get(step)
            values.append(result)
        return values

    def spread(self, beginning, *way):
        return figures.spread(self.values(beginning, *way))

    def curve(self, beginning, *way):
        """The median of each percentile over the rounds; None where nothing was measured."""
        found = [dict(map(tuple, one)) for one in self.values(beginning, *way) if one]
        return [[percent, figures.spread([one[percent] for one in found]).median] for percent in found[0]] if found else None

    def compare(self, where, words, ours, theirs, at_most=True):
        """Remembers how we stand. ours and theirs: (label, values)."""
        found = figures.paired(ours[1], theirs[1])
        if found:
            self.compared.append(Compared(where, words, ours[0], theirs[0], found, figures.standing(found, at_most)))

    def plot(self, name, svg, about):
        self.files[f"{name}.svg"] = svg
        return [f"![{about}]({self.images}/{name}.svg)", ""]

    # ---- Its parts ----

    def header(self):
        machine, versions = self.state.content["machine"], self.state.content["versions"]
        lines = ["### The report", "", "    " + self.settings.command, ""]
        look = " This is a quick look: not for a document." if self.settings.quick else ""
        rounds = f"{self.settings.rounds} round{'s' if self.settings.rounds > 1 else ''}"
        lines += wrapped(f"{rounds}, {self.settings.seconds} s each.{look} A figure is the median, with the lowest and the "
                         "highest round in brackets. In a round every server has its turn, started anew, and the order turns from "
                         "round to round. Latencies are those of a closed loop, where nobody waits to send the next request, except "
                         "where a rate is named. CPU is user and system time of the whole server process; with one thread it runs on the first "
                         "core, the load on the second one (taskset), with more they share all. The CPU of write-behind includes writing "
                         "everything to the backend; lag is the highest age that a change reached before it was there. Resident memory is that "
                         "at the end of the load.") + [""]
        lines += table(("", ""), [(name, str(value)) for name, value in {**machine, **versions}.items()])
        return lines

    def servers(self):
        """How those of the matrix were started."""
        known = [(subject.label, f"`{matrix.started_with(subject)}`") for key, subject in self.subjects.items()
                 if any(self.spread(f"matrix/{name}/", key, "rate") for name in self.loads())]
        return ["#### The servers", "", *table(("", "started, for one thread, with"), known)] if known else []

    def matrix(self):
        lines = []
        for name, load in self.loads().items():
            begins, rows = f"matrix/{name}/", []
            for subject in self.subjects:
                if self.spread(begins, subject, "rate"):
                    cells = [figures.with_spread(self.spread(begins, subject, figure)) if figure in ("rate", "cpu_us") else
                             figures.short(getattr(self.spread(begins, subject, figure), "median", None)) for figure in SHOWN]
                    rows.append([self.subjects[subject].label, *cells])
            lines += [f"#### {name[0].upper()}{name[1:]}", "", "    memtier_benchmark -s 127.0.0.1 -p PORT -P memcache_text|redis "
                      + shlex.join(map(str, matrix.options_of(self.settings, load))), "", *table(("", *HEADS), rows)]
            self.compare_peers(name, begins)
        return lines

    def compare_peers(self, name, begins):
        for ours, theirs in matrix.PEERS:
            for figure, words in zip(SHOWN[:-1], HEADS):
                if ours in self.subjects and theirs in self.subjects:
                    self.compare(name, words, (self.subjects[ours].label, self.values(begins, ours, figure)),
                                 (self.subjects[theirs].label, self.values(begins, theirs, figure)), figure != "rate")

    def matrix_plots(self):
        depths = [matrix.BASE._replace(pipeline=depth) for depth in matrix.SETTINGS["pipeline"]]
        lines = []
        for figure, title in (("cpu_us", "CPU per operation, microseconds: less is better"), ("rate", "Operations a second: more is better")):
            groups = []
            for load in depths:
                found = [(subject.label, self.spread(f"matrix/{matrix.name_of(load)}/", key, figure)) for key, subject in self.subjects.items()]
                groups.append((f"pipeline {load.pipeline}", [(label, one) for label, one in found if one]))
            groups = [group for group in groups if group[1]]
            if groups:
                lines += self.plot(f"benchmarks-{figure.replace('_', '-')}", plots.bars(title, groups, figures.short), title)
        name = matrix.name_of(depths[0])
        series = [(subject.label, self.curve(f"matrix/{name}/", key, "curve")) for key, subject in self.subjects.items()]
        return lines + self.curves("benchmarks-latency", f"Latency, {name}", series)

    def curves(self, name, title, series):
        series = [(label, curve) for label, curve in series if curve]
        return self.plot(name, plots.curves(title, series), title) if series else []

    def sessions(self):
        if not self.state.results("sessions/"):
            return []
        lines = ["#### Sessions", "", "    build/release/tools/bench/bench_session -P PORT -p memcached|redis -u "
                 f"{self.settings.users} -t {self.settings.seconds}      # and -r {self.settings.pace}, and -l", ""]
        lines += wrapped("What session middleware does: each request reads its session; 30 % write it, the others touch it, 1 % log out, and "
                         "who is not logged in logs in. Users are drawn by Zipf's law (0.9), sessions have 1 to 8 kB, there are 32 "
                         "connections. Paced: so many requests a second as -r says, and waiting for one's turn counts. Locked: each "
                         "request holds its session by add, as PHP does. The last two columns: after the load, the server was killed "
                         "(kill -9) and started again, at once; how many sessions were there, as they had been acknowledged, and how many "
                         "of those that users had logged out of.") + [""]
        lines += self.session_table() + self.session_plots()
        return lines

    def stores(self):
        """Those that were measured."""
        return {key: store for key, store in sessions.STORES.items() if self.spread("sessions/", key, "full", "rate")}

    def session_table(self):
        rows = []
        for key, store in self.stores().items():
            def shown(load, figure, way=figures.with_spread, key=key):
                return way(self.spread("sessions/", key, load, figure))

            paced = dict(map(tuple, self.curve("sessions/", key, "paced", "curve") or [])) or {99: None, 99.9: None}
            killed = self.values("sessions/", key, "killed")
            kept, all_of_them = sum(one["sessions"] - one["lost"] - one["undone"] for one in killed), sum(one["sessions"] for one in killed)
            returned = sum(one["returned"] for one in killed)
            wrong = sum(result[key][load]["lost"] + result[key][load]["undone"] + result[key][load]["refused"]
                        for result in self.state.results("sessions/") for load in sessions.LOADS)
            rows.append([store.label, shown("full", "rate"), shown("full", "cpu_us"), figures.short(paced[99]), figures.short(paced[99.9]),
                         shown("locked", "rate"), shown("full", "lag_s"), shown("full", "resident_mib"), str(wrong),
                         f"{100 * kept / max(1, all_of_them):.4g} %", str(returned)])
        self.compare_sessions()
        return table(("", "requests a second", "CPU of all servers, us a request", "paced: p99, ms", "p99.9, ms", "locked: requests a second",
                      "lag, s", "resident, MiB", "lost, old or refused", "there after a kill", "back after logging out"), rows)

    def compare_sessions(self):
        ways = (("full", "rate", HEAD_OF_RATE), ("full", "cpu_us", "CPU, us a request"), ("full", "resident_mib", HEADS[6]),
                ("locked", "rate", HEAD_OF_RATE), ("paced", "curve", 50.0, HEADS[2]), ("paced", "curve", 99.0, HEADS[3]), ("paced", "curve", 99.9, HEADS[4]))
        for ours, theirs in (("forebay-sqlite", "redis"), ("forebay-redis", "redis"), ("forebay-sqlite", "memcached")):
            for *way, words in ways:
                self.compare(f"sessions, {way[0]}", words, (sessions.STORES[ours].label, self.values("sessions/", ours, *way)),
                             (sessions.STORES[theirs].label, self.values("sessions/", theirs, *way)), "rate" not in way)

    def compare_django(self):
        ours, ways = "django-forebay", (("rate", HEAD_OF_RATE), ("cpu_us", "CPU, us a request"), ("curve", 50.0, HEADS[2]), ("curve", 99.0, HEADS[3]))
        for theirs in (other for other in sessions.DJANGO if other != ours):
            for *way, words in ways:
                self.compare("Django's sessions", words, (sessions.DJANGO[ours], self.values("django/", ours, *way)),
                             (sessions.DJANGO[theirs], self.values("django/", theirs, *way)), "rate" not in way)

    def session_plots(self):
        title = "Sessions: CPU of all servers, us a request"
        groups = [(load, [(store.label, self.spread("sessions/", key, load, "cpu_us")) for key, store in self.stores().items()])
                  for load in sessions.LOADS]
        series = [(store.label, self.curve("sessions/", key, "paced", "curve")) for key, store in self.stores().items()]
        return self.plot("benchmarks-sessions-cpu", plots.bars(title, groups, figures.short), title) + \
            self.curves("benchmarks-sessions-latency", f"Sessions: latency at {self.settings.pace} requests a second", series)

    def django(self):
        if not self.state.results("django/"):
            return []
        lines = ["#### Django's sessions", "", f"    tools/bench/django_sessions --database FILE --users {self.settings.django_users} --seconds "
                 f"{self.settings.seconds}      # or --wal, or --port PORT", ""]
        lines += wrapped("The same through Django's own session engines, in two processes, with Django's settings: a session is saved when "
                         "it was changed, and not touched otherwise. CPU is that of the application and of the server.") + [""]
        rows = []
        for key, label in sessions.DJANGO.items():
            curve = dict(map(tuple, self.curve("django/", key, "curve")))
            rows.append([label, figures.with_spread(self.spread("django/", key, "rate")), figures.with_spread(self.spread("django/", key, "cpu_us")),
                         *(figures.short(curve[percent]) for percent in (50, 99, 99.9, 100)),
                         str(sum(result[key]["lost"] + result[key]["undone"] for result in self.state.results("django/")))])
        self.compare_django()
        return lines + table(("", HEAD_OF_RATE, "CPU, us a request", *HEADS[2:6], "lost or old"), rows)

    def goals(self, kind, title, command):
        """What tools/bench/compare and durability print."""
        rows = []
        for result in self.state.results(kind + "/"):
            for one in result:
                goal = "" if one["goal"] is None else f"{'at most' if one['at_most'] else 'at least'} {one['goal']:g}{one['unit']}"
                rows.append([one["name"], f"{one['value']:.3g}{one['unit']}", one["detail"], goal, "" if one["goal"] is None else "met" if one["met"] else "missed"])
                self.goals_made += one["goal"] is not None
                if not one["met"]:
                    self.missed.append([one["name"], f"{one['value']:.3g}{one['unit']}", one["detail"], goal])
        return [f"#### {title}", "", f"    {command}", "", *table(("", "measured", "", "goal", ""), rows)] if rows else []

    def standing_lines(self):
        """How many of the comparisons go which way, and those in which Forebay is behind, the worst first."""
        count = collections.Counter(one.standing for one in self.compared)
        lines = ["#### Where Forebay is behind", ""]
        lines += wrapped(f"Each figure is set against that of a peer, within each round: of one that promises the same where there is one (memcached and "
                         f"Pogocache forget sessions). Of {len(self.compared)} such "
                         f"comparisons Forebay is ahead in {count['ahead']} and behind in {count['behind']}: in every round, and by more than "
                         f"{figures.MARGIN * 100:g} % in the middle one. In the other {count['even']} the rounds disagree, or differ by less."
                         + ("" if self.settings.rounds >= ROUNDS_THAT_SAY else " With so few rounds, chance decides some of them.")) + [""]
        behind = sorted((one for one in self.compared if one.standing == "behind"), key=lambda one: -max(one.found.ratio, 1 / one.found.ratio))
        rows = [[one.where, one.words, f"{one.ours}: {figures.short(one.found.ours)}", f"{one.theirs}: {figures.short(one.found.theirs)}",
                 figures.with_spread(figures.Spread(one.found.ratio, one.found.lowest, one.found.highest))] for one in behind]
        return lines + (table(("where", "figure", "Forebay", "peer", "ratio, in the rounds"), rows) if rows else [])

    def missed_lines(self):
        if not self.goals_made:
            return []
        lines = wrapped(f"Of {self.goals_made} goals of Forebay's own, {len(self.missed)} {'is' if len(self.missed) == 1 else 'are'} missed.") + [""]
        return lines + (table(("missed", "measured", "", "goal"), self.missed) if self.missed else [])

    def text(self):
        parts = [self.header(), self.matrix_plots(), self.sessions(), self.django(), self.servers(), self.matrix(),
                 self.goals("peers", "Against memcached", "tools/bench/compare"),
                 self.goals("durable", "What durability costs", "tools/bench/durability"), self.standing_lines(), self.missed_lines()]
        return "\n".join(line for part in parts for line in part)


def replaced(whole, section):
    """A page with its report exchanged; one that has no place for it gets it at the end."""
    if BEGIN in whole and END in whole:
        before, after = whole.split(BEGIN, 1)[0], whole.split(END, 1)[1]
        return f"{before}{BEGIN}\n\n{section.strip()}\n\n{END}{after}"
    return f"{whole.rstrip()}\n\n{BEGIN}\n\n{section.strip()}\n\n{END}\n"


def write(state, path):
    """The page and its plots, in images/ beside it."""
    page = Page(state)
    section = page.text()
    whole = HEAD
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            whole = file.read()
    images = os.path.join(os.path.dirname(os.path.abspath(path)), page.images)
    os.makedirs(images, exist_ok=True)
    for name, svg in page.files.items():
        with open(os.path.join(images, name), "w", encoding="utf-8") as file:
            file.write(svg)
    with open(path, "w", encoding="utf-8") as file:
        file.write(replaced(whole, section))
