/* SPDX-License-Identifier: MIT */
/* The words that commands are made of, in the arena of the connection. */
#include "backends/redis/internal.h"
#include <stdlib.h>

uint64_t redis_number_in(const redisReply *reply) {
    uint64_t number = 0;
    if (reply->type != REDIS_REPLY_STRING)
        return 0;
    for (size_t i = 0; i < (size_t)reply->len; i++) {
        unsigned digit = (unsigned)((unsigned char)reply->str[i] - '0');
        if (digit > 9)
            return 0;
        number = number > (UINT64_MAX - digit) / 10 ? UINT64_MAX : number * 10 + digit;
    }
    return number;
}

struct slice redis_number(struct redis_connection *connection, uint64_t number) {
    enum { DIGITS = 20 };
    char *end = arena_take(&connection->words, DIGITS);
    size_t size = 0;
    if (!end)
        return slice_of(NULL, 0);
    end += DIGITS;
    do {
        *--end = (char)('0' + number % 10);
        number /= 10;
        size++;
    } while (number);
    return slice_of(end, size);
}

static struct slice join(struct redis_connection *connection, struct slice a, struct slice b,
                         struct slice c) {
    char *whole = arena_take(&connection->words, a.size + b.size + c.size + 1);
    if (!whole)
        return slice_of(NULL, 0);
    memcpy(whole, a.data, a.size);
    memcpy(whole + a.size, b.data, b.size);
    memcpy(whole + a.size + b.size, c.data, c.size);
    return slice_of(whole, a.size + b.size + c.size);
}

struct slice redis_key(struct redis_connection *connection, const struct redis_table *table,
                       struct slice key) {
    return table->store_prefix.size ? join(connection, table->store_prefix, key, SLICE("")) : key;
}

struct slice redis_companion(struct redis_connection *connection, const struct redis_table *table,
                             struct slice key) {
    return join(connection, SLICE("forebay:beside:"), table->store_prefix, key);
}
