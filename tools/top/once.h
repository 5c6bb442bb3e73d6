/* SPDX-License-Identifier: MIT */
/* --once: two samples an interval apart, printed. */
#ifndef FOREBAY_TOOLS_TOP_ONCE_H
#define FOREBAY_TOOLS_TOP_ONCE_H

#include "tools/top/options.h"

/* Returns the exit status; what is wrong is on standard error. A server that does not answer is not waited for. */
int once_run(const struct options *options);

#endif
