/* SPDX-License-Identifier: MIT */
/* The kinds of store: one line each, the name of its const struct backend_type, which its own folder defines. */
#ifndef FOREBAY_BACKENDS_KINDS_H
#define FOREBAY_BACKENDS_KINDS_H

#include "backends/backend.h"

#define BACKEND_KINDS(KIND)                                                                                  \
    KIND(sqlite_backend)                                                                                     \
    KIND(redis_backend)

#define DECLARE_KIND(kind) extern const struct backend_type kind;
BACKEND_KINDS(DECLARE_KIND)
#undef DECLARE_KIND

#endif
