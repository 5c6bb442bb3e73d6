/* SPDX-License-Identifier: MIT */
/* A listener as its two files see it: listener_bind.c makes its sockets, listener.c accepts from them. */
#ifndef FOREBAY_SERVER_LISTENER_INTERNAL_H
#define FOREBAY_SERVER_LISTENER_INTERNAL_H

#include "server/config/settings.h"
#include "server/listener.h"
#include "server/server.h"
#include <ev.h>

enum { LISTENERS_MAX = 64, LISTENER_TEXT = 160 };

struct listening {
    ev_io io; /* first: the callback's watcher is the listening socket */
    struct listener *listener;
    int fd;
    bool is_unix;
    enum address_tls tls;     /* not ADDRESS_TLS_UNSAID */
    char text[LISTENER_TEXT]; /* as address_name writes it */
};

struct listener {
    const struct settings *settings;
    struct server *server;
    listener_hand *hand;
    struct ev_loop *loop;
    struct listening sockets[LISTENERS_MAX];
    size_t count;
    struct rotation rotation;
    ev_timer resume;
    uint64_t paused_at_us; /* monotonic */
    atomic_bool paused;
    bool started, adopted;
    bool starved;              /* paused for want of descriptors or memory of the kernel, */
    unsigned starved_at;       /* with so many connections, */
    uint64_t starved_until_us; /* at most until then, monotonic */
};

/* What is to be done about an address that cannot be bound or listened on, for this errno. */
const char *listener_remedy(int error);

#endif
