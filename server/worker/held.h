/* SPDX-License-Identifier: MIT */
/*
 * Connections whose replies wait for the journal: for what they changed to be synced, or for what they show to be
 * written by another worker. On the worker's thread.
 *
 *     held_add --> undated --held_date, at the end of this part of the turn--> dated --held_collect--> served again
 */
#ifndef FOREBAY_SERVER_WORKER_HELD_H
#define FOREBAY_SERVER_WORKER_HELD_H

#include <stdint.h>

struct connection;
struct worker;

/* The replies of this part of the turn, of which there may be none, wait. */
void held_add(struct worker *worker, struct connection *connection);

/* This part of the turn has ended, under this number of the tier's hold; 0: its changes could not be written yet. */
void held_date(struct worker *worker, uint64_t number);

/* Lets those go on whose replies may be sent now. */
void held_collect(struct worker *worker);

#endif
