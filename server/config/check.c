/* SPDX-License-Identifier: MIT */
/* What has to hold between the settings of a configuration. */
#include "cache/base/size_text.h"
#include "policies/policy.h"
#include "server/config/address.h"
#include "server/config/internal.h"
#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <strings.h>

enum { NAME_LONGEST = 63, URI_SHOWN = 300, LIST_SHOWN = 200 };

/* ---- listen ---- */

static bool same_address(const struct listen_address *a, const struct listen_address *b) {
    return a->is_unix == b->is_unix && strcmp(a->host, b->host) == 0 && (a->port == b->port && a->port != 0);
}

static bool check_address(struct config_loading *loading, const struct config_section *root, size_t index) {
    struct listen_address address, other;
    const struct config_value *value = &root->values[index];
    char why[300];
    if (!address_parse(value->text, &address, why, sizeof why) ||
        !address_resolves(&address, why, sizeof why))
        return config_fail(&loading->report, value->line, "listen: %s", why);
    for (size_t i = 0; i < index; i++)
        if (strcmp(root->values[i].name, "listen") == 0 &&
            address_parse(root->values[i].text, &other, why, sizeof why) && same_address(&address, &other))
            return config_fail(&loading->report, value->line, "listen: \"%s\" is given twice; remove one",
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

bool config_check_admin(struct config_loading *loading) {
    const struct config_value *value = config_find(&loading->document->sections[0], "admin");
    struct listen_address address;
    char why[300];
    return !value || address_parse_admin(value->text, &address, why, sizeof why) ||
           config_fail(&loading->report, value->line, "admin: %s", why);
}

/* ---- Backends ---- */

/* Names appear in `stats` lines and in commands, and become tables. */
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
            &loading->report, section->line,
            "%s \"%s\": a name is 1 to %d letters, digits, '_' and '-', and begins with a letter or '_'",
            what, section->title, NAME_LONGEST);
    if (!backend_name_is_taken(section->title))
        return true;
    char taken[100];
    backend_list_taken(taken, sizeof taken);
    return config_fail(&loading->report, section->line,
                       "%s \"%s\": tables of names beginning with %s are taken; choose another", what,
                       section->title, taken);
}

static bool check_uri(struct config_loading *loading, const struct backend_draft *draft) {
    const struct backend_options *options = &draft->options.store;
    int line = config_line(draft->section, "uri");
    char shown[URI_SHOWN], kinds[LIST_SHOWN];
    if (!options->uri) {
        backend_list_examples(kinds, sizeof kinds);
        return config_fail(&loading->report, line, "backend \"%s\" has no uri: write uri = %s", options->name,
                           kinds);
    }
    if (draft->type)
        return true;
    backend_show_uri(options->uri, shown, sizeof shown);
    backend_list_schemes(kinds, sizeof kinds);
    return config_fail(&loading->report, line, "uri = \"%s\": unknown kind of backend; known: %s", shown,
                       kinds);
}

/* What the kind itself has to say. */
static bool check_kind(struct config_loading *loading, const struct backend_draft *draft) {
    struct backend_complaint complaint;
    return draft->type->check(&draft->options.store, &complaint) ||
           config_fail(&loading->report, config_line(draft->section, complaint.setting), "%s",
                       complaint.message);
}

/* Where others cannot be heard, a server that has the store for itself is all that works. */
static bool check_coherent(struct config_loading *loading, const struct backend_draft *draft) {
    char shown[URI_SHOWN];
    if (!draft->options.store.coherent || draft->type->changes)
        return true;
    backend_show_uri(draft->options.store.uri, shown, sizeof shown);
    return config_fail(
        &loading->report, config_line(draft->section, "coherent"),
        "coherent is not for %s %s backend, which does not tell what others change, and \"%s\" is \"%s\": remove it, and let one server alone use it",
        draft->type->article, draft->type->title, draft->options.store.name, shown);
}

/* Settings of another kind would only deceive. */
static bool check_own_settings(struct config_loading *loading, const struct backend_draft *draft) {
    for (size_t i = 0; i < draft->section->count; i++) {
        const struct config_value *value = &draft->section->values[i];
        if (config_common_setting(SECTION_BACKEND, value->name) ||
            setting_find(draft->type->options.settings, value->name))
            continue;
        char shown[URI_SHOWN];
        backend_show_uri(draft->options.store.uri, shown, sizeof shown);
        return config_fail(
            &loading->report, value->line, "%s is for %s backends, and \"%s\" is \"%s\": remove it",
            value->name, config_owner(SECTION_BACKEND, value->name)->title, draft->options.store.name, shown);
    }
    return true;
}

