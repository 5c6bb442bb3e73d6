/* SPDX-License-Identifier: MIT */
/*
 * Loading: a pipeline of questions, one for each key. The answers are kept until the next load, as its values
 * point into them. And the same for versions alone.
 */
#include "backends/redis/deal.h"
#include <assert.h>
#include <stdlib.h>

enum { LOAD_COMMANDS = 512 /* in one pipeline, so that answers do not gather without bound */ };

struct load_task {
    const struct redis_table *table;
    const struct slice *keys;
    size_t count;
    uint32_t now;
    struct load_result *results;
    uint64_t proves; /* what the store has to have behind it (acknowledged.c); 0: nothing */
};

void redis_forget_loaded(struct redis_connection *connection) {
    for (size_t i = 0; i < connection->kept_count; i++)
        freeReplyObject(connection->kept[i]);
    connection->kept_count = 0;
}

static uint32_t limited_to_32_bits(uint64_t number) {
    return number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
}

/* What is answered of an entry, in this order; NIL where missing. */
enum { VALUE, VERSION, FLAGS, EXPIRES_AT, CAS, MARKS, FIELDS };

/* False, there is no value: absent, or a tombstone. */
static bool read_fields(const redisReply *reply, struct entry *entry) {
    if (reply->type == REDIS_REPLY_NIL)
        return false;
    redisReply **field = reply->element;
    assert(reply->elements == FIELDS);
    if (field[VALUE]->type != REDIS_REPLY_STRING)
        return false;
    entry->value = slice_of(field[VALUE]->str, (size_t)field[VALUE]->len);
    entry->version = redis_number_in(field[VERSION], ENTRY_VERSION_HIGHEST);
    entry->flags = limited_to_32_bits(redis_number_in(field[FLAGS], UINT64_MAX));
    entry->expires_at = limited_to_32_bits(redis_number_in(field[EXPIRES_AT], UINT64_MAX));
    entry->client_cas = redis_number_in(field[CAS], UINT64_MAX);
    entry->marks = (uint8_t)redis_number_in(field[MARKS], UINT8_MAX);
    return true;
}

static bool ask_hash(struct redis_connection *connection, const struct redis_table *table, struct slice key) {
    static const char *const fields[FIELDS] = {"value", "version", "flags", "expires_at", "cas", "marks"};
    enum { WORDS = 2 + FIELDS };
    struct slice name = redis_key(connection, table, key);
    const char *words[WORDS] = {"HMGET", name.data};
    size_t sizes[WORDS] = {5, name.size};
    for (size_t i = 2; i < WORDS; i++) {
        words[i] = fields[i - 2];
        sizes[i] = strlen(words[i]);
    }
    return redis_append(connection, WORDS, words, sizes);
}

static bool ask_string(struct redis_connection *connection, const struct redis_table *table,
                       struct slice key) {
    enum { WORDS = 5 };
    struct slice name = redis_key(connection, table, key), beside = redis_companion(connection, table, key);
    const char *words[WORDS] = {"EVALSHA", connection->link->sha[REDIS_LOAD_STRING], "2", name.data,
                                beside.data};
    size_t sizes[WORDS] = {7, REDIS_SHA_SIZE, 1, name.size, beside.size};
    return redis_append(connection, WORDS, words, sizes);
}

static bool keep(struct redis_connection *connection, redisReply *reply) {
    if (connection->kept_count == connection->kept_room) {
        size_t room = connection->kept_room ? connection->kept_room * 2 : 64;
        redisReply **kept = realloc(connection->kept, room * sizeof *kept);
        if (!kept)
            return false;
        connection->kept = kept;
        connection->kept_room = room;
    }
    connection->kept[connection->kept_count++] = reply;
    return true;
}

/* Keeps the answer. */
static enum redis_step take_entry(struct redis_connection *connection, const struct load_task *task,
                                  size_t index, redisReply *reply, enum backend_status *ret_status,
                                  struct backend_error *ret_error) {
    struct load_result *result = &task->results[index];
    if (!keep(connection, reply)) {
        freeReplyObject(reply);
        return redis_out_of_memory(connection, ret_status, ret_error);
    }
    if (reply->type == REDIS_REPLY_ERROR)
        return redis_error_means(connection, reply, ret_status, ret_error);
    if (reply->type != REDIS_REPLY_NIL && (reply->type != REDIS_REPLY_ARRAY || reply->elements != FIELDS))
        return redis_odd_answer(connection, ret_status, ret_error);
    result->entry.key = task->keys[index];
    result->found = read_fields(reply, &result->entry) &&
                    (result->entry.expires_at == 0 || result->entry.expires_at > task->now);
    return REDIS_DONE;
}

