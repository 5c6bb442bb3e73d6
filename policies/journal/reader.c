/* SPDX-License-Identifier: MIT */
/* See reader.h. */
#include "policies/journal/reader.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

void reader_close(struct reader *reader) {
    if (reader->handle >= 0)
        reader->journal->disk->close(reader->journal->disk, reader->handle);
    free((void *)(uintptr_t)reader->header.spaces);
    free(reader->head);
    free(reader->numbers);
    window_free(&reader->window);
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
    *reader = (struct reader){.journal = journal};
    reader->handle = journal->disk->open(journal->disk, path, O_RDONLY);
    reader->head = malloc(header_size);
    window_begin(&reader->window, journal->disk, reader->handle, header_size, end);
    bool good = reader->handle >= 0 && reader->head &&
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

enum reading reader_next(struct reader *reader, struct format_record *ret_record) {
    struct window *window = &reader->window;
    do {
        if (window->offset >= window->end)
            return READ_END;
        if (window_left(window) > 0 &&
            format_decode_record_at(window_at(window), window_left(window), window->offset, &reader->key,
                                    reader->header.space_count, ret_record)) {
            window_take(window, ret_record->size);
            return ret_record->kind == FORMAT_KIND_END ? READ_END : READ_RECORD;
        }
    } while (window_more(window) == WINDOW_MORE);
    return READ_FAILED;
}
