/* SPDX-License-Identifier: MIT */
/*
 * What is particular to Redis: refusals, what others see of the layouts and do to them, tombstones, and hearing of
 * changes. Outages and losses are in test_redis_loss.c. What every backend owes is in test_conformance.c.
 */
#include "backends/sqlite/options.h"
#include "tests/support/redis_fixture.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void assert_silent_about(const struct fixture *fixture, const char *secret) {
    if (strstr(fixture->error.message, secret))
        fail_msg("the secret is told: %s", fixture->error.message);
}

struct counter {
    struct backend_visitor visitor;
    unsigned count;
    uint64_t last;
};

static bool count_entry(struct backend_visitor *visitor, const struct entry *entry) {
    struct counter *counter = (struct counter *)visitor;
    assert_true(entry->version < counter->last);
    counter->last = entry->version;
    counter->count++;
    return true;
}

/* Newest first, or the test fails. */
static struct counter scan(struct fixture *fixture, unsigned table, size_t limit) {
    struct counter counter = {.visitor = {.entry = count_entry}, .last = UINT64_MAX};
    assert_int_equal(redis_backend.scan(fixture->reader, fixture->list[table], limit, fixture->now,
                                        &counter.visitor, &fixture->error),
                     BACKEND_OK);
    return counter;
}

/* ---- Refusals ---- */

static void assert_refused(struct fixture *fixture, const char *uri, const char *part) {
    fixture->options.uri = uri;
    assert_int_equal(open_writer(fixture), BACKEND_REFUSED);
    assert_null(fixture->writer);
    assert_says(fixture, part);
    assert_silent_about(fixture, "secret");
}

TEST(wrong_credentials_are_refused_and_never_told) {
    struct fixture *fixture = *state;
    char uri[400];
    int port = fixture->server.port;
    snprintf(uri, sizeof uri, "redis://:secret@127.0.0.1:%d", port);
    assert_refused(fixture, uri, "AUTH");
    ask(fixture, "CONFIG SET requirepass rights%%3A@ecret");
    assert_string_equal(ask(fixture, "AUTH rights%%3A@ecret"), "OK");
    assert_refused(fixture, uri, "WRONGPASS");
    snprintf(uri, sizeof uri, "redis://127.0.0.1:%d", port);
    assert_refused(fixture, uri, "NOAUTH");
    snprintf(uri, sizeof uri, "redis://:rights%%253A%%40ecret@127.0.0.1:%d/2", port);
    fixture->options.uri = uri;
    open_both(fixture);
    assert_int_equal(put(fixture, HASH, "sess:a", "one", 1), BACKEND_OK);
    redis_server_kill(&fixture->server);
    wait_briefly(fixture);
    assert_int_equal(put(fixture, HASH, "sess:a", "two", 2), BACKEND_TRANSIENT);
    assert_silent_about(fixture, "ecret");
    assert_silent_about(fixture, "rights");
}

/* docs/backends.md, "Redis": what the user of an access list needs. */
#define NEEDED_COMMANDS                                                                                      \
    "+script|load +evalsha +get +set +del +exists +hget +hset +hmget +hdel +hexists +expire +pexpireat "     \
    "+pexpiretime +persist +scan +info +select +hgetall +time"

TEST(a_user_of_the_access_list_may_serve) {
    struct fixture *fixture = *state;
    char uri[400];
    assert_string_equal(
        ask(fixture, "ACL SETUSER forebay on >secret ~sess:* ~sh:* ~forebay:* -@all " NEEDED_COMMANDS), "OK");
    ask(fixture, "ACL SETUSER nobody on >secret ~* -@all +auth");
    snprintf(uri, sizeof uri, "redis://forebay:secret@127.0.0.1:%d/0", fixture->server.port);
    fixture->options.uri = uri;
    open_both(fixture);
    const char *const names[] = {"sess:a", "sh:a"};
    for (unsigned table = HASH; table <= STRING; table++) {
        struct mutation one = mutation(fixture, table, MUTATION_PUT, names[table], "one", 1);
        one.entry.expires_at = fixture->now + 1000;
        assert_int_equal(apply(fixture, &one, 1), BACKEND_OK);
        one = mutation(fixture, table, MUTATION_TOUCH, names[table], "one", 2);
        assert_int_equal(apply(fixture, &one, 1), BACKEND_OK);
        one.entry.expires_at = fixture->now + 1000;
        one.entry.client_cas = 9;
        one.entry.version = 3;
        assert_int_equal(apply(fixture, &one, 1), BACKEND_OK);
        assert_value(fixture, table, names[table], "one");
        assert_int_equal(scan(fixture, table, 10).count, 1);
        assert_false(superseded(fixture, table, MUTATION_DELETE, names[table], 4));
    }
    uint64_t version = 0;
    assert_int_equal(redis_backend.high_version(fixture->writer, &version, &fixture->error), BACKEND_OK);
    assert_int_equal(version, 4);
    assert_string_equal(fixture->writer->company.complaint, "");
    ask(fixture, "ACL SETUSER forebay -time"); /* as it was enough for versions before */
    assert_int_equal(redis_backend.look(fixture->writer, &fixture->error), BACKEND_OK);
    assert_non_null(strstr(fixture->writer->company.complaint, "allow it time, hgetall"));
    snprintf(uri, sizeof uri, "redis://nobody:secret@127.0.0.1:%d", fixture->server.port);
    assert_refused(fixture, uri, "NOPERM");
}

