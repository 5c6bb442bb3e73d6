/* SPDX-License-Identifier: MIT */
/*
 * Files that were removed while nobody looked: those in use are missed, and nothing else is, whenever the process was
 * killed.
 */
#include "policies/journal/low_water_file.h"
#include "policies/journal/names.h"
#include "tests/support/check.h"
#include "tests/support/faulty_disk.h"
#include "tests/support/journal_rig.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

struct fixture {
    struct journal_rig rig;
    struct journal_rig after; /* what a kill leaves */
    struct faulty_disk disk;
};

static int set_up(void **state) {
    struct fixture *fixture = journal_rig_make_fixture(sizeof *fixture);
    faulty_disk_init(&fixture->disk, false);
    fixture->rig.options.disk = &fixture->disk.calls;
    fixture->rig.options.fsync_interval_ms = 2;
    *state = fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    journal_rig_end_fixture(&fixture->rig, &fixture->after, &fixture->disk);
    return 0;
}

/* A file holds about twelve of them. */
static void put_many(struct journal_rig *rig, uint64_t first, uint64_t last) {
    char key[24], *value = journal_rig_text(rig, 'v', 900);
    for (uint64_t version = first; version <= last; version++) {
        snprintf(key, sizeof key, "key %u", (unsigned)version);
        assert_true(journal_rig_put(rig, 0, JOURNAL_OS, version, key, value));
        journal_rig_write(rig, 0);
    }
}

static struct low_waters noted(const struct journal_rig *rig) {
    struct low_waters all = {0};
    assert_int_equal(low_water_file_read(&journal_disk_system, rig->folder, &all), LOW_WATER_OK);
    return all;
}

static size_t count_listed(const struct journal_rig *rig) {
    struct low_waters all = noted(rig);
    size_t count = all.file_count;
    low_waters_free(&all);
    return count;
}

static void copy_file(struct fixture *fixture, const char *name) {
    static char bytes[2 * RIG_FILE_SIZE];
    char path[400];
    snprintf(path, sizeof path, "%s/%s", fixture->rig.folder, name);
    FILE *file = fopen(path, "r");
    if (!file) /* just gone */
        return;
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    journal_rig_write_file(&fixture->after, name, bytes, size);
}

/* By a list that is made at once: of one that is asked for each, a file is left out when one before it goes. */
static void copy_files(struct fixture *fixture) {
    struct journal_name *names = NULL;
    size_t count = 0;
    journal_rig_tear_down(&fixture->after);
    journal_rig_set_up(&fixture->after);
    assert_true(journal_list_folder(fixture->rig.folder, &names, &count));
    for (size_t i = 0; i < count; i++)
        copy_file(fixture, names[i].name);
    free(names);
}

/* What lies in the folder at a moment: the files that were there while the low-water file stayed as it is. */
static struct journal_rig *kill_rig(struct fixture *fixture) {
    struct journal_rig *rig = &fixture->rig;
    size_t before_size, size;
    for (;;) {
        char *before = journal_rig_read_file(rig, "low-water", &before_size);
        copy_files(fixture);
        char *low_water = journal_rig_read_file(rig, "low-water", &size);
        if (size == before_size && memcmp(before, low_water, size) == 0) {
            journal_rig_write_file(&fixture->after, "low-water", low_water, size);
            return &fixture->after;
        }
    }
}

static void remove_file(const struct journal_rig *rig, size_t number, char ret_name[64]) {
    char path[400];
    assert_true(journal_rig_file_name(rig, number, ret_name));
    snprintf(path, sizeof path, "%s/%s", rig->folder, ret_name);
    assert_int_equal(unlink(path), 0);
}

TEST(each_file_in_use_is_missed_when_it_is_gone) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    char name[64], said[400];
    journal_rig_open(rig);
    put_many(rig, 1, 50);
    eventually(count_listed(rig) == 5);
    for (size_t gone = 0; gone < 5; gone++) {
        struct journal_rig *after = kill_rig(fixture);
        remove_file(after, gone, name);
        assert_int_equal(journal_rig_try_open(after, false), JOURNAL_DAMAGED);
        snprintf(said, sizeof said, "%s/%s is missing: it was in use", after->folder, name);
        assert_non_null(strstr(after->error.message, said));
        assert_int_equal(journal_rig_try_open(after, true), JOURNAL_OK);
        assert_int_equal(after->recovery.skipped_damaged, 1);
        assert_true(after->count >= 37 && after->count <= 50);
        journal_rig_close(after);
        assert_int_equal(journal_rig_try_open(after, false), JOURNAL_OK); /* nothing is left to skip */
        journal_rig_close(after);
    }
}

