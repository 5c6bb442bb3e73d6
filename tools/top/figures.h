/* SPDX-License-Identifier: MIT */
/* Numbers for people, in at most five characters, so that columns stay narrow. NAN is "-". Pure. */
#ifndef FOREBAY_TOOLS_TOP_FIGURES_H
#define FOREBAY_TOOLS_TOP_FIGURES_H

enum { FIGURE_MAX = 16 };

/* What a column or a line counts. */
enum unit {
    UNIT_TEXT,
    UNIT_COUNT,   /* 99999, 123k, 4.5M */
    UNIT_BYTES,   /* 1023, 1.5k, 200M: of 1024 */
    UNIT_RATE,    /* a second: 0.5, 12, 4.5M */
    UNIT_PERCENT, /* 99.9 */
    UNIT_US,      /* 128us, 1.5ms, 67s: microseconds */
    UNIT_MS       /* the same of milliseconds; 5m, 12h, 3d */
};

/* Returns ret_text. UNIT_TEXT is none of these. */
const char *figure(enum unit unit, double value, char ret_text[FIGURE_MAX]);

#endif
