/* SPDX-License-Identifier: MIT */
/* The configuration file: what a good one becomes, and a table of bad ones with what is said about each. */
#include "backends/kinds.h"
#include "backends/redis/options.h"
#include "backends/sqlite/options.h"
#include "policies/policy.h"
#include "server/config/config.h"
#include "tests/support/check.h"
#include "tests/support/temp_folder.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct loaded {
    struct temp_folder folder;
    char path[300], error[1024];
    struct settings settings;
    struct config *config; /* NULL: refused */
};

static int set_up(void **state) {
    struct loaded *loaded = calloc(1, sizeof *loaded);
    if (!loaded)
        return -1;
    temp_folder_make(&loaded->folder);
    snprintf(loaded->path, sizeof loaded->path, "%s/f.conf", loaded->folder.path);
    *state = loaded;
    return 0;
}

static int tear_down(void **state) {
    struct loaded *loaded = *state;
    config_free(loaded->config);
    temp_folder_remove(&loaded->folder);
    free(loaded);
    return 0;
}

static void load_bytes(struct loaded *loaded, const char *bytes, size_t size) {
    config_free(loaded->config);
    loaded->config = NULL;
    FILE *file = fopen(loaded->path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    loaded->error[0] = '\0';
    settings_defaults(&loaded->settings);
    loaded->config = config_load(loaded->path, &loaded->settings, loaded->error, sizeof loaded->error);
    if (loaded->config)
        config_derive(loaded->config, &loaded->settings);
}

static void load(struct loaded *loaded, const char *text) {
    load_bytes(loaded, text, strlen(text));
}

static void load_good(struct loaded *loaded, const char *text) {
    load(loaded, text);
    if (!loaded->config)
        fail_msg("refused: %s", loaded->error);
}

static const char whole[] =
    "listen  = {\"127.0.0.1:11211\", \"[::1]:11212\", \"unix:/tmp/f.sock\"}\n"
    "memory  = \"256mb\"   # a comment\n"
    "threads = 2\n"
    "data    = \"/var/lib/forebay\"\n"
    "node = 7 max_connections = 99 idle_timeout = 2m item_max = 2mb\n"
    "drain_timeout = 10s sync_timeout = 500ms journal_file_size = 1mb\n"
    "auth_file = \"/etc/forebay.auth\" verbosity = 1 log_format = json slow_log = 100ms restrict = {\"sync\", \"dump\"}\n"
    "tls_certificate = \"/c.pem\" tls_key = \"/k.pem\" tls_ca = \"/a.pem\" tls_ciphers = \"HIGH\" tls_version = 1.3\n"
    "tls_client_certificates = optional tls_kernel = true tls_handshake_timeout = 3s\n"
    "admin = \"[::1]:11280\" admin_token_file = \"/etc/forebay.token\" stall_timeout = 3s\n"
    "/* two backends,\n"
    "   two kinds */\n"
    "backend \"local\" { uri = \"sqlite:store.db\" readers = 3 synchronous = \"normal\" }\n"
    "backend \"far\" { uri = \"redis://127.0.0.1:6379/1\" timeout = \"3s\" }\n"
    "namespace \"sessions\" {\n"
    "    prefix = \"sess:\"\n"
    "    policy = \"write-behind\"\n"
    "    backend = \"local\"\n"
    "    memory = \"128mb\"\n"
    "    eviction = \"s3-fifo\"\n"
    "    ttl = \"30m\"\n"
    "    max_residency = \"1d\"\n"
    "    negative_ttl = \"2s\"\n"
    "    existence = \"memory\"\n"
    "    on_backend_down = \"stale\"\n"
    "    unknown_set = \"refuse\"\n"
    "    backend_timeout = \"1500ms\"\n"
    "    flush_delay = \"100ms\"\n"
    "    flush_batch = 500\n"
    "    dirty_limit = \"64mb\"\n"
    "    quarantine_limit = \"8mb\"\n"
    "    dirty_age_limit = \"1h\"\n"
    "    on_full = \"reject\"\n"
    "    journal = \"always\"\n"
    "    touch_slack = \"10s\"\n"
    "    preload = 100000\n"
    "    preload_wait = true\n"
    "}\n"
    "namespace \"carts\" { prefix = \"cart:\" policy = \"write-through\" backend = \"far\"\n"
    "    layout = \"string\" key_prefix = \"shop:\" copy_to = local }\n"
    "namespace \"plain\" { prefix = \"\" }\n";

static void check_top(const struct settings *settings) {
    assert_int_equal(settings->listen_count, 3);
    assert_string_equal(settings->listen[0], "127.0.0.1:11211");
    assert_string_equal(settings->listen[2], "unix:/tmp/f.sock");
    assert_int_equal(settings->tier.cache.memory_limit, 256 << 20);
    assert_int_equal(settings->threads, 2);
    assert_string_equal(settings->data, "/var/lib/forebay");
    assert_string_equal(settings->tier.data, "/var/lib/forebay");
    assert_int_equal(settings->tier.cache.node, 7);
    assert_int_equal(settings->max_connections, 99);
    assert_int_equal(settings->idle_timeout, 120);
    assert_int_equal(settings->item_max, 2 << 20);
    assert_int_equal(settings->tier.drain_timeout, 10000);
    assert_int_equal(settings->sync_timeout, 500);
    assert_int_equal(settings->tier.journal_file_size, 1 << 20);
    assert_string_equal(settings->auth_file, "/etc/forebay.auth");
    assert_string_equal(settings->tls_certificate, "/c.pem");
    assert_string_equal(settings->tls_key, "/k.pem");
    assert_string_equal(settings->tls_ca, "/a.pem");
    assert_string_equal(settings->tls_ciphers, "HIGH");
    assert_int_equal(settings->tls_version, TLS_VERSION_1_3);
    assert_int_equal(settings->tls_client_certificates, CERTIFICATES_OPTIONAL);
    assert_int_equal(settings->tls_handshake_timeout, 3);
    assert_true(settings->tls_kernel);
    assert_string_equal(settings->admin, "[::1]:11280");
    assert_string_equal(settings->admin_token_file, "/etc/forebay.token");
    assert_int_equal(settings->stall_timeout, 3000);
    assert_false(settings->allow_sync || settings->allow_dump);
    assert_true(settings->allow_quarantine && settings->allow_flush_all);
    assert_int_equal(settings->verbosity, 1);
    assert_int_equal(settings->log_format, LOG_FORMAT_JSON);
    assert_int_equal(settings->tier.slow_log, 100);
}

static const struct sqlite_options *sqlite_part(const struct tier_backend_options *backend) {
    assert_ptr_equal(backend->store.specific->type, &sqlite_backend);
    return (const struct sqlite_options *)backend->store.specific;
}

static const struct redis_table_options *redis_part(const struct space_options *space) {
    assert_ptr_equal(space->table.specific->type, &redis_backend);
    return (const struct redis_table_options *)space->table.specific;
}

static void check_sessions(const struct space_options *space) {
    assert_string_equal(space->name, "sessions");
    assert_string_equal(space->prefix, "sess:");
    assert_ptr_equal(space->policy, &policy_write_behind);
    assert_int_equal(space->backend, 0);
    assert_int_equal(space->memory, 128 << 20);
    assert_int_equal(space->eviction, CACHE_S3_FIFO);
    assert_int_equal(space->ttl, 1800);
    assert_int_equal(space->max_residency, 86400);
    assert_int_equal(space->negative_ttl, 2000);
    assert_int_equal(space->existence, EXISTENCE_MEMORY);
    assert_int_equal(space->on_backend_down, DOWN_STALE);
    assert_int_equal(space->unknown_set, UNKNOWN_SET_REFUSE);
    assert_int_equal(space->flush_delay, 100);
    assert_int_equal(space->flush_batch, 500);
    assert_int_equal(space->dirty_limit, 64 << 20);
    assert_int_equal(space->quarantine_limit, 8 << 20);
    assert_int_equal(space->dirty_age_limit, 3600000);
    assert_int_equal(space->on_full, FULL_REJECT);
    assert_int_equal(space->journal, JOURNAL_ALWAYS);
    assert_int_equal(space->touch_slack, 10);
    assert_int_equal(space->preload, 100000);
    assert_true(space->preload_wait);
    assert_string_equal(space->table.name, "sessions");
    assert_string_equal(space->table.key_prefix, "sess:");
}

TEST(every_setting_arrives) {
    struct loaded *loaded = *state;
    load_good(loaded, whole);
    const struct tier_options *tier = &loaded->settings.tier;
    check_top(&loaded->settings);
    assert_int_equal(tier->space_count, 3);
    assert_int_equal(tier->backend_count, 2);
    check_sessions(&tier->spaces[0]);
    assert_int_equal(tier->backends[0].readers, 3);
    assert_string_equal(sqlite_part(&tier->backends[0])->synchronous, "normal");
    assert_int_equal(tier->backends[0].store.timeout_ms, 1500); /* its namespace's backend_timeout */
    assert_string_equal(tier->backends[0].store.data, "/var/lib/forebay");
    assert_int_equal(tier->backends[1].store.timeout_ms, 3000);
    assert_int_equal(tier->spaces[1].backend, 1);
    assert_string_equal(redis_part(&tier->spaces[1])->layout, "string");
    assert_string_equal(redis_part(&tier->spaces[1])->store_prefix, "shop:");
    assert_int_equal(tier->spaces[0].copy_to, 0);
    assert_int_equal(tier->spaces[1].copy_to, 1); /* counted from 1 */
    assert_string_equal(tier->spaces[1].copy_table.name, "carts");
    assert_null(tier->spaces[1].copy_table.specific); /* as the other kind does by default */
    assert_ptr_equal(tier->spaces[2].policy, &policy_cache_aside);
    assert_int_equal(tier->spaces[2].backend, -1);
    struct settings_complaint complaint;
    assert_true(settings_check(&loaded->settings, &complaint));
}

TEST(what_is_not_said_has_its_default) {
    struct loaded *loaded = *state;
    load_good(loaded, "data = \"/tmp\"\n"
                      "backend \"b\" { uri = \"sqlite:b.db\" }\n"
                      "backend \"r\" { uri = \"redis://localhost\" }\n"
                      "namespace \"n\" { prefix = \"n:\" policy = \"write-behind\" backend = \"b\" }\n"
                      "namespace \"m\" { prefix = \"m:\" policy = \"write-behind\" backend = \"r\" }\n");
    const struct space_options *space = &loaded->settings.tier.spaces[0];
    assert_int_equal(loaded->settings.listen_count, 1);
    assert_string_equal(loaded->settings.listen[0], "127.0.0.1");
    assert_int_equal(space->flush_delay, 1000);
    assert_int_equal(space->flush_batch, 200000);
    assert_int_equal(space->dirty_limit, 16 << 20); /* a quarter of the 64 MB */
    assert_int_equal(space->journal, JOURNAL_INTERVAL);
    assert_int_equal(space->on_full, FULL_WAIT);
    assert_int_equal(space->existence, EXISTENCE_BACKEND);
    assert_int_equal(space->on_backend_down, DOWN_ERROR);
    assert_int_equal(space->negative_ttl, 0);
    assert_string_equal(redis_part(space + 1)->layout, "hash");
    assert_string_equal(redis_part(space + 1)->store_prefix, "");
    assert_int_equal(loaded->settings.tier.backends[0].store.timeout_ms, 2000);
}

TEST(an_empty_file_is_memcached) {
    static const char *const texts[] = {"", "\n", "# nothing\n", "/* nothing */", "// no newline at the end"};
    struct loaded *loaded = *state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        load_good(loaded, texts[i]);
        assert_int_equal(loaded->settings.tier.space_count, 0);
        assert_int_equal(loaded->settings.threads, 4);
    }
}

