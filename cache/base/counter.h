/* SPDX-License-Identifier: MIT */
/* A counter: one thread writes it, anyone reads it. Costs no locked instruction (except count_shared). */
#ifndef FOREBAY_CACHE_BASE_COUNTER_H
#define FOREBAY_CACHE_BASE_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

typedef atomic_uint_fast64_t counter;

static inline void count_add(counter *c, uint64_t n) {
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}
static inline void count(counter *c) {
    count_add(c, 1);
}
/* A counter that holds the most of all values. */
static inline void count_most(counter *c, uint64_t value) {
    if (value > atomic_load_explicit(c, memory_order_relaxed))
        atomic_store_explicit(c, value, memory_order_relaxed);
}
/* Where several threads write it. */
static inline void count_shared(counter *c) {
    atomic_fetch_add_explicit(c, 1, memory_order_relaxed);
}
static inline uint64_t counted(const counter *c) {
    return atomic_load_explicit(c, memory_order_relaxed);
}

#endif
