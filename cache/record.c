/* SPDX-License-Identifier: MIT */
#include "cache/record.h"
#include <assert.h>

static uint32_t draft_shape(const struct draft *draft) {
    size_t value_size = draft->kind == RECORD_LARGE ? sizeof(draft->large) : draft->value.size;
    assert(draft->key.size >= 1 && draft->key.size <= ENTRY_KEY_MAX && value_size < CACHE_LARGE_VALUE);
    uint32_t shape = (uint32_t)draft->key.size | (uint32_t)value_size << SHAPE_VALUE_SHIFT |
                     (uint32_t)draft->kind << SHAPE_KIND_SHIFT | (uint32_t)draft->state << SHAPE_STATE_SHIFT;
    shape |= draft->flags ? SHAPE_FLAGS : 0;
    shape |= draft->residency ? SHAPE_RESIDENCY : 0;
    shape |= draft->client_cas ? SHAPE_CAS : 0;
    shape |= draft->ttl_only ? SHAPE_TTL_ONLY : 0;
    return shape | (draft->voided ? SHAPE_VOIDED : 0);
}

uint32_t draft_size(const struct draft *draft) {
    struct record head = {.shape = draft_shape(draft)};
    return record_size(&head);
}

/* Appends an optional field when it is not zero. */
static char *put(char *at, const void *field, size_t size, bool wanted) {
    if (!wanted)
        return at;
    memcpy(at, field, size);
    return at + size;
}

void record_write(struct record *record, const struct draft *draft) {
    record->shape = draft_shape(draft);
    record->use = (draft->access & USE_ACCESS_MASK) | draft->frequency << USE_FREQUENCY_SHIFT |
                  (draft->fetched ? USE_FETCHED : 0) | (uint32_t)draft->marks << USE_MARKS_SHIFT;
    record->expires_at = draft->expires_at;
    record_set_version(record, draft->version);
    char *at = record->data;
    /* memmove: a draft that was read from this very record points into it */
    memmove(at, draft->key.data, draft->key.size);
    at += draft->key.size;
    if (draft->kind == RECORD_LARGE)
        memcpy(at, &draft->large, sizeof(draft->large));
    else if (draft->value.size)
        memmove(at, draft->value.data, draft->value.size);
    at += record_value_size(record);
    at = put(at, &draft->flags, sizeof(draft->flags), draft->flags);
    at = put(at, &draft->residency, sizeof(draft->residency), draft->residency);
    put(at, &draft->client_cas, sizeof(draft->client_cas), draft->client_cas);
}

struct draft record_read(const struct record *record, uint32_t now) {
    struct draft draft = {.key = record_key(record),
                          .large = record_large(record),
                          .kind = record_kind(record),
                          .state = record_state(record),
                          .version = record_version(record),
                          .client_cas = record_client_cas(record),
                          .flags = record_flags(record),
                          .expires_at = record->expires_at,
                          .residency = record_residency(record),
                          .access = record_last_access(record, now),
                          .frequency = record_frequency(record),
                          .marks = record_marks(record),
                          .fetched = record->use & USE_FETCHED,
                          .ttl_only = record->shape & SHAPE_TTL_ONLY,
                          .voided = record->shape & SHAPE_VOIDED};
    if (draft.kind == RECORD_VALUE)
        draft.value = slice_of(record->data + record_key_size(record), record_value_size(record));
    return draft;
}