/* Where rows of different namespaces are all that matters, overlap.c looks at those. */
static bool is_same_store(const struct backend_draft *a, const struct backend_draft *b) {
    return strcmp(a->options.store.uri, b->options.store.uri) == 0 ||
           (a->type == b->type && a->type->one_backend_only &&
            a->type->same_store(&a->options.store, &b->options.store) == BACKEND_SAME);
}

static bool check_same_store(struct config_loading *loading, size_t index) {
    const struct backend_draft *draft = &loading->backends[index];
    for (size_t i = 0; i < index; i++)
        if (is_same_store(&loading->backends[i], draft))
            return config_fail(
                &loading->report, config_line(draft->section, "uri"),
                "backends \"%s\" and \"%s\" are the same store, which has one writer: use one backend for both",
                loading->backends[i].options.store.name, draft->options.store.name);
    return true;
}

bool config_check_backends(struct config_loading *loading) {
    for (size_t i = 0; i < loading->backend_count; i++) {
        const struct backend_draft *draft = &loading->backends[i];
        if (!check_name(loading, draft->section, "backend") || !check_uri(loading, draft) ||
            !check_kind(loading, draft) || !check_coherent(loading, draft) ||
            !check_own_settings(loading, draft) || !check_same_store(loading, i))
            return false;
    }
    return true;
}

static bool has_space(const struct config_loading *loading, size_t backend) {
    for (size_t i = 0; i < loading->space_count; i++)
        if (loading->spaces[i].options.backend == (int)backend ||
            loading->spaces[i].options.copy_to == backend + 1)
            return true;
    return false;
}

/* No error: a reload may bring the first namespace over it, or take the last one away. */
void config_tell_idle_backends(struct config_loading *loading) {
    for (size_t i = 0; i < loading->backend_count; i++)
        if (!has_space(loading, i))
            buffer_print(loading->warnings,
                         "%s:%d: no namespace uses backend \"%s\": remove it, or name it in a namespace\n",
                         loading->report.path, loading->backends[i].section->line,
                         loading->backends[i].options.store.name);
}

/* ---- Namespaces ---- */

static bool check_prefix(struct config_loading *loading, const struct space_draft *draft) {
    const char *prefix = draft->options.prefix;
    int line = config_line(draft->section, "prefix");
    if (!prefix)
        return config_fail(
            &loading->report, line,
            "namespace \"%s\" has no prefix: write prefix = \"name:\", or \"\" for all other keys",
            draft->options.name);
    if (strlen(prefix) >= ENTRY_KEY_MAX)
        return config_fail(&loading->report, line, "prefix: a key has at most %d bytes, a prefix less",
                           ENTRY_KEY_MAX);
    for (const char *at = prefix; *at; at++)
        if ((unsigned char)*at <= ' ' || *at == 0x7f)
            return config_fail(&loading->report, line,
                               "prefix = \"%s\": keys hold no spaces or control characters", prefix);
    return true;
}

static bool policy_needs_backend(const struct policy *policy) {
    return policy->needs_backend;
}

static bool policy_holds_back(const struct policy *policy) {
    return policy->holds_back;
}

static bool policy_writes(const struct policy *policy) {
    return policy->holds_back || policy == &policy_write_through;
}

static bool find_policy(struct config_loading *loading, struct space_draft *draft) {
    char names[LIST_SHOWN];
    if (!draft->policy && draft->backend) {
        policy_list(policy_needs_backend, "\"", names, sizeof names);
        return config_fail(&loading->report, config_line(draft->section, "backend"),
                           "namespace \"%s\" has a backend and no policy: write policy = %s",
                           draft->options.name, names);
    }
    draft->options.policy = draft->policy ? policy_find(draft->policy) : &policy_cache_aside;
    if (draft->options.policy) {
        draft->options.table.written = policy_writes_rows(draft->options.policy);
        return true;
    }
    policy_list(NULL, "", names, sizeof names);
    return config_fail(&loading->report, config_line(draft->section, "policy"),
                       "policy = \"%s\": %s is expected", draft->policy, names);
}

