/* SPDX-License-Identifier: MIT */
/* Starting threads, and waiting until a moment of the monotonic clock. */
#ifndef FOREBAY_CACHE_BASE_THREAD_H
#define FOREBAY_CACHE_BASE_THREAD_H

#include "cache/base/clock.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { THREAD_NAME_MAX = 15 }; /* bytes, all that Linux takes */

struct thread_beginning {
    void *(*run)(void *);
    void *argument;
    char name[THREAD_NAME_MAX + 1];
};

/* It names itself: from outside that takes a file of /proc, beside which are those by which memory is written. */
static inline void *thread_begin(void *context) {
    struct thread_beginning beginning = *(struct thread_beginning *)context;
    free(context);
    pthread_setname_np(pthread_self(), beginning.name);
    return beginning.run(beginning.argument);
}

/* Starts a thread that receives no signals, which are the main thread's, under a name as top -H shows it
 * (cut off after THREAD_NAME_MAX). 0, or an errno. */
static inline int thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *),
                               void *argument) {
    sigset_t all, before;
    struct thread_beginning *beginning = calloc(1, sizeof *beginning);
    if (!beginning)
        return ENOMEM;
    beginning->run = run;
    beginning->argument = argument;
    memcpy(beginning->name, name, strnlen(name, THREAD_NAME_MAX));
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = pthread_create(ret_thread, NULL, thread_begin, beginning);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure != 0)
        free(beginning);
    return failure;
}

/* Makes a condition whose timed waits are of the monotonic clock. */
static inline void condition_init(pthread_cond_t *condition) {
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

/* pthread_cond_timedwait until monotonic_us() is until_us; 0, or ETIMEDOUT. For conditions of condition_init. */
static inline int condition_wait_until(pthread_cond_t *condition, pthread_mutex_t *mutex, uint64_t until_us) {
    struct timespec until = {.tv_sec = (time_t)(until_us / US_PER_SECOND),
                             .tv_nsec = (long)(until_us % US_PER_SECOND) * 1000};
    return pthread_cond_timedwait(condition, mutex, &until);
}

#endif
