/* SPDX-License-Identifier: MIT */
/* See slots.h. */
#include "backends/redis/slots.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Names ---- */

uint16_t redis_crc16(struct slice bytes) {
    /* What four bits, shifted out at the top, do to the rest. */
    static const uint16_t nibbles[16] = {0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
                                         0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef};
    unsigned crc = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        unsigned byte = (unsigned char)bytes.data[i];
        crc = (crc << 4 ^ nibbles[(crc >> 12 ^ byte >> 4) & 15]) & 0xffff;
        crc = (crc << 4 ^ nibbles[(crc >> 12 ^ byte) & 15]) & 0xffff;
    }
    return (uint16_t)crc;
}

unsigned redis_slot_of(struct slice name) {
    const char *open = name.size ? memchr(name.data, '{', name.size) : NULL;
    size_t left = open ? (size_t)(name.data + name.size - open) - 1 : 0;
    const char *close = left ? memchr(open + 1, '}', left) : NULL;
    if (close && close > open + 1)
        name = slice_of(open + 1, (size_t)(close - open) - 1);
    return redis_crc16(name) % REDIS_SLOTS;
}

/* A CRC is linear: of names that differ from "@@@@" in some of the low bits of their letters, the CRCs differ from its
 * own by a sum of what each bit does. So there are letters for each bit of a slot, and a tag is their sum. */
void redis_slot_tag(unsigned slot, char ret_tag[REDIS_TAG_SIZE]) {
    static const uint16_t letters_of_bit[14] = {0x1afa, 0x06ed, 0x277b, 0x110c, 0x2a91, 0x39c0, 0x1f63,
                                                0x277f, 0x1104, 0x2208, 0x1bea, 0x04cd, 0x233b, 0x198c};
    static const unsigned slot_of_none = 0x3639; /* of "@@@@" */
    unsigned letters = 0;
    assert(slot < REDIS_SLOTS);
    for (unsigned bit = 0; bit < 14; bit++)
        if ((slot ^ slot_of_none) >> bit & 1)
            letters ^= letters_of_bit[bit];
    for (unsigned i = 0; i < REDIS_TAG_SIZE; i++)
        ret_tag[i] = (char)('@' | (letters >> (12 - 4 * i) & 15));
}

/* ---- What nodes say ---- */

/* Those of names and addresses: what is shown, or is a label, is not torn by them. */
static bool is_fit(const char *host, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (host[i] <= ' ' || host[i] >= 0x7f || host[i] == '"' || host[i] == '\\')
            return false;
    return true;
}

/* A node that does not know its own address is where it was asked. */
static bool take_host(const char *host, size_t size, const struct redis_place *asked,
                      struct redis_place *place) {
    if (size == 0) {
        memcpy(place->host, asked->host, sizeof place->host);
        return true;
    }
    if (size >= sizeof place->host || !is_fit(host, size) || (size == 1 && *host == '?'))
        return false;
    memcpy(place->host, host, size);
    place->host[size] = '\0';
    return true;
}

static bool is_port(long long port) {
    return port > 0 && port <= UINT16_MAX;
}

/* Where names are preferred, a node that has none is "?", and its address stands among the rest. NULL: it does not. */
static const redisReply *address_beside(const redisReply *node) {
    const redisReply *rest = node->elements > 3 ? node->element[3] : NULL;
    for (size_t i = 0; rest && rest->type == REDIS_REPLY_ARRAY && i + 1 < rest->elements; i += 2)
        if (rest->element[i]->type == REDIS_REPLY_STRING && strcmp(rest->element[i]->str, "ip") == 0 &&
            rest->element[i + 1]->type == REDIS_REPLY_STRING)
            return rest->element[i + 1];
    return NULL;
}

/* Host, port, id, and more. */
static bool take_node(const redisReply *node, const struct redis_place *asked,
                      struct redis_place *ret_place) {
    if (node->type != REDIS_REPLY_ARRAY || node->elements < 3 ||
        node->element[1]->type != REDIS_REPLY_INTEGER || !is_port(node->element[1]->integer))
        return false;
    const redisReply *host = node->element[0];
    if (host->type != REDIS_REPLY_STRING && host->type != REDIS_REPLY_NIL)
        return false;
    if (host->type == REDIS_REPLY_STRING && strcmp(host->str, "?") == 0 && address_beside(node))
        host = address_beside(node);
    ret_place->port = (int)node->element[1]->integer;
    return take_host(host->str, host->type == REDIS_REPLY_NIL ? 0 : (size_t)host->len, asked, ret_place);
}

