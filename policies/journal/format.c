/* SPDX-License-Identifier: MIT */
/*
 * How a record is known to belong where it is found: its CRC begins with the file's epoch, a random number
 * drawn whenever a file is put to use, and with its own offset. So neither the records of an earlier use of
 * the file, nor the bytes of a journal that some client stored as a value, can pass for one.
 *
 * The tag repeats part of the epoch in the clear. It is only a hint: it makes the search for records behind a
 * damaged one fast, and tells a record that was begun from the remains of an earlier use.
 *
 * All numbers are little-endian.
 */
#include "policies/journal/format.h"
#include "policies/journal/crc32c.h"
#include <assert.h>
#include <endian.h>
#include <stdlib.h>

static const char magic[8] = {'F', 'O', 'R', 'E', 'B', 'A', 'Y', 'J'};

/* Offsets in a file header. */
enum {
    AT_MAGIC = 0,
    AT_FORMAT = 8,
    AT_HEADER_SIZE = 12,
    AT_HEADER_CRC = 16,
    AT_SERIES = 20,
    AT_SEQUENCE = 24,
    AT_EPOCH = 32,
    AT_CREATED = 40,
    AT_FILE_SIZE = 48,
    AT_BOOT = 56,
    AT_FRESH = 72,
    AT_SPACE_COUNT = 76,
    AT_FIXED_CRC = 80, /* of what comes before it, except the other CRC */
    AT_SPACES = 88,
};

/* Offsets in a record. */
enum {
    AT_CRC = 0,
    AT_TAG = 4,
    AT_VALUE_SIZE = 8,
    AT_KEY_SIZE = 12,
    AT_KIND = 13, /* low half: the kind; then marks; the top bit: a client_cas follows the header */
    AT_SPACE = 14,
    AT_VERSION = 16,
    AT_EXPIRES = 24,
    AT_FLAGS = 28,
    KIND_MASK = 0x0f,
    MARKS_SHIFT = 4,
    MARKS_MASK = 0x07,
    HAS_CLIENT_CAS = 0x80,
};

static inline void put16(char *to, uint16_t value) {
    memcpy(to, &(uint16_t){htole16(value)}, sizeof value);
}
static inline void put32(char *to, uint32_t value) {
    memcpy(to, &(uint32_t){htole32(value)}, sizeof value);
}
static inline void put64(char *to, uint64_t value) {
    memcpy(to, &(uint64_t){htole64(value)}, sizeof value);
}

static inline uint16_t get16(const char *from) {
    uint16_t value;
    memcpy(&value, from, sizeof value);
    return le16toh(value);
}

static inline uint32_t get32(const char *from) {
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return le32toh(value);
}

static inline uint64_t get64(const char *from) {
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return le64toh(value);
}

static bool all_zero(const char *data, size_t size) {
    return size == 0 || (data[0] == 0 && memcmp(data, data + 1, size - 1) == 0);
}

struct format_key format_key(uint64_t epoch) {
    char bytes[8];
    put64(bytes, epoch);
    uint32_t seed = crc32c(0, bytes, sizeof bytes);
    return (struct format_key){.seed = seed, .tag = (uint32_t)(epoch >> 32) | 1};
}

/* ---- Headers ---- */

size_t format_header_size(const struct slice *spaces, size_t count) {
    size_t size = AT_SPACES + FORMAT_NOTE_SIZE;
    for (size_t i = 0; i < count; i++)
        size += 2 + spaces[i].size;
    return format_whole_units(size);
}

static uint32_t header_crc(const char *data, size_t size) {
    static const char zeros[4] = {0};
    uint32_t crc = crc32c(0, data, AT_HEADER_CRC);
    crc = crc32c(crc, zeros, sizeof zeros);
    return crc32c(crc, data + AT_SERIES, size - FORMAT_NOTE_SIZE - AT_SERIES);
}

/* Of the part before the table of namespaces, so that the length of a header can be trusted before all of it
 * is there. */
static uint32_t fixed_crc(const char *data) {
    return crc32c(crc32c(0, data, AT_HEADER_CRC), data + AT_SERIES, AT_FIXED_CRC - AT_SERIES);
}

