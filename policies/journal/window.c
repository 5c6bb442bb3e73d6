/* SPDX-License-Identifier: MIT */
/* See window.h. */
#include "policies/journal/window.h"
#include <stdlib.h>
#include <string.h>

/* Bytes that are read at once, more for a longer record: half of a small second-level cache. */
enum { FIRST_CAPACITY = 256 << 10 };

void window_begin(struct window *window, const struct journal_disk *disk, int handle, uint64_t offset,
                  uint64_t end) {
    window->disk = disk;
    window->handle = handle;
    window->filled = window->used = 0;
    window->offset = offset;
    window->end = end;
}

void window_free(struct window *window) {
    free(window->bytes);
    *window = (struct window){0};
}

/* False: no memory. */
static bool has_room(struct window *window) {
    if (window->filled < window->capacity)
        return true;
    size_t capacity = window->capacity ? 2 * window->capacity : FIRST_CAPACITY;
    char *wider = realloc(window->bytes, capacity);
    if (!wider)
        return false;
    window->bytes = wider;
    window->capacity = capacity;
    return true;
}

enum window_status window_more(struct window *window) {
    size_t left = window_left(window);
    if (window->used > 0 && left > 0)
        memmove(window->bytes, window_at(window), left);
    window->used = 0;
    window->filled = left;
    uint64_t rest = window->end - window->offset - left;
    if (rest == 0)
        return WINDOW_END;
    if (!has_room(window))
        return WINDOW_FAILED;
    size_t room = window->capacity - left;
    ssize_t n = journal_disk_read(window->disk, window->handle, window->bytes + left,
                                  room < rest ? room : (size_t)rest, window->offset + left);
    if (n > 0)
        window->filled += (size_t)n;
    return n > 0 ? WINDOW_MORE : n == 0 ? WINDOW_END : WINDOW_FAILED;
}
