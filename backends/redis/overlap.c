/* SPDX-License-Identifier: MIT */
/* Where two backends are one database of Redis, and where entries of two namespaces would have one name in it. */
#include "backends/redis/internal.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <strings.h>
#include <sys/stat.h>

/* ---- Databases ---- */

/* The host without the dot of a whole name. */
static size_t host_size(const char *host) {
    size_t size = strlen(host);
    return size > 1 && host[size - 1] == '.' ? size - 1 : size;
}

static bool is_host(const char *host, const char *name) {
    size_t size = host_size(host);
    return size == host_size(name) && strncasecmp(host, name, size) == 0;
}

/* 127.0.0.0/8; and 0.0.0.0, by which one reaches this machine as well. */
static bool is_loopback_v4(struct in_addr address) {
    uint32_t number = ntohl(address.s_addr);
    return number >> 24 == 127 || number == INADDR_ANY;
}

static bool is_loopback_v6(const struct in6_addr *address) {
    struct in_addr inner;
    memcpy(&inner, address->s6_addr + 12, sizeof inner);
    return IN6_IS_ADDR_LOOPBACK(address) || IN6_IS_ADDR_UNSPECIFIED(address) ||
           (IN6_IS_ADDR_V4MAPPED(address) && is_loopback_v4(inner));
}

static bool is_loopback(const char *host) {
    struct in_addr v4;
    struct in6_addr v6;
    if (is_host(host, "localhost"))
        return true;
    if (inet_aton(host, &v4) != 0)
        return is_loopback_v4(v4);
    return inet_pton(AF_INET6, host, &v6) == 1 && is_loopback_v6(&v6);
}

static bool is_one_file(const char *a, const char *b) {
    struct stat first, second;
    return strcmp(a, b) == 0 || (stat(a, &first) == 0 && stat(b, &second) == 0 &&
                                 first.st_dev == second.st_dev && first.st_ino == second.st_ino);
}

/* What other names stand for may change, and is not asked here. */
static enum backend_nearness host_nearness(const char *a, const char *b) {
    if (is_host(a, b) || (is_loopback(a) && is_loopback(b)))
        return BACKEND_SAME;
    return BACKEND_UNKNOWN;
}

static enum backend_nearness place_nearness(const struct redis_place *a, const struct redis_place *b) {
    return a->port == b->port ? host_nearness(a->host, b->host) : BACKEND_APART;
}

/* A name means something to the Sentinels that are asked: with one of them in common it is one master. Two names may
 * be of one Redis, and whoever names Sentinels does not say where the Redis is. */
static enum backend_nearness master_nearness(const struct redis_address *a, const struct redis_address *b) {
    if (strcmp(a->master, b->master) != 0)
        return BACKEND_UNKNOWN;
    for (size_t i = 0; i < a->sentinel_count; i++)
        for (size_t j = 0; j < b->sentinel_count; j++)
            if (place_nearness(&a->sentinels[i], &b->sentinels[j]) == BACKEND_SAME)
                return BACKEND_SAME;
    return BACKEND_UNKNOWN;
}

/* Other seeds may be of the same cluster. A Redis outside of one is another store. */
static enum backend_nearness cluster_nearness(const struct redis_address *a, const struct redis_address *b) {
    if (!a->seed_count || !b->seed_count)
        return BACKEND_APART;
    for (size_t i = 0; i < a->seed_count; i++)
        for (size_t j = 0; j < b->seed_count; j++)
            if (place_nearness(&a->seeds[i], &b->seeds[j]) == BACKEND_SAME)
                return BACKEND_SAME;
    return BACKEND_UNKNOWN;
}

enum backend_nearness redis_same_store(const struct backend_options *a, const struct backend_options *b) {
    struct redis_address first, second;
    const char *problem;
    if (!redis_address_parse(a->uri, &first, &problem) || !redis_address_parse(b->uri, &second, &problem) ||
        first.database != second.database)
        return BACKEND_APART;
    if (first.seed_count || second.seed_count)
        return cluster_nearness(&first, &second);
    if (first.sentinel_count || second.sentinel_count)
        return master_nearness(&first, &second);
    if (*first.path && *second.path)
        return is_one_file(first.path, second.path) ? BACKEND_SAME : BACKEND_APART;
    if (*first.path || *second.path) /* a socket file, and an address of perhaps the same server */
        return is_loopback(*first.path ? second.place.host : first.place.host) ? BACKEND_UNKNOWN
                                                                               : BACKEND_APART;
    return place_nearness(&first.place, &second.place);
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

/* Who may reach a Redis is a matter of its own configuration, which it does not show. */
bool redis_exposed(const struct backend_options *options, char *ret_text, size_t size) {
    (void)options, (void)ret_text, (void)size;
    return false;
}
