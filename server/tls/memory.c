/* SPDX-License-Identifier: MIT */
#include "server/tls/memory.h"
#include <openssl/crypto.h>
#include <stdlib.h>

/* OpenSSL's functions for memory are the process's, and have no context. */
static _Thread_local uint64_t refusals;

static void *noted(void *block, size_t size) {
    refusals += !block && size > 0;
    return block;
}

static void *give(size_t size, const char *file, int line) {
    (void)file, (void)line;
    return size > 0 ? noted(malloc(size), size) : NULL;
}

static void *give_more(void *block, size_t size, const char *file, int line) {
    (void)file, (void)line;
    return noted(realloc(block, size), size);
}

static void take_back(void *block, const char *file, int line) {
    (void)file, (void)line;
    free(block);
}

void tls_memory_watch(void) {
    (void)CRYPTO_set_mem_functions(give, give_more, take_back);
}

uint64_t tls_memory_refusals(void) {
    return refusals;
}
