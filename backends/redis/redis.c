/* SPDX-License-Identifier: MIT */
/*
 * Redis as a store: a key per entry, everything pipelined, the version guard as a script.
 *
 * Layouts, one per namespace (docs/backends.md has the whole of it):
 *
 *     hash    a hash at the key: value, version, flags, expires_at [, cas] [, marks]; Redis expires it by
 * itself string  the plain value at the key, for other clients of the same Redis; a hash at
 * forebay:beside:<key> keeps version and flags. Twice the keys, slower loads, and what others write is not
 * guarded
 *
 * A delete leaves its version for tombstone_seconds: in the hash without a value, or in the companion. So a
 * late replay or a second node cannot bring back what was deleted. A row that expires leaves nothing.
 *
 * forebay:high_version, kept by the scripts, is the highest version ever applied to this database.
 *
 * A batch is one pipeline of script calls with several mutations each; each mutation is atomic, the batch is
 * not, and all of it can be repeated. A connection that breaks is made anew inside the call (redis_link.c),
 * as long as the call's timeout allows. Redis may be down when Forebay starts: open answers OK then, and the
 * calls fail.
 *
 * hiredis writes without MSG_NOSIGNAL: the program must ignore SIGPIPE.
 *
 * The address in messages never holds user or password.
 */
#include "backends/failure.h"
#include "backends/kinds.h"
#include "backends/redis/internal.h"
#include <assert.h>
#include <stdlib.h>

enum {
    TIMEOUT_DEFAULT = 2000, /* ms, when the options say 0 */
    LOAD_COMMANDS = 512     /* in one pipeline, so that answers do not gather without bound */
};

const char redis_high_key[] = "forebay:high_version";

static struct redis_connection *of(struct backend_connection *base) {
    return (struct redis_connection *)base;
}

/* ---- Opening ---- */

static void forget_kept(struct redis_connection *connection) {
    for (size_t i = 0; i < connection->kept_count; i++)
        freeReplyObject(connection->kept[i]);
    connection->kept_count = 0;
}

static void redis_close(struct backend_connection *base) {
    struct redis_connection *connection = of(base);
    if (!connection)
        return;
    redis_disconnect(connection);
    forget_kept(connection);
    arena_free(&connection->words);
    free(connection->kept);
    free(connection->name);
    free(connection);
}

static enum backend_status check_layouts(const struct backend_options *options,
                                         struct backend_error *ret_error) {
    for (size_t i = 0; i < options->table_count; i++) {
        const struct backend_table *table = options->tables[i];
        const char *layout = table->layout ? table->layout : "";
        if (*layout && strcmp(layout, "hash") != 0 && strcmp(layout, "string") != 0)
            return backend_fail(
                ret_error, BACKEND_REFUSED,
                "backend \"%s\": namespace \"%s\": layout is \"hash\" or \"string\", not \"%s\"",
                options->name, table->name, layout);
        if (table->load_sql || table->store_sql || table->delete_sql)
            return backend_fail(
                ret_error, BACKEND_REFUSED,
                "backend \"%s\": namespace \"%s\" has SQL of its own, which Redis does not know",
                options->name, table->name);
    }
    return BACKEND_OK;
}

static struct redis_connection *allocate(const struct backend_options *options, enum backend_role role,
                                         const struct redis_address *address) {
    struct redis_connection *connection = calloc(1, sizeof *connection);
    char *name = strdup(options->name);
    if (!connection || !name) {
        free(connection);
        free(name);
        return NULL;
    }
    connection->base.type = &redis_backend;
    connection->role = role;
    connection->name = name;
    connection->address = *address;
    connection->timeout_ms = options->timeout_ms ? options->timeout_ms : TIMEOUT_DEFAULT;
    connection->tables = options->tables;
    connection->table_count = options->table_count;
    snprintf(connection->tombstone_seconds, sizeof connection->tombstone_seconds, "%u",
             options->tombstone_seconds ? options->tombstone_seconds : (unsigned)REDIS_TOMBSTONE_DEFAULT);
    return connection;
}

