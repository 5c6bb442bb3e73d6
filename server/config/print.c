/* SPDX-License-Identifier: MIT */
#include "server/config/print.h"
#include "cache/base/fit.h"
#include "policies/policy.h"
#include "server/config/address.h"
#include "server/config/internal.h"

enum { ORIGIN_COLUMN = 44, VALUE_SHOWN = 64, ORIGIN_SHOWN = 600, URI_SHOWN = 8 << 10 };

struct printing {
    const struct settings *settings;
    const struct config_document *document; /* NULL: there is no file */
    const struct options *options;
    FILE *out;
};

/* ---- Texts ---- */

/* As a file has to write it: in double quotes, or where these would change something in single ones. */
static void put_quoted(struct buffer *line, const char *text) {
    bool plain = !strpbrk(text, "\"\\$\n");
    buffer_append(line, plain ? "\"" : "'", 1);
    for (; *text; text++) {
        if (!plain && (*text == '\'' || *text == '\\'))
            buffer_append(line, "\\", 1);
        buffer_append(line, text, 1);
    }
    buffer_append(line, plain ? "\"" : "'", 1);
}

static bool is_bare(const struct setting *setting) {
    return setting->type == SETTING_COUNT || setting->type == SETTING_SWITCH;
}

/* ---- Origins ---- */

static const struct config_section *find_section(const struct printing *printing, enum section_kind kind,
                                                 const char *title) {
    for (size_t i = 0; printing->document && i < printing->document->count; i++) {
        const struct config_section *section = &printing->document->sections[i];
        if (section->kind == kind && (!title || strcmp(section->title, title) == 0))
            return section;
    }
    return NULL;
}

/* "forebay.conf:12"; false: the file does not give it. */
static bool find_line(const struct printing *printing, const struct config_section *section, const char *name,
                      char ret_origin[ORIGIN_SHOWN]) {
    const struct config_value *value = section ? config_find(section, name) : NULL;
    if (value)
        fit_print(ret_origin, ORIGIN_SHOWN, "%s:%d", printing->settings->config_file, value->line);
    return value != NULL;
}

static void name_origin(const struct printing *printing, const struct config_section *section,
                        const char *name, char ret_origin[ORIGIN_SHOWN]) {
    if (!find_line(printing, section, name, ret_origin))
        snprintf(ret_origin, ORIGIN_SHOWN, "default");
}

/* A setting at the top. Options may take its place; they add to restrict, and -p to the addresses of a file. */
static void name_root_origin(const struct printing *printing, const char *name,
                             char ret_origin[ORIGIN_SHOWN]) {
    const struct config_section *root = find_section(printing, SECTION_ROOT, NULL);
    const char *options = options_origin(printing->options, name);
    bool adds =
        strcmp(name, "restrict") == 0 || (strcmp(name, "listen") == 0 && printing->settings->port_overrides);
    if (!options) {
        name_origin(printing, root, name, ret_origin);
        return;
    }
    size_t used = adds && find_line(printing, root, name, ret_origin) ? strlen(ret_origin) : 0;
    snprintf(ret_origin + used, ORIGIN_SHOWN - used, "%s%s on the command line", used ? ", " : "", options);
}

/* ---- Lines ---- */

static void put_line(const struct printing *printing, const struct buffer *line, const char *origin) {
    fprintf(printing->out, "%-*.*s # %s\n", ORIGIN_COLUMN, (int)line->size, line->data, origin);
}

/* value NULL: none, which nobody can write. */
static void put_setting(const struct printing *printing, const char *indent, const struct setting *setting,
                        const char *value, const char *origin) {
    struct buffer line = {0};
    buffer_print(&line, "%s%s%s = ", indent, value ? "" : "# ", setting->name);
    if (value && !is_bare(setting))
        put_quoted(&line, value);
    else
        buffer_print(&line, "%s", value ? value : "none");
    put_line(printing, &line, origin);
    buffer_free(&line);
}

