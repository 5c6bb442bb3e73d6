/* SPDX-License-Identifier: MIT */
/*
 * One table says everything about an option: letter, long name, how its argument is read, between which bounds, and what
 * the manuals say of it. getopt_long() walks the words; take_...() functions put the values where they belong.
 */
#include "server/config/options.h"
#include "server/config/address.h"
#include "server/config/manual.h"
#include "server/config/measure.h"
#include "server/config/options_extended.h"
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>

enum {
    OPTION_CONFIG = 256, /* from here on there is no letter */
    OPTION_CHECK,
    OPTION_JOURNAL_DUMP,
    OPTION_PRINT_CONFIG,
    OPTION_RECOVER,
    OPTION_RESTRICT,
    OPTION_ADMIN,
    OPTION_LOG_FORMAT,
};

struct reading {
    struct options *options;
    struct settings *settings;
    char *error;
    size_t error_size;
};

struct option_kind {
    int letter;
    const char *name;
    int argument; /* no_argument, required_argument, optional_argument */
    bool (*take)(struct reading *reading, const struct option_kind *kind, const char *argument);
    uint64_t minimum, maximum; /* of numbers */
    size_t offset;             /* of the unsigned, bool or text in struct settings or struct options */
    const char *text;          /* the reason of a refusal, the meaning of what is ignored */
    enum options_group group;
    const char *setting;     /* of the configuration that it replaces or adds to, or NULL */
    const char *placeholder; /* for its argument */
    const char *standard;    /* the default as one would write it; NULL: the option is not given */
    const char *about;       /* as setting.about */
};

#define IN_SETTINGS(member) offsetof(struct settings, member)
#define IN_OPTIONS(member)  offsetof(struct options, member)

/* ---- Reading arguments ---- */

static bool number_in_range(struct reading *reading, const struct option_kind *kind, const char *argument,
                            uint64_t *ret_number) {
    if (measure_number(argument, ret_number) && *ret_number >= kind->minimum && *ret_number <= kind->maximum)
        return true;
    snprintf(reading->error, reading->error_size, "-%c (--%s) takes a number from %llu to %llu, not \"%s\"",
             kind->letter, kind->name, (unsigned long long)kind->minimum, (unsigned long long)kind->maximum,
             argument);
    return false;
}

static bool take_number(struct reading *reading, const struct option_kind *kind, const char *argument) {
    uint64_t number;
    if (!number_in_range(reading, kind, argument, &number))
        return false;
    *(unsigned *)((char *)reading->settings + kind->offset) = (unsigned)number;
    return true;
}

static bool take_requests(struct reading *reading, const struct option_kind *kind, const char *argument) {
    reading->settings->limits_requests = true;
    return take_number(reading, kind, argument);
}

static bool take_on(struct reading *reading, const struct option_kind *kind, const char *argument) {
    (void)argument;
    *(bool *)((char *)reading->settings + kind->offset) = true;
    return true;
}

static bool take_off(struct reading *reading, const struct option_kind *kind, const char *argument) {
    (void)argument;
    *(bool *)((char *)reading->settings + kind->offset) = false;
    return true;
}

static bool take_launch(struct reading *reading, const struct option_kind *kind, const char *argument) {
    (void)argument;
    *(bool *)((char *)reading->options + kind->offset) = true;
    return true;
}

static bool take_text(struct reading *reading, const struct option_kind *kind, const char *argument) {
    *(const char **)((char *)reading->settings + kind->offset) = argument;
    return true;
}

static bool take_launch_text(struct reading *reading, const struct option_kind *kind, const char *argument) {
    *(const char **)((char *)reading->options + kind->offset) = argument;
    return true;
}

static bool take_ignored(struct reading *reading, const struct option_kind *kind, const char *argument) {
    uint64_t number;
    if (kind->maximum && !number_in_range(reading, kind, argument, &number))
        return false;
    buffer_print(&reading->options->notices, "-%c (--%s) has no meaning here and is ignored: %s\n",
                 kind->letter, kind->name, kind->text);
    return true;
}

