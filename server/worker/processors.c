/* SPDX-License-Identifier: MIT */
#include "server/worker/processors.h"
#include "server/rotation.h"
#include "server/worker/internal.h"
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

/* ---- What they may run on ---- */

/* The main thread's say nothing of theirs: whoever pins threads one by one may leave each worker a processor of its
 * own. 0: not known. */
static unsigned processors_of_affinity(const struct server *server) {
    cpu_set_t all, own;
    CPU_ZERO(&all);
    for (unsigned i = 0; i < server->worker_count; i++) {
        if (pthread_getaffinity_np(server->workers[i]->thread, sizeof own, &own) != 0)
            return 0; /* the machine has more processors than a cpu_set_t has room for */
        CPU_OR(&all, &all, &own);
    }
    return (unsigned)CPU_COUNT(&all);
}

/* ---- What their control group may use ---- */

/* NULL: *ret_unknown says whether it may be there all the same, as a descriptor or memory is wanting. */
static FILE *open_file(const char *path, bool *ret_unknown) {
    FILE *file = fopen(path, "re");
    *ret_unknown = !file && (errno == EMFILE || errno == ENFILE || errno == ENOMEM);
    return file;
}

/* The path of this process in the hierarchy of version 2: the line "0::/system.slice/forebay.service". */
static bool find_group(const char *groups, char *ret_path, int size, bool *ret_unknown) {
    FILE *file = open_file(groups, ret_unknown);
    bool found = false;
    while (file && !found && fgets(ret_path, size, file))
        found = strncmp(ret_path, "0::/", 4) == 0;
    if (file)
        fclose(file);
    if (!found)
        return false;
    ret_path[strcspn(ret_path, "\n")] = '\0';
    memmove(ret_path, ret_path + 3, strlen(ret_path + 3) + 1);
    return true;
}

/* "200000 100000": so much time in each period, both in microseconds; or "max 100000". 0: no limit, or
 * ROTATION_UNKNOWN. */
static unsigned quota_of_group(const char *mount, const char *group) {
    char path[2 * PATH_MAX];
    unsigned long long quota, period;
    bool unknown;
    snprintf(path, sizeof path, "%s%s/cpu.max", mount, group);
    FILE *file = open_file(path, &unknown);
    if (!file)
        return unknown ? ROTATION_UNKNOWN : 0;
    bool limited = fscanf(file, "%20llu %20llu", &quota, &period) == 2 && period > 0;
    fclose(file);
    if (!limited || quota / period >= UINT_MAX)
        return 0;
    return (unsigned)(quota / period) + (quota % period > 0);
}

/* 0 is none. With what is not known of one of them nothing is. */
static unsigned lower_of(unsigned one, unsigned other) {
    if (one == ROTATION_UNKNOWN || other == ROTATION_UNKNOWN)
        return ROTATION_UNKNOWN;
    return one == 0 || (other > 0 && other < one) ? other : one;
}

unsigned processors_of_quota(const char *groups, const char *mount) {
    char group[PATH_MAX];
    bool unknown;
    if (!find_group(groups, group, sizeof group, &unknown))
        return unknown ? ROTATION_UNKNOWN : 0;
    unsigned quota = 0;
    for (char *end = group + strlen(group); end; end = strrchr(group, '/')) {
        *end = '\0';
        quota = lower_of(quota, quota_of_group(mount, group));
    }
    return quota;
}

unsigned processors_of_workers(const struct server *server) {
    if (server->settings->use_threads == USE_ALL)
        return 0;
    return lower_of(processors_of_affinity(server),
                    processors_of_quota("/proc/self/cgroup", "/sys/fs/cgroup"));
}
