/* SPDX-License-Identifier: MIT */
/*
 * The file is kept as pairs of slices into its bytes. A check walks all pairs and all bytes of the
 * credentials, so its time says neither which user exists nor how much of a password was right.
 */
#include "server/worker/auth/auth.h"
#include "cache/base/fit.h"
#include "cache/base/secret.h"
#include "server/worker/auth/credential_file.h"
#include <stdio.h>
#include <stdlib.h>

struct pair {
    struct slice user, password;
};

struct auth {
    char *text;
    struct pair *pairs;
    size_t count;
    mode_t mode; /* of the file */
};

static const char what[] = "authentication file";

/* What is wrong with a line, or NULL. Somebody has forgotten a password, rather than meant that none is needed; and a
 * client's user ends at the first space. */
static const char *read_pair(struct slice line, struct pair *ret_pair) {
    const char *colon = memchr(line.data, ':', line.size);
    if (!colon)
        return "is not user:password";
    size_t user = (size_t)(colon - line.data);
    *ret_pair = (struct pair){slice_of(line.data, user), slice_of(colon + 1, line.size - user - 1)};
    if (user == 0)
        return "has no user before the colon";
    if (ret_pair->password.size == 0)
        return "has no password behind the colon; remove the line, or give one";
    if (memchr(line.data, ' ', user))
        return "has a user with a space in its name, which no client can send";
    return line.size > AUTH_CREDENTIAL_MAX ? "is longer than the 2048 bytes that a client can send" : NULL;
}

static const char *add_pair(struct auth *auth, struct slice line) {
    struct pair pair;
    const char *flaw = read_pair(line, &pair);
    if (flaw)
        return flaw;
    struct pair *pairs = realloc(auth->pairs, (auth->count + 1) * sizeof *pairs);
    if (!pairs)
        return "cannot be kept: no memory";
    auth->pairs = pairs;
    pairs[auth->count++] = pair;
    return NULL;
}

static bool read_lines(struct auth *auth, size_t size, const char *path, char *ret_error, size_t error_size) {
    struct slice text = slice_of(auth->text, size), line;
    for (unsigned number = 1; credential_file_line(&text, &line); number++) {
        const char *flaw = line.size > 0 ? add_pair(auth, line) : NULL;
        if (flaw) {
            fit_print(ret_error, error_size, "line %u of the authentication file %s %s", number, path, flaw);
            return false;
        }
    }
    if (auth->count > 0)
        return true;
    fit_print(ret_error, error_size, "the authentication file %s has no line user:password", path);
    return false;
}

struct auth *auth_load(const char *path, char *ret_error, size_t error_size) {
    struct auth *auth = calloc(1, sizeof *auth);
    size_t size = 0;
    if (!auth) {
        fit_print(ret_error, error_size, "no memory for the authentication file %s", path);
        return NULL;
    }
    auth->text = credential_file_read(what, path, &size, &auth->mode, ret_error, error_size);
    if (auth->text && read_lines(auth, size, path, ret_error, error_size))
        return auth;
    auth_free(auth);
    return NULL;
}

void auth_free(struct auth *auth) {
    if (!auth)
        return;
    free(auth->pairs);
    free(auth->text);
    free(auth);
}

bool auth_is_same(const struct auth *a, const struct auth *b) {
    bool same = a && b && a->count == b->count && a->mode == b->mode;
    for (size_t i = 0; same && i < a->count; i++)
        same = slice_equal(a->pairs[i].user, b->pairs[i].user) &&
               slice_equal(a->pairs[i].password, b->pairs[i].password);
    return same;
}

bool auth_is_exposed(const struct auth *auth, const char *path, char *ret_warning, size_t warning_size) {
    return credential_file_is_exposed(what, path, auth->mode, ret_warning, warning_size);
}

bool auth_check(const struct auth *auth, struct slice user, struct slice password) {
    unsigned found = 0;
    for (size_t i = 0; i < auth->count; i++)
        found |= (secret_difference(user, auth->pairs[i].user) |
                  secret_difference(password, auth->pairs[i].password)) == 0;
    return found != 0;
}
