/* SPDX-License-Identifier: MIT */
/* What a process gives up, and never has again. */
#ifndef FOREBAY_SERVER_PRIVILEGES_H
#define FOREBAY_SERVER_PRIVILEGES_H

#include <stdbool.h>
#include <stddef.h>

/* -u, when started as root; otherwise nothing. From then on the process is this user with his main group alone, by all
 * ids that the kernel keeps of it, without a capability: that is looked at, and a try to be root again has to fail.
 * False with a sentence. Before any thread is started: ids are each thread's own to the kernel. */
bool privileges_become(const char *user, char *ret_error, size_t error_size);

/* For the rest of the process's life: no program that it executes gets more rights than it has (no_new_privs), and what
 * a service manager may have given a user beside (capabilities to bind low ports, say) is gone. core_dumps: the kernel
 * may write a core file although the process has changed its user. locks_memory: the capability to do so stays, if it
 * is there; what is allocated from now on is locked by it, or refused. After all that needs rights, before any thread
 * is started. False: the system refuses; with a sentence. */
bool privileges_seal(bool core_dumps, bool locks_memory, char *ret_error, size_t error_size);

#endif
