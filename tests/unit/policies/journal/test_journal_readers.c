/* SPDX-License-Identifier: MIT */
/* Whoever else reads a journal: a process that comes later, replayers that go their own way, people with a dump. */
#include "policies/journal/format.h"
#include "tests/support/check.h"
#include "tests/support/journal_rig.h"
#include "tests/support/passing_time.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int set_up(void **state) {
    *state = journal_rig_make_fixture(sizeof(struct journal_rig));
    return 0;
}

static int tear_down(void **state) {
    journal_rig_end_fixture(*state, NULL, NULL);
    return 0;
}

/* ---- Processes ---- */

TEST(a_second_process_is_refused) {
    struct journal_rig *rig = *state;
    journal_rig_open(rig);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct journal *journal = NULL;
        enum journal_status status =
            journal_open(&rig->options, false, &rig->replayer, &rig->recovery, &journal, &rig->error);
        char pid[32];
        snprintf(pid, sizeof pid, "pid %ld)", (long)getppid());
        bool named =
            strstr(rig->error.message, rig->folder) != NULL && strstr(rig->error.message, pid) != NULL;
        _exit(status == JOURNAL_LOCKED && named ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(journal_rig_put(rig, 0, JOURNAL_OS, 1, "a", "b")); /* and the first did not suffer */
    journal_rig_write(rig, 0);
    journal_rig_close(rig);
    journal_rig_open(rig);
    assert_int_equal(rig->count, 1);
}

/* Children that end without closing anything, each with more records than the last. */
TEST(a_process_that_ends_loses_nothing) {
    struct journal_rig *rig = *state;
    enum { ROUNDS = 12, RECORDS = 60 };
    static const enum journal_mode modes[] = {JOURNAL_OS, JOURNAL_INTERVAL, JOURNAL_ALWAYS};
    const char *value = journal_rig_text(rig, 'v', 699);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        fflush(NULL);
        rig->options.series_count = 1 + (unsigned)round % 3;
        pid_t child = fork();
        if (child == 0) {
            journal_rig_open(rig);
            if (rig->count != round * RECORDS)
                _exit(2);
            for (uint64_t i = 1; i <= RECORDS; i++) {
                unsigned series = (unsigned)i % rig->options.series_count;
                if (!journal_rig_put(rig, series, modes[i % 3], round * RECORDS + i, "key", value))
                    _exit(3);
                journal_rig_write(rig, series);
            }
            journal_rig_put(rig, 0, JOURNAL_OS, UINT64_MAX, "never", "written");
            _exit(0);
        }
        int status = -1;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    journal_rig_open(rig);
    assert_int_equal(rig->count, ROUNDS * RECORDS);
    assert_null(journal_rig_find(rig, UINT64_MAX));
    for (uint64_t version = 1; version <= ROUNDS * RECORDS; version++)
        assert_non_null(journal_rig_find(rig, version));
    assert_int_equal(rig->recovery.torn_files, 0);
}

/* ---- Replayers ---- */

/* As long as a tier takes whose memory is full. */
static bool take_long(struct journal_replayer *self __attribute__((unused)),
                      const struct journal_record *records, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (records[i].entry.version == 1500 || records[i].entry.version == 2500)
            pass_us(2100000);
    return true;
}

TEST(long_recoveries_tell_how_far_they_are) {
    struct journal_rig *rig = *state;
    struct journal_replayer slow = {.records = take_long};
    journal_rig_open(rig);
    assert_false(journal_rig_logged(rig, "recovering"));
    for (uint64_t version = 1; version <= 4000; version++) {
        assert_true(journal_rig_put(rig, 0, JOURNAL_OS, version, "a", "b"));
        if (version % 100 == 0)
            journal_rig_write(rig, 0);
    }
    journal_rig_close(rig);
    size_t files = journal_rig_count_files(rig), file = 0, of = 0, records = 0, count = 0;
    assert_int_equal(journal_open(&rig->options, false, &slow, &rig->recovery, &rig->journal, &rig->error),
                     JOURNAL_OK);
    for (const char *at = rig->lines; (at = strstr(at, "recovering, file ")); at++, count++) {
        size_t file_before = file, records_before = records;
        assert_int_equal(sscanf(at, "recovering, file %zu of %zu, %zu records, 0 MiB", &file, &of, &records),
                         3);
        assert_int_equal(of, files);
        assert_true(file > file_before && file <= files);
        assert_true(records > records_before && records >= (count == 0 ? 1500u : 2500u));
    }
    assert_int_equal(count, 2);
}

static bool refuse(struct journal_replayer *self __attribute__((unused)),
                   const struct journal_record *records, size_t count) {
    return records[count - 1].entry.version < 2;
}

TEST(a_replayer_may_stop_the_recovery) {
    struct journal_rig *rig = *state;
    journal_rig_open(rig);
    assert_true(journal_rig_put(rig, 0, JOURNAL_OS, 1, "a", "b"));
    assert_true(journal_rig_put(rig, 0, JOURNAL_OS, 2, "a", "b"));
    journal_rig_write(rig, 0);
    journal_rig_close(rig);
    struct journal_replayer stop = {.records = refuse};
    assert_int_equal(journal_open(&rig->options, false, &stop, &rig->recovery, &rig->journal, &rig->error),
                     JOURNAL_FAILED);
    journal_rig_open(rig);
    assert_int_equal(rig->count, 2);
}

/* Takes all records twice. */
struct twice {
    struct journal_replayer replayer;
    size_t ends, count;
    uint64_t sum[2];
};

static bool add_up(struct journal_replayer *self, const struct journal_record *records, size_t count) {
    struct twice *twice = (struct twice *)self;
    for (size_t i = 0; i < count; i++)
        twice->sum[twice->ends] = 31 * twice->sum[twice->ends] + records[i].entry.version;
    twice->count += count;
    return true;
}

static bool end_twice(struct journal_replayer *self, bool *ret_again) {
    struct twice *twice = (struct twice *)self;
    *ret_again = ++twice->ends < 2;
    return true;
}

TEST(a_replayer_may_see_all_records_again) {
    struct journal_rig *rig = *state;
    struct twice twice = {.replayer = {.records = add_up, .end = end_twice}};
    journal_rig_open(rig);
    for (uint64_t version = 1; version <= 1000; version++) {
        assert_true(journal_rig_put(rig, 0, JOURNAL_OS, version, "a", "b"));
        if (version % 100 == 0)
            journal_rig_write(rig, 0);
    }
    journal_rig_close(rig);
    assert_true(journal_rig_count_files(rig) > 1);
    assert_int_equal(
        journal_open(&rig->options, false, &twice.replayer, &rig->recovery, &rig->journal, &rig->error),
        JOURNAL_OK);
    assert_int_equal(twice.ends, 2);
    assert_int_equal(twice.count, 2000);
    assert_int_equal(twice.sum[0], twice.sum[1]); /* in the same order */
    assert_int_equal(rig->recovery.records, 1000);
}

/* Nor are they when a replayer, which cannot hold all records at once, sees them again. */
TEST(what_is_given_up_is_not_shown_again_either) {
    struct journal_rig *rig = *state;
    struct slice session = slice_string("session");
    struct entry entry = {.key = slice_string("key"), .value = slice_string("value"), .version = 11};
    struct twice twice = {.replayer = {.records = add_up, .end = end_twice}};
    journal_rig_open(rig);
    assert_true(journal_rig_put(rig, 0, JOURNAL_OS, 10, "key", "value"));
    assert_true(journal_rig_append(rig, 0, JOURNAL_OS, 1, JOURNAL_PUT, &entry));
    journal_rig_write(rig, 0);
    journal_rig_close(rig);
    rig->options.discarded = &session;
    rig->options.discarded_count = 1;
    assert_int_equal(
        journal_open(&rig->options, false, &twice.replayer, &rig->recovery, &rig->journal, &rig->error),
        JOURNAL_OK);
    assert_int_equal(twice.count, 2);
    assert_int_equal(twice.sum[0], 10);
    assert_int_equal(twice.sum[1], 10);
}

/* ---- Dump ---- */

static char *dump(struct journal_rig *rig, int expected) {
    enum { SIZE = 1 << 16 };
    char *text = journal_rig_allocate(rig, SIZE);
    FILE *out = fmemopen(text, SIZE, "w");
    assert_non_null(out);
    int result = journal_dump(rig->folder, out, out);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(result, expected);
    return text;
}

/* Up to where the nth file is synced, as its header says. */
static uint64_t noted(struct journal_rig *rig, size_t n) {
    struct format_header header;
    char name[64];
    size_t size;
    assert_true(journal_rig_file_name(rig, n, name));
    const char *bytes = journal_rig_read_file(rig, name, &size);
    assert_int_equal(format_decode_header(bytes, size, &header), FORMAT_GOOD);
    free((void *)(uintptr_t)header.spaces);
    return header.synced;
}

TEST(a_dump_is_readable) {
    struct journal_rig *rig = *state;
    struct entry put = {.key = SLICE("a\"\x07z"),
                        .value = SLICE("12345"),
                        .version = version_from_us(1700000000123456, 0),
                        .expires_at = 1700000060,
                        .flags = 9};
    journal_rig_open(rig);
    assert_true(journal_rig_append(rig, 0, JOURNAL_OS, 1, JOURNAL_PUT, &put));
    put.version++;
    assert_true(journal_rig_append(rig, 0, JOURNAL_OS, 1, JOURNAL_DELETE, &put));
    journal_rig_write(rig, 0);
    char *text = dump(rig, 0); /* while it is open */
    assert_non_null(strstr(text, "journal-0-0000000001.fj format 1 writer 0 sequence 1 "));
    assert_non_null(strstr(text, "namespaces \"plain\" \"session\"\n"));
    assert_non_null(strstr(text,
                           "  4096 put version 6963200000505675776 (2023-11-14T22:13:20.123456Z) namespace "
                           "\"session\" key \"a\\\"\\x07z\" value 5 bytes flags 9 expires "
                           "2023-11-14T22:14:20.000000Z crc ok\n"));
    assert_non_null(strstr(text, " delete version 6963200000505675777 "));
    assert_non_null(strstr(text, " end, 2 records\n"));
    journal_rig_close(rig);
    size_t size;
    char *data = journal_rig_read_file(rig, "journal-0-0000000001.fj", &size);
    data[4096 + 20] ^= 1;
    journal_rig_write_file(rig, "journal-0-0000000001.fj", data, size);
    text = dump(rig, 1);
    assert_non_null(strstr(text, "  4096 crc bad: 48 bytes are no record\n"));
    data[4096 + 20] ^= 1;
    journal_rig_write_file(rig, "journal-0-0000000001.fj", data, size - 1);
    text = dump(rig, 1); /* it was synced at the end */
    assert_non_null(strstr(text, "  4144 missing: 40 bytes of records that were synced\n"));
    assert_non_null(strstr(text, "  4144 end, 1 records\n"));
    memset(data + 4096 - FORMAT_NOTE_SIZE, 0, FORMAT_NOTE_SIZE);
    journal_rig_write_file(rig, "journal-0-0000000001.fj", data, size - 1);
    text = dump(rig, 0);
    assert_non_null(strstr(text, "  4144 torn tail: "));
    journal_rig_write_file(rig, "journal-0-0000000001.fj", data, 100);
    text = dump(rig, 1);
    assert_non_null(strstr(text, "journal-0-0000000001.fj damaged: shorter than its header, 100 bytes\n"));
}

TEST(a_folder_that_no_journal_is_in_is_told) {
    struct journal_rig *rig = *state;
    enum { TOO_LONG = 5000 };
    const char *const folders[][2] = {{"/nowhere", "No such file or directory"},
                                      {journal_rig_text(rig, 'x', TOO_LONG), "File name too long"}};
    for (size_t i = 0; i < 2; i++) {
        char text[2 * TOO_LONG] = "";
        FILE *out = fmemopen(text, sizeof text, "w");
        assert_non_null(out);
        errno = 0;
        assert_int_equal(journal_dump(folders[i][0], out, out), 1);
        assert_int_equal(fclose(out), 0);
        assert_non_null(strstr(text, folders[i][1]));
    }
}

/* Whoever cuts off what was acknowledged must be found out, however it was synced: also where nothing is left for a
 * tick to sync. */
TEST(what_is_synced_is_noted) {
    struct journal_rig *rig = *state;
    rig->options.fsync_interval_ms = 2;
    for (unsigned mode = JOURNAL_INTERVAL; mode <= JOURNAL_ALWAYS; mode++) {
        journal_rig_open(rig);
        for (uint64_t version = 1; version <= 3; version++) {
            assert_true(journal_rig_put(rig, 0, (enum journal_mode)mode, version, "key", "value"));
            uint64_t position = journal_rig_write(rig, 0);
            if (mode == JOURNAL_ALWAYS)
                journal_rig_wait_durable(rig, 0, position);
        }
        eventually(noted(rig, 0) == 4096 + 3 * 40);
        journal_rig_close(rig);
        journal_rig_remove_files(rig);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(a_second_process_is_refused),
        CASE(a_process_that_ends_loses_nothing),
        CASE(long_recoveries_tell_how_far_they_are),
        CASE(a_replayer_may_stop_the_recovery),
        CASE(a_replayer_may_see_all_records_again),
        CASE(what_is_given_up_is_not_shown_again_either),
        CASE(a_dump_is_readable),
        CASE(a_folder_that_no_journal_is_in_is_told),
        CASE(what_is_synced_is_noted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
