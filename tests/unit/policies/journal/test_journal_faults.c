/* SPDX-License-Identifier: MIT */
/*
 * The journal on disks that are full, broken or without power. What was refused may be missing, what was
 * acknowledged may not, and everything goes on by itself when the disk does.
 */
#include "tests/support/faulty_disk.h"
#include "tests/support/journal_rig.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct bench {
    struct journal_rig rig; /* first */
    struct faulty_disk disk;
};

static int setup_with(void **state, bool remembers) {
    struct bench *bench = malloc(sizeof *bench);
    assert_non_null(bench);
    rig_setup(&bench->rig);
    faulty_disk_init(&bench->disk, remembers);
    bench->rig.options.disk = &bench->disk.calls;
    *state = bench;
    return 0;
}

static int setup(void **state) {
    return setup_with(state, false);
}
static int setup_remembering(void **state) {
    return setup_with(state, true);
}

static int teardown(void **state) {
    struct bench *bench = *state;
    rig_teardown(&bench->rig);
    faulty_disk_free(&bench->disk);
    free(bench);
    return 0;
}

/* One put and one write; false: refused, or not in the file. */
static bool put_one(struct journal_rig *rig, enum journal_mode mode, uint64_t version) {
    char value[500];
    uint64_t position;
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    bool taken = rig_put(rig, 0, mode, version, "key", value);
    return journal_write(journal_series(rig->journal, 0), &position) == JOURNAL_OK && taken;
}

static uint64_t fill_until_refused(struct journal_rig *rig, uint64_t version) {
    while (put_one(rig, JOURNAL_OS, version))
        version++;
    return version; /* the first that was not taken */
}

static void wait_until_taken(struct journal_rig *rig, uint64_t version) {
    while (!put_one(rig, JOURNAL_OS, version))
        usleep(1000);
}

static void assert_all(struct journal_rig *rig, uint64_t first, uint64_t last) {
    for (uint64_t version = first; version <= last; version++)
        assert_non_null(rig_find(rig, version));
}

/* ---- Full ---- */

static void full_disk_refuses_and_recovers(void **state) {
    struct bench *bench = *state;
    struct journal_rig *rig = &bench->rig;
    rig_open(rig);
    assert_true(put_one(rig, JOURNAL_OS, 1));
    atomic_store(&bench->disk.allocate_failure, ENOSPC);
    uint64_t refused = fill_until_refused(rig, 2);
    assert_true(refused > 20); /* the current file was still used */
    for (int i = 0; i < 1000; i++)
        assert_false(put_one(rig, JOURNAL_OS, refused));
    assert_int_equal(rig_count_logged(rig, "No space left"), 1);
    assert_true(rig_logged(rig, rig->folder));
    atomic_store(&bench->disk.allocate_failure, 0);
    wait_until_taken(rig, refused);
    assert_int_equal(rig_count_logged(rig, "there is room in"), 1);
    for (uint64_t version = refused + 1; version < refused + 100; version++)
        assert_true(put_one(rig, JOURNAL_OS, version));
    rig_close(rig);
    rig_open(rig);
    assert_int_equal(rig->count, refused + 99);
    assert_all(rig, 1, refused + 99);
}

/* It is said as soon as the next file cannot be made, not when it is needed. */
static void full_disk_is_noticed_ahead(void **state) {
    struct bench *bench = *state;
    struct journal_rig *rig = &bench->rig;
    uint64_t version = 1;
    rig_open(rig);
    atomic_store(&bench->disk.allocate_failure, ENOSPC);
    for (; version < 14; version++) /* half of the file is 8 KiB */
        assert_true(put_one(rig, JOURNAL_OS, version));
    while (!rig_logged(rig, "No space left"))
        usleep(1000);
    assert_true(put_one(rig, JOURNAL_OS, version));
}

/* Room that flushing makes is as good as room on the disk. */
static void recycling_ends_a_full_disk(void **state) {
    struct bench *bench = *state;
    struct journal_rig *rig = &bench->rig;
    rig_open(rig);
    uint64_t version = 1;
    for (; version < 200; version++)
        assert_true(put_one(rig, JOURNAL_OS, version));
    atomic_store(&bench->disk.allocate_failure, ENOSPC);
    version = fill_until_refused(rig, version);
    journal_set_low_water(rig->journal, version - 5);
    wait_until_taken(rig, version);
    struct journal_stats stats;
    journal_get_stats(rig->journal, &stats);
    assert_true(stats.recycled > 0);
    rig_close(rig);
    rig_open(rig);
    assert_all(rig, version - 4, version);
}

