/* SPDX-License-Identifier: MIT */
#include "server/worker/protocol.h"
#include "server/config/settings.h"
#include "server/worker/connection.h"
#include "server/worker/internal.h"

enum { TLS_RECORD = 0x16, TLS_MAJOR = 3 }; /* how a client of TLS begins, and no other */

static void tell_end(const struct connection *connection, const char *why, const char *remedy) {
    connection_tell_end(connection, LOG_KIND_PROTOCOL, LOG_LEVEL_WARNING, "%s; %s", why, remedy);
}

/* It would wait for ever for an answer that it understands. */
static bool refuses_tls(struct connection *connection) {
    const uint8_t *at = (const uint8_t *)connection->region + connection->region_at;
    size_t there = connection->region_size - connection->region_at;
    if (connection->tls || there < 2 || at[0] != TLS_RECORD || at[1] != TLS_MAJOR)
        return false;
    tell_end(connection, "it speaks TLS, and this address does not",
             "switch TLS off in the client, or give it an address with tls: (listen, -l)");
    connection_set_state(connection, CONNECTION_CLOSING);
    return true;
}

void protocol_choose(struct worker *worker, struct connection *connection) {
    if (refuses_tls(connection))
        return;
    enum protocols protocols = worker->server->settings->protocols;
    bool is_binary = (uint8_t)connection->region[connection->region_at] == BINARY_REQUEST;
    connection->protocol = is_binary || protocols == PROTOCOLS_BINARY ? PROTOCOL_BINARY : PROTOCOL_TEXT;
    if (is_binary && protocols == PROTOCOLS_ASCII)
        tell_end(connection, "it speaks memcached's binary protocol, which -B ascii refuses",
                 "set the client to the text (ASCII) protocol, or leave -B out");
    if (!is_binary && protocols == PROTOCOLS_BINARY)
        tell_end(connection, "it speaks memcached's text protocol, which -B binary or -S refuses",
                 "set the client to the binary protocol, or leave them out");
}

/* A client is told of it as soon as it has said which answer it waits for. */
static enum parse_status refuse_binary(struct slot *slot, size_t there, enum parse_status status,
                                       size_t *ret_consumed) {
    if (status == PARSE_MORE && there < BINARY_HEADER)
        return PARSE_MORE;
    request_begin(&slot->request, COMMAND_BAD);
    slot->request.error = "this server speaks memcached's text protocol alone: set the client to it";
    slot->head.status = BINARY_NOT_SUPPORTED;
    slot->head.closes = true;
    *ret_consumed = there;
    return PARSE_OK;
}

enum parse_status protocol_parse_binary(struct worker *worker, struct connection *connection,
                                        const char *start, size_t there, size_t *ret_consumed,
                                        size_t *ret_wanted) {
    struct slot *slot = &worker->slots[worker->slot_count];
    enum parse_status status =
        binary_parse(&connection->parser, start, there, worker->key_buffers[worker->slot_count],
                     &slot->request, &slot->head, ret_consumed, ret_wanted);
    if (worker->server->settings->protocols == PROTOCOLS_ASCII)
        return refuse_binary(slot, there, status, ret_consumed);
    return status;
}
