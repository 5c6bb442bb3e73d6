/* SPDX-License-Identifier: MIT */
/*
 * What the store had a newer version of, and so was not written.
 */
#include "backends/mutations.h"
#include "cache/base/count_text.h"
#include "policies/tell.h"
#include "policies/write/call_internal.h"
#include <inttypes.h>

enum { SUPERSEDED_PAUSE_US = 60000000 /* between two lines of the log */ };

/* Another node's write explains it, and so does a journal that the store was ahead of. A higher version of our own node
 * that this process did not write does not: versions only grow. */
static bool is_unexplained(const struct tier *tier, const struct mutation *mutation) {
    return mutation->superseded && mutation->superseded_by > mutation->entry.version &&
           mutation->entry.version > tier->recovered_version &&
           version_node(mutation->superseded_by, cache_hash(tier->cache, mutation->entry.key)) ==
               tier->options.cache.node;
}

static void tell_superseded(struct writer *writer, const struct mutation *mutation) {
    uint64_t now_us = monotonic_us(), all = counted(&writer->counters.superseded_unexplained);
    if (writer->superseded_told && now_us - writer->superseded_told_us < SUPERSEDED_PAUSE_US)
        return;
    tell_of_backend(
        writer->backend, NULL, LOG_LEVEL_ERROR,
        "backend %s: %s not written, as the store has newer versions of this node (%u) that it did not make; of the last: here %" PRIu64
        ", there %" PRIu64
        ". Does another server use the same node number, or has somebody changed versions there?",
        call_backend_name(writer),
        count_text(all - writer->superseded_told, "change was", "changes were").text,
        writer->tier->options.cache.node, mutation->entry.version, mutation->superseded_by);
    tell_of_backend(writer->backend, NULL, LOG_LEVEL_DEBUG,
                    "backend %s: the last change that was not written is of %.*s", call_backend_name(writer),
                    (int)mutation->entry.key.size, mutation->entry.key.data);
    writer->superseded_told = all;
    writer->superseded_told_us = now_us;
}

void call_catch_up(struct writer *writer, const struct mutation *mutations, size_t count_all) {
    uint64_t highest = 0;
    for (size_t i = 0; i < count_all; i++)
        if (mutations[i].superseded && mutations[i].superseded_by > mutations[i].entry.version &&
            mutations[i].superseded_by > highest)
            highest = mutations[i].superseded_by;
    if (highest)
        cache_raise_version(writer->tier->cache, highest);
}

void call_note_superseded(struct writer *writer, const struct mutation *mutations, size_t count_all) {
    uint64_t highest = 0;
    const struct mutation *last = NULL;
    if (writer->owes) /* what the journal has of a key may be older than what was written since */
        return;
    for (size_t i = 0; i < count_all; i++) {
        if (!is_unexplained(writer->tier, &mutations[i]))
            continue;
        highest = highest ? highest : mutations_highest_version(mutations, count_all);
        if (mutations[i].superseded_by <= highest &&
            mutations_have_version(mutations, count_all, mutations[i].superseded_by))
            continue;
        count(&writer->counters.superseded_unexplained);
        last = &mutations[i];
    }
    if (last)
        tell_superseded(writer, last);
}