/* Also where there is but the current file. */
static void current_file_is_given_back(void **state) {
    struct bench *bench = *state;
    struct journal_rig *rig = &bench->rig;
    rig_open(rig);
    atomic_store(&bench->disk.allocate_failure, ENOSPC);
    uint64_t version = 1;
    for (int round = 0; round < 5; round++) {
        uint64_t refused = fill_until_refused(rig, version);
        assert_true(refused > version);
        journal_set_low_water(rig->journal, refused - 2);
        usleep(2000);
        assert_false(put_one(rig, JOURNAL_OS, refused)); /* the last one is not flushed yet */
        journal_set_low_water(rig->journal, refused - 1);
        wait_until_taken(rig, refused);
        uint64_t position;
        assert_true(rig_put(rig, 0, JOURNAL_ALWAYS, refused + 1, "key", "value"));
        assert_int_equal(journal_write(journal_series(rig->journal, 0), &position), JOURNAL_OK);
        rig_wait_durable(rig, 0, position);
        version = refused + 2;
    }
    rig_close(rig);
    rig_open(rig);
    assert_all(rig, version - 2, version - 1);
}

static void starts_on_a_full_disk(void **state) {
    struct bench *bench = *state;
    struct journal_rig *rig = &bench->rig;
    rig_open(rig);
    assert_true(put_one(rig, JOURNAL_OS, 1));
    rig_close(rig);
    atomic_store(&bench->disk.allocate_failure, ENOSPC);
    rig_open(rig);
    assert_int_equal(rig->count, 1);
    assert_false(put_one(rig, JOURNAL_OS, 2));
    assert_true(rig_logged(rig, "No space left"));
    atomic_store(&bench->disk.allocate_failure, 0);
    wait_until_taken(rig, 2);
    rig_close(rig);
    rig_open(rig);
    assert_all(rig, 1, 2);
}

/* A value that needs a file of its own meets a full disk: only that value is refused. */
static void no_room_for_one_long_record(void **state) {
    struct bench *bench = *state;
    struct journal_rig *rig = &bench->rig;
    static char value[50000];
    memset(value, 'v', sizeof value - 1);
    rig_open(rig);
    atomic_store(&bench->disk.allocate_failure, ENOSPC);
    assert_false(rig_put(rig, 0, JOURNAL_OS, 1, "long", value));
    assert_true(put_one(rig, JOURNAL_OS, 2));
    atomic_store(&bench->disk.allocate_failure, 0);
    assert_true(rig_put(rig, 0, JOURNAL_OS, 3, "long", value));
    rig_write(rig, 0);
    rig_close(rig);
    rig_open(rig);
    assert_int_equal(rig->count, 2);
    assert_all(rig, 2, 3);
}

/* The system itself says no: a limit on the size of files. */
static void limited_by_the_system(void **state) {
    struct bench *bench = *state;
    struct journal_rig *rig = &bench->rig;
    rig->options.disk = NULL;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {8192, RLIM_INFINITY};
        signal(SIGXFSZ, SIG_IGN);
        rig_open(rig);
        uint64_t version = 1;
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
            _exit(2);
        version = fill_until_refused(rig, version);
        if (rig_count_logged(rig, "File too large") == 0)
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
    rig_open(rig);
    assert_non_null(rig_find(rig, 1));
    assert_non_null(rig_find(rig, 1000));
}

/* A file system that is really full: a small one of its own. */
static void really_full(void **state) {
    struct bench *bench = *state;
    struct journal_rig *rig = &bench->rig;
    char filler[300];
    if (mount("tmpfs", rig->folder, "tmpfs", 0, "size=512k") != 0) {
        print_message("skipped: a small file system can be mounted by root alone: %s\n", strerror(errno));
        skip();
    }
    rig->options.disk = NULL;
    rig_open(rig);
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
    assert_true(rig_logged(rig, "No space left"));
    /* Room that flushing makes is enough; */
    journal_set_low_water(rig->journal, version - 1);
    wait_until_taken(rig, version);
    version = fill_until_refused(rig, version + 1);
    /* so is room on the disk, */
    assert_int_equal(unlink(filler), 0);
    wait_until_taken(rig, version);
    for (uint64_t more = version + 1; more <= version + 50; more++)
        assert_true(put_one(rig, JOURNAL_ALWAYS, more));
    rig_close(rig);
    rig_open(rig);
    assert_all(rig, version, version + 50);
    rig_close(rig);
    assert_int_equal(umount2(rig->folder, MNT_DETACH), 0);
}

