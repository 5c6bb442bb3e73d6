/* SPDX-License-Identifier: MIT */
/* Recovery of more than memory holds, and of much. */
#include "tests/support/recovery_rig.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

RIG_TEST(the_journal_may_hold_more_than_memory, write_behind) {
    char value[3000];
    rig->options.cache.item_max = 8192;
    rig->spaces[0].flush_batch = 1000000;
    rig_start(rig);
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = 0;
    for (int i = 0; i < 3000; i++)
        rig_store(rig, "set key%d %s", i, value);
    crash(rig);
    rig->options.cache.memory_limit = 4 << 20;
    rig_start(rig);
    rig_do(rig, "sync");
    assert_int_equal(memory_store_rows(rig->store), 3000);
}

enum { LARGE = 3000 }; /* bytes of a value of which a few hundred are more than memory */

/* A command on any worker. */
static void expect_on(struct tier_rig *rig, unsigned worker, const char *command, const char *reply) {
    struct rig_call *call = rig_begin(rig, worker, command);
    assert_string_equal(rig_finish(call), reply);
    rig_free(call);
}

/* set KEY with a large value that begins with `begin`. */
static void set_large(struct tier_rig *rig, unsigned worker, const char *key, const char *begin) {
    char command[LARGE + 100], value[LARGE];
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = 0;
    memcpy(value, begin, strlen(begin));
    snprintf(command, sizeof command, "set %s %s", key, value);
    expect_on(rig, worker, command, "STORED");
}

/* Two workers, a store that forgets what it deleted, and nothing flushed unless the test asks. */
static void use_large_journal(struct tier_rig *rig) {
    memory_store_forget_deletes(rig->store);
    rig->options.workers = 2;
    rig->options.cache.item_max = 8192;
    rig->options.cache.memory_limit = 64 << 20;
    rig->spaces[0].flush_batch = 1000000;
    rig->spaces[0].flush_delay = 3600000;
}

/* What the journal has is read again, into memory that cannot hold it. */
static void crash_into_small_memory(struct tier_rig *rig) {
    go_back_to_kept(rig);
    rig->options.cache.memory_limit = 4 << 20;
    rig_start(rig);
}

/* As if the low-water version had not been noted since the start: another backend was away, say. */
static void forget_low_water(struct tier_rig *rig) {
    shell("rm %s/low-water", kept_of(rig).path);
}

/* Its put is in a file that is read after memory was full, its delete in one that is read before. */
RIG_TEST(what_was_deleted_stays_deleted_if_the_journal_is_larger_than_memory, write_behind) {
    char command[64];
    use_large_journal(rig);
    rig_start(rig);
    for (int i = 0; i < 50; i++) {
        snprintf(command, sizeof command, "set dead%d 1", i);
        expect_on(rig, 1, command, "STORED");
    }
    rig_do(rig, "sync");
    for (int i = 0; i < 50; i++) {
        snprintf(command, sizeof command, "delete dead%d", i);
        expect_on(rig, 0, command, "DELETED");
    }
    for (int i = 0; i < 3000; i++) {
        snprintf(command, sizeof command, "key%d", i);
        set_large(rig, 0, command, "");
    }
    keep_journal(rig); /* with all that was ever written: what is flushed may be recycled */
    forget_low_water(rig);
    rig_do(rig, "sync");
    crash_into_small_memory(rig);
    for (int i = 0; i < 50; i++) {
        snprintf(command, sizeof command, "get dead%d", i);
        rig_expect(rig, command, "MISS");
    }
    rig_do(rig, "sync");
    assert_int_equal(memory_store_rows(rig->store), 3000);
}

/* What waits beside the cache until all is read has its bound too, and leaves keys to a later pass as well. */
RIG_TEST(all_touches_come_back_if_they_are_more_than_can_be_noted, write_behind) {
    enum { KEYS = 12000 };
    char text[64];
    uint32_t far = (uint32_t)time(NULL) + 100000;
    use_large_journal(rig);
    rig_start(rig);
    for (int i = 0; i < KEYS; i++)
        rig_store(rig, "set key%d %d 5000", i, i);
    rig_do(rig, "sync");
    for (int i = 0; i < 2 * KEYS; i++) {
        snprintf(text, sizeof text, "touch key%d %u", i % KEYS, far + (uint32_t)i);
        expect_on(rig, (unsigned)i % 2, text, "TOUCHED");
    }
    crash(rig);
    rig->options.cache.memory_limit = 4 << 20;
    rig_start(rig);
    rig_do(rig, "sync");
    for (int i = 0; i < KEYS; i++) {
        snprintf(text, sizeof text, "key%d", i);
        assert_int_equal(rig_row_expiry(rig, text), far + (uint32_t)(KEYS + i));
    }
}

