/* SPDX-License-Identifier: MIT */
/*
 * See reload.h. Settings that may change are atomic, each for itself, so nobody waits who reads one. What can fail is
 * done first: all is read and compared (reload_read.c), then the tier takes its part, or refuses; what is left cannot
 * fail.
 */
#include "server/reload.h"
#include "cache/base/clock.h"
#include "server/config/config.h"
#include "server/reload_internal.h"
#include "server/risks.h"
#include "server/tls/context.h"
#include "server/worker/auth/auth.h"
#include "server/worker/auth/users.h"
#include <stdlib.h>
#include <string.h>

/* ---- One ---- */

static void on_risk(void *context, enum log_level level, const char *message) {
    server_log_limited(context, LOG_KIND_RELOAD_WARNING, level, "%s", message);
}

static void log_warnings(struct reading *reading) {
    struct server *server = reading->reload->server;
    const char *end, *lines = reading->config ? config_warnings(reading->config) : "";
    for (; (end = strchr(lines, '\n')); lines = end + 1)
        server_log_limited(server, LOG_KIND_RELOAD_WARNING, LOG_LEVEL_WARNING, "%.*s", (int)(end - lines),
                           lines);
}

static bool reload_all(struct reading *reading) {
    struct tier *tier = reading->reload->server->tier;
    if (!reload_read(reading))
        return false;
    size_t places = tier_space_count(tier);
    bool taken = tier_reload(tier, &reading->wanted.tier, reading->error, sizeof reading->error);
    if (taken)
        reload_take(reading);
    log_warnings(reading);
    if (taken)
        risks_tell_memory(&reading->wanted, on_risk, reading->reload->server);
    if (taken || tier_space_count(tier) > places)
        reload_keep_strings(reading);
    return taken;
}

/* ---- Saying it ---- */

/* False: there are none. */
static bool say_changes(const struct reading *reading, struct buffer *message) {
    for (size_t i = 0; i < reading->changes.count; i++)
        buffer_print(message, "%s; ", reading->changes.list[i].text);
    if (reading->has_new_passwords)
        buffer_print(message, "the passwords of %s; ", (const char *)reading->wanted.auth_file);
    if (reading->has_new_users)
        buffer_print(message, "the users, or their passwords; ");
    if (reading->has_new_token)
        buffer_print(message, "the token of %s; ", (const char *)reading->wanted.admin_token_file);
    if (reading->has_new_certificate)
        buffer_print(message, "the certificate of %s, for new connections; ",
                     (const char *)reading->wanted.tls_certificate);
    bool has_changes = message->size > 0;
    if (!has_changes)
        buffer_print(message, "nothing has changed");
    else if (!message->failed)
        message->size -= 2; /* the last separator */
    return has_changes;
}

static void end_well(struct reading *reading, struct buffer *message) {
    struct server *server = reading->reload->server;
    bool changes = say_changes(reading, message);
    atomic_fetch_add(&server->reloads, 1);
    atomic_store(&server->reload_seconds, wall_us() / US_PER_SECOND);
    server_log_limited(server, changes ? LOG_KIND_UNLIMITED : LOG_KIND_RELOAD, LOG_LEVEL_NOTICE,
                       "reload: %.*s", (int)message->size, message->data);
}

static void end_badly(struct reading *reading, struct buffer *message) {
    struct server *server = reading->reload->server;
    buffer_print(message, "%s; nothing was changed", reading->error);
    atomic_fetch_add(&server->reload_failures, 1);
    server_log_limited(server, LOG_KIND_RELOAD, LOG_LEVEL_ERROR, "reload: %s; nothing was changed",
                       reading->error);
}

static void free_reading(struct reading *reading) {
    config_changes_free(&reading->changes);
    options_free(&reading->options);
    config_free(reading->config);
    auth_free(reading->auth);
    users_free(reading->users);
    tls_context_free(reading->certificate);
    for (int i = 0; i < RELOAD_TEXTS; i++)
        free(reading->texts[i]);
    for (int i = 0; i < RELOAD_RETIRED; i++)
        free(reading->rooms[i]);
    free(reading->keeping);
    free(reading->spaces);
}

static bool run(struct reload *reload, struct buffer *message) {
    struct reading reading = {.reload = reload};
    bool good = reload->open && !reload->closed;
    if (!good)
        reading_fail(&reading, reload->closed
                                   ? "the server is stopping"
                                   : "the start is not complete yet: try again when the server serves");
    good = good && reload_all(&reading);
    if (good)
        end_well(&reading, message);
    else
        end_badly(&reading, message);
    free_reading(&reading);
    return good;
}

bool server_reload(struct server *server, struct buffer *ret_message) {
    struct reload *reload = server->reload;
    pthread_mutex_lock(&reload->mutex);
    bool good = run(reload, ret_message);
    pthread_mutex_unlock(&reload->mutex);
    return good;
}

/* ---- Main's ---- */

/* The thread's: the log has its message. */
static void reload_unheard(void *context) {
    struct reload *reload = context;
    struct buffer message = {0};
    server_reload(reload->server, &message);
    buffer_free(&message);
}

struct reload *reload_create(struct server *server, struct settings *running, int argc, char *const *argv) {
    struct reload *reload = calloc(1, sizeof *reload);
    struct space_options *spaces = calloc(running->tier.space_count + 1, sizeof *spaces);
    if (!reload || !spaces) {
        free(reload);
        free(spaces);
        return NULL;
    }
    for (size_t i = 0; i < running->tier.space_count; i++)
        spaces[i] = running->tier.spaces[i];
    reload->server = server;
    reload->running = running;
    reload->argc = argc;
    reload->argv = argv;
    reload->known = *running;
    reload->known.tier.spaces = reload->spaces = spaces;
    pthread_mutex_init(&reload->mutex, NULL);
    reload_thread_init(&reload->thread, reload_unheard, reload);
    return reload;
}

void reload_open(struct reload *reload, struct admin_http *http, reload_ended *ended, void *context) {
    pthread_mutex_lock(&reload->mutex);
    reload->http = http;
    reload->open = true;
    pthread_mutex_unlock(&reload->mutex);
    reload_thread_report(&reload->thread, ended, context);
}

void reload_ask(struct reload *reload) {
    if (!reload_thread_ask(&reload->thread))
        server_log_limited(reload->server, LOG_KIND_RELOAD, LOG_LEVEL_ERROR,
                           "reload: no thread can be started; nothing was changed");
}

void reload_close(struct reload *reload) {
    tier_stop_reloading(reload->server->tier); /* or the stop would wait for backends */
    pthread_mutex_lock(&reload->mutex);
    reload->closed = true;
    pthread_mutex_unlock(&reload->mutex);
}

void reload_free(struct reload *reload) {
    if (!reload)
        return;
    reload_thread_end(&reload->thread);
    while (reload->kept) {
        struct kept_config *next = reload->kept->next;
        config_free(reload->kept->config);
        free(reload->kept);
        reload->kept = next;
    }
    while (reload->retired) {
        struct retired *next = reload->retired->next;
        auth_free(reload->retired->auth);
        users_free(reload->retired->users);
        free(reload->retired->path);
        free(reload->retired);
        reload->retired = next;
    }
    pthread_mutex_destroy(&reload->mutex);
    free(reload->spaces);
    free(reload);
}