static void put_member(const struct printing *printing, const struct config_section *section,
                       const struct setting *setting, const void *target) {
    char room[VALUE_SHOWN], origin[ORIGIN_SHOWN], whole[ORIGIN_SHOWN + 40];
    const char *value = config_show_value(setting, target, room, sizeof room);
    bool hidden = value && setting->is_secret && !printing->options->secrets;
    name_origin(printing, section, setting->name, origin);
    snprintf(whole, sizeof whole, "%s%s", origin, hidden ? ", it is hidden" : "");
    put_setting(printing, "    ", setting, hidden ? "***" : value, whole);
}

/* What only the kind of backend has. */
static void put_specific(const struct printing *printing, const struct config_section *section,
                         const struct setting_table *table, const struct backend_specific *specific) {
    for (const struct setting *setting = table->settings; setting && setting->name; setting++)
        put_member(printing, section, setting, specific);
}

/* ---- The top ---- */

/* A list that is being put together: empty, it is none. */
static void add_text(struct buffer *list, const char *text) {
    buffer_print(list, list->size ? ", " : "");
    put_quoted(list, text);
}

static void add_tcp(const struct printing *printing, struct buffer *list,
                    const struct listen_address *address) {
    static const char *const prefixes[] = {[ADDRESS_TLS_UNSAID] = "",
                                           [ADDRESS_TLS_OFF] = "",
                                           [ADDRESS_TLS_ON] = "tls:",
                                           [ADDRESS_TLS_ANYBODY] = "btls:",
                                           [ADDRESS_TLS_KNOWN] = "mtls:"};
    int port = settings_port(printing->settings, address->port);
    char text[300];
    snprintf(text, sizeof text, strchr(address->host, ':') ? "%s[%s]:%d" : "%s%s:%d",
             prefixes[settings_tls(printing->settings, address->tls)], *address->host ? address->host : "*",
             port == PORT_FREE ? 0 : port);
    add_text(list, text);
}

static void add_address(const struct printing *printing, struct buffer *list, const char *text) {
    struct listen_address address;
    char why[300];
    if (!address_parse(text, &address, why, sizeof why))
        return; /* was refused before */
    if (address.is_unix)
        add_text(list, text);
    else if (printing->settings->port != PORT_NONE)
        add_tcp(printing, list, &address);
}

static void list_addresses(const struct printing *printing, struct buffer *list) {
    const struct settings *settings = printing->settings;
    char path[300];
    for (size_t i = 0; i < settings->listen_count; i++)
        add_address(printing, list, settings->listen[i]);
    if (settings->listen_count == 0 && !settings->unix_socket)
        add_address(printing, list, "*");
    if (settings->unix_socket) {
        snprintf(path, sizeof path, "unix:%s", settings->unix_socket);
        add_text(list, path);
    }
}

static void list_restrictions(const struct printing *printing, struct buffer *list) {
    char names[200];
    settings_list_restrictions(printing->settings, "\", \"", names, sizeof names);
    if (*names)
        buffer_print(list, "\"%s\"", names);
}

static void put_list(const struct printing *printing, const struct setting *setting, const char *origin) {
    struct buffer list = {0}, line = {0};
    if (strcmp(setting->name, "listen") == 0)
        list_addresses(printing, &list);
    else
        list_restrictions(printing, &list);
    if (list.size)
        buffer_print(&line, "%s = {%.*s}", setting->name, (int)list.size, list.data);
    else
        buffer_print(&line, "# %s = none", setting->name);
    put_line(printing, &line, origin);
    buffer_free(&list);
    buffer_free(&line);
}

static void put_top(const struct printing *printing) {
    struct settings effective = *printing->settings;
    char room[VALUE_SHOWN], origin[ORIGIN_SHOWN];
    const struct setting *setting;
    effective.request_memory = settings_request_memory(&effective);
    if (effective.verbosity > SETTINGS_VERBOSITY_MAX)
        effective.verbosity = SETTINGS_VERBOSITY_MAX;
    for (size_t i = 0; (setting = config_common_at(SECTION_ROOT, i)); i++) {
        name_root_origin(printing, setting->name, origin);
        if (setting->type == SETTING_LIST)
            put_list(printing, setting, origin);
        else
            put_setting(printing, "", setting, config_show_value(setting, &effective, room, sizeof room),
                        origin);
    }
}

