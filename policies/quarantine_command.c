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
    cache_seek(worker->tier->cache, space->number, key, cache_hash(key), &worker->now, &cursor);
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

static size_t drop_one(struct tier_worker *worker, struct space *space, struct slice key) {
    uint64_t version;
    if (!quarantine_drop(space->quarantine, key, &version))
        return 0;
    forget_dropped(worker, space, key, version);
    return 1;
}

static size_t drop(struct tier_worker *worker, struct space *space, struct slice key) {
    size_t dropped = 0;
    if (key.size)
        return drop_one(worker, space, key);
    while (quarantine_count(space->quarantine)) {
        struct dropper dropper = {.base = {name_entry}};
        quarantine_visit(space->quarantine, &dropper.base);
        if (!dropper.key_size)
            break;
        dropped += drop_one(worker, space, slice_of(dropper.key, dropper.key_size));
    }
    return dropped;
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
        fprintf(out, "OK %zu\r\n", drop(worker, space, key));
    } else {
        *ret_error = usage;
        return false;
    }
    return true;
}
