/* SPDX-License-Identifier: MIT */
/* See table.h. */
#include "tools/top/table.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SPACE(member)   offsetof(struct namespace_row, member)
#define BACKEND(member) offsetof(struct backend_row, member)

/* A column that is left out where no row has anything in it; its rank is the rest. */
enum { SPARE = 100 };

/* clang-format off */
static const struct column namespace_columns[] = {
    {"namespace",       "",       "NAMESPACE", UNIT_TEXT,    9, 0,  SPACE(name)},
    {"policy",          "",       "POLICY",    UNIT_TEXT,   13, 14, SPACE(policy)},
    {"entries",         "memory", "COUNT",     UNIT_COUNT,   5, 4,  SPACE(entries)},
    {"bytes",           "memory", "BYTES",     UNIT_BYTES,   5, 5,  SPACE(bytes)},
    {"ops_per_s",       "",       "OPS/S",     UNIT_RATE,    5, 0,  SPACE(operations)},
    {"hit_percent",     "",       "HIT%",      UNIT_PERCENT, 5, 1,  SPACE(hit_ratio)},
    {"hit_p50_us",      "hit",    "P50",       UNIT_US,      5, 11, SPACE(hit.p50_us)},
    {"hit_p99_us",      "hit",    "P99",       UNIT_US,      5, 6,  SPACE(hit.p99_us)},
    {"load_p50_us",     "load",   "P50",       UNIT_US,      5, 13, SPACE(load.p50_us)},
    {"load_p99_us",     "load",   "P99",       UNIT_US,      5, 8,  SPACE(load.p99_us)},
    {"write_p50_us",    "write",  "P50",       UNIT_US,      5, 12, SPACE(write.p50_us)},
    {"write_p99_us",    "write",  "P99",       UNIT_US,      5, 7,  SPACE(write.p99_us)},
    {"dirty_entries",   "dirty",  "COUNT",     UNIT_COUNT,   5, 3,  SPACE(dirty_entries)},
    {"dirty_bytes",     "dirty",  "BYTES",     UNIT_BYTES,   5, 9,  SPACE(dirty_bytes)},
    {"oldest_dirty_ms", "dirty",  "AGE",       UNIT_MS,      5, 2,  SPACE(oldest_dirty_ms)},
    {"quarantine",      "",       "QUAR",      UNIT_COUNT,   5, 2,  SPACE(quarantine)},
    {"copy_state",      "copy",   "STATE",     UNIT_TEXT,    8, SPARE + 8, SPACE(copy)},
    {"copy_percent",    "copy",   "%",         UNIT_PERCENT, 5, SPARE + 9, SPACE(copy_percent)},
};

static const struct column backend_columns[] = {
    {"backend",         "",       "BACKEND",   UNIT_TEXT,    9, 0,  BACKEND(name)},
    {"kind",            "",       "KIND",      UNIT_TEXT,    6, 7,  BACKEND(kind)},
    {"read_breaker",    "breaker", "READS",    UNIT_TEXT,    9, 1,  BACKEND(reads)},
    {"write_breaker",   "breaker", "WRITES",   UNIT_TEXT,    9, 0,  BACKEND(writes)},
    {"calls_per_s",     "calls",  "/S",        UNIT_RATE,    5, 3,  BACKEND(calls)},
    {"failures_per_s",  "calls",  "ERR/S",     UNIT_RATE,    5, 2,  BACKEND(failures)},
    {"failures",        "calls",  "ERRS",      UNIT_COUNT,   5, 6,  BACKEND(failed)},
    {"load_p50_us",     "load",   "P50",       UNIT_US,      5, 11, BACKEND(load.p50_us)},
    {"load_p99_us",     "load",   "P99",       UNIT_US,      5, 5,  BACKEND(load.p99_us)},
    {"loads_waiting",   "load",   "WAIT",      UNIT_COUNT,   5, 8,  BACKEND(waiting)},
    {"apply_p50_us",    "apply",  "P50",       UNIT_US,      5, 10, BACKEND(apply.p50_us)},
    {"apply_p99_us",    "apply",  "P99",       UNIT_US,      5, 4,  BACKEND(apply.p99_us)},
    {"dirty_entries",   "",       "DIRTY",     UNIT_COUNT,   5, 9,  BACKEND(dirty_entries)},
    {"lag_ms",          "",       "LAG",       UNIT_MS,      5, 1,  BACKEND(lag_ms)},
    {"coherent",        "",       "COHER",     UNIT_TEXT,    5, SPARE + 2, BACKEND(coherent)},
    {"masters",         "masters", "COUNT",    UNIT_COUNT,   5, SPARE + 8, BACKEND(masters)},
    {"masters_away",    "masters", "AWAY",     UNIT_COUNT,   5, SPARE + 3, BACKEND(masters_away)},
    {"other_nodes",     "",       "PEERS",     UNIT_COUNT,   5, SPARE + 9, BACKEND(other_nodes)},
};
/* clang-format on */

