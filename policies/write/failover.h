/* SPDX-License-Identifier: MIT */
/* A store that is looked for, as the master of Sentinel is, or a part of it, as a master of a cluster is, was found
 * elsewhere: that is told and counted. The writer's thread alone. */
#ifndef FOREBAY_POLICIES_WRITE_FAILOVER_H
#define FOREBAY_POLICIES_WRITE_FAILOVER_H

#include <stdbool.h>

struct writer;

/* After each call. True: it was found, or found elsewhere, and readers have to go there. */
bool failover_note(struct writer *writer);

/* Of parts alone, whose readers find it by themselves; with a connection, and also before that is given up. */
void failover_note_parts(struct writer *writer);

#endif