TEST(variables_stand_for_their_values_except_in_single_quotes) {
    struct loaded *loaded = *state;
    setenv("FOREBAY_TEST_FOLDER", "/srv/data", 1);
    load_good(loaded, "data = \"${FOREBAY_TEST_FOLDER}/f\"\nauth_file = '${FOREBAY_TEST_FOLDER} # // /* '\n");
    assert_string_equal(loaded->settings.data, "/srv/data/f");
    assert_string_equal(loaded->settings.auth_file, "${FOREBAY_TEST_FOLDER} # // /* ");
    load_good(loaded, "data = \"${FOREBAY_TEST_UNSET:-/srv}/f\"\n");
    assert_string_equal(loaded->settings.data, "/srv/f");
    load_good(loaded, "data = ${FOREBAY_TEST_FOLDER}\n");
    assert_string_equal(loaded->settings.data, "/srv/data");
}

#define DATA     "data = \"/tmp\"\n"
#define BACKEND  "backend \"b\" { uri = \"sqlite:b.db\" }\n"
#define REDIS    "backend \"r\" { uri = \"redis://localhost:6379/0\" }\n"
#define HEAD     DATA BACKEND REDIS /* three lines */
#define ASIDE(x) "namespace \"n\" {\n prefix = \"n:\"\n" x "\n}\n"
#define OVER(policy, backend, x)                                                                             \
    HEAD "namespace \"n\" {\n prefix = \"n:\"\n policy = \"" policy "\"\n backend = \"" backend "\"\n" x     \
         "\n}\n"

