/* SPDX-License-Identifier: MIT */
/* What is said over a link that was just made, and whether this Redis can serve at all. */
#include "backends/failure.h"
#include "backends/redis/internal.h"
#include "cache/base/clock.h"
#include <stdio.h>
#include <stdlib.h>

enum { REDIS_MAJOR_LEAST = 7 };

bool redis_is_refusal(const redisReply *reply) {
    static const char *const words[] = {"NOAUTH",
                                        "WRONGPASS",
                                        "NOPERM",
                                        "ERR invalid password",
                                        "ERR AUTH",
                                        "ERR Client sent AUTH",
                                        "ERR DB index",
                                        "ERR invalid DB index",
                                        "ERR unknown command",
                                        "ERR wrong number of arguments for 'auth'"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (redis_begins_with(reply, words[i]))
            return true;
    return false;
}

/* The commands that make a connection ours, in this order; those without words are left out. */
enum greeting {
    GREETING_AUTH,
    GREETING_SELECT,
    GREETING_INFO,
    GREETING_ROLE,
    GREETING_WAIT,
    GREETING_SCRIPTS,
    GREETINGS = GREETING_SCRIPTS + REDIS_SCRIPTS
};

static const char scripts[] = "SCRIPT";

/* Whoever may not load scripts may not ask for them either, which changes nothing. Once for all of them. */
static size_t asking_words(unsigned greeting, const char *words[3]) {
    words[0] = scripts;
    words[1] = "EXISTS";
    words[2] = "0000000000000000000000000000000000000000";
    return greeting == GREETING_SCRIPTS ? 3 : 0;
}

static size_t greeting_words(const struct redis_connection *connection, unsigned greeting,
                             const char *words[3]) {
    const struct redis_address *address = connection->link->address;
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
        return 0; /* a number: written by send_greeting */
    case GREETING_INFO:
        words[count++] = "INFO";
        return count;
    case GREETING_ROLE:
        if (address->sentinel_count > 0)
            words[count++] = "ROLE";
        return count;
    case GREETING_WAIT: /* for nobody: may it be said? */
        if (connection->replicas == 0 || !connection->writes)
            return 0;
        words[count++] = "WAIT";
        words[count++] = "0";
        words[count++] = "0";
        return count;
    default:
        if (connection->only_looks)
            return asking_words(greeting, words);
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

/* Whatever is written to a replica is refused, or lost; nothing shows which Redis is its master but itself. */
static enum redis_step refuse_replica(const struct redis_connection *connection, const char *info,
                                      enum backend_status *ret_status, struct backend_error *ret_error) {
    static const char host[] = "master_host:", port[] = "master_port:";
    const char *at_host = strstr(info, host), *at_port = strstr(info, port);
    if (!at_host || !at_port)
        return REDIS_DONE;
    at_host += sizeof host - 1;
    at_port += sizeof port - 1;
    const char *remedy = connection->cluster ? "wait for the cluster to say who is the master"
                                             : "write that address, or redis+sentinel://, into its uri";
    *ret_status = backend_fail(
        ret_error, BACKEND_TRANSIENT,
        "backend \"%s\", redis at %.80s: it is a replica of %.*s:%.*s, and only a master can be written to: %s",
        connection->name, redis_shown(connection), (int)strcspn(at_host, "\r\n"), at_host,
        (int)strcspn(at_port, "\r\n"), at_port, remedy);
    return REDIS_FAILED;
}

/* "": it is not told. */
static void take_field(const char *info, const char *field, char ret_value[REDIS_RUN_MAX + 1]) {
    const char *at = info ? strstr(info, field) : NULL;
    const char *value = at ? at + strlen(field) : "";
    snprintf(ret_value, REDIS_RUN_MAX + 1, "%.*s", (int)strcspn(value, "\r\n"), value);
}

/* From one start of the server to its end; where it is not told, no longer than this link. */
static void take_run(struct redis_connection *connection, const char *info) {
    struct redis_link *link = connection->link;
    take_field(info, "\nrun_id:", link->run);
    take_field(info, "\nmaster_replid:", link->replicates);
    take_field(info, "\nmaster_replid2:", link->replicated);
    if (!*link->run)
        snprintf(link->run, sizeof link->run, "link-%llu", (unsigned long long)monotonic_us());
}

/* A watcher of a cluster hears whomever somebody takes for a master: for a moment, that may be one who has become a
 * replica. Sentinel has its own question (hear_role). */
static bool needs_master(const struct redis_connection *connection) {
    bool of_cluster = connection->cluster && connection->role != BACKEND_WATCHER;
    return (connection->writes || of_cluster) && connection->address.sentinel_count == 0;
}

/* An error is not important: the user may not be allowed to ask. Then each call says what is wrong. */
static enum redis_step hear_info(struct redis_connection *connection, const redisReply *reply,
                                 enum backend_status *ret_status, struct backend_error *ret_error) {
    char version[16];
    take_run(connection, reply->type == REDIS_REPLY_STRING ? reply->str : NULL);
    if (reply->type == REDIS_REPLY_ERROR)
        return REDIS_DONE;
    if (reply->type != REDIS_REPLY_STRING)
        return redis_odd_answer(connection, ret_status, ret_error);
    if (!connection->cluster && strstr(reply->str, "cluster_enabled:1"))
        *ret_status = backend_fail(
            ret_error, BACKEND_REFUSED,
            "backend \"%s\", redis at %s: it is a node of a Redis Cluster: write redis+cluster:// into its uri",
            connection->name, redis_shown(connection));
    else if (is_too_old(reply->str, version))
        *ret_status =
            backend_fail(ret_error, BACKEND_REFUSED,
                         "backend \"%s\", redis at %s: it is Redis %s, %d.0 or later is needed",
                         connection->name, redis_shown(connection), version, (int)REDIS_MAJOR_LEAST);
    else if (needs_master(connection) && strstr(reply->str, "\nrole:slave"))
        return refuse_replica(connection, reply->str, ret_status, ret_error);
    else
        return REDIS_DONE;
    return REDIS_FAILED;
}

/* What Sentinel says may be behind, or ahead, of what has happened. */
static enum redis_step hear_role(const struct redis_connection *connection, const redisReply *reply,
                                 enum backend_status *ret_status, struct backend_error *ret_error) {
    const char *role = "";
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 &&
        reply->element[0]->type == REDIS_REPLY_STRING)
        role = reply->element[0]->str;
    if (strcmp(role, "master") == 0)
        return REDIS_DONE;
    *ret_status = backend_fail(ret_error, BACKEND_TRANSIENT,
                               "backend \"%s\", redis at %s: Sentinel names it, but it is no master now",
                               connection->name, redis_shown(connection));
    return REDIS_NO_MASTER;
}

/* What the answer to a greeting means. */
static enum redis_step hear(struct redis_connection *connection, unsigned greeting, const redisReply *reply,
                            enum backend_status *ret_status, struct backend_error *ret_error) {
    if (greeting == GREETING_INFO)
        return hear_info(connection, reply, ret_status, ret_error);
    /* No answer to anything here; redis_error_means takes it for one to a script, which is loaded and needs no
     * words. */
    if (redis_begins_with(reply, "NOSCRIPT"))
        return redis_odd_answer(connection, ret_status, ret_error);
    if (reply->type == REDIS_REPLY_ERROR)
        return redis_is_refusal(reply) ? redis_say(connection, reply, BACKEND_REFUSED, ret_status, ret_error)
                                       : redis_error_means(connection, reply, ret_status, ret_error);
    if (greeting == GREETING_ROLE)
        return hear_role(connection, reply, ret_status, ret_error);
    if (greeting >= GREETING_SCRIPTS && !connection->only_looks) {
        if (reply->type != REDIS_REPLY_STRING || reply->len != REDIS_SHA_SIZE)
            return redis_odd_answer(connection, ret_status, ret_error);
        memcpy(connection->link->sha[greeting - GREETING_SCRIPTS], reply->str, REDIS_SHA_SIZE + 1);
    }
    return REDIS_DONE;
}

enum redis_step redis_greet(struct redis_connection *connection, enum backend_status *ret_status,
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
    return step == REDIS_DONE ? redis_compare_applied(connection, ret_status, ret_error) : step;
}
