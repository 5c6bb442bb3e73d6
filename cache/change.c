/* SPDX-License-Identifier: MIT */
/*
 * Changes: stores, touches, deletes and fills. Each makes a draft of the new record and places it: over the
 * old record where it fits, else at the newest end of the log, leaving a hole behind.
 *
 * A placement may need room, and making room moves records. The old record under the cursor is pinned
 * meanwhile: it is carried like a dirty one, and shard->pin says where it went. The old record is not touched
 * until the new one is written, so a failure leaves it as it was.
 */
#include "cache/evict.h"
#include "cache/large.h"
#include "cache/memory.h"
#include "cache/segment.h"
#include "cache/shard.h"
#include "cache/view.h"
#include <assert.h>

static bool is_voided(const struct cache_shard *shard, uint32_t ref) {
    return segment_is_voided(shard, shard_segment(shard, ref));
}

/* Bytes from ref on that a record there may take: its own, and those of the holes behind it, until there are
 * as many as wanted. */
static uint32_t room_at(const struct cache_shard *shard, uint32_t ref, uint32_t wanted) {
    uint32_t number = ref >> shard->segment_shift;
    const struct segment *segment = &shard->segments[number];
    uint32_t start = (ref - segment_ref(shard, number, 0)) * RECORD_UNIT;
    uint32_t room = record_size(shard_record(shard, ref));
    if (shard->sweep.segment == number || shard->evacuation.segment == number)
        return room; /* a walk that has paused at the hole must find a record there */
    while (room < wanted && start + room < segment->used) {
        const struct record *next = shard_record(shard, ref + room / RECORD_UNIT);
        if (!record_is_hole(next))
            break;
        room += record_size(next);
    }
    return room;
}

static void count_dead(struct cache_shard *shard, struct segment *segment, int64_t bytes) {
    segment->dead = (uint32_t)(segment->dead + bytes);
    shard->spaces[segment->space].dead += (uint64_t)bytes;
    shard->dead += (uint64_t)bytes;
}

static void write_over(struct cache_shard *shard, uint32_t ref, const struct draft *draft, uint32_t room) {
    struct record *record = shard_record(shard, ref);
    struct cache_large *large = record_large(record);
    uint32_t before = record_size(record);
    shard_leave(shard, ref);
    record_write(record, draft);
    uint32_t size = record_size(record);
    if (room > size)
        record_make_hole(shard_record(shard, ref + size / RECORD_UNIT), room - size);
    count_dead(shard, shard_segment(shard, ref), (int64_t)before - (int64_t)size);
    shard_join(shard, ref);
    if (large && large != draft->large)
        cache_large_drop(large);
}

/* Puts the new record in the place of the old one in the index, and drops the old. */
static void replace(struct cache_shard *shard, uint64_t hash, uint32_t old, uint32_t ref) {
    uint32_t slot = index_find_ref(&shard->index, hash, old);
    assert(slot != SLOT_NONE);
    index_set_ref(&shard->index, slot, ref);
    struct cache_large *large = record_large(shard_record(shard, old));
    if (large && large == record_large(shard_record(shard, ref)))
        cache_large_hold(large); /* the new record holds what the old one gives up */
    shard_drop_record(shard, old, REASON_REPLACED);
}

/* Adds the record to the log. from_old: the value is the old record's, which may move meanwhile. */
static uint32_t append(struct cache_cursor *cursor, struct draft *draft, uint32_t size, bool from_old) {
    struct cache_shard *shard = cursor->shard;
    uint32_t deadline = earlier_deadline(draft->expires_at, draft->residency);
    struct place place = {.space = cursor->space,
                          .ttl_class = segment_ttl_class(cursor->cache, deadline, shard->now)};
    place.queue = cursor->ref == REF_NONE ? evict_queue(shard, cursor->space, cursor->hash)
                                          : (enum queue)shard_segment(shard, cursor->ref)->queue;
    uint32_t ref = evict_append(shard, &place, size);
    cursor->ref = shard->pin;
    if (ref == REF_NONE)
        return REF_NONE;
    if (from_old && draft->kind == RECORD_VALUE) {
        const struct record *old = shard_record(shard, cursor->ref);
        draft->value = slice_of(old->data + record_key_size(old), record_value_size(old));
    }
    record_write(shard_record(shard, ref), draft);
    shard_join(shard, ref);
    if (cursor->ref != REF_NONE) {
        replace(shard, cursor->hash, cursor->ref, ref);
    } else if (!index_insert(&shard->index, cursor->hash, ref, &shard->owner)) {
        if (draft->large)
            cache_large_hold(draft->large); /* the caller still has to drop it */
        shard_drop_record(shard, ref, REASON_REPLACED);
        return REF_NONE;
    }
    shard_count_index(shard);
    return ref;
}

