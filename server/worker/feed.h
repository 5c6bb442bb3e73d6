/* SPDX-License-Identifier: MIT */
/*
 * Feeds: what is sent to a connection for long, without a request for each piece: the log that a watcher
 * watches, a dump of all keys. One thread of its own writes to all of them, so that no worker is held up by
 * what a feed has to say or by who reads it slowly.
 *
 * While a connection is fed its worker neither reads from it nor writes to it. A feed ends when it has
 * nothing more to say, or when the client leaves; the worker then has its connection back (feeds_collect).
 *
 * Locks: the feeds' lock is taken before a shard's (a dump walks the cache under it) and before a log's
 * (server/admin/watch.h), never after one.
 */
#ifndef FOREBAY_SERVER_FEED_H
#define FOREBAY_SERVER_FEED_H

#include "server/buffer.h"
#include "server/server.h"

struct connection;
struct feed;
struct feeds;

enum feed_step {
    FEED_WAITS, /* nothing to say now: feeds_wake when that changes */
    FEED_SAYS,  /* something was appended, there may be more */
    FEED_ENDS,  /* what was appended is the last */
};

struct feed_kind {
    /* Appends a few KiB at most. Called under the feeds' lock. */
    enum feed_step (*step)(struct feed *feed, struct buffer *out);
    void (*free)(struct feed *feed);
};

/* The first member of each kind of feed. */
struct feed {
    const struct feed_kind *kind;
    struct feed *next; /* private from here on */
    struct connection *connection;
    struct worker *worker;
    int fd;
    uint64_t number;
    struct buffer unsent;
    size_t sent;
    bool waits, ending; /* as its last step said */
    bool over, broken;  /* broken: the client left, or there was no memory */
};

/* NULL: no memory, or no descriptor. The thread starts with the first feed. */
struct feeds *feeds_create(void);
/* Ends the thread. All feeds must have been collected or abandoned. */
void feeds_free(struct feeds *feeds);

/* Takes a feed over, to be written to fd, beginning with "OK". False: there is no thread, and the feed is the
 * caller's still. */
bool feeds_begin(struct feeds *feeds, struct feed *feed, struct worker *worker, struct connection *connection,
                 int fd);

/* Something waits to be said. Any thread; takes no lock. */
void feeds_wake(struct feeds *feeds);

/* A feed of this worker that is over, now unlinked: whose connection it fed, and whether that can go on.
 * Freed with feed_free. NULL: none. */
struct feed *feeds_collect(struct feeds *feeds, struct worker *worker);

/* Ends and frees a feed whose connection is about to be closed. */
void feeds_abandon(struct feeds *feeds, struct feed *feed);

void feed_free(struct feed *feed);

/* Bytes sent to all feeds since the start or the last reset. */
uint64_t feeds_bytes(const struct feeds *feeds);
void feeds_reset(struct feeds *feeds);

#endif
