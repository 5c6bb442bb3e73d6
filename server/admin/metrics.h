/* SPDX-License-Identifier: MIT */
/*
 * What Prometheus is told: the metrics of metrics_table.c with the values of a snapshot, as text.
 *
 * The snapshot is taken first, with locks that are held for a copy each; nothing is held while the text is made.
 */
#ifndef FOREBAY_SERVER_ADMIN_METRICS_H
#define FOREBAY_SERVER_ADMIN_METRICS_H

#include "server/admin/metrics_snapshot.h"
#include "server/buffer.h"
#include "server/server.h"

enum metrics_format {
    METRICS_PROMETHEUS,  /* text, version 0.0.4 */
    METRICS_OPENMETRICS, /* version 1.0.0 */
};

/* What a client wants that sends this in Accept; NULL: it sends none. */
enum metrics_format metrics_format_accepted(const char *accept);

const char *metrics_content_type(enum metrics_format format);

/* Appends all metrics as they are now; a buffer that has failed says that there was no memory. Any thread, while the
 * tier and the workers are there. */
void metrics_write(struct server *server, struct metrics_health health, enum metrics_format format,
                   struct buffer *out);

#endif
