/* SPDX-License-Identifier: MIT */
/* The history of the page: what two snapshots say of the second between them, and what is told of the last minutes. */
#include "policies/policy.h"
#include "server/http/figures.h"
#include "server/http/history.h"
#include "tests/support/check.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Figures ---- */

#define OF_SPACE(name)   figures[SPACE_FIGURE_##name]
#define OF_BACKEND(name) figures[BACKEND_FIGURE_##name]

TEST(rates_are_of_the_time_between_two_snapshots) {
    struct space_measures before = {.backend = "local", .holds_back = true, .loads = 10, .rows = 100};
    struct space_measures now = before;
    float figures[SPACE_FIGURES_COUNT];
    now.usage.operations[COMMAND_GET][OUTCOME_HIT] = 30;
    now.usage.operations[COMMAND_META_GET][OUTCOME_MISS] = 10;
    now.usage.operations[COMMAND_DELETE][OUTCOME_HIT] = 1; /* whatever a change is answered, it is no hit */
    now.usage.operations[COMMAND_SET][OUTCOME_ERROR] = 3;
    now.loads = 20;
    now.rows = 500;
    figures_of_space(&before, &now, 2, figures);
    assert_float_equal(OF_SPACE(operations), 22, 0.001);
    assert_float_equal(OF_SPACE(hits), 15, 0.001);
    assert_float_equal(OF_SPACE(misses), 5, 0.001);
    assert_float_equal(OF_SPACE(changes), 2, 0.001);
    assert_float_equal(OF_SPACE(errors), 1.5, 0.001);
    assert_float_equal(OF_SPACE(loads), 5, 0.001);
    assert_float_equal(OF_SPACE(rows), 200, 0.001);
}

TEST(what_there_is_none_of_is_not_told_as_zero) {
    struct space_measures before = {.cache.evictions = 7}, now = {.cache.evictions = 3, .cache.entries = 4};
    float figures[SPACE_FIGURES_COUNT];
    figures_of_space(&before, &now, 1, figures);
    assert_true(isnan(OF_SPACE(evictions))); /* it was taken back */
    assert_true(isnan(OF_SPACE(hit_p50)));   /* no reads */
    assert_true(isnan(OF_SPACE(loads)));     /* no backend */
    assert_true(isnan(OF_SPACE(dirty)));     /* no write-behind */
    assert_float_equal(OF_SPACE(operations), 0, 0);
    figures_of_space(NULL, &now, 1, figures);
    assert_true(isnan(OF_SPACE(operations)));
    assert_float_equal(OF_SPACE(entries), 4, 0);
}

TEST(times_are_those_of_the_second_alone) {
    struct space_measures before = {0}, now;
    float figures[SPACE_FIGURES_COUNT];
    before.usage.latency[USAGE_HIT].buckets[20] = 1000; /* seconds long, and long ago */
    now = before;
    now.usage.latency[USAGE_HIT].buckets[5] = 98; /* 16 to 32 us */
    now.usage.latency[USAGE_HIT].buckets[10] = 2; /* 512 to 1024 us */
    figures_of_space(&before, &now, 1, figures);
    assert_in_range((uint64_t)OF_SPACE(hit_p50), 16, 32);
    assert_in_range((uint64_t)OF_SPACE(hit_p99), 512, 1024);
}

TEST(quantiles_are_linear_within_a_bucket) {
    const struct histogram_sum middle = {.buckets = {[10] = 100}}, none = {0},
                               last = {.buckets = {[HISTOGRAM_BUCKETS - 1] = 1}};
    assert_float_equal(figures_quantile_us(&middle, 0.5), 768, 0.001);
    assert_float_equal(figures_quantile_us(&middle, 1), 1024, 0.001);
    assert_float_equal(figures_quantile_us(&last, 0.5), (double)(1 << (HISTOGRAM_BUCKETS - 2)), 0.001);
    assert_true(isnan(figures_quantile_us(&none, 0.5)));
}

TEST(all_namespaces_are_a_sum_with_the_oldest_change) {
    struct space_measures spaces[] = {{.cache = {.entries = 1, .memory_used = 10},
                                       .backend = "local",
                                       .holds_back = true,
                                       .rows = 5,
                                       .oldest_dirty_us = 70},
                                      {.cache = {.entries = 2, .memory_used = 20},
                                       .backend = "local",
                                       .holds_back = true,
                                       .rows = 6,
                                       .oldest_dirty_us = 30},
                                      {.cache = {.entries = 4, .memory_used = 40}}};
    struct metrics_snapshot snapshot = {.spaces = spaces, .space_count = 3};
    struct space_measures total;
    float figures[SPACE_FIGURES_COUNT];
    figures_add_spaces(&snapshot, &total);
    figures_of_space(NULL, &total, 1, figures);
    assert_float_equal(OF_SPACE(entries), 7, 0);
    assert_float_equal(OF_SPACE(memory), 70, 0);
    assert_float_equal(OF_SPACE(lag), 70, 0);
    assert_int_equal(total.rows, 11);
}