/* Five lines, the last setting on the fourth. */
#define KEYS(name, prefix, backend, x)                                                                       \
    "namespace \"" name "\" {\n prefix = \"" prefix "\" policy = \"write-through\"\n backend = \"" backend   \
    "\"\n " x "\n}\n"
#define ROWS(table)                                                                                          \
    "load = \"SELECT v FROM " table " WHERE k = :key\" "                                                     \
    "store = \"INSERT OR REPLACE INTO " table "(k, v) VALUES (:key, :value)\" "                              \
    "delete = \"DELETE FROM " table " WHERE k = :key\""

static const struct bad {
    const char *text;
    int line;         /* 0: none is named */
    const char *says; /* the thing */
    const char *also; /* the remedy, or more of it */
} table[] = {
    /* grammar */
    {"memory = \"1mb\n", 1, "never closed", "quote"},
    {"threads = 2\nmemory = \"1mb\ndata = \"/tmp\"\nadmin = \"127.0.0.1:1\"\n", 2, "never closed", "quote"},
    {"threads = 2\nmemory = 1mb\"\ndata = \"\"\nadmin = '127.0.0.1:1'\n", 2, "never closed", "quote"},
    {"restrict = {\"a\nb\", \"c\nd\"}\ndata = \"/tmp\n", 4, "never closed", "quote"},
    {"\nnamespace \"n\" {\n", 2, "never closed", "'}'"},
    {"# a\n# b\nmemroy = \"64mb\"\n", 3, "unknown option \"memroy\"", "did you mean \"memory\"?"},
    {"threads = 2\nlisten\u00a0= {\"127.0.0.1:1\"}\n", 2,
     "a no-break space (U+00A0) stands outside of quotes", "type a space"},
    {"threads = 2\u202f\n", 1, "a narrow no-break space (U+202F) stands", "or nothing"},
    {"namespace \u201ca b\u201d {\n}\n", 1, "a typographic quote (U+201C) stands", "type \""},
    {"drain\u2013timeout = \"1s\"\n", 1, "unknown option \"drain",
     "there is an en dash (U+2013) in it: type -"},
    {"memory = \"64\u00a0mb\"\n", 1, "a size from 1mb", "there is a no-break space (U+00A0) in it"},
    {"/* a\n b */\n\nfoo = 1\n", 4, "unknown option \"foo\" in the top of the file", "remove it"},
    {"namespace \"n\" {\n// x\n flush_dleay = 1\n}\n", 3, "\"flush_dleay\" in namespace", "\"flush_delay\""},
    {"backend \"b\" {\n prefix = \"x\"\n}\n", 2, "\"prefix\" in backend", ""},
    {"memory \"64mb\"\n", 1, "\"=\" is missing after \"memory\"", ""},
    {"namespace {\n}\n", 1, "namespace needs a name", "namespace \"name\""},
    {"threads = 2\nmemory = 9mb\nthreads = 3\n", 3, "\"threads\" is given twice", "line 1"},
    {ASIDE("prefix = \"m:\""), 3, "\"prefix\" is given twice", "line 2"},
    {"restrict = {\"sync\"}\nrestrict = {\"watch\"}\n", 2, "\"restrict\" is given twice", "line 1"},
    {"threads = 2\nrestrict = {\"sync\", \"snyc\"}\n", 2, "there is no \"snyc\"",
     "cache_memlimit, dump, flush_all, forget, quarantine, shutdown, sync, verbosity, watch"},
    {"listen = {\"127.0.0.1:1\"}\nlisten = {\"127.0.0.1:2\"}\n", 2, "\"listen\" is given twice", "line 1"},
    {"namespace \"n\" { prefix = \"a\" }\nnamespace \"n\" { prefix = \"b\" }\n", 2, "\"n\" is defined twice",
     ""},
    {"\" \" = 3\n", 1, "needs a name", ""},
    {"memory = {1, 2}\n", 1, "'{'", ""},
    {"/* open\n", 1, "comment is never closed", "*/"},
    {"namespace \"n\" { } }\n", 1, "the '}' closes nothing", "remove it"},
    /* values */
    {"threads = 0\n", 1, "threads = \"0\"", "from 1 to 256"},
    {"data = \"/tmp\"\nauth_file = \"a\nb\\${X}${FOREBAY_TEST_UNSET}\"\n", 3, "${FOREBAY_TEST_UNSET}",
     "single quotes"},
    {"threads = 2\nmemory = ${FOREBAY_TEST_UNSET}\n", 2, "${FOREBAY_TEST_UNSET}", "set it"},
    {"data = \"/tmp/${FOREBAY_TEST_UNSET_AND_LONGER_THAN_ANYBODY_WOULD_THINK_THAT_A_NAME_CAN_BE}\"\n", 1,
     "${FOREBAY_TEST_UNSET", "set it"},
    {"data = \"/tmp/${FOREBAY:TEST_UNSET:-x}\"\n", 1, "${FOREBAY:TEST_UNSET:-x}", "set it"},
    {"\ndata = \"/tmp/${HOME\"\nnamespace \"n\" {\n prefix = \"n:\"\n}\n", 2, "\"${\" is never closed",
     "'}'"},
    {"tls_version = 1.1\n", 1, "tls_version = \"1.1\"", "1.2"},
    {"tls_client_certificates = yes\n", 1, "tls_client_certificates = \"yes\"", "optional"},
    {"tls_handshake_timeout = 0\n", 1, "tls_handshake_timeout = \"0\"", "1s"},
    {"listen = {\"tls:unix:/run/f.sock\"}\n", 1, "listen: \"tls:unix:/run/f.sock\"", "a Unix socket"},
    {"listen = {\"127.0.0.1:1\", \"tls:127.0.0.1:1\"}\n", 1, "\"tls:127.0.0.1:1\" is given twice", ""},
    {"threads = two\n", 1, "threads = \"two\"", "number"},
    {"threads = -2\n", 1, "-2", "number"},
    {"memory = \"64 sheep\"\n", 1, "64 sheep", "such as \"64mb\""},
    {"memory = 99\n", 1, "memory = \"99\"", "from 1mb"},
    {"drain_timeout = soon\n", 1, "drain_timeout = \"soon\"", "\"2s\""},
    {"idle_timeout = 100ms\n", 1, "idle_timeout = \"100ms\"", "whole seconds"},
    {"item_max = 200mb\n", 1, "item_max", "128mb"},
    {"node = 4096\n", 1, "node", "4095"},
    {"data = \"\"\n", 1, "data is empty", ""},
    {"\nadmin = \"*:11280\"\n", 2, "all interfaces are 0.0.0.0", "127.0.0.1:11280"},
    {"admin = \"unix:/tmp/x\"\n", 1, "over the network alone", "host:port"},
    {"admin = \"127.0.0.1:http\"\n", 1, "a port is a number", "host:port"},
    {"threads = 2\nlog_format = \"xml\"\n", 2, "log_format = \"xml\"", "\"text\" or \"logfmt\" or \"json\""},
    {"slow_log = 2h\n", 1, "slow_log", "to 3600000ms"},
    {"stall_timeout = 1s\n", 1, "stall_timeout", "from 2000ms"},
    {"listen = {\"127.0.0.1:port\"}\n", 1, "127.0.0.1:port", "host:port"},
    {"listen = {\"127.0.0.1:1\",\n\"127.0.0.1:1\"}\n", 2, "twice", "remove"},
    {"listen = {\"[::1:11211\"}\n", 1, "']' is missing", ""},
    {ASIDE("eviction = \"random\""), 3, "eviction = \"random\"", "\"lru\" or \"s3-fifo\""},
    {ASIDE("ttl = \"forever\""), 3, "ttl = \"forever\"", "such as \"30m\""},
    {OVER("write-behind", "b", "journal = \"often\""), 8, "journal = \"often\"", "\"always\""},
    {OVER("write-behind", "b", "preload_wait = perhaps"), 8, "perhaps", "true or false"},
    {OVER("write-behind", "b", "flush_batch = 0"), 8, "flush_batch", "from 1"},
    /* backends */
    {"backend \"b\" {\n}\n", 1, "backend \"b\" has no uri", "uri ="},
    {DATA "backend \"b\" { uri = \"mysql:x\" }\n", 2, "mysql:x", "sqlite"},
    {"backend \"b\" { uri = \"sqlite:b.db\" }\n", 1, "relative path", "data ="},
    {"backend \"b\" { uri = \"sqlite:\" }\n", 1, "path is missing", ""},
    {"backend \"b\" { uri = \"sqlite+x:/b\" }\n", 1, "sqlite+x:/b", "sqlite:PATH"},
    {"backend \"b c\" { uri = \"sqlite:/b\" }\n", 1, "backend \"b c\"", "letters"},
    {DATA BACKEND "backend \"c\" {\n uri = \"sqlite:b.db\"\n}\n", 4, "are the same store", "one backend"},
    {DATA BACKEND "backend \"c\" {\n uri = \"sqlite:/tmp/../tmp/./b.db\"\n}\n", 4, "are the same store",
     "one backend"},
    {DATA REDIS "backend \"s\" {\n uri = \"redis://localhost:6379/0\"\n}\n", 4, "are the same store",
     "one backend"},
    {DATA "backend \"b\" {\n uri = \"redis://:secret@h:port\"\n}\n", 3, "bad URI", "port"},
    {"backend \"b\" { uri = \"redis://:pw@host:99999/0\" }\n", 1, "bad URI", "65535"},
    {"backend \"b\" { uri = \"redis://pw@host\" }\n", 1, "bad URI", ":password"},
    {"backend \"b\" { uri = \"redis://:a%zz@h:1\" }\n", 1, "bad URI", "%25"},
    {"backend \"b\" { uri = \"redis:pw@host\" }\n", 1, "bad URI", "redis://"},
    {"backend \"b\" { uri = \"redis://h:1/x@\" }\n", 1, "bad URI", "%2F"},
    {"backend \"b\" { uri = \"redis://:a/b@h\" }\n", 1, "bad URI", "%2F"},
    {DATA "backend \"b\" { uri = \"sqlite::memory:\" }\n", 2, "sqlite::memory:", "only paths do"},
    {DATA "backend \"b\" { uri = \"sqlite:file:b.db?mode=ro\" }\n", 2, "sqlite:file:b.db", "sqlite:./NAME"},
    {"backend \"b\" { uri = \"sqlite:/srv/\" }\n", 1, "names a folder", "file"},
    {DATA "backend \"b\" { uri = \"sqlite://store.db\" }\n", 2, "sqlite://store.db", "sqlite:NAME"},
    {"backend \"b\" { uri = \"redis://h:1/0\"\n synchronous = \"full\" }\n", 2, "synchronous is for SQLite",
     "remove"},
    {DATA "backend \"b\" { uri = \"sqlite:b\"\n tombstone_ttl = \"1d\" }\n", 3, "tombstone_ttl is for Redis",
     ""},
    {DATA "backend \"b\" { uri = \"sqlite:b\"\n synchronous = \"often\" }\n", 3, "synchronous", "\"normal\""},
    {DATA "backend \"b\" { uri = \"sqlite:b\"\n readers = 0 }\n", 3, "readers", "from 1 to 64"},
    /* namespaces */
    {OVER("write-behind", "b", "key_type = \"integer\""), 8, "key_type is for SQL of a namespace's own",
     "remove"},
    {OVER("write-behind", "b",
          "load = \"SELECT v FROM t WHERE k = :key\" store = \"x\" delete = \"x\" key_type = \"int\""),
     8, "key_type = \"int\"", "\"integer\""},
    {"\nnamespace \"n\" {\n}\n", 2, "namespace \"n\" has no prefix", "prefix ="},
    {"\nnamespace \"Default\" { prefix = \"d:\" }\n", 2, "namespace \"Default\"", "choose another"},
    {"namespace \"n\" { prefix = \"n\"\n flush_delay = 0 }\n", 2, "flush_delay", "from 1ms"},
    {"namespace \"n\" {\n prefix = \"a b\"\n}\n", 2, "prefix = \"a b\"", "spaces"},
    {"namespace \"1st\" {\n prefix = \"a\"\n}\n", 1, "namespace \"1st\"", "begins with a letter or '_'"},
    {"threads = 2\nadmin = {\"127.0.0.1:11280\"}\n", 2, "'{' is not expected", "listen, restrict"},
    {"namespace \"a;drop\" {\n prefix = \"a\"\n}\n", 1, "a;drop", "letters"},
    {"namespace \"sqlite_x\" {\n prefix = \"a\"\n}\n", 1, "sqlite_x", "choose another"},
    {"namespace \"a\" { prefix = \"x\" }\nnamespace \"A\" { prefix = \"y\" }\n", 2, "differ in case",
     "rename"},
    {"namespace \"a\" { prefix = \"x\" }\nnamespace \"b\" {\n prefix = \"x\" }\n", 3, "same prefix \"x\"",
     "change"},
    {ASIDE("policy = \"write-sideways\""), 3, "write-sideways", "write-behind"},
    {ASIDE("policy = \"write-behind\""), 3, "names no backend", "backend ="},
    {ASIDE("policy = \"read-through\""), 3, "names no backend", "backend ="},
    {OVER("read-through", "x", ""), 7, "backend = \"x\"", "define it"},
    {HEAD ASIDE("backend = \"b\""), 6, "has a backend and no policy", "policy ="},
    {OVER("cache-aside", "b", ""), 7, "is cache-aside, which uses no backend", "remove it"},
    {ASIDE("journal = \"os\""), 3, "journal needs policy = \"write-behind\"", "remove it"},
    {ASIDE("unknown_set = \"refuse\""), 3, "unknown_set needs", "write-behind"},
    {ASIDE("negative_ttl = \"2s\""), 3, "negative_ttl needs a policy with a backend", ""},
    {ASIDE("existence = \"memory\""), 3, "existence needs", ""},
    {OVER("write-through", "b", "flush_delay = \"1s\""), 8, "flush_delay needs", "write-behind"},
    {OVER("read-through", "b", "touch_slack = \"1s\""), 8, "touch_slack needs", "write-behind"},
    {OVER("write-behind", "b", "layout = \"hash\""), 8, "layout needs a Redis backend", "over b"},
    {OVER("write-behind", "r", "load = \"SELECT 1\""), 8, "load needs an SQLite backend", "over r"},
    {OVER("write-behind", "b", "load = \"SELECT 1\""), 8, "none for delete", "load, store and delete"},
    {OVER("read-through", "b", "store = \"x\""), 8, "none for delete", ""},
    {OVER("write-behind", "b", "preload_wait = true"), 8, "waits for nothing", "preload ="},
    {OVER("write-behind", "b", "load = \"l\" store = \"s\" delete = \"d\"\n preload = 5"), 9,
     "does not list rows", "remove preload"},
    {OVER("write-behind", "b", "load = \"l\" store = \"s\" delete = \"d\"\n absent_filter = true"), 9,
     "does not list rows", "remove absent_filter"},
    {OVER("read-through", "b", "absent_filter = true"), 8, "absent_filter needs policy =", "write-through"},
    {OVER("write-behind", "r", "absent_filter = true"), 8, "does not show that others write", "remove it"},
    {HEAD KEYS("x", "x:", "b", "absent_filter = true") KEYS("y", "y:", "b", ROWS("'x'")), 7,
     "absent_filter: namespace \"y\" may write rows of \"x\"", "keep their rows apart"},
    {BACKEND, 1, "relative path", ""},
    {"backend \"b\" { uri = \"sqlite:/b\" }\nnamespace \"n\" { prefix = \"n:\" backend = \"b\"\n "
     "policy = \"write-behind\" }\n",
     3, "journal of namespace \"n\" needs a folder", "journal = \"off\""},
    {OVER("write-behind", "b", "dirty_limit = \"60mb\""), 8, "dirty_limit", "three quarters"},
    {OVER("write-behind", "b",
          "backend_timeout = \"2s\"\n}\nnamespace \"m\" {\n prefix = \"m:\"\n policy = \"read-through\"\n"
          " backend = \"b\"\n backend_timeout = \"3s\""),
     14, "backend_timeout is 3000 ms here and 2000 ms elsewhere", "same value"},
    /* copies */
    {OVER("write-behind", "b", "copy_to = \"x\""), 8, "copy_to = \"x\": there is no such backend",
     "define it"},
    {OVER("write-behind", "b", "copy_to = \"b\""), 8, "over this backend already", "another one"},
    {OVER("read-through", "b", "copy_to = \"r\""), 8, "copy_to needs policy =", "write-through"},
    {HEAD ASIDE("copy_to = \"r\""), 6, "copy_to needs policy =", ""},
    {OVER("write-behind", "b", "load = \"l\" store = \"s\" delete = \"d\"\n copy_to = \"r\""), 9,
     "does not list rows", "remove copy_to"},
    {HEAD KEYS("x", "x:", "b", "copy_to = \"r\"") KEYS("y", "y:", "r", "copy_to = \"b\""), 7,
     "namespace \"y\" is copied from this backend", "one after the other"},
    {HEAD KEYS("x", "x:", "r", "key_prefix = \"y:\"") KEYS("y", "y:x:", "b", "copy_to = \"r\""), 7,
     "of namespace", "key_prefix"},
    /* entries of two namespaces in one place */
    {HEAD KEYS("x", "x:", "r", "") KEYS("y", "y:", "r", "key_prefix = \"x:\""), 12,
     "keys \"x:y:...\" of namespace \"x\"", "change a key_prefix"},
    {HEAD KEYS("y", "y:", "r", "key_prefix = \"x:\"") KEYS("x", "x:", "r", ""), 7,
     "keys \"x:y:...\" of namespace \"x\"", ""},
    {HEAD KEYS("all", "", "r", "") KEYS("y", "y:", "r", "key_prefix = \"app:\""), 12, "\"app:y:...\"", ""},
    {HEAD KEYS("a", "a", "r", "key_prefix = \"bc\"") KEYS("ca", "ca", "r", "key_prefix = \"b\""), 12,
     "\"bca...\"", ""},
    {DATA REDIS "backend \"s\" { uri = \"redis://u:p@127.0.0.1/0\" }\n" KEYS("x", "x:", "r", "")
         KEYS("y", "y:", "s", "key_prefix = \"x:\""),
     12, "same names in Redis", ""},
    {DATA "backend \"r\" { uri = \"redis+sentinel://a,b:26379/m?db=1\" }\n"
          "backend \"s\" { uri = \"redis+sentinel://:p@c,B./m?db=1\" }\n" KEYS("x", "x:", "r", "")
              KEYS("y", "y:", "s", "key_prefix = \"x:\""),
     12, "same names in Redis", ""},
#define OTHER_LOOPBACK(host)                                                                                 \
    {                                                                                                        \
        DATA REDIS "backend \"s\" { uri = \"redis://" host ":6379/0\" }\n" KEYS("x", "x:", "r", "")          \
            KEYS("y", "y:", "s", "key_prefix = \"x:\""),                                                     \
            12, "same names in Redis", ""                                                                    \
    }
    OTHER_LOOPBACK("LOCALHOST"),
    OTHER_LOOPBACK("localhost."),
    OTHER_LOOPBACK("127.0.0.2"),
    OTHER_LOOPBACK("127.1"),
    OTHER_LOOPBACK("0.0.0.0"),
    OTHER_LOOPBACK("[::1]"),
    OTHER_LOOPBACK("[::ffff:127.0.0.1]"),
    {HEAD KEYS("x", "x:", "b", ROWS("forebay_meta")), 7, "\"forebay_meta\" is Forebay's own",
     "another table"},
    {HEAD KEYS("x", "x:", "b", ROWS("main.'Forebay_Meta'")), 7, "is Forebay's own", ""},
    {HEAD KEYS("x", "x:", "b", ROWS("t")) KEYS("y", "y:", "b", ROWS("t")), 12, "store with the same SQL",
     "one namespace"},
    {HEAD KEYS("x", "x:", "b", ROWS("t")) KEYS("y", "y:", "b", ROWS(" T /* the same */")), 12,
     "store with the same SQL", ""},
    {ASIDE("memory = \"65mb\""), 3, "quotas", "more than the total"},
    {"memory = 64mb\nnamespace \"a\" { prefix = \"a\" memory = 40mb }\nnamespace \"b\" { prefix = \"b\"\n "
     "memory = 40mb }\n",
     4, "up to namespace \"b\"", "raise memory"},
};