#define COUNT(array) (sizeof(array) / sizeof *(array))

_Static_assert(COUNT(namespace_columns) <= COLUMNS_MAX && COUNT(backend_columns) <= COLUMNS_MAX,
               "room for all");

const struct table namespaces_table = {namespace_columns, COUNT(namespace_columns),
                                       sizeof(struct namespace_row)};
const struct table backends_table = {backend_columns, COUNT(backend_columns), sizeof(struct backend_row)};

double table_value(const struct column *column, const void *row) {
    double value;
    memcpy(&value, (const char *)row + column->offset, sizeof value);
    return value;
}

const char *table_text(const struct column *column, const void *row) {
    return (const char *)row + column->offset;
}

const char *table_cell(const struct column *column, const void *row, char ret_text[FIGURE_MAX]) {
    if (column->unit != UNIT_TEXT)
        return figure(column->unit, table_value(column, row), ret_text);
    const char *text = table_text(column, row);
    return *text ? text : "-";
}

/* ---- Fitting ---- */

enum { NAME_WIDTH_MAX = 40 }; /* so that figures stay near the name on a wide terminal */

static int total_width(const struct table *table, const bool *shown) {
    int width = 0;
    for (size_t i = 0; i < table->column_count; i++)
        width += shown[i] ? table->columns[i].width + 1 : 0;
    return width - 1;
}

/* The index of the column that matters least of those that are shown; 0: all that are left stay. */
static size_t least(const struct table *table, const bool *shown) {
    size_t found = 0;
    for (size_t i = 1; i < table->column_count; i++)
        if (shown[i] && table->columns[i].rank % SPARE > table->columns[found].rank % SPARE)
            found = i;
    return found;
}

static bool has_any(const struct table *table, const struct column *column, const void *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const char *row = (const char *)rows + i * table->row_size;
        if (column->unit == UNIT_TEXT ? *table_text(column, row) != '\0' : table_value(column, row) > 0)
            return true;
    }
    return false;
}

int table_fit(const struct table *table, int width, const void *rows, size_t count,
              bool ret_shown[COLUMNS_MAX]) {
    size_t dropped;
    for (size_t i = 0; i < table->column_count; i++)
        ret_shown[i] = table->columns[i].rank < SPARE || has_any(table, &table->columns[i], rows, count);
    while (total_width(table, ret_shown) > width && (dropped = least(table, ret_shown)) > 0)
        ret_shown[dropped] = false;
    int name = table->columns[0].width + width - total_width(table, ret_shown);
    return name < table->columns[0].width ? table->columns[0].width
           : name > NAME_WIDTH_MAX        ? NAME_WIDTH_MAX
                                          : name;
}

/* ---- Sorting ---- */

struct order {
    const struct table *table;
    const struct column *column;
    const char *rows;
    bool descending;
};

static int compare_values(double a, double b, bool descending) {
    if (isnan(a) || isnan(b))
        return isnan(a) - isnan(b);
    int sign = (a > b) - (a < b);
    return descending ? -sign : sign;
}

static int compare(const void *a, const void *b, void *context) {
    const struct order *order = context;
    size_t i = *(const size_t *)a, k = *(const size_t *)b;
    const char *first = order->rows + i * order->table->row_size,
               *second = order->rows + k * order->table->row_size;
    int sign;
    if (order->column->unit == UNIT_TEXT) {
        sign = strcmp(table_text(order->column, first), table_text(order->column, second));
        sign = order->descending ? -sign : sign;
    } else {
        sign = compare_values(table_value(order->column, first), table_value(order->column, second),
                              order->descending);
    }
    return sign != 0 ? sign : (i > k) - (i < k);
}

void table_sort(const struct table *table, const void *rows, size_t count, size_t column, bool descending,
                size_t *ret_order) {
    struct order order = {table, &table->columns[column], rows, descending};
    for (size_t i = 0; i < count; i++)
        ret_order[i] = i;
    qsort_r(ret_order, count, sizeof *ret_order, compare, &order);
}
