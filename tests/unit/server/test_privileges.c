/* SPDX-License-Identifier: MIT */
/* What is left of root's rights, for users as the system may have them. Each in a process of its own; root alone can
 * try. */
#include "server/privileges.h"
#include "tests/support/check.h"
#include <errno.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { SOMEBODY = 65534 };

static struct passwd account;
static bool missing; /* no user is found, */
static int failure;  /* for this reason */

/* In place of the C library's. */
struct passwd *getpwnam(const char *name) {
    (void)name;
    errno = failure;
    return missing ? NULL : &account;
}

static bool succeeds(bool (*what)(void)) {
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(what() ? EXIT_SUCCESS : EXIT_FAILURE);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
}

static bool become(void) {
    char error[300];
    return privileges_become("somebody", error, sizeof error) && getuid() == account.pw_uid &&
           getgid() == account.pw_gid;
}

static bool can_become(uid_t user, gid_t group) {
    account = (struct passwd){.pw_uid = user, .pw_gid = group};
    return succeeds(become);
}

TEST(a_user_of_any_group_is_taken) {
    if (geteuid() != 0)
        skip();
    assert_true(can_become(SOMEBODY, SOMEBODY));
    assert_true(can_become(SOMEBODY, 0));
}

TEST(root_of_any_group_is_taken) {
    if (geteuid() != 0)
        skip();
    assert_true(can_become(0, 0));
    assert_true(can_become(0, SOMEBODY));
}

TEST(a_user_who_cannot_be_looked_up_is_not_taken_for_missing) {
    char error[300];
    if (geteuid() != 0)
        skip();
    missing = true;
    assert_false(privileges_become("somebody", error, sizeof error));
    assert_non_null(strstr(error, "no such user"));
    failure = ENOMEM;
    assert_false(privileges_become("somebody", error, sizeof error));
    assert_non_null(strstr(error, "Cannot allocate memory"));
    assert_null(strstr(error, "no such user"));
    missing = false;
    failure = 0;
}

/* ---- Rights that a user was given ---- */

enum { LOCK = 1 << CAP_IPC_LOCK, BIND = 1 << CAP_NET_BIND_SERVICE };

static bool has(uint32_t rights) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    return syscall(SYS_capget, &header, data) == 0 && data[0].effective == rights &&
           data[0].permitted == rights && data[0].inheritable == 0 && data[1].permitted == 0;
}

static bool become_user_with_rights(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
        {.effective = LOCK | BIND, .permitted = LOCK | BIND, .inheritable = LOCK | BIND}};
    return prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 && setresuid(SOMEBODY, SOMEBODY, SOMEBODY) == 0 &&
           syscall(SYS_capset, &header, data) == 0;
}

static bool seal(bool locks_memory) {
    char error[300];
    return privileges_seal(false, locks_memory, error, sizeof error);
}

static bool lose_all(void) {
    return become_user_with_rights() && seal(false) && has(0);
}

static bool keep_memory_locked(void) {
    return become_user_with_rights() && seal(true) && has(LOCK);
}

TEST(rights_are_lost_but_that_by_which_memory_is_locked) {
    if (geteuid() != 0 || !succeeds(become_user_with_rights))
        skip();
    assert_true(succeeds(lose_all));
    assert_true(succeeds(keep_memory_locked));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_user_of_any_group_is_taken),
        cmocka_unit_test(root_of_any_group_is_taken),
        cmocka_unit_test(a_user_who_cannot_be_looked_up_is_not_taken_for_missing),
        cmocka_unit_test(rights_are_lost_but_that_by_which_memory_is_locked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
