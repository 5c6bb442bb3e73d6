/* SPDX-License-Identifier: MIT */
/* See log_line.h. */
#include "server/log_line.h"
#include "cache/base/clock_text.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FIELD_MAX = 256, FIELDS_MAX = 7 * FIELD_MAX, TEXT_MAX = 1024 };

const char *const log_format_names[] = {"text", "logfmt", "json", NULL};

/* Bytes of a line, as far as there is room. */
struct out {
    char *line;
    size_t used, size;
};

static const struct {
    const char *name;
    char journal; /* sd-daemon(3) */
} levels[] = {
    [LOG_LEVEL_ERROR] = {"error", '3'},
    [LOG_LEVEL_WARNING] = {"warning", '4'},
    [LOG_LEVEL_NOTICE] = {"notice", '5'},
    [LOG_LEVEL_DEBUG] = {"debug", '7'},
};

const char *log_level_name(enum log_level level) {
    return levels[level].name;
}

bool log_is_journal(int fd, const char *journal_stream) {
    struct stat status;
    char *end;
    if (!journal_stream || fstat(fd, &status) != 0)
        return false;
    unsigned long long device = strtoull(journal_stream, &end, 10);
    if (*end != ':' || end == journal_stream || device != status.st_dev)
        return false;
    const char *inode = end + 1;
    return strtoull(inode, &end, 10) == status.st_ino && end != inode && *end == '\0';
}

/* All of it or nothing. */
static bool put(struct out *out, const char *bytes, size_t size) {
    if (size > out->size - out->used)
        return false;
    memcpy(out->line + out->used, bytes, size);
    out->used += size;
    return true;
}

static bool put_text(struct out *out, const char *text) {
    return put(out, text, strlen(text));
}

static void put_head(struct out *out, const struct log_form *form, enum log_level level) {
    char head[] = {'<', levels[level].journal, '>'};
    if (form->is_journal)
        put(out, head, sizeof head);
}

/* ---- Characters ---- */

/* What the second byte of a character may be, and how many there are: neither longer than needed, nor half of a pair of
 * UTF-16, nor above U+10FFFF. */
