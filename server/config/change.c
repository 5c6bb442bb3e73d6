/* SPDX-License-Identifier: MIT */
/* See change.h. */
#include "server/config/change.h"
#include "policies/policy.h"
#include "server/config/internal.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { VALUE_SHOWN = 120, OWNER_SHOWN = 100 };

struct comparing {
    struct config_changes *changes;
    bool failed;
};

__attribute__((format(printf, 4, 5))) static void
add(struct comparing *comparing, enum config_change_kind kind, const char *name, const char *format, ...) {
    struct config_changes *changes = comparing->changes;
    struct config_change *list = realloc(changes->list, (changes->count + 1) * sizeof *list);
    if (!list) {
        comparing->failed = true;
        return;
    }
    changes->list = list;
    struct config_change *change = &list[changes->count++];
    *change = (struct config_change){.kind = kind, .name = name};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(change->text, sizeof change->text, format, arguments);
    va_end(arguments);
}

/* ---- Settings of a table ---- */

static void show(const struct setting *setting, const void *target, char ret_text[VALUE_SHOWN]) {
    char room[VALUE_SHOWN];
    bool is_text = setting->type == SETTING_TEXT || setting->type == SETTING_NAME;
    const char *value = config_show_value(setting, target, room, sizeof room),
               *quote = is_text && value ? "\"" : "";
    snprintf(ret_text, VALUE_SHOWN, "%s%s%s", quote, value ? value : "none", quote);
}

/* owner: what the structs are, in front of the names of settings; "": the whole. A value that needs a restart is not
 * shown: it may hold a password. */
static void compare_table(struct comparing *comparing, const char *owner, const struct setting *settings,
                          const void *running, const void *wanted) {
    for (const struct setting *setting = settings; setting && setting->name; setting++) {
        char from[VALUE_SHOWN], to[VALUE_SHOWN];
        if (setting_is_equal(setting, running, wanted))
            continue;
        if (setting->change != SETTING_LIVE) {
            add(comparing, CONFIG_SETTING_FIXED, setting->name, "%s%s", owner, setting->name);
            continue;
        }
        show(setting, running, from);
        show(setting, wanted, to);
        add(comparing, CONFIG_SETTING_LIVE, setting->name, "%s%s from %s to %s", owner, setting->name, from,
            to);
    }
}

/* Those that only the kind has. Where the kinds differ, what names them does as well. */
static void compare_specific(struct comparing *comparing, const char *owner, enum section_kind kind,
                             const struct backend_specific *running, const struct backend_specific *wanted) {
    if (running && wanted && running->type == wanted->type)
        compare_table(comparing, owner, config_table_of(running->type, kind)->settings, running, wanted);
}

/* ---- The top ---- */

static bool has_same_addresses(const struct settings *a, const struct settings *b) {
    if (a->listen_count != b->listen_count)
        return false;
    for (size_t i = 0; i < a->listen_count; i++)
        if (strcmp(a->listen[i], b->listen[i]) != 0)
            return false;
    return true;
}

static void compare_lists(struct comparing *comparing, const struct settings *running,
                          const struct settings *wanted) {
    char from[VALUE_SHOWN], to[VALUE_SHOWN];
    if (!has_same_addresses(running, wanted))
        add(comparing, CONFIG_SETTING_FIXED, "listen", "listen");
    settings_list_restrictions(running, ", ", from, sizeof from);
    settings_list_restrictions(wanted, ", ", to, sizeof to);
    if (strcmp(from, to) != 0)
        add(comparing, CONFIG_SETTING_LIVE, "restrict", "restrict from {%s} to {%s}", from, to);
    if (!running->user_count !=
        !wanted->user_count) /* as for auth_file, below; who they are, reload_take.c finds */
        add(comparing, CONFIG_SETTING_FIXED, "user", "user (whether there are any)");
}

/* Whether passwords are asked for decides what connections are from their first byte on; and whether there is a token,
 * which paths there are. */
static bool starts_or_ends(const char *name, const struct settings *running, const struct settings *wanted) {
    if (strcmp(name, "auth_file") == 0)
        return !running->auth_file != !wanted->auth_file;
    if (strcmp(name, "admin_token_file") == 0)
        return !running->admin_token_file != !wanted->admin_token_file;
    return false;
}

static void compare_top(struct comparing *comparing, const struct settings *running,
                        const struct settings *wanted) {
    size_t before = comparing->changes->count;
    compare_table(comparing, "", root_settings, running, wanted);
    compare_lists(comparing, running, wanted);
    for (size_t i = before; i < comparing->changes->count; i++) {
        struct config_change *change = &comparing->changes->list[i];
        if (!starts_or_ends(change->name, running, wanted))
            continue;
        change->kind = CONFIG_SETTING_FIXED;
        snprintf(change->text, sizeof change->text, "%s (whether there is one)", change->name);
    }
}

/* ---- Backends ---- */

