/* SPDX-License-Identifier: MIT */
/* See straight.h. */
#include "policies/load/straight.h"
#include "policies/row.h"
#include "policies/write/quarantine.h"
#include "policies/write/writer.h"

enum {
    ENTRY_OVERHEAD = 64, /* bytes: header, fields, index, all of them rounded up */
    LARGE_MEAN = 1024,
    LARGE_OVERHEAD = 4 << 10, /* from this mean on some may have pages of their own */
    LEFT_FREE = 5             /* sixteenths of the room: ends of segments, and shards that differ */
};

/* ---- Whether all have room ---- */

static uint64_t room_within(uint64_t limit, uint64_t used) {
    uint64_t room = limit > used ? limit - used : 0;
    return room - room / 16 * LEFT_FREE;
}

static uint64_t room_for(const struct space *space) {
    struct cache_stats own, all;
    cache_get_stats(space->tier->cache, space->number, &own);
    cache_get_stats(space->tier->cache, CACHE_ALL_SPACES, &all);
    uint64_t room = room_within(all.memory_limit, all.memory_used);
    uint64_t own_room = space->options.memory ? room_within(space->options.memory, own.memory_used) : room;
    return own_room < room ? own_room : room;
}

static bool has_room(const struct backend_extent *extent, uint64_t room) {
    uint64_t each = extent->rows && extent->bytes / extent->rows >= LARGE_MEAN ? LARGE_OVERHEAD : 0;
    return extent->bytes + extent->rows * (ENTRY_OVERHEAD + each) <= room;
}

/* ---- Filling ---- */

/* As what was loaded is. What is quarantined is newer than its row; what a store that went back may lack is left to the
 * first miss. */
static void take_row(struct straight *straight, const struct entry *entry) {
    struct space *space = straight->filling->space;
    struct load_result result = {.found = true, .entry = *entry};
    uint64_t hash = cache_hash(space->tier->cache, entry->key);
    if ((quarantine_count(space->quarantine) && quarantine_has(space->quarantine, entry->key)) ||
        writer_may_lack(space->backend->writer, space, hash))
        return;
    row_check(space, &result);
    if (result.unfit)
        return;
    filling_take(straight->filling, &result.entry, hash, cache_stamps_of(straight->stamps, hash),
                 &straight->now);
}

static bool visit(struct backend_visitor *self, const struct entry *entry) {
    struct straight *straight = (struct straight *)(void *)self;
    straight->shown++;
    straight->distrusted = writer_losses(straight->filling->space->backend->writer) != straight->losses;
    if (straight->distrusted || atomic_load(straight->stop))
        return false;
    if (row_key_is_fit(straight->filling->space, entry->key))
        take_row(straight, entry);
    return true;
}

/* ---- The whole ---- */

enum backend_status straight_begin(struct straight *straight, struct session *session,
                                   struct filling *filling, const atomic_bool *stop) {
    struct space *space = filling->space;
    struct backend_extent extent;
    uint64_t room = room_for(space);
    size_t most = space->options.preload;
    enum backend_status status = session_extent(session, space, most, room, &extent);
    if (status != BACKEND_OK || extent.rows > most || !has_room(&extent, room))
        return status;
    *straight = (struct straight){.visitor = {.entry = visit, .place = &straight->place},
                                  .filling = filling,
                                  .stop = stop,
                                  .stamps = cache_stamps_create(space->tier->cache),
                                  .rows = extent.rows};
    return BACKEND_OK;
}

enum backend_status straight_step(struct straight *straight, struct session *session) {
    straight->now = tier_now(straight->filling->space->tier);
    straight->losses = writer_losses(straight->filling->space->backend->writer);
    straight->distrusted = false;
    cache_stamps_take(straight->stamps);
    enum backend_status status =
        session_scan(session, straight->filling->space, SIZE_MAX, straight->now.seconds, &straight->visitor);
    return status == BACKEND_OK && straight->distrusted ? BACKEND_TRANSIENT : status;
}

void straight_restart(struct straight *straight) {
    straight->place = (struct backend_place){.size = 0};
    straight->shown = 0;
}

void straight_end(struct straight *straight) {
    cache_stamps_destroy(straight->stamps);
    *straight = (struct straight){.stamps = NULL};
}
