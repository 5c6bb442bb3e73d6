/* SPDX-License-Identifier: MIT */
/*
 * Journals that were cut short, decayed, or lie in files with a past. What is asked for everywhere: no record
 * comes out that did not go in, what is whole comes out, and what is missing is said.
 */
#include "policies/journal/crc32c.h"
#include "tests/support/journal_specimen.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Cut short ---- */

/* A CRC may begin with zeros: what was cut behind these, before the tag, is not told from room never used. */
static bool is_unseen(const char *record, size_t size) {
    return size > 0 && size <= 4 && memcmp(record, "\0\0\0\0", size) == 0;
}

static void cut_at_every_byte(struct specimen *specimen, enum past past) {
    make(specimen, past);
    size_t whole = 0;
    for (size_t size = HEADER; size <= specimen->ends[RECORDS]; size++) {
        while (whole < RECORDS && size >= specimen->ends[whole + 1])
            whole++;
        assert_int_equal(recover(specimen, specimen->bytes, size, false), JOURNAL_OK);
        assert_recovered(specimen, 1, whole, 0);
        if (is_unseen(specimen->bytes + specimen->ends[whole], size - specimen->ends[whole]))
            continue;
        assert_int_equal(specimen->rig.recovery.torn_files, size == specimen->ends[whole] ? 0 : 1);
        assert_int_equal(specimen->rig.recovery.torn_bytes, size - specimen->ends[whole]);
    }
}

TEST(a_closed_file_may_be_cut_anywhere) {
    cut_at_every_byte(*state, CLOSED);
}

TEST(a_reused_file_may_be_cut_anywhere) {
    cut_at_every_byte(*state, REUSED);
}

/* The write stopped at any byte, and behind it lies what lay there before. */
static void stopped_at_every_byte(struct specimen *specimen, enum past past) {
    make(specimen, past);
    char *bytes = journal_rig_allocate(&specimen->rig, specimen->size);
    const char *before =
        past == REUSED ? old_records(specimen) : journal_rig_allocate(&specimen->rig, specimen->size);
    size_t whole = 0;
    for (size_t stop = HEADER; stop <= specimen->ends[RECORDS]; stop++) {
        while (whole < RECORDS && stop >= specimen->ends[whole + 1])
            whole++;
        memcpy(bytes, specimen->bytes, stop);
        memcpy(bytes + stop, before + stop, specimen->size - stop);
        assert_int_equal(recover(specimen, bytes, specimen->size, false), JOURNAL_OK);
        /* The last bytes of a record may be what was there before. */
        bool completed = whole < RECORDS && memcmp(bytes, specimen->bytes, specimen->ends[whole + 1]) == 0;
        assert_recovered(specimen, 1, completed ? whole + 1 : whole, 0);
        if (!completed && stop - specimen->ends[whole] >= 8)
            assert_int_equal(specimen->rig.recovery.torn_files, 1);
    }
}

TEST(a_write_may_stop_anywhere_over_zeros) {
    stopped_at_every_byte(*state, KILLED);
}

TEST(a_write_may_stop_anywhere_over_old_records) {
    stopped_at_every_byte(*state, REUSED);
}

/* ---- Decayed ---- */

/* The record that holds the byte, 0: the header. */
static size_t record_at(const struct specimen *specimen, size_t at) {
    size_t record = 0;
    while (at >= specimen->ends[record])
        record++;
    return record;
}