static bool take_refused(struct reading *reading, const struct option_kind *kind, const char *argument) {
    (void)argument;
    snprintf(reading->error, reading->error_size, "-%c (--%s) is not supported: %s", kind->letter, kind->name,
             kind->text);
    return false;
}

static bool take_action(struct reading *reading, const struct option_kind *kind, const char *argument) {
    (void)argument;
    if (reading->options->action == OPTIONS_SERVE)
        reading->options->action = (enum options_action)kind->minimum;
    return true;
}

/* An option whose argument may be left out, and can be one word only. */
static bool take_mode(struct reading *reading, const struct option_kind *kind, const char *argument,
                      bool *ret_given) {
    *ret_given = argument != NULL;
    if (!argument || strcmp(argument, kind->placeholder) == 0)
        return take_action(reading, kind, argument);
    snprintf(reading->error, reading->error_size, "--%s=%s: --%s or --%s=%s is expected", kind->name,
             argument, kind->name, kind->name, kind->placeholder);
    return false;
}

static bool take_check(struct reading *reading, const struct option_kind *kind, const char *argument) {
    return take_mode(reading, kind, argument, &reading->options->offline);
}

static bool take_print_config(struct reading *reading, const struct option_kind *kind, const char *argument) {
    return take_mode(reading, kind, argument, &reading->options->secrets);
}

static bool take_help(struct reading *reading, const struct option_kind *kind, const char *argument) {
    reading->options->help_topic = argument ? argument : MANUAL_OPTIONS;
    if (manual_has(reading->options->help_topic))
        return take_action(reading, kind, argument);
    snprintf(reading->error, reading->error_size,
             "--help=%s: --help or --help=" MANUAL_SETTINGS " is expected", argument);
    return false;
}

static bool take_journal_dump(struct reading *reading, const struct option_kind *kind, const char *argument) {
    reading->options->journal_folder = argument;
    return take_action(reading, kind, argument);
}

/* False: the argument does not begin so, or names nothing, or it is one too many. */
static bool take_namespace(const char *argument, const char *before, const char **list, size_t *count) {
    size_t size = strlen(before);
    if (strncmp(argument, before, size) != 0 || !argument[size] || *count == TIER_RECOVER_MAX)
        return false;
    list[(*count)++] = argument + size;
    return true;
}

static bool take_recover(struct reading *reading, const struct option_kind *kind, const char *argument) {
    (void)kind;
    struct tier_recovery *recovery = &reading->settings->tier.recovery;
    if (strcmp(argument, "skip-damaged") == 0)
        recovery->skip_damaged = true;
    else if (strcmp(argument, "flush") == 0)
        recovery->flush = true;
    else if (!take_namespace(argument, "discard:", recovery->discard, &recovery->discard_count) &&
             !take_namespace(argument, "keep:", recovery->keep, &recovery->keep_count)) {
        snprintf(
            reading->error, reading->error_size,
            "--recover=%s: skip-damaged, flush, discard:NAMESPACE or keep:NAMESPACE is expected; give the option once for each",
            argument);
        return false;
    }
    return true;
}

static bool take_port(struct reading *reading, const struct option_kind *kind, const char *argument) {
    uint64_t port = 0;
    bool free_one = strcmp(argument, "-1") == 0;
    if (!free_one && !number_in_range(reading, kind, argument, &port))
        return false;
    reading->settings->port = free_one ? PORT_FREE : (int)port;
    reading->options->port_given = true;
    return true;
}

static bool take_udp(struct reading *reading, const struct option_kind *kind, const char *argument) {
    (void)kind;
    uint64_t port;
    if (measure_number(argument, &port) && port == 0)
        return true;
    snprintf(reading->error, reading->error_size,
             "-U %s: UDP is not served, use TCP; only -U 0 (off) is accepted", argument);
    return false;
}

static bool take_mask(struct reading *reading, const struct option_kind *kind, const char *argument) {
    (void)kind;
    char *end;
    unsigned long mask = strtoul(argument, &end, 8);
    if (*argument && *argument != '-' && *end == '\0' && mask <= 0777) {
        reading->settings->unix_mask = (unsigned)mask;
        return true;
    }
    snprintf(reading->error, reading->error_size,
             "-a (--unix-mask) takes access bits from 0 to 777 in octal, not \"%s\"", argument);
    return false;
}