/* Lives that have ended, unless a touch has prolonged them, in whatever pass the keys come. */
RIG_TEST(what_was_touched_in_time_is_alive_if_the_journal_is_larger_than_memory, write_behind) {
    enum { KEYS = 2000 };
    char key[32], command[64], value[LARGE];
    use_large_journal(rig);
    rig_start(rig);
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = 0;
    for (int i = 0; i < KEYS; i++) {
        rig_store(rig, "set key%d %s " LIFE_TEXT, i, value);
        snprintf(command, sizeof command, "touch key%d 5000", i);
        if (i % 2)
            rig_expect(rig, command, "TOUCHED");
    }
    keep_journal(rig);
    pass_a_life();
    crash_into_small_memory(rig);
    rig_do(rig, "sync");
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "key%d", i);
        snprintf(command, sizeof command, "get %s", key);
        assert_int_equal(strcmp(rig_do(rig, command), "MISS") != 0, i % 2);
        rig_assert_row(rig, key, i % 2 ? value : NULL);
    }
}

static void set_and_touch(struct tier_rig *rig, int keys) {
    char key[32], command[64];
    for (int i = 0; i < keys; i++) {
        snprintf(key, sizeof key, "key%d", i);
        set_large(rig, (unsigned)i % 2, key, "");
        snprintf(command, sizeof command, "touch %s 5000", key);
        expect_on(rig, (unsigned)i % 2, command, "TOUCHED");
    }
}

/* Where the keys just fit, memory is full when the touches are applied, and puts are written whose touches the store
 * has already. This server has written those: it accuses no other of it. */
RIG_TEST(what_the_store_has_is_explained_if_the_journal_is_larger_than_memory, write_behind) {
    for (int keys = 1150; keys <= 1350; keys += 50) {
        renew(rig, JOURNAL_OS);
        use_large_journal(rig);
        rig_start(rig);
        set_and_touch(rig, keys);
        keep_journal(rig);
        forget_low_water(rig);
        rig_do(rig, "sync");
        crash_into_small_memory(rig);
        rig_do(rig, "sync");
        assert_int_equal(memory_store_rows(rig->store), keys);
        assert_int_equal(rig_stat(rig, "store:superseded_unexplained"), 0);
    }
}

/* The life that a touch has prolonged ends while the journal is read: its put was alive when it was read, and is over
 * when the touch is applied. */
RIG_TEST(what_was_touched_in_time_is_alive_if_it_ends_during_recovery, write_behind) {
    enum { KEYS = 1500 };
    char command[64];
    for (unsigned early_ms = 1; early_ms < 50; early_ms *= 3) {
        renew(rig, JOURNAL_OS);
        use_large_journal(rig);
        rig_start(rig);
        uint32_t end = (uint32_t)time(NULL) + LIFE;
        for (int i = 0; i < KEYS; i++) {
            rig_store(rig, "set key%d 1 %u", i, end);
            snprintf(command, sizeof command, "touch key%d 5000", i);
            rig_expect(rig, command, "TOUCHED");
        }
        crash(rig);
        pass_until_us((uint64_t)end * US_PER_SECOND - early_ms * US_PER_MS);
        rig_start(rig);
        pass_until_us((uint64_t)end * US_PER_SECOND);
        for (int i = 0; i < KEYS; i++) {
            snprintf(command, sizeof command, "get key%d", i);
            rig_expect(rig, command, "1");
        }
    }
}

static void *pass_a_life_during_an_apply(void *argument) {
    struct tier_rig *rig = argument;
    faulty_wait_held(rig->faulty, FAULTY_APPLY);
    pass_a_life();
    faulty_hold(rig->faulty, FAULTY_APPLY, false);
    return NULL;
}

