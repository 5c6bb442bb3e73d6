/* SPDX-License-Identifier: MIT */
/* Lines for the operator, on standard error. */
#ifndef FOREBAY_SERVER_LOG_H
#define FOREBAY_SERVER_LOG_H

#include "cache/base/log.h"
#include "cache/base/log_limit.h"
#include "server/log_line.h"
#include <stdatomic.h>

struct server;

/* Kinds of lines that clients, operators, or a system out of something cause over and over: lines that the log has at
 * once, and what they are about. */
#define LOG_KINDS(X)                                                                                         \
    X(ACCEPT, 1, "connections that cannot be accepted")                                                      \
    X(REJECTED, LOG_LIMIT_BURST, "rejected clients")                                                         \
    X(PROTOCOL, LOG_LIMIT_BURST, "connections that speak a protocol which is refused")                       \
    X(CREDENTIAL, LOG_LIMIT_BURST, "connections that fail to authenticate")                                  \
    X(HANDSHAKE, LOG_LIMIT_BURST, "TLS handshakes that fail")                                                \
    X(ENCRYPTION, LOG_LIMIT_BURST, "encrypted connections that end")                                         \
    X(REQUEST_MEMORY, LOG_LIMIT_BURST, "connections closed for want of memory")                              \
    X(COMMAND, LOG_LIMIT_BURST, "commands of clients")                                                       \
    X(MEMORY_LIMIT, 1, "limits of memory set by clients")                                                    \
    X(ADMIN, LOG_LIMIT_BURST, "requests to the admin HTTP")                                                  \
    X(ADMIN_ACTION, LOG_LIMIT_BURST, "changes by the admin HTTP")                                            \
    X(RELOAD, LOG_LIMIT_BURST, "reloads that change nothing")                                                \
    X(RELOAD_WARNING, LOG_LIMIT_BURST, "warnings of reloads")                                                \
    X(SIGNAL, LOG_LIMIT_BURST, "signals")                                                                    \
    X(RING, 1, "rings that get no memory")                                                                   \
    X(ROTATION, LOG_LIMIT_BURST, "changes of the threads that new connections go to")

enum log_kind {
#define LOG_KIND(name, burst, what) LOG_KIND_##name,
    LOG_KINDS(LOG_KIND)
#undef LOG_KIND
        LOG_KIND_COUNT,
    LOG_KIND_UNLIMITED = LOG_KIND_COUNT /* does not repeat, or whoever writes it sees to that */
};

struct log_limits {
    struct log_limit kinds[LOG_KIND_COUNT];
    atomic_uint_fast64_t lost; /* lines that standard error did not take, and nobody was told of */
};

/* So that no line follows the last one. */
struct log_end {
    atomic_uint writing; /* threads that are about a line */
    atomic_bool over;
};

/* One line with time and level, if the verbosity asks for it. Any thread; it does not wait for whoever reads the
 * log. */
void server_log(struct server *server, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same of a line of this kind, unless there were too many of them: those are counted. */
void server_log_limited(struct server *server, enum log_kind kind, enum log_level level, const char *format,
                        ...) __attribute__((format(printf, 4, 5)));

/* The same of a line that is about something: LOG_FIELDS(...), or NULL. The message says it as well. */
void server_log_about(struct server *server, enum log_kind kind, enum log_level level,
                      const struct log_field *fields, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* The last line: what other threads have to say afterwards is nobody's business any more, and is dropped. */
void server_log_last(struct server *server, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Tells how many lines of each kind were left out since the last one, where a line may be written, and how many were
 * lost. Once a second or so. */
void server_log_left_out(struct server *server);

/* Says why the program ends, to whoever started it: "forebay: <error>", or in the other forms a line of level error.
 * Any thread. */
void server_complain(const struct server *server, const char *error);

#endif
