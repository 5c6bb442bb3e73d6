/* SPDX-License-Identifier: MIT */
/*
 * What each option means: one table per kind of section. A line of it says how the text is read, within which
 * bounds, and where the value goes.
 */
#include "policies/policy.h"
#include "server/config/internal.h"
#include "server/config/measure.h"
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum field_kind {
    FIELD_TEXT,         /* const char * */
    FIELD_WORD,         /* int: position in words */
    FIELD_NAME,         /* const char *: one of words */
    FIELD_SWITCH,       /* bool */
    FIELD_COUNT,        /* unsigned */
    FIELD_SIZE,         /* size_t, bytes */
    FIELD_MILLISECONDS, /* uint32_t */
    FIELD_SECONDS,      /* uint32_t; a part of a second is refused */
    FIELD_LIST,         /* read elsewhere */
};

struct field {
    const char *name;
    enum field_kind kind;
    size_t offset;
    uint64_t minimum, maximum;
    const char *const *words;
    enum field_need need;
};

static const char *const eviction_words[] = {"lru", "s3-fifo", NULL};
static const char *const existence_words[] = {"backend", "memory", NULL};
static const char *const down_words[] = {"error", "miss", "stale", NULL};
static const char *const full_words[] = {"wait", "write-through", "reject", NULL};
static const char *const journal_words[] = {"off", "os", "interval", "always", NULL};
static const char *const layout_words[] = {"hash", "string", NULL};
static const char *const synchronous_words[] = {"full", "normal", NULL};

#define MS_MAX     UINT32_MAX
#define YEARS_MAX  (uint64_t)(10ull * 365 * 86400 * 1000) /* ms */
#define IN(member) offsetof(struct settings, member)
#define SP(member) offsetof(struct space_draft, member)
#define BE(member) offsetof(struct backend_draft, member)

static const struct field root_fields[] = {
    {"listen", FIELD_LIST, 0, 0, 0, 0, 0},
    {"memory", FIELD_SIZE, IN(tier.cache.memory_limit), 1 << 20, 1ull << 44, 0, 0},
    {"threads", FIELD_COUNT, IN(threads), 1, SETTINGS_THREADS_MAX, 0, 0},
    {"data", FIELD_TEXT, IN(data), 1, 0, 0, 0},
    {"node", FIELD_COUNT, IN(tier.cache.node), 0, (1 << ENTRY_VERSION_NODE_BITS) - 1, 0, 0},
    {"drain_timeout", FIELD_MILLISECONDS, IN(tier.drain_timeout), 0, MS_MAX, 0, 0},
    {"sync_timeout", FIELD_MILLISECONDS, IN(sync_timeout), 0, MS_MAX, 0, 0},
    {"journal_file_size", FIELD_SIZE, IN(tier.journal_file_size), 1 << 16, 1ull << 32, 0, 0},
    {"max_connections", FIELD_COUNT, IN(max_connections), 1, 1 << 20, 0, 0},
    {"idle_timeout", FIELD_SECONDS, IN(idle_timeout), 0, YEARS_MAX, 0, 0},
    {"item_max", FIELD_SIZE, IN(item_max), SETTINGS_ITEM_MIN, SETTINGS_ITEM_MAX, 0, 0},
    {"auth_file", FIELD_TEXT, IN(auth_file), 1, 0, 0, 0},
    {"verbosity", FIELD_COUNT, IN(verbosity), 0, 3, 0, 0},
    {0},
};

static const struct field backend_fields[] = {
    {"uri", FIELD_TEXT, BE(options.store.uri), 1, 0, 0, 0},
    {"readers", FIELD_COUNT, BE(options.readers), 1, 64, 0, 0},
    {"timeout", FIELD_MILLISECONDS, BE(timeout), 1, 3600000, 0, 0},
    {"synchronous", FIELD_NAME, BE(options.store.synchronous), 0, 0, synchronous_words, NEED_SQLITE},
    {"tombstone_ttl", FIELD_SECONDS, BE(options.store.tombstone_seconds), 1000, YEARS_MAX, 0, NEED_REDIS},
    {0},
};