/* A server that knows no AUTH repeats what it was told. */
TEST(a_password_that_the_server_repeats_is_not_told) {
    static const char *const options[] = {"--rename-command", "AUTH", "", NULL};
    struct fixture *fixture = *state;
    char uri[400];
    redis_server_kill(&fixture->server);
    fixture->server.options = options;
    assert_true(redis_server_restart(&fixture->server));
    assert_non_null(strstr(ask(fixture, "AUTH secret"), "secret"));
    snprintf(uri, sizeof uri, "redis://:secret@127.0.0.1:%d", fixture->server.port);
    assert_refused(fixture, uri, "unknown command");
}

/* Says the same about itself to everyone, as a Redis of another version would. Returns the port. */
static int pretend(struct fixture *fixture, const char *info) {
    char answer[400];
    snprintf(answer, sizeof answer, "$%zu\r\n%s\r\n", strlen(info), info);
    return redis_server_pretend(answer, &fixture->child);
}

TEST(an_old_server_is_refused_by_its_version) {
    struct fixture *fixture = *state;
    char uri[400];
    int port = pretend(fixture, "# Server\r\nredis_version:6.2.14\r\nredis_mode:standalone\r\n");
    snprintf(uri, sizeof uri, "redis://127.0.0.1:%d", port);
    assert_refused(fixture, uri, "Redis 6.2.14");
    assert_says(fixture, "7.0 or later");
}

/* ---- A Redis Cluster ---- */

TEST(a_node_of_a_cluster_is_refused) {
    struct fixture *fixture = *state;
    struct backend_error error;
    uint64_t version;
    open_both(fixture);
    redis_server_kill(&fixture->server);
    fixture->server.cluster = true;
    assert_true(redis_server_restart(&fixture->server));
    /* Put in place of another while we run: somebody may put it right. */
    assert_int_equal(put(fixture, HASH, "sess:a", "one", 1), BACKEND_TRANSIENT);
    assert_says(fixture, "Redis Cluster");
    assert_int_equal(redis_backend.high_version(fixture->writer, &version, &error), BACKEND_TRANSIENT);
    assert_refused(fixture, fixture->uri, "Redis Cluster");
}

/* Who may not ask INFO learns it from the answers: MOVED, CROSSSLOT. */
TEST(keys_that_moved_away_are_unknown_not_missing) {
    struct fixture *fixture = *state;
    struct redis_server *other = &fixture->other_server;
    struct load_result result;
    char uri[400];
    redis_server_kill(&fixture->server);
    fixture->server.cluster = true;
    assert_true(redis_server_restart(&fixture->server));
    other->cluster = true;
    assert_true(redis_server_start(other));
    assert_string_equal(redis_server_ask(other, "CLUSTER ADDSLOTSRANGE 0 16383"), "OK");
    assert_string_equal(ask(fixture, "CLUSTER MEET 127.0.0.1 %d %d", other->port, other->cluster_port), "OK");
    eventually(strncmp(ask(fixture, "GET x"), "-MOVED", 6) == 0);
    ask(fixture, "ACL SETUSER forebay on >secret ~* +@all -info");
    snprintf(uri, sizeof uri, "redis://forebay:secret@127.0.0.1:%d", fixture->server.port);
    fixture->options.uri = uri;
    open_both(fixture);
    assert_int_equal(load(fixture, HASH, "sess:a", &result), BACKEND_TRANSIENT);
    assert_says(fixture, "MOVED");
    assert_int_equal(load(fixture, STRING, "sh:a", &result), BACKEND_TRANSIENT);
    assert_int_equal(put(fixture, HASH, "sess:a", "one", 1), BACKEND_TRANSIENT);
}

