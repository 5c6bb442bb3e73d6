/* SPDX-License-Identifier: MIT */
/* Numbers, sizes and durations as people write them in options and configuration files. Pure. False: not one,
 * or it does not fit; *ret_value is then untouched. */
#ifndef FOREBAY_SERVER_CONFIG_MEASURE_H
#define FOREBAY_SERVER_CONFIG_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

/* Decimal digits alone. */
bool measure_number(const char *text, uint64_t *ret_value);

/* Bytes: "1048576", "64kb", "64 kb", "128mb", "2gb"; also k, m, g, KiB and b, in both cases. 1 kb is 1024
 * bytes. */
bool measure_size(const char *text, uint64_t *ret_bytes);

/* Milliseconds: "100ms", "2s", "30m", "1h", "2d"; a number alone is seconds. */
bool measure_duration(const char *text, uint64_t *ret_ms);

#endif
