/* SPDX-License-Identifier: MIT */
/*
 * Handshakes with nobody, before there are any with clients. Much of what a handshake takes OpenSSL fetches, or sets up
 * for the process, when the first one comes to it; and where it lacked memory for that, none succeeds from then on. So
 * that is done where tls_memory_refusals tells of it.
 */
#ifndef FOREBAY_SERVER_TLS_REHEARSAL_H
#define FOREBAY_SERVER_TLS_REHEARSAL_H

#include <openssl/types.h>

/* As a server of this context, which has its certificate and key: of each version that it speaks a session begins, and
 * goes on on another connection. Where clients are asked for a certificate, that of the server is shown. Some
 * milliseconds; what a handshake comes to is nobody's business. Any thread. */
void tls_rehearse(SSL_CTX *server);

#endif
