/* SPDX-License-Identifier: MIT */
/* The bytes that one answer may take: what server/protocol/reply.h says, and less where the answer is known. */
#ifndef FOREBAY_TESTS_SUPPORT_REPLY_ROOM_H
#define FOREBAY_TESTS_SUPPORT_REPLY_ROOM_H

#include "server/protocol/reply.h"

static inline size_t reply_room(const struct request *request, const struct outcome *outcome) {
    if (request->command == COMMAND_BAD)
        return request->error ? strlen(request->error) + 2 : 0;
    if (request->command == COMMAND_META_NOOP)
        return REPLY_LINE_MAX;
    if (outcome->status == OUTCOME_ERROR)
        return strlen(outcome->error) + 2;
    bool copies = outcome->status == OUTCOME_HIT && !outcome->view.large;
    return REPLY_LINE_MAX + (copies ? outcome->view.value.size : 0);
}

/* The same of the binary protocol (server/protocol/binary.h), for a request with a key. */
static inline size_t reply_room_binary(const struct outcome *outcome) {
    bool copies = outcome->status == OUTCOME_HIT && !outcome->view.large;
    return REPLY_LINE_MAX + (copies ? outcome->view.value.size : 0);
}

#endif
