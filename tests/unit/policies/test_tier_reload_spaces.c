/* SPDX-License-Identifier: MIT */
/* Namespaces are added to a tier at work, and removed from it. */
#include "tests/support/reload_rig.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- Namespaces that are added ---- */

static struct space_options *add_new(struct tier_rig *rig, const struct policy *policy) {
    struct space_options *options = rig_add_space(rig, "new", "n:", policy);
    options->flush_delay = 10;
    return options;
}

static void expect_row(struct tier_rig *rig, const char *key, const char *value) {
    char *row = memory_store_get(rig->store, "new", key, NULL, NULL);
    if (!row || strcmp(row, value) != 0)
        fail_msg("row %s is %s instead of %s", key, row ? row : "not there", value);
    free(row);
}

/* Clean entries of the namespace that had the keys are dropped: the new policy says where they live. */
RIG_TEST(a_namespace_is_added, write_behind) {
    rig_start(rig);
    rig_expect(rig, "set n:a old", "STORED");
    rig_expect(rig, "set other old", "STORED");
    memory_store_put(rig->store, "new", "n:row", "there", 1000);
    rig_expect(rig, "get n:row", "MISS");
    add_new(rig, &policy_write_behind);
    reload(rig);
    rig_expect(rig, "get n:a", "MISS");
    rig_expect(rig, "get n:row", "there");
    rig_expect(rig, "get other", "old");
    rig_expect(rig, "set n:a 1", "STORED");
    rig_do(rig, "sync new");
    expect_row(rig, "n:a", "1");
    assert_int_equal(rig_stat(rig, "new:rows"), 1);
    assert_true(cache_is_sane(tier_cache(rig->tier)));
}

RIG_TEST(one_of_every_policy_can_be_added, write_behind) {
    const struct policy *const policies[] = {&policy_read_through, &policy_write_through,
                                             &policy_write_behind, &policy_cache_aside};
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        rig_renew(rig, &policy_write_behind);
        rig->spaces[0].prefix = "t:";
        rig_start(rig);
        add_new(rig, policies[i]);
        reload(rig);
        memory_store_put(rig->store, "new", "n:row", "there", 1000);
        rig_expect(rig, "get n:row", policies[i]->needs_backend ? "there" : "MISS");
        rig_expect(rig, "set n:a 1", "STORED");
        rig_expect(rig, "get n:a", "1");
        if (policies[i] == &policy_write_through)
            expect_row(rig, "n:a", "1");
        if (policies[i]->holds_back)
            eventually(rig_stat(rig, "new:rows") == 1);
    }
}

/* Its own options count, and it can be reloaded as any other. */
RIG_TEST(what_was_added_can_change, write_behind) {
    rig_start(rig);
    struct space_options *options = add_new(rig, &policy_write_behind);
    options->ttl = 500;
    options->flush_delay = 600000;
    reload(rig);
    rig_expect(rig, "set n:a 1", "STORED");
    options->flush_delay = 10;
    options->ttl = 0;
    reload(rig);
    eventually(rig_stat(rig, "new:rows") == 1);
    rig_expect(rig, "set n:b 1", "STORED");
    eventually(rig_stat(rig, "new:rows") == 2);
    uint32_t first = 0, second = 1;
    free(memory_store_get(rig->store, "new", "n:a", NULL, &first));
    free(memory_store_get(rig->store, "new", "n:b", NULL, &second));
    assert_true(first != 0 && second == 0);
}

RIG_TEST(what_needs_a_restart_is_not_added, write_behind) {
    rig_start(rig);
    rig_expect(rig, "set t:n:a 1", "STORED");
    add_new(rig, &policy_cache_aside)->prefix = "t:n:";
    expect_refusal(rig, "its keys are those of namespace \"test\" now, which has a backend");
    rig->spaces[1].prefix = "";
    expect_refusal(rig, "which has all keys of no other");
    rig->spaces[1].prefix = "n:";
    rig->spaces[1].policy = &policy_write_behind;
    rig->spaces[1].journal = JOURNAL_ALWAYS;
    expect_refusal(rig, "it is the first that has a journal");
    rig->spaces[1].journal = JOURNAL_OFF;
    rig->spaces[1].absent_filter = true;
    expect_refusal(rig, "it has an absent_filter");
    rig->space_count = 1;
    reload(rig);
    rig_expect(rig, "get t:n:a", "1");
}

