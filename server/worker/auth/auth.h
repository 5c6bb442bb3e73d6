/* SPDX-License-Identifier: MIT */
/* Authentication (-Y FILE): lines of user:password, of which a client sends one as the data block of
 * its first set, as "user password", or by SASL. */
#ifndef FOREBAY_SERVER_WORKER_AUTH_AUTH_H
#define FOREBAY_SERVER_WORKER_AUTH_AUTH_H

#include "cache/base/slice.h"

/* The longest "user password", in bytes. A connection looks at none that is longer. */
enum { AUTH_CREDENTIAL_MAX = 2048 };

struct auth;

/* Reads the file; NULL with a whole sentence in ret_error when it cannot be read or has a bad line, which is named and
 * not shown: one that lacks its user or its password, or that no client could send. */
struct auth *auth_load(const char *path, char *ret_error, size_t error_size);
void auth_free(struct auth *auth);

/* Whether the file, as it was read, was open to more people than its owner and his group, or to be written by the
 * group. If so, a whole sentence in ret_warning. */
bool auth_is_exposed(const struct auth *auth, const char *path, char *ret_warning, size_t warning_size);

/* Whether two files had the same lines and the same mode. NULL: no file. */
bool auth_is_same(const struct auth *a, const struct auth *b);

/* True when they match a line. Takes the same time wherever they differ. */
bool auth_check(const struct auth *auth, struct slice user, struct slice password);

#endif
