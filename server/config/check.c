/* SPDX-License-Identifier: MIT */
/* What has to hold between the options of a configuration. */
#include "policies/policy.h"
#include "server/config/address.h"
#include "server/config/internal.h"
#include <ctype.h>
#include <stdio.h>
#include <strings.h>

enum { NAME_LONGEST = 63, TIMEOUT_DEFAULT = 2000, URI_SHOWN = 300 };

/* ---- listen ----------------------------------------------------------------------------------------- */

static bool same_address(const struct listen_address *a, const struct listen_address *b) {
    return a->is_unix == b->is_unix && strcmp(a->host, b->host) == 0 && (a->port == b->port && a->port != 0);
}

static bool check_address(struct config_loading *loading, const struct config_section *root, size_t index) {
    struct listen_address address, other;
    const struct config_value *value = &root->values[index];
    char why[300];
    if (!address_parse(value->text, &address, why, sizeof why) ||
        !address_resolves(&address, why, sizeof why))
        return config_fail(loading, value->line, "listen: %s", why);
    for (size_t i = 0; i < index; i++)
        if (strcmp(root->values[i].name, "listen") == 0 &&
            address_parse(root->values[i].text, &other, why, sizeof why) && same_address(&address, &other))
            return config_fail(loading, value->line, "listen: \"%s\" is there twice; remove one",
                               value->text);
    return true;
}

bool config_check_listen(struct config_loading *loading) {
    const struct config_section *root = &loading->document->sections[0];
    for (size_t i = 0; i < root->count; i++)
        if (strcmp(root->values[i].name, "listen") == 0 && !check_address(loading, root, i))
            return false;
    return true;
}

/* ---- Backends --------------------------------------------------------------------------------------- */

static bool has_scheme(const char *uri, const char *scheme) {
    size_t length = strlen(scheme);
    return strncmp(uri, scheme, length) == 0 && (uri[length] == ':' || uri[length] == '+');
}

/* Names stand in `stats` lines, in commands, and become tables. */
static bool is_name(const char *text) {
    size_t length = strlen(text);
    if (length == 0 || length > NAME_LONGEST || (!isalpha((unsigned char)*text) && *text != '_'))
        return false;
    for (const char *at = text; *at; at++)
        if (!isalnum((unsigned char)*at) && *at != '_' && *at != '-')
            return false;
    return true;
}

static bool check_name(struct config_loading *loading, const struct config_section *section,
                       const char *what) {
    if (!is_name(section->title))
        return config_fail(
            loading, section->line,
            "%s \"%s\": a name is 1 to %d letters, digits, '_' and '-', and begins with a letter", what,
            section->title, NAME_LONGEST);
    if (strncasecmp(section->title, "sqlite_", 7) == 0 || strncasecmp(section->title, "forebay_", 8) == 0)
        return config_fail(
            loading, section->line,
            "%s \"%s\": tables of names beginning with sqlite_ and forebay_ are taken; choose another", what,
            section->title);
    return true;
}

static bool check_uri(struct config_loading *loading, const struct backend_draft *draft) {
    const struct backend_options *options = &draft->options.options;
    int line = config_line(draft->section, "uri");
    char shown[URI_SHOWN];
    if (!options->uri)
        return config_fail(loading, line,
                           "backend \"%s\" has no uri: write uri = \"sqlite:store.db\" or redis://...",
                           options->name);
    backend_show_uri(options->uri, shown, sizeof shown);
    if (!backend_find(options->uri))
        return config_fail(loading, line, "uri = \"%s\": of no known kind; known: %s", shown,
                           backend_schemes());
    if (!has_scheme(options->uri, "sqlite"))
        return true;
    const char *path = options->uri + strlen("sqlite:");
    if (!*path)
        return config_fail(loading, line, "uri = \"%s\": the path is missing: write sqlite:PATH", shown);
    if (*path != '/' && !loading->settings->data)
        return config_fail(
            loading, line,
            "uri = \"%s\": a relative path starts at the data folder, which is not set: write data = "
            "\"/path\" at the top or sqlite:/whole/path",
            shown);
    return true;
}

