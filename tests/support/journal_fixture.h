/* SPDX-License-Identifier: MIT */
/* A journal on a disk that can fail, with what tests append to it. */
#ifndef FOREBAY_TESTS_SUPPORT_JOURNAL_FIXTURE_H
#define FOREBAY_TESTS_SUPPORT_JOURNAL_FIXTURE_H

#include "tests/support/check.h"
#include "tests/support/faulty_disk.h"
#include "tests/support/journal_rig.h"
#include <sys/mount.h>

struct fixture {
    struct journal_rig rig;
    struct journal_rig after; /* in the folder that a power loss leaves; not set up until there is one */
    struct faulty_disk disk;
    bool mounted; /* a file system of its own on the rig's folder */
};

static inline int set_up_with(void **state, bool remembers) {
    struct fixture *fixture = journal_rig_make_fixture(sizeof *fixture);
    faulty_disk_init(&fixture->disk, remembers);
    fixture->rig.options.disk = &fixture->disk.calls;
    *state = fixture;
    return 0;
}

static inline int set_up(void **state) {
    return set_up_with(state, false);
}

static inline int set_up_remembering(void **state) {
    return set_up_with(state, true);
}

static inline int tear_down(void **state) {
    struct fixture *fixture = *state;
    faulty_disk_heal(&fixture->disk);
    if (fixture->rig.journal)
        journal_rig_close(&fixture->rig);
    if (fixture->mounted)
        umount2(fixture->rig.folder, MNT_DETACH);
    journal_rig_end_fixture(&fixture->rig, &fixture->after, &fixture->disk);
    return 0;
}

#define REMEMBERING(name) cmocka_unit_test_setup_teardown(name, set_up_remembering, tear_down)

#endif
