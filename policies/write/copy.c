/* SPDX-License-Identifier: MIT */
/* See copy.h. */
#include "policies/write/copy.h"
#include "backends/mutations.h"
#include "cache/base/count_text.h"
#include "cache/base/file_reason.h"
#include "policies/tell.h"
#include "policies/write/copy_note.h"
#include "policies/write/copy_step.h"
#include "policies/write/internal.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
    REST_LEAST_US = 1000,
    REST_BESIDE_US = 50000,
    REST_FAILED_US = 200000,
    WALK_AGAIN_US = 60000000,  /* after one in which rows were refused */
    COMPANY_AGAIN_US = 1000000 /* between looks whether other servers are gone */
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
            space->options.name, target_name(space), space->tier->options.data, file_reason(errno).text);
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
                      "namespace %s: the copy to backend %s goes on, %" PRIu64 " of %s done",
                      space->options.name, target_name(space), counted(&copy->rows),
                      count_text(counted(&copy->total), "row is", "rows are").text);
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

/* What is repeated meets itself, or what follows on it in the batch, as it does in the other store. */
static bool some_gave_way(const struct space *space, const struct mutation *mutations, size_t count_all) {
    for (size_t i = 0; i < count_all; i++) {
        const struct mutation *mutation = &mutations[i];
        if (mutation->table == &space->options.table && mutation->superseded &&
            mutation->superseded_by != mutation->entry.version &&
            !mutations_have_version(mutations, count_all, mutation->superseded_by))
            return true;
    }
    return false;
}

void copies_settle(struct writer *writer, const struct mutation *mutations, size_t count_all, bool written) {
    struct tier *tier = writer->tier;
    for (size_t i = 0; tier->copies && i < tier->space_count; i++) {
        struct copy *copy = tier->spaces[i].copy;
        if (!copy || !copy->pending || tier->spaces[i].backend != writer->backend)
            continue;
        copy->pending = false;
        copy->doubt |= !written || some_gave_way(&tier->spaces[i], mutations, count_all);
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
        "namespace %s: the copy is complete, %s in backend %s, and so is every change from now on. Write backend = \"%s\" in place of backend and copy_to, and restart",
        space->options.name, count_text(counted(&copy->rows), "row is", "rows are").text, target_name(space),
        target_name(space));
    if (counted(&copy->unreadable))
        tell_of_space(
            space, NULL, LOG_LEVEL_WARNING,
            "namespace %s: %s could not be read, and will be missing from the copy; stats namespaces counts that as copy_unreadable",
            space->options.name, count_text(counted(&copy->unreadable), "row", "rows").text);
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
        "namespace %s: backend %s refuses %s of it, the copy is not complete, and walks again in a minute; make it take them, or change or delete them",
        space->options.name, target_name(space), count_text(copy->refused_rows, "row", "rows").text);
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

/* ---- Other servers ---- */

static unsigned others_over(const struct tier_backend *backend) {
    return atomic_load_explicit(&backend->others, memory_order_relaxed);
}

bool copy_has_company(const struct space *space) {
    return others_over(space->backend) + others_over(space->copy->target) > 0;
}

/* What they do meanwhile is not known, so whatever was done counts for nothing. True: there are some. */
static bool waits_for_others(struct space *space) {
    struct copy *copy = space->copy;
    bool waited = copy->waits;
    copy->waits = copy_has_company(space);
    if (!copy->waits || waited)
        return copy->waits;
    unsigned others = others_over(space->backend);
    if (others > 0)
        tell_of_space(
            space, NULL, LOG_LEVEL_ERROR,
            "namespace %s: the copy to backend %s waits, as %u more have backend %s open, and what they change would not be copied: stop them until this server is over the other backend",
            space->options.name, target_name(space), others, space->backend->options.store.name);
    else
        tell_of_space(
            space, NULL, LOG_LEVEL_ERROR,
            "namespace %s: the copy to backend %s waits, as %u more have that open, and what they bring there would be taken for remains of an earlier copy: copy to a database that nobody else uses",
            space->options.name, target_name(space), others_over(copy->target));
    enter(space, COPY_COUNTS);
    return true;
}

/* ---- Steps ---- */

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

static void step(struct writer *writer, struct space *space) {
    struct copy_stepped stepped;
    if (copy_step(writer, space, &stepped) != BACKEND_OK) {
        space->copy->rest_until_us =
            monotonic_us() + REST_FAILED_US; /* no breaker waits for a part of a store */
        return;
    }
    if (stepped.in_vain)
        halt(space, "has no rows of it, and the other one has");
    else if (stepped.page_done)
        turn_page(space);
    if (space->copy->answered)
        call_succeeded_for(writer, space);
}

/* When the next step is due. */
static uint64_t run(struct writer *writer, struct space *space) {
    struct copy *copy = space->copy;
    uint64_t began_us = monotonic_us();
    if (!copy->begun)
        begin(space);
    look_at_losses(space);
    if (atomic_load(&copy->stage) == COPY_HALTED)
        return UINT64_MAX;
    if (waits_for_others(space) || atomic_load(&copy->stage) == COPY_WHOLE)
        return began_us + COMPANY_AGAIN_US;
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
    step(writer, space);
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
