/* SPDX-License-Identifier: MIT */
/* See copy_step.h. */
#include "policies/write/copy_step.h"
#include "policies/write/errand.h"
#include "policies/write/internal.h"
#include "policies/write/mirror.h"
#include "policies/write/quarantine.h"
#include <stdlib.h>

enum { STEP_ROWS = 128, PAGE_BLOCK = 1 << 16 };

/* ---- Pages of keys ---- */

struct page_visitor {
    struct backend_visitor visitor;
    struct copy_page *page;
    struct slice prefix;
};

/* Keys that no client of the namespace can ask for are nobody's. */
static bool take_key(struct backend_visitor *self, const struct entry *entry) {
    struct page_visitor *taking = (struct page_visitor *)(void *)self;
    struct copy_page *page = taking->page;
    struct slice key = entry->key;
    if (key.size == 0 || key.size > ENTRY_KEY_MAX || !slice_starts_with(key, taking->prefix))
        return true;
    if (page->size + 1 + key.size > page->capacity) {
        char *bytes = realloc(page->bytes, page->capacity + PAGE_BLOCK);
        page->no_memory = bytes == NULL;
        if (!bytes)
            return false;
        page->bytes = bytes;
        page->capacity += PAGE_BLOCK;
    }
    page->bytes[page->size] = (char)key.size;
    memcpy(page->bytes + page->size + 1, key.data, key.size);
    page->size += 1 + key.size;
    return true;
}

struct paging {
    struct errand errand;
    const struct backend_table *table;
    struct page_visitor taking;
};

static bool read_other_page(struct writer *doer, struct errand *self) {
    struct paging *paging = (struct paging *)(void *)self;
    return call_is_admitted(doer) &&
           call_scan(doer, NULL, paging->table, &paging->taking.visitor) == BACKEND_OK;
}

/* A part of the other store that is away is waited for, and nobody else has to. */
static enum backend_status fail_step(struct writer *writer, struct space *space, bool partial) {
    return partial ? BACKEND_TRANSIENT : call_fail_copied(writer, space);
}

static enum backend_status fail_other(struct writer *writer, struct space *space,
                                      const struct errand *errand) {
    mirror_explain(writer, space, errand);
    return fail_step(writer, space, errand->partial);
}

/* The whole step is made again where it is done in part. */
static enum backend_status send_other(struct writer *writer, struct space *space, struct mutation *mutations,
                                      size_t count, size_t *ret_refused) {
    enum mirrored mirrored = mirror_send(writer, space, mutations, NULL, count, ret_refused);
    return mirrored == MIRRORED ? BACKEND_OK : fail_step(writer, space, mirrored == MIRRORED_IN_PART);
}

/* The other store's writer does it. */
static bool ask_other(struct copy *copy, struct errand *errand) {
    bool done = errand_do(copy->target->writer, errand);
    copy->answered |= done;
    return done;
}

/* The next page, of this store or the other one. */
static enum backend_status read_page(struct writer *writer, struct space *space) {
    struct copy *copy = space->copy;
    bool other = atomic_load(&copy->stage) == COPY_CLEARS;
    struct paging paging = {.errand = {.run = read_other_page},
                            .table = other ? &copy->table : &space->options.table,
                            .taking = {.visitor = {take_key, .keys_only = true, .all_keys = true},
                                       .page = &copy->page,
                                       .prefix = slice_string(space->options.prefix)}};
    copy->place = copy->page.next;
    copy->page.size = copy->page.at = 0;
    copy->page.no_memory = false;
    paging.taking.visitor.place = &copy->page.next;
    enum backend_status status = BACKEND_OK;
    if (!other)
        status = call_scan(writer, space, paging.table, &paging.taking.visitor);
    else if (!ask_other(copy, &paging.errand))
        status = fail_other(writer, space, &paging.errand);
    if (status != BACKEND_OK || copy->page.no_memory)
        copy->page.size = 0; /* the page is read again */
    if (status == BACKEND_OK && copy->page.no_memory)
        call_put_off(space);
    return copy->page.no_memory ? BACKEND_TABLE_FAILED : status;
}

/* Up to STEP_ROWS keys from *at on. */
static size_t next_keys(const struct copy_page *page, size_t *at, struct slice keys[STEP_ROWS]) {
    size_t count_keys = 0;
    while (*at < page->size && count_keys < STEP_ROWS) {
        keys[count_keys] = slice_of(page->bytes + *at + 1, (unsigned char)page->bytes[*at]);
        *at += 1 + keys[count_keys++].size;
    }
    return count_keys;
}

