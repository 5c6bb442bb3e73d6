/* SPDX-License-Identifier: MIT */
/* See reader.h. */
#include "policies/journal/reader.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW = 1 << 20 }; /* bytes that are read at once, more for a longer record */

void reader_close(struct reader *reader) {
    if (reader->handle >= 0)
        reader->journal->disk->close(reader->journal->disk, reader->handle);
    free((void *)(uintptr_t)reader->header.spaces);
    free(reader->head);
    free(reader->numbers);
    free(reader->window);
}

static bool number_spaces(struct reader *reader) {
    const struct journal *journal = reader->journal;
    reader->numbers = calloc(reader->header.space_count + 1, sizeof *reader->numbers);
    for (size_t i = 0; reader->numbers && i < reader->header.space_count; i++) {
        reader->numbers[i] = READER_NOT_CONFIGURED;
        for (unsigned number = 0; number < journal->space_count; number++)
            if (slice_equal(journal->spaces[number], reader->header.spaces[i]))
                reader->numbers[i] = number;
    }
    return reader->numbers != NULL;
}

bool reader_open_named(struct reader *reader, const struct journal *journal, const char *name,
                       size_t header_size, uint64_t end) {
    char path[JOURNAL_PATH_MAX];
    journal_path(journal->folder, name, path);
    *reader = (struct reader){.journal = journal, .capacity = WINDOW, .offset = header_size, .end = end};
    reader->handle = journal->disk->open(journal->disk, path, O_RDONLY);
    reader->head = malloc(header_size);
    reader->window = malloc(reader->capacity);
    bool good = reader->handle >= 0 && reader->head && reader->window &&
                journal_disk_read(journal->disk, reader->handle, reader->head, header_size, 0) ==
                    (ssize_t)header_size &&
                format_decode_header(reader->head, header_size, &reader->header) == FORMAT_GOOD &&
                number_spaces(reader);
    reader->key = format_key(reader->header.epoch);
    if (!good)
        reader_close(reader);
    return good;
}

bool reader_open(struct reader *reader, const struct journal *journal, const struct journal_file *from) {
    return reader_open_named(reader, journal, from->name, from->header_size,
                             atomic_load_explicit(&from->written, memory_order_acquire));
}

/* Reads on behind what was not taken yet. False: that is all, or it failed. */
static bool refill(struct reader *reader) {
    size_t left = reader->filled - reader->used;
    memmove(reader->window, reader->window + reader->used, left);
    reader->used = 0;
    reader->filled = left;
    if (left == reader->capacity) {
        char *wider = realloc(reader->window, 2 * reader->capacity);
        if (!wider)
            return false;
        reader->window = wider;
        reader->capacity *= 2;
    }
    uint64_t rest = reader->end - reader->offset - left;
    size_t size = reader->capacity - left < rest ? reader->capacity - left : (size_t)rest;
    ssize_t n = journal_disk_read(reader->journal->disk, reader->handle, reader->window + left, size,
                                  reader->offset + left);
    reader->filled += n > 0 ? (size_t)n : 0;
    return n > 0;
}

enum reading reader_next(struct reader *reader, struct format_record *ret_record) {
    do {
        if (reader->offset >= reader->end)
            return READ_END;
        if (format_decode_record_at(reader->window + reader->used, reader->filled - reader->used,
                                    reader->offset, &reader->key, reader->header.space_count, ret_record)) {
            reader->used += ret_record->size;
            reader->offset += ret_record->size;
            return ret_record->kind == FORMAT_KIND_END ? READ_END : READ_RECORD;
        }
    } while (refill(reader));
    return READ_FAILED;
}