static bool take_memory(struct reading *reading, const struct option_kind *kind, const char *argument) {
    uint64_t megabytes;
    if (!number_in_range(reading, kind, argument, &megabytes))
        return false;
    reading->settings->tier.cache.memory_limit = (size_t)megabytes << 20;
    return true;
}

static bool take_item_size(struct reading *reading, const struct option_kind *kind, const char *argument) {
    uint64_t bytes;
    if (measure_size(argument, &bytes) && bytes >= kind->minimum && bytes <= kind->maximum) {
        reading->settings->item_max = (size_t)bytes;
        return true;
    }
    snprintf(reading->error, reading->error_size,
             "-I (--max-item-size) takes a size from 1k to 128m, not \"%s\"", argument);
    return false;
}

static bool take_delimiter(struct reading *reading, const struct option_kind *kind, const char *argument) {
    (void)kind;
    if (!*argument) {
        snprintf(reading->error, reading->error_size,
                 "-D takes the character that ends a prefix, for example -D :");
        return false;
    }
    reading->settings->stats_prefix_delimiter = *argument;
    reading->settings->detail = true;
    return true;
}

static bool take_protocol(struct reading *reading, const struct option_kind *kind, const char *argument) {
    (void)kind;
    static const char *const names[] = {
        [PROTOCOLS_AUTO] = "auto", [PROTOCOLS_ASCII] = "ascii", [PROTOCOLS_BINARY] = "binary"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(argument, names[i]) != 0)
            continue;
        reading->settings->protocols = (enum protocols)i;
        reading->options->protocols_given = true;
        return true;
    }
    snprintf(reading->error, reading->error_size, "-B (--protocol) takes auto, ascii or binary, not \"%s\"",
             argument);
    return false;
}

static bool take_verbose(struct reading *reading, const struct option_kind *kind, const char *argument) {
    (void)kind;
    (void)argument;
    reading->options->verbosity++;
    return true;
}

static bool take_threads(struct reading *reading, const struct option_kind *kind, const char *argument) {
    if (!take_number(reading, kind, argument))
        return false;
    if (reading->settings->threads > 64)
        buffer_print(&reading->options->notices, "-t %u: more threads than processors only cost time\n",
                     reading->settings->threads);
    return true;
}

static bool take_factor(struct reading *reading, const struct option_kind *kind, const char *argument) {
    char *end;
    double factor = strtod(argument, &end);
    if (*argument && *end == '\0' && factor > 1.0)
        return take_ignored(reading, kind, argument);
    snprintf(reading->error, reading->error_size,
             "-f (--slab-growth-factor) takes a number above 1, not \"%s\"", argument);
    return false;
}

/* Calls take for each part of a list; separators are dropped, and so are empty parts. */
static bool each_part(struct reading *reading, const char *list, const char *separators,
                      bool (*take)(struct reading *reading, const char *part)) {
    char *copy = strdup(list), *rest = NULL;
    bool good = copy != NULL;
    if (!copy)
        snprintf(reading->error, reading->error_size, "no memory for the options");
    for (char *part = copy ? strtok_r(copy, separators, &rest) : NULL; part && good;
         part = strtok_r(NULL, separators, &rest))
        good = take(reading, part);
    free(copy);
    return good;
}

static bool add_listen(struct reading *reading, const char *part) {
    struct options *options = reading->options;
    struct listen_address address;
    char why[300];
    if (!address_parse(part, &address, why, sizeof why)) {
        snprintf(reading->error, reading->error_size, "-l: %s", why);
        return false;
    }
    for (size_t i = 0; i < options->listen_count; i++)
        if (strcmp(options->listen_texts[i], part) == 0)
            return true;
    if (options->listen_count == OPTIONS_LISTEN_MAX ||
        !(options->listen_texts[options->listen_count] = strdup(part))) {
        snprintf(reading->error, reading->error_size, "-l: at most %d addresses", (int)OPTIONS_LISTEN_MAX);
        return false;
    }
    options->listen_count++;
    return true;
}

