/* SPDX-License-Identifier: MIT */
#include "server/worker/auth/users.h"
#include "cache/base/fit.h"
#include "cache/base/secret.h"
#include "policies/tier.h"
#include "server/config/settings.h"
#include "server/worker/auth/credential_file.h"
#include <crypt.h>
#include <stdio.h>
#include <stdlib.h>

enum { DIGEST_LEAST = 43 }; /* digits of 256 bits, which the methods have that are not outdated */

_Static_assert(USERS_HASH_MAX == CRYPT_OUTPUT_SIZE, "a hash is libcrypt's");

/* What a section says, kept, as the configuration may go. */
struct user_entry {
    struct user user;
    char *name, *path;
    char **namespaces, **reads; /* ended by NULL */
    mode_t mode;                /* of the file */
};

struct users {
    size_t count;
    struct user_entry list[];
};

static const char what[] = "password file";

/* ---- Reading ---- */

/* Whether the line goes on to its end: libcrypt only looks at how it begins, and of one that was cut off no password is
 * right. */
static bool is_whole(const char *hash) {
    static const char digits[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    size_t digest = strlen(strrchr(hash, '$') + 1);
    return digest >= DIGEST_LEAST && strspn(strrchr(hash, '$') + 1, digits) == digest;
}

/* What is wrong with a line, or NULL. What is older than the hashes of today, or a password that nobody has hashed, is
 * none. */
static const char *add_hash(struct user *user, struct slice line) {
    char *hash = strndup(line.data, line.size);
    char **hashes = realloc(user->hashes, (user->hash_count + 1) * sizeof *hashes);
    if (hashes)
        user->hashes = hashes;
    const char *flaw = hash && hashes ? NULL : "cannot be kept: no memory";
    if (!flaw && (strlen(hash) != line.size || line.size >= USERS_HASH_MAX || *hash != '$' ||
                  crypt_checksalt(hash) != CRYPT_SALT_OK || !is_whole(hash)))
        flaw = "is no hash of a password: forebay --hash-password makes one";
    if (!flaw)
        hashes[user->hash_count++] = hash;
    else
        free(hash);
    return flaw;
}

static bool is_comment(struct slice line) {
    return line.size == 0 || *line.data == '#';
}

static bool read_hashes(struct user_entry *entry, struct slice text, char *ret_error, size_t error_size) {
    struct slice line;
    for (unsigned number = 1; credential_file_line(&text, &line); number++) {
        const char *flaw = is_comment(line) ? NULL : add_hash(&entry->user, line);
        if (flaw) {
            fit_print(ret_error, error_size, "line %u of the password file %s %s", number, entry->path, flaw);
            return false;
        }
    }
    if (entry->user.hash_count > 0)
        return true;
    fit_print(ret_error, error_size,
              "the password file %s of user \"%s\" has no password: forebay --hash-password makes its line",
              entry->path, entry->name);
    return false;
}

static bool read_file(struct user_entry *entry, char *ret_error, size_t error_size) {
    size_t size = 0;
    char *text = credential_file_read(what, entry->path, &size, &entry->mode, ret_error, error_size);
    bool good = text && read_hashes(entry, slice_of(text, size), ret_error, error_size);
    free(text);
    return good;
}

static void free_texts(char **texts, size_t count) {
    for (size_t i = 0; texts && i < count && texts[i]; i++)
        free(texts[i]);
    free(texts);
}

/* NULL: no memory. A shorter list would take rights away. */
static char **copy_names(const char *const *names) {
    size_t count = 0;
    while (names[count])
        count++;
    char **copy = calloc(count + 1, sizeof *copy);
    for (size_t i = 0; copy && i < count; i++)
        if (!(copy[i] = strdup(names[i]))) {
            free_texts(copy, count);
            copy = NULL;
        }
    return copy;
}

static bool read_entry(struct user_entry *entry, const struct user_options *options, char *ret_error,
                       size_t error_size) {
    entry->name = strdup(options->name);
    entry->path = strdup(options->password_file);
    entry->namespaces = copy_names(options->namespaces);
    entry->reads = copy_names(options->reads);
    entry->user.name = entry->name;
    entry->user.is_operator = options->is_operator;
    if (entry->name && entry->path && entry->namespaces && entry->reads)
        return read_file(entry, ret_error, error_size);
    fit_print(ret_error, error_size, "no memory for user \"%s\"", options->name);
    return false;
}

struct users *users_load(const struct settings *settings, char *ret_error, size_t error_size) {
    struct users *users = calloc(1, sizeof *users + settings->user_count * sizeof *users->list);
    if (!users) {
        fit_print(ret_error, error_size, "no memory for the users");
        return NULL;
    }
    bool good = true;
    for (size_t i = 0; i < settings->user_count && good; i++)
        good = read_entry(&users->list[users->count++], &settings->users[i], ret_error, error_size);
    if (good)
        return users;
    users_free(users);
    return NULL;
}

void users_free(struct users *users) {
    if (!users)
        return;
    for (size_t i = 0; i < users->count; i++) {
        struct user_entry *entry = &users->list[i];
        free_texts(entry->user.hashes, entry->user.hash_count);
        free_texts(entry->namespaces, SIZE_MAX);
        free_texts(entry->reads, SIZE_MAX);
        free(entry->name);
        free(entry->path);
    }
    free(users);
}

/* ---- What they may do ---- */

/* All: those that come later as well. */
static uint64_t numbers_of(char *const *names, struct tier *tier) {
    uint64_t bits = 0;
    for (; *names; names++) {
        if (strcmp(*names, USER_ALL) == 0)
            return UINT64_MAX;
        for (size_t i = 0; i < tier_space_count(tier); i++)
            if (strcmp(space_options(tier_space(tier, i))->name, *names) == 0)
                bits |= UINT64_C(1) << i;
    }
    return bits;
}

void users_resolve(struct users *users, struct tier *tier) {
    _Static_assert(CACHE_SPACES_MAX <= 64, "a bit for each namespace");
    for (size_t i = 0; i < users->count; i++) {
        struct user_entry *entry = &users->list[i];
        entry->user.writes = numbers_of(entry->namespaces, tier);
        entry->user.reads = entry->user.writes | numbers_of(entry->reads, tier);
    }
}

void users_tell_exposed(const struct users *users, void (*say)(void *context, const char *message),
                        void *context) {
    char warning[4400];
    for (size_t i = 0; i < users->count; i++)
        if (credential_file_is_exposed(what, users->list[i].path, users->list[i].mode, warning,
                                       sizeof warning))
            say(context, warning);
}

static bool has_same_hashes(const struct user *a, const struct user *b) {
    bool same = a->hash_count == b->hash_count;
    for (size_t i = 0; same && i < a->hash_count; i++)
        same = strcmp(a->hashes[i], b->hashes[i]) == 0;
    return same;
}

bool users_are_same(const struct users *a, const struct users *b) {
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++) {
        const struct user *one = &a->list[i].user, *other = &b->list[i].user;
        same = strcmp(one->name, other->name) == 0 && one->reads == other->reads &&
               one->writes == other->writes && one->is_operator == other->is_operator &&
               a->list[i].mode == b->list[i].mode && has_same_hashes(one, other);
    }
    return same;
}

