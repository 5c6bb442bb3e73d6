/* SPDX-License-Identifier: MIT */
/*
 * The file of a quarantine: opening it reads its log into the list, and writes it anew.
 */
#include "cache/base/fit.h"
#include "cache/base/own_file.h"
#include "policies/journal/disk.h"
#include "policies/write/quarantine_list.h"
#include "policies/write/quarantine_note.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NUMBERS_MAX = 1000 /* of damaged files of one name */ };

/* ---- What it says ---- */

/* What the log says is done to the list. */
struct replayer {
    struct quarantine_log_reader base; /* first: the log finds the replayer by it */
    struct quarantine *quarantine;
};

static bool replay_record(struct quarantine_log_reader *self, const struct quarantine_record *record) {
    struct quarantine *quarantine = ((struct replayer *)(void *)self)->quarantine;
    if (record->op == QUARANTINE_ADD) {
        struct refused *kept = refused_make(record);
        if (kept && quarantine_list_put(quarantine, kept))
            return true;
        if (kept)
            refused_free(kept);
        return false;
    }
    struct refused *kept = quarantine_list_find(quarantine, record->entry->key);
    if (kept && kept->copy->entry.version <= record->entry->version)
        quarantine_list_remove(quarantine, kept);
    return true;
}

/* False: errno. */
static bool replay(struct quarantine *quarantine, struct quarantine_damage *ret_damage) {
    struct replayer replayer = {{replay_record}, quarantine};
    return quarantine_log_replay(&quarantine->log, &replayer.base, ret_damage);
}

/* ---- Writing it ---- */

bool quarantine_write_add(struct quarantine_log *log, const struct refused *kept) {
    struct quarantine_record record = {QUARANTINE_ADD, kept->kind, &kept->copy->entry, kept->since,
                                       kept->reason};
    return quarantine_log_write(log, &record);
}

/* Which file it is. Its number alone does not say it: the next that is made may get it. A file system that does not
 * know when a file was made leaves zeros. */
static void name_file(const struct quarantine_log *log, struct quarantine_note *note) {
    struct statx status;
    if (statx(log->handle, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &status) != 0)
        return;
    note->inode = status.stx_ino;
    note->born_us = (uint64_t)status.stx_btime.tv_sec * 1000000 + status.stx_btime.tv_nsec / 1000;
}

static bool is_of(const struct quarantine_note *note, const struct quarantine_log *log) {
    struct quarantine_note now = {0};
    name_file(log, &now);
    return now.inode && note->inode == now.inode && note->born_us == now.born_us;
}

void quarantine_note(struct quarantine *quarantine) {
    const struct quarantine_log *log = &quarantine->log;
    if (log->handle < 0)
        return;
    struct quarantine_note note = {.end = log->end, .count = quarantine_count(quarantine)};
    name_file(log, &note);
    if (quarantine_note_write(quarantine->log.disk, quarantine->note_path, &note, false))
        quarantine->noted_end = note.end;
}

/* Before a file that is no longer than this takes its place. */
static bool unnote_beyond(struct quarantine *quarantine, uint64_t end) {
    static const struct quarantine_note nothing;
    if (quarantine->noted_end <= end)
        return true;
    bool good = quarantine_note_write(quarantine->log.disk, quarantine->note_path, &nothing, true);
    if (good)
        quarantine->noted_end = 0;
    return good;
}

void quarantine_rewrite(struct quarantine *quarantine) {
    struct quarantine_log fresh;
    bool written = true;
    if (!quarantine_log_begin_anew(&quarantine->log, &fresh))
        return;
    for (const struct refused *kept = quarantine->first; kept && written; kept = kept->next)
        written = quarantine_write_add(&fresh, kept);
    written = written && quarantine_log_reserve(&fresh, quarantine->room_to_go);
    written = written && unnote_beyond(quarantine, fresh.end);
    quarantine_log_end_anew(&quarantine->log, written, &fresh);
    quarantine_note(quarantine);
}

/* ---- Opening it ---- */

