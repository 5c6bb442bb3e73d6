/* SPDX-License-Identifier: MIT */
#include "server/config/manual_form.h"
#include "server/buffer.h"
#include <string.h>

enum { INDENT = 28, WIDTH = 79, MARKUP_COLUMNS = 78 };

/* ---- Marks ---- */

/* What a form does with a text: plain runs, code, links. */
struct marks {
    void (*plain)(struct buffer *out, struct slice text);
    void (*code)(struct buffer *out, struct slice text);
    bool keeps_links; /* as they are */
};

/* Of a link that is called as its page is, the page is told: who reads it elsewhere cannot follow the link. */
static void put_link(const struct marks *marks, struct buffer *out, struct slice text, const char *target) {
    bool is_page = strncmp(target, text.data, text.size) == 0 && strncmp(target + text.size, ".md", 3) == 0;
    if (is_page)
        marks->plain(out, SLICE("docs/"));
    marks->plain(out, text);
    if (is_page)
        marks->plain(out, SLICE(".md"));
}

/* Puts one marked piece out, and returns what is behind it; NULL: no mark begins here. */
static const char *put_mark(const struct marks *marks, struct buffer *out, const char *at) {
    const char *end = *at == '`' ? strchr(at + 1, '`') : NULL;
    if (end) {
        marks->code(out, slice_of(at + 1, (size_t)(end - at - 1)));
        return end + 1;
    }
    end = *at == '[' ? strstr(at, "](") : NULL;
    const char *behind = end ? strchr(end, ')') : NULL;
    if (!behind)
        return NULL;
    if (marks->keeps_links)
        buffer_append(out, at, (size_t)(behind + 1 - at));
    else
        put_link(marks, out, slice_of(at + 1, (size_t)(end - at - 1)), end + strlen("]("));
    return behind + 1;
}

static void put_marked(const struct marks *marks, struct buffer *out, const char *text) {
    const char *at = text;
    while (*at) {
        const char *behind = put_mark(marks, out, at);
        if (behind) {
            at = behind;
            continue;
        }
        size_t run = 1 + strcspn(at + 1, "`[");
        marks->plain(out, slice_of(at, run));
        at += run;
    }
}

/* "1 to 64; default 2", marked; nothing where there is neither. */
static void put_bounds(struct buffer *out, const struct manual_row *row, const char *before,
                       const char *behind) {
    bool values = row->values && *row->values;
    if (!values && !row->standard)
        return;
    buffer_print(out, "%s%s%s", before, values ? row->values : "", values && row->standard ? "; " : "");
    if (row->standard)
        buffer_print(out, "default %s", *row->standard ? row->standard : "\"\"");
    if (row->reloads)
        buffer_print(out, "; changes at a reload");
    buffer_print(out, "%s", behind);
}

/* The description with the bounds behind it, marked; to be freed. */
static struct buffer whole_text(const struct manual_row *row, const char *before, const char *behind) {
    struct buffer whole = {0};
    buffer_print(&whole, "%s", row->about);
    put_bounds(&whole, row, before, behind);
    buffer_append(&whole, "", 1);
    return whole;
}

/* ---- Lines ---- */