/* ---- Broken ---- */

/* A write fails, or ends early at any byte: the records stay in the buffer and reach the file later, once. */
static void failed_writes_are_repeated(void **state) {
    struct bench *bench = *state;
    struct journal_rig *rig = &bench->rig;
    uint64_t version = 1, position;
    rig_open(rig);
    struct journal_series *series = journal_series(rig->journal, 0);
    for (long after = 0; after < 1700; after += 37) {
        for (int i = 0; i < 3; i++)
            assert_true(
                rig_put(rig, 0, JOURNAL_ALWAYS, version++, "key", "some value that is not very long"));
        atomic_store(&bench->disk.fail_write_after, after % 300);
        atomic_store(&bench->disk.write_failure, EIO);
        enum journal_status status = journal_write(series, &position);
        assert_int_equal(status, after % 300 < 3 * 72 ? JOURNAL_FAILED : JOURNAL_OK);
        if (status == JOURNAL_FAILED) {
            assert_int_equal(position, 0);
            assert_false(journal_reserve(series, 1));
            assert_int_equal(journal_write(series, &position), JOURNAL_FAILED);
        }
        atomic_store(&bench->disk.write_failure, 0);
        if (status == JOURNAL_FAILED)
            assert_int_equal(journal_write(series, &position), JOURNAL_OK);
        assert_true(position > 0);
        rig_wait_durable(rig, 0, position);
        assert_true(journal_reserve(series, 1000));
    }
    assert_true(rig_logged(rig, "Input/output error"));
    assert_int_equal(rig_count_logged(rig, "cannot write to"), rig_count_logged(rig, "can be written again"));
    rig_close(rig);
    rig_open(rig);
    assert_int_equal(rig->count, version - 1);
    assert_all(rig, 1, version - 1);
    assert_int_equal(rig->recovery.torn_files, 0);
}

/* The write fails at the change from one file to the next. */
static void failed_writes_between_files(void **state) {
    struct bench *bench = *state;
    struct journal_rig *rig = &bench->rig;
    static char value[1000];
    memset(value, 'v', sizeof value - 1);
    uint64_t version = 1, position;
    rig_open(rig);
    struct journal_series *series = journal_series(rig->journal, 0);
    for (int round = 0; round < 60; round++) {
        atomic_store(&bench->disk.fail_write_after, round * 31);
        atomic_store(&bench->disk.write_failure, round % 2 ? EIO : 0);
        for (int i = 0; i < 20; i++)
            if (rig_put(rig, 0, JOURNAL_OS, version, "key", value))
                version++;
        journal_write(series, &position);
        atomic_store(&bench->disk.write_failure, 0);
        while (journal_write(series, &position) != JOURNAL_OK)
            continue;
    }
    rig_close(rig);
    rig_open(rig);
    assert_int_equal(rig->count, version - 1);
    assert_all(rig, 1, version - 1);
}

/* Nothing is reported durable before a sync succeeded that covers it, and a sync that failed is not believed
 * when it succeeds without anything having been written again. */
static void failed_syncs_are_not_forgotten(void **state) {
    struct bench *bench = *state;
    struct journal_rig *rig = &bench->rig;
    rig_open(rig);
    assert_true(put_one(rig, JOURNAL_ALWAYS, 1));
    while (atomic_load(&rig->durable[0]) == 0)
        usleep(100);
    uint64_t before = atomic_load(&rig->durable[0]);
    atomic_store(&bench->disk.sync_failure, EIO);
    assert_true(rig_put(rig, 0, JOURNAL_ALWAYS, 2, "key", "value"));
    uint64_t position = rig_write(rig, 0);
    while (!rig_logged(rig, "cannot sync"))
        usleep(100);
    assert_false(put_one(rig, JOURNAL_ALWAYS, 3));
    assert_int_equal(atomic_load(&rig->durable[0]), before);
    unsigned long writes = atomic_load(&bench->disk.writes);
    atomic_store(&bench->disk.sync_failure, 0);
    rig_wait_durable(rig, 0, position);
    assert_true(atomic_load(&bench->disk.writes) > writes);
    wait_until_taken(rig, 3);
    assert_int_equal(rig_count_logged(rig, "cannot sync"), 1);
    assert_int_equal(rig_count_logged(rig, "is synced again"), 1);
    rig_close(rig);
    rig_open(rig);
    assert_all(rig, 1, 3);
}

