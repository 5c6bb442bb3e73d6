/* SPDX-License-Identifier: MIT */
/* See walk.h. */
#include "policies/journal/walk.h"
#include <stdlib.h>
#include <sys/stat.h>

/* Reads what is in the file from there on. What lies before it in data is undefined. */
static bool load(struct walk *walk, uint64_t from) {
    if (!walk->data || walk->size > walk->capacity) {
        free(walk->data);
        walk->data = malloc(walk->size + 1); /* never NULL, for a file without a byte, too */
        walk->capacity = walk->data ? walk->size : 0;
        if (!walk->data)
            return false;
    }
    ssize_t n = journal_disk_read(walk->disk, walk->handle, walk->data + from, walk->size - from, from);
    if (n < 0)
        return false;
    walk->size = from + (uint64_t)n;
    return true;
}

/* A copy that stays while the window moves on. False: no memory. */
static bool keep_header(struct walk *walk, const char *bytes) {
    size_t size = walk->header.size;
    free((void *)(uintptr_t)walk->header.spaces);
    walk->header = (struct format_header){0};
    char *head = realloc(walk->head, size);
    if (!head)
        return false;
    walk->head = head;
    memcpy(head, bytes, size);
    return format_decode_header(head, size, &walk->header) == FORMAT_GOOD;
}

/* Where a window is too small for it, all of the file says what there is. */
static bool read_header(struct walk *walk, enum format_status *ret_header) {
    struct window *window = &walk->window;
    if (window_more(window) == WINDOW_FAILED)
        return false;
    *ret_header = format_decode_header(window_at(window), window_left(window), &walk->header);
    if (*ret_header == FORMAT_GOOD)
        return keep_header(walk, window_at(window));
    if (*ret_header != FORMAT_SHORT)
        return true;
    if (!load(walk, 0))
        return false;
    *ret_header = format_decode_header(walk->data, walk->size, &walk->header);
    return *ret_header != FORMAT_GOOD || keep_header(walk, walk->data);
}

bool walk_begin(struct walk *walk, const struct journal_disk *disk, int handle,
                enum format_status *ret_header) {
    struct stat status;
    if (fstat(handle, &status) != 0)
        return false;
    free((void *)(uintptr_t)walk->header.spaces);
    walk->header = (struct format_header){0};
    walk->disk = disk;
    walk->handle = handle;
    walk->size = (uint64_t)status.st_size;
    walk->paused = false;
    walk->stage = WALK_IN_RECORDS;
    window_begin(&walk->window, disk, handle, 0, walk->size);
    if (!read_header(walk, ret_header))
        return false;
    if (*ret_header != FORMAT_GOOD)
        return true;
    walk->key = format_key(walk->header.epoch);
    if (window_left(&walk->window) >= walk->header.size)
        window_take(&walk->window, walk->header.size);
    else
        window_begin(&walk->window, disk, handle, walk->header.size, walk->size);
    return true;
}

void walk_free(struct walk *walk) {
    free((void *)(uintptr_t)walk->header.spaces);
    free(walk->head);
    free(walk->data);
    window_free(&walk->window);
    *walk = (struct walk){0};
}

/* Bytes that are wanted at hand to see whether there is a record; 0: there are enough, or the file ends before. */
static size_t wanted(const struct walk *walk) {
    const struct window *window = &walk->window;
    size_t left = window_left(window);
    size_t size = left < FORMAT_RECORD_HEADER
                      ? FORMAT_RECORD_HEADER
                      : format_claimed_size(window_at(window), left, walk->header.space_count);
    return size > left && size <= window->end - window->offset ? size : 0;
}

static bool take_from_window(struct walk *walk) {
    struct window *window = &walk->window;
    if (window_left(window) == 0 ||
        !format_decode_record_at(window_at(window), window_left(window), window->offset, &walk->key,
                                 walk->header.space_count, &walk->record))
        return false;
    walk->at = window->offset;
    walk->extent = walk->record.size;
    window_take(window, walk->record.size);
    return true;
}

/* Until so many bytes are at hand, or the file has become shorter. */
static bool bring(struct walk *walk, size_t size) {
    enum window_status status = WINDOW_MORE;
    while (window_left(&walk->window) < size && status == WINDOW_MORE)
        status = window_more(&walk->window);
    return status != WINDOW_FAILED;
}

