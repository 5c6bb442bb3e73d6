/* SPDX-License-Identifier: MIT */
#include "server/config/settings.h"
#include "cache/base/fit.h"
#include "cache/base/size_text.h"
#include "server/config/clash.h"
#include <stdarg.h>
#include <stdio.h>

#define IN(member) offsetof(struct settings, member)
#define MS_MAX     UINT32_MAX
#define YEARS_MAX  (10ull * 365 * 86400 * 1000) /* ms */

const char *const client_certificates_names[] = {[CERTIFICATES_OFF] = "off",
                                                 [CERTIFICATES_OPTIONAL] = "optional",
                                                 [CERTIFICATES_REQUIRED] = "required",
                                                 NULL};
const char *const tls_version_names[] = {[TLS_VERSION_1_2] = "1.2", [TLS_VERSION_1_3] = "1.3", NULL};

enum { REQUEST_LINE = 4096 }; /* bytes; more than the longest line of a storage command */

const char *const io_kind_names[] = {[IO_AUTO] = "auto", [IO_EPOLL] = "epoll", [IO_RING] = "io_uring", NULL};

const char *const sandbox_kind_names[] = {[SANDBOX_OFF] = "off", [SANDBOX_STRICT] = "strict", NULL};

const char *const use_threads_names[] = {[USE_PROCESSORS] = "processors", [USE_ALL] = "all", NULL};