static const struct field space_fields[] = {
    {"prefix", FIELD_TEXT, SP(options.prefix), 0, 0, 0, 0},
    {"policy", FIELD_TEXT, SP(policy), 1, 0, 0, 0},
    {"backend", FIELD_TEXT, SP(backend), 1, 0, 0, 0},
    {"memory", FIELD_SIZE, SP(options.memory), 1 << 20, 1ull << 44, 0, 0},
    {"eviction", FIELD_WORD, SP(options.eviction), 0, 0, eviction_words, 0},
    {"ttl", FIELD_SECONDS, SP(options.ttl), 0, YEARS_MAX, 0, 0},
    {"max_residency", FIELD_SECONDS, SP(options.max_residency), 0, YEARS_MAX, 0, 0},
    {"negative_ttl", FIELD_MILLISECONDS, SP(options.negative_ttl), 0, MS_MAX, 0, NEED_BACKEND},
    {"existence", FIELD_WORD, SP(options.existence), 0, 0, existence_words, NEED_BACKEND},
    {"on_backend_down", FIELD_WORD, SP(options.on_backend_down), 0, 0, down_words, NEED_BACKEND},
    {"backend_timeout", FIELD_MILLISECONDS, SP(backend_timeout), 1, 3600000, 0, NEED_BACKEND},
    {"flush_delay", FIELD_MILLISECONDS, SP(options.flush_delay), 0, 86400000, 0, NEED_WRITE_BEHIND},
    {"flush_batch", FIELD_COUNT, SP(options.flush_batch), 1, 1000000, 0, NEED_WRITE_BEHIND},
    {"dirty_limit", FIELD_SIZE, SP(options.dirty_limit), 1 << 16, 1ull << 44, 0, NEED_WRITE_BEHIND},
    {"dirty_age_limit", FIELD_MILLISECONDS, SP(options.dirty_age_limit), 0, MS_MAX, 0, NEED_WRITE_BEHIND},
    {"on_full", FIELD_WORD, SP(options.on_full), 0, 0, full_words, NEED_WRITE_BEHIND},
    {"journal", FIELD_WORD, SP(options.journal), 0, 0, journal_words, NEED_WRITE_BEHIND},
    {"touch_slack", FIELD_SECONDS, SP(options.touch_slack), 0, YEARS_MAX, 0, NEED_WRITE_BEHIND},
    {"preload", FIELD_COUNT, SP(options.preload), 0, UINT32_MAX, 0, NEED_BACKEND},
    {"preload_wait", FIELD_SWITCH, SP(options.preload_wait), 0, 0, 0, NEED_BACKEND},
    {"layout", FIELD_NAME, SP(options.table.layout), 0, 0, layout_words, NEED_REDIS},
    {"key_prefix", FIELD_TEXT, SP(options.table.store_prefix), 0, 0, 0, NEED_REDIS},
    {"load", FIELD_TEXT, SP(options.table.load_sql), 1, 0, 0, NEED_SQLITE},
    {"store", FIELD_TEXT, SP(options.table.store_sql), 1, 0, 0, NEED_SQLITE},
    {"delete", FIELD_TEXT, SP(options.table.delete_sql), 1, 0, 0, NEED_SQLITE},
    {0},
};

static const struct field *const fields_of[SECTION_KINDS] = {root_fields, backend_fields, space_fields};

enum { FIELDS_MAX = 32, DIRTY_LIMIT_DEFAULT = 64 << 20 };

struct config {
    struct config_document *document;
    struct space_options *spaces;
    size_t space_count;
    struct tier_backend_options *backends;
    const char **listen;
};

bool config_fail(struct config_loading *loading, int line, const char *format, ...) {
    int used = snprintf(loading->error, loading->error_size, "%s:%d: ", loading->document->path, line);
    if (used < 0 || (size_t)used >= loading->error_size)
        return false;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(loading->error + used, loading->error_size - (size_t)used, format, arguments);
    va_end(arguments);
    return false;
}

int config_line(const struct config_section *section, const char *name) {
    const struct config_value *value = config_find(section, name);
    return value ? value->line : section->line;
}

static const struct field *find_field(enum section_kind kind, const char *name) {
    for (const struct field *field = fields_of[kind]; field->name; field++)
        if (strcmp(field->name, name) == 0)
            return field;
    return NULL;
}

enum field_need config_need(const char *name) {
    return find_field(SECTION_NAMESPACE, name)->need;
}

/* ---- Texts to values -------------------------------------------------------------------------------- */

static void print_size(char *out, size_t size, uint64_t bytes) {
    static const char *const units[] = {"", "kb", "mb", "gb"};
    size_t unit = 0;
    while (unit < 3 && bytes >= 1024 && bytes % 1024 == 0) {
        bytes /= 1024;
        unit++;
    }
    snprintf(out, size, "%llu%s", (unsigned long long)bytes, units[unit]);
}

