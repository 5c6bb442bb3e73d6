/* SPDX-License-Identifier: MIT */
/* How the argument of each kind of option is read, checked, and put where it belongs. */
#include "cache/base/fit.h"
#include "server/config/address.h"
#include "server/config/manual.h"
#include "server/config/measure.h"
#include "server/config/options_extended.h"
#include "server/config/options_internal.h"
#include <stdlib.h>

static bool number_in_range(struct reading *reading, const struct option_kind *kind, const char *argument,
                            uint64_t *ret_number) {
    if (measure_number(argument, ret_number) && *ret_number >= kind->minimum && *ret_number <= kind->maximum)
        return true;
    bool measured = strcmp(kind->placeholder, "N") != 0;
    fit_print(reading->error, reading->error_size,
              "-%c (--%s) takes a number%s%s from %llu to %llu, not \"%s\"", kind->letter, kind->name,
              measured ? " of " : "", measured ? kind->placeholder : "", (unsigned long long)kind->minimum,
              (unsigned long long)kind->maximum, argument);
    return false;
}

bool options_take_number(struct reading *reading, const struct option_kind *kind, const char *argument) {
    uint64_t number;
    if (!number_in_range(reading, kind, argument, &number))
        return false;
    *(unsigned *)((char *)reading->settings + kind->offset) = (unsigned)number;
    return true;
}

bool options_take_requests(struct reading *reading, const struct option_kind *kind, const char *argument) {
    reading->settings->limits_requests = true;
    return options_take_number(reading, kind, argument);
}

bool options_take_on(struct reading *reading, const struct option_kind *kind, const char *argument) {
    (void)argument;
    *(bool *)((char *)reading->settings + kind->offset) = true;
    return true;
}

bool options_take_off(struct reading *reading, const struct option_kind *kind, const char *argument) {
    (void)argument;
    *(bool *)((char *)reading->settings + kind->offset) = false;
    return true;
}

bool options_take_launch(struct reading *reading, const struct option_kind *kind, const char *argument) {
    (void)argument;
    *(bool *)((char *)reading->options + kind->offset) = true;
    return true;
}

bool options_take_text(struct reading *reading, const struct option_kind *kind, const char *argument) {
    *(const char **)((char *)reading->settings + kind->offset) = argument;
    return true;
}

bool options_take_launch_text(struct reading *reading, const struct option_kind *kind, const char *argument) {
    *(const char **)((char *)reading->options + kind->offset) = argument;
    return true;
}

bool options_take_ignored(struct reading *reading, const struct option_kind *kind, const char *argument) {
    uint64_t number;
    if (kind->maximum && !number_in_range(reading, kind, argument, &number))
        return false;
    buffer_print(&reading->options->notices, "-%c (--%s) has no meaning here and is ignored: %s\n",
                 kind->letter, kind->name, kind->text);
    return true;
}

bool options_take_refused(struct reading *reading, const struct option_kind *kind, const char *argument) {
    (void)argument;
    fit_print(reading->error, reading->error_size, "-%c (--%s) is not supported: %s", kind->letter,
              kind->name, kind->text);
    return false;
}

bool options_take_action(struct reading *reading, const struct option_kind *kind, const char *argument) {
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
        return options_take_action(reading, kind, argument);
    fit_print(reading->error, reading->error_size, "--%s=%s: --%s or --%s=%s is expected", kind->name,
              argument, kind->name, kind->name, kind->placeholder);
    return false;
}

bool options_take_check(struct reading *reading, const struct option_kind *kind, const char *argument) {
    return take_mode(reading, kind, argument, &reading->options->offline);
}

bool options_take_print_config(struct reading *reading, const struct option_kind *kind,
                               const char *argument) {
    return take_mode(reading, kind, argument, &reading->options->secrets);
}

bool options_take_help(struct reading *reading, const struct option_kind *kind, const char *argument) {
    reading->options->help_topic = argument ? argument : MANUAL_OPTIONS;
    if (manual_has(reading->options->help_topic))
        return options_take_action(reading, kind, argument);
    fit_print(reading->error, reading->error_size,
              "--help=%s: --help or --help=" MANUAL_SETTINGS " is expected", argument);
    return false;
}

bool options_take_journal_dump(struct reading *reading, const struct option_kind *kind,
                               const char *argument) {
    if (!*argument) {
        fit_print(reading->error, reading->error_size,
                  "--journal-dump=: no folder is named: give the data folder (setting data)");
        return false;
    }
    reading->options->journal_folder = argument;
    return options_take_action(reading, kind, argument);
}

