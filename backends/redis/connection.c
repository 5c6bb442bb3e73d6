/* SPDX-License-Identifier: MIT */
/* Connections: opened, closed, and asked for what is of the whole database. */
#include "backends/failure.h"
#include "backends/redis/internal.h"
#include <assert.h>
#include <stdlib.h>

const char redis_high_key[] = "forebay:high_version";

/* ---- Opening ---- */

void redis_close(struct backend_connection *base) {
    if (!base)
        return;
    struct redis_connection *connection = redis_connection_of(base);
    redis_disconnect(connection);
    redis_forget_loaded(connection);
    arena_free(&connection->words);
    free(connection->kept);
    free(connection->tables);
    free(connection->name);
    free(connection);
}

static struct redis_connection *allocate(const struct backend_options *options, enum backend_role role) {
    struct redis_connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return NULL;
    connection->base.type = &redis_backend;
    connection->role = role;
    connection->base.call_until_us = options->open_until_us;
    connection->name = strdup(options->name);
    connection->timeout_ms = options->timeout_ms;
    connection->tables = calloc(options->table_count + 1, sizeof *connection->tables);
    connection->table_count = options->table_count;
    if (!connection->name || !connection->tables) {
        redis_close(&connection->base);
        return NULL;
    }
    return connection;
}

static enum backend_status take_table(struct redis_table *ours, const char *backend,
                                      const struct backend_table *table, struct backend_error *ret_error) {
    struct redis_table_options own;
    if (!backend_take_specific(&redis_backend, &redis_backend.table_options, table->specific, &own))
        return backend_fail(ret_error, BACKEND_REFUSED,
                            "backend \"%s\": namespace \"%s\" has settings of %s, not of Redis", backend,
                            table->name, table->specific->type->title);
    if (strcmp(own.layout, "hash") != 0 && strcmp(own.layout, "string") != 0)
        return backend_fail(ret_error, BACKEND_REFUSED,
                            "backend \"%s\": namespace \"%s\": layout is \"hash\" or \"string\", not \"%s\"",
                            backend, table->name, own.layout);
    *ours = (struct redis_table){.table = table,
                                 .is_string = strcmp(own.layout, "string") == 0,
                                 .key_prefix = slice_string(table->key_prefix ? table->key_prefix : ""),
                                 .store_prefix = slice_string(own.store_prefix)};
    return BACKEND_OK;
}

static enum backend_status take_options(struct redis_connection *connection,
                                        const struct backend_options *options,
                                        struct backend_error *ret_error) {
    struct redis_options own;
    const char *problem;
    for (size_t i = 0; i < options->table_count; i++) {
        assert(options->tables[i]->index == i);
        enum backend_status status =
            take_table(&connection->tables[i], options->name, options->tables[i], ret_error);
        if (status != BACKEND_OK)
            return status;
    }
    if (!backend_take_specific(&redis_backend, &redis_backend.options, options->specific, &own))
        return backend_fail(ret_error, BACKEND_REFUSED, "backend \"%s\" has settings of %s, not of Redis",
                            options->name, options->specific->type->title);
    if (!redis_address_parse(options->uri, &connection->address, &problem))
        return backend_fail(ret_error, BACKEND_REFUSED, "backend \"%s\": bad URI: %s", options->name,
                            problem);
    snprintf(connection->tombstone_seconds, sizeof connection->tombstone_seconds, "%u",
             own.tombstone_seconds);
    return BACKEND_OK;
}

enum backend_status redis_open(const struct backend_options *options, enum backend_role role,
                               struct backend_connection **ret_connection, struct backend_error *ret_error) {
    assert(options->timeout_ms > 0);
    struct redis_connection *connection = allocate(options, role);
    if (!connection)
        return backend_fail(ret_error, BACKEND_TRANSIENT, "backend \"%s\": out of memory", options->name);
    enum backend_status status = take_options(connection, options, ret_error);
    if (status == BACKEND_OK)
        status = redis_first_contact(connection, ret_error);
    connection->base.call_until_us = 0;
    if (status == BACKEND_REFUSED)
        redis_close(&connection->base);
    else
        *ret_connection = &connection->base;
    return status == BACKEND_REFUSED ? BACKEND_REFUSED : BACKEND_OK;
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
        *(uint64_t *)task = redis_number_in(reply);
    freeReplyObject(reply);
    return step;
}

enum backend_status redis_high_version(struct backend_connection *base, uint64_t *ret_version,
                                       struct backend_error *ret_error) {
    uint64_t version = 0;
    enum backend_status status = redis_do(redis_connection_of(base), high_work, &version, ret_error);
    if (status == BACKEND_OK)
        *ret_version = version;
    return status;
}

/* A connection leads to the server that took it, whatever is at the address now. */
enum backend_status redis_look(struct backend_connection *base, struct backend_error *ret_error) {
    (void)base, (void)ret_error;
    return BACKEND_OK;
}
