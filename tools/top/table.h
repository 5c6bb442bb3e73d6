/* SPDX-License-Identifier: MIT */
/*
 * The columns of namespaces and of backends: what each is called on the screen and in what scripts read, how it is
 * written, and how much it matters where there is no room for all. A row is a struct of model.h. Pure.
 */
#ifndef FOREBAY_TOOLS_TOP_TABLE_H
#define FOREBAY_TOOLS_TOP_TABLE_H

#include "tools/top/figures.h"
#include "tools/top/model.h"
#include <stdbool.h>
#include <stddef.h>

struct column {
    const char *name;            /* for scripts: a word, with its unit */
    const char *group, *heading; /* for people, above each other */
    enum unit unit;
    int width;
    int rank; /* the highest goes first where there is no room; 0 stays; from SPARE (table.c) on: see there */
    size_t offset; /* of the double, or of the text, in the row */
};

enum { COLUMNS_MAX = 20 };

struct table {
    const struct column *columns; /* the first one is the name, which takes what room is left */
    size_t column_count;          /* at most COLUMNS_MAX */
    size_t row_size;
};

extern const struct table namespaces_table, backends_table;

double table_value(const struct column *column, const void *row);
const char *table_text(const struct column *column, const void *row); /* of UNIT_TEXT */

/* The text of a cell for people. Returns the column's own text, or ret_text. */
const char *table_cell(const struct column *column, const void *row, char ret_text[FIGURE_MAX]);

/* Which columns of these rows fit into so many characters, with a space between them; returns the width that is left
 * for the name, up to 40. Of what few servers have (copies, clusters) there are columns only where a row has some. */
int table_fit(const struct table *table, int width, const void *rows, size_t count,
              bool ret_shown[COLUMNS_MAX]);

/* The order of rows by a column: ret_order[0] is the index of the first. What has no value is last; what is equal stays
 * in the server's order. */
void table_sort(const struct table *table, const void *rows, size_t count, size_t column, bool descending,
                size_t *ret_order);

#endif
