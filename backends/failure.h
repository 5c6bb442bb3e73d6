/* SPDX-License-Identifier: MIT */
/* Fills in why a backend call failed. */
#ifndef FOREBAY_BACKENDS_FAILURE_H
#define FOREBAY_BACKENDS_FAILURE_H

#include "backends/backend.h"
#include "cache/base/fit.h"

/* Writes the message, as far as it fits, and returns status, so that a failing function can end with one line. */
__attribute__((format(printf, 3, 4))) static inline enum backend_status
backend_fail(struct backend_error *ret_error, enum backend_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fit_vprint(ret_error->message, sizeof ret_error->message, format, arguments);
    va_end(arguments);
    return status;
}

#endif
