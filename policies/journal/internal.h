/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the journal share. Others include policies/journal/journal.h.
 *
 *     journal.c           open, close, the options, statistics
 *     spaces.c            its namespaces, and those that are added while it is open
 *     series.c            a worker's side: reserve, append, write
 *     keeper.c            a thread that makes the next files before they are needed
 *     syncer.c            a thread that makes records durable
 *     recycle.c           what the syncer does with files that the low-water versions have passed
 *     retain.c            those of them that stay a while, for a store that goes back
 *     past.c              reading what has ever been appended and is still in a file
 *     reader.c            the records of one file, one after the other
 *     walk.c              the same of a file whose end is not known;   window.c  how both read
 *     compact.c           a thread that copies what is needed of files that are held back into fewer
 *     kept.c              which records of such files are needed
 *     replay.c            reading at the start: replay_fate.c whose records count, replay_damage.c what is no record,
 *                         replay_low_water.c from where on they count
 *     damage.c            how damage is told;   survey.c  whoever only wants to know what there is
 *     low_water_file.c    the file that holds the low-water versions;   listed.c  which files it says are in use
 *     names.c             the names in the folder
 *     format.c            the bytes;   disk.c  the system calls;   dump.c  for people to read
 *
 * The life of a file, and who moves it on:
 *
 *     (nothing) --keeper--> ready --worker--> current --worker--> sealed --syncer--> blank
 *                             ^                                     ^                  |
 *                             |              files of earlier       |                  |
 *                             |              processes: replay -----+                  |
 *                             +------------------------ keeper ------------------------+
 *
 * Or the compactor copies what is needed of sealed files into new ones, which are sealed from the start, and
 * the syncer makes blanks of the old.
 *
 * Between sealed and blank a file may be retained for a while (retain.c): nothing of it is needed but by a store that
 * has gone back.
 *
 * Ready, current, sealed and retained files are named journal-<series>-<sequence>.fj and are read at the start. A file
 * gets that name only when its header is on disk; while it is being made, and while it waits for its next
 * use, it is blank-<number>, and a start takes it for that, or removes it.
 *
 * One lock, journal.lock, for the lists and the requests between threads; no file is touched while it is
 * held. The contents of a current file belong to its worker; what the other threads read of it is atomic.
 */
#ifndef FOREBAY_POLICIES_JOURNAL_INTERNAL_H
#define FOREBAY_POLICIES_JOURNAL_INTERNAL_H

#include "cache/base/log_limit.h"
#include "cache/base/progress.h"
#include "cache/base/thread.h"
#include "policies/journal/disk.h"
#include "policies/journal/format.h"
#include "policies/journal/journal.h"
#include "policies/journal/low_water_file.h"
#include "policies/journal/names.h"
#include <pthread.h>
#include <stdatomic.h>

enum {
    /* Records of a turn beyond this are written before its end: they would leave the second-level cache, and
     * writes get no cheaper from there on. */
    JOURNAL_BUFFER = 256 << 10,
    JOURNAL_PIECE = 64 << 10, /* files are filled by writes of this size (docs/journal.md) */
    /* A series begins with a file this long, and each next one is so many times longer, up to the size that the
     * options say: a start makes little, and a server that writes little takes little room. */
    JOURNAL_FIRST_SIZE = 1 << 20,
    JOURNAL_GROWTH = 4,
    JOURNAL_RETRY_MS = 200, /* between attempts at what failed */
    JOURNAL_BLANKS_MAX = 4096,
    JOURNAL_SPACES_MORE = 64, /* namespaces that can be added to an open journal */
};

/* ---- Files ---- */

struct journal_file {
    struct journal_file *next; /* in journal.files; under the lock */
    char name[JOURNAL_NAME_MAX];
    int handle;                      /* -1: of an earlier process, not open */
    unsigned series;                 /* number */
    uint64_t size;                   /* bytes on disk */
    size_t header_size, space_count; /* of the header: records of later namespaces have no name there */
    struct format_key key;
    uint64_t base; /* position in the series = base + offset in the file */
    /* Holds what a namespace wrote that is not configured now: stays whatever the low-water versions. */
    bool pinned;
    uint8_t boot[JOURNAL_BOOT_SIZE]; /* of the system, when it was begun */