static bool check_kind_options(struct config_loading *loading, const struct backend_draft *draft) {
    bool sqlite = has_scheme(draft->options.options.uri, "sqlite");
    const char *wrong = sqlite ? "tombstone_ttl" : "synchronous";
    const struct config_value *value = config_find(draft->section, wrong);
    if (!value)
        return true;
    char shown[URI_SHOWN];
    backend_show_uri(draft->options.options.uri, shown, sizeof shown);
    return config_fail(loading, value->line, "%s is for %s backends, and \"%s\" is \"%s\": remove it", wrong,
                       sqlite ? "Redis" : "SQLite", draft->options.options.name, shown);
}

static bool check_same_store(struct config_loading *loading, size_t index) {
    const struct backend_draft *draft = &loading->backends[index];
    for (size_t i = 0; i < index; i++)
        if (strcmp(loading->backends[i].options.options.uri, draft->options.options.uri) == 0)
            return config_fail(
                loading, config_line(draft->section, "uri"),
                "backends \"%s\" and \"%s\" have the same uri: a store has one writer; use one backend "
                "for both",
                loading->backends[i].options.options.name, draft->options.options.name);
    return true;
}

bool config_check_backends(struct config_loading *loading) {
    for (size_t i = 0; i < loading->backend_count; i++) {
        struct backend_draft *draft = &loading->backends[i];
        if (!check_name(loading, draft->section, "backend") || !check_uri(loading, draft) ||
            !check_kind_options(loading, draft) || !check_same_store(loading, i))
            return false;
        draft->options.options.data = loading->settings->data;
        draft->options.options.timeout_ms = draft->timeout ? draft->timeout : TIMEOUT_DEFAULT;
    }
    return true;
}

/* ---- Namespaces ------------------------------------------------------------------------------------- */

static bool check_prefix(struct config_loading *loading, const struct space_draft *draft) {
    const char *prefix = draft->options.prefix;
    int line = config_line(draft->section, "prefix");
    if (!prefix)
        return config_fail(
            loading, line,
            "namespace \"%s\" has no prefix: write prefix = \"name:\", or \"\" for all other keys",
            draft->options.name);
    if (strlen(prefix) >= ENTRY_KEY_MAX)
        return config_fail(loading, line, "prefix: a key has at most %d bytes, a prefix less", ENTRY_KEY_MAX);
    for (const char *at = prefix; *at; at++)
        if ((unsigned char)*at <= ' ' || *at == 0x7f)
            return config_fail(loading, line, "prefix = \"%s\": keys hold no spaces and control characters",
                               prefix);
    return true;
}

static bool find_policy(struct config_loading *loading, struct space_draft *draft) {
    if (!draft->policy && draft->backend)
        return config_fail(loading, config_line(draft->section, "backend"),
                           "namespace \"%s\" has a backend and no policy: write policy = \"read-through\", "
                           "\"write-through\" or \"write-behind\"",
                           draft->options.name);
    const char *name = draft->policy ? draft->policy : "cache-aside";
    draft->options.policy = policy_find(name);
    if (draft->options.policy)
        return true;
    return config_fail(
        loading, config_line(draft->section, "policy"),
        "policy = \"%s\": cache-aside, read-through, write-through or write-behind is expected", name);
}

static bool find_backend(struct config_loading *loading, struct space_draft *draft) {
    bool needs = draft->options.policy->needs_backend;
    draft->options.backend = -1;
    if (!draft->backend && needs)
        return config_fail(
            loading, config_line(draft->section, "policy"),
            "namespace \"%s\" is %s and names no backend: write backend = \"name\" of one that is "
            "defined in this file",
            draft->options.name, draft->options.policy->name);
    if (!draft->backend)
        return true;
    int line = config_line(draft->section, "backend");
    if (!needs)
        return config_fail(loading, line,
                           "namespace \"%s\" is cache-aside, which uses no backend: remove it or choose "
                           "another policy",
                           draft->options.name);
    for (size_t i = 0; i < loading->backend_count; i++)
        if (strcmp(loading->backends[i].options.options.name, draft->backend) == 0)
            draft->options.backend = (int)i;
    return draft->options.backend >= 0 ||
           config_fail(loading, line,
                       "backend = \"%s\": there is no such backend; define it with backend \"%s\" { uri "
                       "= ... }",
                       draft->backend, draft->backend);
}