TEST(what_cannot_work_is_refused) {
    struct fixture *fixture = *state;
    char uri[400];
    snprintf(uri, sizeof uri, "redis://127.0.0.1:%d/999", fixture->server.port);
    assert_refused(fixture, uri, "DB index");
    assert_refused(fixture, "redis://secret@host", "user:password");
    assert_refused(fixture, "redis://user:secret@host:port", "port");
    assert_refused(fixture, "redis:host", "redis://");
    fixture->own[HASH].layout = "list";
    assert_refused(fixture, fixture->uri, "\"list\"");
    fixture->own[HASH].layout = "hash";
    const struct sqlite_table_options sql = {{&sqlite_backend}, .load_sql = "SELECT 1"};
    fixture->tables[HASH].specific = &sql.base;
    assert_refused(fixture, fixture->uri, "SQL");
}

/* ---- What others see and do ---- */

TEST(a_hash_is_plain_to_read) {
    struct fixture *fixture = *state;
    open_both(fixture);
    struct mutation one = mutation(fixture, HASH, MUTATION_PUT, "sess:a", "hello", 77);
    one.entry.flags = 5;
    assert_int_equal(apply(fixture, &one, 1), BACKEND_OK);
    assert_string_equal(ask(fixture, "HGETALL sess:a"), "value hello version 77 flags 5 expires_at 0");
    one.entry.expires_at = fixture->now + 1000;
    one.entry.client_cas = 9;
    one.entry.marks = ENTRY_STALE;
    one.entry.version = 78;
    char expected[32];
    assert_int_equal(apply(fixture, &one, 1), BACKEND_OK);
    assert_string_equal(ask(fixture, "HMGET sess:a cas marks"), "9 1");
    snprintf(expected, sizeof expected, "%u000", fixture->now + 1000);
    assert_string_equal(ask(fixture, "PEXPIRETIME sess:a"), expected);
    assert_int_equal(put(fixture, DEFAULT, "x", "y", 79), BACKEND_OK);
    assert_string_equal(ask(fixture, "HGET app*:x value"), "y");
}

TEST(a_string_is_shared_with_others) {
    struct fixture *fixture = *state;
    struct load_result result;
    open_both(fixture);
    struct mutation one = mutation(fixture, STRING, MUTATION_PUT, "sh:a", "ours", 77);
    one.entry.flags = 5;
    one.entry.expires_at = fixture->now + 1000;
    assert_int_equal(apply(fixture, &one, 1), BACKEND_OK);
    assert_string_equal(ask(fixture, "GET sh:a"), "ours");
    ask(fixture, "EXPIREAT sh:a %u", fixture->now + 2000);
    assert_int_equal(load(fixture, STRING, "sh:a", &result), BACKEND_OK);
    assert_int_equal(result.entry.expires_at, fixture->now + 2000);
    assert_int_equal(result.entry.flags, 5);
    /* As a key that has moved ends, and one that ends within a second. */
    ask(fixture, "PEXPIREAT sh:a %u250", fixture->now + 2000);
    assert_int_equal(load(fixture, STRING, "sh:a", &result), BACKEND_OK);
    assert_int_equal(result.entry.expires_at, fixture->now + 2000);
    ask(fixture, "PEXPIREAT sh:a %u251", fixture->now + 2000);
    assert_int_equal(load(fixture, STRING, "sh:a", &result), BACKEND_OK);
    assert_int_equal(result.entry.expires_at, fixture->now + 2001);
    /* The documented cost: another's value comes with our flags and version. */
    ask(fixture, "SET sh:a theirs");
    assert_value(fixture, STRING, "sh:a", "theirs");
    assert_int_equal(load(fixture, STRING, "sh:a", &result), BACKEND_OK);
    assert_int_equal(result.entry.flags, 5);
    assert_int_equal(result.entry.version, 77);
    assert_int_equal(result.entry.expires_at, 0);
    ask(fixture, "DEL sh:a");
    assert_absent(fixture, STRING, "sh:a");
    ask(fixture, "SET sh:b theirs");
    assert_value(fixture, STRING, "sh:b", "theirs");
    assert_int_equal(put(fixture, STRING, "sh:b", "ours", 80), BACKEND_OK);
    assert_string_equal(ask(fixture, "GET sh:b"), "ours");
}

