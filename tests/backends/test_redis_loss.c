/* SPDX-License-Identifier: MIT */
/* Redis: outages, and stores that have lost what they had. */
#include "tests/support/redis_fixture.h"
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* As the server opens it: it counts only once it has given its high version. */
static uint64_t open_known_writer(struct fixture *fixture) {
    uint64_t version = 0;
    if (open_writer(fixture) != BACKEND_OK ||
        redis_backend.high_version(fixture->writer, &version, &fixture->error) != BACKEND_OK)
        fail_msg("%s", fixture->error.message);
    return version;
}

/* ---- Outages ---- */

static void wait_as_told(struct fixture *fixture) {
    fixture->writer->call_until_us = 0;
    if (fixture->reader)
        fixture->reader->call_until_us = 0;
}

TEST(a_server_that_is_down_at_the_start_is_waited_for) {
    struct fixture *fixture = *state;
    struct load_result result;
    redis_server_kill(&fixture->server);
    open_both(fixture);
    wait_briefly(fixture);
    assert_int_equal(put(fixture, HASH, "sess:a", "one", 1), BACKEND_TRANSIENT);
    assert_says(fixture, "refused");
    assert_int_equal(load(fixture, HASH, "sess:a", &result), BACKEND_TRANSIENT);
    uint64_t version;
    assert_int_equal(redis_backend.high_version(fixture->writer, &version, &fixture->error),
                     BACKEND_TRANSIENT);
    wait_as_told(fixture);
    assert_true(redis_server_restart(&fixture->server));
    assert_int_equal(put(fixture, HASH, "sess:a", "one", 1), BACKEND_OK);
    assert_value(fixture, HASH, "sess:a", "one");
}

TEST(a_server_that_hangs_is_transient) {
    struct fixture *fixture = *state;
    struct load_result result;
    fixture->options.timeout_ms = 1000; /* enough for the first put, and what each call waits behind it */
    open_both(fixture);
    assert_int_equal(put(fixture, HASH, "sess:a", "one", 1), BACKEND_OK);
    redis_server_pause(&fixture->server, true);
    assert_int_equal(put(fixture, HASH, "sess:a", "two", 2), BACKEND_TRANSIENT);
    assert_says(fixture, "no answer in time");
    assert_int_equal(load(fixture, HASH, "sess:a", &result), BACKEND_TRANSIENT);
    assert_int_equal(open_writer(fixture), BACKEND_OK);
    redis_server_pause(&fixture->server, false);
    fixture->options.timeout_ms = TIME_LIMIT;
    assert_int_equal(open_writer(fixture), BACKEND_OK);
    assert_int_equal(put(fixture, HASH, "sess:a", "three", 3), BACKEND_OK);
    assert_value(fixture, HASH, "sess:a", "three");
}

/* A caller that has less time than the timeout says so. */
TEST(a_call_waits_no_longer_than_its_caller) {
    struct fixture *fixture = *state;
    struct load_result result;
    fixture->options.timeout_ms = MINUTE;
    open_both(fixture);
    uint64_t begun_us = monotonic_us();
    redis_server_pause(&fixture->server, true);
    fixture->reader->call_until_us = begun_us + 20 * US_PER_MS;
    assert_int_equal(load(fixture, HASH, "sess:a", &result), BACKEND_TRANSIENT);
    fixture->options.open_until_us = monotonic_us() + 20 * US_PER_MS;
    assert_int_equal(open_writer(fixture), BACKEND_OK);
    assert_true(monotonic_us() < begun_us + MINUTE * US_PER_MS);
    redis_server_pause(&fixture->server, false);
    fixture->options.open_until_us = fixture->reader->call_until_us = 0;
    assert_int_equal(load(fixture, HASH, "sess:a", &result), BACKEND_OK);
}

