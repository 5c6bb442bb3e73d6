/* SPDX-License-Identifier: MIT */
/* The text of a configuration file before libconfuse sees it. */
#ifndef FOREBAY_SERVER_CONFIG_SCAN_H
#define FOREBAY_SERVER_CONFIG_SCAN_H

#include "cache/base/slice.h"

enum { CONFIG_SECTIONS_MAX = 256 };

struct config_scan {
    struct {
        struct slice kind; /* the word before the title */
        int line;
    } sections[CONFIG_SECTIONS_MAX]; /* in the order of the file */
    size_t section_count;
    char why[160]; /* the text of an error that names something */
};

/* Blanks comments in place, keeping every newline, because libconfuse counts the lines of comments twice;
 * notes where sections open; finds what is never closed, variables that libconfuse would take for empty ones, and what
 * only looks like a space or a quote. False with the line and what is wrong, which lives as long as ret_scan. */
bool config_scan(char *text, size_t size, struct config_scan *ret_scan, int *ret_line,
                 const char **ret_error);

#endif
