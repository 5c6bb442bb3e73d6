/* SPDX-License-Identifier: MIT */
/* See latency.h. */
#include "policies/latency.h"
#include "policies/evaluate.h"

/* ---- What has parked ---- */

/* Is this still the turn in which the ticket came back? Later, what should have come with it was not executed: an
 * error has ended its line. */
static bool is_fresh(const struct tier_worker *worker, const struct tier_ticket *ticket) {
    return ticket->is_back || ticket->back_us == worker->began_us;
}

void latency_note_parked(struct tier_worker *worker, struct tier_ticket *ticket) {
    if (ticket->riders == 0 || !is_fresh(worker, ticket))
        ticket->parked_us = worker->began_us;
    ticket->is_back = false;
    ticket->back_us = worker->began_us;
    ticket->riders = 1;
}

/* Has this request waited with the ticket? */
static bool has_ridden(const struct tier_worker *worker, struct tier_ticket *ticket) {
    if (ticket->riders > 0 && !is_fresh(worker, ticket))
        ticket->riders = 0;
    if (ticket->riders == 0)
        return false;
    ticket->is_back = false;
    ticket->back_us = worker->began_us;
    ticket->riders--;
    return true;
}

/* ---- What is held ---- */

static struct late *late_at(struct tier_worker *worker, unsigned i) {
    return &worker->late[(worker->first_late + i) % TURN_LATE_MAX];
}

/* What is held of this turn comes last, and has no number yet. */
static struct late *find_late(struct tier_worker *worker, const struct usage *usage, enum usage_kind kind,
                              uint64_t began_us) {
    for (unsigned i = worker->late_count; i-- > 0;) {
        struct late *late = late_at(worker, i);
        if (late->hold)
            break;
        if (late->usage == usage && late->kind == kind && late->began_us == began_us)
            return late;
    }
    return NULL;
}

/* False: there is no place for more. */
static bool note_late(struct tier_worker *worker, struct usage *usage, enum usage_kind kind,
                      uint64_t began_us) {
    struct late *late = find_late(worker, usage, kind, began_us);
    if (!late && worker->late_count == TURN_LATE_MAX)
        return false;
    if (!late) {
        late = late_at(worker, worker->late_count++);
        *late = (struct late){.usage = usage, .kind = kind, .began_us = began_us};
    }
    late->times++;
    return true;
}

void latency_note_hold(struct tier_worker *worker, uint64_t number) {
    for (unsigned i = worker->late_count; i-- > 0 && !late_at(worker, i)->hold;)
        late_at(worker, i)->hold = number;
}

static void add_released(struct tier_worker *worker, uint64_t now_us) {
    while (worker->late_count > 0) {
        struct late *late = late_at(worker, 0);
        if (!late->hold || late->hold > worker->released)
            return;
        histogram_add(&late->usage->latency[late->kind], now_us - late->began_us, late->times);
        worker->first_late = (worker->first_late + 1) % TURN_LATE_MAX;
        worker->late_count--;
    }
}

/* ---- What is answered ---- */

void latency_add_delayed(struct tier_worker *worker, struct tier_ticket *ticket,
                         const struct request *request, enum usage_kind kind, enum tier_status status) {
    struct usage *usage = &worker->usage[request->space->number];
    bool ridden = has_ridden(worker, ticket);
    uint64_t began_us = ridden ? ticket->parked_us : worker->began_us;
    if (ridden && evaluate_is_read(request))
        kind = USAGE_LOAD;
    if (status == TIER_HELD && note_late(worker, usage, kind, began_us))
        return;
    if (ridden) {
        histogram_add(&usage->latency[kind], monotonic_us() - began_us, 1);
        return;
    }
    latency_add_at_once(worker, usage, request->space, kind);
}

/* ---- The turn ---- */

void tier_time_begin(struct tier_worker *worker, uint64_t now_us) {
    worker->began_us = now_us;
}

void tier_time_end(struct tier_worker *worker, uint64_t now_us) {
    for (uint64_t spaces = worker->answered_spaces; spaces; spaces &= spaces - 1) {
        struct usage *usage = &worker->usage[__builtin_ctzll(spaces)];
        for (int kind = 0; kind < USAGE_KINDS; kind++)
            if (usage->answered[kind] > 0)
                histogram_add(&usage->latency[kind], now_us - worker->began_us, usage->answered[kind]);
        memset(usage->answered, 0, sizeof usage->answered);
    }
    worker->answered_spaces = 0;
    if (worker->late_count > 0)
        add_released(worker, now_us);
}
