/* SPDX-License-Identifier: MIT */
/* Connections: opened, closed, and asked for what is of the whole database. */
#include "backends/failure.h"
#include "backends/redis/cluster.h"
#include "backends/redis/proofs.h"
#include "backends/redis/watch.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Opening ---- */

void redis_close(struct backend_connection *base) {
    if (!base)
        return;
    struct redis_connection *connection = redis_connection_of(base);
    if (connection->cluster)
        redis_cluster_take_up_nodes(connection);
    redis_unregister(connection);
    redis_disconnect(connection);
    redis_proofs_leave(connection);
    redis_cluster_destroy(connection->cluster);
    redis_hearing_destroy(connection->hearing);
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
    connection->node = options->node;
    connection->former_node = role == BACKEND_WRITER ? options->former_node : options->node;
    connection->nodes = options->nodes;
    connection->acknowledged = role == BACKEND_READER ? options->acknowledged : NULL;
    connection->writes = role == BACKEND_WRITER && !options->reads_only;
    connection->base.call_until_us = options->open_until_us;
    connection->only.address = &connection->address;
    connection->link = &connection->only;
    connection->name = strdup(options->name);
    connection->timeout_ms = options->timeout_ms;
    strcpy(connection->heir_of, "-");
    connection->starting = !options->running;
    redis_make_mark(connection);
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

/* False: out of memory. */
static bool take_cluster(struct redis_connection *connection) {
    connection->base.has_parts = true;
    connection->cluster = redis_cluster_create();
    if (connection->cluster && connection->role == BACKEND_WRITER)
        connection->cluster->proofs = redis_proofs_take(connection);
    if (connection->cluster && connection->acknowledged)
        connection->cluster->shown = calloc(1, sizeof *connection->cluster->shown);
    return connection->cluster && (connection->role != BACKEND_WRITER || connection->cluster->proofs) &&
           (!connection->acknowledged || connection->cluster->shown);
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
    if (connection->address.seed_count > 0 && !take_cluster(connection))
        return backend_fail(ret_error, BACKEND_TRANSIENT, "backend \"%s\": out of memory", options->name);
    connection->replicas = own.replicas;
    connection->sentinel_user = own.sentinel_user;
    connection->sentinel_password = own.sentinel_password;
    snprintf(connection->tombstone_seconds, sizeof connection->tombstone_seconds, "%u",
             own.tombstone_seconds);
    return BACKEND_OK;
}

/* Of a cluster, whoever changes something, or probes, looks at all that is named. */
static enum backend_status first_contact(struct redis_connection *connection,
                                         struct backend_error *ret_error) {
    bool looks_closely = connection->role == BACKEND_WRITER || connection->only_looks;
    return connection->cluster ? redis_cluster_open(connection, looks_closely, ret_error)
                               : redis_first_contact(connection, ret_error);
}

enum backend_status redis_open(const struct backend_options *options, enum backend_role role,
                               struct backend_connection **ret_connection, struct backend_error *ret_error) {
    assert(options->timeout_ms > 0);
    struct redis_connection *connection = allocate(options, role);
    if (!connection)
        return backend_fail(ret_error, BACKEND_TRANSIENT, "backend \"%s\": out of memory", options->name);
    if (role == BACKEND_WRITER && !redis_know_itself(connection, options->data)) {
        backend_fail(ret_error, BACKEND_TRANSIENT,
                     "backend \"%s\": cannot find out what tells this server from others: %s", options->name,
                     strerror(errno));
        redis_close(&connection->base);
        return BACKEND_TRANSIENT;
    }
    enum backend_status status = take_options(connection, options, ret_error);
    if (status == BACKEND_OK)
        status = first_contact(connection, ret_error);
    connection->base.call_until_us = 0;
    if (status == BACKEND_REFUSED)
        redis_close(&connection->base);
    else
        *ret_connection = &connection->base;
    return status == BACKEND_REFUSED ? BACKEND_REFUSED : BACKEND_OK;
}

/* Of several places that lead to the store one does not, or leads elsewhere. */
static bool is_half_wrong(struct redis_connection *connection, struct backend_error *ret_error) {
    return connection->cluster ? redis_cluster_seed_is_away(connection, ret_error)
                               : redis_sentinels_differ(connection, ret_error);
}

/* As a reader: the writer's connection would mark the store. */
enum backend_status redis_probe(const struct backend_options *options, uint64_t *ret_version,
                                struct backend_error *ret_error) {
    uint64_t version = 0;
    struct redis_connection *connection = allocate(options, BACKEND_READER);
    if (!connection)
        return backend_fail(ret_error, BACKEND_TRANSIENT, "backend \"%s\": out of memory", options->name);
    connection->only_looks = true;
    connection->writes = !options->reads_only;
    enum backend_status status = take_options(connection, options, ret_error);
    if (status == BACKEND_OK)
        status = first_contact(connection, ret_error);
    if (status == BACKEND_OK)
        status = redis_high_version(&connection->base, &version, ret_error);
    if (status == BACKEND_OK && connection->cluster)
        status = redis_cluster_probe(connection, ret_error);
    if (status == BACKEND_OK)
        status = redis_look_for_rival(connection, options->data, options->running_pid, ret_error);
    if (status == BACKEND_OK && !is_half_wrong(connection, ret_error))
        *ret_error->message = '\0';
    if (status == BACKEND_OK)
        *ret_version = version;
    redis_close(&connection->base);
    return status;
}

/* ---- The high version ---- */

struct high_task {
    uint64_t version, applied, found;
    bool refused; /* redis_do takes a refusal for one that may pass */
};

/* The start of a value as a line of the log may hold it. */
static void show_value(const redisReply *reply, char ret_text[41]) {
    size_t size = (size_t)reply->len < 40 ? (size_t)reply->len : 40;
    for (size_t i = 0; i < size; i++)
        ret_text[i] = reply->str[i] >= ' ' && reply->str[i] < 0x7f ? reply->str[i] : '?';
    ret_text[size] = '\0';
}

/* The key is ours alone, so somebody else put there what is no version. Whoever knows the store has to judge it: from
 * too low a version on, changes would be superseded by the rows; above every clock, versions would come to an end. */
static enum redis_step refuse_high(const struct redis_connection *connection, const char *key,
                                   const redisReply *reply, enum backend_status *ret_status,
                                   struct backend_error *ret_error) {
    char shown[41] = "a value of another type";
    if (reply->type == REDIS_REPLY_STRING)
        show_value(reply, shown);
    *ret_status = backend_fail(
        ret_error, BACKEND_REFUSED,
        "backend \"%s\", redis at %.80s: the key %s holds %s, which is no version: delete it, and versions start from the clock",
        connection->name, redis_shown(connection), key, shown);
    return REDIS_FAILED;
}

enum redis_step redis_read_high(const struct redis_connection *connection, const char *key,
                                const redisReply *reply, uint64_t *ret_version, bool *ret_refused,
                                enum backend_status *ret_status, struct backend_error *ret_error) {
    bool fails = reply->type == REDIS_REPLY_ERROR;
    if (fails && !redis_begins_with(reply, "WRONGTYPE"))
        return redis_error_means(connection, reply, ret_status, ret_error);
    *ret_version = redis_number_in(reply, ENTRY_VERSION_HIGHEST);
    *ret_refused = fails || (reply->type != REDIS_REPLY_NIL && *ret_version == 0);
    return *ret_refused ? refuse_high(connection, key, reply, ret_status, ret_error) : REDIS_DONE;
}

static enum redis_step high_work(struct redis_connection *connection, void *context,
                                 enum backend_status *ret_status, struct backend_error *ret_error) {
    struct high_task *task = context;
    const char *words[] = {"GET", REDIS_HIGH_KEY};
    const size_t sizes[] = {3, sizeof REDIS_HIGH_KEY - 1};
    redisReply *reply = NULL;
    if (!redis_append(connection, 2, words, sizes))
        return redis_out_of_memory(connection, ret_status, ret_error);
    enum redis_step step = redis_answer(connection, &reply);
    if (step != REDIS_DONE)
        return step;
    step = redis_read_high(connection, REDIS_HIGH_KEY, reply, &task->version, &task->refused, ret_status,
                           ret_error);
    freeReplyObject(reply);
    if (step == REDIS_DONE && connection->role == BACKEND_WRITER)
        step = redis_learn_mark(connection, ret_status, ret_error);
    if (step == REDIS_DONE && connection->role == BACKEND_WRITER)
        step = redis_learn_former(connection, ret_status, ret_error);
    if (step == REDIS_DONE && connection->role == BACKEND_WRITER)
        step = redis_register(connection, ret_status, ret_error);
    task->refused |= step == REDIS_FAILED && *ret_status == BACKEND_REFUSED;
    if (step == REDIS_DONE && connection->role == BACKEND_WRITER)
        step = redis_learn_applied(connection, &task->found, &task->applied, ret_status, ret_error);
    return step;
}

enum backend_status redis_high_version(struct backend_connection *base, uint64_t *ret_version,
                                       struct backend_error *ret_error) {
    struct redis_connection *connection = redis_connection_of(base);
    struct high_task task = {0};
    if (connection->cluster)
        return redis_cluster_high_version(connection, ret_version, ret_error);
    enum backend_status status = redis_do(connection, high_work, &task, ret_error);
    if (status == BACKEND_OK)
        *ret_version = task.version;
    if (status == BACKEND_OK && task.applied > base->applied)
        base->applied = task.applied;
    if (status == BACKEND_OK)
        base->found = task.found;
    if (status == BACKEND_OK && task.version > connection->known_version)
        connection->known_version = task.version;
    bool forbidden =
        status == BACKEND_TABLE_FAILED; /* an access list that leaves out this key: not a namespace's fault */
    return task.refused || forbidden ? BACKEND_REFUSED : status;
}
