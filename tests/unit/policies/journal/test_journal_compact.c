/* SPDX-License-Identifier: MIT */
/*
 * Compaction: one namespace ("session") is held back, the other ("plain") is passed as it is written. What
 * recovery needs of the first survives, whenever the process or the power ends; and the room is the others'.
 *
 * A change is a function of its version, so what is found can be checked with nothing else to remember.
 */
#include "tests/support/check.h"
#include "tests/support/faulty_disk.h"
#include "tests/support/journal_rig.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { PLAIN, SESSION, KEYS = 12, CAS_VALUES = 3, FILES_FEW = 20 };

/* Shared with the process that is killed: versions that were written, and that are passed in SESSION. */
struct progress {
    atomic_uint_fast64_t written, passed;
};

struct fixture {
    struct journal_rig rig;
    struct journal_rig after;
    struct faulty_disk disk;
    struct progress *progress;
};

static void hurry(struct journal_rig *rig) {
    rig->options.compact_after_ms = 1;
    rig->options.fsync_interval_ms = 2;
}

static int set_up(void **state) {
    struct fixture *fixture = journal_rig_make_fixture(sizeof *fixture);
    hurry(&fixture->rig);
    faulty_disk_init(&fixture->disk, true);
    fixture->progress =
        mmap(NULL, sizeof *fixture->progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(fixture->progress != MAP_FAILED);
    *state = fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    struct progress *progress = fixture->progress;
    journal_rig_end_fixture(&fixture->rig, &fixture->after, &fixture->disk);
    munmap(progress, sizeof *progress);
    return 0;
}

/* ---- The change of a version ---- */

struct change {
    unsigned space, key;
    enum journal_kind kind;
    uint64_t cas;
    size_t value_size;
};

static struct change change_of(uint64_t version) {
    uint64_t random = version * UINT64_C(0x9e3779b97f4a7c15) >> 20;
    unsigned luck = (unsigned)(random >> 12) % 20;
    struct change change = {.space = random % 4 == 0 ? SESSION : PLAIN,
                            .key = (unsigned)(random >> 3) % KEYS,
                            .kind = luck < 14   ? JOURNAL_PUT
                                    : luck < 16 ? JOURNAL_DELETE
                                                : JOURNAL_TOUCH,
                            .value_size = (size_t)(random >> 17) % 900};
    if (change.kind == JOURNAL_TOUCH && luck < 19)
        change.cas = 1 + (random >> 27) % CAS_VALUES;
    return change;
}

/* False: refused. */
static bool append(struct journal_rig *rig, unsigned series, enum journal_mode mode, uint64_t version) {
    struct change change = change_of(version);
    char key[16], value[900];
    snprintf(key, sizeof key, "key %u", change.key);
    memset(value, 'a' + (int)(version % 26), sizeof value);
    struct entry entry = {.key = slice_string(key),
                          .value = slice_of(value, change.kind == JOURNAL_PUT ? change.value_size : 0),
                          .version = version,
                          .client_cas = change.cas};
    return journal_rig_append(rig, series, mode, change.space, change.kind, &entry);
}

/* ---- Checks ---- */

static bool is_change(enum journal_kind kind) {
    return kind != JOURNAL_TOUCH;
}

static void check_record(const struct journal_rig_record *record) {
    struct change change = change_of(record->entry.version);
    char key[16];
    snprintf(key, sizeof key, "key %u", change.key);
    assert_string_equal(record->key, key);
    assert_string_equal(record->space, change.space == SESSION ? "session" : "plain");
    assert_int_equal(record->kind, change.kind);
    assert_int_equal(record->entry.client_cas, change.cas);
    assert_int_equal(record->entry.value.size, change.kind == JOURNAL_PUT ? change.value_size : 0);
    for (size_t i = 0; i < record->entry.value.size; i++)
        assert_int_equal(record->value[i], 'a' + (int)(record->entry.version % 26));
}

struct newest {
    uint64_t change[KEYS], touch[KEYS][CAS_VALUES + 1]; /* versions */
};

static void note(struct newest *newest, uint64_t version) {
    struct change change = change_of(version);
    uint64_t *at =
        is_change(change.kind) ? &newest->change[change.key] : &newest->touch[change.key][change.cas];
    if (change.space == SESSION && version > *at)
        *at = version;
}

/* The touch of a key that still counts, in what was found: behind its newest change. */
static void check_touch(const struct journal_rig *rig, const struct newest *found, uint64_t version) {
    struct change change = change_of(version);
    if (change.space != SESSION || is_change(change.kind) || version < found->change[change.key])
        return;
    if (change.cas == 0)
        assert_non_null(journal_rig_find(rig, version));
    else
        assert_true(found->touch[change.key][change.cas] >= version);
}

/* All that was written in SESSION above `passed` comes to the same as what was found. */
static void check(const struct journal_rig *rig, uint64_t passed, uint64_t written) {
    struct newest expected = {0}, found = {0};
    for (uint64_t version = passed + 1; version <= written; version++)
        note(&expected, version);
    for (size_t i = 0; i < rig->count; i++) {
        check_record(&rig->records[i]);
        note(&found, rig->records[i].entry.version);
    }
    for (unsigned key = 0; key < KEYS; key++)
        assert_true(found.change[key] >= expected.change[key]);
    for (uint64_t version = passed + 1; version <= written; version++)
        check_touch(rig, &found, version);
}

/* ---- Tests ---- */

static void write_one(struct journal_rig *rig, uint64_t version) {
    eventually(append(rig, 0, JOURNAL_OS, version));
    journal_rig_write(rig, 0);
    journal_pass(rig->journal, PLAIN, version);
}

/* A namespace whose backend is away takes the room for what it needs, and not for what it overwrites, nor for
 * what others wrote beside it. */
TEST(what_is_held_back_takes_little_room) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    journal_rig_open(rig);
    for (uint64_t version = 1; version <= 20000; version++) {
        write_one(rig, version);
        if (version % 1000 == 0)
            eventually(journal_rig_stats(rig).files < FILES_FEW);
    }
    assert_true(journal_rig_stats(rig).compactions > 0);
    journal_rig_close(rig);
    journal_rig_open(rig);
    check(rig, 0, 20000);
    assert_int_equal(rig->recovery.highest_version, 20000);
    journal_rig_pass(rig, 20000); /* the backend is back */
    journal_rig_close(rig);
    assert_int_equal(journal_rig_count_files(rig), 0);
}

