/* SPDX-License-Identifier: MIT */
/*
 * Workers, readers and the writer at the same time, over little memory and a backend that fails now and then;
 * for the thread sanitizer, and for what must hold whatever happens:
 *
 *   - Every increment that was acknowledged is in the final value, once: the numbers answered for a key are all
 *     different. Where errors leave the outcome open, the final value is within what is possible.
 *   - A reader never sees an older value of a key than it has seen before.
 *   - When all is flushed, the backend has what memory says.
 */
#include "tests/support/tier_rig.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    WORKERS = 2,
    IN_FLIGHT = 8,
    COUNTERS = 6,
    REGISTERS = 40,
    STEPS = 3000,
    VALUES_MAX = 40000,
    PADDING_MAX = 299
};

struct shared {
    struct tier_rig rig;
    bool errors_leave_it_open;
    pthread_mutex_t lock;
    unsigned char seen[COUNTERS][VALUES_MAX];          /* numbers answered; under the lock */
    uint64_t acknowledged[COUNTERS], errors[COUNTERS]; /* under the lock */
    atomic_bool stop;
    atomic_uint problems;
};

struct slot {
    struct rig_call *call;
    enum { INCREMENT, WRITE, READ, OTHER } kind;
    int key;
    uint64_t value, least; /* written; a read must not answer less */
};

struct driver {
    pthread_t thread;
    struct shared *shared;
    unsigned worker;
    uint64_t random;
    uint64_t written[REGISTERS]; /* by this worker: registers with number % WORKERS == worker */
    uint64_t last_seen[REGISTERS];
    bool busy[REGISTERS]; /* a write is under way */
    struct slot slots[IN_FLIGHT];
};

static uint64_t next_random(struct driver *driver) {
    driver->random ^= driver->random << 13;
    driver->random ^= driver->random >> 7;
    driver->random ^= driver->random << 17;
    return driver->random;
}

static void problem(struct shared *shared, const char *what, int key, const char *reply) {
    fprintf(stderr, "%s: key %d: %s\n", what, key, reply);
    atomic_fetch_add(&shared->problems, 1);
}

static bool is_error(const char *reply) {
    return strncmp(reply, "SERVER_ERROR", 12) == 0;
}

static void note_increment(struct shared *shared, int key, const char *reply) {
    pthread_mutex_lock(&shared->lock);
    if (is_error(reply)) {
        shared->errors[key]++;
    } else {
        uint64_t number = strtoull(reply, NULL, 10);
        shared->acknowledged[key]++;
        if (number == 0 || number >= VALUES_MAX || shared->seen[key][number])
            problem(shared, "the same number twice, or none", key, reply);
        else
            shared->seen[key][number] = 1;
    }
    pthread_mutex_unlock(&shared->lock);
}

static void finish_slot(struct driver *driver, struct slot *slot) {
    const char *reply = slot->call->reply;
    if (slot->kind == INCREMENT) {
        note_increment(driver->shared, slot->key, reply);
    } else if (slot->kind == WRITE) {
        driver->busy[slot->key] = false;
        if (strcmp(reply, "STORED") != 0 && !is_error(reply))
            problem(driver->shared, "set", slot->key, reply);
    } else if (slot->kind == READ && !is_error(reply)) {
        uint64_t number = strcmp(reply, "MISS") == 0 ? 0 : strtoull(reply, NULL, 10);
        if (number < slot->least)
            problem(driver->shared, "an older value than before", slot->key, reply);
        if (number > driver->last_seen[slot->key])
            driver->last_seen[slot->key] = number;
    }
    rig_free(slot->call);
    slot->call = NULL;
}

