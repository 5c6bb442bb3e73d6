/* SPDX-License-Identifier: MIT */
/* The kinds of store, for registry.c and for whoever needs one by name. */
#ifndef FOREBAY_BACKENDS_KINDS_H
#define FOREBAY_BACKENDS_KINDS_H

#include "backends/backend.h"

extern const struct backend_type sqlite_backend; /* sqlite.c */
extern const struct backend_type redis_backend;  /* redis.c */

#endif
