/* SPDX-License-Identifier: MIT */
/*
 * What a server gets at while it runs, as its settings tell: files, by the folders that they are in, and ports of
 * backends.
 *
 * By folders, since files come and go in them: a certificate is renewed by renaming another to its name, and SQLite
 * makes its log anew. Where a path leads through links, the folder at the end counts as well as the one that is named.
 */
#ifndef FOREBAY_SERVER_SANDBOX_REACH_H
#define FOREBAY_SERVER_SANDBOX_REACH_H

#include "server/buffer.h"
#include "server/config/options.h"
#include "server/config/settings.h"
#include "server/sandbox/landlock.h"

struct place {
    char *path;
    enum landlock_use use;
    bool is_systems; /* the same for all servers, and not worth telling */
};

struct reach {
    struct place *list;
    size_t count, room;
    int *ports; /* each once: of backends, and that of names */
    size_t port_count;
    bool any_port, looks_up;
    bool failed; /* no memory */
};

/* False: no memory. To be freed in any case. Sets where SQLite has its temporary files, so that it has them there. */
bool reach_find(const struct settings *settings, const struct options *options, struct reach *ret_reach);
void reach_free(struct reach *reach);

/* "changed in /a, /b; read in /c", for people. */
void reach_describe(const struct reach *reach, struct buffer *text);

#endif
