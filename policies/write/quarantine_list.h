/* SPDX-License-Identifier: MIT */
/*
 * The entries of a quarantine, for the files that are about them: quarantine.c (what happens to them; the design),
 * quarantine_open.c (the file, from its opening to its end), quarantine_note.c (what is known of it beside it),
 * quarantine_damage.c (how its damage is told), quarantine_retry.c (those that are to be tried again).
 */
#ifndef FOREBAY_POLICIES_WRITE_QUARANTINE_LIST_H
#define FOREBAY_POLICIES_WRITE_QUARANTINE_LIST_H

#include "cache/base/progress.h"
#include "policies/write/key_tree.h"
#include "policies/write/quarantine.h"
#include "policies/write/quarantine_log.h"
#include <pthread.h>
#include <stdatomic.h>

struct refused {
    struct slice key; /* first, as the tree compares it; its bytes are the copy's */
    struct refused *previous, *next;
    struct refused *next_going; /* within a change: the next one to be removed, if its GONE can be written */
    bool going;
    bool retry;      /* an operator asked for it, */
    bool put_off;    /* but nobody takes it now */
    uint64_t number; /* grows along the list */
    struct entry_copy *copy;
    enum mutation_kind kind;
    uint32_t since;
    char reason[];
};

struct quarantine {
    char *folder, *path, *note_path;

    pthread_mutex_t file_mutex; /* of a change; before mutex */
    struct quarantine_log log;  /* under file_mutex */
    uint64_t noted_end;         /* the same: that is what the note says, at the most */
    struct progress at_disk;    /* of who has file_mutex: in a call while the file is written */

    /* Changes under both, so that who has one of them may look; what is to be retried, under mutex alone. */
    pthread_mutex_t mutex;
    struct refused *first, *last;
    struct key_tree tree;       /* struct refused by key */
    uint64_t numbered;          /* number of the last entry */
    uint64_t room_to_go;        /* bytes of the GONE records of all entries */
    struct refused *retry_from; /* no entry before it is marked and not put off; NULL: none is */
    atomic_size_t count, bytes, retries, put_off;
};

/* ---- An entry ---- */

/* With copies of what the record says. NULL: no memory. */
struct refused *refused_make(const struct quarantine_record *record);
void refused_free(struct refused *kept);

/* Frees it and all behind it. */
void refused_free_chain(struct refused *kept);

/* ---- The list, and the tree over it ---- */

static inline struct refused *quarantine_list_find(const struct quarantine *quarantine, struct slice key) {
    return key_tree_find(&quarantine->tree, key);
}

/* Puts an entry at the end of the list, in place of an older one of its key. False: no memory. */
bool quarantine_list_put(struct quarantine *quarantine, struct refused *kept);

void quarantine_list_remove(struct quarantine *quarantine, struct refused *kept);
void quarantine_list_free(struct quarantine *quarantine);

/* Marks it to be tried again, or no longer. With the mutex. */
void quarantine_list_set_retry(struct quarantine *quarantine, struct refused *kept, bool retry);

/* The same, but not now. */
void quarantine_list_put_off(struct quarantine *quarantine, struct refused *kept);

/* ---- quarantine_open.c: the file ---- */

/* Writes the record of an entry. False: errno. */
bool quarantine_write_add(struct quarantine_log *log, const struct refused *kept);

/* Behind a change of the file and of the list: notes how far the file is good, and how much it holds. */
void quarantine_note(struct quarantine *quarantine);

/* Writes the file anew with the entries held. If that fails, the old file stays in use. */
void quarantine_rewrite(struct quarantine *quarantine);

#endif
