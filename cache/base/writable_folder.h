/* SPDX-License-Identifier: MIT */
/*
 * Whether files can be made in a folder, without making one. What access() says is not enough: root may do everything,
 * and in the file systems by which the kernel shows itself (/proc, /sys) nobody makes files all the same.
 */
#ifndef FOREBAY_CACHE_BASE_WRITABLE_FOLDER_H
#define FOREBAY_CACHE_BASE_WRITABLE_FOLDER_H

#include <errno.h>
#include <libgen.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

static inline bool is_shown_by_kernel(const char *folder) {
    static const unsigned kinds[] = {
        PROC_SUPER_MAGIC, SYSFS_MAGIC,      CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, DEBUGFS_MAGIC,
        TRACEFS_MAGIC,    SECURITYFS_MAGIC, DEVPTS_SUPER_MAGIC, PSTOREFS_MAGIC,      EFIVARFS_MAGIC,
        BINFMTFS_MAGIC,   BPF_FS_MAGIC,     SELINUX_MAGIC};
    struct statfs status;
    if (statfs(folder, &status) != 0)
        return false;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if ((unsigned)status.f_type == kinds[i])
            return true;
    return false;
}

/* False and errno; EOPNOTSUPP: it is the kernel's. */
static inline bool folder_is_writable(const char *folder) {
    if (access(folder, W_OK | X_OK) != 0)
        return false;
    if (!is_shown_by_kernel(folder))
        return true;
    errno = EOPNOTSUPP;
    return false;
}

/* The same of the folder that the last part of a path is in; also ENOMEM. */
static inline bool parent_is_writable(const char *path) {
    char *copy = strdup(path);
    bool writable = copy && folder_is_writable(dirname(copy));
    int failure = errno;
    free(copy);
    errno = failure;
    return writable;
}

#endif
