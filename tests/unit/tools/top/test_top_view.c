/* SPDX-License-Identifier: MIT */
/* forebay-top: what keys do, how tables fit and are sorted, and how figures are written. */
#include "tests/support/check.h"
#include "tools/top/view.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 10, VISIBLE = 4 };

struct rig {
    struct view view;
    struct picture picture; /* r0 ... r9, each busier than the one before */
};

static int set_up(void **state) {
    struct rig *rig = calloc(1, sizeof *rig);
    view_init(&rig->view, 1000);
    rig->picture.namespace_count = ROWS;
    for (int i = 0; i < ROWS; i++) {
        snprintf(rig->picture.namespaces[i].name, SAMPLE_NAME_MAX, "r%d", i);
        rig->picture.namespaces[i].operations = i;
        rig->picture.namespaces[i].hit_ratio = NAN;
    }
    view_arrange(&rig->view, &rig->picture, VISIBLE);
    *state = rig;
    return 0;
}

static int tear_down(void **state) {
    free(*state);
    return 0;
}

static void press(struct rig *rig, enum view_key key) {
    view_press(&rig->view, key, &rig->picture, VISIBLE);
    size_t row = view_selected(&rig->view, &rig->picture);
    assert_true(row >= rig->view.top && row < rig->view.top + VISIBLE);
}

TEST(the_busiest_comes_first_and_is_selected) {
    struct rig *rig = *state;
    assert_string_equal(rig->view.selected, "r9");
    press(rig, VIEW_KEY_REVERSE);
    assert_int_equal(rig->view.order[0], 0);
    assert_string_equal(rig->view.selected, "r9"); /* the same one, elsewhere */
    assert_int_equal(view_selected(&rig->view, &rig->picture), ROWS - 1);
}

TEST(the_bar_moves_and_what_is_seen_follows) {
    struct rig *rig = *state;
    press(rig, VIEW_KEY_UP);
    assert_string_equal(rig->view.selected, "r9");
    for (int i = 0; i < 2 * ROWS; i++)
        press(rig, VIEW_KEY_DOWN);
    assert_string_equal(rig->view.selected, "r0");
    assert_int_equal(rig->view.top, ROWS - VISIBLE);
    press(rig, VIEW_KEY_PAGE_UP);
    assert_string_equal(rig->view.selected, "r3");
    press(rig, VIEW_KEY_FIRST);
    assert_string_equal(rig->view.selected, "r9");
    press(rig, VIEW_KEY_PAGE_DOWN);
    assert_string_equal(rig->view.selected, "r6");
    press(rig, VIEW_KEY_LAST);
    assert_string_equal(rig->view.selected, "r0");
}

TEST(a_namespace_that_is_gone_is_selected_no_more) {
    struct rig *rig = *state;
    press(rig, VIEW_KEY_LAST);
    memmove(&rig->picture.namespaces[0], &rig->picture.namespaces[1],
            sizeof rig->picture.namespaces[0] * (ROWS - 1));
    rig->picture.namespace_count = 2;
    view_arrange(&rig->view, &rig->picture, VISIBLE);
    assert_string_equal(rig->view.selected, "r2");
    rig->picture.namespace_count = 0;
    view_arrange(&rig->view, &rig->picture, VISIBLE);
    view_press(&rig->view, VIEW_KEY_ENTER, &rig->picture, VISIBLE);
    assert_int_equal(rig->view.page, VIEW_LIST);
}

TEST(every_column_can_be_sorted_by) {
    struct rig *rig = *state;
    size_t first = rig->view.sort;
    for (size_t i = 0; i < namespaces_table.column_count; i++)
        press(rig, VIEW_KEY_SORT_RIGHT);
    assert_int_equal(rig->view.sort, first);
    while (rig->view.sort != 0)
        press(rig, VIEW_KEY_SORT_LEFT);
    assert_false(rig->view.descending); /* names begin with a */
    assert_int_equal(rig->view.order[0], 0);
}

TEST(a_column_that_cannot_be_seen_is_passed_over) {
    struct rig *rig = *state;
    table_fit(&namespaces_table, 40, NULL, 0, rig->view.shown);
    for (size_t i = 0; i < namespaces_table.column_count; i++) {
        press(rig, i % 3 ? VIEW_KEY_SORT_RIGHT : VIEW_KEY_SORT_LEFT);
        assert_true(rig->view.shown[rig->view.sort]);
    }
}

TEST(what_has_no_value_is_last_both_ways) {
    struct rig *rig = *state;
    rig->picture.namespaces[4].hit_ratio = 50;
    press(rig, VIEW_KEY_SORT_RIGHT);
    assert_string_equal(namespaces_table.columns[rig->view.sort].name, "hit_percent");
    assert_int_equal(rig->view.order[0], 4);
    press(rig, VIEW_KEY_REVERSE);
    assert_int_equal(rig->view.order[0], 4);
    assert_int_equal(rig->view.order[1], 0);
}

TEST(pages_lead_back_to_where_one_was) {
    struct rig *rig = *state;
    press(rig, VIEW_KEY_ENTER);
    assert_int_equal(rig->view.page, VIEW_DETAIL);
    press(rig, VIEW_KEY_DOWN);
    assert_string_equal(rig->view.selected, "r8");
    press(rig, VIEW_KEY_HELP);
    press(rig, VIEW_KEY_NONE);
    assert_int_equal(rig->view.page, VIEW_DETAIL);
    press(rig, VIEW_KEY_BACK);
    assert_int_equal(rig->view.page, VIEW_LIST);
    press(rig, VIEW_KEY_HELP);
    press(rig, VIEW_KEY_QUIT);
    assert_true(rig->view.done);
}

