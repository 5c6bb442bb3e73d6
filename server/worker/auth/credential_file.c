/* SPDX-License-Identifier: MIT */
#include "server/worker/auth/credential_file.h"
#include "cache/base/byte_order_mark.h"
#include "cache/base/fit.h"
#include "cache/base/given_file.h"
#include "cache/base/own_file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { CREDENTIAL_FILE_MAX = 1 << 20 };

/* Links are followed; a pipe is not waited for, as it would be at each SIGHUP. NULL and errno: ENXIO for what is no
 * plain file. */
static FILE *open_plain(const char *path, struct stat *ret_status) {
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (file >= 0 && fstat(file, ret_status) == 0 && !S_ISREG(ret_status->st_mode) &&
        !S_ISDIR(ret_status->st_mode))
        file = own_file_fail(file, ENXIO);
    return own_file_stream(file, "r");
}

char *credential_file_read(const char *what, const char *path, size_t *ret_size, mode_t *ret_mode,
                           char *ret_error, size_t error_size) {
    struct stat status = {0};
    FILE *file = open_plain(path, &status);
    char *text = malloc(CREDENTIAL_FILE_MAX);
    size_t size = file && text ? fread(text, 1, CREDENTIAL_FILE_MAX, file) : 0;
    bool good = file && text && !ferror(file) && size < CREDENTIAL_FILE_MAX;
    char why[GIVEN_FILE_REASON_MAX];
    given_file_reason(errno, why);
    if (!good)
        fit_print(ret_error, error_size, "cannot read the %s %s: %s", what, path,
                  size == CREDENTIAL_FILE_MAX ? "it is longer than a megabyte" : why);
    if (file)
        fclose(file);
    if (good) {
        *ret_size = byte_order_mark_remove(text, size);
        *ret_mode = status.st_mode;
        return text;
    }
    free(text);
    return NULL;
}

bool credential_file_line(struct slice *text, struct slice *ret_line) {
    if (text->size == 0)
        return false;
    slice_cut(text, '\n', ret_line);
    while (ret_line->size > 0 && ret_line->data[ret_line->size - 1] == '\r')
        ret_line->size--;
    return true;
}

bool credential_file_is_exposed(const char *what, const char *path, mode_t mode, char *ret_warning,
                                size_t warning_size) {
    const char *how = NULL;
    if (mode & S_IROTH)
        how = "read by all users of this machine";
    if (mode & S_IWGRP)
        how = "written by its group";
    if (mode & S_IWOTH)
        how = "written by all users of this machine";
    if (how)
        fit_print(ret_warning, warning_size, "the %s %s can be %s: chmod 0600 (or 0640) %s", what, path, how,
                  path);
    return how != NULL;
}
