/* SPDX-License-Identifier: MIT */
/*
 * See print.h. Whole numbers are written as they are, others with three digits behind the point.
 */
#include "tools/top/print.h"
#include "tools/top/table.h"
#include <math.h>
#include <string.h>

struct field {
    const char *name;
    double value;
};

enum { FIELDS_MAX = 20, NUMBER_MAX = 32 };

static size_t process_fields(const struct picture *picture, struct field ret_fields[FIELDS_MAX]) {
    const struct process_figures *process = &picture->process;
    const struct field fields[] = {
        {"interval_s", picture->interval_s},
        {"uptime_s", process->uptime_s},
        {"cpu_percent", process->cpu},
        {"memory_bytes", process->memory},
        {"memory_limit_bytes", process->memory_limit},
        {"connections", process->connections},
        {"connections_limit", process->connections_limit},
        {"requests_per_s", process->requests},
        {"gets_per_s", process->gets},
        {"sets_per_s", process->sets},
        {"hit_percent", process->hit_ratio},
        {"evictions_per_s", process->evictions},
        {"bytes_in_per_s", process->bytes_in},
        {"bytes_out_per_s", process->bytes_out},
        {"turns_per_s", process->turns},
        {"turn_p99_us", process->turn_p99_us},
    };
    _Static_assert(sizeof fields / sizeof *fields <= FIELDS_MAX, "room for all");
    memcpy(ret_fields, fields, sizeof fields);
    return sizeof fields / sizeof *fields;
}

static size_t journal_fields(const struct journal_figures *journal, struct field ret_fields[FIELDS_MAX]) {
    const struct field fields[] = {
        {"files", journal->files},           {"bytes", journal->bytes},
        {"records_per_s", journal->records}, {"written_bytes_per_s", journal->written_bytes},
        {"fsyncs_per_s", journal->fsyncs},   {"fsync_us", journal->fsync_us},
        {"failures", journal->failures},
    };
    _Static_assert(sizeof fields / sizeof *fields <= FIELDS_MAX, "room for all");
    memcpy(ret_fields, fields, sizeof fields);
    return sizeof fields / sizeof *fields;
}

static const char *exact(double value, const char *unknown, char ret_text[NUMBER_MAX]) {
    if (isnan(value))
        return unknown;
    double rounded = value < 1e12 ? round(value * 1000) / 1000 : round(value);
    snprintf(ret_text, NUMBER_MAX, rounded == floor(rounded) ? "%.0f" : "%.3f", rounded);
    return ret_text;
}

/* ---- Text ---- */

static const char *text_cell(const struct column *column, const void *row, char ret_text[NUMBER_MAX]) {
    if (column->unit != UNIT_TEXT)
        return exact(table_value(column, row), "-", ret_text);
    const char *text = table_text(column, row);
    return *text ? text : "-";
}

static int text_width(const struct table *table, const char *rows, size_t count, size_t column) {
    char text[NUMBER_MAX];
    size_t width = strlen(table->columns[column].name);
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(text_cell(&table->columns[column], rows + i * table->row_size, text));
        width = length > width ? length : width;
    }
    return (int)width;
}

/* Words to the left, numbers to the right; nothing behind the last. */
static void pad_cell(FILE *out, const struct table *table, size_t i, int width, const char *cell) {
    bool last = i + 1 == table->column_count;
    fprintf(out, "%*s%s", table->columns[i].unit == UNIT_TEXT ? -width : width, cell, last ? "\n" : " ");
}

static void print_table(FILE *out, const struct table *table, const void *rows, size_t count) {
    char text[NUMBER_MAX];
    int widths[COLUMNS_MAX] = {0};
    for (size_t i = 0; i < table->column_count; i++) {
        widths[i] = text_width(table, rows, count, i);
        pad_cell(out, table, i, widths[i], table->columns[i].name);
    }
    for (size_t row = 0; row < count; row++)
        for (size_t i = 0; i < table->column_count; i++)
            pad_cell(out, table, i, widths[i],
                     text_cell(&table->columns[i], (const char *)rows + row * table->row_size, text));
}

static void print_fields(FILE *out, const char *what, const struct field *fields, size_t count) {
    char text[NUMBER_MAX];
    for (size_t i = 0; i < count; i++)
        fprintf(out, "%s %s %s\n", what, fields[i].name, exact(fields[i].value, "-", text));
}

void print_text(FILE *out, const struct picture *picture) {
    struct field fields[FIELDS_MAX];
    print_table(out, &namespaces_table, picture->namespaces, picture->namespace_count);
    fputc('\n', out);
    if (picture->backend_count > 0) {
        print_table(out, &backends_table, picture->backends, picture->backend_count);
        fputc('\n', out);
    }
    if (!isnan(picture->journal.files)) {
        print_fields(out, "journal", fields, journal_fields(&picture->journal, fields));
        fputc('\n', out);
    }
    fprintf(out, "process version %s\n", *picture->process.version ? picture->process.version : "-");
    print_fields(out, "process", fields, process_fields(picture, fields));
}

/* ---- JSON ---- */

/* Texts are printable ASCII (sample.h). */
static void json_text(FILE *out, const char *text) {
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

static void json_number(FILE *out, double value) {
    char text[NUMBER_MAX];
    fputs(exact(value, "null", text), out);
}

static void json_row(FILE *out, const struct table *table, const void *row) {
    for (size_t i = 0; i < table->column_count; i++) {
        const struct column *column = &table->columns[i];
        fprintf(out, "%s\"%s\": ", i ? ", " : "{", column->name);
        if (column->unit == UNIT_TEXT)
            json_text(out, table_text(column, row));
        else
            json_number(out, table_value(column, row));
    }
    fputc('}', out);
}

static void json_rows(FILE *out, const char *name, const struct table *table, const void *rows,
                      size_t count) {
    fprintf(out, ",\n \"%s\": [", name);
    for (size_t i = 0; i < count; i++) {
        fputs(i ? ",\n  " : "\n  ", out);
        json_row(out, table, (const char *)rows + i * table->row_size);
    }
    fputs("]", out);
}

static void json_fields(FILE *out, const struct field *fields, size_t count) {
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "%s\"%s\": ", i ? ", " : "", fields[i].name);
        json_number(out, fields[i].value);
    }
    fputc('}', out);
}

void print_json(FILE *out, const struct picture *picture) {
    struct field fields[FIELDS_MAX];
    fputs("{\"process\": {\"version\": ", out);
    json_text(out, picture->process.version);
    fputs(", ", out);
    json_fields(out, fields, process_fields(picture, fields));
    fputs(",\n \"journal\": ", out);
    if (isnan(picture->journal.files)) {
        fputs("null", out);
    } else {
        fputs("{", out);
        json_fields(out, fields, journal_fields(&picture->journal, fields));
    }
    json_rows(out, "namespaces", &namespaces_table, picture->namespaces, picture->namespace_count);
    json_rows(out, "backends", &backends_table, picture->backends, picture->backend_count);
    fputs("}\n", out);
}
