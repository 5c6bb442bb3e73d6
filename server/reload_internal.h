/* SPDX-License-Identifier: MIT */
/*
 * A reload as its files see it: reload.c (the order, and what is said of it), reload_read.c (reading all that there is
 * to read, and seeing whether it can be taken over), reload_take.c (taking it over). Whoever has the mutex.
 */
#ifndef FOREBAY_SERVER_RELOAD_INTERNAL_H
#define FOREBAY_SERVER_RELOAD_INTERNAL_H

#include "cache/base/fit.h"
#include "server/config/change.h"
#include "server/config/options.h"
#include "server/http/token.h"
#include "server/reload_thread.h"
#include "server/server.h"
#include <pthread.h>

struct auth;
struct config;
struct tls_context;
struct users;

enum { RELOAD_ERROR = 2048, RELOAD_TEXTS = 8, RELOAD_RETIRED = RELOAD_TEXTS + 2 /* by one reload */ };

/* What was replaced while others may still look at it; a few bytes for each change of passwords or users. */
struct retired {
    struct retired *next;
    struct auth *auth;
    struct users *users;
    char *path;
};

/* A configuration that namespaces which were added come from: the tier points to its strings. */
struct kept_config {
    struct kept_config *next;
    struct config *config;
};

struct reload {
    struct server *server;
    struct settings *running;
    struct admin_http *http; /* NULL: there is none */
    int argc;
    char *const *argv;

    pthread_mutex_t mutex; /* of one reload, and of all below */
    bool open, closed;
    struct settings known; /* as they were read last; what may have become of them since is in running */
    struct space_options *spaces; /* known's */
    struct retired *retired;
    struct kept_config *kept;

    struct reload_thread thread; /* for SIGHUP */
};

/* A reload under way: what was read, and what is to be said of it. */
struct reading {
    struct reload *reload;
    struct settings wanted;
    struct options options;
    struct config *config;
    struct auth *auth;   /* NULL: no passwords */
    struct users *users; /* NULL: there are none */
    struct token token;
    struct tls_context *certificate; /* NULL: nothing is encrypted */
    bool has_new_passwords, has_new_users, has_new_token, has_new_certificate;
    struct config_changes changes;
    unsigned max_connections;  /* what the process can have of it */
    char *texts[RELOAD_TEXTS]; /* copies of those that may change, in the order of reading_text_setting */
    struct retired *rooms[RELOAD_RETIRED]; /* for what is replaced, */
    struct kept_config *keeping;           /* for what is kept, */
    struct space_options *spaces;          /* and for what is known from then on */
    char error[RELOAD_ERROR];
};

/* Why it is refused; false. */
static inline bool reading_fail(struct reading *reading, const char *reason) {
    fit_print(reading->error, sizeof reading->error, "%s", reason);
    return false;
}

/* The texts at the top that a reload may change; NULL: there are no more. And where settings have one. */
const struct setting *reading_text_setting(size_t index);
const char **reading_text_of(const struct setting *setting, struct settings *settings);

/* Reads all, compares it with what is known, and makes room for all that reload_take needs. False: there is an
 * error. */
bool reload_read(struct reading *reading);

/* Takes over what was read, once the tier has. Nothing of it can fail. What commands have set (verbosity) stays unless
 * the file says something else than before. */
void reload_take(struct reading *reading);

/* Keeps what namespaces that were added point to, or have taken a place in vain: once for each, or it would grow with
 * every reload that is refused. */
void reload_keep_strings(struct reading *reading);

#endif
