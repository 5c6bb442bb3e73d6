/* SPDX-License-Identifier: MIT */
/*
 * The quarantine and its file, also where that is damaged. What quarantine_add has promised to keep is there after a
 * restart.
 */
#include "policies/write/quarantine_note.h"
#include "tests/support/quarantine_fixture.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- In good weather ---- */

TEST(every_field_survives_a_restart) {
    struct fixture *fixture = *state;
    reopen(fixture);
    assert_true(add(fixture, "a", "value", 5));
    assert_true(add(fixture, "b", "", 6));
    for (int again = 0; again < 2; again++) {
        reopen(fixture);
        assert_int_equal(quarantine_count(fixture->quarantine), 2);
        assert_int_equal(quarantine_high_version(fixture->quarantine), 6);
        assert_holds(fixture, "a", "value", 5);
        assert_holds(fixture, "b", "", 6);
    }
}

TEST(what_was_added_survives_a_power_loss) {
    struct fixture *fixture = *state;
    const char *value = journal_rig_text(&fixture->rig, 'v', 6000); /* pages */
    reopen(fixture);
    for (unsigned seed = 1; seed <= 12; seed++) {
        char key[16];
        snprintf(key, sizeof key, "key %u", seed);
        assert_true(add(fixture, key, value, seed));
    }
    for (unsigned seed = 1; seed <= 12; seed++) {
        reopen_after_power_loss(fixture, seed);
        assert_int_equal(quarantine_count(fixture->quarantine), 12);
        assert_holds(fixture, "key 12", value, 12);
    }
}

/* ---- Damage ---- */

enum { HEAD_SIZE = 56 };

/* Turns a byte of the file. */
static void spoil(struct fixture *fixture, size_t at) {
    struct journal_rig *rig = &fixture->rig;
    size_t size;
    char *data = journal_rig_read_file(rig, "quarantine-name%20space.log", &size);
    assert_true(at < size);
    data[at] ^= 0x55;
    journal_rig_write_file(rig, "quarantine-name%20space.log", data, size);
}

static void leave_three(struct fixture *fixture) {
    reopen(fixture);
    assert_true(add(fixture, "a", "value", 5));
    assert_true(add(fixture, "b", "value", 6));
    assert_true(add(fixture, "c", "value", 7));
    quarantine_close(fixture->quarantine);
    fixture->quarantine = NULL;
}

static size_t record_size(const char *value) {
    return HEAD_SIZE + 1 + strlen(value) + strlen("the column is too short");
}

/* Changes a byte of the head of the first record, keeps the record as long as it was, and gives it the CRC that it has
 * then. */
static void forge(struct fixture *fixture, size_t at, uint8_t says) {
    struct journal_rig *rig = &fixture->rig;
    size_t size, length = 0;
    uint64_t value_size;
    char *data = journal_rig_read_file(rig, "quarantine-name%20space.log", &size);
    uint8_t key_size = (uint8_t)data[10];
    uint32_t reason_size;
    memcpy(&reason_size, data + 24, sizeof reason_size);
    memcpy(&value_size, data + 32, sizeof value_size);
    length = HEAD_SIZE + key_size + value_size + reason_size;
    data[at] = (char)says;
    value_size = length - HEAD_SIZE - (uint8_t)data[10] - reason_size;
    memcpy(data + 32, &value_size, sizeof value_size);
    uint32_t crc = crc32c(0, data + 8, length - 8);
    memcpy(data + 4, &crc, sizeof crc);
    journal_rig_write_file(rig, "quarantine-name%20space.log", data, size);
}

/* Wherever a record has decayed, in its head or behind: what follows it is not lost in silence. */
TEST(a_record_that_decays_before_others_refuses_the_start) {
    struct fixture *fixture = *state;
    char offset[64];
    size_t size = record_size("value");
    for (size_t at = size; at < 2 * size; at += 7) {
        leave_three(fixture);
        spoil(fixture, at);
        fixture->quarantine = quarantine_open(&fixture->disk.calls, fixture->rig.folder, "name space", false,
                                              &fixture->damage, fixture->error, sizeof fixture->error);
        assert_null(fixture->quarantine);
        snprintf(offset, sizeof offset, "at offset %zu (%zu bytes", size, size);
        assert_non_null(strstr(fixture->error, "quarantine-name%20space.log is damaged"));
        assert_non_null(strstr(fixture->error, offset));
        assert_non_null(strstr(fixture->error, "--recover=skip-damaged"));
        journal_rig_remove_files(&fixture->rig);
    }
}

