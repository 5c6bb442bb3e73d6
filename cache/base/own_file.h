/* SPDX-License-Identifier: MIT */
/*
 * Files that a server keeps under names of its own: nobody else reads or writes them, and a name that somebody has
 * prepared leads to no other file. A symbolic link is not followed, what is no plain file (a pipe, a device) is not
 * opened, and nothing in a file is touched before that is known. Any thread.
 */
#ifndef FOREBAY_CACHE_BASE_OWN_FILE_H
#define FOREBAY_CACHE_BASE_OWN_FILE_H

#include "cache/base/file_reason.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OWN_FILE_MODE = 0600 };

static inline int own_file_fail(int file, int failure) {
    if (file >= 0)
        close(file);
    errno = failure;
    return -1;
}

/* As open(), with a mode for a file that is made. -1 and errno: ELOOP for a link, ENXIO for what is no plain file
 * (EISDIR for a folder that is to be written). */
static inline int own_file_open_as(const char *path, int flags, mode_t mode) {
    const int careful =
        O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK; /* which waits for no pipe's other end */
    struct stat status;
    int file = open(path, flags | careful, mode);
    if (file < 0 || fstat(file, &status) != 0)
        return own_file_fail(file, errno);
    return S_ISREG(status.st_mode) ? file : own_file_fail(file, ENXIO);
}

/* O_CREAT with O_TRUNC makes a new file, whoever has the old one of this name open or another name for it. */
static inline int own_file_open(const char *path, int flags) {
    if ((flags & O_CREAT) && (flags & O_TRUNC)) {
        unlink(path);
        flags |= O_EXCL;
    }
    return own_file_open_as(path, flags, OWN_FILE_MODE);
}

/* The same for streams: one to read, and one of a new file to write. NULL and errno. */
static inline FILE *own_file_stream(int file, const char *mode) {
    FILE *stream = file < 0 ? NULL : fdopen(file, mode);
    if (!stream)
        own_file_fail(file, errno);
    return stream;
}

static inline FILE *own_file_read(const char *path) {
    return own_file_stream(own_file_open(path, O_RDONLY), "r");
}

static inline FILE *own_file_write(const char *path) {
    return own_file_stream(own_file_open(path, O_WRONLY | O_CREAT | O_TRUNC), "w");
}

/* Whether every user of the machine can read or write the file at the path, as far as its mode and that of its folder
 * say; then its mode. Links are followed. What is no plain file is no server's, and nobody is told to close it: /tmp,
 * or /dev/null. */
static inline bool own_file_is_exposed(const char *folder, const char *path, mode_t *ret_mode) {
    struct stat around, status;
    if (stat(folder, &around) != 0 || !(around.st_mode & S_IXOTH) || stat(path, &status) != 0 ||
        !S_ISREG(status.st_mode) || !(status.st_mode & (S_IROTH | S_IWOTH)))
        return false;
    *ret_mode = status.st_mode & 07777;
    return true;
}

/* Why one of these failed, for a message. A link may lead to a file of the server's that was moved away, with changes
 * in it that are nowhere else: nobody is told to remove that one. */
static inline struct file_reason own_file_reason(int failure) {
    switch (failure) {
    case ELOOP:
        return (struct file_reason){
            "it is a symbolic link, which is not followed here; put what it leads to in its place, or remove it if that is not the server's"};
    case ENXIO:
    case EISDIR:
        return (struct file_reason){"it is no plain file; remove it"};
    default:
        return file_reason(failure);
    }
}

#endif
