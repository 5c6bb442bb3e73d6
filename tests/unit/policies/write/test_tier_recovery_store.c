/* SPDX-License-Identifier: MIT */
/* Recovery where the store is ahead of the journal, or may be. */
#include "tests/support/recovery_rig.h"
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Gives a journal file the boot id of an earlier boot. */
static void age_file(const char *path) {
    struct format_header header;
    char *copy;
    int file = open(path, O_RDWR);
    assert_true(file >= 0);
    off_t size = lseek(file, 0, SEEK_END);
    char *data = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    assert_true(data != MAP_FAILED);
    assert_int_equal(format_decode_header(data, (size_t)size, &header), FORMAT_GOOD);
    header.boot[0]++;
    copy = calloc(1, header.size);
    assert_non_null(copy);
    format_encode_header(copy, &header);
    memcpy(data, copy, header.size - FORMAT_NOTE_SIZE);
    free(copy);
    free((void *)(uintptr_t)header.spaces);
    munmap(data, (size_t)size);
    close(file);
}

/* The system is started anew while no tier runs: what the journal holds is of an earlier boot. */
static void reboot(struct tier_rig *rig) {
    char pattern[300];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/journal-*.fj", rig->folder.path);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++)
        age_file(found.gl_pathv[i]);
    globfree(&found);
}

static void lose_the_tail(struct tier_rig *rig) {
    go_back_to_kept(rig);
    reboot(rig);
}

/* The store is ahead of the journal, on the same boot. */
static void write_and_go_back(struct tier_rig *rig) {
    rig_start(rig);
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
    rig_expect(rig, "set expired new " LIFE_TEXT, "STORED");
    rig_expect(rig, "set back new", "STORED");
    rig_do(rig, "sync");
    rig_assert_row(rig, "put", "new");
    pass_a_life();
    go_back_to_kept(rig);
}

static void write_and_get_ahead(struct tier_rig *rig) {
    write_and_go_back(rig);
    reboot(rig);
}

/* Begins a command that has to wait for the store, which is held. */
static struct rig_call *begin_waiting(struct tier_rig *rig, const char *command) {
    struct rig_call *call = rig_begin(rig, 0, command);
    usleep(1000);
    assert_false(rig_is_done(call));
    return call;
}

static void expect_call(struct rig_call *call, const char *reply) {
    assert_string_equal(rig_finish(call), reply);
    rig_free(call);
}

/* The first read after the start is as new as the store: it waits until the store has seen what was restored. */
RIG_TEST(the_first_read_is_as_new_as_the_store, write_behind) {
    write_and_get_ahead(rig);
    uint32_t expiry = rig_row_expiry(rig, "touched");
    faulty_hold(rig->faulty, FAULTY_APPLY, true);
    rig_start(rig);
    assert_true(cache_dirty_entries(tier_cache(rig->tier), 0) > 0); /* served before anything is written */
    struct rig_call *put = begin_waiting(rig, "get put"), *gone = begin_waiting(rig, "get gone"),
                    *expired = begin_waiting(rig, "get expired"),
                    *touched = begin_waiting(rig, "get touched"), *kept = begin_waiting(rig, "gat kept 1000"),
                    *back = begin_waiting(rig, "gets back");
    rig_expect(rig, "set other 1", "STORED"); /* nobody has to ask for that */
    faulty_hold(rig->faulty, FAULTY_APPLY, false);
    expect_call(put, "new");
    expect_call(gone, "MISS");
    expect_call(expired, "MISS");
    expect_call(touched, "old");
    expect_call(kept, "old");
    assert_memory_equal(rig_finish(back), "new ", 4);
    assert_int_equal(rig_row_expiry(rig, "touched"), expiry);
    rig_expect(rig, "append put er", "STORED");
    rig_do(rig, "sync");
    rig_assert_row(rig, "kept", "old");
    rig_assert_row(rig, "put", "newer");
}

/* The same where it takes long to answer, longer than a start without changes to recover waits. */
RIG_TEST(the_first_read_waits_for_a_slow_store, write_behind) {
    write_and_get_ahead(rig);
    faulty_delay(rig->faulty, FAULTY_OPEN, 900);
    rig_start(rig);
    faulty_delay(rig->faulty, FAULTY_OPEN, 0);
    rig_expect(rig, "get put", "new");
    rig_expect(rig, "get gone", "MISS");
}

