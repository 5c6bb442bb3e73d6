/* SPDX-License-Identifier: MIT */
/*
 * Lines for the operator, on standard error:
 *
 *     2026-01-31T12:00:00.123Z warning: backend local: database is locked; trying again in 200 ms
 *
 * Time is UTC. A line is written by one system call, so lines of several threads do not mix. Errors, warnings
 * and notices are always written, debug lines with -v.
 */
#include "server/log.h"
#include "cache/base/clock.h"
#include "server/server.h"
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LOG_LINE_MAX = 1024 };

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
    uint64_t now = wall_us();
    time_t seconds = (time_t)(now / US_PER_SECOND);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    size_t used = strftime(line, size, "%Y-%m-%dT%H:%M:%S", &parts);
    return used + (size_t)snprintf(line + used, size - used,
                                   ".%03dZ %s: ", (int)(now % US_PER_SECOND / US_PER_MS), level_name(level));
}

/* A message may hold what a client sent: nothing in it may look like another line or drive a terminal. */
static void make_printable(char *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = '?';
}

void server_log(struct server *server, enum log_level level, const char *format, ...) {
    if (level == LOG_LEVEL_DEBUG && atomic_load_explicit(&server->verbosity, memory_order_relaxed) < 1)
        return;
    char line[LOG_LINE_MAX];
    size_t head = write_head(line, sizeof line, level);
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line + head, sizeof line - head - 1, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    size_t room = sizeof line - head - 2;
    size_t size = head + ((size_t)length < room ? (size_t)length : room);
    make_printable(line + head, size - head);
    line[size++] = '\n';
    if (write(STDERR_FILENO, line, size) < 0)
        return; /* nowhere left to say so */
}
