/* SPDX-License-Identifier: MIT */
/* The check of the *_is_sane functions: it is made in every build, and ends the program at a broken
 * invariant. */
#ifndef FOREBAY_CACHE_SANE_H
#define FOREBAY_CACHE_SANE_H

#include <stdio.h>
#include <stdlib.h>

#define SANE(condition)                                                                                      \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: broken invariant: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

#endif
