/* SPDX-License-Identifier: MIT */
/* Builds the absent filters of a backend's namespaces (policies/absence.h), from the start on and when they are
 * worn. */
#ifndef FOREBAY_POLICIES_LOAD_ABSENCE_BUILD_H
#define FOREBAY_POLICIES_LOAD_ABSENCE_BUILD_H

#include "policies/tier_parts.h"

/* Whether some namespace of the backend wants one. */
bool absence_is_wanted(const struct tier_backend *backend);

/* Builds, and frees what is out of use, until `stop`; on the caller's thread, which the loader starts for it, over a
 * connection of its own. */
void absence_build_run(struct tier_backend *backend, const atomic_bool *stop);

#endif
