/* SPDX-License-Identifier: MIT */
#include "cache/lock.h"
#include <sched.h>
#include <time.h>

enum {
    SPINS = 64,  /* about the length of one critical section */
    YIELDS = 200 /* after these the holder has probably lost its processor for long */
};

static inline void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* Reads until the lock looks free, so that waiting costs the holder no cache line. */
static bool spin(struct lock *lock) {
    for (unsigned i = 0; i < SPINS; i++) {
        if (!atomic_load_explicit(&lock->taken, memory_order_relaxed) && lock_try(lock))
            return true;
        pause_briefly();
    }
    return false;
}

void lock_wait(struct lock *lock) {
    const struct timespec moment = {0, 50000};
    for (unsigned round = 0; !spin(lock); round++) {
        if (round < YIELDS)
            sched_yield();
        else
            nanosleep(&moment, NULL);
    }
}