/* The low-water version cannot be noted: nothing is recycled. */
static void nothing_is_recycled_unnoted(void **state) {
    struct bench *bench = *state;
    struct journal_rig *rig = &bench->rig;
    struct journal_stats stats;
    rig->options.fsync_interval_ms = 5;
    rig_open(rig);
    for (uint64_t version = 1; version <= 200; version++)
        assert_true(put_one(rig, JOURNAL_OS, version));
    atomic_store(&bench->disk.fail_write_after, 0);
    atomic_store(&bench->disk.write_failure, EIO);
    journal_set_low_water(rig->journal, 150);
    while (!rig_logged(rig, "low-water: Input/output error"))
        usleep(1000);
    journal_get_stats(rig->journal, &stats);
    assert_int_equal(stats.recycled, 0);
    atomic_store(&bench->disk.write_failure, 0);
    while (stats.recycled == 0)
        journal_get_stats(rig->journal, &stats);
    rig_close(rig);
    rig_open(rig);
    assert_int_equal(rig->count, 50);
}

static uint64_t inode_of_current(struct journal_rig *rig) {
    struct stat status;
    char name[64], path[400];
    size_t last = 0;
    while (rig_file_name(rig, last, name))
        last++;
    assert_true(last > 0);
    assert_true(rig_file_name(rig, last - 1, name));
    snprintf(path, sizeof path, "%s/%s", rig->folder, name);
    assert_int_equal(stat(path, &status), 0);
    return status.st_ino;
}

/* One file that cannot be written: its records go on in another one, changes are taken again, and nothing
 * that was acknowledged is lost. */
static void bad_file_is_left(void **state) {
    struct bench *bench = *state;
    struct journal_rig *rig = &bench->rig;
    rig_open(rig);
    struct journal_series *series = journal_series(rig->journal, 0);
    uint64_t version = 1, position = 0;
    for (; version <= 5; version++)
        assert_true(put_one(rig, JOURNAL_ALWAYS, version));
    atomic_store(&bench->disk.bad_to_write, inode_of_current(rig));
    for (; version <= 8; version++)
        assert_true(rig_put(rig, 0, JOURNAL_ALWAYS, version, "key", "of the turn that fails"));
    assert_int_equal(journal_write(series, &position), JOURNAL_FAILED);
    assert_false(journal_reserve(series, 1));
    while (journal_write(series, &position) != JOURNAL_OK)
        usleep(1000);
    assert_true(position > 0);
    rig_wait_durable(rig, 0, position);
    for (; version <= 200; version++)
        assert_true(put_one(rig, JOURNAL_ALWAYS, version));
    assert_int_equal(rig_count_logged(rig, "is left as it is"), 1);
    assert_int_equal(rig_count_logged(rig, "can be written again"), 1);
    journal_set_low_water(rig->journal, 100);
    rig_close(rig);
    rig_open(rig);
    assert_all(rig, 101, 200);
}

/* One file that cannot be synced: changes are refused until all that is in it has reached the backends; then
 * the replies that waited go, and the journal goes on in another file. */
static void unsynced_file_is_left(void **state) {
    struct bench *bench = *state;
    struct journal_rig *rig = &bench->rig;
    rig_open(rig);
    assert_true(put_one(rig, JOURNAL_ALWAYS, 1));
    while (atomic_load(&rig->durable[0]) == 0)
        usleep(100);
    uint64_t before = atomic_load(&rig->durable[0]), position = 0;
    atomic_store(&bench->disk.bad_to_sync, inode_of_current(rig));
    assert_true(rig_put(rig, 0, JOURNAL_ALWAYS, 2, "key", "value"));
    uint64_t waiting = rig_write(rig, 0);
    while (!rig_logged(rig, "is left as it is")) {
        journal_write(journal_series(rig->journal, 0), &position);
        usleep(1000);
    }
    assert_false(put_one(rig, JOURNAL_ALWAYS, 3));
    journal_set_low_water(rig->journal, 1);
    usleep(50000);
    assert_int_equal(atomic_load(&rig->durable[0]), before);
    journal_set_low_water(rig->journal, 2);
    rig_wait_durable(rig, 0, waiting);
    wait_until_taken(rig, 3);
    assert_true(rig_put(rig, 0, JOURNAL_ALWAYS, 4, "key", "value"));
    rig_wait_durable(rig, 0, rig_write(rig, 0));
    assert_int_equal(rig_count_logged(rig, "changes are taken again"), 1);
    rig_close(rig);
    rig_open(rig);
    assert_int_equal(rig->count, 2);
    assert_all(rig, 3, 4);
}

