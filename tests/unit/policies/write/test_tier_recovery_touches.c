/* SPDX-License-Identifier: MIT */
/* Touches come back: of what memory holds again, and of rows in the store alone. */
#include "tests/support/recovery_rig.h"
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* All is in the store, and the journal has noted it: what follows does not find it replayed. The key is the one that
 * was set last. */
static void sync_and_note(struct tier_rig *rig, const char *key) {
    uint64_t version = version_of(rig, key);
    rig_do(rig, "sync");
    eventually(rig_stat(rig, "journal:low_water") >= version);
}

/* The life of the row that is touched is over before the touch is written, and the row gone. */
static void lose_row(struct tier_rig *rig, const char *key) {
    rig_assert_row(rig, key, "1");
    memory_store_put(rig->store, "test", key, NULL, 1);
}

/* Begins anew, with rows in the store and in memory alone: the journal has nothing of them. */
static void start_with_rows(struct tier_rig *rig, unsigned rows) {
    char key[16], command[32];
    for (unsigned i = 0; i < rows; i++) {
        snprintf(key, sizeof key, "row%u", i);
        rig_put_row(rig, key, "1");
    }
    rig_start(rig);
    for (unsigned i = 0; i < rows; i++) {
        snprintf(command, sizeof command, "get row%u", i);
        rig_expect(rig, command, "1");
    }
}

RIG_TEST(a_touch_comes_back_without_its_row, write_behind) {
    uint32_t before = (uint32_t)time(NULL);
    start_with_rows(rig, 3);
    rig_expect(rig, "touch row0 5000", "TOUCHED");
    rig_expect(rig, "gat row1 50", "1");
    rig_expect(rig, "touch row1 5000", "TOUCHED"); /* of one that is dirty already */
    rig_expect(rig, "touch row2 5000", "TOUCHED");
    rig_expect(rig, "touch row2 -1", "TOUCHED");
    for (unsigned i = 0; i < 3; i++) {
        char key[16];
        snprintf(key, sizeof key, "row%u", i);
        lose_row(rig, key);
    }
    crash_and_start(rig);
    rig_expect(rig, "get row0", "1");
    rig_expect(rig, "get row1", "1");
    rig_expect(rig, "get row2", "MISS");
    rig_do(rig, "sync");
    rig_assert_row(rig, "row0", "1");
    rig_assert_row(rig, "row1", "1");
    rig_assert_row(rig, "row2", NULL);
    assert_true(rig_row_expiry(rig, "row0") > before + 3000 && rig_row_expiry(rig, "row1") > before + 3000);
}

/* Its put, or the touch before it, is on its way to the store, and may or may not get there. */
RIG_TEST(a_touch_during_a_flush_comes_back_without_its_row, write_behind) {
    static const enum backend_status ends[] = {BACKEND_OK, BACKEND_TRANSIENT};
    uint32_t before = (uint32_t)time(NULL);
    for (unsigned i = 0; i < 2; i++) {
        if (i > 0)
            renew(rig, JOURNAL_OS);
        start_with_rows(rig, 1);
        rig_expect(rig, "set put 1 1000", "STORED");
        rig_put_row(rig, "over", "old");
        rig_expect(rig, "set over new 1000", "STORED");
        rig_expect(rig, "touch row0 1000", "TOUCHED");
        faulty_hold(rig->faulty, FAULTY_APPLY, true);
        faulty_fail_all(rig->faulty, FAULTY_APPLY, ends[i]);
        struct rig_call *sync = rig_begin(rig, 0, "sync");
        faulty_wait_held(rig->faulty, FAULTY_APPLY);
        rig_expect(rig, "touch put 5000", "TOUCHED");
        rig_expect(rig, "touch over 5000", "TOUCHED");
        rig_expect(rig, "touch row0 5000", "TOUCHED");
        faulty_hold(rig->faulty, FAULTY_APPLY, false);
        if (ends[i] == BACKEND_OK)
            rig_finish(sync);
        crash(rig);
        memory_store_put(rig->store, "test", "put", NULL, 1);
        memory_store_put(rig->store, "test", "row0", NULL, 1);
        rig_start(rig);
        rig_expect(rig, "get put", "1");
        rig_expect(rig, "get row0", "1");
        rig_do(rig, "sync");
        rig_assert_row(rig, "over", "new"); /* its put, if it did not get there, comes with the touch */
        assert_true(rig_row_expiry(rig, "put") > before + 3000 &&
                    rig_row_expiry(rig, "row0") > before + 3000);
    }
}

