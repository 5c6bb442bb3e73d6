/* SPDX-License-Identifier: MIT */
/*
 * A touch, and the lists of them, for the files that are about them: touches.c (those that there are; the design),
 * touch_batch.c (those of a batch), touches_run.c (the schedule).
 */
#ifndef FOREBAY_POLICIES_WRITE_TOUCH_H
#define FOREBAY_POLICIES_WRITE_TOUCH_H

#include "policies/write/internal.h"

struct touch {
    struct touch *next;  /* fresh, or taken */
    struct touch *chain; /* in by_hash */
    struct space *space;
    uint64_t hash, version, client_cas;
    uint64_t first;   /* the version of the first touch that it stands for: mostly its own */
    uint32_t made_at; /* when that was made, by the clock that rows live by: versions may be ahead */
    uint32_t expires_at;
    uint8_t key_size;
    char key[ENTRY_KEY_MAX];
};

static inline struct slice touch_key(const struct touch *touch) {
    return slice_of(touch->key, touch->key_size);
}

static inline struct touch_line *touch_line_of(struct writer *writer, const struct space *space) {
    return &writer->touches.lines[space->number];
}

/* ---- Lists ---- */

static inline void touch_push(struct touch_list *list, struct touch *touch) {
    touch->next = NULL;
    if (list->last)
        list->last->next = touch;
    else
        list->first = touch;
    list->last = touch;
    list->count++;
}

static inline struct touch *touch_pop(struct touch_list *list) {
    struct touch *touch = list->first;
    if (!touch)
        return NULL;
    list->first = touch->next;
    if (!list->first)
        list->last = NULL;
    list->count--;
    return touch;
}

/* ---- Alive when it was touched? ---- */

enum { TOUCH_EVER = 1 /* a second: what lived then or later */ };

/* When the row has to be looked up. That with the CAS that the touch was made on was alive, whatever the clock
 * was then: so as of any time, and was_alive decides. */
static inline uint32_t touch_second_to_ask(const struct touch *touch) {
    return touch->client_cas || touch->made_at == 0 ? TOUCH_EVER : touch->made_at;
}

static inline bool touch_was_alive(const struct touch *touch, const struct entry *row) {
    uint64_t cas = row->client_cas ? row->client_cas : row->version;
    return row->expires_at == 0 || row->expires_at > touch->made_at || cas == touch->client_cas;
}

/* ---- touches.c ---- */

/* It is done, whatever came of it: frees it. */
void touch_end(struct writer *writer, struct touch *touch);

/* Of all namespaces. */
size_t touches_count_taken(const struct writer *writer);

#endif