static enum redis_step hear_entry(struct redis_connection *connection, const struct load_task *task,
                                  size_t index, enum backend_status *ret_status,
                                  struct backend_error *ret_error) {
    redisReply *reply = NULL;
    enum redis_step step = redis_answer(connection, &reply);
    return step == REDIS_DONE ? take_entry(connection, task, index, reply, ret_status, ret_error) : step;
}

static bool ask_entry(struct redis_connection *connection, const struct load_task *task, size_t index) {
    return (task->table->is_string ? ask_string : ask_hash)(connection, task->table, task->keys[index]);
}

static enum redis_step load_some(struct redis_connection *connection, const struct load_task *task,
                                 size_t from, size_t to, enum backend_status *ret_status,
                                 struct backend_error *ret_error) {
    enum redis_step step = REDIS_DONE;
    uint64_t proves = to == task->count ? task->proves : 0;
    for (size_t i = from; i < to; i++)
        if (!ask_entry(connection, task, i))
            return redis_out_of_memory(connection, ret_status, ret_error);
    if (!redis_end_load(connection, proves))
        return redis_out_of_memory(connection, ret_status, ret_error);
    for (size_t i = from; i < to && step == REDIS_DONE; i++)
        step = hear_entry(connection, task, i, ret_status, ret_error);
    if (step == REDIS_DONE)
        step = redis_hear_end_of_load(connection, proves, ret_status, ret_error);
    arena_reset(&connection->words);
    return step;
}

static enum redis_step load_work(struct redis_connection *connection, void *context,
                                 enum backend_status *ret_status, struct backend_error *ret_error) {
    struct load_task *task = context;
    enum redis_step step = REDIS_DONE;
    redis_forget_loaded(connection);
    task->proves = redis_load_proves(connection);
    for (size_t from = 0; from < task->count && step == REDIS_DONE; from += LOAD_COMMANDS) {
        size_t to = task->count - from < LOAD_COMMANDS ? task->count : from + LOAD_COMMANDS;
        step = load_some(connection, task, from, to, ret_status, ret_error);
    }
    return step;
}

/* ---- In a cluster ---- */

static unsigned slot_of_key(struct redis_connection *connection, void *context, size_t job) {
    const struct load_task *task = context;
    struct slice name = redis_key(connection, task->table, task->keys[job]);
    return name.data ? redis_slot_of(name) : REDIS_SLOTS;
}

static bool send_question(struct redis_connection *connection, void *context, size_t job) {
    return ask_entry(connection, context, job);
}

static enum redis_step hear_answer(struct redis_connection *connection, void *context, size_t job,
                                   redisReply *reply, enum backend_status *ret_status,
                                   struct backend_error *ret_error) {
    return take_entry(connection, context, job, reply, ret_status, ret_error);
}

static void note_late(void *context, size_t job) {
    const struct load_task *task = context;
    task->results[job].late = true;
}

static enum backend_status load_from_cluster(struct redis_connection *connection, struct load_task *task,
                                             struct backend_error *ret_error) {
    const struct redis_deal deal = {.count = task->count,
                                    .task = task,
                                    .slot = slot_of_key,
                                    .send = send_question,
                                    .hear = hear_answer,
                                    .proves = true,
                                    .patience = connection->base.patience,
                                    .late = note_late};
    enum backend_status status = BACKEND_TRANSIENT;
    bool *done = malloc(task->count * sizeof *done);
    redis_forget_loaded(connection);
    for (size_t i = 0; i < task->count; i++)
        task->results[i].late = false;
    if (!done)
        redis_out_of_memory(connection, &status, ret_error);
    else
        status = redis_deal(connection, &deal, done, ret_error);
    for (size_t i = 0; done && i < task->count; i++)
        task->results[i].failed = !done[i];
    free(done);
    if (status == BACKEND_REPLACED && connection->role == BACKEND_WRITER)
        redis_cluster_mark_anew(connection);
    return status;
}

enum backend_status redis_load(struct backend_connection *base, const struct backend_table *table,
                               const struct slice *keys, size_t count, uint32_t now,
                               struct load_result *results, struct backend_error *ret_error) {
    struct redis_connection *connection = redis_connection_of(base);
    struct load_task task = {redis_table_of(connection, table), keys, count, now, results, 0};
    if (connection->cluster)
        return count ? load_from_cluster(connection, &task, ret_error) : BACKEND_OK;
    return count ? redis_do(connection, load_work, &task, ret_error) : BACKEND_OK;
}

