/* SPDX-License-Identifier: MIT */
/* The words that commands are made of, in the arena of the connection. */
#include "backends/redis/internal.h"
#include "backends/redis/slots.h"

/* ---- Numbers ---- */

/* Digits alone, and no more of them than 64 bits hold. */
static bool read_number(struct slice text, uint64_t *ret_number) {
    uint64_t number = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' ||
            __builtin_mul_overflow(number, (uint64_t)10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(text.data[i] - '0'), &number))
            return false;
    }
    *ret_number = number;
    return text.size > 0;
}

uint64_t redis_number_in(const redisReply *reply, uint64_t highest) {
    uint64_t number;
    bool good = reply->type == REDIS_REPLY_STRING &&
                read_number(slice_of(reply->str, (size_t)reply->len), &number) && number <= highest;
    return good ? number : 0;
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

/* ---- Names ---- */

static const char high_key[] = REDIS_HIGH_KEY, companions[] = REDIS_OWN "beside:", moved[] = REDIS_OWN " ";

/* By what Forebay keeps for itself. */
static bool is_name_taken(struct slice name) {
    return slice_starts_with(name, SLICE(REDIS_OWN)) &&
           (slice_equal(name, SLICE(high_key)) || slice_starts_with(name, SLICE(companions)) ||
            slice_starts_with(name, SLICE(moved)));
}

struct slice redis_whole(struct redis_connection *connection, struct slice prefix, struct slice key) {
    return prefix.size ? join(connection, prefix, key, SLICE("")) : key;
}

/* Whether the name of a key is taken, without putting it together where that is plain. */
static bool is_taken(struct redis_connection *connection, struct slice prefix, struct slice key) {
    size_t size = prefix.size < sizeof REDIS_OWN - 1 ? prefix.size : sizeof REDIS_OWN - 1;
    if (size == 0)
        return is_name_taken(key);
    if (memcmp(prefix.data, REDIS_OWN, size) != 0)
        return false;
    struct slice name = redis_whole(connection, prefix, key);
    return name.data && is_name_taken(name);
}

struct slice redis_key(struct redis_connection *connection, const struct redis_table *table,
                       struct slice key) {
    struct slice prefix = table->store_prefix;
    if (is_taken(connection, prefix, key))
        return join(connection, SLICE(moved), prefix, key);
    return redis_whole(connection, prefix, key);
}

struct slice redis_companion(struct redis_connection *connection, const struct redis_table *table,
                             struct slice key) {
    struct slice name = redis_key(connection, table, key);
    if (!name.data || !connection->cluster)
        return name.data ? join(connection, SLICE(companions), name, SLICE("")) : name;
    struct slice start = redis_tagged(connection, companions, redis_slot_of(name));
    return start.data ? join(connection, start, name, SLICE("")) : start;
}

struct slice redis_tagged(struct redis_connection *connection, const char *start, unsigned slot) {
    char tag[REDIS_TAG_SIZE + 2] = "{";
    redis_slot_tag(slot, tag + 1);
    tag[REDIS_TAG_SIZE + 1] = '}';
    return join(connection, slice_string(start), slice_of(tag, sizeof tag), SLICE(""));
}

bool redis_entry_named(struct slice name, struct slice *ret_whole) {
    bool taken = is_name_taken(name);
    struct slice whole = name;
    if (taken && slice_starts_with(name, SLICE(moved)))
        whole = slice_of(name.data + sizeof moved - 1, name.size - (sizeof moved - 1));
    if (taken && (whole.size == name.size || !is_name_taken(whole)))
        return false;
    *ret_whole = whole;
    return true;
}
