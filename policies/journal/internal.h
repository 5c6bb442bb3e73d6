/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the journal share. Not for others: they include policies/journal/journal.h.
 *
 *     journal.c           open, close, the options, statistics
 *     journal_series.c    the worker's side: reserve, append, write
 *     journal_keeper.c    a thread that makes the next files before they are needed
 *     journal_syncer.c    a thread that syncs, and recycles what lies below the low-water version
 *     journal_recovery.c  reading at the start
 *     journal_marks.c     the file that holds the low-water versions
 *     journal_format.c    the bytes;   journal_files.c  the disk;   journal_dump.c  for people to read
 *
 * The life of a file, and who moves it on:
 *
 *     (nothing) --keeper--> ready --worker--> current --worker--> sealed --syncer--> blank
 *                             ^                                     ^                  |
 *                             |            files of earlier         |                  |
 *                             |            processes: recovery -----+                  |
 *                             +------------------------ keeper ------------------------+
 *
 * ready, current and sealed files are named journal-<series>-<sequence>.fj and are read at recovery. A file
 * is given that name only when its header is on disk; while it is being made, and while it waits for its next
 * use, it is blank-<number>, and is of no interest to anybody after a crash.
 *
 * One lock, journal.lock, for the lists and the requests between threads; no file is touched while it is
 * held. The contents of a current file belong to its worker, what the other threads read of it is atomic.
 */
#ifndef FOREBAY_POLICIES_JOURNAL_INTERNAL_H
#define FOREBAY_POLICIES_JOURNAL_INTERNAL_H

#include "cache/base/thread.h"
#include "policies/journal/disk.h"
#include "policies/journal/format.h"
#include "policies/journal/journal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

enum {
    JOURNAL_NAME_MAX = 64,
    JOURNAL_PATH_MAX = 4096,
    JOURNAL_BUFFER = 256 << 10, /* a turn's records beyond this are written before its end: they would leave
                                   the second-level cache, and writes get no cheaper from there on */
    JOURNAL_BUFFER_KEPT = 1 << 20, /* a buffer that one large value made longer than this is given back */
    JOURNAL_PREFILL = 64 << 10, /* the size of the writes by which new files are filled (docs/journal.md) */
    JOURNAL_RETRY_MS = 200,     /* between attempts at what failed */
    JOURNAL_MARKS_INTERVAL_MS = 5000, /* the low-water version is noted at least so often */
    JOURNAL_PEAK_MS = 60000, /* files that were in use at once so long ago are kept for their next use */
    JOURNAL_BLANKS_MAX = 4096,
};

/* ---- Low-water versions on disk ---- */

/* Per namespace, by name: a version belongs to those namespaces only that the process knew when it set it. */
struct journal_mark {
    struct slice space;
    uint64_t version;
    bool configured; /* one of journal_options.spaces: moves with journal_set_low_water */
};

struct journal_marks {
    struct journal_mark *list; /* owns the names */
    size_t count;
    uint64_t serial; /* counts the writes */
    size_t on_disk;  /* bytes of a copy in the file that was read; 0: none was */
};

enum marks_status { MARKS_OK, MARKS_ABSENT, MARKS_DAMAGED, MARKS_FAILED };

enum marks_status journal_marks_read(const struct journal_disk *disk, const char *folder,
                                     struct journal_marks *ret_marks);
/* In a new file that replaces the old one. */
bool journal_marks_create(const struct journal_disk *disk, const char *folder, struct journal_marks *marks);
bool journal_marks_fit(const struct journal_marks *marks); /* into the file that was read */
/* In place: needs no room on the disk. Durable when it returns true. */
bool journal_marks_update(const struct journal_disk *disk, const char *folder, struct journal_marks *marks);
struct journal_mark *journal_marks_find(struct journal_marks *marks, struct slice space); /* or NULL */
bool journal_marks_add(struct journal_marks *marks, struct slice space, uint64_t version, bool configured);
void journal_marks_free(struct journal_marks *marks);

/* ---- Files ---- */

struct journal_file {
    struct journal_file *next; /* in journal.files; under the lock */
    char name[JOURNAL_NAME_MAX];
    int handle; /* -1: of an earlier process, not open */
    unsigned series;
    uint64_t size; /* bytes on disk */
    size_t header_size;
    struct format_key key;
    uint64_t base; /* position in the series = base + offset in the file */
    bool pinned;   /* holds what a namespace wrote that is not configured now: stays whatever the low-water
                      version */

    /* The worker stores, others load. */
    _Atomic uint64_t written;                  /* offset up to which records are in the file */
    _Atomic uint64_t always_end, interval_end; /* the same for records of that mode */
    _Atomic uint64_t max_version;
    _Atomic bool sealed;
    _Atomic bool
        suspect; /* it could not be written, or synced: nothing more goes there, and it is not used again */

    /* The syncer's alone. */
    uint64_t synced, noted, reported;
    bool unsynced; /* the last sync failed */
    unsigned pass;
};

struct journal_list {
    struct journal_file *first, **last;
};

/* ---- Series ---- */

enum series_state {
    SERIES_GOOD,
    SERIES_FAILING, /* the buffer could not be written */
};

