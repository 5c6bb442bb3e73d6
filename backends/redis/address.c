/* SPDX-License-Identifier: MIT */
/* See address.h. */
#include "backends/redis/address.h"
#include <stdio.h>
#include <string.h>

enum { PORT_DEFAULT = 6379, SENTINEL_PORT = 26379, PORT_MAX = 65535, DATABASE_MAX = 65535 };

#define SLASH_BEFORE_AT "there is a / before an @: in user and password a / is written %2F"

static int hex_digit(char digit) {
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

enum decoded { DECODED, DECODED_TOO_LONG, DECODED_BAD_ESCAPE };

/* Copies and decodes bytes up to end. A zero byte is a bad escape as well. */
static enum decoded copy_decoded(const char *from, const char *end, char *to, size_t room) {
    size_t used = 0;
    for (; from < end; from++) {
        char byte = *from;
        if (byte == '%') {
            int high = end - from > 2 ? hex_digit(from[1]) : -1;
            int low = high >= 0 ? hex_digit(from[2]) : -1;
            if (low < 0 || (high == 0 && low == 0))
                return DECODED_BAD_ESCAPE;
            byte = (char)(high << 4 | low);
            from += 2;
        }
        if (used + 1 >= room)
            return DECODED_TOO_LONG;
        to[used++] = byte;
    }
    to[used] = '\0';
    return DECODED;
}

/* A whole number up to limit that ends where end says. */
static bool read_number(const char *from, const char *end, unsigned limit, unsigned *ret_number) {
    unsigned number = 0;
    if (from == end)
        return false;
    for (; from < end; from++) {
        if (*from < '0' || *from > '9')
            return false;
        number = number * 10 + (unsigned)(*from - '0');
        if (number > limit)
            return false;
    }
    *ret_number = number;
    return true;
}

/* user:password, :password. Nothing else is before an '@'. */
static const char *parse_login(const char *from, const char *end, struct redis_address *address) {
    const char *colon = memchr(from, ':', (size_t)(end - from));
    if (!colon)
        return "before the @ there should be user:password or :password";
    enum decoded user = copy_decoded(from, colon, address->user, sizeof address->user);
    enum decoded password = copy_decoded(colon + 1, end, address->password, sizeof address->password);
    if (user == DECODED_BAD_ESCAPE || password == DECODED_BAD_ESCAPE)
        return "in user or password a % is not followed by two hexadecimal digits (not 00): write %25 for a %";
    if (user == DECODED_TOO_LONG || password == DECODED_TOO_LONG)
        return "the user is longer than 127 bytes or the password longer than 255";
    return NULL;
}

/* Those of names and addresses, be they of a language with other letters. What begins a query, a fragment or
 * another path in URIs of other kinds is none of them: it would be taken for a part of the name. */
static bool is_host_byte(char byte) {
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte & 0x80) || (byte && strchr(".-_:%", byte));
}

static const char *check_host(const char *host) {
    for (; *host; host++)
        if (!is_host_byte(*host))
            return "the host has a character that no host has: after it come only :port and /database";
    return NULL;
}

static const char *parse_port(const char *from, const char *end, struct redis_place *place) {
    unsigned port;
    if (from == end)
        return NULL;
    if (*from != ':' || !read_number(from + 1, end, PORT_MAX, &port) || port == 0)
        return "the port should be a number from 1 to 65535, and an IPv6 address be in [ ]";
    place->port = (int)port;
    return NULL;
}

static const char *parse_place(const char *from, const char *end, struct redis_place *place) {
    bool bracketed = from < end && *from == '[';
    const char *host = bracketed ? from + 1 : from;
    const char *host_end = host < end ? memchr(host, bracketed ? ']' : ':', (size_t)(end - host)) : NULL;
    if (bracketed && !host_end)
        return "the bracket of the host is not closed";
    if (!host_end)
        host_end = end;
    const char *rest = bracketed ? host_end + 1 : host_end;
    if (host == host_end)
        return "the host is missing";
    if (copy_decoded(host, host_end, place->host, sizeof place->host) != DECODED)
        return "the host is longer than 255 bytes or badly encoded";
    const char *problem = check_host(place->host);
    return problem ? problem : parse_port(rest, end, place);
}

static const char *parse_tcp(const char *from, struct redis_address *address) {
    const char *slash = strchr(from, '/');
    const char *end = slash ? slash : from + strlen(from);
    /* What is after the host would be taken for it, and the beginning of the password for the host. */
    if (slash && strchr(slash, '@'))
        return SLASH_BEFORE_AT;
    const char *problem = parse_place(from, end, &address->place);
    if (problem)
        return problem;
    if (slash && slash[1] != '\0' &&
        !read_number(slash + 1, slash + strlen(slash), DATABASE_MAX, &address->database))
        return "the database after the host should be a number";
    char place[REDIS_PLACE_SHOWN];
    redis_place_show(&address->place, place);
    snprintf(address->shown, sizeof address->shown, "%s/%u", place, address->database);
    return NULL;
}

/* ?db=NUMBER, or nothing. */
static bool parse_query(const char *from, struct redis_address *address) {
    static const char query[] = "?db=";
    return !*from ||
           (strncmp(from, query, sizeof query - 1) == 0 &&
            read_number(from + sizeof query - 1, from + strlen(from), DATABASE_MAX, &address->database));
}

/* ---- Sentinels ---- */

/* Those of names in Sentinel's own configuration. */
static bool is_master_byte(char byte) {
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte && strchr(".-_", byte));
}

