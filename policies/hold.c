/* SPDX-License-Identifier: MIT */
/*
 * See hold.h. What a worker publishes, and why a reader that has just seen an entry finds its maker:
 *
 * The maker calls hold_changed while it has the lock of the entry's shard. A reader gets that lock later, so it sees
 * at least what was published then: that the maker's `turn` is odd, the floor, the key's bit. If it sees that no
 * more, the turn's records have been written since; and where they have to be synced, hold_turn_end has published
 * their floor and position before it made `turn` even.
 *
 * Most answers show what was written long ago. A worker therefore keeps a floor below which every record is written
 * and, under `always`, synced (kept_floor). It is found as the low-water version is (write/low_water.c), less what is
 * not written yet instead of what is not flushed: the least of a version that is announced first, so that turns that
 * begin later are above it; the floors of the turns under way; and the floors that the workers publish here. A turn
 * that has ended is seen with what it published before its end: low_water_leave is a full barrier behind hold_turn_end.
 * So such a floor holds for ever, and looking at it needs nothing of other workers, whose lines change twice a turn.
 *
 * A hold waits for one worker after the other (is_over). For each it notes, when it comes to it, which turn that is
 * in and how far its journal has to be durable: what a reader has seen was made before, so these do not move, and a
 * worker that is busy for ever cannot starve it.
 *
 * No wake-up is lost: a worker first says what it waits for (`awaited`), then looks again; the other first publishes,
 * then looks for who waits; all sequentially consistent.
 */
#include "policies/hold.h"
#include "policies/version_floor.h"
#include <assert.h>

/* At most so often is kept_floor looked for, as that needs lines of all workers. */
enum { KEPT_FLOOR_EVERY_US = 1000 };

