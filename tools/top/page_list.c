/* SPDX-License-Identifier: MIT */
/* The first page: namespaces, and the backends below them. */
#include "tools/top/canvas.h"
#include <math.h>
#include <string.h>

enum { HEADING_LINES = 2, BACKENDS_MIN_LINES = HEADING_LINES + 2 };

/* ---- What stands out ---- */

/* Of breakers, of coherence, of copies. */
static enum look text_look(const char *state) {
    bool alarm = strcmp(state, "open") == 0 || strcmp(state, "blind") == 0 || strcmp(state, "halted") == 0;
    return alarm ? LOOK_ALARM : strcmp(state, "half-open") == 0 ? LOOK_WARNING : LOOK_PLAIN;
}

static enum look backend_look(const struct column *column, const void *row) {
    if (column->unit == UNIT_TEXT)
        return text_look(table_text(column, row));
    bool trouble = strcmp(column->name, "failures_per_s") == 0 || strcmp(column->name, "masters_away") == 0;
    return trouble && table_value(column, row) > 0 ? LOOK_ALARM : LOOK_PLAIN;
}

static enum look namespace_look(const struct column *column, const void *row) {
    const struct namespace_row *space = row;
    if (strcmp(column->name, "quarantine") == 0 && space->quarantine > 0)
        return LOOK_ALARM;
    if (strcmp(column->name, "copy_state") == 0)
        return text_look(space->copy);
    bool dirty = strncmp(column->name, "dirty", 5) == 0;
    return dirty && space->full > 0 ? LOOK_ALARM : LOOK_PLAIN;
}

/* ---- How the lines are shared ---- */

/* Backends get what they need, up to a third of the lines; none where that is too little for the headings and two. */
static int backend_lines(const struct picture *picture, int lines) {
    int wanted = picture->backend_count > 0 ? HEADING_LINES + (int)picture->backend_count : 0,
        most = lines / 3;
    if (wanted > most)
        wanted = most;
    return picture->backend_count == 1 && lines / 3 >= HEADING_LINES + 1 ? HEADING_LINES + 1
           : wanted >= BACKENDS_MIN_LINES                                ? wanted
                                                                         : 0;
}

int page_list_rows(const struct picture *picture, int lines) {
    int rows = lines - HEADING_LINES - backend_lines(picture, lines);
    return rows > 0 ? rows : 0;
}

/* ---- Drawing ---- */

static void draw_namespaces(struct canvas *canvas, struct view *view, const struct picture *picture,
                            size_t rows) {
    int name_width = table_fit(&namespaces_table, canvas->width, picture->namespaces,
                               picture->namespace_count, view->shown);
    size_t selected = view_selected(view, picture),
           end = view->top + rows < view->count ? view->top + rows : view->count;
    if (view->count > rows)
        canvas_print(canvas, LOOK_FAINT, "%zu-%zu of %zu", view->top + 1, end, view->count);
    canvas_headings(canvas, &namespaces_table, view->shown, name_width, view->sort, view->descending);
    for (size_t i = view->top; i < end; i++) {
        canvas->bar = i == selected;
        canvas_row(canvas, &namespaces_table, view->shown, name_width, &picture->namespaces[view->order[i]],
                   namespace_look);
    }
}

static void draw_backends(struct canvas *canvas, const struct picture *picture, int lines) {
    bool shown[COLUMNS_MAX];
    int name_width =
        table_fit(&backends_table, canvas->width, picture->backends, picture->backend_count, shown);
    size_t rows = (size_t)(lines - HEADING_LINES);
    canvas_headings(canvas, &backends_table, shown, name_width, COLUMNS_MAX, false);
    for (size_t i = 0; i < picture->backend_count && i < rows; i++) {
        if (i == rows - 1 && picture->backend_count > rows)
            canvas_print(canvas, LOOK_FAINT, "... and %zu more", picture->backend_count - i);
        else
            canvas_row(canvas, &backends_table, shown, name_width, &picture->backends[i], backend_look);
    }
}

void page_list(struct canvas *canvas, const struct scene *scene, int line, int lines) {
    int below = backend_lines(scene->picture, lines), rows = page_list_rows(scene->picture, lines);
    canvas_go(canvas, line);
    draw_namespaces(canvas, scene->view, scene->picture, (size_t)rows);
    if (below > 0) {
        int used = (int)scene->view->count < rows ? (int)scene->view->count : rows;
        canvas_go(canvas, line + HEADING_LINES + used + (used < rows ? 1 : 0));
        draw_backends(canvas, scene->picture, below);
    }
}
