/* SPDX-License-Identifier: MIT */
/*
 * Deletes, and rows that memory has evicted, are in the journal alone, as long as it keeps its files
 * (journal/retain.c). Of each key the newest change counts, as in a recovery; what the store is known to have is passed
 * over (marks.h):
 *
 *     NOTE    all records are read, and of each key it is noted which are the newest (journal/kept.h)
 *     WRITE   all records are read again, and the newest changes are written, each with the touch of it
 *     TOUCH   once more, if there are touches of what no file has: the writer touches the rows
 *     END     that is waited for
 *
 * What is noted takes an eighth of the memory there is, at most: where there are more keys, they are taken in parts, by
 * their hashes, and all is read for each part.
 *
 * The version guard of the store makes all of it harmless: what the store has in the same or a newer version stays, and
 * so does a delete, whose version it remembers; a kind of store that does not is left out
 * (backend_type.remembers_deletes). Memory knows better where it has the key: what is dirty is written anyway, and what
 * is clean and at least as new was written before. Where it has an older copy, which was loaded from the store
 * meanwhile, that is forgotten.
 *
 * A step reads a piece, or as much as fills a batch, so changes of clients are written in between.
 */
#include "policies/write/past_rewrite.h"
#include "policies/journal/kept.h"
#include "policies/write/concern.h"
#include "policies/write/internal.h"
#include "policies/write/row_batch.h"
#include <stdlib.h>

enum {
    KEYS_SHARE = 8, /* of the memory there is: what may be noted of keys beside it */
    KEY_SIZE = 128, /* bytes that one takes there, about */
    KEYS_LEAST = 1024,
    TOUCHES_AT_ONCE = 1 << 14
};

enum phase { PHASE_NOTE, PHASE_WRITE, PHASE_TOUCH, PHASE_END };

/* A namespace whose changes are written again. */
struct past_space {
    struct space *space;
    uint64_t since; /* the store has all up to this version */
    struct row_batch batch;
};

struct past_rewrite {
    struct journal_past *past;
    struct kept *kept;
    enum phase phase;
    uint64_t records; /* of the store's namespaces, and above what it is known to have */
    size_t keys_at_once;
    unsigned part, parts; /* of the keys */
    uint64_t overflow;    /* so many records had more keys than can be noted at once; 0: none had */
    bool has_touches;     /* that are not of a change that was noted */
    bool no_memory;
    uint64_t written, missing;
    uint64_t touched_until; /* the highest version that was left to the writer's touches; 0: none was */
    size_t touches_before;  /* that waited when this began, maybe for it to write their rows */
    size_t space_count;
    struct past_space spaces[];
};

/* ---- Making ---- */

static void add_space(struct past_rewrite *self, struct space *space, uint64_t since) {
    uint64_t forgotten = journal_forgotten(space->tier->journal, space->journal_number);
    self->spaces[self->space_count++] = (struct past_space){.space = space, .since = since};
    if (forgotten > since && forgotten > self->missing)
        self->missing = forgotten;
}

bool past_rewrite_is_of_use(const struct writer *writer) {
    return writer->tier->journal && writer->backend->type->remembers_deletes;
}

struct past_rewrite *past_rewrite_create(struct writer *writer, uint64_t mark) {
    size_t count_spaces = writer->flusher_count;
    struct past_rewrite *self = calloc(1, sizeof *self + count_spaces * sizeof self->spaces[0]);
    if (!self)
        return NULL;
    size_t most = writer->tier->options.cache.memory_limit / KEYS_SHARE / KEY_SIZE;
    self->keys_at_once = most > KEYS_LEAST ? most : KEYS_LEAST;
    self->parts = 1;
    self->touches_before = atomic_load(&writer->touches.waiting);
    for (size_t i = 0; i < count_spaces; i++) {
        const struct flusher *flusher = &writer->flushers[i];
        if (!space_is_retired(flusher->space) && space_keeps_journal(flusher->space))
            add_space(self, flusher->space, marks_find(&flusher->marks, mark));
    }
    self->past = journal_past_open(writer->tier->journal);
    self->kept = kept_create();
    if (self->past && self->kept)
        return self;
    past_rewrite_free(self);
    return NULL;
}

void past_rewrite_free(struct past_rewrite *self) {
    if (!self)
        return;
    for (size_t i = 0; i < self->space_count; i++)
        row_batch_free(&self->spaces[i].batch);
    journal_past_close(self->past);
    kept_free(self->kept);
    free(self);
}

