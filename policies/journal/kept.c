/* SPDX-License-Identifier: MIT */
/* A table with chains, by a hash with a secret of its own. See kept.h for the rule. */
#include "policies/journal/kept.h"
#include "cache/base/keyed_hash.h"
#include "policies/journal/internal.h"
#include <stdlib.h>
#include <string.h>

enum { FIRST_BUCKETS = 1024 };

struct kept_key {
    struct kept_key *next;
    uint64_t hash;
    uint64_t change_version;           /* of the newest put or delete; 0: none */
    uint64_t change_cas;               /* and the CAS value of what it stored; 0: it was a delete */
    uint64_t touch_version, touch_cas; /* of the newest touch that names a CAS value */
    uint32_t touch_expires_at;
    bool change_taken, touch_taken; /* kept_take */
    size_t change_size;
    unsigned space;
    size_t key_size;
    char key[];
};

struct kept {
    struct keyed_hash secret;
    uint64_t bytes;
    size_t count, bucket_count;
    struct kept_key **buckets;
};

struct kept *kept_create(void) {
    struct kept *kept = calloc(1, sizeof *kept);
    if (kept && keyed_hash_draw(0, &kept->secret)) {
        kept->bucket_count = FIRST_BUCKETS;
        kept->buckets = calloc(FIRST_BUCKETS, sizeof(struct kept_key *));
    }
    if (kept && !kept->buckets) {
        free(kept);
        return NULL;
    }
    return kept;
}

void kept_free(struct kept *kept) {
    if (!kept)
        return;
    for (size_t i = 0; i < kept->bucket_count; i++)
        while (kept->buckets[i]) {
            struct kept_key *next = kept->buckets[i]->next;
            free(kept->buckets[i]);
            kept->buckets[i] = next;
        }
    free(kept->buckets);
    free(kept);
}

static uint64_t hash_of(const struct kept *kept, struct slice key, unsigned space) {
    return keyed_hash_of(&kept->secret, key) + space;
}

static struct kept_key *find(const struct kept *kept, struct slice key, unsigned space, uint64_t hash) {
    struct kept_key *at = kept->buckets[hash % kept->bucket_count];
    while (at &&
           (at->hash != hash || at->space != space || !slice_equal(slice_of(at->key, at->key_size), key)))
        at = at->next;
    return at;
}

/* Without memory for it the chains get longer. */
static void widen(struct kept *kept) {
    size_t wider = kept->bucket_count * 2;
    struct kept_key **buckets = calloc(wider, sizeof(struct kept_key *));
    if (!buckets)
        return;
    for (size_t i = 0; i < kept->bucket_count; i++)
        for (struct kept_key *key = kept->buckets[i], *next; key; key = next) {
            next = key->next;
            key->next = buckets[key->hash % wider];
            buckets[key->hash % wider] = key;
        }
    free(kept->buckets);
    kept->buckets = buckets;
    kept->bucket_count = wider;
}

static struct kept_key *add(struct kept *kept, struct slice key, unsigned space, uint64_t hash) {
    struct kept_key *added = calloc(1, sizeof *added + key.size);
    if (!added)
        return NULL;
    if (++kept->count > kept->bucket_count)
        widen(kept);
    struct kept_key **bucket = &kept->buckets[hash % kept->bucket_count];
    added->next = *bucket;
    added->hash = hash;
    added->space = space;
    added->key_size = key.size;
    memcpy(added->key, key.data, key.size);
    *bucket = added;
    return added;
}

static void note_change(struct kept *kept, struct kept_key *key, const struct format_record *record) {
    if (record->entry.version <= key->change_version)
        return;
    kept->bytes += record->size - key->change_size;
    key->change_size = record->size;
    key->change_version = record->entry.version;
    key->change_cas = 0;
    if (journal_kind_is_whole((enum journal_kind)record->kind))
        key->change_cas = record->entry.client_cas ? record->entry.client_cas : record->entry.version;
}

static void note_touch(struct kept *kept, struct kept_key *key, const struct format_record *record) {
    const struct entry *entry = &record->entry;
    bool again = entry->client_cas != 0 && entry->client_cas == key->touch_cas;
    if (!again)
        kept->bytes += record->size; /* else it is as long as the other */
    if (entry->client_cas != 0 && entry->version > key->touch_version) {
        key->touch_version = entry->version;
        key->touch_cas = entry->client_cas;
        key->touch_expires_at = entry->expires_at;
    }
}

bool kept_note(struct kept *kept, const struct format_record *record, unsigned space) {
    struct slice name = record->entry.key;
    uint64_t hash = hash_of(kept, name, space);
    struct kept_key *key = find(kept, name, space, hash);
    if (!key && !(key = add(kept, name, space, hash)))
        return false;
    if (record->kind == JOURNAL_TOUCH)
        note_touch(kept, key, record);
    else
        note_change(kept, key, record);
    return true;
}

bool kept_needs(const struct kept *kept, const struct format_record *record, unsigned space) {
    const struct entry *entry = &record->entry;
    const struct kept_key *key = find(kept, entry->key, space, hash_of(kept, entry->key, space));
    if (!key || entry->version < key->change_version)
        return !key;
    bool touched_again = record->kind == JOURNAL_TOUCH && entry->client_cas != 0 &&
                         entry->client_cas == key->touch_cas && entry->version < key->touch_version;
    return !touched_again;
}

static bool is_touched(const struct kept_key *key) {
    return key && key->change_cas && key->change_cas == key->touch_cas &&
           key->touch_version > key->change_version;
}

bool kept_find_touch(const struct kept *kept, const struct format_record *record, unsigned space,
                     uint64_t *ret_version, uint32_t *ret_expires_at) {
    struct slice name = record->entry.key;
    const struct kept_key *key = find(kept, name, space, hash_of(kept, name, space));
    if (!is_touched(key))
        return false;
    *ret_version = key->touch_version;
    *ret_expires_at = key->touch_expires_at;
    return true;
}

bool kept_is_joined(const struct kept *kept, const struct format_record *touch, unsigned space) {
    struct slice name = touch->entry.key;
    const struct kept_key *key = find(kept, name, space, hash_of(kept, name, space));
    return is_touched(key) && touch->entry.client_cas == key->touch_cas;
}

bool kept_take(struct kept *kept, const struct format_record *record, unsigned space) {
    struct slice name = record->entry.key;
    struct kept_key *key = find(kept, name, space, hash_of(kept, name, space));
    if (!key || !kept_needs(kept, record, space))
        return false;
    bool is_touch = record->kind == JOURNAL_TOUCH;
    if (is_touch && record->entry.client_cas == 0)
        return true;
    bool *taken = is_touch ? &key->touch_taken : &key->change_taken;
    bool first = !*taken;
    *taken = true;
    return first;
}

size_t kept_count(const struct kept *kept) {
    return kept->count;
}

uint64_t kept_bytes(const struct kept *kept) {
    return kept->bytes;
}