/* As at a start; and when it is mended, it can be added. */
RIG_TEST(a_table_that_does_not_fit_is_told, write_behind) {
    rig_start(rig);
    rig_expect(rig, "set n:a old", "STORED");
    add_new(rig, &policy_write_behind);
    faulty_fail_table(rig->faulty, "new");
    rig->spaces[0].ttl = 500;
    expect_refusal(rig, "namespace \"new\": ");
    rig_expect(rig, "get n:a", "old");
    rig_expect(rig, "set t:a 1", "STORED"); /* goes on, and by the old options */
    rig_do(rig, "sync");
    assert_int_equal(rig_row_expiry(rig, "t:a"), 0);
    faulty_fail_table(rig->faulty, NULL);
    reload(rig);
    rig_expect(rig, "set n:a 1", "STORED");
    rig_do(rig, "sync");
    expect_row(rig, "n:a", "1");
}

/* As at a start: it is not waited for, longer than a call takes. */
RIG_TEST(a_backend_that_is_away_is_not_waited_for, write_behind) {
    rig->backend.store.timeout_ms = 50;
    rig_start(rig);
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_TRANSIENT);
    add_new(rig, &policy_write_behind);
    reload(rig);
    rig_expect(rig, "set n:a 1", "STORED");
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_OK);
    eventually(rig_stat(rig, "new:rows") == 1);
    expect_row(rig, "n:a", "1");
}

/* ---- Namespaces that are removed ---- */

RIG_TEST(a_namespace_is_removed, write_behind) {
    uint64_t value;
    rig_start(rig);
    rig_expect(rig, "set t:a 1", "STORED");
    rig->space_count = 0;
    rig->options.drain_timeout = 77; /* nothing of a reload that is refused is taken over */
    expect_refusal(
        rig,
        "namespace \"test\" cannot be removed while changes of it are in no store: 1 entry to be written");
    assert_int_equal(rig->tier->options.drain_timeout, 50);
    rig_expect(rig, "get t:a", "1");
    rig_do(rig, "sync");
    reload(rig);
    assert_int_equal(rig->tier->options.drain_timeout, 77);
    rig_expect(rig, "get t:a", "MISS");
    assert_false(rig_find_stat(rig, "test:entries", &value));
    assert_memory_equal(rig_do(rig, "sync test"), "CLIENT_ERROR", 12);
    rig_expect(rig, "set t:a other", "STORED");
    rig_expect(rig, "get t:a", "other");
    rig_assert_row(rig, "t:a", "1");
    assert_true(cache_is_sane(tier_cache(rig->tier)));
}

RIG_TEST(a_quarantine_keeps_its_namespace, write_behind) {
    faulty_refuse_keys(rig->faulty, "bad");
    rig_start(rig);
    rig_expect(rig, "set t:bad 1", "STORED");
    rig_do(rig, "sync");
    eventually(rig_stat(rig, "test:quarantine") == 1);
    rig->space_count = 0;
    expect_refusal(rig, "1 in quarantine");
    assert_int_equal(rig_stat(rig, "test:quarantine"), 1);
}

/* Its quotas, too: what was taken over before it was refused is given back. */
RIG_TEST(a_reload_that_is_refused_changes_nothing, write_behind) {
    rig_add_space(rig, "quota", "q:", &policy_cache_aside)->memory = 8 << 20;
    rig->options.cache.memory_limit = 64 << 20;
    rig_start(rig);
    rig_expect(rig, "set t:a 1", "STORED");
    fill(rig, "q:", 8000);
    size_t before = used_by(rig, 1);
    rig->spaces[0] = rig->spaces[1];
    rig->spaces[0].memory = 2 << 20;
    rig->space_count = 1;
    rig->options.cache.memory_limit = 32 << 20;
    expect_refusal(rig, "cannot be removed");
    struct cache_stats stats;
    cache_get_stats(tier_cache(rig->tier), CACHE_ALL_SPACES, &stats);
    assert_int_equal(stats.memory_limit, 64 << 20);
    fill(rig, "q:", 8000);
    assert_true(used_by(rig, 1) > before / 2);
}

