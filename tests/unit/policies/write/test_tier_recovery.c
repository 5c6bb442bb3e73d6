/* SPDX-License-Identifier: MIT */
/* The journal's way back: what was acknowledged is there after the process is gone; preload. */
#include "policies/tier_parts.h"
#include "tests/support/tier_rig.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static uint32_t row_expiry(struct tier_rig *rig, const char *key) {
    uint32_t expires_at;
    free(memory_store_get(rig->store, "test", key, NULL, &expires_at));
    return expires_at;
}

static void begin(struct tier_rig *rig, enum journal_mode mode) {
    rig_init(rig, &policy_write_behind);
    rig_use_folder(rig);
    rig->spaces[0].journal = mode;
    rig->options.drain_timeout = 50;
}

static void begin_and_start(struct tier_rig *rig, enum journal_mode mode) {
    begin(rig, mode);
    rig_start(rig);
}

/* Ends the tier without a drain, and without its writer having written anything: as if the process had died,
 * but for what the journal's own buffers hold. */
static void crash(struct tier_rig *rig) {
    rig_end_tier(rig);
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_OK);
}

static void crash_and_start(struct tier_rig *rig) {
    crash(rig);
    rig_start(rig);
}

static void test_changes_come_back(void **state) {
    struct tier_rig rig;
    (void)state;
    begin_and_start(&rig, JOURNAL_OS);
    rig_expect(&rig, "set old 1", "STORED");
    rig_expect(&rig, "set gone 1", "STORED");
    rig_do(&rig, "sync");
    rig_expect(&rig, "set a 1", "STORED");
    rig_expect(&rig, "incr a 41", "42");
    rig_expect(&rig, "delete gone", "DELETED");
    rig_expect(&rig, "set b 1 1000", "STORED");
    rig_expect(&rig, "delete b", "DELETED");
    rig_expect(&rig, "set b 2 1000", "STORED");
    crash(&rig);
    rig_assert_row(&rig, "a", NULL);
    rig_start(&rig);
    rig_expect(&rig, "get a", "42");
    rig_expect(&rig, "get gone", "MISS");
    rig_expect(&rig, "get b", "2");
    rig_expect(&rig, "get old", "1");
    rig_do(&rig, "sync");
    rig_assert_row(&rig, "a", "42");
    rig_assert_row(&rig, "gone", NULL);
    rig_assert_row(&rig, "b", "2");
    assert_true(row_expiry(&rig, "b") > 0);
    rig_stop(&rig);
}

/* Versions survive: a client's CAS is still good, and a newer write is newer. */
static void test_cas_and_order_after_recovery(void **state) {
    struct tier_rig rig;
    char command[64];
    unsigned long long cas;
    (void)state;
    begin_and_start(&rig, JOURNAL_OS);
    rig_expect(&rig, "set a 1", "STORED");
    assert_int_equal(sscanf(rig_do(&rig, "gets a"), "1 %llu", &cas), 1);
    crash(&rig);
    rig.clock_shift_us = -3600ll * 1000000; /* and the clock went back */
    rig_start(&rig);
    snprintf(command, sizeof command, "cas a 2 %llu", cas);
    rig_expect(&rig, command, "STORED");
    rig_expect(&rig, "set b 1", "STORED");
    crash_and_start(&rig);
    rig_expect(&rig, "get a", "2");
    rig_expect(&rig, "get b", "1");
    rig_expect(&rig, "set b 2", "STORED");
    rig_do(&rig, "sync");
    rig_assert_row(&rig, "a", "2");
    rig_assert_row(&rig, "b", "2");
    rig_stop(&rig);
}

static void test_touches_come_back(void **state) {
    struct tier_rig rig;
    (void)state;
    begin_and_start(&rig, JOURNAL_OS);
    rig_expect(&rig, "set row 1 1000", "STORED");
    rig_do(&rig, "sync");
    uint32_t before = row_expiry(&rig, "row");
    rig_expect(&rig, "touch row 5000", "TOUCHED"); /* its value is only in the backend */
    rig_expect(&rig, "set fresh 1 1000", "STORED");
    rig_expect(&rig, "touch fresh 5000", "TOUCHED"); /* its value is in the journal */
    rig_expect(&rig, "set over 1 1000", "STORED");
    rig_expect(&rig, "touch over 5000", "TOUCHED");
    rig_expect(&rig, "set over 2 1000", "STORED"); /* a later put wins */
    crash_and_start(&rig);
    assert_int_equal(rig_stat(&rig, "journal:replayed_records") >= 5, 1);
    rig_expect(&rig, "get row", "1");
    rig_do(&rig, "sync");
    assert_true(row_expiry(&rig, "row") > before + 3000);
    assert_true(row_expiry(&rig, "fresh") > before + 3000);
    assert_true(row_expiry(&rig, "over") < before + 1000);
    rig_assert_row(&rig, "over", "2");
    rig_stop(&rig);
}