static void journal_that_cannot_be_opened(void **state) {
    struct bench *bench = *state;
    struct journal_rig *rig = &bench->rig;
    atomic_store(&bench->disk.sync_failure, EIO);
    assert_int_equal(rig_try_open(rig, false), JOURNAL_FAILED);
    assert_non_null(strstr(rig->error.message, rig->folder));
    assert_non_null(strstr(rig->error.message, "Input/output error"));
    atomic_store(&bench->disk.sync_failure, 0);
    rig_open(rig);
    rig_close(rig);
    rig->options.folder = "/proc/none/such";
    assert_int_equal(rig_try_open(rig, false), JOURNAL_FAILED);
    assert_non_null(strstr(rig->error.message, "/proc/none/such"));
}

/* ---- Without power ---- */

enum { POWER_RECORDS = 400 };

/* A record whose first sync failed, then the power goes when the second has succeeded. */
static void power_loss_after_a_failed_sync(void **state) {
    struct bench *bench = *state;
    struct journal_rig *rig = &bench->rig;
    for (unsigned seed = 1; seed <= 12; seed++) {
        struct journal_rig after;
        rig_open(rig);
        atomic_store(&bench->disk.sync_failure, EIO);
        assert_true(rig_put(rig, 0, JOURNAL_ALWAYS, 2, "key", "value"));
        uint64_t position = rig_write(rig, 0);
        while (rig_count_logged(rig, "cannot sync") < seed)
            usleep(100);
        atomic_store(&bench->disk.sync_failure, 0);
        rig_wait_durable(rig, 0, position);
        rig_setup(&after);
        unsigned luck = seed;
        faulty_disk_lose_power(&bench->disk, rig->folder, after.folder, &luck);
        rig_open(&after);
        assert_int_equal(after.count, 1);
        rig_teardown(&after);
        rig_close(rig);
        rig_remove_files(rig);
        faulty_disk_free(&bench->disk);
        faulty_disk_init(&bench->disk, true);
    }
}

/* What the test knows of each version: its mode, the position that had to become durable, whether it was
 * flushed. */
struct ledger {
    enum journal_mode modes[POWER_RECORDS + 1];
    uint64_t positions[POWER_RECORDS + 1];
    uint64_t count, low_water, synced_version;
};

static void write_turns(struct bench *bench, struct ledger *ledger, unsigned turns, unsigned *seed) {
    static const enum journal_mode modes[] = {JOURNAL_OS, JOURNAL_INTERVAL, JOURNAL_ALWAYS, JOURNAL_ALWAYS};
    struct journal_rig *rig = &bench->rig;
    static char value[3000];
    for (unsigned turn = 0; turn < turns && ledger->count < POWER_RECORDS - 10; turn++) {
        uint64_t first = ledger->count + 1;
        for (unsigned i = 0, n = 1 + (unsigned)rand_r(seed) % 6; i < n; i++) {
            uint64_t version = ++ledger->count;
            size_t size = (size_t)rand_r(seed) % (sizeof value - 1);
            memset(value, 'a' + (int)(version % 26), size);
            value[size] = '\0';
            ledger->modes[version] = modes[(unsigned)rand_r(seed) % 4];
            assert_true(rig_put(rig, 0, ledger->modes[version], version, "key", value));
        }
        uint64_t position = rig_write(rig, 0);
        for (uint64_t version = first; version <= ledger->count; version++)
            ledger->positions[version] = position;
        if (rand_r(seed) % 5 == 0 && position > 0)
            rig_wait_durable(rig, 0, position);
        if (rand_r(seed) % 20 == 0 && ledger->count > 60) {
            ledger->low_water = ledger->count - 50;
            journal_set_low_water(rig->journal, ledger->low_water);
        }
    }
}

