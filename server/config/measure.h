/* SPDX-License-Identifier: MIT */
/* Numbers, sizes and durations as people write them in options and configuration files. Pure. False: not one,
 * or it does not fit; *ret_value is then untouched. */
#ifndef FOREBAY_SERVER_CONFIG_MEASURE_H
#define FOREBAY_SERVER_CONFIG_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decimal digits alone. */
bool measure_number(const char *text, uint64_t *ret_value);

/* Bytes: "1048576", "64kb", "64 kb", "128mb", "2gb"; also k, m, g, KiB and b, in both cases. 1 kb is 1024
 * bytes. */
bool measure_size(const char *text, uint64_t *ret_bytes);

/* Milliseconds: "100ms", "2s", "30m", "1h", "2d"; a number alone is seconds. */
bool measure_duration(const char *text, uint64_t *ret_ms);

/* The other way, in the largest unit without a rest: "1048577", "1mb", "1500ms", "30m". Cut at size. */
void measure_print_number(uint64_t value, char *ret_text, size_t size);
void measure_print_size(uint64_t bytes, char *ret_text, size_t size);
void measure_print_duration(uint64_t ms, char *ret_text, size_t size);

/* "1kb to 128mb", "0 or more" */
typedef void measure_print(uint64_t value, char *ret_text, size_t size);
void measure_print_range(uint64_t minimum, uint64_t maximum, measure_print *print, char *ret_text,
                         size_t size);

#endif
