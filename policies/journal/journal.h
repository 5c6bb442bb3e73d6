/* SPDX-License-Identifier: MIT */
/*
 * The journal: what was acknowledged under write-behind and has not reached a backend yet, in files that
 * survive the process. One series of preallocated files per worker, so appending takes no lock.
 * The format is described in docs/journal.md.
 *
 * Appending (worker thread): journal_reserve before the change is made in memory (so that a full disk refuses
 * the write instead of losing it), journal_append after it, journal_write once at the end of the turn, before
 * replies go out. A turn with records of mode `always` gets back a position; its replies wait until
 * journal_options.durable reports it.
 *
 * A change is refused (journal_reserve: false) while its record could not be written: the disk is full, a
 * write or a sync failed. The journal keeps trying by itself; it logs the failure once, and its end.
 *
 * The low-water version of a namespace: every change of it up to that version is in its backend. Records below
 * it are ignored at recovery, and files that hold nothing else are recycled. Records of namespaces that are not
 * configured are kept until they are configured again. What a namespace holds back for long is compacted, so
 * that one whose backend is away does not take the room of the others.
 */
#ifndef FOREBAY_POLICIES_JOURNAL_JOURNAL_H
#define FOREBAY_POLICIES_JOURNAL_JOURNAL_H

#include "cache/base/entry.h"
#include "cache/base/histogram.h"
#include "cache/base/log.h"
#include <stdio.h>

struct journal; /* all series of one data folder */
struct journal_disk;
struct journal_series; /* one worker's */

/* When a record is on disk: never journaled, when the kernel likes, once an interval, before the reply. */
enum journal_mode { JOURNAL_OFF, JOURNAL_OS, JOURNAL_INTERVAL, JOURNAL_ALWAYS };

/* What users call them, by mode; NULL behind the last. */
extern const char *const journal_mode_names[];

enum journal_status {
    JOURNAL_OK,
    JOURNAL_LOCKED,  /* another process has the folder */
    JOURNAL_DAMAGED, /* a record in the middle fails its check; error names file and offset */
    JOURNAL_FAILED,  /* an I/O error; error names file and reason */
};

struct journal_error {
    char message[1024];
};

enum journal_kind {
    JOURNAL_PUT = 1,
    JOURNAL_TOUCH =
        2, /* of an entry whose value is in an earlier record, or of a row that nobody has looked at */
    JOURNAL_DELETE = 3,
    JOURNAL_TOUCH_WHOLE = 4, /* of a row, with the whole entry: the row may be gone before it is touched */
};

/* Whether a record of this kind has flags and a value. */
static inline bool journal_kind_is_whole(enum journal_kind kind) {
    return kind == JOURNAL_PUT || kind == JOURNAL_TOUCH_WHOLE;
}

struct journal_record {
    enum journal_kind kind;
    size_t space; /* of the namespaces in the options */
    /* DELETE: key and version. TOUCH: key, version, client_cas, expires_at. The
     * others: all. */
    struct entry entry;
    /* Of a file that was begun before the system was last started (or it cannot be told): what was written after it
     * may be lost, while a store has kept it. */
    bool from_earlier_boot;
};

enum {
    JOURNAL_FILE_SIZE_DEFAULT = 64 << 20,
    JOURNAL_FSYNC_INTERVAL_DEFAULT_MS = 1000,
    JOURNAL_COMPACT_AFTER_DEFAULT_MS = 5000,
    JOURNAL_COMPACT_NEVER = -1,
};

struct journal_options {
    const char *folder;
    bool is_locked; /* the caller holds the folder's lock (folder_lock.h) as long as the journal is open */
    unsigned series_count;      /* one per worker */
    size_t file_size;           /* bytes that files grow to, 0: the default; a longer record gets its own */
    unsigned fsync_interval_ms; /* 0: the default */
    int compact_after_ms;       /* files that have been held back so long may be compacted; 0: the default */
    /* Files stay so long when the low-water version has passed them, 0: they do not; and so many bytes of them at most,
     * which the disk has to have free beside them as well. */
    unsigned keep_ms;
    uint64_t keep_bytes;
    const struct slice *spaces; /* names, in the order of the numbers given to journal_append */
    const bool *keeps;          /* of each of them, as journal_keep_space; NULL: no */
    size_t space_count;
    /* Namespaces, configured or not, whose records are given up by recovery: it does not show them, and their low-water
     * version passes them. */
    const struct slice *discarded;
    size_t discarded_count;
    /* `always`: all of the series up to position is on disk. Any thread; MAY be NULL. */
    void (*durable)(void *context, unsigned series, uint64_t position);
    /* Any thread; MAY be NULL. */
    void (*log)(void *context, enum log_level level, const char *message);
    void *context;
    const struct journal_disk *disk; /* NULL: the system's calls */
};

