/* SPDX-License-Identifier: MIT */
/*
 * What is particular to a Redis Cluster: by what it is known that one of its masters has lost something, what replicas
 * have of it, and where versions begin. Watchers, pages and slots that move are in test_redis_cluster_watch.c. What
 * every backend owes is in test_conformance.c; outages under load are in tests/faults/test_cluster.py.
 */
#include "tests/support/redis_cluster_fixture.h"
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct redis_server replica; /* of masters[0] */

TEST(versions_begin_above_those_of_all_masters) {
    struct fixture *fixture = *state;
    assert_int_equal(open_writer(fixture, &fixture->writer), 0);
    assert_ok(fixture, put_rows(fixture, 1000));
    assert_int_equal(open_writer(fixture, &fixture->other), 1000 + ROWS - 1);
    assert_ok(fixture, look(fixture, fixture->other));
    assert_memory_equal(&fixture->writer->identity, &fixture->other->identity,
                        sizeof fixture->other->identity);
}

/* It alone has the newest. Else the store would be taken for an older one. */
TEST(versions_begin_above_that_of_a_master_that_is_away) {
    struct fixture *fixture = *state;
    struct mutation newest = {.table = &fixture->table,
                              .kind = MUTATION_PUT,
                              .entry = {.key = SLICE("sess:59"),
                                        .value = SLICE("value"),
                                        .version = 2000}}; /* of the last master */
    fixture->options.nodes = backend_nodes_create();
    open_writer(fixture, &fixture->writer);
    assert_ok(fixture, put_rows(fixture, 1000));
    assert_ok(fixture, redis_backend.apply(fixture->writer, &newest, 1, fixture->now, &fixture->error));
    fixture->options.timeout_ms = 1000;
    redis_server_pause(&masters[MASTERS - 1], true);
    uint64_t version = open_writer(fixture, &fixture->writer);
    redis_server_pause(&masters[MASTERS - 1], false);
    assert_int_equal(version, 2000);
}

TEST(a_high_version_that_is_none_is_refused) {
    struct fixture *fixture = *state;
    char key[60] = "forebay: high_version:{....}";
    uint64_t version = 0;
    redis_slot_tag(16383, strchr(key, '{') + 1);
    assert_string_equal(redis_server_ask(&masters[MASTERS - 1], "SET %s many", key), "OK");
    assert_ok(fixture,
              redis_backend.open(&fixture->options, BACKEND_WRITER, &fixture->writer, &fixture->error));
    assert_comes_to(fixture, redis_backend.high_version(fixture->writer, &version, &fixture->error),
                    BACKEND_REFUSED);
    assert_non_null(strstr(fixture->error.message, key));
    assert_non_null(strstr(fixture->error.message, "holds many"));
}

TEST(a_master_that_lost_what_it_had_is_noticed_by_the_next_batch) {
    struct fixture *fixture = *state;
    open_writer(fixture, &fixture->writer);
    assert_ok(fixture, put_rows(fixture, 1000));
    open_writer(fixture, &fixture->other);
    assert_string_equal(redis_server_ask(&masters[1], "FLUSHALL"), "OK");
    assert_comes_to(fixture, put_rows(fixture, 2000), BACKEND_REPLACED);
    assert_non_null(strstr(fixture->error.message, "went back to an older state"));
    /* Another node finds out as well, although versions are above what it knew. */
    const struct backend_identity before = fixture->writer->identity;
    open_writer(fixture, &fixture->writer);
    assert_memory_not_equal(&before, &fixture->writer->identity, sizeof before);
    assert_ok(fixture, put_rows(fixture, 3000));
    assert_comes_to(fixture, look(fixture, fixture->other), BACKEND_REPLACED);
    open_writer(fixture, &fixture->other);
    assert_ok(fixture, look(fixture, fixture->other));
    assert_ok(fixture, look(fixture, fixture->writer));
}

