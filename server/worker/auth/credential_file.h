/* SPDX-License-Identifier: MIT */
/* Files that say who gets in: lines of auth_file (auth.h) and of users' password files (users.h). */
#ifndef FOREBAY_SERVER_WORKER_AUTH_CREDENTIAL_FILE_H
#define FOREBAY_SERVER_WORKER_AUTH_CREDENTIAL_FILE_H

#include "cache/base/slice.h"
#include <sys/types.h>

/* Reads a file of less than a megabyte; NULL with a whole sentence in ret_error, in which the file is called `what`. To
 * be freed. */
char *credential_file_read(const char *what, const char *path, size_t *ret_size, mode_t *ret_mode,
                           char *ret_error, size_t error_size);

/* Cuts the first line, without its end, off the text. False: there is none. */
bool credential_file_line(struct slice *text, struct slice *ret_line);

/* Whether a file of this mode is open to more people than its owner and his group, or to be written by the group. If
 * so, a whole sentence in ret_warning. */
bool credential_file_is_exposed(const char *what, const char *path, mode_t mode, char *ret_warning,
                                size_t warning_size);

#endif