/* Rows of its own store. A part of it that is away is waited for, and nobody else has to. */
static enum backend_status load_own(struct writer *writer, struct space *space, const struct slice *keys,
                                    size_t count_keys, struct load_result *results) {
    bool partial;
    return call_load_parts(writer, space, keys, count_keys, results, &partial);
}

/* Whether nothing of the key is yet to be written: what the other store has of it will not be written once more. */
static bool is_settled(struct writer *writer, const struct space *space, struct slice key) {
    struct cache *cache = writer->tier->cache;
    struct cache_time now = tier_now(space->tier);
    struct cache_cursor cursor;
    uint64_t hash = cache_hash(cache, key);
    cache_seek(cache, space->number, key, hash, &now, &cursor);
    bool clean = cursor.presence == CACHE_UNKNOWN || cursor.view.state == CACHE_CLEAN;
    cache_release(&cursor);
    return clean && touches_made_at(writer, space, key, hash) == 0 &&
           (quarantine_count(space->quarantine) == 0 || !quarantine_has(space->quarantine, key));
}

/* ---- Clearing ---- */

struct looking {
    struct errand errand;
    const struct backend_table *table;
    const struct slice *keys;
    size_t count;
    uint32_t now;
    struct load_result results[STEP_ROWS]; /* of which the bytes are gone when they are looked at */
};

static bool look_up(struct writer *doer, struct errand *self) {
    struct looking *looking = (struct looking *)(void *)self;
    return call_is_admitted(doer) && call_load_table(doer, looking->table, looking->keys, looking->count,
                                                     looking->now, looking->results) == BACKEND_OK;
}

/* Deletes of rows in the other store that this one does not have; by their own versions, so that a change that memory
 * has yet to write is newer. */
static size_t find_left(struct writer *writer, const struct space *space, const struct looking *looking,
                        const struct load_result *own, struct mutation *ret_deletes) {
    size_t left = 0;
    for (size_t i = 0; i < looking->count; i++)
        if (looking->results[i].found && !own[i].found && is_settled(writer, space, looking->keys[i]))
            ret_deletes[left++] = (struct mutation){
                .table = &space->copy->table,
                .kind = MUTATION_DELETE,
                .entry = {.key = looking->keys[i], .version = looking->results[i].entry.version}};
    return left;
}

static enum backend_status clear_some(struct writer *writer, struct space *space, const struct slice *keys,
                                      size_t count_keys, bool *ret_in_vain) {
    struct load_result own[STEP_ROWS] = {0};
    struct mutation deletes[STEP_ROWS];
    struct looking looking = {.errand = {.run = look_up},
                              .table = &space->copy->table,
                              .keys = keys,
                              .count = count_keys,
                              .now = tier_now(space->tier).seconds};
    size_t refused;
    enum backend_status status = load_own(writer, space, keys, count_keys, own);
    if (status != BACKEND_OK) /* a row that cannot be read is there */
        return status == BACKEND_PERMANENT ? BACKEND_OK : status;
    if (!ask_other(space->copy, &looking.errand))
        return fail_other(writer, space, &looking.errand);
    if (copy_has_company(space)) /* the other store was reached by this step, maybe, and then told */
        return BACKEND_TABLE_FAILED;
    size_t left = find_left(writer, space, &looking, own, deletes);
    *ret_in_vain = left > 0 && counted(&space->copy->total) == 0;
    if (*ret_in_vain)
        return BACKEND_OK;
    if (left > 0)
        status = send_other(writer, space, deletes, left, &refused);
    if (status == BACKEND_OK)
        count_add(&space->copy->removed, left);
    return status;
}

/* ---- Walking ---- */

/* A row of this store, with a version above that of the other one. False: no memory. */
static bool raise_row(const struct space *space, const struct mutation *met, struct bytes *bytes,
                      struct mutation *ret_raised) {
    const struct entry *entry = &met->entry;
    *ret_raised = *met;
    ret_raised->table = &space->options.table;
    ret_raised->entry.value =
        bytes_copy(bytes, entry->value); /* what was loaded is gone with the next call */
    ret_raised->entry.client_cas = entry->client_cas ? entry->client_cas : entry->version;
    ret_raised->entry.version = met->superseded_by + 1;
    return ret_raised->entry.value.data || entry->value.size == 0;
}

/* Rows that the other store has a newer version of, though nothing of them is yet to be written: see the head of
 * copy.h. */