TEST(a_master_that_lost_what_it_had_is_noticed_by_a_look) {
    struct fixture *fixture = *state;
    open_writer(fixture, &fixture->writer);
    assert_ok(fixture, put_rows(fixture, 1000));
    assert_ok(fixture, look(fixture, fixture->writer));
    assert_string_equal(redis_server_ask(&masters[2], "FLUSHALL"), "OK");
    assert_comes_to(fixture, look(fixture, fixture->writer), BACKEND_REPLACED);
}

static enum backend_status read_into(struct fixture *fixture, struct backend_connection *reader,
                                     struct load_result results[ROWS]) {
    struct slice keys[ROWS];
    char names[ROWS][16];
    for (unsigned i = 0; i < ROWS; i++) {
        snprintf(names[i], sizeof names[i], "sess:%u", i);
        keys[i] = slice_string(names[i]);
    }
    return redis_backend.load(reader, &fixture->table, keys, ROWS, fixture->now, results, &fixture->error);
}

static enum backend_status read_rows(struct fixture *fixture, struct backend_connection *reader) {
    struct load_result results[ROWS];
    return read_into(fixture, reader, results);
}

/* Over a new link it asks what each has to have, as the writer has shown it; and so does the writer before it reads. */
TEST(a_reader_believes_no_master_that_lacks_something) {
    struct fixture *fixture = *state;
    atomic_uint_fast64_t acknowledged = 0;
    fixture->options.nodes = backend_nodes_create();
    fixture->options.acknowledged = &acknowledged;
    open_writer(fixture, &fixture->writer);
    assert_ok(fixture, put_rows(fixture, 1000));
    for (unsigned lost = 0; lost < 2; lost++) {
        redis_backend.close(fixture->other);
        assert_ok(fixture,
                  redis_backend.open(&fixture->options, BACKEND_READER, &fixture->other, &fixture->error));
        assert_comes_to(fixture, read_rows(fixture, fixture->other), lost ? BACKEND_REPLACED : BACKEND_OK);
        assert_string_equal(redis_server_ask(&masters[1], "FLUSHALL"), "OK");
    }
    redis_server_ask(&masters[1], "CLIENT KILL TYPE normal SKIPME yes");
    assert_comes_to(fixture, read_rows(fixture, fixture->writer), BACKEND_REPLACED);
    open_writer(fixture, &fixture->writer);
    assert_ok(fixture, put_rows(fixture, 3000));
    eventually(read_rows(fixture, fixture->other) == BACKEND_OK);
}

/* Whichever master has the key. */
static void ask_all(const char *command, const char *key, const char *field, const char *value) {
    for (int i = 0; i < MASTERS; i++)
        if (value)
            redis_server_ask(&masters[i], "%s %s %s %s", command, key, field, value);
        else
            redis_server_ask(&masters[i], "%s %s %s", command, key, field);
}

TEST(a_node_number_that_is_taken_is_refused) {
    struct fixture *fixture = *state;
    uint64_t version;
    char rival[80];
    snprintf(rival, sizeof rival, "%u home boot/1/1/1 elsewhere, process 1", (unsigned)fixture->now);
    ask_all("HSET", "forebay: nodes", "0", rival);
    assert_ok(fixture,
              redis_backend.open(&fixture->options, BACKEND_WRITER, &fixture->writer, &fixture->error));
    assert_comes_to(fixture, redis_backend.high_version(fixture->writer, &version, &fixture->error),
                    BACKEND_REFUSED);
    assert_non_null(strstr(fixture->error.message, "its node number 0 is used by another server (elsewhere"));
    struct backend_error said = {.message = ""};
    assert_comes_to(fixture, redis_backend.probe(&fixture->options, &version, &said), BACKEND_REFUSED);
    assert_string_equal(said.message, fixture->error.message);
    fixture->options.node = 1;
    assert_ok(fixture, redis_backend.probe(&fixture->options, &version, &said));
    fixture->options.node = 0;
    ask_all("HDEL", "forebay: nodes", "0", NULL);
    ask_all("HSET", "forebay: nodes", "7", rival);
    open_writer(fixture, &fixture->writer);
    assert_ok(fixture, look(fixture, fixture->writer));
    assert_int_equal(fixture->writer->company.others, 1);
}

