/* SPDX-License-Identifier: MIT */
/* See figures.h. */
#include "tools/top/figures.h"
#include <math.h>
#include <stdio.h>

struct scale {
    double from; /* values from here on */
    double size; /* of one of its units */
    const char *unit;
};

/* Three digits at most: one behind the point below ten. */
static const char *scaled(const struct scale *scales, double value, char ret_text[FIGURE_MAX]) {
    while (scales[1].unit && value >= scales[1].from)
        scales++;
    double units = value / scales->size;
    int digits = units < 9.95 && scales->size > 1 ? 1 : 0;
    snprintf(ret_text, FIGURE_MAX, "%.*f%s", digits, units, scales->unit);
    return ret_text;
}

/* From what would be rounded to 1000 on, the next unit. */
#define SCALE(size, unit)                                                                                    \
    { 999.5 / 1000 * (size), size, unit }
#define BYTES(size, unit)                                                                                    \
    { 999.5 / 1024 * (size), size, unit }

static const char *count(double value, char ret_text[FIGURE_MAX]) {
    static const struct scale scales[] = {{0, 1, ""},      {99999.5, 1e3, "k"}, SCALE(1e6, "M"),
                                          SCALE(1e9, "G"), SCALE(1e12, "T"),    SCALE(1e15, "P"),
                                          {0, 0, NULL}};
    return scaled(scales, value, ret_text);
}

static const char *bytes(double value, char ret_text[FIGURE_MAX]) {
    static const struct scale scales[] = {{0, 1, ""},
                                          {1023.5, 1024., "k"},
                                          BYTES(1048576., "M"),
                                          BYTES(1073741824., "G"),
                                          BYTES(1099511627776., "T"),
                                          BYTES(1125899906842624., "P"),
                                          {0, 0, NULL}};
    return scaled(scales, value, ret_text);
}

static const char *duration(double us, char ret_text[FIGURE_MAX]) {
    static const struct scale scales[] = {{0, 1, "us"},
                                          SCALE(1e3, "ms"),
                                          SCALE(1e6, "s"),
                                          {599.5e6, 60e6, "m"},
                                          {599.5 * 60e6, 3600e6, "h"},
                                          {95.5 * 3600e6, 86400e6, "d"},
                                          {0, 0, NULL}};
    return scaled(scales, us, ret_text);
}

/* Rates of what is rare have a digit behind the point. */
static const char *rate(double value, char ret_text[FIGURE_MAX]) {
    if (value == 0 || value >= 9.95)
        return count(value, ret_text);
    snprintf(ret_text, FIGURE_MAX, value < 0.05 ? "<0.1" : "%.1f", value);
    return ret_text;
}

static const char *percent(double value, char ret_text[FIGURE_MAX]) {
    if (value >= 99.95 && value < 100)
        value = 99.9; /* 100 is all */
    snprintf(ret_text, FIGURE_MAX, value >= 100 ? "%.0f" : "%.1f", value);
    return ret_text;
}

const char *figure(enum unit unit, double value, char ret_text[FIGURE_MAX]) {
    if (isnan(value) || unit == UNIT_TEXT)
        return snprintf(ret_text, FIGURE_MAX, "-"), ret_text;
    switch (unit) {
    case UNIT_BYTES:
        return bytes(value, ret_text);
    case UNIT_RATE:
        return rate(value, ret_text);
    case UNIT_PERCENT:
        return percent(value, ret_text);
    case UNIT_US:
        return duration(value, ret_text);
    case UNIT_MS:
        return duration(value * 1000, ret_text);
    default:
        return count(value, ret_text);
    }
}