/* Whoever wrote it knew the CRC, and no entry can be like that: a key of 0 or of 251 bytes, a kind or an op that is
 * none. */
TEST(a_record_that_says_what_none_can_say_is_no_record) {
    static const struct {
        size_t at;
        uint8_t says;
    } impossible[] = {{8, 0}, {8, 3}, {9, MUTATION_DELETE + 1}, {10, 0}, {10, ENTRY_KEY_MAX + 1}};
    struct fixture *fixture = *state;
    char value[ENTRY_KEY_MAX + 8]; /* so that the longer key lies in the record, too */
    memset(value, 'v', sizeof value);
    value[sizeof value - 1] = '\0';
    for (size_t i = 0; i < sizeof impossible / sizeof *impossible; i++) {
        reopen(fixture);
        assert_true(add(fixture, "a", value, 5) && add(fixture, "b", "value", 6));
        quarantine_close(fixture->quarantine);
        forge(fixture, impossible[i].at, impossible[i].says);
        fixture->quarantine = quarantine_open(&fixture->disk.calls, fixture->rig.folder, "name space", false,
                                              &fixture->damage, fixture->error, sizeof fixture->error);
        assert_null(fixture->quarantine);
        assert_int_equal(fixture->damage.offset, 0);
        journal_rig_remove_files(&fixture->rig);
    }
}

TEST(what_follows_damage_is_kept_where_that_is_wanted) {
    struct fixture *fixture = *state;
    leave_three(fixture);
    spoil(fixture, 3);
    spoil(fixture, record_size("value") + HEAD_SIZE);
    fixture->skip_damaged = true;
    reopen(fixture);
    assert_int_equal(fixture->damage.places, 1); /* side by side */
    assert_int_equal(fixture->damage.offset, 0);
    assert_int_equal(fixture->damage.bytes, 2 * record_size("value"));
    assert_int_equal(quarantine_count(fixture->quarantine), 1);
    assert_holds(fixture, "c", "value", 7);
    assert_int_equal(journal_rig_count_named(&fixture->rig, "damaged-"), 1);
    fixture->skip_damaged = false;
    reopen(fixture); /* the next start needs no option */
    assert_holds(fixture, "c", "value", 7);
}

/* ---- What is missing ---- */

static void path_of(const struct fixture *fixture, const char *kind, char ret_path[512]) {
    snprintf(ret_path, 512, "%s/quarantine-name%%20space.%s", fixture->rig.folder, kind);
}

static void remove_file(const struct fixture *fixture, const char *kind) {
    char path[512];
    path_of(fixture, kind, path);
    assert_int_equal(unlink(path), 0);
}

/* By an opening and by whoever looks, in the same words. */
static void assert_refused(struct fixture *fixture, const char *said) {
    struct quarantine_summary summary;
    char path[512], told[600];
    path_of(fixture, "log", path);
    quarantine_close(fixture->quarantine);
    fixture->quarantine = quarantine_open(&fixture->disk.calls, fixture->rig.folder, "name space", false,
                                          &fixture->damage, fixture->error, sizeof fixture->error);
    assert_null(fixture->quarantine);
    assert_non_null(strstr(fixture->error, said));
    assert_true(quarantine_look(&fixture->disk.calls, path, &summary));
    quarantine_damage_refuses(path, &summary.damage, told, sizeof told);
    assert_string_equal(told, fixture->error);
}

static void assert_skipped(struct fixture *fixture, size_t left, size_t set_aside) {
    fixture->skip_damaged = true;
    reopen(fixture);
    fixture->skip_damaged = false;
    assert_true(quarantine_is_damaged(&fixture->damage));
    assert_int_equal(journal_rig_count_named(&fixture->rig, "damaged-"), set_aside);
    assert_int_equal(quarantine_count(fixture->quarantine), left);
    reopen(fixture); /* the next start needs no option */
    assert_false(quarantine_is_damaged(&fixture->damage));
    assert_int_equal(quarantine_count(fixture->quarantine), left);
}

