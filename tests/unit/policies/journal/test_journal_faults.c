/* SPDX-License-Identifier: MIT */
/*
 * The journal on disks that are full, broken or without power. What was refused may be missing, what was
 * acknowledged may not, and everything goes on by itself when the disk does.
 */
#include "tests/support/check.h"
#include "tests/support/faulty_disk.h"
#include "tests/support/journal_rig.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct fixture {
    struct journal_rig rig;
    struct journal_rig after; /* in the folder that a power loss leaves; not set up until there is one */
    struct faulty_disk disk;
    bool mounted; /* a file system of its own on the rig's folder */
};

static int set_up_with(void **state, bool remembers) {
    struct fixture *fixture = journal_rig_make_fixture(sizeof *fixture);
    faulty_disk_init(&fixture->disk, remembers);
    fixture->rig.options.disk = &fixture->disk.calls;
    *state = fixture;
    return 0;
}

static int set_up(void **state) {
    return set_up_with(state, false);
}

static int set_up_remembering(void **state) {
    return set_up_with(state, true);
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    faulty_disk_heal(&fixture->disk);
    if (fixture->rig.journal)
        journal_rig_close(&fixture->rig);
    if (fixture->mounted)
        umount2(fixture->rig.folder, MNT_DETACH);
    journal_rig_end_fixture(&fixture->rig, &fixture->after, &fixture->disk);
    return 0;
}

/* One put and one write; false: refused, or not in the file. */
static bool put_one(struct journal_rig *rig, enum journal_mode mode, uint64_t version) {
    char value[500] = {0};
    uint64_t position;
    memset(value, 'v', sizeof value - 1);
    bool taken = journal_rig_put(rig, 0, mode, version, "key", value);
    return journal_write(journal_series(rig->journal, 0), &position) == JOURNAL_OK && taken;
}

static uint64_t fill_until_refused(struct journal_rig *rig, uint64_t version) {
    while (put_one(rig, JOURNAL_OS, version))
        version++;
    return version; /* the first that was not taken */
}

static void wait_until_taken(struct journal_rig *rig, uint64_t version) {
    eventually(put_one(rig, JOURNAL_OS, version));
}

static void assert_all(struct journal_rig *rig, uint64_t first, uint64_t last) {
    for (uint64_t version = first; version <= last; version++)
        assert_non_null(journal_rig_find(rig, version));
}

/* ---- Full ---- */

TEST(a_full_disk_refuses_until_there_is_room) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    journal_rig_open(rig);
    assert_true(put_one(rig, JOURNAL_OS, 1));
    atomic_store(&fixture->disk.allocate_failure, ENOSPC);
    uint64_t refused = fill_until_refused(rig, 2);
    assert_true(refused > 20); /* the current file was still used */
    for (int i = 0; i < 1000; i++)
        assert_false(put_one(rig, JOURNAL_OS, refused));
    assert_int_equal(journal_rig_count_logged(rig, "No space left"), 1);
    assert_true(journal_rig_logged(rig, rig->folder));
    atomic_store(&fixture->disk.allocate_failure, 0);
    wait_until_taken(rig, refused);
    assert_int_equal(journal_rig_count_logged(rig, "there is room in"), 1);
    for (uint64_t version = refused + 1; version < refused + 100; version++)
        assert_true(put_one(rig, JOURNAL_OS, version));
    journal_rig_close(rig);
    journal_rig_open(rig);
    assert_int_equal(rig->count, refused + 99);
    assert_all(rig, 1, refused + 99);
}

/* It is said as soon as the next file cannot be made, not when it is needed. */
TEST(a_full_disk_is_noticed_ahead) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    uint64_t version = 1;
    journal_rig_open(rig);
    atomic_store(&fixture->disk.allocate_failure, ENOSPC);
    for (; version < 14; version++) /* half of the file is 8 KiB */
        assert_true(put_one(rig, JOURNAL_OS, version));
    eventually(journal_rig_logged(rig, "No space left"));
    assert_true(put_one(rig, JOURNAL_OS, version));
}

/* Room that flushing makes is as good as room on the disk. */
TEST(recycling_ends_a_full_disk) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    journal_rig_open(rig);
    uint64_t version = 1;
    for (; version < 200; version++)
        assert_true(put_one(rig, JOURNAL_OS, version));
    atomic_store(&fixture->disk.allocate_failure, ENOSPC);
    version = fill_until_refused(rig, version);
    journal_rig_pass(rig, version - 5);
    wait_until_taken(rig, version);
    assert_true(journal_rig_stats(rig).recycled > 0);
    journal_rig_close(rig);
    journal_rig_open(rig);
    assert_all(rig, version - 4, version);
}