static void begin_slot(struct driver *driver, struct slot *slot) {
    char command[400];
    uint64_t dice = next_random(driver) % 100;
    slot->key = (int)(next_random(driver) % REGISTERS);
    if (dice < 30) {
        slot->kind = INCREMENT;
        slot->key %= COUNTERS;
        snprintf(command, sizeof command, "incr counter%d 1", slot->key);
    } else if (dice < 60 && slot->key % WORKERS == (int)driver->worker && !driver->busy[slot->key]) {
        slot->kind = WRITE;
        slot->value = ++driver->written[slot->key];
        driver->busy[slot->key] = true;
        char padding[PADDING_MAX + 1] = {0};
        memset(padding, 'p', next_random(driver) % (PADDING_MAX + 1));
        snprintf(command, sizeof command, "set register%d %llu-%s", slot->key,
                 (unsigned long long)slot->value, padding);
    } else if (dice < 96) {
        slot->kind = READ;
        slot->least = driver->last_seen[slot->key];
        snprintf(command, sizeof command, "get register%d", slot->key);
    } else {
        static const char *const others[] = {"flush_all", "sync", "set other 1", "delete other"};
        slot->kind = OTHER;
        snprintf(command, sizeof command, "%s", others[next_random(driver) % 4]);
    }
    slot->call = rig_begin(&driver->shared->rig, driver->worker, command);
}

static void *drive(void *argument) {
    struct driver *driver = argument;
    for (int step = 0; step < STEPS;) {
        bool moved = false;
        for (int i = 0; i < IN_FLIGHT; i++) {
            struct slot *slot = &driver->slots[i];
            if (!slot->call && step < STEPS) {
                begin_slot(driver, slot);
                step++;
                moved = true;
            }
            if (slot->call && rig_is_done(slot->call)) {
                finish_slot(driver, slot);
                moved = true;
            }
        }
        if (!moved)
            usleep(50);
    }
    for (int i = 0; i < IN_FLIGHT; i++)
        if (driver->slots[i].call) {
            rig_finish(driver->slots[i].call);
            finish_slot(driver, &driver->slots[i]);
        }
    return NULL;
}

/* Fails and loses answers in turn, until told to stop: one call, and then not before some have succeeded.
 * Else the pauses of the breaker grow, and every attempt meets a new failure. */
static void *trouble(void *argument) {
    struct shared *shared = argument;
    struct faulty *faulty = shared->rig.faulty;
    for (unsigned i = 0; !atomic_load(&shared->stop); i++) {
        switch (i % 5) {
        case 0:
            faulty_fail_call(faulty, FAULTY_APPLY, 1, BACKEND_TRANSIENT);
            break;
        case 1:
            faulty_lose_answer(faulty);
            break;
        case 2:
            faulty_tear(faulty, 2);
            break;
        case 3:
            faulty_fail_call(faulty, FAULTY_LOAD, 1, BACKEND_TRANSIENT);
            break;
        default:
            break;
        }
        size_t applied = faulty_applied(faulty);
        usleep(5000);
        while (faulty_applied(faulty) < applied + 40 && !atomic_load(&shared->stop))
            usleep(5000);
    }
    return NULL;
}

/* The trouble is over, but its last orders, and breakers, may still have an effect. */
static const char *ask(struct tier_rig *rig, const char *command) {
    const char *reply = rig_do(rig, command);
    for (int i = 0; i < 200 && is_error(reply); i++) {
        usleep(50000);
        reply = rig_do(rig, command);
    }
    return reply;
}

static void check_counters(struct shared *shared) {
    for (int key = 0; key < COUNTERS; key++) {
        char command[32], name[32];
        snprintf(command, sizeof command, "get counter%d", key);
        snprintf(name, sizeof name, "counter%d", key);
        uint64_t final = strtoull(ask(&shared->rig, command), NULL, 10);
        uint64_t least = shared->acknowledged[key], most = least;
        if (shared->errors_leave_it_open)
            most += shared->errors[key];
        if (final < least || final > most)
            fail_msg("counter %d is %llu, acknowledged %llu, errors %llu", key, (unsigned long long) final,
                     (unsigned long long)least, (unsigned long long)shared->errors[key]);
        char *row = rig_row(&shared->rig, name);
        assert_non_null(row);
        assert_int_equal(strtoull(row, NULL, 10), final);
        free(row);
    }
}

static void check_registers(struct shared *shared, struct driver *drivers) {
    for (int key = 0; key < REGISTERS; key++) {
        char command[32], name[32], reply[RIG_REPLY];
        uint64_t written = drivers[key % WORKERS].written[key];
        snprintf(command, sizeof command, "get register%d", key);
        snprintf(name, sizeof name, "register%d", key);
        snprintf(reply, sizeof reply, "%s", ask(&shared->rig, command));
        char *row = rig_row(&shared->rig, name);
        if (strcmp(reply, "MISS") == 0) {
            assert_null(row);
        } else {
            assert_non_null(row);
            assert_string_equal(row, reply);
            assert_true(strtoull(reply, NULL, 10) <= written);
        }
        free(row);
    }
}

