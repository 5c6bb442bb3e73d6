/* SPDX-License-Identifier: MIT */
/* The absent filter over a store in memory: what need not be asked, and that no key of the store is taken for absent,
 * whatever is written, deleted, forgotten and killed meanwhile. Real stores and servers:
 * tests/faults/test_absent_filter.py. */
#include "policies/absence.h"
#include "tests/support/tier_rig.h"
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ROWS = 500, MODEL_KEYS = 60, MODEL_STEPS = 6000 };

/* ---- A disk that waits ---- */

static pthread_mutex_t disk_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t disk_moves = PTHREAD_COND_INITIALIZER;
static bool disk_is_held;
static unsigned disk_waits;

int __real_fdatasync(int file);
int __wrap_fdatasync(int file);

int __wrap_fdatasync(int file) {
    pthread_mutex_lock(&disk_mutex);
    disk_waits++;
    pthread_cond_broadcast(&disk_moves);
    while (disk_is_held)
        pthread_cond_wait(&disk_moves, &disk_mutex);
    disk_waits--;
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

static void await_held_disk(void) {
    pthread_mutex_lock(&disk_mutex);
    while (disk_waits == 0)
        pthread_cond_wait(&disk_moves, &disk_mutex);
    pthread_mutex_unlock(&disk_mutex);
}

static int let_go_and_tear_down(void **state) {
    hold_disk(false);
    return rig_tear_down(state);
}

/* ---- The filter ---- */

static struct absence_stats stats_of(struct tier_rig *rig) {
    struct absence_stats stats;
    absence_get_stats(tier_space(rig->tier, 0)->absence, &stats);
    return stats;
}

static bool is_asked(struct tier_rig *rig) {
    return stats_of(rig).asked;
}

/* Lines of the log with the awaited text. */
static unsigned told(struct tier_rig *rig) {
    pthread_mutex_lock(&rig->mutex);
    unsigned logs = rig->awaited_logs;
    pthread_mutex_unlock(&rig->mutex);
    return logs;
}

static size_t keys_asked(struct tier_rig *rig) {
    return memory_store_counts(rig->store).keys;
}

/* A tier with the filter, over this many rows key<i> of value<i>; nothing is started. */
static void with_rows(struct tier_rig *rig, unsigned rows) {
    char key[32], value[32];
    rig->spaces[0].absent_filter = true;
    for (unsigned i = 0; i < rows; i++) {
        snprintf(key, sizeof key, "key%u", i);
        snprintf(value, sizeof value, "value%u", i);
        memory_store_put(rig->store, "test", key, value, 1000 + i);
    }
}

static void start_filtered(struct tier_rig *rig, unsigned rows) {
    with_rows(rig, rows);
    rig_start(rig);
    eventually(is_asked(rig));
}

/* It answers how many changes it waited for. */
static void sync_all(struct tier_rig *rig) {
    const char *answer = rig_do(rig, "sync");
    if (answer[strspn(answer, "0123456789")] != '\0')
        fail_msg("sync: %s", answer);
}

/* What is clean leaves memory. */
static void void_memory(struct tier_rig *rig) {
    rig_expect(rig, "flush_all", "OK");
}

/* Reads that find nothing; gives the keys that the store was asked for. */
static size_t miss(struct tier_rig *rig, unsigned reads) {
    size_t before = keys_asked(rig);
    char command[48];
    for (unsigned i = 0; i < reads; i++) {
        snprintf(command, sizeof command, "get absent%u", i);
        rig_expect(rig, command, "MISS");
    }
    return keys_asked(rig) - before;
}

static void expect_rows(struct tier_rig *rig, unsigned rows) {
    char command[48], value[32];
    for (unsigned i = 0; i < rows; i++) {
        snprintf(command, sizeof command, "get key%u", i);
        snprintf(value, sizeof value, "value%u", i);
        rig_expect(rig, command, value);
    }
}

RIG_TEST(absent_keys_are_not_asked_for, write_behind) {
    start_filtered(rig, ROWS);
    assert_in_range(miss(rig, 1000), 0, 10);
    assert_in_range(stats_of(rig).answered, 990, 1000);
    assert_int_equal(stats_of(rig).answered + stats_of(rig).in_vain, 1000);
    expect_rows(rig, ROWS);
    size_t before = keys_asked(rig);
    rig_expect(rig, "gets nothing1", "MISS");
    assert_string_equal(rig_pipeline(rig, "get nothing2;get nothing3;get key1"), "MISS,MISS,value1");
    assert_in_range(keys_asked(rig) - before, 0, 1);
}

/* They would overwrite what somebody else has inserted. */
RIG_TEST(changes_ask_all_the_same, write_behind) {
    start_filtered(rig, ROWS);
    size_t before = keys_asked(rig);
    rig_expect(rig, "add new1 v", "STORED");
    rig_expect(rig, "incr new2 1", "NOT_FOUND");
    assert_int_equal(keys_asked(rig) - before, 2);
}

RIG_TEST(what_is_written_is_found_when_it_has_left_memory, write_behind) {
    start_filtered(rig, 0);
    for (unsigned i = 0; i < ROWS; i++)
        rig_store(rig, "set key%u value%u", i, i);
    sync_all(rig);
    void_memory(rig);
    expect_rows(rig, ROWS);
}

RIG_TEST(what_is_written_through_is_found, write_through) {
    start_filtered(rig, 0);
    for (unsigned i = 0; i < 50; i++)
        rig_store(rig, "set key%u value%u", i, i);
    void_memory(rig);
    expect_rows(rig, 50);
}

RIG_TEST(what_is_written_during_the_scan_is_found, write_behind) {
    with_rows(rig, ROWS);
    faulty_hold(rig->faulty, FAULTY_SCAN, true);
    rig_start(rig);
    faulty_wait_held(rig->faulty, FAULTY_SCAN);
    rig_store(rig, "set late v");
    sync_all(rig);
    void_memory(rig);
    assert_int_equal(miss(rig, 20), 20); /* there is no filter yet */
    faulty_hold(rig->faulty, FAULTY_SCAN, false);
    eventually(is_asked(rig));
    rig_expect(rig, "get late", "v");
    expect_rows(rig, ROWS);
}

/* The writer did not know of the filter when it began: the scan has to wait for it. */
RIG_TEST(the_scan_waits_for_what_is_being_written, write_behind) {
    with_rows(rig, ROWS);
    faulty_hold(rig->faulty, FAULTY_SCAN, true);
    rig_start(rig);
    faulty_wait_held(rig->faulty, FAULTY_SCAN);
    faulty_hold(rig->faulty, FAULTY_APPLY, true);
    rig_store(rig, "set late v");
    struct rig_call *sync = rig_begin(rig, 0, "sync");
    faulty_wait_held(rig->faulty, FAULTY_APPLY);
    faulty_hold(rig->faulty, FAULTY_SCAN, false);
    eventually(stats_of(rig).filling);
    assert_false(is_asked(rig));
    faulty_hold(rig->faulty, FAULTY_APPLY, false);
    assert_string_equal(rig_finish(sync), "1");
    eventually(is_asked(rig));
    void_memory(rig);
    rig_expect(rig, "get late", "v");
}

/* The other program's write is noticed with the writer's next look. */
RIG_TEST(another_programs_write_is_noticed, write_behind) {
    rig->awaited_log = "another program has written to the store";
    start_filtered(rig, ROWS);
    uint64_t before = stats_of(rig).distrusts;
    memory_store_put(rig->store, "test", "theirs", "v", 5);
    eventually(stats_of(rig).distrusts > before);
    rig_expect(rig, "get theirs", "v");
    eventually(is_asked(rig));
    rig_expect(rig, "get theirs", "v");
    assert_int_equal(told(rig), 1);
}

RIG_TEST(who_tells_of_a_row_is_believed_at_once, write_behind) {
    start_filtered(rig, ROWS);
    rig_expect(rig, "forget theirs", "NOT_FOUND");
    size_t before = keys_asked(rig);
    rig_expect(rig, "get theirs", "MISS");
    assert_int_equal(keys_asked(rig) - before, 1);
}

RIG_TEST(a_lost_store_is_not_believed, write_behind) {
    start_filtered(rig, ROWS);
    uint64_t before = stats_of(rig).distrusts;
    rig_store(rig, "set k v");
    faulty_fail_call(rig->faulty, FAULTY_APPLY, 1, BACKEND_REPLACED);
    sync_all(rig);
    assert_true(stats_of(rig).distrusts > before);
    eventually(is_asked(rig));
    expect_rows(rig, ROWS);
}

/* A refused row is in the quarantine alone. */
RIG_TEST(what_is_quarantined_is_found, write_behind) {
    rig_use_folder(rig);
    start_filtered(rig, ROWS);
    faulty_refuse_keys(rig->faulty, "bad");
    rig_store(rig, "set bad v");
    rig_do(rig, "sync");
    for (unsigned i = 0; i < 2; i++) {
        void_memory(rig);
        rig_expect(rig, "get bad", "v");
        rig_end_tier(rig);
        rig_start(rig);
        eventually(is_asked(rig));
    }
}

/* Refused before there was a filter that the writer knew, and put aside after the scan. */
RIG_TEST(what_is_quarantined_after_the_scan_is_found, write_behind) {
    rig_use_folder(rig);
    rig->spaces[0].journal = JOURNAL_OFF;
    with_rows(rig, ROWS);
    faulty_hold(rig->faulty, FAULTY_SCAN, true);
    rig_start(rig);
    faulty_wait_held(rig->faulty, FAULTY_SCAN);
    faulty_refuse_keys(rig->faulty, "bad");
    rig_store(rig, "set bad v");
    hold_disk(true);
    struct rig_call *sync = rig_begin(rig, 0, "sync");
    await_held_disk();
    faulty_hold(rig->faulty, FAULTY_SCAN, false);
    eventually(is_asked(rig));
    hold_disk(false);
    rig_finish(sync);
    void_memory(rig);
    rig_expect(rig, "get bad", "v");
}

/* What others write is seen by the writer's connection. */
RIG_TEST(without_a_connection_of_the_writer_it_is_not_believed, write_behind) {
    start_filtered(rig, ROWS);
    struct absence_stats before = stats_of(rig);
    faulty_fail_all(rig->faulty, FAULTY_OPEN, BACKEND_TRANSIENT);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    rig_store(rig, "set k v");
    struct rig_call *sync = rig_begin(rig, 0, "sync");
    eventually(rig_stat(rig, "store:write_failures") > 6);
    assert_true(stats_of(rig).distrusts > before.distrusts);
    assert_int_equal(stats_of(rig).builds, before.builds);
    assert_false(is_asked(rig));
    memory_store_put(rig->store, "test", "theirs", "v", 5);
    faulty_fail_all(rig->faulty, FAULTY_OPEN, BACKEND_OK);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_OK);
    rig_finish(sync);
    eventually(is_asked(rig));
    rig_expect(rig, "get theirs", "v");
    expect_rows(rig, ROWS);
}

