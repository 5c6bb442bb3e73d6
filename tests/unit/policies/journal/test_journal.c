/* SPDX-License-Identifier: MIT */
/* The journal in good weather: what goes in comes out, from every mode, kind, series and file. */
#include "tests/support/check.h"
#include "tests/support/journal_rig.h"
#include <string.h>
#include <unistd.h>

struct fixture {
    struct journal_rig rig;   /* first */
    struct journal_rig after; /* where a test copies files to, as a crash would leave them */
};

static int set_up(void **state) {
    *state = journal_rig_make_fixture(sizeof(struct fixture));
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    journal_rig_end_fixture(&fixture->rig, &fixture->after, NULL);
    return 0;
}

static void assert_same(const struct journal_rig_record *found, const struct entry *expected) {
    assert_non_null(found);
    assert_true(slice_equal(found->entry.key, expected->key));
    assert_true(slice_equal(found->entry.value, expected->value));
    assert_int_equal(found->entry.version, expected->version);
    assert_int_equal(found->entry.client_cas, expected->client_cas);
    assert_int_equal(found->entry.flags, expected->flags);
    assert_int_equal(found->entry.expires_at, expected->expires_at);
    assert_int_equal(found->entry.marks, expected->marks);
}

/* ---- Round trips ---- */

TEST(every_field_comes_back) {
    struct journal_rig *rig = *state;
    static const char bytes[] = "any\0bytes\r\n\xff";
    char longest[ENTRY_KEY_MAX];
    memset(longest, 'k', sizeof longest);
    struct entry put = {.key = SLICE("key with \x01 bytes"),
                        .value = slice_of(bytes, sizeof bytes),
                        .version = version_from_us(1700000000000000, 7),
                        .client_cas = UINT64_MAX,
                        .flags = UINT32_MAX,
                        .expires_at = 4000000000u,
                        .marks = ENTRY_STALE | ENTRY_TOKEN_SENT};
    struct entry touch = {.key = slice_of(longest, sizeof longest),
                          .version = put.version + 1,
                          .expires_at = 1,
                          .client_cas = 3};
    struct entry gone = {.key = SLICE("k"), .version = put.version + 2};
    struct entry empty = {.key = SLICE("empty"), .version = put.version + 3};
    struct entry whole = put;
    whole.version = put.version + 4;
    journal_rig_open(rig);
    assert_true(journal_rig_append(rig, 0, JOURNAL_OS, 1, JOURNAL_PUT, &put));
    assert_true(journal_rig_append(rig, 0, JOURNAL_OS, 0, JOURNAL_TOUCH, &touch));
    assert_true(journal_rig_append(rig, 0, JOURNAL_OS, 1, JOURNAL_DELETE, &gone));
    assert_true(journal_rig_append(rig, 0, JOURNAL_OS, 0, JOURNAL_PUT, &empty));
    assert_true(journal_rig_append(rig, 0, JOURNAL_OS, 1, JOURNAL_TOUCH_WHOLE, &whole));
    assert_int_equal(journal_rig_write(rig, 0), 0);
    journal_rig_close(rig);
    journal_rig_open(rig);
    assert_int_equal(rig->count, 5);
    assert_int_equal(rig->recovery.records, 5);
    assert_int_equal(rig->recovery.highest_version, whole.version);
    assert_int_equal(rig->recovery.torn_files, 0);
    assert_same(&rig->records[0], &put);
    assert_same(&rig->records[1], &touch);
    assert_same(&rig->records[2], &gone);
    assert_same(&rig->records[3], &empty);
    assert_same(&rig->records[4], &whole);
    assert_int_equal(rig->records[4].kind, JOURNAL_TOUCH_WHOLE);
    assert_int_equal(rig->records[0].kind, JOURNAL_PUT);
    assert_int_equal(rig->records[1].kind, JOURNAL_TOUCH);
    assert_int_equal(rig->records[2].kind, JOURNAL_DELETE);
    assert_string_equal(rig->records[0].space, "session");
    assert_string_equal(rig->records[1].space, "plain");
}

/* The caller may hand over the entry as it has it. */
TEST(only_whole_records_carry_values) {
    struct journal_rig *rig = *state;
    struct entry entry = {.key = SLICE("k"), .value = SLICE("left over"), .version = 5};
    journal_rig_open(rig);
    assert_true(journal_rig_append(rig, 0, JOURNAL_OS, 0, JOURNAL_TOUCH, &entry));
    assert_true(journal_rig_append(rig, 0, JOURNAL_OS, 0, JOURNAL_DELETE, &entry));
    journal_rig_write(rig, 0);
    journal_rig_close(rig);
    journal_rig_open(rig);
    assert_int_equal(rig->count, 2);
    assert_int_equal(rig->records[0].entry.value.size, 0);
    assert_int_equal(rig->records[1].entry.value.size, 0);
}

