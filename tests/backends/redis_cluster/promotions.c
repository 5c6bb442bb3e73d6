/* SPDX-License-Identifier: MIT */
/* A replica that takes over, with all that its master had or without, and one that does so beside its master. */
#include "tests/backends/redis_cluster/steps.h"
#include "tests/backends/redis_cluster/subjects.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long long offset_of(const struct redis_server *server) {
    const char *at = strstr(redis_server_ask(server, "INFO replication"), "\nmaster_repl_offset:");
    return at ? atoll(at + strlen("\nmaster_repl_offset:")) : -1;
}

/* Until it has all that its master has. */
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
    uint64_t version;
    fixture->options.nodes = backend_nodes_create();
    lose_a_batch(fixture);
    const struct backend_identity before = fixture->writer->identity;
    redis_backend.close(fixture->writer);
    set_rival(fixture, "0");
    want_replicas(9);
    assert_ok(fixture,
              redis_backend.open(&fixture->options, BACKEND_WRITER, &fixture->writer, &fixture->error));
    assert_int_not_equal(redis_backend.high_version(fixture->writer, &version, &fixture->error), BACKEND_OK);
    want_replicas(0);
    remove_rival("0");
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

/* ---- Two masters ---- */

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

static const struct CMUnitTest cases[] = {
    CASE(a_promoted_replica_that_has_all_is_nobodys_business),
    CASE(a_promoted_replica_that_lacks_a_batch_is_noticed),
    CASE(what_a_connection_has_seen_is_known_to_the_next_one),
    CASE(what_an_opening_has_found_is_not_forgotten_with_it),
    CASE(a_loss_that_is_marked_late_is_told_once),
    CASE(where_two_masters_answer_that_of_the_writer_alone_is_believed),
};

const struct subject about_promotions = {cases, sizeof cases / sizeof cases[0]};