static bool need_is_met(const struct config_loading *loading, const struct space_draft *draft,
                        enum field_need need) {
    int backend = draft->options.backend;
    switch (need) {
    case NEED_NONE:
        return true;
    case NEED_BACKEND:
        return backend >= 0;
    case NEED_WRITE_BEHIND:
        return draft->options.policy->holds_back;
    case NEED_SQLITE:
        return backend >= 0 && has_scheme(loading->backends[backend].options.options.uri, "sqlite");
    case NEED_REDIS:
        return backend >= 0 && has_scheme(loading->backends[backend].options.options.uri, "redis");
    }
    return false;
}

/* Options that mean nothing under this policy or backend would only deceive. */
static bool check_needs(struct config_loading *loading, const struct space_draft *draft) {
    static const char *const remedies[] = {
        [NEED_BACKEND] = "a policy with a backend",
        [NEED_WRITE_BEHIND] = "policy = \"write-behind\"",
        [NEED_SQLITE] = "an SQLite backend",
        [NEED_REDIS] = "a Redis backend",
    };
    for (size_t i = 0; i < draft->section->count; i++) {
        const struct config_value *value = &draft->section->values[i];
        enum field_need need = config_need(value->name);
        if (!need_is_met(loading, draft, need))
            return config_fail(loading, value->line,
                               "%s needs %s, and namespace \"%s\" is %s%s%s: remove it or change that",
                               value->name, remedies[need], draft->options.name, draft->options.policy->name,
                               draft->backend ? " over " : "", draft->backend ? draft->backend : "");
    }
    return true;
}

static bool check_journal(struct config_loading *loading, struct space_draft *draft) {
    if (!draft->options.policy->holds_back) {
        draft->options.journal = JOURNAL_OFF;
        return true;
    }
    if (draft->options.journal == JOURNAL_OFF || loading->settings->data)
        return true;
    const char *at = config_find(draft->section, "journal") ? "journal" : "policy";
    return config_fail(
        loading, config_line(draft->section, at),
        "the journal of namespace \"%s\" needs a folder: write data = \"/path\" at the top, or journal "
        "= \"off\" here",
        draft->options.name);
}

/* Own SQL: all three statements or none. */
static bool check_sql(struct config_loading *loading, const struct space_draft *draft) {
    static const char *const names[] = {"load", "store", "delete"};
    const char *given = NULL, *missing = NULL;
    for (size_t i = 0; i < 3; i++) {
        if (config_find(draft->section, names[i]))
            given = names[i];
        else
            missing = names[i];
    }
    return !given || !missing ||
           config_fail(
               loading, config_line(draft->section, given),
               "namespace \"%s\" has SQL of its own for %s and none for %s: write load, store and delete, or "
               "none of them",
               draft->options.name, given, missing);
}

static bool check_preload(struct config_loading *loading, const struct space_draft *draft) {
    if (draft->options.preload_wait && !draft->options.preload)
        return config_fail(loading, config_line(draft->section, "preload_wait"),
                           "preload_wait waits for nothing: write preload = 100000 or remove it");
    if (draft->options.preload && draft->options.table.load_sql)
        return config_fail(loading, config_line(draft->section, "preload"),
                           "namespace \"%s\" has SQL of its own, which does not list rows: remove preload",
                           draft->options.name);
    return true;
}