TEST(a_bad_file_is_refused_with_its_line_and_the_remedy) {
    struct loaded *loaded = *state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char where[400];
        load(loaded, table[i].text);
        if (loaded->config)
            fail_msg("accepted: %s", table[i].text);
        snprintf(where, sizeof where, "%s:%d: ", loaded->path, table[i].line);
        if (strncmp(loaded->error, where, strlen(where)) != 0 || !strstr(loaded->error, table[i].says) ||
            !strstr(loaded->error, table[i].also))
            fail_msg("expected line %d, \"%s\", \"%s\"; got: %s\nfor:\n%s", table[i].line, table[i].says,
                     table[i].also, loaded->error, table[i].text);
    }
}

/* Entries that cannot meet, or may. */
static const struct fine {
    const char *text;
    const char *warns; /* NULL: it does not */
} fine[] = {
    {HEAD KEYS("x", "x:", "r", "") KEYS("y", "y:", "r", ""), NULL},
    {HEAD KEYS("x", "x:", "r", "key_prefix = \"app:\"") KEYS("y", "y:", "r", "key_prefix = \"app:\""), NULL},
    {HEAD KEYS("all", "", "r", "") KEYS("x", "x:", "r", ""), NULL},
    {HEAD KEYS("all", "", "r", "key_prefix = \"a:\"") KEYS("x", "x:", "r", "key_prefix = \"b:\""), NULL},
    /* keys "app:..." are the third's, which keeps them elsewhere */
    {HEAD KEYS("all", "", "r", "") KEYS("y", "y:", "r", "key_prefix = \"app:\"") KEYS("app", "app:", "b", ""),
     NULL},
    {HEAD "backend \"s\" { uri = \"redis://localhost:6379/1\" }\n" KEYS("x", "x:", "r", "")
         KEYS("y", "y:", "s", "key_prefix = \"x:\""),
     NULL},
    {HEAD "backend \"s\" { uri = \"redis+unix:///run/r.sock\" }\n" KEYS("x", "x:", "r", "")
         KEYS("y", "y:", "s", "key_prefix = \"x:\""),
     ":13: keys \"x:y:...\" of namespace \"x\""},
    {HEAD KEYS("x", "x:", "b", ROWS("t")) KEYS("y", "y:", "b", ROWS("u")), NULL},
    {HEAD KEYS("x", "x:", "b", ROWS("t")) KEYS("y", "y:", "b", ROWS("main.[T]")),
     ":12: namespaces \"y\" and \"x\" both use"},
    {HEAD KEYS("x", "x:", "b", "") KEYS("y", "y:", "b", ROWS("'x'")), /* to SQLite that is a name, too */
     ":12: namespaces \"y\" and \"x\" both use the table \"x\""},
    {HEAD KEYS("x", "x:", "b", ROWS("t")) KEYS("y", "y:", "b", ROWS("'main'.'T'")),
     ":12: namespaces \"y\" and \"x\" both use"},
    /* names of what may be one host */
    {HEAD "backend \"s\" { uri = \"redis://cache.example.org/0\" }\n" KEYS("x", "x:", "r", "")
         KEYS("y", "y:", "s", "key_prefix = \"x:\""),
     ":13: keys \"x:y:...\" of namespace \"x\""},
    {HEAD "backend \"s\" { uri = \"redis+sentinel://a/m\" }\n" KEYS("x", "x:", "r", "")
         KEYS("y", "y:", "s", "key_prefix = \"x:\""),
     ":13: keys \"x:y:...\" of namespace \"x\""},
    {HEAD "backend \"s\" { uri = \"redis+sentinel://a/m?db=1\" }\n" KEYS("x", "x:", "r", "")
         KEYS("y", "y:", "s", "key_prefix = \"x:\""),
     NULL},
    {HEAD "backend \"s\" { uri = \"redis://cache.example.org:6380/0\" }\n" KEYS("x", "x:", "r", "")
         KEYS("y", "y:", "s", "key_prefix = \"x:\""),
     NULL},
    {HEAD "backend \"s\" { uri = \"redis://cache.example.org/0\" }\n" KEYS("x", "x:", "r", "")
         KEYS("y", "y:", "s", ""),
     NULL},
    {HEAD KEYS("x", "x:", "b", "") KEYS("y", "y:", "b", ROWS("X")),
     ":12: namespaces \"y\" and \"x\" both use the table \"x\""},
    {HEAD "namespace \"x\" { prefix = \"x:\" policy = \"read-through\" backend = \"b\"\n" ROWS(
         "t") "}\n"
              "namespace \"y\" { prefix = \"y:\" policy = \"read-through\" backend = \"b\"\n" ROWS("t") "}\n",
     NULL},
};

