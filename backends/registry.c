/* SPDX-License-Identifier: MIT */
/* What is asked of all kinds of store together. */
#include "backends/kinds.h"
#include "cache/base/fit.h"
#include <stdio.h>
#include <strings.h>

#define KIND_ADDRESS(kind) &kind,
static const struct backend_type *const kinds[] = {BACKEND_KINDS(KIND_ADDRESS)};

enum { KINDS = sizeof kinds / sizeof kinds[0] };

const struct backend_type *backend_kind(size_t index) {
    return index < KINDS ? kinds[index] : NULL;
}

/* ---- URIs ---- */

/* The scheme of a URI ends at the first ':' or '+', so that one kind may have several. */
static struct slice scheme_of(const char *uri) {
    return slice_of(uri, strcspn(uri, ":+"));
}

const struct backend_type *backend_find(const char *uri) {
    struct slice scheme = scheme_of(uri);
    if (uri[scheme.size] == '\0')
        return NULL;
    for (size_t i = 0; i < KINDS; i++)
        if (slice_equal(scheme, slice_string(kinds[i]->scheme)))
            return kinds[i];
    return NULL;
}

static const char *login_of(const char *uri) {
    const char *colon = strchr(uri, ':');
    return colon ? colon + 1 + strspn(colon + 1, "/") : uri;
}

/* Everything up to the last '@' is taken for a login, as a password that was not encoded may hold any
 * character; only in a path is an '@' one of the path's own. NULL: there is none. */
static const char *end_of_login(const char *uri) {
    const struct backend_type *type = backend_find(uri);
    const char *at = type && type->uri_is_path ? NULL : strrchr(uri, '@');
    return at && at >= login_of(uri) ? at : NULL;
}

bool backend_uri_has_login(const char *uri) {
    return end_of_login(uri) != NULL;
}

void backend_show_uri(const char *uri, char *ret_text, size_t size) {
    const char *at = end_of_login(uri);
    if (at)
        fit_print(ret_text, size, "%.*s***%s", (int)(login_of(uri) - uri), uri, at);
    else
        fit_text(uri, ret_text, size);
}

/* ---- Lists for messages ---- */

static void add_word(const char *separator, const char *word, char *text, size_t size) {
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%s%s", used ? separator : "", word);
}

void backend_list_schemes(char *ret_text, size_t size) {
    *ret_text = '\0';
    for (size_t i = 0; i < KINDS; i++)
        add_word(", ", kinds[i]->schemes, ret_text, size);
}

void backend_list_examples(char *ret_text, size_t size) {
    *ret_text = '\0';
    for (size_t i = 0; i < KINDS; i++)
        add_word(" or ", kinds[i]->example, ret_text, size);
}

void backend_list_taken(char *ret_text, size_t size) {
    *ret_text = '\0';
    for (size_t i = 0; i < KINDS; i++)
        for (const char *const *prefix = kinds[i]->taken_prefixes; prefix && *prefix; prefix++)
            add_word(" and ", *prefix, ret_text, size);
}

bool backend_name_is_taken(const char *name) {
    for (size_t i = 0; i < KINDS; i++)
        for (const char *const *prefix = kinds[i]->taken_prefixes; prefix && *prefix; prefix++)
            if (strncasecmp(name, *prefix, strlen(*prefix)) == 0)
                return true;
    return false;
}

/* ---- What only one kind has ---- */

bool backend_take_specific(const struct backend_type *type, const struct setting_table *table,
                           const struct backend_specific *given, void *ret_options) {
    const struct backend_specific nothing = {.type = type};
    if (given && given->type != type)
        return false;
    memset(ret_options, 0, table->size);
    memcpy(ret_options, given ? given : &nothing, given ? table->size : sizeof nothing);
    if (!given)
        setting_set_defaults(table->settings, ret_options);
    return true;
}
