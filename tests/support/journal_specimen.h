/* SPDX-License-Identifier: MIT */
/*
 * A file of a journal with nine records of every kind, for tests that take from it what it shall not have any more, or
 * change it; and what recovery makes of that. The fixture of such a test file is a struct specimen.
 */
#ifndef FOREBAY_TESTS_SUPPORT_JOURNAL_SPECIMEN_H
#define FOREBAY_TESTS_SUPPORT_JOURNAL_SPECIMEN_H

#include "policies/journal/format.h"
#include "tests/support/check.h"
#include "tests/support/journal_rig.h"
#include <stdlib.h>
#include <string.h>

enum { RECORDS = 9, HEADER = 4096 };

/* The journal under test: its bytes, and where each record begins and ends. */
struct specimen {
    struct journal_rig rig; /* first */
    struct journal_rig other;
    char name[64];
    char *bytes;
    size_t size;
    size_t ends[RECORDS + 1]; /* [0]: of the header */
};

static inline int set_up(void **state) {
    *state = journal_rig_make_fixture(sizeof(struct specimen));
    return 0;
}

static inline int tear_down(void **state) {
    struct specimen *specimen = *state;
    journal_rig_end_fixture(&specimen->rig, &specimen->other, NULL);
    return 0;
}

static inline void put_numbered(struct journal_rig *rig, uint64_t version) {
    char key[32], value[64];
    snprintf(key, sizeof key, "key %u", (unsigned)version);
    size_t length = (size_t)snprintf(value, sizeof value, "value %u ", (unsigned)version);
    for (size_t i = 0; i < version * 3 % 40; i++)
        value[length++] = (char)('a' + i % 26);
    struct entry entry = {.key = slice_string(key), .value = slice_of(value, length), .version = version};
    if (version % 3 == 0)
        entry.client_cas = version * 1000;
    enum journal_kind kind = version % 4 == 0 ? JOURNAL_DELETE : JOURNAL_PUT;
    assert_true(journal_rig_append(rig, 0, JOURNAL_OS, version % 2, kind, &entry));
}

/* What recovery showed of that version is what put_numbered put in. */
static inline bool is_genuine(const struct journal_rig_record *record) {
    char key[32], value[64];
    uint64_t version = record->entry.version;
    snprintf(key, sizeof key, "key %u", (unsigned)version);
    snprintf(value, sizeof value, "value %u ", (unsigned)version);
    bool deleted = version % 4 == 0;
    return strcmp(record->key, key) == 0 && (record->kind == JOURNAL_DELETE) == deleted &&
           (deleted ? record->entry.value.size == 0 : strncmp(record->value, value, strlen(value)) == 0) &&
           strcmp(record->space, version % 2 ? "session" : "plain") == 0 &&
           record->entry.client_cas == (version % 3 == 0 ? version * 1000 : 0);
}

static inline void find_ends(struct specimen *specimen) {
    struct format_header header;
    struct scan scan;
    assert_int_equal(format_decode_header(specimen->bytes, specimen->size, &header), FORMAT_GOOD);
    specimen->ends[0] = header.size;
    scan_begin(&scan, specimen->bytes, specimen->size, &header);
    for (size_t i = 1; i <= RECORDS; i++) {
        assert_int_equal(scan_next(&scan), SCAN_RECORD);
        specimen->ends[i] = scan.at + scan.extent;
    }
    assert_int_equal(scan_next(&scan), SCAN_END);
    free((void *)(uintptr_t)header.spaces);
}

/* How the bytes behind the last record came to be. */
enum past {
    CLOSED, /* there are none */
    KILLED, /* zeros */
    REUSED, /* records of an earlier use, of the same keys, at all places */
};

/* A file full of whole records with the epoch that it had before; its header is left out. */
static inline char *old_records(struct specimen *specimen) {
    struct format_key old_key = format_key(0x1234567890abcdef);
    char *bytes = journal_rig_allocate(&specimen->rig, specimen->size);
    struct entry entry = {.key = SLICE("key 1"), .value = SLICE("stale"), .version = 1000};
    size_t at = HEADER;
    for (; at + format_record_size(&entry, entry.value.size) <= specimen->size; entry.version++)
        at += format_encode_record(bytes + at, JOURNAL_PUT, 0, &entry);
    format_place_records(bytes + HEADER, at - HEADER, &old_key, HEADER);
    return bytes;
}

/* Puts such a file under what the specimen has written. */
static inline void give_a_past(struct specimen *specimen) {
    struct format_header header;
    char *bytes = old_records(specimen);
    assert_int_equal(format_decode_header(specimen->bytes, specimen->size, &header), FORMAT_GOOD);
    header.fresh = false;
    format_encode_header(bytes, &header);
    free((void *)(uintptr_t)header.spaces);
    memcpy(bytes + HEADER, specimen->bytes + HEADER, specimen->ends[RECORDS] - HEADER);
    specimen->bytes = bytes;
}

/* A header with another note: up to where its file had been synced; 0: it has none, as if nothing had been yet. */
static inline void note_synced(char *bytes, size_t size, uint64_t synced) {
    struct format_header header;
    assert_int_equal(format_decode_header(bytes, size, &header), FORMAT_GOOD);
    struct format_key key = format_key(header.epoch);
    memset(bytes + header.size - FORMAT_NOTE_SIZE, 0, FORMAT_NOTE_SIZE);
    if (synced > 0)
        format_encode_note(bytes + header.size - FORMAT_NOTE_SIZE, &key, synced);
    free((void *)(uintptr_t)header.spaces);
}

/* What is cut off of it was a write that was cut short, as far as its header says. */
static inline void make(struct specimen *specimen, enum past past) {
    struct journal_rig *rig = &specimen->rig;
    journal_rig_open(rig);
    for (uint64_t version = 1; version <= RECORDS; version++)
        put_numbered(rig, version);
    journal_rig_write(rig, 0);
    if (past == CLOSED)
        journal_rig_close(rig);
    assert_true(journal_rig_file_name(rig, 0, specimen->name));
    specimen->bytes = journal_rig_read_file(rig, specimen->name, &specimen->size);
    if (past != CLOSED)
        journal_rig_close(rig);
    note_synced(specimen->bytes, specimen->size, 0);
    find_ends(specimen);
    if (past == REUSED)
        give_a_past(specimen);
    assert_int_equal(specimen->size == specimen->ends[RECORDS], past == CLOSED);
}

/* Recovery of these bytes alone. */
static inline enum journal_status recover(struct specimen *specimen, const char *bytes, size_t size,
                                          bool skip_damaged) {
    journal_rig_remove_files(&specimen->rig);
    journal_rig_write_file(&specimen->rig, specimen->name, bytes, size);
    enum journal_status status = journal_rig_try_open(&specimen->rig, skip_damaged);
    if (status == JOURNAL_OK)
        journal_rig_close(&specimen->rig);
    for (size_t i = 0; i < specimen->rig.count; i++)
        assert_true(is_genuine(&specimen->rig.records[i]));
    return status;
}

/* Exactly the records first to last, in order, except one. */
static inline void assert_recovered(const struct specimen *specimen, size_t first, size_t last,
                                    size_t without) {
    size_t i = 0;
    for (size_t version = first; version <= last; version++) {
        if (version == without)
            continue;
        assert_true(i < specimen->rig.count);
        assert_int_equal(specimen->rig.records[i++].entry.version, version);
    }
    assert_int_equal(specimen->rig.count, i);
}

#endif
