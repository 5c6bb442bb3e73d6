/* SPDX-License-Identifier: MIT */
/*
 * Each time the slot of some key goes to another master, in the steps of redis-cli: it is on its way for a moment with
 * its keys at the old one, then with some of them at the new one, then it is there. A third master is told as well, so
 * that the map which anybody asks for is true at once.
 */
#include "tests/support/slot_mover.h"
#include "tests/support/check.h"
#include <assert.h>
#include <hiredis.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MASTERS_MAX = 8, STEP_US = 300, REST_US = 1000 };

struct slot_mover {
    pthread_t thread;
    pthread_mutex_t lock; /* held while a slot is under way */
    pthread_cond_t changed;
    bool going, over;
    unsigned count, next;
    int ports[MASTERS_MAX];
    char names[MASTERS_MAX][64];
    redisContext *links[MASTERS_MAX];
    unsigned long keys;
};

/* The answer, which the caller frees; NULL: the link is lost, and with it the run. The format is hiredis' own: %b is
 * two arguments. */
static redisReply *ask(struct slot_mover *mover, unsigned master, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = redisvCommand(mover->links[master], format, arguments);
    va_end(arguments);
    return reply;
}

static void set_slot(struct slot_mover *mover, unsigned master, long long slot, const char *what,
                     unsigned of) {
    freeReplyObject(ask(mover, master, "CLUSTER SETSLOT %lld %s %s", slot, what, mover->names[of]));
}

/* The slot of some key that the master has; -1: it has none. */
static long long some_slot(struct slot_mover *mover, unsigned master) {
    long long slot = -1;
    redisReply *key = ask(mover, master, "RANDOMKEY");
    if (key && key->type == REDIS_REPLY_STRING) {
        redisReply *number = ask(mover, master, "CLUSTER KEYSLOT %b", key->str, key->len);
        if (number && number->type == REDIS_REPLY_INTEGER)
            slot = number->integer;
        freeReplyObject(number);
    }
    freeReplyObject(key);
    return slot;
}

static void migrate(struct slot_mover *mover, unsigned source, unsigned target, const redisReply *key) {
    redisReply *reply = ask(mover, source, "MIGRATE 127.0.0.1 %d %s 0 5000 AUTH2 mover mover KEYS %b",
                            mover->ports[target], "", key->str, key->len);
    mover->keys += reply && reply->type == REDIS_REPLY_STATUS && strcmp(reply->str, "OK") == 0;
    freeReplyObject(reply);
}

/* While it is on its way, none comes in at the source. An entry of the string layout has two keys: between the two,
 * half of it is here and half of it there. False: there are no more. */
static bool migrate_some(struct slot_mover *mover, unsigned source, unsigned target, long long slot) {
    redisReply *keys = ask(mover, source, "CLUSTER GETKEYSINSLOT %lld 10", slot);
    bool some = keys && keys->type == REDIS_REPLY_ARRAY && keys->elements > 0;
    for (size_t i = 0; some && i < keys->elements; i++)
        migrate(mover, source, target, keys->element[i]);
    freeReplyObject(keys);
    return some;
}

static void move_slot(struct slot_mover *mover, unsigned source, unsigned target, long long slot) {
    set_slot(mover, target, slot, "IMPORTING", source);
    set_slot(mover, source, slot, "MIGRATING", target);
    usleep(STEP_US);
    while (migrate_some(mover, source, target, slot))
        usleep(STEP_US);
    set_slot(mover, target, slot, "NODE", target);
    for (unsigned i = 0; i < mover->count; i++)
        if (i != target)
            set_slot(mover, i, slot, "NODE", target);
}

static long epoch_of(struct slot_mover *mover, unsigned master) {
    static const char name[] = "cluster_current_epoch:";
    long epoch = -1;
    redisReply *info = ask(mover, master, "CLUSTER INFO");
    const char *found = info && info->type == REDIS_REPLY_STRING ? strstr(info->str, name) : NULL;
    if (found)
        epoch = strtol(found + strlen(name), NULL, 10);
    freeReplyObject(info);
    return epoch;
}

/* The last move has come round. A master that gets a slot before it has heard of that claims it with an old epoch,
 * gives it back as soon as it hears, and deletes its keys. */
static bool all_know(struct slot_mover *mover) {
    long epoch = epoch_of(mover, 0);
    for (unsigned i = 1; i < mover->count; i++)
        if (epoch_of(mover, i) != epoch)
            return false;
    return true;
}

/* From each master in turn to each of the others. */
static void move_one(struct slot_mover *mover) {
    if (!all_know(mover))
        return;
    assert(mover->count > 1);
    unsigned turn = mover->next++, source = turn % mover->count;
    unsigned target = (source + 1 + turn / mover->count % (mover->count - 1)) % mover->count;
    long long slot = some_slot(mover, source);
    if (slot >= 0)
        move_slot(mover, source, target, slot);
}

static void *move_on(void *context) {
    struct slot_mover *mover = context;
    pthread_mutex_lock(&mover->lock);
    while (!mover->over) {
        if (!mover->going) {
            pthread_cond_wait(&mover->changed, &mover->lock);
            continue;
        }
        move_one(mover);
        pthread_mutex_unlock(&mover->lock);
        usleep(REST_US);
        pthread_mutex_lock(&mover->lock);
    }
    pthread_mutex_unlock(&mover->lock);
    return NULL;
}

static void link_to(struct slot_mover *mover, unsigned i, const struct redis_server *master) {
    assert_string_equal(redis_server_ask(master, "ACL SETUSER mover on >mover ~* &* +@all"), "OK");
    mover->ports[i] = master->port;
    strncpy(mover->names[i], redis_server_ask(master, "CLUSTER MYID"), sizeof mover->names[i] - 1);
    mover->links[i] = redisConnect("127.0.0.1", master->port);
    assert_true(mover->links[i] && !mover->links[i]->err);
    freeReplyObject(ask(mover, i, "AUTH mover mover"));
}

struct slot_mover *slot_mover_create(const struct redis_server *masters, unsigned count) {
    struct slot_mover *mover = calloc(1, sizeof *mover);
    assert_true(mover && count > 1 && count <= MASTERS_MAX);
    mover->count = count;
    for (unsigned i = 0; i < count; i++)
        link_to(mover, i, &masters[i]);
    pthread_mutex_init(&mover->lock, NULL);
    pthread_cond_init(&mover->changed, NULL);
    assert_int_equal(pthread_create(&mover->thread, NULL, move_on, mover), 0);
    return mover;
}

static void set_state(struct slot_mover *mover, bool going, bool over) {
    pthread_mutex_lock(&mover->lock);
    mover->going = going;
    mover->over = over;
    pthread_cond_signal(&mover->changed);
    pthread_mutex_unlock(&mover->lock);
}

void slot_mover_go(struct slot_mover *mover) {
    set_state(mover, true, false);
}

void slot_mover_rest(struct slot_mover *mover) {
    set_state(mover, false, false);
}

unsigned long slot_mover_destroy(struct slot_mover *mover) {
    set_state(mover, false, true);
    pthread_join(mover->thread, NULL);
    unsigned long keys = mover->keys;
    for (unsigned i = 0; i < mover->count; i++)
        redisFree(mover->links[i]);
    pthread_cond_destroy(&mover->changed);
    pthread_mutex_destroy(&mover->lock);
    free(mover);
    return keys;
}