/* ---- Memory ---- */

/* Has it what the record says, or something newer, that is written from there? */
static bool memory_has(const struct space *space, const struct entry *entry) {
    struct cache *cache = space->tier->cache;
    struct cache_time now = tier_now(space->tier);
    struct cache_cursor cursor;
    cache_seek(cache, space->number, entry->key, cache_hash(cache, entry->key), &now, &cursor);
    bool known = cursor.presence != CACHE_UNKNOWN && cursor.view.version >= entry->version;
    bool shown =
        cursor.presence == CACHE_PRESENT && !may_be_placeholder(cursor.view.value, cursor.view.marks);
    bool has = known && (cursor.view.state != CACHE_CLEAN || shown);
    cache_release(&cursor);
    return has;
}

/* What was loaded before the row was written again is old, and so is what is being loaded. */
static void forget_older(struct space *space, const struct mutation *mutation) {
    struct cache *cache = space->tier->cache;
    struct cache_time now = tier_now(space->tier);
    struct slice key = mutation->entry.key;
    struct cache_cursor cursor;
    cache_seek(cache, space->number, key, cache_hash(cache, key), &now, &cursor);
    if (cursor.presence == CACHE_UNKNOWN ||
        (cursor.view.state == CACHE_CLEAN && cursor.view.version < mutation->entry.version))
        cache_forget(&cursor);
    cache_release(&cursor);
}

/* ---- A record ---- */

static struct past_space *space_of(struct past_rewrite *self, unsigned number) {
    for (size_t i = 0; i < self->space_count; i++)
        if (self->spaces[i].space->journal_number == number)
            return &self->spaces[i];
    return NULL;
}

static bool is_in_part(const struct past_rewrite *self, const struct past_space *of,
                       const struct format_record *record) {
    return cache_hash(of->space->tier->cache, record->entry.key) % self->parts == self->part;
}

/* When too many keys are found, the first reading only counts on. */
static void note(struct past_rewrite *self, const struct format_record *record, unsigned number) {
    if (self->parts == 1)
        self->records++;
    if (self->overflow)
        return;
    self->no_memory |= !kept_note(self->kept, record, number);
    if (self->parts == 1 && kept_count(self->kept) > self->keys_at_once)
        self->overflow = self->records;
}

/* As if what follows had as many new keys as what was noted: those that come again make it fewer. */
static unsigned count_parts(const struct past_rewrite *self) {
    double keys = (double)kept_count(self->kept) / (double)self->overflow * (double)self->records;
    return (unsigned)(keys / (double)self->keys_at_once) + 1;
}

static enum mutation_kind mutation_of(unsigned kind) {
    return kind == JOURNAL_DELETE ? MUTATION_DELETE : kind == JOURNAL_PUT ? MUTATION_PUT : MUTATION_TOUCH;
}

static void write_again(struct past_rewrite *self, struct past_space *to, const struct format_record *record,
                        unsigned number) {
    struct entry entry = record->entry;
    if (record->kind == JOURNAL_TOUCH || !kept_take(self->kept, record, number)) {
        self->has_touches |= record->kind == JOURNAL_TOUCH;
        return;
    }
    if (kept_find_touch(self->kept, record, number, &entry.version, &entry.expires_at) && !entry.client_cas)
        entry.client_cas = record->entry.version;
    if (!memory_has(to->space, &entry))
        row_batch_add(&to->batch, &to->space->options.table, mutation_of(record->kind), &entry);
}

static void touch_again(struct past_rewrite *self, struct past_space *to, const struct format_record *record,
                        unsigned number) {
    const struct entry *entry = &record->entry;
    if (record->kind != JOURNAL_TOUCH || kept_is_joined(self->kept, record, number) ||
        !kept_take(self->kept, record, number) || memory_has(to->space, entry))
        return;
    struct writer *writer = to->space->backend->writer;
    if (!touches_recover(writer, to->space, entry, entry->version, touches_second_of(entry))) {
        self->no_memory = true;
        return;
    }
    self->written++;
    if (entry->version > self->touched_until)
        self->touched_until = entry->version;
}

static void take(struct past_rewrite *self, const struct journal_past_record *found) {
    struct format_record record = {.kind = found->kind, .entry = found->entry, .size = found->size};
    struct past_space *of = space_of(self, found->space);
    if (!of || record.entry.version <= of->since || !is_in_part(self, of, &record))
        return;
    switch (self->phase) {
    case PHASE_NOTE:
        note(self, &record, found->space);
        break;
    case PHASE_WRITE:
        write_again(self, of, &record, found->space);
        break;
    case PHASE_TOUCH:
        touch_again(self, of, &record, found->space);
        break;
    case PHASE_END:
        break;
    }
}

