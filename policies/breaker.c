/* SPDX-License-Identifier: MIT */
/* Pure bookkeeping: the time comes in as a parameter, so that tests need no sleep. */
#include "policies/breaker.h"

enum { TELL_PAUSE_US = 1000000, TELL_PAUSE_MAX_US = 600000000 };

void breaker_init(struct breaker *breaker, uint64_t seed) {
    atomic_init(&breaker->state, BREAKER_CLOSED);
    atomic_init(&breaker->opened, 0);
    breaker->failures = 0;
    atomic_init(&breaker->retry_at, 0);
    breaker->random = seed | 1;
    breaker->told = breaker->tell_at_us = breaker->tell_pause_us = 0;
}

bool breaker_admits(struct breaker *breaker, uint64_t now_us) {
    if (breaker_state(breaker) == BREAKER_CLOSED)
        return now_us >= breaker_retry_at(breaker);
    if (breaker_state(breaker) == BREAKER_HALF_OPEN || now_us < breaker_retry_at(breaker))
        return false;
    atomic_store_explicit(&breaker->state, BREAKER_HALF_OPEN, memory_order_relaxed);
    return true;
}

bool breaker_hopeful(const struct breaker *breaker, uint64_t now_us) {
    switch (breaker_state(breaker)) {
    case BREAKER_CLOSED:
        return true;
    case BREAKER_OPEN:
        return now_us >= breaker_retry_at(breaker);
    case BREAKER_HALF_OPEN:
        return false;
    }
    return true;
}

bool breaker_success(struct breaker *breaker) {
    bool was_closed = breaker_state(breaker) == BREAKER_CLOSED;
    breaker->failures = 0;
    atomic_store_explicit(&breaker->retry_at, 0, memory_order_relaxed);
    atomic_store_explicit(&breaker->state, BREAKER_CLOSED, memory_order_relaxed);
    return !was_closed;
}

/* xorshift64: good enough to spread retries. */
static uint64_t next_random(struct breaker *breaker) {
    uint64_t x = breaker->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return breaker->random = x;
}

bool breaker_failure(struct breaker *breaker, uint64_t now_us) {
    unsigned doublings = breaker->failures < 10 ? breaker->failures : 10;
    uint64_t pause = (uint64_t)BREAKER_FIRST_PAUSE << doublings;
    if (pause > BREAKER_LONGEST_PAUSE)
        pause = BREAKER_LONGEST_PAUSE;
    pause *= 1000;                                              /* us */
    pause = pause / 2 + next_random(breaker) % (pause / 2 + 1); /* half of it is jitter */
    atomic_store_explicit(&breaker->retry_at, now_us + pause, memory_order_relaxed);
    breaker->failures++;
    if (breaker->failures < BREAKER_PATIENCE)
        return false;
    bool was_closed = breaker_state(breaker) == BREAKER_CLOSED;
    if (was_closed)
        atomic_fetch_add_explicit(&breaker->opened, 1, memory_order_relaxed);
    atomic_store_explicit(&breaker->state, BREAKER_OPEN, memory_order_relaxed);
    return was_closed;
}

/* FNV-1a: of sentences of stores, to tell one from the last. */
static uint64_t hash_of(const char *text) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return hash;
}

bool breaker_failure_is_news(struct breaker *breaker, const char *reason, uint64_t now_us) {
    bool opened = breaker_failure(breaker, now_us);
    uint64_t hash = hash_of(reason);
    bool is_open = breaker_state(breaker) == BREAKER_OPEN;
    if (!opened && (!is_open || hash == breaker->told || now_us < breaker->tell_at_us))
        return false;
    uint64_t doubled_us =
        breaker->tell_pause_us < TELL_PAUSE_MAX_US / 2 ? breaker->tell_pause_us * 2 : TELL_PAUSE_MAX_US;
    breaker->tell_pause_us = opened ? TELL_PAUSE_US : doubled_us;
    breaker->tell_at_us = now_us + breaker->tell_pause_us;
    breaker->told = hash;
    return true;
}

const char *breaker_state_name(enum breaker_state state) {
    return state == BREAKER_CLOSED ? "closed" : state == BREAKER_OPEN ? "open" : "half-open";
}
