/* SPDX-License-Identifier: MIT */
/* See row.h. */
#include "policies/row.h"
#include "cache/base/size_text.h"
#include "policies/evaluate.h"
#include "policies/tell.h"

enum { TOLD_EVERY_US = 60000000 };

const char row_unfit_line[] = "SERVER_ERROR the row in the backend is unfit to be used, the log says why";

bool row_is_fit(const struct space *space, const struct entry *entry) {
    return entry->value.size <= space->tier->options.cache.item_max;
}

/* True: nobody has told of this namespace for a while, and the caller is to. */
static bool is_to_be_told(struct space *space) {
    uint64_t now_us = monotonic_us(), told_us = atomic_load(&space->unfit_told_us);
    return (told_us == 0 || now_us - told_us >= TOLD_EVERY_US) &&
           atomic_compare_exchange_strong(&space->unfit_told_us, &told_us, now_us);
}

static void tell(struct space *space, const struct entry *entry) {
    const char *name = space->options.name, *store = space->backend->options.store.name;
    tell_of_space(
        space, NULL, LOG_LEVEL_ERROR,
        "namespace %s: a row in backend %s has %zu bytes, more than item_max (%s), and is not read: raise item_max, or set or delete the key, which is told at level debug",
        name, store, entry->value.size, size_text(space->tier->options.cache.item_max).text);
}

void row_check(struct space *space, struct load_result *result) {
    result->unfit = false;
    if (!result->found)
        return;
    result->entry.marks &= ENTRY_STALE | ENTRY_TOKEN_SENT;
    if (result->entry.version > ENTRY_VERSION_HIGHEST)
        result->entry.version = 0;
    if (row_is_fit(space, &result->entry))
        return;
    result->unfit = true;
    atomic_fetch_add_explicit(&space->load_unfit, 1, memory_order_relaxed);
    tell_key(space, result->entry.key, "a row that is too large is that of");
    if (is_to_be_told(space))
        tell(space, &result->entry);
}

bool row_key_is_fit(const struct space *space, struct slice key) {
    return key.size > 0 && key.size <= ENTRY_KEY_MAX && space_of_key(space->tier, key) == space;
}

bool row_can_be_unfit(const struct request *request) {
    return evaluate_need(request) != NEED_ENTRY && command_kind(request->command) != KIND_TOUCH;
}

struct cache_view row_unfit_view(const struct request *request, uint32_t now) {
    return view_of_entry(&(struct entry){.key = request->key, .value = SLICE("")}, now);
}
