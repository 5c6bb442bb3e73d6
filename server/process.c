/* SPDX-License-Identifier: MIT */
#include "server/process.h"
#include "backends/backend.h"
#include "cache/base/file_reason.h"
#include "cache/base/fit.h"
#include "cache/base/writable_folder.h"
#include "server/config/settings.h"
#include "server/http/admin_http.h"
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    CONNECTIONS_LEAST = 16,
    STACK_LEAST = 1 << 20 /* bytes; with a path or two on it, and SQLite above */
};

enum {
    OWN_DESCRIPTORS = 128,       /* listening sockets, the main loop, the folder and its files */
    OWN_DESCRIPTORS_LEAST = 256, /* for few threads and backends */
    WORKER_DESCRIPTORS = 6,      /* its loop, and what wakes it; its journal, and the next file of that */
    READERS_BESIDE = 3, /* connections that read, of a backend: preload, absent filter, the patient reader */
    WATCHERS = 2        /* with `coherent`: one that hears, one that compares */
};

static void add_sessions(struct process_descriptors *own, const struct backend_options *options,
                         enum backend_role role, unsigned count) {
    const struct backend_type *type = backend_find(options->uri);
    if (!type)
        return; /* the settings are refused */
    struct backend_descriptors of_one = type->descriptors(options, role);
    own->least += count * of_one.least;
    own->most += count * of_one.most;
}

static unsigned at_least(unsigned number, unsigned least) {
    return number > least ? number : least;
}

struct process_descriptors process_own_descriptors(const struct settings *settings) {
    const struct tier_options *tier = &settings->tier;
    unsigned fixed = OWN_DESCRIPTORS + settings->threads * WORKER_DESCRIPTORS,
             admin = settings->admin ? ADMIN_HTTP_DESCRIPTORS : 0;
    struct process_descriptors own = {fixed, fixed};
    for (size_t i = 0; i < tier->backend_count; i++) {
        const struct backend_options *store = &tier->backends[i].store;
        add_sessions(&own, store, BACKEND_WRITER, 1);
        add_sessions(&own, store, BACKEND_READER, tier->backends[i].readers + READERS_BESIDE);
        add_sessions(&own, store, BACKEND_WATCHER, store->coherent ? WATCHERS : 0);
    }
    own.least = at_least(own.least, OWN_DESCRIPTORS_LEAST) + admin;
    own.most = at_least(own.most, OWN_DESCRIPTORS_LEAST) + admin;
    return own;
}

