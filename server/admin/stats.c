/* SPDX-License-Identifier: MIT */
/*
 * The command `stats`. The general form has exactly the keys of a memcached that runs without LRU maintainer,
 * with its names and units; what means nothing here is 0. Our own are in `stats forebay`.
 * Words behind `stats` are matched as memcached does: its older ones by any beginning ("stats r" resets), all
 * others whole.
 *
 * There are no slab classes. In `items` and `slabs` a namespace stands for one: class 1 is the first
 * namespace.
 */
#include "server/admin/stats.h"
#include "policies/tier.h"
#include "server/admin/dump.h"
#include "server/admin/feed.h"
#include "server/admin/stats_detail.h"
#include "server/admin/watch.h"
#include "server/admin/words.h"
#include "server/config/settings.h"
#include "server/listener.h"
#include "server/tls/context.h"
#include "server/worker/worker_stats.h"
#include <ev.h>
#include <sys/resource.h>
#include <unistd.h>

struct report {
    struct stat_sink sink; /* first: for what the tier and the workers tell */
    struct buffer *out;
};

/* Clients split a line into three words: an empty value is shown as "". */
static void add_line(struct stat_sink *sink, const char *name, const char *value) {
    buffer_print(((struct report *)sink)->out, "STAT %s %s\r\n", name, *value ? value : "\"\"");
}

static void add_number(struct report *report, const char *name, uint64_t value) {
    buffer_print(report->out, "STAT %s %llu\r\n", name, (unsigned long long)value);
}

static void add_text(struct report *report, const char *name, const char *value) {
    add_line(&report->sink, name, value);
}

static void add_switch(struct report *report, const char *name, bool on) {
    add_text(report, name, on ? "yes" : "no");
}

struct number {
    const char *name;
    uint64_t value;
};

static void add_numbers(struct report *report, const struct number *numbers, size_t count) {
    for (size_t i = 0; i < count; i++)
        add_number(report, numbers[i].name, numbers[i].value);
}

#define ADD_NUMBERS(report, ...)                                                                             \
    add_numbers(report, (const struct number[]){__VA_ARGS__},                                                \
                sizeof((const struct number[]){__VA_ARGS__}) / sizeof(struct number))

/* One of a list of TIER_COUNTERS, out of `counters`. */
#define COUNTER(name) {#name, counters->name},

/* ---- stats ---- */

static void add_usage(struct report *report) {
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    buffer_print(report->out, "STAT rusage_user %ld.%06ld\r\nSTAT rusage_system %ld.%06ld\r\n",
                 (long)usage.ru_utime.tv_sec, (long)usage.ru_utime.tv_usec, (long)usage.ru_stime.tv_sec,
                 (long)usage.ru_stime.tv_usec);
}

static void add_process(struct report *report, const struct server *server) {
    uint64_t up_us = monotonic_us() - server->started_us;
    ADD_NUMBERS(report, {"pid", (uint64_t)getpid()}, {"uptime", up_us / US_PER_SECOND},
                {"time", wall_us() / US_PER_SECOND});
    add_text(report, "version", STATS_MEMCACHED_VERSION);
    buffer_print(report->out, "STAT libevent libev-%d.%d\r\n", ev_version_major(), ev_version_minor());
    add_number(report, "pointer_size", 8 * sizeof(void *));
    add_usage(report);
}

static void add_connections(struct report *report, const struct server *server,
                            const struct worker_stats *workers) {
    uint64_t open = atomic_load(&server->connections);
    ADD_NUMBERS(report, {"max_connections", server->settings->max_connections}, {"curr_connections", open},
                {"total_connections", atomic_load(&server->connections_total)});
    if (server->settings->maxconns_fast)
        add_number(report, "rejected_connections", atomic_load(&server->connections_rejected));
    ADD_NUMBERS(report, {"connection_structures", open}, {"response_obj_oom", workers->replies_refused},
                {"response_obj_count", 0}, {"response_obj_bytes", 0}, {"read_buf_count", 0},
                {"read_buf_bytes", atomic_load(&server->request_bytes)}, {"read_buf_bytes_free", 0},
                {"read_buf_oom", workers->requests_starved}, {"reserved_fds", 0});
}

