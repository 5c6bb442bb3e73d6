/* SPDX-License-Identifier: MIT */
/* See copy.h. */
#include "policies/write/copy.h"
#include "policies/tell.h"
#include "policies/write/copy_note.h"
#include "policies/write/errand.h"
#include "policies/write/internal.h"
#include "policies/write/mirror.h"
#include "policies/write/quarantine.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
    STEP_ROWS = 128,
    PAGE_BLOCK = 1 << 16,
    REST_LEAST_US = 1000,
    REST_BESIDE_US = 50000,
    WALK_AGAIN_US = 60000000, /* after one in which rows were refused */
};

/* ---- Making ---- */

bool copy_init(struct space *space) {
    const struct space_options *options = &space->options;
    if (!options->copy_to)
        return true;
    space->copy = calloc(1, sizeof *space->copy);
    if (!space->copy)
        return false;
    space->copy->target = &space->tier->backends[options->copy_to - 1];
    space->copy->table = options->copy_table;
    space->tier->copies++;
    return true;
}

void copy_free(struct space *space) {
    if (!space->copy)
        return;
    space->tier->copies--;
    free(space->copy->page.bytes);
    free(space->copy);
    space->copy = NULL;
}

void copy_list_table(struct space *space) {
    struct copy *copy = space->copy;
    struct tier_backend *target = copy->target;
    copy->table.name = space->options.table.name;
    copy->table.key_prefix = space->options.table.key_prefix;
    copy->table.index = (unsigned)target->table_count;
    target->tables[target->table_count] = &copy->table;
    target->table_count++;
}

/* ---- Stages ---- */

static const char *target_name(const struct space *space) {
    return space->copy->target->options.store.name;
}

const char *copy_stage_name(const struct copy *copy) {
    static const char *const names[] = {"counting", "clearing", "copying", "complete", "halted"};
    return names[atomic_load(&copy->stage)];
}

uint64_t copy_rate(const struct copy *copy) {
    uint64_t began_us = atomic_load(&copy->began_us), ended_us = atomic_load(&copy->ended_us);
    uint64_t took_us = (ended_us ? ended_us : monotonic_us()) - began_us;
    return began_us && took_us ? counted(&copy->rate_rows) * US_PER_SECOND / took_us : 0;
}

static void note(struct space *space) {
    if (!copy_note_write(space))
        tell_of_space(
            space, &space->refused_lines, LOG_LEVEL_WARNING,
            "namespace %s: how far its copy to backend %s is cannot be noted in %s: %s; after a restart it begins anew",
            space->options.name, target_name(space), space->tier->options.data, strerror(errno));
}

static void enter(struct space *space, enum copy_stage stage) {
    struct copy *copy = space->copy;
    copy->place = (struct backend_place){0};
    copy->page.size = copy->page.at = 0;
    copy->page.next = copy->place;
    if (stage == COPY_COUNTS) {
        atomic_store(&copy->total, 0);
        copy->doubt = false;
    }
    if (stage <= COPY_WALKS) {
        copy->refused_rows = 0;
        atomic_store(&copy->rows, 0);
        atomic_store(&copy->unreadable, 0);
    }
    atomic_store(&copy->ended_us, stage == COPY_WHOLE ? monotonic_us() : 0);
    atomic_store(&copy->stage, stage);
    note(space);
}

static void begin(struct space *space) {
    struct copy *copy = space->copy;
    copy->begun = true;
    copy->doubt = false;
    atomic_store(&copy->stage, COPY_COUNTS);
    bool known = copy_note_read(space);
    copy->page.next = copy->place;
    if (!known) { /* what was lost before is no matter */
        atomic_store(&copy->lost, false);
        atomic_store(&copy->own_lost, false);
    }
    if (!known)
        tell_of_space(space, NULL, LOG_LEVEL_NOTICE, "namespace %s: it is being copied to backend %s",
                      space->options.name, target_name(space));
    else if (atomic_load(&copy->stage) < COPY_WHOLE)
        tell_of_space(space, NULL, LOG_LEVEL_NOTICE,
                      "namespace %s: the copy to backend %s goes on, %" PRIu64 " of %" PRIu64
                      " rows are done",
                      space->options.name, target_name(space), counted(&copy->rows), counted(&copy->total));
    note(space);
}

