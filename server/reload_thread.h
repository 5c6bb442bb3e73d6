/* SPDX-License-Identifier: MIT */
/*
 * The thread for what SIGHUP asks for. It is there as long as there is something to do, and asking never waits for
 * that: main asks, which nothing may keep from its loop.
 *
 *     none --reload_thread_ask--> at work --the end of the work--> none
 *                                 at work, asked again --the end of the work--> at work
 */
#ifndef FOREBAY_SERVER_RELOAD_THREAD_H
#define FOREBAY_SERVER_RELOAD_THREAD_H

#include <pthread.h>
#include <stdbool.h>

struct reload_thread {
    void (*work)(void *context);
    void *context;
    pthread_mutex_t mutex; /* a leaf, of all below but those of main's */
    bool asked;            /* there is work that has not begun */
    bool runs;             /* whoever asks need not start it */
    void (*ended)(void *context);
    void *ended_context;
    pthread_t thread; /* main's */
    bool started;     /* main's: not joined yet */
};

void reload_thread_init(struct reload_thread *self, void (*work)(void *context), void *context);

/* Has ended(context) called, from now on, whenever all that was asked for is done. It must not wait or ask. */
void reload_thread_report(struct reload_thread *self, void (*ended)(void *context), void *context);

/* Has work(context) called once from beginning to end after this. Asked several times before that begins, it is done
 * once. False: no thread can be started, nothing is done, and `ended` is called all the same. One thread asks. */
bool reload_thread_ask(struct reload_thread *self);

/* Waits for the end of the work. */
void reload_thread_end(struct reload_thread *self);

#endif