/* Places the draft and shows the result in the cursor. */
static enum cache_status place_draft(struct cache_cursor *cursor, struct draft *draft, bool from_old) {
    struct cache_shard *shard = cursor->shard;
    uint32_t old = cursor->ref, size = draft_size(draft), room = 0;
    bool was_dirty = old != REF_NONE && record_state(shard_record(shard, old)) == CACHE_DIRTY;
    draft->key = cursor->key;
    if (old != REF_NONE && (draft->voided || !is_voided(shard, old)))
        room = room_at(shard, old, size);
    if (room >= size) {
        write_over(shard, old, draft, room);
    } else {
        uint32_t ref = append(cursor, draft, size, from_old);
        if (ref == REF_NONE) {
            shard->spaces[cursor->space].no_memory++;
            return CACHE_NO_MEMORY;
        }
        cursor->ref = ref;
    }
    view_fill(&cursor->view, shard_record(shard, cursor->ref), shard->now);
    bool live = draft->kind == RECORD_VALUE || draft->kind == RECORD_LARGE;
    cursor->presence = live ? CACHE_PRESENT : CACHE_GONE;
    cursor->queue |= draft->state == CACHE_DIRTY && !was_dirty;
    return CACHE_OK;
}

/* Opens a change: notes the time, pins the record under the cursor. */
static void change_begin(struct cache_cursor *cursor) {
    struct cache_shard *shard = cursor->shard;
    shard->now = cursor->now.seconds;
    shard->pin = cursor->ref;
    cursor->queue = false;
}

static enum cache_status change_end(struct cache_cursor *cursor, enum cache_status status, bool changed) {
    cursor->shard->pin = REF_NONE;
    if (changed && status == CACHE_OK)
        ++*shard_change_counter(cursor->shard, cursor->hash);
    return status;
}

static uint64_t draw_version(struct cache_cursor *cursor, uint64_t given) {
    if (given == 0)
        return shard_next_version(cursor->shard, cursor->hash, cursor->now.us);
    shard_saw_version(cursor->shard, given);
    return given;
}

/* Places a live value, in the log or outside. */
static enum cache_status place_value(struct cache_cursor *cursor, struct draft *draft, struct slice value) {
    struct cache_shard *shard = cursor->shard;
    draft->kind = RECORD_VALUE;
    draft->value = value;
    if (value.size < cursor->cache->large_from)
        return place_draft(cursor, draft, false);
    size_t pages = large_pages(value.size);
    bool taken = evict_take(shard, cursor->space, pages);
    cursor->ref = shard->pin;
    if (!taken) {
        shard->spaces[cursor->space].no_memory++;
        return CACHE_NO_MEMORY;
    }
    draft->kind = RECORD_LARGE;
    draft->value = slice_of(NULL, 0);
    draft->large = large_create(shard, cursor->space, value);
    if (!draft->large) {
        memory_give(shard, cursor->space, pages);
        return CACHE_NO_MEMORY;
    }
    enum cache_status status = place_draft(cursor, draft, false);
    if (status != CACHE_OK)
        cache_large_drop(draft->large);
    return status;
}

static uint32_t residency_of(const struct cache_cursor *cursor) {
    uint32_t longest = cursor->cache->space[cursor->space].options.max_residency;
    return longest ? cursor->now.seconds + longest : 0;
}

/* The frequency that an entry has after an overwrite: one that stays in its place shows its use by this
 * alone. */
static uint32_t frequency_after(const struct cache_cursor *cursor) {
    if (cursor->ref == REF_NONE)
        return 0;
    uint32_t frequency = record_frequency(shard_record(cursor->shard, cursor->ref));
    return frequency < USE_FREQUENCY_MAX ? frequency + 1 : frequency;
}

