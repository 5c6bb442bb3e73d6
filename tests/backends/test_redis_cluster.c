/* SPDX-License-Identifier: MIT */
/*
 * What is particular to a Redis Cluster: by what it is known that one of its masters has lost something, and where versions
 * begin. What every backend owes is in test_conformance.c; outages under load are in tests/faults/test_cluster.py.
 */
#include "backends/kinds.h"
#include "backends/redis/slots.h"
#include "tests/support/check.h"
#include "tests/support/redis_server.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MASTERS = 3, ROWS = 60 };

static struct redis_server masters[MASTERS]; /* of the whole run: each test begins with FLUSHALL */

struct fixture {
    char uri[100];
    struct backend_table table;
    const struct backend_table *list[1];
    struct backend_options options;
    struct backend_connection *writer, *other; /* other: of a second node */
    struct backend_error error;
    uint32_t now;
};

static int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    for (int i = 0; i < MASTERS; i++)
        assert_string_equal(redis_server_ask(&masters[i], "FLUSHALL"), "OK");
    snprintf(fixture->uri, sizeof fixture->uri, "redis+cluster://127.0.0.1:%d", masters[0].port);
    fixture->table = (struct backend_table){.name = "sessions", .key_prefix = "sess:"};
    fixture->list[0] = &fixture->table;
    fixture->now = (uint32_t)time(NULL);
    fixture->options = (struct backend_options){.name = "cache",
                                                .uri = fixture->uri,
                                                .timeout_ms = EVENTUALLY_SECONDS * 1000,
                                                .tables = fixture->list,
                                                .table_count = 1};
    *state = fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    redis_backend.close(fixture->writer);
    redis_backend.close(fixture->other);
    free(fixture);
    return 0;
}

/* As the server opens it: it counts only once it has given its high version. */
static uint64_t open_writer(struct fixture *fixture, struct backend_connection **connection) {
    uint64_t version = 0;
    redis_backend.close(*connection);
    *connection = NULL;
    if (redis_backend.open(&fixture->options, BACKEND_WRITER, connection, &fixture->error) != BACKEND_OK ||
        redis_backend.high_version(*connection, &version, &fixture->error) != BACKEND_OK)
        fail_msg("%s", fixture->error.message);
    return version;
}

/* Rows for each of the masters. */
static enum backend_status put_rows(struct fixture *fixture, uint64_t version) {
    struct mutation mutations[ROWS];
    char keys[ROWS][16];
    for (unsigned i = 0; i < ROWS; i++) {
        snprintf(keys[i], sizeof keys[i], "sess:%u", i);
        mutations[i] = (struct mutation){
            .table = &fixture->table,
            .kind = MUTATION_PUT,
            .entry = {.key = slice_string(keys[i]), .value = SLICE("value"), .version = version + i}};
    }
    return redis_backend.apply(fixture->writer, mutations, ROWS, fixture->now, &fixture->error);
}

static enum backend_status look(struct fixture *fixture, struct backend_connection *connection) {
    return redis_backend.look(connection, &fixture->error);
}

TEST(versions_begin_above_those_of_all_masters) {
    struct fixture *fixture = *state;
    assert_int_equal(open_writer(fixture, &fixture->writer), 0);
    assert_int_equal(put_rows(fixture, 1000), BACKEND_OK);
    assert_int_equal(open_writer(fixture, &fixture->other), 1000 + ROWS - 1);
    assert_int_equal(look(fixture, fixture->other), BACKEND_OK);
    assert_memory_equal(&fixture->writer->identity, &fixture->other->identity,
                        sizeof fixture->other->identity);
}

TEST(a_high_version_that_is_none_is_refused) {
    struct fixture *fixture = *state;
    char key[60] = "forebay: high_version:{....}";
    uint64_t version = 0;
    redis_slot_tag(16383, strchr(key, '{') + 1);
    assert_string_equal(redis_server_ask(&masters[MASTERS - 1], "SET %s many", key), "OK");
    assert_int_equal(redis_backend.open(&fixture->options, BACKEND_WRITER, &fixture->writer, &fixture->error),
                     BACKEND_OK);
    assert_int_equal(redis_backend.high_version(fixture->writer, &version, &fixture->error), BACKEND_REFUSED);
    assert_non_null(strstr(fixture->error.message, key));
    assert_non_null(strstr(fixture->error.message, "holds many"));
}

