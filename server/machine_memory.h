/* SPDX-License-Identifier: MIT */
/* How much memory there is for this process at all. */
#ifndef FOREBAY_SERVER_MACHINE_MEMORY_H
#define FOREBAY_SERVER_MACHINE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes: what the machine has, or what its control group, or one above that, may use (memory.max), if that is less. 0:
 * not known. groups: /proc/self/cgroup; mount: where the control groups are. */
uint64_t machine_memory(const char *groups, const char *mount);

/* A limit of memory, in bytes, above that: true with a sentence. What is more than the machine has is used all the
 * same, until the kernel ends the process for it. what: the memory is for; remedy: what is to be lowered. Reads files
 * of the kernel: any thread. */
bool machine_memory_warns(const char *what, size_t limit, const char *remedy, char *ret_warning,
                          size_t warning_size);

#endif
