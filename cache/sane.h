/* SPDX-License-Identifier: MIT */
/* The check that the *_is_sane functions make, in every build: a broken invariant ends the program. */
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