TEST(a_backends_failures_are_calls_too) {
    struct backend_measures before = {0}, now = {.breaker = {[BACKEND_WRITER] = BREAKER_OPEN}};
    float figures[BACKEND_FIGURES_COUNT];
    now.calls.endings[CALL_LOAD][BACKEND_OK] = 8;
    now.calls.endings[CALL_APPLY][BACKEND_TRANSIENT] = 2;
    figures_of_backend(&before, &now, 1, figures);
    assert_float_equal(OF_BACKEND(calls), 10, 0.001);
    assert_float_equal(OF_BACKEND(failures), 2, 0.001);
    assert_float_equal(OF_BACKEND(read_breaker), BREAKER_CLOSED, 0);
    assert_float_equal(OF_BACKEND(write_breaker), BREAKER_OPEN, 0);
}

TEST(coherence_and_copies_are_told_where_they_are) {
    struct backend_measures before = {0}, now = {.other_nodes = 3, .heard = 40, .dropped = 2};
    float figures[BACKEND_FIGURES_COUNT];
    figures_of_backend(&before, &now, 2, figures);
    assert_float_equal(OF_BACKEND(others), 3, 0);
    assert_true(isnan(OF_BACKEND(believes)) && isnan(OF_BACKEND(heard)));
    now.is_coherent = true;
    figures_of_backend(&before, &now, 2, figures);
    assert_float_equal(OF_BACKEND(believes), 0, 0);
    assert_float_equal(OF_BACKEND(heard), 20, 0.001);
    assert_float_equal(OF_BACKEND(forgotten), 1, 0.001);
}

TEST(a_copy_is_no_further_than_whole) {
    struct space_measures now = {.copy_stage = 2, .copy_rows = 30, .copy_total = 40};
    float figures[SPACE_FIGURES_COUNT];
    figures_of_space(NULL, &now, 1, figures);
    assert_true(isnan(OF_SPACE(copy_stage)));
    now.is_copied = true;
    figures_of_space(NULL, &now, 1, figures);
    assert_float_equal(OF_SPACE(copy_stage), 2, 0);
    assert_float_equal(OF_SPACE(copy_percent), 75, 0.001);
    now.copy_rows = 50; /* some have come meanwhile */
    figures_of_space(NULL, &now, 1, figures);
    assert_float_equal(OF_SPACE(copy_percent), 100, 0);
}

TEST(an_exchange_with_a_node_is_a_mean) {
    struct backend_node before = {.exchanges = 5, .exchange_us = 100, .commands = 10},
                        now = {.exchanges = 9, .exchange_us = 300, .commands = 30, .slots = 7, .away = true};
    float figures[NODE_FIGURES_COUNT];
    figures_of_node(&before, &now, 2, figures);
    assert_float_equal(figures[NODE_FIGURE_exchange], 50, 0.001);
    assert_float_equal(figures[NODE_FIGURE_commands], 10, 0.001);
    assert_float_equal(figures[NODE_FIGURE_up], 0, 0);
    figures_of_node(&now, &now, 2, figures);
    assert_true(isnan(figures[NODE_FIGURE_exchange]));
}

/* ---- History ---- */

struct bench {
    struct history *history;
    struct buffer text;
};

static int set_up(void **state) {
    struct bench *bench = *state = calloc(1, sizeof *bench);
    bench->history = history_create();
    return 0;
}

static int tear_down(void **state) {
    struct bench *bench = *state;
    history_free(bench->history);
    buffer_free(&bench->text);
    free(bench);
    return 0;
}

static void put_space(struct bench *bench, const char *name, float entries) {
    struct track_label label = {name, "cache-aside", ""};
    float figures[SPACE_FIGURES_COUNT] = {0};
    figures[SPACE_FIGURE_entries] = entries;
    history_put(bench->history, TRACK_SPACE, &label, figures);
}

static void put_second(struct bench *bench, uint32_t second, const char *name) {
    history_begin(bench->history, second);
    put_space(bench, name, (float)second);
    history_end(bench->history);
}

/* The answer as text; "": there is no such namespace. */
static const char *ask(struct bench *bench, const char *space, uint32_t since) {
    struct history_question question = {.since = since,
                                        .space = slice_of(space, strlen(space)),
                                        .version = "1.2.3",
                                        .started_us = 77,
                                        .now_us = 1000 * US_PER_SECOND + 1,
                                        .running_us = 100 * US_PER_SECOND};
    bench->text.size = 0;
    bool found = history_write(bench->history, &question, &bench->text);
    buffer_append(&bench->text, "", 1);
    assert_false(bench->text.failed);
    return found ? bench->text.data : "";
}

#define assert_has(text, part)                                                                               \
    if (!strstr(text, part))                                                                                 \
    fail_msg("%s is not in %.2000s", part, text)

TEST(an_empty_history_is_told_as_such) {
    struct bench *bench = *state;
    assert_string_equal(
        ask(bench, "", 0),
        "{\"version\":\"1.2.3\",\"life\":77,\"epoch\":900,\"running\":100,\"first\":1,"
        "\"count\":0,\"chosen\":{},\"all\":{},\"server\":{},\"backends\":[],\"namespaces\":[]}\n");
    assert_string_equal(ask(bench, "a", 0), "");
}

