/* SPDX-License-Identifier: MIT */
/*
 * The command line: everything that memcached accepts, and a few options of our own.
 *
 * An option that means nothing here (tuning of slabs, of memcached's LRU, of its hash table) is checked as
 * memcached checks it, ignored, and named in a notice. One that asks for something that is not there (UDP,
 * TLS, SASL, the binary protocol) is refused with the reason.
 */
#ifndef FOREBAY_SERVER_CONFIG_OPTIONS_H
#define FOREBAY_SERVER_CONFIG_OPTIONS_H

#include "server/buffer.h"
#include "server/config/settings.h"
#include <stdio.h>

enum options_action {
    OPTIONS_SERVE,
    OPTIONS_CHECK,        /* --check: validate the configuration, serve nothing */
    OPTIONS_HELP,         /* -h */
    OPTIONS_VERSION,      /* -V */
    OPTIONS_LICENSE,      /* -i */
    OPTIONS_JOURNAL_DUMP, /* --journal-dump DIR */
};

enum { OPTIONS_LISTEN_MAX = 64 };

struct options {
    enum options_action action;
    const char *journal_folder;
    bool daemonize;        /* -d */
    bool core_dumps;       /* -r */
    bool lock_memory;      /* -k */
    const char *user;      /* -u, or NULL */
    const char *pid_file;  /* -P, or NULL */
    struct buffer notices; /* lines, each with its newline */

    /* Private. */
    char *listen_texts[OPTIONS_LISTEN_MAX];
    size_t listen_count;
    bool port_given;
    int verbosity;
};

/* Reads argv over *settings: what an option says replaces what was there. Called twice when there is a
 * configuration: once over the defaults, to find it, then over what it says. False: ret_error is a whole
 * sentence (exit status 64). Texts in settings point into argv and into options. */
bool options_read(struct options *options, struct settings *settings, int argc, char *const *argv,
                  char *ret_error, size_t error_size);
void options_free(struct options *options);

void options_print_help(FILE *out);
void options_print_license(FILE *out);

#endif
