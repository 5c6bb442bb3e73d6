/* SPDX-License-Identifier: MIT */
/*
 * What stays in the journal when a store has it, for a store that goes back: how long, how much, that it is read, and
 * that nothing of it is taken for unsettled or keeps a change from being taken.
 */
#include "policies/journal/kept.h"
#include "tests/support/check.h"
#include "tests/support/faulty_disk.h"
#include "tests/support/journal_rig.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PLAIN, SESSION, LONG_MS = 24 * 3600 * 1000 };

struct fixture {
    struct journal_rig rig;
    struct journal_rig after;
    struct faulty_disk disk;
};

static const bool both[] = {true, true}, session_alone[] = {false, true};

static int set_up(void **state) {
    struct fixture *fixture = journal_rig_make_fixture(sizeof *fixture);
    faulty_disk_init(&fixture->disk, false);
    fixture->rig.options.disk = &fixture->disk.calls;
    fixture->rig.options.fsync_interval_ms = 2;
    fixture->rig.options.keep_ms = LONG_MS;
    fixture->rig.options.keep_bytes = 1 << 30;
    fixture->rig.options.keeps = both;
    *state = fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    journal_rig_end_fixture(&fixture->rig, &fixture->after, &fixture->disk);
    return 0;
}

/* ---- Writing and looking ---- */

static bool put(struct journal_rig *rig, unsigned space, uint64_t version) {
    char key[24], value[900];
    memset(value, 'v', sizeof value);
    snprintf(key, sizeof key, "key %u", (unsigned)(version % 1000));
    struct entry entry = {
        .key = slice_string(key), .value = slice_of(value, sizeof value), .version = version};
    bool taken = journal_rig_append(rig, 0, JOURNAL_OS, space, JOURNAL_PUT, &entry);
    journal_rig_write(rig, 0);
    return taken;
}

/* A file holds about twelve of them. */
static void put_many(struct journal_rig *rig, unsigned space, uint64_t first, uint64_t last) {
    for (uint64_t version = first; version <= last; version++)
        assert_true(put(rig, space, version));
}

static size_t kept_files(const struct journal_rig *rig) {
    return journal_rig_stats(rig).kept_files;
}

static uint64_t kept_bytes_of(const struct journal_rig *rig) {
    return journal_rig_stats(rig).kept_bytes;
}

struct seen {
    size_t records[2]; /* of each namespace */
    uint64_t least[2];
    size_t unread;
};

static void see(struct seen *seen, const struct journal_past_record *record) {
    unsigned space = record->space;
    assert_int_equal(record->kind, JOURNAL_PUT);
    assert_int_equal(record->entry.value.size, 900);
    seen->records[space]++;
    if (seen->least[space] == 0 || record->entry.version < seen->least[space])
        seen->least[space] = record->entry.version;
}

static struct seen look(struct journal_rig *rig, unsigned times) {
    struct journal_past *past = journal_past_open(rig->journal);
    struct journal_past_record record;
    enum journal_past_status status;
    struct seen seen;
    assert_non_null(past);
    do {
        seen = (struct seen){0};
        journal_past_rewind(past);
        while ((status = journal_past_next(past, &record)) != JOURNAL_PAST_END)
            if (status == JOURNAL_PAST_RECORD)
                see(&seen, &record);
    } while (--times > 0);
    seen.unread = journal_past_unread(past);
    journal_past_close(past);
    return seen;
}

static void open_after(struct fixture *fixture) {
    struct journal_rig *rig = &fixture->rig, *after = &fixture->after;
    char name[64];
    size_t size, count = journal_rig_count_files(rig);
    journal_rig_set_up(after);
    after->options.keeps = both;
    after->options.keep_ms = LONG_MS;
    after->options.keep_bytes = 1 << 30;
    for (size_t i = 0; i < count && journal_rig_file_name(rig, i, name); i++) {
        char *data = journal_rig_read_file(rig, name, &size);
        journal_rig_write_file(after, name, data, size);
    }
    char *low_water = journal_rig_read_file(rig, "low-water", &size);
    journal_rig_write_file(after, "low-water", low_water, size);
    journal_rig_open(after);
}

/* ---- Staying ---- */

