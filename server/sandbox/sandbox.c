/* SPDX-License-Identifier: MIT */
#include "server/sandbox/sandbox.h"
#include "cache/base/fit.h"
#include "server/sandbox/calls.h"
#include "server/sandbox/reach.h"
#include "server/sandbox/sanitized.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Files and ports ---- */

static bool admit_all(struct landlock *landlock, const struct reach *reach) {
    bool good = true;
    for (size_t i = 0; good && i < reach->count; i++)
        good = landlock_admit(landlock, reach->list[i].path, reach->list[i].use);
    for (size_t i = 0; good && i < reach->port_count; i++)
        good = landlock_admit_port(landlock, reach->ports[i]);
    if (IS_SANITIZED) /* a report has lines of the program's own text */
        good = good && landlock_admit(landlock, "/", LANDLOCK_READ);
    return good;
}

/* A service manager of older days has its socket in no folder. */
static bool needs_named_sockets(void) {
    const char *manager = getenv("NOTIFY_SOCKET");
    return manager && *manager == '@';
}

static bool close_files(const struct reach *reach, struct landlock *ret_landlock) {
    bool good = landlock_begin(ret_landlock, landlock_version(), reach->any_port, needs_named_sockets()) &&
                admit_all(ret_landlock, reach) && landlock_enter(ret_landlock);
    int failure = errno;
    landlock_end(ret_landlock);
    errno = failure;
    return good;
}

/* ---- Saying it ---- */

static void describe_ports(const struct reach *reach, const struct landlock *landlock, struct buffer *text) {
    if (reach->any_port)
        buffer_print(text, "; TCP connections to any port, as backends say where others are");
    else if (!landlock->limits_ports)
        buffer_print(text, "; TCP connections to any port, as this kernel cannot limit them (Linux 6.7 can)");
    else if (reach->port_count == 0)
        buffer_print(text, "; %s", "no TCP connections are made");
    for (size_t i = 0; landlock->limits_ports && i < reach->port_count; i++)
        buffer_print(text, "%s %d", i ? "," : "; TCP connections to ports", reach->ports[i]);
}

static void describe(const struct reach *reach, const struct landlock *landlock, struct buffer *text) {
    if (landlock->version == 0) {
        buffer_print(
            text,
            "sandbox: system calls are limited, but files and ports are as open as before: that takes Landlock, which this kernel has not, or not in its list (lsm=), or another filter keeps from the server");
        return;
    }
    struct buffer files = {0};
    reach_describe(reach, &files);
    buffer_append(&files, "", 1);
    buffer_print(text, "sandbox: system calls are limited; files are %s",
                 files.failed || files.size == 1 ? "closed" : files.data);
    describe_ports(reach, landlock, text);
    buffer_free(&files);
}

/* ---- The whole ---- */

static bool fail(const char *what, int failure, char *error, size_t error_size) {
    const char *remedy = failure == ENOMEM
                             ? "give the start more memory"
                             : "allow that, where the server runs in a container or under another filter";
    fit_print(error, error_size, "sandbox = \"strict\": %s: %s; %s, or say sandbox = \"off\"", what,
              strerror(failure), remedy);
    return false;
}

bool sandbox_enter(struct sandbox *self, const struct settings *settings, const struct options *options,
                   struct buffer *ret_text, char *ret_error, size_t error_size) {
    struct landlock landlock = {.rules = -1, .version = landlock_version()};
    struct reach reach;
    if (settings->sandbox == SANDBOX_OFF)
        return true;
    if (!reach_find(settings, options, &reach)) {
        reach_free(&reach);
        return fail("what is needed cannot be listed", ENOMEM, ret_error, error_size);
    }
    self->makes_rings = settings->io != IO_EPOLL;
    bool good = true;
    if (landlock.version > 0 && !close_files(&reach, &landlock))
        good = fail("files cannot be closed (Landlock)", errno, ret_error, error_size);
    if (good && !calls_filter(self->makes_rings))
        good = fail("system calls cannot be limited (seccomp)", errno, ret_error, error_size);
    if (good)
        describe(&reach, &landlock, ret_text);
    reach_free(&reach);
    return good;
}

bool sandbox_complete(struct sandbox *self, char *ret_error, size_t error_size) {
    bool good = !self->makes_rings || calls_close_rings();
    if (!good)
        fail("io_uring cannot be closed behind the workers (seccomp)", errno, ret_error, error_size);
    self->makes_rings = false;
    return good;
}

bool sandbox_hides(const char *path) {
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int failure = errno;
    if (file >= 0)
        close(file);
    return file < 0 && failure == EACCES && access(path, R_OK) == 0;
}