static bool find_backend(struct config_loading *loading, struct space_draft *draft) {
    bool needs = draft->options.policy->needs_backend;
    draft->options.backend = -1;
    if (!draft->backend && needs)
        return config_fail(
            &loading->report, config_line(draft->section, "policy"),
            "namespace \"%s\" is %s and names no backend: write backend = \"name\" of one that is defined in this file",
            draft->options.name, draft->options.policy->name);
    if (!draft->backend)
        return true;
    int line = config_line(draft->section, "backend");
    if (!needs)
        return config_fail(
            &loading->report, line,
            "namespace \"%s\" is %s, which uses no backend: remove it or choose another policy",
            draft->options.name, draft->options.policy->name);
    for (size_t i = 0; i < loading->backend_count; i++)
        if (strcmp(loading->backends[i].options.store.name, draft->backend) == 0)
            draft->options.backend = (int)i;
    return draft->options.backend >= 0 ||
           config_fail(
               &loading->report, line,
               "backend = \"%s\": there is no such backend; define it with backend \"%s\" { uri = ... }",
               draft->backend, draft->backend);
}

bool config_has_need(const struct space_options *options, enum space_need need) {
    switch (need) {
    case SPACE_NEEDS_NOTHING:
        return true;
    case SPACE_NEEDS_BACKEND:
        return options->backend >= 0;
    case SPACE_NEEDS_WRITING:
        return policy_writes(options->policy);
    case SPACE_NEEDS_HOLDING_BACK:
        return options->policy->holds_back;
    }
    assert(false && "a table names another need");
    return true;
}

/* Whether a setting of all namespaces lacks what it needs; if so, what that is. */
static bool lacks_need(const struct space_draft *draft, enum space_need need, char *ret_remedy, size_t size) {
    char names[LIST_SHOWN];
    if (config_has_need(&draft->options, need))
        return false;
    if (need == SPACE_NEEDS_BACKEND) {
        snprintf(ret_remedy, size, "a policy with a backend");
        return true;
    }
    policy_list(need == SPACE_NEEDS_WRITING ? policy_writes : policy_holds_back, "\"", names, sizeof names);
    snprintf(ret_remedy, size, "policy = %s", names);
    return true;
}

/* The same of a setting that only some kind of backend has. */
static bool lacks_kind(const struct space_draft *draft, const char *name, char *ret_remedy, size_t size) {
    const struct backend_type *owner = config_owner(SECTION_NAMESPACE, name);
    snprintf(ret_remedy, size, "%s %s backend", owner->article, owner->title);
    return !draft->type || !setting_find(draft->type->table_options.settings, name);
}

