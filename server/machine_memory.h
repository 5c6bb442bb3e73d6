/* SPDX-License-Identifier: MIT */
/* How much memory there is for this process at all. */
#ifndef FOREBAY_SERVER_MACHINE_MEMORY_H
#define FOREBAY_SERVER_MACHINE_MEMORY_H

#include <stdint.h>

/* Bytes: what the machine has, or what its control group, or one above that, may use (memory.max), if that is less. 0: not
 * known. groups: /proc/self/cgroup; mount: where the control groups are. */
uint64_t machine_memory(const char *groups, const char *mount);

#endif
