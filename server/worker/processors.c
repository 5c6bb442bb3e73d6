/* SPDX-License-Identifier: MIT */
#include "server/worker/processors.h"
#include "server/control_group.h"
#include "server/rotation.h"
#include "server/worker/internal.h"
#include <limits.h>
#include <sched.h>

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

/* 0 is none. With what is not known of one of them nothing is. */
static unsigned lower_of(unsigned one, unsigned other) {
    if (one == ROTATION_UNKNOWN || other == ROTATION_UNKNOWN)
        return ROTATION_UNKNOWN;
    return one == 0 || (other > 0 && other < one) ? other : one;
}

/* "200000 100000": so much time in each period, both in microseconds; or "max 100000". 0: no limit. */
static unsigned read_quota(FILE *file) {
    unsigned long long quota, period;
    if (fscanf(file, "%20llu %20llu", &quota, &period) != 2 || period == 0 || quota / period >= UINT_MAX)
        return 0;
    return (unsigned)(quota / period) + (quota % period > 0);
}

static void visit(void *context, FILE *file, bool unknown) {
    unsigned *quota = context;
    *quota = lower_of(*quota, file ? read_quota(file) : unknown ? ROTATION_UNKNOWN : 0);
}

unsigned processors_of_quota(const char *groups, const char *mount) {
    unsigned quota = 0;
    control_group_walk(groups, mount, "cpu.max", visit, &quota);
    return quota;
}

unsigned processors_of_workers(const struct server *server) {
    if (server->settings->use_threads == USE_ALL)
        return 0;
    return lower_of(processors_of_affinity(server),
                    processors_of_quota("/proc/self/cgroup", "/sys/fs/cgroup"));
}
