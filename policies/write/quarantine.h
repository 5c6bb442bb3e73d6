/* SPDX-License-Identifier: MIT */
/*
 * The quarantine of a namespace holds the changes that its backend has refused for good. They are kept until an
 * operator retries or drops them, or a newer change of the key reaches the backend. Where there is a data folder they
 * are kept on disk: a refused change was acknowledged, so it must survive the process like any other.
 *
 * Any thread. What is done to one entry takes about as long however many there are; the case of none costs one relaxed
 * load. Only what adds, supersedes or drops waits for the disk. It does not bound itself: its namespace takes no
 * changes while it is as large as quarantine_limit (fullness.h).
 */
#ifndef FOREBAY_POLICIES_WRITE_QUARANTINE_H
#define FOREBAY_POLICIES_WRITE_QUARANTINE_H

#include "backends/backend.h"
#include "policies/entry_copy.h"

struct journal_disk;

/* What is wrong with a file. */
struct quarantine_damage {
    size_t places;          /* that hold no record though records follow, */
    uint64_t bytes, offset; /* of all; of the first */
    uint64_t missing;       /* bytes behind the end that were synced, and are no records any more */
    size_t gone;            /* entries that it had, if the file itself is not there */
    bool cut_short;         /* what is behind the last record was begun and is none, */
    uint64_t end;           /* from here on */
};

static inline bool quarantine_is_damaged(const struct quarantine_damage *damage) {
    return damage->places > 0 || damage->missing > 0 || damage->gone > 0;
}

/* Opens the file of a namespace in the folder (NULL: memory only) and reads what it holds. A damaged file is refused,
 * or (skip_damaged) kept beside the new one as damaged-N-quarantine-NAME.log, and *ret_damage says what was passed
 * over. The disk MUST outlive it. NULL: error says why. */
struct quarantine *quarantine_open(const struct journal_disk *disk, const char *folder, const char *space,
                                   bool skip_damaged, struct quarantine_damage *ret_damage, char *error,
                                   size_t error_size);
void quarantine_close(struct quarantine *quarantine);

/* True: its file was removed or renamed, and was written anew, with all entries. */
bool quarantine_look_after(struct quarantine *quarantine);

/* What a quarantine's file holds, without opening it as a quarantine: nothing is changed. oldest: in seconds. False:
 * it cannot be read, or there is none, and none is missing; errno. */
struct quarantine_summary {
    size_t entries;
    uint32_t oldest;
    struct quarantine_damage damage;
};
bool quarantine_look(const struct journal_disk *disk, const char *path,
                     struct quarantine_summary *ret_summary);

/* Gives up what the file holds, and that it was there. False: errno. */
bool quarantine_forget(const struct journal_disk *disk, const char *path);

/* The same of one that is damaged, or missing, and not opened: a damaged one is kept as quarantine_open does. False:
 * error says why. */
bool quarantine_put_away(const struct journal_disk *disk, const char *folder, const char *space,
                         const struct quarantine_damage *damage, char *error, size_t error_size);

/* What refuses a start, and how to start all the same. */
void quarantine_damage_refuses(const char *path, const struct quarantine_damage *damage, char *ret_text,
                               size_t size);

/* The same in a line of the log, as what was skipped. */
void quarantine_say_skipped(const struct quarantine_damage *damage, char *ret_text, size_t size);

/* Entries held, and the memory that they take, bytes. 0 for NULL. */
size_t quarantine_count(const struct quarantine *quarantine);
size_t quarantine_bytes(const struct quarantine *quarantine);

/* Of its file; NULL: it is in memory alone, or there is none. It lives as long as the quarantine. */
const char *quarantine_path(const struct quarantine *quarantine);

/* For how long its file has been written to by one call; 0: it is not, or NULL. Takes no lock. */
uint64_t quarantine_at_disk_us(const struct quarantine *quarantine, uint64_t now_us);

/* The highest version held, 0: none. */
uint64_t quarantine_high_version(struct quarantine *quarantine);

/* Takes refused changes, on disk before it returns, all with one sync; one of the same key with a lower version is
 * replaced. reason: of those that have no refusal of their own. False: they could not be written (errno), and have to
 * stay where they are. */
bool quarantine_add(struct quarantine *quarantine, const struct mutation *mutations, size_t count,
                    const char *reason);

/* These changes have reached the backend: forgets the entries of their keys that are not newer, on disk before
 * it returns, all with one sync. False: that could not be written (errno), and all entries stay. The journal
 * must not forget these changes then, or a restart would show the entries in their place. */
bool quarantine_supersede(struct quarantine *quarantine, const struct mutation *mutations, size_t count);

bool quarantine_has(struct quarantine *quarantine, struct slice key);

/* A copy of the entry of a key, or NULL; *ret_deleted: it is a refused delete. To be given to
 * entry_copy_drop. */
struct entry_copy *quarantine_find(struct quarantine *quarantine, struct slice key, bool *ret_deleted);

/* Marks the entry of the key, or all (key.size 0), to be tried again; returns how many. */
size_t quarantine_ask_retry(struct quarantine *quarantine, struct slice key);

/* How many entries are marked. */
size_t quarantine_retries(const struct quarantine *quarantine);

/* The next entries that are marked, oldest first, at most so many and with about so many bytes of values; their marks
 * are taken away. The copies are to be given to entry_copy_drop. Returns how many. */
struct quarantine_retry {
    struct entry_copy *copy;
    enum mutation_kind kind;
};
size_t quarantine_next_retries(struct quarantine *quarantine, size_t most, size_t most_bytes,
                               struct quarantine_retry *ret_retries);

/* Marks the entry of the key to be tried again, but not before quarantine_go_on_retrying: nobody takes it now. How many
 * are put off so: they are among those that are marked. */
void quarantine_put_off_retry(struct quarantine *quarantine, struct slice key);
size_t quarantine_put_off(const struct quarantine *quarantine);
void quarantine_go_on_retrying(struct quarantine *quarantine);

enum quarantine_drop { QUARANTINE_DROPPED, QUARANTINE_NONE, QUARANTINE_FAILED };

/* Forgets the entry of a key, on disk before it returns; *ret_version is its version. FAILED: that could not be
 * written (errno), and the entry stays. */
enum quarantine_drop quarantine_drop(struct quarantine *quarantine, struct slice key, uint64_t *ret_version);

/* Calls entry for each entry, oldest first. The slices are valid during the call. */
struct quarantine_visitor {
    void (*entry)(struct quarantine_visitor *self, enum mutation_kind kind, const struct entry *entry,
                  uint32_t since, const char *reason);
};
void quarantine_visit(struct quarantine *quarantine, struct quarantine_visitor *visitor);

/* Forgets all entries, on disk before it returns, with one sync. Then the visitor is shown each of them, with no lock
 * held. FAILED: as above, and all entries stay. */
enum quarantine_drop quarantine_drop_all(struct quarantine *quarantine, struct quarantine_visitor *visitor);

#endif
