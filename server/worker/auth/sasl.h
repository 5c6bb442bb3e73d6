/* SPDX-License-Identifier: MIT */
/* How a client of the binary protocol says who it is: SASL, mechanism PLAIN (RFC 4616), with the users of -Y. On the
 * worker's thread. */
#ifndef FOREBAY_SERVER_WORKER_AUTH_SASL_H
#define FOREBAY_SERVER_WORKER_AUTH_SASL_H

#include <stddef.h>

struct worker;

/* Answers the request in slot i of the batch, a COMMAND_SASL, whether its client has authenticated before or not. */
void sasl_execute(struct worker *worker, size_t i);

#endif
