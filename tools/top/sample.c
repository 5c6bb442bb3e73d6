/* SPDX-License-Identifier: MIT */
/*
 * The answer is kept as it came, cut into strings in place. The lines of each report are sorted by name once, and found
 * by halving from then on.
 */
#include "tools/top/sample.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char sample_requests[] =
    "stats\r\nstats forebay\r\nstats namespaces\r\nstats backends\r\nstats write_behind\r\n";

static const char no_memory[] = "answers with more than there is memory for";

static const char *const report_names[REPORTS] = {"stats", "stats forebay", "stats namespaces",
                                                  "stats backends", "stats write_behind"};

struct sample_line {
    const char *name, *value;
};

struct lines {
    struct sample_line *line; /* by name, once they are all there */
    size_t count, room;
};

struct sample {
    char *text;
    uint64_t taken_us;
    struct lines lines[REPORTS];
    char owners[REPORTS][SAMPLE_OWNERS_MAX][SAMPLE_NAME_MAX];
    size_t owner_count[REPORTS];
};

/* ---- Making one ---- */

static bool add_line(struct lines *lines, const char *name, const char *value) {
    if (lines->count == lines->room) {
        size_t room = lines->room ? 2 * lines->room : 64;
        struct sample_line *line = realloc(lines->line, room * sizeof *line);
        if (!line)
            return false;
        lines->line = line;
        lines->room = room;
    }
    lines->line[lines->count++] = (struct sample_line){name, value};
    return true;
}

/* Each namespace has one line of its prefix, each backend one of its kind. */
static void note_owner(struct sample *sample, enum report report, const char *name) {
    const char *mark = report == REPORT_NAMESPACES ? ":prefix" : ":kind";
    size_t length = strlen(name), tail = strlen(mark), *count = &sample->owner_count[report];
    if ((report != REPORT_NAMESPACES && report != REPORT_BACKENDS) || *count == SAMPLE_OWNERS_MAX ||
        length <= tail || strcmp(name + length - tail, mark) != 0)
        return;
    snprintf(sample->owners[report][(*count)++], SAMPLE_NAME_MAX, "%.*s", (int)(length - tail), name);
}

/* "STAT name value" in a report. */
static bool take_line(struct sample *sample, enum report report, char *line) {
    char *name = line + strlen("STAT ");
    char *space = strncmp(line, "STAT ", strlen("STAT ")) == 0 ? strchr(name, ' ') : NULL;
    if (!space)
        return true;
    *space = '\0';
    note_owner(sample, report, name);
    return add_line(&sample->lines[report], name, strcmp(space + 1, "\"\"") == 0 ? "" : space + 1);
}

