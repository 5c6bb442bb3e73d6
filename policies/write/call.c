/* SPDX-License-Identifier: MIT */
/* See call.h. */
#include "policies/write/call.h"
#include "backends/failure.h"
#include "backends/mutations.h"
#include "policies/absence.h"
#include "policies/slow_log.h"
#include "policies/write/call_internal.h"
#include "policies/write/copy.h"
#include "policies/write/mirror.h"
#include "policies/write/regress.h"
#include "policies/write/store_note.h"
#include <stdlib.h>

/* ---- Writing ---- */

static void note_batch(struct writer *writer, struct backend_connection *connection) {
    regress_expect(writer, connection->applied);
    count_add(&writer->counters.replica_waits, connection->replica_waits);
    count_add(&writer->counters.replica_short, connection->replica_short);
    connection->replica_waits = connection->replica_short = 0;
}

/* What others write may be noticed before or with a batch of ours. */
static enum backend_status apply(struct writer *writer, struct mutation *mutations, size_t count_mutations) {
    struct backend_connection *connection = writer->session.connection;
    absence_begin_writing(writer->backend, mutations, count_mutations);
    enum backend_status status =
        writer->backend->type->apply(connection, mutations, count_mutations,
                                     tier_now(writer->backend->tier).seconds, &writer->session.error);
    absence_end_writing(writer->backend);
    absence_note_foreign(writer->backend, connection->foreign);
    call_note_log(writer);
    note_batch(writer, connection);
    return status;
}

static enum backend_status apply_timed(struct writer *writer, struct space *space, struct mutation *mutations,
                                       size_t count_mutations) {
    store_note_before(writer, mutations_highest_version(mutations, count_mutations));
    uint64_t start = monotonic_us();
    enum backend_status status = slow_log_end(writer->backend, space, CALL_APPLY, count_mutations, start,
                                              apply(writer, mutations, count_mutations));
    uint64_t took = monotonic_us() - start;
    count_add(&writer->counters.apply_us, took);
    count_most(&writer->counters.apply_max_us, took);
    for (size_t i = 0; i < count_mutations && status == BACKEND_OK; i++)
        if (mutations[i].entry.version > writer->store_version)
            writer->store_version = mutations[i].entry.version;
    return status;
}

/* As mirror_apply. In part: *ret_some has room for those that are where they belong, and is to be freed. */
static enum mirrored mirror(struct writer *writer, struct mutation *mutations, size_t count_mutations,
                            struct mutation **ret_some) {
    enum mirrored mirrored = mirror_apply(writer, mutations, count_mutations);
    if (mirrored != MIRRORED_IN_PART)
        return mirrored;
    *ret_some = malloc(count_mutations * sizeof **ret_some);
    if (*ret_some)
        return mirrored;
    backend_fail(&writer->session.error, BACKEND_TABLE_FAILED, "backend \"%s\": no memory for a batch",
                 call_backend_name(writer));
    return NOT_MIRRORED;
}

/* Those alone that are with the stores that they are copied to: another one would be in its own and not in both. */
static enum backend_status apply_mirrored(struct writer *writer, struct space *space,
                                          struct mutation *mutations, size_t count_mutations,
                                          struct mutation *some) {
    size_t taken = mirror_take_done(mutations, count_mutations, some);
    mutations_forget_answers(some, taken);
    enum backend_status status = apply_timed(writer, space, some, taken);
    mirror_put_back(mutations, count_mutations, some, status == BACKEND_OK);
    return status;
}

/* What the stores have that it is copied to. some: for a part of them; NULL: they have all. */
static enum backend_status apply_after_mirror(struct writer *writer, struct space *space,
                                              struct mutation *mutations, size_t count_mutations,
                                              struct mutation *some) {
    if (some)
        return apply_mirrored(writer, space, mutations, count_mutations, some);
    if (writer->tier->copies)
        mutations_forget_answers(mutations, count_mutations);
    return apply_timed(writer, space, mutations, count_mutations);
}

/* Its own store is not asked. */
static enum backend_status fail_mirror(struct writer *writer, struct space *space, struct mutation *mutations,
                                       size_t count_mutations, bool in_part) {
    copies_settle(writer, mutations, count_mutations, false);
    writer->lacked_part = in_part;
    if (!in_part)
        return call_fail_copied(writer, space);
    progress_note(&writer->progress, PROGRESS_WORKS);
    return BACKEND_TRANSIENT;
}

