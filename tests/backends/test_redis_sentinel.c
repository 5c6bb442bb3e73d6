/* SPDX-License-Identifier: MIT */
/*
 * The master that Sentinel names: found, lost, found elsewhere; what is told where nobody names it; what replicas have
 * of it. Sentinels are real ones, of which the tests change what they watch: none has to wait for a failover.
 */
#include "backends/kinds.h"
#include "backends/redis/options.h"
#include "tests/support/check.h"
#include "tests/support/heard.h"
#include "tests/support/redis_server.h"
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct fixture {
    struct redis_server first, second; /* two Redis, of which the first is the master */
    struct redis_server sentinel, other_sentinel;
    char uri[200];
    struct backend_table table;
    const struct backend_table *list[1];
    struct redis_options own;
    struct backend_options options;
    struct backend_connection *writer, *reader;
    struct backend_error error;
    pid_t child; /* 0: none */
};

static const char *const with_password[] = {"requirepass secret", NULL};

enum { MINUTE = 60000 /* milliseconds: time for what is to succeed */ };

static bool start_sentinel(struct redis_server *sentinel, int watched_port, const char *const *lines) {
    sentinel->watched_port = watched_port;
    sentinel->options = lines;
    return redis_server_start(sentinel);
}

__attribute__((format(printf, 2, 3))) static void use_sentinels(struct fixture *fixture, const char *form,
                                                                ...) {
    va_list ports;
    va_start(ports, form);
    vsnprintf(fixture->uri, sizeof fixture->uri, form, ports);
    va_end(ports);
}

static int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    if (!redis_server_start(&fixture->first) || !redis_server_start(&fixture->second) ||
        !start_sentinel(&fixture->sentinel, fixture->first.port, *state))
        fail_msg("redis-server (Debian: redis-server) is needed for these tests");
    fixture->table = (struct backend_table){.name = "sessions", .key_prefix = "sess:"};
    fixture->list[0] = &fixture->table;
    fixture->own = (struct redis_options){{&redis_backend}, .tombstone_seconds = 60};
    fixture->options = (struct backend_options){.name = "cache",
                                                .uri = fixture->uri,
                                                .timeout_ms = MINUTE,
                                                .specific = &fixture->own.base,
                                                .tables = fixture->list,
                                                .table_count = 1};
    use_sentinels(fixture, "redis+sentinel://127.0.0.1:%d/mymaster", fixture->sentinel.port);
    *state = fixture;
    return 0;
}

static void end_child(struct fixture *fixture) {
    if (fixture->child > 0) {
        kill(fixture->child, SIGKILL);
        waitpid(fixture->child, NULL, 0);
    }
    fixture->child = 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    end_child(fixture);
    redis_backend.close(fixture->writer);
    redis_backend.close(fixture->reader);
    if (fixture->other_sentinel.port)
        redis_server_stop(&fixture->other_sentinel);
    redis_server_stop(&fixture->sentinel);
    redis_server_stop(&fixture->second);
    redis_server_stop(&fixture->first);
    free(fixture);
    return 0;
}

#define open_as(fixture, role)                                                                               \
    redis_backend.open(&(fixture)->options, role, &(fixture)->writer, &(fixture)->error)

static void open_writer(struct fixture *fixture) {
    uint64_t version;
    if (open_as(fixture, BACKEND_WRITER) != BACKEND_OK ||
        redis_backend.high_version(fixture->writer, &version, &fixture->error) != BACKEND_OK)
        fail_msg("%s", fixture->error.message);
}

static enum backend_status put(struct fixture *fixture, const char *key, uint64_t version) {
    struct mutation mutation = {.table = &fixture->table,
                                .kind = MUTATION_PUT,
                                .entry = {.key = slice_string(key), .value = SLICE("v"), .version = version}};
    return redis_backend.apply(fixture->writer, &mutation, 1, 0, &fixture->error);
}

static void assert_put(struct fixture *fixture, const char *key, uint64_t version) {
    if (put(fixture, key, version) != BACKEND_OK)
        fail_msg("%s", fixture->error.message);
}

