/* SPDX-License-Identifier: MIT */
/*
 * Outcomes to packets. Statuses and messages are memcached's where it has the case; where only a tier with a store
 * behind it can have it, the status says what a client can do about it (invalid: nothing; temporary: try again), and
 * the message is the line of the text protocol.
 */
#include "server/protocol/binary.h"
#include "server/protocol/reply.h"
#include <assert.h>
#include <endian.h>

enum {
    FLAGS_SIZE = 4,
    NUMBER_SIZE = 8,
    MESSAGE_MAX = REPLY_LINE_MAX - BINARY_HEADER,
};

/* ---- Pieces ---- */

static inline char *write_bytes(char *out, struct slice bytes) {
    if (bytes.size > 0)
        memcpy(out, bytes.data, bytes.size);
    return out + bytes.size;
}

static inline char *write_16(char *out, uint16_t number) {
    number = htobe16(number);
    memcpy(out, &number, sizeof number);
    return out + sizeof number;
}

static inline char *write_32(char *out, uint32_t number) {
    number = htobe32(number);
    memcpy(out, &number, sizeof number);
    return out + sizeof number;
}

static inline char *write_64(char *out, uint64_t number) {
    number = htobe64(number);
    memcpy(out, &number, sizeof number);
    return out + sizeof number;
}

/* The sizes of a body's parts. */
struct parts {
    size_t extras, key, value;
};

static inline char *write_header(char *out, const struct binary_head *head, enum binary_status status,
                                 struct parts parts, uint64_t cas) {
    *out++ = (char)BINARY_RESPONSE;
    *out++ = (char)head->opcode;
    out = write_16(out, (uint16_t)parts.key);
    *out++ = (char)parts.extras;
    *out++ = 0;
    out = write_16(out, (uint16_t)status);
    out = write_32(out, (uint32_t)(parts.extras + parts.key + parts.value));
    memcpy(out, &head->opaque, sizeof head->opaque);
    return write_64(out + sizeof head->opaque, cas);
}

/* ---- Statuses ---- */

static struct slice message_of(enum binary_status status) {
    switch (status) {
    case BINARY_SUCCESS:
    case BINARY_AUTH_CONTINUE:
        break;
    case BINARY_NOT_FOUND:
        return SLICE("Not found");
    case BINARY_EXISTS:
        return SLICE("Data exists for key.");
    case BINARY_TOO_LARGE:
        return SLICE("Too large.");
    case BINARY_INVALID:
        return SLICE("Invalid arguments");
    case BINARY_NOT_STORED:
        return SLICE("Not stored.");
    case BINARY_NOT_A_NUMBER:
        return SLICE("Non-numeric server-side value for incr or decr");
    case BINARY_AUTH_ERROR:
        return SLICE("Auth failure.");
    case BINARY_UNKNOWN_COMMAND:
        return SLICE("Unknown command");
    case BINARY_NO_MEMORY:
        return SLICE("Out of memory");
    case BINARY_NOT_SUPPORTED:
        return SLICE("Not supported");
    case BINARY_INTERNAL_ERROR:
        return SLICE("Internal error");
    case BINARY_TEMPORARY_FAILURE:
        return SLICE("Temporary failure");
    }
    return slice_of("", 0);
}

char *binary_reply_message(char *out, const struct binary_head *head, enum binary_status status,
                           struct slice message) {
    out = write_header(out, head, status, (struct parts){.value = message.size}, 0);
    return write_bytes(out, message);
}

char *binary_reply_status(char *out, const struct binary_head *head, enum binary_status status) {
    return binary_reply_message(out, head, status, message_of(status));
}

char *binary_reply_error(char *out, const struct binary_head *head, enum binary_status status,
                         const char *line) {
    struct slice message = slice_string(line), kind = SLICE("SERVER_ERROR "); /* CLIENT_ERROR is as long */
    if (slice_starts_with(message, kind) || slice_starts_with(message, SLICE("CLIENT_ERROR ")))
        message = slice_of(message.data + kind.size, message.size - kind.size);
    if (message.size > MESSAGE_MAX)
        message.size = MESSAGE_MAX;
    return binary_reply_message(out, head, status, message);
}

char *binary_reply_statistic(char *out, const struct binary_head *head, struct slice name,
                             struct slice value) {
    out = write_header(out, head, BINARY_SUCCESS, (struct parts){.key = name.size, .value = value.size}, 0);
    return write_bytes(write_bytes(out, name), value);
}

/* ---- Outcomes ---- */

/* The later revision's statuses are unknown to libmemcached, which therefore connects anew; no other status but those
 * of keys would spare it that. Out of memory, which it knows, is no way out: it takes a set for one that was not
 * stored, and an incr ends its process (status_of_failure). */