static void add_commands(struct report *report, const struct tier_counters *counters,
                         const struct cache_stats *cache) {
    ADD_NUMBERS(report, TIER_COUNTERS_OF_GETS(COUNTER));
    ADD_NUMBERS(report, {"get_expired", cache->found_expired}, {"get_flushed", cache->found_voided});
    ADD_NUMBERS(report, TIER_COUNTERS_OF_CHANGES(COUNTER));
}

static void add_traffic(struct report *report, const struct server *server,
                        const struct worker_stats *workers) {
    ADD_NUMBERS(report, {"auth_cmds", workers->auth_commands}, {"auth_errors", workers->auth_errors});
    if (server->settings->idle_timeout || workers->idle_kicks > 0)
        add_number(report, "idle_kicks", workers->idle_kicks);
    ADD_NUMBERS(report, {"bytes_read", workers->bytes_read},
                {"bytes_written", workers->bytes_written + feeds_bytes(server->feeds)});
}

/* As memcached does where it speaks TLS. */
static void add_tls(struct report *report, const struct server *server, const struct worker_stats *workers) {
    if (server->tls)
        ADD_NUMBERS(report, {"ssl_new_sessions", workers->tls_handshakes - workers->tls_resumed},
                    {"ssl_handshake_errors", workers->tls_handshake_errors},
                    {"ssl_proto_errors", workers->tls_errors},
                    {"time_since_server_cert_refresh", tls_age(server->tls)});
}

/* What memcached tells of its slab pages. */
static void add_slab_mover(struct report *report) {
    ADD_NUMBERS(report, {"slab_reassign_rescues", 0}, {"slab_reassign_chunk_rescues", 0},
                {"slab_reassign_inline_reclaim", 0}, {"slab_reassign_busy_items", 0},
                {"slab_reassign_busy_deletes", 0}, {"slab_reassign_busy_nomem", 0});
    add_text(report, "slab_reassign_last_busy_status", "none");
    ADD_NUMBERS(report, {"slab_reassign_running", 0}, {"slabs_moved", 0});
}

static void add_limits(struct report *report, const struct server *server, const struct worker_stats *workers,
                       const struct cache_stats *cache) {
    bool accepting = !server->listener || listener_is_accepting(server->listener);
    uint64_t level = 0;
    struct watch_stats log;
    watch_get_stats(server->watch, &log);
    while (level < 63 && (1ull << level) < cache->index_buckets)
        level++;
    ADD_NUMBERS(report, {"limit_maxbytes", cache->memory_limit}, {"accepting_conns", accepting},
                {"listen_disabled_num", atomic_load(&server->listen_disabled)},
                {"time_in_listen_disabled_us", atomic_load(&server->listen_disabled_us)},
                {"threads", server->settings->threads}, {"conn_yields", workers->yields},
                {"hash_power_level", level}, {"hash_bytes", cache->index_bytes}, {"hash_is_expanding", 0});
    add_slab_mover(report);
    if (atomic_load(&server->crawler))
        ADD_NUMBERS(report, {"lru_crawler_running", atomic_load(&server->dumping)},
                    {"lru_crawler_starts", atomic_load(&server->crawler_starts)});
    ADD_NUMBERS(report, {"malloc_fails", cache->no_memory}, {"log_worker_dropped", 0},
                {"log_worker_written", log.written}, {"log_watcher_skipped", log.skipped},
                {"log_watcher_sent", log.sent}, {"log_watchers", log.watchers}, {"unexpected_napi_ids", 0},
                {"round_robin_fallback", 0});
}

