/* SPDX-License-Identifier: MIT */
/* The metrics as text: what their table has to keep to, the form of samples, and a real tier's page in both formats. */
#include "policies/policy.h"
#include "server/admin/metrics.h"
#include "server/admin/metrics_table.h"
#include "server/config/settings.h"
#include "tests/support/check.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The table ---- */

static bool ends_with(const char *text, const char *end) {
    size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

static bool is_ascending(const unsigned char *bounds) {
    while (bounds[1] && bounds[0] < bounds[1])
        bounds++;
    return bounds[0] && !bounds[1] && bounds[0] < HISTOGRAM_BUCKETS - 1;
}

static void check_row(const struct metric *metric) {
    char unit[40];
    snprintf(unit, sizeof unit, "_%s%s", metric->unit, metric->type == METRIC_COUNTER ? "_total" : "");
    bool good = strncmp(metric->name, "forebay_", 8) == 0 &&
                ends_with(metric->name, "_total") == (metric->type == METRIC_COUNTER) &&
                ends_with(metric->name, "_info") == (metric->type == METRIC_INFO) &&
                (!*metric->unit || ends_with(metric->name, unit)) && !ends_with(metric->help, ".") &&
                (metric->type == METRIC_HISTOGRAM) == (metric->bounds != NULL);
    if (metric->bounds)
        good = good && is_ascending(metric->bounds) && is_ascending(metric->few_bounds);
    if (!good)
        fail_msg("the row of %s", metric->name);
}

TEST(rows_say_type_and_unit_in_their_names) {
    size_t count;
    const struct metric *metrics = metrics_table(&count);
    for (size_t i = 0; i < count; i++) {
        check_row(&metrics[i]);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(metrics[i].name, metrics[k].name);
    }
}

/* ---- Accept ---- */

TEST(openmetrics_is_for_those_who_prefer_it) {
    static const struct {
        const char *accept;
        enum metrics_format format;
    } cases[] = {
        {NULL, METRICS_PROMETHEUS},
        {"", METRICS_PROMETHEUS},
        {"*/*", METRICS_PROMETHEUS},
        {"text/plain", METRICS_PROMETHEUS},
        {"text/html, */*;q=0.1", METRICS_PROMETHEUS},
        {"application/openmetrics-text", METRICS_OPENMETRICS},
        {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
         "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
         METRICS_OPENMETRICS},
        {"text/plain;version=0.0.4;q=0.9, application/openmetrics-text; version=1.0.0; q=0.4",
         METRICS_PROMETHEUS},
        {"application/openmetrics-text;q=0", METRICS_PROMETHEUS},
        {"application/openmetrics-text;q=", METRICS_PROMETHEUS},
        {"Application/OpenMetrics-Text; Q=0.5", METRICS_OPENMETRICS},
        {"application/openmetrics-textual", METRICS_PROMETHEUS},
        {"application/openmetrics-text;q=0.3, text/plainer", METRICS_OPENMETRICS},
        {",,;q=1,", METRICS_PROMETHEUS},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (metrics_format_accepted(cases[i].accept) != cases[i].format)
            fail_msg("Accept: %s", cases[i].accept ? cases[i].accept : "(none)");
}

/* ---- Samples ---- */

static void write_head(struct metric_page *page) {
    buffer_print(page->out, "# %s\n", page->metric->name);
}

static void assert_text(struct buffer *out, const char *text) {
    buffer_append(out, "", 1);
    assert_false(out->failed);
    assert_string_equal(out->data, text);
    buffer_free(out);
}

TEST(a_sample_has_the_labels_that_there_are) {
    struct buffer out = {0};
    const struct metric plain = {.name = "a", .unit = ""}, times = {.name = "b", .unit = "seconds"};
    struct metric_page page = {.out = &out, .metric = &plain, .head = write_head};
    metric_sample(&page, "", 1);
    metric_sample(&page, "x=\"1\"", UINT64_MAX);
    snprintf(page.owner, sizeof page.owner, "namespace=\"n\"");
    metric_sample(&page, "", 2);
    page.metric = &times;
    metric_sample(&page, "x=\"1\"", 12345678);
    assert_text(&out, "# a\n"
                      "a 1\n"
                      "a{x=\"1\"} 18446744073709551615\n"
                      "a{namespace=\"n\"} 2\n"
                      "b{namespace=\"n\",x=\"1\"} 12.345678\n");
}

TEST(buckets_are_cumulative_and_hold_all) {
    static const unsigned char bounds[] = {1, 3, 20, 0}, few[] = {3, 0};
    const struct metric metric = {.name = "t", .unit = "seconds", .bounds = bounds, .few_bounds = few};
    struct histogram_sum sum = {.sum_us = 2000001};
    struct buffer out = {0};
    struct metric_page page = {.out = &out, .metric = &metric, .has_head = true};
    sum.buckets[0] = 1;  /* 1 us */
    sum.buckets[1] = 2;  /* 2 us */
    sum.buckets[3] = 4;  /* 8 us */
    sum.buckets[20] = 8; /* a second */
    sum.buckets[HISTOGRAM_BUCKETS - 1] = 16;
    metric_histogram(&page, "", &sum);
    page.has_few_bounds = true;
    metric_histogram(&page, "x=\"1\"", &sum);
    assert_text(&out, "t_bucket{le=\"0.000002\"} 3\n"
                      "t_bucket{le=\"0.000008\"} 7\n"
                      "t_bucket{le=\"1.048576\"} 15\n"
                      "t_bucket{le=\"+Inf\"} 31\n"
                      "t_sum 2.000001\n"
                      "t_count 31\n"
                      "t_bucket{x=\"1\",le=\"0.000008\"} 7\n"
                      "t_bucket{x=\"1\",le=\"+Inf\"} 31\n"
                      "t_sum{x=\"1\"} 2.000001\n"
                      "t_count{x=\"1\"} 31\n");
}

/* ---- A page ---- */

struct bench {
    struct server server;
    struct settings settings;
    struct space_options spaces[METRICS_SPACES_FINE + 1];
    char names[METRICS_SPACES_FINE + 1][24];
    struct buffer out;
};

static void ignore_wake(void *context, unsigned worker) {
    (void)context, (void)worker;
}

static void ignore_log(void *context, enum log_level level, const struct log_field *fields,
                       const char *message) {
    (void)fields;
    (void)context, (void)level, (void)message;
}

static int set_up(void **state) {
    struct bench *bench = calloc(1, sizeof *bench);
    assert_non_null(bench);
    bench->settings = (struct settings){
        .threads = 1,
        .max_connections = 10,
        .tier = {.cache = {.memory_limit = 64 << 20, .item_max = 1 << 20, .threads = 1, .hash_seed = 1},
                 .workers = 1,
                 .spaces = bench->spaces,
                 .wake = ignore_wake,
                 .log = ignore_log},
    };
    bench->server.settings = &bench->settings;
    *state = bench;
    return 0;
}

static int tear_down(void **state) {
    struct bench *bench = *state;
    tier_destroy(bench->server.tier);
    buffer_free(&bench->out);
    free(bench);
    return 0;
}

/* Namespaces "n0", "n1" ..., and the default one. */
static void start(struct bench *bench, size_t spaces) {
    char error[400] = "";
    bench->settings.tier.space_count = spaces;
    for (size_t i = 0; i < spaces; i++) {
        snprintf(bench->names[i], sizeof bench->names[i], "n%zu", i);
        space_options_set_defaults(&bench->spaces[i]);
        bench->spaces[i].name = bench->spaces[i].prefix = bench->names[i];
        bench->spaces[i].policy = &policy_cache_aside;
    }
    if (!tier_create(&bench->settings.tier, &bench->server.tier, error, sizeof error))
        fail_msg("%s", error);
}

/* A get that misses, in a turn of 100 us. */
static void miss(struct bench *bench, const char *key) {
    struct tier_worker *worker = tier_get_worker(bench->server.tier, 0);
    struct tier_ticket *ticket = tier_ticket_create(worker, NULL);
    struct request request = {.command = COMMAND_GET, .key = slice_string(key)};
    struct cache_time now = cache_time_now();
    struct outcome outcome;
    tier_time_begin(worker, 1000);
    tier_turn_begin(worker, &now);
    tier_prepare(worker, &request);
    assert_int_equal(tier_execute(worker, ticket, &request, &outcome), TIER_DONE);
    tier_turn_end(worker, NULL);
    tier_time_end(worker, 1100);
    tier_ticket_destroy(ticket);
}

static const char *page_of(struct bench *bench, enum metrics_format format) {
    bench->out.size = 0;
    metrics_write(&bench->server, (struct metrics_health){.live = 1}, format, &bench->out);
    buffer_append(&bench->out, "", 1);
    assert_false(bench->out.failed);
    return bench->out.data;
}

static void assert_has(const char *page, const char *text) {
    if (!strstr(page, text))
        fail_msg("%s is not there", text);
}

static void assert_lacks(const char *page, const char *text) {
    if (strstr(page, text))
        fail_msg("%s is there", text);
}

static size_t times_in(const char *page, const char *text) {
    size_t times = 0;
    while ((page = strstr(page, text))) {
        page += strlen(text);
        times++;
    }
    return times;
}

TEST(a_page_has_what_was_counted) {
    struct bench *bench = *state;
    start(bench, 2);
    miss(bench, "n1:key");
    const char *page = page_of(bench, METRICS_PROMETHEUS);
    assert_has(page,
               "# TYPE forebay_build_info gauge\nforebay_build_info{version=\"" FOREBAY_VERSION "\"} 1\n");
    assert_has(page, "forebay_live 1\n");
    assert_has(page, "forebay_ready 0\n");
    assert_has(page, "# HELP forebay_operations_total Requests by command and by what became of them\n"
                     "# TYPE forebay_operations_total counter\n"
                     "forebay_operations_total{namespace=\"n1\",command=\"get\",result=\"miss\"} 1\n");
    assert_has(page, "forebay_hit_seconds_bucket{namespace=\"n1\",le=\"0.000064\"} 0\n"
                     "forebay_hit_seconds_bucket{namespace=\"n1\",le=\"0.000128\"} 1\n");
    assert_has(page, "forebay_hit_seconds_sum{namespace=\"n1\"} 0.000100\n");
    assert_has(page, "forebay_entries{namespace=\"n0\"} 0\n");
    assert_has(page, "forebay_entries{namespace=\"default\"} 0\n");
    assert_has(
        page,
        "forebay_namespace_info{namespace=\"n0\",policy=\"cache-aside\",backend=\"\",journal=\"off\"} 1\n");
    assert_lacks(page, "forebay_dirty_entries"); /* nothing is write-behind, nor has it a family */
    assert_lacks(page, "forebay_journal");
    assert_lacks(page, "# UNIT");
    assert_lacks(page, "EOF");
}

TEST(openmetrics_has_units_and_an_end) {
    struct bench *bench = *state;
    start(bench, 1);
    miss(bench, "n0:key");
    const char *page = page_of(bench, METRICS_OPENMETRICS);
    assert_has(page,
               "# TYPE forebay_build info\n# HELP forebay_build The version that runs.\nforebay_build_info{");
    assert_has(page, "# TYPE forebay_cpu_seconds counter\n# UNIT forebay_cpu_seconds seconds\n");
    assert_has(page, "\nforebay_cpu_seconds_total{mode=\"user\"} ");
    assert_true(ends_with(page, "\n# EOF\n"));
}

TEST(many_namespaces_have_fewer_buckets) {
    struct bench *bench = *state;
    start(bench, METRICS_SPACES_FINE - 1); /* and the default one */
    miss(bench, "n0:key");
    size_t fine = times_in(page_of(bench, METRICS_PROMETHEUS), "forebay_hit_seconds_bucket{");
    tier_destroy(bench->server.tier);
    start(bench, METRICS_SPACES_FINE);
    miss(bench, "n0:key");
    size_t few = times_in(page_of(bench, METRICS_PROMETHEUS), "forebay_hit_seconds_bucket{");
    assert_true(few >= 6);
    assert_true(fine >= 2 * few);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_say_type_and_unit_in_their_names),
        cmocka_unit_test(openmetrics_is_for_those_who_prefer_it),
        cmocka_unit_test(a_sample_has_the_labels_that_there_are),
        cmocka_unit_test(buckets_are_cumulative_and_hold_all),
        CASE(a_page_has_what_was_counted),
        CASE(openmetrics_has_units_and_an_end),
        CASE(many_namespaces_have_fewer_buckets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