bool copies_lead_to(const struct tier_backend *target) {
    const struct tier *tier = target->tier;
    for (size_t i = 0; tier->copies && i < tier->space_count; i++)
        if (tier->spaces[i].copy && tier->spaces[i].copy->target == target)
            return true;
    return false;
}

void copies_lose(struct tier_backend *backend) {
    struct tier *tier = backend->tier;
    for (size_t i = 0; tier->copies && i < tier->space_count; i++) {
        struct copy *copy = tier->spaces[i].copy;
        if (!copy || (copy->target != backend && tier->spaces[i].backend != backend))
            continue;
        atomic_store(copy->target == backend ? &copy->lost : &copy->own_lost, true);
        if (atomic_load(&tier->writers_run)) /* else they have yet to look */
            writer_poke(tier->spaces[i].backend->writer);
    }
}

/* Nothing is to go from the other store that may be all there is. */
static void halt(struct space *space, const char *why) {
    const char *target = target_name(space);
    tell_of_space(
        space, NULL, LOG_LEVEL_ERROR,
        "namespace %s: backend %s %s: the copy is halted, and nothing is removed from backend %s. Write backend = \"%s\" without copy_to to go on with what that has; or empty that and start once without copy_to, to copy anew",
        space->options.name, space->backend->options.store.name, why, target, target);
    enter(space, COPY_HALTED);
}

static void begin_anew(struct space *space) {
    tell_of_space(space, NULL, LOG_LEVEL_WARNING,
                  "namespace %s: backend %s has lost what it had: the copy begins anew", space->options.name,
                  target_name(space));
    enter(space, COPY_COUNTS);
}

/* Not while something is in doubt in the middle of a round: that ends first. */
static void look_at_losses(struct space *space) {
    struct copy *copy = space->copy;
    bool halted = atomic_load(&copy->stage) == COPY_HALTED;
    if (atomic_exchange(&copy->own_lost, false) && !halted)
        halt(space, "has lost what it had");
    else if (atomic_exchange(&copy->lost, false) && !halted)
        begin_anew(space);
    else if (copy->doubt && atomic_load(&copy->stage) == COPY_WHOLE)
        enter(space, COPY_COUNTS);
}

void copies_settle(struct writer *writer, bool written) {
    struct tier *tier = writer->tier;
    for (size_t i = 0; tier->copies && i < tier->space_count; i++) {
        struct copy *copy = tier->spaces[i].copy;
        if (!copy || !copy->pending || tier->spaces[i].backend != writer->backend)
            continue;
        copy->pending = false;
        copy->doubt |= !written;
    }
}

void copy_note_changes(struct space *space, size_t count, size_t refused, const char *reason) {
    struct copy *copy = space->copy;
    count_add(&copy->changes, count);
    copy->refused_rows += refused;
    count_add(&copy->refused, refused);
    if (refused == 0 || atomic_load(&copy->stage) != COPY_WHOLE)
        return;
    tell_of_space(space, &space->refused_lines, LOG_LEVEL_ERROR,
                  "namespace %s: backend %s refuses rows of it, the copy is complete no longer: %s",
                  space->options.name, target_name(space), reason);
    enter(space, COPY_WALKS);
    copy->rest_until_us = monotonic_us() + WALK_AGAIN_US;
}

/* ---- The end ---- */

