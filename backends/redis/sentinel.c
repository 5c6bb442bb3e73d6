/* SPDX-License-Identifier: MIT */
/*
 * Which Redis is the master: asked of Sentinel each time that a link is made, and never remembered.
 *
 *     ask each Sentinel for a moment --one names an address--> connect --ROLE: master--> serve
 *             ^                                                   |             |
 *             +-- a pause (link.c) <-- it is a replica, or away --+   READONLY, LOADING, a lost link
 *
 * The Sentinel that answered goes to the front, so that those that are away cost a moment once. What Sentinel says may
 * be behind what has happened: so the Redis that it names is asked for its role as well (greeting.c).
 *
 * A master that was cut off from the Sentinels and others goes on answering those who still reach it, until it is told
 * that it is none any more: what is written to it meanwhile is lost, and what others change is not told by it. So the
 * writer asks once a second, over a connection of its own, whether the master is still the same, and a watcher ten
 * times as often; and they leave the Redis that is not.
 */
#include "backends/failure.h"
#include "backends/redis/internal.h"
#include "cache/base/clock.h"
#include <errno.h>
#include <stdio.h>

enum {
    MOMENT_MS = 200, /* for a Sentinel */
    ASK_AGAIN_US = 1000000,
    ASK_AGAIN_WATCHING_US = 100000,
    ASK_AGAIN_LONGEST_US = 16000000, /* while none answers: each try may take a moment of the writer's time */
};

#define IS_IT_ONE ": is that a Sentinel? Its port is mostly 26379"

/* What a Sentinel, or all of them, came to; the later, the more it says. */
enum verdict { SENTINEL_SILENT, SENTINEL_ODD, SENTINEL_KNOWS_NONE, SENTINEL_DENIES, SENTINEL_NAMES };

struct asking {
    enum verdict verdict;
    const struct redis_place *sentinel; /* that said so */
    char words[192];                    /* its own, or those of the link; no secret */
    bool one_is_silent;
    struct redis_place master; /* SENTINEL_NAMES */
};

/* ---- One of them ---- */

static enum verdict judge_error(const redisReply *reply) {
    static const char *const denials[] = {"NOAUTH", "WRONGPASS", "NOPERM", "ERR AUTH",
                                          "ERR invalid password"};
    for (size_t i = 0; i < sizeof denials / sizeof *denials; i++)
        if (redis_begins_with(reply, denials[i]))
            return SENTINEL_DENIES;
    return SENTINEL_ODD;
}

/* It is shown in lines of the log and of statistics. */
static bool is_one_word(const redisReply *reply) {
    for (size_t i = 0; i < (size_t)reply->len; i++)
        if ((unsigned char)reply->str[i] <= ' ' || reply->str[i] == 0x7f)
            return false;
    return reply->len > 0;
}

/* Host and port, as two texts. */
static bool take_place(const redisReply *reply, struct redis_place *ret_place) {
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING || reply->element[1]->type != REDIS_REPLY_STRING ||
        (size_t)reply->element[0]->len >= sizeof ret_place->host || !is_one_word(reply->element[0]))
        return false;
    memcpy(ret_place->host, reply->element[0]->str, (size_t)reply->element[0]->len + 1);
    ret_place->port = (int)redis_number_in(reply->element[1], UINT16_MAX);
    return ret_place->port > 0;
}

static enum verdict judge_answer(const redisReply *reply, struct asking *asking) {
    if (reply->type == REDIS_REPLY_ERROR) {
        snprintf(asking->words, sizeof asking->words, "%.*s", redis_tellable(reply), reply->str);
        return judge_error(reply);
    }
    if (reply->type == REDIS_REPLY_NIL)
        return SENTINEL_KNOWS_NONE;
    if (take_place(reply, &asking->master))
        return SENTINEL_NAMES;
    snprintf(asking->words, sizeof asking->words, "an answer of unexpected form");
    return SENTINEL_ODD;
}

/* Says a command and takes the answer, which is the caller's to free. NULL: the link is lost. */
static redisReply *say(redisContext *link, size_t count, const char **words, struct asking *asking) {
    size_t sizes[3];
    for (size_t i = 0; i < count; i++)
        sizes[i] = strlen(words[i]);
    redisReply *reply = redis_command(link, count, words, sizes);
    bool late = !reply && link->err == REDIS_ERR_IO && errno == EAGAIN,
         doubtful = !reply && *redis_doubt(link);
    if (!reply)
        snprintf(asking->words, sizeof asking->words, "%s%s", late ? "no answer in time" : link->errstr,
                 doubtful ? IS_IT_ONE : "");
    return reply;
}

