/* SPDX-License-Identifier: MIT */
#include "policies/health.h"
#include "policies/load/loader.h"
#include "policies/write/quarantine.h"
#include "policies/write/writer.h"
#include <stdarg.h>

enum { FAILURE_COUNTS_US = 3000000 }; /* and the backend's timeout; above the longest pause of a breaker */

__attribute__((format(printf, 3, 4))) static void find(struct health_judge *judge, bool is_fault,
                                                       const char *format, ...) {
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    judge->find(judge, is_fault, text);
}

static unsigned seconds(uint64_t us) {
    return (unsigned)(us / US_PER_SECOND);
}

/* A call may take as long as its backend's timeout, and then what any step may take. */
static uint64_t call_limit_us(const struct tier_backend *backend, uint32_t stall_ms) {
    return ((uint64_t)backend->timeout_ms + stall_ms) * US_PER_MS;
}

/* ---- The disk ---- */

static bool is_stalled(uint64_t for_us, uint32_t stall_ms) {
    return for_us > (uint64_t)stall_ms * US_PER_MS;
}

static uint64_t at_disk_us(const struct space *space) {
    return quarantine_at_disk_us(space->quarantine, monotonic_us());
}

bool health_disk_hangs(struct tier *tier, uint32_t stall_ms) {
    struct journal_state state = {0};
    if (tier->journal)
        journal_get_state(tier->journal, &state);
    bool hangs = is_stalled(state.sync_us, stall_ms) || is_stalled(state.write_us, stall_ms);
    for (size_t i = 0; i < tier->space_count && !hangs; i++)
        hangs = is_stalled(at_disk_us(&tier->spaces[i]), stall_ms);
    return hangs;
}

/* ---- Threads ---- */

/* For how long its writer has been in a call that ought to have ended; 0: it is in none. */
static uint64_t writer_stuck_us(const struct tier_backend *backend, uint32_t stall_ms) {
    uint64_t calls_us = progress_at_us(writer_progress(backend->writer), PROGRESS_CALLS, monotonic_us());
    return calls_us > call_limit_us(backend, stall_ms) ? calls_us : 0;
}

static void judge_writer(const struct tier_backend *backend, uint32_t stall_ms, bool disk_hangs,
                         struct health_judge *judge) {
    const char *name = backend->options.store.name;
    uint64_t works_us = progress_at_us(writer_progress(backend->writer), PROGRESS_WORKS, monotonic_us());
    uint64_t stuck_us = writer_stuck_us(backend, stall_ms);
    if (is_stalled(works_us, stall_ms))
        find(judge, !disk_hangs, "the writer of backend %s has made no progress for %u s%s", name,
             seconds(works_us), disk_hangs ? ", and the disk hangs" : "");
    if (stuck_us)
        find(judge, false, "the writer of backend %s has been in one call for %u s, and its timeout is %u ms",
             name, seconds(stuck_us), backend->timeout_ms);
}

void health_judge_writers(struct tier *tier, uint32_t stall_ms, struct health_judge *judge) {
    bool disk_hangs = health_disk_hangs(tier, stall_ms);
    for (size_t i = 0; i < tier->backend_count; i++)
        judge_writer(&tier->backends[i], stall_ms, disk_hangs, judge);
}

void health_judge_readers(struct tier *tier, uint32_t stall_ms, struct health_judge *judge) {
    for (size_t i = 0; i < tier->backend_count; i++) {
        const struct tier_backend *backend = &tier->backends[i];
        uint64_t stuck_us = loader_stuck_us(backend->loader, monotonic_us());
        if (stuck_us > call_limit_us(backend, stall_ms))
            find(judge, true,
                 "all %u readers of backend %s have been in a call for %u s, and its timeout is %u ms",
                 backend->options.readers, backend->options.store.name, seconds(stuck_us),
                 backend->timeout_ms);
    }
}

/* ---- The journal ---- */

/* Its workers go on trying: writer.c wakes them. */
static bool cannot_be_written(const struct tier *tier) {
    for (unsigned i = 0; i < tier->options.workers; i++)
        if (atomic_load_explicit(&tier->workers[i].journal_stuck, memory_order_relaxed))
            return true;
    return false;
}

static void judge_quarantines(struct tier *tier, uint32_t stall_ms, struct health_judge *judge) {
    for (size_t i = 0; i < tier->space_count; i++) {
        uint64_t us = at_disk_us(&tier->spaces[i]);
        if (is_stalled(us, stall_ms))
            find(judge, true, "a write to the quarantine file of namespace %s has taken %u s",
                 tier->spaces[i].options.name, seconds(us));
    }
}