TEST(forgotten_scripts_are_loaded_again) {
    struct fixture *fixture = *state;
    open_writer(fixture, &fixture->writer);
    assert_ok(fixture, put_rows(fixture, 1000));
    for (int i = 0; i < MASTERS; i++)
        assert_string_equal(redis_server_ask(&masters[i], "SCRIPT FLUSH"), "OK");
    assert_ok(fixture, put_rows(fixture, 2000));
}

/* ---- Replicas ---- */

static size_t rows_at(const struct redis_server *server) {
    size_t rows = 0;
    for (unsigned i = 0; i < ROWS; i++)
        rows += strcmp(redis_server_ask(server, "HGET sess:%u value", i), "value") == 0;
    return rows;
}

/* The writer has no more than this for a call that fails. */
static void wait_for(struct fixture *fixture, unsigned milliseconds) {
    fixture->writer->call_until_us = monotonic_us() + milliseconds * US_PER_MS;
}

static long long offset_of(const struct redis_server *server) {
    const char *at = strstr(redis_server_ask(server, "INFO replication"), "\nmaster_repl_offset:");
    return at ? atoll(at + strlen("\nmaster_repl_offset:")) : -1;
}

static void await_replica(void) {
    eventually(offset_of(&replica) == offset_of(&masters[0]));
}

/* Who has the first slot, as this server knows it. */
static bool knows_owner(const struct redis_server *server) {
    char tag[REDIS_TAG_SIZE + 1] = "", moved[60] = "";
    redis_slot_tag(0, tag);
    if (server != &masters[0])
        snprintf(moved, sizeof moved, "-MOVED 0 127.0.0.1:%d", masters[0].port);
    return strcmp(redis_server_ask(server, "GET {%s}", tag), moved) == 0;
}

/* The replica takes the slots of its master over, whatever it has of them, and that one becomes its replica. */
static void promote(void) {
    struct redis_server promoted = replica;
    assert_string_equal(redis_server_ask(&replica, "CLUSTER FAILOVER TAKEOVER"), "OK");
    eventually(strncmp(redis_server_ask(&masters[0], "ROLE"), "slave", 5) == 0);
    replica = masters[0];
    masters[0] = promoted;
    for (int i = 0; i < MASTERS; i++)
        eventually(knows_owner(&masters[i]));
    eventually(strstr(redis_server_ask(&replica, "INFO replication"), "master_link_status:up"));
}

TEST(a_batch_counts_where_the_replicas_of_its_master_have_it) {
    struct fixture *fixture = *state;
    size_t done, lacking;
    fixture->own.replicas = 1;
    do { /* until none of them needs longer: the machine may be busy */
        open_writer(fixture, &fixture->writer);
        wait_for(fixture, 2000);
        assert_int_equal(put_some(fixture, 1000, &done, &lacking), BACKEND_TRANSIENT);
    } while (done == 0 || done + lacking < ROWS);
    assert_true(fixture->writer->partial);
    assert_non_null(strstr(fixture->error.message, "written, but only 0 of 1 replicas have it"));
    assert_int_equal(rows_at(&masters[0]) + rows_at(&masters[1]) + rows_at(&masters[2]), ROWS);
    assert_int_equal(done, rows_at(&masters[0]));
    assert_int_equal(lacking, ROWS - done);
    assert_int_equal(fixture->writer->replica_waits, MASTERS);
    assert_int_equal(fixture->writer->replica_short, MASTERS - 1);
}

/* Repeating changes nothing in the store, and is not taken for done before the replica has caught up. */
TEST(what_a_replica_lacks_is_not_done_until_it_has_it) {
    struct fixture *fixture = *state;
    size_t done, lacking;
    fixture->own.replicas = 1;
    redis_server_cut_off(&replica, &masters[0], true);
    open_writer(fixture, &fixture->writer);
    for (unsigned turn = 0; turn < 2; turn++) {
        wait_for(fixture, 200);
        assert_int_equal(put_some(fixture, 1000, &done, &lacking), BACKEND_TRANSIENT);
        assert_int_equal(done, 0);
        assert_false(fixture->writer->partial); /* of all masters */
    }
    redis_server_cut_off(&replica, &masters[0], false);
    eventually((wait_for(fixture, 200), put_some(fixture, 1000, &done, &lacking), done > 0));
    assert_int_equal(done, rows_at(&masters[0]));
}