/* Words in lines of at most width bytes, each behind an indent; the first goes on at a column. */
static void put_lines(FILE *out, const char *text, size_t column, size_t indent, size_t width) {
    while (*text) {
        size_t word = strcspn(text, " ");
        if (column > indent && column + 1 + word > width) {
            fputc('\n', out);
            column = 0;
        }
        if (column < indent)
            column += (size_t)fprintf(out, "%*s", (int)(indent - column), "");
        else if (column > indent)
            column += (size_t)fprintf(out, " ");
        column += (size_t)fprintf(out, "%.*s", (int)word, text);
        text += word;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

/* ---- For a terminal ---- */

static void put_as_is(struct buffer *out, struct slice text) {
    buffer_append(out, text.data, text.size);
}

static void put_argument(struct buffer *out, const struct manual_row *row) {
    if (!row->placeholder)
        return;
    const char *format = row->argument_is_optional ? "[=%s]" : row->letter && !row->name ? " %s" : "=%s";
    char argument[80];
    snprintf(argument, sizeof argument, format, row->placeholder);
    buffer_print(out, "%s", argument);
}

static void put_term(struct buffer *out, const struct manual_row *row) {
    if (row->kind == TERM_OPTION && row->letter)
        buffer_print(out, "-%c, ", row->letter);
    buffer_print(out, "%s%s", row->kind == TERM_OPTION ? "--" : "", row->name);
    put_argument(out, row);
}

static void text_begin(struct manual_writer *writer) {
    (void)writer;
}

static void text_heading(struct manual_writer *writer, const char *text) {
    fprintf(writer->out, "\n%s\n", text);
}

static void text_row(struct manual_writer *writer, const struct manual_row *row) {
    static const struct marks marks = {put_as_is, put_as_is, false};
    struct buffer whole = whole_text(row, " (", ")"), line = {0};
    buffer_print(&line, "  ");
    put_term(&line, row);
    size_t column = line.size;
    fprintf(writer->out, "%.*s", (int)line.size, line.data);
    if (column + 2 > INDENT) {
        fputc('\n', writer->out);
        column = 0;
    }
    line.size = 0;
    put_marked(&marks, &line, whole.data);
    buffer_append(&line, "", 1);
    put_lines(writer->out, line.data, column, INDENT, WIDTH);
    buffer_free(&whole);
    buffer_free(&line);
}

static void text_end(struct manual_writer *writer) {
    (void)writer;
}

const struct manual_form manual_text = {"text", text_begin, text_heading, text_row, text_end};

/* ---- Markdown ---- */

/* A bar would end the cell, also in code. */
static void put_cell(struct buffer *out, struct slice text) {
    for (size_t i = 0; i < text.size; i++)
        buffer_print(out, "%s%c", text.data[i] == '|' ? "\\" : "", text.data[i]);
}

static void put_code_cell(struct buffer *out, struct slice text) {
    buffer_append(out, "`", 1);
    put_cell(out, text);
    buffer_append(out, "`", 1);
}

static const struct marks cell_marks = {put_cell, put_code_cell, true};

static void put_next_cell(struct buffer *out, const char *text) {
    bool is_empty = !text || !*text;
    buffer_print(out, is_empty ? " |" : " | ");
    if (!is_empty)
        put_marked(&cell_marks, out, text);
}

static void markdown_begin(struct manual_writer *writer) {
    fprintf(writer->out, "| %s |%s%s |\n| --- |%s%s --- |\n", writer->head,
            writer->has_values ? " values | default |" : "", writer->has_reload ? " reload |" : "",
            writer->has_values ? " --- | --- |" : "", writer->has_reload ? " --- |" : "");
}

static void markdown_heading(struct manual_writer *writer, const char *text) {
    fprintf(writer->out, "| **%s** | |%s%s\n", text, writer->has_values ? " | |" : "",
            writer->has_reload ? " |" : "");
}

static void put_markdown_term(struct buffer *out, const struct manual_row *row) {
    if (row->kind == TERM_OPTION && row->letter)
        buffer_print(out, "`-%c`, ", row->letter);
    buffer_print(out, row->kind == TERM_PLAIN ? "%s%s" : "`%s%s", row->kind == TERM_OPTION ? "--" : "",
                 row->name);
    put_argument(out, row);
    if (row->kind != TERM_PLAIN)
        buffer_append(out, "`", 1);
}

static void markdown_row(struct manual_writer *writer, const struct manual_row *row) {
    struct buffer line = {0};
    buffer_print(&line, "| ");
    put_markdown_term(&line, row);
    if (writer->has_values) {
        put_next_cell(&line, row->values);
        put_next_cell(&line, row->standard && !*row->standard ? "\"\"" : row->standard);
    }
    if (writer->has_reload)
        put_next_cell(&line, row->reloads ? "yes" : "no");
    put_next_cell(&line, row->about);
    fprintf(writer->out, "%.*s |\n", (int)line.size, line.data);
    buffer_free(&line);
}

static void markdown_end(struct manual_writer *writer) {
    (void)writer;
}

const struct manual_form manual_markdown = {"markdown", markdown_begin, markdown_heading, markdown_row,
                                            markdown_end};

/* ---- mdoc ---- */

static void put_mdoc(struct buffer *out, struct slice text) {
    for (size_t i = 0; i < text.size; i++)
        buffer_print(out, text.data[i] == '\\' ? "\\e" : "%c", text.data[i]);
}

/* Here a minus is one, and a blank may be the end of a line no more than elsewhere in code. */
static void put_mdoc_code(struct buffer *out, struct slice text) {
    buffer_print(out, "\\fB");
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '-')
            buffer_print(out, "\\-");
        else
            put_mdoc(out, slice_of(text.data + i, 1));
    }
    buffer_print(out, "\\fP");
}