static bool take_listen(struct reading *reading, const struct option_kind *kind, const char *argument) {
    (void)kind;
    return each_part(reading, argument, ",;", add_listen);
}

static bool take_admin(struct reading *reading, const struct option_kind *kind, const char *argument) {
    struct listen_address address;
    char why[300];
    if (address_parse_admin(argument, &address, why, sizeof why))
        return take_text(reading, kind, argument);
    snprintf(reading->error, reading->error_size, "--admin: %s", why);
    return false;
}

/* Notes that an option was given, for whoever wants to know where a value comes from. */
static void note(struct reading *reading, const char *setting, const char *option) {
    struct options *options = reading->options;
    for (size_t i = 0; setting && i < options->origin_count; i++) {
        struct options_origin *origin = &options->origins[i];
        size_t used = strlen(origin->options);
        if (strcmp(origin->setting, setting) != 0)
            continue;
        if (!strstr(origin->options, option))
            snprintf(origin->options + used, sizeof origin->options - used, ", %s", option);
        return;
    }
    if (!setting) {
        buffer_print(&options->others, "%s%s", options->others.size ? ", " : "", option);
    } else if (options->origin_count < OPTIONS_ORIGINS_MAX) {
        struct options_origin *origin = &options->origins[options->origin_count++];
        origin->setting = setting;
        snprintf(origin->options, sizeof origin->options, "%s", option);
    }
}

static bool add_extended(struct reading *reading, const char *part) {
    const char *setting = NULL;
    bool means_something;
    char word[80];
    if (!options_read_extended(part, reading->settings, &reading->options->notices, &means_something,
                               &setting, reading->error, reading->error_size))
        return false;
    snprintf(word, sizeof word, "-o %s", part);
    if (means_something)
        note(reading, setting, word);
    return true;
}

static bool take_extended(struct reading *reading, const struct option_kind *kind, const char *argument) {
    (void)kind;
    return each_part(reading, argument, ",", add_extended);
}

static bool add_restriction(struct reading *reading, const char *part) {
    char names[200];
    if (settings_restrict(reading->settings, part))
        return true;
    settings_list_restrictions(NULL, ", ", names, sizeof names);
    snprintf(reading->error, reading->error_size, "--restrict=%s: there is no such name; known are %s", part,
             names);
    return false;
}

static bool take_log_format(struct reading *reading, const struct option_kind *kind, const char *argument) {
    for (int i = 0; log_format_names[i]; i++) {
        if (strcmp(log_format_names[i], argument) != 0)
            continue;
        reading->settings->log_format = (enum log_format)i;
        return true;
    }
    snprintf(reading->error, reading->error_size, "--%s takes text, logfmt or json, not \"%.100s\"",
             kind->name, argument);
    return false;
}

static bool take_restrict(struct reading *reading, const struct option_kind *kind, const char *argument) {
    (void)kind;
    return each_part(reading, argument, ",", add_restriction);
}

/* ---- The table ---- */

