/* SPDX-License-Identifier: MIT */
/* Why a call on a file has failed, for a message: as the system says it, with the remedy where no file is at fault. Any
 * thread. */
#ifndef FOREBAY_CACHE_BASE_FILE_REASON_H
#define FOREBAY_CACHE_BASE_FILE_REASON_H

#include "cache/base/size_text.h"
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/resource.h>

enum { FILE_REASON_MAX = 192 };

/* .text lasts as long as the expression. */
struct file_reason {
    char text[FILE_REASON_MAX];
};

static inline struct file_reason file_reason(int failure) {
    struct file_reason reason;
    struct rlimit limit;
    const char *said = strerror(failure);
    if (failure == ENAMETOOLONG)
        snprintf(reason.text, sizeof reason.text,
                 "%s (a name may have %d bytes, and a path %d: make it shorter)", said, NAME_MAX,
                 PATH_MAX - 1);
    else if (failure == EFBIG && getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        snprintf(
            reason.text, sizeof reason.text,
            "%s (this process may write no file of more than %s: raise ulimit -f, LimitFSIZE= in systemd)",
            said, size_text(limit.rlim_cur).text);
    else
        snprintf(reason.text, sizeof reason.text, "%s", said);
    return reason;
}

#endif