const struct setting root_settings[] = {
    {"listen", SETTING_LIST, .standard_text = SETTINGS_LISTEN_DEFAULT, .change = SETTING_FIXED,
     .about = "addresses, as for `-l`; the port is 11211 where none is given"},
    {"memory", SETTING_SIZE, IN(tier.cache.memory_limit), 1 << 20, 1ull << 44, .standard = 64 << 20,
     .change = SETTING_LIVE, .about = "what the cache may keep resident, as `-m`"},
    {"threads", SETTING_COUNT, IN(threads), 1, SETTINGS_THREADS_MAX, .standard = 4, .change = SETTING_FIXED,
     .about = "worker threads, as `-t`"},
    {"use_threads", SETTING_WORD, IN(use_threads), .words = use_threads_names, .standard = USE_PROCESSORS,
     .change = SETTING_FIXED,
     .about =
         "to which threads connections are given, in turn. `processors`: to as many threads as there are [processors](sizing.md#threads-processors-descriptors); `all`: to every thread; as `--use-threads`"},
    {"io", SETTING_WORD, IN(io), .words = io_kind_names, .standard = IO_AUTO, .change = SETTING_FIXED,
     .about = "how the worker threads [talk with the kernel](design.md#io_uring-and-epoll), as `--io`"},
    {"sandbox", SETTING_WORD, IN(sandbox), .words = sandbox_kind_names, .standard = SANDBOX_OFF,
     .change = SETTING_FIXED,
     .about =
         "`strict`: the running server [closes what it has no use for](#the-sandbox), as `--sandbox`; the packaged configuration says so"},
    {"data", SETTING_TEXT, IN(data), .minimum = 1, .change = SETTING_FIXED,
     .about =
         "folder of the journals and quarantines, and of `places`, by which a start knows [what a changed configuration hides](#a-configuration-that-changes); relative SQLite paths start here. If it is relative itself, it starts in the folder in which the server is started. Created if missing, with mode 0700. Only one server may use it at a time, whatever it keeps there: a second one is refused, with the pid of the first"},
    {"node", SETTING_COUNT, IN(tier.cache.node), 0, (1 << ENTRY_VERSION_NODE_BITS) - 1, .standard = 0,
     .change = SETTING_FIXED,
     .about =
         "the number of this server among several that share a backend; part of every version. Over one Redis, a number that another server uses is refused"},
    {"drain_timeout", SETTING_MILLISECONDS, IN(tier.drain_timeout), 0, MS_MAX, .standard = 30000,
     .change = SETTING_LIVE, .about = "how long to drain at SIGTERM"},
    {"sync_timeout", SETTING_MILLISECONDS, IN(sync_timeout), 0, MS_MAX, .standard = 60000,
     .change = SETTING_LIVE, .about = "how long the command `sync` waits; 0: as long as it takes"},
    {"journal_file_size", SETTING_SIZE, IN(tier.journal_file_size), 1 << 16, 1ull << 32,
     .standard = JOURNAL_FILE_SIZE_DEFAULT, .change = SETTING_FIXED,
     .about = "the size that journal files grow to; each thread begins with 1 MiB"},
    {"journal_keep", SETTING_MILLISECONDS, IN(tier.journal_keep), 0, 86400000, .standard = 60000,
     .change = SETTING_FIXED,
     .about =
         "how long files of the journal stay after a Redis has all that is in them, so that they can be [written again](backends.md#what-the-journal-keeps) if it loses some of it; 0: they do not"},
    {"journal_keep_size", SETTING_SIZE, IN(tier.journal_keep_size), 0, 1ull << 44, .standard = 512 << 20,
     .change = SETTING_FIXED,
     .about = "what they may take of the disk at most, and never more than it has free beside them"},
    {"max_connections", SETTING_COUNT, IN(max_connections), 1, 1 << 20,
     .standard = SETTINGS_CONNECTIONS_DEFAULT, .change = SETTING_LIVE,
     .about = "client connections at a time, as `-c`"},
    {"idle_timeout", SETTING_SECONDS, IN(idle_timeout), 0, YEARS_MAX, .standard = 0, .change = SETTING_LIVE,
     .about =
         "seconds without [progress](#what-a-connection-may-take) after which a connection is closed; 0: never"},
    {"request_memory", SETTING_SIZE, IN(request_memory), 0, 1ull << 44, .standard = 0, .change = SETTING_LIVE,
     .about =
         "bytes that [unfinished requests](#what-a-connection-may-take) of all connections together may take. 0: a quarter of `memory`, and two of the largest items at least"},
    {"item_max", SETTING_SIZE, IN(item_max), SETTINGS_ITEM_MIN, SETTINGS_ITEM_MAX, .standard = 1 << 20,
     .change = SETTING_FIXED, .about = "the largest item, as `-I`; at most half of `memory`"},
    {"restrict", SETTING_LIST, .standard_text = NULL, .change = SETTING_LIVE,
     .about = "commands that no client may use, as `--restrict`: `restrict = {\"quarantine\", \"sync\"}`"},
    {"auth_file", SETTING_TEXT, IN(auth_file), .minimum = 1, .change = SETTING_LIVE,
     .about = "clients must authenticate, as `-Y`"},
    {"auth_timeout", SETTING_SECONDS, IN(auth_timeout), 1000, 3600000, .standard = 10, .change = SETTING_LIVE,
     .about =
         "where clients must authenticate (`auth_file`, [users](#users)): a connection that has not by then is closed"},
    {"tls_certificate", SETTING_TEXT, IN(tls_certificate), .minimum = 1, .change = SETTING_LIVE,
     .about =
         "a PEM file with the server's certificate and, behind it, those between it and one that clients know: what addresses with `tls:` [show](#tls)"},
    {"tls_key", SETTING_TEXT, IN(tls_key), .minimum = 1, .change = SETTING_LIVE,
     .about =
         "a PEM file with its private key, which has no passphrase; not given: it is in `tls_certificate`"},
    {"tls_client_certificates", SETTING_WORD, IN(tls_client_certificates), .words = client_certificates_names,
     .standard = CERTIFICATES_OFF, .change = SETTING_LIVE,
     .about =
         "whether clients of an address with `tls:` show a certificate: `optional` asks for one and takes a connection without; one that is shown has to be good"},
    {"tls_ca", SETTING_TEXT, IN(tls_ca), .minimum = 1, .change = SETTING_LIVE,
     .about = "a PEM file with the certificates of those who make clients' certificates"},
    {"tls_ciphers", SETTING_TEXT, IN(tls_ciphers), .minimum = 1, .change = SETTING_LIVE,
     .about =
         "the ciphers of TLS 1.2, as `openssl ciphers` reads them; not given: OpenSSL's. Those of TLS 1.3 are all good"},
    {"tls_version", SETTING_WORD, IN(tls_version), .words = tls_version_names, .standard = TLS_VERSION_1_2,
     .change = SETTING_LIVE, .about = "the lowest version of TLS that is spoken"},
    {"tls_kernel", SETTING_SWITCH, IN(tls_kernel), .standard = false, .change = SETTING_LIVE,
     .about = "have the kernel encrypt and decrypt (kTLS), where it can"},
    {"tls_handshake_timeout", SETTING_SECONDS, IN(tls_handshake_timeout), 1000, 3600000, .standard = 10,
     .change = SETTING_LIVE, .about = "a connection whose handshake takes longer is closed"},
    {"admin", SETTING_TEXT, IN(admin), .minimum = 1, .change = SETTING_FIXED,
     .about = "where [HTTP](#the-admin-http) is answered, as `--admin`"},
    {"admin_token_file", SETTING_TEXT, IN(admin_token_file), .minimum = 1, .change = SETTING_LIVE,
     .about =
         "a file with the token that opens [what changes something](#changing-something-by-http); needs `admin`"},
    {"stall_timeout", SETTING_MILLISECONDS, IN(stall_timeout), 2000, 3600000, .standard = 10000,
     .change = SETTING_LIVE,
     .about =
         "without progress for longer than this, a thread or the disk counts as stuck: `/livez` or `/readyz` fails"},
    {"verbosity", SETTING_COUNT, IN(verbosity), 0, SETTINGS_VERBOSITY_MAX, .standard = 0,
     .change = SETTING_LIVE,
     .about =
         "0: the log has lines of the [levels](#log) error, warning and notice; 1 to 3: of debug too, as `-v`"},
    {"log_format", SETTING_WORD, IN(log_format), .words = log_format_names, .standard = LOG_FORMAT_TEXT,
     .change = SETTING_FIXED, .about = "the form of the [log](#log), as `--log-format`"},
    {"slow_log", SETTING_MILLISECONDS, IN(tier.slow_log), 0, 3600000, .standard = 0, .change = SETTING_LIVE,
     .about = "a call of a backend that takes this long or longer is [on the log](#slow-calls); 0: none is"},
    {0},
};

