/* SPDX-License-Identifier: MIT */
/* See view.h. */
#include "tools/top/view.h"
#include <string.h>

/* A column is sorted first as one wants to see it. */
static void sort_by(struct view *view, size_t column) {
    view->sort = column;
    view->descending = namespaces_table.columns[column].unit != UNIT_TEXT;
}

void view_init(struct view *view, uint64_t interval_ms) {
    *view = (struct view){.interval_ms = interval_ms};
    for (size_t i = 0; i < namespaces_table.column_count; i++) {
        view->shown[i] = true;
        if (strcmp(namespaces_table.columns[i].name, "ops_per_s") == 0)
            sort_by(view, i);
    }
}

/* ---- Where the bar is ---- */

size_t view_selected(const struct view *view, const struct picture *picture) {
    for (size_t i = 0; i < view->count; i++)
        if (strcmp(picture->namespaces[view->order[i]].name, view->selected) == 0)
            return i;
    return 0;
}

static void select_row(struct view *view, const struct picture *picture, size_t row) {
    if (view->count > 0)
        memcpy(view->selected,
               picture->namespaces[view->order[row < view->count ? row : view->count - 1]].name,
               sizeof view->selected);
}

void view_arrange(struct view *view, const struct picture *picture, size_t visible) {
    view->count = picture->namespace_count;
    table_sort(&namespaces_table, picture->namespaces, view->count, view->sort, view->descending,
               view->order);
    size_t row = view_selected(view, picture);
    select_row(view, picture, row);
    if (visible == 0)
        visible = 1;
    if (row >= view->top + visible)
        view->top = row - visible + 1;
    if (view->count <= view->top + visible) /* no empty rows below, where there are some above */
        view->top = view->count > visible ? view->count - visible : 0;
    if (row < view->top)
        view->top = row;
}

static void move(struct view *view, const struct picture *picture, enum view_key key, size_t visible) {
    size_t row = view_selected(view, picture), page = visible > 1 ? visible - 1 : 1;
    size_t back = key == VIEW_KEY_UP ? 1 : key == VIEW_KEY_PAGE_UP ? page : key == VIEW_KEY_FIRST ? row : 0;
    if (key == VIEW_KEY_DOWN)
        row++;
    else if (key == VIEW_KEY_PAGE_DOWN)
        row += page;
    else if (key == VIEW_KEY_LAST)
        row = SAMPLE_OWNERS_MAX;
    select_row(view, picture, row > back ? row - back : 0);
}

/* ---- Keys ---- */

static void change_interval(struct view *view, bool slower) {
    static const uint64_t steps_ms[] = {
        VIEW_INTERVAL_MIN_MS, 200, 500, 1000, 2000, 5000, 10000, 30000, 60000};
    const size_t count = sizeof steps_ms / sizeof *steps_ms;
    size_t i = 0;
    if (slower) {
        while (i < count - 1 && steps_ms[i] <= view->interval_ms)
            i++;
        view->interval_ms = steps_ms[i] > view->interval_ms ? steps_ms[i] : view->interval_ms;
        return;
    }
    for (i = count - 1; i > 0 && steps_ms[i] >= view->interval_ms;)
        i--;
    view->interval_ms = steps_ms[i] < view->interval_ms ? steps_ms[i] : view->interval_ms;
}

static void press_anywhere(struct view *view, enum view_key key) {
    switch (key) {
    case VIEW_KEY_QUIT:
        view->done = true;
        break;
    case VIEW_KEY_HELP:
        view->behind_help = view->page;
        view->page = VIEW_HELP;
        break;
    case VIEW_KEY_BACK:
        view->page = VIEW_LIST;
        break;
    case VIEW_KEY_PAUSE:
        view->paused = !view->paused;
        break;
    case VIEW_KEY_FASTER:
    case VIEW_KEY_SLOWER:
        change_interval(view, key == VIEW_KEY_SLOWER);
        break;
    default:
        break;
    }
}

/* The next column that is seen; the first always is. */
static void sort_beside(struct view *view, size_t step) {
    size_t column = view->sort;
    do
        column = (column + step) % namespaces_table.column_count;
    while (!view->shown[column]);
    sort_by(view, column);
}

static bool press_sort(struct view *view, enum view_key key) {
    if (key == VIEW_KEY_SORT_LEFT)
        sort_beside(view, namespaces_table.column_count - 1);
    else if (key == VIEW_KEY_SORT_RIGHT)
        sort_beside(view, 1);
    else if (key == VIEW_KEY_REVERSE)
        view->descending = !view->descending;
    else
        return false;
    return true;
}

void view_press(struct view *view, enum view_key key, const struct picture *picture, size_t visible) {
    if (view->page == VIEW_HELP && key != VIEW_KEY_QUIT) {
        view->page = view->behind_help;
        return;
    }
    if (view->page == VIEW_LIST && press_sort(view, key)) {
        if (picture)
            view_arrange(view, picture, visible);
    } else if (picture && key >= VIEW_KEY_UP && key <= VIEW_KEY_LAST) {
        move(view, picture, key, visible);
        view_arrange(view, picture, visible);
    } else if (picture && picture->namespace_count > 0 && key == VIEW_KEY_ENTER) {
        view->page = VIEW_DETAIL;
    } else {
        press_anywhere(view, key);
    }
}
