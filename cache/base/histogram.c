/* SPDX-License-Identifier: MIT */
/* See histogram.h. */
#include "cache/base/histogram.h"

void histogram_collect(struct histogram_sum *sum, const struct histogram *histogram) {
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
        sum->buckets[i] += counted(&histogram->buckets[i]);
    sum->sum_us += counted(&histogram->sum_us);
}

void histogram_subtract(struct histogram_sum *sum, const struct histogram_sum *before) {
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
        sum->buckets[i] -= before->buckets[i];
    sum->sum_us -= before->sum_us;
}

uint64_t histogram_count(const struct histogram_sum *sum) {
    uint64_t count = 0;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
        count += sum->buckets[i];
    return count;
}

uint64_t histogram_rank_us(const struct histogram_sum *sum, uint64_t per_ten_thousand) {
    uint64_t total = histogram_count(sum), seen = 0;
    uint64_t wanted = (total * per_ten_thousand + 9999) / 10000;
    for (int i = 0; total > 0 && i < HISTOGRAM_BUCKETS - 1; i++) {
        seen += sum->buckets[i];
        if (seen >= wanted)
            return UINT64_C(1) << i;
    }
    return total > 0 ? UINT64_C(1) << (HISTOGRAM_BUCKETS - 2) : 0;
}
