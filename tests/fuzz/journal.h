/* SPDX-License-Identifier: MIT */
/*
 * Files of a journal out of any bytes. Most are whole: a header, records and an end whose CRCs are right; then some of
 * them are damaged, with a wrong CRC as a disk leaves it, or with a right one as nobody but an enemy does.
 *
 * What must hold: no step beyond the bytes; no record that does not lie in the file whole; of a file that nobody
 * damaged, every record; of one that was cut off, those before that, and how much is missing of what had been synced;
 * what recovery shows once, having cut and set aside, it shows again, when it is asked to at once and the next time;
 * and whoever only looks (survey, dump) finds records, and damage, where recovery does.
 */
#ifndef FOREBAY_TESTS_FUZZ_JOURNAL_H
#define FOREBAY_TESTS_FUZZ_JOURNAL_H

#include "policies/journal/survey.h"
#include "tests/fuzz/folder.h"
#include "tests/fuzz/records.h"
#include <endian.h>

enum { JOURNAL_RECORDS_MAX = 24, JOURNAL_IMAGE_MAX = 48 << 10, JOURNAL_VALUE_MAX = 700, JOURNAL_SPACES = 3 };

/* A file in the making, and where its records begin. */
struct journal_image {
    char bytes[JOURNAL_IMAGE_MAX];
    size_t size, header_size, records, starts[JOURNAL_RECORDS_MAX + 1]; /* the last one: where they end */
    size_t written;  /* the same, with what says that it is the end */
    uint64_t synced; /* says the header */
    struct format_key key;
    bool is_whole;    /* nothing was damaged */
    bool is_only_cut; /* or nothing is wrong but that the end is not there */
};

/* Two are configured where recovery is asked, the last one is not. */
static const struct slice journal_space_names[JOURNAL_SPACES] = {{"plain", 5}, {"session", 7}, {"gone", 4}};

static inline void journal_put_header(struct journal_image *image, struct choices *choices) {
    struct format_header header = {.series = choose(choices, 4),
                                   .sequence = 1 + choose(choices, 3),
                                   .epoch = choose_bits(choices, 8),
                                   .created_us = choose_bits(choices, 4),
                                   .file_size = choose(choices, 8) * 16384u,
                                   .fresh = choose(choices, 2),
                                   .spaces = journal_space_names,
                                   .space_count = choose(choices, JOURNAL_SPACES + 1)};
    if (choose(choices, 2))
        journal_disk_system.boot(&journal_disk_system, header.boot);
    header.size = image->header_size = format_header_size(header.spaces, header.space_count);
    format_encode_header(image->bytes, &header);
    image->size = header.size;
    image->key = format_key(header.epoch);
}

static inline void journal_put_record(struct journal_image *image, struct choices *choices) {
    static const unsigned kinds[] = {JOURNAL_PUT, JOURNAL_TOUCH, JOURNAL_DELETE, JOURNAL_TOUCH_WHOLE};
    char key[ENTRY_KEY_MAX], value[JOURNAL_VALUE_MAX];
    memset(key, 'k', sizeof key);
    memset(value, 'v', sizeof value);
    unsigned kind = kinds[choose(choices, 4)], length = choose(choices, 64);
    struct entry entry = {.key = slice_of(key, 1 + (length == 63 ? ENTRY_KEY_MAX - 1 : length)),
                          .value = slice_of(value, choose(choices, 5) * 171u),
                          .version = choose_bits(choices, choose(choices, 9)),
                          .client_cas = choose(choices, 3) ? 0 : choose_bits(choices, 8),
                          .flags = choose(choices, 2),
                          .expires_at = choose(choices, 2) * 1900000000u,
                          .marks = (uint8_t)choose(choices, 4)};
    key[0] = (char)('a' + choose(choices, 26));
    size_t spaces = (unsigned char)image->bytes[76]; /* AT_SPACE_COUNT, below 256 */
    char *at = image->bytes + image->size;
    size_t size = format_encode_record(at, kind, choose(choices, spaces ? (unsigned)spaces : 1), &entry);
    format_place_records(at, size, &image->key, image->size);
    image->size += size;
    image->starts[++image->records] = image->size;
}

static inline void journal_put_end(struct journal_image *image, struct choices *choices) {
    struct entry none = {.key = slice_of(NULL, 0)};
    image->written = image->size;
    if (!choose(choices, 2)) { /* killed: room that was not used */
        size_t room = choose(choices, 4) * 512u;
        memset(image->bytes + image->size, 0, room);
        image->size += room;
        return;
    }
    char *at = image->bytes + image->size;
    size_t size = format_encode_record(at, FORMAT_KIND_END, 0, &none);
    format_place_records(at, size, &image->key, image->size);
    image->size += size;
    image->written = image->size;
}