    /* Under the lock. */
    uint64_t sealed_us;   /* monotonic; 0: by an earlier process */
    bool is_compacted;    /* the compactor reads it: it must not go meanwhile */
    bool is_replaced;     /* what is needed of it is in another file: it can go */
    bool is_unreadable;   /* the compactor has tried in vain */
    bool holds_discarded; /* records that were given up: they must not come back */
    bool is_listed;       /* the low-water file on disk says that it is in use (listed.c), */
    bool is_being_listed; /* and so does the one that is being written */
    uint64_t passed_at;   /* by keep_clock_us, when it was retained */

    /* The worker stores, others load. */
    atomic_uint_fast64_t written;                  /* offset up to which records are in the file */
    atomic_uint_fast64_t always_end, interval_end; /* the same for records of that mode */
    atomic_bool sealed;
    /* It could not be written (says the worker) or synced (says the syncer): it is not used again. */
    atomic_bool suspect;

    /* The syncer's alone. */
    uint64_t synced, noted, reported;
    bool unsynced;      /* the last sync failed, or the file has lost its name */
    unsigned pass;      /* in which it was synced last */
    unsigned look_pass; /* in which its name was looked at last */

    /* The highest version of each namespace, 0: it has no record here. The worker stores, others load. */
    atomic_uint_fast64_t max_versions[];
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
    unsigned number;
    enum series_state state;
    struct journal_file *file; /* current, or NULL: none could be made yet */
    size_t room;               /* bytes that can be appended without looking further */
    char *buffer;
    size_t capacity, buffered;
    size_t placed;   /* of the buffered bytes: these have the tags and CRCs of their place in the file */
    size_t done;     /* and these are in the file already (a write ended early) */
    uint64_t offset; /* in the file, where buffer[0] goes */
    uint64_t *buffered_versions;     /* of each namespace, the highest in the buffer; 0: none */
    unsigned first_space, end_space; /* of those that have one */
    uint64_t buffered_records;
    /* Of the buffered bytes: up to the end of the last record of that mode. */
    size_t always_size, interval_size;
    uint64_t turn_position; /* what the next journal_write returns; 0: no record of mode `always` */
    uint64_t end_position;  /* of the series, while there is no current file */
    uint64_t failing_us;    /* SERIES_FAILING: since then, or since it was tried in another file */
    unsigned moves;         /* to other files since it began to fail */
    bool asked;             /* for the file after this one */
    /* In a call while it writes, or waits for a file that the keeper makes; anyone reads it. */
    struct progress at_disk;

    /* The syncer's alone. */
    unsigned blocked_pass; /* the pass in which later files of the series had to wait */
    bool awaited;          /* an earlier file than the one at hand has records of mode `always` to sync */

    atomic_bool refusing; /* by the syncer: a sync of what this series wrote failed */
    atomic_uint_fast64_t records, bytes, failures;

    /* Between the worker and the keeper, under journal.lock. */
    bool wanted;
    size_t wanted_large; /* bytes of a record that needs a file of its own; 0: none */
    struct journal_file *ready, *large;
    uint64_t next_size; /* of the file that the keeper makes next; a blank may be longer */
    /* The last attempt failed; it is tried again until one succeeds. Stored under the lock, read by anyone. */
    atomic_bool starved;
    atomic_bool blocked; /* and the worker has no room left in its current file; the same */
    bool large_failed;
    uint64_t retry_us; /* monotonic */
} __attribute__((aligned(128)));

/* ---- The whole ---- */

/* How far a namespace is passed. */
struct journal_passing {
    atomic_uint_fast64_t low_water;
    /* The least of its versions that a sealed file ends with and that is not passed: there may be something to
     * recycle from there on; UINT64_MAX: none. */
    atomic_uint_fast64_t next;
    atomic_uint_fast64_t mark;      /* journal_set_mark */
    atomic_uint_fast64_t forgotten; /* journal_forgotten */
    uint64_t to_forget;             /* the syncer's: will be forgotten, once that is noted (retain.c) */
    atomic_bool is_kept;            /* journal_keep_space */
};

/* Asked of the syncer, which alone has the low-water versions and moves files from list to list: to note the versions
 * now, and before that to take up a namespace; or to look which files there are. */
