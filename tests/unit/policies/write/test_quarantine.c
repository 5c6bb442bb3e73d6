/* SPDX-License-Identifier: MIT */
/*
 * The quarantine's file on disks that fail. What quarantine_add has promised to keep is there after a restart
 * and after a power loss; what it could not write is not in the list, and can be added later.
 */
#include "policies/journal/crc32c.h"
#include "policies/write/quarantine.h"
#include "tests/support/check.h"
#include "tests/support/faulty_disk.h"
#include "tests/support/journal_rig.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct fixture {
    struct journal_rig rig;   /* its folder, and memory */
    struct journal_rig after; /* what a power loss leaves */
    struct faulty_disk disk;
    struct quarantine *quarantine;
    bool skip_damaged;
    struct quarantine_damage damage;
    char error[512];
    pthread_t threads[2]; /* not joined yet */
    unsigned thread_count;
    atomic_bool has_looked;
};

static int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    journal_rig_set_up(&fixture->rig);
    faulty_disk_init(&fixture->disk, true);
    *state = fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    faulty_disk_heal(&fixture->disk);
    while (fixture->thread_count > 0)
        pthread_join(fixture->threads[--fixture->thread_count], NULL);
    quarantine_close(fixture->quarantine);
    journal_rig_tear_down(&fixture->after);
    journal_rig_tear_down(&fixture->rig);
    faulty_disk_free(&fixture->disk);
    free(fixture);
    return 0;
}

static void open_in(struct fixture *fixture, const char *folder) {
    quarantine_close(fixture->quarantine);
    fixture->quarantine = quarantine_open(&fixture->disk.calls, folder, "name space", fixture->skip_damaged,
                                          &fixture->damage, fixture->error, sizeof fixture->error);
    if (!fixture->quarantine)
        print_error("%s\n", fixture->error);
    assert_non_null(fixture->quarantine);
}

static void reopen(struct fixture *fixture) {
    open_in(fixture, fixture->rig.folder);
}

/* Opens what is there after a power loss now. */
static void reopen_after_power_loss(struct fixture *fixture, unsigned seed) {
    journal_rig_tear_down(&fixture->after);
    journal_rig_set_up(&fixture->after);
    faulty_disk_lose_power(&fixture->disk, fixture->rig.folder, fixture->after.folder, &seed);
    open_in(fixture, fixture->after.folder);
}

static struct entry entry_of(const char *key, const char *value, uint64_t version) {
    return (struct entry){.key = slice_string(key),
                          .value = slice_string(value),
                          .version = version,
                          .client_cas = version * 3,
                          .flags = 7,
                          .expires_at = 4000000000u,
                          .marks = ENTRY_STALE};
}

static bool add(struct fixture *fixture, const char *key, const char *value, uint64_t version) {
    const struct mutation refused = {.kind = MUTATION_PUT, .entry = entry_of(key, value, version)};
    return quarantine_add(fixture->quarantine, &refused, 1, "the column is too short");
}

/* A newer change of the key has reached the backend. */
static bool supersede(struct fixture *fixture, const char *key, uint64_t version) {
    struct mutation mutation = {.kind = MUTATION_PUT, .entry = entry_of(key, "newer", version)};
    return quarantine_supersede(fixture->quarantine, &mutation, 1);
}

static bool has(struct fixture *fixture, const char *key) {
    return quarantine_has(fixture->quarantine, slice_string(key));
}

struct visited {
    struct quarantine_visitor visitor; /* first */
    size_t count;
    struct entry expected;
};

static void compare(struct quarantine_visitor *self, enum mutation_kind kind, const struct entry *entry,
                    uint32_t since, const char *reason) {
    struct visited *visited = (struct visited *)self;
    const struct entry *expected = &visited->expected;
    if (!slice_equal(entry->key, expected->key))
        return;
    visited->count++;
    assert_int_equal(kind, MUTATION_PUT);
    assert_true(slice_equal(entry->value, expected->value));
    assert_int_equal(entry->version, expected->version);
    assert_int_equal(entry->client_cas, expected->client_cas);
    assert_int_equal(entry->flags, expected->flags);
    assert_int_equal(entry->expires_at, expected->expires_at);
    assert_int_equal(entry->marks, expected->marks);
    assert_true(since > 0);
    assert_string_equal(reason, "the column is too short");
}

static void assert_holds(struct fixture *fixture, const char *key, const char *value, uint64_t version) {
    struct visited visited = {.visitor = {compare}, .expected = entry_of(key, value, version)};
    quarantine_visit(fixture->quarantine, &visited.visitor);
    assert_int_equal(visited.count, 1);
}

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

