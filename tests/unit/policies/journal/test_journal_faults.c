/* SPDX-License-Identifier: MIT */
/*
 * The journal on disks that are full or broken (without power: test_journal_power.c). What was refused may be missing,
 * what was acknowledged may not, and everything goes on by itself when the disk does.
 */
#include "tests/support/journal_fixture.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
            _exit(2);
        fill_until_refused(rig, 1);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
