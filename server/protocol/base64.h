/* SPDX-License-Identifier: MIT */
/* Base64 (RFC 4648, with padding) for the keys of meta commands with the flag b. */
#ifndef FOREBAY_SERVER_PROTOCOL_BASE64_H
#define FOREBAY_SERVER_PROTOCOL_BASE64_H

#include "cache/base/slice.h"

/* Bytes that encoding size bytes makes. */
#define BASE64_SIZE(size) (((size) + 2) / 3 * 4)

/* Decodes into out, which has room for encoded.size / 4 * 3 bytes; characters outside the alphabet are passed
 * over, as memcached does. Returns the bytes written, 0 when the text is not whole groups of four. */
size_t base64_decode(struct slice encoded, char *out);

/* Encodes and returns the end of what was written. */
char *base64_encode(struct slice raw, char *out);

#endif