/* What only the command line can change has no row in root_settings: its defaults are here. */
void settings_defaults(struct settings *ret_settings) {
    *ret_settings = (struct settings){
        .requests_per_event = 20,
        .backlog = 1024,
        .allow_flush_all = true,
        .allow_cache_memlimit = true,
        .allow_forget = true,
        .allow_quarantine = true,
        .allow_sync = true,
        .allow_verbosity = true,
        .cas_enabled = true,
        .stats_prefix_delimiter = ':',
        .port = 11211,
        .unix_mask = 0700,
        .maxconns_fast = true,
        .allow_dump = true,
        .allow_watch = true,
        .crawler = true,
        .watch_buffer = 256 << 10,
    };
    setting_set_defaults(root_settings, ret_settings);
}

/* ---- Restrictions ---- */

/* What a client may be refused: a member, and what it is where the client is. */
static const struct restriction {
    const char *name;
    size_t offset;
    bool restricted;
} restrictions[] = {
    {"cache_memlimit", IN(allow_cache_memlimit), false},
    {"dump", IN(allow_dump), false},
    {"flush_all", IN(allow_flush_all), false},
    {"forget", IN(allow_forget), false},
    {"quarantine", IN(allow_quarantine), false},
    {"shutdown", IN(never_shutdown), true},
    {"sync", IN(allow_sync), false},
    {"verbosity", IN(allow_verbosity), false},
    {"watch", IN(allow_watch), false},
};

enum { RESTRICTIONS = sizeof restrictions / sizeof *restrictions };

bool settings_restrict(struct settings *settings, const char *name) {
    for (size_t i = 0; i < RESTRICTIONS; i++) {
        if (strcmp(restrictions[i].name, name) != 0)
            continue;
        *(bool *)((char *)settings + restrictions[i].offset) = restrictions[i].restricted;
        return true;
    }
    return false;
}

void settings_take_restrictions(struct settings *settings, const struct settings *from) {
    for (size_t i = 0; i < RESTRICTIONS; i++) {
        size_t offset = restrictions[i].offset;
        atomic_store((_Atomic bool *)(void *)((char *)settings + offset),
                     *(const bool *)((const char *)from + offset));
    }
}

static bool is_in_force(const struct settings *settings, const struct restriction *restriction) {
    const char *at = (const char *)settings + restriction->offset;
    return atomic_load((const _Atomic bool *)(const void *)at) == restriction->restricted;
}

void settings_list_restrictions(const struct settings *of, const char *separator, char *ret_names,
                                size_t size) {
    size_t used = 0;
    *ret_names = '\0';
    for (size_t i = 0; i < RESTRICTIONS && used < size; i++)
        if (!of || is_in_force(of, &restrictions[i]))
            used += (size_t)snprintf(ret_names + used, size - used, "%s%s", used ? separator : "",
                                     restrictions[i].name);
}

