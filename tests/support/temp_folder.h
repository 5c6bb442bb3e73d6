/* SPDX-License-Identifier: MIT */
/* A folder of its own for a test's files. */
#ifndef FOREBAY_TESTS_SUPPORT_TEMP_FOLDER_H
#define FOREBAY_TESTS_SUPPORT_TEMP_FOLDER_H

struct temp_folder {
    char path[256];
};

/* Makes an empty folder below $TMPDIR (or /tmp); ends the program when that fails. */
void temp_folder_make(struct temp_folder *folder);

/* Removes it with all that is in it. */
void temp_folder_remove(const struct temp_folder *folder);

#endif
