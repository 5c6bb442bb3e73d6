/* SPDX-License-Identifier: MIT */
/* Rules of every version that the kernel here has, each in a process of its own, which is closed for good. */
#include "server/sandbox/landlock.h"
#include "tests/support/check.h"
#include "tests/support/temp_folder.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

struct rig {
    struct temp_folder changed, read, other;
};

static int set_up(void **state) {
    struct rig *rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    temp_folder_make(&rig->changed);
    temp_folder_make(&rig->read);
    temp_folder_make(&rig->other);
    *state = rig;
    return 0;
}

static int tear_down(void **state) {
    struct rig *rig = *state;
    temp_folder_remove(&rig->changed);
    temp_folder_remove(&rig->read);
    temp_folder_remove(&rig->other);
    free(rig);
    return 0;
}

/* 0, or an errno. */
static int opens(const struct temp_folder *folder, const char *name, int flags) {
    char path[300];
    snprintf(path, sizeof path, "%s/%s", folder->path, name);
    int file = open(path, flags | O_CLOEXEC, 0600), failure = errno;
    if (file >= 0)
        close(file);
    return file < 0 ? failure : 0;
}

static int connects(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int failure = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
    close(fd);
    return failure;
}

static bool enters(const struct rig *rig, int version) {
    struct landlock landlock;
    bool good = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                landlock_begin(&landlock, version, false, false) &&
                landlock_admit(&landlock, rig->changed.path, LANDLOCK_CHANGE) &&
                landlock_admit(&landlock, rig->read.path, LANDLOCK_READ) &&
                landlock_admit(&landlock, "/nonexistent/folder", LANDLOCK_READ) &&
                landlock_admit_port(&landlock, 1) && landlock_enter(&landlock);
    landlock_end(&landlock);
    return good;
}

/* What is not as it should be; NULL: nothing. */
static const char *find_fault(const struct rig *rig, int version) {
    if (!enters(rig, version))
        return "it cannot be entered";
    if (opens(&rig->changed, "file", O_RDWR | O_TRUNC) != 0 ||
        opens(&rig->changed, "new", O_WRONLY | O_CREAT) != 0)
        return "what may be changed cannot";
    if (opens(&rig->read, "file", O_RDONLY) != 0 || opens(&rig->read, "", O_RDONLY | O_DIRECTORY) != 0)
        return "what may be read cannot";
    if (opens(&rig->read, "file", O_WRONLY) != EACCES ||
        opens(&rig->read, "new", O_WRONLY | O_CREAT) != EACCES)
        return "what may be read can be changed";
    if (opens(&rig->other, "file", O_RDONLY) != EACCES ||
        opens(&rig->other, "", O_RDONLY | O_DIRECTORY) != EACCES)
        return "the rest can be read";
    if (version >= LANDLOCK_WITH_TRUNCATION && opens(&rig->read, "file", O_RDONLY | O_TRUNC) != EACCES)
        return "what may be read can be emptied";
    if (version >= LANDLOCK_WITH_PORTS && (connects(1) == EACCES || connects(2) != EACCES))
        return "ports are not as they were admitted";
    return NULL;
}

static void try_version(const struct rig *rig, int version) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const char *fault = find_fault(rig, version);
        if (fault)
            fprintf(stderr, "version %d: %s\n", version, fault);
        _exit(fault ? 1 : 0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

TEST(each_version_closes_what_was_not_admitted) {
    struct rig *rig = *state;
    assert_int_equal(opens(&rig->changed, "file", O_WRONLY | O_CREAT), 0);
    assert_int_equal(opens(&rig->read, "file", O_WRONLY | O_CREAT), 0);
    assert_int_equal(opens(&rig->other, "file", O_WRONLY | O_CREAT), 0);
    for (int version = landlock_version(); version > 0; version--)
        try_version(rig, version);
}

int main(void) {
    if (landlock_version() == 0)
        return 77; /* skipped */
    const struct CMUnitTest tests[] = {CASE(each_version_closes_what_was_not_admitted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