/* They ask in any case: it is not worn for that. */
RIG_TEST(changes_of_absent_keys_do_not_wear_it, write_behind) {
    enum { MANY = 1500 };
    start_filtered(rig, 0);
    for (unsigned i = 0; i < MANY; i++)
        rig_store(rig, "add key%u value%u", i, i);
    assert_int_equal(stats_of(rig).in_vain, 0);
}

/* Twice as many keys as it was made for, and then most of them gone. */
RIG_TEST(it_is_built_anew_when_it_is_worn, write_behind) {
    enum { MANY = 4000 };
    start_filtered(rig, 0);
    for (unsigned i = 0; i < MANY; i++)
        rig_store(rig, "set key%u value%u", i, i);
    sync_all(rig);
    eventually(stats_of(rig).builds > 1 && is_asked(rig) && stats_of(rig).bytes > 4096 &&
               !stats_of(rig).filling);
    assert_in_range(stats_of(rig).bytes * 8, 1, (size_t)MANY * 12);
    uint64_t builds = stats_of(rig).builds;
    for (unsigned i = 0; i < MANY; i++) {
        char command[32];
        snprintf(command, sizeof command, "delete key%u", i);
        rig_expect(rig, command, "DELETED");
    }
    sync_all(rig);
    for (unsigned i = 0; i < MANY / 2; i++) {
        char command[32];
        snprintf(command, sizeof command, "get key%u", i);
        rig_expect(rig, command, "MISS");
    }
    eventually(stats_of(rig).builds > builds && stats_of(rig).bytes == 4096);
}