/* The name of a namespace as part of a file's name. */
static void safe_name(const char *name, char *out, size_t size) {
    size_t at = 0;
    for (; *name && at + 4 < size; name++) {
        bool plain = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
                     (*name >= '0' && *name <= '9') || *name == '-' || *name == '_';
        at += (size_t)snprintf(out + at, size - at, plain ? "%c" : "%%%02x", (unsigned char)*name);
    }
    out[at] = 0;
}

/* A second name for the damaged file, which goes on to exist when it is written anew. */
static bool set_aside(const char *folder, const char *path, const char *name, char *error,
                      size_t error_size) {
    char aside[4096];
    int status = -1;
    errno = EEXIST;
    for (unsigned number = 0; status != 0 && errno == EEXIST && number < NUMBERS_MAX; number++) {
        snprintf(aside, sizeof aside, "%s/damaged-%u-quarantine-%s.log", folder, number, name);
        status = link(path, aside);
    }
    if (status != 0)
        fit_print(error, error_size, "The damaged quarantine file %s cannot be kept as %s: %s.", path, aside,
                  file_reason(errno).text);
    return status == 0;
}

static bool may_go_on(const struct quarantine *quarantine, const char *name, bool skip_damaged,
                      const struct quarantine_damage *damage, char *error, size_t error_size) {
    if (!quarantine_is_damaged(damage))
        return true;
    if (skip_damaged)
        return damage->gone || set_aside(quarantine->folder, quarantine->path, name, error, error_size);
    quarantine_damage_refuses(quarantine->path, damage, error, error_size);
    return false;
}

/* What the note misses. A file of which nothing is needed may be empty. */
static void miss(const struct quarantine_note *note, const struct quarantine_log *log,
                 struct quarantine_damage *damage) {
    bool is_needed = damage->end > 0 || note->count > 0;
    if (note->end > damage->end && is_needed && is_of(note, log))
        damage->missing = note->end - damage->end;
}

/* Before the file is made anew. */
static bool is_there(const struct quarantine *quarantine) {
    struct stat status;
    return lstat(quarantine->path, &status) == 0 || errno != ENOENT;
}

static bool set_paths(struct quarantine *quarantine, const char *folder, const char *name) {
    struct quarantine_log *log = &quarantine->log;
    if (!(quarantine->folder = strdup(folder)) ||
        asprintf(&quarantine->path, "%s/quarantine-%s.log", folder, name) < 0)
        return false;
    log->folder = quarantine->folder;
    log->path = quarantine->path;
    quarantine->note_path = quarantine_note_path(quarantine->path);
    return quarantine->note_path != NULL;
}

static bool open_file(struct quarantine *quarantine, const char *folder, const char *space, bool skip_damaged,
                      struct quarantine_damage *ret_damage, char *error, size_t error_size) {
    struct quarantine_log *log = &quarantine->log;
    char name[400];
    safe_name(space, name, sizeof name);
    if (!set_paths(quarantine, folder, name))
        return false;
    struct quarantine_note note = quarantine_note_read(log->disk, quarantine->note_path);
    struct quarantine_damage gone = {.gone = is_there(quarantine) ? 0 : (size_t)note.count};
    quarantine->noted_end = note.end;
    if (!may_go_on(quarantine, name, skip_damaged, &gone, error, error_size))
        return false;
    log->handle = log->disk->open(log->disk, log->path, O_RDWR | O_CREAT);
    if (log->handle < 0 || !replay(quarantine, ret_damage))
        return false;
    if (gone.gone)
        *ret_damage = gone;
    else
        miss(&note, log, ret_damage);
    if (!may_go_on(quarantine, name, skip_damaged, ret_damage, error, error_size))
        return false;
    quarantine_rewrite(quarantine);
    quarantine_log_sync_name(log); /* else before the first record that counts */
    return true;
}