/* Also where there is but the current file. */
TEST(the_current_file_is_given_back) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    journal_rig_open(rig);
    atomic_store(&fixture->disk.allocate_failure, ENOSPC);
    uint64_t version = 1;
    for (int round = 0; round < 5; round++) {
        uint64_t refused = fill_until_refused(rig, version);
        assert_true(refused > version);
        journal_rig_pass(rig, refused - 2);
        usleep(2000);
        assert_false(put_one(rig, JOURNAL_OS, refused)); /* the last one is not flushed yet */
        journal_rig_pass(rig, refused - 1);
        wait_until_taken(rig, refused);
        uint64_t position;
        assert_true(journal_rig_put(rig, 0, JOURNAL_ALWAYS, refused + 1, "key", "value"));
        assert_int_equal(journal_write(journal_series(rig->journal, 0), &position), JOURNAL_OK);
        journal_rig_wait_durable(rig, 0, position);
        version = refused + 2;
    }
    journal_rig_close(rig);
    journal_rig_open(rig);
    assert_all(rig, version - 2, version - 1);
}

TEST(a_journal_starts_on_a_full_disk) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    journal_rig_open(rig);
    assert_true(put_one(rig, JOURNAL_OS, 1));
    journal_rig_close(rig);
    atomic_store(&fixture->disk.allocate_failure, ENOSPC);
    journal_rig_open(rig);
    assert_int_equal(rig->count, 1);
    assert_false(put_one(rig, JOURNAL_OS, 2));
    assert_true(journal_rig_logged(rig, "No space left"));
    atomic_store(&fixture->disk.allocate_failure, 0);
    wait_until_taken(rig, 2);
    journal_rig_close(rig);
    journal_rig_open(rig);
    assert_all(rig, 1, 2);
}

/* A value that needs a file of its own meets a full disk: only that value is refused. */
TEST(only_the_record_that_finds_no_room_is_refused) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    const char *value = journal_rig_text(rig, 'v', 49999);
    journal_rig_open(rig);
    atomic_store(&fixture->disk.allocate_failure, ENOSPC);
    assert_false(journal_rig_put(rig, 0, JOURNAL_OS, 1, "long", value));
    assert_true(put_one(rig, JOURNAL_OS, 2));
    atomic_store(&fixture->disk.allocate_failure, 0);
    assert_true(journal_rig_put(rig, 0, JOURNAL_OS, 3, "long", value));
    journal_rig_write(rig, 0);
    journal_rig_close(rig);
    journal_rig_open(rig);
    assert_int_equal(rig->count, 2);
    assert_all(rig, 2, 3);
}

/* The system itself says no: a limit on the size of files. */
TEST(a_limit_of_the_system_refuses_until_it_is_lifted) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    rig->options.disk = NULL;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {8192, RLIM_INFINITY};
        signal(SIGXFSZ, SIG_IGN);
        journal_rig_open(rig);
        uint64_t version = 1;
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
            _exit(2);
        version = fill_until_refused(rig, version);
        if (journal_rig_count_logged(rig, "File too large") == 0)
            _exit(3);
        limit.rlim_cur = RLIM_INFINITY;
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
            _exit(4);
        while (!put_one(rig, JOURNAL_OS, 1000))
            usleep(1000);
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    journal_rig_open(rig);
    assert_non_null(journal_rig_find(rig, 1));
    assert_non_null(journal_rig_find(rig, 1000));
}

/* A file system that is really full: a small one of its own. */
TEST(a_file_system_that_is_really_full_refuses) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    char filler[300];
    if (mount("tmpfs", rig->folder, "tmpfs", 0, "size=512k") != 0) {
        print_message("skipped: a small file system can be mounted by root alone: %s\n", strerror(errno));
        skip();
    }
    fixture->mounted = true;
    rig->options.disk = NULL;
    journal_rig_open(rig);
    uint64_t version = 1;
    for (; version <= 20; version++)
        assert_true(put_one(rig, JOURNAL_ALWAYS, version));
    snprintf(filler, sizeof filler, "%s/filler", rig->folder);
    int file = open(filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    char page[4096] = {1};
    while (write(file, page, sizeof page) == sizeof page)
        continue;
    assert_int_equal(errno, ENOSPC);
    close(file);
    version = fill_until_refused(rig, version);
    for (int i = 0; i < 100; i++)
        assert_false(put_one(rig, JOURNAL_OS, version));
    assert_true(journal_rig_logged(rig, "No space left"));
    /* Room that flushing makes is enough; */
    journal_rig_pass(rig, version - 1);
    wait_until_taken(rig, version);
    version = fill_until_refused(rig, version + 1);
    /* so is room on the disk, */
    assert_int_equal(unlink(filler), 0);
    wait_until_taken(rig, version);
    for (uint64_t more = version + 1; more <= version + 50; more++)
        assert_true(put_one(rig, JOURNAL_ALWAYS, more));
    journal_rig_close(rig);
    journal_rig_open(rig);
    assert_all(rig, version, version + 50);
}

