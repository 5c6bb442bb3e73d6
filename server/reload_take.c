/* SPDX-License-Identifier: MIT */
/*
 * What was read is taken over. What is replaced while others may still look at it stays, in a list of its own.
 */
#include "server/http/admin_http.h"
#include "server/reload_internal.h"
#include "server/tls/context.h"
#include "server/worker/auth/auth.h"
#include "server/worker/auth/users.h"
#include <stdlib.h>
#include <string.h>

static void retire(struct reading *reading, struct retired out) {
    struct reload *reload = reading->reload;
    int i = 0;
    while (!reading->rooms[i])
        i++;
    struct retired *retired = reading->rooms[i];
    reading->rooms[i] = NULL;
    *retired = out;
    retired->next = reload->retired;
    reload->retired = retired;
}

static void take_auth(struct reading *reading) {
    struct server *server = reading->reload->server;
    char warning[RELOAD_ERROR / 2];
    if (!reading->auth)
        return;
    if (auth_is_exposed(reading->auth, reading->wanted.auth_file, warning, sizeof warning))
        server_log_limited(server, LOG_KIND_RELOAD_WARNING, LOG_LEVEL_WARNING, "%s", warning);
    if (auth_is_same(reading->auth, atomic_load(&server->auth)))
        return;
    retire(reading, (struct retired){.auth = atomic_exchange(&server->auth, reading->auth)});
    reading->auth = NULL;
    reading->has_new_passwords = true;
}

static void on_exposed(void *context, const char *message) {
    server_log_limited(context, LOG_KIND_RELOAD_WARNING, LOG_LEVEL_WARNING, "%s", message);
}

/* Their namespaces are those of the tier by now. */
static void take_users(struct reading *reading) {
    struct server *server = reading->reload->server;
    struct users *former = atomic_load(&server->users);
    if (!reading->users || !former)
        return;
    users_tell_exposed(reading->users, on_exposed, server);
    users_resolve(reading->users, server->tier);
    if (users_are_same(former, reading->users))
        return;
    retire(reading, (struct retired){.users = atomic_exchange(&server->users, reading->users)});
    reading->users = NULL;
    reading->has_new_users = true;
}

static void take_token(struct reading *reading) {
    struct admin_http *http = reading->reload->http;
    reading->has_new_token =
        http && reading->wanted.admin_token_file && admin_http_take_token(http, &reading->token);
}

static void take_certificate(struct reading *reading) {
    struct server *server = reading->reload->server;
    struct tls_context *out;
    char warning[RELOAD_ERROR / 2];
    if (!reading->certificate)
        return;
    if (tls_context_warns(reading->certificate, &reading->wanted, warning, sizeof warning))
        server_log_limited(server, LOG_KIND_RELOAD_WARNING, LOG_LEVEL_WARNING, "%s", warning);
    out = tls_exchange(server->tls, reading->certificate);
    reading->has_new_certificate = out != reading->certificate;
    reading->certificate = NULL;
    tls_context_free(out);
}

/* Texts go with what was read. One that has changed is kept by itself; others may look at the former, which stays,
 * too. */
static const char *keep_text(struct reading *reading, const char *known, char **text) {
    if (!*text || (known && strcmp(known, *text) == 0))
        return *text ? known : NULL;
    const char *kept = *text;
    retire(reading, (struct retired){.path = *text});
    *text = NULL;
    return kept;
}

static void keep_texts(struct reading *reading) {
    const struct setting *setting;
    for (size_t i = 0; (setting = reading_text_setting(i)); i++) {
        const char *known = *reading_text_of(setting, &reading->reload->known);
        *reading_text_of(setting, &reading->wanted) = keep_text(reading, known, &reading->texts[i]);
    }
}

/* The backends are the same, and may be in another order. */
static int own_backend(const struct reload *reload, const struct tier_options *wanted, int backend) {
    const struct tier_options *known = &reload->known.tier;
    for (size_t i = 0; backend >= 0 && i < known->backend_count; i++)
        if (strcmp(known->backends[i].store.name, wanted->backends[backend].store.name) == 0)
            return (int)i;
    return -1;
}

static struct space_options *find_space(struct reload *reload, const char *name) {
    for (size_t i = 0; i < reload->known.tier.space_count; i++)
        if (strcmp(reload->spaces[i].name, name) == 0)
            return &reload->spaces[i];
    return NULL;
}

/* The namespaces that there are from now on: those that were there stay what they are, and take what may change. */
static void take_spaces(struct reading *reading) {
    struct reload *reload = reading->reload;
    const struct tier_options *wanted = &reading->wanted.tier;
    for (size_t i = 0; i < wanted->space_count; i++) {
        const struct space_options *before = find_space(reload, wanted->spaces[i].name);
        struct space_options *space = &reading->spaces[i];
        *space = before ? *before : wanted->spaces[i];
        if (!before)
            space->backend = own_backend(reload, wanted, space->backend);
        for (const struct setting *setting = space_settings; setting->name; setting++)
            if (setting->change == SETTING_LIVE)
                setting_take(setting, space, &wanted->spaces[i]);
    }
    free(reload->spaces);
    reload->known.tier.spaces = reload->spaces = reading->spaces;
    reload->known.tier.space_count = wanted->space_count;
    reading->spaces = NULL;
}

void reload_keep_strings(struct reading *reading) {
    if (config_count_changes(&reading->changes, CONFIG_NAMESPACE_ADDED) == 0)
        return;
    *reading->keeping = (struct kept_config){reading->reload->kept, reading->config};
    reading->reload->kept = reading->keeping;
    reading->keeping = NULL;
    reading->config = NULL;
}

void reload_take(struct reading *reading) {
    struct reload *reload = reading->reload;
    struct settings *wanted = &reading->wanted;
    take_auth(reading);
    take_users(reading);
    take_token(reading);
    take_certificate(reading);
    keep_texts(reading);
    if (wanted->verbosity != reload->known.verbosity)
        atomic_store(&reload->server->verbosity, wanted->verbosity);
    take_spaces(reading);
    config_take_live(&reload->known, wanted);
    wanted->max_connections = reading->max_connections;
    config_take_live(reload->running, wanted);
}
