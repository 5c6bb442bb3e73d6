/* SPDX-License-Identifier: MIT */
/*
 * `--print-config`: every value that is in force, as a configuration file that would give the same server, each with
 * where it comes from:
 *
 *     memory = "512mb"                        # -m on the command line
 *     threads = 2                             # /etc/forebay.conf:3
 *     node = 0                                # default
 *     # data = none                           # default
 *
 * What means nothing to a namespace is left out, as a file could not say it either. A value that means "none" and that
 * nobody can write is a comment.
 */
#ifndef FOREBAY_SERVER_CONFIG_PRINT_H
#define FOREBAY_SERVER_CONFIG_PRINT_H

#include "server/config/config.h"
#include "server/config/options.h"

/* After config_derive. config NULL: there is none. Unless options->secrets, passwords in URIs are hidden; the file
 * cannot be used then, and says so. */
void config_print(const struct settings *settings, const struct config *config, const struct options *options,
                  FILE *out);

#endif
