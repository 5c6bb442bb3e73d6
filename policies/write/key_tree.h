/* SPDX-License-Identifier: MIT */
/*
 * Things by key, whichever the keys are: a balanced tree, so that no choice of keys makes it slow. Each thing begins
 * with its key, a struct slice, whose bytes MUST stay as they are while it is in the tree. One thread at a time.
 */
#ifndef FOREBAY_POLICIES_WRITE_KEY_TREE_H
#define FOREBAY_POLICIES_WRITE_KEY_TREE_H

#include "cache/base/slice.h"

/* All zero: empty. */
struct key_tree {
    void *root;
};

/* The thing with this key, or NULL. */
void *key_tree_find(const struct key_tree *tree, struct slice key);

/* Puts a thing in, in the place of the one with its key; *ret_old is that one, or NULL. False: no memory. */
bool key_tree_put(struct key_tree *tree, void *thing, void **ret_old);

/* Takes a thing out that is in it. */
void key_tree_remove(struct key_tree *tree, const void *thing);

/* Makes it empty. The things are not looked at. */
void key_tree_clear(struct key_tree *tree);

#endif