static void add_items(struct report *report, const struct cache_stats *cache) {
    ADD_NUMBERS(report, {"bytes", cache->bytes}, {"curr_items", cache->entries},
                {"total_items", cache->total_stored}, {"slab_global_page_pool", 0},
                {"expired_unfetched", cache->expired_unfetched},
                {"evicted_unfetched", cache->evicted_unfetched}, {"evictions", cache->evictions},
                {"reclaimed", cache->expired}, {"crawler_reclaimed", cache->expired},
                {"crawler_items_checked", 0}, {"lrutail_reflocked", 0});
}

static void add_running(struct report *report, const struct server *server) {
    ADD_NUMBERS(report, {"reloads", atomic_load(&server->reloads)},
                {"reload_failures", atomic_load(&server->reload_failures)},
                {"last_reload_time", atomic_load(&server->reload_seconds)},
                {"handover", tier_hands_over(server->tier)},
                {"workers_in_rotation", atomic_load(&server->workers_in_rotation)});
    if (server->worker_count)
        add_text(report, "io", worker_io_name(server->workers[0]));
}

static void add_own(struct report *report, const struct worker_stats *workers,
                    const struct tier_counters *counters, const struct cache_stats *cache) {
    add_text(report, "forebay_version", FOREBAY_VERSION);
    ADD_NUMBERS(report, {"memory_used", cache->memory_used}, {"dirty_entries", cache->dirty_entries},
                {"dirty_bytes", cache->dirty_bytes}, {"tombstones", cache->tombstones},
                {"negatives", cache->negatives}, {"large_entries", cache->large_entries},
                {"large_bytes", cache->large_bytes}, {"segments", cache->segments},
                {"segment_bytes", cache->segment_bytes}, {"dead_bytes", cache->dead_bytes},
                {"cleaned_bytes", cache->cleaned_bytes});
    ADD_NUMBERS(report, TIER_COUNTERS_OF_OUR_OWN(COUNTER));
    ADD_NUMBERS(report, {"turns", histogram_count(&workers->turn_times)}, {"full_turns", workers->full_turns},
                {"requests", workers->requests},
                {"turn_p99_us", histogram_rank_us(&workers->turn_times, 9900)},
                {"turn_p9999_us", histogram_rank_us(&workers->turn_times, 9999)},
                {"turn_max_us", histogram_rank_us(&workers->turn_times, 10000)},
                {"unsent_bytes", workers->unsent_bytes}, {"slow_readers", workers->slow_readers},
                {"aside_bytes", workers->aside_bytes}, {"aside_strains", workers->aside_strains},
                {"auth_timeouts", workers->auth_timeouts}, {"requests_forbidden", workers->forbidden});
}

static void sum_workers(const struct server *server, struct worker_stats *ret_sum) {
    *ret_sum = (struct worker_stats){0};
    for (unsigned i = 0; i < server->worker_count; i++)
        worker_add_stats(server->workers[i], ret_sum);
}

struct totals {
    struct worker_stats workers;
    struct tier_counters counters;
    struct cache_stats cache;
};

static struct totals sum_all(const struct server *server) {
    struct totals totals = {0};
    sum_workers(server, &totals.workers);
    tier_get_counters(server->tier, &totals.counters);
    cache_get_stats(tier_cache(server->tier), CACHE_ALL_SPACES, &totals.cache);
    return totals;
}

static void report_general(struct report *report, struct server *server) {
    struct totals totals = sum_all(server);
    add_process(report, server);
    add_connections(report, server, &totals.workers);
    add_commands(report, &totals.counters, &totals.cache);
    add_traffic(report, server, &totals.workers);
    add_tls(report, server, &totals.workers);
    add_limits(report, server, &totals.workers, &totals.cache);
    add_items(report, &totals.cache);
}

static void report_own(struct report *report, struct server *server) {
    struct totals totals = sum_all(server);
    add_own(report, &totals.workers, &totals.counters, &totals.cache);
    tier_stat_latencies(server->tier, &report->sink);
    add_running(report, server);
}

/* ---- stats settings ---- */

