/* SPDX-License-Identifier: MIT */
#include "tests/support/temp_folder.h"
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

void temp_folder_make(struct temp_folder *folder) {
    const char *parent = getenv("TMPDIR");
    snprintf(folder->path, sizeof folder->path, "%s/forebay-test-XXXXXX",
             parent && *parent ? parent : "/tmp");
    if (!mkdtemp(folder->path)) {
        perror(folder->path);
        exit(1);
    }
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where) {
    (void)status, (void)kind, (void)where;
    return remove(path);
}

void temp_folder_remove(const struct temp_folder *folder) {
    enum { FOLDERS_OPEN = 16 };
    nftw(folder->path, remove_one, FOLDERS_OPEN, FTW_DEPTH | FTW_PHYS);
}
