/* SPDX-License-Identifier: MIT */
/*
 * The newest entries of a namespace, for the preload.
 *
 * Redis has no order by version. So SCAN walks all keys of the database, the version of each that belongs to
 * the namespace is asked for, and the newest `limit` are kept in a heap; then those are loaded, newest first,
 * unless their keys are all that is wanted. The cost is that of a walk over the whole database once, in small
 * steps that do not hold up Redis; memory is that of `limit` keys. Entries that change during the walk are
 * shown as they are when they are loaded.
 *
 * In a cluster, each master is walked in turn. A key whose slot moves meanwhile may be met twice, or not at all: then
 * all of it is walked again. Page by page, without an order: pages.c.
 */
#include "backends/failure.h"
#include "backends/redis/cluster.h"
#include "backends/redis/picks.h"
#include <stdio.h>
#include <stdlib.h>

enum {
    PAGE_KEYS = 1000, /* what SCAN is asked for in one step */
    LOAD_KEYS = 256,
    WALKS_MAX = 5
};

struct scan_task {
    const struct redis_table *table;
    struct picks picks;
    char cursor[REDIS_CURSOR_SIZE];
    redisReply *page;
    bool moved; /* in a cluster: some key was not where it was met */
};

/* ---- The walk ---- */

/* The key of an entry of this table from its name in Redis: not somebody else's, not of a namespace with a
 * longer prefix, not one of our own keys. */
bool redis_scan_belongs(const struct redis_connection *connection, const struct redis_table *table,
                        struct slice name, struct slice *ret_key) {
    struct slice prefix = table->store_prefix, whole;
    if (!name.data) /* something stood there that is no string */
        return false;
    if (!redis_entry_named(name, &whole) || !slice_starts_with(whole, prefix))
        return false;
    struct slice key = slice_of(whole.data + prefix.size, whole.size - prefix.size);
    if (!slice_starts_with(key, table->key_prefix) || key.size == 0 || key.size > ENTRY_KEY_MAX)
        return false;
    for (size_t i = 0; i < connection->table_count; i++) {
        const struct redis_table *other = &connection->tables[i];
        if (other->key_prefix.size > table->key_prefix.size && slice_starts_with(key, other->key_prefix) &&
            slice_equal(other->store_prefix, prefix))
            return false;
    }
    *ret_key = key;
    return true;
}

/* The start of the names, with the pattern's own signs made harmless. Where some of the names may be taken, of all
 * that may be ours: `belongs` takes the others out. */
static struct slice pattern_of(struct redis_connection *connection, const struct redis_table *table) {
    struct slice start = redis_whole(connection, table->store_prefix, table->key_prefix);
    if (start.data && slice_starts_with(start, SLICE(REDIS_OWN)))
        start = SLICE(REDIS_OWN);
    char *pattern = start.data ? arena_take(&connection->words, 2 * start.size + 1) : NULL;
    size_t size = 0;
    if (!pattern)
        return slice_of(NULL, 0);
    for (size_t i = 0; i < start.size; i++) {
        if (strchr("*?[]^-\\", start.data[i]))
            pattern[size++] = '\\';
        pattern[size++] = start.data[i];
    }
    pattern[size++] = '*';
    return slice_of(pattern, size);
}

