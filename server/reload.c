/* SPDX-License-Identifier: MIT */
/*
 * See reload.h. Settings that may change are atomic, each for itself, so nobody waits who reads one. What can fail is done
 * first, in this order: reading, the authentication file, users, comparing, the limit of open files, the tier.
 */
#include "server/reload.h"
#include "cache/base/clock.h"
#include "cache/base/fit.h"
#include "server/config/change.h"
#include "server/config/read.h"
#include "server/http/admin_http.h"
#include "server/http/token.h"
#include "server/process.h"
#include "server/reload_thread.h"
#include "server/sandbox/sandbox.h"
#include "server/server.h"
#include "server/tls/context.h"
#include "server/worker/auth/auth.h"
#include "server/worker/auth/users.h"
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { ERROR_MAX = 2048, TEXTS_MOST = 8, RETIRED_MOST = TEXTS_MOST + 2 /* by one reload */ };

/* What was replaced while others may still look at it; a few bytes for each change of passwords or users. */
struct retired {
    struct retired *next;
    struct auth *auth;
    struct users *users;
    char *path;
};

/* A configuration that namespaces which were added come from: the tier points to its strings. */
struct kept {
    struct kept *next;
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
    struct kept *kept;

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
    unsigned max_connections;            /* what the process can have of it */
    char *texts[TEXTS_MOST];             /* copies of those that may change, in the order of text_setting */
    struct retired *rooms[RETIRED_MOST]; /* for what is replaced, */
    struct kept *keeping;                /* for what is kept, */
    struct space_options *spaces;        /* and for what is known from then on */
    char error[ERROR_MAX];
};

/* ---- Reading ---- */

static bool fail(struct reading *reading, const char *reason) {
    fit_print(reading->error, sizeof reading->error, "%s", reason);
    return false;
}

/* Of a pipe, the other end would be waited for, or what it had is gone: and an empty file is a configuration. */
static bool is_file(struct reading *reading) {
    const char *path = reading->reload->known.config_file;
    struct stat status;
    if (!path || stat(path, &status) != 0 || S_ISREG(status.st_mode) || S_ISDIR(status.st_mode))
        return true; /* what else may be wrong is told by whoever reads it */
    fit_print(reading->error, sizeof reading->error,
              "%s is no plain file, and cannot be read again: put the configuration into one, and start anew",
              path);
    return false;
}

static bool read_again(struct reading *reading) {
    struct reload *reload = reading->reload;
    return is_file(reading) &&
           config_read(reload->argc, reload->argv, &reading->wanted, &reading->options, &reading->config,
                       reading->error, sizeof reading->error) == CONFIG_READ;
}

static bool reaches(struct reading *reading, const char *name, const char *path) {
    if (!path || !sandbox_hides(path))
        return true;
    fit_print(
        reading->error, sizeof reading->error,
        "%s: %s is in a folder that the sandbox of this server does not reach, as its settings named none there at the start, or that was replaced since: restart it, or put the file beside the former one",
        name, path);
    return false;
}

/* What a reload names anew may be where nobody looked before. */
static bool reaches_files(struct reading *reading) {
    const struct settings *wanted = &reading->wanted;
    const struct {
        const char *name, *path;
    } files[] = {{"auth_file", wanted->auth_file},
                 {"admin_token_file", wanted->admin_token_file},
                 {"tls_certificate", wanted->tls_certificate},
                 {"tls_key", wanted->tls_key},
                 {"tls_ca", wanted->tls_ca}};
    if (reading->reload->known.sandbox == SANDBOX_OFF)
        return true;
    bool good = true;
    for (size_t i = 0; i < sizeof files / sizeof *files && good; i++)
        good = reaches(reading, files[i].name, files[i].path);
    for (size_t i = 0; i < wanted->user_count && good; i++)
        good = reaches(reading, "password_file", wanted->users[i].password_file);
    return good;
}

static bool read_auth(struct reading *reading) {
    char reason[ERROR_MAX / 2];
    const char *path = reading->wanted.auth_file;
    if (!path || (reading->auth = auth_load(path, reason, sizeof reason)))
        return true;
    fit_print(reading->error, sizeof reading->error, "%s; the passwords stay as they were", reason);
    return false;
}

static bool read_users(struct reading *reading) {
    char reason[ERROR_MAX / 2];
    if (reading->wanted.user_count == 0 ||
        (reading->users = users_load(&reading->wanted, reason, sizeof reason)))
        return true;
    fit_print(reading->error, sizeof reading->error, "%s; the users stay as they were", reason);
    return false;
}

static bool read_token(struct reading *reading) {
    const char *path = reading->wanted.admin_token_file;
    return !path || token_load(path, &reading->token, reading->error, sizeof reading->error);
}

static bool read_certificate(struct reading *reading) {
    char reason[ERROR_MAX / 2];
    if (!reading->reload->server->tls ||
        (reading->certificate = tls_context_load(&reading->wanted, reason, sizeof reason)))
        return true;
    fit_print(reading->error, sizeof reading->error, "%s; the certificate stays as it was", reason);
    return false;
}

/* The texts at the top that a reload may change; NULL: there are no more. */
static const struct setting *text_setting(size_t index) {
    for (const struct setting *setting = root_settings; setting->name; setting++)
        if (setting->type == SETTING_TEXT && setting->change == SETTING_LIVE && index-- == 0)
            return setting;
    return NULL;
}