RIG_TEST(what_was_removed_comes_back, write_behind) {
    rig_start(rig);
    rig_expect(rig, "set t:a 1", "STORED");
    rig_do(rig, "sync");
    rig->space_count = 0;
    reload(rig);
    rig_expect(rig, "set t:a cached", "STORED");
    rig->space_count = 1;
    reload(rig);
    rig_expect(rig, "get t:a", "1"); /* of the store */
    rig_expect(rig, "set t:a 2", "STORED");
    rig_do(rig, "sync");
    rig_assert_row(rig, "t:a", "2");
    rig->space_count = 0;
    reload(rig);
    rig->space_count = 1;
    rig->spaces[0].policy = &policy_write_through;
    expect_refusal(rig, "one of this name was removed since the start, which was another");
}

/* The same keys under another name and another policy, in one reload. */
RIG_TEST(one_takes_the_place_of_another, write_behind) {
    rig_start(rig);
    rig_expect(rig, "set t:a 1", "STORED");
    rig_do(rig, "sync");
    rig->spaces[0].name = rig->spaces[0].table.name = "new";
    rig->spaces[0].policy = &policy_write_through;
    reload(rig);
    rig_expect(rig, "get t:a", "MISS");
    rig_expect(rig, "set t:a 2", "STORED");
    expect_row(rig, "t:a", "2");
    rig_assert_row(rig, "t:a", "1");
}

/* A row that is on its way when its namespace goes does not get into memory: it would be found by whose keys they
 * are. */
RIG_TEST(a_late_row_is_left_out, read_through) {
    rig_start(rig);
    rig_put_row(rig, "t:a", "1");
    faulty_hold(rig->faulty, FAULTY_LOAD, true);
    struct rig_call *call = rig_begin(rig, 0, "get t:a");
    faulty_wait_held(rig->faulty, FAULTY_LOAD);
    rig->space_count = 0;
    reload(rig);
    faulty_hold(rig->faulty, FAULTY_LOAD, false);
    assert_string_equal(rig_finish(call), "MISS"); /* by the namespace that has the key now */
    rig_expect(rig, "get t:a", "MISS");
}

static void *let_go(void *argument) {
    struct tier_rig *rig = argument;
    usleep(20000);
    faulty_hold(rig->faulty, FAULTY_APPLY, false);
    return NULL;
}

/* A change that the writer has in hand is waited for, as it would be put into memory behind the reload's back. */
RIG_TEST(a_change_in_hand_is_waited_for, write_through) {
    pthread_t thread;
    rig_start(rig);
    faulty_hold(rig->faulty, FAULTY_APPLY, true);
    struct rig_call *call = rig_begin(rig, 0, "set t:a 1");
    faulty_wait_held(rig->faulty, FAULTY_APPLY);
    rig->space_count = 0;
    expect_refusal(rig, "cannot be removed while changes of it are with its backend");
    assert_int_equal(pthread_create(&thread, NULL, let_go, rig), 0);
    const char *error = NULL;
    while (!rig_is_done(call) || (error = rig_reload(rig)))
        assert_true(!error || strstr(error, "with its backend"));
    pthread_join(thread, NULL);
    rig_assert_row(rig, "t:a", "1");
    rig_expect(rig, "get t:a", "MISS");
}

/* ---- A start after it ---- */

RIG_TEST(what_was_added_is_recovered, write_behind) {
    const enum journal_mode modes[] = {JOURNAL_OS, JOURNAL_ALWAYS};
    for (size_t i = 0; i < 2; i++) {
        rig_renew(rig, &policy_write_behind);
        rig_use_folder(rig);
        rig->spaces[0].prefix = "t:";
        rig->spaces[0].flush_delay = 600000;
        rig->spaces[0].journal = JOURNAL_OS;
        rig_start(rig);
        rig_expect(rig, "set t:a 1", "STORED");
        struct space_options *options = add_new(rig, &policy_write_behind);
        options->journal = modes[i];
        options->flush_delay = 600000;
        reload(rig);
        rig_expect(rig, "set t:b 2", "STORED");
        rig_expect(rig, "set n:a 3", "STORED");
        rig_end_tier(rig);
        faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
        rig_start(rig);
        rig_expect(rig, "get t:a", "1");
        rig_expect(rig, "get t:b", "2");
        rig_expect(rig, "get n:a", "3");
        faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_OK);
        rig_do(rig, "sync");
        expect_row(rig, "n:a", "3");
    }
}

