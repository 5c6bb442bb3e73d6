/* SPDX-License-Identifier: MIT */
/* What the tests of the journal share: a folder, a journal in it, and the records that recovery showed. */
#ifndef FOREBAY_TESTS_SUPPORT_JOURNAL_RIG_H
#define FOREBAY_TESTS_SUPPORT_JOURNAL_RIG_H

#include "policies/journal/journal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum { RIG_SERIES_MAX = 4, RIG_FILE_SIZE = 16384, RIG_RECORDS_MAX = 200000 };

struct rig_record {
    enum journal_kind kind;
    char space[64];
    char *key, *value; /* owned, terminated */
    size_t key_size, value_size;
    struct entry entry; /* its slices point to key and value */
};

struct journal_rig {
    struct journal_replayer replayer; /* first */
    char folder[256];
    struct journal_options options;
    struct journal *journal;
    struct journal_recovery recovery;
    struct journal_error error;

    struct rig_record *records; /* that recovery showed */
    size_t count;

    atomic_uint_fast64_t durable[RIG_SERIES_MAX]; /* highest position reported */

    pthread_mutex_t lock; /* of the lines */
    char *lines;          /* that were logged, one per line */
    size_t lines_size;
    FILE *log;
};

/* A new empty folder, below $TMPDIR, or in memory where that can be had (these tests open journals by the
 * thousand, and each one syncs); options: one series, RIG_FILE_SIZE, namespaces "plain" and "session". */
void rig_setup(struct journal_rig *rig);
/* Closes what is open, removes the folder. */
void rig_teardown(struct journal_rig *rig);

enum journal_status rig_try_open(struct journal_rig *rig, bool skip_damaged);
void rig_open(struct journal_rig *rig); /* must succeed */
void rig_close(struct journal_rig *rig);
void rig_forget(struct journal_rig *rig); /* the records of the last recovery */

/* Reserves and appends; false if it was refused. */
bool rig_append(struct journal_rig *rig, unsigned series, enum journal_mode mode, unsigned space,
                enum journal_kind kind, const struct entry *entry);
/* A put of text to text, in namespace 0. */
bool rig_put(struct journal_rig *rig, unsigned series, enum journal_mode mode, uint64_t version,
             const char *key, const char *value);
uint64_t rig_write(struct journal_rig *rig, unsigned series); /* must succeed; the position */

/* The recovered record of that version, or NULL. */
const struct rig_record *rig_find(const struct journal_rig *rig, uint64_t version);
bool rig_logged(struct journal_rig *rig, const char *part);
size_t rig_count_logged(struct journal_rig *rig, const char *part);
void rig_wait_durable(struct journal_rig *rig, unsigned series, uint64_t position);

/* The whole contents of a file in the folder; the caller frees. */
char *rig_read_file(const struct journal_rig *rig, const char *name, size_t *ret_size);
void rig_write_file(const struct journal_rig *rig, const char *name, const char *data, size_t size);
/* The name of the nth journal-*.fj, in order of series and sequence; false if there are fewer. */
bool rig_file_name(const struct journal_rig *rig, size_t n, char ret_name[64]);
size_t rig_count_files(const struct journal_rig *rig);
void rig_remove_files(const struct journal_rig *rig); /* all in the folder */

#endif
