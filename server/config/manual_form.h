/* SPDX-License-Identifier: MIT */
/*
 * How a table of the manual is written: for a terminal (`--help`), in Markdown (docs/operating.md), and in mdoc(7) (the
 * manual pages). Texts have two marks, which each form renders in its own way: `code`, and [a link](page.md#place), of
 * which a terminal and a manual page show the words alone, or the page if it is called so.
 */
#ifndef FOREBAY_SERVER_CONFIG_MANUAL_FORM_H
#define FOREBAY_SERVER_CONFIG_MANUAL_FORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum manual_term { TERM_OPTION, TERM_EXTENDED, TERM_SETTING, TERM_PLAIN };

struct manual_row {
    enum manual_term kind;
    char letter;             /* '\0': none */
    const char *name;        /* of the option, the setting, or whatever it is */
    const char *placeholder; /* of its argument, or NULL */
    bool argument_is_optional;
    const char *values;   /* marked; "": any */
    const char *standard; /* NULL: none */
    bool reloads;         /* of a setting: a reload changes it */
    const char *about;    /* marked */
};

struct manual_form;

/* A table that is being written. */
struct manual_writer {
    FILE *out;
    const struct manual_form *form;
    const char *head; /* of the first column */
    bool has_values;  /* and defaults, in columns of their own */
    bool has_reload;  /* and whether a reload changes it */
    bool open;        /* the form's */
};

struct manual_form {
    const char *name;
    void (*begin)(struct manual_writer *writer);
    void (*heading)(struct manual_writer *writer, const char *text); /* between rows; plain */
    void (*row)(struct manual_writer *writer, const struct manual_row *row);
    void (*end)(struct manual_writer *writer);
};

extern const struct manual_form manual_text, manual_markdown, manual_mdoc;

/* Of this name, which need not end; NULL: there is none. */
const struct manual_form *manual_form_named(const char *name, size_t size);

#endif
