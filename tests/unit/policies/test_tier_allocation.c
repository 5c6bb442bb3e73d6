/* SPDX-License-Identifier: MIT */
/*
 * No memory: buffers, batches and lists that cannot grow. What was acknowledged is not lost by it, what
 * cannot be taken is refused, and all goes on when there is memory again.
 *
 * The program is linked so that its calls of malloc, calloc and realloc come here (tests/CMakeLists.txt).
 * What the tests themselves need is spared: their store, and the calls of the rig.
 */
#include "policies/ticket.h"
#include "tests/support/tier_rig.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static _Atomic long allowed = -1; /* calls that still succeed; negative: all */
static _Atomic long one_of;       /* of those beyond, one in so many fails; 0: each */
static _Atomic unsigned long refused;
static _Thread_local bool spared;

void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

static bool refuses(void) {
    static _Atomic unsigned long beyond;
    if (spared)
        return false;
    long left = atomic_load(&allowed);
    while (left > 0 && !atomic_compare_exchange_weak(&allowed, &left, left - 1))
        continue;
    long each = atomic_load(&one_of);
    if (left != 0 || (each && atomic_fetch_add(&beyond, 1) % (unsigned long)each))
        return false;
    atomic_fetch_add(&refused, 1);
    return true;
}

void *__wrap_realloc(void *old, size_t size) {
    return refuses() ? NULL : __real_realloc(old, size);
}

void *__wrap_malloc(size_t size) {
    return refuses() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    return size != sizeof(struct rig_call) && refuses() ? NULL : __real_calloc(count, size);
}

static void allow(long calls, long each) {
    atomic_store(&one_of, each);
    atomic_store(&allowed, calls);
}

/* ---- A store that is spared ---- */

static const struct backend_type *store_type;

#define SPARED(call)                                                                                         \
    do {                                                                                                     \
        spared = true;                                                                                       \
        enum backend_status status_ = call;                                                                  \
        spared = false;                                                                                      \
        return status_;                                                                                      \
    } while (0)

static enum backend_status spared_open(const struct backend_options *options, enum backend_role role,
                                       struct backend_connection **ret_connection,
                                       struct backend_error *ret_error) {
    struct backend_options own = *options;
    own.type = store_type;
    SPARED(store_type->open(&own, role, ret_connection, ret_error));
}

static enum backend_status spared_high_version(struct backend_connection *connection, uint64_t *ret_version,
                                               struct backend_error *ret_error) {
    SPARED(store_type->high_version(connection, ret_version, ret_error));
}

static enum backend_status spared_load(struct backend_connection *connection,
                                       const struct backend_table *table, const struct slice *keys,
                                       size_t count, uint32_t now, struct load_result *results,
                                       struct backend_error *ret_error) {
    SPARED(store_type->load(connection, table, keys, count, now, results, ret_error));
}

static enum backend_status spared_apply(struct backend_connection *connection, struct mutation *mutations,
                                        size_t count, uint32_t now, struct backend_error *ret_error) {
    SPARED(store_type->apply(connection, mutations, count, now, ret_error));
}

static enum backend_status spared_maintain(struct backend_connection *connection, uint32_t now,
                                           bool *ret_more, struct backend_error *ret_error) {
    SPARED(store_type->maintain(connection, now, ret_more, ret_error));
}

static void spared_close(struct backend_connection *connection) {
    store_type->close(connection);
}

static struct backend_type spared_type; /* no scan: nothing is loaded ahead here */

static void spare_store(struct tier_rig *rig) {
    store_type = faulty_type(rig->faulty);
    spared_type = *store_type;
    spared_type.open = spared_open;
    spared_type.high_version = spared_high_version;
    spared_type.load = spared_load;
    spared_type.apply = spared_apply;
    spared_type.maintain = spared_maintain;
    spared_type.close = spared_close;
    rig->backend.store.type = &spared_type;
}

static void prepare(struct tier_rig *rig) {
    spare_store(rig);
    rig_use_folder(rig);
    rig->spaces[0].journal = JOURNAL_OS;
    rig->options.drain_timeout = 50;
}