/* ---- Tombstones ---- */

TEST(a_late_put_does_not_bring_back_what_was_deleted) {
    struct fixture *fixture = *state;
    open_both(fixture);
    const char *names[] = {"sess:a", "sh:a"};
    for (unsigned table = HASH; table <= STRING; table++) {
        assert_int_equal(put(fixture, table, names[table], "one", 10), BACKEND_OK);
        assert_false(superseded(fixture, table, MUTATION_DELETE, names[table], 20));
        assert_true(superseded(fixture, table, MUTATION_PUT, names[table], 15));
        assert_true(superseded(fixture, table, MUTATION_TOUCH, names[table], 15));
        assert_true(superseded(fixture, table, MUTATION_DELETE, names[table], 15));
        assert_absent(fixture, table, names[table]);
        assert_true(superseded(fixture, table, MUTATION_TOUCH, names[table], 25));
        assert_absent(fixture, table, names[table]);
        assert_false(superseded(fixture, table, MUTATION_PUT, names[table], 25));
        assert_value(fixture, table, names[table], "value");
    }
}

TEST(tombstones_live_as_long_as_told) {
    struct fixture *fixture = *state;
    const struct redis_options own = {{&redis_backend}, .tombstone_seconds = 5000};
    fixture->options.specific = &own.base;
    open_both(fixture);
    assert_false(superseded(fixture, HASH, MUTATION_DELETE, "sess:a", 20));
    assert_false(superseded(fixture, STRING, MUTATION_DELETE, "sh:a", 20));
    int left = atoi(ask(fixture, "TTL sess:a"));
    assert_true(left > 4000 && left <= 5000);
    left = atoi(ask(fixture, "TTL forebay:beside:sh:a"));
    assert_true(left > 4000 && left <= 5000);
    assert_string_equal(ask(fixture, "EXISTS sh:a"), "0");
    ask(fixture, "DEL sess:a"); /* as if its life were over */
    assert_false(superseded(fixture, HASH, MUTATION_PUT, "sess:a", 10));
}

/* Node A wrote last, died with its journal, node B went on; then the journal of A is replayed. */
TEST(a_late_replay_of_another_node_changes_nothing) {
    struct fixture *fixture = *state;
    open_both(fixture);
    assert_int_equal(redis_backend.open(&fixture->options, BACKEND_WRITER, &fixture->other, &fixture->error),
                     BACKEND_OK);
    struct mutation late[] = {mutation(fixture, HASH, MUTATION_PUT, "sess:a", "of A", 100),
                              mutation(fixture, HASH, MUTATION_PUT, "sess:b", "of A", 101),
                              mutation(fixture, HASH, MUTATION_DELETE, "sess:c", "", 102),
                              mutation(fixture, HASH, MUTATION_PUT, "sess:d", "of A", 103)};
    struct mutation newer[] = {mutation(fixture, HASH, MUTATION_PUT, "sess:a", "of B", 200),
                               mutation(fixture, HASH, MUTATION_DELETE, "sess:b", "", 201),
                               mutation(fixture, HASH, MUTATION_PUT, "sess:c", "of B", 202)};
    assert_int_equal(apply(fixture, newer, 3), BACKEND_OK);
    assert_int_equal(redis_backend.apply(fixture->other, late, 4, fixture->now, &fixture->error), BACKEND_OK);
    bool expected[] = {true, true, true, false};
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(late[i].superseded, expected[i]);
    assert_value(fixture, HASH, "sess:a", "of B");
    assert_absent(fixture, HASH, "sess:b");
    assert_value(fixture, HASH, "sess:c", "of B");
    assert_value(fixture, HASH, "sess:d", "of A");
}

/* ---- Scans ---- */