TEST(a_promoted_replica_that_has_all_is_nobodys_business) {
    struct fixture *fixture = *state;
    open_writer(fixture, &fixture->writer);
    assert_ok(fixture, put_rows(fixture, 1000));
    await_replica();
    promote();
    assert_ok(fixture, put_rows(fixture, 2000));
    assert_ok(fixture, look(fixture, fixture->writer));
    assert_int_equal(fixture->writer->failovers.count, 1);
    char place[40];
    snprintf(place, sizeof place, "127.0.0.1:%d", masters[0].port);
    assert_string_equal(fixture->writer->failovers.to, place);
}

/* The batch that is lost has older versions, so the high version says nothing. */
static void lose_a_batch(struct fixture *fixture) {
    open_writer(fixture, &fixture->writer);
    assert_ok(fixture, put_rows(fixture, 2000));
    await_replica();
    redis_server_cut_off(&replica, &masters[0], true);
    assert_ok(fixture, put_rows(fixture, 1000));
    promote();
    redis_server_ask(&masters[0], "CONFIG SET masterauth %s", "");
}

static uint64_t newest_at(const struct redis_server *server) {
    uint64_t newest = 0;
    for (unsigned i = 0; i < ROWS; i++) {
        uint64_t version = strtoull(redis_server_ask(server, "HGET sess:%u version", i), NULL, 10);
        newest = version > newest ? version : newest;
    }
    return newest;
}

TEST(a_promoted_replica_that_lacks_a_batch_is_noticed) {
    struct fixture *fixture = *state;
    lose_a_batch(fixture);
    assert_comes_to(fixture, put_rows(fixture, 3000), BACKEND_REPLACED);
    assert_non_null(strstr(fixture->error.message, "went back to an older state"));
    assert_int_equal(fixture->writer->failovers.count, 1);
    assert_true(newest_at(&masters[0]) > 0 && newest_at(&masters[0]) < 3000); /* it was asked first */
    open_writer(fixture, &fixture->writer);
    assert_false(fixture->writer->went_back); /* it was told */
    eventually(put_rows(fixture, 3000) == BACKEND_OK);
}

TEST(what_a_connection_has_seen_is_known_to_the_next_one) {
    struct fixture *fixture = *state;
    fixture->options.nodes = backend_nodes_create();
    lose_a_batch(fixture);
    const struct backend_identity before = fixture->writer->identity;
    open_writer(fixture, &fixture->writer);
    assert_true(fixture->writer->went_back);
    assert_memory_not_equal(&before, &fixture->writer->identity, sizeof before); /* for other servers */
    eventually(put_rows(fixture, 3000) == BACKEND_OK); /* once all have the new map */
    open_writer(fixture, &fixture->writer);
    assert_false(fixture->writer->went_back);
}

/* Who takes no writes meanwhile takes no new mark. */
static void want_replicas(int count) {
    for (int i = 0; i < MASTERS; i++)
        assert_string_equal(redis_server_ask(&masters[i], "CONFIG SET min-replicas-to-write %d", count),
                            "OK");
}

/* And what is found by an opening that goes wrong, by the one that does not; other servers hear of it, too, once the
 * store takes a new mark. */
TEST(what_an_opening_has_found_is_not_forgotten_with_it) {
    struct fixture *fixture = *state;
    char rival[80];
    uint64_t version;
    fixture->options.nodes = backend_nodes_create();
    lose_a_batch(fixture);
    const struct backend_identity before = fixture->writer->identity;
    redis_backend.close(fixture->writer);
    snprintf(rival, sizeof rival, "%u home boot/1/1/1 elsewhere, process 1", (unsigned)fixture->now);
    ask_all("HSET", "forebay: nodes", "0", rival);
    want_replicas(9);
    assert_ok(fixture,
              redis_backend.open(&fixture->options, BACKEND_WRITER, &fixture->writer, &fixture->error));
    assert_int_not_equal(redis_backend.high_version(fixture->writer, &version, &fixture->error), BACKEND_OK);
    want_replicas(0);
    ask_all("HDEL", "forebay: nodes", "0", NULL);
    open_writer(fixture, &fixture->writer);
    assert_true(fixture->writer->went_back);
    assert_memory_not_equal(&before, &fixture->writer->identity, sizeof before);
    open_writer(fixture, &fixture->writer);
    assert_false(fixture->writer->went_back);
}

