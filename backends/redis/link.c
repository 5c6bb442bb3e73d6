/* SPDX-License-Identifier: MIT */
/*
 * The connection to Redis: made when needed, thrown away when in doubt.
 *
 *     closed --connect, AUTH, SELECT, INFO, SCRIPT LOAD--> open --broken pipe, timeout, no memory--> closed
 *
 * Where Sentinels are named, they are asked for the place of the master before each connect (sentinel.c).
 *
 * After a timeout an answer may still be under way, so the connection cannot be used again. Everything a call
 * does can be repeated, so a lost connection is answered by a new one and a new beginning, with pauses that
 * double, until the timeout of the call is over.
 */
#include "backends/failure.h"
#include "backends/redis/internal.h"
#include "cache/base/clock.h"
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <time.h>

enum {
    PAUSE_FIRST = 10, /* ms before the second attempt */
    PAUSE_LONGEST = 500,
    MOMENT = 200, /* ms: redis_try waits no longer */
    TRIES = 2
};

static uint64_t monotonic_ms(void) {
    return monotonic_us() / US_PER_MS;
}

static uint64_t deadline_of(const struct redis_connection *connection) {
    uint64_t deadline = monotonic_ms() + connection->timeout_ms,
             until = connection->base.call_until_us / US_PER_MS;
    return until && until < deadline ? until : deadline;
}

void redis_begin_call(struct redis_connection *connection) {
    connection->deadline = deadline_of(connection);
}

struct timeval redis_time_left(const struct redis_connection *connection, uint64_t most_ms) {
    uint64_t now = monotonic_ms();
    uint64_t left = connection->deadline > now ? connection->deadline - now : 1;
    left = left < most_ms ? left : most_ms;
    return (struct timeval){(time_t)(left / 1000), (suseconds_t)(left % 1000) * 1000};
}

/* ---- What an error means ---- */

bool redis_begins_with(const redisReply *reply, const char *word) {
    size_t size = strlen(word);
    return (size_t)reply->len >= size && memcmp(reply->str, word, size) == 0;
}

/* How much of an error answer may be told: its first line without its full stop, and of a command that the server does
 * not know only the name, as the arguments that it repeats may be a password. */
int redis_tellable(const redisReply *reply) {
    const char *arguments = strstr(reply->str, ", with args beginning with:");
    size_t line = strcspn(reply->str, "\r\n");
    if (arguments && (size_t)(arguments - reply->str) < line)
        line = (size_t)(arguments - reply->str);
    return (int)(line > 0 && reply->str[line - 1] == '.' ? line - 1 : line);
}

/* What Redis cannot know: which setting of ours it is about. */
static const char *remedy_of(const redisReply *reply) {
    static const struct {
        const char *word, *remedy;
    } remedies[] = {
        {"NOAUTH",
         ": write a password into its uri, as redis://USER:PASSWORD@HOST or redis://:PASSWORD@HOST"},
        {"WRONGPASS", ": correct the user or the password in its uri"},
        {"ERR invalid password", ": correct the password in its uri"},
        {"ERR AUTH", ": remove the password from its uri"},
        {"ERR Client sent AUTH", ": remove the password from its uri"},
        {"NOPERM", ": allow it to the user in its uri (ACL SETUSER), or write another one"},
        {"ERR DB index", ": change the number of the database in its uri"},
        {"ERR invalid DB index", ": change the number of the database in its uri"},
        {"ERR unknown command",
         ": is that a Redis, of version 7.0 or later? Sentinels are named by redis+sentinel://"},
        {"CLUSTERDOWN Hash slot",
         ": start the node that has it, or give it to another one (redis-cli --cluster fix)"},
        {"CLUSTERDOWN",
         ": slots have no master, or most masters are away (CLUSTER INFO): start them, or give the slots away (redis-cli --cluster fix)"},
    };
    for (size_t i = 0; i < sizeof remedies / sizeof *remedies; i++)
        if (redis_begins_with(reply, remedies[i].word))
            return remedies[i].remedy;
    return "";
}

