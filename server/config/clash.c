/* SPDX-License-Identifier: MIT */
#include "server/config/clash.h"
#include "cache/base/fit.h"
#include "server/config/address.h"
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>

struct place {
    const char *text;      /* as it was given */
    struct addrinfo *list; /* what it stands for; NULL: nothing that could clash */
    bool is_admin;
};

/* ---- Two of them ---- */

static const struct in6_addr *host_of(const struct sockaddr_in6 *address) {
    return &address->sin6_addr;
}

static bool meet_v6(const struct sockaddr_in6 *a, const struct sockaddr_in6 *b) {
    bool any = IN6_IS_ADDR_UNSPECIFIED(host_of(a)) || IN6_IS_ADDR_UNSPECIFIED(host_of(b));
    return a->sin6_port == b->sin6_port && (any || IN6_ARE_ADDR_EQUAL(host_of(a), host_of(b)));
}

static bool meet_v4(const struct sockaddr_in *a, const struct sockaddr_in *b) {
    bool any = a->sin_addr.s_addr == INADDR_ANY || b->sin_addr.s_addr == INADDR_ANY;
    return a->sin_port == b->sin_port && (any || a->sin_addr.s_addr == b->sin_addr.s_addr);
}

/* IPv6 sockets are bound for IPv6 alone. */
static bool meet(const struct addrinfo *a, const struct addrinfo *b) {
    if (a->ai_family != b->ai_family)
        return false;
    return a->ai_family == AF_INET6
               ? meet_v6((const struct sockaddr_in6 *)a->ai_addr, (const struct sockaddr_in6 *)b->ai_addr)
               : meet_v4((const struct sockaddr_in *)a->ai_addr, (const struct sockaddr_in *)b->ai_addr);
}

static bool clash(const struct place *place, const struct place *other) {
    for (const struct addrinfo *a = place->list; a; a = a->ai_next)
        for (const struct addrinfo *b = other->list; b; b = b->ai_next)
            if (meet(a, b))
                return true;
    return false;
}

/* ---- All of them ---- */

static struct addrinfo *look_up(const char *host, int port) {
    char ignored[300];
    return port > 0 ? address_lookup(host, port, ignored, sizeof ignored) : NULL;
}

static struct place client_place(const struct settings *settings, const char *text) {
    struct place place = {.text = text};
    struct listen_address address;
    char ignored[300];
    if (address_parse(text, &address, ignored, sizeof ignored) && !address.is_unix)
        place.list = look_up(address.host, settings_port(settings, address.port));
    return place;
}

static struct place admin_place(const char *text) {
    struct place place = {.text = text, .is_admin = true};
    struct listen_address address;
    char ignored[300];
    if (address_parse_admin(text, &address, ignored, sizeof ignored))
        place.list = look_up(address.host, address.port);
    return place;
}

/* Returns how many: at most one more than listen_count, or two. */
static size_t find_places(const struct settings *settings, struct place *ret_places) {
    size_t count = 0;
    if (settings->admin)
        ret_places[count++] = admin_place(settings->admin);
    if (settings->port == PORT_NONE)
        return count;
    if (settings->listen_count == 0 && !settings->unix_socket)
        ret_places[count++] = (struct place){.text = "all interfaces", .list = look_up("", settings->port)};
    for (size_t i = 0; i < settings->listen_count; i++)
        ret_places[count++] = client_place(settings, settings->listen[i]);
    return count;
}

static bool check_pair(const struct place *earlier, const struct place *later,
                       struct settings_complaint *ret_complaint) {
    if (!clash(earlier, later))
        return true;
    *ret_complaint = (struct settings_complaint){.settings = {earlier->is_admin ? "admin" : "listen"}};
    if (earlier->is_admin)
        fit_print(ret_complaint->text, sizeof ret_complaint->text,
                  "admin: clients are served at %s already (%s): give admin another port", earlier->text,
                  later->text);
    else
        fit_print(ret_complaint->text, sizeof ret_complaint->text,
                  "listen: %s and %s have an address and port in common: remove one of them", earlier->text,
                  later->text);
    return false;
}

bool clash_check(const struct settings *settings, struct settings_complaint *ret_complaint) {
    struct place *places = calloc(settings->listen_count + 2, sizeof *places);
    if (!places)
        return true; /* the start will say so */
    size_t count = find_places(settings, places);
    bool good = true;
    for (size_t i = 0; i < count && good; i++)
        for (size_t j = i + 1; j < count && good; j++)
            good = check_pair(&places[i], &places[j], ret_complaint);
    for (size_t i = 0; i < count; i++)
        if (places[i].list)
            freeaddrinfo(places[i].list);
    free(places);
    return good;
}
