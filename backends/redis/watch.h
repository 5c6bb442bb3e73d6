/* SPDX-License-Identifier: MIT */
/*
 * Hearing of what is changed (backend_type.changes): over the link in hand, one step at a time, and from all masters of
 * a cluster. The design is told in watch.c and watch_cluster.c.
 */
#ifndef FOREBAY_BACKENDS_REDIS_WATCH_H
#define FOREBAY_BACKENDS_REDIS_WATCH_H

#include "backends/redis/internal.h"

/* Connects and subscribes, unless it is; asks for a sign when it is time. *ret_anew, untouched else: it has subscribed,
 * so what was changed before was not heard. Other than BACKEND_OK: the link is lost, or was not made. */
enum backend_status redis_watch_reach(struct redis_connection *connection, struct redis_watch *watch,
                                      bool *ret_anew, struct backend_error *ret_error);

/* Takes what has come: there is something. Other than BACKEND_OK: the link is lost. */
enum backend_status redis_watch_take(struct redis_connection *connection, struct redis_watch *watch,
                                     struct backend_listener *listener, struct backend_error *ret_error);

/* What was asked then, 0: nothing, should have been answered by now. */
bool redis_is_silent(const struct redis_connection *connection, uint64_t asked_us, uint64_t now_us);

/* ---- watch_cluster.c ---- */

enum backend_status redis_cluster_changes(struct redis_connection *connection, unsigned wait_ms,
                                          struct backend_listener *listener, uint64_t *ret_proven_us,
                                          struct backend_error *ret_error);

/* Ends it; NULL is allowed. */
void redis_hearing_destroy(struct redis_hearing *hearing);

#endif
