/* SPDX-License-Identifier: MIT */
/*
 * Whether the store that the writer has opened has all that it had: by its high version and by the number of the last batch,
 * which never go back in one and the same store. Where they did, it is told, and what memory holds is written again
 * (rewrite.h), but at the start, when memory holds nothing. The writer's thread alone.
 */
#ifndef FOREBAY_POLICIES_WRITE_REGRESS_H
#define FOREBAY_POLICIES_WRITE_REGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct writer;

/* A connection is open, and has given this high version. True: they went back. */
bool regress_note(struct writer *writer, uint64_t version);

#endif
