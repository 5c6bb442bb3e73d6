/* SPDX-License-Identifier: MIT */
/*
 * Batches into Redis: script calls with up to CALL_MUTATIONS mutations each, WINDOW_CALLS of them under way
 * at once.
 *
 * The order of the batch is kept, so keys may occur more than once. A call ends early where the layout
 * changes or where values are large: while a script runs, Redis answers nobody else.
 */
#include "backends/mutations.h"
#include "backends/redis/deal.h"
#include "backends/redis/proofs.h"
#include <assert.h>
#include <stdlib.h>

/* Another number is for comparing alone: tools/bench. */
#ifndef REDIS_CALL_MUTATIONS
#define REDIS_CALL_MUTATIONS 16
#endif

enum {
    CALL_MUTATIONS = REDIS_CALL_MUTATIONS,
    CALL_BYTES = 256 << 10, /* of values; a single larger one still goes */
    WINDOW_CALLS = 64,
    WINDOW_BYTES = 4 << 20, /* held twice on their way out */
    CALL_WORDS = 3 + 2 + 2 * CALL_MUTATIONS + 6 + 8 * CALL_MUTATIONS
};

struct apply_task {
    struct mutation *mutations;
    size_t count;
    uint32_t now;
};

/* A call on its way: the mutations it carries. */
struct call {
    size_t from, count, bytes; /* bytes: of their values */
};

struct words {
    const char *data[CALL_WORDS];
    size_t size[CALL_WORDS];
    size_t count;
};

static void add(struct words *words, struct slice word) {
    assert(words->count < CALL_WORDS);
    words->data[words->count] = word.data;
    words->size[words->count++] = word.size;
}

static struct slice never_null(struct slice bytes) {
    return bytes.size ? bytes : SLICE("");
}

static struct slice number_or_nothing(struct redis_connection *connection, uint64_t number) {
    return number ? redis_number(connection, number) : SLICE("");
}

static struct slice kind_word(enum mutation_kind kind) {
    static const char letters[] = "ptd"; /* as enum mutation_kind counts */
    return slice_of(&letters[kind], 1);
}

/* What the mutation is on, as the scripts take it. */
static struct slice on_word(struct redis_connection *connection, const struct mutation *mutation) {
    bool on_absence = mutation->on & MUTATION_ON_ABSENCE;
    assert(!(mutation->on & MUTATION_ON_CAS) ||
           (mutation->kind == MUTATION_TOUCH && !(mutation->on & MUTATION_ON_VERSION)));
    if (mutation->on & MUTATION_ON_CAS)
        return on_absence ? SLICE("-=") : SLICE("=");
    if (!(mutation->on & MUTATION_ON_VERSION))
        return on_absence ? SLICE("-") : SLICE("");
    struct slice version = redis_number(connection, mutation->base);
    return on_absence && version.data ? redis_whole(connection, SLICE("-"), version) : version;
}

static void add_mutation(struct redis_connection *connection, struct words *words,
                         const struct mutation *mutation) {
    const struct entry *entry = &mutation->entry;
    bool deletes = mutation->kind == MUTATION_DELETE;
    add(words, kind_word(mutation->kind));
    add(words, redis_number(connection, entry->version));
    add(words, deletes ? SLICE("") : never_null(entry->value));
    add(words, redis_number(connection, entry->flags));
    add(words, redis_number(connection, entry->expires_at));
    add(words, number_or_nothing(connection, entry->client_cas));
    add(words, number_or_nothing(connection, entry->marks));
    add(words, on_word(connection, mutation));
}

static bool is_string(const struct redis_connection *connection, const struct mutation *mutation) {
    return redis_table_of(connection, mutation->table)->is_string;
}

/* The keys of high version and mark. In a cluster a row has none in its slot, and names itself (script.c). */
static void add_own_keys(struct redis_connection *connection, struct words *words,
                         const struct mutation *mutations) {
    assert(mutations || !connection->cluster);
    for (unsigned i = 0; i < 2; i++)
        add(words, !connection->cluster ? i == 0 ? SLICE(REDIS_HIGH_KEY) : SLICE(REDIS_MARK_KEY)
                                        : redis_key(connection, redis_table_of(connection, mutations->table),
                                                    mutations->entry.key));
}

