/* SPDX-License-Identifier: MIT */
/*
 * Reading the configuration again while the server runs: SIGHUP, and whoever may ask for it.
 *
 * The same command line is read over the same file, and checked as a start does it. All of what has changed since the
 * file was read last is taken over, or nothing: if anything is wrong, or needs a restart, all stays as it was.
 */
#ifndef FOREBAY_SERVER_RELOAD_H
#define FOREBAY_SERVER_RELOAD_H

#include "server/buffer.h"
#include <stdbool.h>

struct admin_http;
struct reload; /* what is kept for it: the settings as they were read last */
struct server;
struct settings;

/* Reads again and takes over what has changed; one at a time, any thread but main's, which it would keep from its loop:
 * names may be resolved, and files read. *ret_message: one line without its end, which says what has changed, or
 * (false) why nothing has. The log says the same. */
bool server_reload(struct server *server, struct buffer *ret_message);

/* ---- Main's ---- */

/* running: the settings as they were read, which server->settings points to; argv has to stay. NULL: no memory. */
struct reload *reload_create(struct server *server, struct settings *running, int argc, char *const *argv);

/* Called when all that reload_ask was asked for is done: by its thread, or by reload_ask itself if there can be
 * none. */
typedef void reload_ended(void *context);

/* From now on it may be asked for: the tier is there, and the workers. http: NULL where there is none. */
void reload_open(struct reload *reload, struct admin_http *http, reload_ended *ended, void *context);

/* SIGHUP: a thread of its own does server_reload. One that is under way is followed by another. Waits for none. */
void reload_ask(struct reload *reload);

/* From now on all are refused; waits for the one that is under way. */
void reload_close(struct reload *reload);

/* Once nobody looks at the settings any more. NULL is allowed. */
void reload_free(struct reload *reload);

#endif