void health_judge_journal(struct tier *tier, uint32_t stall_ms, struct health_judge *judge) {
    struct journal_state state;
    judge_quarantines(tier, stall_ms, judge);
    if (!tier->journal)
        return;
    journal_get_state(tier->journal, &state);
    if (cannot_be_written(tier))
        find(judge, true, "it cannot be written: changes of its namespaces are refused");
    if (state.cannot_sync)
        find(judge, true, "it cannot be synced: changes of its namespaces are refused");
    if (state.has_no_room)
        find(judge, true, "its disk has no room: changes of its namespaces are refused");
    else if (state.is_short)
        find(judge, false,
             "its disk has no room for another file: changes are refused once the current one is full");
    if (is_stalled(state.write_us, stall_ms))
        find(judge, true, "a write has taken %u s", seconds(state.write_us));
    if (is_stalled(state.sync_us, stall_ms))
        find(judge, true, "a sync has taken %u s", seconds(state.sync_us));
}

/* ---- Backends ---- */

/* The last that was seen of it is a failure; the writer looks after it while nobody else does (call.h). A failure
 * counts for so long that those of a store that answers and takes no writes follow one upon another, as long as
 * somebody writes. */
static bool has_failed_last(const struct tier_backend *backend) {
    uint64_t failed_us = atomic_load_explicit(&backend->failed_us, memory_order_relaxed);
    uint64_t answered_us = atomic_load_explicit(&backend->answered_us, memory_order_relaxed);
    uint64_t counts_us = (uint64_t)backend->timeout_ms * US_PER_MS + FAILURE_COUNTS_US;
    return answered_us <= failed_us || monotonic_us() < failed_us + counts_us;
}

static bool is_cut_off(const struct tier_backend *backend, uint32_t stall_ms) {
    if (!writer_has_reached(backend->writer) || writer_stuck_us(backend, stall_ms))
        return true;
    bool doubted = writer_is_cut_off(backend->writer) || loader_is_cut_off(backend->loader);
    return doubted && has_failed_last(backend);
}

/* What write-behind holds back is answered from memory and kept; reads may be answered as on_backend_down says. */
static bool needs_backend(const struct space *space) {
    if (space->policy->holds_back)
        return false;
    bool has_substitute =
        space->options.on_backend_down == DOWN_MISS || space->options.on_backend_down == DOWN_STALE;
    return space->policy == &policy_write_through || !has_substitute;
}

static void judge_backend(const struct space *space, struct health_judge *judge) {
    bool needs = needs_backend(space);
    find(judge, needs, "backend %s cannot be asked, which namespace %s (%s) %s",
         space->backend->options.store.name, space->options.name, space->policy->name,
         needs ? "needs" : "can do without for a while");
}

/* Nobody tries a table again but who asks for its keys: it would stay a fault where that is kept from coming. */
static void judge_table(const struct space *space, struct health_judge *judge) {
    if (breaker_state(&space->write_breaker) != BREAKER_CLOSED ||
        breaker_state(&space->read_breaker) != BREAKER_CLOSED)
        find(judge, false, "the table of namespace %s fails, and the rest of backend %s does not",
             space->options.name, space->backend->options.store.name);
}

void health_judge_backends(struct tier *tier, uint32_t stall_ms, struct health_judge *judge) {
    for (size_t i = 0; i < tier->space_count; i++) {
        const struct space *space = &tier->spaces[i];
        if (!space->backend || space_is_retired(space))
            continue;
        if (is_cut_off(space->backend, stall_ms))
            judge_backend(space, judge);
        else
            judge_table(space, judge);
    }
}

/* ---- Room ---- */

static void judge_full(const struct space *space, struct health_judge *judge) {
    const char *name = space->options.name;
    if (fullness_is_crowded(&space->fullness))
        find(judge, true, "namespace %s: its quarantine is full, and changes are refused", name);
    else if (space->options.on_full == FULL_REJECT)
        find(judge, true, "namespace %s: too much waits for its backend, and changes are refused", name);
    else
        find(judge, false, "namespace %s: too much waits for its backend, and changes %s", name,
             space->options.on_full == FULL_WAIT ? "wait" : "are written through");
}

void health_judge_room(struct tier *tier, struct health_judge *judge) {
    for (size_t i = 0; i < tier->space_count; i++) {
        const struct space *space = &tier->spaces[i];
        if (space->policy->holds_back && !space_is_retired(space) && fullness_is_full(&space->fullness))
            judge_full(space, judge);
    }
}
