/* SPDX-License-Identifier: MIT */
/* See mirror.h. */
#include "policies/write/mirror.h"
#include "policies/write/copy.h"
#include "policies/write/errand.h"
#include "policies/write/internal.h"
#include <stdlib.h>

/* ---- On the other writer's thread ---- */

struct sending {
    struct errand errand;
    struct mutation *mutations;
    size_t count, refused;
};

/* A row that is refused for good is passed over. False: not now. */
static bool write_some(struct writer *doer, struct sending *sending, size_t from, size_t to) {
    if (from == to)
        return true;
    struct mutation *mutations = sending->mutations + from;
    enum backend_status status = call_apply_copied(doer, mutations, to - from);
    if (status == BACKEND_OK)
        return true;
    if (status != BACKEND_PERMANENT)
        return false;
    size_t refused = to - from == 1 ? 1 : call_part_refused(mutations, NULL, to - from);
    size_t middle = from + (to - from) / 2;
    sending->refused += refused;
    if (refused > 0)
        sending->errand.error = doer->session.error;
    if (refused > 0)
        return write_some(doer, sending, from + refused, to);
    return write_some(doer, sending, from, middle) && write_some(doer, sending, middle, to);
}

static bool send(struct writer *doer, struct errand *self) {
    struct sending *sending = (struct sending *)(void *)self;
    return call_is_admitted(doer) && write_some(doer, sending, 0, sending->count);
}

/* ---- On that of the namespace ---- */

void mirror_explain(struct writer *writer, const struct space *space, const struct errand *errand) {
    snprintf(writer->session.error.message, sizeof writer->session.error.message,
             "namespace \"%s\" is being copied (copy_to): %.250s", space->options.name,
             errand->error.message);
}

bool mirror_send(struct writer *writer, struct space *space, struct mutation *mutations, size_t count,
                 size_t *ret_refused) {
    struct sending sending = {
        .errand = {.run = send, .until_us = writer->call_until_us}, .mutations = mutations, .count = count};
    enum progress_state before = progress_begin_call(&writer->progress);
    bool done = errand_do(space->copy->target->writer, &sending.errand);
    progress_end_call(&writer->progress, before);
    if (!done || sending.refused > 0)
        mirror_explain(writer, space, &sending.errand);
    space->copy->answered |= done;
    *ret_refused = sending.refused;
    return done;
}

static size_t count_own(const struct space *space, const struct mutation *mutations, size_t count) {
    size_t own = 0;
    for (size_t i = 0; i < count; i++)
        own += mutations[i].table == &space->options.table;
    return own;
}

static void translate(const struct space *space, const struct mutation *mutations, size_t count,
                      struct mutation *ret_translated) {
    for (size_t i = 0; i < count; i++) {
        if (mutations[i].table != &space->options.table)
            continue;
        *ret_translated = mutations[i];
        ret_translated->table = &space->copy->table;
        ret_translated->on = MUTATION_ON_ANY;
        ret_translated->attempts = 0;
        if (ret_translated->kind == MUTATION_TOUCH)
            ret_translated->kind = MUTATION_PUT;
        ret_translated++;
    }
}

static bool mirror_space(struct writer *writer, struct space *space, const struct mutation *mutations,
                         size_t count) {
    size_t own = count_own(space, mutations, count), refused;
    struct mutation *translated = own ? malloc(own * sizeof *translated) : NULL;
    if (own == 0)
        return true;
    if (!translated) {
        snprintf(writer->session.error.message, sizeof writer->session.error.message,
                 "namespace \"%s\" is being copied (copy_to): no memory", space->options.name);
        return false;
    }
    translate(space, mutations, count, translated);
    space->copy->pending = true;
    bool done = mirror_send(writer, space, translated, own, &refused);
    if (done)
        copy_note_changes(space, own, refused, writer->session.error.message);
    free(translated);
    return done;
}

bool mirror_apply(struct writer *writer, const struct mutation *mutations, size_t count) {
    struct tier *tier = writer->tier;
    bool done = true;
    if (!tier->copies)
        return true;
    for (size_t i = 0; i < tier->space_count && done; i++)
        if (tier->spaces[i].copy && tier->spaces[i].backend == writer->backend)
            done = mirror_space(writer, &tier->spaces[i], mutations, count);
    return done;
}
