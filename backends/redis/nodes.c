/* SPDX-License-Identifier: MIT */
/*
 * Who else has the store open, and what time it is there.
 *
 * Each writer registers its server in a hash of our own: the field is its node number, the value when it was seen last
 * (the store's seconds), its data folder, its process, and a name for people. It does so again with each look, about
 * once a second; who was not seen for LIFE seconds is gone. Versions of two servers with one number are no order, so a
 * number that is taken is refused at the start, and told while the server runs.
 *
 * After a kill -9 the number is still taken, by the server itself. It is known by its data folder, which no two servers
 * of a machine use, as long as the machine runs (boot_id); a number that was last used there is taken over at once. So
 * is that of a process of the same machine and PID namespace that is gone. Elsewhere it is free again after LIFE
 * seconds.
 *
 * The answer has the store's time. It was read between the question and the answer, so by how much that clock is ahead
 * is known to within the time that this took.
 */
#include "backends/failure.h"
#include "backends/redis/cluster.h"
#include "cache/base/clock.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LIFE = 10 /* seconds */ };

/* ---- Who this server is ---- */

/* Of what was to be read: it is not there, or hidden, and will be so later. Any other failure may pass. */
static bool is_none(int error) {
    return error == ENOENT || error == ENOTDIR || error == EACCES || error == EPERM;
}

/* As much of a file as there is room for; "" where there is none, or it is hidden. False: there may be more, errno says
 * why it cannot be read. */
static bool read_text(const char *path, char *ret_text, size_t size) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = 0;
    *ret_text = '\0';
    if (file < 0)
        return is_none(errno);
    do
        got = read(file, ret_text, size - 1);
    while (got < 0 && errno == EINTR);
    int failure = errno;
    ret_text[got > 0 ? got : 0] = '\0';
    close(file);
    errno = failure;
    return got >= 0 || errno == ESRCH;
}

/* The first word of a file, or the `nth`; "-" where there is none. False: it cannot be read now, errno says why. */
static bool read_word(const char *path, unsigned nth, char *ret_word, size_t size) {
    char text[1024];
    bool read = read_text(path, text, sizeof text);
    const char *word = strrchr(text, ')'); /* in stat the name of the program may hold blanks */
    for (word = word ? word + 1 : text; nth > 0; nth--) {
        word += strspn(word, " \n");
        word += nth > 1 ? strcspn(word, " \n") : 0;
    }
    snprintf(ret_word, size, "%.*s", (int)strcspn(word, " \n"), word);
    if (!*ret_word)
        snprintf(ret_word, size, "-");
    return read;
}

/* When a process of this machine was started, in the kernel's ticks; "-": there is none, or (false) it is not known. */
static bool start_of_process(long pid, char ret_started[24]) {
    enum { STARTED_AT = 20 /* of the stat of a process, counted from behind the name */ };
    char path[40];
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    return read_word(path, STARTED_AT, ret_started, 24);
}

/* What a path leads to; all 0 where there is none, or it is hidden, or path is NULL. False: it is not known now, errno
 * says why. */
static bool look_at(const char *path, struct stat *ret_status) {
    if (path && stat(path, ret_status) == 0)
        return true;
    bool none = !path || is_none(errno);
    *ret_status = (struct stat){0};
    return none;
}

bool redis_know_itself(struct redis_connection *connection, const char *data) {
    char boot[40], started[24];
    struct stat pid_namespace, folder;
    if (!read_word("/proc/sys/kernel/random/boot_id", 1, boot, sizeof boot) ||
        !start_of_process((long)getpid(), started) || !look_at("/proc/self/ns/pid", &pid_namespace) ||
        !look_at(data, &folder))
        return false;
    snprintf(connection->itself, sizeof connection->itself, "%.36s/%" PRIu64 "/%ld/%.20s", boot,
             (uint64_t)pid_namespace.st_ino, (long)getpid(), started);
    if (folder.st_mode)
        snprintf(connection->home, sizeof connection->home, "%.36s/%" PRIx64 "/%" PRIx64, boot,
                 (uint64_t)folder.st_dev, (uint64_t)folder.st_ino);
    else
        snprintf(connection->home, sizeof connection->home, "%s", connection->itself);
    return true;
}

/* Whether another process, which has written this of itself, is gone for certain. */
static bool is_dead(const struct redis_connection *connection, const char *itself) {
    char mine[48], its[48], started[24], now[24];
    unsigned long long mine_in, its_in;
    long pid;
    if (sscanf(connection->itself, "%47[^/]/%llu/", mine, &mine_in) != 2 || mine_in == 0 ||
        sscanf(itself, "%47[^/]/%llu/%ld/%23s", its, &its_in, &pid, started) != 4)
        return false;
    if (strcmp(mine, its) != 0 || mine_in != its_in || pid <= 0)
        return false;
    if (kill((pid_t)pid, 0) != 0 && errno == ESRCH)
        return true;
    start_of_process(pid, now); /* which may be hidden */
    return strcmp(now, "-") != 0 && strcmp(now, started) != 0;
}

