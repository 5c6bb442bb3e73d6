/* SPDX-License-Identifier: MIT */
/* What a connection that has not authenticated yet may ask, and who it is, by -Y or as one of the users. On the
 * worker's thread. */
#ifndef FOREBAY_SERVER_WORKER_AUTH_LOGIN_H
#define FOREBAY_SERVER_WORKER_AUTH_LOGIN_H

#include "cache/base/slice.h"
#include <stdbool.h>

struct connection;
struct proof;
struct server;
struct slot;
struct worker;

enum login_verdict {
    LOGIN_PASSED,
    LOGIN_REFUSED, /* counted and told of; after some of them the connection closes */
    LOGIN_WAITS,   /* the request comes again, and is not to be answered before */
};

/* Whether clients have to authenticate. */
bool login_is_asked_for(const struct server *server);

/* Judges who the client in slot i says that it is. Where it passes, its connection has authenticated. */
enum login_verdict login_check(struct worker *worker, size_t i, struct slice user, struct slice password);

/* Whether the request is answered as if its client had authenticated. */
bool login_lets(const struct slot *slot);

/* Answers any other request, in slot i of the batch: a credential, quit, or what is refused. A credential that has to
 * wait ends the parsing of its connection there, and comes again. */
void login_execute(struct worker *worker, size_t i);

/* Lets those come again whose credential has waited long enough. Once a second. */
void login_admit_waiting(struct worker *worker);

/* Closes those who have had auth_timeout to authenticate, beside the seconds in which they have waited for the prover.
 * Once a second, unless there are no strangers. */
void login_end_strangers(struct worker *worker);

/* Lets those come again whose password is proven, or is not. */
void login_collect_proofs(struct worker *worker);

/* The connection is closed: what becomes of its credential is told to nobody, and counts as ever. */
void login_drop_proof(struct connection *connection);

#endif