TEST(a_restarted_server_is_found_again) {
    struct fixture *fixture = *state;
    open_both(fixture);
    assert_int_equal(put(fixture, HASH, "sess:a", "one", 1), BACKEND_OK);
    assert_value(fixture, HASH, "sess:a", "one");
    redis_server_kill(&fixture->server);
    wait_briefly(fixture);
    assert_int_equal(put(fixture, HASH, "sess:b", "two", 2), BACKEND_TRANSIENT);
    wait_as_told(fixture);
    assert_true(redis_server_restart(&fixture->server));
    /* Empty: the scripts and the high version are gone with the entries. */
    assert_absent(fixture, HASH, "sess:a");
    assert_int_equal(put(fixture, HASH, "sess:b", "two", 2), BACKEND_REPLACED);
    assert_int_equal(open_known_writer(fixture), 0);
    assert_int_equal(put(fixture, HASH, "sess:b", "two", 2), BACKEND_OK);
    assert_value(fixture, HASH, "sess:b", "two");
    assert_string_equal(ask(fixture, "GET forebay:high_version"), "2");
}

TEST(an_idle_connection_that_was_cut_is_not_noticed) {
    struct fixture *fixture = *state;
    open_both(fixture);
    open_known_writer(fixture);
    assert_int_equal(put(fixture, HASH, "sess:a", "one", 1), BACKEND_OK);
    assert_value(fixture, HASH, "sess:a", "one");
    redis_server_kill(&fixture->server);
    assert_true(redis_server_restart(&fixture->server));
    assert_value(fixture, HASH, "sess:a", "one");
    assert_int_equal(look(fixture), BACKEND_OK);
    assert_int_equal(put(fixture, HASH, "sess:a", "two", 2), BACKEND_OK);
    ask(fixture, "CLIENT KILL TYPE normal SKIPME yes");
    assert_value(fixture, HASH, "sess:a", "two");
    assert_int_equal(put(fixture, STRING, "sh:a", "three", 3), BACKEND_OK);
    ask(fixture, "SCRIPT FLUSH");
    assert_int_equal(put(fixture, STRING, "sh:a", "four", 4), BACKEND_OK);
    ask(fixture, "SCRIPT FLUSH");
    assert_value(fixture, STRING, "sh:a", "four");
}

/* ---- Stores that have lost what they had ---- */

static const char mark[] = "forebay: store";

TEST(an_emptied_server_takes_nothing_before_it_is_opened_anew) {
    struct fixture *fixture = *state;
    open_both(fixture);
    assert_int_equal(open_known_writer(fixture), 0);
    struct backend_identity before = fixture->writer->identity;
    assert_true(backend_identity_tells(&before));
    assert_int_equal(look(fixture), BACKEND_OK);
    ask(fixture, "FLUSHALL");
    assert_int_equal(look(fixture), BACKEND_REPLACED);
    assert_says(fixture, "emptied");
    assert_int_equal(put(fixture, HASH, "sess:a", "one", 10), BACKEND_REPLACED);
    assert_int_equal(put(fixture, STRING, "sh:a", "one", 10), BACKEND_REPLACED);
    assert_string_equal(ask(fixture, "DBSIZE"), "0");
    assert_int_equal(open_known_writer(fixture), 0);
    assert_memory_not_equal(&fixture->writer->identity, &before, sizeof before);
    assert_int_equal(put(fixture, HASH, "sess:a", "one", 10), BACKEND_OK);
    assert_int_equal(look(fixture), BACKEND_OK);
}

static enum backend_status read_by(struct backend_connection *reader, struct fixture *fixture) {
    const struct slice key = SLICE("sess:a");
    struct load_result result = {0};
    return redis_backend.load(reader, &fixture->tables[HASH], &key, 1, fixture->now, &result,
                              &fixture->error);
}

/* It may come there before the writer, which alone can say what the store has to have. */
TEST(a_reader_believes_no_store_that_lacks_something) {
    struct fixture *fixture = *state;
    atomic_uint_fast64_t acknowledged = 0;
    fixture->options.acknowledged = &acknowledged;
    open_known_writer(fixture);
    assert_int_equal(redis_backend.open(&fixture->options, BACKEND_READER, &fixture->reader, &fixture->error),
                     BACKEND_OK);
    assert_int_equal(put(fixture, HASH, "sess:a", "one", 1), BACKEND_OK);
    atomic_store(&acknowledged, fixture->writer->applied);
    assert_int_equal(read_by(fixture->reader, fixture), BACKEND_OK);
    redis_server_kill(&fixture->server);
    assert_true(redis_server_restart(&fixture->server)); /* empty */
    assert_int_equal(read_by(fixture->reader, fixture), BACKEND_REPLACED);
    assert_int_equal(look(fixture), BACKEND_REPLACED);
    open_known_writer(fixture);
    atomic_store(&acknowledged, fixture->writer->applied);
    assert_int_equal(read_by(fixture->reader, fixture), BACKEND_OK);
}

