/* SPDX-License-Identifier: MIT */
/*
 * libconfuse parses; its callbacks note each value with its line. It hands its callbacks nothing but the
 * section, so the path to our own state is the first entry of every option table (the carrier): its simple_value,
 * which libconfuse copies along and never looks at, because a file cannot set an option of that name.
 *
 * What libconfuse would let pass is refused here: options given twice, and braces, strings or comments that
 * are never closed (scan.c).
 */
#include "server/config/document.h"
#include "cache/base/byte_order_mark.h"
#include "cache/base/fit.h"
#include "cache/base/given_file.h"
#include "server/config/lookalike.h"
#include "server/config/nearest.h"
#include "server/config/scan.h"
#include <confuse.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    OPTIONS_MAX = CONFIG_NAMES_MAX + 4, /* the carrier and the kinds of sections come to the names */
    FILE_MAX_BYTES = 1 << 20,
    WHAT_MAX = 8 << 10
};

struct note {
    const cfg_t *section;
    struct config_value value;
};

struct reader {
    const struct config_grammar *grammar;
    struct config_report *report;
    struct note *notes;
    size_t note_count, note_capacity;
    cfg_opt_t options[SECTION_KINDS][OPTIONS_MAX];
};

/* The address of a store that stands where none belongs is quoted as it is: without what may be a password. */
static void hide_passwords(char *text) {
    static const char stars[] = "***", before[] = "://";
    for (char *at = text; (at = strstr(at, before));) {
        at += strlen(before);
        const char *end = memrchr(at, '@', strcspn(at, "\" \n"));
        size_t hidden = end ? (size_t)(end - at) : 0, shown = hidden < strlen(stars) ? hidden : strlen(stars);
        memcpy(at, stars, shown);
        if (end)
            memmove(at + shown, end, strlen(end) + 1);
    }
}

bool config_fail(struct config_report *report, int line, const char *format, ...) {
    if (report->failed)
        return false;
    report->failed = true;
    char what[WHAT_MAX]; /* whole, as in half an address a password is not found */
    va_list arguments;
    va_start(arguments, format);
    fit_vprint(what, sizeof what, format, arguments);
    va_end(arguments);
    hide_passwords(what);
    lookalike_tell(what, sizeof what);
    if (line)
        fit_print(report->error, report->error_size, "%s:%d: %s", report->path, line, what);
    else
        fit_print(report->error, report->error_size, "%s: %s", report->path, what);
    return false;
}

static struct reader *reader_of(const cfg_t *section) {
    return (struct reader *)section->opts[0].simple_value.ptr;
}

/* ---- Messages ---- */

static const char *nearest_option(const cfg_t *section, const char *name) {
    struct nearest nearest = nearest_to(slice_string(name));
    for (const cfg_opt_t *option = section->opts + 1; option->name; option++)
        nearest_consider(&nearest, option->name);
    return nearest.found;
}

static void fail_unknown(struct reader *reader, const cfg_t *section, const char *name) {
    const char *nearest = nearest_option(section, name);
    const char *where = section->title ? section->name : "the top of the file";
    if (nearest)
        config_fail(reader->report, section->line, "unknown option \"%s\" in %s; did you mean \"%s\"?", name,
                    where, nearest);
    else
        config_fail(reader->report, section->line,
                    "unknown option \"%s\" in %s; remove it (forebay --help=settings has all)", name, where);
}

/* Copies what is between the first two single quotes. */
static bool quoted(const char *message, char *ret_word, size_t size) {
    const char *start = strchr(message, '\'');
    const char *end = start ? strrchr(message, '\'') : NULL;
    if (!end || end == start || (size_t)(end - start) > size)
        return false;
    memcpy(ret_word, start + 1, (size_t)(end - start) - 1);
    ret_word[end - start - 1] = '\0';
    return true;
}