enum redis_step redis_scan_names(struct redis_connection *connection, const struct redis_table *table,
                                 char cursor[REDIS_CURSOR_SIZE], redisReply **ret_page,
                                 enum backend_status *ret_status, struct backend_error *ret_error) {
    struct slice pattern = pattern_of(connection, table), count = redis_number(connection, PAGE_KEYS);
    const char *words[] = {"SCAN",  cursor,     "MATCH", pattern.data,
                           "COUNT", count.data, "TYPE",  table->is_string ? "string" : "hash"};
    const size_t sizes[] = {4, strlen(cursor), 5, pattern.size, 5, count.size, 4, strlen(words[7])};
    redisReply *page = NULL;
    if (!redis_append(connection, 8, words, sizes))
        return redis_out_of_memory(connection, ret_status, ret_error);
    enum redis_step step = redis_answer(connection, &page);
    if (step != REDIS_DONE)
        return step;
    if (page->type == REDIS_REPLY_ERROR)
        step = redis_error_means(connection, page, ret_status, ret_error);
    else if (page->type != REDIS_REPLY_ARRAY || page->elements != 2 ||
             page->element[0]->type != REDIS_REPLY_STRING || page->element[1]->type != REDIS_REPLY_ARRAY)
        step = redis_odd_answer(connection, ret_status, ret_error);
    if (step != REDIS_DONE) {
        freeReplyObject(page);
        return step;
    }
    snprintf(cursor, REDIS_CURSOR_SIZE, "%s", page->element[0]->str);
    *ret_page = page;
    return REDIS_DONE;
}

/* One command per key: [version, something that only live entries have]. */
static bool ask_version(struct redis_connection *connection, const struct redis_table *table,
                        struct slice name, struct slice key) {
    if (table->is_string) {
        struct slice beside = redis_companion(connection, table, key);
        const char *words[] = {"HMGET", beside.data, "version", "version"};
        const size_t sizes[] = {5, beside.size, 7, 7};
        return redis_append(connection, 4, words, sizes);
    }
    const char *words[] = {"HMGET", name.data, "version", "expires_at"}; /* a tombstone has no expires_at */
    const size_t sizes[] = {5, name.size, 7, 10};
    return redis_append(connection, 4, words, sizes);
}

static enum redis_step hear_version(struct redis_connection *connection, struct scan_task *task,
                                    struct slice key, enum backend_status *ret_status,
                                    struct backend_error *ret_error) {
    redisReply *reply = NULL;
    enum redis_step step = redis_answer(connection, &reply);
    if (step != REDIS_DONE)
        return step;
    bool pair = reply->type == REDIS_REPLY_ARRAY && reply->elements == 2;
    bool live = pair && (task->table->is_string || reply->element[1]->type == REDIS_REPLY_STRING);
    if (live && !picks_add(&task->picks, key, redis_number_in(reply->element[0], ENTRY_VERSION_HIGHEST)))
        step = redis_out_of_memory(connection, ret_status, ret_error);
    task->moved |= reply->type == REDIS_REPLY_ERROR && redis_is_elsewhere(reply);
    freeReplyObject(reply); /* other errors: the key became another type meanwhile; it is not ours */
    return step;
}

static enum redis_step pick_from_page(struct redis_connection *connection, struct scan_task *task,
                                      enum backend_status *ret_status, struct backend_error *ret_error) {
    const redisReply *names = task->page->element[1];
    enum redis_step step = REDIS_DONE;
    struct slice key;
    for (size_t i = 0; i < names->elements; i++) {
        struct slice name = slice_of(names->element[i]->str, (size_t)names->element[i]->len);
        if (redis_scan_belongs(connection, task->table, name, &key) &&
            !ask_version(connection, task->table, name, key))
            return redis_out_of_memory(connection, ret_status, ret_error);
    }
    for (size_t i = 0; i < names->elements && step == REDIS_DONE; i++) {
        struct slice name = slice_of(names->element[i]->str, (size_t)names->element[i]->len);
        if (redis_scan_belongs(connection, task->table, name, &key))
            step = hear_version(connection, task, key, ret_status, ret_error);
    }
    return step;
}

/* One page. When it is started over, keys of the page may be picked twice: picks_sort takes them out. */
static enum redis_step page_work(struct redis_connection *connection, void *context,
                                 enum backend_status *ret_status, struct backend_error *ret_error) {
    struct scan_task *task = context;
    char before[sizeof task->cursor];
    memcpy(before, task->cursor, sizeof before);
    enum redis_step step =
        redis_scan_names(connection, task->table, task->cursor, &task->page, ret_status, ret_error);
    if (step == REDIS_DONE)
        step = pick_from_page(connection, task, ret_status, ret_error);
    if (task->page)
        freeReplyObject(task->page);
    task->page = NULL;
    if (step != REDIS_DONE)
        memcpy(task->cursor, before, sizeof before);
    return step;
}