/* ---- The whole ---- */

size_t settings_request_memory(const struct settings *settings) {
    size_t share = settings->tier.cache.memory_limit / 4, least = 2 * (settings->item_max + REQUEST_LINE);
    if (settings->request_memory)
        return settings->request_memory;
    return share > least ? share : least;
}

int settings_port(const struct settings *settings, int given) {
    return given >= 0 && !settings->port_overrides ? given : settings->port;
}

enum address_tls settings_tls(const struct settings *settings, enum address_tls given) {
    if (given != ADDRESS_TLS_UNSAID)
        return given;
    return settings->tls ? ADDRESS_TLS_ON : ADDRESS_TLS_OFF;
}

/* Of the address at this place of the list; of a Unix socket, ADDRESS_TLS_OFF. */
static enum address_tls tls_at(const struct settings *settings, size_t index) {
    struct listen_address address;
    char ignored[300];
    if (!address_parse(settings->listen[index], &address, ignored, sizeof ignored) || address.is_unix)
        return ADDRESS_TLS_OFF;
    return settings_tls(settings, address.tls);
}

bool settings_use_tls(const struct settings *settings) {
    if (settings->port == PORT_NONE)
        return false;
    if (settings->listen_count == 0 && !settings->unix_socket)
        return settings->tls;
    for (size_t i = 0; i < settings->listen_count; i++)
        if (tls_at(settings, i) != ADDRESS_TLS_OFF)
            return true;
    return false;
}

static bool use_known_clients(const struct settings *settings) {
    for (size_t i = 0; i < settings->listen_count; i++)
        if (tls_at(settings, i) == ADDRESS_TLS_KNOWN)
            return true;
    return false;
}

static size_t quotas(const struct settings *settings) {
    size_t sum = 0;
    for (size_t i = 0; i < settings->tier.space_count; i++)
        sum += settings->tier.spaces[i].memory;
    return sum;
}

__attribute__((format(printf, 2, 3))) static bool complain(struct settings_complaint *ret_complaint,
                                                           const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fit_vprint(ret_complaint->text, sizeof ret_complaint->text, format, arguments);
    va_end(arguments);
    return false;
}

/* Dirty bytes may not crowd out the clean working set: three quarters of what the namespace may use. */
static bool check_dirty_limits(const struct settings *settings, struct settings_complaint *ret_complaint) {
    for (size_t i = 0; i < settings->tier.space_count; i++) {
        const struct space_options *space = &settings->tier.spaces[i];
        size_t memory = space->memory ? space->memory : settings->tier.cache.memory_limit;
        if (space->dirty_limit <= memory / 4 * 3)
            continue;
        *ret_complaint = (struct settings_complaint){.space = space->name, .settings = {"dirty_limit"}};
        return complain(
            ret_complaint,
            "dirty_limit of namespace \"%s\" (%s) is more than three quarters of the memory it may use (%s): lower dirty_limit or give more memory",
            space->name, size_text(space->dirty_limit).text, size_text(memory).text);
    }
    return true;
}

/* The line of a value waits with it. */
static bool check_request_memory(const struct settings *settings, struct settings_complaint *ret_complaint) {
    size_t least = settings->item_max + REQUEST_LINE;
    if (settings_request_memory(settings) >= least)
        return true;
    *ret_complaint = (struct settings_complaint){.settings = {"request_memory", "item_max"}};
    return complain(
        ret_complaint,
        "request_memory (%s) has no room for the largest item and its line (%s): raise request_memory or lower -I (item_max)",
        size_text(settings->request_memory).text, size_text(least).text);
}

static bool check_recovery(const struct settings *settings, struct settings_complaint *ret_complaint) {
    const struct tier_recovery *recovery = &settings->tier.recovery;
    if (settings->data || !(recovery->skip_damaged || recovery->flush || recovery->discard_count > 0))
        return true;
    *ret_complaint = (struct settings_complaint){.space = NULL};
    return complain(
        ret_complaint,
        "--recover is about what earlier runs have left in the data folder, and there is none: give --config FILE, with data = \"FOLDER\" in it");
}

static bool check_shutdown(const struct settings *settings, struct settings_complaint *ret_complaint) {
    if (!settings->allow_shutdown || !settings->never_shutdown)
        return true;
    *ret_complaint = (struct settings_complaint){.settings = {"restrict"}};
    return complain(ret_complaint, "-A allows shutdown, and restrict refuses it: remove one of the two");
}

