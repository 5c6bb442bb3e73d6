/* SPDX-License-Identifier: MIT */
/* Links that are lost, and masters that are silent or away. */
#include "tests/backends/redis_cluster/steps.h"
#include "tests/backends/redis_cluster/subjects.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

/* ---- Links that are lost ---- */

/* A key whose slot this master has. */
static const char *key_of(int master) {
    static char key[16];
    unsigned number = 0;
    do
        snprintf(key, sizeof key, "sess:%u", number++);
    while ((int)(redis_slot_of(slice_string(key)) * MASTERS / REDIS_SLOTS) != master);
    return key;
}

static void open_reader(struct fixture *fixture) {
    open_writer(fixture, &fixture->writer);
    assert_ok(fixture, put_rows(fixture, 1000));
    assert_ok(fixture,
              redis_backend.open(&fixture->options, BACKEND_READER, &fixture->other, &fixture->error));
}

static enum backend_status load_one(struct fixture *fixture, const char *name,
                                    struct load_result *ret_result) {
    const struct slice key = slice_string(name);
    return redis_backend.load(fixture->other, &fixture->table, &key, 1, fixture->now, ret_result,
                              &fixture->error);
}

TEST(a_link_that_was_lost_is_made_anew_within_the_call) {
    struct fixture *fixture = *state;
    struct load_result result;
    open_reader(fixture);
    for (unsigned i = 0; i < 3; i++) {
        eventually((redis_server_ask(&masters[MASTERS - 1], "CLIENT KILL TYPE normal SKIPME yes"),
                    load_one(fixture, key_of(MASTERS - 1), &result)) == BACKEND_OK);
        assert_true(result.found);
    }
}

static unsigned maps_asked_for(const struct redis_server *server) {
    static const char name[] = "cmdstat_cluster|slots:calls=";
    const char *found = strstr(redis_server_ask(server, "INFO commandstats"), name);
    return found ? (unsigned)atoi(found + sizeof name - 1) : 0;
}

static unsigned maps_asked_for_by_any(void) {
    unsigned asked = 0;
    for (int i = 0; i < MASTERS; i++)
        asked += maps_asked_for(&masters[i]);
    return asked;
}

/* Its link is lost, and with it trust in the map. */
static void lose_link_to(struct fixture *fixture, int master) {
    struct load_result result;
    redis_server_ask(&masters[master], "CLIENT KILL TYPE normal SKIPME yes");
    assert_ok(fixture, load_one(fixture, key_of(master), &result));
}

TEST(each_server_asks_another_master_for_the_map) {
    struct fixture *fixture = *state;
    open_reader(fixture);
    for (unsigned node = 0; node < MASTERS; node++) {
        int other = (int)(node + 1) % MASTERS;
        struct load_result result;
        fixture->options.node = node;
        redis_backend.close(fixture->other);
        assert_ok(fixture,
                  redis_backend.open(&fixture->options, BACKEND_READER, &fixture->other, &fixture->error));
        assert_ok(fixture, load_one(fixture, key_of(other), &result));
        for (int i = 0; i < MASTERS; i++)
            assert_string_equal(redis_server_ask(&masters[i], "CONFIG RESETSTAT"), "OK");
        eventually((lose_link_to(fixture, other), maps_asked_for_by_any() > 0)); /* not again at once */
        assert_int_equal(maps_asked_for_by_any(), maps_asked_for(&masters[node]));
    }
}

/* ---- Masters that are silent ---- */

struct loaded {
    enum backend_status status;
    unsigned good, late; /* with the version of the row; load_result.late */
};

/* All that put_rows has put, in one call. */
static struct loaded load_rows(struct fixture *fixture) {
    struct loaded loaded = {0};
    struct load_result results[ROWS] = {0};
    loaded.status = read_into(fixture, fixture->other, results);
    for (unsigned i = 0; i < ROWS; i++) {
        loaded.late += results[i].late;
        loaded.good += !results[i].failed && results[i].found && results[i].entry.version == 1000 + i;
    }
    return loaded;
}

