/* SPDX-License-Identifier: MIT */
/* Comparing what somebody says with a secret, in a time that tells nothing of it. */
#ifndef FOREBAY_CACHE_BASE_SECRET_H
#define FOREBAY_CACHE_BASE_SECRET_H

#include "cache/base/slice.h"

/* 0 when equal; looks at every byte of given, whatever expected is. */
static inline unsigned secret_difference(struct slice given, struct slice expected) {
    unsigned different = given.size != expected.size;
    for (size_t i = 0; i < given.size; i++) {
        char other = expected.size ? expected.data[i % expected.size] : (char)~given.data[i];
        different |= (unsigned char)(given.data[i] ^ other);
    }
    return different;
}

#endif
