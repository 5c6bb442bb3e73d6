/* SPDX-License-Identifier: MIT */
/*
 * -o key=value: the few that mean something here, memcached's tuning names, which are checked and ignored,
 * and those that ask for a part of memcached that is not here.
 */
#include "server/config/options_extended.h"
#include "cache/base/fit.h"
#include "server/config/measure.h"
#include "server/config/nearest.h"
#include <stdio.h>
#include <stdlib.h>

/* memcached's numbers of versions and of formats. */
enum { SSL_VERSION_1_2 = 2, SSL_VERSION_1_3, SSL_FORMAT_PEM = 1 };

enum extended_kind {
    EXTENDED_FLAG,     /* no value; a value is ignored, as memcached does */
    EXTENDED_NUMBER,   /* minimum to maximum */
    EXTENDED_MAYBE,    /* the same, or no value */
    EXTENDED_FRACTION, /* above minimum, up to maximum */
    EXTENDED_TEXT,     /* any value */
    EXTENDED_KEPT,     /* the same, and it goes to `offset` of the settings */
    EXTENDED_REFUSED,  /* reason */
};

struct extended {
    const char *name;
    enum extended_kind kind;
    double minimum, maximum;
    const char *reason;
    /* NULL: means nothing here, unless it is KEPT */
    void (*apply)(struct settings *settings, uint64_t value);
    size_t offset;
    /* As those of struct option_kind (options.c). about NULL: memcached's, accepted, and not in the manuals. */
    const char *setting, *placeholder, *standard, *about;
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

/* memcached's 3 asks again where a client renegotiates, which none can. */
static void apply_verify_mode(struct settings *settings, uint64_t value) {
    settings->tls_client_certificates =
        value < CERTIFICATES_REQUIRED ? (enum client_certificates)value : CERTIFICATES_REQUIRED;
}

static void apply_tls_version(struct settings *settings, uint64_t value) {
    settings->tls_version = value == SSL_VERSION_1_3 ? TLS_VERSION_1_3 : TLS_VERSION_1_2;
}

static void apply_tls_kernel(struct settings *settings, uint64_t value) {
    (void)value;
    settings->tls_kernel = true;
}

static void apply_nothing(struct settings *settings, uint64_t value) {
    (void)settings;
    (void)value;
}

static const char no_extstore[] =
    "there is no extstore; larger-than-memory data belongs in a namespace with a backend";
static const char no_proxy[] = "memcached's proxy is not built in";

static const double any = 4294967295.0;
#define IN_SETTINGS(member) offsetof(struct settings, member)

static const struct extended table[] = {
    {"maxconns_fast", EXTENDED_FLAG, .apply = apply_fast,
     .about = "at the connection limit a client is answered an error and closed; the default"},
    {"no_maxconns_fast", EXTENDED_FLAG, .apply = apply_not_fast,
     .about = "at the connection limit a client waits until another leaves"},
    {"idle_timeout", EXTENDED_NUMBER, 0, 31536000, .apply = apply_idle_timeout, .setting = "idle_timeout",
     .placeholder = "SECONDS", .standard = "0",
     .about = "without progress for so long, a connection is closed; 0: never"},
    {"modern", EXTENDED_FLAG, .apply = apply_nothing},
    {"no_modern", EXTENDED_FLAG, .apply = apply_not_modern},
    {"relaxed_privileges", EXTENDED_FLAG, .apply = apply_nothing},
    {"hashpower", EXTENDED_NUMBER, 12, 32, .apply = NULL},
    {"no_hashexpand", EXTENDED_FLAG, .apply = NULL},
    {"slab_reassign", EXTENDED_FLAG, .apply = NULL},
    {"no_slab_reassign", EXTENDED_FLAG, .apply = NULL},
    {"slab_automove", EXTENDED_MAYBE, 0, 2, .apply = NULL},
    {"no_slab_automove", EXTENDED_FLAG, .apply = NULL},
    {"slab_automove_ratio", EXTENDED_FRACTION, 0, 1, .apply = NULL},
    {"slab_automove_window", EXTENDED_NUMBER, 3, 1800, .apply = NULL},
    {"slab_automove_freeratio", EXTENDED_FRACTION, 0, 1, .apply = NULL},
    {"tail_repair_time", EXTENDED_NUMBER, 10, any, .apply = NULL},
    {"hash_algorithm", EXTENDED_TEXT, .apply = NULL},
    {"lru_crawler", EXTENDED_FLAG, .apply = apply_crawler},
    {"no_lru_crawler", EXTENDED_FLAG, .apply = apply_no_crawler,
     .about = "refuse `lru_crawler metadump` and `mgdump`"},
    {"lru_crawler_sleep", EXTENDED_NUMBER, 0, 1000000, .apply = NULL},
    {"lru_crawler_tocrawl", EXTENDED_NUMBER, 0, any, .apply = NULL},
    {"lru_maintainer", EXTENDED_FLAG, .apply = NULL},
    {"no_lru_maintainer", EXTENDED_FLAG, .apply = NULL},
    {"hot_lru_pct", EXTENDED_NUMBER, 1, 79, .apply = NULL},
    {"warm_lru_pct", EXTENDED_NUMBER, 1, 79, .apply = NULL},
    {"hot_max_factor", EXTENDED_FRACTION, 0, any, .apply = NULL},
    {"warm_max_factor", EXTENDED_FRACTION, 0, any, .apply = NULL},
    {"temporary_ttl", EXTENDED_NUMBER, 0, any, .apply = NULL},
    {"watcher_logbuf_size", EXTENDED_NUMBER, 1, 1 << 20, .apply = apply_watch_buffer, .placeholder = "KB",
     .standard = "256", .about = "what is kept for each watcher that reads slowly"},
    {"worker_logbuf_size", EXTENDED_NUMBER, 0, any, .apply = NULL},
    {"read_buf_mem_limit", EXTENDED_NUMBER, 0, 1 << 20, .apply = apply_reply_limit, .placeholder = "MB",
     .standard = "0", .about = "bounds the replies that wait to be sent, over all threads; 0: no limit"},
    {"resp_obj_mem_limit", EXTENDED_NUMBER, 0, any, .apply = NULL},
    {"slab_sizes", EXTENDED_TEXT, .apply = NULL},
    {"slab_chunk_max", EXTENDED_NUMBER, 1, 1024, .apply = NULL},
    {"no_chunked_items", EXTENDED_FLAG, .apply = NULL},
    {"track_sizes", EXTENDED_FLAG, .apply = NULL},
    {"inline_ascii_resp", EXTENDED_FLAG, .apply = NULL},
    {"no_inline_ascii_resp", EXTENDED_FLAG, .apply = NULL},
    {"drop_privileges", EXTENDED_FLAG, .apply = NULL},
    {"no_drop_privileges", EXTENDED_FLAG, .apply = NULL},
    {"sock_cookie_id", EXTENDED_NUMBER, 0, any, .apply = NULL},
    {"ssl_chain_cert", EXTENDED_KEPT, .offset = IN_SETTINGS(tls_certificate), .setting = "tls_certificate",
     .placeholder = "FILE", .about = "the server's [certificate](#tls), and those behind it"},
    {"ssl_key", EXTENDED_KEPT, .offset = IN_SETTINGS(tls_key), .setting = "tls_key", .placeholder = "FILE",
     .about = "its private key, if that is in another file"},
    {"ssl_keyformat", EXTENDED_NUMBER, SSL_FORMAT_PEM, SSL_FORMAT_PEM, .apply = apply_nothing},
    {"ssl_verify_mode", EXTENDED_NUMBER, 0, 3, .apply = apply_verify_mode,
     .setting = "tls_client_certificates", .placeholder = "N", .standard = "0",
     .about =
         "whether clients show a certificate: 0: no; 1: they may, and one that is shown has to be good; 2, 3: they must"},
    {"ssl_ca_cert", EXTENDED_KEPT, .offset = IN_SETTINGS(tls_ca), .setting = "tls_ca", .placeholder = "FILE",
     .about = "who makes clients' certificates"},
    {"ssl_ciphers", EXTENDED_KEPT, .offset = IN_SETTINGS(tls_ciphers), .setting = "tls_ciphers",
     .placeholder = "LIST", .about = "the ciphers of TLS 1.2"},
    {"ssl_min_version", EXTENDED_NUMBER, SSL_VERSION_1_2, SSL_VERSION_1_3, .apply = apply_tls_version,
     .setting = "tls_version", .placeholder = "N", .standard = "2",
     .about = "the lowest version of TLS: 2 is 1.2, 3 is 1.3"},
    {"ssl_kernel_tls", EXTENDED_FLAG, .apply = apply_tls_kernel, .setting = "tls_kernel",
     .about = "have the kernel encrypt, where it can"},
    {"ssl_session_cache", EXTENDED_FLAG, .apply = apply_nothing},
    {"ssl_wbuf_size", EXTENDED_NUMBER, 0, any, .apply = NULL},
    {"ext_", EXTENDED_REFUSED, .reason = no_extstore},
    {"proxy_", EXTENDED_REFUSED, .reason = no_proxy},
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
        fit_print(ret_error, error_size, "-o %s needs a value: write -o %s=VALUE", entry->name, entry->name);
        return false;
    }
    if (entry->kind == EXTENDED_TEXT || entry->kind == EXTENDED_KEPT || entry->kind == EXTENDED_FLAG)
        return true;
    char *end;
    double number = strtod(value, &end);
    bool fraction = entry->kind == EXTENDED_FRACTION;
    bool in_range =
        number <= entry->maximum && (fraction ? number > entry->minimum : number >= entry->minimum);
    if (*end == '\0' && in_range && (fraction || measure_number(value, ret_number)))
        return true;
    fit_print(ret_error, error_size, "-o %s=%s: the value has to be %s %.0f and at most %.0f", entry->name,
              value, fraction ? "above" : "at least", entry->minimum, entry->maximum);
    return false;
}

