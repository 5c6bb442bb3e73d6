/* SPDX-License-Identifier: MIT */
/* What a batch is made of: from the dirty queues of a namespace to mutations. The writer's thread alone. */
#ifndef FOREBAY_POLICIES_WRITE_COLLECT_H
#define FOREBAY_POLICIES_WRITE_COLLECT_H

#include "policies/write/flusher.h"
#include "policies/write/queue.h"

/* The oldest element of all queues of the namespace, which stays there. False: they are empty. */
bool collect_front(struct space *space, struct dirty *ret_front);

/* Fills the batch, which is empty, with the oldest of what is dirty: up to flush_batch entries, and as much memory as
 * the namespace has for it. A batch of several commits is in the order of its keys. It stays empty where there is
 * nothing, or no memory. */
void collect_batch(struct flusher *flusher);

/* An entry of the batch is dirty again, and waits beside the queues: aside. False: no memory. */
bool collect_set_aside(struct flusher *flusher, const struct mutation *mutation, uint64_t hash);

/* What an entry that is not clean would become in the store, with its bytes copied, of which room was reserved. False:
 * there was none. Under the entry's lock. */
bool collect_describe(const struct space *space, const struct cache_view *view, struct bytes *bytes,
                      struct mutation *ret_mutation);

#endif