static void tell_whole(struct space *space) {
    const struct copy *copy = space->copy;
    tell_of_space(
        space, NULL, LOG_LEVEL_NOTICE,
        "namespace %s: the copy is complete, %" PRIu64
        " rows are in backend %s, and so is every change from now on. Write backend = \"%s\" in place of backend and copy_to, and restart",
        space->options.name, counted(&copy->rows), target_name(space), target_name(space));
    if (counted(&copy->unreadable))
        tell_of_space(
            space, NULL, LOG_LEVEL_WARNING,
            "namespace %s: %" PRIu64
            " rows could not be read and are not in the copy; stats namespaces counts them as copy_unreadable",
            space->options.name, counted(&copy->unreadable));
}

static void end_walk(struct space *space) {
    struct copy *copy = space->copy;
    if (copy->refused_rows == 0 && copy->doubt) {
        enter(space, COPY_COUNTS);
        return;
    }
    if (copy->refused_rows == 0) {
        enter(space, COPY_WHOLE);
        tell_whole(space);
        return;
    }
    tell_of_space(
        space, NULL, LOG_LEVEL_ERROR,
        "namespace %s: backend %s refuses %zu rows of it, the copy is not complete, and walks again in a minute; make it take them, or change or delete them",
        space->options.name, target_name(space), copy->refused_rows);
    enter(space, COPY_WALKS);
    copy->rest_until_us = monotonic_us() + WALK_AGAIN_US;
}

static void end_stage(struct space *space) {
    switch ((enum copy_stage)atomic_load(&space->copy->stage)) {
    case COPY_COUNTS:
        enter(space, COPY_CLEARS);
        break;
    case COPY_CLEARS:
        enter(space, COPY_WALKS);
        break;
    case COPY_WALKS:
        end_walk(space);
        break;
    case COPY_WHOLE:
    case COPY_HALTED:
        break;
    }
}

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

