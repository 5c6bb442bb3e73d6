/* SPDX-License-Identifier: MIT */
/* The kinds of store there are. A new kind is one line here. */
#include "backends/kinds.h"
#include <stdio.h>

static const struct backend_type *const known[] = {
    &sqlite_backend,
    &redis_backend,
};

/* The scheme of a URI ends at the first ':' or '+', so that redis+unix: is served by "redis". */
static struct slice scheme_of(const char *uri) {
    return slice_of(uri, strcspn(uri, ":+"));
}

const struct backend_type *backend_find(const char *uri) {
    struct slice scheme = scheme_of(uri);
    if (uri[scheme.size] == '\0')
        return NULL;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (slice_equal(scheme, slice_string(known[i]->scheme)))
            return known[i];
    return NULL;
}

const char *backend_schemes(void) {
    return "sqlite, redis, redis+unix";
}

/* A path may hold an '@'; everything else up to the last one is taken for a login, as a password that was not
 * encoded may hold any character. */
void backend_show_uri(const char *uri, char *ret_text, size_t size) {
    struct slice scheme = scheme_of(uri);
    const char *at = slice_equal(scheme, SLICE("sqlite")) ? NULL : strrchr(uri, '@');
    const char *colon = strchr(uri, ':');
    const char *login = colon ? colon + 1 + strspn(colon + 1, "/") : uri;
    if (at && at >= login)
        snprintf(ret_text, size, "%.*s***%s", (int)(login - uri), uri, at);
    else
        snprintf(ret_text, size, "%s", uri);
}
