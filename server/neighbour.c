/* SPDX-License-Identifier: MIT */
#include "server/neighbour.h"
#include "cache/base/own_file.h"
#include <dirent.h>
#include <stdlib.h>

enum { LINE_SIZE = 512, PATH_SIZE = 300, TCP_LISTEN = 0x0a };

static FILE *open_in_proc(long pid, const char *name) {
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "/proc/%ld/%s", pid, name);
    return fopen(path, "re");
}

long neighbour_of_pid_file(const char *path) {
    char line[32] = "", name[32] = "";
    FILE *file = own_file_read(path);
    long pid = file && fgets(line, sizeof line, file) ? strtol(line, NULL, 10) : 0;
    if (file)
        fclose(file);
    file = pid > 0 ? open_in_proc(pid, "comm") : NULL;
    bool ours = file && fgets(name, sizeof name, file) && strcmp(name, "forebay\n") == 0;
    if (file)
        fclose(file);
    return ours ? pid : 0;
}

/* Whether the process has a socket open. */
static bool has_socket(long pid, unsigned long inode) {
    char folder[PATH_SIZE], wanted[64], target[64];
    snprintf(folder, sizeof folder, "/proc/%ld/fd", pid);
    snprintf(wanted, sizeof wanted, "socket:[%lu]", inode);
    DIR *stream = opendir(folder);
    bool found = false;
    for (struct dirent *entry; stream && !found && (entry = readdir(stream));) {
        ssize_t size = readlinkat(dirfd(stream), entry->d_name, target, sizeof target - 1);
        target[size > 0 ? size : 0] = '\0';
        found = strcmp(target, wanted) == 0;
    }
    if (stream)
        closedir(stream);
    return found;
}

static bool has_port(long pid, const char *table, int port) {
    char line[LINE_SIZE];
    FILE *file = pid > 0 ? open_in_proc(pid, table) : NULL;
    bool found = false;
    while (file && !found && fgets(line, sizeof line, file)) {
        unsigned local, state;
        unsigned long inode;
        found = sscanf(line, " %*d: %*[0-9A-Fa-f]:%X %*[0-9A-Fa-f]:%*X %X %*s %*s %*s %*s %*s %lu", &local,
                       &state, &inode) == 3 &&
                (int)local == port && state == TCP_LISTEN && has_socket(pid, inode);
    }
    if (file)
        fclose(file);
    return found;
}

bool neighbour_has_port(long pid, int port) {
    return has_port(pid, "net/tcp", port) || has_port(pid, "net/tcp6", port);
}

bool neighbour_has_socket(long pid, const char *path) {
    char line[LINE_SIZE];
    FILE *file = pid > 0 ? open_in_proc(pid, "net/unix") : NULL;
    bool found = false;
    while (file && !found && fgets(line, sizeof line, file)) {
        unsigned long inode;
        int at = 0;
        line[strcspn(line, "\n")] = '\0';
        found = sscanf(line, "%*s %*s %*s %*s %*s %*s %lu %n", &inode, &at) == 1 && at > 0 &&
                strcmp(line + at, path) == 0 && has_socket(pid, inode);
    }
    if (file)
        fclose(file);
    return found;
}