/* Without it in the configuration, nothing is left that a start would ask for. */
RIG_TEST(what_was_removed_is_not_asked_for, write_behind) {
    rig_use_folder(rig);
    rig->spaces[0].journal = JOURNAL_OS;
    struct space_options *options = add_new(rig, &policy_write_behind);
    options->journal = JOURNAL_OS;
    rig_start(rig);
    rig_expect(rig, "set t:a 1", "STORED");
    rig_expect(rig, "set n:a 1", "STORED");
    rig_do(rig, "sync new");
    rig->space_count = 1;
    reload(rig);
    rig_expect(rig, "set t:b 1", "STORED");
    rig_end_tier(rig);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    rig_start(rig);
    rig_expect(rig, "get t:a", "1");
    rig_expect(rig, "get t:b", "1");
    rig_expect(rig, "get n:a", "MISS");
}

/* Its journal is that of before, and its later changes are above what was noted of it. */
RIG_TEST(what_came_back_is_recovered, write_behind) {
    rig_use_folder(rig);
    rig->spaces[0].journal = JOURNAL_OS;
    add_new(rig, &policy_write_behind)->journal = JOURNAL_OS;
    rig_start(rig);
    for (int i = 0; i < 3; i++) {
        rig_expect(rig, "set n:a 1", "STORED");
        rig_do(rig, "sync new");
        rig->space_count = 1;
        reload(rig);
        rig->space_count = 2;
        reload(rig);
    }
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    rig_expect(rig, "set n:a 2", "STORED");
    rig_end_tier(rig);
    rig_start(rig);
    rig_expect(rig, "get n:a", "2");
}

/* A disk that takes no further file: nothing is added, and what is there goes on. */
RIG_TEST(a_full_disk_adds_nothing, write_behind) {
    rig_use_folder(rig);
    rig->spaces[0].journal = JOURNAL_OS;
    rig_start(rig);
    add_new(rig, &policy_write_behind)->journal = JOURNAL_OS;
    rig_files_can_be_written(false);
    assert_non_null(rig_reload(rig));
    rig_files_can_be_written(true);
    eventually(strcmp(rig_do(rig, "set t:a 1"), "STORED") == 0);
    reload(rig);
    rig_expect(rig, "set n:a 1", "STORED");
    rig_do(rig, "sync");
    expect_row(rig, "n:a", "1");
}

/* ---- Turns and reloads at once ---- */

enum { ROUNDS = 40, KEYS = 40 };

struct client {
    struct tier_rig *rig;
    unsigned worker;
    atomic_bool *stop;
    unsigned last[KEYS];
    atomic_uint done;
    atomic_bool wrong;
    char said[200];
};

static const char *ask(struct client *client, const char *command, char reply[64]) {
    struct rig_call *call = rig_begin(client->rig, client->worker, command);
    snprintf(reply, 64, "%s", rig_finish(call));
    rig_free(call);
    return reply;
}

static void complain(struct client *client, const char *command, const char *reply, unsigned expected) {
    client->wrong = true;
    snprintf(client->said, sizeof client->said, "%s: %s, the last was %u", command, reply, expected);
}

/* What stays has what was written last. What comes and goes has that, something older of ours, or nothing. */
static void check_read(struct client *client, const char *prefix, unsigned key) {
    char command[64], reply[64];
    bool stays = strcmp(prefix, "t:") == 0;
    snprintf(command, sizeof command, "get %s%u-%u", prefix, client->worker, key);
    ask(client, command, reply);
    unsigned value = (unsigned)strtoul(reply, NULL, 10), last = client->last[key];
    if (strcmp(reply, "MISS") == 0 ? stays && last : stays ? value != last : value > last)
        complain(client, command, reply, last);
}

