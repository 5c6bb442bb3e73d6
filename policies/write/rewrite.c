/* SPDX-License-Identifier: MIT */
/* See rewrite.h. */
#include "policies/write/rewrite.h"
#include "policies/tell.h"
#include "policies/write/internal.h"
#include <stdlib.h>

enum { STEP_ROWS = 2000, STEP_BYTES = 4 << 20, REST_US = 500000 /* for a part of the store that is away */ };

/* What a step writes: copies of entries, one allocation each. */
struct copied {
    struct cache_visitor visitor;
    struct space *space;
    struct mutation *mutations;
    size_t count, capacity, bytes;
    bool no_memory;
};

void rewrite_begin(struct writer *writer) {
    struct rewrite *rewrite = &writer->rewrite;
    rewrite->space = 0;
    rewrite->walk = (struct cache_walk){0};
    rewrite->written = rewrite->rests_until_us = 0;
    rewrite->left = rewrite->again = false;
    atomic_store(&writer->rewrite.running, true);
}

bool rewrite_is_running(const struct writer *writer) {
    return atomic_load(&writer->rewrite.running);
}

/* Does memory hold here what the store has to have? */
static bool concerns(const struct writer *writer, const struct space *space) {
    return space->backend == writer->backend && policy_writes_rows(space->policy);
}

/* A placeholder of the meta commands is in memory alone. */
static bool is_placeholder(const struct cache_view *view) {
    return view->value.size == 0 && (view->marks & ENTRY_TOKEN_SENT) && !(view->marks & ENTRY_STALE);
}

static bool make_room(struct copied *copied) {
    if (copied->count < copied->capacity)
        return true;
    size_t capacity = copied->capacity ? 2 * copied->capacity : 256;
    struct mutation *longer = realloc(copied->mutations, capacity * sizeof *longer);
    if (!longer)
        return false;
    copied->mutations = longer;
    copied->capacity = capacity;
    return true;
}

static void copy_entry(struct cache_visitor *self, int number, const struct cache_view *view) {
    struct copied *copied = (struct copied *)(void *)self;
    (void)number;
    if (view->state != CACHE_CLEAN || view->version == 0 || is_placeholder(view))
        return;
    char *bytes = make_room(copied) ? malloc(view->key.size + view->value.size + 1) : NULL;
    if (!bytes) {
        copied->no_memory = true;
        return;
    }
    memcpy(bytes, view->key.data, view->key.size);
    if (view->value.size)
        memcpy(bytes + view->key.size, view->value.data, view->value.size);
    copied->mutations[copied->count++] =
        (struct mutation){.table = &copied->space->options.table,
                          .kind = MUTATION_PUT,
                          .entry = {.key = slice_of(bytes, view->key.size),
                                    .value = slice_of(bytes + view->key.size, view->value.size),
                                    .version = view->version,
                                    .client_cas = view->client_cas,
                                    .flags = view->flags,
                                    .expires_at = view->expires_at,
                                    .marks = view->marks}};
    copied->bytes += view->key.size + view->value.size;
}

static void drop_copies(struct copied *copied) {
    for (size_t i = 0; i < copied->count; i++)
        free((void *)(uintptr_t)copied->mutations[i].entry.key.data);
    free(copied->mutations);
}

/* Copies the next entries of the namespace that is being walked. *ret_more: it has more. False: no memory. */
static bool copy_some(struct writer *writer, struct copied *copied, struct cache_walk *walk, bool *ret_more) {
    struct tier *tier = writer->tier;
    struct cache_time now = tier_now(copied->space->tier);
    bool more = true;
    while (more && !copied->no_memory && copied->count < STEP_ROWS && copied->bytes < STEP_BYTES)
        more = cache_walk(tier->cache, copied->space->number, walk, &now, &copied->visitor);
    *ret_more = more;
    return !copied->no_memory;
}

