/* SPDX-License-Identifier: MIT */
/*
 * The configuration file (--config): grammar, values and checks. docs/operating.md describes every setting.
 *
 * Every error names file and line, the thing, and what to do about it.
 */
#ifndef FOREBAY_SERVER_CONFIG_CONFIG_H
#define FOREBAY_SERVER_CONFIG_CONFIG_H

#include "server/config/settings.h"

struct config; /* owns what the settings point to */

/* Reads a file over *settings. NULL with "FILE:LINE: ..." (or "FILE: ..." when it cannot be read); *settings
 * may then be changed in part and must not be used. */
struct config *config_load(const char *path, struct settings *settings, char *ret_error, size_t error_size);
void config_free(struct config *config);

/* What is not refused and is likely to be wrong: "FILE:LINE: ..." lines, each with its newline; the configuration's.
 * To be asked for once. */
const char *config_warnings(struct config *config);

/* Once the command line has been read over the settings: what is not given and depends on the memory
 * (dirty_limit: 64 MB, or a quarter of what the namespace may use if that is less). */
void config_derive(struct config *config, const struct settings *settings);

/* Whether the file says something about this setting at its top. */
bool config_gives(const struct config *config, const char *name);

#endif
