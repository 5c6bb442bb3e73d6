/* SPDX-License-Identifier: MIT */
/* What a connection that has not authenticated yet (-Y) may ask. On the worker's thread. */
#ifndef FOREBAY_SERVER_WORKER_LOGIN_H
#define FOREBAY_SERVER_WORKER_LOGIN_H

#include <stddef.h>

struct worker;

/* Answers the request in slot i of the batch: a credential, quit, or what is refused. A credential that has to wait ends
 * the parsing of its connection there, and comes again. */
void login_execute(struct worker *worker, size_t i);

/* Lets those come again whose credential has waited long enough. Once a second. */
void login_admit_waiting(struct worker *worker);

#endif