/* True when the record under the cursor and the one to be written have the same shape: sizes and state, and
 * none of the optional fields. */
static bool is_alike(const struct cache_cursor *cursor, const struct cache_write *write) {
    struct cache_shard *shard = cursor->shard;
    if (cursor->ref == REF_NONE || write->flags || write->client_cas || residency_of(cursor) ||
        write->value.size >= cursor->cache->large_from)
        return false;
    enum cache_state state = write->dirty ? CACHE_DIRTY : CACHE_CLEAN;
    uint32_t shape = (uint32_t)cursor->key.size | (uint32_t)write->value.size << SHAPE_VALUE_SHIFT |
                     (uint32_t)state << SHAPE_STATE_SHIFT;
    return shard_record(shard, cursor->ref)->shape == shape && !is_voided(shard, cursor->ref);
}

/* The most common overwrite: in its place, and no gauge changes. */
static enum cache_status overwrite_alike(struct cache_cursor *cursor, const struct cache_write *write) {
    struct cache_shard *shard = cursor->shard;
    struct record *record = shard_record(shard, cursor->ref);
    record->use = (cursor->now.seconds & USE_ACCESS_MASK) | frequency_after(cursor) << USE_FREQUENCY_SHIFT |
                  (uint32_t)write->marks << USE_MARKS_SHIFT;
    record->expires_at = write->expires_at;
    record_set_version(record, draw_version(cursor, write->version));
    if (write->value.size)
        memcpy(record->data + cursor->key.size, write->value.data, write->value.size);
    segment_note_deadline(shard, cursor->ref, write->expires_at);
    view_fill(&cursor->view, record, shard->now);
    cursor->presence = CACHE_PRESENT;
    shard->spaces[cursor->space].total_stored++;
    return change_end(cursor, CACHE_OK, true);
}

enum cache_status cache_store(struct cache_cursor *cursor, const struct cache_write *write) {
    if (write->value.size > cursor->cache->options.item_max)
        return CACHE_TOO_LARGE;
    assert(write->dirty || cursor->ref == REF_NONE ||
           record_state(shard_record(cursor->shard, cursor->ref)) != CACHE_DIRTY);
    change_begin(cursor);
    if (is_alike(cursor, write))
        return overwrite_alike(cursor, write);
    struct draft draft = {.key = cursor->key,
                          .state = write->dirty ? CACHE_DIRTY : CACHE_CLEAN,
                          .version = draw_version(cursor, write->version),
                          .client_cas = write->client_cas,
                          .flags = write->flags,
                          .expires_at = write->expires_at,
                          .residency = residency_of(cursor),
                          .access = cursor->now.seconds,
                          .frequency = frequency_after(cursor),
                          .marks = write->marks};
    enum cache_status status = place_value(cursor, &draft, write->value);
    cursor->shard->spaces[cursor->space].total_stored += status == CACHE_OK;
    return change_end(cursor, status, true);
}

enum cache_status cache_touch(struct cache_cursor *cursor, uint32_t expires_at, bool dirty) {
    assert(cursor->presence == CACHE_PRESENT);
    struct cache_shard *shard = cursor->shard;
    change_begin(cursor);
    struct record *record = shard_record(shard, cursor->ref);
    if (!dirty) {
        cursor->view.expires_at = record->expires_at = expires_at;
        segment_note_deadline(shard, cursor->ref, record_deadline(record));
        return change_end(cursor, CACHE_OK, false);
    }
    struct draft draft = record_read(record, cursor->now.seconds);
    if (!draft.client_cas)
        draft.client_cas = draft.version;
    draft.version = shard_next_version(shard, cursor->hash, cursor->now.us);
    draft.expires_at = expires_at;
    draft.ttl_only = draft.state == CACHE_CLEAN || draft.ttl_only;
    draft.state = CACHE_DIRTY;
    draft.voided |= is_voided(shard, cursor->ref);
    return change_end(cursor, place_draft(cursor, &draft, true), true);
}

void cache_set_marks(struct cache_cursor *cursor, uint8_t marks) {
    assert(cursor->presence == CACHE_PRESENT);
    struct record *record = shard_record(cursor->shard, cursor->ref);
    record_set_marks(record, marks);
    cursor->view.marks = marks;
}

