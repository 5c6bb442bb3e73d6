/* SPDX-License-Identifier: MIT */
/* The linker gives __wrap_x for x, and x for __real_x. */
#include "tests/support/passing_time.h"
#include "cache/base/clock.h"
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

static atomic_uint_fast64_t passed_us;

int __real_clock_gettime(clockid_t clock, struct timespec *ret_time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time);
time_t __wrap_time(time_t *ret_time);
int __real_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                  const struct timespec *until);
int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                  const struct timespec *until);
int __wrap_nanosleep(const struct timespec *nap, struct timespec *ret_rest);

static struct timespec time_of_us(uint64_t us) {
    return (struct timespec){.tv_sec = (time_t)(us / US_PER_SECOND),
                             .tv_nsec = (long)(us % US_PER_SECOND) * 1000};
}

static uint64_t us_of_time(const struct timespec *time) {
    return (uint64_t)time->tv_sec * US_PER_SECOND + (uint64_t)time->tv_nsec / 1000;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time) {
    int failed = __real_clock_gettime(clock, ret_time);
    if (!failed)
        *ret_time = time_of_us(us_of_time(ret_time) + atomic_load(&passed_us));
    return failed;
}

time_t __wrap_time(time_t *ret_time) {
    time_t now = (time_t)(wall_us() / US_PER_SECOND);
    if (ret_time)
        *ret_time = now;
    return now;
}

/* The kernel's clocks have not moved. */
int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                  const struct timespec *until) {
    uint64_t until_us = us_of_time(until), passed = atomic_load(&passed_us);
    struct timespec real = time_of_us(until_us > passed ? until_us - passed : 0);
    return __real_pthread_cond_timedwait(condition, mutex, &real);
}

int __wrap_nanosleep(const struct timespec *nap, struct timespec *ret_rest) {
    (void)ret_rest;
    pass_us(us_of_time(nap));
    return 0;
}

void pass_us(uint64_t us) {
    atomic_fetch_add(&passed_us, us);
}

void pass_until_us(uint64_t wall) {
    uint64_t now = wall_us();
    if (now < wall)
        pass_us(wall - now);
}