static const struct {
    unsigned char first, last, lowest, highest, size;
} utf8[] = {
    {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
    {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
    {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
};

static bool goes_on(const unsigned char *at, size_t from, size_t size) {
    for (size_t i = from; i < size; i++)
        if (at[i] < 0x80 || at[i] > 0xbf)
            return false;
    return true;
}

/* Bytes of the character of several bytes that a string has there; 0: none. */
static size_t wide_size(const unsigned char *at) {
    for (size_t i = 0; i < sizeof utf8 / sizeof *utf8; i++)
        if (at[0] >= utf8[i].first && at[0] <= utf8[i].last)
            return at[1] >= utf8[i].lowest && at[1] <= utf8[i].highest && goes_on(at, 2, utf8[i].size)
                       ? utf8[i].size
                       : 0;
    return 0;
}

static bool put_code(struct out *out, unsigned code) {
    char text[8];
    return put(out, text, (size_t)snprintf(text, sizeof text, "\\u%04x", code));
}

static bool put_narrow(struct out *out, char c) {
    static const char plain[] = "\"\\\n\r\t", letters[] = "\"\\nrt";
    const char *found = c ? strchr(plain, c) : NULL;
    if (found)
        return put(out, (char[]){'\\', letters[found - plain]}, 2);
    return (unsigned char)c < 0x20 || c == 0x7f ? put_code(out, (unsigned char)c) : put(out, &c, 1);
}

/* One character as JSON has it between quotes; NULL: it does not fit. Returns where the next one begins. */
static const char *put_character(struct out *out, const char *text) {
    const unsigned char *at = (const unsigned char *)text;
    size_t size = wide_size(at);
    if (at[0] < 0x80)
        return put_narrow(out, *text) ? text + 1 : NULL;
    if (size == 0)
        return put_text(out, "\xef\xbf\xbd") ? text + 1 : NULL; /* U+FFFD */
    if (size == 2 && at[0] == 0xc2 && at[1] < 0xa0)
        return put_code(out, at[1]) ? text + size : NULL; /* C1 controls */
    return put(out, text, size) ? text + size : NULL;
}

/* Of a text, what fits with the quotes. False: not even these. */
static bool put_quoted(struct out *out, const char *text) {
    if (out->size - out->used < 2)
        return false;
    put(out, "\"", 1);
    out->size--;
    while (text && *text)
        text = put_character(out, text);
    out->size++;
    return put(out, "\"", 1);
}

/* ---- Fields ---- */

static bool is_bare(const char *text) {
    const char *at = text;
    while (*at > ' ' && *at < 0x7f && *at != '"' && *at != '=' && *at != '\\')
        at++;
    return at > text && *at == '\0' && at - text <= FIELD_MAX;
}

/* A long one is cut, so that those behind it have room. */
static bool put_field(struct out *out, const char *text) {
    size_t size = out->size, left = size - out->used;
    out->size = out->used + (left < FIELD_MAX ? left : FIELD_MAX);
    bool done = put_quoted(out, text);
    out->size = size;
    return done;
}

static bool put_value(struct out *out, enum log_format format, const struct log_field *field) {
    char digits[24];
    if (field->is_number)
        return put(out, digits, (size_t)snprintf(digits, sizeof digits, "%" PRIu64, field->number));
    if (format == LOG_FORMAT_LOGFMT && is_bare(field->text))
        return put_text(out, field->text);
    return put_field(out, field->text);
}

static bool put_name(struct out *out, enum log_format format, const char *name) {
    bool is_json = format == LOG_FORMAT_JSON;
    return put_text(out, is_json ? ",\"" : " ") && put_text(out, name) &&
           put_text(out, is_json ? "\":" : "=");
}

static void put_fields(struct out *out, enum log_format format, const struct log_field *fields) {
    for (; fields && fields->name; fields++) {
        size_t before = out->used;
        if (!fields->is_number && !fields->text)
            continue;
        if (!put_name(out, format, fields->name) || !put_value(out, format, fields))
            out->used = before;
    }
}

/* ---- Lines ---- */

static void put_structured(struct out *out, enum log_format format, const char *time, enum log_level level,
                           const char *message, const struct log_field *fields) {
    char last[FIELDS_MAX];
    struct out end = {.line = last, .size = sizeof last};
    bool is_json = format == LOG_FORMAT_JSON;
    put_fields(&end, format, fields);
    put_text(out, is_json ? "{\"time\":\"" : "time=");
    put_text(out, time);
    put_text(out, is_json ? "\",\"level\":\"" : " level=");
    put_text(out, log_level_name(level));
    put_text(out, is_json ? "\",\"msg\":" : " msg=");
    out->size -= end.used + (is_json ? 2 : 1);
    put_quoted(out, message);
    out->size += end.used + (is_json ? 2 : 1);
    put(out, last, end.used);
    put_text(out, is_json ? "}\n" : "\n");
}

/* Terminals obey those of two bytes, U+0080 to U+009F, as well. */
static size_t control_size(const char *text) {
    const unsigned char *at = (const unsigned char *)text;
    if (at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0)
        return 2;
    return at[0] < 0x20 || at[0] == 0x7f ? 1 : 0;
}

size_t log_plain(const char *message, char *ret_text, size_t size) {
    size_t used = 0;
    while (*message && used < size) {
        size_t control = control_size(message);
        ret_text[used++] = control ? '?' : *message;
        message += control ? control : 1;
    }
    return used;
}

static void put_plain(struct out *out, const struct log_form *form, const char *time, enum log_level level,
                      const char *message) {
    size_t begin = out->used;
    out->size = begin + TEXT_MAX - 1;
    if (!form->is_journal) {
        put_text(out, time);
        put_text(out, " ");
    }
    put_text(out, log_level_name(level));
    put_text(out, ": ");
    out->used += log_plain(message, out->line + out->used, out->size - out->used);
    out->line[out->used++] = '\n';
}

size_t log_line(const struct log_form *form, uint64_t now_us, enum log_level level, const char *message,
                const struct log_field *fields, char ret_line[LOG_LINE_MAX]) {
    char time[CLOCK_TEXT_MAX];
    struct out out = {.line = ret_line, .size = LOG_LINE_MAX};
    put_head(&out, form, level);
    clock_text(now_us, 3, time);
    if (form->format == LOG_FORMAT_TEXT)
        put_plain(&out, form, time, level, message);
    else
        put_structured(&out, form->format, time, level, message, fields);
    return out.used;
}
