/* SPDX-License-Identifier: MIT */
/*
 * The file of a quarantine, which is a log: a record for each entry that was added (ADD) and for each that was removed
 * (GONE). What the entries are is the quarantine's to know. One thread at a time.
 *
 * A change of the log is an attempt: records are written to a copy of the struct, and quarantine_log_commit makes that
 * the log if all of them are on the disk. Else none of them counts, and the next attempt writes over them.
 */
#ifndef FOREBAY_POLICIES_WRITE_QUARANTINE_LOG_H
#define FOREBAY_POLICIES_WRITE_QUARANTINE_LOG_H

#include "policies/write/quarantine.h"

enum quarantine_op { QUARANTINE_ADD = 1, QUARANTINE_GONE = 2 };

enum { QUARANTINE_REASON_MAX = 200 }; /* bytes of a reason, its end included */

struct quarantine_record {
    enum quarantine_op op;
    enum mutation_kind kind;
    const struct entry *entry; /* GONE: its value is left out */
    uint32_t since;
    const char *reason;
};

struct quarantine_log {
    const struct journal_disk *disk;
    const char *folder, *path; /* the quarantine's; where it is only read: NULL */
    int handle;                /* -1: memory only */
    bool named;                /* its name in the folder is synced */
    uint64_t end;              /* of the last synced record */
    uint64_t spoilt;           /* end of what attempts that failed may have left */
    uint64_t room;             /* bytes allocated for it on the disk */
    uint64_t rewrite_at;       /* end from which it is to be written anew */
};

/* Bytes of the GONE record of an entry with such a key. */
size_t quarantine_log_gone_size(struct slice key);

struct quarantine_log_reader {
    /* The slices are valid during the call. False: no memory. */
    bool (*record)(struct quarantine_log_reader *self, const struct quarantine_record *record);
};

/* Shows all records of a file that was just opened, and finds its end. False: errno. */
bool quarantine_log_replay(struct quarantine_log *log, struct quarantine_log_reader *reader,
                           struct quarantine_damage *ret_damage);

/* Writes a record at the end of an attempt. False: only a part of it is there. */
bool quarantine_log_write(struct quarantine_log *attempt, const struct quarantine_record *record);

/* Makes sure that there is room for so many bytes behind the last record, and for what cuts off what lies there. */
bool quarantine_log_reserve(struct quarantine_log *attempt, uint64_t more);

/* Ends an attempt. True: it was written, is synced, and is the log now. */
bool quarantine_log_commit(struct quarantine_log *log, bool written, const struct quarantine_log *attempt);

/* Syncs the name of the file. If that fails, no commit succeeds before it was done. */
bool quarantine_log_sync_name(struct quarantine_log *log);

/* Makes an empty file beside that of the log, for an attempt to write it anew. False: it cannot be made. Either way the
 * next such attempt is due later. */
bool quarantine_log_begin_anew(struct quarantine_log *log, struct quarantine_log *ret_fresh);

/* Ends that attempt: the new file takes the place of the old one if it was written and can be synced; else it is
 * removed, and the old one stays in use. */
void quarantine_log_end_anew(struct quarantine_log *log, bool written, const struct quarantine_log *fresh);

#endif