static bool make_do_with(struct rlimit limit, unsigned own, unsigned *connections) {
    limit.rlim_cur = limit.rlim_max;
    if (*connections != SETTINGS_CONNECTIONS_DEFAULT || limit.rlim_max < (rlim_t)own + CONNECTIONS_LEAST ||
        setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return false;
    *connections = (unsigned)(limit.rlim_max - own);
    return true;
}

/* hard: the limit may be raised above what it can be raised to; root may. */
static bool raise_to(struct rlimit limit, rlim_t wanted, bool hard) {
    if (limit.rlim_cur >= wanted)
        return true;
    if (limit.rlim_max < wanted && hard)
        limit.rlim_max = wanted;
    limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

bool process_raise_descriptors(struct process_descriptors own, unsigned *connections, char *ret_error,
                               size_t error_size) {
    struct rlimit limit = {0};
    rlim_t wanted = (rlim_t)*connections + own.least, best = (rlim_t)*connections + own.most;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (raise_to(limit, best, true) || (limit.rlim_max >= wanted && raise_to(limit, best, false)) ||
        raise_to(limit, wanted, true) || make_do_with(limit, own.least, connections))
        return true;
    const char *lower = limit.rlim_max > own.least ? "lower -c (max_connections), or " : "";
    fit_print(
        ret_error, error_size,
        "%u connections need %llu open files, %u of them for the server itself, and the limit is %llu: %sraise ulimit -n (LimitNOFILE= in systemd)",
        *connections, (unsigned long long)wanted, own.least, (unsigned long long)limit.rlim_max, lower);
    return false;
}

/* Each has little on it: where addresses are few, none has more than it needs. */
static void size_stacks(bool spares) {
    pthread_attr_t attributes;
    size_t size;
    if (pthread_getattr_default_np(&attributes) != 0)
        return;
    if (pthread_attr_getstacksize(&attributes, &size) == 0 && (size < STACK_LEAST || spares) &&
        pthread_attr_setstacksize(&attributes, STACK_LEAST) == 0)
        pthread_setattr_default_np(&attributes);
    pthread_attr_destroy(&attributes);
}

/* The C library takes 64 MiB of addresses for the first allocation of a thread, as long as there are so many: then the
 * cache and the threads have what the order of the start leaves, so that more might be enough for less. */
void process_divide_addresses(void) {
    struct rlimit limit;
    bool spares = getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
    if (spares)
        mallopt(M_ARENA_MAX, 1);
    size_stacks(spares);
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
    fit_print(ret_error, error_size, "-r: core files are not allowed here: raise ulimit -Hc or leave -r out");
    return false;
}

/* One that every user of the machine can write into is no place for data. */
static bool judge_folder(const char *path, char *ret_error, size_t error_size) {
    struct stat status;
    if (stat(path, &status) != 0)
        return true;
    if (!S_ISDIR(status.st_mode)) {
        fit_print(ret_error, error_size, "the data folder %s is not a folder; correct data", path);
        return false;
    }
    if (!(status.st_mode & S_IWOTH))
        return true;
    fit_print(
        ret_error, error_size,
        "every user of this machine can write into the data folder %s (mode %04o), and so decide what a start recovers: chmod o-w it, or give data a folder of its own",
        path, (unsigned)status.st_mode & 07777);
    return false;
}

static bool is_kernels(const char *path, char *error, size_t error_size) {
    fit_print(
        error, error_size,
        "the data folder %s is in a file system of the kernel, where no files can be made; correct data",
        path);
    return false;
}

static bool cannot_make(const char *path, char *error, size_t error_size) {
    if (errno == EOPNOTSUPP)
        return is_kernels(path, error, error_size);
    fit_print(error, error_size,
              "the data folder %s does not exist and cannot be made: %s; make it%s, or correct data", path,
              file_reason(errno).text,
              errno == EROFS ? " (a service may write only where ReadWritePaths= lets it)" : "");
    return false;
}

/* One that is there. */
static bool check_existing(const char *path, char *ret_error, size_t error_size) {
    if (!judge_folder(path, ret_error, error_size))
        return false;
    if (access(path, R_OK) == 0 && folder_is_writable(path))
        return true;
    if (errno == EOPNOTSUPP)
        return is_kernels(path, ret_error, error_size);
    const char *remedy = errno == EACCES  ? "chown -R it with all that is in it"
                         : errno == EROFS ? "a service may write only where ReadWritePaths= lets it"
                                          : "make it writable";
    fit_print(ret_error, error_size,
              "the data folder %s cannot be read and written into by user %u: %s; %s, or correct data", path,
              (unsigned)geteuid(), strerror(errno), remedy);
    return false;
}

bool process_check_folder(const char *path, char *ret_error, size_t error_size) {
    if (!parent_is_writable(path) && errno == EOPNOTSUPP) /* a cgroup could be made, and nothing in it */
        return is_kernels(path, ret_error, error_size);
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return cannot_make(path, ret_error, error_size);
    return check_existing(path, ret_error, error_size);
}

bool process_would_take_folder(const char *path, char *ret_error, size_t error_size) {
    struct stat status;
    if (lstat(path, &status) == 0)
        return check_existing(path, ret_error, error_size);
    return (errno == ENOENT && parent_is_writable(path)) || cannot_make(path, ret_error, error_size);
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
