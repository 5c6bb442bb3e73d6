/* SPDX-License-Identifier: MIT */
#include "server/process.h"
#include "cache/base/own_file.h"
#include "server/config/settings.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CONNECTIONS_LEAST = 16 };

static bool make_do_with(struct rlimit limit, unsigned own, unsigned *connections) {
    limit.rlim_cur = limit.rlim_max;
    if (*connections != SETTINGS_CONNECTIONS_DEFAULT || limit.rlim_max < (rlim_t)own + CONNECTIONS_LEAST ||
        setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return false;
    *connections = (unsigned)(limit.rlim_max - own);
    return true;
}

bool process_raise_descriptors(unsigned own, unsigned *connections, char *ret_error, size_t error_size) {
    struct rlimit limit;
    rlim_t wanted = (rlim_t)*connections + own;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= wanted)
        return true;
    rlim_t most = limit.rlim_max;
    limit.rlim_cur = wanted;
    if (most < wanted)
        limit.rlim_max = wanted; /* root may */
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return true;
    limit.rlim_max = most;
    if (make_do_with(limit, own, connections))
        return true;
    const char *lower = most > own ? "lower -c (max_connections), or " : "";
    snprintf(
        ret_error, error_size,
        "%u connections need %llu open files, %u of them for the server itself, and the limit is %llu: %sraise ulimit -n (LimitNOFILE= in systemd)",
        *connections, (unsigned long long)wanted, own, (unsigned long long)most, lower);
    return false;
}

bool process_raise_core_limit(char *ret_error, size_t error_size) {
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    if (setrlimit(RLIMIT_CORE, &limit) == 0)
        return true;
    if (getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max > 0) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_CORE, &limit) == 0)
            return true;
    }
    snprintf(ret_error, error_size, "-r: core files are not allowed here: raise ulimit -Hc or leave -r out");
    return false;
}

bool process_become(const char *user, char *ret_error, size_t error_size) {
    if (!user || geteuid() != 0)
        return true;
    const struct passwd *entry = getpwnam(user);
    if (!entry) {
        snprintf(ret_error, error_size, "-u %s: there is no such user; create it or name another", user);
        return false;
    }
    if ((setgroups(0, NULL) == 0 || errno == EPERM) && setgid(entry->pw_gid) == 0 &&
        setuid(entry->pw_uid) == 0)
        return true;
    snprintf(ret_error, error_size, "-u %s: cannot become this user: %s", user, strerror(errno));
    return false;
}

bool process_judge_folder(const char *path, char *ret_error, size_t error_size) {
    struct stat status;
    if (stat(path, &status) != 0)
        return true;
    if (!S_ISDIR(status.st_mode)) {
        snprintf(ret_error, error_size, "the data folder %s is not a folder; correct data", path);
        return false;
    }
    if (!(status.st_mode & S_IWOTH))
        return true;
    snprintf(
        ret_error, error_size,
        "every user of this machine can write into the data folder %s (mode %04o), and so decide what a start recovers: chmod o-w it, or give data a folder of its own",
        path, (unsigned)status.st_mode & 07777);
    return false;
}

bool process_check_folder(const char *path, char *ret_error, size_t error_size) {
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        snprintf(ret_error, error_size,
                 "the data folder %s does not exist and cannot be made: %s; make it, or correct data", path,
                 strerror(errno));
        return false;
    }
    if (!process_judge_folder(path, ret_error, error_size))
        return false;
    if (access(path, W_OK | X_OK) == 0)
        return true;
    const char *remedy = errno == EACCES ? "chown -R it with all that is in it" : "make it writable";
    snprintf(ret_error, error_size,
             "the data folder %s cannot be written into by user %u: %s; %s, or correct data", path,
             (unsigned)geteuid(), strerror(errno), remedy);
    return false;
}

/* The parent of the background process: waits for a byte, or for its end. */
static _Noreturn void wait_for_child(pid_t child, int fd) {
    char byte;
    ssize_t got;
    do
        got = read(fd, &byte, 1);
    while (got < 0 && errno == EINTR);
    if (got == 1)
        _exit(0);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    _exit(WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : 1);
}

int process_daemonize(void) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    pid_t child = fork();
    if (child < 0) {
        close(ends[0]);
        close(ends[1]);
        return -1;
    }
    if (child > 0) {
        close(ends[1]);
        wait_for_child(child, ends[0]);
    }
    close(ends[0]);
    setsid();
    return ends[1];
}

static void redirect(int null, int fd) {
    if (null >= 0)
        dup2(null, fd);
}

void process_ready(int ready_fd, bool keep_stderr) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    redirect(null, STDIN_FILENO);
    redirect(null, STDOUT_FILENO);
    if (!keep_stderr)
        redirect(null, STDERR_FILENO);
    if (null > STDERR_FILENO)
        close(null);
    while (write(ready_fd, "", 1) < 0 && errno == EINTR)
        continue;
    close(ready_fd);
}

enum { PUBLIC_MODE = 0644 }; /* whatever the umask, which is for data */

static int make_public(const char *path, int flags) {
    int file = own_file_open_as(path, flags | O_CREAT | O_EXCL, PUBLIC_MODE);
    return file < 0 || fchmod(file, PUBLIC_MODE) == 0 ? file : own_file_fail(file, errno);
}

FILE *process_open_public(const char *path) {
    unlink(path);
    return own_file_stream(make_public(path, O_WRONLY), "w");
}

/* One that is there may be all that this user can write to in its folder. Whose it is decides who can change it later:
 * scripts kill what it names. */
static int open_pid_file(const char *path) {
    struct stat status;
    int file = make_public(path, O_WRONLY);
    if (file >= 0 || errno != EEXIST)
        return file;
    file = own_file_open_as(path, O_WRONLY, PUBLIC_MODE);
    if (file < 0 || fstat(file, &status) != 0)
        return own_file_fail(file, errno);
    return status.st_uid == geteuid() || status.st_uid == 0 ? file : own_file_fail(file, EPERM);
}

bool process_write_pid(const char *path, char *ret_error, size_t error_size) {
    int file = open_pid_file(path);
    bool good = file >= 0 && ftruncate(file, 0) == 0 && dprintf(file, "%ld\n", (long)getpid()) > 0;
    if (!good)
        snprintf(ret_error, error_size, "cannot write the pid file %s: %s; mend that, or correct -P", path,
                 errno == EPERM ? "it belongs to another user; remove it" : own_file_reason(errno));
    if (file >= 0)
        close(file);
    return good;
}
