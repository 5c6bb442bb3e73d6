/* SPDX-License-Identifier: MIT */
/* The -o list. */
#ifndef FOREBAY_SERVER_CONFIG_OPTIONS_EXTENDED_H
#define FOREBAY_SERVER_CONFIG_OPTIONS_EXTENDED_H

#include "server/buffer.h"
#include "server/config/settings.h"

/* Reads one "key" or "key=value" of -o. What means nothing here is named in notices. */
bool options_read_extended(const char *word, struct settings *settings, struct buffer *notices,
                           char *ret_error, size_t error_size);

#endif