/* All threads have ended when it returns. */
static void drive_all(struct shared *shared, struct driver *drivers, bool with_trouble) {
    pthread_t troubling;
    if (with_trouble)
        pthread_create(&troubling, NULL, trouble, shared);
    for (unsigned i = 0; i < WORKERS; i++) {
        drivers[i].shared = shared;
        drivers[i].worker = i;
        drivers[i].random = 88172645463325252ull + i * 7919;
        pthread_create(&drivers[i].thread, NULL, drive, &drivers[i]);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(drivers[i].thread, NULL);
    atomic_store(&shared->stop, true);
    if (with_trouble)
        pthread_join(troubling, NULL);
}

static void run(struct shared *shared, bool with_trouble) {
    struct driver drivers[WORKERS] = {0};
    struct tier_rig *rig = &shared->rig;
    rig_start(rig);
    for (int key = 0; key < COUNTERS; key++)
        rig_store(rig, "set counter%d 0", key);
    drive_all(shared, drivers, with_trouble);
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_OK);
    assert_int_equal(atomic_load(&shared->problems), 0);
    assert_false(is_error(ask(rig, "sync")));
    check_counters(shared);
    check_registers(shared, drivers);
    assert_true(cache_is_sane(tier_cache(rig->tier)));
}

/* ---- Tests ---- */

static int set_up(void **state) {
    struct shared *shared = calloc(1, sizeof *shared);
    if (!shared)
        return -1;
    *state = shared;
    pthread_mutex_init(&shared->lock, NULL);
    rig_init(&shared->rig, &policy_write_behind);
    return 0;
}

static int tear_down(void **state) {
    struct shared *shared = *state;
    rig_stop(&shared->rig);
    pthread_mutex_destroy(&shared->lock);
    free(shared);
    return 0;
}

/* A rig with little memory and small batches, nothing acknowledged yet. */
static struct shared *begin(void **state, const struct policy *policy) {
    tear_down(state);
    assert_int_equal(set_up(state), 0);
    struct shared *shared = *state;
    shared->rig.spaces[0].policy = policy;
    shared->rig.options.workers = WORKERS;
    shared->rig.options.cache.memory_limit = 4 << 20;
    shared->rig.options.cache.item_max = 4096;
    shared->rig.spaces[0].flush_delay = 5;
    shared->rig.spaces[0].flush_batch = 20;
    shared->errors_leave_it_open = policy == &policy_write_through;
    return shared;
}

TEST(write_through_holds) {
    run(begin(state, &policy_write_through), false);
}

TEST(write_through_holds_in_trouble) {
    run(begin(state, &policy_write_through), true);
}

TEST(write_behind_holds) {
    run(begin(state, &policy_write_behind), false);
}

TEST(write_behind_holds_in_trouble) {
    run(begin(state, &policy_write_behind), true);
}

TEST(write_behind_with_a_journal_holds) {
    struct shared *shared = begin(state, &policy_write_behind);
    rig_use_folder(&shared->rig);
    shared->rig.spaces[0].journal = JOURNAL_ALWAYS;
    run(shared, true);
}

TEST(write_behind_that_is_mostly_full_holds) {
    enum on_full answers[] = {FULL_WAIT, FULL_WRITE_THROUGH, FULL_REJECT};
    for (int i = 0; i < 3; i++) {
        struct shared *shared = begin(state, &policy_write_behind);
        shared->rig.spaces[0].dirty_limit = 3000;
        shared->rig.spaces[0].on_full = answers[i];
        shared->errors_leave_it_open = answers[i] == FULL_WRITE_THROUGH;
        run(shared, true);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(write_through_holds),
        CASE(write_through_holds_in_trouble),
        CASE(write_behind_holds),
        CASE(write_behind_holds_in_trouble),
        CASE(write_behind_with_a_journal_holds),
        CASE(write_behind_that_is_mostly_full_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