/* ---- Broken ---- */

/* A write fails, or ends early at any byte: the records stay in the buffer and reach the file later, once. */
TEST(failed_writes_are_repeated) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    uint64_t version = 1, position;
    journal_rig_open(rig);
    struct journal_series *series = journal_series(rig->journal, 0);
    for (long after = 0; after < 1700; after += 37) {
        for (int i = 0; i < 3; i++)
            assert_true(journal_rig_put(rig, 0, JOURNAL_ALWAYS, version++, "key",
                                        "some value that is not very long"));
        atomic_store(&fixture->disk.fail_write_after, after % 300);
        atomic_store(&fixture->disk.write_failure, EIO);
        enum journal_status status = journal_write(series, &position);
        assert_int_equal(status, after % 300 < 3 * 72 ? JOURNAL_FAILED : JOURNAL_OK);
        if (status == JOURNAL_FAILED) {
            assert_int_equal(position, 0);
            assert_false(journal_reserve(series, 1));
            assert_int_equal(journal_write(series, &position), JOURNAL_FAILED);
        }
        atomic_store(&fixture->disk.write_failure, 0);
        if (status == JOURNAL_FAILED)
            assert_int_equal(journal_write(series, &position), JOURNAL_OK);
        assert_true(position > 0);
        journal_rig_wait_durable(rig, 0, position);
        assert_true(journal_reserve(series, 1000));
    }
    assert_true(journal_rig_logged(rig, "Input/output error"));
    assert_int_equal(journal_rig_count_logged(rig, "cannot write to"),
                     journal_rig_count_logged(rig, "can be written again"));
    journal_rig_close(rig);
    journal_rig_open(rig);
    assert_int_equal(rig->count, version - 1);
    assert_all(rig, 1, version - 1);
    assert_int_equal(rig->recovery.torn_files, 0);
}

/* The write fails at the change from one file to the next. */
TEST(a_write_may_fail_between_two_files) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    const char *value = journal_rig_text(rig, 'v', 999);
    uint64_t version = 1, position;
    journal_rig_open(rig);
    struct journal_series *series = journal_series(rig->journal, 0);
    for (int round = 0; round < 60; round++) {
        atomic_store(&fixture->disk.fail_write_after, round * 31);
        atomic_store(&fixture->disk.write_failure, round % 2 ? EIO : 0);
        for (int i = 0; i < 20; i++)
            if (journal_rig_put(rig, 0, JOURNAL_OS, version, "key", value))
                version++;
        journal_write(series, &position);
        atomic_store(&fixture->disk.write_failure, 0);
        while (journal_write(series, &position) != JOURNAL_OK)
            continue;
    }
    journal_rig_close(rig);
    journal_rig_open(rig);
    assert_int_equal(rig->count, version - 1);
    assert_all(rig, 1, version - 1);
}

/* Nothing is reported durable before a sync succeeded that covers it, and a sync that failed is not believed
 * when it succeeds without anything having been written again. */
TEST(failed_syncs_are_not_forgotten) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    journal_rig_open(rig);
    assert_true(put_one(rig, JOURNAL_ALWAYS, 1));
    eventually(atomic_load(&rig->durable[0]) > 0);
    uint64_t before = atomic_load(&rig->durable[0]);
    atomic_store(&fixture->disk.sync_failure, EIO);
    assert_true(journal_rig_put(rig, 0, JOURNAL_ALWAYS, 2, "key", "value"));
    uint64_t position = journal_rig_write(rig, 0);
    eventually(journal_rig_logged(rig, "cannot be synced"));
    assert_false(put_one(rig, JOURNAL_ALWAYS, 3));
    assert_int_equal(atomic_load(&rig->durable[0]), before);
    unsigned long writes = atomic_load(&fixture->disk.writes);
    atomic_store(&fixture->disk.sync_failure, 0);
    journal_rig_wait_durable(rig, 0, position);
    assert_true(atomic_load(&fixture->disk.writes) > writes);
    wait_until_taken(rig, 3);
    assert_int_equal(journal_rig_count_logged(rig, "cannot be synced"), 1);
    assert_int_equal(journal_rig_count_logged(rig, "is synced again"), 1);
    journal_rig_close(rig);
    journal_rig_open(rig);
    assert_all(rig, 1, 3);
}