enum { JOURNAL_SHOWN_MOST = 32 }; /* records at once */

/* Recovery shows every record above the low-water version of a configured namespace, in file order; records of a key
 * may come in any order of versions. */
struct journal_replayer {
    /* Before the first: the files have so many bytes together, those included that nothing was written to yet. MAY be
     * NULL. */
    void (*begins)(struct journal_replayer *self, uint64_t bytes);
    /* The next of them, at least one: several, so that what they need of memory can be fetched for all of them
     * together. Their bytes are gone when it returns. False: stop, journal_open has failed. */
    bool (*records)(struct journal_replayer *self, const struct journal_record *records, size_t count);
    /* All have been shown. *ret_again: show them once more, all in the same order, for a replayer that cannot hold
     * them at once. False: as above. MAY be NULL: once is enough. */
    bool (*end)(struct journal_replayer *self, bool *ret_again);
    /* There are such records of a namespace that is not configured; asked before the first of them, once a reading.
     * True: they are kept, and named in the log. False: as above. MAY be NULL: they are kept. */
    bool (*keeps)(struct journal_replayer *self, struct slice space);
};

struct journal_recovery {
    uint64_t files, records, bytes;  /* read */
    uint64_t shown;                  /* of the records: to the replayer, each counted once */
    uint64_t ignored;                /* of the records: below the low-water version */
    uint64_t discarded;              /* of the records: given up, as the options said */
    uint64_t torn_files, torn_bytes; /* writes that were not completed, and their bytes */
    uint64_t skipped_damaged;        /* places */
    uint64_t highest_version;        /* of any record and any low-water version */
};

/* Locks the folder, unless the caller has, and reads what earlier processes left: shows every record to the
 * replayer, logs progress, cuts torn tails. skip_damaged: a damaged record in the middle is skipped instead of
 * JOURNAL_DAMAGED. Then starts new series; the old files stay until the low-water version has passed them. The options'
 * names are copied. *ret_journal is for journal_close. */
enum journal_status journal_open(const struct journal_options *options, bool skip_damaged,
                                 struct journal_replayer *replayer, struct journal_recovery *ret_recovery,
                                 struct journal **ret_journal, struct journal_error *ret_error);

/* Writes and syncs, ends the journal's threads, and removes files wholly below the low-water version. Workers and
 * writers must have stopped; all calls of `durable` are over when it returns, the last of them made from here. Nothing
 * is appended, passed or asked of it any more. A second time, there is nothing to do. */
void journal_finish(struct journal *journal);

/* journal_finish, and frees all. */
void journal_close(struct journal *journal);

/* The series of a worker, below journal_options.series_count. It is the journal's. */
struct journal_series *journal_series(struct journal *journal, unsigned number);

enum { JOURNAL_RECORD_OVERHEAD = 96 };

/* True if bytes of records (key + value + JOURNAL_RECORD_OVERHEAD each) fit now; else the caller refuses the
 * change. Costs a comparison. It counts for what is appended before the next call for this series, and is not
 * added to earlier ones. May write out what the turn has appended so far. */
bool journal_reserve(struct journal_series *series, size_t bytes);

/* Copies a record into the turn's buffer. Must have been reserved. mode is not JOURNAL_OFF. The value is
 * ignored where the kind is not whole. */
void journal_append(struct journal_series *series, enum journal_mode mode, unsigned space,
                    enum journal_kind kind, const struct entry *entry);

/* Writes the turn's records. *ret_position: 0, or what journal_options.durable has to reach before replies to
 * `always` writes may go (positions of a series only grow; durable may be called before this returns).
 * JOURNAL_FAILED: the records are not in the file; they stay in the buffer and are tried again at the next
 * call, which then returns the position of all of them, and journal_reserve answers false until that
 * succeeds. To be called at the end of every turn, also of those without records. */
enum journal_status journal_write(struct journal_series *series, uint64_t *ret_position);

/* Every change of the namespace up to version is in its backend, or was refused for good. Any thread. Lower
 * versions than before are ignored. */
void journal_pass(struct journal *journal, unsigned space, uint64_t version);

/* ---- For a store that goes back ---- */

