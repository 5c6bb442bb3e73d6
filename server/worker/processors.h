/* SPDX-License-Identifier: MIT */
/* How many processors the workers may keep busy: those that they may run on, or as many as their control group may
 * use. */
#ifndef FOREBAY_SERVER_WORKER_PROCESSORS_H
#define FOREBAY_SERVER_WORKER_PROCESSORS_H

struct server;

/* The lower of both, now; 0: no limit is known, or all workers are to be used whatever it is (use_threads);
 * ROTATION_UNKNOWN. While the workers run: a rotation_processors (server/rotation.h). */
unsigned processors_of_workers(const struct server *server);

/* What cpu.max lets this process use, in whole processors, rounded up: the least of its control group (version 2) and
 * of those above it, as far as they can be seen. 0: no limit; ROTATION_UNKNOWN: there are no descriptors to look.
 * groups: /proc/self/cgroup; mount: where the control groups are. */
unsigned processors_of_quota(const char *groups, const char *mount);

#endif
