/* SPDX-License-Identifier: MIT */
#include "server/accepted.h"
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static struct peer peer_of(const struct sockaddr_storage *address) {
    struct peer peer = {.family = address->ss_family};
    if (address->ss_family == AF_INET)
        memcpy(&peer.v4, address, sizeof peer.v4);
    else if (address->ss_family == AF_INET6)
        memcpy(&peer.v6, address, sizeof peer.v6);
    return peer;
}

int accepted_take(int listening, enum address_tls tls, struct accepted *ret_accepted) {
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t size = sizeof address;
    int fd = accept4(listening, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        *ret_accepted = (struct accepted){fd, tls, peer_of(&address)};
    return fd;
}

void peer_name(const struct peer *peer, char ret_text[PEER_TEXT]) {
    struct sockaddr_storage address = {.ss_family = peer->family};
    if (peer->family == AF_INET || peer->family == AF_INET6) {
        memcpy(&address, peer, sizeof *peer);
        address_name(&address, sizeof *peer, ret_text, PEER_TEXT);
    } else {
        snprintf(ret_text, PEER_TEXT, "unix");
    }
}