/* Its number is not given to another meanwhile. */
TEST(a_file_that_is_put_back_is_read) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    char name[64];
    size_t size;
    journal_rig_open(rig);
    put_many(rig, 1, 50);
    eventually(count_listed(rig) == 5);
    struct journal_rig *after = kill_rig(fixture);
    char *data = NULL;
    assert_true(journal_rig_file_name(after, 4, name));
    data = journal_rig_read_file(after, name, &size);
    remove_file(after, 4, name);
    assert_int_equal(journal_rig_try_open(after, true), JOURNAL_OK);
    journal_rig_close(after);
    size_t left = after->count;
    journal_rig_write_file(after, name, data, size);
    assert_int_equal(journal_rig_try_open(after, false), JOURNAL_OK);
    assert_true(after->count > left);
    assert_non_null(journal_rig_find(after, 50));
}

/* While files are begun, passed, recycled and compacted, a kill never leaves a list that misses one. */
TEST(nothing_is_missed_that_the_journal_has_given_up_itself) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    rig->options.compact_after_ms = 1;
    journal_rig_open(rig);
    for (uint64_t version = 1; version < 2000; version += 100) {
        put_many(rig, version, version + 99);
        journal_rig_pass(rig, version + (version % 3 ? 20 : 90));
        struct journal_rig *after = kill_rig(fixture);
        if (journal_rig_try_open(after, false) != JOURNAL_OK)
            fail_msg("%s", after->error.message);
        journal_rig_close(after);
    }
    journal_rig_pass(rig, 2000);
    journal_rig_close(rig);
    assert_int_equal(count_listed(rig), 0);
    assert_int_equal(journal_rig_count_files(rig), 0);
    assert_int_equal(journal_rig_try_open(rig, false), JOURNAL_OK);
}

/* The list is written and the file not yet gone, or the list could not be written, and the file stays. */
TEST(a_file_keeps_its_name_while_the_list_on_disk_has_it) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    journal_rig_open(rig);
    put_many(rig, 1, 50);
    eventually(count_listed(rig) == 5);
    atomic_store(&fixture->disk.fail_write_after, 0);
    atomic_store(&fixture->disk.write_failure, EIO);
    journal_rig_pass(rig, 50);
    eventually(journal_rig_logged(rig, "cannot write"));
    struct journal_rig *after = kill_rig(fixture);
    assert_int_equal(journal_rig_try_open(after, false), JOURNAL_OK);
}

TEST(a_file_that_was_set_aside_is_not_missed) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    char name[64], aside[80], from[400], to[400];
    journal_rig_open(rig);
    put_many(rig, 1, 20);
    eventually(count_listed(rig) == 2);
    struct journal_rig *after = kill_rig(fixture);
    assert_true(journal_rig_file_name(after, 0, name));
    snprintf(aside, sizeof aside, "damaged-%s", name);
    snprintf(from, sizeof from, "%s/%s", after->folder, name);
    snprintf(to, sizeof to, "%s/%s", after->folder, aside);
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(journal_rig_try_open(after, false), JOURNAL_OK);
}

/* More files than the list has room for. */
TEST(a_list_has_an_end) {
    struct low_waters all = {0};
    size_t listed = 0;
    (void)state;
    assert_true(low_waters_add(&all, slice_string("plain"), 7));
    while (low_waters_add_file(&all, 3, listed))
        listed++;
    assert_true(listed > 1300 && listed < 1400);
    assert_true(low_waters_has_file(&all, 3, listed - 1) && !low_waters_has_file(&all, 3, listed));
    low_waters_free(&all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(each_file_in_use_is_missed_when_it_is_gone),
        CASE(a_file_that_is_put_back_is_read),
        CASE(nothing_is_missed_that_the_journal_has_given_up_itself),
        CASE(a_file_keeps_its_name_while_the_list_on_disk_has_it),
        CASE(a_file_that_was_set_aside_is_not_missed),
        CASE(a_list_has_an_end),
    };
    return cmocka_run_group_tests_name("journal_listed", tests, NULL, NULL);
}