void format_encode_header(char *to, const struct format_header *header) {
    assert(header->space_count <= FORMAT_SPACES_MAX);
    assert(header->size == format_header_size(header->spaces, header->space_count));
    memset(to, 0, header->size);
    memcpy(to + AT_MAGIC, magic, sizeof magic);
    put32(to + AT_FORMAT, FORMAT_VERSION);
    put32(to + AT_HEADER_SIZE, (uint32_t)header->size);
    put32(to + AT_SERIES, header->series);
    put64(to + AT_SEQUENCE, header->sequence);
    put64(to + AT_EPOCH, header->epoch);
    put64(to + AT_CREATED, header->created_us);
    put64(to + AT_FILE_SIZE, header->file_size);
    memcpy(to + AT_BOOT, header->boot, JOURNAL_BOOT_SIZE);
    put32(to + AT_FRESH, header->fresh);
    put32(to + AT_SPACE_COUNT, (uint32_t)header->space_count);
    char *at = to + AT_SPACES;
    for (size_t i = 0; i < header->space_count; i++) {
        put16(at, (uint16_t)header->spaces[i].size);
        memcpy(at + 2, header->spaces[i].data, header->spaces[i].size);
        at += 2 + header->spaces[i].size;
    }
    put32(to + AT_FIXED_CRC, fixed_crc(to));
    put32(to + AT_HEADER_CRC, header_crc(to, header->size));
    struct format_key key = format_key(header->epoch);
    if (header->synced > 0)
        format_encode_note(to + header->size - FORMAT_NOTE_SIZE, &key, header->synced);
}

void format_encode_note(char to[FORMAT_NOTE_SIZE], const struct format_key *key, uint64_t synced) {
    memset(to, 0, FORMAT_NOTE_SIZE);
    put64(to + 8, synced);
    put32(to, crc32c(key->seed, to + 8, FORMAT_NOTE_SIZE - 8));
}

/* 0: there is none. */
static uint64_t decode_note(const char *header, size_t header_size, uint64_t epoch) {
    const char *note = header + header_size - FORMAT_NOTE_SIZE;
    uint32_t crc = crc32c(format_key(epoch).seed, note + 8, FORMAT_NOTE_SIZE - 8);
    return get32(note) == crc ? get64(note + 8) : 0;
}

/* How many namespaces a header of this size has room for: each takes the two bytes of its length. */
static size_t spaces_most(size_t header_size) {
    return (header_size - AT_SPACES - FORMAT_NOTE_SIZE) / 2;
}

/* The table of namespaces: as many as the header says, all inside it. */
static bool decode_spaces(const char *data, size_t header_size, size_t count, struct slice *ret_spaces) {
    size_t at = AT_SPACES, end = header_size - FORMAT_NOTE_SIZE;
    for (size_t i = 0; i < count; i++) {
        if (at + 2 > end || at + 2 + get16(data + at) > end)
            return false;
        ret_spaces[i] = slice_of(data + at + 2, get16(data + at));
        at += 2 + ret_spaces[i].size;
    }
    return true;
}

enum format_status format_decode_header(const char *data, size_t size, struct format_header *ret_header) {
    if (size < FORMAT_HEADER_UNIT)
        return FORMAT_SHORT;
    size_t header_size = get32(data + AT_HEADER_SIZE);
    if (memcmp(data, magic, sizeof magic) != 0 || get32(data + AT_FIXED_CRC) != fixed_crc(data) ||
        header_size == 0 || header_size % FORMAT_HEADER_UNIT != 0)
        return FORMAT_BAD;
    if (header_size > size)
        return FORMAT_SHORT;
    if (get32(data + AT_HEADER_CRC) != header_crc(data, header_size))
        return FORMAT_BAD;
    if (get32(data + AT_FORMAT) != FORMAT_VERSION)
        return FORMAT_FOREIGN;
    size_t count = get32(data + AT_SPACE_COUNT);
    if (count > spaces_most(header_size))
        return FORMAT_BAD;
    struct slice *spaces = calloc(count + 1, sizeof *spaces);
    if (!spaces || !decode_spaces(data, header_size, count, spaces)) {
        free(spaces);
        return FORMAT_BAD;
    }
    *ret_header = (struct format_header){
        .series = get32(data + AT_SERIES),
        .sequence = get64(data + AT_SEQUENCE),
        .epoch = get64(data + AT_EPOCH),
        .created_us = get64(data + AT_CREATED),
        .file_size = get64(data + AT_FILE_SIZE),
        .fresh = get32(data + AT_FRESH) != 0,
        .spaces = spaces,
        .space_count = count,
        .size = header_size,
        .synced = decode_note(data, header_size, get64(data + AT_EPOCH)),
    };
    memcpy(ret_header->boot, data + AT_BOOT, JOURNAL_BOOT_SIZE);
    return FORMAT_GOOD;
}