/* A touch is no put, when it is recovered either. */
RIG_TEST(a_recovered_touch_leaves_the_value_of_another_node, write_behind) {
    start_with_rows(rig, 1);
    rig_expect(rig, "touch row0 500", "TOUCHED");
    rig_expect(rig, "touch row0 5000", "TOUCHED");
    memory_store_put(rig->store, "test", "row0", "theirs", 2000); /* newer than ours, older than the touch */
    crash_and_start(rig);
    rig_do(rig, "sync");
    rig_assert_row(rig, "row0", "theirs");
    assert_int_equal(rig_row_expiry(rig, "row0"), 0); /* what was touched is not there any more */
    rig_expect(rig, "get row0", "theirs");
}

/* As the version before wrote it: the value is only in the row. */
RIG_TEST(a_touch_without_a_value_comes_back, write_behind) {
    struct entry touch = {.key = SLICE("row"),
                          .version = version_from_us(wall_us(), 1),
                          .client_cas = 1000,
                          .expires_at = (uint32_t)(wall_us() / 1000000) + 5000};
    write_record(rig, JOURNAL_TOUCH, &touch);
    rig_put_row(rig, "row", "1");
    rig_start(rig);
    rig_expect(rig, "get row", "1");
    rig_do(rig, "sync");
    assert_int_equal(rig_row_expiry(rig, "row"), touch.expires_at);
}

RIG_TEST(touches_come_back, write_behind) {
    rig_start(rig);
    rig_expect(rig, "set row 1 1000", "STORED");
    rig_do(rig, "sync");
    uint32_t before = rig_row_expiry(rig, "row");
    rig_expect(rig, "touch row 5000", "TOUCHED"); /* its value is only in the backend */
    rig_expect(rig, "set fresh 1 1000", "STORED");
    rig_expect(rig, "touch fresh 5000", "TOUCHED"); /* its value is in the journal */
    rig_expect(rig, "set over 1 1000", "STORED");
    rig_expect(rig, "touch over 5000", "TOUCHED");
    rig_expect(rig, "set over 2 1000", "STORED"); /* a later put wins */
    crash_and_start(rig);
    assert_int_equal(rig_stat(rig, "journal:replayed_records") >= 5, 1);
    rig_expect(rig, "get row", "1");
    rig_do(rig, "sync");
    assert_true(rig_row_expiry(rig, "row") > before + 3000);
    assert_true(rig_row_expiry(rig, "fresh") > before + 3000);
    assert_true(rig_row_expiry(rig, "over") < before + 1000);
    rig_assert_row(rig, "over", "2");
}

RIG_TEST(a_recovered_touch_waits_for_an_absent_backend, write_behind) {
    rig_start(rig);
    rig_expect(rig, "set row 1 1000", "STORED");
    rig_do(rig, "sync");
    uint32_t before = rig_row_expiry(rig, "row");
    rig_expect(rig, "touch row 5000", "TOUCHED");
    crash(rig);
    faulty_fail_all(rig->faulty, FAULTY_LOAD, BACKEND_TRANSIENT);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    rig_start(rig);
    crash_and_start(rig); /* again, before it could be done */
    eventually(rig_row_expiry(rig, "row") > before + 3000);
    assert_true(rig_row_expiry(rig, "row") > before + 3000);
}

/* The journal as if the low-water version had not been noted: what was kept is there again, beside what is new. */
static void bring_back_kept(struct tier_rig *rig) {
    shell("cd %s && cp low-water %s && for f in journal-*.fj; do cp $f %s/journal-9-${f##*-}; done",
          kept_of(rig).path, rig->folder.path, rig->folder.path);
    drop_kept(rig);
}

