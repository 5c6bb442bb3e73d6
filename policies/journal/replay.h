/* SPDX-License-Identifier: MIT */
/*
 * What the parts of reading at the start share: replay.c (the files and their records), replay_fate.c (whose records
 * count), replay_damage.c (what is no record), replay_low_water.c (from where on they count). One thread.
 */
#ifndef FOREBAY_POLICIES_JOURNAL_REPLAY_H
#define FOREBAY_POLICIES_JOURNAL_REPLAY_H

#include "policies/journal/damage.h"
#include "policies/journal/internal.h"
#include "policies/journal/walk.h"

/* What becomes of the records of a namespace. */
struct space_fate {
    bool known;
    uint64_t *given_up; /* not NULL: its records are, and this is the highest version of them */
    uint64_t low_water;
    size_t index; /* of journal.spaces, or else of recovering.unknown */
};

/* A namespace that is not configured. */
struct unknown_space {
    char *name;
    size_t size;
    uint64_t records, files;
    const char *last_file; /* counted for */
};

/* A reading at the start. */
struct recovering {
    struct journal *journal;
    const struct journal_options *options;
    uint64_t *given_up; /* the highest version that is given up, for each of options->discarded */
    bool skip_damaged;
    struct journal_replayer *replayer;
    struct journal_recovery *recovery;
    struct journal_error *error;
    struct low_waters low_waters; /* as found */
    struct journal_name *names;
    size_t name_count, name_index;
    struct walk walk;         /* over the file at hand */
    bool from_earlier_boot;   /* that file */
    struct space_fate *fates; /* of the namespaces in its header */
    struct journal_record to_show[JOURNAL_SHOWN_MOST];
    size_t to_show_count;
    struct unknown_space *unknown;
    size_t unknown_count;
    uint64_t progress_us;
};

/* ---- replay.c ---- */

/* Sets the error. Returns `status`. */
enum journal_status replay_fail(struct recovering *self, enum journal_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* JOURNAL_FAILED: what was to be done to the file at hand could not be done, as errno says. */
enum journal_status replay_fail_file(struct recovering *self, const char *what);

/* Of the file at hand. */
const char *replay_file_name(const struct recovering *self);

/* ---- replay_fate.c ---- */

/* Sets the fates of the namespaces in the header of the file at hand. False: no memory. */
bool replay_decide_fates(struct recovering *self);

/* Where the highest version is noted of a namespace whose records are given up; NULL: they are not. */
uint64_t *replay_given_up(const struct recovering *self, struct slice space);

/* A record of a namespace that is not configured: the file stays. False: the replayer refuses it. */
bool replay_keep_unknown(struct recovering *self, struct journal_file *file, size_t index);

/* Tells of all such namespaces. */
void replay_name_unknown(const struct recovering *self);

void replay_free_fates(struct recovering *self);

/* ---- replay_damage.c ---- */

/* A place of the file at hand, as those of struct damage. JOURNAL_OK: go on behind it. */
enum journal_status replay_damaged(struct recovering *self, const char *what, uint64_t offset,
                                   uint64_t bytes);

/* Are the files there that were in use? JOURNAL_OK: go on without those that are not. */
enum journal_status replay_miss_files(struct recovering *self);

/* A write that was not completed. */
void replay_torn(struct recovering *self, size_t offset, size_t extent);

/* A file with damaged places is read once: its whole records go into a new one, then it is set aside. In this
 * order, so that a crash in between leaves the records twice rather than not at all. */
void replay_replace_damaged(struct recovering *self, struct journal_file *file);

/* The file at hand has no header that could be trusted. */
enum journal_status replay_set_aside(struct recovering *self, const char *what);

/* ---- replay_low_water.c ---- */

enum journal_status replay_read_low_waters(struct recovering *self);

/* Those of the configuration, and of other namespaces that a file still mentions. */
enum journal_status replay_start_low_waters(struct recovering *self);

#endif
