/* SPDX-License-Identifier: MIT */
#include "server/config/read.h"
#include <stdio.h>

enum { SENTENCE = 1024 };

static bool wants_file(const struct settings *settings, const struct options *options) {
    return settings->config_file && (options->action == OPTIONS_SERVE || options->action == OPTIONS_CHECK ||
                                     options->action == OPTIONS_PRINT_CONFIG);
}

/* Where two contradict each other, it is not known any more which stand in the file and which on the command line. */
static enum config_reading check_whole(const struct settings *settings, char *ret_error, size_t error_size) {
    char error[SENTENCE];
    if (settings_check(settings, error, sizeof error))
        return CONFIG_READ;
    const char *file = settings->config_file;
    snprintf(ret_error, error_size, "%s%s%s", file ? file : "", file ? ": " : "", error);
    return file ? CONFIG_BAD_FILE : CONFIG_BAD_OPTIONS;
}

/* The defaults again, but for the form in which it is told what is wrong. */
static void start_anew(struct settings *settings) {
    enum log_format form = settings->log_format;
    settings_defaults(settings);
    settings->log_format = form;
}

/* Options, which name the file; then the file over the defaults, then the options again over the file. */
enum config_reading config_read(int argc, char *const *argv, struct settings *ret_settings,
                                struct options *ret_options, struct config **ret_config, char *ret_error,
                                size_t error_size) {
    *ret_config = NULL;
    settings_defaults(ret_settings);
    if (!options_read(ret_options, ret_settings, argc, argv, ret_error, error_size))
        return CONFIG_BAD_OPTIONS;
    if (wants_file(ret_settings, ret_options)) {
        const char *path = ret_settings->config_file;
        start_anew(ret_settings);
        *ret_config = config_load(path, ret_settings, ret_error, error_size);
        if (!*ret_config)
            start_anew(ret_settings);
        options_free(ret_options);
        if (!options_read(ret_options, ret_settings, argc, argv, ret_error, error_size))
            return CONFIG_BAD_OPTIONS;
        if (!*ret_config)
            return CONFIG_BAD_FILE;
        config_derive(*ret_config, ret_settings);
    }
    return check_whole(ret_settings, ret_error, error_size);
}
