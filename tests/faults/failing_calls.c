/* SPDX-License-Identifier: MIT */
/*
 * Calls that fail while a whole server starts: a library to preload (LD_PRELOAD). FAIL_ALLOCATION=N and FAIL_EPOLL=N make
 * the Nth malloc, calloc or realloc, or the Nth epoll_ctl, find no memory; with FAIL_ON=1 all that follow as well.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);

struct failing {
    long at; /* 0: never */
    atomic_long calls;
};

static struct failing allocation, epoll;
static bool goes_on;

static long number_in(const char *name) {
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

__attribute__((constructor)) static void begin(void) {
    allocation.at = number_in("FAIL_ALLOCATION");
    epoll.at = number_in("FAIL_EPOLL");
    goes_on = number_in("FAIL_ON") != 0;
}

static bool fails(struct failing *failing) {
    if (failing->at == 0)
        return false;
    long call = atomic_fetch_add(&failing->calls, 1) + 1;
    if (call != failing->at && !(goes_on && call > failing->at))
        return false;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size) {
    return fails(&allocation) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    return fails(&allocation) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *block, size_t size) {
    return fails(&allocation) ? NULL : __libc_realloc(block, size);
}

int epoll_ctl(int set, int what, int file, struct epoll_event *event) {
    int (*real)(int, int, int, struct epoll_event *) = dlsym(RTLD_NEXT, "epoll_ctl");
    return fails(&epoll) ? -1 : real(set, what, file, event);
}
