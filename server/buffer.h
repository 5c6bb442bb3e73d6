/* SPDX-License-Identifier: MIT */
/* A growing run of bytes. An allocation that fails sets failed and drops what does not fit; nothing aborts.
 */
#ifndef FOREBAY_SERVER_BUFFER_H
#define FOREBAY_SERVER_BUFFER_H

#include "cache/base/slice.h"

struct buffer {
    char *data;
    size_t size, capacity; /* bytes */
    bool failed;
};

/* Room for at least `more` bytes behind size. NULL: no memory. */
char *buffer_reserve(struct buffer *buffer, size_t more);
void buffer_append(struct buffer *buffer, const char *data, size_t size);
void buffer_append_text(struct buffer *buffer, const char *text);
void buffer_print(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buffer_free(struct buffer *buffer);

#endif