static void add_interfaces(struct report *report, const struct settings *settings) {
    char text[1024] = "";
    size_t used = 0;
    for (size_t i = 0; i < settings->listen_count && used < sizeof text; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i ? "," : "", settings->listen[i]);
    buffer_print(report->out, "STAT tcpport %d\r\nSTAT udpport 0\r\n", settings->port);
    add_text(report, "inter", *text ? text : "NULL");
    add_text(report, "domain_socket", settings->unix_socket ? settings->unix_socket : "NULL");
    buffer_print(report->out, "STAT umask %o\r\n", settings->unix_mask);
}

static const char *const protocol_names[] = {
    [PROTOCOLS_AUTO] = "auto-negotiate", [PROTOCOLS_ASCII] = "ascii", [PROTOCOLS_BINARY] = "binary"};

static void add_permissions(struct report *report, const struct server *server) {
    char restricted[200];
    const struct settings *settings = server->settings;
    add_text(report, "evictions", settings->tier.cache.no_eviction ? "off" : "on");
    add_switch(report, "shutdown_command", settings->allow_shutdown);
    add_switch(report, "flush_enabled", settings->allow_flush_all);
    add_switch(report, "dump_enabled", settings->allow_dump);
    settings_list_restrictions(settings, ",", restricted, sizeof restricted);
    add_text(report, "restrict", *restricted ? restricted : "none");
    add_switch(report, "cas_enabled", settings->cas_enabled);
    add_switch(report, "maxconns_fast", settings->maxconns_fast);
    add_switch(report, "detail_enabled", stats_detail_is_on(server));
    add_switch(report, "auth_enabled_sasl",
               settings_ask_who(settings) && settings->protocols != PROTOCOLS_ASCII);
    add_text(report, "auth_enabled_ascii",
             settings->user_count  ? settings->config_file
             : settings->auth_file ? settings->auth_file
                                   : "no");
    add_text(report, "binding_protocol", protocol_names[settings->protocols]);
}

static void add_path(struct report *report, const char *name, const char *path) {
    add_text(report, name, path ? path : "NULL");
}

/* With memcached's names and numbers. */
static void add_tls_settings(struct report *report, const struct server *server) {
    const struct settings *settings = server->settings;
    if (!server->tls)
        return;
    add_switch(report, "ssl_enabled", true);
    add_path(report, "ssl_chain_cert", settings->tls_certificate);
    add_path(report, "ssl_key", settings->tls_key);
    add_number(report, "ssl_verify_mode", settings->tls_client_certificates);
    add_path(report, "ssl_ciphers", settings->tls_ciphers);
    add_path(report, "ssl_ca_cert", settings->tls_ca);
    add_switch(report, "ssl_kernel_tls", settings->tls_kernel);
    add_text(report, "ssl_min_version", settings->tls_version == TLS_VERSION_1_3 ? "tlsv1.3" : "tlsv1.2");
}

static void report_settings(struct report *report, struct server *server) {
    const struct settings *settings = server->settings;
    struct cache_stats cache = {0};
    cache_get_stats(tier_cache(server->tier), CACHE_ALL_SPACES, &cache);
    ADD_NUMBERS(report, {"maxbytes", cache.memory_limit}, {"maxconns", settings->max_connections});
    add_interfaces(report, settings);
    ADD_NUMBERS(report, {"verbosity", (uint64_t)atomic_load(&server->verbosity)},
                {"num_threads", settings->threads}, {"reqs_per_event", settings->requests_per_event},
                {"tcp_backlog", settings->backlog}, {"item_size_max", settings->item_max},
                {"idle_timeout", settings->idle_timeout}, {"client_flags_size", sizeof(uint32_t)});
    buffer_print(report->out, "STAT stat_key_prefix %c\r\n", settings->stats_prefix_delimiter);
    add_permissions(report, server);
    add_tls_settings(report, server);
    add_text(report, "hash_algorithm", "xxh3");
    add_switch(report, "lru_crawler", atomic_load(&server->crawler));
    ADD_NUMBERS(report, {"watcher_logbuf_size", settings->watch_buffer},
                {"read_buf_mem_limit", settings->reply_limit});
    add_switch(report, "track_sizes", false);
    ADD_NUMBERS(report, {"sync_timeout_ms", settings->sync_timeout},
                {"drain_timeout_ms", settings->tier.drain_timeout}, {"node", settings->tier.cache.node},
                {"request_memory", settings_request_memory(settings)});
    add_text(report, "config_file", settings->config_file ? settings->config_file : "NULL");
    add_text(report, "data", settings->data ? settings->data : "NULL");
}