static enum backend_status read_by(struct fixture *fixture, struct backend_connection *connection) {
    const struct slice key = SLICE("sess:a");
    struct load_result result = {0};
    return redis_backend.load(connection, &fixture->table, &key, 1, 0, &result, &fixture->error);
}

static void assert_has(const struct redis_server *server, const char *key) {
    assert_string_equal(redis_server_ask(server, "HGET %s value", key), "v");
}

static void assert_place(const struct fixture *fixture, const struct redis_server *server) {
    char place[40];
    snprintf(place, sizeof place, "127.0.0.1:%d", server->port);
    assert_string_equal(fixture->writer->place, place);
}

static void assert_says(const struct fixture *fixture, const char *part) {
    if (!strstr(fixture->error.message, part))
        fail_msg("\"%s\" is not in: %s", part, fixture->error.message);
}

static void assert_refused(struct fixture *fixture, const char *part) {
    assert_int_equal(open_as(fixture, BACKEND_WRITER), BACKEND_REFUSED);
    assert_says(fixture, part);
    assert_null(strstr(fixture->error.message, "secret"));
}

/* The writer has no more than this for what fails. */
static void wait_briefly(struct fixture *fixture) {
    fixture->writer->call_until_us = monotonic_us() + 300 * US_PER_MS;
}

/* As after a failover: another Redis is the master of this name. */
static void name_second(struct fixture *fixture) {
    assert_string_equal(redis_server_ask(&fixture->sentinel, "SENTINEL REMOVE mymaster"), "OK");
    assert_string_equal(redis_server_ask(&fixture->sentinel, "SENTINEL MONITOR mymaster 127.0.0.1 %d 1",
                                         fixture->second.port),
                        "OK");
}

static void make_replica(const struct redis_server *server, const struct redis_server *master) {
    assert_string_equal(redis_server_ask(master, "CONFIG SET repl-diskless-sync-delay 0"), "OK");
    assert_string_equal(redis_server_ask(server, "REPLICAOF 127.0.0.1 %d", master->port), "OK");
}

/* ---- Found ---- */

TEST(what_is_written_goes_to_the_master) {
    struct fixture *fixture = *state;
    open_writer(fixture);
    assert_put(fixture, "sess:a", 1);
    assert_has(&fixture->first, "sess:a");
    assert_place(fixture, &fixture->first);
}

TEST(a_sentinel_that_is_away_or_hangs_is_passed_over) {
    struct fixture *fixture = *state;
    assert_true(start_sentinel(&fixture->other_sentinel, fixture->first.port, NULL));
    use_sentinels(fixture, "redis+sentinel://127.0.0.1:%d,127.0.0.1:%d/mymaster",
                  fixture->other_sentinel.port, fixture->sentinel.port);
    redis_server_pause(&fixture->other_sentinel, true);
    open_writer(fixture);
    assert_put(fixture, "sess:a", 1);
    redis_server_kill(&fixture->other_sentinel);
    redis_server_ask(&fixture->first, "CLIENT KILL TYPE normal");
    assert_put(fixture, "sess:b", 2);
    assert_has(&fixture->first, "sess:b");
}

TEST(a_sentinel_that_wants_another_password_is_passed_over) {
    struct fixture *fixture = *state;
    assert_true(start_sentinel(&fixture->other_sentinel, fixture->first.port, with_password));
    use_sentinels(fixture, "redis+sentinel://127.0.0.1:%d,127.0.0.1:%d/mymaster",
                  fixture->other_sentinel.port, fixture->sentinel.port);
    open_writer(fixture);
    assert_put(fixture, "sess:a", 1);
}

TEST(without_sentinels_the_link_that_stands_goes_on) {
    struct fixture *fixture = *state;
    open_writer(fixture);
    redis_server_kill(&fixture->sentinel);
    assert_int_equal(redis_backend.look(fixture->writer, &fixture->error), BACKEND_OK);
    assert_put(fixture, "sess:a", 1);
}

TEST(its_password_and_its_user_open_a_sentinel) {
    struct fixture *fixture = *state;
    fixture->own.sentinel_password = "secret";
    open_writer(fixture);
    assert_put(fixture, "sess:a", 1);
    fixture->own.sentinel_user = "ann";
    redis_backend.close(fixture->writer);
    fixture->writer = NULL;
    assert_refused(fixture,
                   "WRONGPASS invalid username-password pair or user is disabled: correct sentinel_user");
}

