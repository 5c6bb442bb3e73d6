/* SPDX-License-Identifier: MIT */
/*
 * -o key=value: the few that mean something here, memcached's tuning names, which are checked and ignored,
 * and those that ask for a part of memcached that is not here.
 */
#include "server/config/options_extended.h"
#include "server/config/measure.h"
#include <stdio.h>
#include <stdlib.h>

enum extended_kind {
    EXTENDED_FLAG,     /* no value; a value is ignored, as memcached does */
    EXTENDED_NUMBER,   /* minimum to maximum */
    EXTENDED_MAYBE,    /* the same, or no value */
    EXTENDED_FRACTION, /* above minimum, up to maximum */
    EXTENDED_TEXT,     /* any value */
    EXTENDED_REFUSED,  /* reason */
};

struct extended {
    const char *name;
    enum extended_kind kind;
    double minimum, maximum;
    const char *reason;
    void (*apply)(struct settings *settings, uint64_t value); /* NULL: means nothing here */
};

static void apply_fast(struct settings *settings, uint64_t value) {
    (void)value;
    settings->maxconns_fast = true;
}

static void apply_not_fast(struct settings *settings, uint64_t value) {
    (void)value;
    settings->maxconns_fast = false;
}

static void apply_idle_timeout(struct settings *settings, uint64_t value) {
    settings->idle_timeout = (unsigned)value;
}

static void apply_crawler(struct settings *settings, uint64_t value) {
    (void)value;
    settings->crawler = true;
}

static void apply_no_crawler(struct settings *settings, uint64_t value) {
    (void)value;
    settings->crawler = false;
}

static void apply_not_modern(struct settings *settings, uint64_t value) {
    apply_not_fast(settings, value);
    apply_no_crawler(settings, value);
}

static void apply_watch_buffer(struct settings *settings, uint64_t value) {
    settings->watch_buffer = (size_t)value << 10;
}

static void apply_reply_limit(struct settings *settings, uint64_t value) {
    settings->reply_limit = (size_t)value << 20;
}

static void apply_nothing(struct settings *settings, uint64_t value) {
    (void)settings;
    (void)value;
}

static const char no_extstore[] =
    "there is no extstore; larger-than-memory data belongs in a namespace with a backend";
static const char no_tls[] = "TLS is not built in; put a TLS proxy in front";
static const char no_proxy[] = "memcached's proxy is not built in";

static const double any = 4294967295.0;

static const struct extended table[] = {
    {"maxconns_fast", EXTENDED_FLAG, .apply = apply_fast},
    {"no_maxconns_fast", EXTENDED_FLAG, .apply = apply_not_fast},
    {"idle_timeout", EXTENDED_NUMBER, 0, 31536000, .apply = apply_idle_timeout},
    {"modern", EXTENDED_FLAG, .apply = apply_nothing},
    {"no_modern", EXTENDED_FLAG, .apply = apply_not_modern},
    {"relaxed_privileges", EXTENDED_FLAG, .apply = apply_nothing},
    {"hashpower", EXTENDED_NUMBER, 12, 32, 0, 0},
    {"no_hashexpand", EXTENDED_FLAG, 0, 0, 0, 0},
    {"slab_reassign", EXTENDED_FLAG, 0, 0, 0, 0},
    {"no_slab_reassign", EXTENDED_FLAG, 0, 0, 0, 0},
    {"slab_automove", EXTENDED_MAYBE, 0, 2, 0, 0},
    {"no_slab_automove", EXTENDED_FLAG, 0, 0, 0, 0},
    {"slab_automove_ratio", EXTENDED_FRACTION, 0, 1, 0, 0},
    {"slab_automove_window", EXTENDED_NUMBER, 3, 1800, 0, 0},
    {"slab_automove_freeratio", EXTENDED_FRACTION, 0, 1, 0, 0},
    {"tail_repair_time", EXTENDED_NUMBER, 10, any, 0, 0},
    {"hash_algorithm", EXTENDED_TEXT, 0, 0, 0, 0},
    {"lru_crawler", EXTENDED_FLAG, .apply = apply_crawler},
    {"no_lru_crawler", EXTENDED_FLAG, .apply = apply_no_crawler},
    {"lru_crawler_sleep", EXTENDED_NUMBER, 0, 1000000, 0, 0},
    {"lru_crawler_tocrawl", EXTENDED_NUMBER, 0, any, 0, 0},
    {"lru_maintainer", EXTENDED_FLAG, 0, 0, 0, 0},
    {"no_lru_maintainer", EXTENDED_FLAG, 0, 0, 0, 0},
    {"hot_lru_pct", EXTENDED_NUMBER, 1, 79, 0, 0},
    {"warm_lru_pct", EXTENDED_NUMBER, 1, 79, 0, 0},
    {"hot_max_factor", EXTENDED_FRACTION, 0, any, 0, 0},
    {"warm_max_factor", EXTENDED_FRACTION, 0, any, 0, 0},
    {"temporary_ttl", EXTENDED_NUMBER, 0, any, 0, 0},
    {"watcher_logbuf_size", EXTENDED_NUMBER, 1, 1 << 20, .apply = apply_watch_buffer},
    {"worker_logbuf_size", EXTENDED_NUMBER, 0, any, 0, 0},
    {"read_buf_mem_limit", EXTENDED_NUMBER, 0, 1 << 20, .apply = apply_reply_limit},
    {"resp_obj_mem_limit", EXTENDED_NUMBER, 0, any, 0, 0},
    {"slab_sizes", EXTENDED_TEXT, 0, 0, 0, 0},
    {"slab_chunk_max", EXTENDED_NUMBER, 1, 1024, 0, 0},
    {"no_chunked_items", EXTENDED_FLAG, 0, 0, 0, 0},
    {"track_sizes", EXTENDED_FLAG, 0, 0, 0, 0},
    {"inline_ascii_resp", EXTENDED_FLAG, 0, 0, 0, 0},
    {"no_inline_ascii_resp", EXTENDED_FLAG, 0, 0, 0, 0},
    {"drop_privileges", EXTENDED_FLAG, 0, 0, 0, 0},
    {"no_drop_privileges", EXTENDED_FLAG, 0, 0, 0, 0},
    {"sock_cookie_id", EXTENDED_NUMBER, 0, any, 0, 0},
    {"ext_", EXTENDED_REFUSED, 0, 0, no_extstore, 0},
    {"ssl_", EXTENDED_REFUSED, 0, 0, no_tls, 0},
    {"proxy_", EXTENDED_REFUSED, 0, 0, no_proxy, 0},
};