struct quarantine *quarantine_open(const struct journal_disk *disk, const char *folder, const char *space,
                                   bool skip_damaged, struct quarantine_damage *ret_damage, char *error,
                                   size_t error_size) {
    struct quarantine *quarantine = calloc(1, sizeof *quarantine);
    if (!quarantine) {
        fit_print(error, error_size, "Out of memory.");
        return NULL;
    }
    pthread_mutex_init(&quarantine->file_mutex, NULL);
    pthread_mutex_init(&quarantine->mutex, NULL);
    quarantine->log = (struct quarantine_log){.disk = disk, .handle = -1};
    *ret_damage = (struct quarantine_damage){0};
    *error = '\0';
    if (folder && !open_file(quarantine, folder, space, skip_damaged, ret_damage, error, error_size)) {
        if (!*error)
            fit_print(error, error_size, "The quarantine file %s cannot be opened: %s.",
                      quarantine->path ? quarantine->path : folder, own_file_reason(errno).text);
        quarantine_close(quarantine);
        return NULL;
    }
    return quarantine;
}

void quarantine_close(struct quarantine *quarantine) {
    if (!quarantine)
        return;
    quarantine_look_after(quarantine);
    quarantine_list_free(quarantine);
    if (quarantine->log.handle >= 0)
        quarantine->log.disk->close(quarantine->log.disk, quarantine->log.handle);
    pthread_mutex_destroy(&quarantine->mutex);
    pthread_mutex_destroy(&quarantine->file_mutex);
    free(quarantine->folder);
    free(quarantine->path);
    free(quarantine->note_path);
    free(quarantine);
}

/* Of a file that is not there. False: nothing is known of one. */
static bool look_for_gone(const struct quarantine_note *note, struct quarantine_summary *ret_summary) {
    if (errno != ENOENT || note->count == 0)
        return false;
    *ret_summary = (struct quarantine_summary){.oldest = UINT32_MAX, .damage.gone = (size_t)note->count};
    return true;
}

static struct quarantine_note note_of(const struct journal_disk *disk, const char *path) {
    char *note_path = quarantine_note_path(path);
    struct quarantine_note note = {0};
    if (note_path)
        note = quarantine_note_read(disk, note_path);
    free(note_path);
    return note;
}

/* The note is read first, as the file of a server that runs grows meanwhile. */
bool quarantine_look(const struct journal_disk *disk, const char *path,
                     struct quarantine_summary *ret_summary) {
    struct quarantine_note note = note_of(disk, path);
    struct quarantine quarantine = {.log = {.disk = disk, .handle = disk->open(disk, path, O_RDONLY)}};
    struct quarantine_summary summary = {.oldest = UINT32_MAX};
    if (quarantine.log.handle < 0)
        return look_for_gone(&note, ret_summary);
    bool good = replay(&quarantine, &summary.damage);
    int failure = errno;
    miss(&note, &quarantine.log, &summary.damage);
    for (const struct refused *kept = quarantine.first; kept; kept = kept->next) {
        summary.entries++;
        if (kept->since < summary.oldest)
            summary.oldest = kept->since;
    }
    quarantine_list_free(&quarantine);
    disk->close(disk, quarantine.log.handle);
    errno = failure;
    if (good)
        *ret_summary = summary;
    return good;
}

/* The note first: what is left then is a file of which nothing is known. */
bool quarantine_forget(const struct journal_disk *disk, const char *path) {
    char *note_path = quarantine_note_path(path);
    bool good = note_path && (disk->remove(disk, note_path) == 0 || errno == ENOENT) &&
                (disk->remove(disk, path) == 0 || errno == ENOENT);
    int failure = errno;
    free(note_path);
    errno = failure;
    return good;
}

bool quarantine_put_away(const struct journal_disk *disk, const char *folder, const char *space,
                         const struct quarantine_damage *damage, char *error, size_t error_size) {
    char name[400], path[4096];
    safe_name(space, name, sizeof name);
    snprintf(path, sizeof path, "%s/quarantine-%s.log", folder, name);
    if (!damage->gone && !set_aside(folder, path, name, error, error_size))
        return false;
    bool good = quarantine_forget(disk, path);
    if (!good)
        fit_print(error, error_size, "Cannot remove %s: %s.", path, strerror(errno));
    return good;
}
