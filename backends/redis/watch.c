/* SPDX-License-Identifier: MIT */
/*
 * Hearing of changes: Redis tells which keys with certain prefixes were changed, expired or evicted, by whomever
 * (client tracking, broadcasting mode).
 *
 *     CLIENT ID, CLIENT TRACKING ON REDIRECT <own id> BCAST PREFIX ..., SUBSCRIBE __redis__:invalidate
 *
 * One connection redirects to itself: with two, one could die unnoticed. Messages and the answers to PING come over it
 * in their order, so a pong proves that nothing is missing of what was changed before its PING. After a new beginning
 * any key may have been changed meanwhile.
 *
 * NOLOOP would keep our own changes away, but in 7.0 it does not do so for those that a script makes, as ours are.
 * Numbers of databases are not told apart: what is changed in another one is told as well, and does no harm.
 *
 * A Sentinel may name another master while the one that is heard goes on answering: what has changed since is told
 * elsewhere. So it is asked as often as that, and what it has not confirmed is not proven, unless none of them answers.
 *
 * It is read with poll: a blocking read of hiredis that times out leaves a link that cannot be used again.
 *
 * Of a cluster each master is heard: watch_cluster.c.
 */
#include "backends/redis/watch.h"
#include "backends/failure.h"
#include "cache/base/clock.h"
#include "cache/base/fit.h"
#include <poll.h>

static const char channel[] = "__redis__:invalidate", moved_own[] = REDIS_OWN " " REDIS_OWN;

/* ---- Prefixes ---- */

struct prefixes {
    struct slice *list;
    size_t count;
};

/* Redis takes none that begins with another one. */
static void add_prefix(struct prefixes *prefixes, struct slice prefix) {
    size_t kept = 0;
    for (size_t i = 0; i < prefixes->count; i++)
        if (slice_starts_with(prefix, prefixes->list[i]))
            return;
    for (size_t i = 0; i < prefixes->count; i++)
        if (!slice_starts_with(prefixes->list[i], prefix))
            prefixes->list[kept++] = prefixes->list[i];
    prefixes->list[kept++] = prefix;
    prefixes->count = kept;
}

/* The room for them is in the arena; NULL: out of memory. An entry whose own name is taken has another one
 * (words.c). */
static bool find_prefixes(struct redis_connection *connection, struct prefixes *ret_prefixes) {
    struct slice *list = arena_take(&connection->words, (2 * connection->table_count + 1) * sizeof *list);
    *ret_prefixes = (struct prefixes){list, 0};
    for (size_t i = 0; list && i < connection->table_count; i++) {
        const struct redis_table *table = &connection->tables[i];
        struct slice prefix = redis_whole(connection, table->store_prefix, table->key_prefix);
        if (!prefix.data)
            return false;
        add_prefix(ret_prefixes, prefix);
        if (slice_starts_with(prefix, SLICE(REDIS_OWN)))
            add_prefix(ret_prefixes, slice_of(moved_own, sizeof moved_own - 1));
    }
    return list != NULL;
}

/* ---- Subscribing ---- */

/* What each of these needs is said with its refusal. */
static enum redis_step refuse(const struct redis_connection *connection, const redisReply *reply,
                              enum backend_status *ret_status, struct backend_error *ret_error) {
    enum redis_step step = redis_say(connection, reply, BACKEND_TRANSIENT, ret_status, ret_error);
    fit_print(ret_error->message, sizeof ret_error->message,
              "%s. coherent needs +client|id +client|tracking +subscribe +ping &%s", ret_error->message,
              channel);
    return step;
}

/* One command of the beginning: its answer is of this type. *ret_number: an integer's. */
static enum redis_step say(struct redis_connection *connection, size_t count, const char **words,
                           const size_t *sizes, int type, long long *ret_number,
                           enum backend_status *ret_status, struct backend_error *ret_error) {
    redisReply *reply = NULL;
    if (!redis_append(connection, count, words, sizes))
        return redis_out_of_memory(connection, ret_status, ret_error);
    enum redis_step step = redis_answer(connection, &reply);
    if (step != REDIS_DONE)
        return step;
    if (reply->type == REDIS_REPLY_ERROR && redis_begins_with(reply, "LOADING"))
        step = redis_error_means(connection, reply, ret_status, ret_error);
    else if (reply->type == REDIS_REPLY_ERROR)
        step = refuse(connection, reply, ret_status, ret_error);
    else if (reply->type != type)
        step = redis_odd_answer(connection, ret_status, ret_error);
    else
        *ret_number = reply->integer;
    freeReplyObject(reply);
    return step;
}