/* Who asks for a key does not wait for all the others. */
RIG_TEST(a_first_read_overtakes_what_waits_to_be_written, write_behind) {
    rig_start(rig);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    for (int i = 0; i < 2000; i++)
        rig_store(rig, "set key%d %d", i, i);
    crash(rig);
    reboot(rig);
    rig->spaces[0].flush_batch = 1;
    faulty_delay(rig->faulty, FAULTY_APPLY, 1);
    rig_start(rig);
    rig_expect(rig, "incr key1999 1", "2000");
    assert_int_equal(rig_stat(rig, "store:confirmed_rows"), 1);
    assert_true(cache_dirty_entries(tier_cache(rig->tier), 0) > 100);
    faulty_delay(rig->faulty, FAULTY_APPLY, 0);
    rig_do(rig, "sync");
    assert_int_equal(memory_store_rows(rig->store), 2000);
}

/* On the same boot the store cannot have what the journal has lost: there is nothing to wait for. */
RIG_TEST(after_a_kill_the_journal_is_believed_at_once, write_behind) {
    rig_start(rig);
    rig_expect(rig, "set a 1", "STORED");
    rig_expect(rig, "set b 1", "STORED");
    rig_expect(rig, "delete b", "DELETED");
    crash(rig);
    faulty_hold(rig->faulty, FAULTY_APPLY, true);
    rig_start(rig);
    rig_expect(rig, "get a", "1");
    rig_expect(rig, "incr a 1", "2");
    rig_expect(rig, "get b", "MISS");
    faulty_hold(rig->faulty, FAULTY_APPLY, false);
    rig_do(rig, "sync");
    rig_assert_row(rig, "a", "2");
    rig_assert_row(rig, "b", NULL);
}

/* What the journal holds was written long ago, perhaps, and changed by another server since. */
RIG_TEST(after_a_kill_another_server_may_be_ahead, write_behind) {
    rig->options.cache.node = 1;
    write_and_go_back(rig);
    faulty_hold(rig->faulty, FAULTY_APPLY, true);
    rig_start(rig);
    struct rig_call *put = begin_waiting(rig, "append put er"), *gone = begin_waiting(rig, "get gone"),
                    *kept = begin_waiting(rig, "get kept");
    faulty_hold(rig->faulty, FAULTY_APPLY, false);
    expect_call(put, "STORED");
    expect_call(gone, "MISS");
    expect_call(kept, "old");
    rig_do(rig, "sync");
    rig_assert_row(rig, "put", "newer");
}

/* The age of what was recovered counts from the start: a limit on it does not refuse the first writes. */
RIG_TEST(what_was_recovered_makes_no_namespace_full, write_behind) {
    rig->spaces[0].dirty_age_limit = 60000;
    rig->spaces[0].on_full = FULL_REJECT;
    rig_start(rig);
    rig_expect(rig, "set a 1", "STORED");
    crash(rig);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    rig_start(rig);
    eventually(rig_stat(rig, "store:write_failures") >= 2); /* the first pass has looked at everything */
    rig_expect(rig, "set b 1", "STORED");
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_OK);
    rig_do(rig, "sync");
    rig_expect(rig, "set c 1", "STORED");
}

/* The row's life is over, but for a touch that has yet to reach it. */
RIG_TEST(a_row_is_alive_while_a_recovered_touch_waits_for_it, write_behind) {
    rig_start(rig);
    rig_expect(rig, "set row 1 " LIFE_TEXT, "STORED");
    rig_do(rig, "sync");
    rig_expect(rig, "touch row 5000", "TOUCHED");
    crash(rig);
    uint32_t end = rig_row_expiry(rig, "row");
    pass_a_life();
    faulty_hold(rig->faulty, FAULTY_APPLY, true);
    rig_start(rig);
    rig_expect(rig, "get row", "1");
    faulty_hold(rig->faulty, FAULTY_APPLY, false);
    rig_do(rig, "sync");
    assert_true(rig_row_expiry(rig, "row") > end + 3000);
    rig_expect(rig, "get row", "1");
}

