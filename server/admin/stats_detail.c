/* SPDX-License-Identifier: MIT */
/*
 * A chained hash table under one lock: it is for looking at a server for a while, and while it is off it
 * costs a request no more than a load. The number of prefixes is bounded, as keys come from outside; keys of
 * prefixes beyond the bound are not counted. They are shown by their age: the order of the buckets would tell which
 * prefixes meet.
 */
#include "server/admin/stats_detail.h"
#include "cache/base/keyed_hash.h"
#include "server/admin/watch.h"
#include <pthread.h>
#include <stdlib.h>

enum { BUCKETS = 1024, PREFIXES_MAX = 1 << 16 };

struct prefix {
    struct prefix *next;  /* of its bucket */
    struct prefix *newer; /* of all */
    uint64_t gets, hits, sets, deletes;
    size_t size;
    char text[];
};

struct stats_detail {
    struct stats_detail_head head;
    char delimiter;
    struct keyed_hash secret;
    pthread_mutex_t lock;
    struct prefix *buckets[BUCKETS];
    struct prefix *oldest, *newest;
    size_t count;
};

struct stats_detail *stats_detail_create(char delimiter, bool on) {
    struct stats_detail *detail = calloc(1, sizeof *detail);
    if (!detail || !keyed_hash_draw(0, &detail->secret)) {
        free(detail);
        return NULL;
    }
    atomic_init(&detail->head.on, on);
    detail->delimiter = delimiter;
    pthread_mutex_init(&detail->lock, NULL);
    return detail;
}

static void forget_all(struct stats_detail *detail) {
    while (detail->oldest) {
        struct prefix *newer = detail->oldest->newer;
        free(detail->oldest);
        detail->oldest = newer;
    }
    detail->newest = NULL;
    memset(detail->buckets, 0, sizeof detail->buckets);
    detail->count = 0;
}

void stats_detail_free(struct stats_detail *detail) {
    if (!detail)
        return;
    forget_all(detail);
    pthread_mutex_destroy(&detail->lock);
    free(detail);
}

void stats_detail_set(struct stats_detail *detail, bool on) {
    atomic_store(&detail->head.on, on);
}

void stats_detail_reset(struct stats_detail *detail) {
    pthread_mutex_lock(&detail->lock);
    forget_all(detail);
    pthread_mutex_unlock(&detail->lock);
}

static struct prefix *add_prefix(struct stats_detail *detail, struct prefix **bucket, struct slice text) {
    if (detail->count == PREFIXES_MAX)
        return NULL;
    struct prefix *prefix = calloc(1, sizeof *prefix + text.size);
    if (!prefix)
        return NULL;
    memcpy(prefix->text, text.data, text.size);
    prefix->size = text.size;
    prefix->next = *bucket;
    *bucket = prefix;
    *(detail->newest ? &detail->newest->newer : &detail->oldest) = prefix;
    detail->newest = prefix;
    detail->count++;
    return prefix;
}

static struct prefix *find_prefix(struct stats_detail *detail, struct slice text) {
    struct prefix **bucket = &detail->buckets[keyed_hash_of(&detail->secret, text) % BUCKETS];
    for (struct prefix *prefix = *bucket; prefix; prefix = prefix->next)
        if (slice_equal(slice_of(prefix->text, prefix->size), text))
            return prefix;
    return add_prefix(detail, bucket, text);
}

enum counted { COUNTED_NOT, COUNTED_GET, COUNTED_SET, COUNTED_DELETE };

static enum counted counted_as(enum command command) {
    if (command_is_meta(command))
        return COUNTED_NOT;
    switch (command_kind(command)) {
    case KIND_READ:
    case KIND_READ_AND_TOUCH:
        return COUNTED_GET;
    case KIND_STORE:
        return COUNTED_SET;
    case KIND_DELETE:
        return COUNTED_DELETE;
    case KIND_INSPECT:
    case KIND_COUNT:
    case KIND_TOUCH:
    case KIND_TALK:
        break;
    }
    return COUNTED_NOT;
}

void stats_detail_count(struct stats_detail *detail, const struct request *request, bool hit) {
    enum counted counted = counted_as(request->command);
    struct slice key = request->key;
    const char *end = counted && key.size ? memchr(key.data, detail->delimiter, key.size) : NULL;
    if (!end)
        return;
    pthread_mutex_lock(&detail->lock);
    struct prefix *prefix = find_prefix(detail, slice_of(key.data, (size_t)(end - key.data)));
    if (prefix) {
        prefix->gets += counted == COUNTED_GET;
        prefix->hits += counted == COUNTED_GET && hit;
        prefix->sets += counted == COUNTED_SET;
        prefix->deletes += counted == COUNTED_DELETE;
    }
    pthread_mutex_unlock(&detail->lock);
}

/* A key may have any byte: one that would end the word or the line shows as watchers have it. */
static void write_text(const struct prefix *prefix, char ret_text[WATCH_KEY_TEXT]) {
    char *out = ret_text;
    for (size_t i = 0; i < prefix->size && i < ENTRY_KEY_MAX; i++) {
        unsigned char c = (unsigned char)prefix->text[i];
        bool is_shown = c > ' ' && c != 0x7f;
        if (is_shown)
            *out = (char)c;
        else
            watch_write_key(out, slice_of(&prefix->text[i], 1));
        out += is_shown ? 1 : 3;
    }
    *out = '\0';
}

static void dump_prefix(const struct prefix *prefix, struct buffer *out) {
    char text[WATCH_KEY_TEXT];
    write_text(prefix, text);
    buffer_print(out, "PREFIX %s get %llu hit %llu set %llu del %llu\r\n", text,
                 (unsigned long long)prefix->gets, (unsigned long long)prefix->hits,
                 (unsigned long long)prefix->sets, (unsigned long long)prefix->deletes);
}

void stats_detail_dump(struct stats_detail *detail, struct buffer *out) {
    pthread_mutex_lock(&detail->lock);
    for (const struct prefix *prefix = detail->oldest; prefix; prefix = prefix->newer)
        dump_prefix(prefix, out);
    pthread_mutex_unlock(&detail->lock);
    buffer_append(out, "END\r\n", 5);
}