/* Changes a byte of the head of the first record, keeps the record as long as it was, and gives it the CRC that it has then. */
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

/* Whoever wrote it knew the CRC, and no entry can be like that: a key of 0 or of 251 bytes, a kind or an op that is none. */
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

TEST(a_torn_record_at_the_end_is_no_damage) {
    struct fixture *fixture = *state;
    leave_three(fixture);
    spoil(fixture, 2 * record_size("value") + HEAD_SIZE);
    reopen(fixture);
    assert_int_equal(quarantine_count(fixture->quarantine), 2);
    assert_int_equal(journal_rig_count_named(&fixture->rig, "damaged-"), 0);
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

/* ---- Writes that fail ---- */

TEST(a_write_that_fails_at_any_byte_keeps_nothing) {
    struct fixture *fixture = *state;
    const long size = 56 + 3 + 10 + (long)strlen("the column is too short");
    reopen(fixture);
    assert_true(add(fixture, "before", "it", 1));
    for (long after = 0; after < size; after++) {
        atomic_store(&fixture->disk.fail_write_after, after);
        atomic_store(&fixture->disk.write_failure, after % 2 ? ENOSPC : EIO);
        assert_false(add(fixture, "key", "some value", 2));
        faulty_disk_heal(&fixture->disk);
        assert_false(has(fixture, "key"));
        assert_int_equal(quarantine_count(fixture->quarantine), 1);
        if (after % 8 == 0)
            reopen(fixture); /* what was written of it is no record */
        assert_int_equal(quarantine_count(fixture->quarantine), 1);
    }
    assert_true(add(fixture, "key", "some value", 2));
    assert_true(add(fixture, "behind", "it", 3));
    reopen(fixture);
    assert_int_equal(quarantine_count(fixture->quarantine), 3);
    assert_holds(fixture, "key", "some value", 2);
    assert_holds(fixture, "behind", "it", 3);
}

/* A shorter record takes the place of one that failed, and behind it lie remains of that. */
TEST(remains_of_a_failed_write_are_no_record) {
    struct fixture *fixture = *state;
    reopen(fixture);
    atomic_store(&fixture->disk.sync_failure, EIO);
    assert_false(add(fixture, "long", journal_rig_text(&fixture->rig, 'v', 3000), 1));
    faulty_disk_heal(&fixture->disk);
    assert_true(add(fixture, "short", "value", 2));
    reopen(fixture);
    assert_int_equal(quarantine_count(fixture->quarantine), 1);
    assert_holds(fixture, "short", "value", 2);
}

TEST(an_entry_that_could_not_be_replaced_stays) {
    struct fixture *fixture = *state;
    reopen(fixture);
    assert_true(add(fixture, "key", "old", 1));
    atomic_store(&fixture->disk.write_failure, ENOSPC);
    assert_false(add(fixture, "key", "new", 2));
    assert_holds(fixture, "key", "old", 1);
    faulty_disk_heal(&fixture->disk);
    assert_true(add(fixture, "key", "new", 2));
    reopen(fixture);
    assert_holds(fixture, "key", "new", 2);
}

/* Else a restart would show it again in place of what has taken its place. */
TEST(an_entry_stays_until_it_is_written_that_it_went) {
    struct fixture *fixture = *state;
    atomic_int *failures[] = {&fixture->disk.write_failure, &fixture->disk.sync_failure};
    uint64_t version = 0;
    reopen(fixture);
    assert_true(add(fixture, "goes", "value", 1));
    assert_true(add(fixture, "stays", "value", 2));
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        atomic_store(failures[i], EIO);
        assert_false(supersede(fixture, "goes", 3));
        assert_int_equal(quarantine_drop(fixture->quarantine, SLICE("goes"), &version), QUARANTINE_FAILED);
        faulty_disk_heal(&fixture->disk);
        assert_holds(fixture, "goes", "value", 1);
    }
    assert_true(supersede(fixture, "goes", 3));
    assert_false(has(fixture, "goes"));
    assert_true(add(fixture, "behind", "value", 4));
    reopen(fixture);
    assert_int_equal(quarantine_count(fixture->quarantine), 2);
    assert_holds(fixture, "stays", "value", 2);
    assert_holds(fixture, "behind", "value", 4);
}