static enum backend_status overrule(struct writer *writer, struct space *space,
                                    const struct mutation *mutations, size_t count_rows) {
    struct mutation raised[STEP_ROWS];
    struct bytes bytes = {0};
    size_t ahead = 0;
    bool good = true, partial;
    for (size_t i = 0; i < count_rows && good; i++)
        if (mutations[i].superseded && is_settled(writer, space, mutations[i].entry.key))
            good = raise_row(space, &mutations[i], &bytes, &raised[ahead++]);
    if (!good)
        call_put_off(space);
    enum backend_status status = !good   ? BACKEND_TABLE_FAILED
                                 : ahead ? call_apply_parts(writer, space, raised, ahead, &partial)
                                         : BACKEND_OK;
    bytes_free(&bytes);
    return status;
}

static enum backend_status send_rows(struct writer *writer, struct space *space, struct mutation *mutations,
                                     size_t found) {
    struct copy *copy = space->copy;
    size_t refused;
    enum backend_status status = send_other(writer, space, mutations, found, &refused);
    if (status != BACKEND_OK)
        return status;
    copy->refused_rows += refused;
    count_add(&copy->refused, refused);
    count_add(&copy->rows, found - refused);
    count_add(&copy->rate_rows, found - refused);
    return overrule(writer, space, mutations, found);
}

static enum backend_status copy_some(struct writer *writer, struct space *space, const struct slice *keys,
                                     size_t count_keys) {
    struct load_result results[STEP_ROWS] = {0};
    struct mutation mutations[STEP_ROWS];
    size_t found = 0;
    enum backend_status status = load_own(writer, space, keys, count_keys, results);
    if (status != BACKEND_OK)
        return status;
    for (size_t i = 0; i < count_keys; i++)
        if (results[i].found) {
            mutations[found] = (struct mutation){
                .table = &space->copy->table, .kind = MUTATION_PUT, .entry = results[i].entry};
            mutations[found++].entry.key = keys[i];
        }
    return found > 0 ? send_rows(writer, space, mutations, found) : BACKEND_OK;
}

/* A row that cannot be read is left out. */
static enum backend_status copy_one_by_one(struct writer *writer, struct space *space,
                                           const struct slice *keys, size_t count_keys) {
    enum backend_status status = BACKEND_OK;
    for (size_t i = 0; i < count_keys && status == BACKEND_OK; i++) {
        status = copy_some(writer, space, &keys[i], 1);
        if (status != BACKEND_PERMANENT)
            continue;
        space_note_unreadable(space, keys[i], writer->session.error.message);
        count(&space->copy->unreadable);
        status = BACKEND_OK;
    }
    return status;
}

/* ---- Steps ---- */

static enum backend_status work_on(struct writer *writer, struct space *space, const struct slice *keys,
                                   size_t count_keys, bool *ret_in_vain) {
    enum backend_status status = BACKEND_OK;
    switch ((enum copy_stage)atomic_load(&space->copy->stage)) {
    case COPY_CLEARS:
        return clear_some(writer, space, keys, count_keys, ret_in_vain);
    case COPY_COUNTS:
        count_add(&space->copy->total, count_keys);
        break;
    case COPY_WALKS:
        if (!atomic_load(&space->copy->began_us))
            atomic_store(&space->copy->began_us, monotonic_us());
        status = copy_some(writer, space, keys, count_keys);
        if (status == BACKEND_PERMANENT)
            status = copy_one_by_one(writer, space, keys, count_keys);
        break;
    case COPY_WHOLE:
    case COPY_HALTED:
        break;
    }
    return status;
}

enum backend_status copy_step(struct writer *writer, struct space *space, struct copy_stepped *ret_stepped) {
    struct copy_page *page = &space->copy->page;
    struct slice keys[STEP_ROWS];
    size_t at;
    enum backend_status status = BACKEND_OK;
    *ret_stepped = (struct copy_stepped){0};
    if (page->at == page->size) {
        status = read_page(writer, space);
        if (status != BACKEND_OK)
            return status;
    }
    at = page->at;
    size_t count_keys = next_keys(page, &at, keys);
    if (count_keys > 0)
        status = work_on(writer, space, keys, count_keys, &ret_stepped->in_vain);
    if (status != BACKEND_OK || ret_stepped->in_vain)
        return status;
    page->at = at;
    ret_stepped->page_done = page->at == page->size;
    return BACKEND_OK;
}
