/* SPDX-License-Identifier: MIT */
/*
 * Feeds: what goes on being sent to a connection, without a request for each piece: the log that a watcher
 * watches, a dump of all keys. One thread writes all of them, so that no worker is held up by what a feed has
 * to say or by a client that reads it slowly.
 *
 * While a connection is fed its worker neither reads from it nor writes to it. A feed ends when it has
 * nothing more to say, or when the client leaves or has not read for as long as the feed has patience; its owner, the
 * worker, is told and takes the connection back (feeds_collect).
 *
 * Locks: the feeds' lock is taken before a shard's (a dump walks the cache under it) and before a log's
 * (server/admin/watch.h), never after one.
 */
#ifndef FOREBAY_SERVER_ADMIN_FEED_H
#define FOREBAY_SERVER_ADMIN_FEED_H

#include "server/buffer.h"
#include <stdint.h>
#include <sys/types.h>

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

/* What became of a feed that is over. */
enum feed_end {
    FEED_IS_TOLD,   /* all was sent */
    FEED_IS_BROKEN, /* the client left, or there was no memory */
    FEED_IS_UNREAD, /* the client did not read in time */
};

/* Bytes a second that the client of a feed with patience has to read. */
enum { FEED_RATE = 1024 };

/* Whose connections are fed. */
struct feed_owner {
    /* A feed of this owner is over: feeds_collect has it. Called on any thread, under the feeds' lock. */
    void (*feed_is_over)(struct feed_owner *self);
    /* Sends to a connection that is fed, as send() that does not wait. On the feeds' thread. */
    ssize_t (*send)(struct connection *connection, const char *data, size_t size);
};

/* The first member of each kind of feed. */
struct feed {
    const struct feed_kind *kind;
    struct connection *connection; /* as feeds_begin was given it; never looked into */
    unsigned patience; /* seconds in which the client has to read FEED_RATE bytes for each; 0: no bound */

    /* Private. */
    struct feed *next;
    struct feed_owner *owner;
    int fd;
    uint64_t number;
    struct buffer unsent;
    size_t sent;
    bool waits, ending; /* as its last step said */
    bool over;
    enum feed_end end;
    uint64_t read_us; /* when the client last had read enough, on the monotonic clock */
    size_t read;      /* bytes since then */
};

/* NULL: no memory, or no descriptor. The thread starts with the first feed. */
struct feeds *feeds_create(void);
/* Ends the thread. All feeds must have been collected or abandoned. */
void feeds_free(struct feeds *feeds);

/* Takes a feed over, to be written to fd, beginning with "OK". False: no thread could be started, and the
 * feed is still the caller's. */
bool feeds_begin(struct feeds *feeds, struct feed *feed, struct feed_owner *owner,
                 struct connection *connection, int fd);

/* There is something to say. Any thread; takes no lock. */
void feeds_wake(struct feeds *feeds);

/* A feed of this owner that is over, now unlinked: `connection` is whom it fed, `end` says whether that must be
 * closed. The caller frees it with feed_free. NULL: there is none. */
struct feed *feeds_collect(struct feeds *feeds, struct feed_owner *owner);

/* Ends and frees a feed whose connection is about to be closed. */
void feeds_abandon(struct feeds *feeds, struct feed *feed);

void feed_free(struct feed *feed);

/* Bytes sent to all feeds since the start or the last reset. */
uint64_t feeds_bytes(const struct feeds *feeds);
void feeds_reset(struct feeds *feeds);

#endif
