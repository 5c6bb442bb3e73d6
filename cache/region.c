/* SPDX-License-Identifier: MIT */
#include "cache/region.h"
#include <stdint.h>
#include <sys/mman.h>

enum { PAGE = 4096, STEP = 256 << 10 /* bytes opened at a time, to save system calls */ };

/* Gives back what lies before the first aligned address, and what is left over behind the last. */
static char *trim(char *mapped, size_t bytes) {
    size_t before = -(uintptr_t)mapped & (REGION_ALIGNMENT - 1);
    if (before)
        munmap(mapped, before);
    if (before < REGION_ALIGNMENT)
        munmap(mapped + before + bytes, REGION_ALIGNMENT - before);
    return mapped + before;
}

bool region_reserve(struct region *region, size_t bytes, size_t least) {
    for (; bytes >= least; bytes /= 2) {
        void *mapped = mmap(NULL, bytes + REGION_ALIGNMENT, PROT_NONE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (mapped != MAP_FAILED) {
            *region = (struct region){trim(mapped, bytes), bytes, 0, false};
            return true;
        }
    }
    return false;
}

void region_open_huge(struct region *region) {
    if (region->reserved < REGION_ALIGNMENT || madvise(region->base, REGION_ALIGNMENT, MADV_HUGEPAGE) != 0 ||
        !region_open(region, REGION_ALIGNMENT))
        return;
    region->huge = true;
    for (size_t at = 0; at < REGION_ALIGNMENT; at += PAGE)
        *(volatile char *)(region->base + at) = 0;
}

bool region_open(struct region *region, size_t bytes) {
    if (bytes <= region->open)
        return true;
    size_t open = (bytes + STEP - 1) / STEP * STEP;
    if (open > region->reserved)
        open = region->reserved;
    if (bytes > open || mprotect(region->base, open, PROT_READ | PROT_WRITE) != 0)
        return false;
    region->open = open;
    return true;
}

void region_forget(struct region *region, size_t from, size_t bytes) {
    size_t first = (from + PAGE - 1) / PAGE * PAGE, end = (from + bytes) / PAGE * PAGE;
    if (first < end)
        madvise(region->base + first, end - first, MADV_DONTNEED);
}

void region_free(struct region *region) {
    if (region->base)
        munmap(region->base, region->reserved);
    region->base = NULL;
}