/* The number of the last batch alone was removed, or evicted: none is expected any more. */
TEST(a_number_that_is_missing_alone_is_no_loss) {
    struct fixture *fixture = *state;
    open_known_writer(fixture);
    assert_int_equal(put(fixture, HASH, "sess:a", "one", 1), BACKEND_OK);
    assert_true(fixture->writer->applied > 0);
    assert_string_equal(ask(fixture, "DEL %s", "forebay: applied:0"), "1");
    assert_int_equal(look(fixture), BACKEND_OK);
    assert_int_equal(fixture->writer->applied, 0);
    assert_int_equal(put(fixture, HASH, "sess:a", "two", 2), BACKEND_OK);
    assert_true(fixture->writer->applied > 0);
}

/* Whoever finds out tells the other nodes by a new mark. */
TEST(an_older_copy_is_noticed_by_all_nodes) {
    struct fixture *fixture = *state;
    for (unsigned turn = 0; turn < 2; turn++) { /* the mark is made by this connection, or found */
        open_known_writer(fixture);
        assert_int_equal(put(fixture, HASH, "sess:a", "one", 100 + turn), BACKEND_OK);
        uint64_t version = 0;
        redis_backend.close(fixture->other);
        assert_int_equal(
            redis_backend.open(&fixture->options, BACKEND_WRITER, &fixture->other, &fixture->error),
            BACKEND_OK);
        assert_int_equal(redis_backend.high_version(fixture->other, &version, &fixture->error), BACKEND_OK);
        assert_memory_equal(&fixture->other->identity, &fixture->writer->identity,
                            sizeof fixture->other->identity);
        ask(fixture, "SET forebay:high_version 50");
        assert_int_equal(put(fixture, STRING, "sh:b", "two", 200 + turn), BACKEND_REPLACED);
        assert_says(fixture, "older");
        assert_int_equal(open_known_writer(fixture), 50);
        assert_int_equal(put(fixture, STRING, "sh:b", "two", 200 + turn), BACKEND_OK);
        assert_int_equal(redis_backend.look(fixture->other, &fixture->error), BACKEND_REPLACED);
    }
}

TEST(a_look_waits_for_nobody) {
    struct fixture *fixture = *state;
    open_known_writer(fixture);
    assert_int_equal(put(fixture, HASH, "sess:a", "one", 1), BACKEND_OK);
    redis_server_pause(&fixture->server, true);
    assert_int_equal(look(fixture), BACKEND_TRANSIENT);
    redis_server_pause(&fixture->server, false);
    ask(fixture, "PING");
    assert_int_equal(look(fixture), BACKEND_OK);
    redis_server_kill(&fixture->server);
    assert_int_equal(look(fixture), BACKEND_TRANSIENT);
    assert_true(redis_server_restart(&fixture->server));
    assert_int_equal(look(fixture), BACKEND_REPLACED); /* it was not saved */
}

TEST(a_store_that_takes_no_mark_gets_it_later) {
    struct fixture *fixture = *state;
    ask(fixture, "CONFIG SET maxmemory 1");
    open_known_writer(fixture);
    assert_false(backend_identity_tells(&fixture->writer->identity));
    assert_int_equal(look(fixture), BACKEND_OK);
    ask(fixture, "CONFIG SET maxmemory 0");
    assert_string_equal(ask(fixture, "GET %s", mark), "");
    assert_int_equal(look(fixture), BACKEND_OK);
    assert_int_equal(strlen(ask(fixture, "GET %s", mark)), 32);
    ask(fixture, "DEL %s", mark);
    assert_int_equal(look(fixture), BACKEND_REPLACED);
}

TEST(an_append_only_server_keeps_entries_and_versions) {
    struct fixture *fixture = *state;
    open_both(fixture);
    assert_int_equal(put(fixture, HASH, "sess:a", "one", 10), BACKEND_OK);
    assert_false(superseded(fixture, HASH, MUTATION_DELETE, "sess:gone", 20));
    redis_server_kill(&fixture->server);
    assert_true(redis_server_restart(&fixture->server));
    assert_value(fixture, HASH, "sess:a", "one");
    assert_true(superseded(fixture, HASH, MUTATION_PUT, "sess:a", 9));
    assert_true(superseded(fixture, HASH, MUTATION_PUT, "sess:gone", 19));
    uint64_t version = 0;
    assert_int_equal(redis_backend.high_version(fixture->writer, &version, &fixture->error), BACKEND_OK);
    assert_int_equal(version, 20);
}

