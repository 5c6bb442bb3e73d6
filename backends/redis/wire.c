/* SPDX-License-Identifier: MIT */
/*
 * Bytes out and in where hiredis would not survive that there is no memory, or would lose some.
 *
 * Once all is sent, redisBufferWrite makes a new buffer for what is said next, and looks into it without asking whether
 * it got one; so does redisReaderFeed where the last answers were long. Both are left nothing to make here: what is to
 * be sent has gone before they are called, and a buffer that cannot be replaced is used again. redisAppendCommandArgv
 * forgets a command that it gets no memory for; here, commands are written where they are sent from.
 */
#include "backends/redis/internal.h"
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

/* Emptied; a large one is given back, where another can be had. */
static void empty(char **buffer) {
    sds fresh = sdsavail(*buffer) + sdslen(*buffer) > REDIS_READER_MAX_BUF ? sdsempty() : NULL;
    if (!fresh) {
        sdsclear(*buffer);
        return;
    }
    sdsfree(*buffer);
    *buffer = fresh;
}

enum { HEAD_MAX = 24 }; /* a letter, a number and the end of a line */

static char *put(char *at, const char *data, size_t size) {
    memcpy(at, data, size);
    return at + size;
}

/* A number of words, or of bytes, before what it counts. */
static char *put_head(char *at, char letter, size_t number) {
    char digits[HEAD_MAX], *first = digits + sizeof digits;
    do
        *--first = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    *at++ = letter;
    return put(put(at, first, (size_t)(digits + sizeof digits - first)), "\r\n", 2);
}

int redis_put_command(redisContext *context, size_t count, const char **words, const size_t *sizes) {
    size_t most = HEAD_MAX;
    for (size_t i = 0; i < count; i++)
        most += HEAD_MAX + sizes[i] + 2;
    sds buffer = sdsMakeRoomFor(context->obuf, most);
    if (!buffer)
        return REDIS_ERR;
    context->obuf = buffer;
    char *end = put_head(buffer + sdslen(buffer), '*', count);
    for (size_t i = 0; i < count; i++) {
        end = put_head(end, '$', sizes[i]);
        end = put(end, words[i], sizes[i]);
        end = put(end, "\r\n", 2);
    }
    sdsIncrLen(buffer, (int)(end - (buffer + sdslen(buffer))));
    return REDIS_OK;
}

int redis_write_out(redisContext *context) {
    size_t sent = 0, size = sdslen(context->obuf);
    while (!context->err && sent < size) {
        ssize_t count = send(context->fd, context->obuf + sent, size - sent, MSG_NOSIGNAL);
        if (count >= 0) {
            sent += (size_t)count;
        } else if (errno != EINTR) {
            context->err = REDIS_ERR_IO;
            snprintf(context->errstr, sizeof context->errstr, "%s", strerror(errno));
        }
    }
    if (context->err)
        return REDIS_ERR;
    if (size > 0)
        empty(&context->obuf);
    return REDIS_OK;
}

/* hiredis makes the whole array that an answer announces, of up to 2^31 values, before the first of them has come. */
static redisReplyObjectFunctions bounded;
static void *(*make_array)(const redisReadTask *task, int elements);

static void *make_bounded_array(const redisReadTask *task, int elements) {
    return elements > REDIS_ARRAY_MAX ? NULL : make_array(task, elements);
}

void redis_bound_arrays(redisReader *reader) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    if (reader->fn == &bounded)
        return;
    pthread_mutex_lock(&lock);
    if (!make_array) {
        make_array = reader->fn->createArray;
        bounded = *reader->fn;
        bounded.createArray = make_bounded_array;
    }
    reader->fn = &bounded;
    pthread_mutex_unlock(&lock);
}

static void prepare_reader(redisReader *reader) {
    redis_bound_arrays(reader);
    reader->maxbuf = 0; /* what it would do is done here */
    if (reader->buf && reader->len == 0)
        empty(&reader->buf);
}

int redis_read_in(redisContext *context) {
    prepare_reader(context->reader);
    return redisBufferRead(context);
}

int redis_get_reply(redisContext *context, void **ret_reply) {
    if (redis_write_out(context) != REDIS_OK)
        return REDIS_ERR;
    prepare_reader(context->reader);
    return redisGetReply(context, ret_reply);
}

redisReply *redis_command(redisContext *context, size_t count, const char **words, const size_t *sizes) {
    void *reply = NULL;
    if (redis_put_command(context, count, words, sizes) != REDIS_OK ||
        redis_get_reply(context, &reply) != REDIS_OK)
        return NULL;
    return reply;
}
