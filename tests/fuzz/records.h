/* SPDX-License-Identifier: MIT */
/*
 * Records of a journal alone, without headers and folders: made of any entries, and read back; with a byte changed; or
 * any bytes to which somebody gave the CRCs that would be right. Cheap, so that there may be very many of them.
 *
 * What must hold: what was written is what is read; no byte of a record is changed unnoticed; no record that is found
 * lies anywhere but in the bytes, whole; and where the end is cut off, what had been synced of it is missing.
 */
#ifndef FOREBAY_TESTS_FUZZ_RECORDS_H
#define FOREBAY_TESTS_FUZZ_RECORDS_H

#include "policies/journal/crc32c.h"
#include "policies/journal/format.h"
#include "tests/fuzz/choices.h"
#include <endian.h>
#include <sanitizer/asan_interface.h>

enum {
    RECORDS_MOST = 4,
    RECORDS_ROOM = 1024,
    RECORDS_KEY_MAX = 24,
    RECORDS_VALUE_MAX = 64,
    RECORDS_SPACES = 3
};

/* Bytes that hold records, and those that were put there. */
struct records {
    char bytes[RECORDS_ROOM];
    size_t size, count, starts[RECORDS_MOST + 1];
    struct entry entries[RECORDS_MOST];
    unsigned kinds[RECORDS_MOST], spaces[RECORDS_MOST];
    struct format_header header;
    struct format_key key;
};

FUZZ_HARNESS bool journal_lies_in(struct slice part, const char *bytes, size_t size) {
    return part.size == 0 || (part.data >= bytes && part.data + part.size <= bytes + size);
}

/* What a walk finds. */
struct journal_found {
    size_t records, holes; /* places between records that hold none */
    uint64_t missing;      /* bytes at the end */
};

/* It lies in the bytes whole. */
FUZZ_HARNESS void journal_check_record(const struct scan *scan, const struct format_header *header) {
    const struct format_record *record = &scan->record;
    const char *bytes = scan->data + scan->at;
    FUZZ_CHECK(record->space < header->space_count && record->kind >= JOURNAL_PUT &&
               record->kind <= JOURNAL_TOUCH_WHOLE);
    FUZZ_CHECK(record->entry.key.size > 0 && record->entry.key.size <= ENTRY_KEY_MAX);
    FUZZ_CHECK(journal_lies_in(record->entry.key, bytes, scan->extent) &&
               journal_lies_in(record->entry.value, bytes, scan->extent));
}

/* No record is taken for the last one before all that had been synced has been found, unless the file says that it
 * ends. */
FUZZ_HARNESS struct journal_found journal_walk(const char *bytes, size_t size,
                                               const struct format_header *header) {
    struct scan scan;
    struct journal_found found = {0};
    size_t end = header->size;
    enum scan_status status;
    scan_begin(&scan, bytes, size, header);
    while ((status = scan_next(&scan)) == SCAN_RECORD || status == SCAN_HOLE) {
        FUZZ_CHECK(scan.at == end && scan.extent > 0 && scan.extent <= size - scan.at);
        end = scan.at + scan.extent;
        found.holes += status == SCAN_HOLE;
        found.records += status == SCAN_RECORD;
        if (status == SCAN_RECORD)
            journal_check_record(&scan, header);
    }
    bool says_so = status == SCAN_END && scan.offset > end;
    FUZZ_CHECK(scan.at == end && (status == SCAN_MISSING) == (!says_so && end < header->synced));
    FUZZ_CHECK(status != SCAN_TORN || (scan.extent > 0 && scan.extent <= size - end));
    found.missing = status == SCAN_MISSING ? scan.missing : 0;
    FUZZ_CHECK(status != SCAN_MISSING || scan.missing == header->synced - end);
    FUZZ_CHECK(scan_next(&scan) == SCAN_END);
    return found;
}

/* ---- Made records ---- */

/* Their keys and values are the choices' own bytes. */
FUZZ_HARNESS struct slice records_choose_bytes(struct choices *choices, size_t most) {
    size_t size = choose(choices, (unsigned)most), left = (size_t)(choices->end - choices->at);
    size = size < left ? size : left;
    struct slice bytes = slice_of((const char *)choices->at, size);
    choices->at += size;
    return bytes;
}

FUZZ_HARNESS void records_put(struct records *records, struct choices *choices) {
    static const unsigned kinds[] = {JOURNAL_PUT, JOURNAL_TOUCH, JOURNAL_DELETE, JOURNAL_TOUCH_WHOLE};
    unsigned kind = kinds[choose(choices, 4)], space = choose(choices, RECORDS_SPACES);
    struct entry entry = {.version = choose_bits(choices, choose(choices, 9)),
                          .client_cas = choose(choices, 2) ? choose_bits(choices, 3) : 0,
                          .flags = (uint32_t)choose_bits(choices, choose(choices, 5)),
                          .expires_at = (uint32_t)choose_bits(choices, choose(choices, 5)),
                          .marks = (uint8_t)choose(choices, 8)};
    entry.key = records_choose_bytes(choices, RECORDS_KEY_MAX);
    entry.value = records_choose_bytes(choices, RECORDS_VALUE_MAX);
    if (entry.key.size == 0)
        entry.key = SLICE("k");
    char *at = records->bytes + records->size;
    size_t size = format_encode_record(at, kind, space, &entry);
    FUZZ_CHECK(size == format_record_size(&entry, journal_kind_is_whole(kind) ? entry.value.size : 0));
    format_place_records(at, size, &records->key, records->size);
    if (!journal_kind_is_whole(kind))
        entry.value.size = 0;
    records->entries[records->count] = entry;
    records->kinds[records->count] = kind;
    records->spaces[records->count++] = space;
    records->size += size;
    records->starts[records->count] = records->size;
}