/* A store that cannot be written to at the start: the journal's word, until it can be. */
RIG_TEST(the_journal_counts_while_the_store_is_not_writable, write_behind) {
    for (int connected = 0; connected < 2; connected++) {
        renew(rig, JOURNAL_OS);
        write_and_get_ahead(rig);
        faulty_fail_all(rig->faulty, connected ? FAULTY_APPLY : FAULTY_ANY, BACKEND_TRANSIENT);
        rig_start(rig);
        rig_expect(rig, "get put", "old");
        rig_expect(rig, "get gone", "old");
        faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_OK);
        assert_true(rig_wait_clean(rig));
        rig_expect(rig, "get put", "new");
        rig_expect(rig, "get gone", "MISS");
        rig_expect(rig, "get kept", "old");
    }
}

/* New versions begin above those of the store, also when the store did not say at once which those are. */
RIG_TEST(versions_begin_above_the_store, write_behind) {
    uint64_t far = UINT64_C(2051222400000000) << ENTRY_VERSION_NODE_BITS; /* 2035 */
    for (int failing = 0; failing < 2; failing++) {
        renew(rig, JOURNAL_OS);
        memory_store_put(rig->store, "test", "a", "old", far);
        if (failing)
            faulty_fail_call(rig->faulty, FAULTY_HIGH_VERSION, 1, BACKEND_TRANSIENT);
        rig_start(rig);
        rig_expect(rig, "set a new", "STORED");
        rig_do(rig, "sync");
        rig_assert_row(rig, "a", "new");
        rig_expect(rig, "get a", "new");
    }
}

/* Above it versions would come to their end. */
RIG_TEST(a_store_with_a_version_that_no_clock_gives_stops_the_start, write_behind) {
    memory_store_put(rig->store, "test", "a", "old", ENTRY_VERSION_HIGHEST + 1);
    const char *error = rig_try_start(rig);
    assert_non_null(error);
    assert_non_null(strstr(error, "no clock gives"));
    assert_non_null(strstr(error, "store"));
    assert_non_null(strstr(error, "9079256848778919937"));
    memory_store_put(rig->store, "test", "a", "old", ENTRY_VERSION_HIGHEST);
    rig_start(rig);
    rig_expect(rig, "set a new", "STORED");
    rig_do(rig, "sync");
    rig_assert_row(rig, "a", "new");
}

/* The journal's word counts for the failing table alone. */
RIG_TEST(a_first_read_beside_a_failing_table_is_as_new_as_the_store, write_behind) {
    rig_add_space(rig, "other", "o:", &policy_write_behind)->journal = JOURNAL_OS;
    rig_start(rig);
    rig_expect(rig, "set a old", "STORED");
    rig_expect(rig, "set o:a old", "STORED");
    keep_journal(rig);
    rig_expect(rig, "set a new", "STORED");
    rig_expect(rig, "set o:a new", "STORED");
    rig_do(rig, "sync");
    lose_the_tail(rig);
    faulty_fail_table(rig->faulty, "test");
    rig_start(rig);
    struct rig_call *failing = rig_begin(rig, 0, "get a");
    rig_expect(rig, "get o:a", "new");
    expect_call(failing, "old");
    assert_int_equal(rig_stat(rig, "store:write_breaker_opened"), 0);
    faulty_fail_table(rig->faulty, NULL);
    rig_do(rig, "sync");
    rig_expect(rig, "get a", "new");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RECOVERY_CASE(the_first_read_is_as_new_as_the_store),
        RECOVERY_CASE(the_first_read_waits_for_a_slow_store),
        RECOVERY_CASE(a_first_read_overtakes_what_waits_to_be_written),
        RECOVERY_CASE(after_a_kill_the_journal_is_believed_at_once),
        RECOVERY_CASE(after_a_kill_another_server_may_be_ahead),
        RECOVERY_CASE(what_was_recovered_makes_no_namespace_full),
        RECOVERY_CASE(a_row_is_alive_while_a_recovered_touch_waits_for_it),
        RECOVERY_CASE(the_journal_counts_while_the_store_is_not_writable),
        RECOVERY_CASE(versions_begin_above_the_store),
        RECOVERY_CASE(a_store_with_a_version_that_no_clock_gives_stops_the_start),
        RECOVERY_CASE(a_first_read_beside_a_failing_table_is_as_new_as_the_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