enum redis_step redis_say(const struct redis_connection *connection, const redisReply *reply,
                          enum backend_status status, enum backend_status *ret_status,
                          struct backend_error *ret_error) {
    *ret_status = backend_fail(ret_error, status, "backend \"%s\", redis at %s: %.*s%s", connection->name,
                               redis_shown(connection), redis_tellable(reply), reply->str, remedy_of(reply));
    return REDIS_FAILED;
}

/* An access list allows keys by pattern, so it may leave out those of one namespace. */
static bool denies_keys(const redisReply *reply) {
    return redis_begins_with(reply, "NOPERM") && strstr(reply->str, " key");
}

/* Where Sentinel can be asked who is, another one takes what this one does not. */
static bool is_no_master(const struct redis_connection *connection, const redisReply *reply) {
    return connection->address.sentinel_count > 0 &&
           (redis_begins_with(reply, "READONLY") || redis_begins_with(reply, "MASTERDOWN") ||
            redis_begins_with(reply, "LOADING"));
}

enum redis_step redis_error_means(const struct redis_connection *connection, const redisReply *reply,
                                  enum backend_status *ret_status, struct backend_error *ret_error) {
    assert(reply->type == REDIS_REPLY_ERROR);
    if (redis_begins_with(reply, "NOSCRIPT"))
        return REDIS_NO_SCRIPT;
    if (redis_is_replaced(connection, reply, ret_status, ret_error))
        return REDIS_FAILED;
    /* Only a key of another type is the fault of one row, and only keys that are not allowed that of a namespace;
     * all else (OOM, LOADING, READONLY, MISCONF, BUSY, a changed password, a cluster that moved away) concerns every
     * row, which would all be quarantined. */
    enum backend_status status = redis_begins_with(reply, "WRONGTYPE") ? BACKEND_PERMANENT
                                 : denies_keys(reply)                  ? BACKEND_TABLE_FAILED
                                                                       : BACKEND_TRANSIENT;
    enum redis_step step = redis_say(connection, reply, status, ret_status, ret_error);
    return is_no_master(connection, reply) ? REDIS_NO_MASTER : step;
}

enum redis_step redis_odd_answer(const struct redis_connection *connection, enum backend_status *ret_status,
                                 struct backend_error *ret_error) {
    *ret_status = backend_fail(ret_error, BACKEND_TRANSIENT,
                               "backend \"%s\", redis at %s: an answer of unexpected form%s",
                               connection->name, redis_shown(connection),
                               connection->link->was_connected ? "" : ": is that a Redis at all?");
    return REDIS_FAILED;
}

enum redis_step redis_out_of_memory(struct redis_connection *connection, enum backend_status *ret_status,
                                    struct backend_error *ret_error) {
    redis_disconnect(connection);
    *ret_status =
        backend_fail(ret_error, BACKEND_TRANSIENT, "backend \"%s\": out of memory", connection->name);
    return REDIS_FAILED;
}

/* ---- Pipelines ---- */

void redis_disconnect(struct redis_connection *connection) {
    if (connection->link->context)
        redisFree(connection->link->context);
    connection->link->context = NULL;
}

bool redis_append(struct redis_connection *connection, size_t count, const char **words,
                  const size_t *sizes) {
    bool whole = connection->link->context != NULL;
    for (size_t i = 0; i < count && whole; i++)
        whole = words[i] != NULL;
    if (whole && redis_put_command(connection->link->context, count, words, sizes) == REDIS_OK)
        return true;
    redis_disconnect(connection);
    return false;
}

