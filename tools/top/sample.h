/* SPDX-License-Identifier: MIT */
/*
 * What a server has answered to one round of `stats`: lines of names and values, found by name.
 *
 * Nothing that a server sends is believed. Bytes other than printable ASCII become '?' as a sample is made, so that no
 * escape sequence reaches a terminal from here on; lines that are none are passed over; names are cut, and of more
 * namespaces or backends than SAMPLE_OWNERS_MAX the rest is left out. One thread.
 */
#ifndef FOREBAY_TOOLS_TOP_SAMPLE_H
#define FOREBAY_TOOLS_TOP_SAMPLE_H

#include "cache/base/histogram.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum report {
    REPORT_GENERAL,    /* stats */
    REPORT_FOREBAY,    /* stats forebay */
    REPORT_NAMESPACES, /* stats namespaces */
    REPORT_BACKENDS,   /* stats backends */
    REPORT_WRITE_BEHIND,
    REPORTS
};

/* The requests for all reports, in their order. */
extern const char sample_requests[];

enum { SAMPLE_NAME_MAX = 64, SAMPLE_OWNERS_MAX = 256, SAMPLE_PLACE_MAX = 96 };

struct sample;

/* Takes the text, which malloc has made, in any case. taken_us: when it had arrived (monotonic). NULL with the rest of
 * a sentence about the server: it is no Forebay, or wants a password first. */
struct sample *sample_new(char *text, size_t size, uint64_t taken_us, char *ret_error, size_t error_size);

/* NULL is allowed. */
void sample_free(struct sample *sample);

uint64_t sample_taken_us(const struct sample *sample);

/* How many namespaces or backends (of REPORT_NAMESPACES, REPORT_BACKENDS), and their names in the server's order. */
size_t sample_owner_count(const struct sample *sample, enum report report);
const char *sample_owner(const struct sample *sample, enum report report, size_t i);

/* The value of "owner:name", or of "name" where owner is NULL; NULL where there is none. As long as the sample. */
const char *sample_text(const struct sample *sample, enum report report, const char *owner, const char *name);

/* The same as a number; NAN where there is none. */
double sample_number(const struct sample *sample, enum report report, const char *owner, const char *name);

/* The nodes of a store that has several, in the order of their names: from *at = 0 on, false at the end. What is told
 * of one is "node:PLACE:name" of its owner. */
bool sample_next_node(const struct sample *sample, const char *owner, size_t *at,
                      char ret_place[SAMPLE_PLACE_MAX]);

/* The histogram of "owner:kind_buckets"; all 0 where there is none. */
struct histogram_sum sample_buckets(const struct sample *sample, enum report report, const char *owner,
                                    const char *kind);

#endif