TEST(namespaces_that_may_meet_are_warned_of_and_others_are_not) {
    struct loaded *loaded = *state;
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        load_good(loaded, fine[i].text);
        const char *said = config_warnings(loaded->config);
        if (fine[i].warns ? !strstr(said, fine[i].warns) : strstr(said, "namespaces \"") != NULL)
            fail_msg("expected \"%s\", got \"%s\" for\n%s", fine[i].warns ? fine[i].warns : "", said,
                     fine[i].text);
    }
}

TEST(a_link_to_a_file_is_the_file) {
    struct loaded *loaded = *state;
    char text[2000], file[400], other[400];
    snprintf(file, sizeof file, "%s/store.db", loaded->folder.path);
    snprintf(other, sizeof other, "%s/link.db", loaded->folder.path);
    fclose(fopen(file, "w"));
    assert_int_equal(symlink(file, other), 0);
    snprintf(text, sizeof text,
             "backend \"a\" { uri = \"sqlite:%s\" }\nbackend \"b\" { uri = \"sqlite:%s\" }\n", file, other);
    load(loaded, text);
    assert_null(loaded->config);
    assert_non_null(strstr(loaded->error, "f.conf:2: "));
    assert_non_null(strstr(loaded->error, "are the same store"));
}

TEST(more_namespaces_than_the_cache_takes_are_refused) {
    char text[64 * 64] = "";
    size_t used = 0;
    for (int i = 0; i < CACHE_SPACES_MAX; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "namespace \"n%d\" { prefix = \"%d:\" }\n",
                                 i, i);
    struct loaded *loaded = *state;
    load(loaded, text);
    assert_null(loaded->config);
    assert_non_null(strstr(loaded->error, "f.conf:64: at most 63 namespaces"));
}

