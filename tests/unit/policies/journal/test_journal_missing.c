/* SPDX-License-Identifier: MIT */
/*
 * Journals that have lost what had been synced: their end, or all of it with the header. What is asked for everywhere:
 * no start passes over it, what is left comes out where that is asked for, and the next start has nothing to skip.
 */
#include "tests/support/journal_specimen.h"

/* ---- The end ---- */

/* Not without being asked; then with what is left, once and for all. */
static void assert_damaged(struct specimen *specimen, const char *bytes, size_t size, const char *said) {
    struct journal_rig *rig = &specimen->rig;
    assert_int_equal(recover(specimen, bytes, size, false), JOURNAL_DAMAGED);
    assert_non_null(strstr(rig->error.message, specimen->name));
    assert_non_null(strstr(rig->error.message, said));
    size_t found;
    const char *untouched = journal_rig_read_file(rig, specimen->name, &found);
    assert_int_equal(found, size);
    assert_memory_equal(untouched, bytes, size);
    assert_int_equal(recover(specimen, bytes, size, true), JOURNAL_OK);
    assert_int_equal(rig->recovery.skipped_damaged, 1);
    assert_int_equal(rig->recovery.torn_files, 0);
    assert_int_equal(journal_rig_count_named(rig, "damaged-"), 1);
}

/* The first `whole` records are left, in a file that had been synced up to the end of record `synced`, and what lay
 * behind them is gone: the file ends there, or within the next record, or has zeros or records of an earlier use from
 * there on. */
static void check_missing(struct specimen *specimen, size_t whole, size_t synced, const char *before) {
    size_t end = specimen->ends[whole];
    char *bytes = journal_rig_allocate(&specimen->rig, specimen->size), said[160];
    snprintf(said, sizeof said, "records that were synced are missing at offset %zu (%zu bytes). ", end,
             specimen->ends[synced] - end);
    memcpy(bytes, specimen->bytes, specimen->size);
    note_synced(bytes, specimen->size, specimen->ends[synced]);
    for (size_t more = 0; more <= 24; more += 12) {
        assert_damaged(specimen, bytes, end + more, said);
        assert_recovered(specimen, 1, whole, 0);
    }
    for (size_t more = 0; more <= 12; more += 12) {
        memcpy(bytes + end + more, before + end + more, specimen->size - end - more);
        assert_damaged(specimen, bytes, specimen->size, said);
        assert_recovered(specimen, 1, whole, 0);
        assert_int_equal(journal_rig_try_open(&specimen->rig, false),
                         JOURNAL_OK); /* nothing is left to skip */
        journal_rig_close(&specimen->rig);
        assert_recovered(specimen, 1, whole, 0);
    }
}

static void cut_off_everywhere(struct specimen *specimen, enum past past) {
    make(specimen, past);
    const char *before =
        past == REUSED ? old_records(specimen) : journal_rig_allocate(&specimen->rig, specimen->size);
    for (size_t whole = 0; whole < RECORDS; whole++) {
        check_missing(specimen, whole, whole + 1, before);
        check_missing(specimen, whole, RECORDS, before);
    }
}

TEST(what_was_synced_may_not_be_cut_off) {
    cut_off_everywhere(*state, CLOSED);
}

TEST(what_was_synced_may_not_become_zeros) {
    cut_off_everywhere(*state, KILLED);
}

TEST(what_was_synced_may_not_become_what_lay_there_before) {
    cut_off_everywhere(*state, REUSED);
}

/* Whatever is behind the place that had been synced is an end like any other. */
TEST(what_was_synced_is_all_that_has_to_be_there) {
    struct specimen *specimen = *state;
    make(specimen, CLOSED);
    for (size_t synced = 0; synced <= RECORDS; synced++) {
        note_synced(specimen->bytes, specimen->size, specimen->ends[synced]);
        for (size_t whole = synced; whole <= RECORDS; whole++) {
            size_t more = whole < RECORDS ? 12 : 0;
            assert_int_equal(recover(specimen, specimen->bytes, specimen->ends[whole], false), JOURNAL_OK);
            assert_recovered(specimen, 1, whole, 0);
            assert_int_equal(specimen->rig.recovery.torn_files, 0);
            assert_int_equal(recover(specimen, specimen->bytes, specimen->ends[whole] + more, false),
                             JOURNAL_OK);
            assert_recovered(specimen, 1, whole, 0);
            assert_int_equal(specimen->rig.recovery.torn_bytes, more);
        }
    }
}

