/* SPDX-License-Identifier: MIT */
/* forebay-top: what samples say, and what two of them in a row mean. */
#include "tests/support/check.h"
#include "tools/top/model.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD    "STAT pid 7\r\nSTAT uptime 100\r\n"
#define NO_MORE "END\r\nEND\r\nEND\r\nEND\r\n"

struct rig {
    struct sample *before, *now;
    struct picture *picture;
};

static int set_up(void **state) {
    struct rig *rig = calloc(1, sizeof *rig);
    rig->picture = calloc(1, sizeof *rig->picture);
    *state = rig;
    return 0;
}

static int tear_down(void **state) {
    struct rig *rig = *state;
    sample_free(rig->before);
    sample_free(rig->now);
    free(rig->picture);
    free(rig);
    return 0;
}

static struct sample *sample_at(uint64_t seconds, const char *answer) {
    char why[300];
    struct sample *sample =
        sample_new(strdup(answer), strlen(answer), seconds * US_PER_SECOND, why, sizeof why);
    assert_non_null(sample);
    return sample;
}

/* Two samples, ten seconds apart. */
static const struct picture *picture_of(struct rig *rig, const char *before, const char *now) {
    rig->before = sample_at(1000, before);
    rig->now = sample_at(1010, now);
    model_picture(rig->now, rig->before, rig->picture);
    return rig->picture;
}

#define assert_number(number, expected) assert_true(fabs((number) - (expected)) < 1e-9)

TEST(rates_and_the_hit_ratio_are_those_of_the_interval) {
    const struct picture *picture = picture_of(
        *state,
        HEAD "END\r\nSTAT a:hit_buckets 5,5\r\nEND\r\nSTAT a:prefix a:\r\nSTAT a:get_hits 1000\r\n"
             "STAT a:get_misses 0\r\nEND\r\nEND\r\nEND\r\n",
        HEAD
        "END\r\nSTAT a:hit_buckets 5,95,0,10\r\nSTAT a:write_buckets 0,0,50\r\nEND\r\nSTAT a:prefix a:\r\n"
        "STAT a:get_hits 1030\r\nSTAT a:get_misses 10\r\nEND\r\nEND\r\nEND\r\n");
    const struct namespace_row *row = &picture->namespaces[0];
    assert_int_equal(picture->namespace_count, 1);
    assert_number(row->hit_ratio, 75);
    assert_number(row->hit.rate, 10);
    assert_number(row->write.rate, 5);
    assert_number(row->operations, 15);
    assert_number(row->hit.p50_us, 2);
    assert_number(row->hit.p99_us, 8);
    assert_true(isnan(row->load.p50_us));
    assert_true(isnan(row->dirty_entries));
}

TEST(after_a_reset_counters_count_from_0) {
    const struct picture *picture = picture_of(
        *state,
        HEAD "END\r\nSTAT requests 5000\r\nSTAT a:hit_buckets 9,9\r\nEND\r\nSTAT a:prefix \"\"\r\n" NO_MORE,
        HEAD "END\r\nSTAT requests 20\r\nSTAT a:hit_buckets 0,0,30\r\nEND\r\nSTAT a:prefix \"\"\r\n" NO_MORE);
    assert_number(picture->process.requests, 2);
    assert_number(picture->namespaces[0].hit.rate, 3);
    assert_number(picture->namespaces[0].hit.p50_us, 4);
}

TEST(a_server_that_was_started_anew_has_no_rates_for_once) {
    const struct picture *picture =
        picture_of(*state, "STAT pid 7\r\nSTAT uptime 100\r\nEND\r\nSTAT requests 5\r\n" NO_MORE,
                   "STAT pid 8\r\nSTAT uptime 2\r\nEND\r\nSTAT requests 50\r\n" NO_MORE);
    assert_false(picture->has_rates);
    assert_true(isnan(picture->process.requests));
    assert_number(picture->process.uptime_s, 2);
}

TEST(one_sample_has_levels_and_no_rates) {
    struct rig *rig = *state;
    rig->now =
        sample_at(1, HEAD "END\r\nEND\r\nSTAT a:prefix a\r\nSTAT a:entries 12\r\nEND\r\nEND\r\nEND\r\n");
    model_picture(rig->now, NULL, rig->picture);
    assert_number(rig->picture->namespaces[0].entries, 12);
    assert_true(isnan(rig->picture->namespaces[0].operations));
    assert_true(isnan(rig->picture->journal.files));
}

TEST(the_lag_of_a_backend_is_that_of_its_oldest_change) {
    const char *answer =
        HEAD "END\r\nEND\r\n"
             "STAT a:prefix a\r\nSTAT a:backend local\r\nSTAT b:prefix b\r\nSTAT b:backend local\r\n"
             "STAT c:prefix c\r\nSTAT c:backend other\r\nEND\r\n"
             "STAT local:kind sqlite\r\nSTAT local:apply_buckets 4\r\nSTAT local:apply_failed 3\r\n"
             "STAT other:kind redis\r\nEND\r\n"
             "STAT a:dirty_entries 3\r\nSTAT a:oldest_dirty_ms 50\r\n"
             "STAT b:dirty_entries 4\r\nSTAT b:oldest_dirty_ms 700\r\nEND\r\n";
    const struct picture *picture = picture_of(*state, HEAD NO_MORE "END\r\n", answer);
    assert_int_equal(picture->backend_count, 2);
    assert_number(picture->backends[0].lag_ms, 700);
    assert_number(picture->backends[0].dirty_entries, 7);
    assert_number(picture->backends[0].calls, 0.4);
    assert_number(picture->backends[0].failures, 0.3);
    assert_true(isnan(picture->backends[1].lag_ms));
}

