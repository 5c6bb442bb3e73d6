/* SPDX-License-Identifier: MIT */
/* Commands without a key and the statistics, over a real tier without backends and without workers. */
#include "server/admin/command.h"
#include "server/admin/feed.h"
#include "server/admin/stats.h"
#include "server/admin/stats_detail.h"
#include "server/admin/watch.h"
#include "server/config/settings.h"
#include "tests/support/check.h"
#include <stdio.h>
#include <stdlib.h>

struct bench {
    struct server server;
    struct settings settings;
    struct cache_time now;
    struct buffer out;
    struct command_place place;
    struct feed *feeds[WATCHERS_MAX]; /* begun by check_feeds */
    unsigned feed_count;
    unsigned stops;
};

static void ignore_wake(void *context, unsigned worker) {
    (void)context, (void)worker;
}

static void ignore_log(void *context, enum log_level level, const struct log_field *fields,
                       const char *message) {
    (void)fields;
    (void)context, (void)level, (void)message;
}

static void count_stop(struct server *server) {
    ((struct bench *)server)->stops++;
}

static int set_up(void **state) {
    struct bench *bench = calloc(1, sizeof *bench);
    char error[400] = "";
    assert_non_null(bench);
    bench->settings = (struct settings){
        .item_max = 1 << 20,
        .threads = 1,
        .max_connections = 10,
        .allow_flush_all = true,
        .allow_dump = true,
        .allow_cache_memlimit = true,
        .allow_forget = true,
        .allow_quarantine = true,
        .allow_sync = true,
        .allow_verbosity = true,
        .maxconns_fast = true,
        .stats_prefix_delimiter = ':',
        .tier = {.cache = {.memory_limit = 64 << 20, .item_max = 1 << 20, .threads = 1, .hash_seed = 1},
                 .workers = 1},
    };
    bench->settings.tier.wake = ignore_wake;
    bench->settings.tier.log = ignore_log;
    bench->server.settings = &bench->settings;
    bench->server.stop = count_stop;
    bench->server.detail = stats_detail_create(':', false);
    bench->server.feeds = feeds_create();
    bench->server.watch = watch_create(bench->server.feeds, 4096);
    atomic_init(&bench->server.crawler, true);
    bench->now = cache_time_from_us(1700000000ull * 1000000);
    if (!tier_create(&bench->settings.tier, &bench->server.tier, error, sizeof error))
        fail_msg("%s", error);
    *state = bench;
    return 0;
}

static void end_feeds(struct bench *bench) {
    while (bench->feed_count)
        feed_free(bench->feeds[--bench->feed_count]);
}

static int tear_down(void **state) {
    struct bench *bench = *state;
    end_feeds(bench);
    tier_destroy(bench->server.tier);
    stats_detail_free(bench->server.detail);
    feeds_free(bench->server.feeds);
    watch_free(bench->server.watch);
    buffer_free(&bench->out);
    free(bench);
    return 0;
}

static enum command_result run(struct bench *bench, enum command command, const char *argument,
                               bool noreply) {
    struct request request = {.command = command, .argument = slice_string(argument), .noreply = noreply};
    struct tier_worker *worker = tier_get_worker(bench->server.tier, 0);
    bench->out.size = 0;
    tier_turn_begin(worker, &bench->now);
    enum command_result result =
        command_run(&bench->server, worker, &request, &bench->now, &bench->place, &bench->out);
    tier_turn_end(worker, NULL);
    buffer_append(&bench->out, "", 1); /* a string for strstr */
    bench->out.size--;
    assert_false(bench->out.failed);
    return result;
}

static void check_answers(struct bench *bench, enum command command, const char *argument,
                          const char *answer) {
    assert_int_equal(run(bench, command, argument, false), COMMAND_ANSWERED);
    if (strcmp(bench->out.data, answer) != 0)
        fail_msg("\"%s\": expected %s, got %s", argument, answer, bench->out.data);
}