/* Files with records of this namespace stay for keep_ms when the low-water version has passed them: its store may lose
 * what it has acknowledged, and remembers deletes (retain.c). Any thread. */
void journal_keep_space(struct journal *journal, unsigned space);

/* While it is halted, the time of what is kept stands still: a store is away, or was found to lack something, and
 * nobody knows yet what of it. Counts: each halt has its end. Any thread. */
void journal_halt_keeping(struct journal *journal, bool halted);

/* The mark of a store that may lack anything that it has acknowledged: a restart has to write it again. */
#define JOURNAL_MARK_OWED UINT64_MAX

/* What journal_pass says of the namespace from now on, and has said before, is in its store as of this mark, a number
 * that the store keeps and that only grows there. It is noted with the low-water version: a store that has a lower one
 * after a restart has lost something. Before the journal_pass that it is about. Its writer's thread. */
void journal_set_mark(struct journal *journal, unsigned space, uint64_t mark);

/* As it was set last, or as the process before has noted it; 0: none is known. */
uint64_t journal_get_mark(const struct journal *journal, unsigned space);

/* Up to this version, records of the namespace may be in no file any more. Those above it all are, from the first file
 * that this folder has had. Any thread. */
uint64_t journal_forgotten(const struct journal *journal, unsigned space);

/* All records that are in files when it is opened, whether a backend has them or not. One thread; the journal goes
 * on. */
struct journal_past;

struct journal_past_record {
    enum journal_kind kind;
    unsigned space;     /* its number; of namespaces that are not configured, none is shown */
    struct entry entry; /* valid until the next call */
    size_t size;        /* bytes in the file */
};

enum journal_past_status {
    JOURNAL_PAST_RECORD,
    JOURNAL_PAST_PAUSE, /* a good piece was read; there is more */
    JOURNAL_PAST_END,
};

/* NULL: no memory. */
struct journal_past *journal_past_open(struct journal *journal);
void journal_past_close(struct journal_past *past); /* NULL is allowed */

enum journal_past_status journal_past_next(struct journal_past *past, struct journal_past_record *ret_record);

/* Back to the beginning: the same records once more, but of files that have gone meanwhile. */
void journal_past_rewind(struct journal_past *past);

/* Files that could not be read to their end since it was opened, or have gone. */
size_t journal_past_unread(const struct journal_past *past);

/* ---- Namespaces that come and go ---- */

/* Takes up another namespace, of which nothing is appended before journal_admit_spaces. *ret_number is for
 * journal_append; that of a namespace that was taken up before is its own again. Writes to the disk, and waits for it.
 * Any thread but the workers', one at a time. */
enum journal_status journal_add_space(struct journal *journal, struct slice name, unsigned *ret_number,
                                      struct journal_error *ret_error);

/* From now on, records of all namespaces may be appended. To be called while no worker uses its series. */
void journal_admit_spaces(struct journal *journal);

/* Notes what journal_pass has said so far: a start after this knows it. Waits for the disk. False: it cannot be
 * written, and is tried again. Any thread but the workers'. */
bool journal_note_passed(struct journal *journal);

struct journal_stats {
    uint64_t files, bytes;           /* now, with the room that is allocated and not used yet */
    uint64_t kept_files, kept_bytes; /* beside these, for a store that goes back */
    uint64_t written_records, written_bytes, fsyncs, fsync_us, fsync_max_us, recycled, compactions, failures;
    struct histogram_sum fsync_times; /* fsyncs and fsync_us, by how long they took */
};

/* Any thread. */
void journal_get_stats(struct journal *journal, struct journal_stats *ret_stats);

struct journal_state {
    bool cannot_sync;  /* changes are refused, as what was written could not be synced */
    bool has_no_room;  /* some are refused, as no file can be made and the current one is full */
    bool is_short;     /* no file can be made; they are refused once the current one is full */
    uint64_t sync_us;  /* for how long the syncer has been in one step at the disk; 0: it rests */
    uint64_t write_us; /* the same of the worker that has waited longest for a write, or for a file */
};

/* Whether changes are refused, as far as the journal's own threads know; they try again by themselves. Any thread; no
 * lock is taken. */
void journal_get_state(const struct journal *journal, struct journal_state *ret_state);

/* Prints the files of a folder readably, one record a line; returns 0, or 1 if any is damaged, or the folder cannot be
 * listed, or has no journal, which complaints are told. Needs no lock. */
int journal_dump(const char *folder, FILE *out, FILE *complaints);

#endif
