/* SPDX-License-Identifier: MIT */
/*
 * What fails of the calls of a whole server, and where they come from: the common part of the library to preload
 * (LD_PRELOAD) whose calls are in injected_faults.c, injected_streams.c and injected_ring.c.
 *
 * The file that INJECTED_FAULTS names holds a struct control. tests/support/injected.py writes into it, at any time,
 * which kind of call fails, from which call or which place on, how often and with what; it reads there how many calls
 * of each kind there were and, where it asks for them, the places they came from. Where the first that failed came from
 * is written to the file of the same name with ".where" behind it; what the places are, to that with ".places".
 *
 * A place is the way by which a call came to be made: its next callers, wherever the program and its libraries lie in
 * memory. So it is the same in every life of the same build.
 *
 * Two of the libraries that do not survive an allocation that fails, whoever uses them, are spared: libconfuse, which
 * reads the configuration, and what libev itself asks for (docs/security.md, "Calls that fail", has the others).
 *
 * All of this may be called by any thread.
 */
#ifndef FOREBAY_TESTS_FAULTS_INJECTED_H
#define FOREBAY_TESTS_FAULTS_INJECTED_H

#include <stdbool.h>

/* In the order of KINDS in tests/support/injected.py. */
enum injected_kind {
    ALLOCATION,
    MAPPING,
    OPENING,
    DESCRIPTOR,
    READING,
    WRITING,
    SYNCING,
    SPACE,
    NAMING,
    RECEIVING,
    SENDING,
    CONNECTING,
    THREAD,
    WATCHING,
    WAITING,
    RING_SETUP,
    RING_CALL,
    REDIS_MEMORY,     /* allocations of hiredis, which are few among all */
    CLIENT_RECEIVING, /* what a worker asks of a client's socket itself */
    CLIENT_SENDING,
    RING_RECEIVING, /* the same over io_uring */
    RING_SENDING,
    STREAM_READING, /* by stdio */
    STREAM_WRITING,
    TLS_MEMORY,    /* allocations of OpenSSL */
    TLS_RECEIVING, /* what it asks of a client's socket */
    TLS_SENDING,
    KIND_COUNT
};

/* In the place of an errno: a write to a file, or a sync, says that it has done all, and has done nothing. So is a
 * server that does not look at what its calls come to. */
enum { INJECTED_LOST = -1 };

/* The function behind one of ours. */
#define REAL(name) ((__typeof__(&name))injected_beyond(#name))
void *injected_beyond(const char *name);

/* Counts a call, and says whether it fails: errno is set then, or 0 where the call is cut short, or
 * INJECTED_LOST. */
bool injected_fails(enum injected_kind kind);

/* Whether calls are counted: not before the library has begun, nor inside its own. */
bool injected_counts(void);

/* Whether a caller, by its return address, is hiredis, or OpenSSL. */
bool injected_is_hiredis(const void *caller);
bool injected_is_openssl(const void *caller);

#endif
