/* SPDX-License-Identifier: MIT */
/* See wary.h. */
#include "policies/load/wary.h"
#include "policies/store.h"
#include "policies/write/writer.h"

/* Where the writer's link leads to the same store, its look has found out by then; else it follows soon. */
enum { PAUSE_US = 20000 };

unsigned wary_begin(const struct wary *wary) {
    return writer_losses(wary->backend->writer);
}

bool wary_distrusts(const struct wary *wary, unsigned begun) {
    return writer_losses(wary->backend->writer) != begun;
}

static bool is_looked_into(const struct wary *wary) {
    return !writer_has_looked_in_part(wary->backend->writer, atomic_load(&wary->look));
}

void wary_suspect(struct wary *wary) {
    atomic_store(&wary->not_before_us, monotonic_us() + PAUSE_US);
    atomic_store(&wary->look, writer_ask_look(wary->backend->writer));
}

void wary_urge(const struct wary *wary) {
    if (is_looked_into(wary))
        writer_poke(wary->backend->writer);
}

/* Where the writer cannot open it either, it is an outage like others. */
static bool is_being_opened(const struct tier_backend *backend) {
    return store_is_lost(backend->store) && !writer_is_cut_off(backend->writer);
}

bool wary_holds(const struct wary *wary, const struct space *space, uint64_t hash) {
    uint64_t not_before_us = atomic_load_explicit(&wary->not_before_us, memory_order_relaxed);
    return (not_before_us && monotonic_us() < not_before_us) ||
           (is_looked_into(wary) && !store_is_lost(wary->backend->store)) || is_being_opened(wary->backend) ||
           writer_may_lack(wary->backend->writer, space, hash);
}
