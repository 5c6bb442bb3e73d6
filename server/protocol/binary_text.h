/* SPDX-License-Identifier: MIT */
/*
 * Commands without a key have one answer, in the words of the text protocol: here it becomes the packets that tell a
 * binary client the same. Pure, but for the buffer.
 */
#ifndef FOREBAY_SERVER_PROTOCOL_BINARY_TEXT_H
#define FOREBAY_SERVER_PROTOCOL_BINARY_TEXT_H

#include "server/buffer.h"
#include "server/protocol/binary.h"

/* Appends the packets that say what `text`, the whole answer to the request, says. Statistics: one for each line and an
 * empty one behind them. Otherwise one, or none where a quiet request succeeded. */
void binary_text(struct buffer *out, const struct binary_head *head, const struct request *request,
                 struct slice text);

#endif
