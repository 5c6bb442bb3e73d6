/* SPDX-License-Identifier: MIT */
/*
 * The lock of a shard: one word, one atomic read-modify-write to take it when nobody else wants it, a plain
 * release store to give it back. It is held for tens of nanoseconds, so a waiter spins a little, then yields
 * its processor, then sleeps; there is no queue and no fairness. Never held across a call that can block.
 */
#ifndef FOREBAY_CACHE_LOCK_H
#define FOREBAY_CACHE_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct lock {
    _Atomic uint32_t taken;
};

/* Takes the lock when somebody holds it: the slow way. */
void lock_wait(struct lock *lock);

static inline bool lock_try(struct lock *lock) {
    return !atomic_exchange_explicit(&lock->taken, 1, memory_order_acquire);
}

static inline void lock_take(struct lock *lock) {
    if (__builtin_expect(!lock_try(lock), 0))
        lock_wait(lock);
}

static inline void lock_release(struct lock *lock) {
    atomic_store_explicit(&lock->taken, 0, memory_order_release);
}

#endif