TEST(what_was_synced_at_the_end_is_missed) {
    struct fixture *fixture = *state;
    char path[512], said[160];
    size_t size = record_size("value");
    path_of(fixture, "log", path);
    leave_three(fixture);
    spoil(fixture, 2 * size + HEAD_SIZE);
    snprintf(said, sizeof said, "records that were synced are missing at offset %zu (%zu bytes)", 2 * size,
             size);
    assert_refused(fixture, said);
    assert_skipped(fixture, 2, 1);
    quarantine_close(fixture->quarantine);
    fixture->quarantine = NULL;
    assert_int_equal(truncate(path, 0), 0);
    assert_refused(fixture, "missing at offset 0");
    assert_skipped(fixture, 0, 2);
}

/* As an earlier version does, which knows of no note. */
TEST(a_file_that_somebody_else_has_written_anew_misses_nothing) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    size_t size;
    leave_three(fixture);
    char *data = journal_rig_read_file(rig, "quarantine-name%20space.log", &size);
    journal_rig_write_file(rig, "quarantine-name%20space.log.new", data, record_size("value"));
    char from[512], to[512];
    path_of(fixture, "log.new", from);
    path_of(fixture, "log", to);
    assert_int_equal(rename(from, to), 0);
    reopen(fixture);
    assert_false(quarantine_is_damaged(&fixture->damage));
    assert_int_equal(quarantine_count(fixture->quarantine), 1);
}

/* And again: the second of two gets the number that the first left. */
TEST(a_file_that_got_the_number_of_another_misses_nothing) {
    struct fixture *fixture = *state;
    const struct journal_disk *disk = &fixture->disk.calls;
    char path[512];
    leave_three(fixture);
    path_of(fixture, "note", path);
    struct quarantine_note note = quarantine_note_read(disk, path);
    if (note.born_us == 0)
        skip(); /* this file system does not know */
    note.end += record_size("value");
    assert_true(quarantine_note_write(disk, path, &note, false));
    assert_refused(fixture, "records that were synced are missing");
    note.born_us--;
    assert_true(quarantine_note_write(disk, path, &note, false));
    reopen(fixture);
    assert_false(quarantine_is_damaged(&fixture->damage));
    assert_int_equal(quarantine_count(fixture->quarantine), 3);
}

TEST(a_file_that_is_gone_is_missed) {
    struct fixture *fixture = *state;
    char path[512];
    leave_three(fixture);
    remove_file(fixture, "log");
    for (int i = 0; i < 2; i++)
        assert_refused(fixture, "quarantine-name%20space.log is missing: it held 3 entries");
    path_of(fixture, "log", path);
    assert_int_equal(access(path, F_OK), -1);
    assert_skipped(fixture, 0, 0);
}

TEST(one_of_which_nothing_was_needed_is_not_missed) {
    struct fixture *fixture = *state;
    uint64_t version;
    reopen(fixture);
    assert_true(add(fixture, "a", "value", 5) && add(fixture, "b", "value", 6));
    assert_true(supersede(fixture, "a", 6));
    assert_int_equal(quarantine_drop(fixture->quarantine, SLICE("b"), &version), QUARANTINE_DROPPED);
    quarantine_close(fixture->quarantine);
    fixture->quarantine = NULL;
    remove_file(fixture, "log");
    reopen(fixture);
    assert_false(quarantine_is_damaged(&fixture->damage));
}

/* Shorter than it was, and the note with it. */
TEST(a_file_that_was_written_anew_misses_nothing) {
    struct fixture *fixture = *state;
    uint64_t version;
    reopen(fixture);
    for (unsigned i = 0; i < 20; i++)
        assert_true(add(fixture, "a", "value", 5 + i) && add(fixture, "b", "value", 5 + i));
    assert_int_equal(quarantine_drop(fixture->quarantine, SLICE("b"), &version), QUARANTINE_DROPPED);
    for (int i = 0; i < 3; i++) {
        reopen(fixture);
        assert_false(quarantine_is_damaged(&fixture->damage));
        assert_int_equal(quarantine_count(fixture->quarantine), 1);
    }
    for (unsigned i = 0; i < 20; i++)
        assert_true(add(fixture, "a", "value", 50 + i));
    atomic_store(&fixture->disk.fail_write_after, (long)record_size("value")); /* what the new file takes */
    atomic_store(&fixture->disk.write_failure, EIO);
    reopen(fixture);
    faulty_disk_heal(&fixture->disk);
    reopen(fixture);
    assert_false(quarantine_is_damaged(&fixture->damage));
    assert_int_equal(quarantine_count(fixture->quarantine), 1);
}