struct journal_wish {
    struct slice space;        /* data NULL: none */
    struct journal_past *past; /* NULL: no look */
    bool done, good;
    int failure; /* errno, where not good */
};

/* Lines of the log that come as often as a disk fails and works again, or a backend stays away. */
enum journal_line {
    JOURNAL_LINE_WRITE,
    JOURNAL_LINE_SYNC,
    JOURNAL_LINE_ROOM,
    JOURNAL_LINE_LOW_WATER,
    JOURNAL_LINE_COMPACTION,
    JOURNAL_LINE_DAMAGE,
    JOURNAL_LINES
};

struct journal {
    /* Set by journal_open. */
    size_t space_limit; /* names that there is room for, wherever something is kept of each namespace */
    const struct journal_disk *disk;
    char *folder;
    int folder_lock; /* -1: none, or the caller's */
    unsigned series_count;
    struct journal_series *series;
    uint64_t file_size;
    unsigned fsync_interval_ms;
    int compact_after_ms;
    uint64_t keep_us,
        keep_bytes; /* for so long files stay when they are passed, and so many bytes of them at most */
    struct slice *spaces;
    /* Grows when the name of a new namespace is in its place and in low_waters: new files have it in their headers. */
    _Atomic size_t space_count;
    /* A file with fewer names is left for the next at the first record: there may be records of later ones. */
    _Atomic size_t needed_count;
    uint8_t boot[JOURNAL_BOOT_SIZE];
    void (*durable)(void *context, unsigned series, uint64_t position);
    void (*log)(void *context, enum log_level level, const char *message);
    void *context;

    struct log_limit line_limits[JOURNAL_LINES]; /* any thread */

    pthread_mutex_t lock;
    pthread_cond_t keeper_wanted, keeper_answered, syncer_wanted, syncer_answered, compactor_wanted;
    pthread_t keeper, syncer, compactor;

    /* Under the lock. */
    bool stopping;
    bool sync_wanted, recycle_wanted;
    bool list_wanted;             /* a file was begun: that it is in use is to be noted */
    struct journal_wish *wish;    /* what the syncer is asked to do, NULL: nothing */
    struct journal_list files;    /* current and sealed */
    struct journal_list retained; /* in the order in which they were passed */
    size_t retained_count;
    uint64_t retained_bytes;
    uint64_t next_sequence;
    uint64_t next_blank;
    uint64_t *blanks; /* numbers of files that wait for their next use; JOURNAL_BLANKS_MAX places and two */
    size_t blank_count, blank_limit;
    bool compacting;              /* the compactor is at work, or is to begin */
    uint64_t compact_us;          /* not before, monotonic */
    uint64_t compacted_bytes;     /* that the last compaction has left, or would have */
    uint64_t *compact_low_waters; /* those that are on disk, of each namespace; constant while compacting */

    /* The syncer's alone. */
    struct low_waters low_waters;
    bool low_water_failing, sync_failing;
    uint64_t low_water_noted_us; /* when it was last written, monotonic */
    size_t peaks[2];  /* files in use at once, at most: in the running window and in the one before */
    uint64_t peak_us; /* when the running window began */
    unsigned pass;
    uint64_t keep_clock_us, keep_seen_us; /* retain.c; and when it was last moved on, monotonic */
    size_t due_count;                     /* of the retained files: the first of them, whose time is over */

    /* The keeper's alone. */
    bool keeper_failing;

    /* The compactor's alone. */
    bool compact_failing;

    struct journal_passing *passing; /* of each namespace */
    atomic_uint keep_halts;          /* journal_halt_keeping */
    struct progress syncing;         /* of the syncer: in a call while it is at the disk, whatever for */
    struct histogram fsync_times;
    atomic_uint_fast64_t fsync_max_us, recycled, compactions, failures;
};

/* Bytes of records that a file of the usual size takes. */
static inline size_t journal_usual_room(const struct journal *journal) {
    return journal->file_size - format_header_size(journal->spaces, journal->space_count) - FORMAT_END_SIZE;
}

/* ---- journal.c ---- */