/* The low-water version cannot be noted: nothing is recycled. */
TEST(nothing_is_recycled_unnoted) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    rig->options.fsync_interval_ms = 5;
    journal_rig_open(rig);
    for (uint64_t version = 1; version <= 200; version++)
        assert_true(put_one(rig, JOURNAL_OS, version));
    atomic_store(&fixture->disk.fail_write_after, 0);
    atomic_store(&fixture->disk.write_failure, EIO);
    journal_rig_pass(rig, 150);
    eventually(journal_rig_logged(rig, "low-water: Input/output error"));
    assert_int_equal(journal_rig_stats(rig).recycled, 0);
    atomic_store(&fixture->disk.write_failure, 0);
    eventually(journal_rig_stats(rig).recycled > 0);
    journal_rig_close(rig);
    journal_rig_open(rig);
    assert_int_equal(rig->count, 50);
}

static uint64_t inode_of_current(struct journal_rig *rig) {
    struct stat status;
    char name[64], path[400];
    size_t last = 0;
    while (journal_rig_file_name(rig, last, name))
        last++;
    assert_true(last > 0);
    assert_true(journal_rig_file_name(rig, last - 1, name));
    snprintf(path, sizeof path, "%s/%s", rig->folder, name);
    assert_int_equal(stat(path, &status), 0);
    return status.st_ino;
}

/* One file that cannot be written: its records go on in another one, changes are taken again, and nothing
 * that was acknowledged is lost. */
TEST(a_file_that_cannot_be_written_is_left) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    journal_rig_open(rig);
    struct journal_series *series = journal_series(rig->journal, 0);
    uint64_t version = 1, position = 0;
    for (; version <= 5; version++)
        assert_true(put_one(rig, JOURNAL_ALWAYS, version));
    atomic_store(&fixture->disk.bad_to_write, inode_of_current(rig));
    for (; version <= 8; version++)
        assert_true(journal_rig_put(rig, 0, JOURNAL_ALWAYS, version, "key", "of the turn that fails"));
    assert_int_equal(journal_write(series, &position), JOURNAL_FAILED);
    assert_false(journal_reserve(series, 1));
    eventually(journal_write(series, &position) == JOURNAL_OK);
    assert_true(position > 0);
    journal_rig_wait_durable(rig, 0, position);
    for (; version <= 200; version++)
        assert_true(put_one(rig, JOURNAL_ALWAYS, version));
    assert_int_equal(journal_rig_count_logged(rig, "is left as it is"), 1);
    assert_int_equal(journal_rig_count_logged(rig, "can be written again"), 1);
    journal_rig_pass(rig, 100);
    journal_rig_close(rig);
    journal_rig_open(rig);
    assert_all(rig, 101, 200);
}

/* No file has grown beyond what was allocated: 1, 4 or 16 MiB. */
static void assert_all_as_allocated(struct journal_rig *rig) {
    struct stat status;
    char name[64], path[400];
    for (size_t i = 0; journal_rig_file_name(rig, i, name); i++) {
        snprintf(path, sizeof path, "%s/%s", rig->folder, name);
        assert_int_equal(stat(path, &status), 0);
        assert_true(status.st_size == 1 << 20 || status.st_size == 4 << 20 || status.st_size == 16 << 20);
    }
}

/* What a file that fails leaves behind may be longer than the file that is ready: a longer one is made. */
TEST(a_long_record_leaves_a_failing_file_too) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    const char *value = journal_rig_text(rig, 'v', 5000000);
    uint64_t position = 0;
    rig->options.file_size = 16 << 20;
    journal_rig_open(rig);
    assert_true(put_one(rig, JOURNAL_OS, 1)); /* from now on 4 MB are ready */
    eventually(journal_rig_count_files(rig) == 2);
    assert_true(journal_rig_put(rig, 0, JOURNAL_OS, 2, "key", value)); /* has a longer one */
    journal_rig_write(rig, 0);
    atomic_store(&fixture->disk.bad_to_write, inode_of_current(rig));
    assert_true(journal_rig_put(rig, 0, JOURNAL_OS, 3, "key", value));
    while (journal_write(journal_series(rig->journal, 0), &position) != JOURNAL_OK)
        usleep(1000);
    assert_all_as_allocated(rig);
    journal_rig_close(rig);
    journal_rig_open(rig);
    assert_int_equal(rig->count, 3);
    assert_int_equal(journal_rig_find(rig, 3)->entry.value.size, 5000000);
}