TEST(a_scan_shows_the_newest_of_one_namespace) {
    enum { COUNT = 5000 };
    struct fixture *fixture = *state;
    static char names[COUNT][16];
    static struct mutation mutations[COUNT];
    fixture->own[DEFAULT].store_prefix = "";
    fixture->options.timeout_ms = 5000;
    open_both(fixture);
    for (unsigned i = 0; i < COUNT; i++) {
        unsigned table = i % 3;
        snprintf(names[i], sizeof names[i], "%s%u", fixture->tables[table].key_prefix, i);
        mutations[i] = mutation(fixture, table, MUTATION_PUT, names[i], "value", 1 + i * 7919ull % COUNT);
    }
    assert_int_equal(apply(fixture, mutations, COUNT), BACKEND_OK);
    assert_false(superseded(fixture, HASH, MUTATION_DELETE, "sess:0", 100000));
    ask(fixture, "RPUSH sess:list x");
    ask(fixture, "HSET unrelated field x");
    assert_int_equal(scan(fixture, HASH, 10000).count, 1666);
    assert_int_equal(scan(fixture, STRING, 10000).count, 1667);
    assert_int_equal(scan(fixture, DEFAULT, 10000).count, 1666);
    struct counter newest = scan(fixture, HASH, 100);
    assert_int_equal(newest.count, 100);
    unsigned newer = 0;
    for (unsigned i = 3; i < COUNT; i += 3)
        newer += mutations[i].entry.version >= newest.last;
    assert_int_equal(newer, 100);
}

/* ---- Hearing of changes ---- */

static void open_watcher(struct fixture *fixture) {
    assert_int_equal(redis_backend.open(&fixture->options, BACKEND_WATCHER, &fixture->other, &fixture->error),
                     BACKEND_OK);
}

static struct heard hear(struct fixture *fixture) {
    if (!fixture->other)
        open_watcher(fixture);
    return hear_all(fixture->other);
}

TEST(a_watcher_hears_whatever_is_changed) {
    struct fixture *fixture = *state;
    open_both(fixture);
    struct heard heard = hear(fixture);
    assert_int_equal(heard.lost, 1);
    assert_string_equal(heard.keys, "");
    assert_int_equal(put(fixture, HASH, "sess:a", "1", 1), BACKEND_OK);
    assert_string_equal(hear(fixture).keys, "0/sess:a ");
    assert_int_equal(put(fixture, STRING, "sh:a", "1", 2), BACKEND_OK);
    assert_string_equal(hear(fixture).keys, "1/sh:a ");
    ask(fixture, "SET sh:b theirs");
    assert_string_equal(hear(fixture).keys, "1/sh:b ");
    ask(fixture, "SET other 1"); /* nobody's */
    ask(fixture, "DEL app*:d");
    ask(fixture, "SET app*:d 1");
    assert_string_equal(hear(fixture).keys, "2/d ");
    assert_int_equal(put(fixture, DEFAULT, "forebay:beside:x", "1", 3), BACKEND_OK);
    assert_string_equal(hear(fixture).keys, "2/forebay:beside:x ");
    ask(fixture, "FLUSHALL");
    heard = hear(fixture);
    assert_int_equal(heard.lost, 1);
    assert_string_equal(heard.keys, "");
}

TEST(prefixes_that_overlap_are_watched_once) {
    struct fixture *fixture = *state;
    fixture->tables[HASH].key_prefix = "";
    fixture->tables[STRING].key_prefix = "forebay:x";
    fixture->own[DEFAULT].store_prefix = "";
    fixture->tables[DEFAULT].key_prefix = "a:";
    fixture->options.table_count = 3;
    hear(fixture);
    ask(fixture, "SET a:b 1");
    assert_string_equal(hear(fixture).keys, "0/a:b 2/a:b ");
    ask(fixture, "SET forebay:xy 1");
    assert_string_equal(hear(fixture).keys, "0/forebay:xy 1/forebay:xy ");
    fixture->tables[HASH].key_prefix = "forebay:beside:";
    redis_backend.close(fixture->other);
    fixture->other = NULL;
    hear(fixture);
    open_both(fixture);
    assert_int_equal(put(fixture, HASH, "forebay:beside:a", "1", 1), BACKEND_OK); /* under another name */
    assert_string_equal(hear(fixture).keys, "0/forebay:beside:a ");
}

TEST(a_watcher_that_is_cut_off_says_so_and_begins_anew) {
    struct fixture *fixture = *state;
    struct heard heard = hear(fixture);
    ask(fixture, "CLIENT KILL TYPE pubsub");
    while (hear_once(fixture->other, &heard, &fixture->error) == BACKEND_OK)
        continue;
    ask(fixture, "SET sh:a missed");
    heard = hear(fixture);
    assert_int_equal(heard.lost, 1);
    assert_string_equal(heard.keys, "");
    ask(fixture, "SET sh:a heard");
    assert_string_equal(hear(fixture).keys, "1/sh:a ");
    redis_server_kill(&fixture->server);
    while (hear_once(fixture->other, &heard, &fixture->error) == BACKEND_OK)
        continue;
    assert_int_equal(hear_once(fixture->other, &heard, &fixture->error), BACKEND_TRANSIENT);
    assert_true(redis_server_restart(&fixture->server));
    assert_int_equal(hear(fixture).lost, 1);
}

