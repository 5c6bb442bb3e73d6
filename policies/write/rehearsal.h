/* SPDX-License-Identifier: MIT */
/*
 * What making a tier would come to, for `forebay --check`: the same looks at the data folder, at what earlier runs have
 * left and at the backends, without leaving a trace. Nothing is locked, made or changed; a server may be running there.
 *
 * The thread that starts the server, before there is a tier.
 */
#ifndef FOREBAY_POLICIES_WRITE_REHEARSAL_H
#define FOREBAY_POLICIES_WRITE_REHEARSAL_H

#include "policies/tier.h"

/* Says on `complaints` what would refuse the start, and what it would warn of; on `notes` what else there is to know.
 * False: the start would be refused. asks_backends: each of them is asked, for its `timeout` at most. running: the
 * process of the server that runs with this configuration; 0: none does, as far as is known. */
bool rehearse(const struct tier_options *options, bool asks_backends, long running, FILE *notes,
              FILE *complaints);

#endif