TEST(records_of_many_files_and_series_come_back) {
    struct journal_rig *rig = *state;
    enum { RECORDS = 3000 };
    const char *value = journal_rig_text(rig, 'v', 299);
    char key[32];
    rig->options.series_count = 3;
    journal_rig_open(rig);
    for (uint64_t version = 1; version <= RECORDS; version++) {
        unsigned series = (unsigned)(version * 7 % 3);
        snprintf(key, sizeof key, "key %u", (unsigned)version);
        assert_true(journal_rig_put(rig, series, JOURNAL_OS, version, key, value));
        if (version % 10 == 0)
            journal_rig_write(rig, series);
    }
    for (unsigned i = 0; i < 3; i++)
        journal_rig_write(rig, i);
    struct journal_stats stats = journal_rig_stats(rig);
    assert_true(stats.written_records >= RECORDS);
    assert_true(stats.files > 50);
    assert_int_equal(stats.fsyncs, 0); /* `os` only */
    journal_rig_close(rig);
    rig->options.series_count = 1; /* another number than before */
    journal_rig_open(rig);
    assert_int_equal(rig->count, RECORDS);
    char *seen = journal_rig_allocate(rig, RECORDS + 1);
    for (size_t i = 0; i < rig->count; i++) {
        seen[rig->records[i].entry.version]++;
        assert_string_equal(rig->records[i].value, value);
    }
    for (size_t version = 1; version <= RECORDS; version++)
        assert_int_equal(seen[version], 1);
    journal_rig_close(rig);
    rig->options.series_count = 4;
    journal_rig_open(rig);
    assert_int_equal(rig->count, RECORDS);
}

TEST(a_record_may_be_longer_than_a_file) {
    struct journal_rig *rig = *state;
    static const size_t sizes[] = {
        1, RIG_FILE_SIZE / 2, RIG_FILE_SIZE - 4096, RIG_FILE_SIZE, 100000, 20 << 20, 3};
    char *value = journal_rig_allocate(rig, (20 << 20) + 1);
    journal_rig_open(rig);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        memset(value, 'a' + (int)i, sizes[i]);
        value[sizes[i]] = '\0';
        assert_true(journal_rig_put(rig, 0, JOURNAL_ALWAYS, i + 1, "key", value));
        if (i % 2 == 0)
            journal_rig_wait_durable(rig, 0, journal_rig_write(rig, 0));
    }
    journal_rig_wait_durable(rig, 0, journal_rig_write(rig, 0));
    journal_rig_close(rig);
    journal_rig_open(rig);
    assert_int_equal(rig->count, sizeof sizes / sizeof *sizes);
    for (size_t i = 0; i < rig->count; i++) {
        assert_int_equal(rig->records[i].entry.version, i + 1);
        assert_int_equal(rig->records[i].entry.value.size, sizes[i]);
        assert_int_equal(rig->records[i].value[sizes[i] - 1], 'a' + (int)i);
    }
    journal_rig_pass(rig, 100);
    journal_rig_close(rig);
    assert_int_equal(journal_rig_count_files(rig), 0);
}

/* ---- Modes ---- */

TEST(positions_become_durable) {
    struct journal_rig *rig = *state;
    uint64_t last = 0, version = 0;
    rig->options.series_count = 2;
    journal_rig_open(rig);
    for (int turn = 0; turn < 300; turn++) {
        unsigned series = (unsigned)turn % 2;
        assert_true(journal_rig_put(rig, series, JOURNAL_INTERVAL, ++version, "a", "interval"));
        assert_true(journal_rig_put(rig, series, JOURNAL_ALWAYS, ++version, "b", "always"));
        assert_true(journal_rig_put(rig, series, JOURNAL_OS, ++version, "c", "os"));
        uint64_t position = journal_rig_write(rig, series);
        assert_true(position > 0);
        if (series == 0) {
            assert_true(position > last);
            last = position;
        }
        if (turn % 5 < 2)
            journal_rig_wait_durable(rig, series, position);
        assert_true(journal_rig_put(rig, series, JOURNAL_INTERVAL, ++version, "d", "interval"));
        assert_int_equal(journal_rig_write(rig, series), 0);
    }
    journal_rig_wait_durable(rig, 0, last);
    journal_rig_close(rig);
    journal_rig_open(rig);
    assert_int_equal(rig->count, version);
}