static void check_flip(struct specimen *specimen, size_t at) {
    struct journal_rig *rig = &specimen->rig;
    size_t record = record_at(specimen, at);
    enum journal_status status = recover(specimen, specimen->bytes, specimen->size, false);
    if (record > 0 && record < RECORDS) { /* whole records behind it */
        if (status == JOURNAL_OK) { /* only the tag, which proves nothing: the record passes its check */
            assert_true(at - specimen->ends[record - 1] >= 4 && at - specimen->ends[record - 1] < 8);
            assert_recovered(specimen, 1, RECORDS, 0);
            return;
        }
        char offset[64];
        snprintf(offset, sizeof offset, "at offset %zu ", specimen->ends[record - 1]);
        assert_int_equal(status, JOURNAL_DAMAGED);
        assert_non_null(strstr(rig->error.message, specimen->name));
        assert_non_null(strstr(rig->error.message, offset));
        assert_int_equal(recover(specimen, specimen->bytes, specimen->size, true), JOURNAL_OK);
        assert_int_equal(rig->recovery.skipped_damaged, 1);
        assert_recovered(specimen, 1, RECORDS, record);
    } else if (record == RECORDS) { /* the last: cannot be told from one that was not completed */
        assert_int_equal(status, JOURNAL_OK);
        assert_recovered(specimen, 1, RECORDS, rig->recovery.torn_files == 1 ? RECORDS : 0);
        assert_true(rig->recovery.torn_files == 1 || rig->count == RECORDS);
    } else if (status == JOURNAL_OK) { /* the note of what was synced, at the end of the header */
        assert_true(at >= HEADER - 32);
        assert_recovered(specimen, 1, RECORDS, 0);
    } else {
        assert_int_equal(status, JOURNAL_DAMAGED);
        assert_non_null(strstr(rig->error.message, specimen->name));
        assert_int_equal(recover(specimen, specimen->bytes, specimen->size, true), JOURNAL_OK);
        assert_recovered(specimen, 1, 0, 0);
        assert_int_equal(rig->recovery.skipped_damaged, 1);
    }
}

/* Each bit of the header and of the first records, which are of every kind, in a closed file; one of each byte behind
 * them, and where only what lies behind the records is different. */
static void flip_bits(struct specimen *specimen, enum past past) {
    make(specimen, past);
    for (size_t at = 0; at < specimen->ends[RECORDS]; at++) {
        bool dull = at >= 128 && at < HEADER - 32; /* zeros of the header */
        if (dull && at % 61 != 0)
            continue;
        bool all = past == CLOSED && !dull && at < specimen->ends[4];
        for (unsigned bit = all ? 0 : at % 8; bit < 8; bit += all ? 1 : 8) {
            specimen->bytes[at] = (char)(specimen->bytes[at] ^ (1 << bit));
            check_flip(specimen, at);
            specimen->bytes[at] = (char)(specimen->bytes[at] ^ (1 << bit));
        }
    }
}

TEST(a_flipped_bit_is_found_in_a_closed_file) {
    flip_bits(*state, CLOSED);
}

TEST(a_flipped_bit_is_found_in_a_killed_file) {
    flip_bits(*state, KILLED);
}

TEST(a_flipped_bit_is_found_in_a_reused_file) {
    flip_bits(*state, REUSED);
}

/* What --recover=skip-damaged has skipped once does not stop the next start; the file is kept for people, and
 * what was whole in it is still there. */
TEST(skipped_once_is_enough) {
    struct specimen *specimen = *state;
    struct journal_rig *rig = &specimen->rig;
    make(specimen, CLOSED);
    for (size_t at = 0; at < 2; at++) { /* in the second record; in the header */
        char *bytes = journal_rig_allocate(rig, specimen->size);
        memcpy(bytes, specimen->bytes, specimen->size);
        bytes[at == 0 ? specimen->ends[1] + 20 : 16] ^= 1;
        assert_int_equal(recover(specimen, bytes, specimen->size, false), JOURNAL_DAMAGED);
        assert_int_equal(recover(specimen, bytes, specimen->size, true), JOURNAL_OK);
        assert_int_equal(rig->recovery.skipped_damaged, 1);
        assert_int_equal(journal_rig_count_named(rig, "damaged-"), 1);
        assert_true(journal_rig_logged(rig, "is kept as"));
        for (int again = 0; again < 2; again++) {
            assert_int_equal(journal_rig_try_open(rig, false), JOURNAL_OK);
            journal_rig_close(rig);
            if (at == 0)
                assert_recovered(specimen, 1, RECORDS, 2);
            else
                assert_int_equal(rig->count, 0);
            assert_int_equal(rig->recovery.torn_files, 0);
        }
    }
}

