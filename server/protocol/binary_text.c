/* SPDX-License-Identifier: MIT */
#include "server/protocol/binary_text.h"
#include "server/protocol/reply.h"

/* Cuts the first line, without its end, off the text. */
static struct slice next_line(struct slice *text) {
    struct slice line;
    slice_cut(text, '\n', &line);
    line.size -= line.size > 0 && line.data[line.size - 1] == '\r';
    return line;
}

static struct slice behind(struct slice line, struct slice word) {
    return slice_of(line.data + word.size, line.size - word.size);
}

static void append_status(struct buffer *out, const struct binary_head *head, enum binary_status status) {
    char packet[REPLY_LINE_MAX];
    buffer_append(out, packet, (size_t)(binary_reply_status(packet, head, status) - packet));
}

static void append_statistic(struct buffer *out, const struct binary_head *head, struct slice name,
                             struct slice value) {
    char *packet = buffer_reserve(out, BINARY_HEADER + name.size + value.size);
    if (packet)
        out->size += (size_t)(binary_reply_statistic(packet, head, name, value) - packet);
}

/* "STAT <name> <value>" */
static void append_line(struct buffer *out, const struct binary_head *head, struct slice line) {
    struct slice name, value = behind(line, SLICE("STAT "));
    slice_cut(&value, ' ', &name);
    append_statistic(out, head, name, value);
}

/* Whether the text has statistics, or says that something was done. */
static bool is_good(struct slice text) {
    static const struct slice beginnings[] = {{"STAT ", 5}, {"END", 3}, {"RESET", 5}, {"OK", 2}};
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
        if (slice_starts_with(text, beginnings[i]))
            return true;
    return false;
}

static void append_lines(struct buffer *out, const struct binary_head *head, struct slice text) {
    while (text.size > 0) {
        struct slice line = next_line(&text);
        if (slice_starts_with(line, SLICE("STAT ")))
            append_line(out, head, line);
    }
}

static void append_statistics(struct buffer *out, const struct binary_head *head, struct slice argument,
                              struct slice text) {
    bool is_dump =
        slice_starts_with(argument, SLICE("detail dump")) && !slice_starts_with(text, SLICE("CLIENT_ERROR"));
    if (!is_dump && !is_good(text)) {
        append_status(out, head, BINARY_NOT_FOUND);
        return;
    }
    if (is_dump)
        append_statistic(out, head, SLICE("detailed"), text); /* as memcached: all of it is one value */
    else
        append_lines(out, head, text);
    append_statistic(out, head, slice_of("", 0), slice_of("", 0));
}

static void append_version(struct buffer *out, const struct binary_head *head, struct slice text) {
    char packet[REPLY_LINE_MAX];
    struct slice version = behind(next_line(&text), SLICE("VERSION "));
    char *end = binary_reply_message(packet, head, BINARY_SUCCESS, version);
    buffer_append(out, packet, (size_t)(end - packet));
}

/* Done, or it is not allowed. */
static void append_done(struct buffer *out, const struct binary_head *head, struct slice text) {
    bool done = slice_starts_with(text, SLICE("OK"));
    if (!done || !head->quiet)
        append_status(out, head, done ? BINARY_SUCCESS : BINARY_AUTH_ERROR);
}

void binary_text(struct buffer *out, const struct binary_head *head, const struct request *request,
                 struct slice text) {
    if (request->command == COMMAND_STATS)
        append_statistics(out, head, request->argument, text);
    else if (request->command == COMMAND_VERSION)
        append_version(out, head, text);
    else
        append_done(out, head, text);
}
