/* SPDX-License-Identifier: MIT */
/*
 * The connection to Redis: made when needed, thrown away when in doubt.
 *
 *     closed --connect, AUTH, SELECT, INFO, SCRIPT LOAD--> open --broken pipe, timeout, no memory--> closed
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
#include <stdlib.h>
#include <time.h>

enum {
    PAUSE_FIRST = 10, /* ms before the second attempt */
    PAUSE_LONGEST = 500,
    REDIS_MAJOR_LEAST = 7
};

static uint64_t monotonic_ms(void) {
    return monotonic_us() / US_PER_MS;
}

/* What is left of the call, at least a little: 0 would mean for ever. */
static struct timeval time_left(const struct redis_connection *connection) {
    uint64_t now = monotonic_ms();
    uint64_t left = connection->deadline > now ? connection->deadline - now : 1;
    return (struct timeval){(time_t)(left / 1000), (suseconds_t)(left % 1000) * 1000};
}

/* ---- What an error means ---- */

static bool begins_with(const redisReply *reply, const char *word) {
    size_t size = strlen(word);
    return (size_t)reply->len >= size && memcmp(reply->str, word, size) == 0;
}

/* These stay as they are until somebody changes the configuration, here or there. */
static bool is_refusal(const redisReply *reply) {
    static const char *const words[] = {"NOAUTH",
                                        "WRONGPASS",
                                        "NOPERM",
                                        "MOVED",
                                        "ASK",
                                        "CROSSSLOT",
                                        "ERR invalid password",
                                        "ERR AUTH",
                                        "ERR Client sent AUTH",
                                        "ERR DB index",
                                        "ERR invalid DB index",
                                        "ERR unknown command",
                                        "ERR wrong number of arguments for 'auth'"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (begins_with(reply, words[i]))
            return true;
    return false;
}

/* How much of an error answer may be told: its first line, and of a command that the server does not know
 * only the name, as the arguments that it repeats may be a password. */
static int tellable(const redisReply *reply) {
    const char *arguments = strstr(reply->str, ", with args beginning with:");
    size_t line = strcspn(reply->str, "\r\n");
    return (int)(arguments && (size_t)(arguments - reply->str) < line ? (size_t)(arguments - reply->str)
                                                                      : line);
}

static enum redis_step say(const struct redis_connection *connection, const redisReply *reply,
                           enum backend_status status, enum backend_status *ret_status,
                           struct backend_error *ret_error) {
    *ret_status = backend_fail(ret_error, status, "backend \"%s\", redis at %s: %.*s", connection->name,
                               connection->address.shown, tellable(reply), reply->str);
    return REDIS_FAILED;
}

enum redis_step redis_error_means(const struct redis_connection *connection, const redisReply *reply,
                                  enum backend_status *ret_status, struct backend_error *ret_error) {
    assert(reply->type == REDIS_REPLY_ERROR);
    if (begins_with(reply, "NOSCRIPT"))
        return REDIS_NO_SCRIPT;
    /* Only a key of another type is the fault of one row; all else (OOM, LOADING, READONLY, MISCONF, BUSY, a
     * changed password, a cluster that moved away) concerns every row, which would all be quarantined. */
    return say(connection, reply, begins_with(reply, "WRONGTYPE") ? BACKEND_PERMANENT : BACKEND_TRANSIENT,
               ret_status, ret_error);
}

enum redis_step redis_odd_answer(const struct redis_connection *connection, enum backend_status *ret_status,
                                 struct backend_error *ret_error) {
    *ret_status = backend_fail(ret_error, BACKEND_TRANSIENT,
                               "backend \"%s\", redis at %s: an answer of unexpected form", connection->name,
                               connection->address.shown);
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
    if (connection->link)
        redisFree(connection->link);
    connection->link = NULL;
}

bool redis_append(struct redis_connection *connection, size_t count, const char **words,
                  const size_t *sizes) {
    bool whole = connection->link != NULL;
    for (size_t i = 0; i < count && whole; i++)
        whole = words[i] != NULL;
    if (whole && redisAppendCommandArgv(connection->link, (int)count, words, sizes) == REDIS_OK)
        return true;
    redis_disconnect(connection);
    return false;
}

enum redis_step redis_flush(struct redis_connection *connection) {
    int done = 0;
    while (!done)
        if (redisBufferWrite(connection->link, &done) != REDIS_OK)
            return REDIS_LOST;
    return REDIS_DONE;
}

enum redis_step redis_answer(struct redis_connection *connection, redisReply **ret_reply) {
    void *reply = NULL;
    if (redisGetReply(connection->link, &reply) != REDIS_OK || !reply)
        return REDIS_LOST; /* the link is closed by whoever gives up the work: its error is still wanted */
    *ret_reply = reply;
    return REDIS_DONE;
}

/* ---- Connecting ---- */

/* The commands that make a connection ours, in this order; those without words are left out. */
enum greeting {
    GREETING_AUTH,
    GREETING_SELECT,
    GREETING_INFO,
    GREETING_SCRIPTS,
    GREETINGS = GREETING_SCRIPTS + REDIS_SCRIPTS
};

static size_t greeting_words(const struct redis_connection *connection, unsigned greeting,
                             const char *words[3]) {
    static const char scripts[] = "SCRIPT";
    const struct redis_address *address = &connection->address;
    size_t count = 0;
    switch (greeting) {
    case GREETING_AUTH:
        if (!*address->password && !*address->user)
            return 0;
        words[count++] = "AUTH";
        if (*address->user)
            words[count++] = address->user;
        words[count++] = address->password;
        return count;
    case GREETING_SELECT:
        return 0; /* a number: written by send_greetings */
    case GREETING_INFO:
        words[count++] = "INFO";
        return count;
    default:
        words[count++] = scripts;
        words[count++] = "LOAD";
        words[count++] = redis_script_text((enum redis_script)(greeting - GREETING_SCRIPTS));
        return count;
    }
}

static bool send_greeting(struct redis_connection *connection, unsigned greeting, bool *ret_sent) {
    const char *words[3];
    size_t sizes[3];
    char number[16];
    size_t count = greeting_words(connection, greeting, words);
    if (greeting == GREETING_SELECT && connection->address.database) {
        snprintf(number, sizeof number, "%u", connection->address.database);
        words[count++] = "SELECT";
        words[count++] = number;
    }
    for (size_t i = 0; i < count; i++)
        sizes[i] = strlen(words[i]);
    *ret_sent = count > 0;
    return count == 0 || redis_append(connection, count, words, sizes);
}

/* PEXPIRETIME, which the string layout needs, came with 7.0. */
static bool is_too_old(const char *info, char ret_version[16]) {
    static const char field[] = "redis_version:";
    const char *version = strstr(info, field);
    if (!version)
        return false;
    version += sizeof field - 1;
    snprintf(ret_version, 16, "%.*s", (int)strcspn(version, "\r\n"), version);
    return strtoul(version, NULL, 10) < REDIS_MAJOR_LEAST;
}

/* An error is not important: the user may not be allowed to ask. Then each call says what is wrong. */
static enum redis_step hear_info(const struct redis_connection *connection, const redisReply *reply,
                                 enum backend_status *ret_status, struct backend_error *ret_error) {
    char version[16];
    if (reply->type != REDIS_REPLY_STRING)
        return REDIS_DONE;
    if (strstr(reply->str, "cluster_enabled:1"))
        *ret_status = backend_fail(
            ret_error, BACKEND_REFUSED,
            "backend \"%s\", redis at %s: it is a node of a Redis Cluster, which is not supported",
            connection->name, connection->address.shown);
    else if (is_too_old(reply->str, version))
        *ret_status =
            backend_fail(ret_error, BACKEND_REFUSED,
                         "backend \"%s\", redis at %s: it is Redis %s, %d.0 or "
                         "later is needed",
                         connection->name, connection->address.shown, version, (int)REDIS_MAJOR_LEAST);
    else
        return REDIS_DONE;
    return REDIS_FAILED;
}

/* What the answer to a greeting means. */
static enum redis_step hear(struct redis_connection *connection, unsigned greeting, const redisReply *reply,
                            enum backend_status *ret_status, struct backend_error *ret_error) {
    if (greeting == GREETING_INFO)
        return hear_info(connection, reply, ret_status, ret_error);
    if (reply->type == REDIS_REPLY_ERROR)
        return say(connection, reply, is_refusal(reply) ? BACKEND_REFUSED : BACKEND_TRANSIENT, ret_status,
                   ret_error);
    if (greeting >= GREETING_SCRIPTS) {
        if (reply->type != REDIS_REPLY_STRING || reply->len != REDIS_SHA_SIZE)
            return redis_odd_answer(connection, ret_status, ret_error);
        memcpy(connection->sha[greeting - GREETING_SCRIPTS], reply->str, REDIS_SHA_SIZE + 1);
    }
    return REDIS_DONE;
}

static enum redis_step greet(struct redis_connection *connection, enum backend_status *ret_status,
                             struct backend_error *ret_error) {
    enum redis_step step = REDIS_DONE;
    for (unsigned greeting = 0; greeting < GREETINGS && step == REDIS_DONE; greeting++) {
        redisReply *reply = NULL;
        bool sent;
        if (!send_greeting(connection, greeting, &sent))
            return redis_out_of_memory(connection, ret_status, ret_error);
        if (!sent)
            continue;
        step = redis_answer(connection, &reply);
        if (step == REDIS_DONE)
            step = hear(connection, greeting, reply, ret_status, ret_error);
        if (reply)
            freeReplyObject(reply);
    }
    return step;
}

/* Says what broke, in the words of the link; then there is no link any more. */
static void lose(struct redis_connection *connection, struct backend_error *ret_error) {
    const char *reason = "out of memory";
    if (connection->link && connection->link->err == REDIS_ERR_IO && errno == EAGAIN)
        reason = "no answer in time";
    else if (connection->link)
        reason = *connection->link->errstr ? connection->link->errstr : "the connection broke";
    backend_fail(ret_error, BACKEND_TRANSIENT, "backend \"%s\", redis at %s: %s", connection->name,
                 connection->address.shown, reason);
    redis_disconnect(connection);
}

static enum redis_step connect_once(struct redis_connection *connection, enum backend_status *ret_status,
                                    struct backend_error *ret_error) {
    const struct redis_address *address = &connection->address;
    struct timeval timeout = time_left(connection);
    redis_disconnect(connection);
    connection->link = *address->path ? redisConnectUnixWithTimeout(address->path, timeout)
                                      : redisConnectWithTimeout(address->host, address->port, timeout);
    enum redis_step step = REDIS_LOST;
    if (connection->link && !connection->link->err && redisSetTimeout(connection->link, timeout) == REDIS_OK)
        step = greet(connection, ret_status, ret_error);
    if (step == REDIS_LOST) {
        *ret_status = BACKEND_TRANSIENT;
        lose(connection, ret_error);
    } else if (step == REDIS_FAILED) {
        redis_disconnect(connection);
    }
    return step;
}

enum backend_status redis_first_contact(struct redis_connection *connection,
                                        struct backend_error *ret_error) {
    enum backend_status status = BACKEND_OK;
    connection->deadline = monotonic_ms() + connection->timeout_ms;
    connect_once(connection, &status, ret_error);
    return status;
}

/* ---- Work ---- */

static enum redis_step attempt(struct redis_connection *connection, redis_work work, void *task,
                               enum backend_status *ret_status, struct backend_error *ret_error) {
    if (!connection->link) {
        enum redis_step step = connect_once(connection, ret_status, ret_error);
        if (step != REDIS_DONE)
            return step;
    }
    redisSetTimeout(connection->link, time_left(connection));
    enum redis_step step = work(connection, task, ret_status, ret_error);
    if (step == REDIS_LOST)
        lose(connection, ret_error);
    else if (step != REDIS_DONE)
        redis_disconnect(
            connection); /* answers may still be under way; connecting also brings the scripts back */
    return step;
}

static void pause_ms(unsigned milliseconds) {
    struct timespec time = {milliseconds / 1000, (long)(milliseconds % 1000) * 1000000};
    nanosleep(&time, NULL);
}

enum backend_status redis_do(struct redis_connection *connection, redis_work work, void *task,
                             struct backend_error *ret_error) {
    enum backend_status status = BACKEND_TRANSIENT;
    connection->deadline = monotonic_ms() + connection->timeout_ms;
    *ret_error->message = '\0';
    for (unsigned pause = PAUSE_FIRST;; pause = pause * 2 < PAUSE_LONGEST ? pause * 2 : PAUSE_LONGEST) {
        enum redis_step step = attempt(connection, work, task, &status, ret_error);
        arena_reset(&connection->words);
        if (step == REDIS_DONE)
            return BACKEND_OK;
        if (step == REDIS_FAILED) /* a refusal while running: somebody may put it right */
            return status == BACKEND_REFUSED ? BACKEND_TRANSIENT : status;
        if (monotonic_ms() + pause >= connection->deadline)
            break;
        pause_ms(pause);
    }
    if (!*ret_error->message)
        backend_fail(ret_error, BACKEND_TRANSIENT, "backend \"%s\", redis at %s: no answer in time",
                     connection->name, connection->address.shown);
    return BACKEND_TRANSIENT;
}

/* ---- Words ---- */

struct slice redis_number(struct redis_connection *connection, uint64_t number) {
    enum { DIGITS = 20 };
    char *end = arena_take(&connection->words, DIGITS);
    size_t size = 0;
    if (!end)
        return slice_of(NULL, 0);
    end += DIGITS;
    do {
        *--end = (char)('0' + number % 10);
        number /= 10;
        size++;
    } while (number);
    return slice_of(end, size);
}

static struct slice join(struct redis_connection *connection, struct slice a, struct slice b,
                         struct slice c) {
    char *whole = arena_take(&connection->words, a.size + b.size + c.size + 1);
    if (!whole)
        return slice_of(NULL, 0);
    memcpy(whole, a.data, a.size);
    memcpy(whole + a.size, b.data, b.size);
    memcpy(whole + a.size + b.size, c.data, c.size);
    return slice_of(whole, a.size + b.size + c.size);
}

static struct slice store_prefix(const struct backend_table *table) {
    return slice_string(table->store_prefix ? table->store_prefix : "");
}

struct slice redis_key(struct redis_connection *connection, const struct backend_table *table,
                       struct slice key) {
    struct slice prefix = store_prefix(table);
    return prefix.size ? join(connection, prefix, key, SLICE("")) : key;
}

struct slice redis_companion(struct redis_connection *connection, const struct backend_table *table,
                             struct slice key) {
    return join(connection, SLICE("forebay:beside:"), store_prefix(table), key);
}