/* The last record of mode `always` lies in the file before, what follows in the new one asks for nothing. */
TEST(a_position_in_the_file_before_becomes_durable) {
    struct journal_rig *rig = *state;
    const char *value = journal_rig_text(rig, 'x', 6999);
    journal_rig_open(rig);
    for (uint64_t version = 1; version < 200; version += 4) {
        assert_true(journal_rig_put(rig, 0, JOURNAL_ALWAYS, version, "a", value));
        for (uint64_t i = 1; i < 4; i++)
            assert_true(journal_rig_put(rig, 0, JOURNAL_OS, version + i, "b", value));
        journal_rig_wait_durable(rig, 0, journal_rig_write(rig, 0));
    }
    journal_rig_close(rig);
    journal_rig_open(rig);
    assert_int_equal(rig->count, 200);
}

TEST(an_interval_is_synced_in_time_and_once) {
    struct journal_rig *rig = *state;
    rig->options.fsync_interval_ms = 10;
    journal_rig_open(rig);
    assert_true(journal_rig_put(rig, 0, JOURNAL_INTERVAL, 1, "a", "b"));
    assert_int_equal(journal_rig_write(rig, 0), 0);
    eventually(journal_rig_stats(rig).fsyncs > 0);
    usleep(50000);
    assert_int_equal(journal_rig_stats(rig).fsyncs, 1); /* and not again for nothing */
    assert_int_equal(atomic_load(&rig->durable[0]), 0);
    assert_true(journal_rig_put(rig, 0, JOURNAL_OS, 2, "a", "b"));
    journal_rig_write(rig, 0);
    usleep(50000);
    assert_int_equal(journal_rig_stats(rig).fsyncs, 1);
}

/* ---- Low water ---- */

TEST(flushed_records_are_ignored) {
    struct journal_rig *rig = *state;
    journal_rig_open(rig);
    for (uint64_t version = 1; version <= 20; version++)
        assert_true(journal_rig_put(rig, 0, JOURNAL_OS, version, "key", "value"));
    journal_rig_write(rig, 0);
    journal_rig_pass(rig, 12);
    journal_rig_pass(rig, 5); /* does not go back */
    journal_rig_close(rig);
    journal_rig_open(rig);
    assert_int_equal(rig->recovery.records, 20);
    assert_int_equal(rig->recovery.ignored, 12);
    assert_int_equal(rig->count, 8);
    assert_int_equal(rig->records[0].entry.version, 13);
    assert_int_equal(rig->recovery.highest_version, 20);
}

/* What one burst between two flushes has used is kept for the next. */
TEST(a_burst_finds_the_files_of_the_last) {
    struct journal_rig *rig = *state;
    const char *value = journal_rig_text(rig, 'v', 2999);
    journal_rig_open(rig);
    uint64_t version = 1;
    for (int burst = 0; burst < 3; burst++) {
        size_t before = journal_rig_count_files(rig);
        while (journal_rig_count_files(rig) < before + 30) {
            assert_true(journal_rig_put(rig, 0, JOURNAL_OS, version++, "key", value));
            journal_rig_write(rig, 0);
        }
        journal_rig_pass(rig, version - 1);
        eventually(journal_rig_count_named(rig, "blank-") >= 25);
    }
    /* 30 in use at once, and those that were ready or underway: not 90 */
    assert_true(journal_rig_count_named(rig, "blank-") + journal_rig_count_files(rig) < 45);
}

/* Records of a namespace that is given up are not shown, and do not come back when nobody says so any more. */
TEST(what_is_given_up_stays_away) {
    struct journal_rig *rig = *state;
    struct slice session = slice_string("session");
    struct entry entry = {.key = slice_string("key"), .value = slice_string("value")};
    journal_rig_open(rig);
    assert_true(journal_rig_put(rig, 0, JOURNAL_OS, 10, "key", "value"));
    for (entry.version = 11; entry.version <= 13; entry.version++)
        assert_true(journal_rig_append(rig, 0, JOURNAL_OS, 1, JOURNAL_PUT, &entry));
    journal_rig_write(rig, 0);
    journal_rig_close(rig);
    rig->options.discarded = &session;
    for (rig->options.discarded_count = 1;; rig->options.discarded_count--) {
        journal_rig_open(rig);
        assert_int_equal(rig->count, 1);
        assert_int_equal(rig->records[0].entry.version, 10);
        assert_int_equal(rig->recovery.discarded, rig->options.discarded_count ? 3 : 0);
        assert_int_equal(rig->recovery.shown, 1);
        assert_int_equal(rig->recovery.highest_version, 13);
        if (rig->options.discarded_count == 0)
            break;
        journal_rig_close(rig);
    }
}

