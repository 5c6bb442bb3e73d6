/* SPDX-License-Identifier: MIT */
/*
 * The low-water version: every change up to it is in its backend, so the journal may forget it. It must never
 * pass a change that is not there yet, whatever the threads do and however the clock jumps.
 *
 * Versions of a turn are never below the turn's floor (turn_floor), and the floors of a worker never
 * decrease: its time is clamped, the clock may do what it likes. What a worker has queued carries its turn's
 * floor (queue.h). So a bound over what one writer still has to write is the least of
 *
 *     (1) the time now, announced as tier->version_floor: turns that begin afterwards begin above it
 *     (2) the floors of the turns that are under way
 *     (3) the fronts of the writer's queues, the batches it holds, and what it has put back
 *
 * read in this order. (1) before (2): a worker first stores floor = 0 (entering), then loads version_floor;
 * the writer first stores version_floor, then loads the floors, all sequentially consistent. So either the
 * worker sees the new version_floor, or the writer sees that it is entering and leaves the bound where it
 * was. (2) before (3): a worker publishes its pushes before it leaves the turn, so if it was seen outside,
 * what it pushed is seen in the queues.
 *
 * Such a bound holds for ever. Each writer keeps its own; the low-water version is the least of them, less
 * one.
 */
#include "policies/write/low_water.h"
#include "policies/write/writer.h"

void low_water_enter(struct tier_worker *worker, const struct cache_time *now) {
    struct tier *tier = worker->tier;
    atomic_store(&worker->floor, 0);
    uint64_t least = version_us(atomic_load(&tier->version_floor)) + 1;
    uint64_t us = now->us;
    if (us < worker->now.us)
        us = worker->now.us;
    if (us < least)
        us = least;
    worker->now = (struct cache_time){us, now->seconds};
    worker->turn_floor = version_from_us(us, 0);
    atomic_store_explicit(&worker->floor, worker->turn_floor, memory_order_release);
}

void low_water_leave(struct tier_worker *worker) {
    atomic_exchange(&worker->floor, UINT64_MAX);
}

static uint64_t announce_time(struct tier *tier) {
    uint64_t now = version_from_us(cache_time_now().us, 0);
    uint64_t floor = atomic_load(&tier->version_floor);
    while (floor < now && !atomic_compare_exchange_weak(&tier->version_floor, &floor, now))
        continue;
    return floor < now ? now : floor;
}

uint64_t low_water_bound(struct tier *tier) {
    uint64_t bound = announce_time(tier);
    for (unsigned i = 0; i < tier->options.workers; i++) {
        uint64_t floor = atomic_load(&tier->workers[i].floor);
        if (floor < bound)
            bound = floor;
    }
    return bound;
}

void low_water_advance(struct tier *tier) {
    uint64_t least = UINT64_MAX;
    if (!tier->journal)
        return;
    for (size_t i = 0; i < tier->backend_count; i++) {
        uint64_t bound = writer_bound(tier->backends[i].writer);
        if (bound < least)
            least = bound;
    }
    if (least == UINT64_MAX || least == 0)
        return;
    uint64_t low = atomic_load(&tier->low_water);
    while (low < least - 1 && !atomic_compare_exchange_weak(&tier->low_water, &low, least - 1))
        continue;
    if (low < least - 1)
        journal_set_low_water(tier->journal, least - 1);
}