/* In the order of the manuals, group by group. */
static const struct option_kind kinds[] = {
    {OPTION_CONFIG, "config", required_argument, take_text, .offset = IN_SETTINGS(config_file),
     .group = OPTIONS_CONFIGURATION, .placeholder = "FILE",
     .about = "read namespaces, backends and settings from FILE; options given with it override it"},
    {OPTION_CHECK, "check", optional_argument, take_check, OPTIONS_CHECK, .group = OPTIONS_CONFIGURATION,
     .placeholder = "offline",
     .about =
         "do all that a start does short of serving, with FILE and with what it names: folders, addresses, user, backends, what earlier runs have left. Say what is wrong and change nothing. `--check=offline` asks no backend"},
    {OPTION_PRINT_CONFIG, "print-config", optional_argument, take_print_config, OPTIONS_PRINT_CONFIG,
     .group = OPTIONS_CONFIGURATION, .placeholder = "secrets",
     .about =
         "print the value of every setting, as a configuration file, with where each comes from. Passwords in URIs are hidden, unless `--print-config=secrets` is given"},
    {OPTION_RECOVER, "recover", required_argument, take_recover, .group = OPTIONS_CONFIGURATION,
     .placeholder = "WHAT",
     .about =
         "what to do with what earlier runs have left; may be given several times. `skip-damaged`: start even if a journal or a quarantine is damaged in the middle; the damaged records are lost. `flush`: write to their backends what namespaces that are not write-behind any more have left, then start. `discard:NAMESPACE`: give up what this namespace has left in journals and quarantine, then start. `keep:NAMESPACE`: leave it there although this namespace is not configured"},
    {OPTION_JOURNAL_DUMP, "journal-dump", required_argument, take_journal_dump, OPTIONS_JOURNAL_DUMP,
     .group = OPTIONS_CONFIGURATION, .placeholder = "DIR",
     .about = "print the journals in DIR, one record a line; the server need not be stopped"},

    {'l', "listen", required_argument, take_listen, .group = OPTIONS_NETWORK, .placeholder = "LIST",
     .setting = "listen",
     .about =
         "`host`, `host:port`, `[ipv6]:port`, `*`, `*:port`, `unix:/path`; separate several with commas, or repeat -l. Not given: all interfaces, or with a configuration 127.0.0.1"},
    {'p', "port", required_argument, take_port, 0, 65535, .group = OPTIONS_NETWORK, .placeholder = "N",
     .standard = "11211", .setting = "listen",
     .about =
         "TCP port of addresses without one; -1: any free port (like `-l host:0`); 0: no TCP at all, whatever -l says"},
    {'s', "unix-socket", required_argument, take_text, .offset = IN_SETTINGS(unix_socket),
     .group = OPTIONS_NETWORK, .placeholder = "PATH", .setting = "listen",
     .about =
         "listen on a Unix socket instead of the network; a socket file that no process serves is removed first"},
    {'a', "unix-mask", required_argument, take_mask, .group = OPTIONS_NETWORK, .placeholder = "OCTAL",
     .standard = "700", .about = "the access mode of that socket"},
    {OPTION_ADMIN, "admin", required_argument, take_admin, .offset = IN_SETTINGS(admin),
     .group = OPTIONS_NETWORK, .placeholder = "ADDRESS", .setting = "admin",
     .about =
         "answer [HTTP](#the-admin-http) there: `host`, `host:port`, `[ipv6]:port`; the port is 11280 where none is given. Off unless given"},
    {'c', "conn-limit", required_argument, take_number, 1, 1 << 20, IN_SETTINGS(max_connections),
     .group = OPTIONS_NETWORK, .placeholder = "N", .standard = "1024", .setting = "max_connections",
     .about =
         "client connections at a time; raises the open-files limit. Where that cannot be raised to N and 256 more (or, if that is more: 128, 6 for each thread, and 3 for each reader and for 3 others of each backend), N other than 1024 is refused; 1024, which nobody needs to have asked for, becomes what there is room for (16 at least), with a warning"},
    {'b', "listen-backlog", required_argument, take_number, 1, INT_MAX, IN_SETTINGS(backlog),
     .group = OPTIONS_NETWORK, .placeholder = "N", .standard = "1024",
     .about = "connections waiting to be accepted"},
    {'R', "max-reqs-per-event", required_argument, take_requests, 1, INT_MAX, IN_SETTINGS(requests_per_event),
     .group = OPTIONS_NETWORK, .placeholder = "N",
     .about =
         "requests served from one connection before others get their turn; not given: as many as one read of 16 KiB brought"},
    {'B', "protocol", required_argument, take_protocol, .group = OPTIONS_NETWORK, .placeholder = "NAME",
     .standard = "auto",
     .about =
         "what clients may speak: `ascii` (the text protocol), `binary`, or `auto`, which goes by the first byte of a connection"},
    {'U', "udp-port", required_argument, take_udp, .group = OPTIONS_NETWORK, .placeholder = "0",
     .standard = "0", .about = "accepted; UDP is not served"},

    {'m', "memory-limit", required_argument, take_memory, 1, 1 << 24, .group = OPTIONS_MEMORY,
     .placeholder = "N", .standard = "64", .setting = "memory",
     .about =
         "megabytes: limits what the cache keeps resident. Not included: [connection buffers](#what-a-connection-may-take); with a backend, the backend's own caches (SQLite: up to 8 MiB for the writer); under write-behind, a batch (up to a 32nd of the limit) and the dirty queues (16 bytes an entry)"},
    {'M', "disable-evictions", no_argument, take_on, .offset = IN_SETTINGS(tier.cache.no_eviction),
     .group = OPTIONS_MEMORY, .about = "refuse writes when memory is full"},
    {'I', "max-item-size", required_argument, take_item_size, SETTINGS_ITEM_MIN, SETTINGS_ITEM_MAX,
     .group = OPTIONS_MEMORY, .placeholder = "SIZE", .standard = "1m", .setting = "item_max",
     .about = "the largest item; at most half of -m"},
    {'k', "lock-memory", no_argument, take_launch, .offset = IN_OPTIONS(lock_memory), .group = OPTIONS_MEMORY,
     .about = "lock the memory of the process (mlockall); warns if that is not allowed"},

    {'A', "enable-shutdown", no_argument, take_on, .offset = IN_SETTINGS(allow_shutdown),
     .group = OPTIONS_COMMANDS, .about = "allow `shutdown`"},
    {'F', "disable-flush-all", no_argument, take_off, .offset = IN_SETTINGS(allow_flush_all),
     .group = OPTIONS_COMMANDS, .setting = "restrict", .about = "refuse `flush_all`"},
    {'X', "disable-dumping", no_argument, take_off, .offset = IN_SETTINGS(allow_dump),
     .group = OPTIONS_COMMANDS, .setting = "restrict",
     .about = "refuse `stats detail`, `stats cachedump`, `lru_crawler metadump` and `mgdump`"},
    {'W', "disable-watch", no_argument, take_off, .offset = IN_SETTINGS(allow_watch),
     .group = OPTIONS_COMMANDS, .setting = "restrict", .about = "refuse `watch`"},
    {OPTION_RESTRICT, "restrict", required_argument, take_restrict, .group = OPTIONS_COMMANDS,
     .placeholder = "LIST", .setting = "restrict",
     .about =
         "refuse the [commands of this list](#restricted-commands), separated by commas; may be given several times, and adds to the configuration's list"},
    {'C', "disable-cas", no_argument, take_off, .offset = IN_SETTINGS(cas_enabled), .group = OPTIONS_COMMANDS,
     .about = "no CAS"},
    {'Y', "auth-file", required_argument, take_text, .offset = IN_SETTINGS(auth_file),
     .group = OPTIONS_COMMANDS, .placeholder = "FILE", .setting = "auth_file",
     .about =
         "[clients must authenticate](#authentication); FILE has lines of `user:password`. SIGHUP reads it again"},
    {'S', "enable-sasl", no_argument, take_on, .offset = IN_SETTINGS(sasl), .group = OPTIONS_COMMANDS,
     .about =
         "clients must authenticate by SASL, as users of -Y: the same as -B binary. Without it, -Y has clients of both protocols authenticate, each in its own way"},
    {'D', "stats-delimiter", required_argument, take_delimiter, .group = OPTIONS_COMMANDS,
     .placeholder = "CHAR", .standard = ":",
     .about = "the character that ends a prefix in `stats detail`; also switches `stats detail` on"},

    {'t', "threads", required_argument, take_threads, 1, SETTINGS_THREADS_MAX, IN_SETTINGS(threads),
     .group = OPTIONS_PROCESS, .placeholder = "N", .standard = "4", .setting = "threads",
     .about = "worker threads"},
    {'d', "daemon", no_argument, take_launch, .offset = IN_OPTIONS(daemonize), .group = OPTIONS_PROCESS,
     .about =
         "run in the background; the command returns once clients can connect, or with the status of a failed start"},
    {'P', "pidfile", required_argument, take_launch_text, .offset = IN_OPTIONS(pid_file),
     .group = OPTIONS_PROCESS, .placeholder = "FILE",
     .about = "write the process id to FILE (mode 0644; no link is followed); removed at the end"},
    {'u', "user", required_argument, take_launch_text, .offset = IN_OPTIONS(user), .group = OPTIONS_PROCESS,
     .placeholder = "NAME",
     .about =
         "when started as root: become this user once the TCP ports are bound. Running as root without -u is allowed, and told"},
    {'r', "enable-coredumps", no_argument, take_launch, .offset = IN_OPTIONS(core_dumps),
     .group = OPTIONS_PROCESS, .about = "raise the limit of core files"},
    {'v', "verbose", optional_argument, take_verbose, .group = OPTIONS_PROCESS, .setting = "verbosity",
     .about = "log lines of level debug; `-vv` and `-vvv` are the same; with -d, keep standard error open"},
    {OPTION_LOG_FORMAT, "log-format", required_argument, take_log_format, .group = OPTIONS_PROCESS,
     .placeholder = "FORMAT", .standard = "text", .setting = "log_format",
     .about = "the form of the [log](#log): `text`, `logfmt` or `json`"},
    {'o', "extended", required_argument, take_extended, .group = OPTIONS_PROCESS, .placeholder = "LIST",
     .about = "[more options](#extended-options), as `name=value` or `name`, separated by commas"},
    {'h', "help", optional_argument, take_help, OPTIONS_HELP, .group = OPTIONS_PROCESS,
     .placeholder = "settings",
     .about = "describe the options, or with `--help=settings` those of the configuration file"},
    {'V', "version", no_argument, take_action, OPTIONS_VERSION, .group = OPTIONS_PROCESS,
     .about = "print the version"},
    {'i', "license", no_argument, take_action, OPTIONS_LICENSE, .group = OPTIONS_PROCESS,
     .about = "print the licence"},

    {'f', "slab-growth-factor", required_argument, take_factor, .text = "there are no slab classes",
     .group = OPTIONS_IGNORED, .placeholder = "FACTOR"},
    {'n', "slab-min-size", required_argument, take_ignored, 1, INT_MAX, .text = "there are no slab classes",
     .group = OPTIONS_IGNORED, .placeholder = "N"},
    {'L', "enable-largepages", no_argument, take_ignored, .text = "the kernel's transparent huge pages apply",
     .group = OPTIONS_IGNORED},

    {'e', "memory-file", required_argument, take_refused, .group = OPTIONS_REFUSED, .placeholder = "FILE",
     .text = "memory is not kept in a file; a write-behind namespace survives a restart"},
    {'N', "napi-ids", required_argument, take_refused, .text = "connections are given to the threads in turn",
     .group = OPTIONS_REFUSED, .placeholder = "N"},
    {'Z', "enable-ssl", no_argument, take_refused, .text = "TLS is not built in; put a TLS proxy in front",
     .group = OPTIONS_REFUSED},
};

