/* SPDX-License-Identifier: MIT */
/* The command line. */
#ifndef FOREBAY_TOOLS_TOP_OPTIONS_H
#define FOREBAY_TOOLS_TOP_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OPTIONS_PASSWORD_MAX = 2048 }; /* what a client can send */

/* Where the server is: a host and a port, or the path of a Unix socket. */
struct place {
    const char *text; /* as it was given */
    bool is_unix;
    char host[256]; /* or the path */
    char port[8];
};

struct options {
    struct place place;
    const char *user; /* NULL: none is needed */
    char password[OPTIONS_PASSWORD_MAX + 1];
    uint64_t interval_ms;
    bool once, json;
};

enum options_result { OPTIONS_GOOD, OPTIONS_ANSWERED, OPTIONS_WRONG };

/* OPTIONS_ANSWERED: --help or --version was printed. OPTIONS_WRONG: what is wrong was printed on standard error. Reads
 * the password's file. Texts are those of arguments, which have to stay. */
enum options_result options_read(int count, char **arguments, struct options *ret_options);

#endif
