/* SPDX-License-Identifier: MIT */
/*
 * The program's context: what server/program/ owns and hands to every part of the server. There are no globals.
 *
 * program/: options and configuration -> tier -> workers -> listener -> signals. Threads: main (an ev_loop with
 * signals, listening sockets and timers), the workers (server/worker/worker.h), maintenance
 * (server/maintenance.h), and from the first feed on that of the feeds (server/admin/feed.h).
 */
#ifndef FOREBAY_SERVER_SERVER_H
#define FOREBAY_SERVER_SERVER_H

#include "server/log.h"
#include <stdatomic.h>
#include <stdint.h>

struct auth;         /* server/worker/auth/auth.h */
struct feeds;        /* server/admin/feed.h */
struct listener;     /* server/listener.h */
struct maintenance;  /* server/maintenance.h */
struct reload;       /* server/reload.h */
struct settings;     /* server/config/settings.h */
struct stats_detail; /* server/admin/stats_detail.h */
struct prover;       /* server/worker/auth/prover.h */
struct tier;         /* policies/tier.h */
struct tls;          /* server/tls/context.h */
struct users;        /* server/worker/auth/users.h */
struct watch;        /* server/admin/watch.h */
struct worker;       /* server/worker/worker.h */

/* How far the process has come. program/main.c says what each is; they follow one another. */
enum server_phase { SERVER_STARTING, SERVER_LOADING, SERVER_SERVING, SERVER_STOPPING, SERVER_STOPPED };

struct server {
    /* By program/ alone. A thread that reads a phase other than SERVER_STARTING and SERVER_STOPPED may use the tier,
     * the workers and the maintenance. */
    _Atomic enum server_phase phase;

    /* Set by program/ before the workers start, then constant. */
    struct log_form log_form; /* of lines on standard error */
    const struct settings *settings;
    struct tier *tier;
    struct worker **workers;
    unsigned worker_count;
    struct maintenance *maintenance;
    struct listener *listener;
    struct feeds *feeds;
    struct watch *watch;
    struct stats_detail *detail;         /* per-prefix statistics */
    uint64_t started_us;                 /* monotonic */
    uint64_t started_wall_us;            /* the same moment by the wall clock */
    struct reload *reload;               /* reads the configuration again */
    struct prover *prover;               /* of users' passwords; NULL: there are no users */
    struct tls *tls;                     /* what encrypted connections begin with; NULL: there are none */
    void (*stop)(struct server *server); /* asks main to stop, from any thread (shutdown command) */

    /* Main thread: it stops because it can serve no longer, so whoever started it may do so again. */
    bool gave_up;

    /* Switched by signals and commands. */
    _Atomic(struct auth *) auth;   /* of auth_file; NULL: there is none */
    _Atomic(struct users *) users; /* NULL: there are none */
    _Atomic int verbosity;
    atomic_bool crawler; /* lru_crawler enable: metadump and its kin are answered. Expired entries are swept
                            away in either case */
    atomic_bool dumping; /* a metadump or mgdump is under way */

    /* Bytes of unfinished requests beyond those that every connection may have (CONNECTION_OWN); changed by the
     * workers when such a buffer grows or ends, and held below settings_request_memory. */
    atomic_size_t request_bytes;

    /* Bytes of long answers that have not gone, held below the same bound: connection_count_answer. */
    atomic_size_t answer_bytes;

    /* Set by the listener (rotation.h), 0 before: how many workers, from the first on, connections are given to now,
     * and were at most. All others have none, so what all may take together is shared by those used. */
    atomic_uint workers_in_rotation, workers_used;

    /* Counted by the listener, the workers (connections that they close) and commands. */
    atomic_uint connections; /* open client connections */
    atomic_uint_fast64_t connections_total, connections_rejected, listen_disabled, listen_disabled_us;
    atomic_uint_fast64_t crawler_starts;
    atomic_uint_fast64_t reloads, reload_failures,
        reload_seconds;           /* the last: Unix time of the last good one, 0: none */
    struct log_limits log_limits; /* server/log.h; any thread */
    struct log_end log_end;       /* the same */
};

#endif
