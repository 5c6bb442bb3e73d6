/* SPDX-License-Identifier: MIT */
/*
 * What the service manager is told of the program, where there is one that wants to know (Type=notify of systemd).
 *
 *     STARTING --manager_ready--> READY --manager_reloading--> RELOADING --manager_ready--> READY
 *     any of them --manager_stopping--> STOPPING
 *
 *     state          once, on entering it: READY=1, RELOADING=1, STOPPING=1. Said again until it was taken
 *     STATUS         whenever the description has changed, looked at once a second
 *     WATCHDOG=1     at half of the time that the manager gives, in every state, as long as the program is alive. A
 *                    main thread that hangs says nothing either
 *     EXTEND_TIMEOUT_USEC   a start that goes on, as its description changes, is given step_ms more each time; a stop
 *                    gets the time that it may take at most
 *
 * All functions belong to the main thread, and take NULL: nobody wants to know.
 */
#ifndef FOREBAY_SERVER_MANAGER_H
#define FOREBAY_SERVER_MANAGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ev_loop;
struct manager;

/* Writes one line, for people: what the program does now. */
typedef void manager_describe(void *context, char *ret_text, size_t size);

/* Whether every thread of the program goes on; what /livez answers. */
typedef bool manager_is_alive(void *context);

/* In state STARTING. step_ms: how long a step of the start may take at most. NULL: nobody wants to know, or there is no
 * memory. Before other threads run (server/notify.h). The loop must outlive it. */
struct manager *manager_create(struct ev_loop *loop, manager_describe *describe, manager_is_alive *is_alive,
                               uint64_t step_ms, void *context);
void manager_free(struct manager *manager);

/* Clients are served, by the configuration as it is now: after the start, and after a reload, whether or not that has
 * changed anything. */
void manager_ready(struct manager *manager);

/* A reload has begun; manager_ready must follow. */
void manager_reloading(struct manager *manager);

/* The end has begun, and takes at most limit_ms. */
void manager_stopping(struct manager *manager, uint64_t limit_ms);

#endif