/* Of the system's start before this one: what was written behind it may be lost, while a store has kept it. */
TEST(what_is_left_of_a_damaged_file_is_as_old_as_that_was) {
    struct specimen *specimen = *state;
    struct journal_rig *rig = &specimen->rig;
    struct format_header header;
    make(specimen, CLOSED);
    char *bytes = journal_rig_allocate(rig, specimen->size);
    memcpy(bytes, specimen->bytes, specimen->size);
    assert_int_equal(format_decode_header(specimen->bytes, specimen->size, &header), FORMAT_GOOD);
    header.boot[0] ^= 1;
    header.synced = specimen->size; /* else the hole is none */
    format_encode_header(bytes, &header);
    free((void *)(uintptr_t)header.spaces);
    bytes[specimen->ends[1] + 20] ^= 1;
    assert_int_equal(recover(specimen, bytes, specimen->size, true), JOURNAL_OK);
    assert_true(journal_rig_logged(rig, "is kept as"));
    assert_int_equal(journal_rig_try_open(rig, false), JOURNAL_OK);
    journal_rig_close(rig);
    assert_recovered(specimen, 1, RECORDS, 2);
    for (size_t i = 0; i < rig->count; i++)
        assert_true(rig->records[i].from_earlier_boot);
}

/* In a file that the series has left, its END record shows that the last record was complete. */
TEST(the_last_record_of_a_full_file_can_be_damaged) {
    struct journal_rig *rig = *state;
    const char *value = journal_rig_text(rig, 'v', 4999);
    journal_rig_open(rig);
    for (uint64_t version = 1; version <= 4; version++) /* two fit */
        assert_true(journal_rig_put(rig, 0, JOURNAL_OS, version, "key", value));
    journal_rig_write(rig, 0);
    journal_rig_close(rig);
    char name[64];
    size_t size;
    assert_true(journal_rig_file_name(rig, 0, name));
    char *bytes = journal_rig_read_file(rig, name, &size);
    bytes[HEADER + 5100] ^= 4; /* in the second */
    journal_rig_write_file(rig, name, bytes, size);
    assert_int_equal(journal_rig_try_open(rig, false), JOURNAL_DAMAGED);
    assert_int_equal(journal_rig_try_open(rig, true), JOURNAL_OK);
    assert_int_equal(rig->count, 3);
    assert_null(journal_rig_find(rig, 2));
}

/* Both copies of the low-water versions have to go before it is missed. */
TEST(the_low_water_file_survives_in_either_copy) {
    struct journal_rig *rig = *state;
    journal_rig_open(rig);
    for (uint64_t version = 1; version <= 5; version++)
        assert_true(journal_rig_put(rig, 0, JOURNAL_OS, version, "key", "value"));
    journal_rig_write(rig, 0);
    journal_rig_pass(rig, 3);
    journal_rig_close(rig);
    size_t size;
    char *bytes = journal_rig_read_file(rig, "low-water", &size);
    for (size_t at = 0; at < size; at += at % (size / 2) < 80 ? 1 : 1021) {
        bytes[at] ^= 16;
        journal_rig_write_file(rig, "low-water", bytes, size);
        journal_rig_open(rig);
        assert_int_equal(rig->count, 2);
        journal_rig_close(rig);
        bytes[at] ^= 16;
    }
    bytes[30] ^= 1;
    bytes[size / 2 + 70] ^= 1;
    journal_rig_write_file(rig, "low-water", bytes, size);
    assert_int_equal(journal_rig_try_open(rig, false), JOURNAL_DAMAGED);
    assert_non_null(strstr(rig->error.message, "low-water"));
    assert_int_equal(journal_rig_try_open(rig, true), JOURNAL_OK);
    assert_int_equal(rig->count, 5);
}

/* ---- What looks like records and is none ---- */

/* A client stores a whole journal, and the record around it decays. */
TEST(a_journal_inside_a_value_is_a_value) {
    struct specimen *specimen = *state;
    struct journal_rig *rig = &specimen->other;
    make(specimen, KILLED);
    journal_rig_set_up(rig);
    rig->options.file_size = 4 * RIG_FILE_SIZE;
    journal_rig_open(rig);
    struct entry entry = {.key = SLICE("key"), .version = 500};
    entry.value = slice_of(specimen->bytes, specimen->size);
    assert_true(journal_rig_append(rig, 0, JOURNAL_OS, 0, JOURNAL_PUT, &entry));
    assert_true(journal_rig_put(rig, 0, JOURNAL_OS, 501, "behind", "it"));
    journal_rig_write(rig, 0);
    journal_rig_close(rig);
    char name[64];
    size_t size;
    assert_true(journal_rig_file_name(rig, 0, name));
    char *bytes = journal_rig_read_file(rig, name, &size);
    bytes[HEADER + 20] ^= 1;
    journal_rig_write_file(rig, name, bytes, size);
    assert_int_equal(journal_rig_try_open(rig, false), JOURNAL_DAMAGED);
    assert_int_equal(journal_rig_try_open(rig, true), JOURNAL_OK);
    assert_int_equal(rig->count, 1);
    assert_non_null(journal_rig_find(rig, 501));
}