/* One file that cannot be synced: changes are refused until all that is in it has reached the backends; then
 * the replies that waited go, and the journal goes on in another file. */
TEST(a_file_that_cannot_be_synced_is_left) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    journal_rig_open(rig);
    assert_true(put_one(rig, JOURNAL_ALWAYS, 1));
    eventually(atomic_load(&rig->durable[0]) > 0);
    uint64_t before = atomic_load(&rig->durable[0]), position = 0;
    atomic_store(&fixture->disk.bad_to_sync, inode_of_current(rig));
    assert_true(journal_rig_put(rig, 0, JOURNAL_ALWAYS, 2, "key", "value"));
    uint64_t waiting = journal_rig_write(rig, 0);
    while (!journal_rig_logged(rig, "is left as it is")) {
        journal_write(journal_series(rig->journal, 0), &position);
        usleep(1000);
    }
    assert_false(put_one(rig, JOURNAL_ALWAYS, 3));
    journal_rig_pass(rig, 1);
    usleep(50000);
    assert_int_equal(atomic_load(&rig->durable[0]), before);
    journal_rig_pass(rig, 2);
    journal_rig_wait_durable(rig, 0, waiting);
    wait_until_taken(rig, 3);
    assert_true(journal_rig_put(rig, 0, JOURNAL_ALWAYS, 4, "key", "value"));
    journal_rig_wait_durable(rig, 0, journal_rig_write(rig, 0));
    assert_int_equal(journal_rig_count_logged(rig, "changes are taken again"), 1);
    journal_rig_close(rig);
    journal_rig_open(rig);
    assert_int_equal(rig->count, 2);
    assert_all(rig, 3, 4);
}

static void rename_file(const struct journal_rig *rig, const char *from, const char *to) {
    char old[400], new[400];
    snprintf(old, sizeof old, "%s/%s", rig->folder, from);
    snprintf(new, sizeof new, "%s/%s", rig->folder, to);
    assert_int_equal(rename(old, new), 0);
}

/* Its syncs succeed, and a kill would lose what is in it. */
static void a_file_loses_its_name(struct fixture *fixture, enum journal_mode mode) {
    struct journal_rig *rig = &fixture->rig;
    char name[64];
    journal_rig_open(rig);
    assert_true(put_one(rig, mode, 1));
    assert_true(journal_rig_file_name(rig, 0, name));
    rename_file(rig, name, "elsewhere");
    eventually(journal_rig_logged(rig, "was removed or renamed"));
    assert_false(put_one(rig, mode, 2));
    rename_file(rig, "elsewhere", name);
    wait_until_taken(rig, 2);
    journal_rig_close(rig);
    journal_rig_open(rig);
    assert_all(rig, 1, 2);
}

TEST(a_file_that_loses_its_name_refuses_changes) {
    a_file_loses_its_name(*state, JOURNAL_OS);
}

TEST(a_file_that_loses_its_name_counts_as_not_synced) {
    a_file_loses_its_name(*state, JOURNAL_ALWAYS);
}

/* What the backends have is not needed from the file. */
TEST(a_file_that_was_removed_can_be_passed) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    char name[64];
    journal_rig_open(rig);
    assert_true(put_one(rig, JOURNAL_OS, 1));
    assert_true(journal_rig_file_name(rig, 0, name));
    rename_file(rig, name, "elsewhere");
    eventually(journal_rig_logged(rig, "was removed or renamed"));
    journal_rig_pass(rig, 1);
    wait_until_taken(rig, 2);
    assert_true(journal_rig_logged(rig, "has reached the backends"));
    journal_rig_close(rig);
    journal_rig_open(rig);
    assert_int_equal(rig->count, 1);
    assert_non_null(journal_rig_find(rig, 2));
}

/* Made ahead, and removed before anything was written to it: changes in it would be lost without anybody noticing. */
TEST(a_file_that_is_removed_while_it_waits_is_not_used) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    char ready[64], name[64];
    uint64_t version = 0;
    rig->options.file_size =
        4 << 20; /* the first is shorter, so the next is made as soon as something is written */
    journal_rig_open(rig);
    assert_true(put_one(rig, JOURNAL_OS, ++version));
    eventually(journal_rig_count_files(rig) == 2);
    assert_true(journal_rig_file_name(rig, 1, ready));
    rename_file(rig, ready, "elsewhere");
    while (!journal_rig_file_name(rig, 1, name))
        assert_true(put_one(rig, JOURNAL_OS, ++version));
    assert_string_not_equal(name, ready);
    for (uint64_t end = version + 10; version < end;)
        assert_true(put_one(rig, JOURNAL_OS, ++version));
    journal_rig_close(rig);
    journal_rig_open(rig);
    assert_all(rig, 1, version);
    assert_false(journal_rig_logged(rig, "was removed or renamed"));
}