static void test_touch_waits_for_an_absent_backend(void **state) {
    struct tier_rig rig;
    (void)state;
    begin_and_start(&rig, JOURNAL_OS);
    rig_expect(&rig, "set row 1 1000", "STORED");
    rig_do(&rig, "sync");
    uint32_t before = row_expiry(&rig, "row");
    rig_expect(&rig, "touch row 5000", "TOUCHED");
    crash(&rig);
    faulty_fail_all(rig.faulty, FAULTY_LOAD, BACKEND_TRANSIENT);
    faulty_fail_all(rig.faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    rig_start(&rig);
    crash_and_start(&rig); /* again, before it could be done */
    for (int i = 0; i < 5000 && row_expiry(&rig, "row") <= before + 3000; i++)
        usleep(1000);
    assert_true(row_expiry(&rig, "row") > before + 3000);
    rig_stop(&rig);
}

/* ---- A store that is ahead of the journal ---- */

/* What a power loss leaves when the store was synced and the journal's last records were not: the folder as
 * it was when it was kept, the store as it is now. */
static void keep_journal(struct tier_rig *rig) {
    char command[256];
    snprintf(command, sizeof command, "cp -r %s %s.kept", rig->folder, rig->folder);
    assert_int_equal(system(command), 0);
}

static void lose_the_tail(struct tier_rig *rig) {
    char command[256];
    crash(rig);
    snprintf(command, sizeof command, "rm -r %s && mv %s.kept %s", rig->folder, rig->folder, rig->folder);
    assert_int_equal(system(command), 0);
}

static void write_and_get_ahead(struct tier_rig *rig) {
    begin_and_start(rig, JOURNAL_OS);
    rig_expect(rig, "set put old", "STORED");
    rig_expect(rig, "set gone old", "STORED");
    rig_expect(rig, "set touched old 1000", "STORED");
    rig_expect(rig, "set expired old", "STORED");
    rig_expect(rig, "set kept old", "STORED");
    rig_expect(rig, "set back old", "STORED");
    rig_expect(rig, "delete back", "DELETED");
    keep_journal(rig);
    rig_expect(rig, "set put new", "STORED");
    rig_expect(rig, "delete gone", "DELETED");
    rig_expect(rig, "touch touched 5000", "TOUCHED");
    rig_expect(rig, "set expired new 1", "STORED");
    rig_expect(rig, "set back new", "STORED");
    rig_do(rig, "sync");
    rig_assert_row(rig, "put", "new");
    while (row_expiry(rig, "expired") > (uint32_t)time(NULL))
        usleep(10000);
    lose_the_tail(rig);
}

/* The first read after the start is as new as the store. */
static void test_store_ahead_of_the_journal(void **state) {
    struct tier_rig rig;
    (void)state;
    write_and_get_ahead(&rig);
    uint32_t expiry = row_expiry(&rig, "touched");
    rig_start(&rig);
    assert_int_equal(cache_dirty_entries(tier_cache(rig.tier), 0), 0);
    rig_expect(&rig, "get put", "new");
    rig_expect(&rig, "get gone", "MISS");
    rig_expect(&rig, "get expired", "MISS");
    rig_expect(&rig, "get touched", "old");
    rig_expect(&rig, "get kept", "old");
    rig_expect(&rig, "get back", "new");
    assert_int_equal(row_expiry(&rig, "touched"), expiry);
    rig_assert_row(&rig, "kept", "old");
    rig_expect(&rig, "append put er", "STORED");
    rig_do(&rig, "sync");
    rig_assert_row(&rig, "put", "newer");
    rig_stop(&rig);
}

/* A store that cannot be written to at the start: the journal's word, until it can be. */
static void test_store_ahead_and_not_writable(void **state) {
    struct tier_rig rig;
    (void)state;
    for (int connected = 0; connected < 2; connected++) {
        write_and_get_ahead(&rig);
        faulty_fail_all(rig.faulty, connected ? FAULTY_APPLY : FAULTY_ANY, BACKEND_TRANSIENT);
        rig_start(&rig);
        rig_expect(&rig, "get put", "old");
        rig_expect(&rig, "get gone", "old");
        faulty_fail_all(rig.faulty, FAULTY_ANY, BACKEND_OK);
        assert_true(rig_wait_clean(&rig));
        rig_expect(&rig, "get put", "new");
        rig_expect(&rig, "get gone", "MISS");
        rig_expect(&rig, "get kept", "old");
        rig_stop(&rig);
    }
}

/* The journal holds an old put, the store a newer one whose record was lost, and a touch was made on that:
 * the touch is the newer row's, and the old value does not come back on its account. */
static void test_touch_of_what_the_store_has(void **state) {
    struct tier_rig rig;
    char command[512];
    (void)state;
    for (int writable = 0; writable < 2; writable++) {
        begin_and_start(&rig, JOURNAL_OS);
        rig_expect(&rig, "set a old", "STORED");
        rig_expect(&rig, "set gone old", "STORED");
        rig_expect(&rig, "touch gone -1", "TOUCHED");
        keep_journal(&rig);
        rig_do(&rig, "sync");
        crash_and_start(&rig);
        uint64_t version = version_from_us(cache_time_now().us, 0);
        memory_store_put(rig.store, "test", "a", "new", version);
        memory_store_put(rig.store, "test", "gone", "new", version);
        faulty_fail_all(rig.faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
        rig_expect(&rig, "touch a 5000", "TOUCHED");
        rig_expect(&rig, "touch gone 5000", "TOUCHED");
        crash(&rig);
        /* The journal as if the low-water version had not been noted: the old put is there again. */
        snprintf(command, sizeof command,
                 "cd %s.kept && cp low-water %s && for f in journal-*.fj; do cp $f %s/journal-9-${f##*-}; "
                 "done; rm -r %s.kept",
                 rig.folder, rig.folder, rig.folder, rig.folder);
        assert_int_equal(system(command), 0);
        if (!writable)
            faulty_fail_all(rig.faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
        rig_start(&rig);
        faulty_fail_all(rig.faulty, FAULTY_APPLY, BACKEND_OK);
        for (int i = 0; i < 5000 && row_expiry(&rig, "a") == 0; i++)
            usleep(1000);
        rig_do(&rig, "sync");
        rig_assert_row(&rig, "a", "new");
        rig_assert_row(&rig, "gone", "new");
        assert_true(row_expiry(&rig, "a") > time(NULL) + 3000);
        assert_true(row_expiry(&rig, "gone") > time(NULL) + 3000);
        rig_expect(&rig, "get a", "new");
        rig_expect(&rig, "get gone", "new");
        rig_stop(&rig);
    }
}

/* What was alive when it was touched is alive, however long the server was away meanwhile. */
static void test_touched_before_it_expired(void **state) {
    struct tier_rig rig;
    (void)state;
    begin_and_start(&rig, JOURNAL_OS);
    rig_expect(&rig, "set once 1 2", "STORED");
    rig_expect(&rig, "touch once 5000", "TOUCHED");
    rig_expect(&rig, "set twice 1 2", "STORED");
    rig_expect(&rig, "touch twice 1", "TOUCHED");
    rig_expect(&rig, "touch twice 5000", "TOUCHED");
    rig_expect(&rig, "set never 1 2", "STORED");
    rig_expect(&rig, "set back 1", "STORED");
    rig_expect(&rig, "touch back 1", "TOUCHED");
    uint32_t end = (uint32_t)time(NULL) + 2;
    crash(&rig);
    while (time(NULL) <= end)
        usleep(10000);
    rig_start(&rig);
    rig_expect(&rig, "get once", "1");
    rig_expect(&rig, "get twice", "1");
    rig_expect(&rig, "get never", "MISS");
    rig_expect(&rig, "get back", "MISS");
    rig_do(&rig, "sync");
    rig_assert_row(&rig, "once", "1");
    rig_assert_row(&rig, "twice", "1");
    rig_assert_row(&rig, "never", NULL);
    rig_assert_row(&rig, "back", NULL);
    rig_stop(&rig);
}

/* A touch that was answered without a look at the row (existence = memory) is in the journal. */
static void test_blind_touches_come_back(void **state) {
    enum journal_mode modes[] = {JOURNAL_OS, JOURNAL_ALWAYS};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct tier_rig rig;
        begin(&rig, modes[i]);
        rig.spaces[0].existence = EXISTENCE_MEMORY;
        memory_store_put(rig.store, "test", "row", "1", 1000);
        rig_start(&rig);
        faulty_fail_all(rig.faulty, FAULTY_ANY, BACKEND_TRANSIENT);
        rig_expect(&rig, "touch row 5000", "NOT_FOUND");
        rig_expect(&rig, "touch none 5000", "NOT_FOUND");
        crash(&rig);
        assert_int_equal(row_expiry(&rig, "row"), 0);
        rig_start(&rig);
        assert_true(row_expiry(&rig, "row") > time(NULL) + 3000);
        rig_expect(&rig, "get row", "1");
        rig_assert_row(&rig, "none", NULL);
        rig_stop(&rig);
    }
}

/* New versions begin above those of the store, also when the store did not say at once which those are. */
static void test_versions_begin_above_the_store(void **state) {
    struct tier_rig rig;
    uint64_t far = UINT64_C(4102444800000000) << ENTRY_VERSION_NODE_BITS; /* 2100 */
    (void)state;
    for (int failing = 0; failing < 2; failing++) {
        begin(&rig, JOURNAL_OS);
        memory_store_put(rig.store, "test", "a", "old", far);
        if (failing)
            faulty_fail_call(rig.faulty, FAULTY_HIGH_VERSION, 1, BACKEND_TRANSIENT);
        rig_start(&rig);
        rig_expect(&rig, "set a new", "STORED");
        rig_do(&rig, "sync");
        rig_assert_row(&rig, "a", "new");
        rig_expect(&rig, "get a", "new");
        rig_stop(&rig);
    }
}

static void test_more_than_memory(void **state) {
    struct tier_rig rig;
    char command[4096], value[3000];
    (void)state;
    begin(&rig, JOURNAL_OS);
    rig.options.cache.item_max = 8192;
    rig.spaces[0].flush_batch = 1000000;
    rig_start(&rig);
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = 0;
    for (int i = 0; i < 3000; i++) {
        snprintf(command, sizeof command, "set key%d %s", i, value);
        rig_expect(&rig, command, "STORED");
    }
    crash(&rig);
    rig.options.cache.memory_limit = 4 << 20;
    rig_start(&rig);
    rig_do(&rig, "sync");
    assert_int_equal(memory_store_rows(rig.store), 3000);
    rig_stop(&rig);
}

/* The store takes its time: the operator is told how much is left. */
static void test_a_long_recovery_tells_its_progress(void **state) {
    enum { KEYS = 25000 }; /* three commits */
    struct tier_rig rig;
    char command[64];
    (void)state;
    begin(&rig, JOURNAL_OS);
    rig.options.cache.memory_limit = 256 << 20;
    rig_start(&rig);
    for (int i = 0; i < KEYS; i++) {
        snprintf(command, sizeof command, "set key%d %d", i, i);
        rig_expect(&rig, command, "STORED");
    }
    crash(&rig);
    rig.awaited_log = "entries of namespace test have yet to be written to backend";
    faulty_delay(rig.faulty, FAULTY_APPLY, 1100);
    rig_start(&rig);
    assert_true(rig.awaited_logs >= 1);
    assert_int_equal(memory_store_rows(rig.store), KEYS);
    faulty_delay(rig.faulty, FAULTY_APPLY, 0);
    rig_stop(&rig);
}

static void test_other_number_of_workers(void **state) {
    struct tier_rig rig;
    (void)state;
    begin(&rig, JOURNAL_OS);
    rig.options.workers = 3;
    rig_start(&rig);
    for (unsigned i = 0; i < 30; i++) {
        char command[64];
        snprintf(command, sizeof command, "set key %u", i);
        struct rig_call *call = rig_begin(&rig, i % 3, command);
        assert_string_equal(rig_finish(call), "STORED");
        rig_free(call);
    }
    crash(&rig);
    rig.options.workers = 1;
    rig_start(&rig);
    rig_expect(&rig, "get key", "29");
    crash(&rig);
    rig.options.workers = 2;
    rig_start(&rig);
    rig_do(&rig, "sync");
    rig_assert_row(&rig, "key", "29");
    rig_stop(&rig);
}

/* A clean end leaves nothing to do again. */
static void test_nothing_after_a_drain(void **state) {
    struct tier_rig rig;
    size_t journaled;
    (void)state;
    begin(&rig, JOURNAL_INTERVAL);
    rig.options.drain_timeout = 10000;
    rig_start(&rig);
    for (int i = 0; i < 500; i++) {
        char command[64];
        snprintf(command, sizeof command, "set key%d %d", i, i);
        rig_expect(&rig, command, "STORED");
    }
    assert_int_equal(tier_drain(rig.tier, &journaled), 0);
    rig_end_tier(&rig);
    assert_int_equal(memory_store_rows(rig.store), 500);
    size_t mutations = memory_store_counts(rig.store).mutations;
    rig_start(&rig);
    rig_do(&rig, "sync");
    assert_int_equal(memory_store_counts(rig.store).mutations, mutations);
    rig_stop(&rig);
}

static void test_always_waits_for_the_disk(void **state) {
    struct tier_rig rig;
    struct rig_call *calls[10];
    (void)state;
    begin_and_start(&rig, JOURNAL_ALWAYS);
    struct rig_call *call = rig_begin(&rig, 0, "set a 1");
    assert_false(call->done); /* only when it is on disk */
    assert_string_equal(rig_finish(call), "STORED");
    rig_free(call);
    for (int i = 0; i < 10; i++)
        calls[i] = rig_begin(&rig, 0, "incr a 1");
    for (int i = 0; i < 10; i++) {
        char expected[8];
        snprintf(expected, sizeof expected, "%d", i + 2);
        assert_string_equal(rig_finish(calls[i]), expected);
        rig_free(calls[i]);
    }
    rig_expect(&rig, "gat a 1000", "11"); /* an answer with a value waits too */
    assert_true(rig_stat(&rig, "journal:fsyncs") >= 2);
    crash_and_start(&rig);
    rig_expect(&rig, "get a", "11");
    rig_stop(&rig);
}

/* From now on no file of this process can be written: EFBIG, as from a disk that fails. */
static void files_can_be_written(bool can) {
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = can ? limit.rlim_max : 0;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* Begins a command, says whether its turn was kept in the journal, and forgets it. */
static bool is_kept(struct tier_rig *rig, const char *command, const char *reply) {
    struct rig_call *call = rig_begin(rig, 0, command);
    bool kept = call->kept;
    assert_true(call->done);
    assert_memory_equal(call->reply, reply, strlen(reply));
    rig_free(call);
    return kept;
}

static void test_failing_journal(void **state) {
    struct tier_rig rig;
    enum journal_mode modes[] = {JOURNAL_OS, JOURNAL_INTERVAL};
    (void)state;
    for (int i = 0; i < 2; i++) {
        begin_and_start(&rig, modes[i]);
        faulty_fail_all(rig.faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
        assert_true(is_kept(&rig, "set a 1", "STORED"));
        files_can_be_written(false);
        assert_false(is_kept(&rig, "set a 2", "STORED"));      /* nobody may be told */
        assert_true(is_kept(&rig, "set b 1", "SERVER_ERROR")); /* refused, and that may be told */
        assert_true(is_kept(&rig, "get a", "2"));
        files_can_be_written(true);
        assert_true(is_kept(&rig, "get a", "2")); /* this turn brought the record into the file */
        assert_true(is_kept(&rig, "set b 3", "STORED"));
        crash_and_start(&rig);
        rig_expect(&rig, "get a", "2");
        rig_expect(&rig, "get b", "3");
        rig_stop(&rig);
    }
}

/* journal = "off": what was not flushed is gone, what was flushed is not. */
static void test_without_a_journal(void **state) {
    struct tier_rig rig;
    (void)state;
    begin_and_start(&rig, JOURNAL_OFF);
    rig_expect(&rig, "set flushed 1", "STORED");
    rig_do(&rig, "sync");
    rig_assert_row(&rig, "flushed", "1");
    faulty_fail_all(rig.faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    rig_expect(&rig, "set flushed 2", "STORED");
    rig_expect(&rig, "set dirty 1", "STORED");
    crash_and_start(&rig);
    rig_expect(&rig, "get flushed", "1");
    rig_expect(&rig, "get dirty", "MISS");
    rig_stop(&rig);
}

static void test_low_water_follows(void **state) {
    struct tier_rig rig;
    (void)state;
    begin_and_start(&rig, JOURNAL_OS);
    uint64_t start = rig_stat(&rig, "journal:low_water");
    rig_expect(&rig, "set a 1", "STORED");
    struct rig_call *gets = rig_begin(&rig, 0, "gets a");
    uint64_t version = strtoull(strchr(gets->reply, ' ') + 1, NULL, 10);
    rig_free(gets);
    usleep(20000);
    assert_true(rig_stat(&rig, "journal:low_water") < version);
    rig_do(&rig, "sync");
    for (int i = 0; i < 5000 && rig_stat(&rig, "journal:low_water") <= version; i++)
        usleep(1000);
    assert_true(rig_stat(&rig, "journal:low_water") > version);
    assert_true(rig_stat(&rig, "journal:low_water") > start);
    /* The next versions are above it, whatever the clock says. */
    rig.clock_shift_us = -3600ll * 1000000;
    rig_expect(&rig, "set b 1", "STORED");
    gets = rig_begin(&rig, 0, "gets b");
    version = strtoull(strchr(gets->reply, ' ') + 1, NULL, 10);
    rig_free(gets);
    assert_true(rig_stat(&rig, "journal:low_water") < version);
    crash(&rig);
    rig.clock_shift_us = 0;
    rig_start(&rig);
    rig_expect(&rig, "get b", "1");
    rig_stop(&rig);
}

static void test_changed_policy_is_refused(void **state) {
    struct tier_rig rig;
    (void)state;
    begin(&rig, JOURNAL_OS);
    rig_add_space(&rig, "other", "o:", &policy_write_behind)->journal = JOURNAL_OS;
    rig_start(&rig);
    rig_expect(&rig, "set a 1", "STORED");
    crash(&rig);
    rig.spaces[0].policy = &policy_read_through;
    assert_non_null(rig_try_start(&rig));
    rig.spaces[0].policy = &policy_write_behind;
    rig_start(&rig);
    rig_expect(&rig, "get a", "1");
    rig_stop(&rig);
}

static void test_preload(void **state) {
    struct tier_rig rig;
    char key[32];
    (void)state;
    rig_init(&rig, &policy_write_behind);
    rig.spaces[0].preload = 1000;
    rig.spaces[0].preload_wait = true;
    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof key, "key%d", i);
        memory_store_put(rig.store, "test", key, key, 1000 + (uint64_t)i);
    }
    rig_start(&rig);
    for (int i = 0; i < 10000 && !tier_is_ready(rig.tier); i++)
        usleep(1000);
    assert_true(tier_is_ready(rig.tier));
    size_t asked = memory_store_counts(rig.store).keys;
    for (int i = 0; i < 500; i++) {
        char command[64];
        snprintf(command, sizeof command, "get key%d", i);
        snprintf(key, sizeof key, "key%d", i);
        rig_expect(&rig, command, key);
    }
    assert_int_equal(memory_store_counts(rig.store).keys, asked);
    rig_stop(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes_come_back),
        cmocka_unit_test(test_cas_and_order_after_recovery),
        cmocka_unit_test(test_touches_come_back),
        cmocka_unit_test(test_touch_waits_for_an_absent_backend),
        cmocka_unit_test(test_store_ahead_of_the_journal),
        cmocka_unit_test(test_store_ahead_and_not_writable),
        cmocka_unit_test(test_touch_of_what_the_store_has),
        cmocka_unit_test(test_touched_before_it_expired),
        cmocka_unit_test(test_blind_touches_come_back),
        cmocka_unit_test(test_versions_begin_above_the_store),
        cmocka_unit_test(test_more_than_memory),
        cmocka_unit_test(test_a_long_recovery_tells_its_progress),
        cmocka_unit_test(test_other_number_of_workers),
        cmocka_unit_test(test_nothing_after_a_drain),
        cmocka_unit_test(test_always_waits_for_the_disk),
        cmocka_unit_test(test_failing_journal),
        cmocka_unit_test(test_without_a_journal),
        cmocka_unit_test(test_low_water_follows),
        cmocka_unit_test(test_changed_policy_is_refused),
        cmocka_unit_test(test_preload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
