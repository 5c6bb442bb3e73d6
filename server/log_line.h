/* SPDX-License-Identifier: MIT */
/*
 * The bytes of a log line. Pure, and without a lock or an allocation, so that the last line of a process that has no
 * memory comes out as well.
 *
 *     text    2026-01-31T12:00:00.123Z warning: backend local: database is locked
 *     logfmt  time=2026-01-31T12:00:00.123Z level=warning msg="backend local: database is locked" backend=local
 *     json    {"time":"2026-01-31T12:00:00.123Z","level":"warning","msg":"backend local: ...","backend":"local"}
 *
 * Whatever bytes a message has, a line is one line, and drives no terminal: text has '?' for what is not printable; the
 * other forms escape it, and are valid UTF-8 with U+FFFD for what is none.
 */
#ifndef FOREBAY_SERVER_LOG_LINE_H
#define FOREBAY_SERVER_LOG_LINE_H

#include "cache/base/log.h"

enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

/* In that order, ended by NULL. */
extern const char *const log_format_names[];

struct log_form {
    enum log_format format;
    bool is_journal; /* of systemd: "<4>" before each line tells it the level, and it knows the time */
};

enum {
    LOG_LINE_MAX = 4096, /* what a pipe takes whole (PIPE_BUF) */
    LOG_MESSAGE_MAX =
        989 /* with its final zero: a line of text has 1024 bytes at most, beside the journal's level */
};

const char *log_level_name(enum log_level level);

/* Is the file descriptor the one that a JOURNAL_STREAM ("device:inode", or NULL) of systemd means? */
bool log_is_journal(int fd, const char *journal_stream);

/* A message as a line of text has it, with '?' for its control characters, cut at size, which leaves no final zero.
 * Returns how many bytes it has. */
size_t log_plain(const char *message, char *ret_text, size_t size);

/* The size of the line with its final '\n'; a message or a field that is too long is cut, and fields that
 * find no room are left out. fields may be NULL. */
size_t log_line(const struct log_form *form, uint64_t now_us, enum log_level level, const char *message,
                const struct log_field *fields, char ret_line[LOG_LINE_MAX]);

#endif
