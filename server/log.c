/* SPDX-License-Identifier: MIT */
/*
 * Lines for the operator, on standard error, in the form that log_format asks for (log_line.h). A line is written by one
 * system call, so lines of several threads do not mix. Errors, warnings and notices are always written, debug lines with
 * -v. No memory is asked for and no lock is taken.
 */
#include "server/log.h"
#include "server/server.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool is_wanted(const struct server *server, enum log_level level) {
    return level != LOG_LEVEL_DEBUG || atomic_load_explicit(&server->verbosity, memory_order_relaxed) >= 1;
}

static void write_bytes(const char *bytes, size_t size) {
    if (write(STDERR_FILENO, bytes, size) < 0)
        return; /* nowhere left to say so */
}

static void write_message(const struct server *server, enum log_level level, const struct log_field *fields,
                          const char *message) {
    char line[LOG_LINE_MAX];
    write_bytes(line, log_line(&server->log_form, wall_us(), level, message, fields, line));
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

static void write_line(struct server *server, enum log_kind kind, enum log_level level,
                       const struct log_field *fields, const char *format, va_list arguments) {
    char message[LOG_MESSAGE_MAX];
    struct log_limit *limit = limit_of(server, kind);
    if (!is_wanted(server, level) || !is_admitted(server, kind))
        return;
    int length = vsnprintf(message, sizeof message, format, arguments);
    if (length < 0)
        return;
    if (limit)
        log_limit_tell_left_out(limit, message, (size_t)length, sizeof message);
    write_message(server, level, fields, message);
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

void server_log_left_out(struct server *server) {
    for (size_t i = 0; i < LOG_KIND_COUNT; i++) {
        struct log_limit *limit = &server->log_limits.kinds[i];
        if (log_limit_has_left_out(limit) && log_limit_admits(limit, kinds[i].burst, monotonic_us()))
            server_log(server, LOG_LEVEL_WARNING, "%s: %" PRIu64 " more lines of this kind left out",
                       kinds[i].what, log_limit_take_left_out(limit));
    }
}

void server_complain(const struct server *server, const char *error) {
    char line[LOG_LINE_MAX];
    if (server->log_form.format != LOG_FORMAT_TEXT) {
        write_message(server, LOG_LEVEL_ERROR, NULL, error);
        return;
    }
    int size = snprintf(line, sizeof line, "%sforebay: %s", server->log_form.is_journal ? "<3>" : "", error);
    size_t end = size < (int)sizeof line ? (size_t)size : sizeof line - 1;
    line[end] = '\n';
    write_bytes(line, end + 1);
}