/* A file of the series is passed, the one before it is not, and cannot be synced: what waits for that one goes
 * on waiting. */
TEST(a_file_that_is_passed_speaks_for_itself_alone) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    const char *value = journal_rig_text(rig, 'v', 2999);
    struct entry stuck = {.key = SLICE("stuck"), .version = 1};
    journal_rig_open(rig);
    atomic_store(&fixture->disk.bad_to_sync, inode_of_current(rig));
    assert_true(journal_rig_append(rig, 0, JOURNAL_ALWAYS, 1, JOURNAL_DELETE, &stuck));
    uint64_t version = 2;
    while (journal_rig_stats(rig).files < 3) /* one turn */
        assert_true(journal_rig_put(rig, 0, JOURNAL_ALWAYS, version++, "key", value));
    uint64_t waiting = journal_rig_write(rig, 0);
    eventually(journal_rig_logged(rig, "cannot be synced"));
    journal_pass(rig->journal, 0, version);
    usleep(100000);
    assert_int_equal(atomic_load(&rig->durable[0]), 0);
    journal_pass(rig->journal, 1, 1);
    journal_rig_wait_durable(rig, 0, waiting);
}

TEST(a_journal_that_cannot_be_opened_says_why) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    atomic_store(&fixture->disk.sync_failure, EIO);
    assert_int_equal(journal_rig_try_open(rig, false), JOURNAL_FAILED);
    assert_non_null(strstr(rig->error.message, rig->folder));
    assert_non_null(strstr(rig->error.message, "Input/output error"));
    atomic_store(&fixture->disk.sync_failure, 0);
    journal_rig_open(rig);
    journal_rig_close(rig);
    rig->options.folder = "/proc/none/such";
    assert_int_equal(journal_rig_try_open(rig, false), JOURNAL_FAILED);
    assert_non_null(strstr(rig->error.message, "/proc/none/such"));
}

/* ---- Without power ---- */

enum { POWER_RECORDS = 400 };

/* An empty folder, and a disk that remembers nothing of it. */
static void begin_anew(struct fixture *fixture) {
    journal_rig_tear_down(&fixture->after);
    if (fixture->rig.journal)
        journal_rig_close(&fixture->rig);
    journal_rig_remove_files(&fixture->rig);
    faulty_disk_free(&fixture->disk);
    faulty_disk_init(&fixture->disk, true);
}

/* A record whose first sync failed, then the power goes when the second has succeeded. */
TEST(a_sync_after_a_failed_one_survives_a_power_loss) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig, *after = &fixture->after;
    for (unsigned seed = 1; seed <= 12; seed++) {
        journal_rig_open(rig);
        atomic_store(&fixture->disk.sync_failure, EIO);
        assert_true(journal_rig_put(rig, 0, JOURNAL_ALWAYS, 2, "key", "value"));
        uint64_t position = journal_rig_write(rig, 0);
        eventually(journal_rig_count_logged(rig, "cannot be synced") >= seed);
        atomic_store(&fixture->disk.sync_failure, 0);
        journal_rig_wait_durable(rig, 0, position);
        unsigned luck = seed;
        journal_rig_set_up(after);
        faulty_disk_lose_power(&fixture->disk, rig->folder, after->folder, &luck);
        journal_rig_open(after);
        assert_int_equal(after->count, 1);
        begin_anew(fixture);
    }
}

/* What the test knows of each version: its mode, the position that had to become durable, whether it was
 * flushed. */
struct ledger {
    enum journal_mode modes[POWER_RECORDS + 1];
    uint64_t positions[POWER_RECORDS + 1];
    uint64_t count, low_water, synced_version;
};

