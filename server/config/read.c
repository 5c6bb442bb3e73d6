/* SPDX-License-Identifier: MIT */
#include "server/config/read.h"
#include "cache/base/fit.h"
#include "server/config/internal.h"

static bool wants_file(const struct settings *settings, const struct options *options) {
    return settings->config_file && (options->action == OPTIONS_SERVE || options->action == OPTIONS_CHECK ||
                                     options->action == OPTIONS_PRINT_CONFIG);
}

/* The section that has them; NULL: the file has none. */
static const struct config_section *find_section(const struct config_document *document, const char *space) {
    for (size_t i = 0; i < document->count; i++) {
        const struct config_section *section = &document->sections[i];
        if (space ? section->kind == SECTION_NAMESPACE && strcmp(section->title, space) == 0
                  : section->kind == SECTION_ROOT)
            return section;
    }
    return NULL;
}

/* Where the file says what the complaint is about, unless the command line says otherwise; 0: nowhere. */
static int line_of(const struct settings_complaint *complaint, const struct config *config,
                   const struct options *options) {
    const struct config_section *section = find_section(config_document_of(config), complaint->space);
    for (size_t i = 0; section && i < sizeof complaint->settings / sizeof *complaint->settings; i++) {
        const char *name = complaint->settings[i];
        bool replaced = name && !complaint->space && options_origin(options, name);
        const struct config_value *value = name && !replaced ? config_find(section, name) : NULL;
        if (value)
            return value->line;
    }
    return 0;
}

static enum config_reading check_whole(const struct settings *settings, const struct config *config,
                                       const struct options *options, char *ret_error, size_t error_size) {
    struct settings_complaint complaint;
    if (settings_check(settings, &complaint))
        return CONFIG_READ;
    if (!config) {
        fit_print(ret_error, error_size, "%s", complaint.text);
        return CONFIG_BAD_OPTIONS;
    }
    struct config_report report = {
        .path = settings->config_file, .error = ret_error, .error_size = error_size};
    config_fail(&report, line_of(&complaint, config, options), "%s", complaint.text);
    return CONFIG_BAD_FILE;
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
    return check_whole(ret_settings, *ret_config, ret_options, ret_error, error_size);
}
