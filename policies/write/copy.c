/* SPDX-License-Identifier: MIT */
/* See copy.h. */
#include "policies/write/copy.h"
#include "policies/tell.h"
#include "policies/write/copy_note.h"
#include "policies/write/errand.h"
#include "policies/write/internal.h"
#include "policies/write/mirror.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
    STEP_ROWS = 128,
    PAGE_BLOCK = 1 << 16,
    REST_LEAST_US = 1000,
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
    static const char *const names[] = {"clearing", "counting", "copying", "complete"};
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
    if (stage == COPY_WALKS) {
        copy->refused_rows = 0;
        atomic_store(&copy->rows, 0);
        atomic_store(&copy->unreadable, 0);
    }
    if (stage == COPY_COUNTS)
        atomic_store(&copy->total, 0);
    atomic_store(&copy->ended_us, stage == COPY_WHOLE ? monotonic_us() : 0);
    atomic_store(&copy->stage, stage);
    note(space);
}

static void begin(struct space *space) {
    struct copy *copy = space->copy;
    copy->begun = true;
    atomic_store(&copy->stage, COPY_CLEARS);
    bool known = copy_note_read(space);
    copy->page.next = copy->place;
    if (!known)
        tell_of_space(space, NULL, LOG_LEVEL_NOTICE, "namespace %s: it is being copied to backend %s",
                      space->options.name, target_name(space));
    else if (atomic_load(&copy->stage) != COPY_WHOLE)
        tell_of_space(space, NULL, LOG_LEVEL_NOTICE,
                      "namespace %s: the copy to backend %s goes on, %" PRIu64 " of %" PRIu64
                      " rows are done",
                      space->options.name, target_name(space), counted(&copy->rows), counted(&copy->total));
}

void copies_lose(struct tier_backend *target) {
    struct tier *tier = target->tier;
    for (size_t i = 0; i < tier->space_count; i++)
        if (tier->spaces[i].copy && tier->spaces[i].copy->target == target) {
            atomic_store(&tier->spaces[i].copy->lost, true);
            if (atomic_load(&tier->writers_run)) /* else they have yet to look */
                writer_poke(tier->spaces[i].backend->writer);
        }
}

static void begin_anew(struct space *space) {
    tell_of_space(space, NULL, LOG_LEVEL_WARNING,
                  "namespace %s: backend %s has lost what it had: the copy begins anew", space->options.name,
                  target_name(space));
    enter(space, COPY_CLEARS);
}

void copy_note_changes(struct space *space, size_t count, size_t refused) {
    struct copy *copy = space->copy;
    count_add(&copy->changes, count);
    copy->refused_rows += refused;
    count_add(&copy->refused, refused);
    if (refused == 0 || atomic_load(&copy->stage) != COPY_WHOLE)
        return;
    tell_of_space(space, &space->refused_lines, LOG_LEVEL_ERROR,
                  "namespace %s: backend %s refuses rows of it, the copy is complete no longer: %s",
                  space->options.name, target_name(space),
                  space->copy->target->writer->session.error.message);
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
        tell_of_space(space, NULL, LOG_LEVEL_WARNING,
                      "namespace %s: %" PRIu64
                      " rows could not be read and are not in the copy; stats namespaces counts them as "
                      "copy_unreadable",
                      space->options.name, counted(&copy->unreadable));
}

static void end_walk(struct space *space) {
    struct copy *copy = space->copy;
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
    case COPY_CLEARS:
        enter(space, COPY_COUNTS);
        break;
    case COPY_COUNTS:
        enter(space, COPY_WALKS);
        break;
    case COPY_WALKS:
        end_walk(space);
        break;
    case COPY_WHOLE:
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
    snprintf(writer->session.error.message, sizeof writer->session.error.message,
             "namespace \"%s\" is being copied (copy_to): %.250s", space->options.name,
             errand->error.message);
    return call_fail_copied(writer, space);
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
    else if (!errand_do(copy->target->writer, &paging.errand))
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
static size_t find_left(const struct space *space, const struct looking *looking,
                        const struct load_result *own, struct mutation *ret_deletes) {
    size_t left = 0;
    for (size_t i = 0; i < looking->count; i++)
        if (looking->results[i].found && !own[i].found)
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
    if (!errand_do(space->copy->target->writer, &looking.errand))
        return fail_other(writer, space, &looking.errand);
    size_t left = find_left(space, &looking, own, deletes);
    if (left > 0 && !mirror_send(writer, space, deletes, left, &refused))
        return call_fail_copied(writer, space);
    count_add(&space->copy->removed, left);
    return BACKEND_OK;
}

/* ---- Walking ---- */

static enum backend_status copy_some(struct writer *writer, struct space *space, const struct slice *keys,
                                     size_t count_keys) {
    struct copy *copy = space->copy;
    struct load_result results[STEP_ROWS] = {0};
    struct mutation mutations[STEP_ROWS];
    size_t found = 0, refused = 0;
    enum backend_status status = call_load(writer, space, keys, count_keys, results);
    if (status != BACKEND_OK)
        return status;
    for (size_t i = 0; i < count_keys; i++)
        if (results[i].found) {
            mutations[found] =
                (struct mutation){.table = &copy->table, .kind = MUTATION_PUT, .entry = results[i].entry};
            mutations[found++].entry.key = keys[i];
        }
    if (found > 0 && !mirror_send(writer, space, mutations, found, &refused))
        return call_fail_copied(writer, space);
    copy->refused_rows += refused;
    count_add(&copy->refused, refused);
    count_add(&copy->rows, found - refused);
    count_add(&copy->rate_rows, found - refused);
    return BACKEND_OK;
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
    if (atomic_exchange(&copy->lost, false))
        begin_anew(space);
    if (atomic_load(&copy->stage) == COPY_WHOLE)
        return UINT64_MAX;
    if (began_us < copy->rest_until_us)
        return copy->rest_until_us;
    if (!call_is_admitted_for(writer, space)) {
        uint64_t own_us = breaker_retry_at(&space->write_breaker);
        uint64_t backend_us = breaker_retry_at(&writer->breaker);
        return own_us > backend_us ? own_us : backend_us;
    }
    if (step(writer, space) == BACKEND_OK)
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