/* ---- Backends ---- */

static void put_uri(const struct printing *printing, const struct config_section *section,
                    const struct setting *setting, const char *uri) {
    char shown[URI_SHOWN], origin[ORIGIN_SHOWN], whole[ORIGIN_SHOWN + 40];
    bool hidden = !printing->options->secrets && backend_uri_has_login(uri);
    backend_show_uri(uri, shown, sizeof shown);
    name_origin(printing, section, setting->name, origin);
    snprintf(whole, sizeof whole, "%s%s", origin, hidden ? ", the login is hidden" : "");
    put_setting(printing, "    ", setting, hidden ? shown : uri, whole);
}

/* The timeout of a backend may be given by a namespace. */
static void put_timeout(const struct printing *printing, const struct config_section *section,
                        const struct setting *setting, const struct tier_backend_options *backend) {
    const struct tier_options *tier = &printing->settings->tier;
    char room[VALUE_SHOWN], origin[ORIGIN_SHOWN];
    bool found = find_line(printing, section, setting->name, origin);
    for (size_t i = 0; i < tier->space_count && !found; i++)
        if (tier->spaces[i].backend >= 0 && &tier->backends[tier->spaces[i].backend] == backend)
            found = find_line(printing, find_section(printing, SECTION_NAMESPACE, tier->spaces[i].name),
                              "backend_timeout", origin);
    put_setting(printing, "    ", setting, config_show_value(setting, backend, room, sizeof room),
                found ? origin : "default");
}

static void put_backend(const struct printing *printing, const struct tier_backend_options *backend) {
    const struct config_section *section = find_section(printing, SECTION_BACKEND, backend->store.name);
    const struct backend_type *type = backend_find(backend->store.uri);
    const struct setting *setting;
    fprintf(printing->out, "\nbackend \"%s\" {\n", backend->store.name);
    for (size_t i = 0; (setting = config_common_at(SECTION_BACKEND, i)); i++) {
        if (strcmp(setting->name, "uri") == 0)
            put_uri(printing, section, setting, backend->store.uri);
        else if (strcmp(setting->name, "timeout") == 0)
            put_timeout(printing, section, setting, backend);
        else
            put_member(printing, section, setting, backend);
    }
    put_specific(printing, section, &type->options, backend->store.specific);
    fputs("}\n", printing->out);
}

/* ---- Namespaces ---- */

/* What a namespace was read into, as its settings want it. */
static struct space_draft draft_of(const struct printing *printing, const struct space_options *options,
                                   const struct config_section *section) {
    const struct tier_options *tier = &printing->settings->tier;
    struct space_draft draft = {.options = *options, .section = section, .policy = options->policy->name};
    if (options->backend < 0)
        return draft;
    const struct backend_options *store = &tier->backends[options->backend].store;
    draft.backend = store->name;
    draft.type = backend_find(store->uri);
    draft.backend_timeout = store->timeout_ms;
    if (options->copy_to)
        draft.copy_to = tier->backends[options->copy_to - 1].store.name;
    return draft;
}

/* The backend has its timeout already: the namespace gives it only if it did so before. */
static bool is_wanted(const struct space_draft *draft, const struct setting *setting) {
    if (strcmp(setting->name, "backend_timeout") == 0)
        return config_find(draft->section, setting->name) != NULL;
    if (strcmp(setting->name, "backend") == 0)
        return draft->backend != NULL;
    if (strcmp(setting->name, "copy_to") == 0)
        return draft->copy_to != NULL;
    return config_has_need(&draft->options, setting->need);
}