/* ---- Registering ---- */

/* For people: where it runs. */
static void name_itself(char ret_name[120]) {
    char host[80] = "";
    if (gethostname(host, sizeof host - 1) != 0 || !*host)
        snprintf(host, sizeof host, "unknown");
    for (char *at = host; *at; at++)
        if (!isgraph((unsigned char)*at))
            *at = '?';
    snprintf(ret_name, 120, "%s, process %ld", host, (long)getpid());
}

bool redis_register_send(struct redis_connection *connection) {
    char name[120], life[8];
    name_itself(name);
    snprintf(life, sizeof life, "%d", (int)LIFE);
    struct slice node = redis_number(connection, connection->node);
    const struct slice words[] = {SLICE("EVALSHA"),
                                  slice_of(connection->link->sha[REDIS_REGISTER], REDIS_SHA_SIZE),
                                  SLICE("1"),
                                  SLICE(REDIS_NODES_KEY),
                                  node,
                                  slice_string(connection->home),
                                  slice_string(connection->itself),
                                  slice_string(name),
                                  slice_string(life),
                                  connection->registered ? SLICE("") : slice_string(connection->heir_of)};
    return redis_append_slices(connection, sizeof words / sizeof words[0], words);
}

/* before and after: of the wall clock, around the answer. */
static void note_time(struct backend_company *company, const redisReply *seconds, const redisReply *micros,
                      uint64_t before_us, uint64_t after_us) {
    uint64_t there_us =
        redis_number_in(seconds, UINT32_MAX) * US_PER_SECOND + redis_number_in(micros, US_PER_SECOND - 1);
    company->ahead_least_us = (int64_t)(there_us - after_us);
    company->ahead_most_us = (int64_t)(there_us - before_us);
}

/* What follows on so many words. */
static const char *behind_words(const char *text, unsigned count) {
    for (; count > 0; count--) {
        text += strcspn(text, " ");
        text += strspn(text, " ");
    }
    return text;
}

/* holder: what the one that is registered has said of itself. Whether it is dead, and this one may claim its number. */
static bool inherits(struct redis_connection *connection, const char *holder) {
    const char *itself = behind_words(holder, 2);
    char copy[REDIS_SELF_SIZE];
    snprintf(copy, sizeof copy, "%.*s", (int)strcspn(itself, " "), itself);
    if (connection->registered || strcmp(copy, connection->heir_of) == 0 || !is_dead(connection, copy))
        return false;
    memcpy(connection->heir_of, copy, sizeof copy);
    return true;
}

static void complain_of_rival(const struct redis_connection *connection, const char *holder, char *ret_text,
                              size_t size) {
    snprintf(
        ret_text, size,
        "backend \"%.60s\", redis at %.80s: its node number %u is used by another server (%.60s): give each server of a store a `node` of its own; the number of one that has died is free after %d s",
        connection->name, redis_shown(connection), connection->node, behind_words(holder, 3), (int)LIFE);
}

static bool is_answer(const redisReply *reply) {
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 4 &&
           reply->element[0]->type == REDIS_REPLY_STRING && reply->element[1]->type == REDIS_REPLY_STRING &&
           reply->element[2]->type == REDIS_REPLY_INTEGER && reply->element[3]->type == REDIS_REPLY_STRING;
}

static enum redis_step take_answer(struct redis_connection *connection, const redisReply *reply,
                                   uint64_t before_us, bool *ret_again, enum backend_status *ret_status,
                                   struct backend_error *ret_error) {
    struct backend_company *company = &connection->base.company;
    if (!is_answer(reply))
        return redis_odd_answer(connection, ret_status, ret_error);
    const redisReply *holder = reply->element[3];
    company->others = (unsigned)reply->element[2]->integer;
    note_time(company, reply->element[0], reply->element[1], before_us, wall_us());
    *company->complaint = '\0';
    connection->registered |= holder->len == 0;
    connection->starting &= !connection->registered;
    if (holder->len == 0)
        return REDIS_DONE;
    *ret_again = inherits(connection, holder->str);
    if (*ret_again)
        return REDIS_DONE;
    complain_of_rival(connection, holder->str, company->complaint, sizeof company->complaint);
    if (!connection->starting)
        return REDIS_DONE;
    *ret_status = backend_fail(ret_error, BACKEND_REFUSED, "%s", company->complaint);
    return REDIS_FAILED;
}

/* A Redis that takes no writes now, or forbids what this takes, serves all the same. */
static enum redis_step take_refusal(struct redis_connection *connection, const redisReply *reply) {
    struct backend_company *company = &connection->base.company;
    if (redis_begins_with(reply, "NOSCRIPT"))
        return REDIS_NO_SCRIPT;
    if (strstr(reply->str, "NOPERM") || strstr(reply->str, "can't run this command")) /* keys, commands */
        snprintf(
            company->complaint, sizeof company->complaint,
            "backend \"%.60s\", redis at %.80s: its user may not register this server, so nobody sees whether another one has the same node number, or clocks differ: allow it time, hgetall and forebay:* (ACL SETUSER)",
            connection->name, redis_shown(connection));
    return REDIS_DONE;
}

