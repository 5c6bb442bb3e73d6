/* SPDX-License-Identifier: MIT */
/* See parser_line.h. */
#include "server/protocol/parser_line.h"

void line_cut(struct line *line) {
    line->count = 0;
    const char *at = skip_blanks(line->start, line->end);
    while (at < line->end && line->count < LINE_WORDS_MAX) {
        const char *stop = find_blank(at, line->end);
        line->words[line->count++] = slice_of(at, (size_t)(stop - at));
        at = skip_blanks(stop, line->end);
    }
}

bool line_ends_with_noreply(const struct line *line) {
    return line->count > 0 && slice_equal(line->words[line->count - 1], SLICE("noreply"));
}