TEST(what_is_passed_can_still_be_read) {
    struct journal_rig *rig = *state;
    journal_rig_open(rig);
    put_many(rig, PLAIN, 1, 100);
    journal_rig_pass(rig, 90);
    eventually(kept_files(rig) >= 6);
    assert_true(journal_rig_stats(rig).files <= 4);
    assert_true(kept_bytes_of(rig) == kept_files(rig) * RIG_FILE_SIZE);
    struct seen seen = look(rig, 2);
    assert_int_equal(seen.records[PLAIN], 100);
    assert_int_equal(seen.least[PLAIN], 1);
    assert_int_equal(seen.unread, 0);
    assert_int_equal(journal_forgotten(rig->journal, PLAIN), 0);
}

/* A start restores nothing that was passed, be it after an end or a kill, and keeps it on. */
TEST(a_start_takes_nothing_of_it_for_unsettled) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig, *after = &fixture->after;
    journal_rig_open(rig);
    put_many(rig, PLAIN, 1, 100);
    journal_rig_pass(rig, 95);
    eventually(kept_files(rig) >= 6);
    assert_true(journal_note_passed(rig->journal));
    open_after(fixture);
    assert_int_equal(after->count, 5);
    assert_int_equal(look(after, 1).records[PLAIN], 100);
    journal_rig_pass(rig, 100);
    journal_rig_close(rig);
    journal_rig_open(rig);
    assert_int_equal(rig->count, 0);
    assert_int_equal(rig->recovery.ignored, 100);
    struct seen seen = look(rig, 1);
    assert_int_equal(seen.records[PLAIN], 100);
    assert_int_equal(journal_forgotten(rig->journal, PLAIN), 0);
    assert_true(kept_files(rig) >= 6);
}

TEST(nothing_stays_that_nobody_asks_for) {
    struct journal_rig *rig = *state;
    rig->options.keeps = session_alone;
    journal_rig_open(rig);
    put_many(rig, PLAIN, 1, 100);
    journal_rig_pass(rig, 100);
    eventually(journal_rig_stats(rig).recycled >= 6);
    assert_int_equal(kept_files(rig), 0);
    put_many(rig, SESSION, 101, 200);
    journal_rig_pass(rig, 200);
    eventually(kept_files(rig) >= 6);
    journal_rig_close(rig);
    rig->options.keep_ms = 0; /* asked for no longer */
    journal_rig_open(rig);
    assert_int_equal(kept_files(rig), 0);
    journal_rig_close(rig);
    assert_int_equal(journal_rig_count_files(rig), 0);
}

/* ---- Going ---- */

TEST(they_go_when_their_time_is_over_but_not_while_it_stands_still) {
    struct journal_rig *rig = *state;
    rig->options.keep_ms = 1;
    journal_rig_open(rig);
    journal_halt_keeping(rig->journal, true);
    put_many(rig, PLAIN, 1, 50);
    journal_rig_pass(rig, 50);
    eventually(kept_files(rig) >= 3);
    for (uint64_t version = 100; version <= 1000;
         version += 100) { /* each is more than a pass of the syncer */
        size_t before = kept_files(rig);
        put_many(rig, PLAIN, version, version + 30);
        journal_rig_pass(rig, version + 30);
        eventually(kept_files(rig) > before);
    }
    assert_int_equal(look(rig, 1).least[PLAIN], 1);
    journal_halt_keeping(rig->journal, false);
    eventually(kept_files(rig) == 0);
    uint64_t forgotten = journal_forgotten(rig->journal, PLAIN);
    assert_true(forgotten >= 1000 && forgotten <= 1030);
    assert_int_equal(journal_forgotten(rig->journal, SESSION), 0);
    assert_true(look(rig, 1).least[PLAIN] > forgotten);
    journal_rig_close(rig);
    journal_rig_open(rig); /* that is known on */
    assert_true(journal_forgotten(rig->journal, PLAIN) >= forgotten);
}

/* Before it is noted on disk that they are forgotten, they stay, and nothing of them is. */
TEST(what_cannot_be_noted_is_not_forgotten) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    rig->options.keep_ms = 1;
    journal_rig_open(rig);
    journal_halt_keeping(rig->journal, true);
    put_many(rig, PLAIN, 1, 50);
    journal_rig_pass(rig, 50);
    eventually(kept_files(rig) >= 3);
    assert_true(journal_note_passed(rig->journal));
    atomic_store(&fixture->disk.fail_write_after, 0);
    atomic_store(&fixture->disk.write_failure, EIO);
    journal_halt_keeping(rig->journal, false);
    eventually(journal_rig_logged(rig, "low-water: Input/output error"));
    assert_true(kept_files(rig) >= 3);
    assert_int_equal(journal_forgotten(rig->journal, PLAIN), 0);
    atomic_store(&fixture->disk.write_failure, 0);
    eventually(kept_files(rig) == 0);
    assert_true(journal_forgotten(rig->journal, PLAIN) >= 36);
}

