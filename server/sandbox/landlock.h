/* SPDX-License-Identifier: MIT */
/*
 * Landlock, by the kernel's own three calls: from a moment on, the process and all threads that it starts open no file,
 * and reach no port, but those that were admitted. What is open stays so. Modes of files go on to count: it only takes
 * away.
 *
 *     landlock_begin, landlock_admit..., landlock_enter
 *
 * A rule is about what is at a path when it is made, and, of a folder, about all below it, whatever comes there later.
 * What the kernel does not know yet is left out: landlock_version says what that is.
 */
#ifndef FOREBAY_SERVER_SANDBOX_LANDLOCK_H
#define FOREBAY_SERVER_SANDBOX_LANDLOCK_H

#include <stdbool.h>

/* What each version brought, with the kernel that did. */
enum {
    LANDLOCK_WITH_RENAMES = 2,    /* from folder to folder, 5.19; refused before */
    LANDLOCK_WITH_TRUNCATION = 3, /* 6.2; before, what may be read could be cut off by whoever opens it so */
    LANDLOCK_WITH_PORTS = 4,      /* 6.7 */
    LANDLOCK_WITH_DEVICES = 5,    /* 6.10: ioctl */
    LANDLOCK_WITH_SCOPES = 6      /* 6.12: signals and abstract Unix sockets of other processes */
};

enum landlock_use {
    LANDLOCK_READ,    /* files and lists of folders */
    LANDLOCK_CHANGE,  /* that, and files are written, made, renamed and removed */
    LANDLOCK_PUBLISH, /* files are written, made, renamed and removed, and others not read */
    LANDLOCK_REMOVE   /* files are removed */
};

struct landlock {
    int rules; /* -1: none, nothing is closed */
    int version;
    bool limits_ports;
};

/* That of the kernel; 0: it has none, or does not let it be used. */
int landlock_version(void);

/* From now on rules are collected, of this version: landlock_version(), or one before. any_port: TCP ports are not
 * limited. named_sockets: abstract Unix sockets of other processes may be reached. False: errno. */
bool landlock_begin(struct landlock *self, int version, bool any_port, bool named_sockets);

/* A path that is not there is none to be reached, then or later. False: errno. */
bool landlock_admit(struct landlock *self, const char *path, enum landlock_use use);

/* That connections to a TCP port are made. False: errno. */
bool landlock_admit_port(struct landlock *self, int port);

/* From now on the rules hold, for this thread and those that it starts. The process has to have no_new_privs. False:
 * errno, and nothing is closed. */
bool landlock_enter(struct landlock *self);

/* The rules go, as far as they are not in force. */
void landlock_end(struct landlock *self);

#endif