static const char *parse_master(const char *from, struct redis_address *address) {
    size_t size = 0;
    while (is_master_byte(from[size]))
        size++;
    if (size == 0)
        return "after the Sentinels comes the name of the master, as in /mymaster";
    if (size >= sizeof address->master)
        return "the name of the master is longer than 127 bytes";
    if (from[size] && from[size] != '?')
        return "the name of the master has letters, digits, '.', '-' and '_' only";
    memcpy(address->master, from, size);
    return parse_query(from + size, address) ? NULL : "after the name of the master only ?db=NUMBER is known";
}

/* *count: of the places so far, at most `most`. */
static const char *parse_places(const char *from, const char *end, int port, struct redis_place *places,
                                size_t most, size_t *count) {
    for (const char *comma; from <= end; from = comma + 1) {
        comma = memchr(from, ',', (size_t)(end - from));
        comma = comma ? comma : end;
        if (*count == most)
            return "there are more than 16 places: some of them will do";
        struct redis_place *place = &places[(*count)++];
        place->port = port;
        const char *problem = parse_place(from, comma, place);
        if (problem)
            return problem;
    }
    return NULL;
}

static const char *parse_sentinels(const char *from, struct redis_address *address) {
    const char *slash = strchr(from, '/');
    if (slash && strchr(slash, '@'))
        return SLASH_BEFORE_AT;
    const char *problem = parse_places(from, slash ? slash : from + strlen(from), SENTINEL_PORT,
                                       address->sentinels, REDIS_SENTINELS_MAX, &address->sentinel_count);
    if (!problem)
        problem = parse_master(slash ? slash + 1 : "", address);
    redis_address_take_master(address, NULL);
    return problem;
}

void redis_address_take_master(struct redis_address *address, const struct redis_place *place) {
    char shown[REDIS_PLACE_SHOWN];
    address->place = place ? *place : (struct redis_place){.port = PORT_DEFAULT};
    redis_place_show(&address->place, shown);
    if (place)
        snprintf(address->shown, sizeof address->shown, "%s/%u (master \"%s\")", shown, address->database,
                 address->master);
    else
        snprintf(address->shown, sizeof address->shown, "the address of master \"%s\"", address->master);
}

/* ---- Clusters ---- */

static const char *parse_cluster(const char *from, struct redis_address *address) {
    size_t size = strcspn(from, "/?");
    const char *rest = from + size;
    if (*rest && strchr(rest, '@'))
        return SLASH_BEFORE_AT;
    const char *problem =
        parse_places(from, rest, PORT_DEFAULT, address->seeds, REDIS_SEEDS_MAX, &address->seed_count);
    if (!problem && strcmp(rest, "") != 0 && strcmp(rest, "/") != 0 && strcmp(rest, "/0") != 0 &&
        strcmp(rest, "?db=0") != 0)
        return "a Redis Cluster has no database but 0: after its nodes comes nothing";
    snprintf(address->shown, sizeof address->shown, "the nodes of the cluster");
    return problem;
}

void redis_address_take_node(struct redis_address *address, const struct redis_place *place) {
    address->place = *place;
    char shown[REDIS_PLACE_SHOWN];
    redis_place_show(place, shown);
    snprintf(address->shown, sizeof address->shown, "%s", shown);
}

/* ---- Socket files ---- */

static const char *parse_socket(const char *from, struct redis_address *address) {
    const char *question = strchr(from, '?');
    const char *end = question ? question : from + strlen(from);
    if (*from != '/')
        return strchr(from, '@') ? "there is a / before the @: in user and password a / is written %2F"
                                 : "the path of the socket should begin with /";
    if (copy_decoded(from, end, address->path, sizeof address->path) != DECODED)
        return "the path of the socket is longer than 107 bytes or badly encoded";
    if (!parse_query(end, address))
        return "after the path only ?db=NUMBER is known; a ? in the path is written %3F";
    snprintf(address->shown, sizeof address->shown, "%s?db=%u", address->path, address->database);
    return NULL;
}

/* The password may hold an '@': the last one before the path counts. */
static const char *find_at(const char *from) {
    const char *at = NULL;
    for (const char *byte = from; *byte && *byte != '/'; byte++)
        if (*byte == '@')
            at = byte;
    return at;
}

void redis_place_show(const struct redis_place *place, char ret_text[REDIS_PLACE_SHOWN]) {
    snprintf(ret_text, REDIS_PLACE_SHOWN, strchr(place->host, ':') ? "[%s]:%d" : "%s:%d", place->host,
             place->port);
}

/* ---- The whole ---- */

static const struct form {
    const char *start;
    const char *(*parse)(const char *from, struct redis_address *address);
} forms[] = {{"redis://", parse_tcp},
             {"redis+unix://", parse_socket},
             {"redis+sentinel://", parse_sentinels},
             {"redis+cluster://", parse_cluster}};

static const struct form *form_of(const char *uri) {
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strncmp(uri, forms[i].start, strlen(forms[i].start)) == 0)
            return &forms[i];
    return NULL;
}

bool redis_address_parse(const char *uri, struct redis_address *ret_address, const char **ret_problem) {
    struct redis_address address = {.place.port = PORT_DEFAULT};
    const struct form *form = form_of(uri);
    *ret_problem = "it should begin with redis://, redis+unix://, redis+sentinel:// or redis+cluster://";
    if (!form)
        return false;
    const char *from = uri + strlen(form->start);
    const char *at = find_at(from);
    *ret_problem = at ? parse_login(from, at, &address) : NULL;
    if (!*ret_problem)
        *ret_problem = form->parse(at ? at + 1 : from, &address);
    if (*ret_problem)
        return false;
    *ret_address = address;
    return true;
}