static bool check_words(const struct extended *entry, const char *value, char *ret_error, size_t error_size) {
    if (strcmp(entry->name, "hash_algorithm") != 0 || strcmp(value, "jenkins") == 0 ||
        strcmp(value, "murmur3") == 0 || strcmp(value, "xxh3") == 0)
        return true;
    fit_print(ret_error, error_size, "-o hash_algorithm=%s: the value has to be jenkins, murmur3 or xxh3",
              value);
    return false;
}

/* The part may be given several times; the last one counts. */
static bool keep_text(struct options *options, const struct extended *entry, const char *value,
                      struct settings *settings, char *ret_error, size_t error_size) {
    char *copy = options->text_count < OPTIONS_TEXTS_MAX ? strdup(value) : NULL;
    if (!copy) {
        fit_print(ret_error, error_size, "-o %s is given too often, or there is no memory for it",
                  entry->name);
        return false;
    }
    options->texts[options->text_count++] = copy;
    *(const char **)((char *)settings + entry->offset) = copy;
    return true;
}

static bool refuse_unknown(const char *word, struct slice name, char *ret_error, size_t error_size) {
    struct nearest nearest = nearest_to(name);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        nearest_consider(&nearest, table[i].name);
    if (nearest.found)
        fit_print(ret_error, error_size, "-o %s: no such option; did you mean %s?", word, nearest.found);
    else
        fit_print(ret_error, error_size, "-o %s: no such option; forebay -h names those that mean something",
                  word);
    return false;
}