enum redis_step redis_register_hear(struct redis_connection *connection, redisReply *reply,
                                    uint64_t before_us, bool *ret_again, enum backend_status *ret_status,
                                    struct backend_error *ret_error) {
    *ret_again = false;
    enum redis_step step = reply->type == REDIS_REPLY_ERROR
                               ? take_refusal(connection, reply)
                               : take_answer(connection, reply, before_us, ret_again, ret_status, ret_error);
    freeReplyObject(reply);
    return step;
}

enum redis_step redis_register(struct redis_connection *connection, enum backend_status *ret_status,
                               struct backend_error *ret_error) {
    redisReply *reply = NULL;
    bool again;
    uint64_t before_us = wall_us();
    if (!redis_register_send(connection))
        return redis_out_of_memory(connection, ret_status, ret_error);
    enum redis_step step = redis_answer(connection, &reply);
    if (step != REDIS_DONE)
        return step;
    step = redis_register_hear(connection, reply, before_us, &again, ret_status, ret_error);
    return step == REDIS_DONE && again ? redis_register(connection, ret_status, ret_error) : step;
}

void redis_unregister(struct redis_connection *connection) {
    struct slice node = redis_number(connection, connection->node);
    const char *words[] = {"HDEL", REDIS_NODES_KEY, node.data};
    const size_t sizes[] = {4, sizeof REDIS_NODES_KEY - 1, node.size};
    if (connection->registered && connection->link->context && redis_append(connection, 3, words, sizes))
        redis_send(connection); /* nobody waits for the answer */
    connection->registered = false;
}

/* ---- Only looking ---- */

/* The value of our number, as the script wrote it, when it is so late there. Whether it is that of another server that
 * is about. */
static bool is_about(const struct redis_connection *connection, const char *holder, uint64_t now,
                     long running_pid) {
    char home[REDIS_SELF_SIZE], itself[REDIS_SELF_SIZE];
    unsigned long long seen;
    long pid = 0;
    _Static_assert(REDIS_SELF_SIZE == 100, "the form below has another");
    if (sscanf(holder, "%llu %99s %99s ", &seen, home, itself) != 3 || seen + LIFE < now || seen > now + LIFE)
        return false;
    if (strcmp(home, connection->home) == 0 || is_dead(connection, itself))
        return false;
    sscanf(itself, "%*[^/]/%*[^/]/%ld/", &pid);
    return running_pid == 0 || pid != running_pid;
}

bool redis_rival_send_time(struct redis_connection *connection) {
    const struct slice words[] = {SLICE("TIME")};
    return redis_append_slices(connection, 1, words);
}

bool redis_rival_send_holder(struct redis_connection *connection) {
    const struct slice words[] = {SLICE("HGET"), SLICE(REDIS_NODES_KEY),
                                  redis_number(connection, connection->node)};
    return redis_append_slices(connection, sizeof words / sizeof *words, words);
}

bool redis_is_rival(const struct redis_connection *connection, const redisReply *time,
                    const redisReply *holder, long running_pid, struct backend_error *ret_error) {
    bool told = time && time->type == REDIS_REPLY_ARRAY && time->elements == 2 && holder &&
                holder->type == REDIS_REPLY_STRING; /* else forbidden, or nobody has the number */
    if (!told ||
        !is_about(connection, holder->str, redis_number_in(time->element[0], UINT32_MAX), running_pid))
        return false;
    complain_of_rival(connection, holder->str, ret_error->message, sizeof ret_error->message);
    return true;
}

struct rival_task {
    long running_pid;
    bool found;
};

static enum redis_step rival_work(struct redis_connection *connection, void *context,
                                  enum backend_status *ret_status, struct backend_error *ret_error) {
    struct rival_task *task = context;
    redisReply *time = NULL, *holder = NULL;
    if (!redis_rival_send_time(connection) || !redis_rival_send_holder(connection))
        return redis_out_of_memory(connection, ret_status, ret_error);
    enum redis_step step = redis_answer(connection, &time);
    if (step == REDIS_DONE)
        step = redis_answer(connection, &holder);
    task->found = redis_is_rival(connection, time, holder, task->running_pid, ret_error);
    if (task->found) {
        *ret_status = BACKEND_REFUSED;
        step = REDIS_FAILED;
    }
    freeReplyObject(time);
    freeReplyObject(holder);
    return step;
}

enum backend_status redis_look_for_rival(struct redis_connection *connection, const char *data,
                                         long running_pid, struct backend_error *ret_error) {
    struct rival_task task = {.running_pid = running_pid};
    if (!redis_know_itself(connection, data))
        return BACKEND_OK; /* the start finds that out */
    if (connection->cluster)
        return redis_cluster_look_for_rival(connection, running_pid, ret_error);
    enum backend_status status = redis_do(connection, rival_work, &task, ret_error);
    return task.found ? BACKEND_REFUSED : status;
}
