/* SPDX-License-Identifier: MIT */
/* What stats.c asks of the per-prefix counters; see server/admin/stats.h for the rest. */
#ifndef FOREBAY_SERVER_STATS_DETAIL_H
#define FOREBAY_SERVER_STATS_DETAIL_H

#include "server/buffer.h"

struct stats_detail;

void stats_detail_set(struct stats_detail *detail, bool on);
void stats_detail_reset(struct stats_detail *detail);
void stats_detail_dump(struct stats_detail *detail, struct buffer *out);

#endif