static size_t find_master(struct redis_slot_map *map, const struct redis_place *place) {
    size_t index = 0;
    while (index < map->master_count && !redis_is_one_place(&map->masters[index], place))
        index++;
    if (index == map->master_count && index < REDIS_MASTERS_MAX)
        map->masters[map->master_count++] = *place;
    return index;
}

/* First slot, last slot, master, replicas. */
static bool is_range(const redisReply *range) {
    return range->type == REDIS_REPLY_ARRAY && range->elements >= 3 &&
           range->element[0]->type == REDIS_REPLY_INTEGER && range->element[1]->type == REDIS_REPLY_INTEGER &&
           range->element[0]->integer >= 0 && range->element[0]->integer <= range->element[1]->integer &&
           range->element[1]->integer < REDIS_SLOTS;
}

bool redis_slots_read(const redisReply *reply, const struct redis_place *asked,
                      struct redis_slot_map *ret_map) {
    if (reply->type != REDIS_REPLY_ARRAY)
        return false;
    memset(ret_map->owner, REDIS_NOBODY, sizeof ret_map->owner);
    ret_map->master_count = 0;
    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *range = reply->element[i];
        struct redis_place place;
        if (!is_range(range))
            return false;
        if (!take_node(range->element[2], asked, &place))
            continue; /* where that node is, is not known yet */
        size_t master = find_master(ret_map, &place);
        if (master == REDIS_MASTERS_MAX)
            return false;
        for (long long slot = range->element[0]->integer; slot <= range->element[1]->integer; slot++)
            ret_map->owner[slot] = (uint8_t)master;
    }
    return true;
}

/* ---- CLUSTER SHARDS ---- */

/* In a list of names and values in turn. NULL: there is none of this type. */
static const redisReply *value_of(const redisReply *list, const char *name, int type) {
    for (size_t i = 0; list->type == REDIS_REPLY_ARRAY && i + 1 < list->elements; i += 2)
        if (list->element[i]->type == REDIS_REPLY_STRING && strcmp(list->element[i]->str, name) == 0)
            return list->element[i + 1]->type == type ? list->element[i + 1] : NULL;
    return NULL;
}

static bool says(const redisReply *node, const char *name, const char *word) {
    const redisReply *value = value_of(node, name, REDIS_REPLY_STRING);
    return value && strcmp(value->str, word) == 0;
}

static bool is_living_master(const redisReply *node) {
    return says(node, "role", "master") && !says(node, "health", "fail");
}

/* First slot, last slot, and so on. */
static bool take_owner(const redisReply *slots, size_t owner, struct redis_known *known) {
    for (size_t i = 0; i + 1 < slots->elements; i += 2) {
        const redisReply *first = slots->element[i], *last = slots->element[i + 1];
        if (first->type != REDIS_REPLY_INTEGER || last->type != REDIS_REPLY_INTEGER || first->integer < 0 ||
            last->integer >= REDIS_SLOTS || owner == known->count)
            return false;
        for (long long slot = first->integer; slot <= last->integer; slot++)
            known->owner[slot] = (uint8_t)owner;
    }
    return slots->elements % 2 == 0;
}

static bool add_known(const redisReply *node, const struct redis_place *asked, struct redis_known *known) {
    const redisReply *port = value_of(node, "port", REDIS_REPLY_INTEGER),
                     *host = value_of(node, "endpoint", REDIS_REPLY_STRING);
    if (!port || !is_port(port->integer) || known->count == REDIS_MASTERS_MAX)
        return false;
    struct redis_place *place = &known->masters[known->count++];
    place->port = (int)port->integer;
    return take_host(host ? host->str : NULL, host ? (size_t)host->len : 0, asked, place);
}

/* A master that is dead for all counts only if its slots are nobody else's. */
static bool take_shard(const redisReply *shard, const struct redis_place *asked, struct redis_known *known) {
    const redisReply *slots = value_of(shard, "slots", REDIS_REPLY_ARRAY),
                     *nodes = value_of(shard, "nodes", REDIS_REPLY_ARRAY);
    size_t owner = known->count;
    if (!slots || !nodes)
        return false;
    bool lives = slots->elements == 0, good = true;
    for (size_t i = 0; i < nodes->elements; i++)
        lives |= is_living_master(nodes->element[i]);
    for (size_t i = 0; i < nodes->elements && good; i++)
        if (is_living_master(nodes->element[i]) || (!lives && says(nodes->element[i], "role", "master")))
            good = add_known(nodes->element[i], asked, known);
    return good && take_owner(slots, owner, known);
}