TEST(a_second_that_was_missed_is_a_gap) {
    struct bench *bench = *state;
    put_second(bench, 1, "a");
    put_second(bench, 2, "a");
    put_second(bench, 5, "a");
    const char *answer = ask(bench, "a", 0);
    assert_has(answer, "\"first\":1,\"count\":5,");
    assert_has(answer, "\"entries\":[1,2,null,null,5]");
    assert_has(answer, "\"now\":{\"operations\":[0],");
}

TEST(only_what_is_new_is_told) {
    struct bench *bench = *state;
    for (uint32_t second = 1; second <= 9; second++)
        put_second(bench, second, "a");
    assert_has(ask(bench, "a", 8), "\"first\":8,\"count\":2,");
    assert_has(ask(bench, "a", 8), "\"entries\":[8,9]");
    assert_has(ask(bench, "a", 10), "\"first\":10,\"count\":0,");
    assert_has(ask(bench, "a", 10), "\"entries\":[]");
    assert_has(ask(bench, "a", 11), "\"first\":1,\"count\":9,"); /* of another life of the server */
}

TEST(ten_minutes_are_kept) {
    struct bench *bench = *state;
    for (uint32_t second = 1; second <= HISTORY_SECONDS + 50; second++)
        put_second(bench, second, "a");
    assert_has(ask(bench, "a", 0), "\"first\":51,\"count\":600,");
    assert_has(ask(bench, "a", 0), "\"entries\":[51,52,");
    assert_has(ask(bench, "a", 50), "\"first\":51,\"count\":600,");
    put_second(bench, 3 * HISTORY_SECONDS, "a"); /* the rows of other seconds lie in the places of these */
    assert_has(ask(bench, "a", 3 * HISTORY_SECONDS - 1), "\"entries\":[null,1800]");
}

TEST(numbers_are_short_and_sizes_are_whole) {
    struct bench *bench = *state;
    history_begin(bench->history, 1);
    put_space(bench, "a", 268435456);
    put_space(bench, "b", 1234.5678F);
    history_end(bench->history);
    assert_has(ask(bench, "a", 0), "\"entries\":[268435456]");
    assert_has(ask(bench, "b", 0), "\"entries\":[1234.6]");
}

TEST(a_namespace_comes_and_goes) {
    struct bench *bench = *state;
    put_second(bench, 1, "a");
    put_second(bench, 2, "b");
    assert_string_equal(ask(bench, "a", 0), "");
    assert_has(ask(bench, "b", 0), "\"entries\":[null,2]");
    assert_null(strstr(ask(bench, "", 0), "\"name\":\"a\""));
}

TEST(of_nodes_the_last_second_is_kept) {
    struct bench *bench = *state;
    struct track_label backend = {"red", "redis", ""}, other = {"blue", "redis", ""};
    float series[BACKEND_FIGURES_COUNT] = {0}, figures[NODE_FIGURES_COUNT] = {1, 5461};
    for (uint32_t second = 1; second <= 3; second++) {
        struct track_label node = {"10.0.0.1:7000", "", "red"};
        history_begin(bench->history, second);
        history_put(bench->history, TRACK_BACKEND, &backend, series);
        history_put(bench->history, TRACK_NODE, &node, figures);
        history_put(bench->history, TRACK_BACKEND, &other, series);
        history_end(bench->history);
        figures[NODE_FIGURE_slots]++;
    }
    const char *answer = ask(bench, "", 0);
    assert_has(answer, "\"nodes\":[{\"name\":\"10.0.0.1:7000\",\"now\":{\"up\":[1],\"slots\":[5463],");
    assert_has(answer, "\"nodes\":[]}],\"namespaces\"");
}

TEST(names_cannot_end_a_string) {
    struct bench *bench = *state;
    put_second(bench, 1, "\"\\\n<img>");
    assert_has(ask(bench, "", 0), "\"name\":\"\\u0022\\u005c\\u000a<img>\",\"policy\"");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_are_of_the_time_between_two_snapshots),
        cmocka_unit_test(what_there_is_none_of_is_not_told_as_zero),
        cmocka_unit_test(times_are_those_of_the_second_alone),
        cmocka_unit_test(quantiles_are_linear_within_a_bucket),
        cmocka_unit_test(all_namespaces_are_a_sum_with_the_oldest_change),
        cmocka_unit_test(a_backends_failures_are_calls_too),
        cmocka_unit_test(coherence_and_copies_are_told_where_they_are),
        cmocka_unit_test(a_copy_is_no_further_than_whole),
        cmocka_unit_test(an_exchange_with_a_node_is_a_mean),
        CASE(an_empty_history_is_told_as_such),
        CASE(a_second_that_was_missed_is_a_gap),
        CASE(only_what_is_new_is_told),
        CASE(ten_minutes_are_kept),
        CASE(numbers_are_short_and_sizes_are_whole),
        CASE(a_namespace_comes_and_goes),
        CASE(of_nodes_the_last_second_is_kept),
        CASE(names_cannot_end_a_string),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
