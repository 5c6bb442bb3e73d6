/* SPDX-License-Identifier: MIT */
/* What is told of entries that nobody asked for by key: lru_crawler metadump and mgdump (as feeds), stats
 * cachedump. A class is a namespace, counted from 1. */
#ifndef FOREBAY_SERVER_ADMIN_DUMP_H
#define FOREBAY_SERVER_ADMIN_DUMP_H

#include "cache/base/slice.h"
#include "server/buffer.h"
#include <stdint.h>

struct feed;
struct server;

enum { DUMP_CLASSES_MAX = 64 }; /* memcached's: the number of a class is below */

enum dump_form {
    DUMP_META,     /* a line of key=... exp=... la=... for each entry; then END */
    DUMP_REQUESTS, /* mg KEY for each entry; then EN */
};

enum dump_status {
    DUMP_OK,
    DUMP_RUNNING,   /* one at a time */
    DUMP_BAD_CLASS, /* no such class */
    DUMP_NOTHING,   /* no class was named */
    DUMP_NO_MEMORY,
};

/* Reads "all", "hash" or "1,2": a set of namespaces, one bit each. */
enum dump_status dump_classes(struct slice word, uint64_t *ret_spaces);

/* A dump of these namespaces, as a feed. server->dumping is true until it is freed; it ends when the client has not
 * read for idle_timeout, or a minute where there is none, so that it does not keep others from theirs. */
enum dump_status dump_begin(struct server *server, uint64_t spaces, enum dump_form form,
                            struct feed **ret_feed);

/* The keys of a class, at most limit of them (0: no bound) and at most 2 MB, with their END. */
void dump_keys(struct server *server, uint32_t class, uint32_t limit, struct buffer *out);

#endif
