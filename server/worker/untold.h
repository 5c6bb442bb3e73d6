/* SPDX-License-Identifier: MIT */
/*
 * Errors of quiet lookups in the binary protocol. Clients that ask for several keys send quiet lookups and something
 * loud behind them, and some lose step at an error in between: they take it for the end, and what follows for the
 * answer to their next request, which may be about another key. So the error is kept, and told instead of the answer to
 * the next loud request, which is not done: if that were answered as ever, the lookup would read as a miss, and a
 * session that is there would be begun anew.
 *
 *     nothing to tell --untold_keep--> connection.run_failed, with the status --untold_tell--> nothing to tell
 *
 * On the worker's thread.
 */
#ifndef FOREBAY_SERVER_WORKER_UNTOLD_H
#define FOREBAY_SERVER_WORKER_UNTOLD_H

#include "server/protocol/binary.h"

struct slot;
struct worker;

/* Keeps the error of the request in that slot. False: it is no quiet lookup, and is told where it stands. */
bool untold_keep(const struct slot *slot, enum binary_status status);

/* Before the request in that slot of a binary connection is served: answers it with what was kept. False: there is
 * nothing to tell, or not to this one, so it is to be served. */
bool untold_tell(struct worker *worker, const struct slot *slot);

/* Whether the change in a slot may turn out to tell, because a quiet lookup before it has failed, or the one that parks
 * may. It is not done then, so it must not be done ahead. */
bool untold_may_tell(const struct slot *parked, const struct slot *change);

#endif
