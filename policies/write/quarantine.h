/* SPDX-License-Identifier: MIT */
/*
 * The quarantine of a namespace: changes that its backend refused for good, one row at a time. They are kept
 * until an operator retries or drops them, or a newer write of the key reaches the backend. On disk, where
 * there is a data folder: a refused change was acknowledged, so it must survive the process like every other.
 *
 * Any thread. Few entries are expected; the case of none costs one relaxed load.
 */
#ifndef FOREBAY_POLICIES_WRITE_QUARANTINE_H
#define FOREBAY_POLICIES_WRITE_QUARANTINE_H

#include "backends/backend.h"
#include "policies/entry_copy.h"

struct journal_disk;

/* Opens the file of a namespace in the folder (NULL: memory only) and reads what it holds. The disk MUST outlive
 * it. NULL: error says why. */
struct quarantine *quarantine_open(const struct journal_disk *disk, const char *folder, const char *space,
                                   char *error, size_t error_size);
void quarantine_close(struct quarantine *quarantine);

/* What a quarantine's file holds, without opening it as a quarantine: nothing is changed. oldest: in seconds. False:
 * it cannot be read; errno. */
struct quarantine_summary {
    size_t entries;
    uint32_t oldest;
};
bool quarantine_look(const struct journal_disk *disk, const char *path,
                     struct quarantine_summary *ret_summary);

/* Entries held. 0 for NULL. */
size_t quarantine_count(const struct quarantine *quarantine);

/* The highest version held, 0: none. */
uint64_t quarantine_high_version(struct quarantine *quarantine);

/* Takes a refused change, on disk before it returns; one of the same key with a lower version is replaced.
 * False: it could not be written, the change has to stay where it is. */
bool quarantine_add(struct quarantine *quarantine, enum mutation_kind kind, const struct entry *entry,
                    const char *reason);

/* A change of the key with this version has reached the backend: forgets the key's entry if it is not
 * newer. */
void quarantine_supersede(struct quarantine *quarantine, struct slice key, uint64_t version);

bool quarantine_has(struct quarantine *quarantine, struct slice key);

/* A copy of the entry of a key, or NULL; *ret_deleted: it is a refused delete. To be given to
 * entry_copy_drop. */
struct entry_copy *quarantine_find(struct quarantine *quarantine, struct slice key, bool *ret_deleted);

/* Marks the entry of the key, or all (key.size 0), to be tried again; returns how many. */
size_t quarantine_ask_retry(struct quarantine *quarantine, struct slice key);

/* The next entry to be tried again, asked for no more by this, or NULL; *ret_kind is its kind. To be given to entry_copy_drop. */
struct entry_copy *quarantine_next_retry(struct quarantine *quarantine, enum mutation_kind *ret_kind);

/* Forgets the entry of a key; *ret_version is its version. False: there is none. */
bool quarantine_drop(struct quarantine *quarantine, struct slice key, uint64_t *ret_version);

/* Calls entry for each entry, oldest first. The slices are valid during the call. */
struct quarantine_visitor {
    void (*entry)(struct quarantine_visitor *self, enum mutation_kind kind, const struct entry *entry,
                  uint32_t since, const char *reason);
};
void quarantine_visit(struct quarantine *quarantine, struct quarantine_visitor *visitor);

#endif
