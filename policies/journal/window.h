/* SPDX-License-Identifier: MIT */
/*
 * The bytes of a file from some place on, a piece at a time: what was taken makes way for what follows. So a file is
 * read while it is in the processor's caches, and takes no memory of its length.
 */
#ifndef FOREBAY_POLICIES_JOURNAL_WINDOW_H
#define FOREBAY_POLICIES_JOURNAL_WINDOW_H

#include "policies/journal/disk.h"

/* All zero: a window that nothing was read through yet. */
struct window {
    const struct journal_disk *disk;
    int handle;              /* the caller's */
    char *bytes;             /* kept from file to file */
    size_t capacity, filled; /* of bytes: how many there is room for, and how many were read */
    size_t used;             /* of those: taken */
    uint64_t offset;         /* in the file, of what was not taken yet */
    uint64_t end;            /* nothing is read from here on */
};

enum window_status {
    WINDOW_MORE,
    WINDOW_END,
    WINDOW_FAILED, /* errno */
};

/* Onto [offset, end) of a file. Nothing is read yet. */
void window_begin(struct window *window, const struct journal_disk *disk, int handle, uint64_t offset,
                  uint64_t end);

void window_free(struct window *window);

/* What is at window->offset, and how many bytes of it are at hand. Never NULL. */
static inline const char *window_at(const struct window *window) {
    return window->bytes ? window->bytes + window->used : "";
}
static inline size_t window_left(const struct window *window) {
    return window->filled - window->used;
}

/* Reads what follows; what is at hand and was not taken stays at hand, but moves. WINDOW_END: there is no more. */
enum window_status window_more(struct window *window);

/* Takes bytes that are at hand. They stay where they are until window_more is called. */
static inline void window_take(struct window *window, size_t size) {
    window->used += size;
    window->offset += size;
}

#endif