RIG_TEST(its_memory_counts_and_is_limited, write_behind) {
    enum { MANY = 30000 };
    rig->options.cache.memory_limit = 1 << 20;
    rig->spaces[0].dirty_limit = 1 << 18;
    with_rows(rig, MANY);
    struct cache_stats before, after;
    faulty_hold(rig->faulty, FAULTY_SCAN, true);
    rig_start(rig);
    cache_get_stats(tier_cache(rig->tier), CACHE_ALL_SPACES, &before);
    faulty_hold(rig->faulty, FAULTY_SCAN, false);
    eventually(is_asked(rig));
    cache_get_stats(tier_cache(rig->tier), CACHE_ALL_SPACES, &after);
    assert_true(after.memory_used >= before.memory_used + bloom_bytes(MANY));
    rig_end_tier(rig);
    for (unsigned i = MANY; i < 8 * MANY; i++) {
        char key[32];
        snprintf(key, sizeof key, "key%u", i);
        memory_store_put(rig->store, "test", key, "v", 1000);
    }
    rig->awaited_log = "no memory for the absent_filter";
    rig_start(rig);
    eventually(told(rig) == 1);
    assert_false(is_asked(rig));
    rig_expect(rig, "get nothing", "MISS");
}

/* ---- Filters that take turns ---- */