static bool check_sasl(const struct settings *settings, struct settings_complaint *ret_complaint) {
    if (!settings->sasl)
        return true;
    *ret_complaint = (struct settings_complaint){.space = NULL};
    if (settings->protocols != PROTOCOLS_BINARY)
        return complain(
            ret_complaint,
            "-S asks for SASL, which the binary protocol alone has: leave -B out, or give -B binary; -Y FILE without -S asks for passwords in both protocols");
    if (settings_ask_who(settings))
        return true;
    return complain(
        ret_complaint,
        "-S asks for SASL without saying who may come in: add -Y FILE (auth_file), with lines of user:password, or sections user \"name\" to the configuration");
}

/* Who is in the one may do everything, and who is in the other may not. */
static bool check_users(const struct settings *settings, struct settings_complaint *ret_complaint) {
    if (!settings->auth_file || settings->user_count == 0)
        return true;
    *ret_complaint = (struct settings_complaint){.settings = {"auth_file"}};
    return complain(
        ret_complaint,
        "auth_file (-Y) lets clients do everything, and user \"%s\" is there to say who may do what: remove auth_file, and give those who are in it sections of their own, with namespaces = {\"" USER_ALL
        "\"} and operator = true",
        settings->users[0].name);
}

static bool check_admin(const struct settings *settings, struct settings_complaint *ret_complaint) {
    if (settings->admin || !settings->admin_token_file)
        return true;
    *ret_complaint = (struct settings_complaint){.settings = {"admin_token_file"}};
    return complain(
        ret_complaint,
        "admin_token_file has no effect without an address to ask at: give admin (--admin), or remove it");
}

static bool check_tls(const struct settings *settings, struct settings_complaint *ret_complaint) {
    bool asks = settings->tls_client_certificates != CERTIFICATES_OFF || use_known_clients(settings);
    *ret_complaint = (struct settings_complaint){.settings = {"tls_client_certificates", "listen"}};
    if (asks && !settings->tls_ca)
        return complain(
            ret_complaint,
            "clients' certificates are asked for, and nobody is known who makes them: give tls_ca (-o ssl_ca_cert=FILE), or leave tls_client_certificates (-o ssl_verify_mode, mtls:) out");
    *ret_complaint = (struct settings_complaint){.settings = {"listen"}};
    if (!settings_use_tls(settings) || settings->tls_certificate)
        return true;
    return complain(
        ret_complaint,
        "an address is to be encrypted (tls:, -Z), and there is no certificate to show: give tls_certificate (-o ssl_chain_cert=FILE), and tls_key (-o ssl_key=FILE) if the key is in another file");
}

static bool check_item_max(const struct settings *settings, struct settings_complaint *ret_complaint) {
    size_t memory = settings->tier.cache.memory_limit;
    if (settings->item_max <= memory / 2)
        return true;
    *ret_complaint = (struct settings_complaint){.settings = {"item_max", "memory"}};
    return complain(
        ret_complaint,
        "the largest item (%s) may be at most half of the memory (%s): raise -m (memory) or lower -I (item_max)",
        size_text(settings->item_max).text, size_text(memory).text);
}

/* Of a file alone, config.c has checked it. */
static bool check_quotas(const struct settings *settings, struct settings_complaint *ret_complaint) {
    size_t memory = settings->tier.cache.memory_limit;
    if (quotas(settings) <= memory)
        return true;
    *ret_complaint = (struct settings_complaint){.settings = {"memory"}};
    return complain(
        ret_complaint,
        "the namespaces' memory quotas add up to %s, more than the total of %s: raise -m (memory) or lower the quotas",
        size_text(quotas(settings)).text, size_text(memory).text);
}

bool settings_check(const struct settings *settings, struct settings_complaint *ret_complaint) {
    return check_item_max(settings, ret_complaint) && check_quotas(settings, ret_complaint) &&
           check_sasl(settings, ret_complaint) && check_users(settings, ret_complaint) &&
           check_shutdown(settings, ret_complaint) && check_admin(settings, ret_complaint) &&
           check_tls(settings, ret_complaint) && clash_check(settings, ret_complaint) &&
           check_recovery(settings, ret_complaint) && check_request_memory(settings, ret_complaint) &&
           check_dirty_limits(settings, ret_complaint);
}