/* An entry that comes takes the room with it that it needs to go. */
TEST(entries_go_though_the_disk_is_full) {
    struct fixture *fixture = *state;
    char key[32];
    uint64_t version = 0;
    for (int opened_anew = 0; opened_anew < 2; opened_anew++) {
        reopen(fixture);
        for (unsigned i = 0; i < 300; i++) {
            snprintf(key, sizeof key, "goes %u", i);
            assert_true(add(fixture, key, "value", 1));
        }
        if (opened_anew)
            reopen(fixture);
        atomic_store(&fixture->disk.full, true);
        assert_false(add(fixture, "large", journal_rig_text(&fixture->rig, 'v', 100000), 1));
        for (unsigned i = 0; i < 299; i++) {
            snprintf(key, sizeof key, "goes %u", i);
            assert_true(supersede(fixture, key, 2));
        }
        assert_int_equal(quarantine_drop(fixture->quarantine, SLICE("goes 299"), &version),
                         QUARANTINE_DROPPED);
        assert_int_equal(version, 1);
        reopen(fixture); /* and it cannot be written anew */
        assert_int_equal(quarantine_count(fixture->quarantine), 0);
        faulty_disk_heal(&fixture->disk);
    }
}

/* What lies behind the last record may be a client's bytes, and may look like a record. */
TEST(remains_that_are_whole_records_are_none) {
    struct fixture *fixture = *state;
    struct mutation both[] = {{.kind = MUTATION_PUT, .entry = entry_of("goes 1", "newer", 4)},
                              {.kind = MUTATION_PUT, .entry = entry_of("stays1", "newer", 4)}};
    reopen(fixture);
    assert_true(add(fixture, "goes 1", "value", 1));
    assert_true(add(fixture, "stays1", "value", 2));
    atomic_store(&fixture->disk.sync_failure, EIO);
    assert_false(quarantine_supersede(fixture->quarantine, both, 2));
    faulty_disk_heal(&fixture->disk);
    assert_true(supersede(fixture, "goes 1", 4)); /* as long as the first record of those that failed */
    reopen(fixture);
    assert_int_equal(quarantine_count(fixture->quarantine), 1);
    assert_holds(fixture, "stays1", "value", 2);
}

/* ---- Syncs that fail ---- */

/* The next sync would succeed without having written anything: the record has to be written again before. */
TEST(an_add_after_a_failed_sync_survives_a_power_loss) {
    struct fixture *fixture = *state;
    reopen(fixture);
    assert_true(add(fixture, "before", "it", 1));
    atomic_store(&fixture->disk.sync_failure, EIO);
    for (int i = 0; i < 3; i++)
        assert_false(add(fixture, "key", "value", 2));
    assert_false(has(fixture, "key"));
    faulty_disk_heal(&fixture->disk);
    assert_true(add(fixture, "key", "value", 2));
    for (unsigned seed = 1; seed <= 12; seed++) {
        reopen_after_power_loss(fixture, seed);
        assert_int_equal(quarantine_count(fixture->quarantine), 2);
        assert_holds(fixture, "key", "value", 2);
    }
}

/* The pages of what failed count as clean, and what comes next is on others. */
TEST(a_sync_that_failed_for_one_loses_no_other) {
    struct fixture *fixture = *state;
    const size_t heads = 3 * 56 + strlen("goes") + strlen("before") + strlen("goes"),
                 texts = strlen("value") + 2 * strlen("the column is too short");
    const char *value = journal_rig_text(&fixture->rig, 'v', 2 * DISK_PAGE - heads - texts);
    reopen(fixture);
    assert_true(add(fixture, "goes", "value", 1));
    assert_true(add(fixture, "before", value, 2));
    atomic_store(&fixture->disk.sync_failure, EIO);
    assert_false(supersede(fixture, "goes", 3)); /* its record would end where a page ends */
    faulty_disk_heal(&fixture->disk);
    assert_true(add(fixture, "behind", value, 4));
    assert_true(add(fixture, "last", value, 5));
    for (unsigned seed = 1; seed <= 12; seed++) {
        reopen_after_power_loss(fixture, seed);
        assert_holds(fixture, "before", value, 2);
        assert_holds(fixture, "behind", value, 4);
        assert_holds(fixture, "last", value, 5);
    }
}

TEST(what_went_stays_away_after_a_power_loss) {
    struct fixture *fixture = *state;
    reopen(fixture);
    assert_true(add(fixture, "goes", "value", 1));
    assert_true(add(fixture, "stays", "value", 2));
    assert_true(supersede(fixture, "goes", 3));
    for (unsigned seed = 1; seed <= 12; seed++) {
        reopen_after_power_loss(fixture, seed);
        assert_false(has(fixture, "goes"));
        assert_holds(fixture, "stays", "value", 2);
    }
}

