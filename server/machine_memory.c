/* SPDX-License-Identifier: MIT */
#include "server/machine_memory.h"
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
