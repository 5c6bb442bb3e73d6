/* SPDX-License-Identifier: MIT */
/*
 * One table says everything about an option: letter, long name, how its argument is read, and between which
 * bounds. getopt_long() walks the words; take_...() functions put the values where they belong.
 */
#include "server/config/options.h"
#include "server/config/address.h"
#include "server/config/measure.h"
#include "server/config/options_extended.h"
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>

enum {
    OPTION_CONFIG = 256,
    OPTION_CHECK,
    OPTION_JOURNAL_DUMP,
    OPTION_RECOVER,
    OPTION_RESTRICT,
    OPTION_ADMIN,
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
    if (strcmp(argument, "ascii") == 0 || strcmp(argument, "auto") == 0) {
        reading->settings->ascii_only = strcmp(argument, "ascii") == 0;
        return true;
    }
    bool binary = strcmp(argument, "binary") == 0;
    snprintf(reading->error, reading->error_size,
             binary ? "-B %s: only the text protocol is spoken here; set the clients to text (ascii)"
                    : "-B (--protocol) takes auto or ascii, not \"%s\"",
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

static bool add_extended(struct reading *reading, const char *part) {
    return options_read_extended(part, reading->settings, &reading->options->notices, reading->error,
                                 reading->error_size);
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

static bool take_restrict(struct reading *reading, const struct option_kind *kind, const char *argument) {
    (void)kind;
    return each_part(reading, argument, ",", add_restriction);
}

/* ---- The table ---- */

static const struct option_kind kinds[] = {
    {'p', "port", required_argument, take_port, 0, 65535, 0, 0},
    {'U', "udp-port", required_argument, take_udp, 0, 0, 0, 0},
    {'s', "unix-socket", required_argument, take_text, 0, 0, IN_SETTINGS(unix_socket), 0},
    {'a', "unix-mask", required_argument, take_mask, 0, 0, 0, 0},
    {'A', "enable-shutdown", no_argument, take_on, 0, 0, IN_SETTINGS(allow_shutdown), 0},
    {'l', "listen", required_argument, take_listen, 0, 0, 0, 0},
    {'d', "daemon", no_argument, take_launch, 0, 0, IN_OPTIONS(daemonize), 0},
    {'r', "enable-coredumps", no_argument, take_launch, 0, 0, IN_OPTIONS(core_dumps), 0},
    {'u', "user", required_argument, take_launch_text, 0, 0, IN_OPTIONS(user), 0},
    {'m', "memory-limit", required_argument, take_memory, 1, 1 << 24, 0, 0},
    {'M', "disable-evictions", no_argument, take_on, 0, 0, IN_SETTINGS(tier.cache.no_eviction), 0},
    {'c', "conn-limit", required_argument, take_number, 1, 1 << 20, IN_SETTINGS(max_connections), 0},
    {'k', "lock-memory", no_argument, take_launch, 0, 0, IN_OPTIONS(lock_memory), 0},
    {'v', "verbose", optional_argument, take_verbose, 0, 0, 0, 0},
    {'h', "help", no_argument, take_action, OPTIONS_HELP, 0, 0, 0},
    {'i', "license", no_argument, take_action, OPTIONS_LICENSE, 0, 0, 0},
    {'V', "version", no_argument, take_action, OPTIONS_VERSION, 0, 0, 0},
    {'P', "pidfile", required_argument, take_launch_text, 0, 0, IN_OPTIONS(pid_file), 0},
    {'t', "threads", required_argument, take_threads, 1, SETTINGS_THREADS_MAX, IN_SETTINGS(threads), 0},
    {'R', "max-reqs-per-event", required_argument, take_requests, 1, INT_MAX, IN_SETTINGS(requests_per_event),
     0},
    {'C', "disable-cas", no_argument, take_off, 0, 0, IN_SETTINGS(cas_enabled), 0},
    {'b', "listen-backlog", required_argument, take_number, 1, INT_MAX, IN_SETTINGS(backlog), 0},
    {'B', "protocol", required_argument, take_protocol, 0, 0, 0, 0},
    {'I', "max-item-size", required_argument, take_item_size, SETTINGS_ITEM_MIN, SETTINGS_ITEM_MAX, 0, 0},
    {'F', "disable-flush-all", no_argument, take_off, 0, 0, IN_SETTINGS(allow_flush_all), 0},
    {'X', "disable-dumping", no_argument, take_off, 0, 0, IN_SETTINGS(allow_dump), 0},
    {'W', "disable-watch", no_argument, take_off, 0, 0, IN_SETTINGS(allow_watch), 0},
    {'Y', "auth-file", required_argument, take_text, 0, 0, IN_SETTINGS(auth_file), 0},
    {'f', "slab-growth-factor", required_argument, take_factor, 0, 0, 0, "there are no slab classes"},
    {'n', "slab-min-size", required_argument, take_ignored, 1, INT_MAX, 0, "there are no slab classes"},
    {'L', "enable-largepages", no_argument, take_ignored, 0, 0, 0,
     "the kernel's transparent huge pages apply"},
    {'D', "stats-delimiter", required_argument, take_delimiter, 0, 0, 0, 0},
    {'o', "extended", required_argument, take_extended, 0, 0, 0, 0},
    {'e', "memory-file", required_argument, take_refused, 0, 0, 0,
     "memory is not kept in a file; a write-behind namespace survives a restart"},
    {'N', "napi-ids", required_argument, take_refused, 0, 0, 0,
     "connections are given to the threads in turn"},
    {'S', "enable-sasl", no_argument, take_refused, 0, 0, 0,
     "SASL belongs to the binary protocol; use -Y FILE for passwords in the text protocol"},
    {'Z', "enable-ssl", no_argument, take_refused, 0, 0, 0, "TLS is not built in; put a TLS proxy in front"},
    {OPTION_CONFIG, "config", required_argument, take_text, 0, 0, IN_SETTINGS(config_file), 0},
    {OPTION_CHECK, "check", no_argument, take_action, OPTIONS_CHECK, 0, 0, 0},
    {OPTION_JOURNAL_DUMP, "journal-dump", required_argument, take_journal_dump, OPTIONS_JOURNAL_DUMP, 0, 0,
     0},
    {OPTION_RESTRICT, "restrict", required_argument, take_restrict, 0, 0, 0, 0},
    {OPTION_ADMIN, "admin", required_argument, take_admin, 0, 0, IN_SETTINGS(admin), 0},
    {OPTION_RECOVER, "recover", required_argument, take_recover, 0, 0, 0, 0},
};

enum { KINDS = sizeof kinds / sizeof *kinds };

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
    settings->ascii_only |= settings->auth_file != NULL;
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
    *options = (struct options){0};
}