/* Settings that mean nothing under this policy or backend would only deceive. */
static bool check_needs(struct config_loading *loading, const struct space_draft *draft) {
    for (size_t i = 0; i < draft->section->count; i++) {
        const struct config_value *value = &draft->section->values[i];
        const struct setting *setting = config_common_setting(SECTION_NAMESPACE, value->name);
        char remedy[LIST_SHOWN + 20];
        if (setting ? lacks_need(draft, setting->need, remedy, sizeof remedy)
                    : lacks_kind(draft, value->name, remedy, sizeof remedy))
            return config_fail(&loading->report, value->line,
                               "%s needs %s, and namespace \"%s\" is %s%s%s: remove it or change that",
                               value->name, remedy, draft->options.name, draft->options.policy->name,
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
        &loading->report, config_line(draft->section, at),
        "the journal of namespace \"%s\" needs a folder: write data = \"/path\" at the top, or journal = \"off\" here",
        draft->options.name);
}

/* What the kind of its backend has to say. */
static bool check_table(struct config_loading *loading, const struct space_draft *draft) {
    struct backend_complaint complaint;
    const struct space_options *options = &draft->options;
    const char *scanned_for = options->absent_filter ? "absent_filter" : options->preload ? "preload" : NULL;
    return !draft->type || draft->type->check_table(&options->table, scanned_for, &complaint) ||
           config_fail(&loading->report, config_line(draft->section, complaint.setting), "%s",
                       complaint.message);
}

static bool check_preload(struct config_loading *loading, const struct space_draft *draft) {
    return !draft->options.preload_wait || draft->options.preload ||
           config_fail(&loading->report, config_line(draft->section, "preload_wait"),
                       "preload_wait waits for nothing: write preload = 100000 or remove it");
}

/* What comes into the store by others has to be noticed. */
static bool check_absent_filter(struct config_loading *loading, const struct space_draft *draft) {
    return !draft->options.absent_filter || draft->type->notices_foreign ||
           config_fail(
               &loading->report, config_line(draft->section, "absent_filter"),
               "absent_filter is not for %s %s backend, as it does not show that others write to it, and namespace \"%s\" is over \"%s\": remove it",
               draft->type->article, draft->type->title, draft->options.name, draft->backend);
}

/* A store has one timeout; the namespaces over it, and the backend itself, have to agree. */
static bool take_timeout(struct config_loading *loading, const struct space_draft *draft) {
    if (!draft->backend_timeout)
        return true;
    struct backend_options *store = &loading->backends[draft->options.backend].options.store;
    if (store->timeout_ms && store->timeout_ms != draft->backend_timeout)
        return config_fail(
            &loading->report, config_line(draft->section, "backend_timeout"),
            "backend_timeout is %u ms here and %u ms elsewhere for the same backend \"%s\": write the same value, or timeout in the backend alone",
            draft->backend_timeout, store->timeout_ms, draft->backend);
    store->timeout_ms = draft->backend_timeout;
    return true;
}

static bool check_others(struct config_loading *loading, size_t index) {
    const struct space_draft *draft = &loading->spaces[index];
    for (size_t i = 0; i < index; i++) {
        const struct space_options *other = &loading->spaces[i].options;
        if (strcasecmp(other->name, draft->options.name) == 0)
            return config_fail(
                &loading->report, draft->section->line,
                "namespaces \"%s\" and \"%s\" differ in case alone, and tables do not: rename one",
                other->name, draft->options.name);
        if (strcmp(other->prefix, draft->options.prefix) == 0)
            return config_fail(&loading->report, config_line(draft->section, "prefix"),
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
            &loading->report, config_line(draft->section, "dirty_limit"),
            "dirty_limit is %s, more than three quarters of the %s that namespace \"%s\" may use: lower it or give more memory",
            size_text(draft->options.dirty_limit).text, size_text(memory).text, draft->options.name);
    return true;
}

static bool check_quotas(struct config_loading *loading) {
    size_t total = loading->settings->tier.cache.memory_limit, sum = 0;
    for (size_t i = 0; i < loading->space_count; i++) {
        const struct space_draft *draft = &loading->spaces[i];
        sum += draft->options.memory;
        if (sum > total)
            return config_fail(
                &loading->report, config_line(draft->section, "memory"),
                "the quotas up to namespace \"%s\" add up to %s, more than the total memory of %s: lower them or raise memory at the top",
                draft->options.name, size_text(sum).text, size_text(total).text);
    }
    return true;
}

static bool has_default(const struct config_loading *loading) {
    for (size_t i = 0; i < loading->space_count; i++)
        if (!*loading->spaces[i].options.prefix)
            return true;
    return false;
}

/* Without a namespace of all other keys one is added, under a name of its own. */
static bool check_default(struct config_loading *loading) {
    for (size_t i = 0; i < loading->space_count && !has_default(loading); i++) {
        const struct space_draft *draft = &loading->spaces[i];
        if (strcasecmp(draft->options.name, SPACE_DEFAULT_NAME) == 0)
            return config_fail(
                &loading->report, draft->section->line,
                "namespace \"%s\": the namespace of all other keys has this name: choose another, or write prefix = \"\"",
                draft->options.name);
    }
    return true;
}

/* The tier adds a default namespace when there is none: it needs a place too. */
static bool check_count(struct config_loading *loading) {
    size_t most = (size_t)CACHE_SPACES_MAX - !has_default(loading);
    return loading->space_count <= most ||
           config_fail(&loading->report, loading->spaces[most].section->line,
                       "at most %zu namespaces: merge some, or start a second server", most);
}

static bool check_space(struct config_loading *loading, size_t index) {
    struct space_draft *draft = &loading->spaces[index];
    draft->options.table.name = draft->options.name;
    draft->options.table.key_prefix = draft->options.prefix;
    return check_name(loading, draft->section, "namespace") && check_prefix(loading, draft) &&
           check_others(loading, index) && find_policy(loading, draft) && find_backend(loading, draft) &&
           check_needs(loading, draft) && check_journal(loading, draft) && check_table(loading, draft) &&
           check_preload(loading, draft) && check_absent_filter(loading, draft) &&
           take_timeout(loading, draft) && check_memory(loading, draft);
}

bool config_check_spaces(struct config_loading *loading) {
    for (size_t i = 0; i < loading->space_count; i++)
        if (!check_space(loading, i))
            return false;
    return check_default(loading) && check_quotas(loading) && check_count(loading);
}
