/* SPDX-License-Identifier: MIT */
/* A picture as text for scripts, and for people without a terminal: exact numbers, units in the names. */
#ifndef FOREBAY_TOOLS_TOP_PRINT_H
#define FOREBAY_TOOLS_TOP_PRINT_H

#include "tools/top/model.h"
#include <stdio.h>

/* Tables with a line of names each, columns separated by spaces, an empty line between them; "-" is what is not known
 * or does not exist. */
void print_text(FILE *out, const struct picture *picture);

/* One object: "process", "journal", "namespaces", "backends"; null is what is not known or does not exist. */
void print_json(FILE *out, const struct picture *picture);

#endif