FUZZ_HARNESS void records_check_same(const struct records *records, size_t number,
                                     const struct format_record *read) {
    const struct entry *put = &records->entries[number], *got = &read->entry;
    FUZZ_CHECK(read->kind == records->kinds[number] && read->space == records->spaces[number]);
    FUZZ_CHECK(slice_equal(got->key, put->key) && slice_equal(got->value, put->value));
    FUZZ_CHECK(got->version == put->version && got->client_cas == put->client_cas &&
               got->flags == put->flags && got->expires_at == put->expires_at && got->marks == put->marks);
}

FUZZ_HARNESS bool records_decode(const struct records *records, size_t number,
                                 struct format_record *ret_read) {
    return format_decode_record(records->bytes, records->size, records->starts[number], &records->key,
                                RECORDS_SPACES, ret_read);
}

/* One byte behind the sizes is another: as long as it was, the CRC has to tell. What says how long it is, may be
 * anything. */
FUZZ_HARNESS void records_check_changed(struct records *records, struct choices *choices) {
    size_t number = choose(choices, (unsigned)records->count), start = records->starts[number];
    size_t place = choose_place(choices, records->starts[number + 1] - start);
    struct format_record read;
    records->bytes[start + place] ^= (char)(1 + choose(choices, 255));
    if (place >= 16)
        FUZZ_CHECK(!records_decode(records, number, &read));
    journal_walk(records->bytes, records->size, &records->header);
}

/* As those of a file that had been synced up to the end of one of them, and has lost its own end since. */
FUZZ_HARNESS void records_check_cut(struct records *records, struct choices *choices) {
    size_t synced = records->starts[choose(choices, (unsigned)records->count + 1)], whole = 0;
    size_t size = choose_place(choices, records->size + 1);
    while (whole < records->count && records->starts[whole + 1] <= size)
        whole++;
    size_t end = records->starts[whole];
    records->header.synced = synced;
    ASAN_POISON_MEMORY_REGION(records->bytes + size, RECORDS_ROOM - size);
    struct journal_found found = journal_walk(records->bytes, size, &records->header);
    FUZZ_CHECK(found.records == whole && found.holes == 0 &&
               found.missing == (end < synced ? synced - end : 0));
    ASAN_UNPOISON_MEMORY_REGION(records->bytes, records->size);
}

FUZZ_HARNESS void records_check_made(struct records *records, struct choices *choices) {
    struct format_record read;
    do
        records_put(records, choices);
    while (records->count < RECORDS_MOST && choices_left(choices) && choose(choices, 4));
    ASAN_POISON_MEMORY_REGION(records->bytes + records->size, RECORDS_ROOM - records->size);
    records->header.synced = records->size;
    struct journal_found found = journal_walk(records->bytes, records->size, &records->header);
    FUZZ_CHECK(found.records == records->count && found.holes == 0 && found.missing == 0);
    for (size_t i = 0; i < records->count; i++) {
        FUZZ_CHECK(records_decode(records, i, &read));
        records_check_same(records, i, &read);
    }
    records_check_cut(records, choices);
    if (choices_left(choices))
        records_check_changed(records, choices);
}

/* ---- Any bytes ---- */

/* Each 8 bytes that could begin a record get the tag and the CRC that make them one. */
FUZZ_HARNESS void records_forge(struct records *records) {
    for (size_t at = 0; at < records->size;) {
        char *record = records->bytes + at;
        size_t room = records->size - at, size = format_claimed_size(record, room, RECORDS_SPACES);
        if (size > 0 && size <= room)
            format_place_records(record, size, &records->key, at);
        at += size > 0 && size <= room ? size : 8;
    }
}

FUZZ_HARNESS void records_check_any(struct records *records, struct choices *choices, bool forged) {
    size_t left = (size_t)(choices->end - choices->at);
    records->size = left < RECORDS_ROOM ? left : RECORDS_ROOM;
    memcpy(records->bytes, choices->at, records->size);
    if (forged)
        records_forge(records);
    ASAN_POISON_MEMORY_REGION(records->bytes + records->size, RECORDS_ROOM - records->size);
    journal_walk(records->bytes, records->size, &records->header);
}

/* One input. */
FUZZ_HARNESS void check_records(const uint8_t *data, size_t size) {
    static struct records records;
    struct choices choices = choices_of(data, size);
    unsigned how = choose(&choices, 4);
    records.size = records.count = 0;
    records.header = (struct format_header){
        .epoch = choose_bits(&choices, 1) << 32, .fresh = choose(&choices, 2), .space_count = RECORDS_SPACES};
    if (how >= 2)
        records.header.synced = choose(&choices, 2) ? choose_bits(&choices, 2) : 0;
    records.key = format_key(records.header.epoch);
    if (how < 2)
        records_check_made(&records, &choices);
    else
        records_check_any(&records, &choices, how == 2);
    ASAN_UNPOISON_MEMORY_REGION(records.bytes, RECORDS_ROOM);
}

#endif
