/* SPDX-License-Identifier: MIT */
/*
 * Threads for handlers that may wait: one each, and so many at a time. Reading and acting have places of their own, so
 * that a scrape finds one while every `sync` waits for a backend.
 *
 * All functions are for one thread, that of the admin HTTP, which starts and joins them.
 */
#ifndef FOREBAY_SERVER_HTTP_TASK_H
#define FOREBAY_SERVER_HTTP_TASK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { TASKS_READING = 4, TASKS_ACTING = 4 };

struct task {
    pthread_t thread;
    bool runs;        /* not joined yet */
    atomic_bool over; /* by its thread, at its end */
    void (*body)(void *context);
    void *context;
};

struct tasks {
    struct task reading[TASKS_READING], acting[TASKS_ACTING];
};

/* Calls body(context) on a thread. False: all places are taken, or there is no thread. */
bool task_start(struct tasks *tasks, bool acts, void (*body)(void *context), void *context);

/* Waits until all have ended. */
void tasks_join(struct tasks *tasks);

#endif