/* A second interval has passed: what is written now was synced by it. */
static void wait_for_interval(struct bench *bench, struct ledger *ledger) {
    unsigned long syncs = atomic_load(&bench->disk.syncs);
    uint64_t version = ledger->count;
    struct journal_rig *rig = &bench->rig;
    for (int i = 0; i < 2; i++) { /* the first may have begun before */
        ledger->modes[++ledger->count] = JOURNAL_INTERVAL;
        assert_true(rig_put(rig, 0, JOURNAL_INTERVAL, ledger->count, "key", "a"));
        rig_write(rig, 0);
        while (atomic_load(&bench->disk.syncs) == syncs)
            usleep(100);
        usleep(20000); /* the interval is 2 ms: many of them */
        syncs = atomic_load(&bench->disk.syncs);
    }
    ledger->synced_version = version;
}

static void check_after_power_loss(struct bench *bench, const char *target, const struct ledger *ledger,
                                   uint64_t acknowledged) {
    struct journal_rig after;
    rig_setup(&after);
    after.options.disk = &bench->disk.calls;
    after.options.folder = target;
    bench->disk.boot[0]++; /* the system was started anew */
    rig_open(&after);
    uint64_t forgotten =
        0; /* the highest version that was safe and is not shown: only because it was flushed */
    for (uint64_t version = 1; version <= ledger->count; version++) {
        const struct rig_record *record = rig_find(&after, version);
        bool always = ledger->modes[version] == JOURNAL_ALWAYS && ledger->positions[version] != 0 &&
                      ledger->positions[version] <= acknowledged;
        bool interval = ledger->modes[version] >= JOURNAL_INTERVAL && version <= ledger->synced_version;
        if ((always || interval) && !record)
            forgotten = version;
        for (size_t i = 0; record && i < record->entry.value.size && ledger->positions[version] != 0; i++)
            assert_int_equal(record->value[i], 'a' + (int)(version % 26));
    }
    assert_true(forgotten <= ledger->low_water);
    for (size_t i = 0; i < after.count; i++) { /* what is flushed is so for all that came before it */
        assert_true(after.records[i].entry.version > forgotten);
        assert_true(after.records[i].entry.version <= ledger->count);
    }
    rig_close(&after);
    bench->disk.boot[0]--;
    rig_teardown(&after);
}

/* A file has its name for good only when the folder was synced after it was given: nothing is acknowledged in
 * a file that a power loss would take the name of. */
static void names_are_synced(void **state) {
    struct bench *bench = *state;
    struct journal_rig *rig = &bench->rig;
    static char value[3000];
    memset(value, 'v', sizeof value - 1);
    for (unsigned round = 1; round <= 8; round++) {
        struct journal_rig after;
        unsigned seed = 0;
        rig_open(rig);
        uint64_t version = 1, position = 0, files = rig_count_files(rig);
        for (; rig_count_files(rig) < files + round; version++) {
            assert_true(rig_put(rig, 0, JOURNAL_ALWAYS, version, "key", value));
            position = rig_write(rig, 0);
            rig_wait_durable(rig, 0, position);
            if (round % 2 == 0 && version > 10) /* files are used again under other names */
                journal_set_low_water(rig->journal, version - 10);
            if (round % 2 == 0 && version > 60)
                break;
        }
        rig_setup(&after);
        faulty_disk_lose_names(&bench->disk, after.folder, &seed);
        rig_open(&after);
        for (uint64_t kept = version > 10 && round % 2 == 0 ? version - 10 : 1; kept < version; kept++)
            assert_non_null(rig_find(&after, kept));
        rig_teardown(&after);
        rig_close(rig);
        rig_remove_files(rig);
        faulty_disk_free(&bench->disk);
        faulty_disk_init(&bench->disk, true);
    }
}

