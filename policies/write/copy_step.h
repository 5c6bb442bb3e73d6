/* SPDX-License-Identifier: MIT */
/*
 * A step of a copy, in whatever stage it is (copy.h): some keys of the page that is in hand, which is read first if
 * need be. The writer's thread.
 */
#ifndef FOREBAY_POLICIES_WRITE_COPY_STEP_H
#define FOREBAY_POLICIES_WRITE_COPY_STEP_H

#include "policies/write/copy.h"

struct copy_stepped {
    bool page_done; /* the page behind it is next, if there is one */
    bool in_vain; /* nothing was done: its own store is empty, and rows would have to go from the other one */
};

/* Of a failure the breakers and the log know; the step is made again. */
enum backend_status copy_step(struct writer *writer, struct space *space, struct copy_stepped *ret_stepped);

#endif