/* False: the verdict is in asking. */
static bool log_in(const struct redis_connection *connection, redisContext *link, struct asking *asking) {
    const char *words[3] = {"AUTH"};
    size_t count = 1;
    if (!connection->sentinel_user && !connection->sentinel_password)
        return true;
    if (connection->sentinel_user)
        words[count++] = connection->sentinel_user;
    words[count++] = connection->sentinel_password ? connection->sentinel_password : "";
    redisReply *reply = say(link, count, words, asking);
    bool is_in = reply && reply->type != REDIS_REPLY_ERROR;
    if (reply && !is_in)
        asking->verdict = judge_answer(reply, asking);
    if (reply)
        freeReplyObject(reply);
    return is_in;
}

static void talk(const struct redis_connection *connection, redisContext *link, struct asking *asking) {
    const char *words[] = {"SENTINEL", "get-master-addr-by-name", connection->address.master};
    redisReply *reply = log_in(connection, link, asking) ? say(link, 3, words, asking) : NULL;
    if (reply) {
        asking->verdict = judge_answer(reply, asking);
        freeReplyObject(reply);
    }
}

static struct asking ask(const struct redis_connection *connection, const struct redis_place *sentinel) {
    struct asking asking = {.sentinel = sentinel, .words = "out of memory"};
    struct timeval moment = redis_time_left(connection, MOMENT_MS);
    redisContext *link = redis_dial(sentinel, NULL, moment);
    if (link && link->err)
        snprintf(asking.words, sizeof asking.words, "%s", link->errstr);
    else if (link)
        talk(connection, link, &asking);
    if (link)
        redisFree(link);
    return asking;
}

/* ---- All of them ---- */

static void bring_to_front(struct redis_address *address, size_t index) {
    struct redis_place first = address->sentinels[index];
    memmove(&address->sentinels[1], &address->sentinels[0], index * sizeof first);
    address->sentinels[0] = first;
}

static void send_to_end(struct redis_address *address) {
    size_t last = address->sentinel_count - 1;
    struct redis_place first = address->sentinels[0];
    memmove(&address->sentinels[0], &address->sentinels[1], last * sizeof first);
    address->sentinels[last] = first;
}

/* Until one names the master; else what says most. */
static struct asking ask_all(struct redis_connection *connection) {
    struct redis_address *address = &connection->address;
    struct asking most = {.verdict = SENTINEL_SILENT};
    bool one_is_silent = false;
    for (size_t i = 0; i < address->sentinel_count && most.verdict != SENTINEL_NAMES; i++) {
        struct asking asking = ask(connection, &address->sentinels[i]);
        one_is_silent |= asking.verdict == SENTINEL_SILENT;
        if (i == 0 || asking.verdict > most.verdict)
            most = asking;
        if (asking.verdict == SENTINEL_NAMES)
            bring_to_front(address, i);
    }
    most.one_is_silent = one_is_silent;
    return most;
}

static const char *remedy_of(const struct redis_connection *connection, const struct asking *asking) {
    if (asking->verdict == SENTINEL_ODD)
        return IS_IT_ONE;
    if (strncmp(asking->words, "NOAUTH", 6) == 0)
        return ": set sentinel_password";
    if (strncmp(asking->words, "ERR AUTH", 8) == 0)
        return ": remove sentinel_password";
    if (strncmp(asking->words, "NOPERM", 6) == 0)
        return ": allow it to its user (ACL SETUSER), or set sentinel_user and sentinel_password";
    return connection->sentinel_user ? ": correct sentinel_user or sentinel_password"
                                     : ": correct sentinel_password";
}

/* What all of them say will not change by itself; one that is silent may know better. */
static enum redis_step tell(const struct redis_connection *connection, const struct asking *asking,
                            enum backend_status *ret_status, struct backend_error *ret_error) {
    const char *name = connection->name, *master = connection->address.master;
    enum backend_status status = asking->one_is_silent ? BACKEND_TRANSIENT : BACKEND_REFUSED;
    char shown[REDIS_PLACE_SHOWN];
    redis_place_show(asking->sentinel, shown);
    if (asking->verdict == SENTINEL_SILENT)
        *ret_status = backend_fail(
            ret_error, status,
            asking->one_is_silent ? "backend \"%s\", redis sentinels of \"%s\": none answers; %.100s: %s"
                                  : "backend \"%s\", redis sentinels of \"%s\": redis sentinel at %.100s: %s",
            name, master, shown, asking->words);
    else if (asking->verdict == SENTINEL_KNOWS_NONE)
        *ret_status = backend_fail(
            ret_error, status,
            "backend \"%s\", redis sentinel at %.100s: knows no master \"%s\": correct the name in its uri, or add it there (sentinel monitor)",
            name, shown, master);
    else
        *ret_status = backend_fail(ret_error, status, "backend \"%s\", redis sentinel at %.100s: %s%s", name,
                                   shown, asking->words, remedy_of(connection, asking));
    return status == BACKEND_REFUSED ? REDIS_FAILED : REDIS_NO_MASTER;
}

