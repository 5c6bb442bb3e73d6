/* SPDX-License-Identifier: MIT */
/* Characters that come with what is pasted from a document or a page, and look like one of ASCII: nobody sees them in
 * what is quoted as wrong. Pure; any thread. */
#ifndef FOREBAY_SERVER_CONFIG_LOOKALIKE_H
#define FOREBAY_SERVER_CONFIG_LOOKALIKE_H

#include "cache/base/slice.h"

enum lookalike_kind { LOOKALIKE_SPACE, LOOKALIKE_QUOTE, LOOKALIKE_DASH };

struct lookalike {
    enum lookalike_kind kind;
    const char *bytes;  /* in UTF-8 */
    const char *name;   /* "a no-break space (U+00A0)" */
    const char *remedy; /* "type a space" */
};

/* The first in a text, or NULL. */
const struct lookalike *lookalike_find(struct slice text);

/* Names the first in a message that quotes what is wrong, at its end. */
void lookalike_tell(char *message, size_t size);

#endif