static bool send_call(struct redis_connection *connection, const struct apply_task *task, struct call call) {
    struct mutation *mutations = call.count > 0 ? &task->mutations[call.from] : NULL; /* a look has none */
    bool plain = call.count > 0 && is_string(connection, &mutations[0]);
    struct words words = {.count = 0};
    add(&words, SLICE("EVALSHA"));
    add(&words,
        slice_of(connection->link->sha[plain ? REDIS_APPLY_STRING : REDIS_APPLY_HASH], REDIS_SHA_SIZE));
    add(&words, redis_number(connection, 2 + call.count * (plain ? 2 : 1)));
    add_own_keys(connection, &words, mutations);
    for (size_t i = 0; i < call.count; i++) {
        const struct redis_table *table = redis_table_of(connection, mutations[i].table);
        add(&words, redis_key(connection, table, mutations[i].entry.key));
        if (plain)
            add(&words, redis_companion(connection, table, mutations[i].entry.key));
    }
    add(&words, redis_number(connection, task->now));
    add(&words, slice_string(connection->tombstone_seconds));
    add(&words, redis_number(connection, mutations_highest_version(mutations, call.count)));
    add(&words, slice_string(connection->mark));
    add(&words, redis_number(connection, connection->known_version));
    add(&words, slice_string(connection->cluster ? "" : connection->new_mark));
    for (size_t i = 0; i < call.count; i++) {
        add_mutation(connection, &words, &mutations[i]);
        mutations[i].attempts++;
    }
    bool sent = redis_append(connection, words.count, words.data, words.size);
    arena_reset(&connection->words);
    return sent;
}

/* The mutations of the next call, from the given one on. *ret_bytes: of their values. */
static size_t next_call(const struct redis_connection *connection, const struct apply_task *task, size_t from,
                        size_t *ret_bytes) {
    bool plain = is_string(connection, &task->mutations[from]);
    size_t count = 0, bytes = 0;
    while (count < CALL_MUTATIONS && from + count < task->count && bytes < CALL_BYTES &&
           is_string(connection, &task->mutations[from + count]) == plain)
        bytes += task->mutations[from + count++].entry.value.size;
    *ret_bytes = bytes;
    return count;
}

static enum redis_step note_superseded(const struct redis_connection *connection,
                                       const struct apply_task *task, struct call call,
                                       const redisReply *reply, enum backend_status *ret_status,
                                       struct backend_error *ret_error) {
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements % 2 != 0)
        return redis_odd_answer(connection, ret_status, ret_error);
    for (size_t i = 0; i < reply->elements; i += 2) {
        const redisReply *position = reply->element[i];
        if (position->type != REDIS_REPLY_INTEGER || (size_t)position->integer >= call.count)
            return redis_odd_answer(connection, ret_status, ret_error);
        struct mutation *mutation = &task->mutations[call.from + (size_t)position->integer];
        mutation->superseded = true;
        mutation->superseded_by = redis_number_in(reply->element[i + 1], ENTRY_VERSION_HIGHEST);
    }
    return REDIS_DONE;
}

/* Frees the answer. */
static enum redis_step take_answer(const struct redis_connection *connection, const struct apply_task *task,
                                   struct call call, redisReply *reply, enum backend_status *ret_status,
                                   struct backend_error *ret_error) {
    enum redis_step step = reply->type == REDIS_REPLY_ERROR
                               ? redis_error_means(connection, reply, ret_status, ret_error)
                               : note_superseded(connection, task, call, reply, ret_status, ret_error);
    freeReplyObject(reply);
    return step;
}

static enum redis_step hear_call(struct redis_connection *connection, const struct apply_task *task,
                                 struct call call, enum backend_status *ret_status,
                                 struct backend_error *ret_error) {
    redisReply *reply = NULL;
    enum redis_step step = redis_answer(connection, &reply);
    return step == REDIS_DONE ? take_answer(connection, task, call, reply, ret_status, ret_error) : step;
}

/* The calls under way, a ring. */
struct window {
    struct call calls[WINDOW_CALLS];
    size_t sent, heard, bytes; /* bytes: of the values under way */
};

/* Fills the window and sends it, so that Redis has work while the next calls are made up. *from: the first
 * mutation not sent. */
static enum redis_step send_calls(struct redis_connection *connection, const struct apply_task *task,
                                  struct window *window, size_t *from, enum backend_status *ret_status,
                                  struct backend_error *ret_error) {
    while (window->sent - window->heard < WINDOW_CALLS && window->bytes < WINDOW_BYTES &&
           *from < task->count) {
        struct call *call = &window->calls[window->sent % WINDOW_CALLS];
        call->from = *from;
        call->count = next_call(connection, task, *from, &call->bytes);
        if (!send_call(connection, task, *call))
            return redis_out_of_memory(connection, ret_status, ret_error);
        *from += call->count;
        window->bytes += call->bytes;
        window->sent++;
    }
    if (*from == task->count && !redis_end_batch(connection))
        return redis_out_of_memory(connection, ret_status, ret_error);
    return redis_send(connection);
}

/* Whether half of the window is free again. */
static bool has_half(const struct window *window) {
    return window->sent - window->heard <= WINDOW_CALLS / 2 && window->bytes <= WINDOW_BYTES / 2;
}

