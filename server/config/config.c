/* SPDX-License-Identifier: MIT */
/*
 * From a document to settings: each section is read into a draft, the drafts are checked, and what is left of
 * them is handed to the tier.
 */
#include "server/config/config.h"
#include "cache/base/fit.h"
#include "policies/policy.h"
#include "server/config/internal.h"
#include <assert.h>
#include <stdlib.h>

enum { NAMES_SHOWN = 200 };

struct config {
    struct config_document *document;
    struct space_options *spaces;
    size_t space_count;
    struct tier_backend_options *backends;
    const char **listen;
    struct arena memory; /* what only kinds of backends have */
    struct buffer warnings;
};

/* ---- Reading ---- */

/* What only this kind has: its defaults, to be read over. NULL when there is no kind. */
static bool make_specific(struct config_loading *loading, const struct backend_type *type,
                          const struct config_section *section, struct backend_specific **ret_specific) {
    *ret_specific = NULL;
    if (!type)
        return true;
    const struct setting_table *table = config_table_of(type, section->kind);
    *ret_specific = arena_take(loading->memory, table->size);
    return *ret_specific ? backend_take_specific(type, table, NULL, *ret_specific)
                         : config_fail(&loading->report, section->line, "no memory");
}

/* Settings of other kinds than the specific one are left to the checks. */
static bool read_section(struct config_loading *loading, const struct config_section *section, void *target,
                         struct backend_specific *specific) {
    for (size_t i = 0; i < section->count; i++) {
        const struct config_value *value = &section->values[i];
        const struct setting *setting = config_common_setting(section->kind, value->name);
        void *at = target;
        if (!setting && specific) {
            setting = setting_find(config_table_of(specific->type, section->kind)->settings, value->name);
            at = specific;
        }
        if (setting && !config_read_value(&loading->report, setting, value, at))
            return false;
    }
    return true;
}

static bool read_backend(struct config_loading *loading, const struct config_section *section) {
    struct backend_draft *draft = &loading->backends[loading->backend_count++];
    const struct config_value *uri = config_find(section, "uri");
    struct backend_specific *specific;
    setting_set_defaults(tier_backend_settings, draft);
    draft->options.store.timeout_ms =
        0; /* not given: a namespace may give it, or its default is taken in the end */
    draft->section = section;
    draft->type = uri ? backend_find(uri->text) : NULL;
    if (!make_specific(loading, draft->type, section, &specific))
        return false;
    draft->options.store.name = section->title;
    draft->options.store.data = loading->settings->data;
    draft->options.store.specific = specific;
    return read_section(loading, section, draft, specific);
}

/* The kind of the backend that a namespace names; all backends have been read. */
static const struct backend_type *find_type(const struct config_loading *loading,
                                            const struct config_section *section) {
    const struct config_value *name = config_find(section, "backend");
    for (size_t i = 0; name && i < loading->backend_count; i++) {
        const struct backend_draft *backend = &loading->backends[i];
        assert(backend->options.store.name);
        if (strcmp(backend->options.store.name, name->text) == 0)
            return backend->type;
    }
    return NULL;
}

static bool read_namespace(struct config_loading *loading, const struct config_section *section) {
    struct space_draft *draft = &loading->spaces[loading->space_count++];
    struct backend_specific *specific;
    space_options_set_defaults(&draft->options);
    draft->options.dirty_limit = 0; /* not given: config_derive decides */
    draft->section = section;
    draft->type = find_type(loading, section);
    if (!make_specific(loading, draft->type, section, &specific))
        return false;
    draft->options.name = section->title;
    draft->options.table.specific = specific;
    return read_section(loading, section, draft, specific);
}

static bool read_restrictions(struct config_loading *loading, const struct config_section *root) {
    char names[NAMES_SHOWN];
    for (size_t i = 0; i < root->count; i++) {
        const struct config_value *value = &root->values[i];
        if (strcmp(value->name, "restrict") != 0 || settings_restrict(loading->settings, value->text))
            continue;
        settings_list_restrictions(NULL, ", ", names, sizeof names);
        return config_fail(&loading->report, value->line, "restrict: there is no \"%s\"; known are %s",
                           value->text, names);
    }
    return true;
}

/* In the order of the document: the root, backends, namespaces. */
static bool read_sections(struct config_loading *loading) {
    bool good = true;
    for (size_t i = 0; i < loading->document->count && good; i++) {
        const struct config_section *section = &loading->document->sections[i];
        switch (section->kind) {
        case SECTION_BACKEND:
            good = read_backend(loading, section);
            break;
        case SECTION_NAMESPACE:
            good = read_namespace(loading, section);
            break;
        case SECTION_ROOT:
            good = read_section(loading, section, loading->settings, NULL) &&
                   read_restrictions(loading, section);
            break;
        case SECTION_USER: /* config_read_users */
        case SECTION_KINDS:
            break;
        }
    }
    return good;
}

