/* SPDX-License-Identifier: MIT */
/*
 * Redis as a store: a key per entry, everything pipelined, the version guard as a script.
 *
 * Layouts, one per namespace (docs/backends.md has the whole of it):
 *
 *     hash    a hash at the key: value, version, flags, expires_at [, cas] [, marks]; Redis expires it
 *     string  the plain value at the key, for other clients of the same Redis; a hash at
 *             forebay:beside:<key> keeps version and flags. Twice the keys, slower loads, and what others
 *             write is not guarded
 *
 * A delete leaves its version for tombstone_seconds: in the hash without a value, or in the companion. So a
 * late replay or a second node cannot bring back what was deleted. A row that expires leaves nothing.
 *
 * forebay:high_version, kept by the scripts, is the highest version ever applied to this database. By it and by a mark
 * the scripts see that the store has lost what it had (mark.c), and by the number of the last batch whoever comes over
 * a new link (acknowledged.c).
 *
 * A batch is one pipeline of script calls with several mutations each; each mutation is atomic, the batch is
 * not, and all of it can be repeated. A connection that breaks is reopened inside the call (link.c), as long
 * as the call's timeout allows. Redis may be down when Forebay starts: open answers OK then, and the calls
 * fail.
 *
 * hiredis writes without MSG_NOSIGNAL: the program must ignore SIGPIPE.
 *
 * The address in messages never holds user or password.
 */
#include "backends/redis/internal.h"
#include "backends/redis/slots.h"
#include "cache/base/fit.h"
#include <arpa/inet.h>

/* ---- Settings ---- */

enum { DAY = 24 * 60 * 60, TEN_YEARS = 10 * 365 * DAY, MS = 1000 };

static const char *const layout_words[] = {"hash", "string", NULL};

#define IN_BACKEND(member) offsetof(struct redis_options, member)
#define IN_TABLE(member)   offsetof(struct redis_table_options, member)

static const struct setting settings[] = {
    {"tombstone_ttl", SETTING_SECONDS, IN_BACKEND(tombstone_seconds), MS, (uint64_t)TEN_YEARS *MS,
     .standard = DAY, .change = SETTING_FIXED, .about = "how long the version of a deleted entry is kept"},
    {"replicas", SETTING_COUNT, IN_BACKEND(replicas), 0, 16, .change = SETTING_FIXED,
     .about =
         "so many replicas must have a batch before it counts as written ([backends](backends.md#replicas)); 0: none"},
    {"sentinel_password", SETTING_TEXT, IN_BACKEND(sentinel_password), .minimum = 1, .change = SETTING_FIXED,
     .is_secret = true,
     .about =
         "of the Sentinels; user and password in `uri` are those of the master ([backends](backends.md#sentinel))"},
    {"sentinel_user", SETTING_TEXT, IN_BACKEND(sentinel_user), .minimum = 1, .change = SETTING_FIXED,
     .about = "of the Sentinels, where they have an access list"},
    {0},
};

static const struct setting table_settings[] = {
    {"layout", SETTING_NAME, IN_TABLE(layout), .words = layout_words, .change = SETTING_FIXED,
     .about = "`hash`, or `string` for keys that other clients read"},
    {"key_prefix", SETTING_TEXT, IN_TABLE(store_prefix), .standard_text = "", .change = SETTING_FIXED,
     .about =
         "prepended to each key in Redis; [names of two namespaces must not meet](backends.md#what-every-backend-promises)"},
    {0},
};

/* ---- The kind ---- */