static bool fail_range(struct config_loading *loading, const struct field *field,
                       const struct config_value *value) {
    char low[32], high[32];
    switch (field->kind) {
    case FIELD_SIZE:
        print_size(low, sizeof low, field->minimum);
        print_size(high, sizeof high, field->maximum);
        return config_fail(loading, value->line,
                           "%s = \"%s\": a size from %s to %s is expected, such as \"64mb\"", field->name,
                           value->text, low, high);
    case FIELD_SECONDS:
        return config_fail(
            loading, value->line,
            "%s = \"%s\": a duration from %llus to %llus in whole seconds is expected, such as \"30m\"",
            field->name, value->text, (unsigned long long)(field->minimum / 1000),
            (unsigned long long)(field->maximum / 1000));
    case FIELD_MILLISECONDS:
        return config_fail(
            loading, value->line,
            "%s = \"%s\": a duration from %llums to %llums is expected, such as \"500ms\" or \"2s\"",
            field->name, value->text, (unsigned long long)field->minimum, (unsigned long long)field->maximum);
    default:
        return config_fail(loading, value->line, "%s = \"%s\": a number from %llu to %llu is expected",
                           field->name, value->text, (unsigned long long)field->minimum,
                           (unsigned long long)field->maximum);
    }
}

static bool read_number(struct config_loading *loading, const struct field *field,
                        const struct config_value *value, uint64_t *ret_number) {
    bool (*measure)(const char *, uint64_t *) = measure_number;
    if (field->kind == FIELD_SIZE)
        measure = measure_size;
    if (field->kind == FIELD_MILLISECONDS || field->kind == FIELD_SECONDS)
        measure = measure_duration;
    uint64_t number;
    if (!measure(value->text, &number) || number < field->minimum || number > field->maximum ||
        (field->kind == FIELD_SECONDS && number % 1000 != 0))
        return fail_range(loading, field, value);
    *ret_number = field->kind == FIELD_SECONDS ? number / 1000 : number;
    return true;
}

static bool read_word(struct config_loading *loading, const struct field *field,
                      const struct config_value *value, int *ret_word) {
    char known[128] = "";
    for (int i = 0; field->words[i]; i++) {
        if (strcmp(field->words[i], value->text) == 0) {
            *ret_word = i;
            return true;
        }
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s\"%s\"", i ? " or " : "", field->words[i]);
    }
    return config_fail(loading, value->line, "%s = \"%s\": %s is expected", field->name, value->text, known);
}

static bool read_switch(struct config_loading *loading, const struct field *field,
                        const struct config_value *value, bool *ret_on) {
    static const char *const on[] = {"true", "yes", "on"}, *const off[] = {"false", "no", "off"};
    for (int i = 0; i < 3; i++) {
        if (strcasecmp(value->text, on[i]) == 0 || strcasecmp(value->text, off[i]) == 0) {
            *ret_on = strcasecmp(value->text, on[i]) == 0;
            return true;
        }
    }
    return config_fail(loading, value->line, "%s = \"%s\": true or false is expected", field->name,
                       value->text);
}

static bool read_text(struct config_loading *loading, const struct field *field,
                      const struct config_value *value, const char **ret_text) {
    if (field->minimum > 0 && !*value->text)
        return config_fail(loading, value->line, "%s is empty: give a value or remove the line", field->name);
    *ret_text = value->text;
    return true;
}

static bool read_field(struct config_loading *loading, const struct field *field,
                       const struct config_value *value, void *target) {
    char *at = (char *)target + field->offset;
    uint64_t number = 0;
    int word = 0;
    switch (field->kind) {
    case FIELD_LIST:
        return true;
    case FIELD_TEXT:
        return read_text(loading, field, value, (const char **)at);
    case FIELD_WORD:
        return read_word(loading, field, value, (int *)at);
    case FIELD_SWITCH:
        return read_switch(loading, field, value, (bool *)at);
    case FIELD_NAME:
        if (!read_word(loading, field, value, &word))
            return false;
        *(const char **)at = field->words[word];
        return true;
    case FIELD_SIZE:
        if (!read_number(loading, field, value, &number))
            return false;
        *(size_t *)at = (size_t)number;
        return true;
    case FIELD_COUNT:
    case FIELD_MILLISECONDS:
    case FIELD_SECONDS:
        if (!read_number(loading, field, value, &number))
            return false;
        *(uint32_t *)at = (uint32_t)number;
        return true;
    }
    return false;
}

static bool read_section(struct config_loading *loading, const struct config_section *section, void *target) {
    for (size_t i = 0; i < section->count; i++)
        if (!read_field(loading, find_field(section->kind, section->values[i].name), &section->values[i],
                        target))
            return false;
    return true;
}