TEST(states_of_the_server_that_pass_are_transient) {
    struct fixture *fixture = *state;
    open_both(fixture);
    assert_int_equal(put(fixture, HASH, "sess:a", "before", 1), BACKEND_OK);
    ask(fixture, "CONFIG SET maxmemory 1");
    assert_int_equal(put(fixture, HASH, "sess:a", "after", 2), BACKEND_TRANSIENT);
    assert_says(fixture, "OOM");
    assert_value(fixture, HASH, "sess:a", "before");
    ask(fixture, "CONFIG SET maxmemory 0");
    assert_int_equal(put(fixture, HASH, "sess:a", "after", 2), BACKEND_OK);

    ask(fixture, "REPLICAOF 127.0.0.1 1");
    assert_int_equal(put(fixture, HASH, "sess:a", "third", 3), BACKEND_TRANSIENT);
    assert_says(fixture, "READONLY");
    assert_value(fixture, HASH, "sess:a", "after");
    ask(fixture, "CONFIG SET replica-serve-stale-data no");
    struct load_result result;
    assert_int_equal(load(fixture, HASH, "sess:a", &result), BACKEND_TRANSIENT); /* unknown is not a miss */
    assert_says(fixture, "MASTERDOWN");
    ask(fixture, "REPLICAOF NO ONE");
    assert_int_equal(put(fixture, HASH, "sess:a", "third", 3), BACKEND_OK);

    ask(fixture, "CLIENT KILL TYPE normal");
    ask(fixture, "CONFIG SET requirepass changed");
    assert_int_equal(put(fixture, HASH, "sess:a", "fourth", 4),
                     BACKEND_TRANSIENT); /* while running: not refused */
    assert_says(fixture, "NOAUTH");
}

TEST(a_server_that_loads_its_file_is_waited_for) {
    enum { COUNT = 400 };
    static const char *const slow[] = {"--key-load-delay", "10000", /* us a key */
                                       "--loading-process-events-interval-bytes", "1024", NULL};
    static char names[COUNT][16];
    static struct mutation mutations[COUNT];
    struct fixture *fixture = *state;
    struct load_result result;
    char value[300];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    open_both(fixture);
    for (unsigned i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "sess:%u", i);
        mutations[i] = mutation(fixture, HASH, MUTATION_PUT, names[i], value, 1 + i);
    }
    assert_int_equal(apply(fixture, mutations, COUNT), BACKEND_OK);
    ask(fixture, "CONFIG SET rdbcompression no");
    assert_string_equal(ask(fixture, "SAVE"), "OK");
    redis_server_kill(&fixture->server);
    fixture->server.options = slow;
    assert_true(redis_server_restart(&fixture->server));
    assert_int_equal(put(fixture, HASH, "sess:new", "x", 1000), BACKEND_TRANSIENT);
    assert_says(fixture, "LOADING");
    assert_int_equal(load(fixture, HASH, "sess:7", &result), BACKEND_TRANSIENT); /* unknown is not a miss */
    assert_says(fixture, "LOADING");
    assert_int_equal(open_writer(fixture), BACKEND_OK); /* a start during it is no reason to refuse */
    eventually(put(fixture, HASH, "sess:new", "x", 1000) == BACKEND_OK);
    assert_value(fixture, HASH, "sess:7", value);
}

