/* SPDX-License-Identifier: MIT */
/*
 * What the tier asks of the program around it: to write a line on the log, and to wake a worker. And starting the
 * threads of a backend. Any thread.
 */
#ifndef FOREBAY_POLICIES_SERVICE_H
#define FOREBAY_POLICIES_SERVICE_H

#include "cache/base/log.h"
#include "cache/base/log_limit.h"
#include <pthread.h>
#include <stdarg.h>

struct service {
    void (*wake)(void *context, unsigned worker); /* must not block; NULL: nobody has to be woken */
    /* fields may be NULL; NULL: nobody reads it */
    void (*log)(void *context, enum log_level level, const struct log_field *fields, const char *message);
    void *context;
};

/* A longer message loses its middle (fit.h). It has room for what a backend says of a failure (struct backend_error),
 * and for whose it is; bytes, with its final zero. */
enum { SERVICE_MESSAGE_SIZE = 989 };
__attribute__((format(printf, 3, 4))) void service_log(const struct service *service, enum log_level level,
                                                       const char *format, ...);

/* The same of a line that is about something (LOG_FIELDS, or NULL), and of a kind that may come over and over: `limit`
 * says whether the log may have it. NULL: there is none. */
__attribute__((format(printf, 5, 0))) void service_log_about(const struct service *service,
                                                             struct log_limit *limit, enum log_level level,
                                                             const struct log_field *fields,
                                                             const char *format, va_list arguments);

/* The worker has to look for tickets that came back. */
void service_wake(const struct service *service, unsigned worker);

/* Starts a thread named "<role> <backend>", as top -H shows it; 0, or an errno. */
int service_start_thread(pthread_t *ret_thread, const char *role, const char *backend, void *(*run)(void *),
                         void *argument);

#endif
