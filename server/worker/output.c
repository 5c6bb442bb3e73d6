/* SPDX-License-Identifier: MIT */
#include "server/worker/output.h"
#include "cache/cache.h"
#include "server/worker/connection.h"
#include "server/worker/connection_send.h"
#include "server/worker/io/io.h"
#include "server/worker/share.h"
#include <stdint.h>
#include <stdlib.h>

enum { OUTPUT_FIRST = 128 << 10, PIECES_FIRST = 64, OUTPUT_KEEP = 4 << 20 };

const struct msghdr *piece_message(struct piece_message *message, const char *base,
                                   const struct piece *pieces, size_t count) {
    size_t n = count < SEND_PIECES ? count : SEND_PIECES;
    for (size_t i = 0; i < n; i++)
        message->parts[i] = (struct iovec){(void *)(uintptr_t)piece_data(&pieces[i], base), pieces[i].size};
    message->header = (struct msghdr){.msg_iov = message->parts, .msg_iovlen = n};
    return &message->header;
}

bool output_init(struct output *output) {
    *output = (struct output){0};
    output->data = malloc(OUTPUT_FIRST);
    output->pieces = malloc(PIECES_FIRST * sizeof *output->pieces);
    output->capacity = OUTPUT_FIRST;
    output->piece_capacity = PIECES_FIRST;
    output->share = SHARE_OUTPUT;
    output->mark = SHARE_LOOK;
    return output->data && output->pieces;
}

void output_free(struct output *output) {
    free(output->data);
    free(output->pieces);
    *output = (struct output){0};
}

char *output_grow(struct output *output, size_t need) {
    size_t capacity = output->capacity * 2;
    while (capacity - output->size < need)
        capacity *= 2;
    char *data = realloc(output->data, capacity);
    if (!data)
        return NULL;
    output->data = data;
    output->capacity = capacity;
    return output->data + output->size;
}

static struct piece *add_piece(struct output *output, struct connection *connection) {
    if (output->piece_count == output->piece_capacity) {
        size_t capacity = output->piece_capacity * 2;
        struct piece *pieces = realloc(output->pieces, capacity * sizeof *pieces);
        if (!pieces)
            return NULL;
        output->pieces = pieces;
        output->piece_capacity = capacity;
    }
    struct piece *piece = &output->pieces[output->piece_count++];
    *piece = (struct piece){.connection = connection, .offset = output->size};
    return piece;
}

/* The bytes of the piece that grew until now are known. */
static void close_piece(struct output *output) {
    if (output->owner) {
        struct piece *last = &output->pieces[output->piece_count - 1];
        last->size = output->size - last->offset;
    }
    output->owner = NULL;
}

void output_begin(struct output *output, struct connection *connection) {
    close_piece(output);
    if (add_piece(output, connection))
        output->owner = connection;
    else
        connection_set_state(connection, CONNECTION_BROKEN);
}

bool output_large(struct output *output, struct connection *connection, const struct cache_view *view) {
    close_piece(output);
    struct piece *piece = add_piece(output, connection);
    if (!piece)
        return false;
    cache_large_hold(view->large);
    piece->large = view->large;
    piece->data = view->value.data;
    piece->size = view->value.size;
    output->large_size += piece->size;
    output->mark -= piece->size < output->mark ? piece->size : output->mark;
    return true;
}

void output_append(struct output *output, struct connection *connection, const char *data, size_t size) {
    if (size == 0)
        return; /* data may be NULL: a command answered nothing */
    char *out = output_reserve(output, size);
    if (!out) {
        connection_set_state(connection, CONNECTION_BROKEN);
        return;
    }
    memcpy(out, data, size);
    output_commit(output, connection, out + size);
}

struct output_place output_here(const struct output *output) {
    return (struct output_place){output->size, output->piece_count, output->owner};
}

bool output_cut(struct output *output, const struct output_place *place) {
    if (place->size > output->size || place->piece_count > output->piece_count)
        return false;
    for (size_t i = place->piece_count; i < output->piece_count; i++)
        if (output->pieces[i].large) {
            output->large_size -= output->pieces[i].size;
            cache_large_drop(output->pieces[i].large);
        }
    output->size = place->size;
    output->piece_count = place->piece_count;
    output->owner = place->owner;
    return true;
}

void output_break(struct output *output) {
    for (size_t i = 0; i < output->piece_count; i++)
        if (!output->pieces[i].connection->held)
            connection_set_state(output->pieces[i].connection, CONNECTION_BROKEN);
}

/* Queues, where it may; sends else. True: queued. */
static bool send_or_queue(struct output *output, const struct io_type *type, struct piece *pieces,
                          size_t count) {
    struct connection *connection = pieces->connection;
    if (type && connection_sends_freely(connection) &&
        !share_keeps_from_sending(connection->worker, pieces, count) &&
        type->send(connection, output->data, pieces, count))
        return true;
    connection_send(connection, output->data, pieces, count);
    return false;
}

/* type: NULL, or of one that queues. True: some is queued. */
static bool send_all(struct output *output, const struct io_type *type) {
    size_t i = 0;
    bool queued = false;
    close_piece(output);
    while (i < output->piece_count) {
        size_t first = i;
        const struct connection *connection = output->pieces[first].connection;
        while (i < output->piece_count && output->pieces[i].connection == connection)
            i++;
        queued |= send_or_queue(output, type, &output->pieces[first], i - first);
    }
    return queued;
}

void output_send(struct output *output) {
    send_all(output, NULL);
    output_clear(output);
}

void output_hand_over(struct output *output, const struct io_type *type) {
    if (!send_all(output, type->send ? type : NULL))
        output_clear(output);
}

void output_clear(struct output *output) {
    output->size = output->large_size = output->piece_count = 0;
    output->mark = SHARE_LOOK;
    if (output->capacity > OUTPUT_KEEP) {
        char *data = realloc(output->data, OUTPUT_FIRST);
        if (data) {
            output->data = data;
            output->capacity = OUTPUT_FIRST;
        }
    }
}
