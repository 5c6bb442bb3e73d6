/* SPDX-License-Identifier: MIT */
/*
 * Bytes out and in where hiredis would not survive that there is no memory.
 *
 * Once all is sent, redisBufferWrite makes a new buffer for what is said next, and looks into it without asking whether it
 * got one; so does redisReaderFeed where the last answers were long. Both are left nothing to make here: what is to be
 * sent has gone before they are called, and a buffer that cannot be replaced is used again.
 */
#include "backends/redis/internal.h"
#include <errno.h>
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

static void prepare_reader(redisReader *reader) {
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

redisReply *redis_command(redisContext *context, int count, const char **words, const size_t *sizes) {
    void *reply = NULL;
    if (redisAppendCommandArgv(context, count, words, sizes) != REDIS_OK ||
        redis_get_reply(context, &reply) != REDIS_OK)
        return NULL;
    return reply;
}
