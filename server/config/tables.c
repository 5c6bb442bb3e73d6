/* SPDX-License-Identifier: MIT */
/* Which settings there are: the tables beside the structs that they fill, put together. */
#include "policies/policy.h"
#include "server/config/internal.h"
#include <assert.h>

#define IN(member) offsetof(struct space_draft, member)

/* Of a namespace, beside those of struct space_options. */
static const struct setting draft_settings[] = {
    {"policy", SETTING_TEXT, IN(policy), .minimum = 1, .standard_text = "cache-aside",
     .change = SETTING_FIXED, .about = "[what is done](design.md#promises) with these keys"},
    {"backend", SETTING_TEXT, IN(backend), .minimum = 1, .change = SETTING_FIXED,
     .about = "the backend's name; for every policy except cache-aside"},
    {"copy_to", SETTING_TEXT, IN(copy_to), .minimum = 1, .need = SPACE_NEEDS_WRITING, .change = SETTING_FIXED,
     .about =
         "the name of another backend, to which the namespace [is copied](growth.md#from-sqlite-to-redis) while it is served"},
    {"backend_timeout", SETTING_MILLISECONDS, IN(backend_timeout), 1, 3600000, .need = SPACE_NEEDS_BACKEND,
     .change = SETTING_FIXED,
     .about = "the backend's `timeout`, given here; all namespaces over one backend must agree"},
    {0},
};

enum { TABLES_MAX = 2 };

static const struct setting *const common[SECTION_KINDS][TABLES_MAX] = {
    [SECTION_ROOT] = {root_settings},
    [SECTION_BACKEND] = {tier_backend_settings},
    [SECTION_NAMESPACE] = {draft_settings, space_settings},
    [SECTION_USER] = {user_settings},
};

const struct setting *config_common_setting(enum section_kind kind, const char *name) {
    const struct setting *found = NULL;
    for (size_t i = 0; i < TABLES_MAX && !found; i++)
        found = setting_find(common[kind][i], name);
    return found;
}

const struct setting *config_common_at(enum section_kind kind, size_t index) {
    for (size_t i = 0; i < TABLES_MAX; i++)
        for (const struct setting *setting = common[kind][i]; setting && setting->name; setting++)
            if (index-- == 0)
                return setting;
    return NULL;
}

void config_list_values(const struct setting *setting, char *ret_text, size_t size) {
    if (setting == setting_find(draft_settings, "policy"))
        policy_list(NULL, "`", ret_text, size);
    else
        config_show_range(setting, ret_text, size);
}

const struct setting_table *config_table_of(const struct backend_type *type, enum section_kind kind) {
    static const struct setting_table none = {0};
    if (kind == SECTION_ROOT || kind == SECTION_USER)
        return &none;
    return kind == SECTION_BACKEND ? &type->options : &type->table_options;
}

const struct backend_type *config_owner(enum section_kind kind, const char *name) {
    const struct backend_type *type;
    for (size_t i = 0; (type = backend_kind(i)); i++)
        if (setting_find(config_table_of(type, kind)->settings, name))
            return type;
    assert(false && "the grammar has no other names");
    return backend_kind(0);
}

/* Two kinds may have settings of one name. */
static bool is_listed(const char *const *names, const char *name) {
    for (; *names; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

static void add_names(const struct setting *settings, const char *names[CONFIG_NAMES_MAX]) {
    size_t count = 0;
    while (names[count])
        count++;
    for (; settings && settings->name; settings++) {
        if (is_listed(names, settings->name))
            continue;
        assert(count + 1 < CONFIG_NAMES_MAX);
        names[count++] = settings->name;
        names[count] = NULL;
    }
}

void config_list_names(enum section_kind kind, const char *ret_names[CONFIG_NAMES_MAX]) {
    const struct backend_type *type;
    ret_names[0] = NULL;
    for (size_t i = 0; i < TABLES_MAX; i++)
        add_names(common[kind][i], ret_names);
    for (size_t i = 0; kind != SECTION_ROOT && (type = backend_kind(i)); i++)
        add_names(config_table_of(type, kind)->settings, ret_names);
}