/* A store has one timeout; the namespaces over it, and the backend itself, have to agree. */
static bool take_timeout(struct config_loading *loading, const struct space_draft *draft) {
    if (!draft->backend_timeout)
        return true;
    struct backend_draft *backend = &loading->backends[draft->options.backend];
    if (backend->timeout && backend->timeout != draft->backend_timeout)
        return config_fail(
            loading, config_line(draft->section, "backend_timeout"),
            "backend_timeout is %u ms here and %u ms elsewhere for the same backend \"%s\": write the "
            "same value, or timeout in the backend alone",
            draft->backend_timeout, backend->timeout, draft->backend);
    backend->timeout = draft->backend_timeout;
    backend->options.options.timeout_ms = draft->backend_timeout;
    return true;
}

static bool check_others(struct config_loading *loading, size_t index) {
    const struct space_draft *draft = &loading->spaces[index];
    for (size_t i = 0; i < index; i++) {
        const struct space_options *other = &loading->spaces[i].options;
        if (strcasecmp(other->name, draft->options.name) == 0)
            return config_fail(
                loading, draft->section->line,
                "namespaces \"%s\" and \"%s\" differ in case alone, and tables do not: rename one",
                other->name, draft->options.name);
        if (strcmp(other->prefix, draft->options.prefix) == 0)
            return config_fail(loading, config_line(draft->section, "prefix"),
                               "namespaces \"%s\" and \"%s\" have the same prefix \"%s\": change one",
                               other->name, draft->options.name, other->prefix);
    }
    return true;
}

/* The quota alone; that it fits into -m is checked when the command line has been read as well. */
static bool check_memory(struct config_loading *loading, const struct space_draft *draft) {
    size_t total = loading->settings->tier.cache.memory_limit;
    size_t memory = draft->options.memory ? draft->options.memory : total;
    if (!draft->options.policy->holds_back)
        return true;
    if (draft->options.dirty_limit > memory / 4 * 3)
        return config_fail(
            loading, config_line(draft->section, "dirty_limit"),
            "dirty_limit is %zu bytes, more than three quarters of the %zu bytes that namespace \"%s\" "
            "may use: lower it or give more memory",
            draft->options.dirty_limit, memory, draft->options.name);
    return true;
}

static bool check_quotas(struct config_loading *loading) {
    size_t total = loading->settings->tier.cache.memory_limit, sum = 0;
    for (size_t i = 0; i < loading->space_count; i++) {
        const struct space_draft *draft = &loading->spaces[i];
        sum += draft->options.memory;
        if (sum > total)
            return config_fail(
                loading, config_line(draft->section, "memory"),
                "the quotas up to namespace \"%s\" add up to %zu bytes, more than the total memory of "
                "%zu: lower them or raise memory at the top",
                draft->options.name, sum, total);
    }
    return true;
}

/* The tier adds a default namespace when there is none: it needs a place too. */
static bool check_count(struct config_loading *loading) {
    bool has_default = false;
    for (size_t i = 0; i < loading->space_count; i++)
        has_default |= !*loading->spaces[i].options.prefix;
    size_t most = (size_t)CACHE_SPACES_MAX - !has_default;
    return loading->space_count <= most ||
           config_fail(loading, loading->spaces[most].section->line,
                       "at most %zu namespaces: merge some, or start a second server", most);
}

static void fill_table(struct space_draft *draft) {
    struct backend_table *table = &draft->options.table;
    table->name = draft->options.name;
    table->key_prefix = draft->options.prefix;
    if (!table->layout)
        table->layout = "hash";
    if (!table->store_prefix)
        table->store_prefix = "";
}

static bool check_space(struct config_loading *loading, size_t index) {
    struct space_draft *draft = &loading->spaces[index];
    if (!check_name(loading, draft->section, "namespace") || !check_prefix(loading, draft) ||
        !check_others(loading, index) || !find_policy(loading, draft) || !find_backend(loading, draft) ||
        !check_needs(loading, draft) || !check_journal(loading, draft) || !check_sql(loading, draft) ||
        !check_preload(loading, draft) || !take_timeout(loading, draft) || !check_memory(loading, draft))
        return false;
    fill_table(draft);
    return true;
}

bool config_check_spaces(struct config_loading *loading) {
    for (size_t i = 0; i < loading->space_count; i++)
        if (!check_space(loading, i))
            return false;
    return check_quotas(loading) && check_count(loading);
}
