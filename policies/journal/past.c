/* SPDX-License-Identifier: MIT */
/*
 * Reading all that is still in files of the journal, retained ones and those in use, as it was at one moment. The files
 * are opened one after the other by the names that they had then: one that has gone meanwhile is counted.
 */
#include "policies/journal/reader.h"
#include <stdlib.h>
#include <string.h>

enum { PIECE = 1 << 20 }; /* bytes between two pauses */

struct past_file {
    char name[JOURNAL_NAME_MAX];
    size_t header_size;
    uint64_t end;
    bool unread;
};

struct journal_past {
    struct journal *journal;
    struct past_file *files;
    size_t count, at;
    bool is_open;
    struct reader reader; /* of files[at], if it is open */
    uint64_t piece;       /* bytes that were read since the last pause */
};

static size_t count_files(const struct journal_list *list) {
    size_t count = 0;
    for (const struct journal_file *file = list->first; file; file = file->next)
        count++;
    return count;
}

/* What the compactor has copied elsewhere is read twice; what is read takes the newest. */
static void note_files(struct journal_past *past, const struct journal_list *list) {
    for (const struct journal_file *file = list->first; file; file = file->next) {
        struct past_file *noted = &past->files[past->count++];
        memcpy(noted->name, file->name, sizeof noted->name);
        noted->header_size = file->header_size;
        noted->end = atomic_load_explicit(&file->written, memory_order_acquire);
    }
}

bool journal_past_look(struct journal *journal, struct journal_past *past) {
    pthread_mutex_lock(&journal->lock);
    size_t count = count_files(&journal->retained) + count_files(&journal->files);
    past->files = calloc(count + 1, sizeof *past->files);
    if (past->files) {
        note_files(past, &journal->retained);
        note_files(past, &journal->files);
    }
    pthread_mutex_unlock(&journal->lock);
    return past->files != NULL;
}

struct journal_past *journal_past_open(struct journal *journal) {
    struct journal_past *past = calloc(1, sizeof *past);
    struct journal_wish look = {.past = past};
    if (!past)
        return NULL;
    past->journal = journal;
    if (journal_ask(journal, &look))
        return past;
    free(past);
    return NULL;
}

static void close_reader(struct journal_past *past) {
    if (past->is_open)
        reader_close(&past->reader);
    past->is_open = false;
}

void journal_past_close(struct journal_past *past) {
    if (!past)
        return;
    close_reader(past);
    free(past->files);
    free(past);
}

void journal_past_rewind(struct journal_past *past) {
    close_reader(past);
    past->at = 0;
    past->piece = 0;
}

size_t journal_past_unread(const struct journal_past *past) {
    size_t unread = 0;
    for (size_t i = 0; i < past->count; i++)
        unread += past->files[i].unread;
    return unread;
}

static void leave_file(struct journal_past *past, bool unread) {
    past->files[past->at].unread |= unread;
    close_reader(past);
    past->at++;
}

static bool open_file(struct journal_past *past) {
    struct past_file *file = &past->files[past->at];
    past->is_open = past->is_open ||
                    reader_open_named(&past->reader, past->journal, file->name, file->header_size, file->end);
    return past->is_open;
}

/* The next record of the files, from the one at hand on. False: there is none. */
static bool next_record(struct journal_past *past, struct format_record *ret_record) {
    while (past->at < past->count) {
        enum reading reading = open_file(past) ? reader_next(&past->reader, ret_record) : READ_FAILED;
        if (reading == READ_RECORD)
            return true;
        leave_file(past, reading == READ_FAILED);
    }
    return false;
}

enum journal_past_status journal_past_next(struct journal_past *past,
                                           struct journal_past_record *ret_record) {
    struct format_record found;
    for (;;) {
        if (past->piece >= PIECE) {
            past->piece = 0;
            return JOURNAL_PAST_PAUSE;
        }
        if (!next_record(past, &found))
            return JOURNAL_PAST_END;
        past->piece += found.size;
        unsigned number = past->reader.numbers[found.space];
        if (number == READER_NOT_CONFIGURED)
            continue;
        *ret_record = (struct journal_past_record){
            .kind = (enum journal_kind)found.kind, .space = number, .entry = found.entry, .size = found.size};
        return JOURNAL_PAST_RECORD;
    }
}