/* ---- Versions alone ---- */

struct version_task {
    const struct redis_table *table;
    const struct slice *keys;
    size_t count;
    uint64_t *versions;
};

static bool ask_version(struct redis_connection *connection, const struct version_task *task, size_t index) {
    struct slice name = redis_key(connection, task->table, task->keys[index]);
    const char *words[] = {"HGET", name.data, "version"};
    const size_t sizes[] = {4, name.size, 7};
    return redis_append(connection, 3, words, sizes);
}

/* What somebody has put in the place of a hash has no version. Frees the answer. */
static enum redis_step take_version(struct redis_connection *connection, redisReply *reply,
                                    uint64_t *ret_version, enum backend_status *ret_status,
                                    struct backend_error *ret_error) {
    enum redis_step step = REDIS_DONE;
    if (reply->type == REDIS_REPLY_ERROR && !redis_begins_with(reply, "WRONGTYPE"))
        step = redis_error_means(connection, reply, ret_status, ret_error);
    else
        *ret_version = redis_number_in(reply, ENTRY_VERSION_HIGHEST);
    freeReplyObject(reply);
    return step;
}

static enum redis_step hear_version(struct redis_connection *connection, uint64_t *ret_version,
                                    enum backend_status *ret_status, struct backend_error *ret_error) {
    redisReply *reply = NULL;
    enum redis_step step = redis_answer(connection, &reply);
    return step == REDIS_DONE ? take_version(connection, reply, ret_version, ret_status, ret_error) : step;
}

static enum redis_step versions_work(struct redis_connection *connection, void *context,
                                     enum backend_status *ret_status, struct backend_error *ret_error) {
    const struct version_task *task = context;
    enum redis_step step = REDIS_DONE;
    for (size_t from = 0; from < task->count && step == REDIS_DONE; from += LOAD_COMMANDS) {
        size_t to = task->count - from < LOAD_COMMANDS ? task->count : from + LOAD_COMMANDS;
        for (size_t i = from; i < to; i++)
            if (!ask_version(connection, task, i))
                return redis_out_of_memory(connection, ret_status, ret_error);
        for (size_t i = from; i < to && step == REDIS_DONE; i++)
            step = hear_version(connection, &task->versions[i], ret_status, ret_error);
        arena_reset(&connection->words);
    }
    return step;
}

static unsigned slot_of_version(struct redis_connection *connection, void *context, size_t job) {
    const struct version_task *task = context;
    struct slice name = redis_key(connection, task->table, task->keys[job]);
    return name.data ? redis_slot_of(name) : REDIS_SLOTS;
}

static bool send_version(struct redis_connection *connection, void *context, size_t job) {
    return ask_version(connection, context, job);
}

static enum redis_step hear_dealt(struct redis_connection *connection, void *context, size_t job,
                                  redisReply *reply, enum backend_status *ret_status,
                                  struct backend_error *ret_error) {
    const struct version_task *task = context;
    return take_version(connection, reply, &task->versions[job], ret_status, ret_error);
}

static enum backend_status versions_of_cluster(struct redis_connection *connection, struct version_task *task,
                                               struct backend_error *ret_error) {
    const struct redis_deal deal = {.count = task->count,
                                    .task = task,
                                    .slot = slot_of_version,
                                    .send = send_version,
                                    .hear = hear_dealt};
    enum backend_status status = BACKEND_TRANSIENT;
    bool *done = malloc(task->count * sizeof *done);
    if (!done)
        redis_out_of_memory(connection, &status, ret_error);
    else
        status = redis_deal(connection, &deal, done, ret_error);
    for (size_t i = 0; done && i < task->count; i++)
        if (!done[i])
            task->versions[i] = BACKEND_VERSION_UNASKED;
    free(done);
    return status;
}

/* In a string layout others write values, and leave the companion as it is. */
enum backend_status redis_versions(struct backend_connection *base, const struct backend_table *table,
                                   const struct slice *keys, size_t count, uint64_t *ret_versions,
                                   struct backend_error *ret_error) {
    struct redis_connection *connection = redis_connection_of(base);
    struct version_task task = {redis_table_of(connection, table), keys, count, ret_versions};
    for (size_t i = 0; i < count && task.table->is_string; i++)
        ret_versions[i] = BACKEND_VERSION_UNTOLD;
    if (count == 0 || task.table->is_string)
        return BACKEND_OK;
    return connection->cluster ? versions_of_cluster(connection, &task, ret_error)
                               : redis_do(connection, versions_work, &task, ret_error);
}
