/* SPDX-License-Identifier: MIT */
/* The settings as they are before anybody says otherwise, and what has to hold between them in the end. */
#ifndef FOREBAY_SERVER_SETTINGS_H
#define FOREBAY_SERVER_SETTINGS_H

#include "server/server.h"

/* Largest -I: what the engine takes (cache_options.item_max). memcached's own bound is 1024m. */
enum { SETTINGS_ITEM_MIN = 1024, SETTINGS_ITEM_MAX = 128 << 20, SETTINGS_THREADS_MAX = 256 };

/* The settings at the top of a configuration file, with their defaults. */
extern const struct setting root_settings[];

/* memcached's defaults: port 11211 on all interfaces, 64 MB, 4 threads, 1024 connections, items up to 1 MB. */
void settings_defaults(struct settings *ret_settings);

/* What only the whole can tell: limits against each other, quotas against the memory. False: ret_error is a
 * whole sentence that names the options. */
bool settings_check(const struct settings *settings, char *ret_error, size_t error_size);

#endif
