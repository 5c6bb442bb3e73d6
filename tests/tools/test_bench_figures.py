# SPDX-License-Identifier: MIT
"""tools/bench without a server: its arithmetic, what it resumes, and the page that it writes of figures."""

import json
import os
import xml.etree.ElementTree

import bench_tools  # noqa: F401  pylint: disable=unused-import
import cores
import figures
import page
import plots
import pytest
import state
import workers

SETTINGS = {"command": "tools/bench/report --seconds 4 --rounds 3", "seconds": 4, "rounds": 3, "quick": False, "keys": 100000, "users": 20000,
            "django_users": 2000, "pace": 4000}
MACHINE, VERSIONS = {"processor": "a processor"}, {"Forebay": "1.0, build 123"}
BASE = "pipeline 16, set:get 1:10, 100 bytes, 1 thread"


# ---- Arithmetic ----


def test_the_order_turns():
    assert [figures.order(3, turn) for turn in range(3)] == [[0, 1, 2], [2, 1, 0], [0, 1, 2]]


def test_a_ratio_is_the_median_of_those_within_a_turn():
    """The machine was three times as slow in the second turn, which both sides felt; of medians the ratio would be 1."""
    found = figures.turns([1, 6, 4], [2, 12, 4])
    assert (found.ratio, found.ours, found.theirs, found.lowest, found.highest, found.rounds) == (0.5, 4, 4, 0.5, 1, 3)


def test_a_server_gets_the_second_hardware_thread_of_a_core_last():
    pairs = {0: [0, 1], 1: [0, 1], 2: [2, 3], 3: [2, 3], 4: [4]}
    assert cores.spread_out([3, 4, 1, 2, 0], pairs.get) == [0, 2, 4, 1, 3]


@pytest.mark.parametrize("processors, expected", [(1, [1]), (2, [1]), (3, [1]), (4, [1, 2]), (16, [1, 2, 4, 8]), (31, [1, 2, 4, 8])])
def test_a_server_gets_no_more_than_half_of_the_processors(processors, expected):
    assert cores.counts(processors) == expected


@pytest.mark.parametrize("processors, server, load, used", [
    ([0], None, None, 1), ([0, 1], None, None, 2), ([0, 1, 2], None, None, 3), ([0, 2, 1, 3], "0,2", "1,3", 2)])
def test_workers_share_processors_with_the_load_only_where_there_are_few(processors, server, load, used):
    assert workers.places(processors) == (server, load, used)


def test_a_spread_leaves_out_what_nobody_measured():
    assert figures.spread([3, None, 1, 10]) == (3, 1, 10)
    assert figures.spread([None, None]) is None


@pytest.mark.parametrize("values, percent, expected", [
    (range(1, 101), 50, 50), (range(1, 101), 99, 99), (range(1, 101), 100, 100), (range(1, 101), 99.9, 100), ([7], 50, 7), ([1, 2], 0, 1)])
def test_a_percentile_is_one_of_the_values(values, percent, expected):
    assert figures.percentile(list(values), percent) == expected


@pytest.mark.parametrize("value, shown", [
    (1234567.8, "1,234,568"), (345.6, "346"), (12.34, "12.3"), (1.234, "1.23"), (0.12345, "0.123"), (0, "0"), (None, "")])
def test_figures_are_shown_with_what_means_something(value, shown):
    assert figures.short(value) == shown


def test_a_spread_is_shown_where_there_is_one():
    assert figures.with_spread(figures.Spread(12.34, 11.9, 13)) == "12.3 (11.9 to 13.0)"
    assert figures.with_spread(figures.Spread(12.34, 12.33, 12.34)) == "12.3"
    assert figures.with_spread(None) == ""


def test_the_time_left_learns_from_what_was_done():
    tasks = {"a/1": 10, "a/2": 10, "a/3": 20, "b/1": 100}
    assert figures.seconds_left(tasks, {}) == 140
    assert figures.seconds_left(tasks, {"a/1": 20}) == 160  # what is left of a takes twice as long, too
    assert figures.seconds_left(tasks, {"a/1": 20, "elsewhere/1": 1000}) == 160
    assert figures.seconds_left(tasks, dict.fromkeys(tasks, 1)) == 0


@pytest.mark.parametrize("seconds, shown", [(40, "40 s"), (89, "89 s"), (95, "2 min"), (3540, "59 min"), (3600, "1 h 00 min"), (7530, "2 h 06 min")])
def test_durations_are_short(seconds, shown):
    assert figures.duration(seconds) == shown


def test_figures_are_paired_within_their_rounds():
    found = figures.paired([1, None, 6, 4], [2, 3, 12, 0])
    assert (found.ratio, found.rounds) == (0.5, 2)
    assert figures.paired([None], [1]) is None