/* ---- Who they are ---- */

const struct user *users_find(const struct users *users, struct slice name) {
    const struct user *found = NULL;
    for (size_t i = 0; i < users->count; i++)
        if (secret_difference(name, slice_string(users->list[i].name)) == 0)
            found = &users->list[i].user;
    return found;
}

bool users_follow(const struct users *users, struct identity *identity) {
    const struct user *user = users_find(users, slice_string(identity->user->name));
    for (size_t i = 0; user && i < user->hash_count; i++) {
        if (strcmp(user->hashes[i], identity->hash) != 0)
            continue;
        *identity = (struct identity){users, user, user->hashes[i]};
        return true;
    }
    return false;
}

size_t users_most_hashes(const struct users *users) {
    size_t most = 0;
    for (size_t i = 0; i < users->count; i++)
        if (users->list[i].user.hash_count > most)
            most = users->list[i].user.hash_count;
    return most;
}

const char *users_any_hash(const struct users *users) {
    return users->list[0].user.hashes[0];
}

bool users_hash(const char *password, unsigned cost, char ret_hash[USERS_HASH_MAX]) {
    char salt[CRYPT_GENSALT_OUTPUT_SIZE];
    struct crypt_data *data = calloc(1, sizeof *data);
    bool good = data && crypt_gensalt_rn("$y$", cost, NULL, 0, salt, sizeof salt) &&
                crypt_rn(password, salt, data, (int)sizeof *data);
    if (good)
        snprintf(ret_hash, USERS_HASH_MAX, "%s", data->output);
    if (data)
        explicit_bzero(data, sizeof *data);
    free(data);
    return good;
}
