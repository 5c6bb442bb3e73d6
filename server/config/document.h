/* SPDX-License-Identifier: MIT */
/*
 * A configuration file as it was written: sections of names, texts and line numbers, parsed by libconfuse and
 * checked for its grammar alone. What the texts mean is config.c's business.
 */
#ifndef FOREBAY_SERVER_CONFIG_DOCUMENT_H
#define FOREBAY_SERVER_CONFIG_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>

enum section_kind { SECTION_ROOT, SECTION_BACKEND, SECTION_NAMESPACE, SECTION_USER, SECTION_KINDS };

struct config_value {
    const char *name; /* one of the grammar's */
    char *text;
    int line;
};

struct config_section {
    enum section_kind kind;
    char *title; /* NULL: the root */
    int line;    /* where it opens */
    struct config_value *values;
    size_t count;
};

struct config_document {
    /* the root, then backends, namespaces, users, each in the file's order */
    struct config_section *sections;
    size_t count;
};

/* The settings that each kind of section may have: names, ended by NULL. takes_list: whether
 * this one does. */
struct config_grammar {
    const char *const *names[SECTION_KINDS];
    bool (*takes_list)(enum section_kind kind, const char *name);
};

enum { CONFIG_NAMES_MAX = 48 }; /* of one kind of section, with the NULL */

/* What is wrong with a file. The first error is kept: it is the one to mend first. */
struct config_report {
    const char *path;
    char *error;
    size_t error_size;
    bool failed;
};

/* Writes "FILE:LINE: ..." (line 0: "FILE: ...") and returns false. */
bool config_fail(struct config_report *report, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Reads the file that the report names; NULL with an error in the report. */
struct config_document *config_document_read(const struct config_grammar *grammar,
                                             struct config_report *report);
void config_document_free(struct config_document *document);

/* The value of a setting, or NULL when it is not given. */
const struct config_value *config_find(const struct config_section *section, const char *name);

/* The line of a setting if it is given, else the one where its section opens. */
int config_line(const struct config_section *section, const char *name);

#endif