bool options_take_hash(struct reading *reading, const struct option_kind *kind, const char *argument) {
    uint64_t cost = 0;
    if (argument && (!measure_number(argument, &cost) || cost < 1 || cost > HASH_COST_MAX)) {
        fit_print(
            reading->error, reading->error_size,
            "--hash-password=%s: --hash-password or --hash-password=COST with a number from 1 to %d is expected; the password itself is asked for",
            argument, HASH_COST_MAX);
        return false;
    }
    reading->options->hash_cost = (unsigned)cost;
    return options_take_action(reading, kind, argument);
}

/* False: the argument does not begin so, or names nothing, or it is one too many. */
static bool take_namespace(const char *argument, const char *before, const char **list, size_t *count) {
    size_t size = strlen(before);
    if (strncmp(argument, before, size) != 0 || !argument[size] || *count == TIER_RECOVER_MAX)
        return false;
    list[(*count)++] = argument + size;
    return true;
}

bool options_take_recover(struct reading *reading, const struct option_kind *kind, const char *argument) {
    (void)kind;
    struct tier_recovery *recovery = &reading->settings->tier.recovery;
    if (strcmp(argument, "skip-damaged") == 0)
        recovery->skip_damaged = true;
    else if (strcmp(argument, "flush") == 0)
        recovery->flush = true;
    else if (!take_namespace(argument, "discard:", recovery->discard, &recovery->discard_count) &&
             !take_namespace(argument, "keep:", recovery->keep, &recovery->keep_count)) {
        fit_print(
            reading->error, reading->error_size,
            "--recover=%s: skip-damaged, flush, discard:NAMESPACE or keep:NAMESPACE is expected; give the option once for each",
            argument);
        return false;
    }
    return true;
}

bool options_take_port(struct reading *reading, const struct option_kind *kind, const char *argument) {
    uint64_t port = 0;
    bool free_one = strcmp(argument, "-1") == 0;
    if (!free_one && !number_in_range(reading, kind, argument, &port)) {
        fit_print(reading->error, reading->error_size, "%s; -1 is any free port", reading->error);
        return false;
    }
    reading->settings->port = free_one ? PORT_FREE : (int)port;
    reading->options->port_given = true;
    return true;
}

bool options_take_udp(struct reading *reading, const struct option_kind *kind, const char *argument) {
    (void)kind;
    uint64_t port;
    if (measure_number(argument, &port) && port == 0)
        return true;
    fit_print(reading->error, reading->error_size,
              "-U %s: UDP is not served, use TCP; only -U 0 (off) is accepted", argument);
    return false;
}

bool options_take_mask(struct reading *reading, const struct option_kind *kind, const char *argument) {
    (void)kind;
    char *end;
    unsigned long mask = strtoul(argument, &end, 8);
    if (*argument && *argument != '-' && *end == '\0' && mask <= 0777) {
        reading->settings->unix_mask = (unsigned)mask;
        return true;
    }
    fit_print(reading->error, reading->error_size,
              "-a (--unix-mask) takes access bits from 0 to 777 in octal, not \"%s\"", argument);
    return false;
}

bool options_take_memory(struct reading *reading, const struct option_kind *kind, const char *argument) {
    uint64_t megabytes;
    if (!number_in_range(reading, kind, argument, &megabytes))
        return false;
    reading->settings->tier.cache.memory_limit = (size_t)megabytes << 20;
    return true;
}

bool options_take_item_size(struct reading *reading, const struct option_kind *kind, const char *argument) {
    uint64_t bytes;
    if (measure_size(argument, &bytes) && bytes >= kind->minimum && bytes <= kind->maximum) {
        reading->settings->item_max = (size_t)bytes;
        return true;
    }
    fit_print(reading->error, reading->error_size,
              "-I (--max-item-size) takes a size from 1k to 128m, not \"%s\"", argument);
    return false;
}

bool options_take_delimiter(struct reading *reading, const struct option_kind *kind, const char *argument) {
    (void)kind;
    if (!*argument) {
        fit_print(reading->error, reading->error_size,
                  "-D takes the character that ends a prefix, for example -D :");
        return false;
    }
    reading->settings->stats_prefix_delimiter = *argument;
    reading->settings->detail = true;
    return true;
}

/* Its place in a list that ends with NULL; -1: it is not there. */
static int find_word(const char *const names[], const char *word) {
    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], word) == 0)
            return i;
    return -1;
}

bool options_take_protocol(struct reading *reading, const struct option_kind *kind, const char *argument) {
    (void)kind;
    static const char *const names[] = {
        [PROTOCOLS_AUTO] = "auto", [PROTOCOLS_ASCII] = "ascii", [PROTOCOLS_BINARY] = "binary", NULL};
    int found = find_word(names, argument);
    if (found < 0) {
        fit_print(reading->error, reading->error_size,
                  "-B (--protocol) takes auto, ascii or binary, not \"%s\"", argument);
        return false;
    }
    reading->settings->protocols = (enum protocols)found;
    reading->options->protocols_given = true;
    return true;
}

