/* SPDX-License-Identifier: MIT */
/* See listed.h. */
#include "policies/journal/listed.h"
#include "policies/journal/recycle.h"
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

static bool list_file(struct journal *journal, const struct journal_file *file) {
    unsigned series = 0;
    uint64_t sequence = 0;
    return !recycle_is_done_with(journal, file) && journal_parse_name(file->name, &series, &sequence) &&
           low_waters_add_file(&journal->low_waters, series, sequence);
}

/* Until that is on disk, what is listed there now counts as listed as well. */
bool listed_renew(struct journal *journal) {
    bool changed = false;
    pthread_mutex_lock(&journal->lock);
    journal->low_waters.file_count = 0;
    for (struct journal_file *file = journal->files.first; file; file = file->next) {
        file->is_being_listed = list_file(journal, file);
        changed |= file->is_being_listed != file->is_listed;
        file->is_listed |= file->is_being_listed;
    }
    pthread_mutex_unlock(&journal->lock);
    return changed;
}

/* Those that have come meanwhile are neither. */
void listed_note_written(struct journal *journal) {
    pthread_mutex_lock(&journal->lock);
    for (struct journal_file *file = journal->files.first; file; file = file->next)
        file->is_listed = file->is_being_listed;
    pthread_mutex_unlock(&journal->lock);
}

static bool is_there(const char *folder, const char *before, const char *name) {
    char whole[2 * JOURNAL_NAME_MAX], path[JOURNAL_PATH_MAX];
    struct stat status;
    snprintf(whole, sizeof whole, "%s%s", before, name);
    journal_path(folder, whole, path);
    return lstat(path, &status) == 0 || errno != ENOENT;
}

bool listed_is_missing(const char *folder, const struct listed_file *listed,
                       char ret_name[JOURNAL_NAME_MAX]) {
    journal_format_name(listed->series, listed->sequence, ret_name);
    return !is_there(folder, "", ret_name) && !is_there(folder, "damaged-", ret_name);
}