static enum redis_step apply_work(struct redis_connection *connection, void *context,
                                  enum backend_status *ret_status, struct backend_error *ret_error) {
    struct apply_task *task = context;
    struct window window = {.sent = 0};
    enum redis_step step = REDIS_DONE;
    size_t from = 0;
    mutations_forget_answers(task->mutations, task->count);
    while (step == REDIS_DONE && (from < task->count || window.heard < window.sent)) {
        if (from < task->count && has_half(&window)) {
            step = send_calls(connection, task, &window, &from, ret_status, ret_error);
            continue;
        }
        const struct call *call = &window.calls[window.heard++ % WINDOW_CALLS];
        window.bytes -= call->bytes;
        step = hear_call(connection, task, *call, ret_status, ret_error);
    }
    return step == REDIS_DONE ? redis_hear_end(connection, ret_status, ret_error) : step;
}

enum redis_step redis_compare(struct redis_connection *connection, enum backend_status *ret_status,
                              struct backend_error *ret_error) {
    const struct apply_task nothing = {0};
    const struct call call = {0};
    if (!send_call(connection, &nothing, call))
        return redis_out_of_memory(connection, ret_status, ret_error);
    return hear_call(connection, &nothing, call, ret_status, ret_error);
}

/* ---- In a cluster: a call for each mutation ---- */

static unsigned slot_of_mutation(struct redis_connection *connection, void *context, size_t job) {
    const struct apply_task *task = context;
    const struct mutation *mutation = &task->mutations[job];
    struct slice name =
        redis_key(connection, redis_table_of(connection, mutation->table), mutation->entry.key);
    return name.data ? redis_slot_of(name) : REDIS_SLOTS;
}

static bool send_mutation(struct redis_connection *connection, void *context, size_t job) {
    return send_call(connection, context, (struct call){.from = job, .count = 1});
}

static void put_off_mutation(void *context, size_t job) {
    const struct apply_task *task = context;
    task->mutations[job].attempts--;
}

static enum redis_step hear_mutation(struct redis_connection *connection, void *context, size_t job,
                                     redisReply *reply, enum backend_status *ret_status,
                                     struct backend_error *ret_error) {
    const struct call call = {.from = job, .count = 1};
    return take_answer(connection, context, call, reply, ret_status, ret_error);
}

static bool raise_high(struct redis_connection *connection, void *context, struct redis_node *node) {
    const struct apply_task *task = context;
    return redis_guard_send(connection, node, mutations_highest_version(task->mutations, task->count));
}

static enum redis_step hear_raised(struct redis_connection *connection, void *context,
                                   struct redis_node *node, redisReply *reply,
                                   enum backend_status *ret_status, struct backend_error *ret_error) {
    const struct apply_task *task = context;
    uint64_t highest = mutations_highest_version(task->mutations, task->count);
    return redis_guard_hear(connection, node, highest, reply, ret_status, ret_error);
}

static bool seal_rows(struct redis_connection *connection, void *context, struct redis_node *node,
                      unsigned *ret_commands) {
    (void)context;
    return redis_seal_send(connection, node, true, ret_commands);
}

static void note_short(void *context, size_t job) {
    const struct apply_task *task = context;
    task->mutations[job].lacks_replicas = true;
}

static enum backend_status apply_in_cluster(struct redis_connection *connection, struct apply_task *task,
                                            struct backend_error *ret_error) {
    const struct redis_deal deal = {.count = task->count,
                                    .task = task,
                                    .slot = slot_of_mutation,
                                    .send = send_mutation,
                                    .put_off = put_off_mutation,
                                    .hear = hear_mutation,
                                    .greet = raise_high,
                                    .hear_greeting = hear_raised,
                                    .proves = true,
                                    .waits = connection->replicas > 0,
                                    .seal = seal_rows,
                                    .hear_seal = redis_seal_hear,
                                    .short_of = note_short};
    enum backend_status status = BACKEND_TRANSIENT;
    bool *done = malloc(task->count * sizeof *done);
    mutations_forget_answers(task->mutations, task->count);
    if (!done)
        redis_out_of_memory(connection, &status, ret_error);
    else
        status = redis_deal(connection, &deal, done, ret_error);
    for (size_t i = 0; done && i < task->count; i++)
        task->mutations[i].done = done[i];
    free(done);
    if (status == BACKEND_REPLACED)
        redis_cluster_mark_anew(connection);
    else
        redis_proofs_show(connection);
    return status;
}

enum backend_status redis_apply(struct backend_connection *base, struct mutation *mutations, size_t count,
                                uint32_t now, struct backend_error *ret_error) {
    struct redis_connection *connection = redis_connection_of(base);
    struct apply_task task = {mutations, count, now};
    assert(connection->role == BACKEND_WRITER);
    if (connection->cluster)
        return count ? apply_in_cluster(connection, &task, ret_error) : BACKEND_OK;
    connection->too_few = false;
    enum backend_status status = count ? redis_do(connection, apply_work, &task, ret_error) : BACKEND_OK;
    for (size_t i = 0; i < count && status == BACKEND_TRANSIENT && connection->too_few; i++)
        mutations[i].lacks_replicas = true;
    uint64_t highest = mutations_highest_version(mutations, count);
    if (status == BACKEND_OK && highest > connection->known_version)
        connection->known_version = highest;
    return status;
}
