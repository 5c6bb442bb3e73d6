/* SPDX-License-Identifier: MIT */
/* Loads from a store that turns out to have gone back to what it was: they wait, or are made again, and none shows what
 * is older. Real stores and servers: tests/faults/test_redis_replaced.py. */
#include "tests/support/tier_rig.h"
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

static const struct backend_type *store_type;
static struct backend_type
    type; /* the same, but a delete leaves its version: the journal can say what such a store lacks */

/* The writer's next connection is to a store that went back. */
static atomic_bool went_back;

static enum backend_status open_it(const struct backend_options *options, enum backend_role role,
                                   struct backend_connection **ret_connection,
                                   struct backend_error *ret_error) {
    struct backend_options own = *options;
    own.type = store_type;
    enum backend_status status = store_type->open(&own, role, ret_connection, ret_error);
    if (status == BACKEND_OK && role == BACKEND_WRITER)
        (*ret_connection)->went_back = atomic_exchange(&went_back, false);
    return status;
}

/* A load of this key alone, which is held behind the store's answer: once. */
static struct {
    const char *_Atomic key;
    sem_t reached, released;
} gate;

static bool is_gated(struct slice key) {
    const char *gated = atomic_load(&gate.key);
    return gated && slice_equal(key, slice_string(gated)) &&
           atomic_compare_exchange_strong(&gate.key, &gated, NULL);
}

static enum backend_status load_it(struct backend_connection *connection, const struct backend_table *table,
                                   const struct slice *keys, size_t count, uint32_t now,
                                   struct load_result *results, struct backend_error *ret_error) {
    enum backend_status status = store_type->load(connection, table, keys, count, now, results, ret_error);
    if (count == 1 && is_gated(keys[0])) {
        sem_post(&gate.reached);
        sem_wait(&gate.released);
    }
    return status;
}

/* A part of the store is away, so that nobody can look at all of it. */
static atomic_bool lacks_part;

static enum backend_status look_it(struct backend_connection *connection, struct backend_error *ret_error) {
    enum backend_status status = store_type->look(connection, ret_error);
    connection->partial = status == BACKEND_OK && atomic_load(&lacks_part);
    if (connection->partial)
        snprintf(ret_error->message, sizeof ret_error->message, "a part is away");
    return connection->partial ? BACKEND_TRANSIENT : status;
}

static void start(struct tier_rig *rig) {
    store_type = faulty_type(rig->faulty);
    type = *store_type;
    type.open = open_it;
    type.load = load_it;
    type.look = look_it;
    type.remembers_deletes = true;
    rig_use_folder(rig);
    rig->backend.store.type = &type;
    rig->spaces[0].journal = JOURNAL_OS;
    rig->spaces[0].flush_delay = 1;
    rig->options.journal_keep = 60000;
    rig->options.journal_keep_size = 1 << 30;
    rig->options.drain_timeout = 50;
    rig_start(rig);
}

/* The store has this of the key, as it had long before, and memory has nothing. */
static void go_back(struct tier_rig *rig, const char *key, const char *value) {
    char command[40];
    snprintf(command, sizeof command, "forget %s", key);
    rig_do(rig, "sync");
    rig_do(rig, command);
    memory_store_put(rig->store, "test", key, value, 1);
}

/* The writer finds it out with its next batch. */
static void find_out(struct tier_rig *rig) {
    faulty_fail_call(rig->faulty, FAULTY_APPLY, 1, BACKEND_REPLACED);
    rig_store(rig, "set other v");
}

RIG_TEST(a_load_waits_until_the_row_is_written_again, write_behind) {
    start(rig);
    rig_store(rig, "set key new");
    rig_store(rig, "set gone old");
    rig_expect(rig, "delete gone", "DELETED");
    go_back(rig, "key", "old");
    go_back(rig, "gone", "old");
    uint64_t connects = rig_stat(rig, "store:write_connects");
    find_out(rig);
    eventually(rig_stat(rig, "store:write_connects") > connects);
    rig_expect(rig, "get key", "new");
    rig_expect(rig, "get gone", "MISS");
}

