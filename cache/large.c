/* SPDX-License-Identifier: MIT */
#include "cache/large.h"
#include "cache/memory.h"
#include "cache/shard.h"
#include <assert.h>
#include <sys/mman.h>

enum { PAGE = 4096 };

size_t large_pages(size_t size) {
    return (sizeof(struct cache_large) + size + PAGE - 1) / PAGE * PAGE;
}

struct cache_large *large_create(struct cache_shard *shard, int space, struct slice value) {
    size_t pages = large_pages(value.size);
    struct cache_large *large =
        mmap(NULL, pages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (large == MAP_FAILED)
        return NULL;
    atomic_init(&large->holders, 1);
    large->space = space;
    large->size = value.size;
    large->pages = pages;
    large->cache = shard->cache;
    large->shard = shard;
    memcpy(large->data, value.data, value.size);
    return large;
}

void cache_large_hold(struct cache_large *large) {
    atomic_fetch_add_explicit(&large->holders, 1, memory_order_relaxed);
}

void cache_large_drop(struct cache_large *large) {
    uint32_t before = atomic_fetch_sub_explicit(&large->holders, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1)
        return;
    struct cache_shard *shard = large->shard;
    size_t pages = large->pages;
    int space = large->space;
    munmap(large, pages);
    memory_give(shard, space, pages);
}