/* ---- Records ---- */

/* The seed takes the offset in, then comes everything behind the tag. */
static uint32_t record_crc(const char *record, size_t size, const struct format_key *key, uint64_t offset) {
    char place[8];
    put64(place, offset);
    uint32_t crc = crc32c(key->seed, place, sizeof place);
    return crc32c(crc, record + AT_VALUE_SIZE, size - AT_VALUE_SIZE);
}

size_t format_encode_record(char *to, unsigned kind, unsigned space, const struct entry *entry) {
    assert(entry->key.size <= ENTRY_KEY_MAX && entry->marks <= MARKS_MASK && space <= FORMAT_SPACES_MAX);
    size_t value_size = journal_kind_is_whole((enum journal_kind)kind) ? entry->value.size : 0;
    size_t size = format_record_size(entry, value_size);
    put64(to + size - 8, 0); /* the padding */
    put32(to + AT_VALUE_SIZE, (uint32_t)value_size);
    to[AT_KEY_SIZE] = (char)entry->key.size;
    to[AT_KIND] =
        (char)(kind | (unsigned)entry->marks << MARKS_SHIFT | (entry->client_cas ? HAS_CLIENT_CAS : 0u));
    put16(to + AT_SPACE, (uint16_t)space);
    put64(to + AT_VERSION, entry->version);
    put32(to + AT_EXPIRES, entry->expires_at);
    put32(to + AT_FLAGS, entry->flags);
    char *at = to + FORMAT_RECORD_HEADER;
    if (entry->client_cas != 0) {
        put64(at, entry->client_cas);
        at += 8;
    }
    if (entry->key.size > 0)
        memcpy(at, entry->key.data, entry->key.size);
    if (value_size > 0)
        memcpy(at + entry->key.size, entry->value.data, value_size);
    return size;
}

static bool kind_is_known(unsigned kind) {
    return (kind >= JOURNAL_PUT && kind <= JOURNAL_TOUCH_WHOLE) || kind == FORMAT_KIND_END;
}

size_t format_claimed_size(const char *record, size_t room, size_t space_count) {
    if (room < FORMAT_RECORD_HEADER)
        return 0;
    unsigned bits = (unsigned char)record[AT_KIND], kind = bits & KIND_MASK;
    size_t key_size = (unsigned char)record[AT_KEY_SIZE], value_size = get32(record + AT_VALUE_SIZE);
    if (!kind_is_known(kind) || key_size > ENTRY_KEY_MAX || (key_size == 0) != (kind == FORMAT_KIND_END))
        return 0;
    if (kind != FORMAT_KIND_END && get16(record + AT_SPACE) >= space_count)
        return 0;
    size_t size = FORMAT_RECORD_HEADER + (bits & HAS_CLIENT_CAS ? 8u : 0u) + key_size + value_size;
    return (size + 7) & ~(size_t)7;
}

void format_place_records(char *records, size_t size, const struct format_key *key, uint64_t offset) {
    for (size_t at = 0; at < size;) {
        char *record = records + at;
        size_t length = format_claimed_size(record, size - at, FORMAT_SPACES_MAX + 1);
        assert(length > 0 && length <= size - at);
        put32(record + AT_TAG, key->tag);
        put32(record + AT_CRC, record_crc(record, length, key, offset + at));
        at += length;
    }
}

bool format_decode_record(const char *data, size_t size, uint64_t offset, const struct format_key *key,
                          size_t space_count, struct format_record *ret_record) {
    return offset <= size &&
           format_decode_record_at(data + offset, size - offset, offset, key, space_count, ret_record);
}