static enum backend_status fail_other(struct writer *writer, struct space *space,
                                      const struct errand *errand) {
    mirror_explain(writer, space, errand);
    return call_fail_copied(writer, space);
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

/* Deletes of rows in the other store that this one does not have; by their own versions, so that a change that memory has yet
 * to write is newer. */
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
                                      size_t count_keys) {
    struct load_result own[STEP_ROWS] = {0};
    struct mutation deletes[STEP_ROWS];
    struct looking looking = {.errand = {.run = look_up},
                              .table = &space->copy->table,
                              .keys = keys,
                              .count = count_keys,
                              .now = tier_now(space->tier).seconds};
    size_t refused;
    enum backend_status status = call_load(writer, space, keys, count_keys, own);
    if (status != BACKEND_OK) /* a row that cannot be read is there */
        return status == BACKEND_PERMANENT ? BACKEND_OK : status;
    if (!ask_other(space->copy, &looking.errand))
        return fail_other(writer, space, &looking.errand);
    size_t left = find_left(writer, space, &looking, own, deletes);
    if (left > 0 && counted(&space->copy->total) == 0) {
        halt(space, "has no rows of it, and the other one has");
        return BACKEND_OK;
    }
    if (left > 0 && !mirror_send(writer, space, deletes, left, &refused))
        return call_fail_copied(writer, space);
    count_add(&space->copy->removed, left);
    return BACKEND_OK;
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

/* Rows that the other store has a newer version of, though nothing of them is yet to be written: see the head of copy.h. */
static enum backend_status overrule(struct writer *writer, struct space *space,
                                    const struct mutation *mutations, size_t count_rows) {
    struct mutation raised[STEP_ROWS];
    struct bytes bytes = {0};
    size_t ahead = 0;
    bool good = true;
    for (size_t i = 0; i < count_rows && good; i++)
        if (mutations[i].superseded && is_settled(writer, space, mutations[i].entry.key))
            good = raise_row(space, &mutations[i], &bytes, &raised[ahead++]);
    if (!good)
        call_put_off(space);
    enum backend_status status = !good   ? BACKEND_TABLE_FAILED
                                 : ahead ? call_apply(writer, space, raised, ahead)
                                         : BACKEND_OK;
    bytes_free(&bytes);
    return status;
}

static enum backend_status send_rows(struct writer *writer, struct space *space, struct mutation *mutations,
                                     size_t found) {
    struct copy *copy = space->copy;
    size_t refused;
    if (!mirror_send(writer, space, mutations, found, &refused))
        return call_fail_copied(writer, space);
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
    enum backend_status status = call_load(writer, space, keys, count_keys, results);
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
                                   size_t count_keys) {
    enum backend_status status = BACKEND_OK;
    switch ((enum copy_stage)atomic_load(&space->copy->stage)) {
    case COPY_CLEARS:
        return clear_some(writer, space, keys, count_keys);
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

/* The page that is behind may be gone through again after a restart, which does no harm. */
static void turn_page(struct space *space) {
    struct copy *copy = space->copy;
    if (copy->page.next.end) {
        end_stage(space);
        return;
    }
    copy->place = copy->page.next;
    note(space);
}

static enum backend_status step(struct writer *writer, struct space *space) {
    struct copy_page *page = &space->copy->page;
    struct slice keys[STEP_ROWS];
    size_t at;
    enum backend_status status = BACKEND_OK;
    if (page->at == page->size) {
        status = read_page(writer, space);
        if (status != BACKEND_OK)
            return status;
    }
    at = page->at;
    size_t count_keys = next_keys(page, &at, keys);
    if (count_keys > 0)
        status = work_on(writer, space, keys, count_keys);
    if (status != BACKEND_OK)
        return status;
    if (atomic_load(&space->copy->stage) == COPY_HALTED)
        return BACKEND_OK;
    page->at = at;
    if (page->at == page->size)
        turn_page(space);
    return BACKEND_OK;
}

/* When the next step is due. */
static uint64_t run(struct writer *writer, struct space *space) {
    struct copy *copy = space->copy;
    uint64_t began_us = monotonic_us();
    if (!copy->begun)
        begin(space);
    look_at_losses(space);
    if (atomic_load(&copy->stage) >= COPY_WHOLE)
        return UINT64_MAX;
    if (began_us < copy->rest_until_us)
        return copy->rest_until_us;
    if (writer->group.count > 0 ||
        rewrite_is_running(writer)) /* what is yet to be written is not known by its key */
        return began_us + REST_BESIDE_US;
    if (!call_is_admitted_for(writer, space)) {
        uint64_t own_us = breaker_retry_at(&space->write_breaker);
        uint64_t backend_us = breaker_retry_at(&writer->breaker);
        return own_us > backend_us ? own_us : backend_us;
    }
    copy->answered = false;
    if (step(writer, space) == BACKEND_OK && copy->answered)
        call_succeeded_for(writer, space);
    uint64_t ended_us = monotonic_us(), took_us = ended_us - began_us;
    uint64_t rest_until_us = ended_us + (took_us > REST_LEAST_US ? took_us : REST_LEAST_US);
    if (copy->rest_until_us < rest_until_us)
        copy->rest_until_us = rest_until_us;
    return copy->rest_until_us;
}

uint64_t copies_run(struct writer *writer) {
    struct tier *tier = writer->tier;
    uint64_t due_us = UINT64_MAX;
    if (!tier->copies)
        return due_us;
    for (size_t i = 0; i < tier->space_count; i++) {
        struct space *space = &tier->spaces[i];
        if (!space->copy || space->backend != writer->backend || space_is_retired(space))
            continue;
        uint64_t next_us = run(writer, space);
        due_us = next_us < due_us ? next_us : due_us;
    }
    return due_us;
}

void copies_end(struct writer *writer) {
    struct tier *tier = writer->tier;
    for (size_t i = 0; tier->copies && i < tier->space_count; i++) {
        struct space *space = &tier->spaces[i];
        if (!space->copy || space->backend != writer->backend || !space->copy->begun)
            continue;
        space->copy->ended = true;
        note(space);
    }
}