bool options_take_verbose(struct reading *reading, const struct option_kind *kind, const char *argument) {
    (void)kind;
    (void)argument;
    reading->options->verbosity++;
    return true;
}

bool options_take_factor(struct reading *reading, const struct option_kind *kind, const char *argument) {
    char *end;
    double factor = strtod(argument, &end);
    if (*argument && *end == '\0' && factor > 1.0)
        return options_take_ignored(reading, kind, argument);
    fit_print(reading->error, reading->error_size,
              "-f (--slab-growth-factor) takes a number above 1, not \"%s\"", argument);
    return false;
}

/* Calls take for each part of a list; separators are dropped, and so are empty parts. */
static bool each_part(struct reading *reading, const char *list, const char *separators,
                      bool (*take)(struct reading *reading, const char *part)) {
    char *copy = strdup(list), *rest = NULL;
    bool good = copy != NULL;
    if (!copy)
        fit_print(reading->error, reading->error_size, "no memory for the options");
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
        fit_print(reading->error, reading->error_size, "-l: %s", why);
        return false;
    }
    for (size_t i = 0; i < options->listen_count; i++)
        if (strcmp(options->listen_texts[i], part) == 0)
            return true;
    if (options->listen_count == OPTIONS_LISTEN_MAX) {
        fit_print(reading->error, reading->error_size, "-l: at most %d addresses", (int)OPTIONS_LISTEN_MAX);
        return false;
    }
    char *text = strdup(part);
    if (!text) {
        fit_print(reading->error, reading->error_size, "no memory for the options");
        return false;
    }
    options->listen_texts[options->listen_count++] = text;
    return true;
}

bool options_take_listen(struct reading *reading, const struct option_kind *kind, const char *argument) {
    (void)kind;
    return each_part(reading, argument, ",;", add_listen);
}

bool options_take_admin(struct reading *reading, const struct option_kind *kind, const char *argument) {
    struct listen_address address;
    char why[300];
    if (address_parse_admin(argument, &address, why, sizeof why))
        return options_take_text(reading, kind, argument);
    fit_print(reading->error, reading->error_size, "--admin: %s", why);
    return false;
}

static bool add_extended(struct reading *reading, const char *part) {
    const char *setting = NULL;
    bool means_something;
    char word[80];
    if (!options_read_extended(part, reading->settings, reading->options, &means_something, &setting,
                               reading->error, reading->error_size))
        return false;
    snprintf(word, sizeof word, "-o %s", part);
    if (means_something)
        options_note(reading, setting, word);
    return true;
}

bool options_take_extended(struct reading *reading, const struct option_kind *kind, const char *argument) {
    (void)kind;
    return each_part(reading, argument, ",", add_extended);
}

static bool add_restriction(struct reading *reading, const char *part) {
    char names[200];
    if (settings_restrict(reading->settings, part))
        return true;
    settings_list_restrictions(NULL, ", ", names, sizeof names);
    fit_print(reading->error, reading->error_size, "--restrict=%s: there is no such name; known are %s", part,
              names);
    return false;
}

/* The place of the word among those that the option takes, known: as one would say them. -1: it is none of them. */
static int take_word(struct reading *reading, const struct option_kind *kind, const char *argument,
                     const char *const names[], const char *known) {
    int found = find_word(names, argument);
    if (found < 0)
        fit_print(reading->error, reading->error_size, "--%s takes %s, not \"%.100s\"", kind->name, known,
                  argument);
    return found;
}

bool options_take_io(struct reading *reading, const struct option_kind *kind, const char *argument) {
    int found = take_word(reading, kind, argument, io_kind_names, "auto, io_uring or epoll");
    if (found >= 0)
        reading->settings->io = (enum io_kind)found;
    return found >= 0;
}

bool options_take_use_threads(struct reading *reading, const struct option_kind *kind, const char *argument) {
    int found = take_word(reading, kind, argument, use_threads_names, "processors or all");
    if (found >= 0)
        reading->settings->use_threads = (enum use_threads)found;
    return found >= 0;
}

bool options_take_sandbox(struct reading *reading, const struct option_kind *kind, const char *argument) {
    int found = take_word(reading, kind, argument, sandbox_kind_names, "strict or off");
    if (found >= 0)
        reading->settings->sandbox = (enum sandbox_kind)found;
    return found >= 0;
}

bool options_take_log_format(struct reading *reading, const struct option_kind *kind, const char *argument) {
    int found = take_word(reading, kind, argument, log_format_names, "text, logfmt or json");
    if (found >= 0)
        reading->settings->log_format = (enum log_format)found;
    return found >= 0;
}

bool options_take_restrict(struct reading *reading, const struct option_kind *kind, const char *argument) {
    (void)kind;
    return each_part(reading, argument, ",", add_restriction);
}
