/* SPDX-License-Identifier: MIT */
/* A slower disk than the one at hand: preloaded, it lets each fsync and fdatasync take SLOW_SYNC_US longer.
 * For tools/bench/durability --sync-us. */
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static int slowly(const char *name, int file) {
    int (*sync)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    const char *extra = getenv("SLOW_SYNC_US");
    long us = extra ? strtol(extra, NULL, 10) : 0;
    struct timespec pause = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    nanosleep(&pause, NULL);
    return sync(file);
}

int fsync(int file) {
    return slowly("fsync", file);
}

int fdatasync(int file) {
    return slowly("fdatasync", file);
}
