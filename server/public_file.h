/* SPDX-License-Identifier: MIT */
/* Files that others may read, but not write (mode 0644, whatever the umask, which is for data). Any thread. */
#ifndef FOREBAY_SERVER_PUBLIC_FILE_H
#define FOREBAY_SERVER_PUBLIC_FILE_H

#include <stdio.h>

enum { PUBLIC_MODE = 0644 };

/* Makes one that is not there yet. -1 and errno: EEXIST. */
int public_file_make(const char *path, int flags);

/* Opens a new one, in place of whatever has the name; NULL and errno. */
FILE *public_file_open(const char *path);

#endif
