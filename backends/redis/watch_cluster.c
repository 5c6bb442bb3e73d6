/* SPDX-License-Identifier: MIT */
/*
 * Hearing of changes in a cluster: each master tells what is changed at it, and nothing else.
 *
 *     the map --masters--> each is subscribed to, and asked for the masters that it knows --one that is not heard--> and so on
 *
 * A row that moves is told by both, as removed and as restored; but what is changed at a master that is not heard is
 * told by nobody. So all are heard that may have rows: those without slots as well, where a slot may be on its way to,
 * which then has rows there. A master sends nobody to one that it does not know. So what was changed before a moment is
 * proven to be told once each master
 *
 *     has sent the sign that it was asked for then            (watch.c)
 *     has said, asked then, which masters it knows (CLUSTER SHARDS), and all of these are heard; and how often slots were
 *     assigned there by hand (INFO commandstats)
 *
 * and the least of these moments counts. A master that does not answer is waited for, until the others know of none any
 * more that it has a slot, or is alive: what it says of itself does not count beside what they say, as it may be cut
 * off from them.
 *
 * Any key may be another one (backend_listener.lost) when a master was subscribed to, when one is left, and when
 * somebody knows of slots that have a master now and had none, or the other way round. Where a slot goes from one
 * master that is heard to another one, its rows are told of if they are moved. But a master that finds that another one
 * has taken its slot drops the rows which are left without a word (7.0), so that has to be told as well
 * (backend_listener.moved).
 *
 * A slot that is taken away and given back between two answers leaves no trace in the map, nor in an epoch: neither
 * DELSLOTS nor ADDSLOTS raises one. But a master counts the commands that it was given, and if that count has changed,
 * a slot had no master for a moment, or another one. (What hides it is a CONFIG RESETSTAT between the same two
 * answers.) SETSLOT need not be counted: a master that has rows of a slot refuses to give it away.
 *
 * Two links a master: one on which it tells, which takes no other command but PING, and one on which it answers.
 */
#include "backends/failure.h"
#include "backends/redis/cluster.h"
#include "backends/redis/watch.h"
#include "cache/base/clock.h"
#include "cache/base/fit.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOMENT_MS = 200 /* to connect */ };

/* What statistics know of it. */
enum noted { NOTED_NOTHING, NOTED_DEAF, NOTED_HEARD };

/* A master that is heard, or is to be. */
struct heard {
    struct redis_address address;
    struct redis_link tells, answers;
    struct redis_watch watch; /* of the one that tells */
    uint64_t asked_us;        /* when the question under way was sent, monotonic; 0: none is */
    uint64_t next_ask_us;
    uint64_t answered_us;          /* when the last one was sent that is answered; 0: none over this link */
    bool names[REDIS_MASTERS_MAX]; /* by that answer: these masters may have rows */
    bool has_owners, has_assigned;
    bool has_map;               /* of the two answers that are due, the first has come */
    uint8_t owner[REDIS_SLOTS]; /* as it said last: the numbers of masters, or REDIS_NOBODY */
    uint64_t assigned;          /* the same: redis_assignments_read */
    struct backend_error error; /* why it is not heard; "": not tried yet */
    enum noted noted;
};

struct redis_hearing {
    struct heard *masters[REDIS_MASTERS_MAX]; /* NULL: a free place */
    bool lost, moved;                         /* what was not told yet */
    struct redis_known known;                 /* while it is read */
};

/* ---- The masters ---- */

static void free_heard(struct heard *heard) {
    struct redis_link *links[] = {&heard->tells, &heard->answers};
    for (size_t i = 0; i < 2; i++)
        if (links[i]->context)
            redisFree(links[i]->context);
    free(heard);
}

void redis_hearing_destroy(struct redis_hearing *hearing) {
    for (size_t i = 0; hearing && i < REDIS_MASTERS_MAX; i++)
        if (hearing->masters[i])
            free_heard(hearing->masters[i]);
    free(hearing);
}

static struct heard *make_heard(const struct redis_connection *connection, const struct redis_place *place) {
    struct heard *heard = calloc(1, sizeof *heard);
    if (!heard)
        return NULL;
    heard->address = connection->address;
    redis_address_take_node(&heard->address, place);
    heard->tells.address = heard->answers.address = &heard->address;
    return heard;
}

/* The number of the master at this place, which is heard from now on. REDIS_MASTERS_MAX: out of memory, or of room. */
static size_t add_place(const struct redis_connection *connection, const struct redis_place *place) {
    struct heard **masters = connection->hearing->masters;
    size_t spare = REDIS_MASTERS_MAX;
    for (size_t i = 0; i < REDIS_MASTERS_MAX; i++) {
        if (masters[i] && redis_is_one_place(&masters[i]->address.place, place))
            return i;
        if (!masters[i] && spare == REDIS_MASTERS_MAX)
            spare = i;
    }
    if (spare < REDIS_MASTERS_MAX && !(masters[spare] = make_heard(connection, place)))
        spare = REDIS_MASTERS_MAX;
    return spare;
}

