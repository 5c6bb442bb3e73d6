/* SPDX-License-Identifier: MIT */
/* The preload of a backend's namespaces, at the start and in the background. */
#ifndef FOREBAY_POLICIES_LOAD_PRELOAD_H
#define FOREBAY_POLICIES_LOAD_PRELOAD_H

#include "policies/tier_parts.h"

/* Preloads all namespaces of the backend that want it, on the caller's thread, which the loader starts for
 * it. Those that are waited for come first; then, if it `waits`, tier->preloads is counted down. Looks at
 * `stop` between steps. */
void preload_run(struct tier_backend *backend, bool waits, const atomic_bool *stop);

#endif