static const struct extended *find(struct slice name) {
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct slice known = slice_string(table[i].name);
        if (table[i].kind == EXTENDED_REFUSED ? slice_starts_with(name, known) : slice_equal(name, known))
            return &table[i];
    }
    return NULL;
}

/* False when the value is not a number or out of range; ret_error says which range. */
static bool check_value(const struct extended *entry, const char *value, uint64_t *ret_number,
                        char *ret_error, size_t error_size) {
    bool wants_value = entry->kind != EXTENDED_FLAG && entry->kind != EXTENDED_MAYBE;
    if (!value && !wants_value)
        return true;
    if (!value || !*value) {
        snprintf(ret_error, error_size, "-o %s needs a value: write -o %s=VALUE", entry->name, entry->name);
        return false;
    }
    if (entry->kind == EXTENDED_TEXT || entry->kind == EXTENDED_FLAG)
        return true;
    char *end;
    double number = strtod(value, &end);
    bool fraction = entry->kind == EXTENDED_FRACTION;
    bool in_range =
        number <= entry->maximum && (fraction ? number > entry->minimum : number >= entry->minimum);
    if (*end == '\0' && in_range && (fraction || measure_number(value, ret_number)))
        return true;
    snprintf(ret_error, error_size, "-o %s=%s: the value has to be %s %.0f and at most %.0f", entry->name,
             value, fraction ? "above" : "at least", entry->minimum, entry->maximum);
    return false;
}

static bool check_words(const struct extended *entry, const char *value, char *ret_error, size_t error_size) {
    if (strcmp(entry->name, "hash_algorithm") != 0 || strcmp(value, "jenkins") == 0 ||
        strcmp(value, "murmur3") == 0 || strcmp(value, "xxh3") == 0)
        return true;
    snprintf(ret_error, error_size, "-o hash_algorithm=%s: the value has to be jenkins, murmur3 or xxh3",
             value);
    return false;
}

bool options_read_extended(const char *word, struct settings *settings, struct buffer *notices,
                           char *ret_error, size_t error_size) {
    const char *equals = strchr(word, '=');
    struct slice name = slice_of(word, equals ? (size_t)(equals - word) : strlen(word));
    const char *value = equals ? equals + 1 : NULL;
    const struct extended *entry = find(name);
    uint64_t number = 0;
    if (!entry) {
        snprintf(ret_error, error_size, "-o %s: no such option; forebay -h names those that mean something",
                 word);
        return false;
    }
    if (entry->kind == EXTENDED_REFUSED) {
        snprintf(ret_error, error_size, "-o %s: %s", word, entry->reason);
        return false;
    }
    if (!check_value(entry, value, &number, ret_error, error_size) ||
        !check_words(entry, value ? value : "", ret_error, error_size))
        return false;
    if (entry->apply)
        entry->apply(settings, number);
    else
        buffer_print(notices, "-o %s has no meaning here and is ignored\n", entry->name);
    return true;
}