static int set_up(void **state) {
    rig_set_up(state);
    prepare(*state);
    return 0;
}

static int tear_down(void **state) {
    allow(-1, 0);
    return rig_tear_down(state);
}

/* Anew, for what a test does several times. */
static void renew(struct tier_rig *rig, const struct policy *policy) {
    rig_renew(rig, policy);
    prepare(rig);
}

/* In the list of tests. */
#define MEMORY_CASE(name) RIG_CASE_WITH(name, set_up, tear_down)

/* Sets and touches; what was acknowledged is noted. */
static void write_some(struct tier_rig *rig, bool *stored, int count) {
    char command[64];
    for (int i = 0; i < count; i++) {
        snprintf(command, sizeof command, "set key%d %d 1000", i, i);
        const char *reply = rig_do(rig, command);
        stored[i] = strcmp(reply, "STORED") == 0;
        assert_true(stored[i] || strncmp(reply, "SERVER_ERROR", 12) == 0);
        snprintf(command, sizeof command, "touch key%d 5000", i);
        rig_do(rig, command);
    }
}

static void check_rows(struct tier_rig *rig, const bool *stored, int count) {
    char key[32], value[32];
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof key, "key%d", i);
        snprintf(value, sizeof value, "%d", i);
        char *row = rig_row(rig, key);
        assert_true(row ? strcmp(row, value) == 0 : !stored[i]);
        free(row);
    }
}

enum { COUNT = 3000 };

/* The batches of the flusher cannot grow, at any of the first places where they would. */
RIG_TEST(flushing_without_memory_loses_nothing, write_behind) {
    static bool stored[COUNT];
    for (long calls = 0; calls < 12; calls++) {
        renew(rig, &policy_write_behind);
        rig->spaces[0].flush_delay = 1;
        rig_start(rig);
        allow(calls, 0);
        write_some(rig, stored, COUNT);
        usleep(20000);
        allow(-1, 0);
        rig_do(rig, "sync");
        assert_int_equal(cache_dirty_entries(tier_cache(rig->tier), 0), 0);
        check_rows(rig, stored, COUNT);
    }
    assert_true(atomic_load(&refused) > 0);
}

/* Through the store, hot and cold: an answer of success is true, an error changes nothing that is not told. */
static void use_some(struct tier_rig *rig, int *values, int count) {
    char command[64], value[32];
    for (int i = 0; i < count; i++) {
        snprintf(command, sizeof command, "get key%d", i);
        const char *reply = rig_do(rig, command);
        snprintf(value, sizeof value, "%d", values[i]);
        assert_true(strcmp(reply, value) == 0 || strncmp(reply, "SERVER_ERROR", 12) == 0);
        snprintf(command, sizeof command, "incr key%d 1", i);
        reply = rig_do(rig, command);
        if (strncmp(reply, "SERVER_ERROR", 12) != 0)
            assert_int_equal(atoi(reply), ++values[i]);
    }
}

static void check_values(struct tier_rig *rig, const int *values, int count) {
    char key[32], value[32];
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof key, "key%d", i);
        snprintf(value, sizeof value, "%d", values[i]);
        rig_assert_row(rig, key, value);
    }
}

static void set_values(struct tier_rig *rig, int *values, int count) {
    for (int i = 0; i < count; i++) {
        values[i] = i * 100;
        rig_store(rig, "set key%d %d", i, values[i]);
    }
    rig_do(rig, "sync");
}

/* Changes of a pipeline that cannot go together go one by one. */
RIG_TEST(changes_of_a_pipeline_without_memory_go_one_by_one, write_through) {
    unsigned long before = atomic_load(&refused);
    for (long calls = 0; calls < 40; calls++) {
        renew(rig, &policy_write_through);
        rig_start(rig);
        rig_expect(rig, "set n 0", "STORED");
        allow(calls + 1, calls % 3 + 2); /* the client's own ticket is not missing */
        const char *replies = rig_pipeline(rig, "incr n 1;incr n 1;incr n 1;incr n 1;incr n 1;incr n 1");
        allow(-1, 0);
        long last = 0;
        for (const char *at = replies; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
            if (strncmp(at, "SERVER_ERROR", 12) != 0) {
                assert_int_equal(atol(at), last + 1);
                last++;
            }
        }
        char value[16];
        snprintf(value, sizeof value, "%ld", last);
        rig_assert_row(rig, "n", value);
    }
    assert_true(atomic_load(&refused) > before);
}

