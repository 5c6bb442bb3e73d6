/* SPDX-License-Identifier: MIT */
#include "server/public_file.h"
#include "cache/base/own_file.h"

int public_file_make(const char *path, int flags) {
    int file = own_file_open_as(path, flags | O_CREAT | O_EXCL, PUBLIC_MODE);
    return file < 0 || fchmod(file, PUBLIC_MODE) == 0 ? file : own_file_fail(file, errno);
}

FILE *public_file_open(const char *path) {
    unlink(path);
    return own_file_stream(public_file_make(path, O_WRONLY), "w");
}
