/* SPDX-License-Identifier: MIT */
/* All settings as a start reads them: the defaults, over them the configuration file, over it the command line. */
#ifndef FOREBAY_SERVER_CONFIG_READ_H
#define FOREBAY_SERVER_CONFIG_READ_H

#include "server/config/config.h"
#include "server/config/options.h"

enum config_reading { CONFIG_READ, CONFIG_BAD_OPTIONS, CONFIG_BAD_FILE };

/* Reads and checks them; *ret_config is NULL where there is no file or none is wanted. Otherwise ret_error says what is
 * wrong, and log_format of the settings is what is known of it so far. In any case what they point to is in options and
 * config, to be freed. One thread at a time (getopt). */
enum config_reading config_read(int argc, char *const *argv, struct settings *ret_settings,
                                struct options *ret_options, struct config **ret_config, char *ret_error,
                                size_t error_size);

#endif
