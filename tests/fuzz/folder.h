/* SPDX-License-Identifier: MIT */
/* A folder in memory, where there is a file system for that, which every input finds empty. One for the whole
 * program. */
#ifndef FOREBAY_TESTS_FUZZ_FOLDER_H
#define FOREBAY_TESTS_FUZZ_FOLDER_H

#include "tests/fuzz/choices.h"
#include <dirent.h>
#include <string.h>
#include <unistd.h>

static char fuzz_folder_path[64];

static inline void fuzz_folder_empty(void) {
    char path[512];
    DIR *stream = opendir(fuzz_folder_path);
    FUZZ_CHECK(stream);
    for (struct dirent *found; (found = readdir(stream));) {
        snprintf(path, sizeof path, "%s/%s", fuzz_folder_path, found->d_name);
        if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0)
            FUZZ_CHECK(unlink(path) == 0);
    }
    closedir(stream);
}

static inline void fuzz_folder_remove(void) {
    fuzz_folder_empty();
    rmdir(fuzz_folder_path);
}

/* Its path. It goes when the program ends, unless that is by a finding. */
static inline const char *fuzz_folder(void) {
    if (*fuzz_folder_path) {
        fuzz_folder_empty();
        return fuzz_folder_path;
    }
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(fuzz_folder_path, sizeof fuzz_folder_path, "%s/forebay-fuzz-XXXXXX", base);
    FUZZ_CHECK(mkdtemp(fuzz_folder_path) && atexit(fuzz_folder_remove) == 0);
    return fuzz_folder_path;
}

static inline void fuzz_folder_write(const char *name, const void *bytes, size_t size) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", fuzz_folder_path, name);
    FILE *file = fopen(path, "wbe");
    FUZZ_CHECK(file && (size == 0 || fwrite(bytes, 1, size, file) == size) && fclose(file) == 0);
}

#endif