/* Of the Sentinels. A name without a password would be taken for one. */
static bool check_login(const struct backend_options *options, const struct redis_address *address,
                        struct backend_complaint *ret_complaint) {
    struct redis_options own;
    if (!backend_take_specific(&redis_backend, &redis_backend.options, options->specific, &own))
        return true; /* told where it is opened */
    const char *setting = own.sentinel_user ? "sentinel_user" : "sentinel_password";
    bool unused = (own.sentinel_user || own.sentinel_password) && address->sentinel_count == 0;
    if (!unused && (!own.sentinel_user || own.sentinel_password))
        return true;
    ret_complaint->setting = setting;
    fit_print(ret_complaint->message, sizeof ret_complaint->message,
              unused ? "%s of backend \"%s\" is for redis+sentinel://, which its uri is not: remove it"
                     : "%s of backend \"%s\" needs sentinel_password",
              setting, options->name);
    return false;
}

static bool check(const struct backend_options *options, struct backend_complaint *ret_complaint) {
    struct redis_address address;
    const char *problem;
    if (!redis_address_parse(options->uri, &address, &problem)) {
        ret_complaint->setting = "uri";
        fit_print(ret_complaint->message, sizeof ret_complaint->message, "backend \"%s\": bad URI: %s",
                  options->name, problem);
        return false;
    }
    return check_login(options, &address, ret_complaint);
}

static bool check_table(const struct backend_table *table, const char *scanned_for,
                        struct backend_complaint *ret_complaint) {
    (void)table, (void)scanned_for, (void)ret_complaint;
    return true;
}

static enum backend_keys keys(const struct backend_table *table) {
    (void)table;
    return BACKEND_KEYS_ANY;
}

/* A link, and one over which somebody is asked where the master is. In a cluster as many links as there are masters, of
 * which the settings tell no more than that some are named. */
static struct backend_descriptors descriptors(const struct backend_options *options, enum backend_role role) {
    struct redis_address address;
    const char *problem;
    unsigned links = role == BACKEND_WATCHER ? 2 : 1; /* watch_cluster.c */
    if (!redis_address_parse(options->uri, &address, &problem) || address.seed_count == 0)
        return (struct backend_descriptors){2, 2};
    return (struct backend_descriptors){links * (unsigned)address.seed_count + 1,
                                        links * REDIS_MASTERS_MAX + 1};
}

static bool is_number(const char *host) {
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* Sentinels and nodes of a cluster say where others are, by names or numbers, and at which ports. */
static void needs(const struct backend_options *options, struct backend_needs *ret_needs) {
    struct redis_address address;
    const char *problem;
    *ret_needs = (struct backend_needs){0};
    if (!redis_address_parse(options->uri, &address, &problem) || *address.path)
        return;
    bool is_told = address.sentinel_count > 0 || address.seed_count > 0;
    ret_needs->port = is_told ? -1 : address.place.port;
    ret_needs->looks_up = is_told || !is_number(address.place.host);
}

/* Redis expires and forgets by itself. */
static enum backend_status redis_maintain(struct backend_connection *base, uint32_t now, bool *ret_more,
                                          struct backend_error *ret_error) {
    (void)base, (void)now, (void)ret_error;
    *ret_more = false;
    return BACKEND_OK;
}

const struct backend_type redis_backend = {
    .scheme = "redis",
    .title = "Redis",
    .article = "a",
    .schemes = "redis, redis+unix, redis+sentinel, redis+cluster",
    .example = "\"redis://127.0.0.1:6379/0\"",
    .options = {settings, sizeof(struct redis_options)},
    .table_options = {table_settings, sizeof(struct redis_table_options)},
    .check = check,
    .check_table = check_table,
    .keys = keys,
    .remembers_deletes = true,
    .same_store = redis_same_store,
    .overlap = redis_overlap,
    .place = redis_place,
    .exposed = redis_exposed,
    .needs = needs,
    .descriptors = descriptors,
    .open = redis_open,
    .probe = redis_probe,
    .high_version = redis_high_version,
    .look = redis_look,
    .load = redis_load,
    .apply = redis_apply,
    .scan = redis_scan,
    .extent = redis_extent,
    .maintain = redis_maintain,
    .changes = redis_changes,
    .versions = redis_versions,
    .close = redis_close,
};