/* Cuts the next line off and makes it harmless. NULL: there is none. */
static char *next_line(char **at, char *end) {
    char *line = *at, *newline = line < end ? memchr(line, '\n', (size_t)(end - line)) : NULL;
    if (!newline)
        return NULL;
    *at = newline + 1;
    *newline = '\0';
    if (newline > line && newline[-1] == '\r')
        *--newline = '\0';
    for (char *c = line; c < newline; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    return line;
}

static bool is_error(const char *line) {
    return strncmp(line, "ERROR", 5) == 0 || strncmp(line, "CLIENT_ERROR", 12) == 0 ||
           strncmp(line, "SERVER_ERROR", 12) == 0;
}

static void explain(const char *line, enum report report, char *ret_error, size_t error_size) {
    if (strstr(line, "unauthenticated"))
        snprintf(ret_error, error_size, "asks for a password: give --user and --password-file");
    else
        snprintf(ret_error, error_size,
                 "answers \"%.100s\" to \"%s\": is it a Forebay, of this version or a later one?", line,
                 report_names[report]);
}

static bool parse(struct sample *sample, size_t size, char *ret_error, size_t error_size) {
    char *at = sample->text, *end = at + size, *line;
    int report = 0;
    while (report < REPORTS && (line = next_line(&at, end))) {
        if (is_error(line)) {
            explain(line, (enum report)report, ret_error, error_size);
            return false;
        }
        if (strcmp(line, "END") == 0) {
            report++;
        } else if (!take_line(sample, (enum report)report, line)) {
            snprintf(ret_error, error_size, "%s", no_memory);
            return false;
        }
    }
    if (report < REPORTS)
        snprintf(ret_error, error_size, "has not answered completely");
    return report == REPORTS;
}

static int compare_lines(const void *a, const void *b) {
    return strcmp(((const struct sample_line *)a)->name, ((const struct sample_line *)b)->name);
}

struct sample *sample_new(char *text, size_t size, uint64_t taken_us, char *ret_error, size_t error_size) {
    struct sample *sample = calloc(1, sizeof *sample);
    if (!sample) {
        free(text);
        snprintf(ret_error, error_size, "%s", no_memory);
        return NULL;
    }
    sample->text = text;
    sample->taken_us = taken_us;
    if (!parse(sample, size, ret_error, error_size)) {
        sample_free(sample);
        return NULL;
    }
    for (int report = 0; report < REPORTS; report++)
        if (sample->lines[report].count > 0)
            qsort(sample->lines[report].line, sample->lines[report].count, sizeof(struct sample_line),
                  compare_lines);
    return sample;
}

void sample_free(struct sample *sample) {
    if (!sample)
        return;
    for (int report = 0; report < REPORTS; report++)
        free(sample->lines[report].line);
    free(sample->text);
    free(sample);
}

/* ---- Asking one ---- */

uint64_t sample_taken_us(const struct sample *sample) {
    return sample->taken_us;
}

size_t sample_owner_count(const struct sample *sample, enum report report) {
    return sample->owner_count[report];
}

const char *sample_owner(const struct sample *sample, enum report report, size_t i) {
    return sample->owners[report][i];
}

const char *sample_text(const struct sample *sample, enum report report, const char *owner,
                        const char *name) {
    char whole[SAMPLE_PLACE_MAX + 2 * SAMPLE_NAME_MAX];
    const struct lines *lines = &sample->lines[report];
    snprintf(whole, sizeof whole, "%s%s%s", owner ? owner : "", owner ? ":" : "", name);
    const struct sample_line wanted = {whole, NULL};
    const struct sample_line *found =
        lines->count ? bsearch(&wanted, lines->line, lines->count, sizeof wanted, compare_lines) : NULL;
    return found ? found->value : NULL;
}

double sample_number(const struct sample *sample, enum report report, const char *owner, const char *name) {
    const char *text = sample_text(sample, report, owner, name);
    char *end = NULL;
    double number = text ? strtod(text, &end) : NAN;
    return text && end > text && *end == '\0' && isfinite(number) && number >= 0 ? number : NAN;
}

/* The place, if this is the line "owner:node:PLACE:role". */
static bool is_of_node(const char *name, const char *owner, char ret_place[SAMPLE_PLACE_MAX]) {
    static const char before[] = ":node:", behind[] = ":role";
    size_t head = strlen(owner), length = strlen(name), rest = sizeof before - 1 + sizeof behind - 1;
    if (length < head + rest || length - head - rest >= SAMPLE_PLACE_MAX || strncmp(name, owner, head) != 0 ||
        strncmp(name + head, before, sizeof before - 1) != 0 ||
        strcmp(name + length - (sizeof behind - 1), behind) != 0)
        return false;
    snprintf(ret_place, SAMPLE_PLACE_MAX, "%.*s", (int)(length - head - rest),
             name + head + sizeof before - 1);
    return true;
}

bool sample_next_node(const struct sample *sample, const char *owner, size_t *at,
                      char ret_place[SAMPLE_PLACE_MAX]) {
    const struct lines *lines = &sample->lines[REPORT_BACKENDS];
    while (*at < lines->count)
        if (is_of_node(lines->line[(*at)++].name, owner, ret_place))
            return true;
    return false;
}

struct histogram_sum sample_buckets(const struct sample *sample, enum report report, const char *owner,
                                    const char *kind) {
    struct histogram_sum sum = {0};
    char name[SAMPLE_NAME_MAX];
    snprintf(name, sizeof name, "%s_buckets", kind);
    const char *text = sample_text(sample, report, owner, name);
    for (int i = 0; text && *text && i < HISTOGRAM_BUCKETS; i++) {
        char *end;
        sum.buckets[i] = strtoull(text, &end, 10);
        text = *end == ',' ? end + 1 : "";
    }
    return sum;
}
