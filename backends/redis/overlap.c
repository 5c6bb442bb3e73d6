/* SPDX-License-Identifier: MIT */
/* Where two backends are one database of Redis, and where entries of two namespaces would have one name in it. */
#include "backends/redis/internal.h"
#include <strings.h>
#include <sys/stat.h>

/* ---- Databases ---- */

static bool is_loopback(const char *host) {
    return strcasecmp(host, "localhost") == 0 || strcmp(host, "127.0.0.1") == 0 || strcmp(host, "::1") == 0;
}

static bool is_one_file(const char *a, const char *b) {
    struct stat first, second;
    return strcmp(a, b) == 0 || (stat(a, &first) == 0 && stat(b, &second) == 0 &&
                                 first.st_dev == second.st_dev && first.st_ino == second.st_ino);
}

/* Names of other hosts are compared as they are written: what they stand for may change. */
static bool is_one_host(const char *a, const char *b) {
    return strcasecmp(a, b) == 0 || (is_loopback(a) && is_loopback(b));
}

enum backend_nearness redis_same_store(const struct backend_options *a, const struct backend_options *b) {
    struct redis_address first, second;
    const char *problem;
    if (!redis_address_parse(a->uri, &first, &problem) || !redis_address_parse(b->uri, &second, &problem) ||
        first.database != second.database)
        return BACKEND_APART;
    if (*first.path && *second.path)
        return is_one_file(first.path, second.path) ? BACKEND_SAME : BACKEND_APART;
    if (*first.path || *second.path) /* a socket file, and an address of perhaps the same server */
        return is_loopback(*first.path ? second.host : first.host) ? BACKEND_UNKNOWN : BACKEND_APART;
    return first.port == second.port && is_one_host(first.host, second.host) ? BACKEND_SAME : BACKEND_APART;
}

/* ---- Names ---- */

/* Prefix and prefix of the keys: how all names of a namespace begin. False: too long to be looked at. */
static bool start_of(const struct backend_table *table, char ret_start[1024], size_t *ret_prefix) {
    struct redis_table_options own;
    if (!backend_take_specific(&redis_backend, &redis_backend.table_options, table->specific, &own))
        return false;
    *ret_prefix = strlen(own.store_prefix);
    return snprintf(ret_start, 1024, "%s%s", own.store_prefix, table->key_prefix) < 1024;
}

/* Names are prefix and whole key. With equal prefixes, equal names are equal keys, and a key has one namespace. */
enum backend_nearness redis_overlap(const struct backend_table *a, const struct backend_table *b,
                                    struct backend_meeting *ret_meeting) {
    char first[1024], second[1024];
    size_t prefix, other_prefix;
    if (!start_of(a, first, &prefix) || !start_of(b, second, &other_prefix) ||
        (prefix == other_prefix && memcmp(first, second, prefix) == 0) ||
        strncmp(second, first, strlen(first)) != 0 || strlen(second + prefix) > ENTRY_KEY_MAX)
        return BACKEND_APART;
    snprintf(ret_meeting->start, sizeof ret_meeting->start, "%s", second + prefix);
    ret_meeting->complaint.setting = "key_prefix";
    snprintf(
        ret_meeting->complaint.message, sizeof ret_meeting->complaint.message,
        "keys \"%.120s...\" of namespace \"%s\" and keys \"%.120s...\" of namespace \"%s\" have the same names in Redis, \"%.120s...\": clients of one reach the entries of the other; change a key_prefix",
        ret_meeting->start, a->name, b->key_prefix, b->name, second);
    return BACKEND_SAME;
}

void redis_place(const struct backend_table *table, char *ret_text, size_t size) {
    struct redis_table_options own = {.layout = "hash", .store_prefix = ""};
    backend_take_specific(&redis_backend, &redis_backend.table_options, table->specific, &own);
    snprintf(ret_text, size, "layout %s, key_prefix \"%s\"", own.layout, own.store_prefix);
}