@pytest.mark.parametrize("ratios, at_most, expected", [
    ([1.2, 1.05, 1.5], True, "behind"), ([1.2, 1.05, 1.5], False, "ahead"), ([0.7, 0.8, 0.9], True, "ahead"), ([0.7, 0.8, 0.9], False, "behind"),
    ([1.2, 0.99, 1.5], True, "even"), ([1.01, 1.015, 1.3], True, "even"), ([1.2], True, "behind")])
def test_we_are_behind_where_every_round_says_so(ratios, at_most, expected):
    """The rounds may differ threefold, as machines do: what is compared is within them."""
    speeds = [1, 3, 2][:len(ratios)]
    found = figures.paired([ratio * speed for ratio, speed in zip(ratios, speeds)], speeds)
    assert figures.standing(found, at_most) == expected


# ---- Resuming ----


def resumed(path, **other):
    return state.State.resume(str(path), **{"settings": SETTINGS, "machine": MACHINE, "versions": VERSIONS, **other})


def test_a_run_goes_on_where_it_was(tmp_path):
    first = resumed(tmp_path / "there" / "state.json")
    first.finish("matrix/a/1", {"forebay": {"rate": 1}}, 12.5)
    first.finish("matrix/a/2", {"forebay": {"rate": 2}}, 13)
    again = resumed(tmp_path / "there" / "state.json")
    assert again.taken() == {"matrix/a/1": 12.5, "matrix/a/2": 13}
    assert again.result("matrix/a/2") == {"forebay": {"rate": 2}}
    assert again.result("matrix/a/3") is None
    assert again.results("matrix/a/") == [{"forebay": {"rate": 1}}, {"forebay": {"rate": 2}}]


def test_what_was_killed_while_it_saved_is_whole(tmp_path):
    first = resumed(tmp_path / "state.json")
    first.finish("a/1", 1, 1)
    (tmp_path / "state.json.new").write_text('{"settings": {')  # as far as it came
    assert resumed(tmp_path / "state.json").taken() == {"a/1": 1}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"form": 2}', '{"form": 2, "settings": {}, "machine": {}, "versions": {}, "done": {"a/1": 1}}'])
def test_what_is_no_state_is_refused(tmp_path, text):
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(state.Unreadable):
        resumed(tmp_path / "state.json")
    with pytest.raises(state.Unreadable, match="FileNotFoundError"):
        state.State.load(str(tmp_path / "none.json"))


def test_results_of_another_form_are_refused(tmp_path):
    found = resumed(tmp_path / "state.json")
    found.content["form"] -= 1
    found.save()
    with pytest.raises(state.Unreadable, match="another version of tools/bench/report"):
        resumed(tmp_path / "state.json")


def test_what_cannot_be_saved_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file/state.json"):
        resumed_nowhere(tmp_path / "file" / "state.json").save()
    if os.path.exists("/dev/full"):
        (tmp_path / "state.json.new").symlink_to("/dev/full")
        with pytest.raises(OSError, match=r"No space left on device: '.*state.json'"):
            resumed_nowhere(tmp_path / "state.json").save()


def resumed_nowhere(path):
    return state.State(str(path), SETTINGS, MACHINE, VERSIONS)


@pytest.mark.parametrize("other, said", [
    ({"settings": {**SETTINGS, "seconds": 2}}, "seconds: 4 there, 2 now"),
    ({"machine": {"processor": "another"}}, "processor: a processor there, another now"),
    ({"versions": {**VERSIONS, "Redis": "7"}}, "Redis: None there, 7 now")])
def test_figures_of_something_else_are_not_mixed_in(tmp_path, other, said):
    resumed(tmp_path / "state.json").finish("a/1", 1, 1)
    with pytest.raises(state.Mismatch, match=said):
        resumed(tmp_path / "state.json", **other)


# ---- Pages ----


def sample_of(rate, **other):
    return {"rate": rate, "cpu_us": 1.5, "lag_s": None, "resident_mib": 40.0, "p50": 0.2, "p99": 0.9, "p99.9": 1.5, "max": 3.0,
            "curve": [[50, 0.2], [99, 0.9], [99.9, 1.5], [99.99, 2.0], [100, 3.0]], **other}


@pytest.fixture
def measured(tmp_path):
    found = resumed(tmp_path / "state.json")
    for turn, rate in enumerate((1000, 3000, 900)):  # the machine was faster in the second round
        found.finish(f"matrix/{BASE}/{turn + 1}", {"forebay": sample_of(rate), "memcached": sample_of(1.5 * rate, cpu_us=1.4 + turn / 10)}, 30)
    found.finish("peers/cpu", [{"name": "CPU & more", "value": 1.2, "unit": " us", "detail": "1.2 against 1", "goal": 1.0, "at_most": True,
                                "met": False}], 30)
    return found


