/* SPDX-License-Identifier: MIT */
#include "server/machine_memory.h"
#include "cache/base/fit.h"
#include "server/control_group.h"
#include <inttypes.h>
#include <unistd.h>

/* "268435456", or "max". */
static void visit(void *context, FILE *file, bool unknown) {
    uint64_t *lowest = context, limit;
    (void)unknown;
    if (file && fscanf(file, "%20" SCNu64, &limit) == 1 && (*lowest == 0 || limit < *lowest))
        *lowest = limit;
}

uint64_t machine_memory(const char *groups, const char *mount) {
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t lowest = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
    control_group_walk(groups, mount, "memory.max", visit, &lowest);
    return lowest;
}

bool machine_memory_warns(const char *what, size_t limit, const char *remedy, char *ret_warning,
                          size_t warning_size) {
    uint64_t there = machine_memory("/proc/self/cgroup", "/sys/fs/cgroup");
    if (there == 0 || limit <= there)
        return false;
    fit_print(
        ret_warning, warning_size,
        "the memory for %s is %zu MB, and the machine, or the control group of this process, has %" PRIu64
        " MB in all: before it is full the kernel ends the process, or the machine does nothing but swap. Lower %s",
        what, limit >> 20, there >> 20, remedy);
    return true;
}
