/* SPDX-License-Identifier: MIT */
/* Files of certificates and keys, read whole. */
#ifndef FOREBAY_SERVER_TLS_FILES_H
#define FOREBAY_SERVER_TLS_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct tls_file {
    const char *path; /* the caller's */
    char *data;       /* NULL: there is none */
    size_t size;
    mode_t mode;
};

/* Links are followed; a pipe is not waited for. path NULL: there is no such file, and that is good. False with a whole
 * sentence that begins with the setting; tls_file_free is to be called in either case. */
bool tls_file_read(const char *setting, const char *path, struct tls_file *ret_file, char *ret_error,
                   size_t error_size);

/* Overwrites it first: it may be a key. */
void tls_file_free(struct tls_file *file);

#endif