/* Watchers and dumps are not answered: their connections are fed. */
static void check_feeds(struct bench *bench, enum command command, const char *argument) {
    assert_int_equal(run(bench, command, argument, false), COMMAND_FEED);
    assert_non_null(bench->place.feed);
    bench->feeds[bench->feed_count++] = bench->place.feed;
    bench->place.feed = NULL;
    assert_int_equal(bench->out.size, 0);
}

TEST(watchers_and_dumps_are_fed) {
    struct bench *bench = *state;
    bench->settings.allow_watch = true;
    check_feeds(bench, COMMAND_WATCH, "");
    assert_int_equal(watch_wants(bench->server.watch), WATCH_FETCHERS);
    end_feeds(bench);
    assert_int_equal(watch_wants(bench->server.watch), 0);
    check_feeds(bench, COMMAND_WATCH,
                "mut evict connevents deletions sysevents rawcmds proxyreqs proxyevents proxyuser");
    assert_int_equal(watch_wants(bench->server.watch),
                     WATCH_MUTATIONS | WATCH_EVICTIONS | WATCH_CONNEVENTS | WATCH_DELETIONS | WATCH_NOTHING);
    end_feeds(bench);
    check_answers(bench, COMMAND_WATCH, "fetchers nonsense", "ERROR\r\n");
    check_answers(bench, COMMAND_WATCH, "nonsense fetchers", "ERROR\r\n");
    check_feeds(bench, COMMAND_LRU_CRAWLER, "mgdump hash");
    check_answers(bench, COMMAND_LRU_CRAWLER, "metadump hash",
                  "BUSY currently processing crawler request\r\n");
    end_feeds(bench);
    for (int i = 0; i < WATCHERS_MAX; i++)
        check_feeds(bench, COMMAND_WATCH, "evictions");
    check_answers(bench, COMMAND_WATCH, "", "WATCHER_TOO_MANY log watcher limit reached\r\n");
    end_feeds(bench);
    bench->place.behind_replies = true;
    check_answers(bench, COMMAND_WATCH, "", "ERROR cannot pipeline other commands before watch\r\n");
    check_answers(bench, COMMAND_LRU_CRAWLER, "mgdump hash",
                  "ERROR cannot pipeline other commands before mgdump\r\n");
    bench->settings.allow_dump = false;
    check_answers(bench, COMMAND_LRU_CRAWLER, "metadump hash", "ERROR metadump not allowed\r\n");
    check_answers(bench, COMMAND_LRU_CRAWLER, "mgdump hash", "ERROR key dump not allowed\r\n");
}