static bool has_answered(const struct heard *heard) {
    return heard && heard->answers.context && heard->answered_us;
}

static bool is_heard(const struct heard *heard) {
    return heard->watch.subscribed && heard->answers.context;
}

static void note(const struct redis_connection *connection, struct heard *heard, bool hears) {
    enum noted now = hears ? NOTED_HEARD : NOTED_DEAF;
    char name[BACKEND_NODE_NAME];
    if (heard->noted == now)
        return;
    heard->noted = now;
    snprintf(name, sizeof name, "%.95s", heard->address.shown);
    backend_nodes_hear(connection->nodes, name, hears);
}

/* ---- Which masters there are ---- */

/* May it have rows? Others know better than it does itself. */
static bool is_needed(const struct redis_hearing *hearing, size_t master) {
    bool others_answer = false;
    for (size_t i = 0; i < REDIS_MASTERS_MAX; i++) {
        if (i == master || !has_answered(hearing->masters[i]))
            continue;
        if (hearing->masters[i]->names[master])
            return true;
        others_answer = true;
    }
    const struct heard *itself = hearing->masters[master];
    return !others_answer && (!has_answered(itself) || itself->names[master]);
}

static void leave(struct redis_connection *connection, size_t master) {
    struct redis_hearing *hearing = connection->hearing;
    note(connection, hearing->masters[master], false);
    free_heard(hearing->masters[master]);
    hearing->masters[master] = NULL;
    hearing->lost = true;
    for (size_t i = 0; i < REDIS_MASTERS_MAX; i++)
        if (hearing->masters[i])
            hearing->masters[i]->names[master] = false;
}

static void leave_others(struct redis_connection *connection) {
    struct redis_hearing *hearing = connection->hearing;
    bool needed[REDIS_MASTERS_MAX];
    for (size_t i = 0; i < REDIS_MASTERS_MAX; i++)
        needed[i] = hearing->masters[i] && is_needed(hearing, i);
    for (size_t i = 0; i < REDIS_MASTERS_MAX; i++)
        if (hearing->masters[i] && !needed[i])
            leave(connection, i);
}

/* At the beginning, and while none of them says who the others are. False: nobody says so. */
static bool ask_others(struct redis_connection *connection, struct backend_error *ret_error) {
    struct redis_hearing *hearing = connection->hearing;
    const struct redis_slot_map *map = &connection->cluster->map;
    enum backend_status status = BACKEND_TRANSIENT;
    for (size_t i = 0; i < REDIS_MASTERS_MAX; i++)
        if (has_answered(hearing->masters[i]))
            return true;
    redis_begin_call(connection);
    if (!redis_cluster_refresh(connection, &status, ret_error))
        return false;
    for (size_t i = 0; i < map->master_count; i++)
        if (add_place(connection, &map->masters[i]) == REDIS_MASTERS_MAX) {
            redis_out_of_memory(connection, &status, ret_error);
            return false;
        }
    return true;
}

/* ---- Asking one ---- */

static void stop_asking(struct redis_connection *connection, struct heard *heard) {
    connection->link = &heard->answers;
    redis_disconnect(connection);
    heard->asked_us = heard->answered_us = heard->next_ask_us = 0;
    heard->has_map = false;
}

/* Why is in heard->error, which is told as long as the master is not heard (sum_up). */
static void fail_asking(struct redis_connection *connection, struct heard *heard, const char *reason) {
    const redisContext *context = heard->answers.context;
    if (!reason)
        reason = context && *context->errstr ? context->errstr : "the connection broke";
    backend_fail(&heard->error, BACKEND_TRANSIENT, "backend \"%s\", redis at %s: %s", connection->name,
                 heard->address.shown, reason);
    stop_asking(connection, heard);
}

static bool connect_answers(struct redis_connection *connection, struct heard *heard) {
    enum backend_status status;
    if (heard->answers.context)
        return true;
    connection->link = &heard->answers;
    connection->deadline = monotonic_us() / US_PER_MS + MOMENT_MS;
    return redis_connect(connection, &status, &heard->error) == REDIS_DONE;
}

static bool send_questions(struct redis_connection *connection, struct heard *heard) {
    const struct slice map[] = {SLICE("CLUSTER"), SLICE("SHARDS")},
                       assigned[] = {SLICE("INFO"), SLICE("commandstats")};
    connection->link = &heard->answers;
    return redis_append_slices(connection, 2, map) && redis_append_slices(connection, 2, assigned) &&
           redis_send(connection) == REDIS_DONE;
}

