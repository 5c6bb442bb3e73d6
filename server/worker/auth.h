/* SPDX-License-Identifier: MIT */
/* ASCII authentication (-Y FILE): lines of user:password, of which a client sends one as the data block of
 * its first set, as "user password". */
#ifndef FOREBAY_SERVER_WORKER_AUTH_H
#define FOREBAY_SERVER_WORKER_AUTH_H

#include "cache/base/slice.h"

struct auth;

/* Reads the file; NULL with a whole sentence in ret_error when it cannot be read or has a bad line (named).
 */
struct auth *auth_load(const char *path, char *ret_error, size_t error_size);
void auth_free(struct auth *auth);

/* True when credentials ("user password") match a line. Takes the same time wherever they differ. */
bool auth_check(const struct auth *auth, struct slice credentials);

#endif