enum { KINDS = sizeof kinds / sizeof *kinds };

/* An option that is taken once and has no setting is a part of the command line, whatever the configuration is. */
static bool is_of_command_line(const struct option_kind *kind) {
    return kind->group >= OPTIONS_NETWORK && kind->group <= OPTIONS_PROCESS && kind->take != take_action &&
           kind->take != take_help && kind->take != take_extended;
}

static void note_kind(struct reading *reading, const struct option_kind *kind, const char *argument) {
    char word[300];
    if (!is_of_command_line(kind))
        return;
    if (kind->letter >= OPTION_CONFIG)
        snprintf(word, sizeof word, "--%s", kind->name);
    else if (kind->setting || !argument)
        snprintf(word, sizeof word, "-%c", kind->letter);
    else
        snprintf(word, sizeof word, "-%c %s", kind->letter, argument);
    note(reading, kind->setting, word);
}

static const struct option_kind *find_kind(int letter) {
    for (size_t i = 0; i < KINDS; i++)
        if (kinds[i].letter == letter)
            return &kinds[i];
    return NULL;
}

static void fill_tables(char *letters, struct option *longs) {
    size_t at = 0;
    letters[at++] = ':'; /* a missing argument is told apart from an unknown option */
    for (size_t i = 0; i < KINDS; i++) {
        longs[i] = (struct option){kinds[i].name, kinds[i].argument, NULL, kinds[i].letter};
        if (kinds[i].letter >= OPTION_CONFIG)
            continue;
        letters[at++] = (char)kinds[i].letter;
        if (kinds[i].argument == required_argument)
            letters[at++] = ':';
    }
    letters[at] = '\0';
}