static const char **text_of(const struct setting *setting, struct settings *settings) {
    return (const char **)(void *)((char *)settings + setting->offset);
}

static bool copy_texts(struct reading *reading) {
    const struct setting *setting;
    for (size_t i = 0; (setting = text_setting(i)); i++) {
        const char *text = *text_of(setting, &reading->wanted);
        assert(i < TEXTS_MOST);
        if (text && !(reading->texts[i] = strdup(text)))
            return false;
    }
    return true;
}

/* For all that taking over needs. */
static bool make_room(struct reading *reading) {
    bool complete = copy_texts(reading);
    for (int i = 0; i < RETIRED_MOST && complete; i++)
        complete = (reading->rooms[i] = calloc(1, sizeof(struct retired))) != NULL;
    reading->spaces = calloc(reading->wanted.tier.space_count + 1, sizeof *reading->spaces);
    reading->keeping = calloc(1, sizeof *reading->keeping);
    return (complete && reading->spaces && reading->keeping) || fail(reading, "no memory");
}

/* ---- What is not possible ---- */

/* All of it at once, so that one look is enough. */
static bool refuse_fixed(struct reading *reading) {
    const struct config_changes *changes = &reading->changes;
    size_t used = 0, size = sizeof reading->error;
    for (size_t i = 0; i < changes->count && used < size; i++)
        if (changes->list[i].kind == CONFIG_SETTING_FIXED)
            used += (size_t)snprintf(reading->error + used, size - used, "%s%s",
                                     used ? ", " : "a restart is needed for: ", changes->list[i].text);
    return used == 0;
}

static bool compare(struct reading *reading) {
    return config_find_changes(&reading->reload->known, &reading->wanted, &reading->changes) ||
           fail(reading, "no memory");
}

/* ---- Taking over ---- */

static bool raise_descriptors(struct reading *reading) {
    reading->max_connections = reading->wanted.max_connections;
    if (reading->wanted.max_connections != reading->reload->known.max_connections)
        return process_raise_descriptors(process_own_descriptors(&reading->wanted), &reading->max_connections,
                                         reading->error, sizeof reading->error);
    reading->max_connections = reading->reload->running->max_connections;
    return true;
}

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
    char warning[ERROR_MAX / 2];
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
    char warning[ERROR_MAX / 2];
    if (!reading->certificate)
        return;
    if (tls_context_warns(reading->certificate, &reading->wanted, warning, sizeof warning))
        server_log_limited(server, LOG_KIND_RELOAD_WARNING, LOG_LEVEL_WARNING, "%s", warning);
    out = tls_exchange(server->tls, reading->certificate);
    reading->has_new_certificate = out != reading->certificate;
    reading->certificate = NULL;
    tls_context_free(out);
}

/* Texts go with what was read. One that has changed is kept by itself; others may look at the former, which stays, too. */
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
    for (size_t i = 0; (setting = text_setting(i)); i++) {
        const char *known = *text_of(setting, &reading->reload->known);
        *text_of(setting, &reading->wanted) = keep_text(reading, known, &reading->texts[i]);
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

/* What namespaces that were added point to, or have taken a place in vain: once for each, or it would grow with every
 * reload that is refused. */
static void keep_strings(struct reading *reading) {
    if (config_count_changes(&reading->changes, CONFIG_NAMESPACE_ADDED) == 0)
        return;
    *reading->keeping = (struct kept){reading->reload->kept, reading->config};
    reading->reload->kept = reading->keeping;
    reading->keeping = NULL;
    reading->config = NULL;
}

/* Nothing of it can fail. What commands have set (verbosity) stays unless the file says something else than before. */
static void take_over(struct reading *reading) {
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

static void log_warnings(struct reading *reading) {
    struct server *server = reading->reload->server;
    const char *end, *lines = reading->config ? config_warnings(reading->config) : "";
    for (; (end = strchr(lines, '\n')); lines = end + 1)
        server_log_limited(server, LOG_KIND_RELOAD_WARNING, LOG_LEVEL_WARNING, "%.*s", (int)(end - lines),
                           lines);
}

static bool reload_all(struct reading *reading) {
    struct tier *tier = reading->reload->server->tier;
    if (!read_again(reading) || !reaches_files(reading) || !read_auth(reading) || !read_users(reading) ||
        !read_token(reading) || !read_certificate(reading) || !compare(reading) || !refuse_fixed(reading) ||
        !make_room(reading) || !raise_descriptors(reading))
        return false;
    size_t places = tier_space_count(tier);
    bool taken = tier_reload(tier, &reading->wanted.tier, reading->error, sizeof reading->error);
    if (taken)
        take_over(reading);
    log_warnings(reading);
    if (taken || tier_space_count(tier) > places)
        keep_strings(reading);
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
    for (int i = 0; i < TEXTS_MOST; i++)
        free(reading->texts[i]);
    for (int i = 0; i < RETIRED_MOST; i++)
        free(reading->rooms[i]);
    free(reading->keeping);
    free(reading->spaces);
}

static bool run(struct reload *reload, struct buffer *message) {
    struct reading reading = {.reload = reload};
    bool good = reload->open && !reload->closed;
    if (!good)
        fail(&reading, reload->closed ? "the server is stopping"
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
        struct kept *next = reload->kept->next;
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
