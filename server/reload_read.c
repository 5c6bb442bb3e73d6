/* SPDX-License-Identifier: MIT */
/*
 * What a reload reads, in the order in which a start does: the configuration, the authentication file, users, the
 * token, the certificate. What can fail is done here, and nothing is changed by it, but for the limit of open files,
 * which is raised last.
 */
#include "server/config/read.h"
#include "server/process.h"
#include "server/reload_internal.h"
#include "server/sandbox/sandbox.h"
#include "server/tls/context.h"
#include "server/worker/auth/auth.h"
#include "server/worker/auth/users.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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
    char reason[RELOAD_ERROR / 2];
    const char *path = reading->wanted.auth_file;
    if (!path || (reading->auth = auth_load(path, reason, sizeof reason)))
        return true;
    fit_print(reading->error, sizeof reading->error, "%s; the passwords stay as they were", reason);
    return false;
}

static bool read_users(struct reading *reading) {
    char reason[RELOAD_ERROR / 2];
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
    char reason[RELOAD_ERROR / 2];
    if (!reading->reload->server->tls ||
        (reading->certificate = tls_context_load(&reading->wanted, reason, sizeof reason)))
        return true;
    fit_print(reading->error, sizeof reading->error, "%s; the certificate stays as it was", reason);
    return false;
}

/* ---- What is not possible ---- */

/* All of it at once, so that one look is enough. */
static bool refuse_fixed(struct reading *reading) {
    const struct config_changes *changes = &reading->changes;
    size_t used = 0, left_out = 0, size = sizeof reading->error - sizeof " and 4294967295 more";
    for (size_t i = 0; i < changes->count; i++) {
        if (changes->list[i].kind != CONFIG_SETTING_FIXED)
            continue;
        const char *before = used ? ", " : "a restart is needed for: ", *text = changes->list[i].text;
        bool fits = left_out == 0 && used + strlen(before) + strlen(text) < size;
        left_out += !fits;
        if (fits)
            used += (size_t)snprintf(reading->error + used, size - used, "%s%s", before, text);
    }
    if (left_out > 0)
        snprintf(reading->error + used, sizeof reading->error - used, "%s%zu more",
                 used ? " and " : "a restart is needed for: ", left_out);
    return used == 0 && left_out == 0;
}

static bool compare(struct reading *reading) {
    return config_find_changes(&reading->reload->known, &reading->wanted, &reading->changes) ||
           reading_fail(reading, "no memory");
}

static bool raise_descriptors(struct reading *reading) {
    reading->max_connections = reading->wanted.max_connections;
    if (reading->wanted.max_connections != reading->reload->known.max_connections)
        return process_raise_descriptors(process_own_descriptors(&reading->wanted), &reading->max_connections,
                                         reading->error, sizeof reading->error);
    reading->max_connections = reading->reload->running->max_connections;
    return true;
}

/* ---- Room ---- */

const struct setting *reading_text_setting(size_t index) {
    for (const struct setting *setting = root_settings; setting->name; setting++)
        if (setting->type == SETTING_TEXT && setting->change == SETTING_LIVE && index-- == 0)
            return setting;
    return NULL;
}

const char **reading_text_of(const struct setting *setting, struct settings *settings) {
    return (const char **)(void *)((char *)settings + setting->offset);
}

static bool copy_texts(struct reading *reading) {
    const struct setting *setting;
    for (size_t i = 0; (setting = reading_text_setting(i)); i++) {
        const char *text = *reading_text_of(setting, &reading->wanted);
        assert(i < RELOAD_TEXTS);
        if (text && !(reading->texts[i] = strdup(text)))
            return false;
    }
    return true;
}

/* For all that taking over needs. */
static bool make_room(struct reading *reading) {
    bool complete = copy_texts(reading);
    for (int i = 0; i < RELOAD_RETIRED && complete; i++)
        complete = (reading->rooms[i] = calloc(1, sizeof(struct retired))) != NULL;
    reading->spaces = calloc(reading->wanted.tier.space_count + 1, sizeof *reading->spaces);
    reading->keeping = calloc(1, sizeof *reading->keeping);
    return (complete && reading->spaces && reading->keeping) || reading_fail(reading, "no memory");
}

bool reload_read(struct reading *reading) {
    return read_again(reading) && reaches_files(reading) && read_auth(reading) && read_users(reading) &&
           read_token(reading) && read_certificate(reading) && compare(reading) && refuse_fixed(reading) &&
           make_room(reading) && raise_descriptors(reading);
}
