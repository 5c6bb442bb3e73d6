/* SPDX-License-Identifier: MIT */
/* What concerns the process as such: limits, user, background. */
#ifndef FOREBAY_SERVER_PROCESS_H
#define FOREBAY_SERVER_PROCESS_H

#include <stdbool.h>
#include <stddef.h>

struct settings; /* server/config/settings.h */

/* What a server with these settings may have open beside its clients: files, sockets, connections to its backends. A
 * client that takes all it can is to leave room for that. */
struct process_descriptors {
    unsigned least; /* as far as the settings tell */
    unsigned most;  /* if each cluster has as many masters as it can have */
};
struct process_descriptors process_own_descriptors(const struct settings *settings);

/* Room for this many client connections beside what the server itself has open. Where the limit cannot be raised for
 * the least of that, the default number, which nobody has asked for, becomes what there is room for, and any other is
 * refused: false with a sentence. For the most of it the limit is raised as far as it can be. */
bool process_raise_descriptors(struct process_descriptors own, unsigned *connections, char *ret_error,
                               size_t error_size);

/* Every thread from now on has a stack that is large enough, whatever ulimit -s says, of which the C library makes the
 * size of all. The first thread's is the kernel's. Where addresses are few (ulimit -v), no stack is larger, and the C
 * library has one arena. Before the first thread. */
void process_divide_addresses(void);

/* -r. */
bool process_raise_core_limit(char *ret_error, size_t error_size);

/* Makes the data folder if it is missing (its parent has to exist), for this user alone. False: it cannot be written
 * into, or it is no place for data. */
bool process_check_folder(const char *path, char *ret_error, size_t error_size);

/* What process_check_folder would say, without making anything. */
bool process_would_take_folder(const char *path, char *ret_error, size_t error_size);

/* -d. In the parent this does not return: it exits with 0 once the child says process_ready, or with the
 * child's status when that ends before. In the child: the descriptor for process_ready, or -1 when it cannot
 * fork. */
int process_daemonize(void);

/* Lets the waiting parent go; in the background, standard error is closed unless it is to be kept (-v). */
void process_ready(int ready_fd, bool keep_stderr);

#endif