/* ---- Steps ---- */

/* Each is written when all is. False: not now, and it stays. */
static bool write_batches(struct writer *writer, struct past_rewrite *self) {
    bool done = true;
    for (size_t i = 0; i < self->space_count; i++) {
        struct past_space *to = &self->spaces[i];
        if (to->batch.count > 0 && (!call_is_admitted_for(writer, to->space) ||
                                    !row_batch_write(writer, to->space, &to->batch, forget_older))) {
            done = false;
            continue;
        }
        self->written += to->batch.count;
        self->no_memory |= to->batch.no_memory;
        row_batch_clear(&to->batch);
    }
    return done;
}

/* They take memory, and are done by the writer's next passes. */
static bool has_too_many_touches(const struct writer *writer, const struct past_rewrite *self) {
    return self->phase == PHASE_TOUCH &&
           atomic_load(&writer->touches.waiting) >= self->touches_before + TOUCHES_AT_ONCE;
}

static bool any_is_full(const struct past_rewrite *self) {
    for (size_t i = 0; i < self->space_count; i++)
        if (row_batch_is_full(&self->spaces[i].batch))
            return true;
    return false;
}

/* Of the next part. False: no memory. */
static bool note_anew(struct past_rewrite *self) {
    kept_free(self->kept);
    self->kept = kept_create();
    self->phase = PHASE_NOTE;
    self->overflow = 0;
    self->has_touches = false;
    self->no_memory |= !self->kept;
    return self->kept != NULL;
}

static bool next_part(struct past_rewrite *self) {
    return ++self->part < self->parts && note_anew(self);
}

/* All files were read. False: that was the last time. */
static bool next_reading(struct past_rewrite *self) {
    journal_past_rewind(self->past);
    if (self->overflow) {
        self->parts = count_parts(self);
        return note_anew(self);
    }
    if (self->phase == PHASE_NOTE) {
        self->phase = PHASE_WRITE;
        return kept_count(self->kept) > 0 || next_part(self);
    }
    if (self->phase == PHASE_WRITE && self->has_touches) {
        self->phase = PHASE_TOUCH;
        return true;
    }
    return next_part(self);
}

/* Those that clients have made since are newer. What has waited for the rows of the last part may be touched once this
 * is the end. */
static enum past_rewrite_status end(struct writer *writer, struct past_rewrite *self) {
    bool begins = self->phase != PHASE_END;
    self->phase = PHASE_END;
    for (size_t i = 0; i < self->space_count; i++)
        if (touches_bound(writer, self->spaces[i].space) <= self->touched_until)
            return begins ? PAST_REWRITE_MORE : PAST_REWRITE_NOT_NOW;
    return PAST_REWRITE_DONE;
}

enum past_rewrite_status past_rewrite_run(struct writer *writer, struct past_rewrite *self) {
    struct journal_past_record record;
    enum journal_past_status status = JOURNAL_PAST_RECORD;
    if (self->phase == PHASE_END)
        return end(writer, self);
    if (!write_batches(writer, self) || has_too_many_touches(writer, self))
        return PAST_REWRITE_NOT_NOW;
    while (status == JOURNAL_PAST_RECORD && !any_is_full(self)) {
        status = journal_past_next(self->past, &record);
        if (status == JOURNAL_PAST_RECORD)
            take(self, &record);
    }
    if (!write_batches(writer, self))
        return PAST_REWRITE_NOT_NOW;
    return status != JOURNAL_PAST_END || next_reading(self) ? PAST_REWRITE_MORE : end(writer, self);
}

/* ---- How it went ---- */

bool past_rewrite_has_written(const struct past_rewrite *self, uint64_t hash) {
    unsigned part = (unsigned)(hash % self->parts);
    return part < self->part ||
           (part == self->part && (self->phase == PHASE_TOUCH || self->phase == PHASE_END));
}

uint64_t past_rewrite_written(const struct past_rewrite *self) {
    return self->written;
}

uint64_t past_rewrite_missing(const struct past_rewrite *self) {
    return self->missing;
}

bool past_rewrite_lacks_memory(const struct past_rewrite *self) {
    return self->no_memory;
}

bool past_rewrite_is_whole(const struct past_rewrite *self) {
    return journal_past_unread(self->past) == 0;
}