/* ---- Found elsewhere ---- */

TEST(a_look_finds_the_master_elsewhere) {
    struct fixture *fixture = *state;
    open_writer(fixture);
    assert_put(fixture, "sess:a", 1);
    name_second(fixture);
    assert_int_equal(redis_backend.look(fixture->writer, &fixture->error),
                     BACKEND_REPLACED); /* it is empty */
    redis_backend.close(fixture->writer);
    fixture->writer = NULL;
    open_writer(fixture);
    assert_put(fixture, "sess:a", 1);
    assert_has(&fixture->second, "sess:a");
    assert_place(fixture, &fixture->second);
}

static void await_row(const struct redis_server *server, const char *key) {
    eventually(strcmp(redis_server_ask(server, "HGET %s value", key), "v") == 0);
}

/* Sentinel cuts off the clients of such a master in the same step; who tells it by hand does not. So it shows what it
 * has got of the other one over links that have always led to it. */
TEST(a_master_that_became_a_replica_is_not_believed_over_a_link_that_stays) {
    struct fixture *fixture = *state;
    atomic_uint_fast64_t acknowledged = 0;
    fixture->options.acknowledged = &acknowledged;
    open_writer(fixture);
    assert_int_equal(redis_backend.open(&fixture->options, BACKEND_READER, &fixture->reader, &fixture->error),
                     BACKEND_OK);
    assert_put(fixture, "sess:b", 1);
    make_replica(&fixture->second, &fixture->first);
    await_row(&fixture->second, "sess:b");
    assert_string_equal(redis_server_ask(&fixture->second, "REPLICAOF NO ONE"), "OK");
    assert_put(fixture, "sess:a", 2); /* the other one never has it */
    atomic_store(&acknowledged, fixture->writer->applied);
    assert_int_equal(read_by(fixture, fixture->reader), BACKEND_OK);
    make_replica(&fixture->first, &fixture->second);
    eventually(*redis_server_ask(&fixture->first, "HGET sess:a value") == '\0');
    assert_int_equal(read_by(fixture, fixture->reader), BACKEND_REPLACED);
    assert_says(fixture, "went back to an older state");
    assert_int_equal(read_by(fixture, fixture->writer), BACKEND_REPLACED);
    assert_int_equal(fixture->reader->reconnects + fixture->writer->reconnects, 0);
}

/* Somebody has removed the number, which says nothing of the rows: the next batch makes it anew. */
TEST(a_number_that_is_missing_alone_keeps_the_writer_from_nothing) {
    struct fixture *fixture = *state;
    open_writer(fixture);
    assert_put(fixture, "sess:a", 1);
    assert_string_equal(redis_server_ask(&fixture->first, "DEL %s", "forebay: applied:0"), "1");
    assert_int_equal(read_by(fixture, fixture->writer), BACKEND_OK);
    assert_put(fixture, "sess:a", 2);
    assert_int_equal(read_by(fixture, fixture->writer), BACKEND_OK);
}

/* ---- Hearing of changes ---- */

/* The old master goes on and answers; nobody writes. */
TEST(a_watcher_leaves_a_master_that_is_none_any_more) {
    struct fixture *fixture = *state;
    assert_int_equal(open_as(fixture, BACKEND_WATCHER), BACKEND_OK);
    assert_int_equal(hear_all(fixture->writer).lost, 1);
    name_second(fixture);
    uint64_t named_us = monotonic_us();
    struct heard heard = heard_nothing();
    while (hear_once(fixture->writer, &heard, &fixture->error) == BACKEND_OK)
        assert_true(heard.proven_us < named_us);
    assert_non_null(strstr(fixture->error.message, "Sentinel names another master"));
    assert_int_equal(hear_all(fixture->writer).lost, 1);
    assert_string_equal(redis_server_ask(&fixture->second, "HSET sess:a version 1"), "1");
    heard = hear_all(fixture->writer);
    assert_int_equal(heard_keys(&heard), 1);
}

