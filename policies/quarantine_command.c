/* SPDX-License-Identifier: MIT */
/* The command `quarantine <list|retry|drop> <namespace> [key]`, on a worker. The quarantine itself: write/quarantine.h. */
#include "policies/tier_parts.h"
#include "policies/write/quarantine.h"
#include "policies/write/writer.h"
#include <inttypes.h>

struct lister {
    struct quarantine_visitor base;
    FILE *out;
};

static void list_entry(struct quarantine_visitor *self, enum mutation_kind kind, const struct entry *entry,
                       uint32_t since, const char *reason) {
    static const char *const kinds[] = {"put", "touch", "delete"};
    struct lister *lister = (struct lister *)(void *)self;
    fprintf(lister->out, "QUARANTINED %.*s %s %zu %" PRIu64 " %" PRIu32 " %s\r\n", (int)entry->key.size,
            entry->key.data, kinds[kind], entry->value.size, entry->version, since, reason);
}

/* The next word of a text. */
static struct slice next_word(struct slice *text) {
    while (text->size && *text->data == ' ') {
        text->data++;
        text->size--;
    }
    struct slice word = slice_of(text->data, 0);
    while (text->size && *text->data != ' ') {
        text->data++;
        text->size--;
        word.size++;
    }
    return word;
}

/* What memory has of the key is what the backend refused. It is forgotten, so that the next read asks the backend. */
static void forget_dropped(struct tier_worker *worker, struct space *space, struct slice key,
                           uint64_t version) {
    struct cache_cursor cursor;
    cache_seek(worker->tier->cache, space->number, key, cache_hash(worker->tier->cache, key), &worker->now,
               &cursor);
    if (cursor.presence == CACHE_UNKNOWN ||
        (cursor.view.version == version && cursor.view.state == CACHE_CLEAN))
        cache_forget(&cursor);
    cache_release(&cursor);
}

/* Forgets in memory what it is shown. */
struct dropper {
    struct quarantine_visitor base;
    struct tier_worker *worker;
    struct space *space;
    size_t count;
};

static void forget_entry(struct quarantine_visitor *self, enum mutation_kind kind, const struct entry *entry,
                         uint32_t since, const char *reason) {
    struct dropper *dropper = (struct dropper *)(void *)self;
    (void)kind, (void)since, (void)reason;
    forget_dropped(dropper->worker, dropper->space, entry->key, entry->version);
    dropper->count++;
}

static enum quarantine_drop drop_one(struct tier_worker *worker, struct space *space, struct slice key) {
    uint64_t version;
    enum quarantine_drop dropped = quarantine_drop(space->quarantine, key, &version);
    if (dropped == QUARANTINE_DROPPED)
        forget_dropped(worker, space, key, version);
    return dropped;
}

/* Of one key, or (key.size 0) of all. False: the file cannot be written, and nothing is dropped. */
static bool drop(struct tier_worker *worker, struct space *space, struct slice key, size_t *ret_dropped) {
    struct dropper dropper = {.base = {forget_entry}, .worker = worker, .space = space};
    enum quarantine_drop dropped =
        key.size ? drop_one(worker, space, key) : quarantine_drop_all(space->quarantine, &dropper.base);
    *ret_dropped = key.size ? dropped == QUARANTINE_DROPPED : dropper.count;
    return dropped != QUARANTINE_FAILED;
}

static bool run_drop(struct tier_worker *worker, struct space *space, struct slice key, FILE *out,
                     const char **ret_error) {
    size_t dropped;
    if (!drop(worker, space, key, &dropped)) {
        *ret_error =
            "SERVER_ERROR the quarantine file cannot be written; look after the disk of the data folder";
        return false;
    }
    fprintf(out, "OK %zu\r\n", dropped);
    writer_poke(space->backend->writer); /* there may be room again */
    return true;
}

static const char usage[] = "CLIENT_ERROR usage: quarantine <list|retry|drop> <namespace> [key]";

bool tier_quarantine(struct tier_worker *worker, struct slice argument, FILE *out, const char **ret_error) {
    struct slice verb = next_word(&argument), name = next_word(&argument), key = next_word(&argument);
    struct space *space = space_by_name(worker->tier, name);
    if (!verb.size || !name.size || next_word(&argument).size) {
        *ret_error = usage;
        return false;
    }
    if (!space || !space->policy->holds_back) {
        *ret_error = "CLIENT_ERROR no such write-behind namespace";
        return false;
    }
    if (slice_equal(verb, SLICE("list"))) {
        struct lister lister = {.base = {list_entry}, .out = out};
        quarantine_visit(space->quarantine, &lister.base);
        fprintf(out, "END\r\n");
    } else if (slice_equal(verb, SLICE("retry"))) {
        fprintf(out, "OK %zu\r\n", quarantine_ask_retry(space->quarantine, key));
        writer_poke(space->backend->writer);
    } else if (slice_equal(verb, SLICE("drop"))) {
        return run_drop(worker, space, key, out, ret_error);
    } else {
        *ret_error = usage;
        return false;
    }
    return true;
}