static enum backend_status redis_open(const struct backend_options *options, enum backend_role role,
                                      struct backend_connection **ret_connection,
                                      struct backend_error *ret_error) {
    struct redis_address address;
    const char *problem;
    enum backend_status status = check_layouts(options, ret_error);
    if (status != BACKEND_OK)
        return status;
    if (!redis_address_parse(options->uri, &address, &problem))
        return backend_fail(ret_error, BACKEND_REFUSED, "backend \"%s\": bad URI: %s", options->name,
                            problem);
    struct redis_connection *connection = allocate(options, role, &address);
    if (!connection)
        return backend_fail(ret_error, BACKEND_TRANSIENT, "backend \"%s\": out of memory", options->name);
    status = redis_first_contact(connection, ret_error);
    if (status == BACKEND_REFUSED)
        redis_close(&connection->base);
    else
        *ret_connection = &connection->base;
    return status == BACKEND_REFUSED ? BACKEND_REFUSED : BACKEND_OK;
}

/* ---- Loading ---- */

struct load_task {
    const struct backend_table *table;
    const struct slice *keys;
    size_t count;
    uint32_t now;
    struct load_result *results;
};

static uint64_t number_of(const redisReply *reply) {
    return reply->type == REDIS_REPLY_STRING ? strtoull(reply->str, NULL, 10) : 0;
}

/* value, version, flags, expires_at, cas, marks; NIL where missing. No value: absent, or a tombstone. */
static bool read_fields(const redisReply *reply, struct entry *entry) {
    enum { VALUE, VERSION, FLAGS, EXPIRES_AT, CAS, MARKS, FIELDS };
    if (reply->type == REDIS_REPLY_NIL)
        return false;
    redisReply **field = reply->element;
    assert(reply->elements == FIELDS);
    if (field[VALUE]->type != REDIS_REPLY_STRING)
        return false;
    entry->value = slice_of(field[VALUE]->str, (size_t)field[VALUE]->len);
    entry->version = number_of(field[VERSION]);
    entry->flags = (uint32_t)number_of(field[FLAGS]);
    entry->expires_at = (uint32_t)number_of(field[EXPIRES_AT]);
    entry->client_cas = number_of(field[CAS]);
    entry->marks = (uint8_t)number_of(field[MARKS]);
    return true;
}

static bool ask_hash(struct redis_connection *connection, const struct backend_table *table,
                     struct slice key) {
    static const char *const fields[] = {"value", "version", "flags", "expires_at", "cas", "marks"};
    enum { WORDS = 8 };
    struct slice name = redis_key(connection, table, key);
    const char *words[WORDS] = {"HMGET", name.data};
    size_t sizes[WORDS] = {5, name.size};
    for (size_t i = 2; i < WORDS; i++) {
        words[i] = fields[i - 2];
        sizes[i] = strlen(words[i]);
    }
    return redis_append(connection, WORDS, words, sizes);
}

