/* SPDX-License-Identifier: MIT */
/*
 * The bytes of the journal's files, as docs/journal.md describes them: headers, records, and the walk over a
 * file that tells records from other bytes. Pure: memory in, memory out.
 */
#ifndef FOREBAY_POLICIES_JOURNAL_FORMAT_H
#define FOREBAY_POLICIES_JOURNAL_FORMAT_H

#include "policies/journal/disk.h"
#include "policies/journal/journal.h"

enum {
    FORMAT_VERSION = 1,
    FORMAT_HEADER_UNIT = 4096, /* a header is a whole number of these */
    FORMAT_NOTE_SIZE = 32,     /* the last bytes of the header: how far the file is known to be synced */
    FORMAT_RECORD_HEADER = 32,
    FORMAT_RECORD_MIN = FORMAT_RECORD_HEADER,
    FORMAT_END_SIZE = FORMAT_RECORD_HEADER,
    FORMAT_SPACES_MAX = 65535,
    FORMAT_KIND_END = 15, /* the series went on in another file */
};

/* The least whole number of header units that holds that many bytes: what files and headers are sized in. */
static inline uint64_t format_whole_units(uint64_t bytes) {
    return (bytes + FORMAT_HEADER_UNIT - 1) / FORMAT_HEADER_UNIT * FORMAT_HEADER_UNIT;
}

struct format_header {
    unsigned series;
    uint64_t sequence, epoch, created_us, file_size;
    uint8_t boot[JOURNAL_BOOT_SIZE];
    bool fresh; /* the file held zeros before, not the records of an earlier use */
    const struct slice *spaces;
    size_t space_count;
    size_t size; /* of the header itself; the first record is there */
    /* The note at its end, 0: there is none. Everything below that offset has been on disk. */
    uint64_t synced;
};

/* What binds a record to its file. */
struct format_key {
    uint32_t seed; /* CRC of the epoch */
    uint32_t tag;  /* in each record, in the clear: never 0 */
};

struct format_key format_key(uint64_t epoch);

size_t format_header_size(const struct slice *spaces, size_t count);
void format_encode_header(char *to, const struct format_header *header);

enum format_status {
    FORMAT_GOOD,
    FORMAT_SHORT,   /* shorter than its header */
    FORMAT_FOREIGN, /* a version of the format that this program does not read */
    FORMAT_BAD,     /* fails its check */
};

/* GOOD: *ret_header is filled in, its spaces an array for the caller to free, their bytes inside data. */
enum format_status format_decode_header(const char *data, size_t size, struct format_header *ret_header);

/* The note alone, to be written over that of a header. */
void format_encode_note(char to[FORMAT_NOTE_SIZE], const struct format_key *key, uint64_t synced);

struct format_record {
    unsigned kind; /* enum journal_kind or FORMAT_KIND_END */
    unsigned space;
    struct entry entry;
    size_t size; /* in the file */
};

static inline size_t format_record_size(const struct entry *entry, size_t value_size) {
    size_t size = FORMAT_RECORD_HEADER + (entry->client_cas != 0 ? 8u : 0u) + entry->key.size + value_size;
    return (size + 7) & ~(size_t)7;
}

/* Writes a record that belongs to no place yet; returns its size. Only a whole one has a value. */
size_t format_encode_record(char *to, unsigned kind, unsigned space, const struct entry *entry);

/* Binds whole records, one behind the other, to this place of the file: gives each its tag and its CRC,
 * whatever they were before. */
void format_place_records(char *records, size_t size, const struct format_key *key, uint64_t offset);

/* The size that the header of a record claims, of which `room` bytes are there; 0 if it cannot be one. */
size_t format_claimed_size(const char *record, size_t room, size_t space_count);

/* Whether the 8 bytes at `at` may begin a record of this file, by its tag. */
bool format_is_tagged(const char *at, const struct format_key *key);

/* True if there is a whole record of this file at offset. Its slices point into data. */
bool format_decode_record(const char *data, size_t size, uint64_t offset, const struct format_key *key,
                          size_t space_count, struct format_record *ret_record);

/* The same of bytes that were read at offset: there are `room` of them. */
bool format_decode_record_at(const char *record, size_t room, uint64_t offset, const struct format_key *key,
                             size_t space_count, struct format_record *ret_record);

enum scan_status {
    SCAN_RECORD,
    SCAN_HOLE,    /* bytes that are no record, with records behind them: those come next */
    SCAN_MISSING, /* no record, though up to some place behind it all had been synced: SCAN_END comes next */
    SCAN_TORN,    /* a record was begun and nothing whole follows: the end */
    SCAN_END,
};

struct scan {
    const char *data;
    size_t size;
    size_t offset; /* where the next step looks */
    struct format_key key;
    size_t space_count;
    uint64_t synced; /* as the header says */
    bool fresh;
    bool ended;
    struct format_record record; /* of SCAN_RECORD */
    size_t at;                   /* where the record, the hole, the torn record or what is missing begins */
    size_t extent;               /* and its length in bytes, all of them in data; but not of SCAN_MISSING */
    uint64_t missing; /* of SCAN_MISSING: its length in bytes. The file may have fewer, or none of them */
};

/* Where no whole record follows, and `rest` bytes do, of which those that a record's header takes are at hand: was a
 * record begun here? In a file that held zeros before (fresh), any other byte says so; else the tag does, if it was
 * written.
 * *ret_extent: the size that the record claims. */
bool format_is_torn(const char *at, size_t rest, const struct format_key *key, size_t space_count, bool fresh,
                    size_t *ret_extent);

void scan_begin(struct scan *scan, const char *data, size_t size, const struct format_header *header);
enum scan_status scan_next(struct scan *scan);

/* Is it known that the system was not started anew between the two? Not where one of them is unknown
 * (journal_disk.boot), be it both: what can have been lost with the power may have been. */
bool format_is_same_boot(const uint8_t one[JOURNAL_BOOT_SIZE], const uint8_t other[JOURNAL_BOOT_SIZE]);

/* Of the end at offset `at`: how many bytes behind it had been synced once, and are no records any more. */
static inline uint64_t format_missing(uint64_t at, uint64_t synced) {
    return at < synced ? synced - at : 0;
}

/* Behind SCAN_HOLE: what was there has decayed. False: the disk can have lost just this with the power, because the
 * system may have been started anew since (boot: its id now) and the place had not been synced. (What is SCAN_MISSING
 * had been, so that is always damage.) */
bool scan_hole_is_damage(const struct scan *scan, const struct format_header *header,
                         const uint8_t boot[JOURNAL_BOOT_SIZE]);

#endif