TEST(a_watcher_goes_on_without_sentinels) {
    struct fixture *fixture = *state;
    assert_int_equal(open_as(fixture, BACKEND_WATCHER), BACKEND_OK);
    assert_int_equal(hear_all(fixture->writer).lost, 1);
    redis_server_kill(&fixture->sentinel);
    assert_string_equal(redis_server_ask(&fixture->first, "HSET sess:a version 1"), "1");
    struct heard heard = hear_all(fixture->writer);
    assert_int_equal(heard_keys(&heard), 1);
    assert_int_equal(heard.lost, 0);
}

/* ---- Batches that only some have ---- */

static void use_replica(struct fixture *fixture) {
    make_replica(&fixture->second, &fixture->first);
    eventually(strstr(redis_server_ask(&fixture->second, "INFO replication"), "master_link_status:up") !=
               NULL);
    fixture->own.replicas = 1;
}

TEST(a_batch_counts_when_the_replica_has_it) {
    struct fixture *fixture = *state;
    use_replica(fixture);
    open_writer(fixture);
    assert_put(fixture, "sess:a", 1);
    assert_has(&fixture->second, "sess:a");
    assert_int_equal(fixture->writer->replica_waits, 1);
    assert_int_equal(fixture->writer->replica_short, 0);
}

/* Repeating changes nothing in the store, and is not taken for done before the replica has caught up. */
TEST(a_batch_that_the_replica_lacks_is_a_failure_until_it_has_it) {
    struct fixture *fixture = *state;
    use_replica(fixture);
    open_writer(fixture);
    redis_server_pause(&fixture->second, true);
    for (unsigned turn = 1; turn <= 2; turn++) {
        eventually((wait_briefly(fixture), put(fixture, "sess:a", 1)) == BACKEND_TRANSIENT &&
                   fixture->writer->replica_short >= turn); /* on a busy machine, nobody may answer in time */
        assert_says(fixture, "written, but only 0 of 1 replicas have it: see whether they are connected");
        assert_int_equal(fixture->writer->replica_short, turn);
    }
    assert_has(&fixture->first, "sess:a");
    redis_server_pause(&fixture->second, false);
    fixture->writer->call_until_us = 0;
    assert_put(fixture, "sess:a", 1);
    assert_has(&fixture->second, "sess:a");
}

TEST(whoever_may_not_wait_for_replicas_is_refused) {
    struct fixture *fixture = *state;
    fixture->own.replicas = 1;
    assert_string_equal(redis_server_ask(&fixture->first, "ACL SETUSER default -wait"), "OK");
    assert_refused(fixture, "NOPERM");
    assert_says(fixture, "allow it to the user in its uri");
}

/* The batch that is lost has the older version, so the high version says nothing. */
TEST(a_store_that_lacks_an_older_batch_is_noticed_by_the_next_link) {
    struct fixture *fixture = *state;
    use_replica(fixture);
    fixture->own.replicas = 0;
    open_writer(fixture);
    assert_put(fixture, "sess:new", 20);
    eventually(strcmp(redis_server_ask(&fixture->second, "HGET sess:new value"), "v") == 0);
    assert_string_equal(redis_server_ask(&fixture->second, "REPLICAOF NO ONE"), "OK");
    assert_put(fixture, "sess:old", 10);
    uint64_t acknowledged = fixture->writer->applied;
    name_second(fixture);
    assert_int_equal(redis_backend.look(fixture->writer, &fixture->error), BACKEND_REPLACED);
    assert_says(fixture, "went back to an older state");
    redis_backend.close(fixture->writer);
    fixture->writer = NULL;
    open_writer(fixture);
    assert_true(fixture->writer->applied > 0 && fixture->writer->applied < acknowledged);
    assert_put(fixture, "sess:old", 10);
    assert_true(fixture->writer->applied > acknowledged);
}