/* The store has newer rows: what memory has is old. */
static void forget_older(const struct copied *copied, size_t from, size_t to) {
    struct cache_time now = tier_now(copied->space->tier);
    for (size_t i = from; i < to; i++) {
        const struct entry *entry = &copied->mutations[i].entry;
        struct cache_cursor cursor;
        if (!copied->mutations[i].superseded)
            continue;
        cache_seek(copied->space->tier->cache, copied->space->number, entry->key,
                   cache_hash(copied->space->tier->cache, entry->key), &now, &cursor);
        if (cursor.presence != CACHE_UNKNOWN && cursor.view.version == entry->version)
            cache_forget(&cursor);
        cache_release(&cursor);
    }
}

/* A row that is refused for good, as those in the quarantine are, is passed over. False: not now. */
static bool write_copies(struct writer *writer, struct copied *copied, size_t from, size_t to) {
    if (from == to)
        return true;
    bool partial;
    enum backend_status status =
        call_apply_parts(writer, copied->space, copied->mutations + from, to - from, &partial);
    writer->rewrite.partial |= partial;
    if (status == BACKEND_OK || partial)
        forget_older(copied, from, to);
    if (status == BACKEND_OK || partial || (status == BACKEND_PERMANENT && to - from == 1))
        return true;
    if (status == BACKEND_PERMANENT) {
        size_t refused = call_part_refused(copied->mutations + from, NULL, to - from);
        if (refused > 0)
            return write_copies(writer, copied, from + refused, to);
    }
    size_t middle = from + (to - from) / 2;
    return status == BACKEND_PERMANENT && write_copies(writer, copied, from, middle) &&
           write_copies(writer, copied, middle, to);
}

static void tell_end(struct writer *writer) {
    struct rewrite *rewrite = &writer->rewrite;
    atomic_store(&rewrite->running, false);
    tell_of_backend(
        writer->backend, &writer->rewritten_lines, LOG_LEVEL_NOTICE,
        "backend %s: %llu entries that memory holds were written to the store again, where it had older ones or none",
        writer->backend->options.store.name, (unsigned long long)rewrite->written);
}

/* Whether the walk goes on behind the step in hand. */
static bool may_go_on(struct rewrite *rewrite) {
    rewrite->left |= rewrite->partial;
    if (!rewrite->partial || !rewrite->again)
        return true;
    rewrite->rests_until_us = monotonic_us() + REST_US;
    return false;
}

/* False: not now; the step is made again. */
static bool step(struct writer *writer, struct space *space) {
    struct rewrite *rewrite = &writer->rewrite;
    struct copied copied = {.visitor = {copy_entry}, .space = space};
    struct cache_walk walk = rewrite->walk;
    bool more;
    rewrite->partial = false;
    bool fine = copy_some(writer, &copied, &walk, &more) && write_copies(writer, &copied, 0, copied.count) &&
                may_go_on(rewrite);
    if (fine) {
        rewrite->written += rewrite->again ? 0 : copied.count;
        rewrite->walk = more ? walk : (struct cache_walk){0};
        rewrite->space += !more;
    }
    drop_copies(&copied);
    return fine;
}

/* All namespaces were walked. */
static void end_walk(struct writer *writer) {
    struct rewrite *rewrite = &writer->rewrite;
    if (!rewrite->left) {
        tell_end(writer);
        return;
    }
    rewrite->left = false;
    rewrite->again = true;
    rewrite->space = 0;
    rewrite->rests_until_us = monotonic_us() + REST_US;
}

bool rewrite_run(struct writer *writer) {
    struct rewrite *rewrite = &writer->rewrite;
    struct tier *tier = writer->tier;
    if (!rewrite_is_running(writer) || monotonic_us() < rewrite->rests_until_us)
        return false;
    while (rewrite->space < tier->space_count && !concerns(writer, &tier->spaces[rewrite->space]))
        rewrite->space++;
    if (rewrite->space == tier->space_count) {
        end_walk(writer);
        return false;
    }
    struct space *space = &tier->spaces[rewrite->space];
    return call_is_admitted_for(writer, space) && step(writer, space);
}
