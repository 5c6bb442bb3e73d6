/* SPDX-License-Identifier: MIT */
/*
 * How long things took: counts by powers of two of microseconds, and the sum. One thread writes it, any reads it, as
 * a counter; where several write it, histogram_add_shared. Bucket i counts what took at most 2^i microseconds and more
 * than half of that; the last one, whatever took longer.
 */
#ifndef FOREBAY_CACHE_BASE_HISTOGRAM_H
#define FOREBAY_CACHE_BASE_HISTOGRAM_H

#include "cache/base/counter.h"

enum { HISTOGRAM_BUCKETS = 28 }; /* the last but one ends at 67 seconds */

struct histogram {
    counter buckets[HISTOGRAM_BUCKETS];
    counter sum_us;
};

/* Read, and added up. */
struct histogram_sum {
    uint64_t buckets[HISTOGRAM_BUCKETS];
    uint64_t sum_us;
};

static inline unsigned histogram_bucket(uint64_t us) {
    unsigned bucket = us <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(us - 1);
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* times things that took us each. */
static inline void histogram_add(struct histogram *histogram, uint64_t us, uint64_t times) {
    count_add(&histogram->buckets[histogram_bucket(us)], times);
    count_add(&histogram->sum_us, us * times);
}

static inline void histogram_add_shared(struct histogram *histogram, uint64_t us) {
    count_shared(&histogram->buckets[histogram_bucket(us)]);
    atomic_fetch_add_explicit(&histogram->sum_us, us, memory_order_relaxed);
}

/* What is being counted meanwhile may be in one and not yet in the other. */
void histogram_collect(struct histogram_sum *sum, const struct histogram *histogram);

/* What was there before is taken out again. */
void histogram_subtract(struct histogram_sum *sum, const struct histogram_sum *before);

uint64_t histogram_count(const struct histogram_sum *sum);

/* The upper bound in microseconds of the bucket in which the one of this rank (per ten thousand) lies; 0: there is
 * none. Of the last bucket, which has no bound, that of the one before. */
uint64_t histogram_rank_us(const struct histogram_sum *sum, uint64_t per_ten_thousand);

#endif