RIG_TEST(answers_are_true_without_memory, write_behind) {
    enum { KEYS = 40, ROUNDS = 30 };
    const struct policy *policies[] = {&policy_write_through, &policy_write_behind};
    int values[KEYS];
    for (int round = 0; round < 2 * ROUNDS; round++) {
        unsigned long before = atomic_load(&refused);
        renew(rig, policies[round % 2]);
        rig->spaces[0].journal = round % 2 ? JOURNAL_OS : JOURNAL_OFF;
        rig_start(rig);
        set_values(rig, values, KEYS);
        rig_end_tier(rig);
        rig->backend.store.timeout_ms = 100; /* what finds no memory is not tried for long */
        rig_start(rig);                      /* memory knows none of them */
        allow(round / 2, round % 4 + 1);
        use_some(rig, values, KEYS);
        allow(-1, 0);
        rig_do(rig, "sync");
        check_values(rig, values, KEYS);
        assert_true(atomic_load(&refused) > before);
    }
}

/* Where a change is answered once it is committed, what that takes is there before it is made: it is refused, or
 * waits. */
RIG_TEST(what_is_refused_for_want_of_a_ticket_is_not_made, write_behind) {
    enum { TRIES = 8 };
    struct rig_call *waiting[TRIES] = {NULL};
    bool waits[TRIES] = {false};
    char command[32], last[16] = "0";
    rig->spaces[0].dirty_limit = 1;
    rig->spaces[0].on_full = FULL_WRITE_THROUGH;
    rig_start(rig);
    faulty_hold(rig->faulty, FAULTY_APPLY, true);
    rig_store(rig, "set key 0");
    struct rig_call *sync = rig_begin(rig, 0, "sync");
    faulty_wait_held(rig->faulty, FAULTY_APPLY); /* it asks for no memory meanwhile */
    for (int i = 1; i < TRIES; i++) {
        unsigned long before = atomic_load(&refused);
        snprintf(command, sizeof command, "set key %d", i);
        allow(i - 1, 0);
        waiting[i] = rig_begin(rig, 0, command);
        allow(-1, 0);
        waits[i] = !waiting[i]->done;
        assert_true(waits[i] || atomic_load(&refused) > before);
        if (waits[i])
            snprintf(last, sizeof last, "%d", i);
        rig_expect(rig, "get key", last);
    }
    assert_true(!waits[1] && waits[TRIES - 1]);
    faulty_hold(rig->faulty, FAULTY_APPLY, false);
    for (int i = 1; i < TRIES; i++) {
        assert_string_equal(rig_finish(waiting[i]), waits[i] ? "STORED" : REPLY_NO_MEMORY);
        rig_free(waiting[i]);
    }
    rig_finish(sync);
    rig_free(sync);
    rig_do(rig, "sync");
    rig_assert_row(rig, "key", last);
}

static void assert_is_as_new(const struct tier_ticket *ticket) {
    assert_int_equal(ticket->park, PARK_NONE);
    assert_false(ticket->has_outcome || ticket->room_denied || ticket->confirmed || ticket->loads.arrived);
    assert_int_equal(ticket->loads.count, 0);
    assert_null(ticket->ahead.list);
    assert_int_equal(ticket->tries, 0);
    assert_int_equal(ticket->riders, 0);
    assert_int_equal(ticket->deadline_us, 0);
}

/* The request is answered, and nobody asks for the answer. */
static void begin_and_leave(struct tier_rig *rig, const char *command) {
    struct rig_call *call = rig_begin(rig, 0, command);
    struct tier_ticket *common = rig->workers[0].common, *ticket = call->ticket;
    assert_non_null(ticket);
    assert_is_as_new(common);
    eventually(tier_next_ready(tier_get_worker(rig->tier, 0)) == ticket);
    assert_true(ticket->has_outcome || ticket->loads.count > 0);
    tier_ticket_give_back(common, ticket);
    assert_is_as_new(ticket);
    call->ticket = NULL;
    rig_free(call);
}