enum { TURNS = 600 };

struct turns {
    struct absence *absence;
    atomic_bool over;
    bool failed;
    unsigned excluded;
};

/* Threads that share a processor: one stops wherever it is when the other one wakes. */
static void share_processor(void) {
    cpu_set_t all, one;
    CPU_ZERO(&one);
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
}

static void *make_filters(void *argument) {
    struct turns *turns = argument;
    share_processor();
    const atomic_bool stop = false;
    for (unsigned i = 0; i < TURNS && !turns->failed; i++) {
        turns->failed = !absence_begin_filling(turns->absence, 100, &stop);
        usleep(50); /* the writer gets on, wherever that is */
        turns->failed |= !absence_end_filling(turns->absence, true);
        absence_free_unused(turns->absence, &stop);
    }
    atomic_store(&turns->over, true);
    return NULL;
}

/* As the writer does: true if the key is taken for absent while it comes into the store. */
static bool is_excluded_while_it_comes(const struct turns *turns, unsigned number) {
    struct space *space = turns->absence->space;
    char key[32];
    struct mutation mutation = {.table = &space->options.table, .kind = MUTATION_PUT};
    mutation.entry.key = slice_of(key, (size_t)snprintf(key, sizeof key, "key%u", number));
    absence_begin_writing(space->backend, &mutation, 1);
    bool excluded = absence_excludes(space, cache_hash(space->tier->cache, mutation.entry.key));
    absence_end_writing(space->backend);
    return excluded;
}

static void *write_keys(void *argument) {
    struct turns *turns = argument;
    share_processor();
    for (unsigned i = 0; !atomic_load(&turns->over); i++)
        turns->excluded += is_excluded_while_it_comes(turns, i);
    return NULL;
}

/* One that was filled may take the place of the one that is asked between any two steps of the writer. */
RIG_TEST(no_key_falls_between_two_filters, write_behind) {
    with_rows(rig, 0);
    faulty_hold(rig->faulty, FAULTY_SCAN, true);
    rig_start(rig);
    faulty_wait_held(rig->faulty, FAULTY_SCAN); /* the tier's own builder does nothing meanwhile */
    struct turns turns = {.absence = tier_space(rig->tier, 0)->absence};
    pthread_t builder, writer;
    assert_int_equal(pthread_create(&builder, NULL, make_filters, &turns), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_keys, &turns), 0);
    pthread_join(builder, NULL);
    pthread_join(writer, NULL);
    faulty_hold(rig->faulty, FAULTY_SCAN, false);
    assert_false(turns.failed);
    assert_int_equal(turns.excluded, 0);
}

/* ---- The model ---- */