/* ---- stats items, slabs, conns, sizes ---- */

static void add_class_numbers(struct report *report, const char *head, size_t class,
                              const struct number *numbers, size_t count) {
    for (size_t i = 0; i < count; i++)
        buffer_print(report->out, "STAT %s%zu:%s %llu\r\n", head, class, numbers[i].name,
                     (unsigned long long)numbers[i].value);
}

#define ADD_CLASS_NUMBERS(report, head, class, ...)                                                          \
    add_class_numbers(report, head, class, (const struct number[]){__VA_ARGS__},                             \
                      sizeof((const struct number[]){__VA_ARGS__}) / sizeof(struct number))

static void report_items(struct report *report, struct server *server) {
    for (size_t i = 0; i < tier_space_count(server->tier); i++) {
        struct cache_stats cache = {0};
        cache_get_stats(tier_cache(server->tier), (int)i, &cache);
        if (cache.entries == 0)
            continue;
        ADD_CLASS_NUMBERS(report, "items:", i + 1, {"number", cache.entries}, {"mem_requested", cache.bytes},
                          {"evicted", cache.evictions}, {"outofmemory", cache.no_memory}, {"tailrepairs", 0},
                          {"reclaimed", cache.expired}, {"expired_unfetched", cache.expired_unfetched},
                          {"evicted_unfetched", cache.evicted_unfetched},
                          {"crawler_reclaimed", cache.expired}, {"crawler_items_checked", 0},
                          {"lrutail_reflocked", 0});
    }
}

/* mem_requested is not here: where both lists have it, a client that takes them for one has it twice. */
static void add_slab(struct report *report, size_t class, const struct cache_stats *cache,
                     const struct tier_counters *counters) {
    ADD_CLASS_NUMBERS(report, "", class, {"total_pages", cache->segments}, {"used_chunks", cache->entries},
                      {"get_hits", counters->get_hits}, {"cmd_set", counters->cmd_set},
                      {"delete_hits", counters->delete_hits}, {"incr_hits", counters->incr_hits},
                      {"decr_hits", counters->decr_hits}, {"cas_hits", counters->cas_hits},
                      {"cas_badval", counters->cas_badval}, {"touch_hits", counters->touch_hits});
}

static void report_slabs(struct report *report, struct server *server) {
    uint64_t active = 0;
    struct cache_stats cache = {0};
    for (size_t i = 0; i < tier_space_count(server->tier); i++) {
        struct tier_counters counters;
        cache_get_stats(tier_cache(server->tier), (int)i, &cache);
        if (cache.entries == 0 && cache.total_stored == 0)
            continue;
        active++;
        tier_get_space_counters(server->tier, i, &counters);
        add_slab(report, i + 1, &cache, &counters);
    }
    cache_get_stats(tier_cache(server->tier), CACHE_ALL_SPACES, &cache);
    ADD_NUMBERS(report, {"active_slabs", active}, {"total_malloced", cache.memory_used});
}

static void report_conns(struct report *report, struct server *server) {
    if (server->listener)
        listener_stat(server->listener, &report->sink);
    for (unsigned i = 0; i < server->worker_count; i++)
        worker_stat_connections(server->workers[i], &report->sink);
}

static void report_sizes(struct report *report, struct server *server) {
    (void)server;
    add_text(report, "sizes_status", "disabled");
}

/* ---- What the tier tells ---- */

static void report_namespaces(struct report *report, struct server *server) {
    tier_stat_spaces(server->tier, &report->sink);
}

