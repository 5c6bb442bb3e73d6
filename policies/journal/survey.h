/* SPDX-License-Identifier: MIT */
/*
 * What lies in a folder that no backend has yet, for whoever only wants to know: nothing is locked or changed, and a
 * server may be running there. Any thread.
 */
#ifndef FOREBAY_POLICIES_JOURNAL_SURVEY_H
#define FOREBAY_POLICIES_JOURNAL_SURVEY_H

#include "policies/journal/journal.h"

enum { SURVEY_PROBLEM_MAX = sizeof((struct journal_error *)0)->message };

/* The records of one namespace that are above its low-water version. */
struct survey_space {
    char *name;
    uint64_t records;
    uint64_t oldest_us; /* when the first of them was made, microseconds since 1970 */
};

struct survey {
    struct survey_space *spaces; /* with records only */
    size_t space_count;
    size_t files; /* of journals, whatever is in them */
    /* Of these, and low-water, and files that are missing: recovery cannot read all of it. journal_dump tells more. */
    size_t damaged;
    size_t failing; /* of those that are damaged: recovery skips nothing of them, and fails */
    bool low_water_damaged;
    char problem[SURVEY_PROBLEM_MAX]; /* what refuses a start, of the first that are damaged, in its words */
};

/* False: no memory, or the folder is there and cannot be listed; errno. A folder that is not there holds nothing.
 * *ret_survey is for survey_free. */
bool survey_folder(const char *folder, struct survey *ret_survey);
void survey_free(struct survey *survey);

/* Whether there is any file of a journal in the folder, or should be: no file of a series is read. */
bool survey_finds_files(const char *folder);

#endif