void journal_log(const struct journal *journal, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same of a kind of line that comes as often as a disk fails and works again. */
void journal_log_limited(struct journal *journal, enum journal_line kind, enum log_level level,
                         const char *format, ...) __attribute__((format(printf, 4, 5)));

void journal_list_init(struct journal_list *list);
void journal_list_append(struct journal_list *list, struct journal_file *file);
/* A file of zeros that is not open. NULL: no memory. */
struct journal_file *journal_file_new(const struct journal *journal);
void journal_file_free(const struct journal *journal, struct journal_file *file);

/* Is it still what its name in the folder stands for? Asks the file system. */
bool journal_file_has_its_name(const struct journal *journal, const struct journal_file *file);

/* Has the low-water version of every namespace passed what the file holds of it? */
bool journal_file_is_passed(const struct journal *journal, const struct journal_file *file);
/* A file is sealed: from which versions on the syncer is to look at it. With the lock. */
void journal_expect_passing(struct journal *journal, const struct journal_file *file);
/* Is there a series for which the keeper could make no file? */
bool journal_is_starved(const struct journal *journal);

/* ---- spaces.c ---- */

/* Those that it is opened with, and room for some more. False: no memory. */
bool journal_copy_spaces(struct journal *journal, const struct slice *spaces, size_t count);

/* ---- series.c ---- */

bool journal_series_write_out(struct journal_series *series);
/* Gives it a first file. False: none can be made; errno. */
bool journal_series_start(struct journal_series *series);

/* The file has no names for all namespaces of which there may be records. */
static inline bool journal_file_is_outdated(const struct journal *journal, const struct journal_file *file) {
    return file->space_count < atomic_load_explicit(&journal->needed_count, memory_order_relaxed);
}

/* ---- past.c ---- */

/* Syncer. False: no memory. */
bool journal_past_look(struct journal *journal, struct journal_past *past);

/* ---- recycle.c ---- */

/* Takes up a namespace behind those that there are, with the low-water version that is known of it, and notes that.
 * Syncer. False: errno. */
bool recycle_add_space(struct journal *journal, struct slice space);

/* Notes the low-water versions as they are now. Syncer. False: errno. */
bool recycle_note_now(struct journal *journal);

/* ---- keeper.c ---- */

/* Has the next file of each series made with the names of all namespaces, and waits for it. False: one cannot be
 * made. */
bool journal_renew_ready(struct journal *journal);

void *journal_keeper_run(void *journal);

/* The size of the file that follows this one in a series; NULL: of its first. */
uint64_t journal_size_after(const struct journal *journal, const struct journal_file *file);

/* Makes a file of this size, longer if it has to hold record_size bytes of records or if a longer one is at hand, and
 * gives it its name. NULL: errno. */
struct journal_file *journal_file_create(struct journal *journal, unsigned series, uint64_t size,
                                         size_t record_size);

/* Removes a file that nothing was written to, and frees it; NULL is allowed. */
void journal_file_drop(const struct journal *journal, struct journal_file *file);

/* The file that the keeper has ready for a series, or the one that it makes for a record longer than a file; not one
 * that was removed or renamed meanwhile. Waits for its answer. NULL: it could not make one. */
struct journal_file *journal_take_file(struct journal_series *series, size_t record_size);

/* The file that the keeper has ready, with room for that many bytes of records, or NULL: it has been asked for one.
 * Not one that was removed or renamed meanwhile. Does not wait. bytes: not more than a file of the usual size holds. */
struct journal_file *journal_take_ready(struct journal_series *series, size_t bytes);

uint64_t journal_random_epoch(void);

/* ---- syncer.c ---- */

void *journal_syncer_run(void *journal);
/* Syncs what the modes ask for, or everything. */
void journal_sync_pass(struct journal *journal, bool interval, bool everything);
/* Recycles what lies below the low-water version, and lets replies go that waited for a sync of it. */
void journal_recycle_pass(struct journal *journal);

/* Waits until the syncer has done it. False: wish->failure. Any thread but the workers'. */
bool journal_ask(struct journal *journal, struct journal_wish *wish);

/* ---- replay.c ---- */

/* Reads what is in the folder; fills files, low_waters, next_sequence. */
enum journal_status journal_recover(struct journal *journal, const struct journal_options *options,
                                    bool skip_damaged, struct journal_replayer *replayer,
                                    struct journal_recovery *recovery, struct journal_error *error);

#endif
