/* SPDX-License-Identifier: MIT */
/*
 * Lines for the operator, on standard error:
 *
 *     2026-01-31T12:00:00.123Z warning: backend local: database is locked; trying again in 200 ms
 *
 * Time is UTC. A line is written by one system call, so lines of several threads do not mix. Errors, warnings
 * and notices are always written, debug lines with -v.
 *
 * Whoever reads the log may hang: a full pipe, a terminal that was stopped. A line that is not taken at once is lost then, and
 * counted, as clients and probes must not wait for it.
 */
#include "server/log.h"
#include "cache/base/clock_text.h"
#include "server/server.h"
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LOG_LINE_MAX = 1024, LOG_PATIENCE_MS = 10 };

static const char *level_name(enum log_level level) {
    switch (level) {
    case LOG_LEVEL_ERROR:
        return "error";
    case LOG_LEVEL_WARNING:
        return "warning";
    case LOG_LEVEL_NOTICE:
        return "notice";
    case LOG_LEVEL_DEBUG:
        return "debug";
    }
    return "";
}

static size_t write_head(char *line, size_t size, enum log_level level) {
    char time[CLOCK_TEXT_MAX];
    return (size_t)snprintf(line, size, "%s %s: ", clock_text(wall_us(), 3, time), level_name(level));
}

/* A message may hold what a client sent: nothing in it may look like another line or drive a terminal. */
static void make_printable(char *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = '?';
}

static bool is_wanted(const struct server *server, enum log_level level) {
    return level != LOG_LEVEL_DEBUG || atomic_load_explicit(&server->verbosity, memory_order_relaxed) >= 1;
}

/* False: it is lost. */
static bool put(const char *line, size_t size) {
    struct pollfd error = {.fd = STDERR_FILENO, .events = POLLOUT};
    int ready;
    do
        ready = poll(&error, 1, LOG_PATIENCE_MS);
    while (ready < 0 && errno == EINTR);
    if (ready <= 0)
        return false;
    ssize_t sent = send(STDERR_FILENO, line, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == ENOTSOCK)
        sent = write(STDERR_FILENO, line, size);
    return sent == (ssize_t)size;
}

/* limit: of whose lines it is also told how many were left out; NULL: none. */
static bool write_line(enum log_level level, struct log_limit *limit, const char *format, va_list arguments) {
    char line[LOG_LINE_MAX];
    size_t head = write_head(line, sizeof line, level), room = sizeof line - head - 1;
    int length = vsnprintf(line + head, room, format, arguments);
    if (length < 0)
        return false;
    if (limit)
        log_limit_tell_left_out(limit, line + head, (size_t)length, room);
    size_t size = head + strlen(line + head);
    make_printable(line + head, size - head);
    line[size++] = '\n';
    return put(line, size);
}

static void count_lost(struct server *server, bool written) {
    if (!written)
        atomic_fetch_add_explicit(&server->log_limits.lost, 1, memory_order_relaxed);
}

void server_log(struct server *server, enum log_level level, const char *format, ...) {
    va_list arguments;
    if (!is_wanted(server, level))
        return;
    va_start(arguments, format);
    count_lost(server, write_line(level, NULL, format, arguments));
    va_end(arguments);
}

static const struct {
    unsigned burst;
    const char *what;
} kinds[LOG_KIND_COUNT] = {
#define LOG_KIND(name, burst, what) {burst, what},
    LOG_KINDS(LOG_KIND)
#undef LOG_KIND
};

void server_log_limited(struct server *server, enum log_kind kind, enum log_level level, const char *format,
                        ...) {
    struct log_limit *limit = &server->log_limits.kinds[kind];
    va_list arguments;
    if (!is_wanted(server, level))
        return;
    if (!log_limit_admits(limit, kinds[kind].burst, monotonic_us())) {
        log_limit_leave_out(limit);
        return;
    }
    va_start(arguments, format);
    count_lost(server, write_line(level, limit, format, arguments));
    va_end(arguments);
}

__attribute__((format(printf, 2, 3))) static bool write_now(enum log_level level, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    bool written = write_line(level, NULL, format, arguments);
    va_end(arguments);
    return written;
}

/* What cannot be told now is told later. */
static void tell_lost(struct server *server) {
    atomic_uint_fast64_t *lost = &server->log_limits.lost;
    uint64_t lines = atomic_exchange_explicit(lost, 0, memory_order_relaxed);
    if (lines > 0 &&
        !write_now(LOG_LEVEL_WARNING,
                   "the log: %" PRIu64 " lines are missing, as standard error did not take them", lines))
        atomic_fetch_add_explicit(lost, lines, memory_order_relaxed);
}

void server_log_left_out(struct server *server) {
    tell_lost(server);
    for (size_t i = 0; i < LOG_KIND_COUNT; i++) {
        struct log_limit *limit = &server->log_limits.kinds[i];
        if (log_limit_has_left_out(limit) && log_limit_admits(limit, kinds[i].burst, monotonic_us()))
            server_log(server, LOG_LEVEL_WARNING, "%s: %" PRIu64 " more lines of this kind left out",
                       kinds[i].what, log_limit_take_left_out(limit));
    }
}
