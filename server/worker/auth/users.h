/* SPDX-License-Identifier: MIT */
/*
 * The users of a configuration: what lets each of them in, and what it may do then. Once they are in force nothing of
 * them changes, so any thread may look at them; a reload makes others and leaves these where they are, as connections
 * point to them (users_follow).
 */
#ifndef FOREBAY_SERVER_WORKER_AUTH_USERS_H
#define FOREBAY_SERVER_WORKER_AUTH_USERS_H

#include "cache/base/slice.h"
#include <stdint.h>

enum { USERS_HASH_MAX = 384 }; /* libcrypt's CRYPT_OUTPUT_SIZE */

struct settings;
struct tier;
struct users;

struct user {
    const char *name;
    char **hashes; /* of its passwords, any of which lets it in; as libcrypt's crypt() takes them */
    size_t hash_count;
    uint64_t reads, writes; /* a bit for each namespace, by its number: users_resolve */
    bool is_operator;
};

/* Who has logged in: of these users, this one, by the password of this hash. user NULL: nobody. */
struct identity {
    const struct users *users;
    const struct user *user;
    const char *hash;
};

/* Reads the password files. NULL with a whole sentence in ret_error, which has nothing of what is in the files. */
struct users *users_load(const struct settings *settings, char *ret_error, size_t error_size);
void users_free(struct users *users);

/* Of the names of namespaces makes numbers. Before they are in force; again, where the tier has got others since. */
void users_resolve(struct users *users, struct tier *tier);

/* For each file that is open to more people than its owner and his group: say(context, a whole sentence). */
void users_tell_exposed(const struct users *users, void (*say)(void *context, const char *message),
                        void *context);

/* Whether all of it is the same, as resolved. */
bool users_are_same(const struct users *a, const struct users *b);

/* NULL: there is none of this name. Its time does not tell which names there are. */
const struct user *users_find(const struct users *users, struct slice name);

/* The same client among other users. False: its user, or the password that it came with, is gone. */
bool users_follow(const struct users *users, struct identity *identity);

/* How many hashes the user with most of them has, and one of any user: who is nobody is to take as long as everybody.
 * So it does where all hashes cost the same. */
size_t users_most_hashes(const struct users *users);
const char *users_any_hash(const struct users *users);

/* Makes the line of a password file, with a new salt. cost: yescrypt's, 1 to 11; 0: libcrypt's choice. False: libcrypt
 * refuses, or there is no randomness to be had. */
bool users_hash(const char *password, unsigned cost, char ret_hash[USERS_HASH_MAX]);

#endif