enum backend_status call_apply_parts(struct writer *writer, struct space *space, struct mutation *mutations,
                                     size_t count_mutations, bool *ret_partial) {
    enum mirrored mirrored = MIRRORED;
    struct mutation *some = NULL;
    enum backend_status status = call_connect_again(writer);
    mutations_forget_answers(mutations, count_mutations);
    if (status == BACKEND_OK)
        mirrored = mirror(writer, mutations, count_mutations, &some);
    bool in_part = mirrored == MIRRORED_IN_PART;
    *ret_partial = in_part;
    if (mirrored == NOT_MIRRORED || (in_part && mirror_count_done(mutations, count_mutations) == 0)) {
        free(some);
        return fail_mirror(writer, space, mutations, count_mutations, in_part);
    }
    if (status == BACKEND_OK)
        status = apply_after_mirror(writer, space, mutations, count_mutations, some);
    free(some);
    copies_settle(writer, mutations, count_mutations, status == BACKEND_OK && mirrored == MIRRORED);
    if (status == BACKEND_OK) {
        call_catch_up(writer, mutations, count_mutations);
        call_note_superseded(writer, mutations, count_mutations);
    }
    status = call_judged_by_part(writer, space, status);
    writer->lacked_part |= status == BACKEND_OK && in_part;
    *ret_partial = writer->lacked_part;
    return writer->lacked_part ? BACKEND_TRANSIENT : status;
}

enum backend_status call_apply_copied(struct writer *writer, struct mutation *mutations,
                                      size_t count_mutations) {
    enum backend_status status = call_connect_again(writer);
    mutations_forget_answers(mutations, count_mutations);
    if (status == BACKEND_OK)
        status = apply_timed(writer, NULL, mutations, count_mutations);
    if (status == BACKEND_OK)
        call_catch_up(writer, mutations, count_mutations);
    return call_judged_by_part(writer, NULL, status);
}

void call_swap(struct mutation *mutations, uint64_t *hashes, size_t a, size_t b) {
    struct mutation mutation = mutations[a];
    mutations[a] = mutations[b];
    mutations[b] = mutation;
    if (!hashes)
        return;
    uint64_t hash = hashes[a];
    hashes[a] = hashes[b];
    hashes[b] = hash;
}

/* From the end: between i and `others` all are refused. */
size_t call_part_refused(struct mutation *mutations, uint64_t *hashes, size_t count_mutations) {
    size_t others = count_mutations;
    for (size_t i = count_mutations; i-- > 0;)
        if (!mutations[i].refused)
            call_swap(mutations, hashes, --others, i);
    return others;
}

/* ---- Reading ---- */

static enum backend_status load(struct writer *writer, struct space *space, const struct slice *keys,
                                size_t count_keys, uint32_t now, struct load_result *results) {
    enum backend_status status = call_connect_again(writer);
    if (status == BACKEND_OK)
        status = session_load(&writer->session, space, keys, count_keys, now, results);
    return call_judged(writer, space, status);
}

enum backend_status call_load_parts_at(struct writer *writer, struct space *space, const struct slice *keys,
                                       size_t count_keys, uint32_t now, struct load_result *results,
                                       bool *ret_partial) {
    writer->takes_parts = true;
    enum backend_status status = load(writer, space, keys, count_keys, now, results);
    *ret_partial = writer->lacked_part;
    writer->takes_parts = false;
    return status;
}

enum backend_status call_load_parts(struct writer *writer, struct space *space, const struct slice *keys,
                                    size_t count_keys, struct load_result *results, bool *ret_partial) {
    uint32_t now = tier_now(writer->backend->tier).seconds;
    return call_load_parts_at(writer, space, keys, count_keys, now, results, ret_partial);
}

enum backend_status call_load_table(struct writer *writer, const struct backend_table *table,
                                    const struct slice *keys, size_t count_keys, uint32_t now,
                                    struct load_result *results) {
    struct session *session = &writer->session;
    enum backend_status status = call_connect_again(writer);
    uint64_t began_us = monotonic_us();
    if (status == BACKEND_OK)
        status = slow_log_end(writer->backend, NULL, CALL_LOAD, count_keys, began_us,
                              writer->backend->type->load(session->connection, table, keys, count_keys, now,
                                                          results, &session->error));
    return call_judged_by_part(writer, NULL, status);
}

enum backend_status call_scan(struct writer *writer, struct space *space, const struct backend_table *table,
                              struct backend_visitor *visitor) {
    struct session *session = &writer->session;
    enum backend_status status = call_connect_again(writer);
    uint64_t began_us = monotonic_us();
    if (status == BACKEND_OK)
        status = slow_log_end(
            writer->backend, space, CALL_SCAN, 0, began_us,
            writer->backend->type->scan(session->connection, table, SIZE_MAX, 0, visitor, &session->error));
    return call_judged_by_part(writer, space, status);
}