static void *run_client(void *argument) {
    struct client *client = argument;
    char command[64], reply[64];
    for (unsigned i = 0; !atomic_load(client->stop) && !client->wrong; i++) {
        unsigned key = i * 7 % KEYS;
        client->last[key] = i + 1;
        for (int both = 0; both < 2; both++) {
            snprintf(command, sizeof command, "set %s%u-%u %u", both ? "n:" : "t:", client->worker, key,
                     i + 1);
            if (strcmp(ask(client, command, reply), "STORED") != 0)
                complain(client, command, reply, i);
            check_read(client, both ? "n:" : "t:", (key + i) % KEYS);
        }
        client->done++;
    }
    return NULL;
}

/* A machine with other things to do may let a thread begin late. */
static bool all_have_begun(struct client *clients) {
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        if (atomic_load(&clients[i].done) == 0 && !atomic_load(&clients[i].wrong))
            return false;
    return true;
}

/* How often it was removed. */
static unsigned reload_many_times(struct tier_rig *rig, struct client *clients) {
    unsigned removals = 0;
    for (unsigned i = 0; i < ROUNDS || !all_have_begun(clients); i++) {
        rig->spaces[0].flush_delay = i % 2 ? 5 : 50;
        rig->spaces[0].eviction = i % 3 ? CACHE_LRU : CACHE_S3_FIFO;
        rig->spaces[0].memory = i % 5 ? 8 << 20 : 0;
        rig->space_count = i % 4 < 2 ? 2 : 1;
        const char *error = rig_reload(rig);
        if (error && !strstr(error, "cannot be removed"))
            fail_msg("refused: %s", error);
        removals += !error && i % 4 == 2;
    }
    return removals;
}

static unsigned run_clients(struct tier_rig *rig) {
    struct client clients[RIG_WORKERS] = {{0}};
    pthread_t threads[RIG_WORKERS];
    atomic_bool stop = false;
    for (unsigned i = 0; i < RIG_WORKERS; i++) {
        clients[i].rig = rig;
        clients[i].worker = i;
        clients[i].stop = &stop;
        assert_int_equal(pthread_create(&threads[i], NULL, run_client, &clients[i]), 0);
    }
    unsigned removals = reload_many_times(rig, clients);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < RIG_WORKERS; i++) {
        if (clients[i].wrong)
            fail_msg("%s", clients[i].said);
    }
    assert_true(cache_is_sane(tier_cache(rig->tier)));
    return removals;
}

/* Also where the namespace that comes and goes may be dirty, or its changes with the writer: then it stays. */
RIG_TEST(turns_and_reloads_do_not_mind_each_other, write_behind) {
    const struct policy *const policies[] = {&policy_read_through, &policy_write_through,
                                             &policy_write_behind};
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        rig_renew(rig, &policy_write_behind);
        rig_use_folder(rig);
        rig->options.workers = RIG_WORKERS;
        rig->options.cache.memory_limit = 32 << 20;
        rig->spaces[0].prefix = "t:";
        rig->spaces[0].journal = JOURNAL_OS;
        add_new(rig, policies[i])->journal = JOURNAL_OS;
        rig_start(rig);
        assert_true(run_clients(rig) > 0 || policies[i]->holds_back);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RELOAD_CASE(a_namespace_is_added),
        RELOAD_CASE(one_of_every_policy_can_be_added),
        RELOAD_CASE(what_was_added_can_change),
        RELOAD_CASE(what_needs_a_restart_is_not_added),
        RELOAD_CASE(a_table_that_does_not_fit_is_told),
        RELOAD_CASE(a_backend_that_is_away_is_not_waited_for),
        RELOAD_CASE(a_namespace_is_removed),
        RELOAD_CASE(a_quarantine_keeps_its_namespace),
        RELOAD_CASE(a_reload_that_is_refused_changes_nothing),
        RELOAD_CASE(what_was_removed_comes_back),
        RELOAD_CASE(one_takes_the_place_of_another),
        RELOAD_CASE(a_late_row_is_left_out),
        RELOAD_CASE(a_change_in_hand_is_waited_for),
        RELOAD_CASE(what_was_added_is_recovered),
        RELOAD_CASE(what_was_removed_is_not_asked_for),
        RELOAD_CASE(what_came_back_is_recovered),
        RELOAD_CASE(a_full_disk_adds_nothing),
        RELOAD_CASE(turns_and_reloads_do_not_mind_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
