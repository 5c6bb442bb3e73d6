/* SPDX-License-Identifier: MIT */
/*
 * The command line: everything that memcached accepts, and a few options of our own.
 *
 * An option that means nothing here (tuning of slabs, of memcached's LRU, of its hash table) is checked as
 * memcached checks it, ignored, and named in a notice. One that asks for something that is not there (UDP) is
 * refused with the reason.
 */
#ifndef FOREBAY_SERVER_CONFIG_OPTIONS_H
#define FOREBAY_SERVER_CONFIG_OPTIONS_H

#include "server/buffer.h"
#include "server/config/settings.h"
#include <stdio.h>

enum options_action {
    OPTIONS_SERVE,
    OPTIONS_CHECK,        /* --check: all that a start does, but serve nothing */
    OPTIONS_PRINT_CONFIG, /* --print-config */
    OPTIONS_HELP,         /* -h */
    OPTIONS_VERSION,      /* -V */
    OPTIONS_LICENSE,      /* -i */
    OPTIONS_HASH,         /* --hash-password */
    OPTIONS_JOURNAL_DUMP, /* --journal-dump DIR */
};

enum { HASH_COST_MAX = 11 }; /* of yescrypt in libcrypt */
enum { OPTIONS_LISTEN_MAX = 64, OPTIONS_ORIGINS_MAX = 24, OPTIONS_TEXTS_MAX = 32 };

/* A setting of the configuration that options have replaced, or added to. */
struct options_origin {
    const char *setting;
    char options[100]; /* "-F, -X" */
};

struct options {
    enum options_action action;
    bool offline;           /* --check=offline: backends are not asked */
    bool secrets;           /* --print-config=secrets: passwords are shown */
    const char *help_topic; /* server/config/manual.h */
    const char *journal_folder;
    unsigned hash_cost;    /* --hash-password=COST; 0: not given */
    bool daemonize;        /* -d */
    bool core_dumps;       /* -r */
    bool lock_memory;      /* -k */
    const char *user;      /* -u, or NULL */
    const char *pid_file;  /* -P, or NULL */
    struct buffer notices; /* lines, each with its newline */
    struct buffer others;  /* what was given and no setting can say: "-M, -a 770" */

    /* Private. */
    char *listen_texts[OPTIONS_LISTEN_MAX];
    size_t listen_count;
    char *texts[OPTIONS_TEXTS_MAX]; /* parts of -o, which settings point to */
    size_t text_count;
    bool port_given, protocols_given;
    int verbosity;
    struct options_origin origins[OPTIONS_ORIGINS_MAX];
    size_t origin_count;
};

/* Reads argv over *settings: what an option says replaces what was there. Called twice when there is a
 * configuration: once over the defaults, to find it, then over what it says. False: ret_error is a whole
 * sentence (exit status 64). Texts in settings point into argv and into options. */
bool options_read(struct options *options, struct settings *settings, int argc, char *const *argv,
                  char *ret_error, size_t error_size);
void options_free(struct options *options);

/* The options that have said something about a setting of the configuration, as they are written; NULL: none. */
const char *options_origin(const struct options *options, const char *setting);

void options_print_license(FILE *out);

/* ---- For the manuals ---- */

/* How the manuals divide the options. */
enum options_group {
    OPTIONS_CONFIGURATION,
    OPTIONS_NETWORK,
    OPTIONS_MEMORY,
    OPTIONS_COMMANDS,
    OPTIONS_PROCESS,
    OPTIONS_IGNORED,
    OPTIONS_REFUSED,
    OPTIONS_GROUPS
};

/* Texts are constants, or NULL: there is none. */
struct option_description {
    enum options_group group;
    char letter; /* '\0': none */
    const char *name, *placeholder;
    bool argument_is_optional;
    char values[64]; /* "1 to 256"; "": any */
    const char *standard, *about;
};

/* The options in the order of the manuals; false: there are no more. */
bool options_describe(size_t index, struct option_description *ret_description);

/* The same for the parts of -o that mean something here: no letter, no group. */
bool options_describe_extended(size_t index, struct option_description *ret_description);

#endif
