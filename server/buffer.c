/* SPDX-License-Identifier: MIT */
/* Growth is by doubling; once an allocation has failed everything later is dropped, so that a text never has
 * holes. */
#include "server/buffer.h"
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUFFER_FIRST = 256, BUFFER_LINE = 128 };

static bool grow(struct buffer *buffer, size_t need) {
    size_t capacity = buffer->capacity ? buffer->capacity : BUFFER_FIRST;
    if (need > PTRDIFF_MAX / 2)
        return false; /* nor could it be allocated */
    while (capacity < need)
        capacity *= 2;
    char *data = realloc(buffer->data, capacity);
    if (!data)
        return false;
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

char *buffer_reserve(struct buffer *buffer, size_t more) {
    if (buffer->failed)
        return NULL;
    if (more > buffer->capacity - buffer->size || !buffer->data) {
        if (more > SIZE_MAX - buffer->size || !grow(buffer, buffer->size + more)) {
            buffer->failed = true;
            return NULL;
        }
    }
    return buffer->data + buffer->size;
}

void buffer_append(struct buffer *buffer, const char *data, size_t size) {
    char *out = buffer_reserve(buffer, size);
    if (!out || size == 0)
        return;
    memcpy(out, data, size);
    buffer->size += size;
}

void buffer_append_text(struct buffer *buffer, const char *text) {
    buffer_append(buffer, text, strlen(text));
}

/* Most lines fit into the room that is tried first. */
void buffer_print(struct buffer *buffer, const char *format, ...) {
    size_t room = BUFFER_LINE;
    char *out = buffer_reserve(buffer, room);
    va_list arguments;
    va_start(arguments, format);
    int length = out ? vsnprintf(out, room, format, arguments) : -1;
    va_end(arguments);
    if (length >= 0 && (size_t)length >= room && (out = buffer_reserve(buffer, (size_t)length + 1))) {
        va_start(arguments, format);
        vsnprintf(out, (size_t)length + 1, format, arguments);
        va_end(arguments);
    }
    if (length < 0 || !out)
        buffer->failed = true;
    else
        buffer->size += (size_t)length;
}

void buffer_free(struct buffer *buffer) {
    free(buffer->data);
    *buffer = (struct buffer){0};
}
