/* SPDX-License-Identifier: MIT */
/*
 * Whether OpenSSL got all the memory that it asked for. It does not always say so: what it cannot fetch for want of
 * memory it does without from then on, be it a cipher, a kind of keys or a version of TLS, and what it could not set up
 * once for the process it never tries again. So whoever makes something that lasts asks here.
 */
#ifndef FOREBAY_SERVER_TLS_MEMORY_H
#define FOREBAY_SERVER_TLS_MEMORY_H

#include <stdint.h>

/* From here on OpenSSL's requests for memory go through this module. Before anything else is asked of OpenSSL, or it
 * has no effect; so do all calls but the first. */
void tls_memory_watch(void);

/* How often OpenSSL got none, in this thread. */
uint64_t tls_memory_refusals(void);

#endif
