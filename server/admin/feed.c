/* SPDX-License-Identifier: MIT */
#include "server/admin/feed.h"
#include "cache/base/thread.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    FEEDS_MAX = 64,         /* more than watchers and dumps together may be */
    FEED_AHEAD = 64 << 10,  /* bytes asked of a feed before they are sent */
    PATIENCE_STEP_MS = 250, /* between two looks at who does not read */
    FEED_ROUNDS = 16,       /* times that one feed sends before the others do */
    FEED_BUFFER = 128 << 10 /* a buffer that has grown beyond is freed once it is empty */
};

struct feeds {
    pthread_mutex_t lock;
    struct feed *first; /* under the lock, as number and stopping */
    uint64_t number;
    bool runs, stopping;
    pthread_t thread;
    int wake;
    atomic_uint_fast64_t bytes;
};

void feeds_wake(struct feeds *feeds) {
    uint64_t one = 1;
    while (write(feeds->wake, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

void feed_free(struct feed *feed) {
    buffer_free(&feed->unsent);
    feed->kind->free(feed);
}

/* ---- Sending, under the lock ---- */

static void end(struct feed *feed, enum feed_end how) {
    feed->over = true;
    feed->end = how;
    feed->owner->feed_is_over(feed->owner);
}

/* False: the socket takes no more now, or the feed is over. */
static bool send_unsent(struct feeds *feeds, struct feed *feed) {
    struct buffer *unsent = &feed->unsent;
    ssize_t sent = feed->owner->send(feed->connection, unsent->data + feed->sent, unsent->size - feed->sent);
    if (sent < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            end(feed, FEED_IS_BROKEN);
        return false;
    }
    atomic_fetch_add_explicit(&feeds->bytes, (uint64_t)sent, memory_order_relaxed);
    feed->sent += (size_t)sent;
    feed->read += (size_t)sent;
    if (feed->sent < unsent->size)
        return false;
    feed->sent = unsent->size = 0;
    if (unsent->capacity > FEED_BUFFER)
        buffer_free(unsent);
    return true;
}

static void let_speak(struct feed *feed) {
    feed->waits = false;
    while (!feed->ending && !feed->waits && feed->unsent.size < FEED_AHEAD) {
        enum feed_step step = feed->kind->step(feed, &feed->unsent);
        feed->ending = step == FEED_ENDS;
        feed->waits = step == FEED_WAITS;
    }
    if (feed->unsent.failed)
        end(feed, FEED_IS_BROKEN);
}

/* Until the socket is full, there is nothing to say, or others should have their turn. */
static void serve(struct feeds *feeds, struct feed *feed) {
    for (int round = 0; round < FEED_ROUNDS && !feed->over; round++) {
        let_speak(feed);
        if (feed->over || (feed->unsent.size > 0 && !send_unsent(feeds, feed)))
            return;
        if (feed->ending)
            end(feed, FEED_IS_TOLD);
        if (feed->waits)
            return;
    }
}

/* ---- Patience, under the lock ---- */

static void check_patience(struct feed *feed, uint64_t now_us) {
    if (feed->over || feed->patience == 0)
        return;
    if (feed->read >= (size_t)FEED_RATE * feed->patience) {
        feed->read_us = now_us;
        feed->read = 0;
    } else if (feed->read_us + feed->patience * 1000000ull < now_us) {
        end(feed, FEED_IS_UNREAD);
    }
}

/* True if one of them goes on with a bound. */
static bool check_all_patience(struct feeds *feeds) {
    bool bounded = false;
    uint64_t now_us = monotonic_us();
    for (struct feed *feed = feeds->first; feed; feed = feed->next) {
        check_patience(feed, now_us);
        bounded |= !feed->over && feed->patience > 0;
    }
    return bounded;
}

/* ---- The thread ---- */

struct polled {
    struct pollfd fds[FEEDS_MAX + 1]; /* the first is the wake descriptor */
    uint64_t numbers[FEEDS_MAX + 1];
    nfds_t count;
};

static void gather(const struct feeds *feeds, struct polled *ret_polled) {
    ret_polled->fds[0] = (struct pollfd){.fd = feeds->wake, .events = POLLIN};
    ret_polled->count = 1;
    for (const struct feed *feed = feeds->first; feed && ret_polled->count <= FEEDS_MAX; feed = feed->next) {
        if (feed->over)
            continue;
        bool speaks = !feed->waits || feed->unsent.size > 0;
        ret_polled->numbers[ret_polled->count] = feed->number;
        ret_polled->fds[ret_polled->count++] =
            (struct pollfd){.fd = feed->fd, .events = (short)(POLLRDHUP | (speaks ? POLLOUT : 0))};
    }
}

static struct feed *find(const struct feeds *feeds, uint64_t number) {
    for (struct feed *feed = feeds->first; feed; feed = feed->next)
        if (feed->number == number)
            return feed;
    return NULL;
}

static void attend(struct feeds *feeds, const struct polled *polled) {
    for (nfds_t i = 1; i < polled->count; i++) {
        struct feed *feed = find(feeds, polled->numbers[i]); /* it may have been abandoned meanwhile */
        short happened = polled->fds[i].revents;
        if (!feed || feed->over)
            continue;
        if (happened & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL))
            end(feed, FEED_IS_BROKEN);
        else if (happened & POLLOUT)
            serve(feeds, feed);
    }
    if (!polled->fds[0].revents)
        return;
    uint64_t count;
    if (read(feeds->wake, &count, sizeof count) < 0 && errno != EAGAIN && errno != EINTR)
        return;
    for (struct feed *feed = feeds->first; feed; feed = feed->next)
        if (!feed->over && feed->waits)
            serve(feeds, feed);
}

static void *run(void *argument) {
    struct feeds *feeds = argument;
    struct polled polled;
    pthread_mutex_lock(&feeds->lock);
    while (!feeds->stopping) {
        int wait_ms = check_all_patience(feeds) ? PATIENCE_STEP_MS : -1;
        gather(feeds, &polled);
        pthread_mutex_unlock(&feeds->lock);
        int happened = poll(polled.fds, polled.count, wait_ms);
        /* Else it would ask again at once: no memory, or fewer descriptors are allowed than there are feeds. */
        if (happened < 0 && errno != EINTR)
            poll(NULL, 0, PATIENCE_STEP_MS);
        pthread_mutex_lock(&feeds->lock);
        if (happened > 0)
            attend(feeds, &polled);
    }
    pthread_mutex_unlock(&feeds->lock);
    return NULL;
}

/* Under the lock. */
static bool start_thread(struct feeds *feeds) {
    if (!feeds->runs)
        feeds->runs = thread_start(&feeds->thread, "feeds", run, feeds) == 0;
    return feeds->runs;
}

/* ---- The life of the feeds ---- */

struct feeds *feeds_create(void) {
    struct feeds *feeds = calloc(1, sizeof *feeds);
    if (!feeds)
        return NULL;
    feeds->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (feeds->wake < 0) {
        free(feeds);
        return NULL;
    }
    pthread_mutex_init(&feeds->lock, NULL);
    return feeds;
}

void feeds_free(struct feeds *feeds) {
    if (!feeds)
        return;
    pthread_mutex_lock(&feeds->lock);
    feeds->stopping = true;
    pthread_mutex_unlock(&feeds->lock);
    feeds_wake(feeds);
    if (feeds->runs)
        pthread_join(feeds->thread, NULL);
    close(feeds->wake);
    pthread_mutex_destroy(&feeds->lock);
    free(feeds);
}

bool feeds_begin(struct feeds *feeds, struct feed *feed, struct feed_owner *owner,
                 struct connection *connection, int fd) {
    feed->owner = owner;
    feed->connection = connection;
    feed->fd = fd;
    feed->read_us = monotonic_us();
    buffer_append(&feed->unsent, "OK\r\n", 4);
    pthread_mutex_lock(&feeds->lock);
    bool started = start_thread(feeds);
    if (started) {
        feed->number = ++feeds->number;
        feed->next = feeds->first;
        feeds->first = feed;
        feed->waits = true; /* to be served at the wake below */
    }
    pthread_mutex_unlock(&feeds->lock);
    if (started)
        feeds_wake(feeds);
    return started;
}

static void unlink_feed(struct feeds *feeds, struct feed *feed) {
    struct feed **link = &feeds->first;
    while (*link != feed)
        link = &(*link)->next;
    *link = feed->next;
}

struct feed *feeds_collect(struct feeds *feeds, struct feed_owner *owner) {
    pthread_mutex_lock(&feeds->lock);
    struct feed *feed = feeds->first;
    while (feed && !(feed->over && feed->owner == owner))
        feed = feed->next;
    if (feed)
        unlink_feed(feeds, feed);
    pthread_mutex_unlock(&feeds->lock);
    return feed;
}

void feeds_abandon(struct feeds *feeds, struct feed *feed) {
    pthread_mutex_lock(&feeds->lock);
    unlink_feed(feeds, feed);
    pthread_mutex_unlock(&feeds->lock);
    feeds_wake(feeds); /* while it is polled, the socket stays open behind the close */
    feed_free(feed);
}

uint64_t feeds_bytes(const struct feeds *feeds) {
    return atomic_load_explicit(&feeds->bytes, memory_order_relaxed);
}

void feeds_reset(struct feeds *feeds) {
    atomic_store_explicit(&feeds->bytes, 0, memory_order_relaxed);
}
