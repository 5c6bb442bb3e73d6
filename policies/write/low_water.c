/* SPDX-License-Identifier: MIT */
/*
 * The low-water version of a namespace: every change of it up to that version is in its backend, so the
 * journal may forget it. It must never pass a change that is not there yet, whatever the threads do and
 * however the clock jumps; and it must get past what is there, however far versions are ahead of the clock.
 *
 * It is measured in the versions' own time. That is the wall clock's as a rule, but versions never go back:
 * after a clock that was ahead has been set right, or when another node's is ahead, new versions continue
 * from the highest that was seen, and run ahead of the wall clock until it has caught up. So the time that is
 * announced (tier->version_floor) is the later of the wall clock's and that of the highest version that any
 * shard has drawn or seen. A bound that was the wall clock's alone would hold too, but would stand below the
 * versions, and nothing would be recycled until the clock had caught up.
 *
 * Versions of a turn are never below the turn's floor (turn_floor): its time is clamped, the clock may do
 * what it likes, and a shard draws no version below the time it is given. The floors of a worker never
 * decrease. What a worker has queued carries its turn's floor (queue.h), and a touch its version. So a bound
 * over what has yet to be written of a namespace is the least of
 *
 *     (1) a time, announced as tier->version_floor: turns that begin afterwards begin above it
 *     (2) the floors of the turns that are under way
 *     (3) the fronts of the namespace's queues, the batch in hand, what was put back, and its touches
 *
 * read in this order by the writer of its backend. (1) before (2): a worker first stores floor = 0
 * (entering), then loads version_floor; the writer first stores version_floor, then loads the floors, all
 * sequentially consistent. So either the worker sees the new version_floor, or the writer sees that it is
 * entering and leaves the bound where it was. (2) before (3): a worker publishes its pushes before it leaves
 * the turn, so if it was seen outside, what it pushed is seen in the queues.
 *
 * Workers announce the floor of their turn in the same way, for a bound of their own (hold.c).
 *
 * That is safe whatever time is announced: it is the announcement that keeps later turns above it. Which time
 * it is decides only how far the bound gets. A version that was drawn before the shards were looked at is
 * below the time that is announced then, so once it is written and its turn is over, the next pass of the
 * writer gets past it; and there is one at least every second (writer.c).
 *
 * Such a bound holds for ever. The low-water version is the highest so far, less one. Namespaces do not wait
 * for one another, so a backend that is away holds back its own.
 */
#include "policies/write/low_water.h"
#include "policies/version_floor.h"

void low_water_enter(struct tier_worker *worker, const struct cache_time *now) {
    struct tier *tier = worker->tier;
    atomic_store(&worker->floor, 0);
    uint64_t least = version_us(atomic_load(&tier->version_floor)) + 1;
    uint64_t us = version_time(now->us + atomic_load_explicit(&tier->ahead_us, memory_order_relaxed));
    if (us < worker->now.us)
        us = worker->now.us;
    if (us < least)
        us = least;
    worker->now = (struct cache_time){us, now->seconds, now->lives_from};
    worker->turn_floor = version_from_us(us, 0);
    atomic_store_explicit(&worker->floor, worker->turn_floor, memory_order_release);
}

void low_water_leave(struct tier_worker *worker) {
    atomic_exchange(&worker->floor, UINT64_MAX);
}

/* Above the versions that were drawn so far, of whatever node. */
static uint64_t announce_time(struct tier *tier) {
    uint64_t drawn_us = cache_last_version_us(tier->cache) + 1, wall = version_time(wall_us());
    uint64_t now = version_from_us(wall > drawn_us ? wall : drawn_us, 0);
    return version_floor_announce(tier, now);
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

void low_water_pass(struct space *space, uint64_t bound, uint64_t mark) {
    struct tier *tier = space->tier;
    if (bound <= atomic_load(&space->low_water) + 1)
        return;
    atomic_store(&space->low_water, bound - 1);
    if (!tier->journal)
        return;
    journal_set_mark(tier->journal, space->journal_number, mark);
    journal_pass(tier->journal, space->journal_number, bound - 1);
}

uint64_t low_water_least(const struct tier *tier) {
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < tier->space_count; i++) {
        uint64_t low = atomic_load(&tier->spaces[i].low_water);
        if (tier->spaces[i].policy->holds_back && low < least)
            least = low;
    }
    return least == UINT64_MAX ? 0 : least;
}
