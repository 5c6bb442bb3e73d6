/* SPDX-License-Identifier: MIT */
/*
 * Whether the store that the writer has opened has all that it had: by its high version and by the number of the last
 * batch, which never go back in one and the same store. Where they did, it is told, and what memory and journal have is
 * written again (rewrite.h).
 *
 * Across a start the number is compared with the one that the journal has noted beside its low-water versions: what is
 * above these is restored and written anyway, so a store that has this batch has all. The first connection is made
 * before the journal is read, and looked back at when it is. The writer's thread alone, where nothing else is said.
 */
#ifndef FOREBAY_POLICIES_WRITE_REGRESS_H
#define FOREBAY_POLICIES_WRITE_REGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct writer;

enum { REGRESS_SENTENCE_MAX = 600 };

/* The sentence about a store with this high version where it was seen to have `before`, which ends with what becomes of
 * it now; cut at size, which REGRESS_SENTENCE_MAX is enough for. Any thread. */
void regress_say_older(const char *backend, uint64_t version, uint64_t before, const char *what_now,
                       char *ret_text, size_t size);

/* A connection is open, and has given this high version. other: it is not the store that the writer had open before,
 * but another one in its place. True: they went back. */
bool regress_note(struct writer *writer, uint64_t version, bool other);

/* The store has all up to this batch, or has to have; 0: nobody knows. Readers take one that has less for one that went
 * back (backend_options.acknowledged). */
void regress_expect(struct writer *writer, uint64_t applied);

/* By its number: up to which batch it has all, where it is the store that it was; 0: nobody knows. */
uint64_t regress_mark(const struct writer *writer, bool other);

/* Before the thread begins: may it find that the store went back? Then rows are not to be touched, as what is to be
 * written again would be older than that. As long as the journal has not been read to its end, the high version alone
 * tells. Waits for the end of the first connection. */
bool regress_may_follow(struct writer *writer);

/* The thread begins, and the journal has been read. */
void regress_look_back(struct writer *writer);

#endif