/* Neither one commit for each row, nor one for each touch of a row. */
RIG_TEST(recovered_touches_share_commits, write_behind) {
    enum { ROWS = 1500 };
    uint32_t far = (uint32_t)time(NULL) + 100000;
    rig->options.cache.memory_limit = 64 << 20;
    rig_start(rig);
    for (int i = 0; i < ROWS; i++)
        rig_store(rig, "set key%d %d 5000", i, i);
    rig_do(rig, "sync");
    for (int i = 0; i < 2 * ROWS; i++) {
        char command[64];
        snprintf(command, sizeof command, "touch key%d %u", i % ROWS, far + (uint32_t)i);
        rig_expect(rig, command, "TOUCHED");
        snprintf(command, sizeof command, "touch key0 %u", far + (uint32_t)i);
        rig_expect(rig, command, "TOUCHED");
    }
    crash(rig);
    size_t batches = memory_store_counts(rig->store).batches;
    rig_start(rig);
    rig_do(rig, "sync");
    assert_in_range(memory_store_counts(rig->store).batches - batches, 1, 10);
    for (int i = 0; i < ROWS; i++) {
        char key[32];
        snprintf(key, sizeof key, "key%d", i);
        assert_int_equal(rig_row_expiry(rig, key), far + (uint32_t)(i ? ROWS + i : 2 * ROWS - 1));
    }
}

/* The journal holds an old put, the store a newer one whose record was lost, and a touch was made on that:
 * the touch is the newer row's, and the old value does not come back on its account. */
RIG_TEST(a_touch_of_what_the_store_has_brings_no_old_value_back, write_behind) {
    for (int writable = 0; writable < 2; writable++) {
        renew(rig, JOURNAL_OS);
        rig_start(rig);
        rig_expect(rig, "set gone old", "STORED");
        rig_expect(rig, "touch gone -1", "TOUCHED");
        rig_expect(rig, "set a old", "STORED");
        keep_journal(rig);
        sync_and_note(rig, "a");
        crash_and_start(rig);
        uint64_t version = version_from_us(cache_time_now().us, 0);
        memory_store_put(rig->store, "test", "a", "new", version);
        memory_store_put(rig->store, "test", "gone", "new", version);
        faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
        rig_expect(rig, "touch a 5000", "TOUCHED");
        rig_expect(rig, "touch gone 5000", "TOUCHED");
        crash(rig);
        bring_back_kept(rig); /* the old put */
        if (!writable)
            faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
        rig_start(rig);
        faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_OK);
        eventually(rig_row_expiry(rig, "a") != 0);
        rig_do(rig, "sync");
        rig_assert_row(rig, "a", "new");
        rig_assert_row(rig, "gone", "new");
        assert_true(rig_row_expiry(rig, "a") > time(NULL) + 3000);
        assert_true(rig_row_expiry(rig, "gone") > time(NULL) + 3000);
        rig_expect(rig, "get a", "new");
        rig_expect(rig, "get gone", "new");
    }
}

/* What was alive when it was touched is alive, however long the server was away meanwhile. */
RIG_TEST(what_was_touched_in_time_is_alive, write_behind) {
    rig_start(rig);
    rig_expect(rig, "set once 1 " LIFE_TEXT, "STORED");
    rig_expect(rig, "touch once 5000", "TOUCHED");
    rig_expect(rig, "set twice 1 " LIFE_TEXT, "STORED");
    rig_expect(rig, "touch twice 900", "TOUCHED");
    rig_expect(rig, "touch twice 5000", "TOUCHED");
    rig_expect(rig, "set never 1 " LIFE_TEXT, "STORED");
    rig_expect(rig, "set back 1", "STORED");
    rig_expect(rig, "touch back " LIFE_TEXT, "TOUCHED");
    crash(rig);
    pass_a_life();
    rig_start(rig);
    rig_expect(rig, "get once", "1");
    rig_expect(rig, "get twice", "1");
    rig_expect(rig, "get never", "MISS");
    rig_expect(rig, "get back", "MISS");
    rig_do(rig, "sync");
    rig_assert_row(rig, "once", "1");
    rig_assert_row(rig, "twice", "1");
    rig_assert_row(rig, "never", NULL);
    rig_assert_row(rig, "back", NULL);
}

/* A touch that was answered without a look at the row (existence = memory) is in the journal. */
RIG_TEST(blind_touches_come_back, write_behind) {
    enum journal_mode modes[] = {JOURNAL_OS, JOURNAL_ALWAYS};
    for (int i = 0; i < 2; i++) {
        renew(rig, modes[i]);
        rig->spaces[0].existence = EXISTENCE_MEMORY;
        memory_store_put(rig->store, "test", "row", "1", 1000);
        rig_start(rig);
        faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_TRANSIENT);
        rig_expect(rig, "touch row 5000", "NOT_FOUND");
        rig_expect(rig, "touch none 5000", "NOT_FOUND");
        crash(rig);
        assert_int_equal(rig_row_expiry(rig, "row"), 0);
        rig_start(rig);
        rig_expect(rig, "get row", "1");
        rig_do(rig, "sync");
        assert_true(rig_row_expiry(rig, "row") > time(NULL) + 3000);
        rig_assert_row(rig, "none", NULL);
    }
}