enum binary_status binary_status_of_error(enum outcome_error kind) {
    switch (kind) {
    case ERROR_NO_MEMORY:
        return BINARY_NO_MEMORY;
    case ERROR_TOO_LARGE:
        return BINARY_TOO_LARGE;
    case ERROR_NOT_A_NUMBER:
        return BINARY_NOT_A_NUMBER;
    case ERROR_NO_NAMESPACE:
    case ERROR_KEY_UNFIT:
        return BINARY_INVALID;
    case ERROR_ROW_UNFIT:
    case ERROR_BACKEND_REFUSES:
        return BINARY_INTERNAL_ERROR;
    case ERROR_TOO_BUSY:
    case ERROR_FULL:
    case ERROR_JOURNAL_FULL:
    case ERROR_BACKEND_DOWN:
    case ERROR_UNCONFIRMED:
        return BINARY_TEMPORARY_FAILURE;
    case ERROR_FORBIDDEN:
        return BINARY_AUTH_ERROR;
    }
    return BINARY_INTERNAL_ERROR;
}

/* A number is never answered by "out of memory", as memcached would: an assertion of libmemcached ends the process that
 * hears it, a web server's worker, say. Any other client takes both for the same failure. */
static enum binary_status status_of_failure(enum command command, enum outcome_error kind) {
    if (command == COMMAND_META_ARITHMETIC && kind == ERROR_NO_MEMORY)
        return BINARY_TEMPORARY_FAILURE;
    return binary_status_of_error(kind);
}

/* memcached has words of its own for its errors, a tier uses the line. */
static char *write_error(char *out, const struct binary_head *head, enum command command,
                         const struct outcome *outcome) {
    enum binary_status status = status_of_failure(command, outcome->error_kind);
    if (status < BINARY_AUTH_ERROR && status != BINARY_INVALID)
        return binary_reply_status(out, head, status);
    return binary_reply_error(out, head, status, outcome->error);
}

/* The value comes last, so where it is not copied its place is the end. */
static inline char *write_hit(char *out, const struct binary_head *head, const struct request *request,
                              const struct outcome *outcome, char **ret_value_at) {
    const struct cache_view *view = &outcome->view;
    struct parts parts = {FLAGS_SIZE, head->ret_key ? request->key.size : 0, view->value.size};
    out = write_header(out, head, BINARY_SUCCESS, parts, cache_view_cas(view));
    out = write_32(out, view->flags);
    if (head->ret_key)
        out = write_bytes(out, request->key);
    if (!view->large)
        return write_bytes(out, view->value);
    *ret_value_at = out;
    return out;
}

static char *write_miss(char *out, const struct binary_head *head, const struct request *request) {
    if (head->quiet)
        return out;
    if (!head->ret_key)
        return binary_reply_status(out, head, BINARY_NOT_FOUND);
    out = write_header(out, head, BINARY_NOT_FOUND, (struct parts){.key = request->key.size}, 0);
    return write_bytes(out, request->key);
}

static char *write_success(char *out, const struct binary_head *head, uint64_t cas) {
    return head->quiet ? out : write_header(out, head, BINARY_SUCCESS, (struct parts){0}, cas);
}

static char *write_number(char *out, const struct binary_head *head, const struct outcome *outcome) {
    if (head->quiet)
        return out;
    out = write_header(out, head, BINARY_SUCCESS, (struct parts){.value = NUMBER_SIZE},
                       cache_view_cas(&outcome->view));
    return write_64(out, outcome->number);
}

static char *write_touched(char *out, const struct binary_head *head, const struct outcome *outcome) {
    out = write_header(out, head, BINARY_SUCCESS, (struct parts){.extras = FLAGS_SIZE},
                       cache_view_cas(&outcome->view));
    return write_32(out, outcome->view.flags);
}

/* What add and replace found is told by the statuses of keys. */
static enum binary_status status_of_refusal(enum command command) {
    switch (command_row(command)->need) {
    case NEED_EXISTENCE:
        return command == COMMAND_ADD ? BINARY_EXISTS : BINARY_NOT_FOUND;
    default:
        return BINARY_NOT_STORED;
    }
}

static char *write_rest(char *out, const struct binary_head *head, const struct request *request,
                        const struct outcome *outcome) {
    switch (outcome->status) {
    case OUTCOME_STORED:
        return write_success(out, head, cache_view_cas(&outcome->view));
    case OUTCOME_DELETED:
        return write_success(out, head, 0);
    case OUTCOME_NUMBER:
        return write_number(out, head, outcome);
    case OUTCOME_TOUCHED:
        return write_touched(out, head, outcome);
    case OUTCOME_NOT_STORED:
        return binary_reply_status(out, head, status_of_refusal(request->command));
    case OUTCOME_EXISTS:
        return binary_reply_status(out, head, BINARY_EXISTS);
    case OUTCOME_NOT_FOUND:
        return binary_reply_status(out, head, BINARY_NOT_FOUND);
    case OUTCOME_ERROR:
        return write_error(out, head, request->command, outcome);
    case OUTCOME_HIT:
    case OUTCOME_MISS:
        break;
    }
    assert(false && "answered before");
    return out;
}

char *binary_reply(char *out, const struct binary_head *head, const struct request *request,
                   const struct outcome *outcome, char **ret_value_at) {
    *ret_value_at = NULL;
    if (outcome->status == OUTCOME_HIT)
        return write_hit(out, head, request, outcome, ret_value_at);
    if (outcome->status == OUTCOME_MISS)
        return write_miss(out, head, request);
    return write_rest(out, head, request, outcome);
}
