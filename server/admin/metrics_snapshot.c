/* SPDX-License-Identifier: MIT */
/* See metrics_snapshot.h. */
#include "server/admin/metrics_snapshot.h"
#include "cache/base/clock.h"
#include "server/config/settings.h"
#include "server/listener.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- The process ---- */

static uint64_t time_us(const struct timeval *time) {
    return (uint64_t)time->tv_sec * US_PER_SECOND + (uint64_t)time->tv_usec;
}

static uint64_t resident_bytes(void) {
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return 0;
    if (fscanf(file, "%*u %lu", &pages) != 1)
        pages = 0;
    fclose(file);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Where there is none left to look with, all that may be open are. */
static uint64_t count_descriptors(uint64_t limit) {
    uint64_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    if (!folder)
        return errno == EMFILE ? limit : 0;
    for (const struct dirent *entry; (entry = readdir(folder));)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count - 1; /* the folder's own is none */
}

static void measure_usage(struct process_measures *process) {
    struct rusage usage = {0};
    struct rlimit limit = {0};
    getrusage(RUSAGE_SELF, &usage);
    getrlimit(RLIMIT_NOFILE, &limit);
    process->user_us = time_us(&usage.ru_utime);
    process->system_us = time_us(&usage.ru_stime);
    process->resident_bytes = resident_bytes();
    process->descriptors_max = limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
    process->descriptors = count_descriptors(process->descriptors_max);
}

static void measure_process(const struct server *server, struct process_measures *process) {
    *process = (struct process_measures){
        .started_us = server->started_wall_us,
        .connections = atomic_load(&server->connections),
        .connections_max = server->settings->max_connections,
        .accepted = atomic_load(&server->connections_total),
        .rejected = atomic_load(&server->connections_rejected),
        .paused = atomic_load(&server->listen_disabled),
        .paused_us = atomic_load(&server->listen_disabled_us),
        .threads = server->settings->threads,
        .threads_in_rotation = atomic_load(&server->workers_in_rotation),
        .hands_over = tier_hands_over(server->tier),
        .accepting = !server->listener || listener_is_accepting(server->listener),
        .request_bytes = atomic_load(&server->request_bytes),
        .reloads = atomic_load(&server->reloads),
        .reload_failures = atomic_load(&server->reload_failures),
        .reloaded_us = atomic_load(&server->reload_seconds) * US_PER_SECOND,
    };
    measure_usage(process);
}

/* ---- The whole ---- */

static void measure_workers(const struct server *server, struct worker_stats *sum) {
    for (unsigned i = 0; i < server->worker_count; i++)
        worker_add_stats(server->workers[i], sum);
}

bool metrics_snapshot_take(struct server *server, struct metrics_snapshot *ret_snapshot) {
    struct metrics_snapshot *snapshot = ret_snapshot;
    struct tier *tier = server->tier;
    size_t spaces = tier_space_count(tier), backends = tier_backend_count(tier);
    *snapshot = (struct metrics_snapshot){
        .spaces = calloc(spaces, sizeof *snapshot->spaces),
        .backends = calloc(backends + 1, sizeof *snapshot->backends),
    };
    if (!snapshot->spaces || !snapshot->backends)
        return false;
    measure_process(server, &snapshot->process);
    measure_workers(server, &snapshot->workers);
    tier_get_counters(tier, &snapshot->counters);
    cache_get_stats(tier_cache(tier), CACHE_ALL_SPACES, &snapshot->cache);
    snapshot->has_journal = tier_measure_journal(tier, &snapshot->journal);
    snapshot->space_count = tier_measure_spaces(tier, snapshot->spaces, spaces);
    snapshot->backend_count = tier_measure_backends(tier, snapshot->backends, backends);
    return true;
}

void metrics_snapshot_free(struct metrics_snapshot *snapshot) {
    free(snapshot->spaces);
    free(snapshot->backends);
    snapshot->spaces = NULL;
    snapshot->backends = NULL;
}