static bool begins(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

/* libconfuse's messages, with the remedy. */
static void on_error(cfg_t *section, const char *format, va_list arguments) {
    struct reader *reader = reader_of(section);
    char message[WHAT_MAX], word[128] = ""; /* whole, for config_fail */
    vsnprintf(message, sizeof message, format, arguments);
    bool named = quoted(message, word, sizeof word);
    if (named && begins(message, "no such option"))
        fail_unknown(reader, section, word);
    else if (named && begins(message, "found duplicate title"))
        config_fail(reader->report, section->line,
                    "\"%s\" is defined twice; remove one or give it another name", word);
    else if (named && begins(message, "missing title"))
        config_fail(reader->report, section->line, "%s needs a name: write %s \"name\" { ... }", word, word);
    else if (named && begins(message, "missing equal sign"))
        config_fail(reader->report, section->line, "\"=\" is missing after \"%s\"", word);
    else if (named && begins(message, "unexpected token"))
        config_fail(
            reader->report, section->line,
            "'%s' is not expected here: write name = value; a list, which listen, restrict, namespaces and reads are, is {\"one\", \"two\"}",
            word);
    else if (begins(message, "premature end of file"))
        config_fail(reader->report, section->line,
                    "the file ends in the middle; a value or a '}' is missing");
    else
        config_fail(reader->report, section->line, "%s", message);
}

/* ---- Callbacks of libconfuse ---- */

static int refuse_carrier(cfg_t *section, cfg_opt_t *option, const char *text, void *result) {
    (void)option;
    (void)text;
    (void)result;
    config_fail(reader_of(section)->report, section->line, "an option needs a name");
    return 1;
}

static const struct config_value *find_note(const struct reader *reader, const cfg_t *section,
                                            const char *name) {
    for (size_t i = 0; i < reader->note_count; i++)
        if (reader->notes[i].section == section && strcmp(reader->notes[i].value.name, name) == 0)
            return &reader->notes[i].value;
    return NULL;
}

/* The grammar's own text of a name: libconfuse's goes with its tree. */
static const char *lasting_name(const struct reader *reader, const char *name) {
    for (int kind = 0; kind < SECTION_KINDS; kind++)
        for (const char *const *known = reader->grammar->names[kind]; *known; known++)
            if (strcmp(*known, name) == 0)
                return *known;
    return NULL;
}

static bool add_note(struct reader *reader, const cfg_t *section, const char *name, const char *text) {
    if (reader->note_count == reader->note_capacity) {
        size_t capacity = reader->note_capacity ? 2 * reader->note_capacity : 64;
        struct note *notes = realloc(reader->notes, capacity * sizeof *notes);
        if (!notes)
            return false;
        reader->notes = notes;
        reader->note_capacity = capacity;
    }
    char *copy = strdup(text);
    if (!copy)
        return false;
    reader->notes[reader->note_count++] =
        (struct note){section, {lasting_name(reader, name), copy, section->line}};
    return true;
}

/* A value was parsed. libconfuse forgets earlier values at each "=", so the first element of a list that is
 * there already means that the option is given twice. */
static int take_value(cfg_t *section, cfg_opt_t *option, const char *text, void *result) {
    struct reader *reader = reader_of(section);
    const struct config_value *before = find_note(reader, section, option->name);
    bool continues = (option->flags & CFGF_LIST) && option->nvalues > 1;
    *(void **)result = NULL;
    if (before && !continues) {
        config_fail(reader->report, section->line, "\"%s\" is given twice, first in line %d; remove one",
                    option->name, before->line);
        return 1;
    }
    if (add_note(reader, section, option->name, text))
        return 0;
    config_fail(reader->report, section->line, "no memory");
    return 1;
}

/* ---- Option tables ---- */

static void ignore_value(void *value) {
    (void)value;
}

static size_t fill_options(struct reader *reader, enum section_kind kind) {
    cfg_opt_t *options = reader->options[kind];
    size_t count = 0;
    options[count++] = (cfg_opt_t){.name = " ",
                                   .type = CFGT_INT,
                                   .flags = CFGF_NODEFAULT,
                                   .simple_value = {.ptr = (void **)reader},
                                   .parsecb = refuse_carrier};
    for (const char *const *name = reader->grammar->names[kind]; *name; name++) {
        bool list = reader->grammar->takes_list(kind, *name);
        options[count++] = (cfg_opt_t){.name = *name,
                                       .type = CFGT_PTR,
                                       .flags = CFGF_NODEFAULT | (list ? CFGF_LIST : 0),
                                       .parsecb = take_value,
                                       .freecb = ignore_value};
    }
    return count;
}

static void fill_tables(struct reader *reader) {
    static const cfg_opt_t end = CFG_END();
    const int flags = CFGF_TITLE | CFGF_MULTI | CFGF_NO_TITLE_DUPES | CFGF_NODEFAULT;
    reader->options[SECTION_BACKEND][fill_options(reader, SECTION_BACKEND)] = end;
    reader->options[SECTION_NAMESPACE][fill_options(reader, SECTION_NAMESPACE)] = end;
    reader->options[SECTION_USER][fill_options(reader, SECTION_USER)] = end;
    cfg_opt_t *root = reader->options[SECTION_ROOT];
    size_t count = fill_options(reader, SECTION_ROOT);
    root[count++] = (cfg_opt_t)CFG_SEC("backend", reader->options[SECTION_BACKEND], flags);
    root[count++] = (cfg_opt_t)CFG_SEC("namespace", reader->options[SECTION_NAMESPACE], flags);
    root[count++] = (cfg_opt_t)CFG_SEC("user", reader->options[SECTION_USER], flags);
    root[count] = end;
}

/* ---- From libconfuse's tree to the document ---- */

static int line_of(const struct config_scan *scan, const char *kind, size_t number) {
    for (size_t i = 0; i < scan->section_count; i++)
        if (slice_equal(scan->sections[i].kind, slice_string(kind)) && number-- == 0)
            return scan->sections[i].line;
    return 0;
}

/* Moves the notes of one section over. */
static bool fill_section(struct reader *reader, const cfg_t *from, struct config_section *section) {
    section->values = calloc(reader->note_count + 1, sizeof *section->values);
    section->title = from->title ? strdup(from->title) : NULL;
    if (!section->values || (from->title && !section->title))
        return false;
    for (size_t i = 0; i < reader->note_count; i++) {
        if (reader->notes[i].section != from)
            continue;
        section->values[section->count++] = reader->notes[i].value;
        reader->notes[i].value.text = NULL;
    }
    return true;
}

static bool fill_sections(struct reader *reader, cfg_t *root, const struct config_scan *scan,
                          struct config_document *document) {
    static const char *const kinds[SECTION_KINDS] = {"", "backend", "namespace", "user"};
    document->sections = calloc(1 + CONFIG_SECTIONS_MAX, sizeof *document->sections);
    if (!document->sections || !fill_section(reader, root, &document->sections[document->count++]))
        return false;
    for (enum section_kind kind = SECTION_BACKEND; kind < SECTION_KINDS; kind++) {
        for (unsigned i = 0; i < cfg_size(root, kinds[kind]) && document->count <= CONFIG_SECTIONS_MAX; i++) {
            struct config_section *section = &document->sections[document->count++];
            section->kind = kind;
            section->line = line_of(scan, kinds[kind], i);
            if (!fill_section(reader, cfg_getnsec(root, kinds[kind], i), section))
                return false;
        }
    }
    return true;
}

static bool parse(struct reader *reader, char *text, const struct config_scan *scan,
                  struct config_document *document) {
    fill_tables(reader);
    cfg_t *root = cfg_init(reader->options[SECTION_ROOT], CFGF_NONE);
    bool good = root != NULL;
    if (root) {
        cfg_set_error_function(root, on_error);
        good = cfg_parse_buf(root, text) == CFG_SUCCESS && !reader->report->failed &&
               fill_sections(reader, root, scan, document);
        cfg_free(root);
    }
    if (!good)
        config_fail(reader->report, 0, "it cannot be parsed");
    return good;
}

/* ---- The file ---- */

static char *read_file(struct reader *reader, size_t *ret_size) {
    FILE *file = fopen(reader->report->path, "re");
    char *text = malloc(FILE_MAX_BYTES + 1);
    size_t size = file && text ? fread(text, 1, FILE_MAX_BYTES, file) : 0;
    char why[GIVEN_FILE_REASON_MAX];
    given_file_reason(errno, why);
    if (!file || !text || ferror(file))
        config_fail(reader->report, 0, "cannot read the configuration: %s", why);
    else if (size == FILE_MAX_BYTES)
        config_fail(reader->report, 0, "longer than a megabyte: not a configuration file");
    else if (byte_order_mark_is_wide(text, size))
        config_fail(reader->report, 0, "it is in UTF-16: save it as UTF-8");
    if (file)
        fclose(file);
    if (!text || reader->report->failed) {
        free(text);
        return NULL;
    }
    size = byte_order_mark_remove(text, size);
    text[size] = '\0';
    *ret_size = size;
    return text;
}

static bool read_document(struct reader *reader, struct config_document *document) {
    struct config_scan *scan = malloc(sizeof *scan);
    size_t size = 0;
    char *text = scan ? read_file(reader, &size) : NULL;
    const char *why = NULL;
    int line = 0;
    bool good = text != NULL;
    if (!scan)
        config_fail(reader->report, 0, "no memory");
    if (good && !config_scan(text, size, scan, &line, &why)) {
        config_fail(reader->report, line, "%s", why);
        good = false;
    }
    good = good && parse(reader, text, scan, document);
    free(text);
    free(scan);
    return good;
}

struct config_document *config_document_read(const struct config_grammar *grammar,
                                             struct config_report *report) {
    struct reader *reader = calloc(1, sizeof *reader);
    struct config_document *document = calloc(1, sizeof *document);
    bool good = reader && document;
    if (good) {
        *reader = (struct reader){.grammar = grammar, .report = report};
        good = read_document(reader, document);
        for (size_t i = 0; i < reader->note_count; i++)
            free(reader->notes[i].value.text);
        free(reader->notes);
    } else {
        config_fail(report, 0, "no memory");
    }
    free(reader);
    if (good)
        return document;
    config_document_free(document);
    return NULL;
}

void config_document_free(struct config_document *document) {
    if (!document)
        return;
    for (size_t i = 0; i < document->count; i++) {
        struct config_section *section = &document->sections[i];
        for (size_t k = 0; k < section->count; k++)
            free(section->values[k].text);
        free(section->values);
        free(section->title);
    }
    free(document->sections);
    free(document);
}

const struct config_value *config_find(const struct config_section *section, const char *name) {
    for (size_t i = 0; i < section->count; i++)
        if (strcmp(section->values[i].name, name) == 0)
            return &section->values[i];
    return NULL;
}

int config_line(const struct config_section *section, const char *name) {
    const struct config_value *value = config_find(section, name);
    return value ? value->line : section->line;
}