/* The note of a file that is about to be replaced says nothing, on disk. */
TEST(a_power_loss_misses_nothing) {
    struct fixture *fixture = *state;
    char key[16];
    reopen(fixture);
    for (unsigned i = 0; i < 60; i++) {
        snprintf(key, sizeof key, "key %u", i % 7);
        assert_true(add(fixture, key, "value", 5 + i));
        if (i % 5 == 0)
            reopen(fixture);
        quarantine_close(fixture->quarantine);
        fixture->quarantine = NULL;
        reopen_after_power_loss(fixture, i); /* asserts that it opens */
        assert_false(quarantine_is_damaged(&fixture->damage));
        reopen(fixture);
    }
}

TEST(a_torn_record_at_the_end_is_no_damage) {
    struct fixture *fixture = *state;
    leave_three(fixture);
    reopen(fixture);
    assert_false(fixture->damage.cut_short);
    remove_file(fixture, "note"); /* which says that it was synced */
    spoil(fixture, 2 * record_size("value") + HEAD_SIZE);
    reopen(fixture);
    assert_int_equal(quarantine_count(fixture->quarantine), 2);
    assert_int_equal(journal_rig_count_named(&fixture->rig, "damaged-"), 0);
    assert_true(fixture->damage.cut_short);
    assert_int_equal(fixture->damage.end, 2 * record_size("value"));
    reopen(fixture); /* it is gone */
    assert_false(fixture->damage.cut_short);
    assert_int_equal(quarantine_count(fixture->quarantine), 2);
}

TEST(a_damaged_file_is_looked_at_as_a_whole) {
    struct fixture *fixture = *state;
    struct quarantine_summary summary;
    char path[512];
    leave_three(fixture);
    spoil(fixture, 3);
    snprintf(path, sizeof path, "%s/quarantine-name%%20space.log", fixture->rig.folder);
    assert_true(quarantine_look(&fixture->disk.calls, path, &summary));
    assert_int_equal(summary.entries, 2);
}

/* ---- Dropping all ---- */

struct counted {
    struct quarantine_visitor visitor; /* first */
    size_t count;
};

static void count_one(struct quarantine_visitor *self, enum mutation_kind kind, const struct entry *entry,
                      uint32_t since, const char *reason) {
    (void)kind, (void)entry, (void)since, (void)reason;
    ((struct counted *)self)->count++;
}

TEST(all_are_dropped_with_one_sync) {
    enum { COUNT = 300 };
    struct fixture *fixture = *state;
    struct counted counted = {.visitor = {count_one}};
    char key[16];
    reopen(fixture);
    for (unsigned i = 0; i < COUNT; i++) {
        snprintf(key, sizeof key, "key %u", i);
        assert_true(add(fixture, key, "value", i + 1));
    }
    unsigned long syncs = atomic_load(&fixture->disk.syncs);
    atomic_store(&fixture->disk.sync_failure, EIO);
    assert_int_equal(quarantine_drop_all(fixture->quarantine, &counted.visitor), QUARANTINE_FAILED);
    assert_int_equal(counted.count, 0);
    assert_int_equal(quarantine_count(fixture->quarantine), COUNT);
    atomic_store(&fixture->disk.sync_failure, 0);
    assert_int_equal(quarantine_drop_all(fixture->quarantine, &counted.visitor), QUARANTINE_DROPPED);
    assert_int_equal(counted.count, COUNT);
    assert_true(atomic_load(&fixture->disk.syncs) <= syncs + 2);
    assert_int_equal(quarantine_count(fixture->quarantine), 0);
    assert_int_equal(quarantine_drop_all(fixture->quarantine, &counted.visitor), QUARANTINE_NONE);
    reopen(fixture);
    assert_int_equal(quarantine_count(fixture->quarantine), 0);
}

/* ---- Many ---- */

