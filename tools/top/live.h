/* SPDX-License-Identifier: MIT */
/* The two ways to run: until somebody quits, or once. */
#ifndef FOREBAY_TOOLS_TOP_LIVE_H
#define FOREBAY_TOOLS_TOP_LIVE_H

#include "tools/top/options.h"

/* Watches a server on the terminal until q, Ctrl-C or the terminal ends; where the server goes away, says so and
 * connects again. Returns the exit status; what is wrong is on standard error. */
int live_run(const struct options *options);

#endif
