/* SPDX-License-Identifier: MIT */
/* Which word of a command line getopt_long has not taken. The thread that reads it. */
#ifndef FOREBAY_SERVER_CONFIG_OPTION_WORD_H
#define FOREBAY_SERVER_CONFIG_OPTION_WORD_H

#include <getopt.h>
#include <string.h>

/* Behind a '?' for the letter optopt. getopt stays at a word of which it has more letters to take, such as the bytes of
 * a character. */
static inline const char *option_word(char *const *arguments) {
    const char *next = arguments[optind];
    return next && *next == '-' && strchr(next, optopt) ? next : arguments[optind - 1];
}

#endif
