/* SPDX-License-Identifier: MIT */
/*
 * Files of the data folder, and of the stores, that other users of the machine can read or write. What a server makes
 * is closed to them; what an older version, a restore or an application has made is only told, as that may be meant.
 *
 * At the start alone, by the thread that makes the tier, or that only looks (rehearsal.h).
 */
#ifndef FOREBAY_POLICIES_WRITE_EXPOSURE_H
#define FOREBAY_POLICIES_WRITE_EXPOSURE_H

#include "policies/service.h"
#include "policies/tier.h"

/* A warning for the folder, one for all files in it, and one for each store. When these have been made. */
void exposure_tell(const struct service *service, const struct tier_options *options);

#endif