/* Files begin short and grow; a record that the next one cannot hold has a longer one. */
TEST(files_grow_as_they_are_needed) {
    static const size_t sizes[] = {100, 600000, 600000, 1500000, 100, 5000000, 900000, 9000000, 100, 3000000};
    enum { ROUNDS = 4, SIZES = sizeof sizes / sizeof *sizes, SIZE = 8 << 20 };
    struct journal_rig *rig = *state;
    uint64_t version = 0;
    rig->options.file_size = SIZE;
    journal_rig_open(rig);
    assert_true(journal_rig_stats(rig).bytes <= SIZE / 8);
    for (unsigned i = 0; i < ROUNDS * SIZES; i++) {
        const char *value = journal_rig_text(rig, (char)('a' + i % 26), sizes[i % SIZES]);
        assert_true(journal_rig_put(rig, 0, JOURNAL_OS, ++version, "key", value));
        journal_rig_write(rig, 0);
    }
    journal_rig_close(rig);
    journal_rig_open(rig);
    for (unsigned i = 0; i < ROUNDS * SIZES; i++) {
        const struct journal_rig_record *record = journal_rig_find(rig, i + 1);
        assert_non_null(record);
        assert_int_equal(record->entry.value.size, sizes[i % SIZES]);
        assert_int_equal(record->value[sizes[i % SIZES] - 1], 'a' + i % 26);
    }
    journal_rig_pass(rig, version);
    eventually(journal_rig_count_named(rig, "blank-") > 0); /* the files of the usual size */
    eventually(journal_rig_stats(rig).bytes <= SIZE / 8);
}

TEST(a_clean_shutdown_leaves_nothing) {
    struct journal_rig *rig = *state;
    const char *value = journal_rig_text(rig, 'v', 999);
    rig->options.series_count = 2;
    journal_rig_open(rig);
    for (uint64_t version = 1; version <= 100; version++) {
        assert_true(journal_rig_put(rig, version % 2, JOURNAL_INTERVAL, version, "key", value));
        journal_rig_write(rig, version % 2);
    }
    journal_rig_pass(rig, 100);
    journal_rig_close(rig);
    assert_int_equal(journal_rig_count_files(rig), 0);
    journal_rig_open(rig);
    assert_int_equal(rig->recovery.files, 0);
    assert_int_equal(rig->recovery.highest_version, 100); /* time does not begin again */
    journal_rig_close(rig);
    assert_int_equal(journal_rig_count_files(rig), 0);
}

TEST(recovered_files_go_when_passed) {
    struct journal_rig *rig = *state;
    journal_rig_open(rig);
    assert_true(journal_rig_put(rig, 0, JOURNAL_OS, 10, "key", "value"));
    journal_rig_write(rig, 0);
    journal_rig_close(rig);
    journal_rig_open(rig);
    assert_int_equal(rig->count, 1);
    journal_rig_close(rig); /* nothing flushed: stays */
    journal_rig_open(rig);
    assert_int_equal(rig->count, 1);
    journal_rig_pass(rig, 10);
    journal_rig_close(rig);
    assert_int_equal(journal_rig_count_files(rig), 0);
}

/* A put lies in one file, the delete behind it in another that goes first: the put must not come back. */
TEST(no_put_outlives_its_delete) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig, *after = &fixture->after;
    rig->options.series_count = 2;
    journal_rig_open(rig);
    assert_true(journal_rig_put(rig, 0, JOURNAL_OS, 10, "key", "value"));
    assert_true(journal_rig_put(rig, 0, JOURNAL_OS, 1000, "other", "not flushed yet"));
    journal_rig_write(rig, 0);
    struct entry gone = {.key = SLICE("key"), .version = 20};
    assert_true(journal_rig_append(rig, 1, JOURNAL_OS, 0, JOURNAL_DELETE, &gone));
    const char *value = journal_rig_text(rig, 'v', 5999);
    for (uint64_t version = 30; version < 50; version++) { /* until its file is full */
        assert_true(journal_rig_put(rig, 1, JOURNAL_OS, version, "filler", value));
        journal_rig_write(rig, 1);
    }
    journal_rig_pass(rig, 40);
    eventually(journal_rig_stats(rig).recycled > 0);
    journal_rig_set_up(after);
    for (size_t i = 0; i < journal_rig_count_files(rig); i++) { /* as it would be found after kill -9 */
        char name[64];
        size_t size;
        assert_true(journal_rig_file_name(rig, i, name));
        char *data = journal_rig_read_file(rig, name, &size);
        journal_rig_write_file(after, name, data, size);
    }
    size_t size;
    char *low_water = journal_rig_read_file(rig, "low-water", &size);
    journal_rig_write_file(after, "low-water", low_water, size);
    journal_rig_open(after);
    assert_null(journal_rig_find(after, 10));
    assert_non_null(journal_rig_find(after, 1000));
}

