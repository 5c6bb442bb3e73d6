/* SPDX-License-Identifier: MIT */
/* What the keys do, and what the columns mean. */
#include "tools/top/canvas.h"

void page_help(struct canvas *canvas, int line) {
    static const char *const lines[] = {
        "up down PgUp PgDn Home End   choose a namespace (also k j g G)",
        "Enter                        everything about it",
        "Esc Backspace                back (also b)",
        "left right                   sort by another column (also < >)",
        "r                            the other way round",
        "p Space                      pause, and go on",
        "+ -                          ask more often, less often",
        "h ?                          this page; any key leaves it",
        "q                            quit",
        "",
        "Rates, HIT% and times are those of the last interval; \"-\": nothing to tell.",
        "hit     reads that memory answered alone, misses included",
        "load    reads that waited for the backend",
        "write   changes; P50 P99: half of them, 99 % took at most so long",
        "dirty   not yet in the backend; AGE of the oldest; QUAR: refused for good",
        "breaker open: the backend is not asked, because its calls failed",
        "LAG     age of the oldest change that the backend does not have",
        "COHER   whether changes by others are heard; masters: of a cluster; PEERS: servers",
    };
    canvas_go(canvas, line);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        canvas_print(canvas, LOOK_PLAIN, "%s", lines[i]);
        canvas_end_line(canvas);
    }
}