/* Where nothing can go, nothing is copied for nothing. */
TEST(what_is_all_needed_is_left_alone) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    const char *value = journal_rig_text(rig, 'v', 999);
    char key[32];
    journal_rig_open(rig);
    for (uint64_t version = 1; version <= 1000; version++) {
        snprintf(key, sizeof key, "%d", (int)version);
        assert_true(journal_rig_put(rig, 0, JOURNAL_OS, version, key, value));
        journal_rig_write(rig, 0);
    }
    usleep(100000);
    assert_int_equal(journal_rig_stats(rig).compactions, 0);
    journal_rig_close(rig);
    journal_rig_open(rig);
    assert_int_equal(rig->count, 1000);
}

/* The disk is full of what one namespace holds back: there is room for the others nevertheless. */
TEST(a_full_disk_makes_room) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    rig->options.disk = &fixture->disk.calls;
    rig->options.compact_after_ms = 3600000; /* not by age */
    fixture->disk.remembers = false;
    journal_rig_open(rig);
    uint64_t version = 1;
    while (journal_rig_stats(rig).files < 8)
        write_one(rig, version++);
    atomic_store(&fixture->disk.allocate_failure,
                 ENOSPC); /* no other file, but what is there can be filled */
    for (uint64_t end = version + 5000; version < end; version++)
        write_one(rig, version);
    assert_true(journal_rig_stats(rig).compactions > 0);
    atomic_store(&fixture->disk.allocate_failure, 0);
    journal_rig_close(rig);
    journal_rig_open(rig);
    check(rig, 0, version - 1);
}

/* No other file can be made, which is when files are compacted, whatever has been compacted before. */
static void starve(struct fixture *fixture) {
    atomic_store(&fixture->disk.allocate_failure, ENOSPC);
}

/* Fills what is there, until a compaction has failed. What the journal refuses meanwhile is not written. */
static uint64_t write_until_failed(struct journal_rig *rig, uint64_t version, size_t failures) {
    uint64_t position;
    while (journal_rig_count_logged(rig, "cannot be compacted now") < failures) {
        if (append(rig, 0, JOURNAL_OS, version)) {
            journal_pass(rig->journal, PLAIN, version++);
            journal_rig_write(rig, 0);
        } else {
            journal_write(journal_series(rig->journal, 0), &position);
            usleep(1000);
        }
    }
    return version;
}

