/* SPDX-License-Identifier: MIT */
/* The thread that puts the figures of each second into a history, from the start of the tier on. What it costs is that
 * of a scrape of /metrics, without its text. */
#ifndef FOREBAY_SERVER_HTTP_SAMPLER_H
#define FOREBAY_SERVER_HTTP_SAMPLER_H

#include "server/http/history.h"
#include "server/server.h"

struct sampler;

/* NULL: no memory or no thread. */
struct sampler *sampler_start(struct server *server);

/* Ends the thread and frees all, before the tier and the workers go. NULL is allowed. */
void sampler_stop(struct sampler *sampler);

struct history *sampler_history(struct sampler *sampler);

#endif