TEST(a_server_that_cannot_save_is_waited_for) {
    struct fixture *fixture = *state;
    char path[400];
    open_both(fixture);
    assert_int_equal(put(fixture, HASH, "sess:a", "before", 1), BACKEND_OK);
    snprintf(path, sizeof path, "%s/dump.rdb", fixture->server.folder.path);
    mkdir(path, 0700); /* where the file should be */
    assert_string_equal(ask(fixture, "CONFIG SET save %s", "3600 1"), "OK");
    ask(fixture, "BGSAVE");
    eventually(strstr(ask(fixture, "INFO persistence"), "rdb_last_bgsave_status:err"));
    assert_int_equal(put(fixture, HASH, "sess:a", "after", 2), BACKEND_TRANSIENT);
    assert_says(fixture, "MISCONF");
    assert_int_equal(put(fixture, STRING, "sh:a", "after", 2), BACKEND_TRANSIENT);
    assert_value(fixture, HASH, "sess:a", "before");
    rmdir(path);
    ask(fixture, "BGSAVE");
    eventually(strstr(ask(fixture, "INFO persistence"), "rdb_last_bgsave_status:ok"));
    assert_int_equal(put(fixture, HASH, "sess:a", "after", 2), BACKEND_OK);
    assert_value(fixture, HASH, "sess:a", "after");
}

TEST(a_server_that_runs_anothers_script_is_waited_for) {
    struct fixture *fixture = *state;
    struct load_result result;
    open_both(fixture);
    ask(fixture, "CONFIG SET busy-reply-threshold 10");
    fixture->child = fork();
    if (fixture->child == 0) {
        ask(fixture, "EVAL %s 0", "while true do end");
        _exit(0);
    }
    eventually(strncmp(ask(fixture, "GET x"), "-BUSY", 5) == 0);
    assert_int_equal(put(fixture, HASH, "sess:a", "one", 1), BACKEND_TRANSIENT);
    assert_says(fixture, "BUSY");
    assert_int_equal(load(fixture, HASH, "sess:a", &result), BACKEND_TRANSIENT);
    assert_string_equal(ask(fixture, "SCRIPT KILL"), "OK");
    waitpid(fixture->child, NULL, 0);
    fixture->child = 0;
    assert_int_equal(put(fixture, HASH, "sess:a", "one", 1), BACKEND_OK);
    assert_value(fixture, HASH, "sess:a", "one");
}

TEST(a_key_of_another_type_is_permanent_and_alone) {
    struct fixture *fixture = *state;
    struct load_result result;
    open_both(fixture);
    ask(fixture, "RPUSH sess:list x");
    assert_int_equal(put(fixture, HASH, "sess:list", "one", 1), BACKEND_PERMANENT);
    assert_says(fixture, "WRONGTYPE");
    assert_int_equal(put(fixture, HASH, "sess:other", "one", 1), BACKEND_OK);
    assert_value(fixture, HASH, "sess:other", "one");
    assert_int_equal(load(fixture, HASH, "sess:list", &result), BACKEND_PERMANENT);
    struct mutation mutations[] = {mutation(fixture, HASH, MUTATION_PUT, "sess:a", "one", 2),
                                   mutation(fixture, HASH, MUTATION_PUT, "sess:list", "two", 3),
                                   mutation(fixture, HASH, MUTATION_PUT, "sess:z", "three", 4)};
    assert_int_equal(apply(fixture, mutations, 3), BACKEND_PERMANENT);
    assert_int_equal(apply(fixture, mutations, 1), BACKEND_OK);
    assert_int_equal(apply(fixture, mutations + 2, 1), BACKEND_OK);
    assert_value(fixture, HASH, "sess:z", "three");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(a_server_that_is_down_at_the_start_is_waited_for),
        CASE(a_server_that_hangs_is_transient),
        CASE(a_call_waits_no_longer_than_its_caller),
        CASE(a_restarted_server_is_found_again),
        CASE_APPEND_ONLY(an_idle_connection_that_was_cut_is_not_noticed),
        CASE(an_emptied_server_takes_nothing_before_it_is_opened_anew),
        CASE(a_reader_believes_no_store_that_lacks_something),
        CASE(a_number_that_is_missing_alone_is_no_loss),
        CASE(an_older_copy_is_noticed_by_all_nodes),
        CASE(a_look_waits_for_nobody),
        CASE(a_store_that_takes_no_mark_gets_it_later),
        CASE_APPEND_ONLY(an_append_only_server_keeps_entries_and_versions),
        CASE(states_of_the_server_that_pass_are_transient),
        CASE(a_server_that_loads_its_file_is_waited_for),
        CASE(a_server_that_cannot_save_is_waited_for),
        CASE(a_server_that_runs_anothers_script_is_waited_for),
        CASE(a_key_of_another_type_is_permanent_and_alone),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("redis", tests, NULL, NULL);
}
