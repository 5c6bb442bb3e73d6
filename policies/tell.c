/* SPDX-License-Identifier: MIT */
/* See tell.h. */
#include "policies/tell.h"
#include <stdarg.h>

static const char *backend_name(const struct tier_backend *backend) {
    return backend ? backend->options.store.name : NULL;
}

void tell_of_space(const struct space *space, struct log_limit *limit, enum log_level level,
                   const char *format, ...) {
    va_list arguments;
    const struct log_field *fields = LOG_FIELDS(log_text("namespace", space->options.name),
                                                log_text("backend", backend_name(space->backend)));
    va_start(arguments, format);
    service_log_about(&space->tier->service, limit, level, fields, format, arguments);
    va_end(arguments);
}

void tell_of_backend(const struct tier_backend *backend, struct log_limit *limit, enum log_level level,
                     const char *format, ...) {
    va_list arguments;
    const struct log_field *fields = LOG_FIELDS(log_text("backend", backend_name(backend)));
    va_start(arguments, format);
    service_log_about(&backend->tier->service, limit, level, fields, format, arguments);
    va_end(arguments);
}

void tell_key(struct space *space, struct slice key, const char *what) {
    if (log_limit_admits(&space->key_lines, LOG_LIMIT_BURST, monotonic_us()))
        tell_of_space(space, NULL, LOG_LEVEL_DEBUG, "namespace %s: %s %.*s", space->options.name, what,
                      (int)key.size, key.data);
}