static void write_turns(struct fixture *fixture, struct ledger *ledger, unsigned turns, unsigned *seed) {
    static const enum journal_mode modes[] = {JOURNAL_OS, JOURNAL_INTERVAL, JOURNAL_ALWAYS, JOURNAL_ALWAYS};
    struct journal_rig *rig = &fixture->rig;
    char value[3000];
    for (unsigned turn = 0; turn < turns && ledger->count < POWER_RECORDS - 10; turn++) {
        uint64_t first = ledger->count + 1;
        for (unsigned i = 0, n = 1 + (unsigned)rand_r(seed) % 6; i < n; i++) {
            uint64_t version = ++ledger->count;
            size_t size = (size_t)rand_r(seed) % (sizeof value - 1);
            memset(value, 'a' + (int)(version % 26), size);
            value[size] = '\0';
            ledger->modes[version] = modes[(unsigned)rand_r(seed) % 4];
            assert_true(journal_rig_put(rig, 0, ledger->modes[version], version, "key", value));
        }
        uint64_t position = journal_rig_write(rig, 0);
        for (uint64_t version = first; version <= ledger->count; version++)
            ledger->positions[version] = position;
        if (rand_r(seed) % 5 == 0 && position > 0)
            journal_rig_wait_durable(rig, 0, position);
        if (rand_r(seed) % 20 == 0 && ledger->count > 60) {
            ledger->low_water = ledger->count - 50;
            journal_rig_pass(rig, ledger->low_water);
        }
    }
}

/* A second interval has passed: what is written now was synced by it. */
static void wait_for_interval(struct fixture *fixture, struct ledger *ledger) {
    unsigned long syncs = atomic_load(&fixture->disk.syncs);
    uint64_t version = ledger->count;
    struct journal_rig *rig = &fixture->rig;
    for (int i = 0; i < 2; i++) { /* the first may have begun before */
        ledger->modes[++ledger->count] = JOURNAL_INTERVAL;
        assert_true(journal_rig_put(rig, 0, JOURNAL_INTERVAL, ledger->count, "key", "a"));
        journal_rig_write(rig, 0);
        eventually(atomic_load(&fixture->disk.syncs) > syncs);
        usleep(20000); /* the interval is 2 ms: many of them */
        syncs = atomic_load(&fixture->disk.syncs);
    }
    ledger->synced_version = version;
}

static void check_after_power_loss(struct fixture *fixture, const struct ledger *ledger,
                                   uint64_t acknowledged) {
    struct journal_rig *after = &fixture->after;
    after->options.disk = &fixture->disk.calls;
    fixture->disk.boot[0]++; /* the system was rebooted */
    journal_rig_open(after);
    uint64_t forgotten = 0; /* the highest version that was safe and is not shown: it was flushed */
    for (uint64_t version = 1; version <= ledger->count; version++) {
        const struct journal_rig_record *record = journal_rig_find(after, version);
        bool always = ledger->modes[version] == JOURNAL_ALWAYS && ledger->positions[version] != 0 &&
                      ledger->positions[version] <= acknowledged;
        bool interval = version <= ledger->synced_version && ledger->modes[version] >= JOURNAL_INTERVAL;
        if ((always || interval) && !record)
            forgotten = version;
        for (size_t i = 0; record && i < record->entry.value.size && ledger->positions[version] != 0; i++)
            assert_int_equal(record->value[i], 'a' + (int)(version % 26));
    }
    assert_true(forgotten <= ledger->low_water);
    for (size_t i = 0; i < after->count; i++) { /* what is flushed is so for all that came before it */
        assert_true(after->records[i].entry.version > forgotten);
        assert_true(after->records[i].entry.version <= ledger->count);
    }
    journal_rig_close(after);
    fixture->disk.boot[0]--;
}

/* A file has its name for good only when the folder was synced after it was given: nothing is acknowledged in
 * a file that a power loss would take the name of. */
TEST(names_are_synced) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig, *after = &fixture->after;
    const char *value = journal_rig_text(rig, 'v', 2999);
    for (unsigned round = 1; round <= 8; round++) {
        unsigned seed = 0;
        journal_rig_open(rig);
        uint64_t version = 1, position = 0, files = journal_rig_count_files(rig);
        for (; journal_rig_count_files(rig) < files + round; version++) {
            assert_true(journal_rig_put(rig, 0, JOURNAL_ALWAYS, version, "key", value));
            position = journal_rig_write(rig, 0);
            journal_rig_wait_durable(rig, 0, position);
            if (round % 2 == 0 && version > 10) /* files are used again under other names */
                journal_rig_pass(rig, version - 10);
            if (round % 2 == 0 && version > 60)
                break;
        }
        journal_rig_set_up(after);
        faulty_disk_lose_names(&fixture->disk, after->folder, &seed);
        journal_rig_open(after);
        for (uint64_t kept = version > 10 && round % 2 == 0 ? version - 10 : 1; kept < version; kept++)
            assert_non_null(journal_rig_find(after, kept));
        begin_anew(fixture);
    }
}

