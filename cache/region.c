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

bool region_reserve(struct region *region, size_t bytes) {
    void *mapped =
        mmap(NULL, bytes + REGION_ALIGNMENT, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED)
        return false;
    *region = (struct region){.base = trim(mapped, bytes), .reserved = bytes};
    return true;
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

static size_t whole_huge(size_t bytes) {
    return bytes / REGION_ALIGNMENT * REGION_ALIGNMENT;
}

void region_expect(struct region *region, size_t bytes) {
    size_t whole = whole_huge(bytes < region->reserved ? bytes : region->reserved);
    if (whole > region->open && madvise(region->base, whole, MADV_HUGEPAGE) == 0 &&
        region_open(region, whole))
        region->expected = whole;
}

/* What is left over is mapped anew: no call takes back what madvise has said. The rest keeps its huge pages, but is
 * given no more: the kernel would fill the holes of what is given back. */
size_t region_expect_no_more(struct region *region, size_t used) {
    size_t filled = whole_huge(used + REGION_ALIGNMENT - 1), expected = region->expected;
    region->expected = 0;
    if (filled >= expected) {
        filled = expected;
    } else {
        void *mapped = mmap(region->base + filled, expected - filled, PROT_NONE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
        if (mapped == MAP_FAILED)
            filled = expected;
        else
            region->open = filled;
    }
    if (filled > 0)
        madvise(region->base, filled, MADV_NOHUGEPAGE);
    return filled;
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
