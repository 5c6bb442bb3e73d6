/* SPDX-License-Identifier: MIT */
/* See slow_log.h. */
#include "policies/slow_log.h"
#include "cache/base/count_text.h"
#include <stdio.h>

struct slow_call {
    struct tier_backend *backend;
    const struct space *space;
    const char *kind, *ending;
    size_t rows;
    uint64_t took_ms;
};

__attribute__((format(printf, 3, 4))) static void
tell(const struct slow_call *slow, const struct log_field *fields, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    service_log_about(&slow->backend->tier->service, &slow->backend->slow_lines, LOG_LEVEL_NOTICE, fields,
                      format, arguments);
    va_end(arguments);
}

static void tell_slow(const struct slow_call *slow) {
    const char *name = slow->backend->options.store.name,
               *space = slow->space ? slow->space->options.name : NULL;
    char of[128] = "", rows[72] = "", ended[48] = "";
    struct log_field rows_field = slow->rows ? log_number("rows", slow->rows) : log_text("rows", NULL);
    if (space)
        snprintf(of, sizeof of, "namespace %s, ", space);
    if (slow->rows)
        snprintf(rows, sizeof rows, " of %s", count_text(slow->rows, "row", "rows").text);
    if (slow->ending)
        snprintf(ended, sizeof ended, ", and failed (%s)", slow->ending);
    tell(slow,
         LOG_FIELDS(log_text("namespace", space), log_text("backend", name), log_text("call", slow->kind),
                    rows_field, log_number("duration_ms", slow->took_ms), log_text("failed", slow->ending)),
         "%sbackend %s: slow: %s%s took %llu ms%s", of, name, slow->kind, rows,
         (unsigned long long)slow->took_ms, ended);
}

enum backend_status slow_log_end(struct tier_backend *backend, const struct space *space,
                                 enum backend_call call, size_t rows, uint64_t began_us,
                                 enum backend_status status) {
    uint64_t took_us = monotonic_us() - began_us;
    uint32_t limit_ms = atomic_load_explicit(&backend->tier->options.slow_log, memory_order_relaxed);
    backend_call_note(&backend->calls, call, took_us, status);
    if (limit_ms > 0 && took_us >= (uint64_t)limit_ms * US_PER_MS)
        tell_slow(&(struct slow_call){.backend = backend,
                                      .space = space,
                                      .kind = backend_call_name(call),
                                      .ending = status == BACKEND_OK ? NULL : backend_status_name(status),
                                      .rows = rows,
                                      .took_ms = took_us / US_PER_MS});
    return status;
}
