/* SPDX-License-Identifier: MIT */
/* See concern.h. */
#include "policies/write/concern.h"
#include "policies/tier_parts.h"

/* Is the touch so small that it is answered and not recorded? */
static bool is_within_slack(const struct space *space, const struct cache_view *base,
                            const struct change *change) {
    uint32_t slack = space->options.touch_slack, old = base->expires_at, new = change->expires_at;
    if (slack == 0 || old == 0 || new == 0)
        return false;
    return (old > new ? old - new : new - old) < slack;
}

bool change_concerns_backend(const struct space *space, const struct cache_view *base,
                             const struct change *change) {
    switch (change->kind) {
    case CHANGE_PUT:
    case CHANGE_DELETE:
        return true;
    case CHANGE_TOUCH:
        return !is_within_slack(space, base, change);
    case CHANGE_NONE:
    case CHANGE_MARKS:
    case CHANGE_VIVIFY:
        return false;
    }
    return true;
}

bool change_was_denied(const struct space *space, const struct request *request,
                       const struct change *change) {
    if (change->kind != CHANGE_NONE || !space->backend ||
        !atomic_load_explicit(&space->backend->others, memory_order_relaxed))
        return false;
    enum command_kind kind = command_kind(request->command);
    return kind == KIND_STORE || kind == KIND_COUNT || kind == KIND_DELETE;
}

bool may_be_placeholder(struct slice value, uint8_t marks) {
    return value.size == 0 && (marks & ENTRY_TOKEN_SENT) && !(marks & ENTRY_STALE);
}

unsigned change_is_on(enum mutation_kind kind, const struct entry *entry) {
    return kind == MUTATION_TOUCH && may_be_placeholder(entry->value, entry->marks)
               ? MUTATION_ON_ABSENCE | MUTATION_ON_CAS
               : MUTATION_ON_ANY;
}

void change_stay_in_memory(struct change *change, const struct cache_view *base) {
    if (change->kind != CHANGE_TOUCH)
        return;
    change->marks |= base->marks;
    change->kind = change->marks == base->marks ? CHANGE_NONE : CHANGE_MARKS;
}