/* What a ticket comes back with is not found by who has it next. */
RIG_TEST(a_ticket_that_was_given_back_is_as_new, write_through) {
    const struct tier_ticket *first = NULL;
    char command[32], value[16], key[16];
    rig_start(rig);
    begin_and_leave(rig, "set key0 none");
    begin_and_leave(rig, "get key2");
    for (int i = 0; i < 4; i++) {
        snprintf(key, sizeof key, "key%d", i);
        snprintf(value, sizeof value, "%d", i);
        memory_store_put(rig->store, "test", key, value, 1);
        snprintf(command, sizeof command, i % 2 ? "get %s" : "append %s x", key);
        struct rig_call *call = rig_begin(rig, 0, command);
        assert_non_null(call->ticket);
        assert_true(!first || call->ticket == first);
        first = call->ticket;
        assert_string_equal(rig_finish(call), i % 2 ? value : "STORED");
        tier_ticket_give_back(rig->workers[0].common, call->ticket);
        call->ticket = NULL;
        rig_free(call);
    }
}

/* A store that has lost something gets it all the same: what the journal alone has is owed until there is memory to
 * read it. */
RIG_TEST(a_store_that_went_back_gets_all_in_the_end, write_behind) {
    spared_type.remembers_deletes = true;
    rig->spaces[0].flush_delay = 1;
    rig->options.journal_keep = 60000;
    rig->options.journal_keep_size = 1 << 30;
    rig->awaited_log = "there is no memory to read what the journal has";
    rig_start(rig);
    rig_store(rig, "set key new");
    rig_store(rig, "set other v");
    rig_do(rig, "sync");
    rig_expect(rig, "forget key", "FORGOTTEN");
    memory_store_put(rig->store, "test", "key", "old", 1);
    faulty_hold(rig->faulty, FAULTY_OPEN, true);
    faulty_fail_call(rig->faulty, FAULTY_APPLY, 1, BACKEND_REPLACED);
    rig_expect(rig, "delete other", "DELETED"); /* memory has nothing to write again */
    faulty_wait_held(rig->faulty, FAULTY_OPEN);
    allow(0, 0);
    faulty_hold(rig->faulty, FAULTY_OPEN, false);
    eventually(rig_count_awaited(rig) > 0);
    allow(-1, 0);
    eventually(strcmp(rig_do(rig, "get key"), "new") == 0);
    rig_do(rig, "sync");
    rig_assert_row(rig, "key", "new");
}

/* A start that finds no memory says so, and leaves everything as it was for the next one. */
RIG_TEST(a_start_without_memory_leaves_all_as_it_was, write_behind) {
    static bool stored[COUNT];
    unsigned failed = 0;
    rig_start(rig);
    write_some(rig, stored, COUNT);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    rig_end_tier(rig);
    for (long calls = 0; calls < 400; calls += calls < 100 ? 1 : 9) {
        allow(calls, 0);
        const char *error = rig_try_start(rig);
        allow(-1, 0);
        if (error)
            failed++;
        else
            rig_end_tier(rig);
    }
    assert_true(failed > 0);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_OK);
    rig_start(rig);
    rig_do(rig, "sync");
    check_rows(rig, stored, COUNT);
    for (int i = 0; i < COUNT; i++)
        assert_true(stored[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        MEMORY_CASE(flushing_without_memory_loses_nothing),
        MEMORY_CASE(changes_of_a_pipeline_without_memory_go_one_by_one),
        MEMORY_CASE(answers_are_true_without_memory),
        MEMORY_CASE(what_is_refused_for_want_of_a_ticket_is_not_made),
        MEMORY_CASE(a_ticket_that_was_given_back_is_as_new),
        MEMORY_CASE(a_store_that_went_back_gets_all_in_the_end),
        MEMORY_CASE(a_start_without_memory_leaves_all_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
