/* SPDX-License-Identifier: MIT */
/* A journal when power is lost: what was acknowledged is there. */
#include "tests/support/journal_fixture.h"
#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

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

int main(void) {
    const struct CMUnitTest tests[] = {
        REMEMBERING(a_sync_after_a_failed_one_survives_a_power_loss),
        REMEMBERING(names_are_synced),
        REMEMBERING(what_was_acknowledged_survives_a_power_loss),
        CASE(lost_pages_are_no_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
