/* SPDX-License-Identifier: MIT */
/*
 * Reading the records of a file that this process has written or recovered, in their order, a window at a time. One
 * thread a reader; the file may be written on, and may go meanwhile.
 */
#ifndef FOREBAY_POLICIES_JOURNAL_READER_H
#define FOREBAY_POLICIES_JOURNAL_READER_H

#include "policies/journal/internal.h"
#include "policies/journal/window.h"
#include <limits.h>

#define READER_NOT_CONFIGURED UINT_MAX

struct reader {
    const struct journal *journal;
    int handle;
    char *head;
    struct format_header header;
    struct format_key key;
    unsigned *numbers;    /* of the namespaces in the header, or READER_NOT_CONFIGURED */
    struct window window; /* on the records that were in the file when it was opened */
};

enum reading {
    READ_RECORD,
    READ_END,
    READ_FAILED, /* the rest cannot be read */
};

/* False: errno, or the file is not what it was. */
bool reader_open(struct reader *reader, const struct journal *journal, const struct journal_file *from);

/* The same of a file that may have gone: its name, the length of its header and of what is in it. */
bool reader_open_named(struct reader *reader, const struct journal *journal, const char *name,
                       size_t header_size, uint64_t end);

void reader_close(struct reader *reader);

/* The record's slices are valid until the next call. */
enum reading reader_next(struct reader *reader, struct format_record *ret_record);

#endif