def test_a_page_has_medians_and_says_where_we_are_behind(measured):
    text = page.Page(measured).text()
    assert "| Forebay, cache-aside | 1,000 (900 to 3,000) | 1.50 | 0.200 | 0.900 | 1.50 | 3.00 | 40.0 |  |" in text
    assert "| memcached | 1,500 (1,350 to 4,500) | 1.50 (1.40 to 1.60) |" in text
    assert "`memory = 1024mb threads = 1 backend \"local\"" in text and "`memcached -m 1024 -t 1`" in text
    behind = text[text.index("#### Where Forebay is behind"):]
    assert " ".join(behind.split()).count("Of 7 such comparisons Forebay is ahead in 0 and behind in 1:") == 1
    assert f"| {BASE} | operations a second | Forebay, cache-aside: 1,000 | memcached: 1,500 | 0.667 |" in behind
    assert "CPU, us an operation" not in behind  # better in a round, worse in another
    assert "Of 1 goals of Forebay's own, 1 is missed." in behind and "| CPU & more | 1.2 us | 1.2 against 1 | at most 1 us |" in behind


def test_a_page_that_is_written_again_keeps_what_stands_around_it(measured, tmp_path):
    target = tmp_path / "benchmarks.md"
    target.write_text(f"# Title\n\nbefore\n\n{page.BEGIN}\nold\n{page.END}\n\nafter\n")
    page.write(measured, str(target))
    once = target.read_text()
    page.write(measured, str(target))
    assert target.read_text() == once
    assert once.startswith("# Title\n\nbefore\n\n") and once.endswith("\n\nafter\n") and "\nold\n" not in once
    linked = {name.split(")")[0] for name in once.split("(images/")[1:]}
    assert linked == set(os.listdir(tmp_path / "images")) and linked


def test_the_page_of_the_documents_has_its_place():
    with open(os.path.join(os.path.dirname(page.__file__), "..", "..", "docs", "benchmarks.md"), encoding="utf-8") as file:
        text = file.read()
    assert text.count(page.BEGIN) == text.count(page.END) == 1


def test_prose_of_a_page_is_wrapped():
    first, second = page.wrapped("- " + "word " * 40)
    assert 116 <= len(first) <= 120 and second.startswith("  word")
    assert (first + second).split() == ["-", *["word"] * 40]


# ---- Plots ----

NAMES = {"svg": "http://www.w3.org/2000/svg"}


def test_bars_are_as_long_as_their_figures():
    groups = [("pipeline 1", [("a < b", figures.Spread(10, 9, 12)), ("other", figures.Spread(5, 5, 5))])]
    drawn = xml.etree.ElementTree.fromstring(plots.bars("CPU & more", groups, figures.short))
    long, short = [float(bar.get("width")) for bar in drawn.findall("svg:rect", NAMES)]
    assert long == pytest.approx(2 * short, rel=0.01)
    said = [text.text for text in drawn.findall("svg:text", NAMES)]
    assert {"CPU & more", "pipeline 1", "a < b", "10.0", "5.00"} <= set(said)


def test_curves_rise_and_stay_inside():
    drawn = xml.etree.ElementTree.fromstring(plots.curves("Latency", [("a", [[50, 0.1], [99, 1], [100, 50]]), ("b", [[50, 0], [100, 2]])]))
    points = [tuple(map(float, point.split(","))) for point in drawn.find("svg:polyline", NAMES).get("points").split()]
    assert points == sorted(points) and [y for _, y in points] == sorted((y for _, y in points), reverse=True)
    _, _, width, height = map(float, drawn.get("viewBox").split())
    assert all(0 <= x <= width and 0 <= y <= height for x, y in points)


def test_a_title_that_has_no_room_is_found():
    with pytest.raises(AssertionError, match="x{57}"):
        plots.document("x" * 57, 10, [])


def test_contrast_is_counted_as_the_guidelines_do():
    assert plots.contrast("#ffffff", "#000000") == pytest.approx(21)
    assert plots.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("background", [plots.LIGHT, plots.DARK])
def test_everything_stands_out_on_light_and_on_dark(background):
    assert [name for name in (*plots.COLOURS, plots.TEXT, plots.RULE) if plots.contrast(name, background) < 3] == []


def test_letters_follow_the_page():
    assert plots.contrast(plots.TEXT_DARK, plots.DARK) >= 4.5
    assert "prefers-color-scheme:dark" in plots.document("x", 10, [])


def test_a_state_is_json_that_others_can_read(measured):
    with open(measured.path, encoding="utf-8") as file:
        assert json.load(file)["done"]["peers/cpu"]["seconds"] == 30
