/* SPDX-License-Identifier: MIT */
/* See at_risk.h. */
#include "policies/write/at_risk.h"
#include "policies/write/internal.h"
#include <stdlib.h>

enum { NOTHING, ANYTHING, LISTED };

enum { LIST_BITS = 1 << 24, WORD_BITS = 64 };

static atomic_uint_fast64_t *word_of(const struct at_risk *self, uint64_t hash) {
    return &self->bits[hash % LIST_BITS / WORD_BITS];
}

static uint64_t bit_of(uint64_t hash) {
    return UINT64_C(1) << hash % WORD_BITS;
}

/* Whoever finds a bit that is cleared finds the loss that was noted before, too. False: no memory. */
static bool clear_list(struct at_risk *self) {
    if (!self->bits)
        return (self->bits = calloc(LIST_BITS / WORD_BITS, sizeof *self->bits)) != NULL;
    for (size_t i = 0; i < LIST_BITS / WORD_BITS; i++)
        atomic_store_explicit(&self->bits[i], 0, memory_order_release);
    return true;
}

static void close_past(struct at_risk *self) {
    journal_past_close(self->past);
    self->past = NULL;
    self->reads = false;
}

void at_risk_note_loss(struct writer *writer) {
    atomic_fetch_add(&writer->at_risk.losses, 1);
}

void at_risk_begin(struct writer *writer, uint64_t mark) {
    struct at_risk *self = &writer->at_risk;
    bool lists = writer->tier->journal && writer->backend->type->remembers_deletes;
    if (lists)
        atomic_store(&self->state, ANYTHING); /* before the loss: whoever begins behind that has to wait */
    at_risk_note_loss(writer);
    close_past(self);
    if (!lists)
        return;
    for (size_t i = 0; i < writer->flusher_count; i++)
        writer->flushers[i].had_until = marks_find(&writer->flushers[i].marks, mark);
    self->reads = clear_list(self);
}

static const struct flusher *flusher_of(const struct writer *writer, unsigned journal_number) {
    for (size_t i = 0; i < writer->flusher_count; i++)
        if (writer->flushers[i].space->journal_number == journal_number)
            return &writer->flushers[i];
    return NULL;
}

static void list(struct writer *writer, const struct journal_past_record *record) {
    const struct flusher *flusher = flusher_of(writer, record->space);
    if (!flusher || record->entry.version <= flusher->had_until)
        return;
    uint64_t hash = cache_hash(writer->tier->cache, record->entry.key);
    atomic_fetch_or_explicit(word_of(&writer->at_risk, hash), bit_of(hash), memory_order_relaxed);
}

bool at_risk_read(struct writer *writer) {
    struct at_risk *self = &writer->at_risk;
    struct journal_past_record record;
    enum journal_past_status status;
    if (!self->reads)
        return false;
    if (!self->past && !(self->past = journal_past_open(writer->tier->journal))) {
        self->reads = false;
        return false;
    }
    while ((status = journal_past_next(self->past, &record)) == JOURNAL_PAST_RECORD)
        list(writer, &record);
    if (status == JOURNAL_PAST_PAUSE)
        return true;
    close_past(self);
    atomic_store(&self->state, LISTED);
    return true;
}

void at_risk_end(struct writer *writer) {
    close_past(&writer->at_risk);
    atomic_store(&writer->at_risk.state, NOTHING);
}

void at_risk_free(struct writer *writer) {
    close_past(&writer->at_risk);
    free(writer->at_risk.bits);
}

bool at_risk_has(const struct writer *writer, const struct space *space, uint64_t hash) {
    const struct at_risk *self = &writer->at_risk;
    int state = atomic_load(&self->state);
    if (state == NOTHING || !space_keeps_journal(space))
        return false;
    return state == ANYTHING ||
           (atomic_load_explicit(word_of(self, hash), memory_order_acquire) & bit_of(hash)) != 0;
}
