/* SPDX-License-Identifier: MIT */
#include "tools/bench/latencies.h"
#include <math.h>

void latencies_add(struct latencies *latencies, uint64_t ns) {
    unsigned class = (unsigned)(log2((double)(ns > 0 ? ns : 1)) * LATENCY_STEPS);
    latencies->classes[class < LATENCY_CLASSES ? class : LATENCY_CLASSES - 1]++;
    latencies->longest_ns = ns > latencies->longest_ns ? ns : latencies->longest_ns;
}

void latencies_merge(struct latencies *sum, const struct latencies *one) {
    for (unsigned i = 0; i < LATENCY_CLASSES; i++)
        sum->classes[i] += one->classes[i];
    sum->longest_ns = one->longest_ns > sum->longest_ns ? one->longest_ns : sum->longest_ns;
}

double latencies_percentile(const struct latencies *latencies, double percent) {
    uint64_t all = 0, seen = 0;
    for (unsigned i = 0; i < LATENCY_CLASSES; i++)
        all += latencies->classes[i];
    uint64_t wanted = (uint64_t)ceil((double)all * percent / 100);
    double longest = (double)latencies->longest_ns / 1e6;
    for (unsigned i = 0; i < LATENCY_CLASSES; i++) {
        seen += latencies->classes[i];
        if (seen >= wanted && seen > 0)
            return fmin(exp2((double)(i + 1) / LATENCY_STEPS) / 1e6, longest);
    }
    return longest;
}
