/* SPDX-License-Identifier: MIT */
/* The files of this process's control group (version 2), and of those above it. Any thread. */
#ifndef FOREBAY_SERVER_CONTROL_GROUP_H
#define FOREBAY_SERVER_CONTROL_GROUP_H

#include <stdbool.h>
#include <stdio.h>

/* Is shown a file of one group, open for reading, or NULL where there is none; unknown: it may be there all the same,
 * as a descriptor or memory is wanting. */
typedef void control_group_visit(void *context, FILE *file, bool unknown);

/* Shows the file of this name in the group that `groups` (/proc/self/cgroup) names, below `mount` (/sys/fs/cgroup), and
 * in each above it, to the root. Where the group itself is not found: once, nothing. */
void control_group_walk(const char *groups, const char *mount, const char *name, control_group_visit *visit,
                        void *context);

#endif