TEST(a_link_that_is_made_anew_to_the_same_store_is_nobodys_business) {
    struct fixture *fixture = *state;
    open_writer(fixture);
    for (uint64_t version = 1; version <= 3; version++) {
        assert_put(fixture, "sess:a", version);
        redis_server_ask(&fixture->first, "CLIENT KILL TYPE normal");
        assert_int_equal(redis_backend.look(fixture->writer, &fixture->error), BACKEND_OK);
    }
    assert_string_equal(redis_server_ask(&fixture->first, "DEL %s", "forebay: applied:0"), "1");
    assert_put(fixture, "sess:a", 4);
    redis_server_ask(&fixture->first, "CLIENT KILL TYPE normal");
    assert_int_equal(redis_backend.look(fixture->writer, &fixture->error), BACKEND_OK);
    assert_put(fixture, "sess:a", 5);
    assert_true(fixture->writer->applied > 0);
}

TEST(a_master_that_becomes_a_replica_is_left_within_the_call) {
    struct fixture *fixture = *state;
    open_writer(fixture);
    assert_put(fixture, "sess:a", 1);
    make_replica(&fixture->second, &fixture->first);
    eventually(strcmp(redis_server_ask(&fixture->second, "HGET sess:a value"), "v") == 0);
    assert_string_equal(redis_server_ask(&fixture->second, "REPLICAOF NO ONE"), "OK");
    make_replica(&fixture->first, &fixture->second);
    name_second(fixture);
    assert_put(fixture, "sess:b", 2);
    assert_has(&fixture->second, "sess:b");
    assert_place(fixture, &fixture->second);
}

TEST(what_is_named_has_to_be_a_master) {
    struct fixture *fixture = *state;
    make_replica(&fixture->first, &fixture->second);
    assert_int_equal(open_as(fixture, BACKEND_READER), BACKEND_OK); /* it may become one */
    wait_briefly(fixture);
    uint64_t version;
    assert_int_equal(redis_backend.high_version(fixture->writer, &version, &fixture->error),
                     BACKEND_TRANSIENT);
    assert_says(fixture, "(master \"mymaster\"): Sentinel names it, but it is no master now");
}

/* ---- Not found ---- */

TEST(silence_of_all_is_told_and_may_end) {
    struct fixture *fixture = *state;
    redis_server_kill(&fixture->sentinel);
    assert_int_equal(open_as(fixture, BACKEND_WRITER), BACKEND_OK);
    wait_briefly(fixture);
    assert_int_equal(put(fixture, "sess:a", 1), BACKEND_TRANSIENT);
    assert_says(fixture, "backend \"cache\", redis sentinels of \"mymaster\": none answers; 127.0.0.1:");
    assert_says(fixture, "refused");
    assert_true(redis_server_restart(&fixture->sentinel));
    fixture->writer->call_until_us = 0;
    assert_put(fixture, "sess:a", 1);
}

TEST(a_name_that_none_knows_is_refused) {
    struct fixture *fixture = *state;
    uint64_t version;
    use_sentinels(fixture, "redis+sentinel://127.0.0.1:%d/mymaste", fixture->sentinel.port);
    assert_refused(fixture, "knows no master \"mymaste\": correct the name in its uri");
    assert_int_equal(redis_backend.probe(&fixture->options, &version, &fixture->error), BACKEND_REFUSED);
}

TEST(a_name_that_one_does_not_know_may_be_known_by_one_that_is_silent) {
    struct fixture *fixture = *state;
    uint64_t version;
    use_sentinels(fixture, "redis+sentinel://127.0.0.1:%d,127.0.0.1:%d/mymaste", fixture->sentinel.port, 1);
    assert_int_equal(open_as(fixture, BACKEND_WRITER), BACKEND_OK);
    assert_int_equal(redis_backend.probe(&fixture->options, &version, &fixture->error), BACKEND_TRANSIENT);
    assert_says(fixture, "knows no master");
}

TEST(a_sentinel_that_wants_a_password_is_told) {
    struct fixture *fixture = *state;
    assert_refused(fixture, "NOAUTH Authentication required: set sentinel_password");
    fixture->own.sentinel_password = "secret_of_another";
    assert_refused(fixture, "WRONGPASS");
    assert_says(fixture, ": correct sentinel_password");
}

TEST(a_password_that_no_sentinel_wants_is_told) {
    struct fixture *fixture = *state;
    fixture->own.sentinel_password = "secret";
    assert_refused(fixture, ": remove sentinel_password");
}

