/* SPDX-License-Identifier: MIT */
/* A time of the wall clock for people, always in UTC and always in the same form. Any thread. */
#ifndef FOREBAY_CACHE_BASE_CLOCK_TEXT_H
#define FOREBAY_CACHE_BASE_CLOCK_TEXT_H

#include "cache/base/clock.h"
#include <inttypes.h>
#include <stdio.h>

enum { CLOCK_TEXT_MAX = 40 };

/* 2026-01-31T12:00:00.123Z, with so many digits behind the second, 0 to 6. The number of microseconds where it is no
 * time that the calendar has. */
static inline const char *clock_text(uint64_t us, int digits, char ret_text[CLOCK_TEXT_MAX]) {
    char fraction[8];
    struct tm parts;
    time_t seconds = (time_t)(us / US_PER_SECOND);
    size_t used = gmtime_r(&seconds, &parts)
                      ? strftime(ret_text, CLOCK_TEXT_MAX - sizeof fraction, "%Y-%m-%dT%H:%M:%S", &parts)
                      : 0;
    if (used == 0) {
        snprintf(ret_text, CLOCK_TEXT_MAX, "%" PRIu64 "us", us);
        return ret_text;
    }
    snprintf(fraction, sizeof fraction, ".%06u", (unsigned)(us % US_PER_SECOND));
    snprintf(ret_text + used, CLOCK_TEXT_MAX - used, "%.*sZ", digits > 0 ? 1 + digits : 0, fraction);
    return ret_text;
}

#endif
