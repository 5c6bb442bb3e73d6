/* SPDX-License-Identifier: MIT */
/* What control groups leave of the machine's memory: files as the kernel has them, in a folder in place of
 * /sys/fs/cgroup. */
#include "server/machine_memory.h"
#include "tests/support/check.h"
#include "tests/support/temp_folder.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int set_up(void **state) {
    struct temp_folder *folder = calloc(1, sizeof *folder);
    assert_non_null(folder);
    *state = folder;
    temp_folder_make(folder);
    return 0;
}

static int tear_down(void **state) {
    temp_folder_remove(*state);
    free(*state);
    return 0;
}

static void put(const struct temp_folder *folder, const char *name, const char *text) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder->path, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static uint64_t memory(const struct temp_folder *folder) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/groups", folder->path);
    return machine_memory(path, folder->path);
}

static uint64_t of_machine(void) {
    return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

TEST(without_a_limit_it_is_what_the_machine_has) {
    assert_int_equal(memory(*state), of_machine());
    put(*state, "groups", "0::/\n");
    put(*state, "memory.max", "max\n");
    assert_int_equal(memory(*state), of_machine());
    put(*state, "memory.max", "18446744073709551615\n");
    assert_int_equal(memory(*state), of_machine());
}

TEST(the_lowest_of_all_groups_counts) {
    const struct temp_folder *folder = *state;
    char path[PATH_MAX];
    put(folder, "groups", "0::/outer/inner\n");
    snprintf(path, sizeof path, "%s/outer", folder->path);
    assert_int_equal(mkdir(path, 0700), 0);
    put(folder, "outer/memory.max", "8388608\n");
    assert_int_equal(memory(folder), 8388608);
    snprintf(path, sizeof path, "%s/outer/inner", folder->path);
    assert_int_equal(mkdir(path, 0700), 0);
    put(folder, "outer/inner/memory.max", "max\n");
    assert_int_equal(memory(folder), 8388608);
    put(folder, "outer/inner/memory.max", "4194304\n");
    assert_int_equal(memory(folder), 4194304);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(without_a_limit_it_is_what_the_machine_has),
        CASE(the_lowest_of_all_groups_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
