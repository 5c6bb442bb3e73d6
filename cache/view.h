/* SPDX-License-Identifier: MIT */
/* From a record to the view that a cursor shows of it. */
#ifndef FOREBAY_CACHE_VIEW_H
#define FOREBAY_CACHE_VIEW_H

#include "cache/large.h"
#include "cache/record.h"

/* Fills of a view what the answer to a get needs: see cache_glance. */
static inline void view_fill_value(struct cache_view *view, const struct record *record) {
    uint32_t shape = record->shape, key_size = record_key_size(record);
    view->value = slice_of(record->data + key_size, record_value_size(record));
    view->version = record_version(record);
    view->client_cas = 0;
    view->flags = 0;
    view->state = record_state(record);
    view->large = NULL;
    if (__builtin_expect(shape & (SHAPE_FLAGS | SHAPE_CAS), 0)) {
        view->flags = record_flags(record);
        view->client_cas = record_client_cas(record);
    }
}

/* Fills what a plain value has in common with everything else, and looks at the rest only where there is
 * any. */
static inline void view_fill(struct cache_view *view, const struct record *record, uint32_t now) {
    uint32_t shape = record->shape, use = record->use, key_size = record_key_size(record);
    view->key = slice_of(record->data, key_size);
    view->value = slice_of(record->data + key_size, record_value_size(record));
    view->version = record_version(record);
    view->expires_at = record->expires_at;
    view->last_access = record_last_access(record, now);
    view->client_cas = 0;
    view->flags = 0;
    if (shape & (SHAPE_FLAGS | SHAPE_CAS)) {
        view->flags = record_flags(record);
        view->client_cas = record_client_cas(record);
    }
    view->state = record_state(record);
    view->marks = (uint8_t)(use >> USE_MARKS_SHIFT);
    view->fetched = use & USE_FETCHED;
    view->tombstone = false;
    view->expired = false;
    view->ttl_only = shape & SHAPE_TTL_ONLY;
    view->large = NULL;
    if (__builtin_expect((shape & SHAPE_KIND_MASK) != 0, 0)) {
        view->tombstone = record_kind(record) == RECORD_TOMBSTONE;
        view->large = record_large(record);
        if (view->large)
            view->value = slice_of(view->large->data, view->large->size);
    }
    if (view->state != CACHE_CLEAN)
        view->expired = record_expired(record, now);
}

#endif
