/* SPDX-License-Identifier: MIT */
/*
 * A small lexer: strings, words, braces and comments, no more. Comments are #, // and C's, outside of
 * strings; a // or a slash-star inside of a bare word belongs to the word.
 */
#include "server/config/scan.h"
#include <stdio.h>
#include <stdlib.h>

enum { DEPTH_MAX = 8 };

struct scanner {
    char *at, *end;
    int line;
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

/* "${NAME}": an empty text in its place would be a password that is none, or a path elsewhere. One with a default of its
 * own ("${NAME:-text}") may be unset. */
static void check_variable(struct scanner *scanner) {
    enum { NAME_SHOWN = 63 };
    char name[NAME_SHOWN + 1];
    const char *start = scanner->at + 2, *end = memchr(start, '}', (size_t)(scanner->end - start));
    size_t size = end ? (size_t)(end - start) : 0;
    if (!end || size > NAME_SHOWN)
        return;
    memcpy(name, start, size);
    name[size] = '\0';
    if (strstr(name, ":-") || getenv(name))
        return;
    char *text = scanner->scan->unset;
    snprintf(text, sizeof scanner->scan->unset,
             "\"${%s}\": the environment has no such variable; set it, or use single quotes if it is none",
             name);
    fail(scanner, scanner->line, text);
}

static void scan_string(struct scanner *scanner) {
    const char *start = scanner->at;
    char quote = *scanner->at++;
    int opened = scanner->line;
    while (scanner->at < scanner->end && *scanner->at != quote) {
        if (quote == '"' && *scanner->at == '$' && peek(scanner, 1) == '{' && !scanner->error)
            check_variable(scanner);
        if (*scanner->at == '\\' && scanner->end - scanner->at > 1)
            scanner->at++;
        if (*scanner->at == '\n')
            scanner->line++;
        scanner->at++;
    }
    if (scanner->at == scanner->end) {
        fail(scanner, opened, "the string is never closed: a quote is missing");
        return;
    }
    scanner->at++;
    note_word(scanner, start);
}

static void scan_word(struct scanner *scanner) {
    const char *start = scanner->at;
    while (scanner->at < scanner->end && !strchr(" \t\r\n\"'#{}()=,+", *scanner->at))
        scanner->at++;
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
    if (sign == '}' && scanner->depth > 0)
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
        fail(&scanner, scanner.open_lines[scanner.depth - 1], "the '{' is never closed: a '}' is missing");
    *ret_line = scanner.error_line;
    *ret_error = scanner.error;
    return scanner.error == NULL;
}
