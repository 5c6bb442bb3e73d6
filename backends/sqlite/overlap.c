/* SPDX-License-Identifier: MIT */
/*
 * Where two backends are one file, and where two namespaces may be one table. Their own SQL is only looked at as text,
 * as `forebay --check` opens no file: word by word, which is enough to see that two texts are the same, or that they
 * name one table. What such statements do to it cannot be seen.
 */
#include "backends/sqlite/internal.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>

/* ---- Files ---- */

/* The path with its folder resolved: the file itself may not be there yet. */
static char *resolve(const struct backend_options *options) {
    char *path = sqlite_path_of(options), *place = path ? sqlite_place_of(path, strlen(path)) : NULL;
    free(path);
    return place;
}

static bool is_one_file(const char *a, const char *b) {
    struct stat first, second;
    return stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

enum backend_nearness sqlite_same_store(const struct backend_options *a, const struct backend_options *b) {
    if (strcmp(a->uri, b->uri) == 0)
        return BACKEND_SAME;
    char *first = resolve(a), *second = resolve(b);
    bool same = first && second && /* else a folder is missing: the start says so */
                (strcmp(first, second) == 0 || is_one_file(first, second));
    free(first);
    free(second);
    return same ? BACKEND_SAME : BACKEND_APART;
}

/* ---- SQL as text ---- */

static bool is_word_part(char byte) {
    return isalnum((unsigned char)byte) || byte == '_' || byte == '$' || (unsigned char)byte >= 0x80;
}

static const char *skip_comment(const char *at) {
    const char *end = at[0] == '-' ? strchr(at, '\n') : strstr(at + 2, "*/");
    return !end ? at + strlen(at) : at[0] == '-' ? end + 1 : end + 2;
}

static const char *skip_to_token(const char *at) {
    for (;;) {
        at += strspn(at, " \t\r\n\f;");
        if (strncmp(at, "--", 2) != 0 && strncmp(at, "/*", 2) != 0)
            return at;
        at = skip_comment(at);
    }
}

/* The next word, string, quoted name or sign; *at moves behind it. Size 0: there is none. */
static struct slice next_token(const char **at) {
    const char *start = skip_to_token(*at), *end = start;
    char closing = *start == '[' ? ']' : *start;
    if (*start && strchr("'\"`[", *start)) {
        const char *found = strchr(start + 1, closing);
        end = found ? found + 1 : start + strlen(start);
    } else if (*start == ':' || is_word_part(*start)) {
        for (end = start + 1; is_word_part(*end);)
            end++;
    } else if (*start) {
        end = start + 1;
    }
    *at = end;
    return slice_of(start, (size_t)(end - start));
}

static bool is_word(struct slice token, const char *word) {
    return token.size == strlen(word) && strncasecmp(token.data, word, token.size) == 0;
}

static bool is_same_token(struct slice a, struct slice b) {
    if (a.size != b.size || a.size == 0)
        return a.size == b.size;
    return *a.data == '\'' ? slice_equal(a, b) : strncasecmp(a.data, b.data, a.size) == 0;
}

static bool is_same_text(const char *a, const char *b) {
    struct slice first, second;
    do {
        first = next_token(&a);
        second = next_token(&b);
        if (!is_same_token(first, second))
            return false;
    } while (first.size);
    return true;
}

/* A name without its quotes. SQLite takes a string for a name where only a name can stand. */
static struct slice unquoted(struct slice token) {
    bool quoted = token.size >= 2 && strchr("\"'`[", *token.data);
    return quoted ? slice_of(token.data + 1, token.size - 2) : token;
}

static bool can_be_name(struct slice token) {
    return token.size && (is_word_part(*token.data) || strchr("\"'`[", *token.data));
}

/* The next name of a table in a statement, behind FROM, JOIN, INTO or UPDATE; *at moves behind it. A list behind FROM
 * is seen up to its first comma. */
static bool next_table(const char **at, struct slice *ret_table) {
    static const char *const before[] = {"FROM", "JOIN", "INTO", "UPDATE"};
    for (struct slice token = next_token(at); token.size; token = next_token(at)) {
        bool introduces = false;
        for (size_t i = 0; i < sizeof before / sizeof before[0]; i++)
            introduces |= is_word(token, before[i]);
        const char *ahead = *at;
        struct slice name = introduces ? next_token(&ahead) : SLICE("");
        if (!can_be_name(name) || is_word(name, "SET") || is_word(name, "OR"))
            continue;
        const char *further = ahead;
        if (is_word(next_token(&further), ".")) {
            name = next_token(&further);
            ahead = further;
        }
        *at = ahead;
        *ret_table = unquoted(name);
        return true;
    }
    return false;
}

/* ---- Namespaces ---- */

static bool is_same_name(struct slice a, struct slice b) {
    return a.size == b.size && strncasecmp(a.data, b.data, a.size) == 0;
}

static bool names_table(const struct sqlite_table_options *options, struct slice table) {
    const char *const texts[] = {options->load_sql, options->store_sql, options->delete_sql};
    struct slice named;
    for (size_t i = 0; i < 3; i++)
        for (const char *at = texts[i]; next_table(&at, &named);)
            if (is_same_name(named, table))
                return true;
    return false;
}

/* A table that the statements of both name. */
static bool find_shared(const struct sqlite_table_options *a, const struct sqlite_table_options *b,
                        struct slice *ret_table) {
    const char *const texts[] = {a->load_sql, a->store_sql, a->delete_sql};
    for (size_t i = 0; i < 3; i++)
        for (const char *at = texts[i]; next_table(&at, ret_table);)
            if (names_table(b, *ret_table))
                return true;
    return false;
}

bool sqlite_names_meta(const struct sqlite_table_options *options) {
    return names_table(options, SLICE("forebay_meta"));
}

static bool has_own_sql(const struct sqlite_table_options *options) {
    return options->load_sql && options->store_sql && options->delete_sql;
}

static enum backend_nearness tell(enum backend_nearness nearness, const struct backend_table *a,
                                  const struct backend_table *b, struct slice table,
                                  struct backend_meeting *ret_meeting) {
    *ret_meeting->start = '\0';
    ret_meeting->complaint.setting = "store";
    if (nearness == BACKEND_SAME)
        snprintf(
            ret_meeting->complaint.message, sizeof ret_meeting->complaint.message,
            "namespaces \"%s\" and \"%s\" store with the same SQL, and keys go without their prefixes: clients of one reach the rows of the other; change the SQL, or use one namespace",
            a->name, b->name);
    else
        snprintf(
            ret_meeting->complaint.message, sizeof ret_meeting->complaint.message,
            "namespaces \"%s\" and \"%s\" both use the table \"%.*s\": whether their rows are apart cannot be seen here, so look that no key of one finds a row of the other",
            a->name, b->name, slice_shown(table, 100), table.data);
    return nearness;
}

enum backend_nearness sqlite_overlap(const struct backend_table *a, const struct backend_table *b,
                                     struct backend_meeting *ret_meeting) {
    struct sqlite_table_options first, second;
    struct slice table;
    bool ours = backend_take_specific(&sqlite_backend, &sqlite_backend.table_options, a->specific, &first) &&
                backend_take_specific(&sqlite_backend, &sqlite_backend.table_options, b->specific, &second);
    if (!ours || !has_own_sql(&first))
        return BACKEND_APART; /* tables of ours have the names of their namespaces, which differ */
    if (has_own_sql(&second) && is_same_text(first.store_sql, second.store_sql))
        return tell(BACKEND_SAME, a, b, SLICE(""), ret_meeting);
    if (has_own_sql(&second) && find_shared(&first, &second, &table))
        return tell(BACKEND_UNKNOWN, a, b, table, ret_meeting);
    if (!has_own_sql(&second) && names_table(&first, slice_string(b->name)))
        return tell(BACKEND_UNKNOWN, a, b, slice_string(b->name), ret_meeting);
    return BACKEND_APART;
}

/* The application's own SQL may be written anew over the same rows. */
void sqlite_place(const struct backend_table *table, char *ret_text, size_t size) {
    struct sqlite_table_options own;
    bool ours = backend_take_specific(&sqlite_backend, &sqlite_backend.table_options, table->specific, &own);
    if (ours && has_own_sql(&own))
        snprintf(ret_text, size, "by SQL of its own");
    else
        snprintf(ret_text, size, "table %s", table->name);
}