TEST(a_master_that_lost_what_it_had_is_noticed_by_the_next_batch) {
    struct fixture *fixture = *state;
    open_writer(fixture, &fixture->writer);
    assert_int_equal(put_rows(fixture, 1000), BACKEND_OK);
    open_writer(fixture, &fixture->other);
    assert_string_equal(redis_server_ask(&masters[1], "FLUSHALL"), "OK");
    assert_int_equal(put_rows(fixture, 2000), BACKEND_REPLACED);
    assert_non_null(strstr(fixture->error.message, "went back to an older state"));
    /* Another node finds out as well, although versions are above what it knew. */
    const struct backend_identity before = fixture->writer->identity;
    open_writer(fixture, &fixture->writer);
    assert_memory_not_equal(&before, &fixture->writer->identity, sizeof before);
    assert_int_equal(put_rows(fixture, 3000), BACKEND_OK);
    assert_int_equal(look(fixture, fixture->other), BACKEND_REPLACED);
    open_writer(fixture, &fixture->other);
    assert_int_equal(look(fixture, fixture->other), BACKEND_OK);
    assert_int_equal(look(fixture, fixture->writer), BACKEND_OK);
}

TEST(a_master_that_lost_what_it_had_is_noticed_by_a_look) {
    struct fixture *fixture = *state;
    open_writer(fixture, &fixture->writer);
    assert_int_equal(put_rows(fixture, 1000), BACKEND_OK);
    assert_int_equal(look(fixture, fixture->writer), BACKEND_OK);
    assert_string_equal(redis_server_ask(&masters[2], "FLUSHALL"), "OK");
    assert_int_equal(look(fixture, fixture->writer), BACKEND_REPLACED);
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
    assert_int_equal(redis_backend.open(&fixture->options, BACKEND_WRITER, &fixture->writer, &fixture->error),
                     BACKEND_OK);
    assert_int_equal(redis_backend.high_version(fixture->writer, &version, &fixture->error), BACKEND_REFUSED);
    assert_non_null(strstr(fixture->error.message, "its node number 0 is used by another server (elsewhere"));
    ask_all("HDEL", "forebay: nodes", "0", NULL);
    ask_all("HSET", "forebay: nodes", "7", rival);
    open_writer(fixture, &fixture->writer);
    assert_int_equal(look(fixture, fixture->writer), BACKEND_OK);
    assert_int_equal(fixture->writer->company.others, 1);
}

TEST(forgotten_scripts_are_loaded_again) {
    struct fixture *fixture = *state;
    open_writer(fixture, &fixture->writer);
    assert_int_equal(put_rows(fixture, 1000), BACKEND_OK);
    for (int i = 0; i < MASTERS; i++)
        assert_string_equal(redis_server_ask(&masters[i], "SCRIPT FLUSH"), "OK");
    assert_int_equal(put_rows(fixture, 2000), BACKEND_OK);
}

/* ---- Page by page ---- */

struct page_reader {
    struct backend_visitor visitor;
    struct backend_place place;
    bool seen[ROWS];
    unsigned pages;
};

static bool see_key(struct backend_visitor *self, const struct entry *entry) {
    struct page_reader *reader = (struct page_reader *)(void *)self;
    char number[8] = "";
    assert_true(slice_starts_with(entry->key, SLICE("sess:")));
    memcpy(number, entry->key.data + 5, entry->key.size - 5);
    reader->seen[atoi(number)] = true;
    return true;
}

static struct page_reader *begin_pages(struct page_reader *reader) {
    *reader = (struct page_reader){.visitor = {see_key, .keys_only = true, .all_keys = true}};
    reader->visitor.place = &reader->place;
    return reader;
}

static void read_page(struct fixture *fixture, struct page_reader *reader) {
    if (redis_backend.scan(fixture->writer, &fixture->table, SIZE_MAX, 0, &reader->visitor,
                           &fixture->error) != BACKEND_OK)
        fail_msg("%s", fixture->error.message);
    reader->pages++;
}

static void expect_all_seen(const struct page_reader *reader) {
    for (size_t i = 0; i < ROWS; i++)
        assert_true(reader->seen[i]);
}

/* A slot without rows goes to another master, as all of them know. */
static void give_away(unsigned slot, int to) {
    char name[64];
    snprintf(name, sizeof name, "%s", redis_server_ask(&masters[to], "CLUSTER MYID"));
    for (int i = MASTERS; i-- > 0;)
        assert_string_equal(redis_server_ask(&masters[i], "CLUSTER SETSLOT %u NODE %s", slot, name), "OK");
}

TEST(pages_go_over_all_masters) {
    struct fixture *fixture = *state;
    struct page_reader reader;
    open_writer(fixture, &fixture->writer);
    assert_int_equal(put_rows(fixture, 1000), BACKEND_OK);
    for (begin_pages(&reader); !reader.place.end;)
        read_page(fixture, &reader);
    assert_int_equal(reader.pages, MASTERS);
    expect_all_seen(&reader);
}

