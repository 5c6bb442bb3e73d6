/* SPDX-License-Identifier: MIT */
/*
 * The numbers that everybody writes to. A program that is started without standard files gives theirs to the first that
 * it opens, and what is meant for a log goes into a socket or a file of data.
 */
#ifndef FOREBAY_CACHE_BASE_STANDARD_FILES_H
#define FOREBAY_CACHE_BASE_STANDARD_FILES_H

#include <fcntl.h>
#include <unistd.h>

/* Takes the numbers of those that are closed, for something that can neither be read nor written. Before anything else
 * is opened. */
static inline void standard_files_hold(void) {
    int file;
    do
        file = open("/", O_PATH);
    while (file >= 0 && file <= STDERR_FILENO);
    if (file >= 0)
        close(file);
}

#endif