void cache_set_ttl_only(struct cache_cursor *cursor) {
    struct record *record = shard_record(cursor->shard, cursor->ref);
    assert(cursor->presence == CACHE_PRESENT && record_state(record) == CACHE_DIRTY);
    record->shape |= SHAPE_TTL_ONLY;
    cursor->view.ttl_only = true;
}

enum cache_status cache_bury(struct cache_cursor *cursor, uint64_t version) {
    change_begin(cursor);
    struct draft draft = {.key = cursor->key,
                          .kind = RECORD_TOMBSTONE,
                          .state = CACHE_DIRTY,
                          .version = draw_version(cursor, version),
                          .access = cursor->now.seconds};
    return change_end(cursor, place_draft(cursor, &draft, false), true);
}

void cache_forget(struct cache_cursor *cursor) {
    change_begin(cursor);
    if (cursor->ref != REF_NONE)
        shard_drop(cursor->shard, cursor->ref, cursor->hash, REASON_REPLACED);
    cursor->ref = REF_NONE;
    cursor->presence = CACHE_UNKNOWN;
    change_end(cursor, CACHE_OK, true);
    cursor->stamp = shard_stamp(cursor->shard, cursor->hash);
}

/* ---- Filling ---- */

static bool is_blind(const struct cache_cursor *cursor) {
    return cursor->shard->spaces[cursor->space].blind;
}

/* Seeks for a fill. False: the key is known or changed; released again. */
static bool fill_seek(struct cache *cache, int space, struct slice key, uint64_t hash, uint64_t stamp,
                      const struct cache_time *now, struct cache_cursor *ret_cursor) {
    if (cache_seek(cache, space, key, hash, now, ret_cursor) != CACHE_UNKNOWN || ret_cursor->stamp != stamp ||
        atomic_load_explicit(&cache->space[space].closed, memory_order_relaxed)) {
        cache_release(ret_cursor);
        return false;
    }
    if (ret_cursor->stale &&
        !is_blind(ret_cursor)) { /* what the backend says replaces it, whatever that is */
        shard_drop(ret_cursor->shard, ret_cursor->ref, hash, REASON_REPLACED);
        ret_cursor->ref = REF_NONE;
    }
    return true;
}

enum cache_status cache_fill(struct cache *cache, int space, const struct entry *entry, uint64_t hash,
                             uint64_t stamp, const struct cache_time *now) {
    struct cache_cursor cursor;
    if (!fill_seek(cache, space, entry->key, hash, stamp, now, &cursor))
        return CACHE_CHANGED;
    enum cache_status status = CACHE_OK;
    if (is_blind(&cursor)) {
        status = CACHE_NOT_KEPT;
    } else if (entry->value.size > cache->options.item_max) {
        status = CACHE_TOO_LARGE;
    } else if (entry->expires_at == 0 || entry->expires_at > now->seconds) {
        change_begin(&cursor);
        struct draft draft = {.key = entry->key,
                              .version = draw_version(&cursor, entry->version),
                              .client_cas = entry->client_cas,
                              .flags = entry->flags,
                              .expires_at = entry->expires_at,
                              .residency = residency_of(&cursor),
                              .access = now->seconds,
                              .marks = entry->marks};
        status = change_end(&cursor, place_value(&cursor, &draft, entry->value), false);
        cursor.shard->spaces[space].total_stored += status == CACHE_OK;
    }
    cache_release(&cursor);
    return status;
}

enum cache_status cache_fill_absent(struct cache *cache, int space, struct slice key, uint64_t hash,
                                    uint64_t stamp, uint32_t until, const struct cache_time *now) {
    struct cache_cursor cursor;
    if (!fill_seek(cache, space, key, hash, stamp, now, &cursor))
        return CACHE_CHANGED;
    enum cache_status status = CACHE_OK;
    if (until > now->seconds && !is_blind(&cursor)) {
        change_begin(&cursor);
        struct draft draft = {
            .key = key, .kind = RECORD_ABSENCE, .expires_at = until, .access = now->seconds};
        status = change_end(&cursor, place_draft(&cursor, &draft, false), false);
    }
    cache_release(&cursor);
    return status;
}
