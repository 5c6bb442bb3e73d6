/* SPDX-License-Identifier: MIT */
#ifndef FOREBAY_TOOLS_BENCH_SESSION_OPTIONS_H
#define FOREBAY_TOOLS_BENCH_SESSION_OPTIONS_H

/* What bench_session is asked for; the head of its source says what each option is. */
#include "tools/bench/session_store.h"
#include <stdbool.h>

/* Bytes that a session has: what it begins with, and at most. */
enum { SESSION_HEADER = 32, SESSION_MOST = 32 * 1024 };

struct session_options {
    unsigned short port;
    const struct session_store *store;
    unsigned connections, users, seconds, rate, write_percent, logout_permille, least, most, ttl;
    bool locks, phases;
    double skew;
    const char *prefix, *lock_prefix;
};

/* Of a command line; one that makes no sense ends the program. */
struct session_options session_options(int count, char **arguments);

#endif