static enum redis_step ask_id(struct redis_connection *connection, long long *ret_id,
                              enum backend_status *ret_status, struct backend_error *ret_error) {
    const char *words[] = {"CLIENT", "ID"};
    const size_t sizes[] = {6, 2};
    return say(connection, 2, words, sizes, REDIS_REPLY_INTEGER, ret_id, ret_status, ret_error);
}

static enum redis_step track(struct redis_connection *connection, long long id,
                             enum backend_status *ret_status, struct backend_error *ret_error) {
    enum { WORDS = 6 };
    struct prefixes prefixes;
    long long nothing;
    if (!find_prefixes(connection, &prefixes))
        return redis_out_of_memory(connection, ret_status, ret_error);
    size_t count = WORDS + 2 * prefixes.count;
    const char **words = arena_take(&connection->words, count * sizeof *words);
    size_t *sizes = arena_take(&connection->words, count * sizeof *sizes);
    struct slice number = redis_number(connection, (uint64_t)id);
    if (!words || !sizes)
        return redis_out_of_memory(connection, ret_status, ret_error);
    const struct slice first[WORDS] = {SLICE("CLIENT"), SLICE("TRACKING"), SLICE("ON"), SLICE("REDIRECT"),
                                       number,          SLICE("BCAST")};
    for (size_t i = 0; i < count; i++) {
        struct slice word = i < WORDS              ? first[i]
                            : (i - WORDS) % 2 == 0 ? SLICE("PREFIX")
                                                   : prefixes.list[(i - WORDS) / 2];
        words[i] = word.data;
        sizes[i] = word.size;
    }
    return say(connection, count, words, sizes, REDIS_REPLY_STATUS, &nothing, ret_status, ret_error);
}

static enum redis_step subscribe_work(struct redis_connection *connection, void *task,
                                      enum backend_status *ret_status, struct backend_error *ret_error) {
    const char *words[] = {"SUBSCRIBE", channel};
    const size_t sizes[] = {9, sizeof channel - 1};
    long long id = 0;
    (void)task;
    enum redis_step step = ask_id(connection, &id, ret_status, ret_error);
    if (step == REDIS_DONE)
        step = track(connection, id, ret_status, ret_error);
    if (step == REDIS_DONE)
        step = say(connection, 2, words, sizes, REDIS_REPLY_ARRAY, &id, ret_status, ret_error);
    return step;
}

/* ---- Messages ---- */

/* Two namespaces may each have a key of this name: their prefixes in the store may differ. */
static void tell_key(struct redis_connection *connection, struct slice name,
                     struct backend_listener *listener) {
    struct slice whole;
    if (!redis_entry_named(name, &whole))
        return;
    for (size_t i = 0; i < connection->table_count; i++) {
        const struct redis_table *table = &connection->tables[i];
        if (!slice_starts_with(whole, table->store_prefix))
            continue;
        struct slice key =
            slice_of(whole.data + table->store_prefix.size, whole.size - table->store_prefix.size);
        if (key.size > 0 && key.size <= ENTRY_KEY_MAX && slice_starts_with(key, table->key_prefix))
            listener->changed(listener, table->table, key);
    }
}

/* No keys, but nil: all are gone. */
static void tell(struct redis_connection *connection, const redisReply *keys,
                 struct backend_listener *listener) {
    if (keys->type != REDIS_REPLY_ARRAY) {
        listener->lost(listener);
        return;
    }
    for (size_t i = 0; i < keys->elements; i++)
        if (keys->element[i]->type == REDIS_REPLY_STRING)
            tell_key(connection, slice_of(keys->element[i]->str, (size_t)keys->element[i]->len), listener);
}

static bool is_word(const redisReply *reply, struct slice word) {
    return reply->type == REDIS_REPLY_STRING && slice_equal(slice_of(reply->str, (size_t)reply->len), word);
}

/* False: what Redis does not say to a watcher. */
static bool take_message(struct redis_connection *connection, struct redis_watch *watch,
                         const redisReply *reply, struct backend_listener *listener) {
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2)
        return false;
    if (is_word(reply->element[0], SLICE("pong"))) {
        watch->proven_us = watch->pinged_us;
        watch->pinged_us = 0;
        return true;
    }
    if (reply->elements != 3 || !is_word(reply->element[0], SLICE("message")))
        return false;
    tell(connection, reply->element[2], listener);
    return true;
}