/* The same where memory is full when the touches are applied, and the store takes its time. */
RIG_TEST(what_was_touched_in_time_is_alive_if_it_ends_while_memory_is_full, write_behind) {
    char command[64], value[LARGE];
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = 0;
    for (int keys = 1150; keys <= 1350; keys += 50) {
        renew(rig, JOURNAL_OS);
        use_large_journal(rig);
        rig_start(rig);
        for (int i = 0; i < keys; i++) {
            rig_store(rig, "set key%d %s " LIFE_TEXT, i, value);
            snprintf(command, sizeof command, "touch key%d 5000", i);
            rig_expect(rig, command, "TOUCHED");
        }
        keep_journal(rig);
        faulty_hold(rig->faulty, FAULTY_APPLY, true);
        pthread_t passing;
        assert_int_equal(pthread_create(&passing, NULL, pass_a_life_during_an_apply, rig), 0);
        crash_into_small_memory(rig);
        rig_do(rig, "sync");
        pthread_join(passing, NULL);
        for (int i = 0; i < keys; i++) {
            snprintf(command, sizeof command, "get key%d", i);
            assert_string_not_equal(rig_do(rig, command), "MISS");
        }
    }
}

/* Nothing can be left out, and nothing written out. */
RIG_TEST(a_store_that_is_away_stops_a_large_recovery_with_a_reason, write_behind) {
    char key[32];
    use_large_journal(rig);
    rig_start(rig);
    for (int i = 0; i < 3000; i++) {
        snprintf(key, sizeof key, "key%d", i);
        set_large(rig, 0, key, "");
    }
    crash(rig);
    rig->options.cache.memory_limit = 4 << 20;
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    const char *reason = rig_try_start(rig);
    assert_non_null(reason);
    assert_non_null(
        strstr(reason, "the journal holds more than memory can, and backend \"store\" cannot be written"));
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_OK);
    rig_start(rig);
    rig_do(rig, "sync");
    assert_int_equal(memory_store_rows(rig->store), 3000);
}

enum { MODEL_KEYS = 3500, MODEL_CHANGES = 8000 };

/* What a key is to hold: the number at the beginning of its value, and its expiry. */
struct wanted {
    bool exists;
    int number;
    uint32_t expires_at;
};

static void set_wanted(struct tier_rig *rig, unsigned worker, int key, int number, struct wanted *wanted) {
    char command[LARGE + 100], value[LARGE];
    snprintf(value, sizeof value, "%d-%0*d", number, rand() % 4 ? LARGE - 20 : 10, 0);
    wanted->expires_at = rand() % 2 ? (uint32_t)time(NULL) + 100000 + (uint32_t)number : 0;
    snprintf(command, sizeof command, "set key%d %s %u", key, value, wanted->expires_at);
    expect_on(rig, worker, command, "STORED");
    wanted->exists = true;
    wanted->number = number;
}

/* A random change of a random key by a random worker. */
static void change_randomly(struct tier_rig *rig, struct wanted *all, int number) {
    char command[64];
    unsigned worker = (unsigned)rand() % 2;
    int key = rand() % MODEL_KEYS, kind = rand() % 10;
    struct wanted *wanted = &all[key];
    if (kind < 6) {
        set_wanted(rig, worker, key, number, wanted);
    } else if (kind < 8) {
        snprintf(command, sizeof command, "delete key%d", key);
        expect_on(rig, worker, command, wanted->exists ? "DELETED" : "NOT_FOUND");
        wanted->exists = false;
    } else {
        uint32_t expires_at = (uint32_t)time(NULL) + 200000 + (uint32_t)number;
        snprintf(command, sizeof command, "touch key%d %u", key, expires_at);
        expect_on(rig, worker, command, wanted->exists ? "TOUCHED" : "NOT_FOUND");
        wanted->expires_at = expires_at;
    }
}

static void check_wanted(struct tier_rig *rig, int key, const struct wanted *wanted, bool in_store) {
    char command[64], name[32];
    snprintf(name, sizeof name, "key%d", key);
    snprintf(command, sizeof command, "get %s", name);
    char *row = in_store ? rig_row(rig, name) : NULL;
    const char *value = in_store ? row : rig_do(rig, command);
    if (wanted->exists) {
        assert_non_null(value);
        assert_int_equal(atoi(value), wanted->number);
        assert_int_equal(strcmp(value, "MISS") == 0, 0);
    } else {
        assert_true(value == NULL || strcmp(value, "MISS") == 0);
    }
    if (in_store && wanted->exists)
        assert_int_equal(rig_row_expiry(rig, name), wanted->expires_at);
    free(row);
}