TEST(they_take_so_many_bytes_at_most) {
    struct journal_rig *rig = *state;
    rig->options.keep_bytes = 3 * RIG_FILE_SIZE;
    journal_rig_open(rig);
    put_many(rig, PLAIN, 1, 200);
    journal_rig_pass(rig, 200);
    eventually(journal_forgotten(rig->journal, PLAIN) > 100 && kept_files(rig) == 3);
    struct seen seen = look(rig, 1);
    assert_int_equal(seen.least[PLAIN], journal_forgotten(rig->journal, PLAIN) + 1);
    assert_int_equal(seen.records[PLAIN], 200 - journal_forgotten(rig->journal, PLAIN));
}

TEST(they_take_no_more_than_the_disk_has_left) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    journal_rig_open(rig);
    put_many(rig, PLAIN, 1, 100);
    journal_rig_pass(rig, 100);
    eventually(kept_files(rig) >= 6);
    atomic_store(&fixture->disk.room, 2 * RIG_FILE_SIZE);
    eventually(kept_files(rig) == 2);
    atomic_store(&fixture->disk.room, 0);
    eventually(kept_files(rig) == 0);
}

/* They are given up before a change is refused, also where the disk cannot tell how much is free: the keeper makes each
 * of them the next file. (Where it says that nothing is, they go together, and what is removed makes room.) */
TEST(a_full_disk_costs_them_first) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    journal_rig_open(rig);
    put_many(rig, PLAIN, 1, 200);
    journal_rig_pass(rig, 200);
    eventually(kept_files(rig) >= 12);
    size_t kept = kept_files(rig), blanks = journal_rig_count_named(rig, "blank-");
    uint64_t version = 201;
    atomic_store(&fixture->disk.full, true);
    while (put(rig, PLAIN, version))
        version++;
    assert_int_equal(kept_files(rig), 0);
    assert_true(version - 201 > (kept + blanks) * 12);
    atomic_store(&fixture->disk.full, false);
    eventually(put(rig, PLAIN, version));
    journal_rig_close(rig);
    journal_rig_open(rig);
    assert_int_equal(rig->count,
                     version - 200); /* none of those that were taken is missing, and nothing else is there */
}

/* ---- With compaction, and without an operator's will ---- */

/* What has reached a store stays also where a file goes because the rest of it was copied elsewhere. */
TEST(a_compaction_leaves_it) {
    struct journal_rig *rig = *state;
    rig->options.compact_after_ms = 1;
    rig->options.series_count = 1;
    journal_rig_open(rig);
    assert_true(put(rig, SESSION, 1)); /* and it is never passed */
    for (uint64_t version = 2; version <= 400; version++) {
        assert_true(put(rig, version % 12 ? PLAIN : SESSION, version));
        journal_pass(rig->journal, PLAIN, version);
        assert_true(version % 40 || journal_note_passed(rig->journal));
    }
    eventually(journal_rig_stats(rig).compactions > 0 && kept_files(rig) > 0);
    struct seen seen = look(rig, 1);
    assert_true(seen.records[PLAIN] >= 399 - 399 / 12 - 1);
    assert_int_equal(seen.least[PLAIN], 2);
    assert_int_equal(seen.least[SESSION], 1);
    assert_int_equal(journal_forgotten(rig->journal, PLAIN), 0);
    journal_rig_close(rig);
    journal_rig_open(rig);
    for (size_t i = 0; i < rig->count; i++)
        assert_string_equal(rig->records[i].space, "session");
    assert_non_null(journal_rig_find(rig, 1));
}

TEST(what_was_given_up_does_not_come_back) {
    struct journal_rig *rig = *state;
    struct slice discarded[] = {SLICE("session")};
    journal_rig_open(rig);
    put_many(rig, SESSION, 1, 30);
    journal_rig_close(rig);
    rig->options.discarded = discarded;
    rig->options.discarded_count = 1;
    journal_rig_open(rig);
    assert_int_equal(rig->count, 0);
    assert_int_equal(look(rig, 1).records[SESSION], 0);
}