bool redis_shards_read(const redisReply *reply, const struct redis_place *asked,
                       struct redis_known *ret_known) {
    bool good = reply->type == REDIS_REPLY_ARRAY;
    memset(ret_known->owner, REDIS_NOBODY, sizeof ret_known->owner);
    ret_known->count = 0;
    for (size_t i = 0; good && i < reply->elements; i++)
        good = take_shard(reply->element[i], asked, ret_known);
    return good;
}

/* ---- INFO commandstats ---- */

/* The calls of a command, which is named as there. */
static uint64_t calls_of(const char *stats, const char *command) {
    char start[64];
    int size = snprintf(start, sizeof start, "\ncmdstat_%s:calls=", command);
    const char *found = strstr(stats, start);
    return found ? strtoull(found + size, NULL, 10) : 0;
}

bool redis_assignments_read(const redisReply *reply, uint64_t *ret_assigned) {
    static const char *const commands[] = {"cluster|addslots", "cluster|addslotsrange", "cluster|delslots",
                                           "cluster|delslotsrange", "cluster|flushslots"};
    if (reply->type != REDIS_REPLY_STRING || strncmp(reply->str, "# Commandstats", 14) != 0)
        return false;
    *ret_assigned = 0;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        *ret_assigned += calls_of(reply->str, commands[i]);
    return true;
}

/* ---- Comparing maps, and redirections ---- */

bool redis_slots_equal(const struct redis_slot_map *a, const struct redis_slot_map *b) {
    bool equal = true;
    for (size_t slot = 0; slot < REDIS_SLOTS && equal; slot++) {
        unsigned first = a->owner[slot], second = b->owner[slot];
        equal = first == REDIS_NOBODY || second == REDIS_NOBODY
                    ? first == second
                    : redis_is_one_place(&a->masters[first], &b->masters[second]);
    }
    return equal;
}

/* The id of a node of a range; NULL: none. */
static const redisReply *id_of(const redisReply *range, size_t node) {
    const redisReply *at = range->element[node];
    bool has_id =
        at->type == REDIS_REPLY_ARRAY && at->elements >= 3 && at->element[2]->type == REDIS_REPLY_STRING;
    return has_id ? at->element[2] : NULL;
}

static bool names_id(const redisReply *reply, const redisReply *id) {
    for (size_t i = 0; i < reply->elements; i++)
        for (size_t node = 2; node < reply->element[i]->elements; node++) {
            const redisReply *other = id_of(reply->element[i], node);
            if (other && other->len == id->len && memcmp(other->str, id->str, (size_t)id->len) == 0)
                return true;
        }
    return false;
}

bool redis_slots_share_node(const redisReply *a, const redisReply *b) {
    for (size_t i = 0; i < a->elements; i++)
        for (size_t node = 2; node < a->element[i]->elements; node++) {
            const redisReply *id = id_of(a->element[i], node);
            if (id && names_id(b, id))
                return true;
        }
    return false;
}

/* A number at the start of text, and what is behind it. */
static bool take_number(struct slice *text, unsigned limit, unsigned *ret_number) {
    unsigned number = 0;
    size_t digits = 0;
    while (digits < text->size && text->data[digits] >= '0' && text->data[digits] <= '9' && number <= limit)
        number = number * 10 + (unsigned)(text->data[digits++] - '0');
    *text = slice_of(text->data + digits, text->size - digits);
    *ret_number = number;
    return digits > 0 && number <= limit;
}

bool redis_redirection_read(struct slice error, const struct redis_place *asked, unsigned *ret_slot,
                            struct redis_place *ret_place) {
    const struct slice words[] = {SLICE("MOVED "), SLICE("ASK ")};
    unsigned port;
    bool redirects = false;
    for (size_t i = 0; i < 2 && !redirects; i++)
        if ((redirects = slice_starts_with(error, words[i])))
            error = slice_of(error.data + words[i].size, error.size - words[i].size);
    if (!redirects || !take_number(&error, REDIS_SLOTS - 1, ret_slot) || error.size == 0 ||
        *error.data != ' ')
        return false;
    size_t colon = error.size; /* the last one: an IPv6 address has others */
    while (colon > 0 && error.data[colon - 1] != ':')
        colon--;
    struct slice rest = slice_of(error.data + colon, error.size - colon);
    if (colon < 2 || !take_number(&rest, UINT16_MAX, &port) || rest.size > 0 || port == 0)
        return false;
    ret_place->port = (int)port;
    return take_host(error.data + 1, colon - 2, asked, ret_place);
}