/* ---- Handing over ---- */

static bool take_listen(struct config *config, struct config_loading *loading) {
    const struct config_section *root = &loading->document->sections[0];
    size_t count = 0;
    config->listen = calloc(root->count + 1, sizeof *config->listen);
    if (!config->listen)
        return config_fail(&loading->report, 1, "no memory");
    for (size_t i = 0; i < root->count; i++)
        if (strcmp(root->values[i].name, "listen") == 0)
            config->listen[count++] = root->values[i].text;
    if (count == 0)
        config->listen[count++] = SETTINGS_LISTEN_DEFAULT;
    loading->settings->listen = config->listen;
    loading->settings->listen_count = count;
    return config_check_listen(loading);
}

/* The drafts become what the tier takes. */
static bool take_drafts(struct config *config, struct config_loading *loading) {
    struct tier_options *tier = &loading->settings->tier;
    config->spaces = calloc(loading->space_count + 1, sizeof *config->spaces);
    config->backends = calloc(loading->backend_count + 1, sizeof *config->backends);
    if (!config->spaces || !config->backends)
        return config_fail(&loading->report, 1, "no memory");
    for (size_t i = 0; i < loading->space_count; i++)
        config->spaces[i] = loading->spaces[i].options;
    for (size_t i = 0; i < loading->backend_count; i++) {
        config->backends[i] = loading->backends[i].options;
        tier_backend_options_complete(&config->backends[i]);
    }
    config->space_count = loading->space_count;
    tier->spaces = config->spaces;
    tier->space_count = loading->space_count;
    tier->backends = config->backends;
    tier->backend_count = loading->backend_count;
    tier->data = loading->settings->data;
    return true;
}

/* ---- The whole ---- */

static bool read_config(struct config *config, struct config_loading *loading) {
    size_t sections = loading->document->count;
    loading->spaces = calloc(sections, sizeof *loading->spaces);
    loading->backends = calloc(sections, sizeof *loading->backends);
    bool good = loading->spaces && loading->backends;
    if (!good)
        config_fail(&loading->report, 1, "no memory");
    good = good && read_sections(loading) && take_listen(config, loading) && config_check_admin(loading) &&
           config_check_backends(loading) && config_check_spaces(loading) && config_check_copies(loading) &&
           config_check_overlaps(loading) && config_read_users(loading) && take_drafts(config, loading);
    if (good)
        config_tell_idle_backends(loading);
    free(loading->spaces);
    free(loading->backends);
    return good;
}

static bool takes_list(enum section_kind kind, const char *name) {
    const struct setting *setting = config_common_setting(kind, name);
    return setting && setting->type == SETTING_LIST;
}

struct config *config_load(const char *path, struct settings *settings, char *ret_error, size_t error_size) {
    const char *names[SECTION_KINDS][CONFIG_NAMES_MAX];
    struct config_grammar grammar = {.takes_list = takes_list};
    for (enum section_kind kind = SECTION_ROOT; kind < SECTION_KINDS; kind++) {
        config_list_names(kind, names[kind]);
        grammar.names[kind] = names[kind];
    }
    struct config *config = calloc(1, sizeof *config);
    if (!config) {
        fit_print(ret_error, error_size, "%s: no memory", path);
        return NULL;
    }
    struct config_loading loading = {.settings = settings,
                                     .memory = &config->memory,
                                     .warnings = &config->warnings,
                                     .report = {.path = path, .error = ret_error, .error_size = error_size}};
    loading.document = config->document = config_document_read(&grammar, &loading.report);
    if (config->document && read_config(config, &loading))
        return config;
    config_free(config);
    return NULL;
}

void config_derive(struct config *config, const struct settings *settings) {
    struct space_options standard;
    space_options_set_defaults(&standard);
    for (size_t i = 0; i < config->space_count; i++) {
        struct space_options *space = &config->spaces[i];
        size_t memory = space->memory ? space->memory : settings->tier.cache.memory_limit;
        if (space->policy->holds_back && !space->dirty_limit)
            space->dirty_limit = memory / 4 < standard.dirty_limit ? memory / 4 : standard.dirty_limit;
    }
}

const struct config_document *config_document_of(const struct config *config) {
    return config->document;
}

bool config_gives(const struct config *config, const char *name) {
    return config_find(&config->document->sections[0], name) != NULL;
}

const char *config_warnings(struct config *config) {
    buffer_append(&config->warnings, "", 1);
    return config->warnings.failed ? "" : config->warnings.data;
}

void config_free(struct config *config) {
    if (!config)
        return;
    config_document_free(config->document);
    free(config->spaces);
    free(config->backends);
    free(config->listen);
    arena_free(&config->memory);
    buffer_free(&config->warnings);
    free(config);
}
