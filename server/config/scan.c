/* SPDX-License-Identifier: MIT */
/*
 * A small lexer: strings, words, braces and comments, no more. Comments are #, // and C's, outside of
 * strings; a // or a slash-star inside of a bare word belongs to the word.
 */
#include "server/config/scan.h"
#include "server/config/lookalike.h"
#include <stdio.h>
#include <stdlib.h>

enum { DEPTH_MAX = 8 };

struct scanner {
    char *at, *end;
    int line;
    int odd_line; /* where the first string begins of which only the next one's quote is the end; 0: nowhere */
    struct slice words[2]; /* the last two */
    bool after_equals;
    int open_lines[DEPTH_MAX];
    size_t depth;
    struct config_scan *scan;
    const char *error;
    int error_line;
};

static void fail(struct scanner *scanner, int line, const char *error) {
    scanner->error = error;
    scanner->error_line = line;
}

static char peek(const struct scanner *scanner, size_t ahead) {
    return (size_t)(scanner->end - scanner->at) > ahead ? scanner->at[ahead] : '\0';
}

static void note_word(struct scanner *scanner, const char *start) {
    scanner->words[0] = scanner->words[1];
    scanner->words[1] = slice_of(start, (size_t)(scanner->at - start));
    scanner->after_equals = false;
}

static void blank(struct scanner *scanner) {
    if (*scanner->at == '\n')
        scanner->line++;
    else
        *scanner->at = ' ';
    scanner->at++;
}

static void skip_line_comment(struct scanner *scanner) {
    while (scanner->at < scanner->end && *scanner->at != '\n')
        blank(scanner);
}

static void skip_block_comment(struct scanner *scanner) {
    int opened = scanner->line;
    blank(scanner);
    blank(scanner);
    while (scanner->at < scanner->end && !(peek(scanner, 0) == '*' && peek(scanner, 1) == '/'))
        blank(scanner);
    if (scanner->at == scanner->end) {
        fail(scanner, opened, "the comment is never closed: */ is missing");
        return;
    }
    blank(scanner);
    blank(scanner);
}

/* Where the "${" at the scanner ends: libconfuse reads to the next brace, whatever is before it. NULL: in another line,
 * or nowhere. */
static char *end_of_variable(const struct scanner *scanner) {
    size_t rest = (size_t)(scanner->end - scanner->at);
    const char *newline = memchr(scanner->at, '\n', rest);
    return memchr(scanner->at, '}', newline ? (size_t)(newline - scanner->at) : rest);
}

/* With a text of its own ("${NAME:-text}") a variable may be unset; libconfuse looks at the first colon alone. */
static bool variable_has_value(const char *name) {
    const char *colon = strchr(name, ':');
    return (colon && colon[1] == '-') || getenv(name);
}

/* ${NAME}, in double quotes or without any: an empty text in its place would be a password that is none, or a path
 * elsewhere. */
static void scan_variable(struct scanner *scanner) {
    char *name = scanner->at + 2, *end = end_of_variable(scanner);
    if (!end) {
        fail(scanner, scanner->line,
             "a \"${\" is never closed: a '}' is missing; use single quotes if it begins no variable");
        return;
    }
    *end = '\0';
    if (!variable_has_value(name)) {
        snprintf(
            scanner->scan->why, sizeof scanner->scan->why,
            "\"${%.63s}\": the environment has no such variable; set it, or use single quotes if it is none",
            name);
        fail(scanner, scanner->line, scanner->scan->why);
    }
    *end = '}';
    scanner->at = end + 1;
}

static bool is_at_variable(const struct scanner *scanner) {
    return peek(scanner, 0) == '$' && peek(scanner, 1) == '{';
}

/* Over the end of a line, to a quote that a word follows: it may be that a quote is missing, and this one begins a
 * string. A statement of several lines looks otherwise. */
static void note_odd_string(struct scanner *scanner, int opened) {
    if (scanner->odd_line == 0 && scanner->line > opened && scanner->at < scanner->end &&
        !strchr(" \t\r\n{}(),=#", *scanner->at))
        scanner->odd_line = opened;
}