static bool ask_string(struct redis_connection *connection, const struct backend_table *table,
                       struct slice key) {
    enum { WORDS = 5 };
    struct slice name = redis_key(connection, table, key), beside = redis_companion(connection, table, key);
    const char *words[WORDS] = {"EVALSHA", connection->sha[REDIS_LOAD_STRING], "2", name.data, beside.data};
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

static enum redis_step hear_entry(struct redis_connection *connection, const struct load_task *task,
                                  size_t index, enum backend_status *ret_status,
                                  struct backend_error *ret_error) {
    struct load_result *result = &task->results[index];
    redisReply *reply = NULL;
    enum redis_step step = redis_answer(connection, &reply);
    if (step != REDIS_DONE)
        return step;
    if (!keep(connection, reply)) {
        freeReplyObject(reply);
        return redis_out_of_memory(connection, ret_status, ret_error);
    }
    if (reply->type == REDIS_REPLY_ERROR)
        return redis_error_means(connection, reply, ret_status, ret_error);
    if (reply->type != REDIS_REPLY_NIL && (reply->type != REDIS_REPLY_ARRAY || reply->elements != 6))
        return redis_odd_answer(connection, ret_status, ret_error);
    result->entry.key = task->keys[index];
    result->found = read_fields(reply, &result->entry) &&
                    (result->entry.expires_at == 0 || result->entry.expires_at > task->now);
    return REDIS_DONE;
}

static enum redis_step load_some(struct redis_connection *connection, const struct load_task *task,
                                 size_t from, size_t to, enum backend_status *ret_status,
                                 struct backend_error *ret_error) {
    bool plain = redis_is_string(task->table);
    enum redis_step step = REDIS_DONE;
    for (size_t i = from; i < to; i++)
        if (!(plain ? ask_string : ask_hash)(connection, task->table, task->keys[i]))
            return redis_out_of_memory(connection, ret_status, ret_error);
    for (size_t i = from; i < to && step == REDIS_DONE; i++)
        step = hear_entry(connection, task, i, ret_status, ret_error);
    arena_reset(&connection->words);
    return step;
}

static enum redis_step load_work(struct redis_connection *connection, void *context,
                                 enum backend_status *ret_status, struct backend_error *ret_error) {
    struct load_task *task = context;
    enum redis_step step = REDIS_DONE;
    forget_kept(connection);
    for (size_t from = 0; from < task->count && step == REDIS_DONE; from += LOAD_COMMANDS) {
        size_t to = task->count - from < LOAD_COMMANDS ? task->count : from + LOAD_COMMANDS;
        step = load_some(connection, task, from, to, ret_status, ret_error);
    }
    return step;
}

enum backend_status redis_load(struct backend_connection *base, const struct backend_table *table,
                               const struct slice *keys, size_t count, uint32_t now,
                               struct load_result *results, struct backend_error *ret_error) {
    struct load_task task = {table, keys, count, now, results};
    return count ? redis_do(of(base), load_work, &task, ret_error) : BACKEND_OK;
}

/* ---- The high version ---- */

static enum redis_step high_work(struct redis_connection *connection, void *task,
                                 enum backend_status *ret_status, struct backend_error *ret_error) {
    const char *words[] = {"GET", redis_high_key};
    const size_t sizes[] = {3, strlen(redis_high_key)};
    redisReply *reply = NULL;
    if (!redis_append(connection, 2, words, sizes))
        return redis_out_of_memory(connection, ret_status, ret_error);
    enum redis_step step = redis_answer(connection, &reply);
    if (step != REDIS_DONE)
        return step;
    if (reply->type == REDIS_REPLY_ERROR)
        step = redis_error_means(connection, reply, ret_status, ret_error);
    else
        *(uint64_t *)task = number_of(reply);
    freeReplyObject(reply);
    return step;
}

static enum backend_status redis_high_version(struct backend_connection *base, uint64_t *ret_version,
                                              struct backend_error *ret_error) {
    uint64_t version = 0;
    enum backend_status status = redis_do(of(base), high_work, &version, ret_error);
    if (status == BACKEND_OK)
        *ret_version = version;
    return status;
}

/* Redis expires and forgets by itself. */
static enum backend_status redis_maintain(struct backend_connection *base, uint32_t now, bool *ret_more,
                                          struct backend_error *ret_error) {
    (void)base, (void)now, (void)ret_error;
    *ret_more = false;
    return BACKEND_OK;
}

const struct backend_type redis_backend = {
    .scheme = "redis",
    .open = redis_open,
    .high_version = redis_high_version,
    .load = redis_load,
    .apply = redis_apply,
    .scan = redis_scan,
    .maintain = redis_maintain,
    .close = redis_close,
};
