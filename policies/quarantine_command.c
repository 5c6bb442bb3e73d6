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

/* What memory has of it is what the backend refused: the next read asks the backend. */
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

/* Notes the key of the last entry it is shown. */
struct dropper {
    struct quarantine_visitor base;
    char key[ENTRY_KEY_MAX];
    size_t key_size;
};

static void name_entry(struct quarantine_visitor *self, enum mutation_kind kind, const struct entry *entry,
                       uint32_t since, const char *reason) {
    struct dropper *dropper = (struct dropper *)(void *)self;
    (void)kind, (void)since, (void)reason;
    memcpy(dropper->key, entry->key.data, entry->key.size);
    dropper->key_size = entry->key.size;
}

static enum quarantine_drop drop_one(struct tier_worker *worker, struct space *space, struct slice key) {
    uint64_t version;
    enum quarantine_drop dropped = quarantine_drop(space->quarantine, key, &version);
    if (dropped == QUARANTINE_DROPPED)
        forget_dropped(worker, space, key, version);
    return dropped;
}

/* Of one key, or (key.size 0) of all. False: not all could be dropped. */
static bool drop(struct tier_worker *worker, struct space *space, struct slice key, size_t *ret_dropped) {
    enum quarantine_drop last = QUARANTINE_DROPPED;
    *ret_dropped = 0;
    if (key.size) {
        last = drop_one(worker, space, key);
        *ret_dropped = last == QUARANTINE_DROPPED;
    }
    while (!key.size && last == QUARANTINE_DROPPED && quarantine_count(space->quarantine)) {
        struct dropper dropper = {.base = {name_entry}};
        quarantine_visit(space->quarantine, &dropper.base);
        if (!dropper.key_size)
            break;
        last = drop_one(worker, space, slice_of(dropper.key, dropper.key_size));
        *ret_dropped += last == QUARANTINE_DROPPED;
    }
    return last != QUARANTINE_FAILED;
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
