/* SPDX-License-Identifier: MIT */
/*
 * A disk that hangs, and a worker that does: a library to preload (LD_PRELOAD). While a file named "hang-WORD" lies in
 * the folder STUCK, what writes or syncs a file whose path has WORD in it does not return. WORD is one of those in
 * `words`. With "hang-worker" no worker gets to its next turn, which stands for any fault of its own.
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

static const char *const words[] = {"journal-", "store.db", "low-water", "quarantine-"};

static bool hangs(const char *word) {
    char path[4096];
    const char *folder = getenv("STUCK");
    return folder && snprintf(path, sizeof path, "%s/hang-%s", folder, word) < (int)sizeof path &&
           access(path, F_OK) == 0;
}

static void wait_for(int file) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0)
        return;
    path[size] = '\0';
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        while (strstr(path, words[i]) && hangs(words[i]))
            usleep(10000);
}

static bool is_worker(void) {
    char name[16] = "";
    prctl(PR_GET_NAME, name);
    return strncmp(name, "worker", strlen("worker")) == 0;
}

int epoll_wait(int set, struct epoll_event *events, int most, int timeout) {
    int (*real)(int, struct epoll_event *, int, int) = dlsym(RTLD_NEXT, "epoll_wait");
    int count = real(set, events, most, timeout);
    while (is_worker() && hangs("worker"))
        usleep(10000);
    return count;
}

ssize_t pwrite(int file, const void *data, size_t size, off_t at) {
    ssize_t (*real)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite");
    wait_for(file);
    return real(file, data, size, at);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
    ssize_t (*real)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pwrite64");
    wait_for(file);
    return real(file, data, size, at);
}

int fsync(int file) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
    wait_for(file);
    return real(file);
}

int fdatasync(int file) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fdatasync");
    wait_for(file);
    return real(file);
}