static void put_space(const struct printing *printing, const struct space_options *options) {
    const struct config_section *section = find_section(printing, SECTION_NAMESPACE, options->name);
    struct space_draft draft = draft_of(printing, options, section);
    const struct setting *setting;
    fprintf(printing->out, "\nnamespace \"%s\" {\n", options->name);
    for (size_t i = 0; (setting = config_common_at(SECTION_NAMESPACE, i)); i++)
        if (is_wanted(&draft, setting))
            put_member(printing, section, setting, &draft);
    if (draft.type)
        put_specific(printing, section, &draft.type->table_options, options->table.specific);
    fputs("}\n", printing->out);
}

/* ---- Users ---- */

static void put_names(const struct printing *printing, const struct config_section *section, const char *name,
                      const char *const *names) {
    char origin[ORIGIN_SHOWN];
    struct buffer list = {0}, line = {0};
    for (; *names; names++)
        add_text(&list, *names);
    name_origin(printing, section, name, origin);
    if (list.size)
        buffer_print(&line, "    %s = {%.*s}", name, (int)list.size, list.data);
    else
        buffer_print(&line, "    # %s = none", name);
    put_line(printing, &line, origin);
    buffer_free(&list);
    buffer_free(&line);
}

static void put_user(const struct printing *printing, const struct user_options *user) {
    const struct config_section *section = find_section(printing, SECTION_USER, user->name);
    const struct setting *setting;
    struct buffer name = {0};
    put_quoted(&name, user->name);
    fprintf(printing->out, "\nuser %.*s {\n", (int)name.size, name.data);
    buffer_free(&name);
    for (size_t i = 0; (setting = config_common_at(SECTION_USER, i)); i++) {
        if (setting->type != SETTING_LIST)
            put_member(printing, section, setting, user);
        else
            put_names(printing, section, setting->name,
                      strcmp(setting->name, "reads") == 0 ? user->reads : user->namespaces);
    }
    fputs("}\n", printing->out);
}

/* ---- The whole ---- */

static bool has_secret(const struct backend_options *store) {
    const struct setting *setting = backend_find(store->uri)->options.settings;
    for (; store->specific && setting && setting->name; setting++)
        if (setting->is_secret && *setting_text(setting, store->specific))
            return true;
    return false;
}

static bool hides_something(const struct printing *printing) {
    const struct tier_options *tier = &printing->settings->tier;
    for (size_t i = 0; i < tier->backend_count; i++)
        if (backend_uri_has_login(tier->backends[i].store.uri) || has_secret(&tier->backends[i].store))
            return !printing->options->secrets;
    return false;
}

/* Without listen, a configuration has an address all the same. */
static bool listens_nowhere(const struct printing *printing) {
    struct buffer list = {0};
    list_addresses(printing, &list);
    bool nowhere = list.size == 0;
    buffer_free(&list);
    return nowhere;
}

static void put_head(const struct printing *printing) {
    const struct buffer *others = &printing->options->others;
    const char *no_tcp = !listens_nowhere(printing) ? "" : others->size ? ", -p 0" : "-p 0";
    fputs("# forebay " FOREBAY_VERSION ": the values in force, and where each comes from.\n", printing->out);
    if (others->size || *no_tcp)
        fprintf(printing->out, "# On the command line as well, as no setting can say it: %.*s%s\n",
                (int)others->size, others->size ? others->data : "", no_tcp);
    if (hides_something(printing))
        fputs(
            "# Logins are hidden, so this file cannot be used as it is: --print-config=secrets shows them.\n",
            printing->out);
    fputc('\n', printing->out);
}

void config_print(const struct settings *settings, const struct config *config, const struct options *options,
                  FILE *out) {
    const struct tier_options *tier = &settings->tier;
    struct printing printing = {settings, config ? config_document_of(config) : NULL, options, out};
    put_head(&printing);
    put_top(&printing);
    for (size_t i = 0; i < tier->backend_count; i++)
        put_backend(&printing, &tier->backends[i]);
    for (size_t i = 0; i < tier->space_count; i++)
        put_space(&printing, &tier->spaces[i]);
    for (size_t i = 0; i < settings->user_count; i++)
        put_user(&printing, &settings->users[i]);
}