TEST(what_is_no_sentinel_is_told) {
    struct fixture *fixture = *state;
    use_sentinels(fixture, "redis+sentinel://127.0.0.1:%d/mymaster", fixture->first.port);
    assert_refused(fixture, "ERR unknown command 'SENTINEL': is that a Sentinel? Its port is mostly 26379");
}

TEST(an_answer_that_is_no_address_is_told) {
    static const char *const answers[] = {
        "+OK\r\n",
        ":1\r\n",
        "*1\r\n$1\r\na\r\n",
        "*2\r\n$0\r\n\r\n$1\r\n1\r\n",
        "*2\r\n$1\r\na\r\n$1\r\n0\r\n",
        "*2\r\n$1\r\na\r\n$5\r\n65536\r\n",
        "*2\r\n$1\r\na\r\n$1\r\nx\r\n",
        "*2\r\n$1\r\na\r\n:1\r\n",
        "*2\r\n$3\r\na b\r\n$1\r\n1\r\n",
        "*2\r\n$3\r\na\nb\r\n$1\r\n1\r\n",
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        use_sentinels(fixture, "redis+sentinel://127.0.0.1:%d/mymaster",
                      redis_server_pretend(answers[i], &fixture->child));
        assert_refused(fixture, "an answer of unexpected form: is that a Sentinel?");
        end_child(fixture);
    }
}

TEST(a_host_that_is_found_nowhere_is_told) {
    struct fixture *fixture = *state;
    use_sentinels(fixture, "redis+sentinel://127.0.0.1:%d/named", fixture->sentinel.port);
    assert_int_equal(open_as(fixture, BACKEND_WRITER), BACKEND_OK);
    wait_briefly(fixture);
    assert_int_equal(put(fixture, "sess:a", 1), BACKEND_TRANSIENT);
    assert_says(fixture, "redis at nowhere.invalid:6379/0 (master \"named\")");
    assert_says(fixture, ": Sentinel names this host, which no look-up here finds");
}

static const char *const with_names[] = {"sentinel resolve-hostnames yes", "sentinel announce-hostnames yes",
                                         "sentinel monitor named nowhere.invalid 6379 1", NULL};

/* A Sentinel with further lines in its file. */
#define CASE_WITH(name, lines)                                                                               \
    cmocka_unit_test_prestate_setup_teardown(name, set_up, tear_down, (void *)(uintptr_t)(lines))

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(what_is_written_goes_to_the_master),
        CASE(a_sentinel_that_is_away_or_hangs_is_passed_over),
        CASE(a_sentinel_that_wants_another_password_is_passed_over),
        CASE(without_sentinels_the_link_that_stands_goes_on),
        CASE_WITH(its_password_and_its_user_open_a_sentinel, with_password),
        CASE(a_look_finds_the_master_elsewhere),
        CASE(a_master_that_became_a_replica_is_not_believed_over_a_link_that_stays),
        CASE(a_number_that_is_missing_alone_keeps_the_writer_from_nothing),
        CASE(a_watcher_leaves_a_master_that_is_none_any_more),
        CASE(a_watcher_goes_on_without_sentinels),
        CASE(a_batch_counts_when_the_replica_has_it),
        CASE(a_batch_that_the_replica_lacks_is_a_failure_until_it_has_it),
        CASE(whoever_may_not_wait_for_replicas_is_refused),
        CASE(a_store_that_lacks_an_older_batch_is_noticed_by_the_next_link),
        CASE(a_link_that_is_made_anew_to_the_same_store_is_nobodys_business),
        CASE(a_master_that_becomes_a_replica_is_left_within_the_call),
        CASE(what_is_named_has_to_be_a_master),
        CASE(silence_of_all_is_told_and_may_end),
        CASE(a_name_that_none_knows_is_refused),
        CASE(a_name_that_one_does_not_know_may_be_known_by_one_that_is_silent),
        CASE_WITH(a_sentinel_that_wants_a_password_is_told, with_password),
        CASE(a_password_that_no_sentinel_wants_is_told),
        CASE(what_is_no_sentinel_is_told),
        CASE(an_answer_that_is_no_address_is_told),
        CASE_WITH(a_host_that_is_found_nowhere_is_told, with_names),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("redis sentinel", tests, NULL, NULL);
}
