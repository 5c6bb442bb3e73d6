/* SPDX-License-Identifier: MIT */
/* A redis-server of a test's own, on a free port of the loopback interface and a socket file. */
#ifndef FOREBAY_TESTS_SUPPORT_REDIS_SERVER_H
#define FOREBAY_TESTS_SUPPORT_REDIS_SERVER_H

#include "tests/support/temp_folder.h"
#include <stdbool.h>
#include <sys/types.h>

struct redis_server {
    pid_t pid; /* 0: not running */
    int port;
    struct temp_folder folder; /* its working folder, with redis.sock and what it stores */
    bool append_only;          /* set before the start: everything survives a restart */
    bool cluster;              /* set before a start: a node of a Redis Cluster; without slots at first */
    int cluster_port;          /* of such a node, for others of its cluster */
    int watched_port; /* set before a start: a Sentinel, of the master "mymaster" at this port; 0: a Redis */
    /* Set before a start, NULL behind the last one: more words for the command line, or lines for the file of a
     * Sentinel. NULL: none. */
    const char *const *options;
};

/* Makes the folder, chooses the port and starts; returns when it answers, be it that it is still loading.
 * false: redis-server cannot be run here. It ends with the test program, however that ends. */
bool redis_server_start(struct redis_server *server);

/* Ends it at once (SIGKILL), or starts it again at the same port. */
void redis_server_kill(struct redis_server *server);
bool redis_server_restart(struct redis_server *server);

/* SIGSTOP and SIGCONT. */
void redis_server_pause(const struct redis_server *server, bool pause);

/* Ends it and removes the folder. */
void redis_server_stop(struct redis_server *server);

/* Starts count masters, makes one cluster of them that has all slots, and returns when each of them serves. false:
 * redis-server cannot be run here; those that have been started are still to be stopped. */
bool redis_server_start_cluster(struct redis_server *servers, int count);

/* A node that was started becomes a master of that cluster, without slots; returns when it serves. */
void redis_server_join(const struct redis_server *server, const struct redis_server *other);

/* Starts a replica of a master of that cluster, and returns when it has what that has. False: as above. */
bool redis_server_start_replica(struct redis_server *server, const struct redis_server *master);

/* Its replicas get nothing from the master any more; or again. (One that is stopped would find it in its socket.) */
void redis_server_cut_off(const struct redis_server *replica, const struct redis_server *master, bool cut);

/* Something that listens on the loopback interface and answers all that it is sent with these bytes, in a process of
 * its own, which is ended with SIGKILL and waited for. Returns the port. */
int redis_server_pretend(const char *answer, pid_t *ret_child);

/* Sends a command (words separated by blanks, printf-like) as somebody beside; the answer as text in a buffer
 * that lives until the next call: nil is "", errors begin with a '-', arrays are joined by blanks. */
__attribute__((format(printf, 2, 3))) const char *redis_server_ask(const struct redis_server *server,
                                                                   const char *format, ...);

#endif