static const struct tier_backend_options *find_backend(const struct settings *settings, const char *name) {
    for (size_t i = 0; i < settings->tier.backend_count; i++)
        if (strcmp(settings->tier.backends[i].store.name, name) == 0)
            return &settings->tier.backends[i];
    return NULL;
}

static void compare_backend(struct comparing *comparing, const struct tier_backend_options *running,
                            const struct tier_backend_options *wanted) {
    char owner[OWNER_SHOWN];
    const char *name = running->store.name;
    if (!wanted) {
        add(comparing, CONFIG_SETTING_FIXED, name, "backend \"%s\" (removed)", name);
        return;
    }
    snprintf(owner, sizeof owner, "backend \"%s\": ", name);
    compare_table(comparing, owner, tier_backend_settings, running, wanted);
    compare_specific(comparing, owner, SECTION_BACKEND, running->store.specific, wanted->store.specific);
}

static void compare_backends(struct comparing *comparing, const struct settings *running,
                             const struct settings *wanted) {
    for (size_t i = 0; i < running->tier.backend_count; i++) {
        const struct tier_backend_options *backend = &running->tier.backends[i];
        compare_backend(comparing, backend, find_backend(wanted, backend->store.name));
    }
    for (size_t i = 0; i < wanted->tier.backend_count; i++) {
        const char *name = wanted->tier.backends[i].store.name;
        if (!find_backend(running, name))
            add(comparing, CONFIG_SETTING_FIXED, name, "backend \"%s\" (added)", name);
    }
}

/* ---- Namespaces ---- */

static const struct space_options *find_space(const struct settings *settings, const char *name) {
    for (size_t i = 0; i < settings->tier.space_count; i++)
        if (strcmp(settings->tier.spaces[i].name, name) == 0)
            return &settings->tier.spaces[i];
    return NULL;
}

static const char *backend_of(const struct settings *settings, const struct space_options *space) {
    return space->backend < 0 ? "" : settings->tier.backends[space->backend].store.name;
}

static const char *copy_of(const struct settings *settings, const struct space_options *space) {
    return space->copy_to ? settings->tier.backends[space->copy_to - 1].store.name : "";
}

static void compare_space(struct comparing *comparing, const struct settings *running_settings,
                          const struct space_options *running, const struct settings *wanted_settings,
                          const struct space_options *wanted) {
    char owner[OWNER_SHOWN];
    if (!wanted) {
        add(comparing, CONFIG_NAMESPACE_REMOVED, running->name, "namespace \"%s\" removed", running->name);
        return;
    }
    snprintf(owner, sizeof owner, "namespace \"%s\": ", running->name);
    if (running->policy != wanted->policy)
        add(comparing, CONFIG_SETTING_FIXED, "policy", "%spolicy", owner);
    if (strcmp(backend_of(running_settings, running), backend_of(wanted_settings, wanted)) != 0)
        add(comparing, CONFIG_SETTING_FIXED, "backend", "%sbackend", owner);
    if (strcmp(copy_of(running_settings, running), copy_of(wanted_settings, wanted)) != 0)
        add(comparing, CONFIG_SETTING_FIXED, "copy_to", "%scopy_to", owner);
    compare_table(comparing, owner, space_settings, running, wanted);
    compare_specific(comparing, owner, SECTION_NAMESPACE, running->table.specific, wanted->table.specific);
}

static void compare_spaces(struct comparing *comparing, const struct settings *running,
                           const struct settings *wanted) {
    for (size_t i = 0; i < running->tier.space_count; i++) {
        const struct space_options *space = &running->tier.spaces[i];
        compare_space(comparing, running, space, wanted, find_space(wanted, space->name));
    }
    for (size_t i = 0; i < wanted->tier.space_count; i++) {
        const char *name = wanted->tier.spaces[i].name;
        if (!find_space(running, name))
            add(comparing, CONFIG_NAMESPACE_ADDED, name, "namespace \"%s\" added", name);
    }
}

/* ---- The whole ---- */

bool config_find_changes(const struct settings *running, const struct settings *wanted,
                         struct config_changes *ret_changes) {
    struct comparing comparing = {.changes = ret_changes};
    *ret_changes = (struct config_changes){0};
    compare_top(&comparing, running, wanted);
    compare_backends(&comparing, running, wanted);
    compare_spaces(&comparing, running, wanted);
    return !comparing.failed;
}

void config_changes_free(struct config_changes *changes) {
    free(changes->list);
    *changes = (struct config_changes){0};
}

size_t config_count_changes(const struct config_changes *changes, enum config_change_kind kind) {
    size_t count = 0;
    for (size_t i = 0; i < changes->count; i++)
        count += changes->list[i].kind == kind;
    return count;
}

void config_take_live(struct settings *running, const struct settings *wanted) {
    for (const struct setting *setting = root_settings; setting->name; setting++)
        if (setting->change == SETTING_LIVE)
            setting_take(setting, running, wanted);
    settings_take_restrictions(running, wanted);
}
