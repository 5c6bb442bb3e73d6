/* SPDX-License-Identifier: MIT */
/*
 * The program's context: what main.c owns and every part of the server is handed. There are no globals.
 *
 * main.c: options and configuration -> tier -> workers -> listeners -> signals. Threads: main (an ev_loop
 * with signals, listening sockets and timers; it runs cache_maintain) and the workers (server/worker/worker.h).
 */
#ifndef FOREBAY_SERVER_SERVER_H
#define FOREBAY_SERVER_SERVER_H

#include "cache/base/log.h"
#include "policies/tier.h"
#include <stdatomic.h>

struct worker;
struct auth;
struct buffer;
struct feeds;        /* server/admin/feed.h */
struct watch;        /* server/admin/watch.h */
struct listener;     /* server/listener.h */
struct stats_detail; /* server/admin/stats.h */

/* memcached's numbers: -p -1 takes a free port, -p 0 leaves TCP out, whatever -l says. */
enum { PORT_NONE = 0, PORT_FREE = -1 };

/* The settings; filled by settings.c (defaults), config.c and options.c, constant once the server runs. */
struct settings {
    size_t item_max;             /* -I, bytes */
    unsigned threads;            /* -t */
    unsigned max_connections;    /* -c */
    unsigned idle_timeout;       /* seconds, 0: none */
    unsigned requests_per_event; /* -R: requests of one connection before others get their turn, */
    bool limits_requests;  /* if it was given; else a connection's turn ends with what one read brought */
    unsigned backlog;      /* -b */
    uint32_t sync_timeout; /* ms, 0: none */
    bool allow_shutdown;   /* -A */
    bool allow_flush_all;  /* not -F */
    bool cas_enabled;      /* not -C */
    char stats_prefix_delimiter; /* -D */
    const char *auth_file;       /* -Y, or NULL */
    const char *config_file;     /* --config, or NULL */
    const char *data;            /* folder, or NULL */
    struct tier_options tier;

    /* What only main.c, listener.c and stats.c look at. */
    const char *const
        *listen; /* addresses (server/listener.h); none: all interfaces, or the Unix socket alone */
    size_t listen_count;
    int port;                /* -p: for addresses without one; or PORT_FREE, PORT_NONE */
    bool port_overrides;     /* -p was given over a configuration's listen: it replaces the ports there */
    const char *unix_socket; /* -s, or NULL */
    unsigned unix_mask;      /* -a: access bits */
    int verbosity;           /* -v */
    bool maxconns_fast; /* over max_connections: answer an error and close, instead of leaving clients waiting
                         */
    bool allow_dump;    /* not -X */
    bool allow_watch;   /* not -W */
    bool crawler;       /* not -o no_lru_crawler */
    size_t watch_buffer; /* -o watcher_logbuf_size: bytes for each watcher */
    size_t reply_limit;  /* -o read_buf_mem_limit: bytes of replies of all threads, 0: none */
    bool detail;         /* -D: per-prefix statistics from the start */
    bool ascii_only;     /* -B ascii, or -Y: as `stats settings` shows it */
};

struct server {
    const struct settings *settings;
    struct tier *tier;
    struct worker **workers;
    unsigned worker_count;
    _Atomic int verbosity;
    _Atomic(struct auth *) auth; /* NULL: no authentication */
    uint64_t started_us;
    atomic_uint connections; /* open client connections */
    atomic_uint_fast64_t connections_total, connections_rejected, listen_disabled, listen_disabled_us;
    _Atomic bool stopping;               /* shutdown was asked for */
    void (*stop)(struct server *server); /* asks main to stop, from any thread (shutdown command) */
    struct listener *listener;           /* server/listener.h */
    struct stats_detail *detail;         /* per-prefix statistics: server/admin/stats.h */
    struct feeds *feeds;                 /* server/admin/feed.h */
    struct watch *watch;                 /* server/admin/watch.h */
    atomic_bool crawler; /* lru_crawler enable: metadump and its kin are answered. What has expired is swept
                            away in either case */
    atomic_bool dumping; /* a metadump or mgdump is under way */
    atomic_uint_fast64_t crawler_starts;
};

/* One line on standard error, with time and level, if the verbosity asks for it. Any thread. */
void server_log(struct server *server, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