/* ---- The link in hand ---- */

static enum backend_status lose(struct redis_connection *connection, struct redis_watch *watch,
                                const char *reason, struct backend_error *ret_error) {
    redisContext *context = connection->link->context;
    if (!reason)
        reason = context && *context->errstr ? context->errstr : "the connection broke";
    backend_fail(ret_error, BACKEND_TRANSIENT, "backend \"%s\", redis at %s: %s", connection->name,
                 redis_shown(connection), reason);
    redis_disconnect(connection);
    *watch = (struct redis_watch){.subscribed = false};
    return BACKEND_TRANSIENT;
}

/* False: it could not be sent. */
static bool ping(struct redis_connection *connection, struct redis_watch *watch, uint64_t now_us) {
    const char *words[] = {"PING"};
    const size_t sizes[] = {4};
    if (watch->pinged_us || now_us < watch->next_ping_us)
        return true;
    watch->pinged_us = now_us;
    watch->next_ping_us = now_us + BACKEND_PROOF_MS * US_PER_MS;
    return redis_put_command(connection->link->context, 1, words, sizes) == REDIS_OK &&
           redis_send(connection) == REDIS_DONE;
}

bool redis_is_silent(const struct redis_connection *connection, uint64_t asked_us, uint64_t now_us) {
    return asked_us && now_us - asked_us > (uint64_t)connection->timeout_ms * US_PER_MS;
}

enum backend_status redis_watch_reach(struct redis_connection *connection, struct redis_watch *watch,
                                      bool *ret_anew, struct backend_error *ret_error) {
    if (!watch->subscribed) {
        enum backend_status status = redis_try(connection, subscribe_work, NULL, ret_error);
        *watch = (struct redis_watch){.subscribed = status == BACKEND_OK};
        *ret_anew = status == BACKEND_OK;
        if (status != BACKEND_OK)
            return status;
    }
    uint64_t now_us = monotonic_us();
    if (redis_is_silent(connection, watch->pinged_us, now_us))
        return lose(connection, watch, "no answer in time", ret_error);
    return ping(connection, watch, now_us) ? BACKEND_OK : lose(connection, watch, NULL, ret_error);
}

enum backend_status redis_watch_take(struct redis_connection *connection, struct redis_watch *watch,
                                     struct backend_listener *listener, struct backend_error *ret_error) {
    void *reply = NULL;
    redisContext *context = connection->link->context;
    bool good = redis_read_in(context) == REDIS_OK;
    while (good && (good = redisReaderGetReply(context->reader, &reply) == REDIS_OK) && reply) {
        good = take_message(connection, watch, reply, listener);
        freeReplyObject(reply);
    }
    return good ? BACKEND_OK : lose(connection, watch, NULL, ret_error);
}

/* ---- One Redis ---- */

static enum backend_status hear_one(struct redis_connection *connection, unsigned wait_ms,
                                    struct backend_listener *listener, uint64_t *ret_proven_us,
                                    struct backend_error *ret_error) {
    struct redis_watch *watch = &connection->watch;
    bool anew = false;
    if (watch->subscribed && !redis_is_still_master(connection))
        return lose(connection, watch, "Sentinel names another master", ret_error);
    enum backend_status status = redis_watch_reach(connection, watch, &anew, ret_error);
    if (anew)
        listener->lost(listener);
    if (status != BACKEND_OK)
        return status;
    struct pollfd wanted = {.fd = connection->link->context->fd, .events = POLLIN};
    if (redis_poll(&wanted, 1, monotonic_us() + wait_ms * US_PER_MS) > 0)
        status = redis_watch_take(connection, watch, listener, ret_error);
    uint64_t named_us = redis_named_until_us(connection);
    if (status == BACKEND_OK)
        *ret_proven_us = watch->proven_us < named_us ? watch->proven_us : named_us;
    return status;
}

enum backend_status redis_changes(struct backend_connection *base, unsigned wait_ms,
                                  struct backend_listener *listener, uint64_t *ret_proven_us,
                                  struct backend_error *ret_error) {
    struct redis_connection *connection = redis_connection_of(base);
    assert(connection->role == BACKEND_WATCHER);
    if (connection->cluster)
        return redis_cluster_changes(connection, wait_ms, listener, ret_proven_us, ret_error);
    return hear_one(connection, wait_ms, listener, ret_proven_us, ret_error);
}
