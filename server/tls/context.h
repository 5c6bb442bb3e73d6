/* SPDX-License-Identifier: MIT */
/*
 * What all encrypted connections have in common: the server's certificate and key, who makes clients' certificates,
 * versions and ciphers. A context is made of the files that the settings name, and never changes; a reload makes
 * another, and connections keep the one that they began with. worker/tls.c is about the connections.
 *
 * Files are read whole before anything is made of them, so a context is of one moment, and two can be compared.
 */
#ifndef FOREBAY_SERVER_TLS_CONTEXT_H
#define FOREBAY_SERVER_TLS_CONTEXT_H

#include "server/config/settings.h"
#include <openssl/types.h>

struct tls;         /* the context that new connections get; any thread */
struct tls_context; /* one that was loaded */

/* What handshakes may cost before they are done: worker/tls.c, docs/security.md. */
enum {
    TLS_CHAIN_MOST = 32 << 10,     /* bytes of a client's certificates */
    TLS_HANDSHAKE_MOST = 64 << 10, /* bytes that a client sends before its handshake is done */
};

/* Reads the files. NULL with a whole sentence that names the file and the remedy. Any thread. */
struct tls_context *tls_context_load(const struct settings *settings, char *ret_error, size_t error_size);
void tls_context_free(struct tls_context *context);

/* What is not well, although it can be served with: a certificate that is over, or not valid yet, a key that everybody
 * can read. True with a whole sentence. */
bool tls_context_warns(const struct tls_context *context, const struct settings *settings, char *ret_warning,
                       size_t warning_size);

/* Takes the context over. NULL: no memory; it is still the caller's. */
struct tls *tls_create(struct tls_context *context);
void tls_free(struct tls *tls); /* NULL is allowed */

/* New connections get `context` from now on. Returns the one before, which is the caller's; or `context` itself, if it
 * is the same as that one. */
struct tls_context *tls_exchange(struct tls *tls, struct tls_context *context);

/* The server's end of a connection that begins. kind: one that is encrypted. NULL: no memory. */
SSL *tls_begin(struct tls *tls, enum address_tls kind);

/* tls_context_warns of the context that new connections get. */
bool tls_warns(struct tls *tls, const struct settings *settings, char *ret_warning, size_t warning_size);

/* Seconds since the context was loaded. */
uint64_t tls_age(struct tls *tls);

#endif