TEST(a_file_with_a_zero_byte_is_refused) {
    struct loaded *loaded = *state;
    load_bytes(loaded, "memory = 64mb\n\0\n", 16);
    assert_null(loaded->config);
    assert_non_null(strstr(loaded->error, "f.conf:2: contains a zero byte"));
}

TEST(a_missing_file_is_refused) {
    struct settings settings;
    char error[300];
    settings_defaults(&settings);
    assert_null(config_load("/nowhere/f.conf", &settings, error, sizeof error));
    assert_non_null(strstr(error, "/nowhere/f.conf: cannot read"));
}

/* Whatever is cut off or damaged: refused or accepted, never more. */
TEST(damaged_files_do_no_harm) {
    char text[sizeof whole];
    struct loaded *loaded = *state;
    for (size_t cut = 0; cut < sizeof whole; cut += 7) {
        load_bytes(loaded, whole, cut);
        assert_true(loaded->config || strstr(loaded->error, "f.conf:"));
    }
    for (size_t at = 0; at < sizeof whole - 1; at += 3) {
        memcpy(text, whole, sizeof whole);
        text[at] = "{}\"=#/\\x\n\x80"[at % 10];
        load_bytes(loaded, text, sizeof whole - 1);
        assert_true(loaded->config || strstr(loaded->error, "f.conf:"));
    }
}

