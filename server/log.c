/* SPDX-License-Identifier: MIT */
/*
 * Lines for the operator, on standard error, in the form that log_format asks for (log_line.h). A line is written by
 * one system call, so lines of several threads do not mix. Errors, warnings and notices are always written, debug lines
 * with
 * -v. No memory is asked for and no lock is taken.
 *
 * Whoever reads the log may hang: a full pipe, a terminal that was stopped. A line that is not taken at once is lost
 * then, and counted, as clients and probes must not wait for it.
 */
#include "server/log.h"
#include "cache/base/count_text.h"
#include "cache/base/fit.h"
#include "server/server.h"
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LOG_PATIENCE_MS = 10 };

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

static bool put_message(const struct server *server, enum log_level level, const struct log_field *fields,
                        const char *message) {
    char line[LOG_LINE_MAX];
    return put(line, log_line(&server->log_form, wall_us(), level, message, fields, line));
}

static void count_lost(struct server *server, bool written) {
    if (!written)
        atomic_fetch_add_explicit(&server->log_limits.lost, 1, memory_order_relaxed);
}

/* ---- Limits ---- */

static const struct {
    unsigned burst;
    const char *what;
} kinds[LOG_KIND_COUNT] = {
#define LOG_KIND(name, burst, what) {burst, what},
    LOG_KINDS(LOG_KIND)
#undef LOG_KIND
};

/* NULL: this kind has none. */
static struct log_limit *limit_of(struct server *server, enum log_kind kind) {
    return kind < LOG_KIND_COUNT ? &server->log_limits.kinds[kind] : NULL;
}

static bool is_admitted(struct server *server, enum log_kind kind) {
    struct log_limit *limit = limit_of(server, kind);
    if (!limit || log_limit_admits(limit, kinds[kind].burst, monotonic_us()))
        return true;
    log_limit_leave_out(limit);
    return false;
}

/* ---- Lines ---- */

/* False: the last line is written, or about to be. */
static bool begin_line(struct log_end *end) {
    atomic_fetch_add(&end->writing, 1);
    if (!atomic_load(&end->over))
        return true;
    atomic_fetch_sub(&end->writing, 1);
    return false;
}

static void end_line(struct log_end *end) {
    atomic_fetch_sub(&end->writing, 1);
}

/* A line is given LOG_PATIENCE_MS, and hardly ever needs that. */
static void await_lines(struct log_end *end) {
    atomic_store(&end->over, true);
    while (atomic_load(&end->writing) > 0)
        usleep(100);
}

static void write_line(struct server *server, enum log_kind kind, enum log_level level,
                       const struct log_field *fields, const char *format, va_list arguments) {
    char message[LOG_MESSAGE_MAX];
    struct log_limit *limit = limit_of(server, kind);
    if (!is_wanted(server, level) || !is_admitted(server, kind))
        return;
    size_t length = fit_vprint(message, log_limit_room(limit, sizeof message), format, arguments);
    if (limit)
        log_limit_tell_left_out(limit, message, length, sizeof message);
    if (!begin_line(&server->log_end))
        return;
    count_lost(server, put_message(server, level, fields, message));
    end_line(&server->log_end);
}

void server_log(struct server *server, enum log_level level, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    write_line(server, LOG_KIND_UNLIMITED, level, NULL, format, arguments);
    va_end(arguments);
}

void server_log_limited(struct server *server, enum log_kind kind, enum log_level level, const char *format,
                        ...) {
    va_list arguments;
    va_start(arguments, format);
    write_line(server, kind, level, NULL, format, arguments);
    va_end(arguments);
}

void server_log_about(struct server *server, enum log_kind kind, enum log_level level,
                      const struct log_field *fields, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    write_line(server, kind, level, fields, format, arguments);
    va_end(arguments);
}

void server_log_last(struct server *server, enum log_level level, const char *format, ...) {
    char message[LOG_MESSAGE_MAX];
    va_list arguments;
    await_lines(&server->log_end);
    va_start(arguments, format);
    fit_vprint(message, sizeof message, format, arguments);
    va_end(arguments);
    put_message(server, level, NULL, message);
}

/* What cannot be told now is told later. */
static void tell_lost(struct server *server) {
    atomic_uint_fast64_t *lost = &server->log_limits.lost;
    uint64_t lines = atomic_exchange_explicit(lost, 0, memory_order_relaxed);
    char message[LOG_MESSAGE_MAX];
    snprintf(message, sizeof message, "the log: %s, as standard error did not take all",
             count_text(lines, "line is missing", "lines are missing").text);
    if (lines > 0 && !put_message(server, LOG_LEVEL_WARNING, NULL, message))
        atomic_fetch_add_explicit(lost, lines, memory_order_relaxed);
}

void server_log_left_out(struct server *server) {
    tell_lost(server);
    for (size_t i = 0; i < LOG_KIND_COUNT; i++) {
        struct log_limit *limit = &server->log_limits.kinds[i];
        if (log_limit_has_left_out(limit) && log_limit_admits(limit, kinds[i].burst, monotonic_us()))
            server_log(server, LOG_LEVEL_WARNING, "%s: %s of this kind left out", kinds[i].what,
                       count_text(log_limit_take_left_out(limit), "more line", "more lines").text);
    }
}

void server_complain(const struct server *server, const char *error) {
    char line[LOG_LINE_MAX];
    if (server->log_form.format != LOG_FORMAT_TEXT) {
        put_message(server, LOG_LEVEL_ERROR, NULL, error);
        return;
    }
    size_t used =
        (size_t)snprintf(line, sizeof line, "%sforebay: ", server->log_form.is_journal ? "<3>" : "");
    used += log_plain(error, line + used, sizeof line - 1 - used);
    line[used] = '\n';
    put(line, used + 1);
}