static void report_backends(struct report *report, struct server *server) {
    tier_stat_backends(server->tier, &report->sink);
}

static void report_write_behind(struct report *report, struct server *server) {
    tier_stat_write_behind(server->tier, &report->sink);
}

static void report_quarantine(struct report *report, struct server *server) {
    tier_stat_quarantine(server->tier, &report->sink);
}

/* ---- Those that are not lists ---- */

static void reset(struct server *server) {
    tier_reset_stats(server->tier);
    for (unsigned i = 0; i < server->worker_count; i++)
        worker_reset_stats(server->workers[i]);
    stats_detail_reset(server->detail);
    watch_reset_stats(server->watch);
    feeds_reset(server->feeds);
    atomic_store(&server->crawler_starts, 0);
    atomic_store(&server->connections_total, 0);
    atomic_store(&server->connections_rejected, 0);
    atomic_store(&server->listen_disabled, 0);
    atomic_store(&server->listen_disabled_us, 0);
}

static void answer(struct buffer *out, const char *line) {
    buffer_print(out, "%s\r\n", line);
}

static void run_detail(struct server *server, struct slice what, struct buffer *out) {
    if (!server->settings->allow_dump) {
        answer(out, "CLIENT_ERROR stats detail not allowed");
    } else if (words_equal(what, "on") || words_equal(what, "off")) {
        stats_detail_set(server->detail, words_equal(what, "on"));
        answer(out, "OK");
    } else if (words_equal(what, "dump")) {
        stats_detail_dump(server->detail, out);
    } else {
        answer(out, "CLIENT_ERROR usage: stats detail on|off|dump");
    }
}

static void run_cachedump(struct server *server, const struct words *words, struct buffer *out) {
    uint32_t class, limit;
    if (!server->settings->allow_dump)
        answer(out, "CLIENT_ERROR stats cachedump not allowed");
    else if (words->count < 3)
        answer(out, "CLIENT_ERROR bad command line");
    else if (!words_number(words->word[1], &class) || !words_number(words->word[2], &limit))
        answer(out, "CLIENT_ERROR bad command line format");
    else if (class >= DUMP_CLASSES_MAX)
        answer(out, "CLIENT_ERROR Illegal slab id");
    else
        dump_keys(server, class, limit, out);
}

/* ---- Dispatch ---- */

static const struct {
    const char *word;
    bool by_beginning;
    void (*report)(struct report *report, struct server *server);
} reports[] = {
    {"settings", true, report_settings},      {"conns", true, report_conns},
    {"items", false, report_items},           {"slabs", false, report_slabs},
    {"sizes", false, report_sizes},           {"namespaces", false, report_namespaces},
    {"backends", false, report_backends},     {"write_behind", false, report_write_behind},
    {"quarantine", false, report_quarantine}, {"forebay", false, report_own},
};

static void run_report(struct server *server, struct slice word, struct buffer *out) {
    struct report report = {{add_line}, out};
    for (size_t i = 0; i < sizeof reports / sizeof *reports; i++) {
        if (reports[i].by_beginning ? words_abbreviate(word, reports[i].word)
                                    : words_equal(word, reports[i].word)) {
            reports[i].report(&report, server);
            buffer_append(out, "END\r\n", 5);
            return;
        }
    }
    answer(out, "ERROR");
}

void stats_run(struct server *server, struct slice argument, struct buffer *out) {
    struct words words = words_of(argument);
    struct slice word = words.word[0];
    struct report report = {{add_line}, out};
    if (words.count == 0) {
        report_general(&report, server);
        buffer_append(out, "END\r\n", 5);
    } else if (words_abbreviate(word, "reset")) {
        reset(server);
        answer(out, "RESET");
    } else if (words_abbreviate(word, "detail")) {
        run_detail(server, words.word[1], out);
    } else if (words_abbreviate(word, "cachedump")) {
        run_cachedump(server, &words, out);
    } else {
        run_report(server, word, out);
    }
}