TEST(a_server_that_hangs_proves_nothing) {
    struct fixture *fixture = *state;
    fixture->options.timeout_ms = 300;
    struct heard heard = hear(fixture);
    uint64_t proven_us = heard.proven_us;
    redis_server_pause(&fixture->server, true);
    while (hear_once(fixture->other, &heard, &fixture->error) == BACKEND_OK) /* until the timeout */
        assert_true(heard.proven_us >= proven_us && heard.proven_us < monotonic_us());
    assert_says(fixture, "no answer in time");
    redis_server_pause(&fixture->server, false);
    heard = heard_nothing();
    while (hear_once(fixture->other, &heard, &fixture->error) !=
           BACKEND_OK) /* the first answers may be late */
        continue;
    assert_int_equal(heard.lost, 1);
}

TEST(a_watcher_says_what_it_is_not_allowed) {
    struct fixture *fixture = *state;
    char uri[400];
    ask(fixture, "ACL SETUSER app on >secret allkeys allchannels +@all -client|tracking");
    snprintf(uri, sizeof uri, "redis://app:secret@127.0.0.1:%d", fixture->server.port);
    fixture->options.uri = uri;
    open_watcher(fixture);
    struct heard heard = heard_nothing();
    assert_int_equal(hear_once(fixture->other, &heard, &fixture->error), BACKEND_TRANSIENT);
    assert_says(fixture, "client|tracking");
    assert_says(fixture, "&__redis__:invalidate");
    assert_silent_about(fixture, "secret");
    assert_int_equal(heard.lost, 0);
    ask(fixture, "ACL SETUSER app -@all +client|id +client|tracking +subscribe +ping "
                 "resetchannels &__redis__:invalidate +info +script|load");
    assert_int_equal(hear(fixture).lost, 1);
}

TEST(versions_are_those_of_the_rows) {
    struct fixture *fixture = *state;
    struct slice keys[] = {SLICE("sess:a"), SLICE("sess:none"), SLICE("sess:deleted"), SLICE("sess:text")};
    uint64_t versions[4];
    open_both(fixture);
    assert_int_equal(put(fixture, HASH, "sess:a", "1", 7), BACKEND_OK);
    assert_false(superseded(fixture, HASH, MUTATION_DELETE, "sess:deleted", 8));
    ask(fixture, "SET sess:text 1");
    assert_int_equal(
        redis_backend.versions(fixture->reader, fixture->list[HASH], keys, 4, versions, &fixture->error),
        BACKEND_OK);
    assert_int_equal(versions[0], 7);
    assert_int_equal(versions[1], 0);
    assert_int_equal(versions[2], 8);
    assert_int_equal(versions[3], 0);
    assert_int_equal(
        redis_backend.versions(fixture->reader, fixture->list[STRING], keys, 1, versions, &fixture->error),
        BACKEND_OK);
    assert_true(versions[0] == BACKEND_VERSION_UNTOLD); /* others write values without one */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(wrong_credentials_are_refused_and_never_told),
        CASE(a_user_of_the_access_list_may_serve),
        CASE(a_password_that_the_server_repeats_is_not_told),
        CASE(an_old_server_is_refused_by_its_version),
        CASE(a_node_of_a_cluster_is_refused),
        CASE(keys_that_moved_away_are_unknown_not_missing),
        CASE(what_cannot_work_is_refused),
        CASE(a_hash_is_plain_to_read),
        CASE(a_string_is_shared_with_others),
        CASE(a_late_put_does_not_bring_back_what_was_deleted),
        CASE(tombstones_live_as_long_as_told),
        CASE(a_late_replay_of_another_node_changes_nothing),
        CASE(a_scan_shows_the_newest_of_one_namespace),
        CASE(a_watcher_hears_whatever_is_changed),
        CASE(prefixes_that_overlap_are_watched_once),
        CASE(a_watcher_that_is_cut_off_says_so_and_begins_anew),
        CASE(a_server_that_hangs_proves_nothing),
        CASE(a_watcher_says_what_it_is_not_allowed),
        CASE(versions_are_those_of_the_rows),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("redis", tests, NULL, NULL);
}
