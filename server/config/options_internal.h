/* SPDX-License-Identifier: MIT */
/* The parts of reading a command line: the table of options (options_table.c), how an argument is taken
 * (options_take.c), and the words that are walked (options.c). */
#ifndef FOREBAY_SERVER_CONFIG_OPTIONS_INTERNAL_H
#define FOREBAY_SERVER_CONFIG_OPTIONS_INTERNAL_H

#include "server/config/options.h"

enum { OPTION_KINDS_MAX = 64, OPTIONS_FIRST_WITHOUT_LETTER = 256 };

struct reading {
    struct options *options;
    struct settings *settings;
    char *error;
    size_t error_size;
};

struct option_kind;

/* Takes the argument (NULL: none was given) to where it belongs. False with a whole sentence. */
typedef bool option_take(struct reading *reading, const struct option_kind *kind, const char *argument);

struct option_kind {
    int letter;
    const char *name;
    int argument; /* no_argument, required_argument, optional_argument */
    option_take *take;
    uint64_t minimum, maximum; /* of numbers */
    size_t offset;             /* of the unsigned, bool or text in struct settings or struct options */
    const char *text;          /* the reason of a refusal, the meaning of what is ignored */
    enum options_group group;
    const char *setting;     /* of the configuration that it replaces or adds to, or NULL */
    const char *placeholder; /* for its argument; of a number its unit, or N */
    const char *standard;    /* the default as one would write it; NULL: the option is not given */
    const char *about;       /* as setting.about */
};

extern const struct option_kind option_kinds[];
extern const size_t option_kind_count;

option_take options_take_text, options_take_check, options_take_print_config, options_take_recover,
    options_take_journal_dump, options_take_hash, options_take_listen, options_take_port, options_take_mask,
    options_take_admin, options_take_number, options_take_requests, options_take_protocol, options_take_udp,
    options_take_memory, options_take_on, options_take_item_size, options_take_launch, options_take_off,
    options_take_restrict, options_take_delimiter, options_take_use_threads, options_take_launch_text,
    options_take_verbose, options_take_log_format, options_take_io, options_take_sandbox,
    options_take_extended, options_take_help, options_take_action, options_take_factor, options_take_ignored,
    options_take_refused;

/* Notes that an option was given, for whoever wants to know where a value comes from. setting NULL: it has none. */
void options_note(struct reading *reading, const char *setting, const char *option);

#endif