/* A place in the middle, and the end: told as two, and what is left of the file has a header of its own. */
TEST(an_end_can_be_missing_behind_other_damage) {
    struct specimen *specimen = *state;
    struct journal_rig *rig = &specimen->rig;
    make(specimen, CLOSED);
    note_synced(specimen->bytes, specimen->size, specimen->ends[RECORDS]);
    specimen->bytes[specimen->ends[2] + 20] ^= 1;
    assert_int_equal(recover(specimen, specimen->bytes, specimen->ends[6], false), JOURNAL_DAMAGED);
    assert_non_null(strstr(rig->error.message, "no record that passes its check"));
    assert_int_equal(recover(specimen, specimen->bytes, specimen->ends[6], true), JOURNAL_OK);
    assert_int_equal(rig->recovery.skipped_damaged, 2);
    assert_recovered(specimen, 1, 6, 3);
    assert_int_equal(journal_rig_try_open(rig, false), JOURNAL_OK);
    journal_rig_close(rig);
    assert_recovered(specimen, 1, 6, 3);
}

/* What skipping has left is synced before it has its name, and may not be cut off either. */
TEST(what_is_left_of_a_damaged_file_may_not_be_cut_off) {
    struct specimen *specimen = *state;
    struct journal_rig *rig = &specimen->rig;
    make(specimen, CLOSED);
    specimen->bytes[specimen->ends[2] + 20] ^= 1;
    assert_int_equal(recover(specimen, specimen->bytes, specimen->size, true), JOURNAL_OK);
    size_t size;
    assert_true(journal_rig_file_name(rig, 0, specimen->name));
    const char *bytes = journal_rig_read_file(rig, specimen->name, &size);
    assert_damaged(specimen, bytes, specimen->ends[1], "records that were synced are missing");
    assert_recovered(specimen, 1, 1, 0);
}

/* ---- The header ---- */

/* A file has its name when its header is on disk: one that is shorter has lost what was in it. */
TEST(a_header_may_not_be_cut_off) {
    struct specimen *specimen = *state;
    make(specimen, KILLED);
    static const size_t sizes[] = {0, 1, 8, 100, HEADER / 2, HEADER - FORMAT_NOTE_SIZE, HEADER - 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char said[80];
        snprintf(said, sizeof said, "it is shorter than its header at offset 0 (%zu bytes). ", sizes[i]);
        assert_damaged(specimen, specimen->bytes, sizes[i], said);
        assert_recovered(specimen, 1, 0, 0);
        assert_int_equal(journal_rig_try_open(&specimen->rig, false), JOURNAL_OK);
        journal_rig_close(&specimen->rig);
    }
    memset(specimen->bytes, 0, specimen->size);
    assert_damaged(specimen, specimen->bytes, specimen->size, "its header fails its check at offset 0");
}

/* A table of namespaces longer than a page, cut inside. */
TEST(a_long_header_may_not_be_cut_anywhere) {
    enum { SPACES = 300 };
    struct journal_rig *rig = *state;
    static char names[SPACES][41];
    static struct slice spaces[SPACES];
    for (unsigned i = 0; i < SPACES; i++) {
        snprintf(names[i], sizeof names[i], "namespace number %03u with a long name", i);
        spaces[i] = slice_string(names[i]);
    }
    rig->options.spaces = spaces;
    rig->options.space_count = SPACES;
    rig->options.file_size = 65536;
    journal_rig_open(rig);
    struct entry entry = {.key = SLICE("key"), .version = 1};
    assert_true(journal_rig_append(rig, 0, JOURNAL_OS, SPACES - 1, JOURNAL_DELETE, &entry));
    journal_rig_write(rig, 0);
    journal_rig_close(rig);
    char name[64];
    size_t size;
    assert_true(journal_rig_file_name(rig, 0, name));
    char *bytes = journal_rig_read_file(rig, name, &size);
    assert_true(size > 3 * 4096);
    note_synced(bytes, size, 0);
    size_t header = size - size % 4096;
    for (size_t cut = 0; cut <= size; cut += cut + 1 < header ? 61 : 1) {
        journal_rig_write_file(rig, name, bytes, cut);
        if (journal_rig_try_open(rig, cut < header) == JOURNAL_OK)
            journal_rig_close(rig);
        assert_int_equal(rig->recovery.skipped_damaged, cut < header);
        assert_int_equal(rig->count, cut == size);
        journal_rig_remove_files(rig);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(what_was_synced_may_not_be_cut_off),
        CASE(what_was_synced_may_not_become_zeros),
        CASE(what_was_synced_may_not_become_what_lay_there_before),
        CASE(what_was_synced_is_all_that_has_to_be_there),
        CASE(an_end_can_be_missing_behind_other_damage),
        CASE(what_is_left_of_a_damaged_file_may_not_be_cut_off),
        CASE(a_header_may_not_be_cut_off),
        CASE(a_long_header_may_not_be_cut_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
