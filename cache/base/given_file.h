/* SPDX-License-Identifier: MIT */
/*
 * Files whose path somebody gives: a configuration, passwords, a token. Links are followed. Any thread.
 */
#ifndef FOREBAY_CACHE_BASE_GIVEN_FILE_H
#define FOREBAY_CACHE_BASE_GIVEN_FILE_H

#include "cache/base/file_reason.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { GIVEN_FILE_REASON_MAX = FILE_REASON_MAX };

/* Why one cannot be read, and what can be done; ENXIO: it is no plain file. */
static inline void given_file_reason(int failure, char ret_text[GIVEN_FILE_REASON_MAX]) {
    const char *why = strerror(failure);
    switch (failure) {
    case ENOENT:
    case ENOTDIR:
        snprintf(ret_text, GIVEN_FILE_REASON_MAX, "%s; make it, or correct the path", why);
        break;
    case EACCES:
    case EPERM:
        snprintf(ret_text, GIVEN_FILE_REASON_MAX,
                 "%s; user %u has to be able to read it: chown or chmod it, or a folder that leads to it",
                 why, (unsigned)geteuid());
        break;
    case ENXIO:
    case EISDIR:
        snprintf(ret_text, GIVEN_FILE_REASON_MAX, "it is no plain file; correct the path");
        break;
    default:
        snprintf(ret_text, GIVEN_FILE_REASON_MAX, "%s", file_reason(failure).text);
    }
}

#endif
