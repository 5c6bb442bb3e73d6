/* SPDX-License-Identifier: MIT */
/*
 * A batch of touches of one namespace: their rows are loaded together and written in one commit. Several touches of one
 * row become one: each is applied to what the one before has made of it, if that was alive then. Writer thread.
 */
#ifndef FOREBAY_POLICIES_WRITE_TOUCH_BATCH_H
#define FOREBAY_POLICIES_WRITE_TOUCH_BATCH_H

#include "policies/write/bytes.h"
#include "policies/write/touch.h"

enum {
    TOUCH_BATCH = 1000,
    TOUCH_BATCH_SLOTS = 4096, /* of the table of its keys: more than twice as many */
};

/* A row that touches of a batch are about. */
struct touched {
    const struct touch *touch; /* the first of them */
    struct slice key;
    uint32_t then; /* when it has to be looked up */
    bool loaded, found, changed;
    struct entry row; /* as the touches so far have left it */
};

/* Of one namespace. In memory of the heap, for the time of a run. */
struct touch_batch {
    struct space *space;
    struct touch *touches[TOUCH_BATCH];
    size_t count;
    struct touched rows[TOUCH_BATCH];
    size_t row_count;
    uint16_t slots[TOUCH_BATCH_SLOTS]; /* by hash: index of a row, and one; 0: none */
    struct mutation mutations[TOUCH_BATCH];
    size_t mutation_count;
    struct bytes bytes;
};

/* Puts a touch into the batch, which has room. */
void touch_batch_add(struct touch_batch *batch, struct touch *touch);

/* Puts those back to the front of the line, in their order, whose rows were not loaded: all, before the batch has
 * run. */
void touch_batch_put_back(struct touch_batch *batch, struct touch_list *taken);

/* Touches the rows; what has to be tried again is put back to the front of the line. Whatever fails, a touch whose row
 * is known and needs no change is done. */
enum backend_status touch_batch_run(struct writer *writer, struct touch_list *taken,
                                    struct touch_batch *batch);

/* The store went back: what it has of the row may be older than what it is to have again, and would be newer by the
 * touch. */
bool touch_row_may_be_older(const struct writer *writer, const struct touch *touch);

/* Nothing is to be called for the namespace for a while, and the touches wait for that. */
enum backend_status touch_put_off(struct space *space);

#endif
