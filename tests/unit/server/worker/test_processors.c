/* SPDX-License-Identifier: MIT */
/* What control groups leave of the machine: files as the kernel has them, in a folder in place of /sys/fs/cgroup. */
#include "server/rotation.h"
#include "server/worker/processors.h"
#include "tests/support/check.h"
#include "tests/support/temp_folder.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
    struct temp_folder folder;
};

static int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    *state = fixture;
    temp_folder_make(&fixture->folder);
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    temp_folder_remove(&fixture->folder);
    free(fixture);
    return 0;
}

static void put(const struct fixture *fixture, const char *name, const char *text) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", fixture->folder.path, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void make_group(const struct fixture *fixture, const char *name, const char *limit) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", fixture->folder.path, name);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/cpu.max", name);
    put(fixture, path, limit);
}

/* Of a process whose /proc/self/cgroup this is. */
static unsigned quota(const struct fixture *fixture, const char *groups) {
    char path[PATH_MAX];
    put(fixture, "groups", groups);
    snprintf(path, sizeof path, "%s/groups", fixture->folder.path);
    return processors_of_quota(path, fixture->folder.path);
}

TEST(a_container_has_what_its_root_says) {
    put(*state, "cpu.max", "200000 100000\n");
    assert_int_equal(quota(*state, "0::/\n"), 2);
}

TEST(a_part_of_a_processor_counts_as_one) {
    put(*state, "cpu.max", "150000 100000\n");
    assert_int_equal(quota(*state, "0::/\n"), 2);
    put(*state, "cpu.max", "1000 100000\n");
    assert_int_equal(quota(*state, "0::/\n"), 1);
}

TEST(the_least_of_the_groups_above_counts) {
    make_group(*state, "system.slice", "300000 100000\n");
    make_group(*state, "system.slice/forebay.service", "400000 100000\n");
    assert_int_equal(quota(*state, "0::/system.slice/forebay.service\n"), 3);
    put(*state, "system.slice/forebay.service/cpu.max", "100000 50000\n");
    assert_int_equal(quota(*state, "0::/system.slice/forebay.service\n"), 2);
}

TEST(a_group_beside_says_nothing) {
    make_group(*state, "system.slice", "max 100000\n");
    make_group(*state, "system.slice/other.service", "100000 100000\n");
    assert_int_equal(quota(*state, "0::/system.slice/forebay.service\n"), 0);
}

TEST(no_limit_is_none) {
    put(*state, "cpu.max", "max 100000\n");
    assert_int_equal(quota(*state, "0::/\n"), 0);
}

TEST(what_is_no_limit_is_none) {
    static const char *const texts[] = {"",           "\n",    "200000\n",
                                        "200000 0\n", "two\n", "18446744073709551615 1\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        put(*state, "cpu.max", texts[i]);
        assert_int_equal(quota(*state, "0::/\n"), 0);
    }
}

TEST(the_line_is_found_among_those_of_version_1) {
    put(*state, "cpu.max", "100000 100000\n");
    assert_int_equal(quota(*state, "9:name=systemd:/init.scope\n1:cpu:/here\n0::/\n"), 1);
    assert_int_equal(quota(*state, "9:name=systemd:/init.scope\n1:cpu:/here\n"), 0);
}

TEST(a_system_without_control_groups_has_no_limit) {
    assert_int_equal(processors_of_quota("/nonexistent/cgroup", "/nonexistent"), 0);
    assert_int_equal(quota(*state, "0::/\n"), 0);
}

/* The lowest descriptor that is free, and those above it, are not to be had. */
static unsigned quota_without_descriptors(const struct fixture *fixture, int spare) {
    char path[PATH_MAX];
    struct rlimit before, none;
    snprintf(path, sizeof path, "%s/groups", fixture->folder.path);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = dup(STDIN_FILENO);
    assert_true(next >= 0);
    close(next);
    none = (struct rlimit){.rlim_cur = (rlim_t)(next + spare), .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    unsigned found = processors_of_quota(path, fixture->folder.path);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    return found;
}

TEST(without_descriptors_it_is_not_known) {
    put(*state, "cpu.max", "100000 100000\n");
    assert_int_equal(quota(*state, "0::/\n"), 1);
    assert_int_equal(quota_without_descriptors(*state, 0), ROTATION_UNKNOWN);
    assert_int_equal(quota_without_descriptors(*state, 1), 1); /* one is enough */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(a_container_has_what_its_root_says),
        CASE(a_part_of_a_processor_counts_as_one),
        CASE(the_least_of_the_groups_above_counts),
        CASE(a_group_beside_says_nothing),
        CASE(no_limit_is_none),
        CASE(what_is_no_limit_is_none),
        CASE(the_line_is_found_among_those_of_version_1),
        CASE(without_descriptors_it_is_not_known),
        CASE(a_system_without_control_groups_has_no_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