static void scan_string(struct scanner *scanner) {
    const char *start = scanner->at;
    char quote = *scanner->at++;
    int opened = scanner->line;
    while (scanner->at < scanner->end && *scanner->at != quote) {
        if (quote == '"' && is_at_variable(scanner)) {
            scan_variable(scanner);
            if (scanner->error)
                return;
            continue;
        }
        if (*scanner->at == '\\' && scanner->end - scanner->at > 1)
            scanner->at++;
        if (*scanner->at == '\n')
            scanner->line++;
        scanner->at++;
    }
    if (scanner->at == scanner->end) {
        fail(scanner, scanner->odd_line ? scanner->odd_line : opened,
             "the string is never closed: a quote is missing");
        return;
    }
    scanner->at++;
    note_odd_string(scanner, opened);
    note_word(scanner, start);
}

/* It would be a part of the word: of a value that is taken, or of a name that there is not. A dash may be meant so. */
static void refuse_lookalike(struct scanner *scanner, struct slice word) {
    const struct lookalike *found = lookalike_find(word);
    if (scanner->error || !found || found->kind == LOOKALIKE_DASH)
        return;
    snprintf(scanner->scan->why, sizeof scanner->scan->why, "%s stands outside of quotes: %s", found->name,
             found->remedy);
    fail(scanner, scanner->line, scanner->scan->why);
}

static void scan_word(struct scanner *scanner) {
    const char *start = scanner->at;
    if (is_at_variable(scanner))
        scan_variable(scanner);
    while (scanner->at < scanner->end && !strchr(" \t\r\n\"'#{}()=,+", *scanner->at))
        scanner->at++;
    refuse_lookalike(scanner, slice_of(start, (size_t)(scanner->at - start)));
    note_word(scanner, start);
}

static void open_brace(struct scanner *scanner) {
    struct config_scan *scan = scanner->scan;
    if (!scanner->after_equals) {
        if (scan->section_count == CONFIG_SECTIONS_MAX) {
            fail(scanner, scanner->line, "too many sections");
            return;
        }
        scan->sections[scan->section_count].kind = scanner->words[0];
        scan->sections[scan->section_count++].line = scanner->line;
    }
    if (scanner->depth == DEPTH_MAX)
        fail(scanner, scanner->line, "'{' nested too deeply");
    else
        scanner->open_lines[scanner->depth++] = scanner->line;
}

static void scan_sign(struct scanner *scanner) {
    char sign = *scanner->at;
    if (sign == '\0') {
        fail(scanner, scanner->line, "contains a zero byte: not a text file");
        return;
    }
    if (sign == '{')
        open_brace(scanner);
    if (sign == '}' && scanner->depth == 0) {
        fail(scanner, scanner->line,
             "the '}' closes nothing: remove it, or see where the one before it stands");
        return;
    }
    if (sign == '}')
        scanner->depth--;
    scanner->after_equals = sign == '=';
    scanner->at++;
}

static void scan_next(struct scanner *scanner) {
    char sign = *scanner->at;
    if (sign == '\n') {
        scanner->line++;
        scanner->at++;
    } else if (sign == ' ' || sign == '\t' || sign == '\r') {
        scanner->at++;
    } else if (sign == '#' || (sign == '/' && peek(scanner, 1) == '/')) {
        skip_line_comment(scanner);
    } else if (sign == '/' && peek(scanner, 1) == '*') {
        skip_block_comment(scanner);
    } else if (sign == '"' || sign == '\'') {
        scan_string(scanner);
    } else if (sign == '\0' || strchr("{}()=,+", sign)) {
        scan_sign(scanner);
    } else {
        scan_word(scanner);
    }
}

bool config_scan(char *text, size_t size, struct config_scan *ret_scan, int *ret_line,
                 const char **ret_error) {
    struct scanner scanner = {.at = text, .end = text + size, .line = 1, .scan = ret_scan};
    ret_scan->section_count = 0;
    while (scanner.at < scanner.end && !scanner.error)
        scan_next(&scanner);
    if (!scanner.error && scanner.depth > 0)
        fail(
            &scanner, scanner.open_lines[scanner.depth - 1],
            "the '{' that begins here is never closed: a '}' is missing, at the end or where the next one begins");
    *ret_line = scanner.error_line;
    *ret_error = scanner.error;
    return scanner.error == NULL;
}