/* Unless it was a moment ago, or there is no answer yet. */
static void ask(struct redis_connection *connection, struct heard *heard) {
    if (!connect_answers(connection, heard))
        return;
    uint64_t now_us = monotonic_us();
    if (redis_is_silent(connection, heard->asked_us, now_us)) {
        fail_asking(connection, heard, "no answer in time");
        return;
    }
    if (heard->asked_us || now_us < heard->next_ask_us)
        return;
    heard->asked_us = now_us;
    heard->next_ask_us = now_us + BACKEND_PROOF_MS * US_PER_MS;
    if (!send_questions(connection, heard))
        fail_asking(connection, heard, NULL);
}

/* What it says of the slots; numbers: of the masters that it names. */
static void take_owners(struct redis_hearing *hearing, struct heard *heard, const size_t *numbers) {
    for (size_t slot = 0; slot < REDIS_SLOTS; slot++) {
        unsigned said = hearing->known.owner[slot], before = heard->owner[slot],
                 now = said == REDIS_NOBODY ? REDIS_NOBODY : (unsigned)numbers[said];
        if (heard->has_owners && now != before)
            *(now == REDIS_NOBODY || before == REDIS_NOBODY ? &hearing->lost : &hearing->moved) = true;
        heard->owner[slot] = (uint8_t)now;
    }
    heard->has_owners = true;
}

/* All that it names are heard from now on. */
static bool take_names(const struct redis_connection *connection, struct heard *heard) {
    struct redis_hearing *hearing = connection->hearing;
    size_t numbers[REDIS_MASTERS_MAX];
    memset(heard->names, 0, sizeof heard->names);
    for (size_t i = 0; i < hearing->known.count; i++) {
        numbers[i] = add_place(connection, &hearing->known.masters[i]);
        if (numbers[i] == REDIS_MASTERS_MAX)
            return false;
        heard->names[numbers[i]] = true;
    }
    take_owners(hearing, heard, numbers);
    return true;
}

static void refuse(struct redis_connection *connection, struct heard *heard, const redisReply *reply) {
    enum backend_status status;
    connection->link = &heard->answers;
    redis_say(connection, reply, BACKEND_TRANSIENT, &status, &heard->error);
    fit_print(heard->error.message, sizeof heard->error.message,
              "%s. coherent over a cluster needs +cluster|shards +info", heard->error.message);
    stop_asking(connection, heard);
}

static bool has_slots(const struct redis_known *known) {
    size_t slot = 0;
    while (slot < REDIS_SLOTS && known->owner[slot] == REDIS_NOBODY)
        slot++;
    return slot < REDIS_SLOTS;
}

/* One that knows no slots has left the cluster, or there is none yet. Returns what is wrong, or NULL. */
static const char *take_map(struct redis_connection *connection, struct heard *heard,
                            const redisReply *reply) {
    struct redis_known *known = &connection->hearing->known;
    if (!redis_shards_read(reply, &heard->address.place, known))
        return "its answer to CLUSTER SHARDS says not where each master is";
    if (!has_slots(known))
        return "it knows of no master with slots: see CLUSTER NODES there";
    return take_names(connection, heard) ? NULL : "out of memory";
}

/* The same of the second answer. */
static const char *take_assigned(struct redis_hearing *hearing, struct heard *heard,
                                 const redisReply *reply) {
    uint64_t assigned;
    if (!redis_assignments_read(reply, &assigned))
        return "its answer to INFO commandstats is none";
    hearing->lost |= heard->has_assigned && assigned != heard->assigned;
    heard->assigned = assigned;
    heard->has_assigned = true;
    return NULL;
}

static void take_answer(struct redis_connection *connection, struct heard *heard, const redisReply *reply) {
    if (reply->type == REDIS_REPLY_ERROR) {
        refuse(connection, heard, reply);
        return;
    }
    const char *problem = heard->has_map ? take_assigned(connection->hearing, heard, reply)
                                         : take_map(connection, heard, reply);
    if (problem) {
        fail_asking(connection, heard, problem);
        return;
    }
    if (heard->has_map) {
        heard->answered_us = heard->asked_us;
        heard->asked_us = 0;
    }
    heard->has_map = !heard->has_map;
}

static void take_answers(struct redis_connection *connection, struct heard *heard) {
    void *reply = NULL;
    redisContext *context = heard->answers.context;
    bool good = redis_read_in(context) == REDIS_OK;
    while (good && heard->answers.context &&
           (good = redisReaderGetReply(context->reader, &reply) == REDIS_OK) && reply) {
        take_answer(connection, heard, reply);
        freeReplyObject(reply);
    }
    if (!good)
        fail_asking(connection, heard, NULL);
}

