/* SPDX-License-Identifier: MIT */
/*
 * Writing on the terminal line by line: what the pages are drawn with. Whatever does not fit into the width is cut, and
 * lines below the last are not drawn. Includes curses, so that only the files that draw know it.
 */
#ifndef FOREBAY_TOOLS_TOP_CANVAS_H
#define FOREBAY_TOOLS_TOP_CANVAS_H

#define NCURSES_WIDECHAR 1
#include "tools/top/screen.h"
#include <ncurses.h>

/* How a text looks; a terminal without colours has bold and reverse. */
enum look {
    LOOK_PLAIN,
    LOOK_FAINT,
    LOOK_HEADING,
    LOOK_SORTED,
    LOOK_BAR,
    LOOK_GOOD,
    LOOK_WARNING,
    LOOK_ALARM,
    LOOKS
};

struct canvas {
    bool colours, utf8;
    int width, height;
    int line, column; /* where the next text goes */
    bool bar;         /* this line is the selected one: everything on it has LOOK_BAR */
};

/* From here on, at the beginning of this line. */
void canvas_go(struct canvas *canvas, int line);

/* The same below; what is left of the line that ends is blank, or the bar. */
void canvas_end_line(struct canvas *canvas);

__attribute__((format(printf, 3, 4))) void canvas_print(struct canvas *canvas, enum look look,
                                                        const char *format, ...);

/* A label and its figure: "label 12.3k  "; nothing where it would be cut, as half a number is a wrong one. */
void canvas_figure(struct canvas *canvas, const char *label, enum unit unit, double value, enum look look);

/* The line of headings (two, if there are groups), and a row. What shown says is shown. sorted: the column that is
 * marked, or COLUMNS_MAX. */
void canvas_headings(struct canvas *canvas, const struct table *table, const bool *shown, int name_width,
                     size_t sorted, bool descending);
void canvas_row(struct canvas *canvas, const struct table *table, const bool *shown, int name_width,
                const void *row, enum look (*look)(const struct column *column, const void *row));

/* Pages. */
void page_list(struct canvas *canvas, const struct scene *scene, int line, int lines);
void page_detail(struct canvas *canvas, const struct picture *picture, const struct namespace_row *row,
                 int line);
void page_help(struct canvas *canvas, int line);

/* So many of the lines of the list page are for namespaces. */
int page_list_rows(const struct picture *picture, int lines);

#endif
