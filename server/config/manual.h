/* SPDX-License-Identifier: MIT */
/*
 * What the program says of itself: `--help`, and the tables of docs/operating.md and of the manual pages. Names,
 * defaults, bounds and descriptions come from the tables by which options and settings are read, so that none of them
 * can drift.
 *
 * tools/manual writes the tables of the documents, the build those of the pages (docs/man); both ask the program for
 * FORM:TABLE, which people have no use for.
 */
#ifndef FOREBAY_SERVER_CONFIG_MANUAL_H
#define FOREBAY_SERVER_CONFIG_MANUAL_H

#include <stdbool.h>
#include <stdio.h>

/* What people may ask for. */
#define MANUAL_OPTIONS  "options"
#define MANUAL_SETTINGS "settings"

/* Whether there is such a topic: one of these, or FORM:TABLE. */
bool manual_has(const char *topic);

/* Prints a topic that there is. */
void manual_print(const char *topic, FILE *out);

#endif