/* The store takes the new mark only when that opening has succeeded: the connection does not take it for another
 * store's, and neither does the next one, by which others hear of it. */
TEST(a_loss_that_is_marked_late_is_told_once) {
    struct fixture *fixture = *state;
    uint64_t version;
    fixture->options.nodes = backend_nodes_create();
    lose_a_batch(fixture);
    const struct backend_identity before = fixture->writer->identity;
    fixture->options.node = 1;
    open_writer(fixture, &fixture->other);
    fixture->options.node = 0;
    redis_server_ask(&masters[0], "CONFIG SET min-replicas-to-write %d", 9); /* that has the mark */
    open_writer(fixture, &fixture->writer);
    assert_true(fixture->writer->went_back);
    assert_memory_equal(&before, &fixture->writer->identity, sizeof before);
    want_replicas(0);
    assert_ok(fixture, redis_backend.high_version(fixture->writer, &version, &fixture->error));
    assert_ok(fixture, look(fixture, fixture->writer));
    assert_ok(fixture, look(fixture, fixture->other));
    open_writer(fixture, &fixture->writer);
    assert_false(fixture->writer->went_back);
    assert_true(fixture->writer->renamed);
    assert_memory_not_equal(&before, &fixture->writer->identity, sizeof before);
    assert_ok(fixture, look(fixture, fixture->writer));
    assert_comes_to(fixture, look(fixture, fixture->other), BACKEND_REPLACED);
    open_writer(fixture, &fixture->writer);
    assert_false(fixture->writer->renamed);
}

/* The first master hears of nobody any more, and goes on with its slots; for all others the replica has them. */
static void make_two_masters(void) {
    const struct redis_server *others[] = {&masters[1], &masters[2], &replica, &fresh};
    assert_string_equal(redis_server_ask(&masters[0], "CONFIG SET cluster-require-full-coverage no"), "OK");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s", redis_server_ask(others[i], "CLUSTER MYID"));
        assert_string_equal(redis_server_ask(&masters[0], "CLUSTER FORGET %s", name), "OK");
    }
    assert_string_equal(redis_server_ask(&replica, "CLUSTER FAILOVER TAKEOVER"), "OK");
    struct redis_server promoted = replica;
    replica = masters[0];
    masters[0] = promoted;
    for (int i = 0; i < MASTERS; i++)
        eventually(knows_owner(&masters[i]));
}

/* It hears that it is none. */
static void end_two_masters(void) {
    const struct redis_server *others[] = {&masters[0], &masters[1], &masters[2], &fresh};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        redis_server_join(&replica, others[i]);
    eventually(strncmp(redis_server_ask(&replica, "ROLE"), "slave", 5) == 0);
    eventually(strstr(redis_server_ask(&replica, "INFO replication"), "master_link_status:up"));
}

static void open_reader_at(struct fixture *fixture, const struct redis_server *seed,
                           struct backend_connection **connection) {
    snprintf(fixture->uri, sizeof fixture->uri, "redis+cluster://127.0.0.1:%d", seed->port);
    assert_ok(fixture, redis_backend.open(&fixture->options, BACKEND_READER, connection, &fixture->error));
}

/* Whether it gives a row that is older than those from this version on. On a busy machine it may give none. */
static bool is_taken_in(struct fixture *fixture, struct backend_connection *reader, uint64_t version) {
    struct load_result results[ROWS];
    bool answered = read_into(fixture, reader, results) == BACKEND_OK, older = false;
    for (unsigned i = 0; answered && i < ROWS; i++)
        older |= results[i].entry.version < version;
    return older;
}