/* As long as nothing can be written again. Of another key the store has what it should have. */
RIG_TEST(a_load_that_waits_ends_in_time, write_behind) {
    rig->backend.store.timeout_ms = 300;
    start(rig);
    rig_store(rig, "set key new");
    go_back(rig, "key", "old");
    rig_put_row(rig, "beside", "v");
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_REPLACED);
    rig_store(rig, "set other v");
    eventually(rig_stat(rig, "store:write_failures") > 0);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(strncmp(rig_do(rig, "get key"), "SERVER_ERROR", 12), 0);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_OK);
    eventually(strcmp(rig_do(rig, "get key"), "new") == 0);
    rig_expect(rig, "get beside", "v");
}

/* What it brings may be of the store before or behind the loss: nobody can tell. */
RIG_TEST(a_load_that_was_under_way_is_made_again, write_behind) {
    start(rig);
    rig_put_row(rig, "key", "v");
    faulty_hold(rig->faulty, FAULTY_LOAD, true);
    struct rig_call *get = rig_begin(rig, 0, "get key");
    faulty_wait_held(rig->faulty, FAULTY_LOAD);
    unsigned loads = faulty_calls(rig->faulty, FAULTY_LOAD),
             applies = faulty_calls(rig->faulty, FAULTY_APPLY);
    faulty_fail_call(rig->faulty, FAULTY_APPLY, 1, BACKEND_REPLACED);
    struct rig_call *set = rig_begin(rig, 0, "set other v");
    eventually(faulty_calls(rig->faulty, FAULTY_APPLY) > applies);
    eventually(rig_stat(rig, "store:write_failures") > 0);
    faulty_hold(rig->faulty, FAULTY_LOAD, false);
    assert_string_equal(rig_finish(get), "v");
    assert_string_equal(rig_finish(set), "STORED");
    assert_true(faulty_calls(rig->faulty, FAULTY_LOAD) > loads);
}

/* Where a row of a batch cannot be read, its others are looked up alone. */
RIG_TEST(a_load_alone_that_was_under_way_is_made_again, write_behind) {
    sem_init(&gate.reached, 0, 0);
    sem_init(&gate.released, 0, 0);
    rig->backend.readers = 1;
    start(rig);
    rig_put_row(rig, "key", "before");
    faulty_spoil_keys(rig->faulty, "bad");
    faulty_hold(rig->faulty, FAULTY_LOAD, true);
    struct rig_call *first = rig_begin(rig, 0, "get first");
    faulty_wait_held(rig->faulty, FAULTY_LOAD);
    struct rig_call *bad = rig_begin(rig, 0, "get bad"), *get = rig_begin(rig, 0, "get key");
    atomic_store(&gate.key, "key");
    faulty_hold(rig->faulty, FAULTY_LOAD, false);
    sem_wait(&gate.reached);
    rig_put_row(rig, "key", "behind");
    find_out(rig);
    eventually(rig_stat(rig, "store:write_failures") > 0);
    sem_post(&gate.released);
    assert_string_equal(rig_finish(get), "behind");
    assert_string_equal(rig_finish(first), "MISS");
    assert_string_equal(rig_finish(bad), "SERVER_ERROR backend store is not available");
}

/* A touch is of a row that memory does not have, and goes to the store as a whole row: of what that went back to, it
 * would be newer than what is to be written again. */
RIG_TEST(a_touch_waits_until_the_row_is_written_again, write_behind) {
    rig->spaces[0].existence = EXISTENCE_MEMORY;
    start(rig);
    rig_store(rig, "set key new");
    go_back(rig, "key", "old");
    faulty_fail_call(rig->faulty, FAULTY_APPLY, 1, BACKEND_REPLACED);
    rig_expect(rig, "touch key 1000", "NOT_FOUND");
    eventually(rig_stat(rig, "store:background_touches") > 0);
    rig_do(rig, "sync");
    rig_assert_row(rig, "key", "new");
    assert_true(rig_row_expiry(rig, "key") > 0);
}

/* Nothing but the touch calls the store, so it is the touch that opens the connection, and finds out. */
RIG_TEST(a_touch_that_finds_it_out_waits_as_well, write_behind) {
    enum { CLOSED_AFTER = 3 /* failures in a row */ };
    rig->spaces[0].existence = EXISTENCE_MEMORY;
    start(rig);
    rig_store(rig, "set key new");
    go_back(rig, "key", "old");
    faulty_fail_all(rig->faulty, FAULTY_LOAD, BACKEND_TRANSIENT);
    faulty_fail_all(rig->faulty, FAULTY_OPEN, BACKEND_TRANSIENT);
    rig_expect(rig, "touch key 1000", "NOT_FOUND");
    eventually(rig_stat(rig, "store:write_failures") > CLOSED_AFTER);
    faulty_fail_all(rig->faulty, FAULTY_LOAD, BACKEND_OK);
    atomic_store(&went_back, true);
    faulty_fail_all(rig->faulty, FAULTY_OPEN, BACKEND_OK);
    eventually(rig_stat(rig, "store:background_touches") > 0);
    rig_do(rig, "sync");
    rig_assert_row(rig, "key", "new");
    assert_true(rig_row_expiry(rig, "key") > 0);
}

