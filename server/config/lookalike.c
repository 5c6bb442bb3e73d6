/* SPDX-License-Identifier: MIT */
#include "server/config/lookalike.h"
#include "cache/base/fit.h"
#include <string.h>

#define SPACE(bytes, name)                                                                                   \
    { LOOKALIKE_SPACE, bytes, name, "type a space, or nothing" }
#define SINGLE(bytes, name)                                                                                  \
    { LOOKALIKE_QUOTE, bytes, name, "type '" }
#define DOUBLE(bytes, name)                                                                                  \
    { LOOKALIKE_QUOTE, bytes, name, "type \"" }
#define DASH(bytes, name)                                                                                    \
    { LOOKALIKE_DASH, bytes, name, "type -" }

static const struct lookalike lookalikes[] = {
    SPACE("\xc2\xa0", "a no-break space (U+00A0)"),
    SPACE("\xe2\x80\x82", "an en space (U+2002)"),
    SPACE("\xe2\x80\x83", "an em space (U+2003)"),
    SPACE("\xe2\x80\x87", "a figure space (U+2007)"),
    SPACE("\xe2\x80\x89", "a thin space (U+2009)"),
    SPACE("\xe2\x80\x8b", "a zero width space (U+200B)"),
    SPACE("\xe2\x80\xaf", "a narrow no-break space (U+202F)"),
    SPACE("\xe2\x81\xa0", "a word joiner (U+2060)"),
    SPACE("\xe3\x80\x80", "an ideographic space (U+3000)"),
    SPACE("\xef\xbb\xbf", "a byte order mark (U+FEFF)"),
    SINGLE("\xe2\x80\x98", "a typographic quote (U+2018)"),
    SINGLE("\xe2\x80\x99", "a typographic quote (U+2019)"),
    SINGLE("\xe2\x80\x9a", "a typographic quote (U+201A)"),
    DOUBLE("\xe2\x80\x9c", "a typographic quote (U+201C)"),
    DOUBLE("\xe2\x80\x9d", "a typographic quote (U+201D)"),
    DOUBLE("\xe2\x80\x9e", "a typographic quote (U+201E)"),
    DOUBLE("\xc2\xab", "a typographic quote (U+00AB)"),
    DOUBLE("\xc2\xbb", "a typographic quote (U+00BB)"),
    {LOOKALIKE_DASH, "\xc2\xad", "a soft hyphen (U+00AD)", "remove it, or type -"},
    DASH("\xe2\x80\x90", "a typographic hyphen (U+2010)"),
    DASH("\xe2\x80\x91", "a no-break hyphen (U+2011)"),
    DASH("\xe2\x80\x92", "a figure dash (U+2012)"),
    DASH("\xe2\x80\x93", "an en dash (U+2013)"),
    DASH("\xe2\x80\x94", "an em dash (U+2014)"),
    DASH("\xe2\x88\x92", "a minus sign (U+2212)"),
};

static const struct lookalike *begins_with(struct slice text) {
    for (size_t i = 0; i < sizeof lookalikes / sizeof *lookalikes; i++) {
        size_t size = strlen(lookalikes[i].bytes);
        if (text.size >= size && memcmp(text.data, lookalikes[i].bytes, size) == 0)
            return &lookalikes[i];
    }
    return NULL;
}

const struct lookalike *lookalike_find(struct slice text) {
    const struct lookalike *found = NULL;
    for (size_t at = 0; at < text.size && !found; at++)
        if ((unsigned char)text.data[at] >= 0x80)
            found = begins_with(slice_of(text.data + at, text.size - at));
    return found;
}

void lookalike_tell(char *message, size_t size) {
    const struct lookalike *found = lookalike_find(slice_string(message));
    if (found)
        fit_print(message, size, "%s; there is %s in it: %s", message, found->name, found->remedy);
}