static void power_losses(void **state) {
    struct bench *bench = *state;
    struct journal_rig *rig = &bench->rig;
    bench->disk.remembers = true;
    for (unsigned round = 0; round < 60; round++) {
        unsigned seed = 1000 + round;
        struct ledger ledger = {0};
        char target[300];
        snprintf(target, sizeof target, "%s-after-XXXXXX", rig->folder);
        assert_non_null(mkdtemp(target));
        rig->options.fsync_interval_ms = 2;
        rig_open(rig);
        write_turns(bench, &ledger, 5 + (unsigned)rand_r(&seed) % 40, &seed);
        if (round % 3 == 0)
            wait_for_interval(bench, &ledger);
        write_turns(bench, &ledger, (unsigned)rand_r(&seed) % 10, &seed);
        uint64_t acknowledged = atomic_load(&rig->durable[0]);
        faulty_disk_lose_power(&bench->disk, rig->folder, target, &seed);
        rig_close(rig);
        check_after_power_loss(bench, target, &ledger, acknowledged);
        const char *folder = rig->folder;
        char kept[256];
        memcpy(kept, folder, sizeof kept);
        rig_remove_files(rig);
        snprintf(rig->folder, sizeof rig->folder, "%.255s", target);
        rig_remove_files(rig);
        rmdir(target);
        memcpy(rig->folder, kept, sizeof kept);
        faulty_disk_free(&bench->disk);
        faulty_disk_init(&bench->disk, true);
    }
}

/* The same bytes, in a place that had not been synced and in one that had: torn in the one, damaged in the
 * other; and without a new start of the system, damaged in both. */
static void lost_pages_are_no_damage(void **state) {
    struct bench *bench = *state;
    struct journal_rig *rig = &bench->rig;
    static char value[3000];
    memset(value, 'v', sizeof value - 1);
    for (int synced = 0; synced < 2; synced++) {
        rig->options.fsync_interval_ms = synced ? 2 : 3600000;
        rig_open(rig);
        for (uint64_t version = 1; version <= 3; version++)
            assert_true(rig_put(rig, 0, JOURNAL_INTERVAL, version, "key", value));
        rig_write(rig, 0);
        struct journal_stats stats = {0};
        while (synced && stats.fsyncs < 1)
            journal_get_stats(rig->journal, &stats);
        char name[64];
        size_t size;
        usleep(synced ? 20000 : 0); /* for the note in the header */
        assert_true(rig_file_name(rig, 0, name));
        char *bytes = rig_read_file(rig, name, &size);
        rig_close(rig);
        memset(bytes + 4096 + 3072, 0, 1024); /* part of the second */
        rig_remove_files(rig);
        rig_write_file(rig, name, bytes, size);
        assert_int_equal(rig_try_open(rig, false), JOURNAL_DAMAGED);
        bench->disk.boot[0]++;
        if (synced) {
            assert_int_equal(rig_try_open(rig, false), JOURNAL_DAMAGED);
        } else {
            rig_open(rig);
            assert_int_equal(rig->count, 2);
            assert_non_null(rig_find(rig, 3));
            assert_int_equal(rig->recovery.torn_files, 1);
            assert_true(rig_logged(rig, "was not completed"));
            rig_close(rig);
        }
        bench->disk.boot[0]--;
        rig_remove_files(rig);
        free(bytes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(full_disk_refuses_and_recovers, setup, teardown),
        cmocka_unit_test_setup_teardown(full_disk_is_noticed_ahead, setup, teardown),
        cmocka_unit_test_setup_teardown(recycling_ends_a_full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(current_file_is_given_back, setup, teardown),
        cmocka_unit_test_setup_teardown(starts_on_a_full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(no_room_for_one_long_record, setup, teardown),
        cmocka_unit_test_setup_teardown(limited_by_the_system, setup, teardown),
        cmocka_unit_test_setup_teardown(failed_writes_are_repeated, setup, teardown),
        cmocka_unit_test_setup_teardown(failed_writes_between_files, setup, teardown),
        cmocka_unit_test_setup_teardown(failed_syncs_are_not_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_recycled_unnoted, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_file_is_left, setup, teardown),
        cmocka_unit_test_setup_teardown(unsynced_file_is_left, setup, teardown),
        cmocka_unit_test_setup_teardown(really_full, setup, teardown),
        cmocka_unit_test_setup_teardown(journal_that_cannot_be_opened, setup, teardown),
        cmocka_unit_test_setup_teardown(power_loss_after_a_failed_sync, setup_remembering, teardown),
        cmocka_unit_test_setup_teardown(names_are_synced, setup_remembering, teardown),
        cmocka_unit_test_setup_teardown(power_losses, setup_remembering, teardown),
        cmocka_unit_test_setup_teardown(lost_pages_are_no_damage, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
