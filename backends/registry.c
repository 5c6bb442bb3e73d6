/* SPDX-License-Identifier: MIT */
/* The kinds of store there are. A new kind is one line here. */
#include "backends/kinds.h"

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
