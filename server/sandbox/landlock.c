/* SPDX-License-Identifier: MIT */
#include "server/sandbox/landlock.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- What Debian 12's headers do not know yet ---- */

enum { RULE_PORT = 2 }; /* LANDLOCK_RULE_NET_PORT */

enum { TRUNCATE = 1 << 14, IOCTL = 1 << 15 };
enum { BIND_TCP = 1 << 0, CONNECT_TCP = 1 << 1 };
enum { SCOPE_ABSTRACT_SOCKETS = 1 << 0, SCOPE_SIGNALS = 1 << 1 };

/* struct landlock_ruleset_attr; an older kernel takes the first part alone. */
struct ruleset {
    uint64_t files, ports, scopes;
};

struct port_rule {
    uint64_t access, port;
};

/* ---- What is closed, and opened ---- */

static const uint64_t READ = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
static const uint64_t WRITE =
    LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE | TRUNCATE;

/* All that there is to close. */
static uint64_t all_access(int version) {
    uint64_t first = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
    return first | (version >= LANDLOCK_WITH_RENAMES ? LANDLOCK_ACCESS_FS_REFER : 0) |
           (version >= LANDLOCK_WITH_TRUNCATION ? TRUNCATE : 0) |
           (version >= LANDLOCK_WITH_DEVICES ? IOCTL : 0);
}

static uint64_t access_of(enum landlock_use use) {
    switch (use) {
    case LANDLOCK_READ:
        return READ;
    case LANDLOCK_CHANGE:
        return READ | WRITE;
    case LANDLOCK_PUBLISH:
        return WRITE;
    case LANDLOCK_REMOVE:
        return LANDLOCK_ACCESS_FS_REMOVE_FILE;
    }
    return 0;
}

/* What makes sense of something that is no folder; the kernel refuses the rest. */
static uint64_t for_file(uint64_t access) {
    return access & (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | TRUNCATE);
}

/* ---- The calls ---- */

static int add_rule(const struct landlock *self, int kind, const void *rule) {
    return (int)syscall(SYS_landlock_add_rule, self->rules, kind, rule, 0);
}

int landlock_version(void) {
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return version > 0 ? (int)version : 0;
}

bool landlock_begin(struct landlock *self, int version, bool any_port, bool named_sockets) {
    *self = (struct landlock){.rules = -1, .version = version};
    self->limits_ports = version >= LANDLOCK_WITH_PORTS && !any_port;
    struct ruleset set = {.files = all_access(version)};
    size_t size = offsetof(struct ruleset, ports);
    if (version >= LANDLOCK_WITH_PORTS) {
        set.ports = BIND_TCP | (any_port ? 0 : CONNECT_TCP);
        size = offsetof(struct ruleset, scopes);
    }
    if (version >= LANDLOCK_WITH_SCOPES) {
        set.scopes = SCOPE_SIGNALS | (named_sockets ? 0 : SCOPE_ABSTRACT_SOCKETS);
        size = sizeof set;
    }
    self->rules = (int)syscall(SYS_landlock_create_ruleset, &set, size, 0);
    return self->rules >= 0;
}

bool landlock_admit(struct landlock *self, const char *path, enum landlock_use use) {
    struct stat status;
    int place = open(path, O_PATH | O_CLOEXEC);
    if (place < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == EACCES;
    bool good = fstat(place, &status) == 0;
    uint64_t access = access_of(use) & all_access(self->version);
    struct landlock_path_beneath_attr rule = {
        .allowed_access = good && S_ISDIR(status.st_mode) ? access : for_file(access), .parent_fd = place};
    if (good && rule.allowed_access)
        good = add_rule(self, LANDLOCK_RULE_PATH_BENEATH, &rule) == 0;
    int failure = errno;
    close(place);
    errno = failure;
    return good;
}

bool landlock_admit_port(struct landlock *self, int port) {
    struct port_rule rule = {CONNECT_TCP, (uint64_t)port};
    return !self->limits_ports || add_rule(self, RULE_PORT, &rule) == 0;
}

bool landlock_enter(struct landlock *self) {
    return syscall(SYS_landlock_restrict_self, self->rules, 0) == 0;
}

void landlock_end(struct landlock *self) {
    if (self->rules >= 0)
        close(self->rules);
    self->rules = -1;
}
