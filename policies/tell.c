/* SPDX-License-Identifier: MIT */
/* See tell.h. */
#include "policies/tell.h"
#include "cache/base/count_text.h"
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

/* ---- What was left out ---- */

static bool is_owed(struct log_limit *limit) {
    return log_limit_has_left_out(limit) && log_limit_admits(limit, LOG_LIMIT_BURST, monotonic_us());
}

static void tell_owed_of_space(struct space *space) {
    if (is_owed(&space->refused_lines))
        tell_of_space(
            space, NULL, LOG_LEVEL_WARNING,
            "namespace %s: rows that the backend refuses to write: %s of this kind left out",
            space->options.name,
            count_text(log_limit_take_left_out(&space->refused_lines), "more line", "more lines").text);
}

static void tell_owed_of_backend(struct tier_backend *backend) {
    if (is_owed(&backend->slow_lines))
        tell_of_backend(
            backend, NULL, LOG_LEVEL_WARNING, "backend %s: slow calls: %s of this kind left out",
            backend_name(backend),
            count_text(log_limit_take_left_out(&backend->slow_lines), "more line", "more lines").text);
}

void tier_tell_left_out(struct tier *tier) {
    for (size_t i = 0; i < tier->space_count; i++)
        tell_owed_of_space(&tier->spaces[i]);
    for (size_t i = 0; i < tier->backend_count; i++)
        tell_owed_of_backend(&tier->backends[i]);
}

/* ---- Keys ---- */

void tell_key(struct space *space, struct slice key, const char *what) {
    if (log_limit_admits(&space->key_lines, LOG_LIMIT_BURST, monotonic_us()))
        tell_of_space(space, NULL, LOG_LEVEL_DEBUG, "namespace %s: %s %.*s", space->options.name, what,
                      (int)key.size, key.data);
}
