/* SPDX-License-Identifier: MIT */
/*
 * What the screen shows of a picture, and what each key makes of it. Pure: neither a terminal nor a server.
 *
 *     LIST --enter--> DETAIL --back--> LIST        any --help--> HELP --any key--> where it was
 *
 * The row under the bar is known by its name, so that it stays the same one when the order changes. Sorted descending,
 * a table begins with the busiest; by name, ascending: the way in which a column is first sorted.
 */
#ifndef FOREBAY_TOOLS_TOP_VIEW_H
#define FOREBAY_TOOLS_TOP_VIEW_H

#include "tools/top/table.h"

enum view_page { VIEW_LIST, VIEW_DETAIL, VIEW_HELP };

enum view_key {
    VIEW_KEY_NONE, /* one without a meaning: ends the help */
    VIEW_KEY_UP,
    VIEW_KEY_DOWN,
    VIEW_KEY_PAGE_UP,
    VIEW_KEY_PAGE_DOWN,
    VIEW_KEY_FIRST,
    VIEW_KEY_LAST,
    VIEW_KEY_ENTER,
    VIEW_KEY_BACK,
    VIEW_KEY_SORT_LEFT,
    VIEW_KEY_SORT_RIGHT,
    VIEW_KEY_REVERSE,
    VIEW_KEY_PAUSE,
    VIEW_KEY_FASTER,
    VIEW_KEY_SLOWER,
    VIEW_KEY_HELP,
    VIEW_KEY_QUIT
};

enum { VIEW_INTERVAL_MIN_MS = 100, VIEW_INTERVAL_MAX_MS = 3600 * 1000 };

struct view {
    enum view_page page, behind_help;
    size_t sort; /* a column of namespaces_table */
    bool descending;
    bool shown[COLUMNS_MAX]; /* the columns that there is room for: one sorts by these; filled by table_fit */
    char selected[SAMPLE_NAME_MAX];
    size_t order[SAMPLE_OWNERS_MAX]; /* the namespaces of the picture as they are shown */
    size_t count;                    /* of them */
    size_t top;                      /* the first that is seen */
    bool paused, done;
    uint64_t interval_ms;
};

/* Sorted by operations. */
void view_init(struct view *view, uint64_t interval_ms);

/* A new picture, another order or another size: what is selected is found again, or the nearest one, and lies within
 * the rows that are seen. visible: how many rows there is room for. Before each drawing. */
void view_arrange(struct view *view, const struct picture *picture, size_t visible);

/* The place of what is selected among the rows of the last arrangement; 0 where there are none. */
size_t view_selected(const struct view *view, const struct picture *picture);

/* The picture may be NULL as long as there is none. */
void view_press(struct view *view, enum view_key key, const struct picture *picture, size_t visible);

#endif