static void mdoc_open(struct manual_writer *writer) {
    if (!writer->open)
        fprintf(writer->out, ".Bl -tag -width Ds\n");
    writer->open = true;
}

static void mdoc_end(struct manual_writer *writer) {
    if (writer->open)
        fprintf(writer->out, ".El\n");
    writer->open = false;
}

static void mdoc_begin(struct manual_writer *writer) {
    writer->open = false;
}

static void mdoc_heading(struct manual_writer *writer, const char *text) {
    mdoc_end(writer);
    fprintf(writer->out, ".Ss %s\n", text);
}

static void mdoc_argument(FILE *out, const struct manual_row *row) {
    if (!row->placeholder)
        return;
    if (row->argument_is_optional)
        fprintf(out, " Ns Op = Ns Cm %s", row->placeholder);
    else
        fprintf(out, " Ns = Ns Ar %s", row->placeholder);
}

static void mdoc_term(FILE *out, const struct manual_row *row) {
    fprintf(out, ".It ");
    if (row->kind == TERM_OPTION && row->letter)
        fprintf(out, "Fl %c , ", row->letter);
    if (row->kind == TERM_OPTION)
        fprintf(out, "Fl \\-");
    else if (row->kind != TERM_PLAIN)
        fprintf(out, "Cm ");
    for (const char *at = row->name; *at; at++)
        fprintf(out, row->kind == TERM_OPTION && *at == '-' ? "\\-" : "%c", *at);
    mdoc_argument(out, row);
    fputc('\n', out);
}

/* Each sentence on a line of its own, as mdoc wants it, and no line that looks like a macro. */
static void mdoc_text(FILE *out, char *text) {
    for (char *end; *text; text = end) {
        char *stop = strstr(text, ". ");
        end = stop ? stop + 2 : strchr(text, '\0');
        if (stop)
            stop[1] = '\0';
        fprintf(out, "%s", *text == '.' || *text == '\'' ? "\\&" : "");
        put_lines(out, text, 0, 0, MARKUP_COLUMNS);
    }
}

static void mdoc_row(struct manual_writer *writer, const struct manual_row *row) {
    static const struct marks marks = {put_mdoc, put_mdoc_code, false};
    struct buffer whole = whole_text(row, " (", ")"), line = {0};
    mdoc_open(writer);
    mdoc_term(writer->out, row);
    put_marked(&marks, &line, whole.data);
    buffer_append(&line, "", 1);
    mdoc_text(writer->out, line.data);
    buffer_free(&whole);
    buffer_free(&line);
}

const struct manual_form manual_mdoc = {"mdoc", mdoc_begin, mdoc_heading, mdoc_row, mdoc_end};

/* ---- All ---- */

const struct manual_form *manual_form_named(const char *name, size_t size) {
    static const struct manual_form *const forms[] = {&manual_text, &manual_markdown, &manual_mdoc};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (slice_equal(slice_of(name, size), slice_string(forms[i]->name)))
            return forms[i];
    return NULL;
}
