/* SPDX-License-Identifier: MIT */
/* See quarantine_list.h. */
#include "policies/write/quarantine_list.h"
#include <stdlib.h>
#include <string.h>

enum {
    NODE_SIZE =
        80 /* bytes of a node of the tree, and of what three allocations take beside what was asked for */
};

/* Memory that it takes. */
static size_t size_of(const struct refused *kept) {
    return NODE_SIZE + sizeof *kept + strlen(kept->reason) + 1 + sizeof *kept->copy + kept->key.size +
           kept->copy->entry.value.size;
}

void refused_free(struct refused *kept) {
    entry_copy_drop(kept->copy);
    free(kept);
}

void refused_free_chain(struct refused *kept) {
    while (kept) {
        struct refused *next = kept->next;
        refused_free(kept);
        kept = next;
    }
}

struct refused *refused_make(const struct quarantine_record *record) {
    size_t size = strlen(record->reason) + 1;
    struct refused *kept = calloc(1, sizeof *kept + size);
    if (!kept || !(kept->copy = entry_copy_make(record->entry))) {
        free(kept);
        return NULL;
    }
    kept->key = kept->copy->entry.key;
    kept->kind = record->kind;
    kept->since = record->since;
    memcpy(kept->reason, record->reason, size);
    return kept;
}

static void set_flag(bool *flag, bool on, atomic_size_t *count) {
    if (*flag != on)
        atomic_fetch_add(count, on ? 1 : (size_t)-1);
    *flag = on;
}

void quarantine_list_set_retry(struct quarantine *quarantine, struct refused *kept, bool retry) {
    set_flag(&kept->retry, retry, &quarantine->retries);
    set_flag(&kept->put_off, false, &quarantine->put_off);
    if (retry && (!quarantine->retry_from || kept->number < quarantine->retry_from->number))
        quarantine->retry_from = kept;
}

static void take_off_list(struct quarantine *quarantine, struct refused *kept) {
    quarantine_list_set_retry(quarantine, kept, false);
    if (quarantine->retry_from == kept)
        quarantine->retry_from = kept->next;
    *(kept->previous ? &kept->previous->next : &quarantine->first) = kept->next;
    *(kept->next ? &kept->next->previous : &quarantine->last) = kept->previous;
    quarantine->room_to_go -= quarantine_log_gone_size(kept->key);
    atomic_fetch_sub(&quarantine->bytes, size_of(kept));
    atomic_fetch_sub(&quarantine->count, 1);
}

static void append_to_list(struct quarantine *quarantine, struct refused *kept) {
    kept->number = ++quarantine->numbered;
    kept->previous = quarantine->last;
    *(kept->previous ? &kept->previous->next : &quarantine->first) = kept;
    quarantine->last = kept;
    quarantine->room_to_go += quarantine_log_gone_size(kept->key);
    atomic_fetch_add(&quarantine->bytes, size_of(kept));
    atomic_fetch_add(&quarantine->count, 1);
}

void quarantine_list_remove(struct quarantine *quarantine, struct refused *kept) {
    key_tree_remove(&quarantine->tree, kept);
    take_off_list(quarantine, kept);
    refused_free(kept);
}

bool quarantine_list_put(struct quarantine *quarantine, struct refused *kept) {
    void *old;
    if (!key_tree_put(&quarantine->tree, kept, &old))
        return false;
    if (old) {
        take_off_list(quarantine, old);
        refused_free(old);
    }
    append_to_list(quarantine, kept);
    return true;
}

void quarantine_list_put_off(struct quarantine *quarantine, struct refused *kept) {
    set_flag(&kept->retry, true, &quarantine->retries);
    set_flag(&kept->put_off, true, &quarantine->put_off);
}

void quarantine_list_free(struct quarantine *quarantine) {
    key_tree_clear(&quarantine->tree);
    refused_free_chain(quarantine->first);
}