bool redis_append_slices(struct redis_connection *connection, size_t count, const struct slice *words) {
    enum { WORDS_MAX = 16 };
    const char *data[WORDS_MAX];
    size_t sizes[WORDS_MAX];
    assert(count <= WORDS_MAX);
    for (size_t i = 0; i < count; i++) {
        data[i] = words[i].data;
        sizes[i] = words[i].size;
    }
    return redis_append(connection, count, data, sizes);
}

enum redis_step redis_send(struct redis_connection *connection) {
    return redis_write_out(connection->link->context) == REDIS_OK ? REDIS_DONE : REDIS_LOST;
}

enum redis_step redis_answer(struct redis_connection *connection, redisReply **ret_reply) {
    void *reply = NULL;
    if (redis_get_reply(connection->link->context, &reply) != REDIS_OK || !reply)
        return REDIS_LOST; /* the link is closed by whoever gives up the work: its error is still wanted */
    *ret_reply = reply;
    return REDIS_DONE;
}

int redis_poll(struct pollfd *fds, size_t count, uint64_t until_us) {
    int ready;
    do {
        uint64_t now_us = monotonic_us(),
                 left_ms = until_us > now_us ? (until_us - now_us + US_PER_MS - 1) / US_PER_MS : 0;
        ready = poll(fds, count, left_ms < INT_MAX ? (int)left_ms : INT_MAX);
    } while (ready < 0 && errno == EINTR);
    return ready;
}

/* ---- Connecting ---- */

const char *redis_doubt(const redisContext *context) {
    if (context->err == REDIS_ERR_PROTOCOL)
        return ": is that a Redis at all? Its port is mostly 6379, and is spoken to without TLS";
    if (context->err == REDIS_ERR_EOF || (context->err == REDIS_ERR_IO && errno == ECONNRESET))
        return ": is that a Redis at all, and one that is spoken to without TLS? So does a proxy whose Redis is away";
    return "";
}

/* Names that Sentinel announces are looked up here; where that fails, it says so in words that do not name it. Over a
 * link that has never been greeted, somebody else may answer. */
static const char *remedy_of_loss(const struct redis_connection *connection) {
    const redisContext *context = connection->link->context;
    if (!context)
        return "";
    if (context->err == REDIS_ERR_OTHER && connection->address.sentinel_count > 0)
        return ": Sentinel names this host, which no look-up here finds: make its name known, or let Sentinel announce addresses (resolve-hostnames, announce-hostnames)";
    return connection->link->was_connected ? "" : redis_doubt(context);
}

void redis_lose(struct redis_connection *connection, struct backend_error *ret_error) {
    const char *reason = "out of memory";
    if (connection->link->context && connection->link->context->err == REDIS_ERR_IO && errno == EAGAIN)
        reason = "no answer in time";
    else if (connection->link->context)
        reason =
            *connection->link->context->errstr ? connection->link->context->errstr : "the connection broke";
    backend_fail(ret_error, BACKEND_TRANSIENT, "backend \"%s\", redis at %s: %s%s", connection->name,
                 redis_shown(connection), reason, remedy_of_loss(connection));
    redis_disconnect(connection);
}

/* The link is greeted. */
static void take_link(struct redis_connection *connection) {
    connection->base.reconnects += connection->link->was_connected;
    connection->link->was_connected = true;
    connection->link->serial = ++connection->links;
    if (connection->address.sentinel_count > 0)
        redis_place_show(&connection->address.place, connection->base.place);
}

enum redis_step redis_connect(struct redis_connection *connection, enum backend_status *ret_status,
                              struct backend_error *ret_error) {
    const struct redis_address *address = connection->link->address;
    enum redis_step step = REDIS_DONE;
    redis_disconnect(connection);
    if (address->sentinel_count > 0)
        step = redis_find_master(connection, ret_status, ret_error);
    if (step != REDIS_DONE)
        return step;
    struct timeval timeout = redis_time_left(connection, UINT64_MAX);
    connection->link->context = redis_dial(&address->place, address->path, timeout);
    step = REDIS_LOST;
    if (connection->link->context && !connection->link->context->err)
        step = redis_greet(connection, ret_status, ret_error);
    if (step == REDIS_LOST) {
        *ret_status = BACKEND_TRANSIENT;
        redis_lose(connection, ret_error);
    } else if (step != REDIS_DONE) {
        redis_disconnect(connection);
    } else {
        take_link(connection);
    }
    return step;
}