/* Written anew at the start, the file has a name that a power loss can take back. */
TEST(nothing_counts_before_the_name_is_on_the_disk) {
    struct fixture *fixture = *state;
    reopen(fixture);
    assert_true(add(fixture, "before", "value", 1));
    atomic_store(&fixture->disk.folder_failure, EIO);
    reopen(fixture);
    assert_holds(fixture, "before", "value", 1);
    assert_false(add(fixture, "key", "value", 2));
    assert_false(has(fixture, "key"));
    faulty_disk_heal(&fixture->disk);
    assert_true(add(fixture, "key", "value", 2));
    for (unsigned seed = 1; seed <= 12; seed++) {
        reopen_after_power_loss(fixture, seed);
        assert_holds(fixture, "before", "value", 1);
        assert_holds(fixture, "key", "value", 2);
    }
}

/* ---- A disk that hangs ---- */

static void run(struct fixture *fixture, void *(*body)(void *)) {
    assert_int_equal(pthread_create(&fixture->threads[fixture->thread_count], NULL, body, fixture), 0);
    fixture->thread_count++;
}

static void *add_another(void *argument) {
    add(argument, "another", "value", 2);
    return NULL;
}

static void *let_it_go(void *argument) {
    supersede(argument, "key", 2);
    return NULL;
}

static void count_visited(struct quarantine_visitor *self, enum mutation_kind kind, const struct entry *entry,
                          uint32_t since, const char *reason) {
    (void)kind, (void)entry, (void)since, (void)reason;
    ((struct visited *)self)->count++;
}

/* All that readers and commands do. */
static void *look(void *argument) {
    struct fixture *fixture = argument;
    struct visited visited = {.visitor = {count_visited}};
    struct quarantine_retry retry;
    bool deleted;
    bool found = has(fixture, "key") && !has(fixture, "another");
    struct entry_copy *copy = quarantine_find(fixture->quarantine, slice_string("key"), &deleted);
    quarantine_visit(fixture->quarantine, &visited.visitor);
    bool retries = quarantine_ask_retry(fixture->quarantine, slice_string("key")) == 1 &&
                   quarantine_next_retries(fixture->quarantine, 1, 1000, &retry) == 1;
    if (retries)
        entry_copy_drop(retry.copy);
    atomic_store(&fixture->has_looked, found && copy && visited.count == 1 && retries);
    entry_copy_drop(copy);
    return NULL;
}

static void look_while(struct fixture *fixture, void *(*change)(void *)) {
    reopen(fixture);
    assert_true(add(fixture, "key", "value", 1));
    unsigned long syncs = atomic_load(&fixture->disk.syncs);
    atomic_store(&fixture->disk.hangs, true);
    run(fixture, change);
    eventually(atomic_load(&fixture->disk.syncs) > syncs);
    run(fixture, look);
    eventually(atomic_load(&fixture->has_looked));
    faulty_disk_heal(&fixture->disk);
}

TEST(whoever_looks_does_not_wait_for_what_comes_to_be_on_the_disk) {
    struct fixture *fixture = *state;
    look_while(fixture, add_another);
    eventually(has(fixture, "another"));
    assert_holds(fixture, "key", "value", 1);
}

TEST(whoever_looks_does_not_wait_for_what_goes_either) {
    struct fixture *fixture = *state;
    look_while(fixture, let_it_go);
    eventually(!has(fixture, "key"));
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
        assert_int_equal(journal_rig_count_named(&fixture->rig, "quarantine-"),
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
        CASE(a_torn_record_at_the_end_is_no_damage),
        CASE(a_damaged_file_is_looked_at_as_a_whole),
        CASE(all_are_dropped_with_one_sync),
        CASE(many_are_added_with_one_sync),
        CASE(all_of_many_are_kept_or_none),
        CASE(a_file_of_few_entries_stays_short),
        CASE(a_long_file_that_cannot_be_written_anew_goes_on),
        CASE(retries_are_taken_in_order_and_once),
        CASE(a_write_that_fails_at_any_byte_keeps_nothing),
        CASE(remains_of_a_failed_write_are_no_record),
        CASE(an_entry_that_could_not_be_replaced_stays),
        CASE(an_entry_stays_until_it_is_written_that_it_went),
        CASE(entries_go_though_the_disk_is_full),
        CASE(remains_that_are_whole_records_are_none),
        CASE(an_add_after_a_failed_sync_survives_a_power_loss),
        CASE(a_sync_that_failed_for_one_loses_no_other),
        CASE(what_went_stays_away_after_a_power_loss),
        CASE(nothing_counts_before_the_name_is_on_the_disk),
        CASE(whoever_looks_does_not_wait_for_what_comes_to_be_on_the_disk),
        CASE(whoever_looks_does_not_wait_for_what_goes_either),
        CASE(a_file_that_cannot_be_written_anew_stays),
        CASE(a_folder_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