TEST(answers_are_memcacheds) {
    static const struct {
        enum command command;
        const char *argument, *answer;
    } table[] = {
        {COMMAND_VERSION, "", "VERSION 1.6.45\r\n"},
        {COMMAND_VERSION, "x", "VERSION 1.6.45\r\n"},
        {COMMAND_VERBOSITY, "", "CLIENT_ERROR bad command line format\r\n"},
        {COMMAND_VERBOSITY, "a b", "CLIENT_ERROR bad command line format\r\n"},
        {COMMAND_VERBOSITY, "1", "OK\r\n"},
        {COMMAND_VERBOSITY, "0 2 3", "OK\r\n"},
        {COMMAND_FLUSH_ALL, "", "OK\r\n"},
        {COMMAND_FLUSH_ALL, "0", "OK\r\n"},
        {COMMAND_FLUSH_ALL, "-1", "OK\r\n"},
        {COMMAND_FLUSH_ALL, "1 2", "OK\r\n"},
        {COMMAND_FLUSH_ALL, "a", "CLIENT_ERROR invalid exptime argument\r\n"},
        {COMMAND_FLUSH_ALL, "99999999999", "CLIENT_ERROR invalid exptime argument\r\n"},
        {COMMAND_CACHE_MEMLIMIT, "", "ERROR\r\n"},
        {COMMAND_CACHE_MEMLIMIT, "a", "ERROR\r\n"},
        {COMMAND_CACHE_MEMLIMIT, "7", "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n"},
        {COMMAND_CACHE_MEMLIMIT, "1000000001",
         "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\n"},
        {COMMAND_CACHE_MEMLIMIT, "32", "OK\r\n"},
        {COMMAND_SHUTDOWN, "", "SERVER_ERROR: shutdown not enabled\r\n"},
        {COMMAND_SHUTDOWN, "foo", "SERVER_ERROR: shutdown not enabled\r\n"},
        {COMMAND_SLABS, "", "ERROR\r\n"},
        {COMMAND_SLABS, "foo", "ERROR\r\n"},
        {COMMAND_SLABS, "automove", "ERROR\r\n"},
        {COMMAND_SLABS, "automove invalid", "CLIENT_ERROR bad command line format\r\n"},
        {COMMAND_SLABS, "automove 1", "CLIENT_ERROR slab reassignment disabled\r\n"},
        {COMMAND_SLABS, "reassign 1 2", "CLIENT_ERROR slab reassignment disabled\r\n"},
        {COMMAND_LRU, "mode flat", "ERROR\r\n"},
        {COMMAND_LRU_CRAWLER, "", "ERROR\r\n"},
        {COMMAND_LRU_CRAWLER, "enable", "OK\r\n"},
        {COMMAND_LRU_CRAWLER, "enable now", "ERROR\r\n"},
        {COMMAND_LRU_CRAWLER, "metadump ,", "NOTSTARTED no items to crawl\r\n"},
        {COMMAND_LRU_CRAWLER, "metadump x", "BADCLASS invalid class id\r\n"},
        {COMMAND_LRU_CRAWLER, "metadump 0", "BADCLASS invalid class id\r\n"},
        {COMMAND_LRU_CRAWLER, "metadump", "ERROR\r\n"},
        {COMMAND_LRU_CRAWLER, "mgdump ,", "NOTSTARTED no items to crawl\r\n"},
        {COMMAND_LRU_CRAWLER, "crawl 64", "BADCLASS invalid class id\r\n"},
        {COMMAND_LRU_CRAWLER, "crawl 1", "OK\r\n"},
        {COMMAND_LRU_CRAWLER, "crawl ,", "NOTSTARTED no items to crawl\r\n"},
        {COMMAND_LRU_CRAWLER, "sleep 100", "OK\r\n"},
        {COMMAND_LRU_CRAWLER, "sleep 1000001", "CLIENT_ERROR sleep must be one second or less\r\n"},
        {COMMAND_LRU_CRAWLER, "tocrawl x", "CLIENT_ERROR bad command line format\r\n"},
        {COMMAND_LRU_CRAWLER, "tocrawl 7", "OK\r\n"},
        {COMMAND_LRU_CRAWLER, "disable", "OK\r\n"},
        {COMMAND_LRU_CRAWLER, "metadump all", "CLIENT_ERROR lru crawler disabled\r\n"},
        {COMMAND_LRU_CRAWLER, "crawl 1", "CLIENT_ERROR lru crawler disabled\r\n"},
        {COMMAND_LRU_CRAWLER, "sleep 100", "OK\r\n"},
        {COMMAND_EXTSTORE, "item_age 1", "ERROR\r\n"},
        {COMMAND_WATCH, "", "CLIENT_ERROR watch commands not allowed\r\n"},
        {COMMAND_STATS, "nonsense", "ERROR\r\n"},
        {COMMAND_STATS, "sizes", "STAT sizes_status disabled\r\nEND\r\n"},
        {COMMAND_STATS, "sizes_enable", "ERROR\r\n"},
        {COMMAND_STATS, "conns", "END\r\n"},
        {COMMAND_STATS, "items", "END\r\n"},
        {COMMAND_STATS, "reset", "RESET\r\n"},
        {COMMAND_STATS, "r", "RESET\r\n"},
        {COMMAND_STATS, "detail", "CLIENT_ERROR usage: stats detail on|off|dump\r\n"},
        {COMMAND_STATS, "detail foo", "CLIENT_ERROR usage: stats detail on|off|dump\r\n"},
        {COMMAND_STATS, "detail on x", "OK\r\n"},
        {COMMAND_STATS, "detail off", "OK\r\n"},
        {COMMAND_STATS, "cachedump", "CLIENT_ERROR bad command line\r\n"},
        {COMMAND_STATS, "cachedump 1 1", "END\r\n"},
        {COMMAND_STATS, "cachedump x 1", "CLIENT_ERROR bad command line format\r\n"},
        {COMMAND_STATS, "cachedump 64 1", "CLIENT_ERROR Illegal slab id\r\n"},
        {COMMAND_FORGET, "", "CLIENT_ERROR usage: forget <key> [b]\r\n"},
        {COMMAND_FORGET, "key x", "CLIENT_ERROR usage: forget <key> [b]\r\n"},
        {COMMAND_FORGET, "key", "NOT_FOUND\r\n"},
        {COMMAND_QUARANTINE, "", "CLIENT_ERROR usage: quarantine <list|retry|drop> <namespace> [key]\r\n"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        check_answers(*state, table[i].command, table[i].argument, table[i].answer);
}

TEST(noreply_is_silent) {
    struct bench *bench = *state;
    static const struct {
        enum command command;
        const char *argument;
    } table[] = {
        {COMMAND_VERBOSITY, "1"},      {COMMAND_VERBOSITY, ""},       {COMMAND_FLUSH_ALL, "0"},
        {COMMAND_FLUSH_ALL, "x"},      {COMMAND_CACHE_MEMLIMIT, "9"}, {COMMAND_CACHE_MEMLIMIT, "1"},
        {COMMAND_SLABS, "automove 1"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_int_equal(run(bench, table[i].command, table[i].argument, true), COMMAND_ANSWERED);
        assert_int_equal(bench->out.size, 0);
    }
}

TEST(verbosity_is_set) {
    struct bench *bench = *state;
    check_answers(bench, COMMAND_VERBOSITY, "1", "OK\r\n");
    assert_int_equal(atomic_load(&bench->server.verbosity), 1);
    check_answers(bench, COMMAND_VERBOSITY, "4000000000", "OK\r\n");
    assert_int_equal(atomic_load(&bench->server.verbosity), 2);
}

TEST(shutdown_stops_the_server) {
    struct bench *bench = *state;
    bench->settings.allow_shutdown = true;
    check_answers(bench, COMMAND_SHUTDOWN, "foo", "CLIENT_ERROR invalid shutdown mode\r\n");
    check_answers(bench, COMMAND_SHUTDOWN, "graceful now", "CLIENT_ERROR invalid shutdown mode\r\n");
    assert_int_equal(bench->stops, 0);
    assert_int_equal(run(bench, COMMAND_SHUTDOWN, "", false), COMMAND_CLOSE);
    assert_int_equal(run(bench, COMMAND_SHUTDOWN, "graceful", false), COMMAND_CLOSE);
    assert_int_equal(bench->stops, 2);
    assert_int_equal(bench->out.size, 0);
}

TEST(what_is_switched_off_is_refused) {
    struct bench *bench = *state;
    bench->settings.allow_flush_all = false;
    bench->settings.allow_dump = false;
    check_answers(bench, COMMAND_FLUSH_ALL, "", "CLIENT_ERROR flush_all not allowed\r\n");
    run(bench, COMMAND_STATS, "", false); /* counted, as memcached does */
    assert_non_null(strstr(bench->out.data, "STAT cmd_flush 1\r\n"));
    check_answers(bench, COMMAND_STATS, "detail dump", "CLIENT_ERROR stats detail not allowed\r\n");
    check_answers(bench, COMMAND_STATS, "cachedump", "CLIENT_ERROR stats cachedump not allowed\r\n");
}

TEST(what_is_restricted_is_refused_and_nothing_is_done) {
    struct bench *bench = *state;
    static const struct {
        const char *name, *argument, *answer;
        enum command command;
    } table[] = {
        {"cache_memlimit", "32", "CLIENT_ERROR cache_memlimit not allowed\r\n", COMMAND_CACHE_MEMLIMIT},
        {"dump", "metadump all", "ERROR metadump not allowed\r\n", COMMAND_LRU_CRAWLER},
        {"flush_all", "", "CLIENT_ERROR flush_all not allowed\r\n", COMMAND_FLUSH_ALL},
        {"forget", "key", "CLIENT_ERROR forget not allowed\r\n", COMMAND_FORGET},
        {"quarantine", "drop sessions", "CLIENT_ERROR quarantine not allowed\r\n", COMMAND_QUARANTINE},
        {"verbosity", "2", "CLIENT_ERROR verbosity not allowed\r\n", COMMAND_VERBOSITY},
        {"watch", "evictions", "CLIENT_ERROR watch commands not allowed\r\n", COMMAND_WATCH},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_true(settings_restrict(&bench->settings, table[i].name));
        check_answers(bench, table[i].command, table[i].argument, table[i].answer);
    }
    assert_int_equal(run(bench, COMMAND_VERBOSITY, "2", true), COMMAND_ANSWERED);
    assert_int_equal(bench->out.size, 0);
    assert_int_equal(atomic_load(&bench->server.verbosity), 0);
    run(bench, COMMAND_STATS, "settings", false);
    assert_non_null(strstr(bench->out.data, "STAT maxbytes 67108864\r\n"));
    assert_non_null(
        strstr(bench->out.data,
               "STAT restrict cache_memlimit,dump,flush_all,forget,quarantine,verbosity,watch\r\n"));
}

static void store(struct bench *bench, const char *key, uint64_t us) {
    struct cache_time then = cache_time_from_us(us);
    struct cache *cache = tier_cache(bench->server.tier);
    struct cache_cursor at;
    struct cache_write write = {.value = SLICE("value")};
    struct slice name = slice_string(key);
    cache_seek(cache, 0, name, cache_hash(cache, name), &then, &at);
    assert_int_equal(cache_store(&at, &write), CACHE_OK);
    cache_release(&at);
}

static bool is_there(struct bench *bench, const char *key, uint64_t us) {
    struct cache_time then = cache_time_from_us(us);
    struct cache *cache = tier_cache(bench->server.tier);
    struct cache_cursor at;
    struct slice name = slice_string(key);
    bool present = cache_seek(cache, 0, name, cache_hash(cache, name), &then, &at) == CACHE_PRESENT;
    cache_release(&at);
    return present;
}

TEST(flush_all_may_be_delayed) {
    struct bench *bench = *state;
    uint64_t now = bench->now.us, second = 1000000;
    store(bench, "a", now - 2 * second);
    check_answers(bench, COMMAND_FLUSH_ALL, "5", "OK\r\n");
    assert_true(is_there(bench, "a", now + 3 * second));
    assert_false(is_there(bench, "a", now + 4 * second));
    store(bench, "b", now - 2 * second);
    char absolute[32];
    snprintf(absolute, sizeof absolute, "%u", bench->now.seconds + 9); /* beyond 30 days: a point in time */
    check_answers(bench, COMMAND_FLUSH_ALL, absolute, "OK\r\n");
    assert_true(is_there(bench, "b", now + 7 * second));
    assert_false(is_there(bench, "b", now + 8 * second));
}

TEST(a_flush_all_whose_time_has_come_is_at_once) {
    struct bench *bench = *state;
    const char *const arguments[] = {"", "0", "-5", "1", "2592001"};
    for (size_t i = 0; i < sizeof arguments / sizeof *arguments; i++) {
        store(bench, "a", bench->now.us);
        check_answers(bench, COMMAND_FLUSH_ALL, arguments[i], "OK\r\n");
        assert_false(is_there(bench, "a", bench->now.us));
        store(bench, "a", bench->now.us);
        assert_true(is_there(bench, "a", bench->now.us));
    }
}

TEST(cache_memlimit_changes_the_limit) {
    struct bench *bench = *state;
    struct cache_stats stats;
    check_answers(bench, COMMAND_CACHE_MEMLIMIT, "128", "OK\r\n");
    cache_get_stats(tier_cache(bench->server.tier), CACHE_ALL_SPACES, &stats);
    assert_int_equal(stats.memory_limit, 128 << 20);
    run(bench, COMMAND_STATS, "settings", false);
    assert_non_null(strstr(bench->out.data, "STAT maxbytes 134217728\r\n"));
}

/* Each line of `stats` forms is "STAT name value", and END closes it. */
static void check_form(const char *text) {
    const char *at = text;
    while (strncmp(at, "STAT ", 5) == 0) {
        const char *end = strstr(at, "\r\n");
        assert_non_null(end);
        const char *space = memchr(at + 5, ' ', (size_t)(end - at - 5));
        if (!space || space == at + 5 || space + 1 == end)
            fail_msg("no name or no value: %.60s", at);
        at = end + 2;
    }
    assert_string_equal(at, "END\r\n");
}

TEST(every_form_of_stats_is_well_formed) {
    struct bench *bench = *state;
    static const char *const forms[] = {"",         "settings",     "set",       "items", "forebay",
                                        "slabs",    "sizes",        "conns",     "c",     "namespaces",
                                        "backends", "write_behind", "quarantine"};
    store(bench, "a", bench->now.us);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        run(bench, COMMAND_STATS, forms[i], false);
        if (strcmp(forms[i], "c") != 0) /* a beginning of cachedump, which comes before conns */
            check_form(bench->out.data);
    }
}

static size_t count_lines(const struct bench *bench) {
    size_t lines = 0;
    for (const char *at = bench->out.data; (at = strstr(at, "STAT ")); at++)
        lines++;
    return lines;
}

TEST(stats_has_the_lines_of_memcached) {
    struct bench *bench = *state;
    static const char *const names[] = {"pid",
                                        "uptime",
                                        "time",
                                        "version",
                                        "libevent",
                                        "pointer_size",
                                        "rusage_user",
                                        "rusage_system",
                                        "max_connections",
                                        "curr_connections",
                                        "total_connections",
                                        "rejected_connections",
                                        "connection_structures",
                                        "cmd_get",
                                        "cmd_set",
                                        "cmd_flush",
                                        "cmd_touch",
                                        "cmd_meta",
                                        "get_hits",
                                        "get_misses",
                                        "get_expired",
                                        "get_flushed",
                                        "delete_misses",
                                        "delete_hits",
                                        "incr_misses",
                                        "incr_hits",
                                        "decr_misses",
                                        "decr_hits",
                                        "cas_misses",
                                        "cas_hits",
                                        "cas_badval",
                                        "touch_hits",
                                        "touch_misses",
                                        "store_too_large",
                                        "store_no_memory",
                                        "auth_cmds",
                                        "auth_errors",
                                        "bytes_read",
                                        "bytes_written",
                                        "limit_maxbytes",
                                        "accepting_conns",
                                        "listen_disabled_num",
                                        "time_in_listen_disabled_us",
                                        "threads",
                                        "conn_yields",
                                        "hash_power_level",
                                        "hash_bytes",
                                        "hash_is_expanding",
                                        "malloc_fails",
                                        "bytes",
                                        "curr_items",
                                        "total_items",
                                        "expired_unfetched",
                                        "evicted_unfetched",
                                        "evictions",
                                        "reclaimed"};
    store(bench, "a", bench->now.us);
    atomic_store(&bench->server.connections_total, 5);
    run(bench, COMMAND_STATS, "", false);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char line[64];
        snprintf(line, sizeof line, "STAT %s ", names[i]);
        if (!strstr(bench->out.data, line))
            fail_msg("%s is missing", names[i]);
    }
    assert_int_equal(count_lines(bench), 86); /* as many as memcached has without LRU maintainer ... */
    assert_non_null(strstr(bench->out.data, "STAT curr_items 1\r\n"));
    assert_non_null(strstr(bench->out.data, "STAT total_connections 5\r\n"));
    run(bench, COMMAND_STATS, "items", false);
    assert_non_null(strstr(bench->out.data, "STAT items:1:number 1\r\n"));
    run(bench, COMMAND_STATS, "reset", false);
    run(bench, COMMAND_STATS, "", false);
    assert_non_null(strstr(bench->out.data, "STAT total_connections 0\r\n"));
    assert_non_null(strstr(bench->out.data, "STAT total_items 0\r\n"));
    assert_non_null(strstr(bench->out.data, "STAT curr_items 1\r\n"));
    run(bench, COMMAND_LRU_CRAWLER, "disable", false);
    run(bench, COMMAND_STATS, "", false);
    assert_int_equal(count_lines(bench), 84); /* ... and without crawler */
}

static void count_key(struct bench *bench, enum command command, const char *key, bool hit) {
    struct request request = {.command = command, .key = slice_string(key)};
    stats_detail_count(bench->server.detail, &request, hit);
}

TEST(stats_detail_counts_per_prefix) {
    struct bench *bench = *state;
    assert_false(stats_detail_is_on(&bench->server));
    check_answers(bench, COMMAND_STATS, "detail on", "OK\r\n");
    assert_true(stats_detail_is_on(&bench->server));
    check_answers(bench, COMMAND_STATS, "detail dump", "END\r\n");
    count_key(bench, COMMAND_GET, "foo:1", true);
    count_key(bench, COMMAND_GET, "foo:2:3", false);
    count_key(bench, COMMAND_GAT, "foo:1", true);
    count_key(bench, COMMAND_SET, "foo:1", true);
    count_key(bench, COMMAND_APPEND, "foo:1", false);
    count_key(bench, COMMAND_DELETE, "foo:9", false);
    count_key(bench, COMMAND_META_GET, "foo:1", true); /* as memcached: not counted */
    count_key(bench, COMMAND_INCR, "foo:1", true);
    count_key(bench, COMMAND_GET, "no delimiter", true);
    check_answers(bench, COMMAND_STATS, "detail dump", "PREFIX foo get 3 hit 2 set 2 del 1\r\nEND\r\n");
    count_key(bench, COMMAND_SET, ":empty", true);
    run(bench, COMMAND_STATS, "detail dump", false);
    assert_non_null(strstr(bench->out.data, "PREFIX  get 0 hit 0 set 1 del 0\r\n"));
    check_answers(bench, COMMAND_STATS, "reset", "RESET\r\n");
    count_key(bench, COMMAND_SET, "a\r\nEND\r\n%/b:1",
              true); /* a key may have any byte, a line has its end */
    check_answers(bench, COMMAND_STATS, "detail dump",
                  "PREFIX a%0D%0AEND%0D%0A%/b get 0 hit 0 set 1 del 0\r\nEND\r\n");
    check_answers(bench, COMMAND_STATS, "reset", "RESET\r\n");
    check_answers(bench, COMMAND_STATS, "detail dump", "END\r\n");
    check_answers(bench, COMMAND_STATS, "detail off", "OK\r\n");
    assert_false(stats_detail_is_on(&bench->server));
}

/* Prefixes come from outside: their number is bounded. */
TEST(stats_detail_is_bounded) {
    struct bench *bench = *state;
    char key[32];
    for (int i = 0; i < 70000; i++) {
        snprintf(key, sizeof key, "p%d:", i);
        count_key(bench, COMMAND_GET, key, false);
    }
    run(bench, COMMAND_STATS, "detail dump", false);
    size_t lines = 0;
    for (const char *at = bench->out.data; (at = strchr(at, '\n')); at++)
        lines++;
    assert_int_equal(lines, 65536 + 1); /* and END */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(answers_are_memcacheds),
        CASE(noreply_is_silent),
        CASE(verbosity_is_set),
        CASE(shutdown_stops_the_server),
        CASE(what_is_switched_off_is_refused),
        CASE(what_is_restricted_is_refused_and_nothing_is_done),
        CASE(flush_all_may_be_delayed),
        CASE(a_flush_all_whose_time_has_come_is_at_once),
        CASE(cache_memlimit_changes_the_limit),
        CASE(every_form_of_stats_is_well_formed),
        CASE(stats_has_the_lines_of_memcached),
        CASE(stats_detail_counts_per_prefix),
        CASE(stats_detail_is_bounded),
        CASE(watchers_and_dumps_are_fed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
