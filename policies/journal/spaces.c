/* SPDX-License-Identifier: MIT */
/*
 * The namespaces of a journal, by number: those that it is opened with, and those that a reload adds behind them, as
 * long as there is room. None goes while the journal is open. Others read the list meanwhile, so its room is taken at
 * the beginning, and their number grows last.
 */
#include "cache/base/fit.h"
#include "cache/base/own_file.h"
#include "policies/journal/internal.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Opening ---- */

/* Behind the others. */
static bool copy_space(struct journal *journal, struct slice space) {
    char *name = malloc(space.size + 1);
    if (!name)
        return false;
    memcpy(name, space.data, space.size);
    journal->spaces[journal->space_count] = slice_of(name, space.size);
    journal->space_count++; /* last: others read as many */
    return true;
}

bool journal_copy_spaces(struct journal *journal, const struct slice *spaces, size_t count) {
    journal->space_limit = count + JOURNAL_SPACES_MORE;
    journal->spaces = calloc(journal->space_limit, sizeof *journal->spaces);
    journal->passing = calloc(journal->space_limit, sizeof *journal->passing);
    if (!journal->spaces || !journal->passing)
        return false;
    for (size_t i = 0; i < journal->space_limit; i++)
        atomic_init(&journal->passing[i].next, UINT64_MAX);
    for (size_t i = 0; i < count; i++)
        if (!copy_space(journal, spaces[i]))
            return false;
    journal->needed_count = journal->space_count;
    return true;
}

/* ---- Namespaces that are added ---- */

static bool find_space(const struct journal *journal, struct slice name, unsigned *ret_number) {
    for (unsigned i = 0; i < journal->space_count; i++)
        if (slice_equal(journal->spaces[i], name)) {
            *ret_number = i;
            return true;
        }
    return false;
}

/* False: errno. */
static bool take_up(struct journal *journal, struct slice name) {
    struct journal_wish add = {.space = name};
    errno = ENOMEM;
    if (journal->space_count == journal->space_limit)
        return false;
    if (!journal_ask(journal, &add)) {
        errno = add.failure;
        return false;
    }
    return copy_space(journal, name);
}

enum journal_status journal_add_space(struct journal *journal, struct slice name, unsigned *ret_number,
                                      struct journal_error *ret_error) {
    unsigned number;
    bool known = find_space(journal, name, &number);
    if (!known) {
        number = (unsigned)journal->space_count;
        if (!take_up(journal, name)) {
            fit_print(ret_error->message, sizeof ret_error->message,
                      "journal: cannot take up another namespace in %s: %s", journal->folder,
                      own_file_reason(errno).text);
            return JOURNAL_FAILED;
        }
    }
    if (!journal_renew_ready(journal)) {
        fit_print(ret_error->message, sizeof ret_error->message,
                  "journal: cannot make another file in %s; make room on the disk", journal->folder);
        return JOURNAL_FAILED;
    }
    *ret_number = number;
    return JOURNAL_OK;
}

void journal_admit_spaces(struct journal *journal) {
    if (journal->needed_count == journal->space_count)
        return;
    atomic_store(&journal->needed_count, journal->space_count);
    for (unsigned i = 0; i < journal->series_count; i++)
        journal->series[i].room = 0; /* what comes next looks at the file again */
}
