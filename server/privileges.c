/* SPDX-License-Identifier: MIT */
#include "server/privileges.h"
#include "cache/base/fit.h"
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- Capabilities, by the kernel's own calls ---- */

enum { MEMORY_LOCK = 1 << CAP_IPC_LOCK };

/* All but those of the mask, which stay where they are there. */
static bool drop_capabilities(uint32_t kept) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct had[_LINUX_CAPABILITY_U32S_3], left[_LINUX_CAPABILITY_U32S_3] = {0};
    if (syscall(SYS_capget, &header, had) != 0)
        return false;
    left[0].effective = had[0].effective & kept;
    left[0].permitted = had[0].permitted & kept;
    return syscall(SYS_capset, &header, left) == 0 &&
           (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0 || errno == EINVAL);
}

static bool has_capabilities(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &header, data) != 0)
        return true;
    unsigned any = 0;
    for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
        any |= data[i].effective | data[i].permitted | data[i].inheritable;
    return any != 0;
}

/* ---- The user ---- */

/* Real, effective and saved. */
static bool take_ids(const struct passwd *entry) {
    return setresgid(entry->pw_gid, entry->pw_gid, entry->pw_gid) == 0 &&
           setresuid(entry->pw_uid, entry->pw_uid, entry->pw_uid) == 0;
}

static bool has_ids(const struct passwd *entry) {
    uid_t user[3];
    gid_t group[3];
    if (getresuid(&user[0], &user[1], &user[2]) != 0 || getresgid(&group[0], &group[1], &group[2]) != 0)
        return false;
    for (int i = 0; i < 3; i++)
        if (user[i] != entry->pw_uid || group[i] != entry->pw_gid)
            return false;
    return true;
}

/* root's group is no right that is left where it is the user's own. */
static bool can_be_root(const struct passwd *entry) {
    return setuid(0) == 0 || seteuid(0) == 0 || (entry->pw_gid != 0 && (setgid(0) == 0 || setegid(0) == 0));
}

/* What would still make more of the process than the user is; NULL: nothing. */
static const char *find_remains(const struct passwd *entry) {
    if (!has_ids(entry))
        return "the kernel keeps other ids of the process";
    if (getgroups(0, NULL) != 0)
        return "groups remain";
    if (has_capabilities())
        return "capabilities remain";
    if (can_be_root(entry))
        return "root can be taken back";
    return NULL;
}

/* root under another name gives nothing up, as with memcached. */
static bool become_root(const struct passwd *entry) {
    return (setgroups(0, NULL) == 0 || errno == EPERM) && take_ids(entry);
}

static bool become_other(const struct passwd *entry) {
    return setgroups(0, NULL) == 0 && take_ids(entry) && drop_capabilities(0);
}

/* NULL, with the reason. Without memory, glibc 2.36 may crash in here, and in getpwnam_r at the same places: in what
 * both read /etc/nsswitch.conf by. Nothing has begun then that could be lost. */
static const struct passwd *find_user(const char *user, char *ret_error, size_t error_size) {
    errno = 0;
    const struct passwd *entry = getpwnam(user);
    if (entry)
        return entry;
    bool asked = errno == 0 || errno == ENOENT || errno == ESRCH || errno == EBADF || errno == EPERM;
    if (asked)
        fit_print(ret_error, error_size, "-u %s: there is no such user; create it or name another", user);
    else
        fit_print(ret_error, error_size, "-u %s: the users of this system cannot be asked for: %s", user,
                  strerror(errno));
    return NULL;
}

bool privileges_become(const char *user, char *ret_error, size_t error_size) {
    if (!user || geteuid() != 0)
        return true;
    const struct passwd *entry = find_user(user, ret_error, error_size);
    if (!entry)
        return false;
    bool is_root = entry->pw_uid == 0;
    if (!(is_root ? become_root(entry) : become_other(entry))) {
        fit_print(ret_error, error_size,
                  "-u %s: cannot become this user: %s; start as one who may, or as this user without -u",
                  user, strerror(errno));
        return false;
    }
    const char *remains = is_root ? NULL : find_remains(entry);
    if (remains)
        fit_print(ret_error, error_size,
                  "-u %s: the rights of root are not given up for good: %s; start as this user without -u",
                  user, remains);
    return remains == NULL;
}

/* ---- For good ---- */

bool privileges_seal(bool core_dumps, bool locks_memory, char *ret_error, size_t error_size) {
    if (geteuid() != 0 && has_capabilities() && !drop_capabilities(locks_memory ? MEMORY_LOCK : 0)) {
        fit_print(ret_error, error_size,
                  "capabilities cannot be given up: %s; let the service manager give none", strerror(errno));
        return false;
    }
    if (core_dumps)
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* another user's process is not, at first */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
        return true;
    fit_print(ret_error, error_size,
              "no_new_privs cannot be set: %s; a filter of system calls around the server has to allow prctl",
              strerror(errno));
    return false;
}