TEST(a_file_that_goes_meanwhile_is_counted) {
    struct journal_rig *rig = *state;
    struct journal_past_record record;
    char name[64], path[400];
    journal_rig_open(rig);
    put_many(rig, PLAIN, 1, 60);
    struct journal_past *past = journal_past_open(rig->journal);
    assert_int_equal(journal_past_next(past, &record), JOURNAL_PAST_RECORD);
    assert_true(journal_rig_file_name(rig, 1, name));
    snprintf(path, sizeof path, "%s/%s", rig->folder, name);
    assert_int_equal(unlink(path), 0);
    while (journal_past_next(past, &record) != JOURNAL_PAST_END)
        continue;
    assert_int_equal(journal_past_unread(past), 1);
    journal_past_close(past);
}

/* ---- Marks ---- */

TEST(a_mark_is_noted_with_what_it_is_about) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig, *after = &fixture->after;
    journal_rig_open(rig);
    assert_int_equal(journal_get_mark(rig->journal, SESSION), 0);
    put_many(rig, SESSION, 1, 5);
    journal_set_mark(rig->journal, SESSION, 77);
    journal_pass(rig->journal, SESSION, 5);
    journal_rig_close(rig);
    journal_rig_open(rig);
    assert_int_equal(journal_get_mark(rig->journal, SESSION), 77);
    assert_int_equal(journal_get_mark(rig->journal, PLAIN), 0);
    journal_set_mark(rig->journal, SESSION, JOURNAL_MARK_OWED);
    assert_true(journal_note_passed(rig->journal));
    open_after(fixture); /* as after a kill */
    assert_true(journal_get_mark(after->journal, SESSION) == JOURNAL_MARK_OWED);
    journal_set_mark(rig->journal, SESSION, 78); /* nothing more is passed, and it is noted all the same */
    journal_rig_close(rig);
    journal_rig_open(rig);
    assert_int_equal(journal_get_mark(rig->journal, SESSION), 78);
}

/* ---- Which records count ---- */

static struct format_record record_of(unsigned kind, uint64_t version, uint64_t cas) {
    return (struct format_record){.kind = kind,
                                  .entry = {.key = SLICE("key"),
                                            .version = version,
                                            .client_cas = cas,
                                            .expires_at = (uint32_t)version},
                                  .size = 64};
}

TEST(a_touch_goes_with_what_it_was_made_on) {
    struct kept *kept = kept_create();
    struct format_record put_one = record_of(JOURNAL_PUT, 10, 0), touch = record_of(JOURNAL_TOUCH, 12, 10),
                         older = record_of(JOURNAL_TOUCH, 11, 10), newer = record_of(JOURNAL_DELETE, 20, 0);
    uint64_t version = 0;
    uint32_t expires_at = 0;
    assert_true(kept_note(kept, &touch, PLAIN) && kept_note(kept, &put_one, PLAIN) &&
                kept_note(kept, &older, PLAIN));
    assert_true(kept_find_touch(kept, &put_one, PLAIN, &version, &expires_at));
    assert_int_equal(version, 12);
    assert_int_equal(expires_at, 12);
    assert_true(kept_is_joined(kept, &touch, PLAIN));
    assert_true(kept_take(kept, &put_one, PLAIN));
    assert_false(kept_take(kept, &put_one, PLAIN)); /* a copy of it */
    assert_false(kept_take(kept, &older, PLAIN));
    assert_true(kept_note(kept, &newer, PLAIN));
    assert_false(kept_find_touch(kept, &newer, PLAIN, &version, &expires_at));
    assert_false(kept_take(kept, &touch, PLAIN));
    assert_int_equal(kept_count(kept), 1);
    kept_free(kept);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(what_is_passed_can_still_be_read),
        CASE(a_start_takes_nothing_of_it_for_unsettled),
        CASE(nothing_stays_that_nobody_asks_for),
        CASE(they_go_when_their_time_is_over_but_not_while_it_stands_still),
        CASE(what_cannot_be_noted_is_not_forgotten),
        CASE(they_take_so_many_bytes_at_most),
        CASE(they_take_no_more_than_the_disk_has_left),
        CASE(a_full_disk_costs_them_first),
        CASE(a_compaction_leaves_it),
        CASE(what_was_given_up_does_not_come_back),
        CASE(a_file_that_goes_meanwhile_is_counted),
        CASE(a_mark_is_noted_with_what_it_is_about),
        CASE(a_touch_goes_with_what_it_was_made_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
