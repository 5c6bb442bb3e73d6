/* SPDX-License-Identifier: MIT */
/*
 * A configuration file as it was written: sections of names, texts and line numbers, parsed by libconfuse and
 * checked for its grammar alone. What the texts mean is config.c's business.
 */
#ifndef FOREBAY_SERVER_CONFIG_DOCUMENT_H
#define FOREBAY_SERVER_CONFIG_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>

enum section_kind { SECTION_ROOT, SECTION_BACKEND, SECTION_NAMESPACE, SECTION_KINDS };

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
    char *path;
    struct config_section
        *sections; /* the root, then backends, then namespaces, each in the order of the file */
    size_t count;
};

/* The options of each kind of section: names, ended by NULL. list_name: the one of the root that takes a
 * list. */
struct config_grammar {
    const char *const *names[SECTION_KINDS];
    const char *list_name;
};

/* NULL with "FILE:LINE: ..." in ret_error. */
struct config_document *config_document_read(const char *path, const struct config_grammar *grammar,
                                             char *ret_error, size_t error_size);
void config_document_free(struct config_document *document);

/* The value of an option, or NULL when it is not there. */
const struct config_value *config_find(const struct config_section *section, const char *name);

#endif
