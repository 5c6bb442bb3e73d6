/* SPDX-License-Identifier: MIT */
#include "server/risks.h"
#include "cache/base/fit.h"
#include "policies/policy.h"
#include "server/machine_memory.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What nobody has chosen: the addresses without a file and without -l are memcached's, all of them. */
static bool is_open_to_all(const struct settings *settings) {
    return settings->listen_count == 0 && !settings->unix_socket && settings->port != PORT_NONE &&
           !settings_ask_who(settings);
}

/* They were read by whoever started the process, and -u names somebody else. */
static void tell_unreadable(const char *path, risks_say *say, void *context) {
    char message[4400];
    if (!path || access(path, R_OK) == 0)
        return;
    fit_print(
        message, sizeof message,
        "user %u cannot read %s: %s. A reload needs that, and so does a start as this user: chown or chmod it, or a folder that leads to it",
        (unsigned)geteuid(), path, strerror(errno));
    say(context, LOG_LEVEL_WARNING, message);
}

static void tell_all_unreadable(const struct settings *settings, risks_say *say, void *context) {
    tell_unreadable(settings->config_file, say, context);
    tell_unreadable(settings->auth_file, say, context);
    for (size_t i = 0; i < settings->user_count; i++)
        tell_unreadable(settings->users[i].password_file, say, context);
    tell_unreadable(settings->admin_token_file, say, context);
    tell_unreadable(settings->tls_certificate, say, context);
    tell_unreadable(settings->tls_key, say, context);
    tell_unreadable(settings->tls_ca, say, context);
}

static void tell_limit(const char *what, size_t limit, const char *remedy, risks_say *say, void *context) {
    char message[600];
    if (machine_memory_warns(what, limit, remedy, message, sizeof message))
        say(context, LOG_LEVEL_WARNING, message);
}

void risks_tell_memory(const struct settings *settings, risks_say *say, void *context) {
    char what[300];
    tell_limit("entries", settings->tier.cache.memory_limit, "-m (memory)", say, context);
    tell_limit("unfinished requests", settings->request_memory, "request_memory", say, context);
    for (size_t i = 0; i < settings->tier.space_count; i++) {
        const struct space_options *space = &settings->tier.spaces[i];
        if (!space->policy->holds_back)
            continue;
        snprintf(what, sizeof what, "what is in quarantine of namespace %s", space->name);
        tell_limit(what, space->quarantine_limit, "quarantine_limit", say, context);
    }
}

void risks_tell(const struct settings *settings, unsigned connections_wanted, const char *user, bool adopted,
                risks_say *say, void *context) {
    char message[400];
    if (settings->max_connections < connections_wanted) {
        fit_print(
            message, sizeof message,
            "at most %u clients are served at a time instead of %u, as the process may have few open files: raise ulimit -Hn (LimitNOFILE= in systemd), or give -c %u (max_connections)",
            settings->max_connections, connections_wanted, settings->max_connections);
        say(context, LOG_LEVEL_WARNING, message);
    }
    risks_tell_memory(settings, say, context);
    if (!adopted && is_open_to_all(settings))
        say(context, LOG_LEVEL_WARNING,
            "all interfaces are listened on, and no password is asked for: whoever reaches the port can read and change everything. Give -l 127.0.0.1 or the addresses that are meant, or -Y FILE");
    if (!adopted && settings->tls_certificate && !settings_use_tls(settings))
        say(context, LOG_LEVEL_WARNING,
            "tls_certificate is given, and no address is encrypted: write tls: in front of those in listen (-l) that are to be, or give -Z");
    if (user)
        tell_all_unreadable(settings, say, context);
    if (geteuid() == 0 && !user)
        say(context, LOG_LEVEL_NOTICE, "running as root; -u USER gives that up");
}
