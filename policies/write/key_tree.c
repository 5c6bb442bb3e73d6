/* SPDX-License-Identifier: MIT */
/* By tsearch of the C library; a file of its own, as <search.h> has a struct entry of another kind. */
#include "policies/write/key_tree.h"
#include <search.h>
#include <string.h>

static int compare_keys(const void *left, const void *right) {
    const struct slice *a = left, *b = right;
    int order = memcmp(a->data, b->data, a->size < b->size ? a->size : b->size);
    return order ? order : (a->size > b->size) - (a->size < b->size);
}

void *key_tree_find(const struct key_tree *tree, struct slice key) {
    void *const *node = tfind(&key, &tree->root, compare_keys);
    return node ? *node : NULL;
}

bool key_tree_put(struct key_tree *tree, void *thing, void **ret_old) {
    void **node = tsearch(thing, &tree->root, compare_keys);
    if (!node)
        return false;
    *ret_old = *node == thing ? NULL : *node;
    *node = thing;
    return true;
}

void key_tree_remove(struct key_tree *tree, const void *thing) {
    tdelete(thing, &tree->root, compare_keys);
}

static void leave(void *thing) {
    (void)thing;
}

void key_tree_clear(struct key_tree *tree) {
    tdestroy(tree->root, leave);
    tree->root = NULL;
}
