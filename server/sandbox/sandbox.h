/* SPDX-License-Identifier: MIT */
/*
 * The sandbox of a running server (`sandbox`, --sandbox): what it has no use for is closed, for good, by the kernel.
 *
 *     open --sandbox_enter--> closed --sandbox_complete--> no ring can be made any more
 *
 * Files and ports by Landlock (landlock.h), as settings tell which are needed (reach.h); all else by the list of system
 * calls (calls.h). It is entered once what needs rights is done (ports, user, memory lock) and before the first thread
 * is started, so all threads are in it.
 */
#ifndef FOREBAY_SERVER_SANDBOX_SANDBOX_H
#define FOREBAY_SERVER_SANDBOX_SANDBOX_H

#include "server/buffer.h"
#include "server/config/options.h"
#include "server/config/settings.h"

struct sandbox {
    bool makes_rings; /* and may */
};

/* Does nothing where settings say "off". With a text for the log, where it does something. The process has
 * no_new_privs. False with a sentence: the kernel does not do what was asked for. A kernel without Landlock leaves the
 * files open, and the text says so. */
bool sandbox_enter(struct sandbox *self, const struct settings *settings, const struct options *options,
                   struct buffer *ret_text, char *ret_error, size_t error_size);

/* The workers have their rings, if any. False with a sentence: others can still be made. */
bool sandbox_complete(struct sandbox *self, char *ret_error, size_t error_size);

/* Whether the file at a path is out of the sandbox's reach: modes allow it to be read, and the kernel does not. For
 * what a reload names anew. */
bool sandbox_hides(const char *path);

#endif