bool format_decode_record_at(const char *record, size_t room, uint64_t offset, const struct format_key *key,
                             size_t space_count, struct format_record *ret_record) {
    size_t length = format_claimed_size(record, room, space_count);
    if (length == 0 || length > room || get32(record + AT_CRC) != record_crc(record, length, key, offset))
        return false;
    unsigned bits = (unsigned char)record[AT_KIND];
    size_t key_size = (unsigned char)record[AT_KEY_SIZE];
    const char *at = record + FORMAT_RECORD_HEADER + (bits & HAS_CLIENT_CAS ? 8 : 0);
    *ret_record = (struct format_record){
        .kind = bits & KIND_MASK,
        .space = get16(record + AT_SPACE),
        .size = length,
        .entry = {.key = slice_of(at, key_size),
                  .value = slice_of(at + key_size, get32(record + AT_VALUE_SIZE)),
                  .version = get64(record + AT_VERSION),
                  .client_cas = bits & HAS_CLIENT_CAS ? get64(record + FORMAT_RECORD_HEADER) : 0,
                  .flags = get32(record + AT_FLAGS),
                  .expires_at = get32(record + AT_EXPIRES),
                  .marks = (uint8_t)(bits >> MARKS_SHIFT & MARKS_MASK)},
    };
    return true;
}

/* ---- The walk ---- */

void scan_begin(struct scan *scan, const char *data, size_t size, const struct format_header *header) {
    *scan = (struct scan){.data = data,
                          .size = size,
                          .offset = header->size,
                          .key = format_key(header->epoch),
                          .space_count = header->space_count,
                          .synced = header->synced,
                          .fresh = header->fresh};
}

/* The first whole record at or behind offset, found by its tag; scan->size if there is none. */
static size_t find_record(const struct scan *scan, size_t offset) {
    struct format_record record;
    for (; offset + FORMAT_RECORD_MIN <= scan->size; offset += 8)
        if (format_is_tagged(scan->data + offset, &scan->key) &&
            format_decode_record(scan->data, scan->size, offset, &scan->key, scan->space_count, &record))
            return offset;
    return scan->size;
}

bool format_is_tagged(const char *at, const struct format_key *key) {
    return get32(at + AT_TAG) == key->tag;
}

bool format_is_torn(const char *at, size_t rest, const struct format_key *key, size_t space_count, bool fresh,
                    size_t *ret_extent) {
    size_t looked = rest < FORMAT_RECORD_HEADER ? rest : FORMAT_RECORD_HEADER;
    bool tagged = rest >= AT_VALUE_SIZE && format_is_tagged(at, key);
    bool cut_early = rest < AT_VALUE_SIZE && !all_zero(at, rest);
    if (!tagged && !cut_early && !(fresh && !all_zero(at, looked)))
        return false;
    size_t claimed = format_claimed_size(at, rest, space_count);
    *ret_extent = claimed != 0 && claimed < rest ? claimed : rest;
    return true;
}

enum scan_status scan_next(struct scan *scan) {
    if (scan->ended)
        return SCAN_END;
    scan->at = scan->offset;
    if (format_decode_record(scan->data, scan->size, scan->offset, &scan->key, scan->space_count,
                             &scan->record)) {
        scan->extent = scan->record.size;
        scan->offset += scan->record.size;
        scan->ended = scan->record.kind == FORMAT_KIND_END;
        return scan->ended ? SCAN_END : SCAN_RECORD;
    }
    size_t next = find_record(scan, scan->offset + 8);
    if (next < scan->size) {
        scan->extent = next - scan->offset;
        scan->offset = next;
        return SCAN_HOLE;
    }
    scan->ended = true;
    scan->extent = 0;
    scan->missing = format_missing(scan->at, scan->synced);
    if (scan->missing > 0)
        return SCAN_MISSING;
    size_t rest = scan->size - scan->offset;
    return scan->offset < scan->size && format_is_torn(scan->data + scan->offset, rest, &scan->key,
                                                       scan->space_count, scan->fresh, &scan->extent)
               ? SCAN_TORN
               : SCAN_END;
}

bool format_is_same_boot(const uint8_t one[JOURNAL_BOOT_SIZE], const uint8_t other[JOURNAL_BOOT_SIZE]) {
    static const uint8_t unknown[JOURNAL_BOOT_SIZE];
    return memcmp(one, other, JOURNAL_BOOT_SIZE) == 0 && memcmp(one, unknown, JOURNAL_BOOT_SIZE) != 0;
}

bool scan_hole_is_damage(const struct scan *scan, const struct format_header *header,
                         const uint8_t boot[JOURNAL_BOOT_SIZE]) {
    return format_is_same_boot(header->boot, boot) || scan->at < header->synced;
}