struct model {
    struct tier_rig *rig;
    uint64_t random;
    unsigned number[MODEL_KEYS]; /* of the value; 0: there is none */
    unsigned next;
};

static unsigned roll(struct model *model, unsigned below) {
    model->random ^= model->random << 13;
    model->random ^= model->random >> 7;
    model->random ^= model->random << 17;
    return (unsigned)(model->random % below);
}

static void check_key(struct model *model, unsigned key) {
    char command[48], value[32];
    snprintf(command, sizeof command, "get k%u", key);
    snprintf(value, sizeof value, "v%u", model->number[key]);
    rig_expect(model->rig, command, model->number[key] ? value : "MISS");
}

static void set_key(struct model *model, unsigned key) {
    model->number[key] = ++model->next;
    rig_store(model->rig, "set k%u v%u", key, model->next);
}

static void delete_key(struct model *model, unsigned key) {
    char command[48];
    snprintf(command, sizeof command, "delete k%u", key);
    rig_expect(model->rig, command, model->number[key] ? "DELETED" : "NOT_FOUND");
    model->number[key] = 0;
}

/* An expiry that has come at once. */
static void expire_key(struct model *model, unsigned key) {
    char command[48];
    snprintf(command, sizeof command, "touch k%u -1", key);
    rig_expect(model->rig, command, model->number[key] ? "TOUCHED" : "NOT_FOUND");
    model->number[key] = 0;
}

/* As after kill -9: what the journal has comes back. */
static void kill_tier(struct model *model) {
    rig_end_tier(model->rig);
    rig_start(model->rig);
    if (roll(model, 2))
        eventually(is_asked(model->rig));
}

static void step(struct model *model) {
    unsigned dice = roll(model, 1000), key = roll(model, MODEL_KEYS);
    if (dice < 3)
        kill_tier(model);
    else if (dice < 40)
        sync_all(model->rig);
    else if (dice < 80)
        void_memory(model->rig);
    else if (dice < 83) /* another program writes, elsewhere in the store */
        memory_store_put(model->rig->store, "other", "key", "v", 1);
    else if (dice < 250)
        set_key(model, key);
    else if (dice < 350)
        delete_key(model, key);
    else if (dice < 380)
        expire_key(model, key);
    else
        check_key(model, key);
}

RIG_TEST(no_key_of_the_store_is_ever_taken_for_absent, write_behind) {
    struct model model = {.rig = rig, .random = 88172645463325252u};
    uint64_t answered = 0;
    rig_use_folder(rig);
    rig->spaces[0].journal = JOURNAL_OS;
    start_filtered(rig, 0);
    for (unsigned i = 0; i < MODEL_STEPS; i++) {
        step(&model);
        answered += stats_of(rig).answered > 0;
    }
    eventually(is_asked(rig));
    sync_all(rig);
    void_memory(rig);
    for (unsigned key = 0; key < MODEL_KEYS; key++)
        check_key(&model, key);
    assert_true(answered > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RIG_CASE(absent_keys_are_not_asked_for),
        RIG_CASE(changes_ask_all_the_same),
        RIG_CASE(what_is_written_is_found_when_it_has_left_memory),
        RIG_CASE(what_is_written_through_is_found),
        RIG_CASE(what_is_written_during_the_scan_is_found),
        RIG_CASE(the_scan_waits_for_what_is_being_written),
        RIG_CASE(another_programs_write_is_noticed),
        RIG_CASE(who_tells_of_a_row_is_believed_at_once),
        RIG_CASE(a_lost_store_is_not_believed),
        RIG_CASE(what_is_quarantined_is_found),
        RIG_CASE_WITH(what_is_quarantined_after_the_scan_is_found, rig_set_up, let_go_and_tear_down),
        RIG_CASE(without_a_connection_of_the_writer_it_is_not_believed),
        RIG_CASE(changes_of_absent_keys_do_not_wear_it),
        RIG_CASE(it_is_built_anew_when_it_is_worn),
        RIG_CASE(its_memory_counts_and_is_limited),
        RIG_CASE(no_key_falls_between_two_filters),
        RIG_CASE(no_key_of_the_store_is_ever_taken_for_absent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
