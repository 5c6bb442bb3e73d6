/* SPDX-License-Identifier: MIT */
/* Addresses of one program that stand in each other's way: a start would fail, and say that another server has them. */
#ifndef FOREBAY_SERVER_CONFIG_CLASH_H
#define FOREBAY_SERVER_CONFIG_CLASH_H

#include "server/config/settings.h"

/* Whether all TCP addresses, of clients and of the admin HTTP, can be listened on together, as far as they stand for
 * anything. False with a sentence that names two which cannot. Asks the resolver. */
bool clash_check(const struct settings *settings, struct settings_complaint *ret_complaint);

#endif
