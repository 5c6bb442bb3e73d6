/* SPDX-License-Identifier: MIT */
/* See canvas.h. */
#include "tools/top/canvas.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- Text ---- */

static int attributes(const struct canvas *canvas, enum look look) {
    static const chtype plain[LOOKS] = {
        [LOOK_HEADING] = A_BOLD, [LOOK_SORTED] = A_BOLD | A_UNDERLINE,
        [LOOK_BAR] = A_REVERSE,  [LOOK_WARNING] = A_BOLD,
        [LOOK_ALARM] = A_BOLD,
    };
    chtype found = plain[canvas->bar ? LOOK_BAR : look];
    if (canvas->colours && !canvas->bar && look != LOOK_PLAIN)
        found |= (chtype)COLOR_PAIR((int)look);
    return (int)found;
}

void canvas_go(struct canvas *canvas, int line) {
    canvas->line = line;
    canvas->column = 0;
    canvas->bar = false;
}

static void put(struct canvas *canvas, enum look look, const char *text, int length) {
    int left = canvas->width - canvas->column;
    if (canvas->line >= canvas->height || left <= 0 || length <= 0)
        return;
    attrset(attributes(canvas, look));
    mvaddnstr(canvas->line, canvas->column, text, length < left ? length : left);
    attrset(A_NORMAL);
    canvas->column += length < left ? length : left;
}

void canvas_print(struct canvas *canvas, enum look look, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    put(canvas, look, text, (int)strlen(text));
}

void canvas_end_line(struct canvas *canvas) {
    if (canvas->bar)
        canvas_print(canvas, LOOK_BAR, "%*s", canvas->width - canvas->column, "");
    canvas_go(canvas, canvas->line + 1);
}

void canvas_figure(struct canvas *canvas, const char *label, enum unit unit, double value, enum look look) {
    char text[FIGURE_MAX];
    figure(unit, value, text);
    if (canvas->column + (int)(strlen(label) + 1 + strlen(text)) > canvas->width)
        return;
    canvas_print(canvas, LOOK_FAINT, "%s ", label);
    canvas_print(canvas, look, "%s", text);
    canvas_print(canvas, LOOK_PLAIN, "  ");
}

/* ---- Tables ---- */

/* Where the mark of the order goes: before the heading, in the space between the columns. */
static void put_mark(struct canvas *canvas, int column, bool descending) {
    const char *mark = canvas->utf8 ? (descending ? "\u25bc" : "\u25b2") : (descending ? "v" : "^");
    if (canvas->line >= canvas->height || column < 0 || column >= canvas->width)
        return;
    attrset(attributes(canvas, LOOK_HEADING));
    mvaddstr(canvas->line, column, mark);
    attrset(A_NORMAL);
}

/* The name of a group once, above its first column that is shown; it may go on above the others. */
static void put_groups(struct canvas *canvas, const struct table *table, const bool *shown, int name_width) {
    const char *last = "";
    int column = name_width;
    for (size_t i = 1; i < table->column_count; i++) {
        const struct column *one = &table->columns[i];
        if (!shown[i])
            continue;
        if (*one->group && strcmp(one->group, last) != 0 && column + one->width + 1 <= canvas->width) {
            int length = (int)strlen(one->group), room = one->width;
            canvas->column = column + 1 + (one->unit == UNIT_TEXT || length > room ? 0 : room - length);
            canvas_print(canvas, LOOK_FAINT, "%s", one->group);
        }
        last = one->group;
        column += one->width + 1;
    }
    canvas_end_line(canvas);
}

static void put_cell(struct canvas *canvas, const struct column *column, int width, enum look look,
                     const char *text) {
    char cell[SAMPLE_NAME_MAX + FIGURE_MAX];
    snprintf(cell, sizeof cell, "%*.*s", column->unit == UNIT_TEXT ? -width : width, width, text);
    put(canvas, look, cell, (int)strlen(cell));
}

void canvas_headings(struct canvas *canvas, const struct table *table, const bool *shown, int name_width,
                     size_t sorted, bool descending) {
    put_groups(canvas, table, shown, name_width);
    for (size_t i = 0; i < table->column_count; i++) {
        const struct column *column = &table->columns[i];
        int width = i == 0 ? name_width : column->width;
        if (!shown[i])
            continue;
        if (i > 0)
            canvas_print(canvas, LOOK_PLAIN, " ");
        int before = canvas->column;
        put_cell(canvas, column, width, i == sorted ? LOOK_SORTED : LOOK_HEADING, column->heading);
        bool left = column->unit == UNIT_TEXT;
        int length = (int)strlen(column->heading);
        if (i == sorted)
            put_mark(canvas, left ? before + length : before + width - length - 1, descending);
    }
    canvas_end_line(canvas);
}

void canvas_row(struct canvas *canvas, const struct table *table, const bool *shown, int name_width,
                const void *row, enum look (*look)(const struct column *column, const void *row)) {
    char text[FIGURE_MAX];
    for (size_t i = 0; i < table->column_count; i++) {
        const struct column *column = &table->columns[i];
        if (!shown[i])
            continue;
        if (i > 0)
            canvas_print(canvas, LOOK_PLAIN, " ");
        put_cell(canvas, column, i == 0 ? name_width : column->width, look(column, row),
                 table_cell(column, row, text));
    }
    canvas_end_line(canvas);
}
