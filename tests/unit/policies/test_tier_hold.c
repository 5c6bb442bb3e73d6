/* SPDX-License-Identifier: MIT */
/*
 * What a reader is shown while the journal does not have it yet: nothing. Workers are driven by hand, so a turn lasts
 * as long as the test wants: its journal is written at its end. Under `always` the disk is held up as well.
 */
#include "tests/support/tier_rig.h"
#include <pthread.h>

/* ---- A disk that takes its time ---- */

static pthread_mutex_t disk_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t disk_moves = PTHREAD_COND_INITIALIZER;
static bool disk_is_held;

int __real_fdatasync(int file);
int __wrap_fdatasync(int file);

int __wrap_fdatasync(int file) {
    pthread_mutex_lock(&disk_mutex);
    while (disk_is_held)
        pthread_cond_wait(&disk_moves, &disk_mutex);
    pthread_mutex_unlock(&disk_mutex);
    return __real_fdatasync(file);
}

/* No sync ends any more, until it is let go. */
static void hold_disk(bool held) {
    pthread_mutex_lock(&disk_mutex);
    disk_is_held = held;
    pthread_cond_broadcast(&disk_moves);
    pthread_mutex_unlock(&disk_mutex);
}

/* ---- The rig ---- */

enum { WRITER, READER, OTHER, WORKERS };

static int set_up(void **state) {
    rig_set_up(state);
    struct tier_rig *rig = *state;
    rig_use_folder(rig);
    rig->options.workers = WORKERS;
    rig->options.drain_timeout = 50;
    rig->spaces[0].journal = JOURNAL_OS; /* unless the test says otherwise */
    rig->spaces[0].existence = EXISTENCE_MEMORY;
    return 0;
}

static int tear_down(void **state) {
    hold_disk(false);
    return rig_tear_down(state);
}

#define HOLD_CASE(name) RIG_CASE_WITH(name, set_up, tear_down)

/* A command on a worker, to its end. */
static void expect(struct tier_rig *rig, unsigned worker, const char *command, const char *reply) {
    struct rig_call *call = rig_begin(rig, worker, command);
    const char *got = rig_finish(call);
    if (strcmp(got, reply) != 0)
        fail_msg("%s: %s, not %s", command, got, reply);
    rig_free(call);
}

/* The same; and it need not wait for anything. */
static void expect_at_once(struct tier_rig *rig, unsigned worker, const char *command, const char *reply) {
    struct rig_call *call = rig_begin(rig, worker, command);
    if (!rig_is_done(call))
        fail_msg("%s: has to wait", command);
    assert_string_equal(call->reply, reply);
    rig_free(call);
}

static bool was_woken(struct tier_rig *rig, unsigned worker) {
    struct rig_worker *waiting = &rig->workers[worker];
    pthread_mutex_lock(&waiting->mutex);
    bool woken = waiting->wake;
    waiting->wake = false;
    pthread_mutex_unlock(&waiting->mutex);
    return woken;
}

/* ---- Until it is written ---- */

RIG_TEST(nothing_is_shown_before_it_is_written, write_behind) {
    static const struct {
        const char *change, *look, *reply;
    } cases[] = {
        {"set a 2", "get a", "2"},
        {"set a 2", "gat a 1000", "2"},
        {"set a 2", "add a 3", "NOT_STORED"},
        {"delete a", "get a", "MISS"},
        {"delete a", "delete a", "NOT_FOUND"},
        {"delete a", "replace a 3", "NOT_STORED"},
        {"incr a 1", "cas a 3 1", "EXISTS"},
        {"touch a 1000", "get a", "1"},
        {"set a 2", "append a +", "STORED"},
    };
    rig_start(rig);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect(rig, OTHER, "set a 1", "STORED");
        struct rig_call *writer = rig_begin_turn(rig, WRITER, cases[i].change);
        struct rig_call *reader = rig_begin(rig, READER, cases[i].look);
        if (rig_is_done(reader))
            fail_msg("%s is shown by %s", cases[i].change, cases[i].look);
        was_woken(rig, READER);
        rig_end_turn(writer);
        assert_true(was_woken(rig, READER));
        assert_true(rig_is_done(reader));
        assert_string_equal(reader->reply, cases[i].reply);
    }
}

RIG_TEST(what_is_written_is_shown_at_once, write_behind) {
    rig_start(rig);
    expect(rig, OTHER, "set written 1", "STORED");
    struct rig_call *writer = rig_begin_turn(rig, WRITER, "set a 1");
    expect_at_once(rig, READER, "get written", "1");
    expect_at_once(rig, READER, "set a 3", "STORED"); /* shows nothing */
    rig_end_turn(writer);
    expect_at_once(rig, READER, "get a", "3");
    expect_at_once(rig, WRITER, "get a", "3");
}