/* Of all that was written, or up to the end of some record. */
static inline void journal_put_note(struct journal_image *image, struct choices *choices) {
    image->synced = 0;
    if (!choose(choices, 2))
        return;
    image->synced = choose(choices, 4) == 3 ? image->starts[choose(choices, (unsigned)image->records + 1)]
                                            : image->written;
    format_encode_note(image->bytes + image->header_size - FORMAT_NOTE_SIZE, &image->key, image->synced);
}

static inline void journal_put_crc(char *to, uint32_t crc) {
    crc = htole32(crc);
    memcpy(to, &crc, sizeof crc);
}

/* A header that somebody changed, and gave the CRCs that belong to it: of the fixed part (at 80), and of all (at
 * 16). */
static inline void journal_forge_header(struct journal_image *image, struct choices *choices) {
    static const unsigned fields[] = {8, 12, 20, 24, 32, 48, 56, 72, 76, 88};
    static const char zeros[4];
    char *bytes = image->bytes;
    bytes[fields[choose(choices, 10)] + choose(choices, 4)] = (char)choose(choices, 256);
    uint32_t fixed = crc32c(crc32c(0, bytes, 16), bytes + 20, 60);
    journal_put_crc(bytes + 80, fixed);
    uint32_t whole = crc32c(crc32c(0, bytes, 16), zeros, sizeof zeros);
    journal_put_crc(bytes + 16, crc32c(whole, bytes + 20, image->header_size - FORMAT_NOTE_SIZE - 20));
}

/* The same of a record, if the file was not cut before: its CRC takes in its place in the file. */
static inline void journal_forge_record(struct journal_image *image, struct choices *choices) {
    if (image->records == 0)
        return;
    size_t number = choose(choices, (unsigned)image->records), start = image->starts[number];
    size_t end = image->starts[number + 1];
    end = end < image->size ? end : image->size;
    if (end < start + FORMAT_RECORD_HEADER)
        return;
    char *record = image->bytes + start, place[8];
    record[8 + choose(choices, 24)] = (char)choose(choices, 256);
    uint64_t offset = htole64(start);
    memcpy(place, &offset, sizeof place);
    uint32_t crc = crc32c(image->key.seed, place, sizeof place);
    journal_put_crc(record, crc32c(crc, record + 8, end - start - 8));
}

static inline void journal_damage(struct journal_image *image, struct choices *choices) {
    size_t place = choose_place(choices, image->size), other = choose_place(choices, image->size);
    size_t most = image->size - (place > other ? place : other), length = choose_place(choices, 512);
    length = length < most ? length : most;
    unsigned how = choose(choices, 6);
    image->is_whole = false;
    image->is_only_cut &= how == 1;
    switch (how) {
    case 0:
        image->bytes[place] = (char)choose(choices, 256);
        break;
    case 1:
        image->size = place;
        break;
    case 2:
        memset(image->bytes + place, 0, length);
        break;
    case 3:
        memmove(image->bytes + place, image->bytes + other, length);
        break;
    case 4:
        journal_forge_header(image, choices);
        break;
    default:
        journal_forge_record(image, choices);
    }
}

static inline void journal_make(struct journal_image *image, struct choices *choices) {
    unsigned damages = choose(choices, 4);
    image->records = 0;
    image->is_whole = image->is_only_cut = true;
    journal_put_header(image, choices);
    image->starts[0] = image->size;
    while (choices_left(choices) && image->records < JOURNAL_RECORDS_MAX && choose(choices, 8))
        journal_put_record(image, choices);
    journal_put_end(image, choices);
    journal_put_note(image, choices);
    while (damages-- > 0 && image->size > image->header_size)
        journal_damage(image, choices);
}

/* All records that are there, and nothing else. */
static inline void journal_check_cut(const struct journal_image *image, const struct journal_found *found) {
    size_t whole = 0;
    while (whole < image->records && image->starts[whole + 1] <= image->size)
        whole++;
    uint64_t end = image->size < image->written ? image->starts[whole] : image->written;
    FUZZ_CHECK(found->records == whole && found->holes == 0);
    FUZZ_CHECK(found->missing == (end < image->synced ? image->synced - end : 0));
}

/* The bytes alone, as an exact copy, so that a step beyond them is seen. */
static inline void journal_check_bytes(const struct journal_image *image) {
    struct format_header header;
    char *copy = malloc(image->size ? image->size : 1);
    FUZZ_CHECK(copy);
    memcpy(copy, image->bytes, image->size);
    enum format_status status = format_decode_header(copy, image->size, &header);
    FUZZ_CHECK(!image->is_whole || status == FORMAT_GOOD);
    if (status == FORMAT_GOOD) {
        struct journal_found found = journal_walk(copy, image->size, &header);
        FUZZ_CHECK(!image->is_only_cut || header.synced == image->synced);
        for (size_t i = 0; i < header.space_count; i++)
            FUZZ_CHECK(journal_lies_in(header.spaces[i], copy, header.size));
        if (image->is_only_cut && header.space_count > 0) /* else no record has a namespace */
            journal_check_cut(image, &found);
        free((void *)(uintptr_t)header.spaces);
    }
    free(copy);
}