static uint64_t larger(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static uint64_t lesser(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* ---- What a worker publishes ---- */

void hold_init(struct tier_worker *worker) {
    atomic_init(&worker->undurable_floor, UINT64_MAX);
}

static bool is_unwritten(uint64_t turn) {
    return turn & 1;
}

static atomic_uint_fast64_t *changed_word(struct tier_worker *worker, uint64_t hash) {
    return &worker->changed[(hash >> 6) % TURN_CHANGED_WORDS];
}

static uint64_t changed_bit(uint64_t hash) {
    return 1ull << (hash & 63);
}

void hold_changed(struct tier_worker *worker, uint64_t hash) {
    atomic_uint_fast64_t *word = changed_word(worker, hash);
    uint64_t turn = atomic_load_explicit(&worker->turn, memory_order_relaxed);
    atomic_store_explicit(word, atomic_load_explicit(word, memory_order_relaxed) | changed_bit(hash),
                          memory_order_relaxed);
    if (is_unwritten(turn))
        return;
    atomic_store_explicit(&worker->unwritten_floor, worker->turn_floor, memory_order_relaxed);
    atomic_store_explicit(&worker->turn, turn + 1, memory_order_release);
}

static bool has_passed(const struct unsynced *unsynced, uint64_t durable) {
    return unsynced->position == 0 || unsynced->position <= durable;
}

/* Two groups tell well enough what is synced and what is not: the one that is being synced, and the next. */
static void note_unsynced(struct tier_worker *worker, uint64_t position) {
    struct unsynced *first = &worker->unsynced[0], *second = &worker->unsynced[1];
    uint64_t durable = atomic_load(&worker->durable);
    uint64_t floor = atomic_load_explicit(&worker->unwritten_floor, memory_order_relaxed);
    if (has_passed(first, durable)) {
        *first = *second;
        *second = (struct unsynced){0};
    }
    if (has_passed(first, durable))
        *first = (struct unsynced){position, floor};
    else if (second->position == 0)
        *second = (struct unsynced){position, floor};
    else
        second->position = position;
    atomic_store_explicit(&worker->always_position, position, memory_order_release);
    atomic_store_explicit(&worker->undurable_floor, first->floor, memory_order_release);
}

static void note_written(struct tier_worker *worker, uint64_t position) {
    uint64_t turn = atomic_load_explicit(&worker->turn, memory_order_relaxed);
    if (!is_unwritten(turn))
        return;
    if (position)
        note_unsynced(worker, position);
    atomic_store(&worker->turn, turn + 1);
    for (unsigned i = 0; i < TURN_CHANGED_WORDS; i++)
        atomic_store_explicit(&worker->changed[i], 0, memory_order_release);
}

/* ---- What an answer shows ---- */

/* May this worker, which is in such a turn, have made the entry in a turn whose records are not written? */
static bool may_be_unwritten(struct tier_worker *maker, uint64_t version, uint64_t hash) {
    return version >= atomic_load_explicit(&maker->unwritten_floor, memory_order_relaxed) &&
           (atomic_load_explicit(changed_word(maker, hash), memory_order_acquire) & changed_bit(hash));
}

static bool may_be_undurable(const struct tier_worker *maker, uint64_t version) {
    return version >= atomic_load_explicit(&maker->undurable_floor, memory_order_acquire) &&
           atomic_load(&maker->durable) < atomic_load_explicit(&maker->always_position, memory_order_acquire);
}

static bool find_unwritten(struct tier_worker *worker, uint64_t version, uint64_t hash, bool always) {
    struct tier_worker *maker = worker->tier->workers, *end = maker + worker->tier->options.workers;
    bool found = false;
    for (; maker < end; maker++) {
        if (!is_unwritten(atomic_load_explicit(&maker->turn, memory_order_acquire)) ||
            !may_be_unwritten(maker, version, hash))
            continue;
        found = true;
        if (maker == worker) /* its own turn is written before any hold of it counts */
            continue;
        worker->shown = larger(worker->shown, version);
        if (always)
            worker->shown_always = larger(worker->shown_always, version);
    }
    return found;
}

static bool find_undurable(struct tier_worker *worker, uint64_t version) {
    const struct tier_worker *maker = worker->tier->workers, *end = maker + worker->tier->options.workers;
    while (maker < end && !may_be_undurable(maker, version))
        maker++;
    if (maker == end)
        return false;
    worker->shown_always = larger(worker->shown_always, version);
    return true;
}

/* The least version that a worker may have yet to write or, under `always`, to sync; the turn it is in included. */
static uint64_t least_unkept(const struct tier_worker *maker) {
    uint64_t least = atomic_load(&maker->floor);
    if (is_unwritten(atomic_load(&maker->turn)))
        least = lesser(least, atomic_load(&maker->unwritten_floor));
    uint64_t durable =
        atomic_load(&maker->durable); /* first: the position may grow meanwhile, the safe way */
    if (durable < atomic_load(&maker->always_position))
        least = lesser(least, atomic_load(&maker->undurable_floor));
    return least;
}

static void raise_kept_floor(struct tier_worker *worker) {
    const struct tier *tier = worker->tier;
    uint64_t bound = version_floor_announce(worker->tier, worker->turn_floor);
    for (unsigned i = 0; i < tier->options.workers; i++)
        bound = lesser(bound, least_unkept(&tier->workers[i]));
    worker->kept_floor = larger(worker->kept_floor, bound);
    worker->kept_floor_us = worker->now.us;
}

bool hold_look_closer(struct tier_worker *worker, const struct space *space, uint64_t version,
                      uint64_t hash) {
    if (!worker->journal)
        worker->kept_floor = UINT64_MAX;
    else if (worker->now.us - worker->kept_floor_us >= KEPT_FLOOR_EVERY_US)
        raise_kept_floor(worker); /* for the looks that follow, rather than this one */
    if (!worker->journal || space->options.journal == JOURNAL_OFF)
        return false;
    bool always = space->options.journal == JOURNAL_ALWAYS;
    bool held = find_unwritten(worker, version, hash, always);
    held |= always && find_undurable(worker, version);
    if (held)
        worker->hold_wanted = true;
    return held;
}

/* ---- Holding ---- */

static struct hold *hold_at(struct tier_worker *worker, unsigned i) {
    return &worker->holds[(worker->first_hold + i) % TURN_HOLDS_MAX];
}

/* The hold of this turn. If there are too many, the last one waits for more. */
static struct hold *next_hold(struct tier_worker *worker) {
    if (worker->hold_count == TURN_HOLDS_MAX)
        return hold_at(worker, TURN_HOLDS_MAX - 1);
    struct hold *hold = hold_at(worker, worker->hold_count++);
    *hold = (struct hold){.number = ++worker->hold_number};
    return hold;
}

uint64_t hold_turn_end(struct tier_worker *worker, bool written, uint64_t position) {
    if (!written)
        return 0;
    note_written(worker, position);
    if (!worker->hold_wanted && !position)
        return 0;
    struct hold *hold = next_hold(worker);
    hold->position = larger(hold->position, position);
    hold->shown = larger(hold->shown, worker->shown);
    hold->shown_always = larger(hold->shown_always, worker->shown_always);
    worker->shown = worker->shown_always = 0;
    worker->hold_wanted = false;
    return hold->number;
}

/* ---- Releasing ---- */

/* What a worker waits for, as others see it; 0: for nothing of theirs. */
static unsigned written_by(const struct tier_worker *maker) {
    return maker->index * 2 + 1;
}
static unsigned durable_by(const struct tier_worker *maker) {
    return maker->index * 2 + 2;
}

static bool is_written(struct hold *hold, const struct tier_worker *maker) {
    uint64_t turn = atomic_load(&maker->turn), shown = larger(hold->shown, hold->shown_always);
    if (!is_unwritten(turn))
        return true;
    if (hold->awaited_turn == 0 && atomic_load(&maker->unwritten_floor) > shown)
        return true;
    if (hold->awaited_turn == 0)
        hold->awaited_turn = turn;
    return hold->awaited_turn != turn;
}

static bool is_durable(struct hold *hold, const struct tier_worker *maker) {
    if (hold->shown_always == 0 || atomic_load(&maker->undurable_floor) > hold->shown_always)
        return true;
    if (hold->awaited_position == 0)
        hold->awaited_position = atomic_load(&maker->always_position);
    return atomic_load(&maker->durable) >= hold->awaited_position;
}

/* Has all come that the hold waits for? *ret_awaited is what it waits for next. */
static bool is_over(const struct tier_worker *worker, struct hold *hold, unsigned *ret_awaited) {
    const struct tier *tier = worker->tier;
    *ret_awaited = durable_by(worker);
    if (hold->position > atomic_load(&worker->durable))
        return false;
    while ((hold->shown || hold->shown_always) && hold->next_maker < tier->options.workers) {
        const struct tier_worker *maker = &tier->workers[hold->next_maker];
        *ret_awaited = written_by(maker);
        if (maker != worker && !is_written(hold, maker))
            return false;
        *ret_awaited = durable_by(maker);
        if (!is_durable(hold, maker))
            return false;
        hold->awaited_turn = hold->awaited_position = 0;
        hold->next_maker++;
    }
    return true;
}

/* Releases what is over; returns what the first of the others waits for. */
static unsigned release(struct tier_worker *worker) {
    unsigned awaited = 0;
    while (worker->hold_count > 0) {
        if (!is_over(worker, hold_at(worker, 0), &awaited))
            return awaited;
        worker->released = hold_at(worker, 0)->number;
        worker->first_hold = (worker->first_hold + 1) % TURN_HOLDS_MAX;
        worker->hold_count--;
    }
    return 0;
}

static void await(struct tier_worker *worker, unsigned before, unsigned awaited) {
    atomic_store(&worker->awaited, awaited);
    if (before == 0)
        atomic_fetch_add(&worker->tier->awaiting, 1);
    if (awaited == 0)
        atomic_fetch_sub(&worker->tier->awaiting, 1);
}

uint64_t hold_released(struct tier_worker *worker) {
    unsigned before, awaited;
    while ((awaited = release(worker)) != (before = atomic_load(&worker->awaited)))
        await(worker, before, awaited);
    return worker->released;
}

/* ---- Waking ---- */

static void wake(const struct tier *tier, unsigned what) {
    if (atomic_load(&tier->awaiting) == 0)
        return;
    for (unsigned i = 0; i < tier->options.workers; i++)
        if (atomic_load(&tier->workers[i].awaited) == what)
            service_wake(&tier->service, i);
}

void hold_wake_written(const struct tier_worker *worker) {
    wake(worker->tier, written_by(worker));
}

void hold_durable(struct tier_worker *worker, uint64_t position) {
    uint64_t before = atomic_load_explicit(&worker->durable, memory_order_relaxed);
    while (before < position && !atomic_compare_exchange_weak(&worker->durable, &before, position))
        continue;
    wake(worker->tier, durable_by(worker));
}