/* WALK_HOLE: there is no record. */
static enum walk_status next_in_window(struct walk *walk) {
    while (!take_from_window(walk)) {
        size_t size = wanted(walk);
        if (!walk->paused) {
            walk->paused = true;
            return WALK_PAUSE;
        }
        walk->paused = false;
        if (!bring(walk, size))
            return WALK_FAILED;
        if (window_left(&walk->window) < size || size == 0)
            return WALK_HOLE;
    }
    return walk->record.kind == FORMAT_KIND_END ? WALK_END : WALK_RECORD;
}

/* Takes whole words until one may begin a record. */
static bool find_tag(struct walk *walk) {
    struct window *window = &walk->window;
    const char *bytes = window_at(window);
    size_t at = 0, left = window_left(window);
    while (at + 8 <= left && !format_is_tagged(bytes + at, &walk->key))
        at += 8;
    window_take(window, at);
    return at + 8 <= left;
}

/* Of what is at walk->at, where no whole record follows. Then the walk is over. */
static enum walk_status end(struct walk *walk, bool torn) {
    walk->missing = format_missing(walk->at, walk->header.synced);
    walk->stage = WALK_AT_END;
    if (walk->missing > 0)
        walk->extent = 0;
    return walk->missing > 0 ? WALK_MISSING : torn ? WALK_TORN : WALK_END;
}

/* Where no whole record can follow: the end. WALK_HOLE: one may. */
static enum walk_status search_rest(struct walk *walk) {
    struct window *window = &walk->window;
    enum window_status status = WINDOW_MORE;
    size_t rest = window->end - window->offset;
    size_t looked = rest < FORMAT_RECORD_HEADER ? rest : FORMAT_RECORD_HEADER;
    walk->at = window->offset;
    if (!bring(walk, looked))
        return WALK_FAILED;
    if (window_left(window) < looked) /* it has become shorter */
        return WALK_HOLE;
    bool torn = rest > 0 && format_is_torn(window_at(window), rest, &walk->key, walk->header.space_count,
                                           walk->header.fresh, &walk->extent);
    window_take(window, looked < 8 ? looked : 8);
    while (status == WINDOW_MORE) {
        if (find_tag(walk))
            return WALK_HOLE;
        status = window_more(window);
    }
    return status == WINDOW_FAILED ? WALK_FAILED : end(walk, torn);
}

static bool begin_in_data(struct walk *walk, uint64_t from) {
    if (!load(walk, from))
        return false;
    memcpy(walk->data, walk->head, walk->header.size);
    scan_begin(&walk->scan, walk->data, walk->size, &walk->header);
    walk->scan.offset = from;
    walk->stage = WALK_IN_DATA;
    return true;
}

static enum walk_status next_in_data(struct walk *walk) {
    enum scan_status status = scan_next(&walk->scan);
    walk->record = walk->scan.record;
    walk->at = walk->scan.at;
    walk->extent = walk->scan.extent;
    walk->missing = walk->scan.missing;
    switch (status) {
    case SCAN_RECORD:
        return WALK_RECORD;
    case SCAN_HOLE:
        return WALK_HOLE;
    case SCAN_MISSING:
        return WALK_MISSING;
    case SCAN_TORN:
        return WALK_TORN;
    case SCAN_END:
        break;
    }
    return WALK_END;
}

enum walk_status walk_next(struct walk *walk) {
    enum walk_status status = WALK_HOLE;
    if (walk->stage == WALK_AT_END)
        return WALK_END;
    if (walk->stage == WALK_IN_RECORDS) {
        if ((status = next_in_window(walk)) != WALK_HOLE)
            return status;
        walk->stage = WALK_IN_REST;
    }
    if (walk->stage == WALK_IN_REST) {
        if ((status = search_rest(walk)) != WALK_HOLE)
            return status;
        if (!begin_in_data(walk, walk->at))
            return WALK_FAILED;
    }
    return next_in_data(walk);
}

bool walk_hole_is_damage(const struct walk *walk, const uint8_t boot[JOURNAL_BOOT_SIZE]) {
    return scan_hole_is_damage(&walk->scan, &walk->header, boot);
}

const char *walk_all(struct walk *walk) {
    return load(walk, 0) ? walk->data : NULL;
}