bool options_read_extended(const char *word, struct settings *settings, struct options *options,
                           bool *ret_means_something, const char **ret_setting, char *ret_error,
                           size_t error_size) {
    const char *equals = strchr(word, '=');
    struct slice name = slice_of(word, equals ? (size_t)(equals - word) : strlen(word));
    const char *value = equals ? equals + 1 : NULL;
    const struct extended *entry = find(name);
    uint64_t number = 0;
    if (!entry)
        return refuse_unknown(word, name, ret_error, error_size);
    if (entry->kind == EXTENDED_REFUSED) {
        fit_print(ret_error, error_size, "-o %s: %s", word, entry->reason);
        return false;
    }
    if (!check_value(entry, value, &number, ret_error, error_size) ||
        !check_words(entry, value ? value : "", ret_error, error_size))
        return false;
    if (entry->kind == EXTENDED_KEPT && !keep_text(options, entry, value, settings, ret_error, error_size))
        return false;
    if (entry->apply)
        entry->apply(settings, number);
    else if (entry->kind != EXTENDED_KEPT)
        buffer_print(&options->notices, "-o %s has no meaning here and is ignored\n", entry->name);
    *ret_means_something = entry->kind == EXTENDED_KEPT || (entry->apply && entry->apply != apply_nothing);
    *ret_setting = entry->setting;
    return true;
}

bool options_describe_extended(size_t index, struct option_description *ret_description) {
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct extended *entry = &table[i];
        if (!entry->about || index-- > 0)
            continue;
        *ret_description = (struct option_description){.name = entry->name,
                                                       .placeholder = entry->placeholder,
                                                       .standard = entry->standard,
                                                       .about = entry->about};
        if (entry->kind == EXTENDED_NUMBER)
            measure_print_range((uint64_t)entry->minimum, (uint64_t)entry->maximum, measure_print_number,
                                ret_description->values, sizeof ret_description->values);
        return true;
    }
    return false;
}
