/* SPDX-License-Identifier: MIT */
/*
 * Where a Redis is, taken from a URI:
 *
 *     redis://[[user]:password@]host[:port][/db]
 *     redis+unix://[[user]:password@]/path/of/socket[?db=N]
 *
 * User and password may be percent-encoded, and have to be where they hold a '/' or '%'; an IPv6 host is in
 * brackets. Pure: no socket, no allocation.
 */
#ifndef FOREBAY_BACKENDS_REDIS_ADDRESS_H
#define FOREBAY_BACKENDS_REDIS_ADDRESS_H

#include <stdbool.h>

struct redis_address {
    char host[256]; /* "" for a socket file */
    char path[108]; /* of the socket file, as long as the kernel takes */
    int port;
    unsigned database;
    char user[128], password[256]; /* "" for none */
    char shown[384];               /* the address without user and password, for messages */
};

/* Takes a URI apart. false: *ret_problem says what is wrong, without quoting the URI, which may hold a
 * password. */
bool redis_address_parse(const char *uri, struct redis_address *ret_address, const char **ret_problem);

#endif