static void refuse_word(struct reading *reading, int found, char *const *argv) {
    const struct option_kind *kind = find_kind(optopt);
    if (found == ':' && kind)
        snprintf(reading->error, reading->error_size, "%s needs an argument; see forebay -h",
                 argv[optind - 1]);
    else if (optopt && !kind)
        snprintf(reading->error, reading->error_size, "-%c: no such option; see forebay -h", optopt);
    else
        snprintf(reading->error, reading->error_size, "%s: no such option; see forebay -h", argv[optind - 1]);
}

static bool read_words(struct reading *reading, int argc, char *const *argv) {
    char letters[2 * KINDS + 2];
    struct option longs[KINDS + 1] = {{0}};
    fill_tables(letters, longs);
    opterr = 0;
    optind = 0; /* GNU: start over */
    int found;
    while ((found = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
        const struct option_kind *kind = found == '?' || found == ':' ? NULL : find_kind(found);
        if (!kind) {
            refuse_word(reading, found, argv);
            return false;
        }
        const char *argument = optarg;
        while (argument && (*argument == ' ' || *argument == '\t'))
            argument++;
        if (!kind->take(reading, kind, argument))
            return false;
        note_kind(reading, kind, argument);
    }
    if (optind < argc) {
        snprintf(reading->error, reading->error_size, "\"%s\" is not an option; see forebay -h",
                 argv[optind]);
        return false;
    }
    return true;
}

/* What several options say together. */
static bool conclude(struct reading *reading) {
    struct options *options = reading->options;
    struct settings *settings = reading->settings;
    if (options->verbosity > 0)
        settings->verbosity = options->verbosity;
    if (options->listen_count > 0) {
        settings->listen = (const char *const *)options->listen_texts;
        settings->listen_count = options->listen_count;
    } else if (settings->unix_socket) { /* as with memcached, -s is instead of the network */
        settings->listen_count = 0;
    } else {
        settings->port_overrides = options->port_given;
    }
    if (settings->sasl && !options->protocols_given)
        settings->protocols = PROTOCOLS_BINARY;
    if (options->action != OPTIONS_CHECK || settings->config_file)
        return true;
    snprintf(reading->error, reading->error_size, "--check needs --config FILE");
    return false;
}

bool options_read(struct options *options, struct settings *settings, int argc, char *const *argv,
                  char *ret_error, size_t error_size) {
    struct reading reading = {options, settings, ret_error, error_size};
    *options = (struct options){0};
    return read_words(&reading, argc, argv) && conclude(&reading);
}

void options_free(struct options *options) {
    for (size_t i = 0; i < options->listen_count; i++)
        free(options->listen_texts[i]);
    buffer_free(&options->notices);
    buffer_free(&options->others);
    *options = (struct options){0};
}

const char *options_origin(const struct options *options, const char *setting) {
    for (size_t i = 0; i < options->origin_count; i++)
        if (strcmp(options->origins[i].setting, setting) == 0)
            return options->origins[i].options;
    return NULL;
}

/* ---- For the manuals ---- */

static void describe_values(const struct option_kind *kind, char *ret_text, size_t size) {
    *ret_text = '\0';
    if (kind->maximum && kind->take == take_item_size)
        measure_print_range(kind->minimum, kind->maximum, measure_print_size, ret_text, size);
    else if (kind->maximum)
        measure_print_range(kind->minimum, kind->maximum, measure_print_number, ret_text, size);
}

bool options_describe(size_t index, struct option_description *ret_description) {
    if (index >= KINDS)
        return false;
    const struct option_kind *kind = &kinds[index];
    *ret_description =
        (struct option_description){.group = kind->group,
                                    .letter = kind->letter < OPTION_CONFIG ? (char)kind->letter : '\0',
                                    .name = kind->name,
                                    .placeholder = kind->placeholder,
                                    .argument_is_optional = kind->argument == optional_argument,
                                    .standard = kind->standard,
                                    .about = kind->about ? kind->about : kind->text};
    describe_values(kind, ret_description->values, sizeof ret_description->values);
    return true;
}