enum redis_step redis_find_master(struct redis_connection *connection, enum backend_status *ret_status,
                                  struct backend_error *ret_error) {
    uint64_t now_us = monotonic_us();
    redis_address_take_master(&connection->address, NULL);
    struct asking asking = ask_all(connection);
    if (asking.verdict != SENTINEL_NAMES)
        return tell(connection, &asking, ret_status, ret_error);
    connection->sentinel_named_us = now_us;
    connection->sentinel_silences = 0;
    redis_address_take_master(&connection->address, &asking.master);
    return REDIS_DONE;
}

/* ---- Do they agree? ---- */

static void tell_two_masters(const struct redis_connection *connection, const struct asking *asking,
                             struct backend_error *ret_error) {
    char one[REDIS_PLACE_SHOWN], other[REDIS_PLACE_SHOWN], its[REDIS_PLACE_SHOWN];
    redis_place_show(&connection->address.place, one);
    redis_place_show(asking->sentinel, other);
    redis_place_show(&asking->master, its);
    backend_fail(
        ret_error, BACKEND_TRANSIENT,
        "backend \"%s\", redis sentinel at %.80s: names %.80s as \"%.80s\", another one names %.80s: name the Sentinels of one in its uri (after a failover they differ for a moment)",
        connection->name, other, its, connection->address.master, one);
}

bool redis_sentinels_differ(struct redis_connection *connection, struct backend_error *ret_error) {
    const struct redis_address *address = &connection->address;
    bool differ = false;
    for (size_t i = 0; i < address->sentinel_count && !differ; i++) {
        redis_begin_call(connection);
        struct asking asking = ask(connection, &address->sentinels[i]);
        enum backend_status status;
        if (asking.verdict != SENTINEL_NAMES)
            tell(connection, &asking, &status, ret_error);
        else if (!redis_is_one_place(&asking.master, &address->place))
            tell_two_masters(connection, &asking, ret_error);
        else
            continue;
        differ = true;
    }
    return differ;
}

/* ---- Is it still the same? ---- */

/* The one in front answered last. Where it is away now, the next one is asked the next time. */
static enum verdict ask_front(struct redis_connection *connection, struct redis_place *ret_master) {
    struct redis_address *address = &connection->address;
    struct asking asking = ask(connection, &address->sentinels[0]);
    if (asking.verdict != SENTINEL_NAMES)
        send_to_end(address);
    *ret_master = asking.master;
    return asking.verdict;
}

/* How long none is asked again. A watcher asks them all before it takes them for silent. */
static uint64_t next_pause_us(const struct redis_connection *connection) {
    bool watches = connection->role == BACKEND_WATCHER;
    uint64_t least_us = watches ? ASK_AGAIN_WATCHING_US : ASK_AGAIN_US,
             longer_us = 2 * connection->sentinel_pause_us;
    if (connection->sentinel_silences == 0 ||
        (watches && connection->sentinel_silences < connection->address.sentinel_count))
        return least_us;
    return longer_us < least_us               ? least_us
           : longer_us > ASK_AGAIN_LONGEST_US ? ASK_AGAIN_LONGEST_US
                                              : longer_us;
}

bool redis_is_still_master(struct redis_connection *connection) {
    uint64_t now_us = monotonic_us();
    struct redis_place master;
    if (connection->address.sentinel_count == 0 || !connection->link->context ||
        now_us < connection->sentinel_asked_us + connection->sentinel_pause_us)
        return true;
    connection->deadline = now_us / US_PER_MS + MOMENT_MS;
    enum verdict verdict = ask_front(connection, &master);
    bool answered = verdict == SENTINEL_NAMES, knows = answered || verdict == SENTINEL_KNOWS_NONE;
    connection->sentinel_silences = knows ? 0 : connection->sentinel_silences + 1;
    connection->sentinel_pause_us = next_pause_us(connection);
    connection->sentinel_asked_us = now_us;
    if (answered && !redis_is_one_place(&master, &connection->address.place))
        return false;
    if (answered)
        connection->sentinel_named_us = now_us;
    return true;
}

uint64_t redis_named_until_us(const struct redis_connection *connection) {
    size_t sentinels = connection->address.sentinel_count;
    return connection->sentinel_silences < sentinels ? connection->sentinel_named_us : UINT64_MAX;
}
