/* SPDX-License-Identifier: MIT */
#ifndef FOREBAY_TOOLS_BENCH_LATENCIES_H
#define FOREBAY_TOOLS_BENCH_LATENCIES_H

/*
 * How long things took, in classes of a sixteenth of a power of two of nanoseconds each: whatever is added, it takes
 * the same room. All zero is empty. Of one thread.
 */
#include <stdint.h>

enum { LATENCY_STEPS = 16, LATENCY_CLASSES = 64 * LATENCY_STEPS };

struct latencies {
    uint64_t classes[LATENCY_CLASSES];
    uint64_t longest_ns;
};

void latencies_add(struct latencies *latencies, uint64_t ns);

/* Adds all of `one`. */
void latencies_merge(struct latencies *sum, const struct latencies *one);

/* Milliseconds that so many percent did not exceed: the upper end of their class, so up to 4.4 % too much. */
double latencies_percentile(const struct latencies *latencies, double percent);

#endif
