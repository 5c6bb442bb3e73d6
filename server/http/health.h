/* SPDX-License-Identifier: MIT */
/*
 * Whether the process turns (/livez), may be sent requests (/readyz), and has started (/startupz), in the form of
 * Kubernetes' own API server: "ok", or with ?verbose a line for each check; ?exclude=NAME leaves one out, and
 * /livez/NAME asks for one alone. A check that fails says why, a line for each reason, and makes the status 503.
 *
 * No check takes a lock or waits: they read atomics that the threads leave behind as they go on.
 */
#ifndef FOREBAY_SERVER_HTTP_HEALTH_H
#define FOREBAY_SERVER_HTTP_HEALTH_H

#include "server/http/http.h"

/* What /livez and /readyz answer, for a service manager's watchdog and for metrics. Any thread. */
bool health_is_live(struct server *server);
bool health_is_ready(struct server *server);

http_handler health_answer_live, health_answer_ready, health_answer_startup;

#endif