/* Random changes by two workers, with a flush now and then; the last of each key is what comes back, although memory
 * cannot hold what is read. */
RIG_TEST(the_last_change_of_each_key_counts_if_the_journal_is_larger_than_memory, write_behind) {
    struct wanted *all = calloc(MODEL_KEYS, sizeof *all);
    assert_non_null(all);
    for (unsigned seed = 1; seed <= 4; seed++) {
        renew(rig, JOURNAL_OS);
        use_large_journal(rig);
        rig_start(rig);
        srand(seed);
        memset(all, 0, MODEL_KEYS * sizeof *all);
        for (int i = 1; i <= MODEL_CHANGES; i++) {
            change_randomly(rig, all, i);
            if (rand() % 1000 == 0)
                rig_do(rig, "sync");
        }
        keep_journal(rig);
        crash_into_small_memory(rig);
        for (int key = 0; key < MODEL_KEYS; key++)
            check_wanted(rig, key, &all[key], false);
        rig_do(rig, "sync");
        for (int key = 0; key < MODEL_KEYS; key++)
            check_wanted(rig, key, &all[key], true);
        assert_int_equal(rig_stat(rig, "store:superseded_unexplained"), 0);
    }
    free(all);
}

static unsigned awaited_logs(struct tier_rig *rig) {
    pthread_mutex_lock(&rig->mutex);
    unsigned count = rig->awaited_logs;
    pthread_mutex_unlock(&rig->mutex);
    return count;
}

/* The store takes its time: the operator is told how much is left. */
RIG_TEST(a_long_recovery_tells_its_progress, write_behind) {
    enum { KEYS = 25000 }; /* three commits */
    rig->options.cache.memory_limit = 256 << 20;
    rig_start(rig);
    for (int i = 0; i < KEYS; i++)
        rig_store(rig, "set key%d %d", i, i);
    crash(rig);
    rig->awaited_log = "of namespace test to be written to backend";
    faulty_delay(rig->faulty, FAULTY_APPLY, 1100);
    rig_start(rig);
    eventually(awaited_logs(rig) >= 1);
    assert_true(awaited_logs(rig) >= 1);
    faulty_delay(rig->faulty, FAULTY_APPLY, 0);
    rig_do(rig, "sync");
    assert_int_equal(memory_store_rows(rig->store), KEYS);
    eventually(rig_said(rig, "all that was recovered of namespace test is in backend"));
    assert_true(rig_said(rig, "all that was recovered of namespace test is in backend"));
}

/* A store that is away for long fills no log. */
RIG_TEST(a_recovery_that_waits_is_told_ever_more_rarely, write_behind) {
    enum { TIMES = 20 };
    rig_start(rig);
    rig_store(rig, "set key v");
    crash(rig);
    rig->awaited_log = "of namespace test to be written to backend";
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    rig_start(rig);
    for (unsigned i = 0; i < TIMES; i++) {
        uint64_t before = rig_stat(rig, "store:write_failures");
        pass_us(2100000);
        rig_begin(rig, 0, "sync");
        eventually(rig_stat(rig, "store:write_failures") > before);
    }
    assert_in_range(awaited_logs(rig), 2, 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RECOVERY_CASE(the_journal_may_hold_more_than_memory),
        RECOVERY_CASE(what_was_deleted_stays_deleted_if_the_journal_is_larger_than_memory),
        RECOVERY_CASE(the_last_change_of_each_key_counts_if_the_journal_is_larger_than_memory),
        RECOVERY_CASE(all_touches_come_back_if_they_are_more_than_can_be_noted),
        RECOVERY_CASE(what_was_touched_in_time_is_alive_if_the_journal_is_larger_than_memory),
        RECOVERY_CASE(what_the_store_has_is_explained_if_the_journal_is_larger_than_memory),
        RECOVERY_CASE(what_was_touched_in_time_is_alive_if_it_ends_during_recovery),
        RECOVERY_CASE(what_was_touched_in_time_is_alive_if_it_ends_while_memory_is_full),
        RECOVERY_CASE(a_store_that_is_away_stops_a_large_recovery_with_a_reason),
        RECOVERY_CASE(a_long_recovery_tells_its_progress),
        RECOVERY_CASE(a_recovery_that_waits_is_told_ever_more_rarely),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
