/* SPDX-License-Identifier: MIT */
/* What tests do with a cluster, said briefly. */
#ifndef FOREBAY_TESTS_BACKENDS_REDIS_CLUSTER_STEPS_H
#define FOREBAY_TESTS_BACKENDS_REDIS_CLUSTER_STEPS_H

#include "tests/support/redis_cluster_fixture.h"

extern struct redis_server replica; /* of masters[0] */

/* All that put_rows has put, in one call; and only what that comes to. */
enum backend_status read_into(struct fixture *fixture, struct backend_connection *reader,
                              struct load_result results[ROWS]);
enum backend_status read_rows(struct fixture *fixture, struct backend_connection *reader);

/* Whichever master has the key; what they answer is not looked at. value: NULL: none. */
void ask_all(const char *command, const char *key, const char *field, const char *value);

/* Another server has this node number, as the store says. */
void set_rival(const struct fixture *fixture, const char *node);
void remove_rival(const char *node);

#endif