/* Refused rows of one batch share a sync, and so do those that go. */
TEST(many_are_added_with_one_sync) {
    enum { ROWS = 5000 };
    struct fixture *fixture = *state;
    struct mutation *mutations = calloc(ROWS, sizeof *mutations);
    char(*keys)[16] = calloc(ROWS, sizeof *keys);
    assert_true(mutations && keys);
    reopen(fixture);
    for (size_t i = 0; i < ROWS; i++) {
        snprintf(keys[i], sizeof keys[i], "key %zu", i * 7919 % ROWS);
        mutations[i] = (struct mutation){.kind = MUTATION_PUT, .entry = entry_of(keys[i], "value", i + 1)};
        mutations[i].refusal = i == 1 ? "too large" : NULL;
    }
    unsigned long before = atomic_load(&fixture->disk.syncs);
    assert_true(quarantine_add(fixture->quarantine, mutations, ROWS, "the column is too short"));
    assert_int_equal(atomic_load(&fixture->disk.syncs) - before, 1);
    assert_int_equal(quarantine_count(fixture->quarantine), ROWS);
    reopen(fixture);
    assert_int_equal(quarantine_count(fixture->quarantine), ROWS);
    assert_holds(fixture, "key 0", "value", 1);
    assert_true(quarantine_bytes(fixture->quarantine) > ROWS * 56);
    before = atomic_load(&fixture->disk.syncs);
    assert_true(quarantine_supersede(fixture->quarantine, mutations, ROWS - 1));
    assert_in_range(atomic_load(&fixture->disk.syncs) - before, 1,
                    2); /* one more if the file is written anew */
    assert_int_equal(quarantine_count(fixture->quarantine), 1);
    assert_true(has(fixture, keys[ROWS - 1]));
    free(mutations);
    free(keys);
}

TEST(all_of_many_are_kept_or_none) {
    struct fixture *fixture = *state;
    struct mutation both[] = {{.kind = MUTATION_PUT, .entry = entry_of("one", "value", 1)},
                              {.kind = MUTATION_PUT, .entry = entry_of("two", "value", 2)}};
    reopen(fixture);
    atomic_store(&fixture->disk.sync_failure, EIO);
    assert_false(quarantine_add(fixture->quarantine, both, 2, "the column is too short"));
    faulty_disk_heal(&fixture->disk);
    assert_int_equal(quarantine_count(fixture->quarantine), 0);
    assert_int_equal(quarantine_bytes(fixture->quarantine), 0);
    assert_true(quarantine_add(fixture->quarantine, both, 2, "the column is too short"));
    reopen(fixture);
    assert_int_equal(quarantine_count(fixture->quarantine), 2);
}

/* A client may have one key refused over and over. */
TEST(a_file_of_few_entries_stays_short) {
    struct fixture *fixture = *state;
    const char *value = journal_rig_text(&fixture->rig, 'v', 100000);
    uint64_t version = 1;
    char path[512];
    struct stat status;
    reopen(fixture);
    for (; version <= 100; version++)
        assert_true(add(fixture, "key", value, version));
    for (; version <= 200; version++) { /* and goes and comes */
        assert_true(add(fixture, "other", value, version));
        assert_true(supersede(fixture, "other", version));
    }
    snprintf(path, sizeof path, "%s/quarantine-name%%20space.log", fixture->rig.folder);
    assert_int_equal(stat(path, &status), 0);
    assert_true(status.st_size < 2000000);
    reopen_after_power_loss(fixture, 1);
    assert_int_equal(quarantine_count(fixture->quarantine), 1);
    assert_holds(fixture, "key", value, 100);
}

/* While the file cannot be written anew it goes on, and what is added counts. */
TEST(a_long_file_that_cannot_be_written_anew_goes_on) {
    struct fixture *fixture = *state;
    const char *value = journal_rig_text(&fixture->rig, 'v', 100000);
    reopen(fixture);
    atomic_store(&fixture->disk.rename_failure, EIO);
    for (uint64_t version = 1; version <= 30; version++)
        assert_true(add(fixture, "key", value, version));
    faulty_disk_heal(&fixture->disk);
    reopen_after_power_loss(fixture, 1);
    assert_holds(fixture, "key", value, 30);
}

