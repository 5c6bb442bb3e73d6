/* SPDX-License-Identifier: MIT */
/* See mirror.h. */
#include "policies/write/mirror.h"
#include "cache/base/fit.h"
#include "policies/write/copy.h"
#include "policies/write/errand.h"
#include "policies/write/internal.h"
#include <stdlib.h>

/* ---- On the other writer's thread ---- */

struct sending {
    struct errand errand;
    struct mutation *mutations;
    uint64_t *numbers;
    size_t count, refused;
    struct backend_error refusal; /* of the last of these; the errand's may be another one's */
    bool partial;                 /* some wait for a part of the store */
};

static void mark_done(struct mutation *mutations, size_t count) {
    for (size_t i = 0; i < count; i++)
        mutations[i].done = true;
}

/* A row that is refused for good is passed over. False: not now. */
static bool write_some(struct writer *doer, struct sending *sending, size_t from, size_t to) {
    if (from == to)
        return true;
    struct mutation *mutations = sending->mutations + from;
    enum backend_status status = call_apply_copied(doer, mutations, to - from);
    if (status == BACKEND_OK)
        mark_done(mutations, to - from);
    sending->partial |= doer->lacked_part;
    if (status == BACKEND_OK || doer->lacked_part)
        return true;
    if (status != BACKEND_PERMANENT)
        return false;
    uint64_t *numbers = sending->numbers ? sending->numbers + from : NULL;
    size_t refused = to - from == 1 ? 1 : call_part_refused(mutations, numbers, to - from);
    size_t middle = from + (to - from) / 2;
    sending->refused += refused;
    mark_done(mutations, refused);
    if (refused > 0)
        sending->refusal = doer->session.error;
    if (refused > 0)
        return write_some(doer, sending, from + refused, to);
    return write_some(doer, sending, from, middle) && write_some(doer, sending, middle, to);
}

/* Not done is also what is done in part. */
static bool send(struct writer *doer, struct errand *self) {
    struct sending *sending = (struct sending *)(void *)self;
    bool all = call_is_admitted(doer) && write_some(doer, sending, 0, sending->count);
    doer->lacked_part = all && sending->partial;
    return all && !sending->partial;
}

/* ---- On that of the namespace ---- */

static void explain(struct writer *writer, const struct space *space, const struct backend_error *error) {
    fit_print(writer->session.error.message, sizeof writer->session.error.message,
              "namespace \"%s\" is being copied (copy_to): %s", space->options.name, error->message);
}

void mirror_explain(struct writer *writer, const struct space *space, const struct errand *errand) {
    explain(writer, space, &errand->error);
}

enum mirrored mirror_send(struct writer *writer, struct space *space, struct mutation *mutations,
                          uint64_t *numbers, size_t count, size_t *ret_refused) {
    struct sending sending = {.errand = {.run = send, .until_us = writer->call_until_us},
                              .mutations = mutations,
                              .numbers = numbers,
                              .count = count};
    enum progress_state before = progress_begin_call(&writer->progress);
    bool done = errand_do(space->copy->target->writer, &sending.errand);
    progress_end_call(&writer->progress, before);
    enum mirrored mirrored = done ? MIRRORED : sending.errand.partial ? MIRRORED_IN_PART : NOT_MIRRORED;
    if (mirrored != NOT_MIRRORED && sending.refused > 0)
        explain(writer, space, &sending.refusal);
    else if (!done)
        mirror_explain(writer, space, &sending.errand);
    space->copy->answered |= done;
    *ret_refused = sending.refused;
    return mirrored;
}

static size_t count_own(const struct space *space, const struct mutation *mutations, size_t count) {
    size_t own = 0;
    for (size_t i = 0; i < count; i++)
        own += mutations[i].table == &space->options.table;
    return own;
}

static void translate(const struct space *space, const struct mutation *mutations, size_t count,
                      struct mutation *ret_translated, uint64_t *ret_numbers) {
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
        *ret_numbers++ = i;
    }
}

/* Notes which of the namespace's the other store has; returns how many. */
static size_t note_done(struct mutation *mutations, const struct mutation *translated,
                        const uint64_t *numbers, size_t count) {
    size_t done = 0;
    for (size_t i = 0; i < count; i++) {
        mutations[numbers[i]].done = translated[i].done;
        done += translated[i].done;
    }
    return done;
}

static enum mirrored mirror_own(struct writer *writer, struct space *space, struct mutation *mutations,
                                size_t count, struct mutation *translated, uint64_t *numbers, size_t own) {
    size_t refused;
    translate(space, mutations, count, translated, numbers);
    space->copy->pending = true;
    enum mirrored mirrored = mirror_send(writer, space, translated, numbers, own, &refused);
    if (mirrored != NOT_MIRRORED)
        copy_note_changes(space, note_done(mutations, translated, numbers, own), refused,
                          writer->session.error.message);
    return mirrored;
}

static enum mirrored mirror_space(struct writer *writer, struct space *space, struct mutation *mutations,
                                  size_t count) {
    size_t own = count_own(space, mutations, count);
    struct mutation *translated = own ? malloc(own * sizeof *translated) : NULL;
    uint64_t *numbers = own ? malloc(own * sizeof *numbers) : NULL;
    enum mirrored mirrored = own ? NOT_MIRRORED : MIRRORED;
    if (translated && numbers)
        mirrored = mirror_own(writer, space, mutations, count, translated, numbers, own);
    else if (own)
        fit_print(writer->session.error.message, sizeof writer->session.error.message,
                  "namespace \"%s\" is being copied (copy_to): no memory", space->options.name);
    free(translated);
    free(numbers);
    return mirrored;
}

enum mirrored mirror_apply(struct writer *writer, struct mutation *mutations, size_t count) {
    struct tier *tier = writer->tier;
    enum mirrored mirrored = MIRRORED;
    if (!tier->copies)
        return mirrored;
    mark_done(mutations, count);
    for (size_t i = 0; i < tier->space_count && mirrored != NOT_MIRRORED; i++) {
        if (!tier->spaces[i].copy || tier->spaces[i].backend != writer->backend)
            continue;
        enum mirrored of_space = mirror_space(writer, &tier->spaces[i], mutations, count);
        mirrored = of_space > mirrored ? of_space : mirrored;
    }
    return mirrored;
}

size_t mirror_count_done(const struct mutation *mutations, size_t count) {
    size_t done = 0;
    for (size_t i = 0; i < count; i++)
        done += mutations[i].done;
    return done;
}

size_t mirror_take_done(const struct mutation *mutations, size_t count, struct mutation *ret_some) {
    size_t taken = 0;
    for (size_t i = 0; i < count; i++)
        if (mutations[i].done)
            ret_some[taken++] = mutations[i];
    return taken;
}

void mirror_put_back(struct mutation *mutations, size_t count, const struct mutation *some, bool all) {
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        if (!mutations[i].done)
            continue;
        mutations[i] = some[at++];
        mutations[i].done |= all;
    }
}
