/* SPDX-License-Identifier: MIT */
#include "policies/journal/names.h"
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void journal_path(const char *folder, const char *name, char ret_path[JOURNAL_PATH_MAX]) {
    int length = snprintf(ret_path, JOURNAL_PATH_MAX, "%s/%s", folder, name);
    assert(length > 0 && length < JOURNAL_PATH_MAX); /* journal_open has looked at the folder */
    (void)length;
}

static bool parse_number(const char **at, uint64_t *ret_number) {
    const char *start = *at;
    uint64_t number = 0;
    for (; **at >= '0' && **at <= '9' && *at - start < 19; (*at)++)
        number = number * 10 + (uint64_t)(**at - '0');
    *ret_number = number;
    return *at > start;
}

bool journal_parse_name(const char *name, unsigned *ret_series, uint64_t *ret_sequence) {
    uint64_t series = 0, sequence = 0;
    if (strncmp(name, "journal-", 8) != 0)
        return false;
    const char *at = name + 8;
    if (!parse_number(&at, &series) || *at++ != '-' || !parse_number(&at, &sequence) ||
        strcmp(at, ".fj") != 0)
        return false;
    *ret_series = (unsigned)series;
    *ret_sequence = sequence;
    return series <= UINT32_MAX;
}

void journal_format_name(unsigned series, uint64_t sequence, char ret_name[JOURNAL_NAME_MAX]) {
    snprintf(ret_name, JOURNAL_NAME_MAX, "journal-%u-%010" PRIu64 ".fj", series, sequence);
}

bool journal_parse_blank(const char *name, uint64_t *ret_number) {
    const char *at = name + 6;
    return strncmp(name, "blank-", 6) == 0 && parse_number(&at, ret_number) && *at == '\0';
}

void journal_format_blank(uint64_t number, char ret_name[JOURNAL_NAME_MAX]) {
    snprintf(ret_name, JOURNAL_NAME_MAX, "blank-%" PRIu64, number);
}

static int compare_names(const void *left, const void *right) {
    const struct journal_name *a = left, *b = right;
    if (a->series != b->series)
        return a->series < b->series ? -1 : 1;
    return a->sequence < b->sequence ? -1 : a->sequence > b->sequence;
}

/* False: no memory. */
static bool add_name(struct journal_name **names, size_t *count, const struct journal_name *name) {
    struct journal_name *longer = realloc(*names, (*count + 1) * sizeof *longer);
    if (!longer)
        return false;
    *names = longer;
    longer[(*count)++] = *name;
    return true;
}

static DIR *open_folder(const char *folder) {
    if (strlen(folder) <= JOURNAL_PATH_MAX - JOURNAL_NAME_MAX - 2)
        return opendir(folder);
    errno = ENAMETOOLONG;
    return NULL;
}

bool journal_list_folder(const char *folder, struct journal_name **ret_names, size_t *ret_count) {
    DIR *stream = open_folder(folder);
    if (!stream)
        return false;
    struct journal_name *names = NULL, name;
    size_t count = 0;
    bool good = true;
    for (struct dirent *found; good && (found = readdir(stream));) {
        if (strlen(found->d_name) >= JOURNAL_NAME_MAX ||
            !journal_parse_name(found->d_name, &name.series, &name.sequence))
            continue;
        memcpy(name.name, found->d_name, strlen(found->d_name) + 1);
        good = add_name(&names, &count, &name);
    }
    closedir(stream);
    if (!good) {
        free(names);
        return false;
    }
    if (count > 0)
        qsort(names, count, sizeof *names, compare_names);
    *ret_names = names;
    *ret_count = count;
    return true;
}

void journal_remove_blank(const struct journal_disk *disk, const char *folder, uint64_t number) {
    char name[JOURNAL_NAME_MAX], path[JOURNAL_PATH_MAX];
    journal_format_blank(number, name);
    journal_path(folder, name, path);
    disk->remove(disk, path);
}

bool journal_list_blanks(const char *folder, uint64_t **ret_numbers, size_t *ret_count) {
    DIR *stream = opendir(folder);
    if (!stream)
        return false;
    uint64_t *numbers = NULL, number;
    size_t count = 0;
    bool good = true;
    for (struct dirent *found; good && (found = readdir(stream));) {
        if (!journal_parse_blank(found->d_name, &number))
            continue;
        uint64_t *longer = realloc(numbers, (count + 1) * sizeof *longer);
        good = longer != NULL;
        if (good) {
            numbers = longer;
            numbers[count++] = number;
        }
    }
    closedir(stream);
    if (!good)
        free(numbers);
    else {
        *ret_numbers = numbers;
        *ret_count = count;
    }
    return good;
}