/* Whole records of this very file, in places where they were not written. */
TEST(records_in_the_wrong_place_are_none) {
    struct specimen *specimen = *state;
    make(specimen, KILLED);
    for (size_t record = 1; record <= RECORDS; record++) {
        size_t from = specimen->ends[record - 1], length = specimen->ends[record] - from;
        memcpy(specimen->bytes + specimen->ends[RECORDS], specimen->bytes + from, length);
        assert_int_equal(recover(specimen, specimen->bytes, specimen->size, false), JOURNAL_OK);
        assert_recovered(specimen, 1, RECORDS, 0);
        assert_int_equal(specimen->rig.recovery.torn_files, 1);
    }
}

/* Files go round and round; what is in one is what was written to it since it was last begun. */
TEST(no_record_rises_again) {
    struct journal_rig *rig = *state;
    rig->options.fsync_interval_ms = 2;
    uint64_t version = 0;
    for (int round = 0; round < 20; round++) {
        journal_rig_open(rig);
        assert_int_equal(rig->recovery.torn_files, 0);
        for (size_t i = 1; i < rig->count; i++) /* one series: without a gap, and each once */
            assert_int_equal(rig->records[i].entry.version, rig->records[i - 1].entry.version + 1);
        assert_true(round == 0 || rig->records[rig->count - 1].entry.version == version);
        do {
            for (int i = 0; i < 40; i++)
                assert_true(journal_rig_put(rig, 0, JOURNAL_OS, ++version, "key",
                                            round % 2 ? "short" : "somewhat longer"));
            journal_rig_write(rig, 0);
            journal_rig_pass(rig, version - 25);
        } while (journal_rig_stats(rig).recycled < 10);
        journal_rig_close(rig);
        char path[512];
        snprintf(path, sizeof path, "%s/low-water", rig->folder);
        unlink(path); /* nothing is ignored: all that can be read comes out */
    }
}

/* ---- Headers ---- */

/* A later format is not damage, and nothing may skip it. */
TEST(later_formats_are_refused) {
    struct specimen *specimen = *state;
    static const char zeros[4] = {0};
    make(specimen, CLOSED);
    char *header = specimen->bytes;
    header[8] = 2;
    uint32_t crc = crc32c(crc32c(0, header, 16), header + 20, 80 - 20);
    memcpy(header + 80, &crc, 4);
    crc = crc32c(crc32c(crc32c(0, header, 16), zeros, 4), header + 20, HEADER - 32 - 20);
    memcpy(header + 16, &crc, 4);
    assert_int_equal(recover(specimen, header, specimen->size, true), JOURNAL_FAILED);
    assert_non_null(strstr(specimen->rig.error.message, "format"));
}

TEST(files_of_others_are_left_alone) {
    struct journal_rig *rig = *state;
    journal_rig_write_file(rig, "journal-x-1.fj", "not ours", 8);
    journal_rig_write_file(rig, "blank-3", "of an earlier process", 21);
    journal_rig_open(rig);
    assert_int_equal(rig->recovery.files, 0);
    journal_rig_close(rig);
    size_t size;
    journal_rig_read_file(rig, "journal-x-1.fj", &size);
    assert_int_equal(size, 8);
    assert_int_equal(journal_rig_count_files(rig), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(a_closed_file_may_be_cut_anywhere),
        CASE(a_reused_file_may_be_cut_anywhere),
        CASE(a_write_may_stop_anywhere_over_zeros),
        CASE(a_write_may_stop_anywhere_over_old_records),
        CASE(a_flipped_bit_is_found_in_a_closed_file),
        CASE(a_flipped_bit_is_found_in_a_killed_file),
        CASE(a_flipped_bit_is_found_in_a_reused_file),
        CASE(skipped_once_is_enough),
        CASE(what_is_left_of_a_damaged_file_is_as_old_as_that_was),
        CASE(the_last_record_of_a_full_file_can_be_damaged),
        CASE(the_low_water_file_survives_in_either_copy),
        CASE(a_journal_inside_a_value_is_a_value),
        CASE(records_in_the_wrong_place_are_none),
        CASE(no_record_rises_again),
        CASE(later_formats_are_refused),
        CASE(files_of_others_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