TEST(what_was_acknowledged_survives_a_power_loss) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    for (unsigned round = 0; round < 60; round++) {
        unsigned seed = 1000 + round;
        struct ledger ledger = {0};
        rig->options.fsync_interval_ms = 2;
        journal_rig_open(rig);
        write_turns(fixture, &ledger, 5 + (unsigned)rand_r(&seed) % 40, &seed);
        if (round % 3 == 0)
            wait_for_interval(fixture, &ledger);
        write_turns(fixture, &ledger, (unsigned)rand_r(&seed) % 10, &seed);
        uint64_t acknowledged = atomic_load(&rig->durable[0]);
        journal_rig_set_up(&fixture->after);
        faulty_disk_lose_power(&fixture->disk, rig->folder, fixture->after.folder, &seed);
        journal_rig_close(rig);
        check_after_power_loss(fixture, &ledger, acknowledged);
        begin_anew(fixture);
    }
}

/* The same bytes, in a place that had not been synced and in one that had: torn in the one, damaged in the
 * other; and without a new start of the system, damaged in both. Where its boot is unknown (0), it may have been. */
TEST(lost_pages_are_no_damage) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    const char *value = journal_rig_text(rig, 'v', 2999);
    static const uint8_t boots[][2] = {{1, 2}, {0, 0}, {0, 1}, {1, 0}};
    for (int i = 0; i < 8; i++) {
        const uint8_t *boot = boots[i / 2];
        int synced = i % 2;
        rig->options.fsync_interval_ms = synced ? 2 : 3600000;
        fixture->disk.boot[0] = boot[0];
        journal_rig_open(rig);
        for (uint64_t version = 1; version <= 3; version++)
            assert_true(journal_rig_put(rig, 0, JOURNAL_INTERVAL, version, "key", value));
        journal_rig_write(rig, 0);
        if (synced)
            eventually(journal_rig_stats(rig).fsyncs > 0);
        char name[64];
        size_t size;
        usleep(synced ? 20000 : 0); /* for the note in the header */
        assert_true(journal_rig_file_name(rig, 0, name));
        char *bytes = journal_rig_read_file(rig, name, &size);
        journal_rig_close(rig);
        memset(bytes + 4096 + 3072, 0, 1024); /* part of the second */
        journal_rig_remove_files(rig);
        journal_rig_write_file(rig, name, bytes, size);
        if (boot[0])
            assert_int_equal(journal_rig_try_open(rig, false), JOURNAL_DAMAGED);
        fixture->disk.boot[0] = boot[1];
        if (synced) {
            assert_int_equal(journal_rig_try_open(rig, false), JOURNAL_DAMAGED);
        } else {
            journal_rig_open(rig);
            assert_int_equal(rig->count, 2);
            assert_non_null(journal_rig_find(rig, 3));
            assert_int_equal(rig->recovery.torn_files, 1);
            assert_true(journal_rig_logged(rig, "was not completed"));
            journal_rig_close(rig);
        }
        fixture->disk.boot[0] = 1;
        journal_rig_remove_files(rig);
    }
}

#define REMEMBERING(name) cmocka_unit_test_setup_teardown(name, set_up_remembering, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(a_full_disk_refuses_until_there_is_room),
        CASE(a_full_disk_is_noticed_ahead),
        CASE(recycling_ends_a_full_disk),
        CASE(the_current_file_is_given_back),
        CASE(a_journal_starts_on_a_full_disk),
        CASE(only_the_record_that_finds_no_room_is_refused),
        CASE(a_limit_of_the_system_refuses_until_it_is_lifted),
        CASE(failed_writes_are_repeated),
        CASE(a_write_may_fail_between_two_files),
        CASE(failed_syncs_are_not_forgotten),
        CASE(nothing_is_recycled_unnoted),
        CASE(a_file_that_cannot_be_written_is_left),
        CASE(a_long_record_leaves_a_failing_file_too),
        CASE(a_file_that_cannot_be_synced_is_left),
        CASE(a_file_system_that_is_really_full_refuses),
        CASE(a_file_that_loses_its_name_refuses_changes),
        CASE(a_file_that_loses_its_name_counts_as_not_synced),
        CASE(a_file_that_was_removed_can_be_passed),
        CASE(a_file_that_is_removed_while_it_waits_is_not_used),
        CASE(a_file_that_is_passed_speaks_for_itself_alone),
        CASE(a_journal_that_cannot_be_opened_says_why),
        REMEMBERING(a_sync_after_a_failed_one_survives_a_power_loss),
        REMEMBERING(names_are_synced),
        REMEMBERING(what_was_acknowledged_survives_a_power_loss),
        CASE(lost_pages_are_no_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
