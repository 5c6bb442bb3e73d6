/* SPDX-License-Identifier: MIT */
/*
 * A wall clock that is ahead, for whole servers: a library to preload (LD_PRELOAD). CLOCK_AHEAD names a file
 * of eight bytes, little-endian: by how many seconds. It may be written to while the server runs, as an
 * operator may set the clock. The monotonic clocks and the times of files are as ever.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *ahead;
static int (*true_clock)(clockid_t, struct timespec *);

__attribute__((constructor)) static void look_at_the_file(void) {
    *(void **)&true_clock = dlsym(RTLD_NEXT, "clock_gettime");
    const char *path = getenv("CLOCK_AHEAD");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *bytes = mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
    if (bytes != MAP_FAILED)
        ahead = bytes;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *ret_time) {
    int failed = true_clock ? true_clock(clock, ret_time) : (int)syscall(SYS_clock_gettime, clock, ret_time);
    if (!failed && ahead && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        ret_time->tv_sec += *ahead;
    return failed;
}

int gettimeofday(struct timeval *restrict ret_time, void *restrict zone) {
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *ret_time = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *ret_time) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (ret_time)
        *ret_time = now.tv_sec;
    return now.tv_sec;
}