/* Names cannot be given for a while: the old files stay as they are. */
TEST(a_compaction_that_fails_loses_nothing) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    uint64_t version = 1;
    rig->options.disk = &fixture->disk.calls;
    rig->options.compact_after_ms = 3600000; /* not by age: the test says when */
    fixture->disk.remembers = false;
    journal_rig_open(rig);
    for (size_t round = 1; round <= 3; round++) {
        for (uint64_t end = version + 500; version < end; version++)
            write_one(rig, version);
        atomic_store(&fixture->disk.rename_failure, EIO);
        starve(fixture);
        version = write_until_failed(rig, version, round);
        atomic_store(&fixture->disk.rename_failure, 0);
        for (uint64_t before = journal_rig_stats(rig).compactions;
             journal_rig_stats(rig).compactions == before; version++)
            write_one(rig, version);
        atomic_store(&fixture->disk.allocate_failure, 0);
    }
    journal_rig_close(rig);
    journal_rig_open(rig);
    check(rig, 0, version - 1);
}

/* ---- Kills ---- */

static void child(struct fixture *fixture, uint64_t from, unsigned seed) {
    struct journal_rig *rig = &fixture->rig;
    struct progress *progress = fixture->progress;
    journal_rig_open(rig);
    for (uint64_t version = from;; version++) {
        uint64_t position;
        if (!append(rig, (unsigned)version % 2, JOURNAL_OS, version) ||
            journal_write(journal_series(rig->journal, (unsigned)version % 2), &position) != JOURNAL_OK)
            _exit(2);
        atomic_store(&progress->written, version);
        journal_pass(rig->journal, PLAIN, version);
        if (rand_r(&seed) % 4000 == 0 && version > 3000) {
            atomic_store(&progress->passed, version - 3000);
            journal_pass(rig->journal, SESSION, version - 3000);
        }
    }
}

TEST(a_kill_loses_nothing) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    struct progress *progress = fixture->progress;
    unsigned seed = 3;
    rig->options.series_count = 2;
    for (unsigned round = 0; round < 25; round++) {
        uint64_t from = atomic_load(&progress->written) + 1; /* may be there, and is written again */
        uint64_t wanted = from + 200 + (unsigned)rand_r(&seed) % 6000;
        int status = 0;
        fflush(NULL);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            child(fixture, from, round);
        while (atomic_load(&progress->written) < wanted && waitpid(pid, &status, WNOHANG) == 0)
            usleep(50);
        kill(pid, SIGKILL);
        assert_true(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
        journal_rig_open(rig);
        check(rig, atomic_load(&progress->passed), atomic_load(&progress->written));
        journal_rig_close(rig);
    }
}

/* ---- Power ---- */

TEST(a_power_loss_loses_nothing_that_was_synced) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig, *after = &fixture->after;
    for (unsigned round = 1; round <= 20; round++) {
        unsigned seed = round;
        uint64_t version = 1, position = 0, durable = 0, end = 300 + (unsigned)rand_r(&seed) % 500;
        rig->options.disk = &fixture->disk.calls;
        journal_rig_open(rig);
        for (; version <= end; version++) {
            assert_true(append(rig, 0, JOURNAL_ALWAYS, version));
            position = journal_rig_write(rig, 0);
            journal_pass(rig->journal, PLAIN, version);
            if (rand_r(&seed) % 16 != 0)
                continue;
            journal_rig_wait_durable(rig, 0, position);
            durable = version;
        }
        if (round % 4 == 0) /* else the power may go before the compactor has had its turn */
            eventually(journal_rig_stats(rig).compactions > 0);
        journal_rig_set_up(after);
        faulty_disk_lose_power(&fixture->disk, rig->folder, after->folder, &seed);
        fixture->disk.boot[0]++;
        after->options.disk = &fixture->disk.calls;
        journal_rig_open(after);
        check(after, 0, durable);
        journal_rig_tear_down(after);
        fixture->disk.boot[0]--;
        journal_rig_close(rig);
        journal_rig_remove_files(rig);
        faulty_disk_free(&fixture->disk);
        faulty_disk_init(&fixture->disk, true);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(what_is_held_back_takes_little_room),
        CASE(what_is_all_needed_is_left_alone),
        CASE(a_full_disk_makes_room),
        CASE(a_compaction_that_fails_loses_nothing),
        CASE(a_kill_loses_nothing),
        CASE(a_power_loss_loses_nothing_that_was_synced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