/* At a start, where what fills memory is written before anything else. The process before has noted that the store is
 * owed something. */
RIG_TEST(a_recovered_touch_waits_until_the_row_is_written_again, write_behind) {
    enum { LARGE = 4000, LARGE_COUNT = 700, MEMORY = 4 << 20 /* they are more than half of it */ };
    char value[LARGE + 1];
    memset(value, 'x', LARGE);
    value[LARGE] = '\0';
    rig->spaces[0].existence = EXISTENCE_MEMORY;
    start(rig);
    rig_store(rig, "set key new");
    go_back(rig, "key", "old");
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_REPLACED);
    uint64_t connects = rig_stat(rig, "store:write_connects");
    rig_expect(rig, "touch key 1000", "NOT_FOUND");
    eventually(rig_stat(rig, "store:write_connects") > connects);
    for (int i = 0; i < LARGE_COUNT; i++)
        rig_store(rig, "set large%d %s", i, value);
    rig_end_tier(rig);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_OK);
    rig->options.cache.memory_limit = MEMORY;
    rig_start(rig);
    eventually(rig_stat(rig, "store:background_touches") > 0);
    rig_do(rig, "sync");
    rig_assert_row(rig, "key", "new");
    assert_true(rig_row_expiry(rig, "key") > 0);
}

/* A reader finds it out first: the writer is asked, and the load is made when that has looked. */
RIG_TEST(a_reader_that_finds_it_out_has_the_writer_look, write_behind) {
    start(rig);
    rig_put_row(rig, "key", "v");
    faulty_fail_call(rig->faulty, FAULTY_LOAD, 1, BACKEND_REPLACED);
    rig_expect(rig, "get key", "v");
    assert_int_equal(rig_stat(rig, "store:read_failures"), 0);
}

/* Nobody would have what the store has lost. */
RIG_TEST(a_namespace_is_not_removed_while_its_store_lacks_something, write_behind) {
    rig_add_space(rig, "other", "o:", &policy_write_behind);
    start(rig);
    rig_store(rig, "set o:key new");
    rig_do(rig, "sync");
    faulty_fail_all(rig->faulty, FAULTY_OPEN, BACKEND_TRANSIENT);
    find_out(rig);
    eventually(rig_stat(rig, "store:write_failures") > 0);
    rig->space_count = 1;
    const char *why = rig_reload(rig);
    assert_non_null(why);
    assert_non_null(strstr(why, "its store is lost"));
    faulty_fail_all(rig->faulty, FAULTY_OPEN, BACKEND_OK);
    rig_do(rig, "sync");
    assert_null(rig_reload(rig));
}

/* Else all loads would wait for a part that may be away for good. */
RIG_TEST(a_look_at_what_there_is_of_the_store_will_do, write_behind) {
    atomic_store(&lacks_part, true);
    start(rig);
    rig_put_row(rig, "key", "v");
    faulty_fail_call(rig->faulty, FAULTY_LOAD, 1, BACKEND_REPLACED);
    const char *found = rig_do(rig, "get key");
    atomic_store(&lacks_part, false);
    assert_string_equal(found, "v");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RIG_CASE(a_load_waits_until_the_row_is_written_again),
        RIG_CASE(a_load_that_waits_ends_in_time),
        RIG_CASE(a_load_that_was_under_way_is_made_again),
        RIG_CASE(a_load_alone_that_was_under_way_is_made_again),
        RIG_CASE(a_touch_waits_until_the_row_is_written_again),
        RIG_CASE(a_touch_that_finds_it_out_waits_as_well),
        RIG_CASE(a_recovered_touch_waits_until_the_row_is_written_again),
        RIG_CASE(a_reader_that_finds_it_out_has_the_writer_look),
        RIG_CASE(a_namespace_is_not_removed_while_its_store_lacks_something),
        RIG_CASE(a_look_at_what_there_is_of_the_store_will_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
