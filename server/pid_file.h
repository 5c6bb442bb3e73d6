/* SPDX-License-Identifier: MIT */
/*
 * The pid file (-P). Others may read it, but not write it. A link at the path is not followed, and a file that belongs
 * to somebody else is refused, as scripts kill what it names.
 *
 * Whoever writes it holds it as long as it runs, by a lock that ends with the process. So a file that was left by one
 * that was killed is told from that of a server that runs, whoever has the pid by now. The lock is one that only those
 * can take who may write the file: a reader's is in nobody's way.
 */
#ifndef FOREBAY_SERVER_PID_FILE_H
#define FOREBAY_SERVER_PID_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* Whether pid_file_write would succeed, as far as it shows without writing; own: the pid of a server that may hold the
 * file already, 0: none. False with a whole sentence. */
bool pid_file_judge(const char *path, long own, char *ret_error, size_t error_size);

/* Whether the file names a process that runs, though nobody holds it: another program's, or of a pid that was given out
 * again. True with a whole sentence. */
bool pid_file_warns(const char *path, char *ret_warning, size_t warning_size);

/* Writes this process's pid, and holds the file: *ret_file is for pid_file_remove. False with a whole sentence. */
bool pid_file_write(const char *path, int *ret_file, char *ret_error, size_t error_size);

/* Removes it, unless another has the name by now. file -1: nothing was written. */
void pid_file_remove(const char *path, int file);

#endif
