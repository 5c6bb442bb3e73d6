/* SPDX-License-Identifier: MIT */
/*
 * A connection as it was accepted, and who is at its other end. That is told by the accept, and kept: the kernel has
 * forgotten it when the client has ended the connection by a reset, and then above all somebody wants to know.
 */
#ifndef FOREBAY_SERVER_ACCEPTED_H
#define FOREBAY_SERVER_ACCEPTED_H

#include "server/config/address.h"
#include <netinet/in.h>

/* Of a Unix socket, only that it is one. */
struct peer {
    union {
        sa_family_t family;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
};

enum { PEER_TEXT = 64 }; /* room for the name of any */

/* A socket that does not block; whoever has this closes it. */
struct accepted {
    int fd;
    enum address_tls tls; /* whether it is to be encrypted, and how; anything but ADDRESS_TLS_UNSAID */
    struct peer peer;
};

/* As accept4, of what it returns and errno. */
int accepted_take(int listening, enum address_tls tls, struct accepted *ret_accepted);

/* For people: "tcp:127.0.0.1:40000", "tcp6:[::1]:40000", "unix". */
void peer_name(const struct peer *peer, char ret_text[PEER_TEXT]);

#endif