/* A row lives by the clock, whatever the versions say: it is touched if it was alive when that was asked. */
RIG_TEST(a_row_is_touched_when_versions_are_ahead_of_the_clock, write_behind) {
    rig->spaces[0].existence = EXISTENCE_MEMORY;
    rig_start(rig);
    let_the_clock_have_been_ahead(rig);
    rig_expect(rig, "set now 1 1000", "STORED");
    rig_expect(rig, "set later 1 " LIFE_TEXT, "STORED");
    rig_expect(rig, "set known 1 " LIFE_TEXT, "STORED");
    sync_and_note(rig, "known");
    crash_and_start(rig);
    rig_expect(rig, "touch now 5000", "NOT_FOUND");
    eventually(rig_row_expiry(rig, "now") > time(NULL) + 3000);
    rig_expect(rig, "get known", "1"); /* and so its touch names what it was made on */
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_TRANSIENT);
    rig_expect(rig, "touch later 5000", "NOT_FOUND");
    rig_expect(rig, "touch known 5000", "TOUCHED");
    crash(rig);
    pass_a_life();
    rig_start(rig);
    eventually(rig_row_expiry(rig, "later") > time(NULL) + 3000);
    eventually(rig_row_expiry(rig, "known") > time(NULL) + 3000);
    rig_expect(rig, "get later", "1");
    rig_expect(rig, "get known", "1");
}

/* And one that had ended is not brought back. */
RIG_TEST(a_row_that_had_ended_is_not_touched, write_behind) {
    rig->spaces[0].existence = EXISTENCE_MEMORY;
    rig_start(rig);
    rig_expect(rig, "set a 1 " LIFE_TEXT, "STORED");
    uint32_t end = (uint32_t)time(NULL) + LIFE;
    sync_and_note(rig, "a");
    crash_and_start(rig);
    pass_a_life();
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_TRANSIENT);
    rig_expect(rig, "touch a 5000", "NOT_FOUND");
    crash_and_start(rig);
    rig_do(rig, "sync");
    assert_true(rig_row_expiry(rig, "a") <= end);
    rig_expect(rig, "get a", "MISS");
}

/* Several touches become one; the row was alive at the first, and by that at the others. So it is after another crash
 * before the store could be asked: the low-water version has not passed the first. */
RIG_TEST(a_row_is_touched_that_lived_by_an_earlier_touch, write_behind) {
    rig->spaces[0].existence = EXISTENCE_MEMORY;
    rig_start(rig);
    rig_expect(rig, "set a 1 " LIFE_TEXT, "STORED");
    uint32_t end = (uint32_t)time(NULL) + LIFE;
    sync_and_note(rig, "a");
    crash_and_start(rig);
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_TRANSIENT);
    rig_expect(rig, "touch a 5000", "NOT_FOUND");
    pass_a_life();
    rig_expect(rig, "touch a 6000", "NOT_FOUND");
    for (int i = 0; i < 2; i++) {
        crash(rig);
        faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_TRANSIENT);
        rig_start(rig);
        usleep(100000);
    }
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_OK);
    rig_do(rig, "sync");
    assert_true(rig_row_expiry(rig, "a") > end + 4500);
    rig_expect(rig, "get a", "1");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RECOVERY_CASE(a_touch_comes_back_without_its_row),
        RECOVERY_CASE(a_touch_during_a_flush_comes_back_without_its_row),
        RECOVERY_CASE(a_recovered_touch_leaves_the_value_of_another_node),
        RECOVERY_CASE(a_touch_without_a_value_comes_back),
        RECOVERY_CASE(touches_come_back),
        RECOVERY_CASE(a_recovered_touch_waits_for_an_absent_backend),
        RECOVERY_CASE(recovered_touches_share_commits),
        RECOVERY_CASE(a_touch_of_what_the_store_has_brings_no_old_value_back),
        RECOVERY_CASE(what_was_touched_in_time_is_alive),
        RECOVERY_CASE(blind_touches_come_back),
        RECOVERY_CASE(a_row_is_touched_when_versions_are_ahead_of_the_clock),
        RECOVERY_CASE(a_row_that_had_ended_is_not_touched),
        RECOVERY_CASE(a_row_is_touched_that_lived_by_an_earlier_touch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
