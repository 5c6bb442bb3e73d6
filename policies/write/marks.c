/* SPDX-License-Identifier: MIT */
/* See marks.h. */
#include "policies/write/marks.h"
#include <string.h>

/* The last one is as of now, whatever its distance; the one before it has to be far enough from its own. */
static void add(struct marks *marks, uint64_t version, uint64_t mark, uint64_t spacing_us) {
    size_t count = marks->count;
    if (count >= 2 && marks->list[count - 1].mark < marks->list[count - 2].mark + spacing_us)
        count--;
    if (count == MARKS_MAX) {
        memmove(marks->list, marks->list + 1, sizeof marks->list - sizeof *marks->list);
        count--;
    }
    marks->list[count].version = version;
    marks->list[count].mark = mark;
    marks->count = count + 1;
}

void marks_note(struct marks *marks, uint64_t version, uint64_t mark, uint64_t spacing_us) {
    if (marks->count && marks->list[marks->count - 1].mark == mark)
        marks->list[marks->count - 1].version = version; /* nothing was written since */
    else if (marks->count == 0 || marks->list[marks->count - 1].mark < mark)
        add(marks, version, mark, spacing_us);
}

uint64_t marks_find(const struct marks *marks, uint64_t mark) {
    uint64_t version = 0;
    for (size_t i = 0; i < marks->count && marks->list[i].mark <= mark; i++)
        version = marks->list[i].version;
    return version;
}

void marks_go_back(struct marks *marks, uint64_t mark) {
    while (marks->count && marks->list[marks->count - 1].mark > mark)
        marks->count--;
}