struct journal_series {
    /* The worker's alone. */
    struct journal *journal;
    unsigned index;
    enum series_state state;
    struct journal_file *file; /* current, or NULL: none could be made yet */
    size_t room;               /* bytes that can be appended without looking further */
    char *buffer;
    size_t capacity, buffered;
    size_t placed;   /* of the buffered bytes: these have the tags and CRCs of their place in the file */
    size_t done;     /* and these are in the file already (a write ended early) */
    uint64_t offset; /* in the file, where buffer[0] goes */
    uint64_t buffered_version; /* highest in the buffer */
    uint64_t buffered_records;
    size_t always_size,
        interval_size;      /* of the buffered bytes: up to the end of the last record of that mode */
    uint64_t turn_position; /* what the next journal_write returns; 0: no record of mode `always` */
    uint64_t end_position;  /* of the series, while there is no current file */
    uint64_t failing_us;    /* SERIES_FAILING: since then, or since it was tried in another file */
    unsigned moves;         /* to other files since it began to fail */
    bool asked;             /* for the file after this one */

    unsigned blocked_pass; /* the syncer's alone: the pass in which later files of the series had to wait */
    _Atomic bool refusing; /* by the syncer: a sync of what this series wrote failed */
    _Atomic uint64_t records, bytes, failures;

    /* Between the worker and the keeper, under journal.lock. */
    bool wanted;
    size_t wanted_large; /* bytes of a record that needs a file of its own; 0: none */
    struct journal_file *ready, *large;
    bool starved; /* the last attempt failed */
    bool large_failed;
    uint64_t retry_us; /* monotonic */
} __attribute__((aligned(128)));

/* ---- The whole ---- */

struct journal {
    /* Set by journal_open. */
    const struct journal_disk *disk;
    char *folder;
    int lock_file;
    unsigned series_count;
    struct journal_series *series;
    uint64_t file_size;
    unsigned fsync_interval_ms;
    struct slice *spaces;
    size_t space_count;
    uint8_t boot[JOURNAL_BOOT_SIZE];
    void (*durable)(void *context, unsigned series, uint64_t position);
    void (*log)(void *context, enum log_level level, const char *message);
    void *context;

    pthread_mutex_t lock;
    pthread_cond_t keeper_wanted, keeper_answered, syncer_wanted;
    pthread_t keeper, syncer;
    bool threads_run;

    /* Under the lock. */
    bool stopping;
    bool sync_wanted, recycle_wanted;
    struct journal_list files; /* current and sealed */
    uint64_t next_sequence;
    uint64_t next_blank;
    uint64_t *blanks; /* numbers of files that wait for their next use; JOURNAL_BLANKS_MAX places and some */
    size_t blank_count, blank_limit;

    /* The syncer's alone. */
    struct journal_marks marks;
    bool marks_failing, sync_failing;
    uint64_t marks_us; /* when they were written, monotonic */
    size_t peaks[2];   /* files in use at once, at most: in the running window and in the one before */
    uint64_t peak_us;  /* when the running window began */
    unsigned pass;

    /* The keeper's alone. */
    bool keeper_failing;

    _Atomic uint64_t low_water;
    _Atomic uint64_t
        recyclable_from; /* the low-water version at which a sealed file can go; UINT64_MAX: none */
    _Atomic uint64_t fsyncs, fsync_us, fsync_max_us, recycled, failures;
};

void journal_log(const struct journal *journal, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void journal_path(const char *folder, const char *name, char ret_path[JOURNAL_PATH_MAX]);

void journal_list_init(struct journal_list *list);
void journal_list_append(struct journal_list *list, struct journal_file *file);
void journal_file_free(const struct journal *journal, struct journal_file *file);

/* Makes a file for at least record_size bytes of records and gives it its name. NULL: errno says why. */
struct journal_file *journal_file_create(struct journal *journal, unsigned series, size_t record_size);
void *journal_keeper_run(void *journal);

/* Hands a series the file that the keeper has ready, waiting for its answer. NULL: none can be had. */
struct journal_file *journal_take_file(struct journal_series *series, size_t record_size);

/* The file that the keeper has ready, or NULL: it was asked for one. Does not wait. */
struct journal_file *journal_take_ready(struct journal_series *series);

uint64_t journal_random_epoch(void);

void *journal_syncer_run(void *journal);
/* Syncs what the modes ask for, or everything. */
void journal_sync_pass(struct journal *journal, bool interval, bool everything);
/* Notes the low-water version and takes out of the list what lies below it. */
void journal_recycle_pass(struct journal *journal);

bool journal_series_flush(struct journal_series *series);
bool journal_series_start(struct journal_series *series); /* with a first file, if one can be made */

/* Reads what is in the folder; fills files, marks, next_sequence. */
enum journal_status journal_recover(struct journal *journal, bool skip_damaged,
                                    struct journal_replayer *replayer, struct journal_recovery *recovery,
                                    struct journal_error *error);

/* journal-<series>-<sequence>.fj */
bool journal_parse_name(const char *name, unsigned *ret_series, uint64_t *ret_sequence);
void journal_format_name(unsigned series, uint64_t sequence, char ret_name[JOURNAL_NAME_MAX]);
/* blank-<number> */
bool journal_parse_blank(const char *name, uint64_t *ret_number);
void journal_format_blank(uint64_t number, char ret_name[JOURNAL_NAME_MAX]);

/* The names of the journal's files in the folder, by series and sequence. The caller frees. */
struct journal_name {
    char name[JOURNAL_NAME_MAX];
    unsigned series;
    uint64_t sequence;
};
bool journal_list_folder(const char *folder, struct journal_name **ret_names, size_t *ret_count);

#endif