/* ---- All of them ---- */

/* Whatever fails, of either link, is in heard->error. */
static void reach(struct redis_connection *connection, struct heard *heard) {
    bool anew = false;
    connection->link = &heard->tells;
    enum backend_status status = redis_watch_reach(connection, &heard->watch, &anew, &heard->error);
    connection->hearing->lost |= anew;
    if (status == BACKEND_OK)
        ask(connection, heard);
}

static size_t list_links(const struct redis_hearing *hearing, struct pollfd *fds, struct heard **owners,
                         bool *ret_waits) {
    size_t count = 0;
    *ret_waits = false;
    for (size_t i = 0; i < REDIS_MASTERS_MAX; i++) {
        struct heard *heard = hearing->masters[i];
        const struct redis_link *links[] = {heard ? &heard->tells : NULL, heard ? &heard->answers : NULL};
        for (size_t link = 0; heard && link < 2; link++)
            if (links[link]->context) {
                owners[count] = heard;
                fds[count++] = (struct pollfd){.fd = links[link]->context->fd, .events = POLLIN};
            }
        *ret_waits |= heard && heard->asked_us;
    }
    return count;
}

static void take(struct redis_connection *connection, struct heard *heard, int fd,
                 struct backend_listener *listener) {
    if (heard->tells.context && heard->tells.context->fd == fd) {
        connection->link = &heard->tells;
        redis_watch_take(connection, &heard->watch, listener, &heard->error);
    } else if (heard->answers.context && heard->answers.context->fd == fd) {
        take_answers(connection, heard);
    }
}

/* Until something has come, and all questions are answered, or the time is over. */
static void hear_some(struct redis_connection *connection, unsigned wait_ms,
                      struct backend_listener *listener) {
    struct pollfd fds[2 * REDIS_MASTERS_MAX];
    struct heard *owners[2 * REDIS_MASTERS_MAX];
    uint64_t until_us = monotonic_us() + (uint64_t)wait_ms * US_PER_MS;
    bool waits;
    size_t count = list_links(connection->hearing, fds, owners, &waits);
    do {
        if (count == 0 || redis_poll(fds, count, until_us) <= 0)
            return;
        for (size_t i = 0; i < count; i++)
            if (fds[i].revents)
                take(connection, owners[i], fds[i].fd, listener);
        count = list_links(connection->hearing, fds, owners, &waits);
    } while (waits && monotonic_us() < until_us);
}

/* What all of them have proven. Other than BACKEND_OK: one is not heard. */
static enum backend_status sum_up(const struct redis_connection *connection, uint64_t *ret_proven_us,
                                  struct backend_error *ret_error) {
    uint64_t least_us = UINT64_MAX;
    enum backend_status status = BACKEND_OK;
    for (size_t i = 0; i < REDIS_MASTERS_MAX; i++) {
        struct heard *heard = connection->hearing->masters[i];
        if (!heard)
            continue;
        note(connection, heard, is_heard(heard));
        if (!is_heard(heard) && *heard->error.message) {
            *ret_error = heard->error;
            status = BACKEND_TRANSIENT;
        }
        uint64_t proven_us =
            heard->watch.proven_us < heard->answered_us ? heard->watch.proven_us : heard->answered_us;
        least_us = proven_us < least_us ? proven_us : least_us;
    }
    if (least_us == UINT64_MAX)
        return backend_fail(ret_error, BACKEND_TRANSIENT,
                            "backend \"%s\", redis cluster: no master has slots: see CLUSTER NODES",
                            connection->name);
    if (status == BACKEND_OK)
        *ret_proven_us = least_us;
    return status;
}

enum backend_status redis_cluster_changes(struct redis_connection *connection, unsigned wait_ms,
                                          struct backend_listener *listener, uint64_t *ret_proven_us,
                                          struct backend_error *ret_error) {
    enum backend_status status = BACKEND_TRANSIENT;
    if (!connection->hearing && !(connection->hearing = calloc(1, sizeof *connection->hearing))) {
        redis_out_of_memory(connection, &status, ret_error);
        return status;
    }
    struct redis_hearing *hearing = connection->hearing;
    bool known = ask_others(connection, ret_error);
    for (size_t i = 0; i < REDIS_MASTERS_MAX; i++)
        if (hearing->masters[i])
            reach(connection, hearing->masters[i]);
    hear_some(connection, wait_ms, listener);
    leave_others(connection);
    connection->link = &connection->only;
    if (hearing->lost)
        listener->lost(listener);
    else if (hearing->moved)
        listener->moved(listener);
    hearing->lost = hearing->moved = false;
    return known ? sum_up(connection, ret_proven_us, ret_error) : BACKEND_TRANSIENT;
}