enum backend_status redis_first_contact(struct redis_connection *connection,
                                        struct backend_error *ret_error) {
    enum backend_status status = BACKEND_OK;
    redis_begin_call(connection);
    redis_connect(connection, &status, ret_error);
    return status;
}

/* ---- Work ---- */

static enum redis_step attempt(struct redis_connection *connection, redis_work work, void *task,
                               enum backend_status *ret_status, struct backend_error *ret_error) {
    if (!connection->link->context) {
        enum redis_step step = redis_connect(connection, ret_status, ret_error);
        if (step != REDIS_DONE)
            return step;
    }
    redisSetTimeout(connection->link->context, redis_time_left(connection, UINT64_MAX));
    enum redis_step step = work(connection, task, ret_status, ret_error);
    if (step == REDIS_LOST)
        redis_lose(connection, ret_error);
    else if (step != REDIS_DONE) /* answers may still be under way; connecting also brings the scripts back */
        redis_disconnect(connection);
    return step;
}

bool redis_pause(const struct redis_connection *connection, unsigned milliseconds) {
    struct timespec time = {milliseconds / 1000, (long)(milliseconds % 1000) * 1000000};
    if (monotonic_ms() + milliseconds >= connection->deadline)
        return false;
    nanosleep(&time, NULL);
    return true;
}

enum backend_status redis_do(struct redis_connection *connection, redis_work work, void *task,
                             struct backend_error *ret_error) {
    enum backend_status status = BACKEND_TRANSIENT;
    redis_begin_call(connection);
    *ret_error->message = '\0';
    for (unsigned pause = PAUSE_FIRST;; pause = pause * 2 < PAUSE_LONGEST ? pause * 2 : PAUSE_LONGEST) {
        enum redis_step step = attempt(connection, work, task, &status, ret_error);
        arena_reset(&connection->words);
        if (step == REDIS_DONE)
            return BACKEND_OK;
        if (step == REDIS_FAILED) /* a refusal while running: somebody may put it right */
            return status == BACKEND_REFUSED ? BACKEND_TRANSIENT : status;
        if (!redis_pause(connection, pause))
            break;
    }
    if (!*ret_error->message)
        backend_fail(ret_error, BACKEND_TRANSIENT, "backend \"%s\", redis at %s: no answer in time",
                     connection->name, redis_shown(connection));
    return BACKEND_TRANSIENT;
}

enum backend_status redis_try(struct redis_connection *connection, redis_work work, void *task,
                              struct backend_error *ret_error) {
    enum backend_status status = BACKEND_TRANSIENT;
    enum redis_step step = REDIS_LOST;
    uint64_t moment = monotonic_ms() + MOMENT;
    redis_begin_call(connection);
    *ret_error->message = '\0';
    if (moment < connection->deadline)
        connection->deadline = moment;
    for (unsigned tries = 0; tries < TRIES && (step == REDIS_LOST || step == REDIS_NO_SCRIPT); tries++) {
        step = attempt(connection, work, task, &status, ret_error);
        arena_reset(&connection->words);
    }
    if (step == REDIS_NO_SCRIPT)
        backend_fail(ret_error, BACKEND_TRANSIENT,
                     "backend \"%s\", redis at %s: forgets a script as soon as it has it (NOSCRIPT)",
                     connection->name, redis_shown(connection));
    return step == REDIS_DONE           ? BACKEND_OK
           : status == BACKEND_REPLACED ? BACKEND_REPLACED
                                        : BACKEND_TRANSIENT;
}