/* What comes late is for no other question. */
TEST(a_hasty_load_goes_on_without_a_master_that_is_silent) {
    struct fixture *fixture = *state;
    open_reader(fixture);
    fixture->other->patience = BACKEND_HASTY;
    eventually(load_rows(fixture).good == ROWS);
    redis_server_pause(&masters[1], true);
    for (unsigned turn = 0; turn < 3; turn++) {
        struct loaded loaded = load_rows(fixture);
        if (loaded.late == ROWS) /* a busy machine: all were */
            continue;
        assert_int_equal(loaded.status, BACKEND_TRANSIENT);
        assert_true(fixture->other->partial && loaded.late > 0);
        assert_int_equal(loaded.good + loaded.late, ROWS);
        assert_non_null(strstr(fixture->error.message, "no answer yet"));
    }
    redis_server_pause(&masters[1], false);
    struct loaded whole;
    eventually((whole = load_rows(fixture), whole.status == BACKEND_OK));
    assert_int_equal(whole.good, ROWS);
    assert_int_equal(fixture->other->reconnects, 0);
}

/* ---- Signals ---- */

static volatile sig_atomic_t signals_to_come;

static void go_on_after_signals(int number) {
    (void)number;
    if (signals_to_come > 0 && --signals_to_come == 0)
        redis_server_pause(&masters[1], false);
}

static void signal_every(suseconds_t pause_us) {
    const struct sigaction interrupts = {.sa_handler = go_on_after_signals}; /* no SA_RESTART */
    const struct itimerval timer = {.it_interval = {.tv_usec = pause_us}, .it_value = {.tv_usec = pause_us}};
    assert_int_equal(sigaction(SIGALRM, &interrupts, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

TEST(signals_lose_no_answer) {
    struct fixture *fixture = *state;
    open_reader(fixture);
    eventually(load_rows(fixture).good == ROWS);
    redis_server_pause(&masters[1], true);
    signals_to_come = 10;
    signal_every(5000);
    struct loaded loaded = load_rows(fixture);
    signal_every(0);
    assert_int_equal(signals_to_come, 0);
    assert_int_equal(loaded.good, ROWS);
    assert_int_equal(fixture->other->reconnects, 0);
}

/* Who waits keeps its thread from the keys of the others. So each call does once what there is to do, and asks for the
 * map. */
TEST(a_master_that_is_away_is_not_waited_for_while_others_serve) {
    struct fixture *fixture = *state;
    enum { CALLS = 5 };
    struct load_result result;
    open_reader(fixture);
    for (int i = 0; i < MASTERS; i++)
        assert_string_equal(redis_server_ask(&masters[i], "CONFIG SET cluster-require-full-coverage no"),
                            "OK");
    redis_server_kill(&masters[MASTERS - 1]);
    for (unsigned i = 0; i <= CALLS; i++) {
        assert_int_equal(load_one(fixture, key_of(MASTERS - 1), &result), BACKEND_TRANSIENT);
        assert_true(fixture->other->partial && result.failed);
        if (i == 0) /* that one has found out */
            assert_string_equal(redis_server_ask(&masters[0], "CONFIG RESETSTAT"), "OK");
    }
    assert_in_range(maps_asked_for(&masters[0]), 0, CALLS);
}

static const struct CMUnitTest cases[] = {
    CASE(each_server_asks_another_master_for_the_map),
    CASE(a_link_that_was_lost_is_made_anew_within_the_call),
    CASE(a_hasty_load_goes_on_without_a_master_that_is_silent),
    CASE(signals_lose_no_answer),
    CASE(a_master_that_is_away_is_not_waited_for_while_others_serve), /* the last: it stays away */
};

const struct subject about_links = {cases, sizeof cases / sizeof cases[0]};
