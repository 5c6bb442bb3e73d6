/* SPDX-License-Identifier: MIT */
/* /metrics: what Prometheus scrapes (server/admin/metrics.h). */
#ifndef FOREBAY_SERVER_HTTP_METRICS_ROUTE_H
#define FOREBAY_SERVER_HTTP_METRICS_ROUTE_H

#include "server/http/http.h"

http_handler metrics_answer;

#endif
