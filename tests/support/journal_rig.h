/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the journal share: a folder, a journal in it, and the records that recovery showed.
 *
 * A rig begins in a set_up and ends in a tear_down, which a failing assertion does not jump over: it owns the
 * journal, the folder, and all memory that its functions return.
 */
#ifndef FOREBAY_TESTS_SUPPORT_JOURNAL_RIG_H
#define FOREBAY_TESTS_SUPPORT_JOURNAL_RIG_H

#include "policies/journal/journal.h"
#include "tests/support/faulty_disk.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>

enum { RIG_SERIES_MAX = 4, RIG_FILE_SIZE = 16384, RIG_RECORDS_MAX = 200000 };

struct journal_rig_record {
    enum journal_kind kind;
    char space[64];
    char *key, *value;  /* owned, terminated */
    struct entry entry; /* its slices point to key and value */
    bool from_earlier_boot;
};

struct journal_rig_memory {
    struct journal_rig_memory *next;
    max_align_t bytes[];
};

struct journal_rig {
    struct journal_replayer replayer; /* first */
    char folder[256];
    struct journal_rig_memory *memory;
    struct journal_options options;
    struct journal *journal;
    struct journal_recovery recovery;
    struct journal_error error;

    struct journal_rig_record *records; /* that recovery showed */
    size_t count;

    atomic_uint_fast64_t durable[RIG_SERIES_MAX]; /* highest position reported */

    pthread_mutex_t lock; /* of the lines */
    char *lines;          /* that were logged, one per line */
    size_t lines_size;
    FILE *log;
};

/* Makes a new empty folder, below $TMPDIR or else in memory where there is a file system for that (these tests
 * open journals by the thousand, and each one syncs). Options: one series, RIG_FILE_SIZE, namespaces "plain"
 * and "session", and no compaction: tests count records. */
void journal_rig_set_up(struct journal_rig *rig);
/* Closes what is open, removes the folder, frees. Does nothing to a rig of zeros, nor a second time. */
void journal_rig_tear_down(struct journal_rig *rig);

/* The fixture of a test file, of this size, which begins with a rig: that is set up, the rest is zero. And its end,
 * with that of another rig of it and of the disk that both are on; NULL: it has none. */
void *journal_rig_make_fixture(size_t size);
void journal_rig_end_fixture(struct journal_rig *fixture, struct journal_rig *other,
                             struct faulty_disk *disk);

/* Zeroed; freed with the rig. */
void *journal_rig_allocate(struct journal_rig *rig, size_t size);
/* A text of size copies of a character. */
char *journal_rig_text(struct journal_rig *rig, char character, size_t size);

enum journal_status journal_rig_try_open(struct journal_rig *rig, bool skip_damaged);
void journal_rig_open(struct journal_rig *rig); /* must succeed */
void journal_rig_close(struct journal_rig *rig);

/* Reserves and appends; false if it was refused. */
bool journal_rig_append(struct journal_rig *rig, unsigned series, enum journal_mode mode, unsigned space,
                        enum journal_kind kind, const struct entry *entry);
/* A put of text to text, in namespace 0. */
bool journal_rig_put(struct journal_rig *rig, unsigned series, enum journal_mode mode, uint64_t version,
                     const char *key, const char *value);
uint64_t journal_rig_write(struct journal_rig *rig, unsigned series); /* must succeed; the position */

/* All namespaces are passed up to version. Any thread. */
void journal_rig_pass(const struct journal_rig *rig, uint64_t version);

/* The recovered record of that version, or NULL. */
const struct journal_rig_record *journal_rig_find(const struct journal_rig *rig, uint64_t version);
bool journal_rig_logged(struct journal_rig *rig, const char *part);
size_t journal_rig_count_logged(struct journal_rig *rig, const char *part);
/* Any thread; aborts when it takes a minute. */
void journal_rig_wait_durable(struct journal_rig *rig, unsigned series, uint64_t position);
struct journal_stats journal_rig_stats(const struct journal_rig *rig);

/* The whole contents of a file in the folder. */
char *journal_rig_read_file(struct journal_rig *rig, const char *name, size_t *ret_size);
void journal_rig_write_file(const struct journal_rig *rig, const char *name, const char *data, size_t size);
/* The name of the nth journal-*.fj, in order of series and sequence; false if there are fewer. */
bool journal_rig_file_name(const struct journal_rig *rig, size_t n, char ret_name[64]);
size_t journal_rig_count_files(const struct journal_rig *rig);
size_t journal_rig_count_named(const struct journal_rig *rig, const char *prefix); /* files of any kind */
void journal_rig_remove_files(const struct journal_rig *rig);                      /* all in the folder */

#endif