TEST(retries_are_taken_in_order_and_once) {
    struct fixture *fixture = *state;
    struct quarantine_retry retries[4];
    uint64_t version;
    reopen(fixture);
    for (unsigned i = 0; i < 6; i++)
        assert_true(add(fixture, (const char *[]){"a", "b", "c", "d", "e", "f"}[i], "value", i + 1));
    assert_int_equal(quarantine_ask_retry(fixture->quarantine, SLICE("e")), 1);
    assert_int_equal(quarantine_ask_retry(fixture->quarantine, SLICE("b")), 1);
    assert_int_equal(quarantine_ask_retry(fixture->quarantine, SLICE("none")), 0);
    assert_int_equal(quarantine_retries(fixture->quarantine), 2);
    assert_int_equal(quarantine_next_retries(fixture->quarantine, 1, 1000, retries), 1);
    assert_true(slice_equal(retries[0].copy->entry.key, SLICE("b")));
    entry_copy_drop(retries[0].copy);
    assert_int_equal(quarantine_drop(fixture->quarantine, SLICE("e"), &version), QUARANTINE_DROPPED);
    assert_int_equal(quarantine_retries(fixture->quarantine), 0);
    assert_int_equal(quarantine_next_retries(fixture->quarantine, 4, 1000, retries), 0);
    assert_int_equal(quarantine_ask_retry(fixture->quarantine, slice_of("", 0)), 5);
    assert_int_equal(quarantine_next_retries(fixture->quarantine, 4, 10, retries), 2); /* 5 bytes each */
    assert_true(slice_equal(retries[0].copy->entry.key, SLICE("a")));
    assert_true(slice_equal(retries[1].copy->entry.key, SLICE("b")));
    entry_copy_drop(retries[0].copy);
    entry_copy_drop(retries[1].copy);
    assert_int_equal(quarantine_next_retries(fixture->quarantine, 4, 1000, retries), 3);
    for (unsigned i = 0; i < 3; i++)
        entry_copy_drop(retries[i].copy);
    assert_int_equal(quarantine_retries(fixture->quarantine), 0);
}

/* ---- Opening ---- */

TEST(a_file_that_cannot_be_written_anew_stays) {
    struct fixture *fixture = *state;
    struct faulty_disk *disk = &fixture->disk;
    atomic_int *failures[] = {&disk->write_failure, &disk->sync_failure, &disk->rename_failure};
    reopen(fixture);
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        char key[16];
        snprintf(key, sizeof key, "key %zu", i);
        assert_true(add(fixture, key, "value", i + 1));
        atomic_store(failures[i], EIO);
        reopen(fixture);
        assert_int_equal(journal_rig_count_named(&fixture->rig, "quarantine-name%20space.log"),
                         1); /* and no other beside it */
        faulty_disk_heal(disk);
        assert_int_equal(quarantine_count(fixture->quarantine), i + 1);
        assert_holds(fixture, key, "value", i + 1);
    }
}

TEST(a_folder_that_is_not_there_is_named) {
    struct fixture *fixture = *state;
    assert_null(quarantine_open(&fixture->disk.calls, "/proc/none", "space", false, &fixture->damage,
                                fixture->error, sizeof fixture->error));
    assert_string_equal(fixture->error,
                        "The quarantine file /proc/none/quarantine-space.log cannot be opened: "
                        "No such file or directory.");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(every_field_survives_a_restart),
        CASE(what_was_added_survives_a_power_loss),
        CASE(a_record_that_decays_before_others_refuses_the_start),
        CASE(a_record_that_says_what_none_can_say_is_no_record),
        CASE(what_follows_damage_is_kept_where_that_is_wanted),
        CASE(what_was_synced_at_the_end_is_missed),
        CASE(a_file_that_somebody_else_has_written_anew_misses_nothing),
        CASE(a_file_that_got_the_number_of_another_misses_nothing),
        CASE(a_file_that_is_gone_is_missed),
        CASE(one_of_which_nothing_was_needed_is_not_missed),
        CASE(a_file_that_was_written_anew_misses_nothing),
        CASE(a_power_loss_misses_nothing),
        CASE(a_torn_record_at_the_end_is_no_damage),
        CASE(a_damaged_file_is_looked_at_as_a_whole),
        CASE(all_are_dropped_with_one_sync),
        CASE(many_are_added_with_one_sync),
        CASE(all_of_many_are_kept_or_none),
        CASE(a_file_of_few_entries_stays_short),
        CASE(a_long_file_that_cannot_be_written_anew_goes_on),
        CASE(retries_are_taken_in_order_and_once),
        CASE(a_file_that_cannot_be_written_anew_stays),
        CASE(a_folder_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