static enum backend_status walk(struct redis_connection *connection, struct scan_task *task,
                                struct backend_error *ret_error) {
    enum backend_status status;
    snprintf(task->cursor, sizeof task->cursor, "0");
    do
        status = redis_do(connection, page_work, task, ret_error);
    while (status == BACKEND_OK && strcmp(task->cursor, "0") != 0);
    return status;
}

/* ---- In a cluster ---- */

enum redis_step redis_scan_sees_moves(struct redis_connection *connection, void *ret_moves,
                                      enum backend_status *ret_status, struct backend_error *ret_error) {
    const char *words[] = {"CLUSTER", "NODES"};
    const size_t sizes[] = {7, 5};
    redisReply *reply = NULL;
    if (!redis_append(connection, 2, words, sizes))
        return redis_out_of_memory(connection, ret_status, ret_error);
    enum redis_step step = redis_answer(connection, &reply);
    if (step != REDIS_DONE)
        return step;
    const char *line = reply->type == REDIS_REPLY_STRING ? strstr(reply->str, "myself") : NULL;
    const char *bracket = line ? strstr(line, " [") : NULL;
    *(bool *)ret_moves |= bracket && bracket < line + strcspn(line, "\n");
    freeReplyObject(reply);
    return REDIS_DONE;
}

static enum backend_status walk_masters(struct redis_connection *connection, struct scan_task *task,
                                        struct backend_error *ret_error) {
    struct redis_cluster *cluster = connection->cluster;
    enum backend_status status = BACKEND_OK;
    if (cluster->uncovered_since_us) {
        redis_cluster_tell_uncovered(connection, redis_cluster_first_uncovered(cluster), ret_error);
        status = BACKEND_TRANSIENT;
    }
    for (size_t i = 0; i < cluster->map.master_count && status == BACKEND_OK; i++) {
        connection->link = &cluster->nodes[i]->link;
        status = walk(connection, task, ret_error);
        if (status == BACKEND_OK)
            status = redis_do(connection, redis_scan_sees_moves, &task->moved, ret_error);
    }
    connection->link = &connection->only;
    return status;
}

/* Walks all masters, and looks whether slots have moved meanwhile: task->moved. */
static enum backend_status walk_once(struct redis_connection *connection, struct scan_task *task,
                                     struct backend_error *ret_error) {
    enum backend_status status = BACKEND_TRANSIENT;
    struct redis_slot_map *before = malloc(sizeof *before);
    if (!before || !redis_cluster_refresh_now(connection, &status, ret_error)) {
        free(before);
        return status;
    }
    task->moved = false;
    *before = connection->cluster->map;
    status = walk_masters(connection, task, ret_error);
    enum backend_status again = BACKEND_TRANSIENT;
    if (status == BACKEND_OK && !redis_cluster_refresh_now(connection, &again, ret_error))
        status = again;
    task->moved |= !redis_slots_equal(before, &connection->cluster->map);
    free(before);
    return status;
}

/* What is shown of all keys has to be whole; of the newest ones, a few may be missing. */
static enum backend_status walk_cluster(struct redis_connection *connection, struct scan_task *task,
                                        bool all_keys, struct backend_error *ret_error) {
    enum backend_status status = BACKEND_OK;
    for (unsigned walks = 0; walks < WALKS_MAX; walks++) {
        const size_t limit = task->picks.limit;
        picks_free(&task->picks);
        task->picks = (struct picks){.limit = limit};
        redis_begin_call(connection);
        status = walk_once(connection, task, ret_error);
        if (status != BACKEND_OK || !task->moved)
            return status;
    }
    return all_keys
               ? backend_fail(
                     ret_error, BACKEND_TRANSIENT,
                     "backend \"%s\", redis cluster: slots move all the time, so that keys may be left out",
                     connection->name)
               : BACKEND_OK;
}

