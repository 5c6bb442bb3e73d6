/* SPDX-License-Identifier: MIT */
#include "tests/faults/refused_entries.h"

enum { REFUSED_MAX = 1024 };

static _Thread_local struct refused {
    __u64 about;
    int result;
} refused[REFUSED_MAX];
static _Thread_local unsigned refused_count;

void refused_entries_add(struct io_uring_sqe *entry, int result) {
    if (refused_count == REFUSED_MAX)
        return;
    refused[refused_count++] = (struct refused){entry->user_data, result};
    __u64 about = entry->user_data;
    io_uring_prep_nop(entry);
    entry->user_data = about;
}

/* In the order in which they were refused. */
void refused_entries_answer(struct io_uring *ring) {
    struct io_uring_cqe *completion;
    unsigned head, at = 0;
    io_uring_for_each_cqe(ring, head, completion) {
        if (at < refused_count && completion->user_data == refused[at].about && completion->res == 0 &&
            completion->flags == 0)
            completion->res = refused[at++].result;
    }
    for (unsigned i = at; i < refused_count; i++)
        refused[i - at] = refused[i];
    refused_count -= at;
}
