/* SPDX-License-Identifier: MIT */
/*
 * Quarantine files out of any bytes: records as the server writes them, some of them forged (what they say is changed,
 * and the CRC is right again) and the file damaged or cut.
 *
 * What must hold: whoever looks at the file counts what is there after it was opened; a file that was opened is not
 * damaged when it is opened again, and holds the same; and no entry has a key that no entry can have.
 */
#ifndef FOREBAY_TESTS_FUZZ_QUARANTINE_H
#define FOREBAY_TESTS_FUZZ_QUARANTINE_H

#include "policies/journal/crc32c.h"
#include "policies/journal/disk.h"
#include "policies/write/quarantine_log.h"
#include "tests/fuzz/folder.h"
#include <fcntl.h>

enum { QUARANTINE_HEAD = 56, QUARANTINE_RECORDS = 12, QUARANTINE_IMAGE = 32 << 10 };

struct quarantine_image {
    char bytes[QUARANTINE_IMAGE];
    size_t size, records, starts[QUARANTINE_RECORDS + 1];
};

/* As quarantine_log.c draws it; numbers as they lie in memory. */
static inline void quarantine_seal(char *record, size_t size) {
    uint32_t crc = crc32c(0, record + 8, size - 8);
    memcpy(record + 4, &crc, sizeof crc);
}

static inline void quarantine_put_record(struct quarantine_image *image, struct choices *choices) {
    char *record = image->bytes + image->size;
    uint8_t key_size = (uint8_t)(1 + choose(choices, 12));
    uint32_t reason_size = choose(choices, 40);
    uint64_t value_size = choose(choices, 8) * 97u, version = choose(choices, 20);
    memset(record, 0, QUARANTINE_HEAD);
    memcpy(record, "QUAR", 4);
    record[8] = (char)(1 + (choose(choices, 4) == 0));
    record[9] = (char)choose(choices, 3);
    record[10] = (char)key_size;
    memcpy(record + 24, &reason_size, 4);
    memcpy(record + 32, &value_size, 8);
    memcpy(record + 40, &version, 8);
    size_t size = QUARANTINE_HEAD + key_size + value_size + reason_size;
    memset(record + QUARANTINE_HEAD, 'r', size - QUARANTINE_HEAD);
    record[QUARANTINE_HEAD] = (char)('a' + choose(choices, 6));
    quarantine_seal(record, size);
    image->starts[image->records++] = image->size;
    image->size += size;
    image->starts[image->records] = image->size;
}

static inline void quarantine_forge(struct quarantine_image *image, struct choices *choices) {
    if (image->records == 0)
        return;
    size_t number = choose(choices, (unsigned)image->records);
    size_t start = image->starts[number], size = image->starts[number + 1] - start;
    image->bytes[start + 8 + choose(choices, QUARANTINE_HEAD - 8)] = (char)choose(choices, 256);
    /* Where it says that it is longer, it is. */
    uint8_t key_size = (uint8_t)image->bytes[start + 10];
    uint32_t reason_size;
    uint64_t value_size;
    memcpy(&reason_size, image->bytes + start + 24, 4);
    memcpy(&value_size, image->bytes + start + 32, 8);
    uint64_t claimed = QUARANTINE_HEAD + (uint64_t)key_size + reason_size;
    if (value_size < image->size && claimed + value_size <= image->size - start)
        size = (size_t)(claimed + value_size);
    quarantine_seal(image->bytes + start, size);
}

static inline void quarantine_spoil(struct quarantine_image *image, struct choices *choices) {
    size_t place = choose_place(choices, image->size), length = choose_place(choices, 300);
    length = length < image->size - place ? length : image->size - place;
    switch (choose(choices, 4)) {
    case 0:
        image->bytes[place] = (char)choose(choices, 256);
        break;
    case 1:
        image->size = place;
        break;
    case 2:
        memset(image->bytes + place, 0, length);
        break;
    default:
        memset(image->bytes + image->size, 0, length); /* room that was reserved */
        image->size += length;
    }
}

static inline void quarantine_make(struct quarantine_image *image, struct choices *choices) {
    unsigned forged = choose(choices, 3), spoilt = choose(choices, 3);
    image->size = image->records = 0;
    while (choices_left(choices) && image->records < QUARANTINE_RECORDS && choose(choices, 8))
        quarantine_put_record(image, choices);
    while (forged-- > 0)
        quarantine_forge(image, choices);
    while (spoilt-- > 0 && image->size > 0)
        quarantine_spoil(image, choices);
}

struct quarantine_seen {
    struct quarantine_visitor base; /* first */
    uint64_t count, sum;
};

static inline void quarantine_see(struct quarantine_visitor *self, enum mutation_kind kind,
                                  const struct entry *entry, uint32_t since, const char *reason) {
    struct quarantine_seen *seen = (struct quarantine_seen *)(void *)self;
    FUZZ_CHECK(entry->key.size > 0 && entry->key.size <= ENTRY_KEY_MAX && kind <= MUTATION_DELETE);
    FUZZ_CHECK(strlen(reason) < QUARANTINE_REASON_MAX);
    seen->count++;
    seen->sum += crc32c(crc32c((uint32_t)kind, entry->key.data, entry->key.size), entry->value.data,
                        entry->value.size) +
                 entry->version + since;
}

/* Opens it, and says whether that was done; what it holds. */
static inline bool quarantine_take(const char *folder, bool skip_damaged, struct quarantine_seen *ret_seen) {
    struct quarantine_damage damage;
    char error[1024];
    struct quarantine *quarantine =
        quarantine_open(&journal_disk_system, folder, "s", skip_damaged, &damage, error, sizeof error);
    *ret_seen = (struct quarantine_seen){.base = {.entry = quarantine_see}};
    if (!quarantine) {
        FUZZ_CHECK(*error && damage.places > 0);
        return false;
    }
    quarantine_visit(quarantine, &ret_seen->base);
    FUZZ_CHECK(quarantine_count(quarantine) == ret_seen->count);
    quarantine_close(quarantine);
    return true;
}

static inline void check_quarantine(const uint8_t *data, size_t size) {
    static struct quarantine_image image;
    struct choices choices = choices_of(data, size);
    struct quarantine_summary summary;
    struct quarantine_seen strict, lenient, again;
    char path[512];
    quarantine_make(&image, &choices);
    const char *folder = fuzz_folder();
    fuzz_folder_write("quarantine-s.log", image.bytes, image.size);
    snprintf(path, sizeof path, "%s/quarantine-s.log", folder);
    FUZZ_CHECK(quarantine_look(&journal_disk_system, path, &summary));
    bool good = quarantine_take(folder, false, &strict);
    FUZZ_CHECK(good == (summary.damage.places == 0));
    FUZZ_CHECK(quarantine_take(folder, true, &lenient) && lenient.count == summary.entries);
    FUZZ_CHECK(!good || (strict.count == lenient.count && strict.sum == lenient.sum));
    FUZZ_CHECK(quarantine_take(folder, false, &again));
    FUZZ_CHECK(again.count == lenient.count && again.sum == lenient.sum);
}

#endif