/* ---- Showing ---- */

static enum backend_status show_some(struct redis_connection *connection, const struct scan_task *task,
                                     size_t from, size_t count, uint32_t now, struct backend_visitor *visitor,
                                     bool *ret_wanted, struct backend_error *ret_error) {
    struct slice keys[LOAD_KEYS];
    struct load_result results[LOAD_KEYS];
    for (size_t i = 0; i < count; i++)
        keys[i] = slice_of(task->picks.heap[from + i].key, task->picks.heap[from + i].size);
    enum backend_status status =
        redis_load(&connection->base, task->table->table, keys, count, now, results, ret_error);
    for (size_t i = 0; i < count && status == BACKEND_OK && *ret_wanted; i++)
        if (results[i].found)
            *ret_wanted = visitor->entry(visitor, &results[i].entry);
    return status;
}

static void show_keys(const struct scan_task *task, struct backend_visitor *visitor) {
    bool wanted = true;
    for (size_t i = 0; i < task->picks.count && wanted; i++) {
        const struct picked *picked = &task->picks.heap[i];
        struct entry entry = {.key = {picked->key, picked->size}, .version = picked->version};
        wanted = visitor->entry(visitor, &entry);
    }
}

static enum backend_status show(struct redis_connection *connection, const struct scan_task *task,
                                uint32_t now, struct backend_visitor *visitor,
                                struct backend_error *ret_error) {
    enum backend_status status = BACKEND_OK;
    bool wanted = true;
    for (size_t from = 0; from < task->picks.count && wanted && status == BACKEND_OK; from += LOAD_KEYS) {
        size_t left = task->picks.count - from;
        status = show_some(connection, task, from, left < LOAD_KEYS ? left : LOAD_KEYS, now, visitor, &wanted,
                           ret_error);
    }
    return status;
}

static enum backend_status scan(struct redis_connection *connection, const struct backend_table *table,
                                size_t limit, uint32_t now, struct backend_visitor *visitor,
                                struct backend_error *ret_error) {
    struct scan_task task = {.table = redis_table_of(connection, table), .picks = {.limit = limit}};
    enum backend_status status = BACKEND_OK;
    if (visitor->place)
        return redis_scan_page(connection, task.table, visitor, ret_error);
    if (limit == 0)
        return BACKEND_OK;
    if (connection->cluster)
        status = walk_cluster(connection, &task, visitor->all_keys, ret_error);
    else
        status = walk(connection, &task, ret_error);
    picks_sort(&task.picks);
    if (status == BACKEND_OK && visitor->keys_only)
        show_keys(&task, visitor);
    else if (status == BACKEND_OK)
        status = show(connection, &task, now, visitor, ret_error);
    picks_free(&task.picks);
    return status;
}

/* A scan that a master has not answered, while others do. */
enum backend_status redis_scan(struct backend_connection *base, const struct backend_table *table,
                               size_t limit, uint32_t now, struct backend_visitor *visitor,
                               struct backend_error *ret_error) {
    struct redis_connection *connection = redis_connection_of(base);
    enum backend_status status = scan(connection, table, limit, now, visitor, ret_error);
    base->partial =
        status == BACKEND_TRANSIENT && connection->cluster && redis_cluster_is_partial(connection->cluster);
    return status;
}

/* Nothing counts the keys of one namespace. */
enum backend_status redis_extent(struct backend_connection *base, const struct backend_table *table,
                                 size_t most, uint64_t room, struct backend_extent *ret_extent,
                                 struct backend_error *ret_error) {
    (void)base, (void)table, (void)most, (void)room, (void)ret_error;
    *ret_extent = (struct backend_extent){.rows = SIZE_MAX};
    return BACKEND_OK;
}