TEST(the_interval_has_its_bounds) {
    struct rig *rig = *state;
    press(rig, VIEW_KEY_FASTER);
    assert_int_equal(rig->view.interval_ms, 500);
    for (int i = 0; i < 20; i++)
        press(rig, VIEW_KEY_FASTER);
    assert_int_equal(rig->view.interval_ms, VIEW_INTERVAL_MIN_MS);
    for (int i = 0; i < 20; i++)
        press(rig, VIEW_KEY_SLOWER);
    assert_int_equal(rig->view.interval_ms, 60000);
}

TEST(keys_are_harmless_before_there_is_a_picture) {
    struct rig *rig = *state;
    view_init(&rig->view, 1000);
    for (int key = VIEW_KEY_NONE; key <= VIEW_KEY_QUIT; key++)
        view_press(&rig->view, (enum view_key)key, NULL, 0);
    assert_true(rig->view.done);
}

/* ---- Tables and figures ---- */

static bool shows(const bool *shown, const char *name) {
    for (size_t i = 0; i < namespaces_table.column_count; i++)
        if (strcmp(namespaces_table.columns[i].name, name) == 0)
            return shown[i];
    fail_msg("no column %s", name);
    return false;
}

TEST(what_matters_least_gives_way) {
    bool shown[COLUMNS_MAX];
    assert_true(table_fit(&namespaces_table, 200, NULL, 0, shown) <= 40);
    assert_true(shows(shown, "policy"));
    assert_int_equal(table_fit(&namespaces_table, 80, NULL, 0, shown), 14);
    assert_true(shows(shown, "hit_p99_us") && shows(shown, "quarantine") && shows(shown, "oldest_dirty_ms"));
    assert_false(shows(shown, "hit_p50_us") || shows(shown, "policy"));
    for (int width = 15; width < 200; width++) {
        int used = table_fit(&namespaces_table, width, NULL, 0, shown);
        for (size_t i = 1; i < namespaces_table.column_count; i++)
            used += shown[i] ? namespaces_table.columns[i].width + 1 : 0;
        assert_true(used <= width);
    }
}

TEST(what_few_servers_have_takes_room_only_where_it_is) {
    bool shown[COLUMNS_MAX];
    struct namespace_row rows[2] = {{.name = "a", .copy_percent = NAN}, {.name = "b", .copy_percent = NAN}};
    table_fit(&namespaces_table, 200, rows, 2, shown);
    assert_false(shows(shown, "copy_state") || shows(shown, "copy_percent"));
    strcpy(rows[1].copy, "copying");
    table_fit(&namespaces_table, 80, rows, 2, shown);
    assert_true(shows(shown, "copy_state") && shows(shown, "quarantine"));
    assert_false(shows(shown, "dirty_bytes") || shows(shown, "copy_percent"));
}

static void is_written(enum unit unit, double value, const char *expected) {
    char text[FIGURE_MAX];
    assert_string_equal(figure(unit, value, text), expected);
}

TEST(figures_are_short) {
    char text[FIGURE_MAX];
    is_written(UNIT_COUNT, 99999, "99999");
    is_written(UNIT_COUNT, 123456, "123k");
    is_written(UNIT_COUNT, 999600, "1.0M");
    is_written(UNIT_BYTES, 1023, "1023");
    is_written(UNIT_BYTES, 1536, "1.5k");
    is_written(UNIT_BYTES, 1048575, "1.0M");
    is_written(UNIT_RATE, 0, "0");
    is_written(UNIT_RATE, 0.01, "<0.1");
    is_written(UNIT_RATE, 2.5, "2.5");
    is_written(UNIT_PERCENT, 99.99, "99.9"); /* one miss is not none */
    is_written(UNIT_PERCENT, 100, "100");
    is_written(UNIT_US, 128, "128us");
    is_written(UNIT_US, 4096, "4.1ms");
    is_written(UNIT_MS, 90000, "90s");
    is_written(UNIT_MS, 86400000.0 * 10, "10d");
    is_written(UNIT_US, NAN, "-");
    for (int power = 0; power < 375; power++)
        for (int unit = UNIT_COUNT; unit <= UNIT_MS; unit++)
            if (unit != UNIT_PERCENT)
                assert_true(strlen(figure((enum unit)unit, pow(1.07, power), text)) <= 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(the_busiest_comes_first_and_is_selected),
        CASE(the_bar_moves_and_what_is_seen_follows),
        CASE(a_namespace_that_is_gone_is_selected_no_more),
        CASE(every_column_can_be_sorted_by),
        CASE(a_column_that_cannot_be_seen_is_passed_over),
        CASE(what_has_no_value_is_last_both_ways),
        CASE(pages_lead_back_to_where_one_was),
        CASE(the_interval_has_its_bounds),
        CASE(keys_are_harmless_before_there_is_a_picture),
        CASE(what_matters_least_gives_way),
        CASE(what_few_servers_have_takes_room_only_where_it_is),
        CASE(figures_are_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
