/* SPDX-License-Identifier: MIT */
/* The -o list. */
#ifndef FOREBAY_SERVER_CONFIG_OPTIONS_EXTENDED_H
#define FOREBAY_SERVER_CONFIG_OPTIONS_EXTENDED_H

#include "server/config/options.h"

/* Reads one "key" or "key=value" of -o. What means nothing here is named in the notices, and the texts of what does are
 * kept there, too; of that, *ret_setting is the
 * setting of the configuration that it replaces, or NULL. */
bool options_read_extended(const char *word, struct settings *settings, struct options *options,
                           bool *ret_means_something, const char **ret_setting, char *ret_error,
                           size_t error_size);

#endif
