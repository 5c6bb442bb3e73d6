/* SPDX-License-Identifier: MIT */
/*
 * One table says everything about an option: letter, long name, how its argument is read, between which bounds, and
 * what the manuals say of it (options_table.c). getopt_long() walks the words; options_take_...() functions put the
 * values where they belong (options_take.c).
 */
#include "server/config/options.h"
#include "cache/base/fit.h"
#include "server/config/lookalike.h"
#include "server/config/nearest.h"
#include "server/config/option_word.h"
#include "server/config/options_internal.h"
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>

void options_note(struct reading *reading, const char *setting, const char *option) {
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

/* An option that is taken once and has no setting is a part of the command line, whatever the configuration is. */
static bool is_of_command_line(const struct option_kind *kind) {
    return kind->group >= OPTIONS_NETWORK && kind->group <= OPTIONS_PROCESS &&
           kind->take != options_take_action && kind->take != options_take_help &&
           kind->take != options_take_extended;
}

static void note_kind(struct reading *reading, const struct option_kind *kind, const char *argument) {
    char word[300];
    if (!is_of_command_line(kind))
        return;
    if (kind->letter >= OPTIONS_FIRST_WITHOUT_LETTER)
        snprintf(word, sizeof word, "--%s", kind->name);
    else if (kind->setting || !argument)
        snprintf(word, sizeof word, "-%c", kind->letter);
    else
        snprintf(word, sizeof word, "-%c %s", kind->letter, argument);
    options_note(reading, kind->setting, word);
}

static const struct option_kind *find_kind(int letter) {
    for (size_t i = 0; i < option_kind_count; i++)
        if (option_kinds[i].letter == letter)
            return &option_kinds[i];
    return NULL;
}

static void fill_tables(char *letters, struct option *longs) {
    size_t at = 0;
    letters[at++] = ':'; /* a missing argument is told apart from an unknown option */
    for (size_t i = 0; i < option_kind_count; i++) {
        longs[i] =
            (struct option){option_kinds[i].name, option_kinds[i].argument, NULL, option_kinds[i].letter};
        if (option_kinds[i].letter >= OPTIONS_FIRST_WITHOUT_LETTER)
            continue;
        letters[at++] = (char)option_kinds[i].letter;
        if (option_kinds[i].argument == required_argument)
            letters[at++] = ':';
    }
    letters[at] = '\0';
}

/* How many long names begin so. */
static size_t count_beginning(struct slice name) {
    size_t count = 0;
    for (size_t i = 0; i < option_kind_count; i++)
        count += strncmp(option_kinds[i].name, name.data, name.size) == 0;
    return count;
}

static void refuse_long(struct reading *reading, const char *word) {
    const char *start = word + strspn(word, "-");
    struct slice name = slice_of(start, strcspn(start, "="));
    struct nearest nearest = nearest_to(name);
    for (size_t i = 0; i < option_kind_count; i++)
        nearest_consider(&nearest, option_kinds[i].name);
    if (name.size && count_beginning(name) > 1)
        fit_print(reading->error, reading->error_size,
                  "%s: several options begin so; write it out (forebay -h has all)", word);
    else if (nearest.found)
        fit_print(reading->error, reading->error_size, "%s: no such option; did you mean --%s?", word,
                  nearest.found);
    else
        fit_print(reading->error, reading->error_size, "%s: no such option; see forebay -h", word);
}

static void refuse_word(struct reading *reading, int found, char *const *argv) {
    const char *word = argv[optind - 1];
    const struct option_kind *kind = find_kind(optopt);
    if (found == ':' && kind)
        fit_print(reading->error, reading->error_size, "%s needs an argument; see forebay -h", word);
    else if (kind)
        fit_print(reading->error, reading->error_size, "%s: --%s takes no argument; see forebay -h", word,
                  kind->name);
    else if (optopt > 0 && optopt <= SCHAR_MAX)
        fit_print(reading->error, reading->error_size, "-%c: no such option; see forebay -h", optopt);
    else
        refuse_long(reading, optopt ? option_word(argv) : word);
}

static bool read_words(struct reading *reading, int argc, char *const *argv) {
    char letters[2 * OPTION_KINDS_MAX + 2];
    struct option longs[OPTION_KINDS_MAX + 1] = {{0}};
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
        fit_print(
            reading->error, reading->error_size,
            "\"%s\" is not an option; a configuration is given by --config FILE, and forebay -h has all",
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
    fit_print(reading->error, reading->error_size, "--check needs --config FILE");
    return false;
}

bool options_read(struct options *options, struct settings *settings, int argc, char *const *argv,
                  char *ret_error, size_t error_size) {
    struct reading reading = {options, settings, ret_error, error_size};
    *options = (struct options){0};
    bool good = read_words(&reading, argc, argv) && conclude(&reading);
    if (!good)
        lookalike_tell(ret_error, error_size);
    return good;
}

void options_free(struct options *options) {
    for (size_t i = 0; i < options->listen_count; i++)
        free(options->listen_texts[i]);
    for (size_t i = 0; i < options->text_count; i++)
        free(options->texts[i]);
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
