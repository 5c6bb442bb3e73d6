/* SPDX-License-Identifier: MIT */
/*
 * A run of address space that grows from its start: reserved without access, opened as it is needed. What is
 * reserved but not open costs nothing, whatever the kernel's overcommit and mlockall settings are.
 */
#ifndef FOREBAY_CACHE_REGION_H
#define FOREBAY_CACHE_REGION_H

#include <stdbool.h>
#include <stddef.h>

enum { REGION_ALIGNMENT = 2 << 20 }; /* bytes: a huge page of x86-64 and of arm64 with 4 KiB pages */

struct region {
    char *base;            /* aligned to REGION_ALIGNMENT */
    size_t reserved, open; /* bytes */
    size_t expected;       /* bytes from region_expect on, until region_expect_no_more; else 0 */
    bool huge;             /* region_open_huge was called */
};

/* Reserves `bytes`. False: there is no such run of addresses. */
bool region_reserve(struct region *region, size_t bytes);

/* Opens the first REGION_ALIGNMENT bytes of a region of which nothing is open, and makes them resident, as
 * one huge page where the kernel has them. */
void region_open_huge(struct region *region);

/* Makes the first `bytes` usable (zeroes at first). False when they are not all reserved, or the kernel
 * refuses. */
bool region_open(struct region *region, size_t bytes);

/* Opens the huge pages that lie wholly inside the first `bytes`, for somebody who is about to fill them from the start
 * on: each becomes resident when it is touched, as one where the kernel has them. */
void region_expect(struct region *region, size_t bytes);

/* They are filled up to `used`; those behind it are closed again. Returns the bytes at the start in which nothing
 * becomes a huge page any more that is none yet: 0 where nothing was expected. */
size_t region_expect_no_more(struct region *region, size_t used);

/* Gives the pages that lie wholly inside [from, from + bytes) back; they read as zeroes afterwards. */
void region_forget(struct region *region, size_t from, size_t bytes);

void region_free(struct region *region);

#endif