/* ---- The whole -------------------------------------------------------------------------------------- */

static const struct space_draft space_defaults = {
    .options = {.eviction = CACHE_LRU,
                .existence = EXISTENCE_BACKEND,
                .on_backend_down = DOWN_ERROR,
                .flush_delay = 1000,
                .flush_batch = 200000,
                .on_full = FULL_WAIT,
                .journal = JOURNAL_INTERVAL},
};

static bool read_sections(struct config_loading *loading) {
    const struct config_document *document = loading->document;
    for (size_t i = 0; i < document->count; i++) {
        const struct config_section *section = &document->sections[i];
        void *target = loading->settings;
        if (section->kind == SECTION_BACKEND) {
            struct backend_draft *draft = &loading->backends[loading->backend_count++];
            draft->section = section;
            draft->options.store.name = section->title;
            target = draft;
        } else if (section->kind == SECTION_NAMESPACE) {
            struct space_draft *draft = &loading->spaces[loading->space_count++];
            *draft = space_defaults;
            draft->section = section;
            draft->options.name = section->title;
            target = draft;
        }
        if (!read_section(loading, section, target))
            return false;
    }
    return true;
}

static bool take_listen(struct config *config, struct config_loading *loading) {
    const struct config_section *root = &loading->document->sections[0];
    size_t count = 0;
    config->listen = calloc(root->count + 1, sizeof *config->listen);
    if (!config->listen)
        return config_fail(loading, 1, "no memory");
    for (size_t i = 0; i < root->count; i++)
        if (strcmp(root->values[i].name, "listen") == 0)
            config->listen[count++] = root->values[i].text;
    if (count == 0)
        config->listen[count++] = "127.0.0.1";
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
        return config_fail(loading, 1, "no memory");
    for (size_t i = 0; i < loading->space_count; i++)
        config->spaces[i] = loading->spaces[i].options;
    for (size_t i = 0; i < loading->backend_count; i++)
        config->backends[i] = loading->backends[i].options;
    config->space_count = loading->space_count;
    tier->spaces = config->spaces;
    tier->space_count = loading->space_count;
    tier->backends = config->backends;
    tier->backend_count = loading->backend_count;
    tier->data = loading->settings->data;
    return true;
}

static bool read_config(struct config *config, struct config_loading *loading) {
    size_t sections = loading->document->count;
    loading->spaces = calloc(sections, sizeof *loading->spaces);
    loading->backends = calloc(sections, sizeof *loading->backends);
    bool good = loading->spaces && loading->backends;
    if (!good)
        config_fail(loading, 1, "no memory");
    good = good && read_sections(loading) && take_listen(config, loading) && config_check_backends(loading) &&
           config_check_spaces(loading) && take_drafts(config, loading);
    free(loading->spaces);
    free(loading->backends);
    return good;
}

static void fill_names(const struct field *fields, const char *names[FIELDS_MAX]) {
    size_t count = 0;
    for (; fields[count].name; count++)
        names[count] = fields[count].name;
    names[count] = NULL;
}

struct config *config_load(const char *path, struct settings *settings, char *ret_error, size_t error_size) {
    const char *names[SECTION_KINDS][FIELDS_MAX];
    struct config_grammar grammar = {.list_name = "listen"};
    for (int kind = 0; kind < SECTION_KINDS; kind++) {
        fill_names(fields_of[kind], names[kind]);
        grammar.names[kind] = names[kind];
    }
    struct config *config = calloc(1, sizeof *config);
    if (!config) {
        snprintf(ret_error, error_size, "%s: no memory", path);
        return NULL;
    }
    config->document = config_document_read(path, &grammar, ret_error, error_size);
    struct config_loading loading = {
        .settings = settings, .document = config->document, .error = ret_error, .error_size = error_size};
    if (config->document && read_config(config, &loading))
        return config;
    config_free(config);
    return NULL;
}

void config_derive(struct config *config, const struct settings *settings) {
    for (size_t i = 0; i < config->space_count; i++) {
        struct space_options *space = &config->spaces[i];
        size_t memory = space->memory ? space->memory : settings->tier.cache.memory_limit;
        if (space->policy->holds_back && !space->dirty_limit)
            space->dirty_limit = memory / 4 < DIRTY_LIMIT_DEFAULT ? memory / 4 : DIRTY_LIMIT_DEFAULT;
    }
}

void config_free(struct config *config) {
    if (!config)
        return;
    config_document_free(config->document);
    free(config->spaces);
    free(config->backends);
    free(config->listen);
    free(config);
}