/* ---- The folder ---- */

struct journal_shown {
    struct journal_replayer base; /* first */
    uint64_t count, sum;          /* of the records that recovery shows, in any order */
    uint64_t first_count, first_sum;
    bool is_second; /* they are shown twice */
};

static inline void journal_show(struct journal_shown *shown, const struct journal_record *record) {
    const struct entry *entry = &record->entry;
    uint32_t crc = crc32c(crc32c((uint32_t)record->kind, entry->key.data, entry->key.size), entry->value.data,
                          entry->value.size);
    FUZZ_CHECK(entry->key.size > 0 && entry->key.size <= ENTRY_KEY_MAX);
    shown->count++;
    shown->sum += crc ^ entry->version ^ entry->client_cas;
}

static inline bool journal_show_all(struct journal_replayer *self, const struct journal_record *records,
                                    size_t count) {
    FUZZ_CHECK(count > 0 && count <= JOURNAL_SHOWN_MOST);
    for (size_t i = 0; i < count; i++)
        journal_show((struct journal_shown *)(void *)self, &records[i]);
    return true;
}

/* For a replayer that cannot hold all at once: the same once more. */
static inline bool journal_show_again(struct journal_replayer *self, bool *ret_again) {
    struct journal_shown *shown = (struct journal_shown *)(void *)self;
    FUZZ_CHECK(!shown->is_second || (shown->count == shown->first_count && shown->sum == shown->first_sum));
    *ret_again = !shown->is_second;
    if (shown->is_second)
        return true;
    shown->first_count = shown->count;
    shown->first_sum = shown->sum;
    shown->count = shown->sum = 0;
    shown->is_second = true;
    return true;
}

static inline bool journal_keep_unknown(struct journal_replayer *self, struct slice space) {
    (void)self, (void)space;
    return true;
}

static inline enum journal_status journal_recover_folder(const char *folder, bool skip_damaged, bool gives_up,
                                                         struct journal_shown *ret_shown) {
    struct journal_options options = {.folder = folder,
                                      .series_count = 1,
                                      .file_size = 16384,
                                      .compact_after_ms = JOURNAL_COMPACT_NEVER,
                                      .spaces = journal_space_names,
                                      .space_count = JOURNAL_SPACES - 1,
                                      .discarded = &journal_space_names[1],
                                      .discarded_count = gives_up};
    struct journal_recovery recovery = {0};
    struct journal_error error;
    struct journal *journal;
    *ret_shown = (struct journal_shown){
        .base = {.records = journal_show_all, .end = journal_show_again, .keeps = journal_keep_unknown}};
    enum journal_status status =
        journal_open(&options, skip_damaged, &ret_shown->base, &recovery, &journal, &error);
    if (status == JOURNAL_OK) {
        FUZZ_CHECK(recovery.shown == ret_shown->count && recovery.shown <= recovery.records);
        journal_close(journal);
    }
    return status;
}

static inline void journal_look_at_folder(const char *folder, struct survey *ret_survey) {
    FILE *nowhere = fopen("/dev/null", "we");
    FUZZ_CHECK(nowhere && survey_folder(folder, ret_survey));
    journal_dump(folder, nowhere, nowhere);
    fclose(nowhere);
}

/* Recovery of the file, strict and lenient; and once more, when there is nothing to skip any more. gives_up: what is
 * there of one of the namespaces. */
static inline void journal_check_folder(const struct journal_image *image, bool gives_up) {
    const char *folder = fuzz_folder();
    struct journal_shown strict, first, again;
    struct survey survey;
    fuzz_folder_write("journal-0-0000000001.fj", image->bytes, image->size);
    journal_look_at_folder(folder, &survey);
    bool damaged = survey.damaged > 0;
    survey_free(&survey);
    enum journal_status status = journal_recover_folder(folder, false, gives_up, &strict);
    if (status == JOURNAL_FAILED) /* a format of the future; or more namespaces than memory */
        return;
    FUZZ_CHECK((status == JOURNAL_DAMAGED) == damaged);
    FUZZ_CHECK(journal_recover_folder(folder, true, gives_up, &first) == JOURNAL_OK);
    FUZZ_CHECK(status != JOURNAL_OK || (strict.count == first.count && strict.sum == first.sum));
    FUZZ_CHECK(journal_recover_folder(folder, false, gives_up, &again) == JOURNAL_OK);
    FUZZ_CHECK(again.count == first.count && again.sum == first.sum);
}

/* One input. One of sixteen goes through a folder, which takes a hundred times as long. */
static inline void check_journal(const uint8_t *data, size_t size) {
    static struct journal_image image;
    struct choices choices = choices_of(data, size);
    bool whole_way = choose(&choices, 16) == 0;
    journal_make(&image, &choices);
    journal_check_bytes(&image);
    if (whole_way)
        journal_check_folder(&image, choose(&choices, 4) == 3);
}

#endif