/* One reader is where the writer is, and another one at a server that lacks what the writer has written since; over
 * links that both have used. Then the writer is there. */
TEST(where_two_masters_answer_that_of_the_writer_alone_is_believed) {
    struct fixture *fixture = *state;
    atomic_uint_fast64_t acknowledged = 0;
    fixture->options.nodes = backend_nodes_create();
    fixture->options.acknowledged = &acknowledged;
    open_writer(fixture, &fixture->writer);
    eventually(put_rows(fixture, 1000) == BACKEND_OK);
    open_reader_at(fixture, &masters[0], &fixture->other);
    eventually(read_rows(fixture, fixture->other) == BACKEND_OK);
    await_replica();
    make_two_masters();
    open_reader_at(fixture, &masters[1], &fixture->third);
    eventually(read_rows(fixture, fixture->third) == BACKEND_OK); /* it has all, so far */
    eventually(put_rows(fixture, 2000) == BACKEND_OK);
    assert_false(is_taken_in(fixture, fixture->other, 2000));
    assert_false(is_taken_in(fixture, fixture->third, 2000));
    open_writer(fixture, &fixture->writer);
    eventually(put_rows(fixture, 3000) == BACKEND_OK);
    assert_false(is_taken_in(fixture, fixture->other, 3000));
    eventually(read_rows(fixture, fixture->third) == BACKEND_OK);
    end_two_masters();
}

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
    struct slice keys[ROWS];
    char names[ROWS][16];
    struct load_result results[ROWS] = {0};
    for (unsigned i = 0; i < ROWS; i++) {
        snprintf(names[i], sizeof names[i], "sess:%u", i);
        keys[i] = slice_string(names[i]);
    }
    loaded.status = redis_backend.load(fixture->other, &fixture->table, keys, ROWS, fixture->now, results,
                                       &fixture->error);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(versions_begin_above_those_of_all_masters),
        CASE(versions_begin_above_that_of_a_master_that_is_away),
        CASE(a_high_version_that_is_none_is_refused),
        CASE(a_master_that_lost_what_it_had_is_noticed_by_the_next_batch),
        CASE(a_master_that_lost_what_it_had_is_noticed_by_a_look),
        CASE(a_reader_believes_no_master_that_lacks_something),
        CASE(a_node_number_that_is_taken_is_refused),
        CASE(forgotten_scripts_are_loaded_again),
        CASE(each_server_asks_another_master_for_the_map),
        CASE(a_batch_counts_where_the_replicas_of_its_master_have_it),
        CASE(what_a_replica_lacks_is_not_done_until_it_has_it),
        CASE(a_promoted_replica_that_has_all_is_nobodys_business),
        CASE(a_promoted_replica_that_lacks_a_batch_is_noticed),
        CASE(what_a_connection_has_seen_is_known_to_the_next_one),
        CASE(what_an_opening_has_found_is_not_forgotten_with_it),
        CASE(a_loss_that_is_marked_late_is_told_once),
        CASE(where_two_masters_answer_that_of_the_writer_alone_is_believed),
        CASE(a_link_that_was_lost_is_made_anew_within_the_call),
        CASE(a_hasty_load_goes_on_without_a_master_that_is_silent),
        CASE(signals_lose_no_answer),
        CASE(a_master_that_is_away_is_not_waited_for_while_others_serve), /* the last: it stays away */
    };
    signal(SIGPIPE, SIG_IGN);
    fresh.cluster = true;
    if (!redis_server_start(&fresh) || !redis_server_start_cluster(masters, MASTERS) ||
        !redis_server_start_replica(&replica, &masters[0])) {
        fprintf(stderr, "redis-server (Debian: redis-server) is needed for these tests\n");
        return 1;
    }
    redis_server_join(&fresh, &masters[0]);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    redis_server_stop(&fresh);
    redis_server_stop(&replica);
    for (int i = 0; i < MASTERS; i++)
        redis_server_stop(&masters[i]);
    return failed;
}