TEST(what_there_is_of_others_is_told_by_backend) {
    const char *answer = HEAD "END\r\nEND\r\n"
                              "STAT a:prefix a\r\nSTAT a:copy_state copying\r\nSTAT a:copy_rows 30\r\n"
                              "STAT a:copy_rows_total 40\r\nSTAT b:prefix b\r\nEND\r\n"
                              "STAT far:kind redis\r\nSTAT far:coherent blind\r\nSTAT far:other_nodes 2\r\n"
                              "STAT far:compare_buckets 4\r\nSTAT far:compare_failed 0\r\n"
                              "STAT far:node:h:7000:role master\r\nSTAT far:node:h:7000:slots 9\r\n"
                              "STAT far:node:h:7000:breaker open\r\nSTAT far:node:h:7001:role master\r\n"
                              "STAT far:node:h:7001:slots 9\r\nSTAT far:node:h:7001:breaker closed\r\n"
                              "STAT far:node:h:7002:role none\r\nSTAT far:node:h:7002:slots 0\r\n"
                              "STAT far:node:h:7002:breaker open\r\nSTAT local:kind sqlite\r\nEND\r\nEND\r\n";
    const struct picture *picture = picture_of(*state, HEAD NO_MORE "END\r\n", answer);
    const struct backend_row *far = &picture->backends[0];
    assert_string_equal(far->coherent, "blind");
    assert_number(far->other_nodes, 2);
    assert_number(far->masters, 2);
    assert_number(far->masters_away, 1);
    assert_number(far->calls, 0.4);
    assert_string_equal(picture->backends[1].coherent, "");
    assert_true(isnan(picture->backends[1].masters));
    assert_string_equal(picture->namespaces[0].copy, "copying");
    assert_number(picture->namespaces[0].copy_percent, 75);
    assert_true(isnan(picture->namespaces[1].copy_percent));
}

/* ---- What a server may send ---- */

TEST(nothing_but_printable_ascii_comes_out_of_a_sample) {
    struct rig *rig = *state;
    rig->now = sample_at(1, HEAD "END\r\nSTAT forebay_version \x1b]0;x\x07\xff\r\nEND\r\n"
                                 "STAT \x1b[31mred:prefix \x9b"
                                 "1m\r\nEND\r\nEND\r\nEND\r\n");
    assert_string_equal(sample_text(rig->now, REPORT_FOREBAY, NULL, "forebay_version"), "?]0;x??");
    assert_string_equal(sample_owner(rig->now, REPORT_NAMESPACES, 0), "?[31mred");
    assert_string_equal(sample_text(rig->now, REPORT_NAMESPACES, "?[31mred", "prefix"), "?1m");
}

TEST(what_is_no_number_is_none) {
    struct rig *rig = *state;
    rig->now =
        sample_at(1, "STAT a 12x\r\nSTAT b -1\r\nSTAT c nan\r\nSTAT d \"\"\r\nSTAT e 1e999\r\nSTAT f 2.5\r\n"
                     "STAT g\r\nhello\r\n\r\nEND\r\n" NO_MORE);
    for (const char *name = "abcdegh"; *name; name++)
        assert_true(isnan(sample_number(rig->now, REPORT_GENERAL, NULL, (char[]){*name, '\0'})));
    assert_number(sample_number(rig->now, REPORT_GENERAL, NULL, "f"), 2.5);
}

TEST(more_namespaces_than_there_is_room_for_are_left_out) {
    struct rig *rig = *state;
    size_t used = 0, room = 1 << 20;
    char *answer = malloc(room);
    used += (size_t)snprintf(answer + used, room - used, HEAD "END\r\nEND\r\n");
    for (int i = 0; i < 1000; i++)
        used += (size_t)snprintf(answer + used, room - used, "STAT %0100d:prefix x\r\nSTAT n%d:prefix x\r\n",
                                 i, i);
    snprintf(answer + used, room - used, "END\r\nEND\r\nEND\r\n");
    rig->now = sample_at(1, answer);
    free(answer);
    model_picture(rig->now, NULL, rig->picture);
    assert_int_equal(rig->picture->namespace_count, SAMPLE_OWNERS_MAX);
    assert_int_equal(strlen(rig->picture->namespaces[0].name), SAMPLE_NAME_MAX - 1);
}

static void refuses(const char *answer, const char *expected) {
    char why[300] = "";
    struct sample *sample = sample_new(strdup(answer), strlen(answer), 1, why, sizeof why);
    assert_null(sample);
    assert_non_null(strstr(why, expected));
}

TEST(an_answer_that_is_none_is_refused_with_its_reason) {
    refuses("STAT pid 1\r\nEND\r\nERROR\r\n", "answers \"ERROR\" to \"stats forebay\"");
    refuses("CLIENT_ERROR unauthenticated\r\n", "--password-file");
    refuses("STAT pid 1\r\nEND\r\nSTAT", "not answered completely");
    refuses("", "not answered completely");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(rates_and_the_hit_ratio_are_those_of_the_interval),
        CASE(after_a_reset_counters_count_from_0),
        CASE(a_server_that_was_started_anew_has_no_rates_for_once),
        CASE(one_sample_has_levels_and_no_rates),
        CASE(the_lag_of_a_backend_is_that_of_its_oldest_change),
        CASE(what_there_is_of_others_is_told_by_backend),
        CASE(nothing_but_printable_ascii_comes_out_of_a_sample),
        CASE(what_is_no_number_is_none),
        CASE(more_namespaces_than_there_is_room_for_are_left_out),
        CASE(an_answer_that_is_none_is_refused_with_its_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