TEST(pages_begin_anew_where_a_slot_has_moved) {
    struct fixture *fixture = *state;
    enum { EMPTY = 16383 };
    struct page_reader reader;
    open_writer(fixture, &fixture->writer);
    assert_int_equal(put_rows(fixture, 1000), BACKEND_OK);
    begin_pages(&reader);
    read_page(fixture, &reader);
    read_page(fixture, &reader);
    give_away(EMPTY, 0);
    memset(reader.seen, 0, sizeof reader.seen);
    while (!reader.place.end)
        read_page(fixture, &reader);
    expect_all_seen(&reader);
    assert_int_equal(reader.pages, 2 + MASTERS);
    give_away(EMPTY, MASTERS - 1);
}

TEST(pages_have_no_end_while_a_slot_moves) {
    struct fixture *fixture = *state;
    enum { EMPTY = 16383 };
    struct page_reader reader;
    char name[64];
    open_writer(fixture, &fixture->writer);
    assert_int_equal(put_rows(fixture, 1000), BACKEND_OK);
    snprintf(name, sizeof name, "%s", redis_server_ask(&masters[0], "CLUSTER MYID"));
    assert_string_equal(
        redis_server_ask(&masters[MASTERS - 1], "CLUSTER SETSLOT %d MIGRATING %s", EMPTY, name), "OK");
    for (begin_pages(&reader); reader.pages < MASTERS;)
        read_page(fixture, &reader);
    assert_int_equal(reader.place.size, 0); /* the beginning */
    assert_false(reader.place.end);
    assert_string_equal(redis_server_ask(&masters[MASTERS - 1], "CLUSTER SETSLOT %d STABLE", EMPTY), "OK");
    while (!reader.place.end)
        read_page(fixture, &reader);
    assert_int_equal(reader.pages, 2 * MASTERS);
    expect_all_seen(&reader);
}

/* ---- Links that are lost ---- */

/* A key whose slot the last master has. */
static const char *key_of_last(void) {
    static char key[16];
    unsigned number = 0;
    do
        snprintf(key, sizeof key, "sess:%u", number++);
    while (redis_slot_of(slice_string(key)) < REDIS_SLOTS - REDIS_SLOTS / MASTERS);
    return key;
}

static void open_reader(struct fixture *fixture) {
    open_writer(fixture, &fixture->writer);
    assert_int_equal(put_rows(fixture, 1000), BACKEND_OK);
    assert_int_equal(redis_backend.open(&fixture->options, BACKEND_READER, &fixture->other, &fixture->error),
                     BACKEND_OK);
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
        assert_int_equal(load_one(fixture, key_of_last(), &result), BACKEND_OK);
        assert_true(result.found);
        redis_server_ask(&masters[MASTERS - 1], "CLIENT KILL TYPE normal SKIPME yes");
    }
}

static unsigned maps_asked_for(const struct redis_server *server) {
    static const char name[] = "cmdstat_cluster|slots:calls=";
    const char *found = strstr(redis_server_ask(server, "INFO commandstats"), name);
    return found ? (unsigned)atoi(found + sizeof name - 1) : 0;
}

/* Who waits keeps its thread from the keys of the others. So each call does once what there is to do, and asks for the map. */
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
        assert_int_equal(load_one(fixture, key_of_last(), &result), BACKEND_TRANSIENT);
        assert_true(fixture->other->partial && result.failed);
        if (i == 0) /* that one has found out */
            assert_string_equal(redis_server_ask(&masters[0], "CONFIG RESETSTAT"), "OK");
    }
    assert_in_range(maps_asked_for(&masters[0]), 0, CALLS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(versions_begin_above_those_of_all_masters),
        CASE(a_high_version_that_is_none_is_refused),
        CASE(a_master_that_lost_what_it_had_is_noticed_by_the_next_batch),
        CASE(a_master_that_lost_what_it_had_is_noticed_by_a_look),
        CASE(a_node_number_that_is_taken_is_refused),
        CASE(forgotten_scripts_are_loaded_again),
        CASE(pages_go_over_all_masters),
        CASE(pages_begin_anew_where_a_slot_has_moved),
        CASE(pages_have_no_end_while_a_slot_moves),
        CASE(a_link_that_was_lost_is_made_anew_within_the_call),
        CASE(a_master_that_is_away_is_not_waited_for_while_others_serve), /* the last: it stays away */
    };
    signal(SIGPIPE, SIG_IGN);
    if (!redis_server_start_cluster(masters, MASTERS)) {
        fprintf(stderr, "redis-server (Debian: redis-server) is needed for these tests\n");
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (int i = 0; i < MASTERS; i++)
        redis_server_stop(&masters[i]);
    return failed;
}
