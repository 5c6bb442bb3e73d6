/* SPDX-License-Identifier: MIT */
/* What a connection that has not authenticated yet (-Y) may ask, and who it is. On the worker's thread. */
#ifndef FOREBAY_SERVER_WORKER_LOGIN_H
#define FOREBAY_SERVER_WORKER_LOGIN_H

#include "cache/base/slice.h"
#include <stdbool.h>

struct slot;
struct worker;

enum login_verdict {
    LOGIN_PASSED,
    LOGIN_REFUSED, /* counted and told of; after some of them the connection closes */
    LOGIN_WAITS,   /* the request comes again, and is not to be answered before */
};

/* Judges who the client in slot i says that it is. Where it passes, its connection has authenticated. */
enum login_verdict login_check(struct worker *worker, size_t i, struct slice user, struct slice password);

/* Whether the request is answered as if its client had authenticated. */
bool login_lets(const struct slot *slot);

/* Answers any other request, in slot i of the batch: a credential, quit, or what is refused. A credential that has to wait
 * ends the parsing of its connection there, and comes again. */
void login_execute(struct worker *worker, size_t i);

/* Lets those come again whose credential has waited long enough. Once a second. */
void login_admit_waiting(struct worker *worker);

#endif
