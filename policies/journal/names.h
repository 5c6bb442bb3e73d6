/* SPDX-License-Identifier: MIT */
/*
 * The names in the journal's folder:
 *
 *     journal-<series>-<sequence>.fj    a file of a series
 *     blank-<number>                    one that is being made, or waits for its next use
 *
 * Any thread; nothing is kept between calls.
 */
#ifndef FOREBAY_POLICIES_JOURNAL_NAMES_H
#define FOREBAY_POLICIES_JOURNAL_NAMES_H

#include "policies/journal/disk.h"
#include <stdbool.h>
#include <string.h>

enum { JOURNAL_NAME_MAX = 64, JOURNAL_PATH_MAX = 4096 };

struct journal_name {
    char name[JOURNAL_NAME_MAX];
    unsigned series;
    uint64_t sequence;
};

/* Whether the names of a journal that is written find room behind that of their folder, also those of what is set
 * aside. */
static inline bool journal_folder_fits(const char *folder) {
    return strlen(folder) <= JOURNAL_PATH_MAX - 2 * JOURNAL_NAME_MAX - 2;
}

/* "folder/name". It MUST fit: journal_open and journal_list_folder have looked at the folder. */
void journal_path(const char *folder, const char *name, char ret_path[JOURNAL_PATH_MAX]);

/* False: the name is not one of these. */
bool journal_parse_name(const char *name, unsigned *ret_series, uint64_t *ret_sequence);
bool journal_parse_blank(const char *name, uint64_t *ret_number);
void journal_format_name(unsigned series, uint64_t sequence, char ret_name[JOURNAL_NAME_MAX]);
void journal_format_blank(uint64_t number, char ret_name[JOURNAL_NAME_MAX]);

/* The files of all series in the folder, by series and sequence. The caller frees the list. False: errno, as of
 * opendir. */
bool journal_list_folder(const char *folder, struct journal_name **ret_names, size_t *ret_count);

/* The numbers of the blanks in the folder, in no order. The caller frees the list. False: errno. */
bool journal_list_blanks(const char *folder, uint64_t **ret_numbers, size_t *ret_count);

void journal_remove_blank(const struct journal_disk *disk, const char *folder, uint64_t number);

#endif