RIG_TEST(what_the_backend_has_is_shown_at_once, write_behind) {
    rig_start(rig);
    struct rig_call *writer = rig_begin_turn(rig, WRITER, "set a 1");
    struct rig_call *sync = rig_begin(rig, OTHER, "sync");
    /* The writer's queue is pushed already: what it flushes is safe in the store before the journal has it. */
    rig_finish(sync);
    expect_at_once(rig, READER, "get a", "1");
    rig_end_turn(writer);
}

RIG_TEST(without_a_journal_nothing_waits, write_behind) {
    rig->spaces[0].journal = JOURNAL_OFF;
    rig_add_space(rig, "other", "other:", &policy_write_behind)->journal = JOURNAL_OS;
    rig_start(rig);
    struct rig_call *writer = rig_begin_turn(rig, WRITER, "set a 1");
    expect_at_once(rig, READER, "get a", "1");
    rig_end_turn(writer);
}

/* However busy the writer is. */
RIG_TEST(a_later_turn_of_the_writer_holds_nobody_longer, write_behind) {
    rig_start(rig);
    struct rig_call *writer = rig_begin_turn(rig, WRITER, "set a 1");
    struct rig_call *reader = rig_begin(rig, READER, "get a");
    assert_false(rig_is_done(reader));
    rig_end_turn(writer);
    writer = rig_begin_turn(rig, WRITER, "set a 2");
    assert_true(rig_is_done(reader));
    assert_string_equal(reader->reply, "1");
    rig_end_turn(writer);
}

/* The floors of the workers' turns say less then; a reader waits for a turn of each at most. */
RIG_TEST(a_clock_that_steps_back_holds_nobody_for_ever, write_behind) {
    rig_start(rig);
    struct rig_call *writer = rig_begin_turn(rig, WRITER, "set a 1");
    rig->clock_shift_us = -3600ll * US_PER_SECOND;
    struct rig_call *reader = rig_begin(rig, READER, "get a");
    assert_false(rig_is_done(reader));
    struct rig_call *other = rig_begin_turn(rig, OTHER, "set b 1");
    rig_end_turn(writer);
    rig_is_done(reader);
    rig_end_turn(other);
    other = rig_begin_turn(rig, OTHER, "set b 2");
    assert_true(rig_is_done(reader));
    rig_end_turn(other);
}

RIG_TEST(many_readers_wait_for_many_turns, write_behind) {
    enum { TURNS = 500 };
    struct rig_call *readers[TURNS];
    rig_start(rig);
    struct rig_call *writer = rig_begin_turn(rig, WRITER, "set a 1");
    for (int i = 0; i < TURNS; i++) {
        readers[i] = rig_begin(rig, READER, "get a");
        assert_false(rig_is_done(readers[i]));
    }
    rig_end_turn(writer);
    for (int i = 0; i < TURNS; i++)
        assert_true(rig_is_done(readers[i]));
}

/* Neither its own worker nor another shows it, and both do when a later turn has brought it into the file. */
RIG_TEST(what_could_not_be_written_is_not_shown, write_behind) {
    rig_start(rig);
    expect(rig, WRITER, "set a 1", "STORED");
    rig_files_can_be_written(false);
    struct rig_call *writer = rig_begin(rig, WRITER, "set a 2");
    assert_false(writer->kept);
    struct rig_call *reader = rig_begin(rig, READER, "get a"), *own = rig_begin(rig, WRITER, "get a");
    assert_false(rig_is_done(reader));
    assert_false(rig_is_done(own));
    rig_files_can_be_written(true);
    assert_string_equal(rig_finish(own), "2");
    assert_string_equal(rig_finish(reader), "2");
}

/* A look at an entry raises the floor below which the worker takes everything for kept: not above this entry. */
static void expect_held(struct tier_rig *rig, struct rig_call *ret_readers[2]) {
    for (int i = 0; i < 2; i++) {
        rig->clock_shift_us += 10000; /* the floor is not looked for at every turn */
        ret_readers[i] = rig_begin(rig, READER, "get a");
        if (rig_is_done(ret_readers[i]))
            fail_msg("look %d is answered at once", i + 1);
    }
}

static void expect_shown(struct rig_call *readers[2], const char *reply) {
    for (int i = 0; i < 2; i++)
        assert_string_equal(rig_finish(readers[i]), reply);
}

RIG_TEST(a_second_look_is_held_as_the_first, write_behind) {
    struct rig_call *readers[2];
    rig_start(rig);
    struct rig_call *writer = rig_begin_turn(rig, WRITER, "set a 1");
    expect_held(rig, readers);
    rig_end_turn(writer);
    expect_shown(readers, "1");
    rig_files_can_be_written(false);
    writer = rig_begin(rig, WRITER, "set a 2");
    assert_false(writer->kept);
    expect_held(rig, readers);
    rig_files_can_be_written(true);
    expect(rig, WRITER, "get a", "2");
    expect_shown(readers, "2");
}