/* ---- Namespaces ---- */

static void put_in(struct journal_rig *rig, unsigned space, uint64_t version) {
    struct entry entry = {
        .key = SLICE("key"), .value = slice_string(journal_rig_text(rig, 'v', 999)), .version = version};
    assert_true(journal_rig_append(rig, 0, JOURNAL_OS, space, JOURNAL_PUT, &entry));
    journal_rig_write(rig, 0);
}

/* What one namespace has not got rid of is in its way alone. */
TEST(a_namespace_is_passed_by_itself) {
    struct journal_rig *rig = *state;
    journal_rig_open(rig);
    put_in(rig, 1, 1);
    for (uint64_t version = 2; version <= 500; version++) {
        put_in(rig, 0, version);
        journal_pass(rig->journal, 0, version);
    }
    eventually(journal_rig_stats(rig).files <= 3); /* that with the first record, and the last one */
    journal_rig_close(rig);
    assert_int_equal(journal_rig_count_files(rig), 1);
    journal_rig_open(rig);
    assert_int_equal(rig->count, 1);
    assert_non_null(journal_rig_find(rig, 1));
    assert_int_equal(rig->recovery.highest_version, 500);
    journal_pass(rig->journal, 1, 1);
    journal_rig_close(rig);
    assert_int_equal(journal_rig_count_files(rig), 0);
}

TEST(records_of_unknown_namespaces_are_kept) {
    struct journal_rig *rig = *state;
    struct slice plain_only[] = {SLICE("plain")}, turned[] = {SLICE("session"), SLICE("plain")};
    struct entry entry = {.key = SLICE("k"), .value = SLICE("v"), .version = 1};
    journal_rig_open(rig);
    for (; entry.version <= 10; entry.version++)
        assert_true(journal_rig_append(rig, 0, JOURNAL_OS, entry.version % 2, JOURNAL_PUT, &entry));
    journal_rig_write(rig, 0);
    journal_rig_pass(rig, 4);
    journal_rig_close(rig);
    rig->options.spaces = plain_only;
    rig->options.space_count = 1;
    journal_rig_open(rig);
    assert_int_equal(rig->count, 3); /* 6, 8, 10 */
    for (size_t i = 0; i < rig->count; i++)
        assert_string_equal(rig->records[i].space, "plain");
    assert_true(journal_rig_logged(rig, "3 records belong to namespace 'session'"));
    journal_rig_pass(rig, 1000); /* true of what is configured, and of nothing else */
    journal_rig_close(rig);
    assert_int_equal(journal_rig_count_files(rig), 1);
    rig->options.spaces = turned;
    rig->options.space_count = 2;
    journal_rig_open(rig);
    assert_int_equal(rig->count, 3); /* 5, 7, 9 */
    for (size_t i = 0; i < rig->count; i++)
        assert_string_equal(rig->records[i].space, "session");
    journal_rig_pass(rig, 1001);
    journal_rig_close(rig);
    assert_int_equal(journal_rig_count_files(rig), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(every_field_comes_back),
        CASE(only_whole_records_carry_values),
        CASE(records_of_many_files_and_series_come_back),
        CASE(a_record_may_be_longer_than_a_file),
        CASE(positions_become_durable),
        CASE(a_position_in_the_file_before_becomes_durable),
        CASE(an_interval_is_synced_in_time_and_once),
        CASE(flushed_records_are_ignored),
        CASE(a_burst_finds_the_files_of_the_last),
        CASE(what_is_given_up_stays_away),
        CASE(files_grow_as_they_are_needed),
        CASE(a_clean_shutdown_leaves_nothing),
        CASE(recovered_files_go_when_passed),
        CASE(no_put_outlives_its_delete),
        CASE(a_namespace_is_passed_by_itself),
        CASE(records_of_unknown_namespaces_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
