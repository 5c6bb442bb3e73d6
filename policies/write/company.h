/* SPDX-License-Identifier: MIT */
/*
 * What a writer makes of what its connection has seen of other servers over the same store (backend_company): whether
 * its clock has to be corrected, and what the operator has to know. The writer's thread, and whoever makes the writer.
 */
#ifndef FOREBAY_POLICIES_WRITE_COMPANY_H
#define FOREBAY_POLICIES_WRITE_COMPANY_H

#include <stdbool.h>
#include <stdint.h>

struct writer;

/* On the log; monotonic, 0: not yet. */
struct company_told {
    uint64_t complaint_us, clock_us;
    bool residency;
};

/* After the connection was opened, or has looked. */
void company_note(struct writer *writer);

#endif
