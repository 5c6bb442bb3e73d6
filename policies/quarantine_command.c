/* SPDX-License-Identifier: MIT */
/* The command `quarantine <list|retry|drop> <namespace> [key]`, on a worker. The quarantine itself:
 * write/quarantine.h. */
#include "policies/operation.h"
#include "policies/tier_parts.h"
#include "policies/write/quarantine.h"
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

static bool run_drop(struct tier_worker *worker, struct space *space, struct slice key, FILE *out,
                     const char **ret_error) {
    uint64_t dropped;
    if (operation_drop(worker->tier, slice_string(space->options.name), key, &dropped) != OPERATION_DONE) {
        *ret_error =
            "SERVER_ERROR the quarantine file cannot be written; look after the disk of the data folder";
        return false;
    }
    fprintf(out, "OK %" PRIu64 "\r\n", dropped);
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
        uint64_t marked = 0;
        operation_retry(worker->tier, name, key, &marked);
        fprintf(out, "OK %" PRIu64 "\r\n", marked);
    } else if (slice_equal(verb, SLICE("drop"))) {
        return run_drop(worker, space, key, out, ret_error);
    } else {
        *ret_error = usage;
        return false;
    }
    return true;
}