TEST(limits_are_checked_against_each_other_in_the_end) {
    struct loaded *loaded = *state;
    struct settings_complaint complaint;
    load_good(loaded, "memory = 64mb\nnamespace \"a\" { prefix = \"a\" memory = 40mb }\n");
    assert_true(settings_check(&loaded->settings, &complaint));
    loaded->settings.tier.cache.memory_limit = 32 << 20; /* as -m 32 does */
    assert_false(settings_check(&loaded->settings, &complaint));
    assert_non_null(strstr(complaint.text, "quotas"));
    loaded->settings.tier.space_count = 0;
    loaded->settings.item_max = 17 << 20;
    assert_false(settings_check(&loaded->settings, &complaint));
    assert_non_null(strstr(complaint.text, "at most half of the memory"));
}

TEST(unfinished_requests_may_take_a_quarter_of_the_memory) {
    struct loaded *loaded = *state;
    struct settings_complaint complaint;
    load_good(loaded, "memory = 64mb\n");
    assert_int_equal(settings_request_memory(&loaded->settings), 16 << 20);
    loaded->settings.item_max = 32 << 20; /* two of them are to come in, whatever they are a part of */
    assert_in_range(settings_request_memory(&loaded->settings), 64 << 20, 65 << 20);
    assert_true(settings_check(&loaded->settings, &complaint));
    load_good(loaded, "memory = 64mb request_memory = 5mb\n");
    assert_int_equal(settings_request_memory(&loaded->settings), 5 << 20);
    assert_true(settings_check(&loaded->settings, &complaint));
    load_good(loaded, "memory = 64mb request_memory = 1mb\n");
    assert_false(settings_check(&loaded->settings, &complaint));
    assert_non_null(strstr(complaint.text, "raise request_memory"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(every_setting_arrives),
        CASE(what_is_not_said_has_its_default),
        CASE(an_empty_file_is_memcached),
        CASE(variables_stand_for_their_values_except_in_single_quotes),
        CASE(a_bad_file_is_refused_with_its_line_and_the_remedy),
        CASE(namespaces_that_may_meet_are_warned_of_and_others_are_not),
        CASE(a_link_to_a_file_is_the_file),
        CASE(more_namespaces_than_the_cache_takes_are_refused),
        CASE(a_file_with_a_zero_byte_is_refused),
        CASE(a_missing_file_is_refused),
        CASE(damaged_files_do_no_harm),
        CASE(limits_are_checked_against_each_other_in_the_end),
        CASE(unfinished_requests_may_take_a_quarter_of_the_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