/* Nor above what a turn may yet bring that has begun already. */
RIG_TEST(what_a_turn_brings_that_began_before_a_look_is_held, write_behind) {
    struct outcome outcome = {0};
    struct request request = {.command = COMMAND_SET, .key = slice_string("a"), .value = slice_string("1")};
    rig_start(rig);
    expect(rig, OTHER, "set old 1", "STORED");
    struct tier_worker *writer = tier_get_worker(rig->tier, WRITER);
    struct tier_ticket *ticket = tier_ticket_create(writer, NULL);
    struct cache_time now = cache_time_now();
    tier_turn_begin(writer, &now);
    rig->clock_shift_us += 10000;
    expect_at_once(rig, READER, "get old", "1");
    tier_prepare(writer, &request);
    assert_int_equal(tier_execute(writer, ticket, &request, &outcome), TIER_DONE);
    struct rig_call *reader = rig_begin(rig, READER, "get a");
    assert_false(rig_is_done(reader));
    tier_turn_end(writer, NULL);
    tier_ticket_destroy(ticket);
    assert_string_equal(rig_finish(reader), "1");
}

/* ---- Until it is synced ---- */

RIG_TEST(under_always_a_second_look_is_held_as_the_first, write_behind) {
    struct rig_call *readers[2];
    rig->spaces[0].journal = JOURNAL_ALWAYS;
    rig_start(rig);
    hold_disk(true);
    struct rig_call *writer = rig_begin(rig, WRITER, "set a 1");
    expect_held(rig, readers);
    hold_disk(false);
    expect_shown(readers, "1");
    assert_string_equal(rig_finish(writer), "STORED");
}

RIG_TEST(under_always_nothing_is_shown_before_it_is_synced, write_behind) {
    rig->spaces[0].journal = JOURNAL_ALWAYS;
    rig_start(rig);
    expect(rig, WRITER, "set a 1", "STORED");
    hold_disk(true);
    struct rig_call *writer = rig_begin_turn(rig, WRITER, "set a 2");
    struct rig_call *early = rig_begin(rig, READER, "get a"); /* not even written */
    rig_end_turn(writer);
    struct rig_call *reader = rig_begin(rig, READER, "get a"), *own = rig_begin(rig, WRITER, "get a");
    assert_false(rig_is_done(early));
    assert_false(rig_is_done(reader));
    assert_false(rig_is_done(own));
    assert_false(rig_is_done(writer));
    was_woken(rig, READER);
    hold_disk(false);
    eventually(was_woken(rig, READER));
    assert_string_equal(rig_finish(early), "2");
    assert_string_equal(rig_finish(reader), "2");
    assert_string_equal(rig_finish(own), "2");
    assert_string_equal(rig_finish(writer), "STORED");
}

RIG_TEST(under_always_what_is_synced_is_shown_at_once, write_behind) {
    rig->spaces[0].journal = JOURNAL_ALWAYS;
    rig_start(rig);
    for (int i = 0; i < 5; i++) { /* of two turns and more that were synced, none is taken for unsynced */
        expect(rig, WRITER, "set synced 1", "STORED");
        expect(rig, OTHER, "set b 1", "STORED");
    }
    hold_disk(true);
    struct rig_call *writer = rig_begin(rig, WRITER, "set a 1"), *other = rig_begin(rig, OTHER, "set b 2");
    expect_at_once(rig, READER, "get synced", "1");
    expect_at_once(rig, OTHER, "get synced", "1");
    hold_disk(false);
    assert_string_equal(rig_finish(writer), "STORED");
    assert_string_equal(rig_finish(other), "STORED");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        HOLD_CASE(nothing_is_shown_before_it_is_written),
        HOLD_CASE(what_is_written_is_shown_at_once),
        HOLD_CASE(what_the_backend_has_is_shown_at_once),
        HOLD_CASE(without_a_journal_nothing_waits),
        HOLD_CASE(a_later_turn_of_the_writer_holds_nobody_longer),
        HOLD_CASE(a_clock_that_steps_back_holds_nobody_for_ever),
        HOLD_CASE(many_readers_wait_for_many_turns),
        HOLD_CASE(what_could_not_be_written_is_not_shown),
        HOLD_CASE(a_second_look_is_held_as_the_first),
        HOLD_CASE(what_a_turn_brings_that_began_before_a_look_is_held),
        HOLD_CASE(under_always_a_second_look_is_held_as_the_first),
        HOLD_CASE(under_always_nothing_is_shown_before_it_is_synced),
        HOLD_CASE(under_always_what_is_synced_is_shown_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
